/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The sentences of a decision: for each reason what it is about, why, and what to do next. One
 * small function per reason says it of one device; those that concern the request as a whole say
 * it of that. Nothing is decided here.
 */

#include "policy/decide-internal.h"
#include "policy/utf8.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

typedef void (*say_member_fn)(FILE *f, const struct claim *claim, const struct member *member);
typedef void (*say_claim_fn)(FILE *f, const struct claim *claim);

/* Somebody's string: at most so much of it, and nothing that a terminal or the bus minds. */
static void put(FILE *f, const char *s)
{
	size_t n = utf8_cut(s, UTF8_QUOTE_MAX), left = strlen(s);
	bool cut = n < left;

	while (n > 0) {
		uint32_t c;
		size_t k = utf8_read(s, n, &c);

		if (k == 0 || utf8_is_control(c))
			fputc('?', f);
		else
			fwrite(s, 1, k, f);
		s += k ? k : 1;
		n -= k ? k : 1;
	}
	if (cut)
		fputs("...", f);
}

static void put_quoted(FILE *f, const char *s)
{
	fputc('"', f);
	put(f, s);
	fputc('"', f);
}

static void put_rule(FILE *f, const struct rule *rule)
{
	fputs("rule ", f);
	put_quoted(f, rule->id);
}

/* The names of a set of bits as "a, b and c". */
static void put_bits(FILE *f, unsigned int bits, int max, const char *(*name)(int value))
{
	for (int i = 0; i < max; i++) {
		if (!(bits & 1U << i))
			continue;
		fputs(name(i), f);
		bits &= ~(1U << i);
		if (bits >> (i + 1))
			fputs((bits & (bits - 1)) ? ", " : " and ", f);
	}
}

static const char *mode_name(int value)
{
	return mode_to_string((enum mode)value);
}

static const char *verb_name(int value)
{
	return verb_to_string((enum verb)value);
}

static const char *use_name(int value)
{
	return use_kind_to_string((enum use_kind)value);
}

/* Other users learn that there is a lease and whose it is, but not what it is called. */
static void put_lease(FILE *f, const struct claim *claim, const struct lease *lease)
{
	fprintf(f, "lease %s", lease->id);
	if (lease->name &&
	    (claim->request->subject.uid == lease->owner || claim->request->subject.uid == 0)) {
		fputc(' ', f);
		put_quoted(f, lease->name);
	}
	fprintf(f, " of uid %u", (unsigned int)lease->owner);
}

static void say_allowed(FILE *f, const struct claim *claim)
{
	const char *separator = "";

	fprintf(f, "The uid %u may have ", (unsigned int)claim->request->owner);
	for (size_t i = 0; i < claim->n_members; i++) {
		if (claim->members[i].action != ACTION_GRANT)
			continue;
		fputs(separator, f);
		put(f, claim->members[i].name);
		separator = ", ";
	}
	fprintf(f, " in mode %s.", mode_to_string(claim->mode));
}

static void say_no_devices(FILE *f, const struct claim *claim)
{
	fputs("The request names no device to be granted.", f);
}

static void say_too_many(FILE *f, const struct claim *claim)
{
	fprintf(f,
		"The request names %zu devices and expects something of %zu; one request may name "
		"%d.",
		strv_length(claim->request->devices) + strv_length(claim->request->withhold),
		claim->request->n_expect, REQUEST_DEVICES_MAX);
}

static void say_no_such_device(FILE *f, const struct claim *claim, const struct member *member)
{
	fputs("There is no device ", f);
	put_quoted(f, member->name);
	fputs(" on this host.", f);
}

static void say_no_such_pool(FILE *f, const struct claim *claim, const struct member *member)
{
	fputs("The policy has no pool ", f);
	put_quoted(f, member->target->pool);
	fputc('.', f);
}

static void say_pool_empty(FILE *f, const struct claim *claim, const struct member *member)
{
	const char *separator = " (";

	fputs("The pool ", f);
	put_quoted(f, member->target->pool);
	if (claim->pool_size == 0) {
		fputs(" matches no device of this host.", f);
		return;
	}
	fprintf(f, " has no device left that this request could have: it has %zu",
		claim->pool_size);
	for (int i = 0; i < REASON_MAX; i++) {
		if (claim->pool_refused[i] == 0)
			continue;
		fprintf(f, "%s%zu %s", separator, claim->pool_refused[i],
			i == REASON_DUPLICATE ? "named already" : reason_to_string((enum reason)i));
		separator = ", ";
	}
	fputs(").", f);
}

