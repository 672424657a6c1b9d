/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.vfiod1.Group */

#include "daemon/bus/object.h"

static int append_id(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct group *group = object;

	return sd_bus_message_append(m, "u", group->id);
}

static int append_generation(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct group *group = object;

	return sd_bus_message_append(m, "t", group->generation);
}

static int append_type(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct group *group = object;

	return append_string(m, group->type);
}

/* What its devices address is memory as it is: nothing is translated, and nothing held off. */
static int append_identity(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct group *group = object;

	return sd_bus_message_append(m, "b", streq(group->type, "identity"));
}

static int append_state(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct group *group = object;
	const struct lease *lease = ledger_group(&manager->ledger, group->id);

	return append_string(m, lease ? lease_state_to_string(lease->state) : "host");
}

static int append_iommu(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct group *group = object;

	for (size_t i = 0; i < group->n_devices; i++)
		if (group->devices[i]->iommu_name)
			return append_path_iommu(m, group->devices[i]->iommu_name);
	return append_path_iommu(m, NULL);
}

static int append_devices(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct group *group = object;
	int r;

	r = sd_bus_message_open_container(m, 'a', "o");
	for (size_t i = 0; r >= 0 && i < group->n_devices; i++)
		r = append_path_device(manager, m, group->devices[i]->name);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

/* The kernel's own criterion: no member on a driver that counts. */
static int append_viable(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct group *group = object;
	bool viable = group->kind != GROUP_NOIOMMU;

	for (size_t i = 0; i < group->n_devices; i++)
		viable &= !driver_counts(group->devices[i]);
	return sd_bus_message_append(m, "b", viable);
}

static int append_blockers(struct manager *manager, const void *object, sd_bus_message *m)
{
	struct blocker *blockers = NULL;
	size_t n = 0;
	int r;

	r = group_blockers(object, &blockers, &n);
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(os)");
	for (size_t i = 0; r >= 0 && i < n; i++) {
		r = sd_bus_message_open_container(m, 'r', "os");
		if (r >= 0)
			r = append_path_device(manager, m, blockers[i].device->name);
		if (r >= 0)
			r = append_string(m, blockers[i].reason);
		if (r >= 0)
			r = sd_bus_message_close_container(m);
	}
	blockers_free(blockers, n);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_lease(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct group *group = object;
	const struct lease *lease = ledger_group(&manager->ledger, group->id);

	return append_path_lease(m, lease ? lease->id : NULL);
}

static int append_node(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct group *group = object;
	char text[32];

	for (size_t i = 0; i < group->n_devices; i++)
		if (device_on_vfio(group->devices[i])) {
			snprintf(text, sizeof(text), "/dev/vfio/%u", group->id);
			return append_string(m, text);
		}
	return append_string(m, "");
}

static int append_regions(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct group *group = object;
	int r;

	r = sd_bus_message_open_container(m, 'a', "(tts)");
	for (size_t i = 0; r >= 0 && i < group->n_regions; i++)
		r = sd_bus_message_append(m, "(tts)", group->regions[i].start,
					  group->regions[i].end, group->regions[i].type);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static const struct property properties[] = {
	{ "Id", append_id },
	{ "Generation", append_generation },
	{ "Type", append_type },
	{ "Identity", append_identity },
	{ "State", append_state },
	{ "Iommu", append_iommu },
	{ "Devices", append_devices },
	{ "Viable", append_viable },
	{ "Blockers", append_blockers },
	{ "Lease", append_lease },
	{ "Node", append_node },
	{ "ReservedRegions", append_regions },
	{ NULL, NULL },
};

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	PROPERTY("Id", "u", PROPERTY_CONST),
	PROPERTY("Generation", "t", PROPERTY_CONST),
	PROPERTY("Type", "s", PROPERTY_CHANGES),
	PROPERTY("Identity", "b", PROPERTY_CHANGES),
	PROPERTY("State", "s", PROPERTY_CHANGES),
	PROPERTY("Iommu", "o", PROPERTY_CHANGES),
	PROPERTY("Devices", "ao", PROPERTY_CHANGES),
	PROPERTY("Viable", "b", PROPERTY_CHANGES),
	PROPERTY("Blockers", "a(os)", PROPERTY_CHANGES),
	PROPERTY("Lease", "o", PROPERTY_CHANGES),
	PROPERTY("Node", "s", PROPERTY_CHANGES),
	PROPERTY("ReservedRegions", "a(tts)", PROPERTY_CHANGES),
	SD_BUS_VTABLE_END,
};

static const void *find(struct manager *manager, const char *path)
{
	uint32_t id;

	return path_group_decode(path, &id) == 0 ? topology_group(&manager->topology, id) : NULL;
}

static int enumerate(struct manager *manager, char ***paths)
{
	HASH_FOREACH (group, manager->topology.groups) {
		_cleanup_free_ char *path = NULL;

		if (path_group(group->id, &path) >= 0 && strv_extend(paths, path) < 0)
			return -ENOMEM;
	}
	return 0;
}

const struct object_class group_class = {
	.interface = "org.vfiod1.Group",
	.prefix = VFIOD_PATH_GROUP,
	.vtable = vtable,
	.properties = properties,
	.find = find,
	.enumerate = enumerate,
};
