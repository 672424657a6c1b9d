/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.vfiod1.Lease: properties. Its methods are in lease-methods.c. */

#include "daemon/bus/add-devices.h"
#include "daemon/bus/device-error.h"
#include "daemon/bus/guest-bus.h"
#include "daemon/bus/lease-methods.h"
#include "daemon/bus/object.h"
#include "daemon/bus/remove-devices.h"
#include "daemon/bus/reset.h"
#include "daemon/bus/revoke.h"

static int append_id(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct lease *lease = object;

	return append_string(m, lease->id);
}

static int append_name(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct lease *lease = object;

	return append_string(m, lease->name);
}

static int append_owner(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct lease *lease = object;

	return sd_bus_message_append(m, "u", lease->owner);
}

static int append_mode(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct lease *lease = object;

	return append_string(m, mode_to_string(lease->mode));
}

static int append_state(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct lease *lease = object;

	return append_string(m, lease_state_to_string(lease->state));
}

static int append_groups(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct lease *lease = object;
	int r;

	r = sd_bus_message_open_container(m, 'a', "o");
	for (size_t i = 0; r >= 0 && i < lease->n_groups; i++)
		if (!lease->groups[i].gone)
			r = append_path_group(m, lease->groups[i].id);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_devices_in(struct manager *manager, const struct lease *lease,
			     enum device_state state, sd_bus_message *m)
{
	int r;

	r = sd_bus_message_open_container(m, 'a', "o");
	for (size_t i = 0; r >= 0 && i < lease->n_devices; i++)
		if (lease->devices[i].state == state && !lease->devices[i].left &&
		    !lease->devices[i].gone)
			r = append_path_device(manager, m, lease->devices[i].name);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_devices(struct manager *manager, const void *object, sd_bus_message *m)
{
	return append_devices_in(manager, object, DEVICE_GRANTED, m);
}

static int append_withheld(struct manager *manager, const void *object, sd_bus_message *m)
{
	return append_devices_in(manager, object, DEVICE_WITHHELD, m);
}

static int append_fenced(struct manager *manager, const void *object, sd_bus_message *m)
{
	return append_devices_in(manager, object, DEVICE_FENCED, m);
}

static int append_holders(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct lease *lease = object;
	int r;

	r = sd_bus_message_open_container(m, 'a', "(us)");
	for (size_t i = 0; r >= 0 && i < lease->n_holders; i++) {
		const struct lease_holder *holder = &lease->holders[i];

		r = sd_bus_message_open_container(m, 'r', "us");
		if (r >= 0)
			r = sd_bus_message_append(m, "u", (uint32_t)holder->pid);
		if (r >= 0)
			r = append_string(m, holder->command);
		if (r >= 0)
			r = sd_bus_message_close_container(m);
	}
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_since(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct lease *lease = object;

	return sd_bus_message_append(m, "t", lease->since_usec);
}

/* (device, text) for each device of the lease that has one. */
static int append_texts(struct manager *manager, const struct lease *lease, sd_bus_message *m,
			const char *(*text)(const struct lease_device *))
{
	int r;

	r = sd_bus_message_open_container(m, 'a', "(os)");
	for (size_t i = 0; r >= 0 && i < lease->n_devices; i++) {
		const char *s = text(&lease->devices[i]);

		if (!s)
			continue;
		r = sd_bus_message_open_container(m, 'r', "os");
		if (r >= 0)
			r = append_path_device(manager, m, lease->devices[i].name);
		if (r >= 0)
			r = append_string(m, s);
		if (r >= 0)
			r = sd_bus_message_close_container(m);
	}
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_revocation(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct lease *lease = object;
	int r;

	r = sd_bus_message_open_container(m, 'r', "stss");
	if (r >= 0)
		r = append_string(m, revocation_to_string(lease->revocation));
	if (r >= 0)
		r = sd_bus_message_append(m, "t", lease->revoke_deadline_usec);
	if (r >= 0)
		r = append_string(m, lease->revoke_reason);
	if (r >= 0)
		r = append_string(m, lease->revoke_note);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_part_of(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct lease *lease = object;

	return lease->part_of ? append_path_lease(m, lease->part_of)
			      : sd_bus_message_append(m, "o", "/");
}

static const char *rule_of(const struct lease_device *device)
{
	return device->rule;
}

static const char *error_of(const struct lease_device *device)
{
	return device->error;
}

static int append_rules(struct manager *manager, const void *object, sd_bus_message *m)
{
	return append_texts(manager, object, m, rule_of);
}

static int append_errors(struct manager *manager, const void *object, sd_bus_message *m)
{
	return append_texts(manager, object, m, error_of);
}

static const struct property properties[] = {
	{ "Id", append_id },
	{ "Name", append_name },
	{ "Owner", append_owner },
	{ "Mode", append_mode },
	{ "State", append_state },
	{ "Groups", append_groups },
	{ "Devices", append_devices },
	{ "Withheld", append_withheld },
	{ "Fenced", append_fenced },
	{ "Holders", append_holders },
	{ "Errors", append_errors },
	{ "Since", append_since },
	{ "Rules", append_rules },
	{ "PartOf", append_part_of },
	{ "Revocation", append_revocation },
	{ "GuestAddresses", append_guest_addresses },
	{ NULL, NULL },
};

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD_WITH_ARGS("Release", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_release,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("GetFds", SD_BUS_NO_ARGS, SD_BUS_RESULT("h", handoff),
				method_get_fds, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("Subscribe", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_subscribe,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("Restore", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_restore,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("AddDevices", SD_BUS_ARGS("as", devices, "a{sv}", options),
				SD_BUS_RESULT("h", handoff), method_add_devices,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("RemoveDevices", SD_BUS_ARGS("as", devices), SD_BUS_NO_RESULT,
				method_remove_devices, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("ReserveGuestAddresses", SD_BUS_ARGS("as", addresses),
				SD_BUS_NO_RESULT, method_reserve_guest_addresses,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("PlaceDevices", SD_BUS_ARGS("a{sv}", devices),
				SD_BUS_RESULT("a(ss)", addresses), method_place_devices,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("Reset", SD_BUS_ARGS("as", devices, "s", kind), SD_BUS_NO_RESULT,
				method_reset, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("Revoke", SD_BUS_ARGS("t", grace_usec, "s", reason),
				SD_BUS_NO_RESULT, method_revoke, SD_BUS_VTABLE_UNPRIVILEGED),
	PROPERTY("Id", "s", PROPERTY_CONST),
	PROPERTY("Name", "s", PROPERTY_CONST),
	PROPERTY("Owner", "u", PROPERTY_CONST),
	PROPERTY("Mode", "s", PROPERTY_CONST),
	PROPERTY("State", "s", PROPERTY_CHANGES),
	PROPERTY("Groups", "ao", PROPERTY_CHANGES),
	PROPERTY("Devices", "ao", PROPERTY_CHANGES),
	PROPERTY("Withheld", "ao", PROPERTY_CHANGES),
	PROPERTY("Fenced", "ao", PROPERTY_CHANGES),
	PROPERTY("Holders", "a(us)", PROPERTY_CHANGES),
	PROPERTY("Errors", "a(os)", PROPERTY_CHANGES),
	PROPERTY("Since", "t", PROPERTY_CONST),
	PROPERTY("Rules", "a(os)", PROPERTY_CHANGES),
	PROPERTY("PartOf", "o", PROPERTY_CONST),
	PROPERTY("Revocation", "(stss)", PROPERTY_CHANGES),
	PROPERTY("GuestAddresses", "a(ss)", PROPERTY_CHANGES),
	SD_BUS_SIGNAL_WITH_ARGS("RevokeRequested", SD_BUS_ARGS("t", deadline_usec, "s", reason), 0),
	SD_BUS_SIGNAL_WITH_ARGS("DeviceError",
				SD_BUS_ARGS("o", device, "s", event, "a{sv}", details), 0),
	SD_BUS_SIGNAL_WITH_ARGS("Ended", SD_BUS_ARGS("s", reason), 0),
	SD_BUS_VTABLE_END,
};

static const void *find(struct manager *manager, const char *path)
{
	_cleanup_free_ char *id = NULL;

	return path_lease_decode(path, &id) == 0 ? ledger_lease(&manager->ledger, id) : NULL;
}

static int enumerate(struct manager *manager, char ***paths)
{
	HASH_FOREACH (lease, manager->ledger.leases) {
		_cleanup_free_ char *path = NULL;

		if (path_lease(lease->id, &path) >= 0 && strv_extend(paths, path) < 0)
			return -ENOMEM;
	}
	return 0;
}

const struct object_class lease_class = {
	.interface = "org.vfiod1.Lease",
	.prefix = VFIOD_PATH_LEASE,
	.vtable = vtable,
	.properties = properties,
	.find = find,
	.enumerate = enumerate,
};
