/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * decide(): the order of its parts, and the decision as a value. What is checked is in
 * decide-judge.c, and decide-internal.h says where the rest is.
 */

#include "policy/decide-internal.h"

static void verdict_done(struct verdict *verdict)
{
	free(verdict->device);
	free(verdict->rule);
	free(verdict->host_driver);
	free(verdict->target_driver);
	free(verdict->message);
}

static void passed_over_done(struct passed_over *passed)
{
	free(passed->device);
	free(passed->rule);
	free(passed->why);
}

struct decision *decision_free(struct decision *decision)
{
	if (!decision)
		return NULL;
	for (size_t i = 0; i < decision->n_verdicts; i++)
		verdict_done(&decision->verdicts[i]);
	for (size_t i = 0; i < decision->n_passed; i++)
		passed_over_done(&decision->passed[i]);
	for (size_t i = 0; i < decision->n_drawn; i++) {
		free(decision->drawn[i].pool);
		free(decision->drawn[i].device);
		free(decision->drawn[i].why);
	}
	free(decision->verdicts);
	free(decision->passed);
	free(decision->drawn);
	strv_free(decision->pool_unsure);
	free(decision->groups);
	free(decision->message);
	free(decision);
	return NULL;
}

static bool verdict_equal(const struct verdict *a, const struct verdict *b)
{
	return streq(a->device, b->device) && a->identity == b->identity && a->group == b->group &&
	       a->named == b->named && a->withhold == b->withhold && a->reason == b->reason &&
	       streq0(a->rule, b->rule) && a->action == b->action &&
	       streq0(a->host_driver, b->host_driver) && streq0(a->target_driver, b->target_driver);
}

bool decision_equal(const struct decision *a, const struct decision *b)
{
	if (a->allowed != b->allowed || a->reason != b->reason || a->mode != b->mode ||
	    a->auth != b->auth || a->park != b->park || a->revoke != b->revoke ||
	    a->memlock_max != b->memlock_max)
		return false;
	if (a->n_verdicts != b->n_verdicts || a->n_groups != b->n_groups)
		return false;
	for (size_t i = 0; i < a->n_groups; i++)
		if (a->groups[i] != b->groups[i])
			return false;
	for (size_t i = 0; i < a->n_verdicts; i++)
		if (!verdict_equal(&a->verdicts[i], &b->verdicts[i]))
			return false;
	return true;
}

static void claim_done(struct claim *claim)
{
	free(claim->fits);
	free(claim->targets);
	free(claim->members);
	free(claim->groups);
	strv_free(claim->pool_unsure);
}

static int add_verdict(struct decision *decision, const struct claim *claim,
		       const struct member *member)
{
	const struct device *device = member->device;
	struct verdict *verdict;
	int r;

	r = ARRAY_RESERVE_ONE(decision->verdicts, decision->n_verdicts);
	if (r < 0)
		return r;
	verdict = &decision->verdicts[decision->n_verdicts++];
	verdict->named = member->target;
	verdict->withhold = member->target && member->target->withhold;
	verdict->reason = member->reason;
	verdict->action = member->action;
	verdict->identity = device ? device->identity : 0;
	verdict->group = device ? device->group_id : ID_UNKNOWN;
	if (free_and_strdup(&verdict->device, member->name) < 0 ||
	    free_and_strdup(&verdict->rule, member->rule ? member->rule->id : NULL) < 0 ||
	    free_and_strdup(&verdict->host_driver, member->host_driver) < 0)
		return -ENOMEM;
	if (member->action == ACTION_GRANT || member->action == ACTION_PARK_VFIO)
		if (free_and_strdup(&verdict->target_driver, device->vfio_driver) < 0)
			return -ENOMEM;
	if (member->reason == REASON_ALLOWED)
		return 0;
	return explain_member(claim, member, &verdict->message);
}