static void say_duplicate(FILE *f, const struct claim *claim, const struct member *member)
{
	fprintf(f, "The device %s is named more than once.", member->name);
}

static void say_withhold_outside(FILE *f, const struct claim *claim, const struct member *member)
{
	fprintf(f,
		"The device %s is to be withheld, but it shares no IOMMU group with a device to be "
		"granted.",
		member->name);
}

static void say_no_group(FILE *f, const struct claim *claim, const struct member *member)
{
	fprintf(f, "The device %s is in no IOMMU group.", member->name);
}

static void say_not_isolated(FILE *f, const struct claim *claim, const struct member *member)
{
	fprintf(f, "The device %s is in the noiommu group %u, which isolates nothing.",
		member->name, member->device->group_id);
}

static void say_unsupported_bus(FILE *f, const struct claim *claim, const struct member *member)
{
	fprintf(f, "The device %s of group %u is on the bus %s.", member->name,
		member->device->group_id, member->device->subsystem);
}

static void say_bridge(FILE *f, const struct claim *claim, const struct member *member)
{
	fprintf(f, "The device %s is a bridge, which VFIO does not take.", member->name);
}

static void say_no_vfio_driver(FILE *f, const struct claim *claim, const struct member *member)
{
	fprintf(f, "This kernel has no VFIO driver for %s.", member->name);
}

static void put_ids(FILE *f, uint32_t vendor, uint32_t product)
{
	if (vendor == ID_UNKNOWN || product == ID_UNKNOWN)
		fputs("unknown", f);
	else
		fprintf(f, "%04x:%04x", vendor, product);
}

static void say_wrong_device(FILE *f, const struct claim *claim, const struct member *member)
{
	const struct request *request = claim->request;

	for (size_t i = 0; i < request->n_expect; i++) {
		const struct expect *expect = &request->expect[i];

		if (!streq(expect->device, member->name) ||
		    (expect->vendor == member->device->vendor &&
		     expect->product == member->device->product))
			continue;
		fprintf(f, "The device %s is ", member->name);
		put_ids(f, member->device->vendor, member->device->product);
		fputs(" and not ", f);
		put_ids(f, expect->vendor, expect->product);
		fputs(", as was expected.", f);
		return;
	}
}

static void say_unmet(FILE *f, const struct claim *claim)
{
	fputs("The request expects something of ", f);
	put_quoted(f, claim->unmet->device);
	fputs(", which it does not touch.", f);
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
	put_rule(f, member->rule);
	fprintf(f, " denies %s to uid %u", member->name, (unsigned int)claim->request->subject.uid);
	if (!claim->request->subject.unit_known && rule_has_units(member->rule))
		fputs(" (the caller's system unit is not known, so it may be one that it names)",
		      f);
	fputc('.', f);
}

static void say_verb(FILE *f, const struct claim *claim, const struct member *member)
{
	unsigned int verbs = claim_verbs(claim, member->target->withhold);

	fputs("The ", f);
	put_rule(f, member->rule);
	fprintf(f, " decides about %s and does not allow ", member->name);
	put_bits(f, verbs & ~member->rule->verbs, VERB_MAX, verb_name);
	fputc('.', f);
}

static void say_mode(FILE *f, const struct claim *claim, const struct member *member)
{
	fputs("The ", f);
	put_rule(f, member->rule);
	fprintf(f, " decides about %s and allows ", member->name);
	if (member->rule->modes)
		put_bits(f, member->rule->modes, MODE_MAX, mode_name);
	else
		fputs("none", f);
	fputs(" of the modes, not ", f);
	put_bits(f, claim_wanted_modes(claim), MODE_MAX, mode_name);
	fputc('.', f);
}

static void say_modes_in_common(FILE *f, const struct claim *claim)
{
	fputs("The rules that decide about these devices have in common ", f);
	if (claim->modes)
		put_bits(f, claim->modes, MODE_MAX, mode_name);
	else
		fputs("none", f);
	fputs(" of the modes, not ", f);
	put_bits(f, claim_wanted_modes(claim), MODE_MAX, mode_name);
	fputc('.', f);
}

static void say_mode_kernel(FILE *f, const struct claim *claim)
{
	fprintf(f, "This kernel does not have what the mode %s needs", mode_to_string(claim->mode));
	if (claim->mode == MODE_CDEV)
		fputs(" (iommufd, and VFIO's device nodes)", f);
	fputc('.', f);
}

static void say_park(FILE *f, const struct claim *claim)
{
	fputs("The ", f);
	put_rule(f, claim->refused_rule[REASON_PARK]);
	fprintf(f,
		" parks devices on their VFIO driver, and in mode %s the owner could open them "
		"there.",
		mode_to_string(claim->mode));
}

