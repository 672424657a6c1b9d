/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.vfiod1.Manager: properties, and the methods that fit in a few lines. */

#include "daemon/bus/acquire.h"
#include "daemon/bus/call.h"
#include "daemon/bus/explain.h"
#include "daemon/bus/object.h"
#include "daemon/bus/pools.h"
#include "daemon/lease/handoff.h"

/* ---- Find… */

static int reply_path(sd_bus_message *m, int r, const char *path)
{
	return r < 0 ? r : sd_bus_reply_method_return(m, "o", path);
}

static int method_find_device(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct manager *manager = userdata;
	_cleanup_free_ char *path = NULL;
	const struct device *device;
	const char *name;
	int r;

	r = sd_bus_message_read(m, "s", &name);
	if (r < 0)
		return r;
	device = topology_device(&manager->topology, name);
	if (!device)
		return bus_error_set(error, "NoSuchDevice",
				     "there is no device %.256s; vfiodctl list shows all", name);
	r = path_device(device->subsystem, device->name, &path);
	return reply_path(m, r, path);
}

static int method_find_group(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct manager *manager = userdata;
	_cleanup_free_ char *path = NULL;
	uint32_t id;
	int r;

	r = sd_bus_message_read(m, "u", &id);
	if (r < 0)
		return r;
	if (!topology_group(&manager->topology, id))
		return bus_error_set(error, "NoSuchGroup",
				     "there is no IOMMU group %u; vfiodctl tree shows all", id);
	r = path_group(id, &path);
	return reply_path(m, r, path);
}

static void find_lease(struct call *call)
{
	struct manager *manager = call->manager;
	sd_bus_message *reply = NULL;
	const struct lease *lease;
	const char *name;
	int r;

	r = sd_bus_message_rewind(call->message, 1);
	if (r >= 0)
		r = sd_bus_message_read(call->message, "s", &name);
	if (r < 0) {
		call_errno(call, r, "reading the call");
		return;
	}
	lease = ledger_find(&manager->ledger, name, call->creds->uid, call->creds->uid == 0);
	if (!lease) {
		call_error(call, "NoSuchLease",
			   "there is no lease \"%.64s\" that you can mean by it; vfiodctl leases "
			   "shows all",
			   name);
		return;
	}
	r = call_new_reply(call, &reply);
	if (r >= 0)
		r = append_path_lease(reply, lease->id);
	if (r >= 0) {
		call_reply(call, reply);
		return;
	}
	sd_bus_message_unref(reply);
	call_errno(call, r, "making the reply");
}

static int method_find_lease(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return call_start(userdata, m, find_lease, error);
}

/* ---- Reload, Rescan */

static void on_reloaded(int r, const char *error, void *userdata)
{
	struct call *call = userdata;

	/* The call is not waiting any more: its end must not look for it. */
	call->data_free = NULL;
	if (r < 0)
		call_error(call, "PolicyInvalid", "%s; the policy in force stays", error);
	else
		call_done(call);
}

static void forget_reload(void *data)
{
	struct call *call = data;

	manager_reload_forget(call->manager, call);
}

static void reload(struct call *call)
{
	if (!call_require_root(call))
		return;
	call->data = call;
	call->data_free = forget_reload;
	manager_reload(call->manager, on_reloaded, call);
}

static int method_reload(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return call_start(userdata, m, reload, error);
}

static void rescan(struct call *call)
{
	int r;

	if (!call_require_root(call))
		return;
	r = manager_rescan(call->manager);
	if (r < 0)
		call_errno(call, r, "reading sysfs");
	else
		call_done(call);
}

static int method_rescan(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return call_start(userdata, m, rescan, error);
}

/* ---- Drain */

static void drain(struct call *call)
{
	int on, r;

	if (!call_require_root(call))
		return;
	r = sd_bus_message_rewind(call->message, 1);
	if (r >= 0)
		r = sd_bus_message_read(call->message, "b", &on);
	if (r >= 0)
		r = manager_drain(call->manager, on);
	if (r < 0)
		call_errno(call, r, "writing it down");
	else
		call_done(call);
}

static int method_drain(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return call_start(userdata, m, drain, error);
}

/* ---- properties */

static int append_version(struct manager *manager, const void *object, sd_bus_message *m)
{
	return append_string(m, PACKAGE_VERSION);
}

