/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One lease as a value: its groups, its devices and what they had before, and the state machine
 * of its life. Which leases there are, and that no two share a group, is in ledger.c.
 */

#include "policy/ledger.h"

static const char *const lease_state_table[LEASE_STATE_MAX] = {
	[LEASE_PREPARING] = "preparing", [LEASE_LEASED] = "leased", [LEASE_DRAINING] = "draining",
	[LEASE_RESTORING] = "restoring", [LEASE_FAILED] = "failed",
};
DEFINE_STRING_TABLE(lease_state, enum lease_state)

static const char *const device_state_table[DEVICE_STATE_MAX] = {
	[DEVICE_HOST] = "host",
	[DEVICE_GRANTED] = "granted",
	[DEVICE_WITHHELD] = "withheld",
	[DEVICE_FENCED] = "fenced",
};
DEFINE_STRING_TABLE(device_state, enum device_state)

static const char *const revocation_table[REVOCATION_MAX] = {
	[REVOCATION_NONE] = "none",
	[REVOCATION_ASKED] = "asked",
	[REVOCATION_UNBINDING] = "unbinding",
	[REVOCATION_KILLED] = "killed",
	[REVOCATION_NOT_POSSIBLE] = "kill-not-possible",
};
DEFINE_STRING_TABLE(revocation, enum revocation)

/*
 * The life of a lease. Its end is not in the table: it is taken out of the ledger, from restoring.
 * A claim that fails goes to restoring without draining: no fd was ever given.
 */
static const unsigned int state_followers[LEASE_STATE_MAX] = {
	[LEASE_PREPARING] = 1U << LEASE_LEASED | 1U << LEASE_RESTORING,
	[LEASE_LEASED] = 1U << LEASE_DRAINING,
	[LEASE_DRAINING] = 1U << LEASE_RESTORING,
	[LEASE_RESTORING] = 1U << LEASE_FAILED,
	[LEASE_FAILED] = 1U << LEASE_RESTORING,
};

bool lease_state_may_follow(enum lease_state from, enum lease_state to)
{
	if ((int)from < 0 || from >= LEASE_STATE_MAX || (int)to < 0 || to >= LEASE_STATE_MAX)
		return false;
	return state_followers[from] & 1U << to;
}

bool lease_keeps_host_out(const struct lease *lease)
{
	return lease->state == LEASE_PREPARING || lease->state == LEASE_LEASED ||
	       lease->state == LEASE_DRAINING;
}

int lease_set_state(struct lease *lease, enum lease_state to)
{
	if (!lease_state_may_follow(lease->state, to))
		return -EINVAL;
	lease->state = to;
	return 0;
}

struct lease *lease_new(const char *id)
{
	_cleanup_(lease_freep) struct lease *lease = calloc(1, sizeof(*lease));

	if (!lease)
		return NULL;
	lease->id = strdup(id);
	if (!lease->id)
		return NULL;
	return STEAL(lease);
}

static void lease_device_done(struct lease_device *device)
{
	free(device->name);
	free(device->syspath);
	free(device->rule);
	free(device->rule_before);
	free(device->saved_driver);
	free(device->saved_override);
	free(device->target_driver);
	free(device->evicted);
	free(device->vf_switch);
	free(device->error);
}

struct lease *lease_free(struct lease *lease)
{
	if (!lease)
		return NULL;
	for (size_t i = 0; i < lease->n_devices; i++)
		lease_device_done(&lease->devices[i]);
	lease_clear_holders(lease);
	for (size_t i = 0; i < lease->n_groups; i++)
		free(lease->groups[i].type);
	free(lease->reserved);
	free(lease->devices);
	free(lease->groups);
	free(lease->connection);
	free(lease->bus_id);
	free(lease->unit);
	free(lease->end_reason);
	free(lease->part_of);
	guest_bus_done(&lease->guest);
	free(lease->revoke_reason);
	free(lease->revoke_note);
	free(lease->name);
	free(lease->id);
	free(lease);
	return NULL;
}

int lease_device_know(struct lease_device *entry, const struct device *device)
{
	entry->identity = device->identity;
	entry->appearance = device->appearance;
	entry->vendor = device->vendor;
	entry->product = device->product;
	entry->subvendor = device->subvendor;
	entry->subproduct = device->subproduct;
	entry->group = device->group_id;
	entry->bridge = device->bridge;
	return free_and_strdup(&entry->syspath, device->syspath);
}

void lease_device_undo_rule(struct lease_device *device)
{
	free(device->rule);
	device->rule = STEAL(device->rule_before);
}