static void say_consent_name(FILE *f, const struct claim *claim, const struct member *member)
{
	fprintf(f, "The device %s of group %u has the driver %s and is not named by the request",
		member->name, member->device->group_id, member->device->driver);
	if (streq(member->device->driver, "shpchp"))
		fputs("; it is a bridge, to be named under \"withhold\", and while it is withheld "
		      "native hot-plug below it stops",
		      f);
	else if (member->device->bridge)
		fputs("; it is a bridge, to be named under \"withhold\"", f);
	fputc('.', f);
}

static void say_consent_driver(FILE *f, const struct claim *claim, const struct member *member)
{
	fputs("The ", f);
	put_rule(f, member->rule);
	fprintf(f, " does not consent to taking %s from its driver %s.", member->name,
		member->device->driver);
}

static void say_sibling_on_vfio(FILE *f, const struct claim *claim, const struct member *member)
{
	fprintf(f,
		"The device %s of group %u is on %s, by somebody else's doing, and is not named "
		"by the request.",
		member->name, member->device->group_id, member->device->driver);
}

/* Those who may not have the device learn what kinds of use there are, and no more. */
static void say_in_use(FILE *f, const struct claim *claim, const struct member *member)
{
	const struct device *device = member->device;
	unsigned int kinds = device_uses(device);
	const char *separator = ": ";

	if (member->rule)
		kinds &= ~member->rule->waive;
	fprintf(f, "The host uses %s", member->name);
	if (!member->rule && claim->request->subject.uid != 0) {
		fputs(separator, f);
		put_bits(f, kinds, USE_MAX, use_name);
		fputc('.', f);
		return;
	}
	for (size_t i = 0; i < device->uses.n; i++) {
		const struct use *use = &device->uses.items[i];

		if (!(kinds & 1U << use->kind))
			continue;
		fputs(separator, f);
		put(f, use->text);
		fprintf(f, " (%s)", use_kind_to_string(use->kind));
		separator = "; ";
		if (use->kind == USE_VFS)
			kinds &= ~(1U << USE_VFS);
	}
	if (kinds & 1U << USE_VFS)
		fprintf(f, "%s%zu of its virtual functions are enabled (vfs)", separator,
			strv_length(device->virtual_functions));
	fputc('.', f);
}

static void say_group_leased(FILE *f, const struct claim *claim, const struct member *member)
{
	fprintf(f, "The group %u of %s belongs to ", member->device->group_id, member->name);
	put_lease(f, claim, member->lease);
	fputc('.', f);
}

static void say_group_draining(FILE *f, const struct claim *claim, const struct member *member)
{
	const struct lease *lease = member->lease;

	fprintf(f, "The group %u of %s is on its way back from ", member->device->group_id,
		member->name);
	put_lease(f, claim, lease);
	fprintf(f, ", which is %s", lease_state_to_string(lease->state));
	for (size_t i = 0; i < lease->n_holders; i++) {
		fprintf(f, "%s pid %d", i ? "," : " and still held by", (int)lease->holders[i].pid);
		if (lease->holders[i].command) {
			fputs(" (", f);
			put(f, lease->holders[i].command);
			fputc(')', f);
		}
	}
	fputc('.', f);
	if (lease->state == LEASE_FAILED)
		fprintf(f, " An administrator has to run \"vfiodctl restore %s\".", lease->id);
}

static void say_pf_vf(FILE *f, const struct claim *claim, const struct member *member)
{
	const struct device *device = member->device;

	STRV_FOREACH (vf, device->virtual_functions) {
		const struct lease *lease = ledger_device(claim->ledger, *vf);

		if (!lease)
			continue;
		fprintf(f, "The virtual function %s of %s belongs to ", *vf, member->name);
		put_lease(f, claim, lease);
		fputs(", and would vanish.", f);
		return;
	}
	if (ledger_device(claim->ledger, device->physical_function)) {
		fprintf(f, "The physical function %s of %s belongs to ", device->physical_function,
			member->name);
		put_lease(f, claim, ledger_device(claim->ledger, device->physical_function));
		fputc('.', f);
		return;
	}
	fprintf(f,
		"The device %s is a virtual function of %s, and would vanish when that one is "
		"taken from its driver.",
		member->name, device->physical_function);
}

static void say_memlock(FILE *f, const struct claim *claim)
{
	fprintf(f, "The request asks for %" PRIu64 " bytes of locked memory, and the ",
		claim->request->memlock);
	put_rule(f, claim->refused_rule[REASON_MEMLOCK]);
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
	put_rule(f, rule);
	fprintf(f, ", which allows %u.", rule->limit_leases);
}

