/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of pools.h. */

#include "daemon/bus/pools.h"

#include "daemon/bus/object.h"
#include "policy/pool.h"

static int append_rows(sd_bus_message *m, const struct pool_census *census)
{
	int r = sd_bus_message_open_container(m, 'a', "(iuuuu)");

	for (size_t i = 0; r >= 0 && i < census->n_rows; i++) {
		const struct pool_row *row = &census->rows[i];

		r = sd_bus_message_append(m, "(iuuuu)", (int32_t)row->numa_node,
					  row->count[POOL_FREE], row->count[POOL_LEASED],
					  row->count[POOL_FAILED], row->count[POOL_HELD]);
	}
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_pool(struct manager *manager, sd_bus_message *m, const struct pool *pool)
{
	struct pool_census census;
	int r;

	r = pool_count(&manager->topology, manager->policy, &manager->ledger, pool, &census);
	if (r < 0)
		return r;
	r = sd_bus_message_open_container(m, 'r', "sa(iuuuu)");
	if (r >= 0)
		r = append_string(m, pool->name);
	if (r >= 0)
		r = append_rows(m, &census);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	pool_census_done(&census);
	return r;
}

int method_get_pools(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	struct manager *manager = userdata;
	size_t n = manager->policy ? manager->policy->n_pools : 0;
	int r;

	r = sd_bus_message_new_method_return(m, &reply);
	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', "(sa(iuuuu))");
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = append_pool(manager, reply, &manager->policy->pools[i]);
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}
