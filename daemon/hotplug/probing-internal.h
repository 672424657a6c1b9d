/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the two files behind probing.h share: probing.c is what others ask and tell,
 * probing-switch.c has who probes go where it should be.
 */

#include "daemon/hotplug/arrivals.h"
#include "daemon/hotplug/probing.h"
#include "daemon/hotplug/switch.h"

enum probing_state { BY_KERNEL, TAKING, BY_BROKER, GIVING_BACK };

struct probing {
	sd_event *event;
	const struct host *host;
	struct engine *engine;
	const struct probing_ops *ops;
	void *userdata;

	int dir;  /* /run/vfiod */
	int lock; /* of net.h; -EBADF: another has it yet */
	enum probing_state state;
	bool policy_known, broker, honoured, told_old;
	bool left;  /* the file may be there, though it is not by the broker */
	bool prior; /* what it was; good from BY_BROKER on */
	int failed; /* -errno, for the claims that wait */

	struct switcher *switcher;
	struct keeper *keeper;
	struct arrivals *arrivals;
	struct autoprobe_watch *watch;
	unsigned int n_interfered;
	uint64_t interfered_since;
	uint64_t given_back_usec;
	sd_event_source *retry;
	sd_event_source *poke;
	bool poked; /* its turn is under way */
};

/* Whether there is something to be guarded, on a kernel and with a policy for it. */
bool probing_is_wanted(const struct probing *probing);
/* Goes where it should be, unless it is on a way, or waits before it tries again. */
void probing_update(struct probing *probing);
/* Starts a process that says who waits. -errno. */
int probing_start_look(struct probing *probing);
/* A virtual function that is being made: the VF fence is on, and it is to have no host driver. */
bool probing_is_being_made(const struct probing *probing, const char *name);
