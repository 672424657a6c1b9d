/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the rules say: sentences about rules that do not match, refuse, or allow less.
 */

#include "policy/explain.h"

#include <inttypes.h>

static const char *mode_name(int value)
{
	return mode_to_string((enum mode)value);
}

static const char *verb_name(int value)
{
	return verb_to_string((enum verb)value);
}

static void say_no_rule(FILE *f, const struct claim *claim, const struct member *member)
{
	if (claim->policy)
		fprintf(f, "No rule is about uid %u and %s.",
			(unsigned int)claim->request->subject.uid, member->name);
	else
		fprintf(f, "No policy is in force, so nobody may have %s.", member->name);
}

static bool rule_has_units(const struct rule *rule)
{
	for (size_t i = 0; i < rule->n_subjects; i++)
		if (rule->subjects[i].units)
			return true;
	return false;
}

static void say_deny_rule(FILE *f, const struct claim *claim, const struct member *member)
{
	fputs("The ", f);
	explain_put_rule(f, member->rule);
	fprintf(f, " denies %s to uid %u", member->name, (unsigned int)claim->request->subject.uid);
	if (!claim->request->subject.unit_known && rule_has_units(member->rule))
		fputs(" (the caller's system unit is not known, so it may be one that it names)",
		      f);
	fputc('.', f);
}

static void say_pin(FILE *f, const struct claim *claim, const struct member *member)
{
	const struct device_match *pin = member_broken_pin(claim, member);

	fprintf(f, "The device %s is not what ", member->name);
	explain_put_rule(f, member->rule);
	fputs(" or its pool has pinned: ", f);
	/* Digits by our own hand, and of two serial numbers: whole. */
	if (pin)
		pin_put_difference(f, pin, member->device);
	fputc('.', f);
}

static void say_verb(FILE *f, const struct claim *claim, const struct member *member)
{
	unsigned int verbs = member_verbs(claim, member);

	fputs("The ", f);
	explain_put_rule(f, member->rule);
	fprintf(f, " decides about %s and does not allow ", member->name);
	explain_put_bits(f, verbs & ~member->rule->verbs, VERB_MAX, verb_name);
	fputc('.', f);
}

static void say_mode(FILE *f, const struct claim *claim, const struct member *member)
{
	fputs("The ", f);
	explain_put_rule(f, member->rule);
	fprintf(f, " decides about %s and allows ", member->name);
	if (member->rule->modes)
		explain_put_bits(f, member->rule->modes, MODE_MAX, mode_name);
	else
		fputs("none", f);
	fputs(" of the modes, not ", f);
	explain_put_bits(f, claim_wanted_modes(claim), MODE_MAX, mode_name);
	fputc('.', f);
}

static void say_modes_in_common(FILE *f, const struct claim *claim)
{
	fputs("The rules that decide about these devices have in common ", f);
	if (claim->modes)
		explain_put_bits(f, claim->modes, MODE_MAX, mode_name);
	else
		fputs("none", f);
	fputs(" of the modes, not ", f);
	explain_put_bits(f, claim_wanted_modes(claim), MODE_MAX, mode_name);
	fputc('.', f);
}

static void say_park(FILE *f, const struct claim *claim)
{
	fputs("The ", f);
	explain_put_rule(f, claim->refused_rule[REASON_PARK]);
	fprintf(f,
		" parks devices on their VFIO driver, and in mode %s the owner could open them "
		"there.",
		mode_to_string(claim->mode));
}

static void say_consent_driver(FILE *f, const struct claim *claim, const struct member *member)
{
	fputs("The ", f);
	explain_put_rule(f, member->rule);
	fprintf(f, " does not consent to taking %s from its driver %s.", member->name,
		member->host_driver);
}

