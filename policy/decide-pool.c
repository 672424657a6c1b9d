/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Drawing from pools: which of a pool's devices a request gets, and why. Nothing is judged here:
 * each candidate is tried with what the judge says to it. The order of the candidates is the
 * policy: near the NUMA node that was asked for; then those for which the fewest other devices
 * have to be shut off; then by name. The same request on the same host draws the same devices.
 */

#include "policy/decide-internal.h"

#include <ctype.h>
#include <stdio.h>

#define POOL_PREFIX "pool:"

/*
 * So much is tried for the sake of giving up earlier draws for a later one, in devices that are
 * judged: some hundredths of a second, for everybody else waits. A request that does not come out
 * within this is refused as if there were nothing.
 */
#define WORK_MAX 16384
/* So many devices are put into an order in the time that one is judged. */
#define RANKED_PER_JUDGED 32

/* Farther than any distance of the firmware's table (ACPI SLIT: 10 is here, 255 out of reach). */
#define NUMA_UNKNOWN 256

const char *pool_of_request(const char *text, size_t *count)
{
	const char *star;
	unsigned long n;
	char *end;

	*count = 1;
	if (strncmp(text, POOL_PREFIX, strlen(POOL_PREFIX)) != 0)
		return NULL;
	text += strlen(POOL_PREFIX);
	star = strrchr(text, '*');
	if (!star || !isdigit((unsigned char)star[1]) || star[1] == '0')
		return text;
	n = strtoul(star + 1, &end, 10);
	/* One more than a request may have says "too many" as well as any other number. */
	if (!*end)
		*count = n > REQUEST_DEVICES_MAX ? REQUEST_DEVICES_MAX + 1 : n;
	return text;
}

size_t request_count(const struct request *request)
{
	size_t n = strv_length(request->withhold), one;

	STRV_FOREACH (name, request->devices) {
		pool_of_request(*name, &one);
		n += one;
	}
	return n;
}

const struct pool *policy_pool_of_request(const struct policy *policy, const char *text)
{
	const struct pool *pool = policy_pool(policy, text);
	const char *star = strrchr(text, '*');

	/* A pool's name has no star in it: what is behind one is the number. */
	if (pool || !star || !star[1] || star[1] == '0' ||
	    star[1 + strspn(star + 1, "0123456789")] != 0)
		return pool;
	for (size_t i = 0; policy && i < policy->n_pools; i++) {
		const char *candidate = policy->pools[i].name;

		if (strlen(candidate) == (size_t)(star - text) &&
		    strncmp(candidate, text, (size_t)(star - text)) == 0)
			return &policy->pools[i];
	}
	return NULL;
}

/* ---- the order of candidates */

/*
 * A device of the host, while pools are drawn from: what the ledger says of it is asked once.
 * `known` keeps a refusal: for good when it is the device's own, else for as long as the draws of
 * the depth at which it was met stand.
 */
struct candidate {
	const struct device *device;
	const char *host_driver;
	enum reason known;
	size_t known_depth;
	bool pinned; /* it was not what is pinned, when it was tried last */
};

struct drawing {
	struct claim *claim;
	struct candidate *candidates; /* by name */
	size_t n;
	size_t work; /* left */
	bool back;   /* an earlier draw may be given up */
};

/* A candidate's place in the order; the index is that of the name. */
struct rank {
	unsigned int far;
	unsigned int others;
	size_t index;
};