/* Where a device of this name is, or would be. */
static size_t lease_device_place(const struct lease *lease, const char *name, bool *found)
{
	size_t low = 0, high = lease->n_devices;

	*found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int c = strcmp(lease->devices[middle].name, name);

		if (c == 0) {
			*found = true;
			return middle;
		}
		if (c < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct lease_device *lease_device(const struct lease *lease, const char *name)
{
	bool found;
	size_t i = lease_device_place(lease, name, &found);

	return found ? &lease->devices[i] : NULL;
}

struct lease_device *lease_add_device(struct lease *lease, const char *name)
{
	bool found;
	size_t i = lease_device_place(lease, name, &found);
	char *copy;

	if (found)
		return &lease->devices[i];
	copy = strdup(name);
	if (!copy)
		return NULL;
	if (ARRAY_RESERVE_ONE(lease->devices, lease->n_devices) < 0) {
		free(copy);
		return NULL;
	}
	memmove(lease->devices + i + 1, lease->devices + i,
		(lease->n_devices - i) * sizeof(*lease->devices));
	lease->n_devices++;
	lease->devices[i] = (struct lease_device){ .name = copy };
	return &lease->devices[i];
}

void lease_remove_device(struct lease *lease, const char *name)
{
	bool found;
	size_t i = lease_device_place(lease, name, &found);

	if (!found)
		return;
	lease_device_done(&lease->devices[i]);
	lease->n_devices--;
	memmove(lease->devices + i, lease->devices + i + 1,
		(lease->n_devices - i) * sizeof(*lease->devices));
}

struct lease_group *lease_group(const struct lease *lease, uint32_t id)
{
	for (size_t i = 0; i < lease->n_groups; i++)
		if (lease->groups[i].id == id)
			return &lease->groups[i];
	return NULL;
}

bool lease_has_group(const struct lease *lease, uint32_t id)
{
	const struct lease_group *group = lease_group(lease, id);

	return group && !group->gone;
}

bool lease_has_members(const struct lease *lease, uint32_t group)
{
	for (size_t i = 0; i < lease->n_devices; i++)
		if (lease->devices[i].group == group && !lease->devices[i].gone)
			return true;
	return false;
}

bool lease_device_is_by_name(const struct lease_device *device)
{
	return !bus_has_override(device_bus_of_name(device->name));
}

bool lease_group_is_by_name(const struct lease *lease, uint32_t group)
{
	for (size_t i = 0; i < lease->n_devices; i++)
		if (lease->devices[i].group == group && lease_device_is_by_name(&lease->devices[i]))
			return true;
	return false;
}

bool lease_reserves(const struct lease *lease, uint32_t id)
{
	for (size_t i = 0; i < lease->n_reserved; i++)
		if (lease->reserved[i] == id)
			return true;
	return false;
}

int lease_add_group(struct lease *lease, uint32_t id, uint64_t generation)
{
	struct lease_group *there = lease_group(lease, id);
	size_t i;
	int r;

	if (there && there->gone) {
		free(there->type);
		*there = (struct lease_group){ .id = id, .generation = generation };
	}
	if (there)
		return 0;
	r = ARRAY_RESERVE_ONE(lease->groups, lease->n_groups);
	if (r < 0)
		return r;
	for (i = lease->n_groups++; i > 0 && lease->groups[i - 1].id > id; i--)
		lease->groups[i] = lease->groups[i - 1];
	lease->groups[i] = (struct lease_group){ .id = id, .generation = generation };
	return 0;
}

/* Room for that many more, so that what comes cannot fail. */
static int reserve_devices(struct lease *lease, size_t n)
{
	struct lease_device *grown =
		reallocarray(lease->devices, (lease->n_devices + n) * 2 + 8, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	lease->devices = grown;
	return 0;
}

static void put_device(struct lease *lease, const struct lease_device *device)
{
	bool found;
	size_t i = lease_device_place(lease, device->name, &found);

	/* Of one that has gone, whose address it has. */
	if (found) {
		lease_device_done(&lease->devices[i]);
	} else {
		memmove(lease->devices + i + 1, lease->devices + i,
			(lease->n_devices - i) * sizeof(*lease->devices));
		lease->n_devices++;
	}
	lease->devices[i] = *device;
}

static void move_devices(struct lease *from, struct lease *to, uint32_t group)
{
	size_t kept = 0;

	for (size_t i = 0; i < from->n_devices; i++) {
		if (from->devices[i].group == group)
			put_device(to, &from->devices[i]);
		else
			from->devices[kept++] = from->devices[i];
	}
	from->n_devices = kept;
}

int lease_move_group(struct lease *from, struct lease *to, uint32_t id)
{
	struct lease_group *there;
	size_t n = 0, at = 0;
	int r;

	while (at < from->n_groups && from->groups[at].id != id)
		at++;
	if (at == from->n_groups)
		return -ENOENT;
	for (size_t i = 0; i < from->n_devices; i++)
		n += from->devices[i].group == id;
	r = reserve_devices(to, n);
	if (r >= 0)
		r = lease_add_group(to, id, from->groups[at].generation);
	if (r < 0)
		return r;
	there = lease_group(to, id);
	free(there->type);
	*there = from->groups[at];
	move_devices(from, to, id);
	from->n_groups--;
	memmove(from->groups + at, from->groups + at + 1,
		(from->n_groups - at) * sizeof(*from->groups));
	return 0;
}

size_t lease_count_devices(const struct lease *lease, enum device_state state)
{
	size_t n = 0;

	for (size_t i = 0; i < lease->n_devices; i++)
		if (lease->devices[i].state == state)
			n++;
	return n;
}

void lease_clear_holders(struct lease *lease)
{
	for (size_t i = 0; i < lease->n_holders; i++)
		free(lease->holders[i].command);
	free(lease->holders);
	lease->holders = NULL;
	lease->n_holders = 0;
}
