/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of pool.h. */

#include "policy/pool.h"

static const char *const pool_state_table[POOL_STATE_MAX] = {
	[POOL_FREE] = "free",
	[POOL_LEASED] = "leased",
	[POOL_FAILED] = "failed",
	[POOL_HELD] = "held",
};
DEFINE_STRING_TABLE(pool_state, enum pool_state)

/* What keeps the host from giving it away, as far as it is the device's own. */
static bool is_held(const struct topology *topology, const struct policy *policy,
		    const struct ledger *ledger, const struct pool *pool,
		    const struct device *device)
{
	if (!device->group || device->group->kind == GROUP_NOIOMMU || device->bridge ||
	    !device->vfio_driver)
		return true;
	if (device->uses.n > 0 && !device_on_vfio(device))
		return true;
	/* VFs that are enabled go with their PF. */
	if (strv_length(device->virtual_functions) > 0)
		return true;
	if (device->physical_function && (ledger_device(ledger, device->physical_function) ||
					  !topology_device(topology, device->physical_function)))
		return true;
	return pool_broken_pin(policy, pool, device, ledger_host_driver(ledger, device));
}

enum pool_state pool_device_state(const struct topology *topology, const struct policy *policy,
				  const struct ledger *ledger, const struct pool *pool,
				  const struct device *device)
{
	const struct lease *lease = device->group ? ledger_holder(ledger, device->group_id) : NULL;

	if (device->health == HEALTH_FAILED)
		return POOL_FAILED;
	if (lease)
		return lease->state == LEASE_FAILED ? POOL_FAILED : POOL_LEASED;
	return is_held(topology, policy, ledger, pool, device) ? POOL_HELD : POOL_FREE;
}

static struct pool_row *find_row(struct pool_census *census, int node)
{
	size_t i;

	for (i = 0; i < census->n_rows; i++)
		if (census->rows[i].numa_node == node)
			return &census->rows[i];
	if (ARRAY_RESERVE_ONE(census->rows, census->n_rows) < 0)
		return NULL;
	for (i = census->n_rows++; i > 0 && census->rows[i - 1].numa_node > node; i--)
		census->rows[i] = census->rows[i - 1];
	census->rows[i] = (struct pool_row){ .numa_node = node };
	return &census->rows[i];
}

int pool_count(const struct topology *topology, const struct policy *policy,
	       const struct ledger *ledger, const struct pool *pool, struct pool_census *census)
{
	*census = (struct pool_census){};
	HASH_FOREACH (device, topology->devices) {
		struct pool_row *row;

		if (!pool_matches_device(policy, pool, device, ledger_host_driver(ledger, device)))
			continue;
		row = find_row(census, device->numa_node);
		if (!row) {
			pool_census_done(census);
			return -ENOMEM;
		}
		row->count[pool_device_state(topology, policy, ledger, pool, device)]++;
	}
	return 0;
}

void pool_census_done(struct pool_census *census)
{
	free(census->rows);
	*census = (struct pool_census){};
}
