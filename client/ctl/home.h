/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Watching a lease: its state, and its way home after it has ended.
 */

#include "client/ctl/ctl.h"

enum lease_fate {
	LEASE_HOME,   /* the object is gone: every group is back at the host */
	LEASE_LIVES,  /* preparing or leased */
	LEASE_ENDING, /* draining or restoring */
	LEASE_FAILED, /* a device did not come back */
};

/*
 * Reads the lease. Returns an enum lease_fate, or a negative errno with *error set. *object (may be
 * NULL) gets its properties, for the caller, unless it is home.
 */
int lease_fate(struct ctl *ctl, const char *path, json_object **object, struct vfiod_error **error);

/* Makes the connection receive vfiod's signals, so that it wakes up when something changes. */
int home_subscribe(struct ctl *ctl);

/*
 * Waits until the lease is home, and shows what it waits for. An exit code: EXIT_OK at home,
 * EXIT_DEVICE_FAILED if it failed on the way. Stops early, with EXIT_OK, when *interrupted
 * is set by a signal handler; interrupted may be NULL.
 */
int home_wait(struct ctl *ctl, const char *path, volatile int *interrupted);