static void say_memlock(FILE *f, const struct claim *claim)
{
	fprintf(f, "The request asks for %" PRIu64 " bytes of locked memory, and the ",
		claim->request->memlock);
	explain_put_rule(f, claim->refused_rule[REASON_MEMLOCK]);
	fprintf(f, " allows %" PRIu64 ".", claim->refused_rule[REASON_MEMLOCK]->memlock);
}

static void say_limit_user(FILE *f, const struct claim *claim)
{
	fprintf(f, "The uid %u has %zu leases, and the policy allows %u for each user.",
		(unsigned int)claim->request->owner,
		ledger_count_owner(claim->ledger, claim->request->owner),
		claim->policy->limit_leases_per_user);
}

static void say_limit_rule_leases(FILE *f, const struct claim *claim)
{
	const struct rule *rule = claim->refused_rule[REASON_LIMIT_RULE_LEASES];

	fprintf(f, "The uid %u has %zu leases by the ", (unsigned int)claim->request->owner,
		ledger_count_rule_leases(claim->ledger, claim->request->owner, rule->id));
	explain_put_rule(f, rule);
	fprintf(f, ", which allows %u.", rule->limit_leases);
}

static void say_limit_rule_devices(FILE *f, const struct claim *claim)
{
	const struct rule *rule = claim->refused_rule[REASON_LIMIT_RULE_DEVICES];

	fprintf(f, "The uid %u has %zu devices by the ", (unsigned int)claim->request->owner,
		ledger_count_rule_devices(claim->ledger, claim->request->owner, rule->id));
	explain_put_rule(f, rule);
	fprintf(f, " and would have more than the %u that it allows.", rule->limit_devices);
}

static void say_no_process(FILE *f, const struct claim *claim, const struct member *member)
{
	const struct rule *rule = NULL;

	if (!claim_rule_wants_unit(claim, member->device, &rule))
		return;
	fputs("The ", f);
	explain_put_rule(f, rule);
	fprintf(f,
		" is about %s and asks for the caller's system unit, which this message bus does "
		"not vouch for.",
		member->name);
}

const struct explanation explanations_of_rule[REASON_MAX] = {
	[REASON_NO_RULE] = { .member = say_no_rule,
			     .next = "\"vfiodctl explain\" shows the rules that were passed over; "
				     "an "
				     "administrator can add one to /etc/vfiod/policy.d." },
	[REASON_DENY_RULE] = { .member = say_deny_rule,
			       .next = "Ask for another device, or have an administrator change "
				       "the rule." },
	[REASON_PIN] = { .member = say_pin,
			 .next = "Look what was changed in the hardware; an administrator can "
				 "correct the \"pin\"." },
	[REASON_VERB] = { .member = say_verb,
			  .next = "Ask for less, or have an administrator add it to the rule's "
				  "\"allow\"." },
	[REASON_MODE] = { .member = say_mode,
			  .claim = say_modes_in_common,
			  .next = "Ask for a mode that is allowed, or have an administrator add it "
				  "to \"modes\"." },
	[REASON_PARK] = { .claim = say_park,
			  .next = "Ask for mode cdev, or have an administrator set \"park\" to "
				  "\"auto\"." },
	[REASON_CONSENT_DRIVER] = { .member = say_consent_driver,
				    .next = "Ask for another device, or have an administrator add "
					    "the driver to \"consent\"." },
	[REASON_MEMLOCK] = { .claim = say_memlock,
			     .next = "Ask for less, or have an administrator raise \"memlock\"." },
	[REASON_LIMIT_USER] = { .claim = say_limit_user, .next = "Release one first." },
	[REASON_LIMIT_RULE_LEASES] = { .claim = say_limit_rule_leases,
				       .next = "Release one first." },
	[REASON_LIMIT_RULE_DEVICES] = { .claim = say_limit_rule_devices,
					.next = "Release some first." },
	[REASON_NO_PROCESS] = { .member = say_no_process,
				.next = "Use a bus that does (dbus 1.15.8 and later, dbus-broker), "
					"or have an administrator add a rule without units." },
};
