/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The directories through which the daemon sees the host: everything under /sys, /dev and /proc
 * is opened relative to these, so that a test can give others.
 */

#include "daemon/util/fd.h"

struct host {
	int sys;  /* /sys */
	int dev;  /* /dev */
	int proc; /* /proc */
	/* /lib/modules/RELEASE, for the names of variant drivers; -EBADF (or 0): there is none. */
	int modules;
};

/* Opens them. -errno; no modules directory is none. */
int host_open(struct host *host);
/* Closes what is open, and can be called twice. */
void host_close(struct host *host);
