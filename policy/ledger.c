/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which leases there are. A lease is put in before anything is done for it and taken out when the
 * last of its groups is home; while it is in, no other lease can have one of its groups (I1).
 */

#include "policy/ledger.h"

void ledger_init(struct ledger *ledger)
{
	*ledger = (struct ledger){};
}

void ledger_done(struct ledger *ledger)
{
	HASH_FOREACH (lease, ledger->leases) {
		HASH_DEL(ledger->leases, lease);
		lease_free(lease);
	}
}

int ledger_add(struct ledger *ledger, struct lease *lease)
{
	if (ledger_lease(ledger, lease->id))
		return LEDGER_ID_TAKEN;
	for (size_t i = 0; i < lease->n_groups; i++)
		if (!lease->groups[i].gone && ledger_holder(ledger, lease->groups[i].id))
			return LEDGER_GROUP_TAKEN;
	if (lease->name)
		HASH_FOREACH (other, ledger->leases)
			if (other->owner == lease->owner && streq0(other->name, lease->name))
				return LEDGER_NAME_TAKEN;

	HASH_ADD_KEYPTR(hh, ledger->leases, lease->id, strlen(lease->id), lease);
	return lease->hh.tbl ? 0 : -ENOMEM;
}

struct lease *ledger_remove(struct ledger *ledger, struct lease *lease)
{
	HASH_DEL(ledger->leases, lease);
	memset(&lease->hh, 0, sizeof(lease->hh));
	return lease;
}

struct lease *ledger_lease(const struct ledger *ledger, const char *id)
{
	struct lease *lease;

	HASH_FIND_STR(ledger->leases, id, lease);
	return lease;
}

struct lease *ledger_find(const struct ledger *ledger, const char *id_or_name, uid_t owner,
			  bool any_owner)
{
	struct lease *found = ledger_lease(ledger, id_or_name);
	size_t n = 0;

	if (found)
		return found;
	HASH_FOREACH (lease, ledger->leases) {
		if (!streq0(lease->name, id_or_name))
			continue;
		if (lease->owner == owner)
			return lease;
		if (any_owner) {
			found = lease;
			n++;
		}
	}
	return n == 1 ? found : NULL;
}

struct lease *ledger_group(const struct ledger *ledger, uint32_t group)
{
	HASH_FOREACH (lease, ledger->leases)
		if (lease_has_group(lease, group))
			return lease;
	return NULL;
}

struct lease *ledger_holder(const struct ledger *ledger, uint32_t group)
{
	struct lease *holder = ledger_group(ledger, group);

	if (holder)
		return holder;
	HASH_FOREACH (lease, ledger->leases)
		if (lease_reserves(lease, group))
			return lease;
	return NULL;
}

struct lease *ledger_device(const struct ledger *ledger, const char *device)
{
	HASH_FOREACH (lease, ledger->leases) {
		const struct lease_device *d = lease_device(lease, device);

		if (d && !d->gone)
			return lease;
	}
	return NULL;
}

size_t ledger_count_owner(const struct ledger *ledger, uid_t owner)
{
	size_t n = 0;

	HASH_FOREACH (lease, ledger->leases)
		if (lease->owner == owner && !lease->part_of)
			n++;
	return n;
}

static size_t lease_count_rule(const struct lease *lease, const char *rule)
{
	size_t n = 0;

	for (size_t i = 0; i < lease->n_devices; i++) {
		const struct lease_device *device = &lease->devices[i];

		/* A fenced one that is on its way into the lease has its place already. */
		if (streq0(device->rule, rule) &&
		    (device->state == DEVICE_GRANTED || device->state == DEVICE_WITHHELD ||
		     (device->state == DEVICE_FENCED && device->parking)))
			n++;
	}
	return n;
}

size_t ledger_count_rule_leases(const struct ledger *ledger, uid_t owner, const char *rule)
{
	size_t n = 0;

	HASH_FOREACH (lease, ledger->leases)
		if (lease->owner == owner && !lease->part_of && lease_count_rule(lease, rule) > 0)
			n++;
	return n;
}

size_t ledger_count_rule_devices(const struct ledger *ledger, uid_t owner, const char *rule)
{
	size_t n = 0;

	HASH_FOREACH (lease, ledger->leases)
		if (lease->owner == owner)
			n += lease_count_rule(lease, rule);
	return n;
}

enum device_state ledger_device_state(const struct ledger *ledger, const char *device)
{
	const struct lease *lease = ledger_device(ledger, device);

	return lease ? lease_device(lease, device)->state : DEVICE_HOST;
}

const char *ledger_host_driver(const struct ledger *ledger, const struct device *device)
{
	const struct lease *lease = ledger_device(ledger, device->name);
	const struct lease_device *leased = lease ? lease_device(lease, device->name) : NULL;

	/* What was saved belongs to the device that was there, not to its address. */
	if (leased && leased->identity == device->identity)
		return leased->saved_driver;
	return device->driver;
}
