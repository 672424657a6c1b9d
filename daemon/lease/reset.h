/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A reset of devices of a leased lease, by a worker. What it reaches, and that the lease may have
 * it, was decided before (policy/reset-domain.h); while it runs, the lease neither grows nor
 * shrinks, and the groups that it reaches outside the lease are reserved.
 */

#include "daemon/lease/engine.h"
#include "policy/reset-domain.h"

/* failure NULL: every reset was done, and each device of the lease is on the driver it was on. */
typedef void (*reset_fn)(struct lease *lease, const struct failure *failure, void *userdata);

/* One reset. device: of the lease; domain: what it reaches. Both are the caller's. */
struct reset_target {
	const char *device;
	const struct reset_domain *domain; /* domain->bridge NULL: of the function */
};

enum { RESET_BUSY = 1 }; /* another change of the lease, or a fence, is under way */
/* 0: done() comes once, maybe before this returns. RESET_BUSY or -errno: nothing was begun. */
int engine_reset(struct engine *engine, struct lease *lease, const struct reset_target *targets,
		 size_t n, reset_fn done, void *userdata);
/* Nobody waits any more, by userdata; the reset goes on, for it cannot be undone. */
void engine_abandon_reset(struct engine *engine, const void *userdata);
