/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The picture: all objects of vfiod with their properties, read in one call. Each object is a JSON
 * object with the names of its bus properties, and "Path" besides.
 */

#include "client/ctl/ctl.h"

#define IFACE_MANAGER "org.vfiod1.Manager"
#define IFACE_IOMMU   "org.vfiod1.Iommu"
#define IFACE_GROUP   "org.vfiod1.Group"
#define IFACE_DEVICE  "org.vfiod1.Device"
#define IFACE_LEASE   "org.vfiod1.Lease"

struct picture {
	json_object *objects; /* path → interface → properties */
};

/* Reads it. EXIT_OK, or the exit code with everything said. */
int picture_read(struct ctl *ctl, struct picture *picture);
/* From the reply of GetManagedObjects. 0 or a negative errno. */
int picture_from_message(sd_bus_message *reply, struct picture *picture);
void picture_done(struct picture *picture);

/* The object's properties, or NULL; not a reference. "/" is nothing. */
json_object *picture_get(const struct picture *picture, const char *path, const char *interface);
/* All objects with this interface, in the order for people. A new array, or NULL: out of memory. */
json_object *picture_all(const struct picture *picture, const char *interface);
/* One object's properties read afresh (Uses is surveyed then). An exit code. */
int picture_read_one(struct ctl *ctl, const char *path, const char *interface,
		     json_object **object);
/*
 * Asks for each device what a reset of it reaches, and adds that to the device as "ResetDomain": an
 * array of arrays of a device's path and its group's. A device of which the daemon tells none (it
 * has gone meanwhile) gets an empty one. EXIT_OK, or the exit code with everything said.
 */
int picture_read_domains(struct ctl *ctl, json_object *devices);

/* Properties by name; "" or 0 where there is none. */
const char *prop_string(json_object *object, const char *name);
int64_t prop_int(json_object *object, const char *name);
bool prop_bool(json_object *object, const char *name);
/* The number of items, and the i-th item as a string ("" if it is none). */
size_t prop_length(json_object *object, const char *name);
const char *prop_item(json_object *object, const char *name, size_t i);

/* What an object is called: its Name or Id, or the end of its path if it is not in the picture. */
const char *picture_label(const struct picture *picture, const char *path);
/* The labels of a property with paths, joined with ", ". New, or NULL when out of memory. */
char *picture_labels(const struct picture *picture, json_object *object, const char *name);
/* The state to show for a device: its group's, while that is on its way, or its own. */
const char *device_state(const struct picture *picture, json_object *device);
/* The path of a device as it was typed, within *reply, which is the caller's; an exit code. */
int ctl_find_device(struct ctl *ctl, const char *typed, sd_bus_message **reply, const char **path);
/* Whether nothing broke, as far as the daemon says. */
bool device_is_well(json_object *device);
/* "alice", "alice: vm1" (with the lease's label), or "". New, or NULL when out of memory. */
char *owner_text(json_object *lease);
/* "8086:10d3", or "" for a device without. New, or NULL when out of memory. */
char *hardware_text(json_object *device);
/* Where a device is on the bus of a lease's guest, "00:1e.0"; "" for nowhere, or no lease. */
const char *picture_guest_address(json_object *lease, const char *device);
