/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a request asks for: sentences about its names, about what the devices are, and about modes
 * that the kernel does not have.
 */

#include "policy/explain.h"

static void say_allowed(FILE *f, const struct claim *claim)
{
	const char *separator = "";

	fprintf(f, "The uid %u may have ", (unsigned int)claim->request->owner);
	for (size_t i = 0; i < claim->n_members; i++) {
		if (claim->members[i].action != ACTION_GRANT)
			continue;
		fputs(separator, f);
		explain_put(f, claim->members[i].name);
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
		request_count(claim->request), claim->request->n_expect, REQUEST_DEVICES_MAX);
}

static void say_no_such_device(FILE *f, const struct claim *claim, const struct member *member)
{
	fputs("There is no device ", f);
	explain_put_quoted(f, member->name);
	fputs(" on this host.", f);
}

static void say_no_such_pool(FILE *f, const struct claim *claim, const struct member *member)
{
	fputs("The policy has no pool ", f);
	explain_put_quoted(f, member->target->pool);
	fputc('.', f);
}

/* Both sides of a pin that a device of the pool is not: the first of them stands for all. */
static void say_pool_pinned(FILE *f, const struct claim *claim, const struct target *target)
{
	const struct device *device = claim->pool_pinned;
	struct member member = {
		.name = device->name,
		.device = device,
		.target = target,
		.rule = claim_rule_of(claim, device),
		.host_driver = ledger_host_driver(claim->ledger, device),
	};
	const struct device_match *pin = member_broken_pin(claim, &member);

	if (!pin)
		return;
	fprintf(f, " The device %s is not what is pinned: ", device->name);
	pin_put_difference(f, pin, device);
	fputc('.', f);
}

static void say_pool_empty(FILE *f, const struct claim *claim, const struct member *member)
{
	const char *separator = " (";

	fputs("The pool ", f);
	explain_put_quoted(f, member->target->pool);
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
	if (claim->pool_refused[REASON_PIN] > 0)
		say_pool_pinned(f, claim, member->target);
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
	explain_put_quoted(f, claim->unmet->device);
	fputs(", which it does not touch.", f);
}

static void say_mode_kernel(FILE *f, const struct claim *claim)
{
	fprintf(f, "This kernel does not have what the mode %s needs", mode_to_string(claim->mode));
	if (claim->mode == MODE_CDEV)
		fputs(" (iommufd, and VFIO's device nodes)", f);
	fputc('.', f);
}

const struct explanation explanations_of_request[REASON_MAX] = {
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
				     .next = "Only PCI, platform and mediated devices can be "
					     "leased; ask "
					     "for one whose group has nothing else." },
	[REASON_BRIDGE] = { .member = say_bridge, .next = "Name it under \"withhold\"." },
	[REASON_NO_VFIO_DRIVER] = { .member = say_no_vfio_driver,
				    .next = "Install the kernel's vfio-pci module." },
	[REASON_WRONG_DEVICE] = { .member = say_wrong_device,
				  .claim = say_unmet,
				  .next = "Look at the devices again, and ask anew." },
	[REASON_MODE_KERNEL] = { .claim = say_mode_kernel,
				 .next = "Ask for another mode, or boot a kernel that has it." },
};
