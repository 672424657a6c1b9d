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

struct reach {
	const struct topology *topology;
	struct device **all; /* by name */
	size_t n_all;
	bool *in;
};

static void reach_done(struct reach *reach)
{
	free(reach->all);
	free(reach->in);
}

static int reach_init(struct reach *reach, const struct topology *t)
{
	*reach = (struct reach){ .topology = t };
	reach->all = topology_devices_sorted(t, &reach->n_all);
	reach->in = calloc(reach->n_all + 1, sizeof(*reach->in));
	return reach->all && reach->in ? 0 : -ENOMEM;
}

static bool goes_along(const struct reach *reach, const struct device *device)
{
	for (size_t i = 0; i < reach->n_all; i++) {
		const struct device *member = reach->all[i];

		if (!reach->in[i])
			continue;
		if (is_below(device, member) ||
		    strv_contains(member->virtual_functions, device->name))
			return true;
	}
	return false;
}

/* What is below a member, and the VFs of one, are reached with it. */
static void reach_close(struct reach *reach)
{
	bool grown = true;

	while (grown) {
		grown = false;
		for (size_t i = 0; i < reach->n_all; i++) {
			if (reach->in[i] || !goes_along(reach, reach->all[i]))
				continue;
			reach->in[i] = true;
			grown = true;
		}
	}
}

static size_t reach_count(const struct reach *reach)
{
	size_t n = 0;

	for (size_t i = 0; i < reach->n_all; i++)
		n += reach->in[i];
	return n;
}

static int reach_take(const struct reach *reach, const struct device *bridge,
		      struct reset_domain *domain)
{
	domain->devices = calloc(reach_count(reach) + 1, sizeof(*domain->devices));
	if (!domain->devices)
		return -ENOMEM;
	for (size_t i = 0; i < reach->n_all; i++)
		if (reach->in[i])
			domain->devices[domain->n++] = reach->all[i];
	domain->bridge = bridge;
	return 0;
}

static void reach_function(struct reach *reach, const struct device *device)
{
	for (size_t i = 0; i < reach->n_all; i++)
		reach->in[i] = reach->all[i] == device;
	reach_close(reach);
}

static void reach_slot(struct reach *reach, const struct device *device)
{
	const struct device *pf =
		device->physical_function
			? topology_device(reach->topology, device->physical_function)
			: NULL;

	/* A VF is where its PF is, whatever number it has. */
	for (size_t i = 0; i < reach->n_all; i++)
		reach->in[i] = reach->all[i] == device ||
			       (is_pci(reach->all[i]) &&
				same_slot(reach->topology, reach->all[i], pf ? pf : device));
	reach_close(reach);
}

static void reach_bus(struct reach *reach, const struct device *bridge)
{
	for (size_t i = 0; i < reach->n_all; i++)
		reach->in[i] = is_below(reach->all[i], bridge);
	reach_close(reach);
}

/* ---- domains */

static int function_domain(struct reach *reach, const struct device *device,
			   struct reset_domain *domain, const char **why)
{
	if (!strv_length(device->reset_methods)) {
		*why = "the kernel knows no way to reset this function by itself";
		return RESET_NONE;
	}
	reach_function(reach, device);
	return reach_take(reach, NULL, domain);
}

static int slot_domain(struct reach *reach, const struct device *device,
		       const struct device *bridge, struct reset_domain *domain, const char **why)
{
	size_t n;
	int r;

	reach_slot(reach, device);
	n = reach_count(reach);
	r = reach_take(reach, bridge, domain);
	if (r < 0)
		return r;
	reach_bus(reach, bridge);
	if (n == reach_count(reach))
		return 0;
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
	reach_bus(reach, bridge);
	return reach_take(reach, bridge, domain);
}

int reset_domain(const struct topology *topology, const struct device *device, enum reset_kind kind,
		 struct reset_domain *domain, const char **why)
{
	struct reach reach;
	int r;

	*domain = (struct reset_domain){};
	*why = "only PCI devices are reset";
	if (!is_pci(device))
		return RESET_NONE;
	r = reach_init(&reach, topology);
	if (r >= 0)
		r = kind == RESET_FUNCTION ? function_domain(&reach, device, domain, why)
					   : bridged_domain(&reach, device, kind, domain, why);
	reach_done(&reach);
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