static int append_features(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct host_features *f = &manager->features;
	const struct {
		bool has;
		const char *name;
	} features[] = {
		{ f->group, "group" },
		{ f->iommufd, "iommufd" },
		{ f->cdev, "cdev" },
		{ true, "fence-reaction" },
		/* Nobody attaches before handing out but in mode group. */
		{ f->group, "fence-ownership" },
		/* Where the policy has it so: "hotplug": { "probe": "broker" }. */
		{ manager->autoprobe_honoured, "fence-probing" },
		{ true, "fence-vf-switch" },
		{ manager->process_fd, "process-fd" },
	};
	int r = sd_bus_message_open_container(m, 'a', "s");

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(features); i++)
		if (features[i].has)
			r = append_string(m, features[i].name);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_policy_files(struct manager *manager, const void *object, sd_bus_message *m)
{
	int r = sd_bus_message_open_container(m, 'a', "s");

	if (manager->policy)
		STRV_FOREACH (file, manager->policy->files)
			if (r >= 0)
				r = append_string(m, *file);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_policy_serial(struct manager *manager, const void *object, sd_bus_message *m)
{
	return sd_bus_message_append(m, "t", manager->policy_serial);
}

static int append_draining(struct manager *manager, const void *object, sd_bus_message *m)
{
	return sd_bus_message_append(m, "b", manager->draining);
}

static int append_limits(struct manager *manager, const void *object, sd_bus_message *m)
{
	const struct {
		const char *name;
		uint32_t value;
	} limits[] = {
		{ "leases-per-user", manager->policy ? manager->policy->limit_leases_per_user : 0 },
		{ "devices-per-request", REQUEST_DEVICES_MAX },
		{ "handoffs-per-user", HANDOFFS_PER_UID },
		{ "handoffs", HANDOFFS_MAX },
		{ "calls-per-connection", CALLS_PER_CONNECTION },
		{ "calls", CALLS_MAX },
		{ "requests-per-user", SLOW_CALLS_PER_USER },
	};
	int r = sd_bus_message_open_container(m, 'a', "{sv}");

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(limits); i++)
		r = sd_bus_message_append(m, "{sv}", limits[i].name, "u", limits[i].value);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static const struct property properties[] = {
	{ "Version", append_version },
	{ "Features", append_features },
	{ "PolicyFiles", append_policy_files },
	{ "PolicySerial", append_policy_serial },
	{ "Draining", append_draining },
	{ "Limits", append_limits },
	{ NULL, NULL },
};

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD_WITH_ARGS("Acquire", SD_BUS_ARGS("as", devices, "a{sv}", options),
				SD_BUS_RESULT("o", lease, "h", handoff), method_acquire,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("Explain", SD_BUS_ARGS("as", devices, "a{sv}", options),
				SD_BUS_RESULT("a{sv}", decision), method_explain,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("FindDevice", SD_BUS_ARGS("s", name), SD_BUS_RESULT("o", device),
				method_find_device, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("FindGroup", SD_BUS_ARGS("u", id), SD_BUS_RESULT("o", group),
				method_find_group, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("FindLease", SD_BUS_ARGS("s", name), SD_BUS_RESULT("o", lease),
				method_find_lease, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("Reload", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_reload,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("Rescan", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_rescan,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("Drain", SD_BUS_ARGS("b", on), SD_BUS_NO_RESULT, method_drain,
				SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("GetPools", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sa(iuuuu))", pools),
				method_get_pools, SD_BUS_VTABLE_UNPRIVILEGED),
	PROPERTY("Version", "s", PROPERTY_CONST),
	PROPERTY("Features", "as", PROPERTY_CHANGES),
	PROPERTY("PolicyFiles", "as", PROPERTY_CHANGES),
	PROPERTY("PolicySerial", "t", PROPERTY_CHANGES),
	PROPERTY("Draining", "b", PROPERTY_CHANGES),
	PROPERTY("Limits", "a{sv}", PROPERTY_CHANGES),
	SD_BUS_SIGNAL_WITH_ARGS("DeviceFenced", SD_BUS_ARGS("o", device, "o", group, "s", outcome),
				0),
	SD_BUS_VTABLE_END,
};

static const void *find(struct manager *manager, const char *path)
{
	return streq(path, VFIOD_PATH) ? manager : NULL;
}

const struct object_class manager_class = {
	.interface = "org.vfiod1.Manager",
	.prefix = VFIOD_PATH,
	.vtable = vtable,
	.properties = properties,
	.find = find,
};
