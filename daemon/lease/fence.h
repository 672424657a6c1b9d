/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The reactive fence (I6): a device that appears in a group that the host does not own is shut off
 * at once, by a worker that was forked beforehand. One always waits; one that hangs in the kernel
 * holds up nobody but its own lease.
 */

#include "daemon/lease/engine.h"

struct fence;

struct fences {
	struct engine *engine;
	struct fence *spare; /* forked, waits for its device */
	struct fence *list;  /* at work, or waiting to try again */
};

/* Forks the first spare. -errno. */
int fences_init(struct fences *fences, struct engine *engine);
void fences_done(struct fences *fences);

/*
 * Fences a device of the lease: the first thing to be done about it. usec: when its uevent was
 * read, CLOCK_MONOTONIC. The lease's entry is made (or made anew) here; engine_ops.fenced() comes
 * when it is shut off. One that is being fenced already is left to that.
 */
void fence_device(struct fences *fences, struct lease *lease, const char *device, uint32_t group,
		  uint64_t usec);

/* Whether a fence of the lease is at work. */
bool fences_busy(const struct fences *fences, const struct lease *lease);
/* No further tries for the lease: it is going home. */
void fences_stop(struct fences *fences, const struct lease *lease);
