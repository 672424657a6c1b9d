/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * More and fewer devices for a lease that is leased. Its other devices stay as they are.
 *
 * Groups that come are a lease of their own while they are prepared (lease->part_of): the same
 * claim, journal and rollback; when it is done, its devices move to the lease that grows. Groups
 * that go become such a part again, and drain and go home by themselves. The journal of the lease
 * that changes is written last, and decides after a crash.
 *
 * A device within the lease's own groups is marked `parking` in the journal while it is on its way:
 * whatever cuts that short, it ends shut off, on no driver.
 */

#include "daemon/lease/engine.h"

/* failure NULL: the devices are the lease's and granted, and that is durable. */
typedef void (*growth_fn)(struct lease *lease, const struct failure *failure, void *userdata);

/*
 * Groups: part is a lease in state preparing with part_of set, taken when 0 is returned; waive as
 * for engine_claim(). Returns 0: done() comes once, maybe before this returns; a LEDGER_ outcome or
 * -errno: nothing was begun and part is the caller's.
 */
int engine_grow(struct engine *engine, struct lease *part, const unsigned int *waive,
		growth_fn done, void *userdata);
/* The caller of engine_grow() has gone: found by its userdata. */
void engine_abandon_growth(struct engine *engine, const void *userdata);

/* What is to become of a device that the lease keeps shut. Borrowed. */
struct grown_device {
	const char *name;
	const char *rule;
	const char *target_driver;
};
enum { GROW_BUSY = 1 }; /* another change of the lease, or a fence, is under way */
/* Devices of its own groups, withheld or fenced. 0: done() comes once, from the event loop. */
int engine_grow_inside(struct engine *engine, struct lease *lease,
		       const struct grown_device *devices, size_t n, growth_fn done,
		       void *userdata);

/*
 * Takes granted devices from the owner. 0: durable, and each group that has no other granted device
 * drains; in the others the devices are shut off when whoever has them open has let go. Else
 * failure is set, and nothing has changed.
 */
int engine_shrink(struct engine *engine, struct lease *lease, char *const *devices,
		  struct failure *failure);