static void say_limit_rule_devices(FILE *f, const struct claim *claim)
{
	const struct rule *rule = claim->refused_rule[REASON_LIMIT_RULE_DEVICES];

	fprintf(f, "The uid %u has %zu devices by the ", (unsigned int)claim->request->owner,
		ledger_count_rule_devices(claim->ledger, claim->request->owner, rule->id));
	put_rule(f, rule);
	fprintf(f, " and would have more than the %u that it allows.", rule->limit_devices);
}

static void say_name_taken(FILE *f, const struct claim *claim)
{
	fprintf(f, "The uid %u has a lease of the name ", (unsigned int)claim->request->owner);
	put_quoted(f, claim->request->name);
	fputs(" already.", f);
}

static void say_draining(FILE *f, const struct claim *claim)
{
	fputs("The host gives no new leases: an administrator is draining it.", f);
}

static void say_no_process(FILE *f, const struct claim *claim, const struct member *member)
{
	const struct rule *rule = NULL;

	if (!claim_rule_wants_unit(claim, member->device, &rule))
		return;
	fputs("The ", f);
	put_rule(f, rule);
	fprintf(f,
		" is about %s and asks for the caller's system unit, which this message bus does "
		"not vouch for.",
		member->name);
}

struct explanation {
	say_member_fn member; /* of one device */
	say_claim_fn claim;   /* of the request */
	const char *next;     /* what to do next */
	bool of_group;	      /* the same for a whole group: the named ones will do */
};

static const struct explanation explanations[REASON_MAX] = {
	[REASON_ALLOWED] = { .claim = say_allowed },
	[REASON_NO_DEVICES] = { .claim = say_no_devices,
				.next = "Name at least one, as \"vfiodctl list\" shows them." },
	[REASON_TOO_MANY_DEVICES] = { .claim = say_too_many,
				      .next = "Split it into several leases." },
	[REASON_NO_SUCH_DEVICE] = { .member = say_no_such_device,
				    .next = "\"vfiodctl list\" shows the names of those there "
					    "are." },
	[REASON_NO_SUCH_POOL] = { .member = say_no_such_pool,
				  .next = "Ask for a device by its name, or have an administrator "
					  "define the pool." },
	[REASON_POOL_EMPTY] = { .member = say_pool_empty,
				.next = "Ask for one of them by its name to see all that stands "
					"against it, or try again later." },
	[REASON_DUPLICATE] = { .member = say_duplicate,
			       .next = "Name each device once, to be granted or to be withheld." },
	[REASON_WITHHOLD_OUTSIDE] = { .member = say_withhold_outside, .next = "Leave it out." },
	[REASON_NO_GROUP] = { .member = say_no_group,
			      .next = "Turn on the IOMMU in the firmware and on the kernel's "
				      "command line." },
	[REASON_NOT_ISOLATED] = { .member = say_not_isolated,
				  .next = "It is never handed out; turn on an IOMMU and turn off "
					  "VFIO's noiommu mode." },
	[REASON_UNSUPPORTED_BUS] = { .member = say_unsupported_bus,
				     .next = "Only PCI devices can be leased; ask for one whose "
					     "group has nothing else." },
	[REASON_BRIDGE] = { .member = say_bridge, .next = "Name it under \"withhold\"." },
	[REASON_NO_VFIO_DRIVER] = { .member = say_no_vfio_driver,
				    .next = "Install the kernel's vfio-pci module." },
	[REASON_WRONG_DEVICE] = { .member = say_wrong_device,
				  .claim = say_unmet,
				  .next = "Look at the devices again, and ask anew." },
	[REASON_NO_RULE] = { .member = say_no_rule,
			     .next = "\"vfiodctl explain\" shows the rules that were passed over; "
				     "an "
				     "administrator can add one to /etc/vfiod/policy.d." },
	[REASON_DENY_RULE] = { .member = say_deny_rule,
			       .next = "Ask for another device, or have an administrator change "
				       "the rule." },
	[REASON_VERB] = { .member = say_verb,
			  .next = "Ask for less, or have an administrator add it to the rule's "
				  "\"allow\"." },
	[REASON_MODE] = { .member = say_mode,
			  .claim = say_modes_in_common,
			  .next = "Ask for a mode that is allowed, or have an administrator add it "
				  "to \"modes\"." },
	[REASON_MODE_KERNEL] = { .claim = say_mode_kernel,
				 .next = "Ask for another mode, or boot a kernel that has it." },
	[REASON_PARK] = { .claim = say_park,
			  .next = "Ask for mode cdev, or have an administrator set \"park\" to "
				  "\"auto\"." },
	[REASON_CONSENT_NAME] = { .member = say_consent_name,
				  .next = "A group is given whole: name each of these to be "
					  "granted "
					  "or under \"withhold\"." },
	[REASON_CONSENT_DRIVER] = { .member = say_consent_driver,
				    .next = "Ask for another device, or have an administrator add "
					    "the driver to \"consent\"." },
	[REASON_SIBLING_ON_VFIO] = { .member = say_sibling_on_vfio,
				     .next = "A group is given whole: name each of these to be "
					     "granted or under \"withhold\"." },
	[REASON_IN_USE] = { .member = say_in_use,
			    .next = "Stop these uses first, or have an administrator \"waive\" the "
				    "check." },
	[REASON_GROUP_LEASED] = { .member = say_group_leased,
				  .next = "Ask for another device, or wait for the lease to end.",
				  .of_group = true },
	[REASON_GROUP_DRAINING] = { .member = say_group_draining,
				    .next = "It can be had when every device is home: try again "
					    "later.",
				    .of_group = true },
	[REASON_PF_VF] = { .member = say_pf_vf,
			   .next = "Ask for another device, or wait for that one to be released." },
	[REASON_MEMLOCK] = { .claim = say_memlock,
			     .next = "Ask for less, or have an administrator raise \"memlock\"." },
	[REASON_LIMIT_USER] = { .claim = say_limit_user, .next = "Release one first." },
	[REASON_LIMIT_RULE_LEASES] = { .claim = say_limit_rule_leases,
				       .next = "Release one first." },
	[REASON_LIMIT_RULE_DEVICES] = { .claim = say_limit_rule_devices,
					.next = "Release some first." },
	[REASON_NAME_TAKEN] = { .claim = say_name_taken,
				.next = "Choose another name, or release that lease." },
	[REASON_DRAINING] = { .claim = say_draining, .next = "Try again later." },
	[REASON_NO_PROCESS] = { .member = say_no_process,
				.next = "Use a bus that does (dbus 1.15.8 and later, dbus-broker), "
					"or have an administrator add a rule without units." },
};

