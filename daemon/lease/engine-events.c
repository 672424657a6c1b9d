/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Devices that come to the groups of leases, and go: which lease each of them is to, whether it is
 * the one that was there, and what has to be done about it. How one is shut off is fence.c's.
 */

#include "daemon/lease/engine.h"

#include "daemon/lease/fence-guard.h"
#include "daemon/lease/fence.h"
#include "daemon/lease/run.h"
#include "daemon/sysfs/write.h"
#include "daemon/util/log.h"

static void write_journal(struct engine *engine, const struct lease *lease)
{
	int r = journal_write(&engine->journal, lease);

	if (r < 0)
		log_error("journal of lease %s: %s", lease->id, strerror(-r));
}

/* What is under way for a device does not know yet that the device is another one now. */
static void stop_at_work(struct lease_run *run, const struct lease_device *d)
{
	if (run->lease->state == LEASE_PREPARING && !d->left) {
		failure_set(&run->failure, "GroupChanged",
			    "%s was removed under the request; ask again", d->name);
		if (run->worker)
			worker_stop(run->worker);
	} else if (run->changing && d->parking && run->worker) {
		worker_stop(run->worker);
	}
}

/* The kernel has removed the device of this entry. */
static void device_went(struct engine *engine, struct lease *lease, struct lease_device *d)
{
	struct lease_group *group = lease_group(lease, d->group);

	d->gone = true;
	stop_at_work(lease_run(lease), d);
	/* With its last member a group goes too, and its number is free for another. */
	if (group && !lease_has_members(lease, group->id) &&
	    (!group->appearance ||
	     sysfs_get_group_appearance(engine->host, group->id) != group->appearance))
		group->gone = true;
}

/* In memory alone, as lose_device(). */
static void group_went(struct engine *engine, struct lease *lease, struct lease_group *group)
{
	for (size_t i = 0; i < lease->n_devices; i++)
		if (lease->devices[i].group == group->id && !lease->devices[i].gone)
			device_went(engine, lease, &lease->devices[i]);
	group->gone = true;
	lease_run(lease)->lost = true;
}

/* Whether all that is in a group by now are devices at addresses of the lease. */
static bool has_only(const struct engine *engine, const struct lease *lease, uint32_t id)
{
	const struct group *group = topology_group(engine->topology, id);

	for (size_t i = 0; group && i < group->n_devices; i++)
		if (!lease_device(lease, group->devices[i]->name))
			return false;
	return true;
}

/*
 * What comes back to the address of a leased device whose group went with it, as a group of the
 * same number, is shut off too: a card that lost its link and comes again is not for the host's
 * drivers while somebody has leased its slot. Its group is the lease's again.
 */
static struct lease *lease_of_address(struct engine *engine, const char *device, uint32_t id)
{
	HASH_FOREACH (lease, engine->ledger->leases) {
		const struct lease_device *d = lease_device(lease, device);
		struct lease_group *group = lease_group(lease, id);

		if (lease->state != LEASE_LEASED || !d || d->group != id || !group ||
		    !group->gone || !has_only(engine, lease, id))
			continue;
		group->gone = false;
		group->appearance = sysfs_get_group_appearance(engine->host, id);
		/* The domain type was the other's. */
		free_and_strdup(&group->type, NULL);
		return lease;
	}
	return NULL;
}

/* The lease that has the group: the group that is there now, and not one of its number. */
static struct lease *lease_of_group(struct engine *engine, const char *device, uint32_t id)
{
	struct lease *lease = ledger_group(engine->ledger, id);
	struct lease_group *group = lease ? lease_group(lease, id) : NULL;
	uint64_t now =
		group && group->appearance ? sysfs_get_group_appearance(engine->host, id) : 0;

	if (now && now != group->appearance) {
		group_went(engine, lease, group);
		lease = NULL;
	}
	return lease ? lease : lease_of_address(engine, device, id);
}

/* Whether the device is the lease's, as far as the kernel's own mark of it says. */
static bool is_the_one(const struct lease_device *d, uint32_t group, uint64_t now)
{
	if (d->appearance && now)
		return d->appearance == now && d->group == group;
	return !d->gone && d->group == group;
}

/* A driver of the host got it while the lease drains: nothing goes home before all can (I5). */
static bool is_too_early(const struct engine *engine, const struct lease *lease,
			 const struct lease_device *d)
{
	_cleanup_free_ char *driver = NULL;

	return lease->state == LEASE_DRAINING && !d->left &&
	       sysfs_get_driver(engine->host, "pci", d->name, &driver) == 0 && driver &&
	       !driver_is_vfio(driver, d->target_driver);
}

static void own_device_came(struct engine *engine, struct lease *lease, struct lease_device *d,
			    uint64_t usec)
{
	/* It never left: what said so was mistaken. */
	if (d->gone) {
		d->gone = false;
		lease_run(lease)->lost = true;
	}
	/* A synthetic event, our own worker binding it, or somebody else. */
	/* One that is on its way into the lease is bound by its own worker, which reads it back. */
	if (d->state == DEVICE_FENCED && !d->parking)
		fence_if_bound(engine->fences, lease, d->name, d->group, usec);
	else if (is_too_early(engine, lease, d))
		fence_again(engine->fences, lease, d->name, usec);
	else
		guard_device_event(lease_run(lease), d->name);
}

