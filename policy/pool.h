/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The census of a pool: how many of its devices are free, leased or failed, by NUMA node. Whoever
 * asks: whether a rule gives one of them to somebody is decide()'s.
 */

#include "policy/ledger.h"
#include "policy/rules.h"
#include "policy/topology.h"

/* What a device of a pool is now. */
enum pool_state {
	POOL_FREE,   /* a rule that allows it could give it away */
	POOL_LEASED, /* in a lease, or on its way from one to the host */
	POOL_FAILED, /* it broke, or did not come home from a lease */
	POOL_HELD,   /* the host needs it, or VFIO cannot have it, or it is not what was pinned */
	POOL_STATE_MAX,
	POOL_STATE_INVALID = -1,
};
DECLARE_STRING_TABLE(pool_state, enum pool_state)

struct pool_row {
	int numa_node; /* -1: not known */
	uint32_t count[POOL_STATE_MAX];
};

struct pool_census {
	struct pool_row *rows; /* by node */
	size_t n_rows;
};

enum pool_state pool_device_state(const struct topology *topology, const struct policy *policy,
				  const struct ledger *ledger, const struct pool *pool,
				  const struct device *device);
/* 0 and a census of the caller, or -ENOMEM. */
int pool_count(const struct topology *topology, const struct policy *policy,
	       const struct ledger *ledger, const struct pool *pool, struct pool_census *census);
void pool_census_done(struct pool_census *census);
