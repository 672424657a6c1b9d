/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the host and others need: sentences about siblings that are not named, uses, and leases.
 */

#include "policy/explain.h"

static const char *use_name(int value)
{
	return use_kind_to_string((enum use_kind)value);
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
		explain_put_bits(f, kinds, USE_MAX, use_name);
		fputc('.', f);
		return;
	}
	for (size_t i = 0; i < device->uses.n; i++) {
		const struct use *use = &device->uses.items[i];

		if (!(kinds & 1U << use->kind))
			continue;
		fputs(separator, f);
		explain_put(f, use->text);
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
	explain_put_lease(f, claim, member->lease);
	fputc('.', f);
}

static void say_group_draining(FILE *f, const struct claim *claim, const struct member *member)
{
	const struct lease *lease = member->lease;

	fprintf(f, "The group %u of %s is on its way back from ", member->device->group_id,
		member->name);
	explain_put_lease(f, claim, lease);
	fprintf(f, ", which is %s", lease_state_to_string(lease->state));
	for (size_t i = 0; i < lease->n_holders; i++) {
		fprintf(f, "%s pid %d", i ? "," : " and still held by", (int)lease->holders[i].pid);
		if (lease->holders[i].command) {
			fputs(" (", f);
			explain_put(f, lease->holders[i].command);
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
	const char *pf = device->physical_function;
	const struct device *physical = pf ? topology_device(claim->topology, pf) : device;
	const struct lease_device *mediated = claim_mediated_below(claim, device);

	if (physical && physical->sriov_busy) {
		fprintf(f, "The virtual functions of %s are being changed.", physical->name);
		return;
	}
	if (mediated) {
		fprintf(f, "The mediated device %s of %s belongs to ", mediated->name,
			member->name);
		explain_put_lease(f, claim, ledger_device(claim->ledger, mediated->name));
		fputs(", and would vanish.", f);
		return;
	}
	STRV_FOREACH (vf, device->virtual_functions) {
		const struct lease *lease = ledger_device(claim->ledger, *vf);

		if (!lease)
			continue;
		fprintf(f, "The virtual function %s of %s belongs to ", *vf, member->name);
		explain_put_lease(f, claim, lease);
		fputs(", and would vanish.", f);
		return;
	}
	if (ledger_device(claim->ledger, device->physical_function)) {
		fprintf(f, "The physical function %s of %s belongs to ", device->physical_function,
			member->name);
		explain_put_lease(f, claim,
				  ledger_device(claim->ledger, device->physical_function));
		fputs(claim->lease && ledger_device(claim->ledger, pf) == claim->lease
			      ? "; its virtual functions have to be in another lease than it."
			      : ".",
		      f);
		return;
	}
	fprintf(f,
		"The device %s is a virtual function of %s, and would vanish when that one is "
		"taken from its driver.",
		member->name, device->physical_function);
}

static void say_device_failed(FILE *f, const struct claim *claim, const struct member *member)
{
	fprintf(f, "The device %s reported an error that the kernel could not recover it from.",
		member->name);
}

static void say_name_taken(FILE *f, const struct claim *claim)
{
	fprintf(f, "The uid %u has a lease of the name ", (unsigned int)claim->request->owner);
	explain_put_quoted(f, claim->request->name);
	fputs(" already.", f);
}

static void say_draining(FILE *f, const struct claim *claim)
{
	fputs("The host gives no new leases: an administrator is draining it, or a "
	      "journal of an earlier lease cannot be read; see the log of vfiod.",
	      f);
}

const struct explanation explanations_of_host[REASON_MAX] = {
	[REASON_CONSENT_NAME] = { .member = say_consent_name,
				  .next = "A group is given whole: name each of these to be "
					  "granted "
					  "or under \"withhold\"." },
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
	[REASON_DEVICE_FAILED] = { .member = say_device_failed,
				   .next = "Ask for another device, or have an administrator look "
					   "at it and run \"vfiodctl clear\"." },
	[REASON_NAME_TAKEN] = { .claim = say_name_taken,
				.next = "Choose another name, or release that lease." },
	[REASON_DRAINING] = { .claim = say_draining, .next = "Try again later." },
};
