/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a reset reaches: see reset-domain.h. Whether a lease may have it is in reset-owner.c. */

#include "policy/reset-domain.h"

static const char *const reset_kind_table[RESET_KIND_MAX] = {
	[RESET_FUNCTION] = "function",
	[RESET_SLOT] = "slot",
	[RESET_BUS] = "bus",
	[RESET_AUTO] = "auto",
};
DEFINE_STRING_TABLE(reset_kind, enum reset_kind)

void reset_domain_done(struct reset_domain *domain)
{
	free(domain->devices);
	*domain = (struct reset_domain){};
}

bool reset_domain_has(const struct reset_domain *domain, const struct device *device)
{
	for (size_t i = 0; i < domain->n; i++)
		if (domain->devices[i] == device)
			return true;
	return false;
}

/* ---- where devices are */

static bool is_pci(const struct device *device)
{
	return streq(device->subsystem, "pci");
}

/* Whether a device is below another one, by their paths in sysfs. */
static bool is_below(const struct device *device, const struct device *above)
{
	size_t n = strlen(above->syspath);

	return n > 0 && strncmp(device->syspath, above->syspath, n) == 0 &&
	       device->syspath[n] == '/';
}

/* The bridge that has the device's bus; NULL on a root bus, which no bridge can reset. */
static const struct device *bridge_above(const struct topology *t, const struct device *device)
{
	const struct device *parent = topology_parent(t, device);

	return parent && is_pci(parent) ? parent : NULL;
}

/* "0000:03:00.1" without the function: bus and device number, which make a slot of a bus. */
static size_t slot_length(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot ? (size_t)(dot - name) : strlen(name);
}

static bool same_slot(const struct topology *t, const struct device *a, const struct device *b)
{
	size_t n = slot_length(a->name);

	if (topology_parent(t, a) != topology_parent(t, b))
		return false;
	/* The firmware's or the hot-plug driver's name of it, where it is known. */
	if (a->slot && b->slot)
		return streq(a->slot, b->slot);
	return n == slot_length(b->name) && strncmp(a->name, b->name, n) == 0;
}

/* ---- sets of devices, while they grow */

/* Hosts have thousands of devices, and domains few: what is kept is the members. */
struct reach {
	const struct topology *topology;
	const struct device **members;
	size_t n;
};

static bool reach_has(const struct reach *reach, const struct device *device)
{
	for (size_t i = 0; i < reach->n; i++)
		if (reach->members[i] == device)
			return true;
	return false;
}

static int reach_add(struct reach *reach, const struct device *device)
{
	if (reach_has(reach, device))
		return 0;
	if (ARRAY_RESERVE_ONE(reach->members, reach->n) < 0)
		return -ENOMEM;
	reach->members[reach->n++] = device;
	return 0;
}

static int reach_below(struct reach *reach, const struct device *above)
{
	HASH_FOREACH (device, reach->topology->devices)
		if (is_below(device, above) && reach_add(reach, device) < 0)
			return -ENOMEM;
	return 0;
}

static bool is_below_another(const struct reach *reach, const struct device *device)
{
	for (size_t i = 0; i < reach->n; i++)
		if (is_below(device, reach->members[i]))
			return true;
	return false;
}

/*
 * The VFs of a member are reached with it, and what is below one. below: what the first members are
 * all of what is below; the list grows while it is gone through.
 */
static int reach_close(struct reach *reach, const struct device *below)
{
	for (size_t i = 0; i < reach->n; i++) {
		const struct device *member = reach->members[i];

		STRV_FOREACH (name, member->virtual_functions) {
			const struct device *vf = topology_device(reach->topology, *name);

			if (vf && reach_add(reach, vf) < 0)
				return -ENOMEM;
		}
		/* What is below that was found with what it is below. */
		if (below && is_below(member, below))
			continue;
		if (!is_below_another(reach, member) && reach_below(reach, member) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct device *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static void reach_take(struct reach *reach, const struct device *bridge,
		       struct reset_domain *domain)
{
	if (reach->n > 1)
		qsort(reach->members, reach->n, sizeof(*reach->members), by_name);
	domain->devices = STEAL(reach->members);
	domain->n = reach->n;
	domain->bridge = bridge;
	reach->n = 0;
}

static int reach_slot(struct reach *reach, const struct device *device, const struct device *bridge)
{
	const struct device *pf =
		device->physical_function
			? topology_device(reach->topology, device->physical_function)
			: NULL;

	if (reach_add(reach, device) < 0)
		return -ENOMEM;
	/* A VF is where its PF is, whatever number it has. */
	HASH_FOREACH (other, reach->topology->devices)
		if (is_pci(other) && is_below(other, bridge) &&
		    same_slot(reach->topology, other, pf ? pf : device) &&
		    reach_add(reach, other) < 0)
			return -ENOMEM;
	return reach_close(reach, NULL);
}

static int reach_bus(struct reach *reach, const struct device *bridge)
{
	return reach_below(reach, bridge) < 0 ? -ENOMEM : reach_close(reach, bridge);
}

/* ---- domains */

static int function_domain(struct reach *reach, const struct device *device,
			   struct reset_domain *domain, const char **why)
{
	if (!strv_length(device->reset_methods)) {
		*why = "the kernel knows no way to reset this function by itself";
		return RESET_NONE;
	}
	if (reach_add(reach, device) < 0 || reach_close(reach, NULL) < 0)
		return -ENOMEM;
	reach_take(reach, NULL, domain);
	return 0;
}

static int bus_domain(struct reach *reach, const struct device *bridge, struct reset_domain *domain)
{
	int r = reach_bus(reach, bridge);

	if (r >= 0)
		reach_take(reach, bridge, domain);
	return r;
}

static int slot_domain(struct reach *reach, const struct device *device,
		       const struct device *bridge, struct reset_domain *domain, const char **why)
{
	size_t n;
	int r = reach_slot(reach, device, bridge);

	if (r < 0)
		return r;
	reach_take(reach, bridge, domain);
	n = domain->n;
	r = reach_bus(reach, bridge);
	if (r < 0 || reach->n == n)
		return r;
	*why = "other slots are on the same bus, and the kernel resets the bus as a whole";
	return RESET_NONE;
}

static int bridged_domain(struct reach *reach, const struct device *device, enum reset_kind kind,
			  struct reset_domain *domain, const char **why)
{
	const struct device *bridge = bridge_above(reach->topology, device);

	if (!bridge) {
		*why = "it is on a root bus, which nothing resets";
		return RESET_NONE;
	}
	if (kind == RESET_SLOT)
		return slot_domain(reach, device, bridge, domain, why);
	return bus_domain(reach, bridge, domain);
}

int reset_domain(const struct topology *topology, const struct device *device, enum reset_kind kind,
		 struct reset_domain *domain, const char **why)
{
	struct reach reach = { .topology = topology };
	int r;

	*domain = (struct reset_domain){};
	*why = "only PCI devices are reset";
	if (!is_pci(device))
		return RESET_NONE;
	r = kind == RESET_FUNCTION ? function_domain(&reach, device, domain, why)
				   : bridged_domain(&reach, device, kind, domain, why);
	free(reach.members);
	return r;
}

int reset_domain_any(const struct topology *topology, const struct device *device,
		     struct reset_domain *domain)
{
	const char *why;
	int r = reset_domain(topology, device, RESET_BUS, domain, &why);

	/* The bus has the slot and the function on it. */
	if (r == RESET_NONE)
		r = reset_domain(topology, device, RESET_FUNCTION, domain, &why);
	return r < 0 ? r : 0;
}