static int rank_compare(const void *a, const void *b)
{
	const struct rank *x = a, *y = b;

	if (x->far != y->far)
		return x->far < y->far ? -1 : 1;
	if (x->others != y->others)
		return x->others < y->others ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static unsigned int how_far(const struct claim *claim, const struct device *device)
{
	if (!claim->request->has_numa_node)
		return 0;
	if (device->numa_node < 0)
		return NUMA_UNKNOWN;
	return topology_numa_distance(claim->topology, claim->request->numa_node,
				      device->numa_node);
}

static bool claim_names(const struct claim *claim, const struct device *device)
{
	for (size_t i = 0; i < claim->n_targets; i++)
		if (claim->targets[i].device == device)
			return true;
	return false;
}

/*
 * How many other devices would have to be shut off, or named besides, for this one: the members of
 * its group that are not asked for and would not stay where they are.
 */
static unsigned int how_many_others(const struct claim *claim, const struct device *device)
{
	unsigned int n = 0;

	for (size_t i = 0; device->group && i < device->group->n_devices; i++) {
		const struct device *other = device->group->devices[i];

		if (other != device && !claim_names(claim, other) && !device_stays(other))
			n++;
	}
	return n;
}

static int rank_candidates(const struct drawing *drawing, const struct target *target,
			   struct rank **ret, size_t *n)
{
	const struct claim *claim = drawing->claim;
	const struct pool *pool = policy_pool(claim->policy, target->pool);
	struct rank *ranks = calloc(drawing->n + 1, sizeof(*ranks));

	*n = 0;
	if (!ranks)
		return -ENOMEM;
	for (size_t i = 0; i < drawing->n; i++) {
		const struct candidate *candidate = &drawing->candidates[i];

		if (!pool_matches_device(claim->policy, pool, candidate->device,
					 candidate->host_driver))
			continue;
		ranks[(*n)++] = (struct rank){
			.far = how_far(claim, candidate->device),
			.others = how_many_others(claim, candidate->device),
			.index = i,
		};
	}
	if (*n > 0)
		qsort(ranks, *n, sizeof(*ranks), rank_compare);
	*ret = ranks;
	return 0;
}

/* ---- trying one */

static void spend(struct drawing *drawing, size_t work)
{
	drawing->work -= work < drawing->work ? work : drawing->work;
}

/* What stands against a device by itself, whatever else the request names. */
static enum reason judge_candidate(const struct claim *claim, const struct target *target)
{
	struct member member = {
		.name = target->device->name,
		.device = target->device,
		.target = target,
		.rule = target->rule,
		.host_driver = ledger_host_driver(claim->ledger, target->device),
	};

	if (target->device->group)
		member.lease = ledger_holder(claim->ledger, target->device->group_id);
	return judge_member(claim, &member);
}

/* Whether a device of this group is to be granted already. */
static bool claim_grants_in(const struct claim *claim, const struct group *group)
{
	for (size_t i = 0; i < claim->n_targets; i++) {
		const struct target *target = &claim->targets[i];

		if (target->device && !target->withhold && target->device->group == group)
			return true;
	}
	return false;
}

/*
 * Whether a candidate would do for a target, with all that is resolved so far. It stays in the
 * target if it does. What was refused once is not tried again, unless it is to complete a group of
 * which another device was drawn.
 */
static int try_one(struct drawing *drawing, struct target *target, struct candidate *candidate,
		   size_t depth, enum reason *reason)
{
	struct claim *claim = drawing->claim;
	int r;

	*reason = candidate->known;
	if (claim_names(claim, candidate->device)) {
		*reason = REASON_DUPLICATE;
		return 0;
	}
	if (candidate->known != REASON_ALLOWED && !claim_grants_in(claim, candidate->device->group))
		return 0;
	target_set_device(claim, target, candidate->device);
	*reason = judge_candidate(claim, target);
	if (*reason != REASON_ALLOWED) {
		candidate->known_depth = 0;
	} else {
		candidate->known_depth = depth;
		r = claim_judge_anew(claim);
		if (r < 0)
			return r;
		spend(drawing, claim->n_members);
		*reason = claim_refusal(claim);
	}
	/* A pin may be that of this pool alone, and another one gives the device. */
	candidate->pinned = *reason == REASON_PIN;
	candidate->known = candidate->pinned ? REASON_ALLOWED : *reason;
	if (*reason != REASON_ALLOWED)
		target_set_device(claim, target, NULL);
	return 0;
}

/* A draw is given up: what was refused because of it may do now. */
static void undo(struct drawing *drawing, struct target *target, size_t depth)
{
	target_set_device(drawing->claim, target, NULL);
	for (size_t i = 0; i < drawing->n; i++)
		if (drawing->candidates[i].known_depth > depth) {
			drawing->candidates[i].known = REASON_ALLOWED;
			drawing->candidates[i].known_depth = 0;
		}
}

/* ---- all pools of a request, one after the other */

enum { DRAW_NOTHING = 1 };

static struct target *next_undrawn(struct claim *claim, size_t from, size_t *index)
{
	for (size_t i = from; i < claim->n_targets; i++) {
		struct target *target = &claim->targets[i];

		if (target->pool && !target->device && target->reason == REASON_ALLOWED) {
			*index = i;
			return target;
		}
	}
	return NULL;
}

static bool is_unread(const struct device *device)
{
	return !device->serial && streq(device->subsystem, "pci");
}

static int note_group(struct claim *claim, const struct group *group)
{
	for (size_t i = 0; group && i < group->n_devices; i++)
		if (group->devices[i]->uses.n > 0 &&
		    !strv_contains(claim->pool_unsure, group->devices[i]->name) &&
		    strv_extend(&claim->pool_unsure, group->devices[i]->name) < 0)
			return -ENOMEM;
	return 0;
}

/* Of a pool that gives nothing: what may be so no longer, or is not known yet. */
static int note_unsure(struct drawing *drawing, const struct rank *ranks, size_t n)
{
	struct claim *claim = drawing->claim;
	int r = 0;

	for (size_t i = 0; r >= 0 && i < n; i++) {
		const struct candidate *candidate = &drawing->candidates[ranks[i].index];

		if (strv_length(claim->pool_unsure) >= REQUEST_DEVICES_MAX)
			break;
		if (candidate->known == REASON_IN_USE)
			r = note_group(claim, candidate->device->group);
		else if (candidate->pinned && is_unread(candidate->device) &&
			 !strv_contains(claim->pool_unsure, candidate->device->name))
			r = strv_extend(&claim->pool_unsure, candidate->device->name);
	}
	return r;
}

static void note_why(struct target *target, const struct rank *rank, const size_t *refused,
		     size_t size)
{
	target->draw.far = rank->far;
	target->draw.others = rank->others;
	target->draw.size = size;
	memcpy(target->draw.refused, refused, sizeof(target->draw.refused));
}

/* 0; DRAW_NOTHING: this target, or one after it, cannot be had; or -ENOMEM. */
static int draw_from(struct drawing *drawing, size_t from, size_t depth)
{
	struct claim *claim = drawing->claim;
	_cleanup_free_ struct rank *ranks = NULL;
	size_t refused[REASON_MAX] = {}, n, index;
	struct target *target = next_undrawn(claim, from, &index);
	int r;

	if (!target)
		return 0;
	r = rank_candidates(drawing, target, &ranks, &n);
	if (r < 0)
		return r;
	spend(drawing, drawing->n / RANKED_PER_JUDGED);
	claim->n_undrawn--;
	for (size_t i = 0; i < n && (!drawing->back || drawing->work > 0); i++) {
		enum reason reason;

		r = try_one(drawing, target, &drawing->candidates[ranks[i].index], depth, &reason);
		if (r < 0)
			return r;
		if (reason != REASON_ALLOWED) {
			if (reason == REASON_PIN && refused[reason] == 0)
				claim->pool_pinned = drawing->candidates[ranks[i].index].device;
			refused[reason]++;
			continue;
		}
		note_why(target, &ranks[i], refused, n);
		r = draw_from(drawing, index + 1, depth + 1);
		if (r != DRAW_NOTHING || !drawing->back || drawing->work == 0)
			return r;
		undo(drawing, target, depth);
	}
	memcpy(claim->pool_refused, refused, sizeof(refused));
	claim->pool_size = n;
	if (drawing->back) {
		claim->n_undrawn++;
		return DRAW_NOTHING;
	}
	target->reason = REASON_POOL_EMPTY;
	r = note_unsure(drawing, ranks, n);
	return r < 0 ? r : DRAW_NOTHING;
}

static void forget_draws(struct drawing *drawing)
{
	struct claim *claim = drawing->claim;

	claim->n_undrawn = 0;
	for (size_t i = 0; i < claim->n_targets; i++) {
		struct target *target = &claim->targets[i];

		if (!target->pool || target->reason != REASON_ALLOWED)
			continue;
		target_set_device(claim, target, NULL);
		claim->n_undrawn++;
	}
	for (size_t i = 0; i < drawing->n; i++) {
		drawing->candidates[i].known = REASON_ALLOWED;
		drawing->candidates[i].known_depth = 0;
	}
}

static int find_candidates(const struct claim *claim, struct drawing *drawing)
{
	_cleanup_free_ struct device **devices =
		topology_devices_sorted(claim->topology, &drawing->n);

	drawing->candidates = calloc(drawing->n + 1, sizeof(*drawing->candidates));
	if (!devices || !drawing->candidates)
		return -ENOMEM;
	for (size_t i = 0; i < drawing->n; i++) {
		drawing->candidates[i].device = devices[i];
		drawing->candidates[i].host_driver = ledger_host_driver(claim->ledger, devices[i]);
	}
	return 0;
}

int claim_draw_pools(struct claim *claim)
{
	struct drawing drawing = { .claim = claim, .work = WORK_MAX, .back = true };
	int r;

	r = find_candidates(claim, &drawing);
	if (r >= 0)
		r = draw_from(&drawing, 0, 1);
	if (r == DRAW_NOTHING) {
		/* Once more, straight ahead: the first that gives nothing is what is told. */
		drawing.back = false;
		forget_draws(&drawing);
		r = draw_from(&drawing, 0, 1);
	}
	free(drawing.candidates);
	return r < 0 ? r : 0;
}

/* ---- why */

static void say_near(FILE *f, const struct claim *claim, const struct target *target)
{
	int node = target->device->numa_node;

	if (!claim->request->has_numa_node)
		return;
	if (node < 0)
		fprintf(f, "its NUMA node is not known, and none nearer to node %d could be had; ",
			claim->request->numa_node);
	else if (node == claim->request->numa_node)
		fprintf(f, "on NUMA node %d, as asked for; ", node);
	else
		fprintf(f, "on NUMA node %d, the nearest to node %d that could be had; ", node,
			claim->request->numa_node);
}

static void say_refused(FILE *f, const size_t *refused)
{
	const char *separator = ", before it in the order: ";

	for (int i = 0; i < REASON_MAX; i++) {
		if (refused[i] == 0)
			continue;
		fprintf(f, "%s%zu %s", separator, refused[i],
			i == REASON_DUPLICATE ? "named already" : reason_to_string((enum reason)i));
		separator = ", ";
	}
}

char *claim_why_drawn(const struct claim *claim, const struct target *target)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	bool failed;

	if (!f)
		return NULL;
	say_near(f, claim, target);
	if (target->draw.others == 0)
		fputs("no other device has to be shut off for it", f);
	else
		fprintf(f, "with %u other%s of its group", target->draw.others,
			target->draw.others == 1 ? "" : "s");
	fprintf(f, "; of %zu in the pool", target->draw.size);
	say_refused(f, target->draw.refused);
	failed = ferror(f);
	if (fclose(f) != 0 || failed) {
		free(text);
		return NULL;
	}
	return text;
}
