/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.vfiod1.Iommu */

#include "daemon/bus/object.h"

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

static bool group_behind(const struct group *group, const struct iommu *iommu)
{
	for (size_t i = 0; i < group->n_devices; i++)
		if (streq0(group->devices[i]->iommu_name, iommu->name))
			return true;
	return false;
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
		if (group_behind(group, iommu))
			ids[n++] = group->id;
	qsort(ids, n, sizeof(*ids), compare_u32);
	r = sd_bus_message_open_container(m, 'a', "o");
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = append_path_group(m, ids[i]);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static uint32_t count_leases(struct manager *manager, const struct iommu *iommu)
{
	uint32_t n = 0;

	HASH_FOREACH (lease, manager->ledger.leases)
		for (size_t i = 0; i < lease->n_groups; i++) {
			const struct group *group =
				topology_group(&manager->topology, lease->groups[i].id);

			if (group && !lease->groups[i].gone && group_behind(group, iommu)) {
				n++;
				break;
			}
		}
	return n;
}

static int append_leases(struct manager *manager, const void *object, sd_bus_message *m)
{
	return sd_bus_message_append(m, "u", count_leases(manager, object));
}

static int append_in_use(struct manager *manager, const void *object, sd_bus_message *m)
{
	return sd_bus_message_append(m, "b", count_leases(manager, object) > 0);
}

/* The registers as sysfs shows them: strings, by the attribute's name. */
static const char *const capability_attributes[] = {
	"intel-iommu/version", "intel-iommu/address",		"intel-iommu/cap",
	"intel-iommu/ecap",    "intel-iommu/domains_supported", "amd-iommu/cap",
	"amd-iommu/features",
};

static int append_capabilities(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct iommu *iommu = object;
	int r;

	r = sd_bus_message_open_container(m, 'a', "{sv}");
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(capability_attributes); i++) {
		const char *attribute = capability_attributes[i];
		_cleanup_free_ char *path = NULL, *text = NULL;

		if (asprintf(&path, "class/iommu/%s/%s", iommu->name, attribute) < 0)
			return -ENOMEM;
		if (file_read_at(manager->host.sys, path, 256, &text, NULL) < 0)
			continue;
		text[strcspn(text, "\n")] = 0;
		r = sd_bus_message_append(m, "{sv}", strchr(attribute, '/') + 1, "s",
					  utf8_clean(text));
	}
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
	PROPERTY("Leases", "u", PROPERTY_CHANGES),
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
