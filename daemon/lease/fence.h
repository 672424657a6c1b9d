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

/* The same for one that is fenced already, if somebody has bound it again. */
void fence_if_bound(struct fences *fences, struct lease *lease, const char *device, uint32_t group,
		    uint64_t usec);
/*
 * A device of the lease itself, which the host's driver has got although it is to stay shut off
 * while the lease drains: shut off again, and what it had is still known.
 */
void fence_again(struct fences *fences, struct lease *lease, const char *device, uint64_t usec);
/*
 * The device was removed: a fence of it that is still at work counts for nothing, and what comes to
 * the address next gets one of its own. Changes nothing outside of memory; fences_bury() does the
 * rest, when there is time: fences that wait for another try end, and may be what their lease
 * waited for.
 */
void fences_device_went(struct fences *fences, const char *device);
void fences_bury(struct fences *fences);

/* Whether a fence or the guard of the lease is at work: something may still write to its devices.
 */
bool fences_busy(const struct fences *fences, const struct lease *lease);
/* Whether a fence is at work on a device of this name. */
bool fences_busy_with(const struct fences *fences, const char *device);
/* The devices of a lease are another's now, what is fenced among them too. */
void fences_move(struct fences *fences, const struct lease *from, struct lease *to);
/* No further tries for the lease: it is going home. */
void fences_stop(struct fences *fences, const struct lease *lease);
