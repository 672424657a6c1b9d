/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which rule decides a device, which were passed over, and what the deciding rules of a request
 * have in common. Whether a rule matches at all is in rules.c.
 */

#include "policy/decide-internal.h"

#include <stdio.h>

/* Whether a rule's subjects would fit if their units were not asked for. */
static bool rule_fits_but_unit(const struct rule *rule, const struct subject *subject)
{
	for (size_t i = 0; i < rule->n_subjects; i++) {
		struct subject_match who = rule->subjects[i];
		struct rule one = { .subjects = &who, .n_subjects = 1 };

		if (!who.units)
			continue;
		who.units = NULL;
		if ((!who.users && !who.groups) || rule_matches_subject(&one, subject))
			return true;
	}
	return false;
}

/* The subject is the same for all devices: every rule is held against it once. */
int claim_fit_rules(struct claim *claim)
{
	const struct subject *subject = &claim->request->subject;
	const struct policy *policy = claim->policy;

	claim->fits = calloc(policy ? policy->n_rules + 1 : 1, sizeof(*claim->fits));
	if (!claim->fits)
		return -ENOMEM;
	for (size_t i = 0; policy && i < policy->n_rules; i++) {
		const struct rule *rule = &policy->rules[i];

		if (rule_matches_subject(rule, subject))
			claim->fits[i] = FIT_YES;
		else if (!subject->unit_known && !rule->deny && rule_fits_but_unit(rule, subject))
			claim->fits[i] = FIT_UNIT;
	}
	return 0;
}

static const struct rule *claim_first_rule(const struct claim *claim, enum fit fit,
					   const struct device *device)
{
	const struct policy *policy = claim->policy;
	const char *driver = ledger_host_driver(claim->ledger, device);

	for (size_t i = 0; policy && i < policy->n_rules; i++)
		if (claim->fits[i] == fit &&
		    rule_matches_device(policy, &policy->rules[i], device, driver))
			return &policy->rules[i];
	return NULL;
}

const struct rule *claim_rule_of(const struct claim *claim, const struct device *device)
{
	return claim_first_rule(claim, FIT_YES, device);
}

bool claim_rule_wants_unit(const struct claim *claim, const struct device *device,
			   const struct rule **rule)
{
	*rule = claim_first_rule(claim, FIT_UNIT, device);
	return *rule;
}

unsigned int claim_verbs(const struct claim *claim, bool withhold)
{
	const struct request *request = claim->request;
	unsigned int verbs = 1U << (withhold ? VERB_WITHHOLD : VERB_ACQUIRE);

	if (request->persist)
		verbs |= 1U << VERB_PERSIST;
	/* Root may lease for anybody: it could become them. */
	if (request->owner != request->subject.uid && request->subject.uid != 0)
		verbs |= 1U << VERB_DELEGATE;
	return verbs;
}

unsigned int claim_wanted_modes(const struct claim *claim)
{
	/* Who asks for any mode wants fds. Opening nodes to a whole uid must be asked for. */
	if (claim->request->mode == MODE_AUTO)
		return 1U << MODE_CDEV | 1U << MODE_GROUP;
	return 1U << claim->request->mode;
}

/* The first of the wanted modes that the kernel has, cdev before group; else the first wanted. */
static enum mode claim_pick_mode(const struct claim *claim, unsigned int modes)
{
	static const enum mode order[] = { MODE_CDEV, MODE_GROUP, MODE_NODE };

	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		if (modes & 1U << order[i] && mode_in_kernel(claim->features, order[i]))
			return order[i];
	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		if (modes & 1U << order[i])
			return order[i];
	return claim->request->mode == MODE_AUTO ? MODE_GROUP : claim->request->mode;
}

/* Verbs are asked of each rule by itself; consent, waive and limits are its devices' own. */
static void claim_add_terms(struct claim *claim, const struct rule *rule)
{
	claim->modes &= rule->modes;
	if (rule->auth > claim->auth)
		claim->auth = rule->auth;
	if (rule->park > claim->rule_park)
		claim->rule_park = rule->park;
	if (rule->revoke > claim->revoke)
		claim->revoke = rule->revoke;
	if (rule->memlock < claim->memlock_max)
		claim->memlock_max = rule->memlock;
}

void claim_find_terms(struct claim *claim)
{
	bool any = false;

	claim->modes = 1U << MODE_CDEV | 1U << MODE_GROUP | 1U << MODE_NODE;
	claim->auth = AUTH_NONE;
	claim->rule_park = PARK_AUTO;
	claim->revoke = REVOKE_ASK;
	claim->memlock_max = UINT64_MAX;
	for (size_t i = 0; i < claim->n_targets; i++) {
		const struct rule *rule = claim->targets[i].rule;

		if (!rule || rule->deny)
			continue;
		claim_add_terms(claim, rule);
		any = true;
	}
	if (!any)
		claim->memlock_max = 0;

	claim->mode = claim_pick_mode(claim, claim->modes & claim_wanted_modes(claim));
	claim->park = claim->rule_park;
	/* A group's fd opens whatever is on a VFIO driver in it, a cdev its own device alone. */
	if (claim->park == PARK_AUTO)
		claim->park = claim->mode == MODE_CDEV ? PARK_VFIO : PARK_NONE;
}

/* The keys of the only object of a rule's "devices" that do not match, as "vendor, class". */
static char *keys_that_fail(const struct claim *claim, const struct rule *rule,
			    const struct device *device)
{
	const char *driver = ledger_host_driver(claim->ledger, device);
	_cleanup_strv_ char **keys = NULL;

	for (int key = 0; key < DEVICE_KEY_MAX; key++) {
		struct device_match one = {};

		if (!rule->devices[0].values[key])
			continue;
		one.values[key] = rule->devices[0].values[key];
		if (device_match_matches(claim->policy, &one, device, driver))
			continue;
		if (strv_extend(&keys, device_key_to_string((enum device_key)key)) < 0)
			return NULL;
	}
	return strv_join(keys, ", ");
}

char *claim_why_passed(const struct claim *claim, size_t i, const struct device *device)
{
	const struct rule *rule = &claim->policy->rules[i];
	_cleanup_free_ char *keys = NULL;
	char *why = NULL;

	if (claim->fits[i] == FIT_UNIT)
		return strdup("it asks for the system unit, which is not known of this caller");
	if (claim->fits[i] == FIT_NO)
		return strdup("the subject does not match");
	if (rule->n_devices != 1)
		return strdup("none of its device matches fits");
	keys = keys_that_fail(claim, rule, device);
	if (!keys || asprintf(&why, "the device does not match: %s", keys) < 0)
		return NULL;
	return why;
}
