/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The guard of a lease: somebody else may write to sysfs behind the daemon, and rebind a device of
 * a lease, change its driver_override, switch bus mastering on where no driver has it, or change
 * the domain type of the group. That is noticed, reported, and put right by a worker; where that
 * fails, or somebody keeps at it, the lease ends with that as its reason. What comes to the group
 * is not its job, but fence.c's.
 */

#include "daemon/lease/run.h"

/* How often in a minute somebody may interfere before the lease ends. */
#define GUARD_ROUNDS_MAX 5

struct guard;

/*
 * Looks at every device of the lease, soon: a worker reads driver and override of each, which may
 * block, and puts right what is not as the lease has it. Nothing unless the lease is leased and has
 * no other worker.
 */
void guard_look(struct lease_run *run);
/*
 * The kernel told of a device being bound or unbound: guard_look() unless its driver is as it
 * should be. Reads one link, which does not block.
 */
void guard_device_event(struct lease_run *run, const char *device);
/* A device of the lease was removed: what the worker does now, it may do to the next one. */
void guard_device_went(struct lease_run *run);
/* The lease or its state changed: watches the driver_override of its devices while it is leased. */
void guard_follow(struct lease_run *run);
/* Whether its worker is at work. run may be NULL. */
bool guard_busy(const struct lease_run *run);
struct guard *guard_free(struct guard *guard);
