/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Notices that somebody writes to the attributes of a leased device or group for which the kernel
 * has no uevent: driver_override, the config space of what is parked on no driver (setpci), and the
 * domain type of the group. Who writes to one of sysfs modifies a file, so inotify tells of it, but
 * not if it is done through the sysfs of another network namespace. What is made of it is the
 * guard's business.
 *
 * All leases share one inotify instance: root has 128 by default (fs.inotify.max_user_instances),
 * for everything that runs as root.
 */

#include "daemon/lease/run.h"

struct attr_watch {
	struct lease_run *run; /* NULL: nothing is watched */
	struct attr_watch *next;
	void (*written)(struct lease_run *run);
	int *wds;
	size_t n;
	bool joined, hit;
	uint64_t what; /* a hash of what is watched */
};

/*
 * Watches what the lease has now, if that is other than before; written() comes once for all that
 * was written since. Goes on, with a warning in the log, where something cannot be watched.
 */
void attr_watch_follow(struct attr_watch *watch, struct lease_run *run,
		       void (*written)(struct lease_run *run));
void attr_watch_done(struct attr_watch *watch);

/* The instance that they share; NULL is fine. Every watch is done before. */
void attr_watches_free(struct attr_watches *watches);
