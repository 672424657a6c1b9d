/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * From the names of a request to the devices that it touches: names and pools to devices, and
 * devices to every member of their groups. Nothing is judged here. How pools are drawn from is in
 * decide-pool.c.
 */

#include "policy/decide-internal.h"

static int member_compare(const void *a, const void *b)
{
	const struct member *x = a, *y = b;

	return strcmp(x->name, y->name);
}

struct member *claim_member(const struct claim *claim, const char *name)
{
	struct member key = { .name = name };

	if (claim->n_members == 0)
		return NULL;
	return bsearch(&key, claim->members, claim->n_members, sizeof(key), member_compare);
}

static void claim_sort_members(struct claim *claim)
{
	if (claim->n_members > 0)
		qsort(claim->members, claim->n_members, sizeof(*claim->members), member_compare);
}

static int claim_add_member(struct claim *claim, const char *name, const struct device *device)
{
	struct member member = { .name = name, .device = device };
	int r;

	r = ARRAY_RESERVE_ONE(claim->members, claim->n_members);
	if (r < 0)
		return r;
	if (device) {
		member.host_driver = ledger_host_driver(claim->ledger, device);
		if (device->group)
			member.lease = ledger_holder(claim->ledger, device->group_id);
	}
	claim->members[claim->n_members++] = member;
	return 0;
}

static bool claim_has_group(const struct claim *claim, const struct group *group)
{
	for (size_t i = 0; group && i < claim->n_groups; i++)
		if (claim->groups[i] == group->id)
			return true;
	return false;
}

/* Takes a group with all its devices into the claim. */
static int claim_add_group(struct claim *claim, const struct group *group)
{
	size_t i;
	int r;

	if (!group || claim_has_group(claim, group))
		return 0;
	r = ARRAY_RESERVE_ONE(claim->groups, claim->n_groups);
	if (r < 0)
		return r;
	for (i = claim->n_groups++; i > 0 && claim->groups[i - 1] > group->id; i--)
		claim->groups[i] = claim->groups[i - 1];
	claim->groups[i] = group->id;

	for (i = 0; i < group->n_devices; i++) {
		r = claim_add_member(claim, group->devices[i]->name, group->devices[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

/* An entry that is in no group of the claim: it is a member by itself, to carry its verdict. */
static int claim_add_stranger(struct claim *claim, const struct target *target, size_t first)
{
	const char *name = target->device ? target->device->name : target->text;
	struct member *member;
	int r;

	for (size_t i = first; i < claim->n_members; i++)
		if (streq(claim->members[i].name, name)) {
			claim->members[i].duplicate = true;
			return 0;
		}
	r = claim_add_member(claim, name, target->device);
	if (r < 0)
		return r;
	member = &claim->members[claim->n_members - 1];
	member->target = target;
	member->rule = target->rule;
	member->outside = target->withhold && target->device;
	return 0;
}

/* Finds the members anew: of every group of a device to be granted, and what else was named. */
int claim_gather(struct claim *claim)
{
	size_t closed;
	int r;

	claim->n_members = claim->n_groups = 0;
	for (size_t i = 0; i < claim->n_targets; i++) {
		const struct target *target = &claim->targets[i];

		if (target->withhold || !target->device)
			continue;
		r = claim_add_group(claim, target->device->group);
		if (r < 0)
			return r;
	}
	claim_sort_members(claim);

	closed = claim->n_members;
	for (size_t i = 0; i < claim->n_targets; i++) {
		const struct target *target = &claim->targets[i];
		const struct device *device = target->device;

		if (!device && target->reason == REASON_ALLOWED)
			continue;
		if (!device || !claim_has_group(claim, device->group)) {
			r = claim_add_stranger(claim, target, closed);
			if (r < 0)
				return r;
			continue;
		}
		struct member key = { .name = device->name };
		struct member *member =
			bsearch(&key, claim->members, closed, sizeof(key), member_compare);

		member->duplicate = member->target;
		member->target = target;
		member->rule = target->rule;
	}
	claim_sort_members(claim);
	return 0;
}

void target_set_device(const struct claim *claim, struct target *target,
		       const struct device *device)
{
	target->device = device;
	target->rule = device ? claim_rule_of(claim, device) : NULL;
}

int claim_judge_anew(struct claim *claim)
{
	int r = claim_gather(claim);

	if (r < 0)
		return r;
	claim_judge(claim);
	return 0;
}

static void claim_look_up(struct claim *claim, struct target *target)
{
	const struct device *device;

	if (target->pool) {
		const struct pool *pool = policy_pool_of_request(claim->policy, target->pool);

		if (pool)
			claim->n_undrawn++;
		else
			target->reason = REASON_NO_SUCH_POOL;
		/* Without the number of "NAME*3". */
		if (pool)
			target->pool = pool->name;
		return;
	}
	device = topology_device(claim->topology, target->text);
	if (device)
		target_set_device(claim, target, device);
	else
		target->reason = REASON_NO_SUCH_DEVICE;
}

/*
 * Fills in targets and members, and judges them. Pools are drawn from one after the other, and
 * only when what is named outright is not refused already: that refusal is the answer then.
 */
int claim_resolve(struct claim *claim)
{
	const struct request *request = claim->request;
	size_t n = request_count(request), i = 0, count;
	int r;

	claim->targets = calloc(n, sizeof(*claim->targets));
	if (!claim->targets)
		return -ENOMEM;
	STRV_FOREACH (name, request->devices) {
		const char *pool = pool_of_request(*name, &count);

		while (count-- > 0)
			claim->targets[i++] = (struct target){ .text = *name, .pool = pool };
	}
	STRV_FOREACH (name, request->withhold)
		claim->targets[i++] = (struct target){ .text = *name, .withhold = true };
	claim->n_targets = n;

	for (i = 0; i < n; i++)
		claim_look_up(claim, &claim->targets[i]);
	r = claim_judge_anew(claim);
	if (r < 0 || claim->n_undrawn == 0 || claim_refusal(claim) != REASON_ALLOWED)
		return r;
	r = claim_draw_pools(claim);
	return r < 0 ? r : claim_judge_anew(claim);
}
