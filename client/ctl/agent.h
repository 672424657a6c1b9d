/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * polkit's question on a text terminal: pkttyagent(1), for as long as the call takes.
 */

#include <sys/types.h>

/* Starts it for this process if there is a terminal; 0 if there is none, or no pkttyagent. */
pid_t agent_start(void);
/* Ends it. 0 is nothing to end. */
void agent_stop(pid_t agent);
