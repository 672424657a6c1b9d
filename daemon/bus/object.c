/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of object.h: registration, lookup, and appending of common values. */

#include "daemon/bus/object.h"

const struct object_class *const object_classes[] = {
	&manager_class, &iommu_class, &group_class, &device_class, &lease_class, NULL,
};

static const struct object_class *class_of(const char *interface)
{
	for (size_t i = 0; object_classes[i]; i++)
		if (streq(object_classes[i]->interface, interface))
			return object_classes[i];
	return NULL;
}

int object_get(sd_bus *bus, const char *path, const char *interface, const char *property,
	       sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct manager *manager = userdata;
	const struct object_class *class = class_of(interface);
	const void *object = class ? class->find(manager, path) : NULL;

	if (!object)
		return bus_error_set(error, "UnknownObject", "%s is gone; list the objects anew",
				     path);
	for (const struct property *p = class->properties; p->name; p++)
		if (streq(p->name, property))
			return p->append(manager, object, reply);
	return -ENOENT;
}

static int on_find(sd_bus *bus, const char *path, const char *interface, void *userdata,
		   void **found, sd_bus_error *error)
{
	const struct object_class *class = class_of(interface);

	if (!class || !class->find(userdata, path))
		return 0;
	*found = userdata;
	return 1;
}

/* sd-bus says for which path it asks, not which enumerator it calls: each class has its own. */
#define DEFINE_ENUMERATOR(name)                                                                   \
	static int enumerate_##name(sd_bus *bus, const char *path, void *userdata, char ***nodes, \
				    sd_bus_error *error)                                          \
	{                                                                                         \
		_cleanup_strv_ char **paths = NULL;                                               \
		int r = name##_class.enumerate(userdata, &paths);                                 \
		if (r < 0)                                                                        \
			return r;                                                                 \
		*nodes = STEAL(paths);                                                            \
		return 1;                                                                         \
	}
DEFINE_ENUMERATOR(iommu)
DEFINE_ENUMERATOR(group)
DEFINE_ENUMERATOR(device)
DEFINE_ENUMERATOR(lease)

static const struct {
	const struct object_class *class;
	sd_bus_node_enumerator_t enumerate;
} enumerators[] = {
	{ &iommu_class, enumerate_iommu },
	{ &group_class, enumerate_group },
	{ &device_class, enumerate_device },
	{ &lease_class, enumerate_lease },
};

static int register_class(struct manager *manager, sd_bus *bus, const struct object_class *class)
{
	if (!class->enumerate)
		return sd_bus_add_object_vtable(bus, NULL, class->prefix, class->interface,
						class->vtable, manager);
	return sd_bus_add_fallback_vtable(bus, NULL, class->prefix, class->interface, class->vtable,
					  on_find, manager);
}

int objects_register(struct manager *manager, sd_bus *bus)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && object_classes[i]; i++)
		r = register_class(manager, bus, object_classes[i]);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(enumerators); i++)
		r = sd_bus_add_node_enumerator(bus, NULL, enumerators[i].class->prefix,
					       enumerators[i].enumerate, manager);
	return r < 0 ? r : sd_bus_add_object_manager(bus, NULL, VFIOD_PATH);
}

int append_string(sd_bus_message *m, const char *s)
{
	_cleanup_free_ char *copy = strdup(s ? s : "");

	if (!copy)
		return -ENOMEM;
	return sd_bus_message_append_basic(m, 's', utf8_clean(copy));
}

static int append_path(sd_bus_message *m, int r, const char *path)
{
	if (r == -ENOMEM)
		return r;
	return sd_bus_message_append_basic(m, 'o', r < 0 ? "/" : path);
}

char *device_path(struct manager *manager, const char *name)
{
	const struct device *device = topology_device(&manager->topology, name);
	char *path = NULL;

	if (path_device(device			  ? device->subsystem
			: pci_address_valid(name) ? "pci"
						  : "?",
			name, &path) < 0)
		return NULL;
	return path;
}

int append_path_device(struct manager *manager, sd_bus_message *m, const char *name)
{
	_cleanup_free_ char *path = name ? device_path(manager, name) : NULL;

	return append_path(m, path ? 0 : -EINVAL, path);
}

int append_path_group(sd_bus_message *m, uint32_t id)
{
	_cleanup_free_ char *path = NULL;
	int r = id == ID_UNKNOWN ? -EINVAL : path_group(id, &path);

	return append_path(m, r, path);
}

int append_path_iommu(sd_bus_message *m, const char *name)
{
	_cleanup_free_ char *path = NULL;
	int r = name ? path_iommu(name, &path) : -EINVAL;

	return append_path(m, r, path);
}

int append_path_lease(sd_bus_message *m, const char *id)
{
	_cleanup_free_ char *path = NULL;
	int r = id ? path_lease(id, &path) : -EINVAL;

	return append_path(m, r, path);
}