/*
 * Takes the device of an entry for gone, with all that is at work on it. In memory alone, for a
 * fence of what has come instead may be the next thing to be done; tell_losses() is for afterwards.
 */
static void lose_device(struct engine *engine, struct lease *lease, struct lease_device *d)
{
	device_went(engine, lease, d);
	fences_device_went(engine->fences, d->name);
	guard_device_went(lease_run(lease));
	lease_run(lease)->lost = true;
}

static void tell_losses(struct engine *engine)
{
	HASH_FOREACH (lease, engine->ledger->leases) {
		struct lease_run *run = lease_run(lease);

		if (!run || !run->lost)
			continue;
		run->lost = false;
		/* A daemon that starts anew is not to take what comes to its name for it. */
		write_journal(engine, lease);
		run_changed(run);
		/* A claim that waits for something else is over now. */
		if (lease->state == LEASE_PREPARING && run->failure.error)
			claim_stored(run);
	}
	fences_bury(engine->fences);
}

/*
 * The fence comes first (I6): before it is started there are some calls of stat() and lookups in
 * memory, which tell what to do, and nothing that may fail or take its time: no journal, no bus.
 *
 * If the daemon dies before the journal has the loss, that still has the device that has gone, as
 * granted maybe. The next daemon knows by the appearance, which is the kernel's and in the journal,
 * that it has (renew_identities()), and what is at its address is a stranger in a group of the
 * lease: it is fenced, again if need be (engine_fence_strangers(), or fence_newcomers() before a
 * claim is undone), whatever the fence of before had done; that one, if it lives, holds the lease's
 * lock, and both only shut off. A group that has gone is known likewise by its own appearance.
 */
static void device_came(struct engine *engine, const char *device, uint32_t group, uint64_t usec)
{
	uint64_t now = sysfs_get_appearance(engine->host, "pci", device);
	struct lease *lease = ledger_device(engine->ledger, device);
	struct lease_device *d = lease ? lease_device(lease, device) : NULL;

	/* Its removal was not heard of, or it is in another group now. */
	if (d && !is_the_one(d, group, now))
		lose_device(engine, lease, d);
	lease = lease_of_group(engine, device, group);
	if (!lease || !lease_keeps_host_out(lease))
		return;
	d = lease_device(lease, device);
	if (d && is_the_one(d, group, now))
		own_device_came(engine, lease, d, usec);
	else
		fence_device(engine->fences, lease, device, group, usec);
}

void engine_device_came(struct engine *engine, const char *device, uint32_t group, uint64_t usec)
{
	device_came(engine, device, group, usec);
	tell_losses(engine);
}

void engine_device_went(struct engine *engine, const char *device)
{
	struct lease *lease = ledger_device(engine->ledger, device);
	struct lease_device *d = lease ? lease_device(lease, device) : NULL;

	/* It is there still: somebody has only said so ("udevadm trigger --action=remove"). */
	if (!d ||
	    (d->appearance && sysfs_get_appearance(engine->host, "pci", device) == d->appearance))
		return;
	lose_device(engine, lease, d);
	tell_losses(engine);
}

void engine_device_unbound(struct engine *engine, const char *device)
{
	struct lease *lease = ledger_device(engine->ledger, device);

	if (lease)
		guard_device_event(lease_run(lease), device);
}

/* A group of the lease that has come back is as the kernel made it, until somebody changes it. */
static void know_group(struct lease *lease, const struct group *now)
{
	struct lease_group *group = now ? lease_group(lease, now->id) : NULL;

	if (group && !group->gone && !group->type && group->appearance == now->appearance &&
	    *now->type)
		free_and_strdup(&group->type, now->type);
}

/* What the topology has of a fenced device goes into the lease's entry. */
void engine_know_fenced(struct engine *engine, const struct device *device)
{
	struct lease *lease = ledger_device(engine->ledger, device->name);
	struct lease_device *d = lease ? lease_device(lease, device->name) : NULL;

	if (!d || d->state != DEVICE_FENCED)
		return;
	if (lease_device_know(d, device) < 0)
		log_error("lease %s: no memory for %s", lease->id, d->name);
	know_group(lease, device->group);
}

static void mark_gone(struct engine *engine, struct lease *lease)
{
	for (size_t i = 0; i < lease->n_devices; i++) {
		struct lease_device *d = &lease->devices[i];
		const struct device *now = topology_device(engine->topology, d->name);

		if (lease_device_is_by_name(d))
			continue;
		if (!d->gone && (!now || (d->identity && now->identity != d->identity)))
			lose_device(engine, lease, d);
	}
}

void engine_fence_strangers(struct engine *engine)
{
	HASH_FOREACH (lease, engine->ledger->leases)
		mark_gone(engine, lease);
	HASH_FOREACH (device, engine->topology->devices) {
		if (device->group_id == ID_UNKNOWN || !streq(device->subsystem, "pci"))
			continue;
		device_came(engine, device->name, device->group_id, 0);
		engine_know_fenced(engine, device);
	}
	tell_losses(engine);
	HASH_FOREACH (lease, engine->ledger->leases)
		guard_look(lease_run(lease));
}
