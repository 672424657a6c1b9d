/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A device as a value: its life, why the host needs it, and what its driver means to VFIO. The
 * tables that devices are kept in are in topology.c.
 */

#include "policy/topology.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

static const char *const use_kind_table[USE_MAX] = {
	[USE_BLOCK] = "block", [USE_NETWORK] = "network", [USE_CONSOLE] = "console",
	[USE_NODES] = "nodes", [USE_VFS] = "vfs",
};
DEFINE_STRING_TABLE(use_kind, enum use_kind)

static const char *const group_kind_table[GROUP_KIND_MAX] = {
	[GROUP_IOMMU] = "iommu",
	[GROUP_EMULATED] = "emulated",
	[GROUP_NOIOMMU] = "noiommu",
};
DEFINE_STRING_TABLE(group_kind, enum group_kind)

int use_list_add(struct use_list *list, enum use_kind kind, const char *format, ...)
{
	char *text = NULL;
	va_list ap;
	int r;

	r = ARRAY_RESERVE_ONE(list->items, list->n);
	if (r < 0)
		return r;
	va_start(ap, format);
	r = vasprintf(&text, format, ap);
	va_end(ap);
	if (r < 0)
		return -ENOMEM;
	list->items[list->n++] = (struct use){ .kind = kind, .text = text };
	return 0;
}

void use_list_done(struct use_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i].text);
	free(list->items);
	*list = (struct use_list){};
}

bool use_list_equal(const struct use_list *a, const struct use_list *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->items[i].kind != b->items[i].kind ||
		    !streq(a->items[i].text, b->items[i].text))
			return false;
	return true;
}

struct device *device_new(const char *name, const char *subsystem)
{
	_cleanup_(device_freep) struct device *device = calloc(1, sizeof(*device));

	if (!device)
		return NULL;
	device->vendor = device->product = ID_UNKNOWN;
	device->subvendor = device->subproduct = ID_UNKNOWN;
	device->class_code = ID_UNKNOWN;
	device->group_id = ID_UNKNOWN;
	device->numa_node = -1;
	device->eeh = EEH_INVALID;
	device->last_recovery = RECOVERY_INVALID;
	device->name = strdup(name);
	device->subsystem = strdup(subsystem);
	device->syspath = strdup("");
	if (!device->name || !device->subsystem || !device->syspath)
		return NULL;
	return STEAL(device);
}

struct device *device_free(struct device *device)
{
	if (!device)
		return NULL;
	use_list_done(&device->uses);
	error_counters_done(&device->errors);
	free(device->serial);
	strv_free(device->reset_methods);
	strv_free(device->virtual_functions);
	free(device->physical_function);
	free(device->iommu_name);
	free(device->vfio_driver);
	free(device->vfio_node);
	free(device->slot);
	free(device->model);
	free(device->driver);
	free(device->syspath);
	free(device->subsystem);
	free(device->name);
	free(device);
	return NULL;
}

int device_take_uses(struct device *device, struct use_list *uses)
{
	if (use_list_equal(&device->uses, uses)) {
		use_list_done(uses);
		return TOPOLOGY_SAME;
	}
	use_list_done(&device->uses);
	device->uses = *uses;
	*uses = (struct use_list){};
	return TOPOLOGY_CHANGED;
}

int device_set_serial(struct device *device, const char *serial)
{
	if (streq0(device->serial, serial))
		return TOPOLOGY_SAME;
	return free_and_strdup(&device->serial, serial) < 0 ? -ENOMEM : TOPOLOGY_CHANGED;
}

static bool has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool has_suffix(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && streq(s + n - m, suffix);
}

/*
 * The bus drivers of VFIO are vfio-pci, vfio-platform, vfio-amba, vfio-fsl-mc, vfio-cdx, and the
 * variants, which the kernel names after what they extend: mlx5_vfio_pci, hisi_acc_vfio_pci,
 * nvgrace_gpu_vfio_pci, … (drivers/vfio/). The device's own variant is known from its modalias.
 */
bool driver_is_vfio(const char *driver, const char *vfio_driver)
{
	if (!driver)
		return false;
	return streq0(driver, vfio_driver) || has_prefix(driver, "vfio-") ||
	       has_prefix(driver, "vfio_") || has_suffix(driver, "-vfio-pci") ||
	       has_suffix(driver, "_vfio_pci");
}

bool device_on_vfio(const struct device *device)
{
	return driver_is_vfio(device->driver, device->vfio_driver);
}

bool driver_counts(const struct device *device)
{
	if (!device->driver || device_on_vfio(device))
		return false;
	/* A mediated device does no DMA by itself: its parent does, in the parent's group. */
	if (streq(device->subsystem, "mdev"))
		return false;
	return !streq(device->driver, "pcieport") && !streq(device->driver, "pci-stub");
}

/* "x" is a hexadecimal digit, anything else itself. */
static bool has_form(const char *s, const char *form)
{
	for (; *form; s++, form++)
		if (*form == 'x' ? !isxdigit((unsigned char)*s) : *s != *form)
			return false;
	return !*s;
}

const char *device_bus_of_name(const char *name)
{
	size_t domain = strspn(name, "0123456789abcdef");

	if (domain >= 4 && domain <= 8 && has_form(name + domain, ":xx:xx.x"))
		return "pci";
	if (has_form(name, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"))
		return "mdev";
	return "platform";
}

bool bus_can_be_leased(const char *subsystem)
{
	return streq(subsystem, "pci") || streq(subsystem, "mdev") || streq(subsystem, "platform");
}

bool bus_has_override(const char *subsystem)
{
	return !streq(subsystem, "mdev");
}