static bool any_named(const struct claim *claim, enum reason reason)
{
	for (size_t i = 0; i < claim->n_members; i++)
		if (claim->members[i].reason == reason && claim->members[i].target)
			return true;
	return false;
}

/* Says a reason of every member that has it, and of the request; nothing if nobody has it. */
static void say(FILE *f, const struct claim *claim, enum reason reason, const char *separator)
{
	const struct explanation *explanation = &explanations[reason];
	bool named = explanation->of_group && any_named(claim, reason);
	bool said = false;

	for (size_t i = 0; explanation->member && i < claim->n_members; i++) {
		const struct member *member = &claim->members[i];

		if (member->reason != reason || (named && !member->target))
			continue;
		fputs(said ? " " : separator, f);
		explanation->member(f, claim, member);
		said = true;
	}
	if (explanation->claim && (claim->refused[reason] || reason == REASON_ALLOWED) &&
	    !(said && reason == REASON_MODE)) {
		fputs(said ? " " : separator, f);
		explanation->claim(f, claim);
		said = true;
	}
	if (said && explanation->next)
		fprintf(f, " %s", explanation->next);
}

static int finish(FILE *f, char **text, char **message)
{
	bool failed = ferror(f);

	if (fclose(f) != 0 || failed) {
		free(*text);
		return -ENOMEM;
	}
	*message = *text;
	return 0;
}

/* Who has to name or be allowed one thing more wants to hear of all of it at once. */
static bool is_consent(enum reason reason)
{
	return reason == REASON_CONSENT_NAME || reason == REASON_CONSENT_DRIVER ||
	       reason == REASON_SIBLING_ON_VFIO;
}

int explain_claim(const struct claim *claim, enum reason reason, char **message)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return -ENOMEM;
	say(f, claim, reason, "");
	for (int i = 0; is_consent(reason) && i < REASON_MAX; i++)
		if (i != (int)reason && is_consent((enum reason)i))
			say(f, claim, (enum reason)i, " ");
	return finish(f, &text, message);
}

int explain_member(const struct claim *claim, const struct member *member, char **message)
{
	const struct explanation *explanation = &explanations[member->reason];
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return -ENOMEM;
	if (explanation->member)
		explanation->member(f, claim, member);
	if (explanation->next)
		fprintf(f, " %s", explanation->next);
	return finish(f, &text, message);
}
