/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * polkit's question on a text terminal: pkttyagent(1), for as long as the call takes.
 */

#include <stdbool.h>
#include <sys/types.h>

/* Whether there is a terminal to ask on. */
bool agent_possible(void);
/* Starts it for this process, and waits until it is ready or has given up. 0 if it cannot be. */
pid_t agent_start(void);
/* Ends it. 0 is nothing to end. */
void agent_stop(pid_t agent);
