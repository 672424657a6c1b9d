/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What is shown on standard error while a call takes long: one line that is rewritten on a
 * terminal, a line now and then elsewhere.
 */

#include "client/ctl/ctl.h"

struct progress;

/*
 * Starts a thread that shows, after two seconds, what vfiod is doing with these devices, until
 * progress_stop(). It has a bus connection of its own. NULL if it cannot be: then nothing is shown.
 */
struct progress *progress_start(char *const *devices);
/* Clears the line and frees everything. */
struct progress *progress_stop(struct progress *progress);

/* Shows this line now, in place of the one before; rewritten on a terminal. */
void progress_show(const char *format, ...) _printf_(1, 2);
/* Wipes the line on a terminal. */
void progress_clear(void);
