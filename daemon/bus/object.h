/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What every D-Bus object of ours is made of: a class has an interface, a table of properties and
 * a vtable; objects are found by their path at each access, so nothing here holds a pointer into
 * the model.
 */

#include "daemon/bus/error.h"
#include "daemon/bus/path.h"
#include "daemon/manager.h"

struct property {
	const char *name;
	/* Appends the value, in the signature that the vtable says. */
	int (*append)(struct manager *manager, const void *object, sd_bus_message *m);
};

struct object_class {
	const char *interface;
	const char *prefix; /* objects are PREFIX/ELEMENT; the manager's is the path itself */
	const sd_bus_vtable *vtable;
	const struct property *properties; /* up to one without a name */
	/* The object at a path, or NULL. */
	const void *(*find)(struct manager *manager, const char *path);
	/* Paths of all objects. 0 or -ENOMEM. */
	int (*enumerate)(struct manager *manager, char ***paths);
};

extern const struct object_class manager_class;
extern const struct object_class iommu_class;
extern const struct object_class group_class;
extern const struct object_class device_class;
extern const struct object_class lease_class;
extern const struct object_class *const object_classes[]; /* NULL-terminated */

/* Registers the vtables of all classes and the object manager. */
int objects_register(struct manager *manager, sd_bus *bus);

/* The getter of every vtable: looks the object up and calls the property's append(). */
int object_get(sd_bus *bus, const char *path, const char *interface, const char *property,
	       sd_bus_message *reply, void *userdata, sd_bus_error *error);

#define PROPERTY(name, signature, flags) SD_BUS_PROPERTY(name, signature, object_get, 0, flags)
#define PROPERTY_CONST			 SD_BUS_VTABLE_PROPERTY_CONST
#define PROPERTY_CHANGES		 SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE

/* What properties append. A NULL string is an empty one, a path that cannot be made is "/". */
int append_string(sd_bus_message *m, const char *s);
int append_path_device(struct manager *manager, sd_bus_message *m, const char *name);
int append_path_group(sd_bus_message *m, uint32_t id);
int append_path_iommu(sd_bus_message *m, const char *name);
int append_path_lease(sd_bus_message *m, const char *id);

/* The path of a device by name: by what the topology knows of its subsystem, else by the form of
 * the name. Of the caller; NULL when out of memory. */
char *device_path(struct manager *manager, const char *name);
