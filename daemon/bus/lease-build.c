/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of lease-build.h. */

#include "daemon/bus/lease-build.h"

#include "daemon/bus/bus.h"
#include "daemon/util/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

static int new_id(char id[17])
{
	uint64_t n;

	if (getrandom(&n, sizeof(n), 0) != (ssize_t)sizeof(n))
		return -errno;
	snprintf(id, 17, "%016" PRIx64, n);
	return 0;
}

/* What it had: from the worker's look, or from the record of its last cycle. */
static int fill_saved(struct manager *manager, const struct judge *judge, const struct verdict *v,
		      struct lease_device *d)
{
	const struct inspected *found = judge_found(judge, v->device);
	const struct clean_device *clean;
	int r;

	if (found) {
		d->saved_bus_master = found->bus_master;
		r = free_and_strdup(&d->saved_driver, found->driver);
		return r < 0 ? r : free_and_strdup(&d->saved_override, found->override);
	}
	clean = engine_clean(&manager->engine, v->device, v->identity);
	if (!clean)
		return v->action == ACTION_NONE ? free_and_strdup(&d->saved_driver, v->host_driver)
						: 1;
	r = free_and_strdup(&d->saved_driver, clean->driver);
	return r < 0 ? r : free_and_strdup(&d->saved_override, clean->override);
}

static int add_group(struct lease *lease, const struct group *group)
{
	struct lease_group *entry;
	int r = lease_add_group(lease, group->id, group->generation);

	if (r < 0)
		return r;
	entry = lease_group(lease, group->id);
	entry->appearance = group->appearance;
	return free_and_strdup(&entry->type, *group->type ? group->type : NULL);
}

static int fill_device(struct manager *manager, const struct judge *judge, const struct verdict *v,
		       struct lease *lease)
{
	const struct device *device = topology_device(&manager->topology, v->device);
	struct lease_device *d;
	int r;

	if (!device || !device->group || device->identity != v->identity)
		return 1;
	r = add_group(lease, device->group);
	if (r < 0)
		return r;
	d = lease_add_device(lease, v->device);
	if (!d)
		return -ENOMEM;
	r = lease_device_know(d, device);
	/* A mediated one is another after each cycle, under a name that nothing else has. */
	if (!bus_has_override(device->subsystem))
		d->appearance = 0;
	/* Host and ISA bridges too (class 06): what is behind them needs their bus mastering. */
	d->bridge = device->bridge ||
		    (device->class_code != ID_UNKNOWN && device->class_code >> 16 == 0x06);
	d->left = v->action == ACTION_NONE;
	d->state = v->action == ACTION_GRANT ? DEVICE_GRANTED
		   : d->left		     ? DEVICE_HOST
					     : DEVICE_WITHHELD;
	if (r >= 0)
		r = free_and_strdup(&d->rule, v->rule);
	if (r >= 0)
		r = free_and_strdup(&d->target_driver,
				    v->action == ACTION_PARK_NONE ? NULL : v->target_driver);
	return r < 0 ? r : fill_saved(manager, judge, v, d);
}

static int fill_lease(struct manager *manager, const struct bus_request *request,
		      const struct creds *creds, const struct decision *decision,
		      struct lease *lease)
{
	int r;

	lease->owner = request->owner_given ? request->owner : creds->uid;
	lease->mode = decision->mode;
	lease->state = LEASE_PREPARING;
	lease->persist = request->persist;
	lease->shared = request->shared;
	lease->attach = request->attach;
	lease->device_fds = request->device_fds;
	lease->park = decision->park;
	lease->revoke = decision->revoke;
	lease->memlock = request->memlock;
	lease->since_usec = realtime_usec();
	lease->acquirer = creds->uid;
	r = free_and_strdup(&lease->name, request->name);
	if (r >= 0)
		r = free_and_strdup(&lease->connection, creds->name);
	if (r >= 0)
		r = free_and_strdup(&lease->bus_id, bus_id(manager->bus));
	if (r >= 0)
		r = free_and_strdup(&lease->unit, creds->unit_known ? creds->unit : NULL);
	return r;
}

static unsigned int waived_by(const struct policy *policy, const char *rule)
{
	for (size_t i = 0; rule && policy && i < policy->n_rules; i++)
		if (streq(policy->rules[i].id, rule))
			return policy->rules[i].waive;
	return 0;
}

int lease_build(struct manager *manager, const struct bus_request *request,
		const struct creds *creds, const struct judge *judge, struct lease **ret,
		unsigned int **waive)
{
	const struct decision *decision = judge_decision(judge);
	_cleanup_(lease_freep) struct lease *lease = NULL;
	char id[17];
	int r;

	r = new_id(id);
	if (r < 0)
		return r;
	lease = lease_new(id);
	if (!lease)
		return -ENOMEM;
	r = fill_lease(manager, request, creds, decision, lease);
	for (size_t i = 0; r == 0 && i < decision->n_verdicts; i++)
		r = fill_device(manager, judge, &decision->verdicts[i], lease);
	if (r != 0)
		return r;
	*waive = calloc(lease->n_devices + 1, sizeof(**waive));
	if (!*waive)
		return -ENOMEM;
	for (size_t i = 0; i < lease->n_devices; i++)
		(*waive)[i] = waived_by(manager->policy, lease->devices[i].rule);
	*ret = STEAL(lease);
	return 0;
}