static int add_passed(struct decision *decision, const struct claim *claim,
		      const struct device *device, size_t rule)
{
	struct passed_over *passed;
	int r;

	r = ARRAY_RESERVE_ONE(decision->passed, decision->n_passed);
	if (r < 0)
		return r;
	passed = &decision->passed[decision->n_passed++];
	passed->why = claim_why_passed(claim, rule, device);
	if (!passed->why || free_and_strdup(&passed->device, device->name) < 0 ||
	    free_and_strdup(&passed->rule, claim->policy->rules[rule].id) < 0)
		return -ENOMEM;
	return 0;
}

/* The rules that come before the one that decides a named device; all, if none decides it. */
static int add_all_passed(struct decision *decision, const struct claim *claim,
			  const struct member *member)
{
	int r;

	if (!claim->policy || !member->target || !member->device)
		return 0;
	for (size_t i = 0; i < claim->policy->n_rules; i++) {
		if (&claim->policy->rules[i] == member->rule)
			return 0;
		r = add_passed(decision, claim, member->device, i);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_drawn(struct decision *decision, const struct claim *claim)
{
	for (size_t i = 0; i < claim->n_targets; i++) {
		const struct target *target = &claim->targets[i];
		struct drawn *drawn;

		if (!target->pool || !target->device)
			continue;
		if (ARRAY_RESERVE_ONE(decision->drawn, decision->n_drawn) < 0)
			return -ENOMEM;
		drawn = &decision->drawn[decision->n_drawn++];
		drawn->why = claim_why_drawn(claim, target);
		if (!drawn->why || free_and_strdup(&drawn->pool, target->pool) < 0 ||
		    free_and_strdup(&drawn->device, target->device->name) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Makes the decision from a claim that was judged; takes the claim's groups. */
static int decision_fill(struct decision *decision, struct claim *claim)
{
	int r;

	decision->reason = claim_refusal(claim);
	claim_settle(claim);
	decision->allowed = decision->reason == REASON_ALLOWED;
	decision->mode = claim->mode;
	decision->auth = claim->auth;
	decision->park = claim->park;
	decision->revoke = claim->revoke;
	decision->memlock_max = claim->memlock_max;
	for (size_t i = 0; i < claim->n_members; i++) {
		r = add_verdict(decision, claim, &claim->members[i]);
		if (r < 0)
			return r;
		r = add_all_passed(decision, claim, &claim->members[i]);
		if (r < 0)
			return r;
	}
	r = add_drawn(decision, claim);
	if (r >= 0)
		r = explain_claim(claim, decision->reason, &decision->message);
	if (r < 0)
		return r;
	decision->n_groups = claim->n_groups;
	decision->groups = STEAL(claim->groups);
	decision->pool_unsure = STEAL(claim->pool_unsure);
	return 0;
}

/* What is wrong with the request before any of its names is looked at. */
static enum reason refuse_size(const struct request *request)
{
	if (strv_length(request->devices) == 0)
		return REASON_NO_DEVICES;
	if (request_count(request) > REQUEST_DEVICES_MAX || request->n_expect > REQUEST_DEVICES_MAX)
		return REASON_TOO_MANY_DEVICES;
	return REASON_ALLOWED;
}

int decide(const struct topology *topology, const struct policy *policy,
	   const struct ledger *ledger, const struct host_features *features, bool draining,
	   const struct request *request, struct decision **ret)
{
	_cleanup_(decision_freep) struct decision *decision = NULL;
	_cleanup_(claim_done) struct claim claim = {
		.topology = topology,
		.policy = policy,
		.ledger = ledger,
		.features = features,
		.draining = draining,
		.request = request,
		.lease = request->lease ? ledger_lease(ledger, request->lease) : NULL,
	};
	enum reason size = refuse_size(request);
	int r = 0;

	decision = calloc(1, sizeof(*decision));
	if (!decision)
		return -ENOMEM;
	if (size != REASON_ALLOWED) {
		claim_find_terms(&claim);
		claim.refused[size] = true;
	} else {
		r = claim_fit_rules(&claim);
		if (r >= 0)
			r = claim_resolve(&claim);
	}
	if (r < 0)
		return r;
	r = decision_fill(decision, &claim);
	if (r < 0)
		return r;
	*ret = STEAL(decision);
	return 0;
}
