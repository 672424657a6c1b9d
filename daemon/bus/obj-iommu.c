/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.vfiod1.Iommu */

#include "daemon/bus/object.h"
#include "policy/iommu-use.h"

#include <inttypes.h>

static int append_name(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct iommu *iommu = object;

	return append_string(m, iommu->name);
}

static int append_driver(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct iommu *iommu = object;

	return append_string(m, iommu->driver);
}

static int append_devices(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct iommu *iommu = object;
	_cleanup_free_ struct device **devices = NULL;
	size_t n = 0;
	int r;

	devices = topology_devices_sorted(&manager->topology, &n);
	r = sd_bus_message_open_container(m, 'a', "o");
	for (size_t i = 0; r >= 0 && i < n; i++)
		if (streq0(devices[i]->iommu_name, iommu->name))
			r = append_path_device(manager, m, devices[i]->name);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int append_groups(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct iommu *iommu = object;
	_cleanup_free_ uint32_t *ids = NULL;
	size_t n = 0;
	int r;

	ids = calloc(HASH_COUNT(manager->topology.groups) + 1, sizeof(*ids));
	if (!ids)
		return -ENOMEM;
	HASH_FOREACH (group, manager->topology.groups)
		if (group_behind_iommu(group, iommu))
			ids[n++] = group->id;
	qsort(ids, n, sizeof(*ids), compare_u32);
	r = sd_bus_message_open_container(m, 'a', "o");
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = append_path_group(m, ids[i]);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_leases(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct iommu *iommu = object;

	return sd_bus_message_append(m, "u", iommu->leases);
}

static int append_in_use(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct iommu *iommu = object;

	return sd_bus_message_append(m, "b", iommu->leases > 0);
}

/* Sizes as "at", numbers of a set as "au": a bit for each. */
static int append_bits(sd_bus_message *m, char type, uint64_t bits)
{
	const char contents[] = { type, 0 };
	int r = sd_bus_message_open_container(m, 'a', contents);

	for (unsigned int i = 0; r >= 0 && i < 64; i++) {
		uint64_t size = UINT64_C(1) << i;
		uint32_t number = i;

		if (bits & size)
			r = sd_bus_message_append_basic(
				m, type, type == 't' ? (const void *)&size : (const void *)&number);
	}
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_value(sd_bus_message *m, const struct iommu_cap *cap)
{
	switch (cap->type) {
	case IOMMU_CAP_FLAG:
		return sd_bus_message_append(m, "b", cap->value != 0);
	case IOMMU_CAP_NUMBER:
		return sd_bus_message_append(m, "u", (uint32_t)cap->value);
	case IOMMU_CAP_LONG:
		return sd_bus_message_append(m, "t", cap->value);
	case IOMMU_CAP_SIZES:
		return append_bits(m, 't', cap->value);
	case IOMMU_CAP_SET:
		return append_bits(m, 'u', cap->value);
	case IOMMU_CAP_TEXT:
		return append_string(m, cap->text);
	case IOMMU_CAP_UNKNOWN:
	case IOMMU_CAP_TYPE_MAX:
	case IOMMU_CAP_TYPE_INVALID:
		break;
	}
	return -EINVAL;
}

static const char *const cap_signatures[IOMMU_CAP_TYPE_MAX] = {
	[IOMMU_CAP_FLAG] = "b",	  [IOMMU_CAP_NUMBER] = "u", [IOMMU_CAP_LONG] = "t",
	[IOMMU_CAP_SIZES] = "at", [IOMMU_CAP_SET] = "au",   [IOMMU_CAP_TEXT] = "s",
};

static int append_capability(sd_bus_message *m, const struct iommu_cap *cap)
{
	const char *signature = cap_signatures[cap->type];
	int r;

	r = sd_bus_message_open_container(m, 'e', "sv");
	if (r >= 0)
		r = sd_bus_message_append_basic(m, 's', cap->key);
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', signature);
	if (r >= 0)
		r = append_value(m, cap);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

/* "unknown": register by register, the bits that nobody here knows, as a hexadecimal number. */
static int append_unknown(sd_bus_message *m, const struct iommu_caps *caps)
{
	int r;

	r = sd_bus_message_open_container(m, 'e', "sv");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", "unknown");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', "a{ss}");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "{ss}");
	for (size_t i = 0; r >= 0 && i < caps->n; i++) {
		char text[24];

		if (caps->items[i].type != IOMMU_CAP_UNKNOWN)
			continue;
		snprintf(text, sizeof(text), "0x%" PRIx64, caps->items[i].value);
		r = sd_bus_message_append(m, "{ss}", caps->items[i].key, text);
	}
	for (int i = 0; r >= 0 && i < 3; i++)
		r = sd_bus_message_close_container(m);
	return r;
}

static int append_capabilities(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct iommu *iommu = object;
	bool unknown = false;
	int r;

	r = sd_bus_message_open_container(m, 'a', "{sv}");
	for (size_t i = 0; r >= 0 && i < iommu->caps.n; i++) {
		if (iommu->caps.items[i].type == IOMMU_CAP_UNKNOWN)
			unknown = true;
		else
			r = append_capability(m, &iommu->caps.items[i]);
	}
	if (r >= 0 && unknown)
		r = append_unknown(m, &iommu->caps);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static const struct property properties[] = {
	{ "Name", append_name },
	{ "Driver", append_driver },
	{ "Devices", append_devices },
	{ "Groups", append_groups },
	{ "Leases", append_leases },
	{ "InUse", append_in_use },
	{ "Capabilities", append_capabilities },
	{ NULL, NULL },
};

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	PROPERTY("Name", "s", PROPERTY_CONST),
	PROPERTY("Driver", "s", PROPERTY_CONST),
	PROPERTY("Devices", "ao", PROPERTY_CHANGES),
	PROPERTY("Groups", "ao", PROPERTY_CHANGES),
	/* Without a signal of its own: that comes with InUse, when it begins and when it ends. */
	PROPERTY("Leases", "u", 0),
	PROPERTY("InUse", "b", PROPERTY_CHANGES),
	PROPERTY("Capabilities", "a{sv}", PROPERTY_CONST),
	SD_BUS_VTABLE_END,
};

static const void *find(struct manager *manager, const char *path)
{
	_cleanup_free_ char *name = NULL;

	return path_iommu_decode(path, &name) == 0 ? topology_iommu(&manager->topology, name)
						   : NULL;
}

static int enumerate(struct manager *manager, char ***paths)
{
	HASH_FOREACH (iommu, manager->topology.iommus) {
		_cleanup_free_ char *path = NULL;

		if (path_iommu(iommu->name, &path) >= 0 && strv_extend(paths, path) < 0)
			return -ENOMEM;
	}
	return 0;
}

const struct object_class iommu_class = {
	.interface = "org.vfiod1.Iommu",
	.prefix = VFIOD_PATH_IOMMU,
	.vtable = vtable,
	.properties = properties,
	.find = find,
	.enumerate = enumerate,
};
