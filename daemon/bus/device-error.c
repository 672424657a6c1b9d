/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of device-error.h. */

#include "daemon/bus/device-error.h"

#include "daemon/bus/bus.h"
#include "daemon/bus/call.h"
#include "daemon/bus/lease-methods.h"
#include "daemon/bus/object.h"
#include "daemon/manager-health.h"
#include "daemon/util/log.h"

/* Of a lease, besides the connection that acquired it. */
#define LISTENERS_MAX 8

struct listener {
	char *lease;
	char *connection;
	struct listener *next;
};

static struct listener *listener_free(struct listener *listener)
{
	struct listener *next = listener->next;

	free(listener->lease);
	free(listener->connection);
	free(listener);
	return next;
}

void listeners_forget(struct listener **listeners, const char *connection)
{
	while (*listeners) {
		if (streq((*listeners)->connection, connection))
			*listeners = listener_free(*listeners);
		else
			listeners = &(*listeners)->next;
	}
}

void listeners_free(struct listener **listeners)
{
	while (*listeners)
		*listeners = listener_free(*listeners);
}

/* Those of leases that have ended go when the next one comes. */
static size_t sweep(struct manager *manager, struct listener **listeners, const char *lease,
		    const char *connection, bool *there)
{
	size_t n = 0;

	while (*listeners) {
		if (!ledger_lease(&manager->ledger, (*listeners)->lease)) {
			*listeners = listener_free(*listeners);
			continue;
		}
		if (streq((*listeners)->lease, lease)) {
			n++;
			*there = *there || streq((*listeners)->connection, connection);
		}
		listeners = &(*listeners)->next;
	}
	return n;
}

static int add(struct listener **listeners, const char *lease, const char *connection)
{
	struct listener *listener = calloc(1, sizeof(*listener));

	if (!listener)
		return -ENOMEM;
	listener->lease = strdup(lease);
	listener->connection = strdup(connection);
	if (!listener->lease || !listener->connection) {
		listener_free(listener);
		return -ENOMEM;
	}
	listener->next = *listeners;
	*listeners = listener;
	return 0;
}

static void subscribe(struct call *call)
{
	struct listener **listeners = bus_listeners(call->manager->bus);
	struct lease *lease = controlled_lease(call);
	bool there = false;
	size_t n;
	int r = 0;

	if (!lease)
		return;
	n = sweep(call->manager, listeners, lease->id, call->creds->name, &there);
	if (!there && n >= LISTENERS_MAX) {
		call_error(call, "QuotaExceeded",
			   "%d connections have subscribed to lease %s; close one of them",
			   LISTENERS_MAX, lease->id);
		return;
	}
	if (!there)
		r = add(listeners, lease->id, call->creds->name);
	if (r < 0)
		call_errno(call, r, "subscribing");
	else
		call_done(call);
}

int method_subscribe(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return call_start(userdata, m, subscribe, error);
}

/* ---- the signal */

int append_error_counters(sd_bus_message *m, const struct error_counters *counters)
{
	int r = sd_bus_message_open_container(m, 'a', "{sa{st}}");

	for (int s = 0; r >= 0 && s < SEVERITY_MAX; s++) {
		if (!counters->of[s].present)
			continue;
		r = sd_bus_message_open_container(m, 'e', "sa{st}");
		if (r >= 0)
			r = sd_bus_message_append(m, "s", severity_to_string((enum severity)s));
		if (r >= 0)
			r = sd_bus_message_open_container(m, 'a', "{st}");
		for (size_t i = 0; r >= 0 && i < counters->of[s].n; i++)
			r = sd_bus_message_append(m, "{st}", counters->of[s].items[i].name,
						  counters->of[s].items[i].count);
		if (r >= 0)
			r = sd_bus_message_close_container(m);
		if (r >= 0)
			r = sd_bus_message_close_container(m);
	}
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_counters_entry(sd_bus_message *m, const struct error_counters *counters)
{
	int r;

	if (!error_counters_present(counters))
		return 0;
	r = sd_bus_message_open_container(m, 'e', "sv");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", "counters");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', "a{sa{st}}");
	if (r >= 0)
		r = append_error_counters(m, counters);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_details(struct manager *manager, sd_bus_message *m, const struct device *device,
			  bool online, const char *source)
{
	enum device_state state = ledger_device_state(&manager->ledger, device->name);
	_cleanup_free_ char *path = source ? device_path(manager, source) : NULL;
	int r = sd_bus_message_open_container(m, 'a', "{sv}");

	if (r >= 0)
		r = sd_bus_message_append(m, "{sv}", "online", "b", online);
	if (r >= 0)
		r = sd_bus_message_append(m, "{sv}", "health", "s",
					  health_to_string(device->health));
	if (r >= 0)
		r = sd_bus_message_append(m, "{sv}", "state", "s", device_state_to_string(state));
	if (r >= 0 && path)
		r = sd_bus_message_append(m, "{sv}", "source", "o", path);
	if (r >= 0)
		r = append_counters_entry(m, &device->errors);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

/* to: the unique name of one listener. */
static int tell(struct manager *manager, const char *to, const char *lease,
		const struct device *device, enum recovery recovery, bool online,
		const char *source)
{
	_cleanup_free_ char *path = device_path(manager, device->name);
	sd_bus *bus = bus_connection(manager->bus);
	sd_bus_message *m = NULL;
	int r;

	if (!path)
		return -ENOMEM;
	r = sd_bus_message_new_signal(bus, &m, lease, lease_class.interface, "DeviceError");
	if (r >= 0)
		r = sd_bus_message_set_destination(m, to);
	if (r >= 0)
		r = sd_bus_message_append(m, "os", path, recovery_to_string(recovery));
	if (r >= 0)
		r = append_details(manager, m, device, online, source);
	if (r >= 0)
		r = sd_bus_send(bus, m, NULL);
	sd_bus_message_unref(m);
	return r;
}

void bus_device_error(struct manager *manager, const struct lease *lease,
		      const struct device *device, enum recovery recovery, bool online,
		      const char *source)
{
	/* What goes home, or is being prepared, is still, or already, its lease's. */
	const char *id = lease->part_of ? lease->part_of : lease->id;
	const char *acquirer = lease->connection;
	_cleanup_free_ char *path = NULL;
	int r = 0;

	if (!manager->bus || path_lease(id, &path) < 0)
		return;
	bus_flush(manager->bus);
	if (acquirer && !streq0(lease->bus_id, bus_id(manager->bus)))
		acquirer = NULL;
	if (acquirer)
		r = tell(manager, acquirer, path, device, recovery, online, source);
	for (struct listener *l = *bus_listeners(manager->bus); l; l = l->next) {
		int k;

		if (!streq(l->lease, id) || streq0(l->connection, acquirer))
			continue;
		k = tell(manager, l->connection, path, device, recovery, online, source);
		r = k < 0 ? k : r;
	}
	if (r < 0)
		log_warning("lease %s: DeviceError: %s", id, strerror(-r));
}

/* ---- Device.ClearError */

static void clear_error(struct call *call)
{
	struct manager *manager = call->manager;
	const struct device *device =
		device_class.find(manager, sd_bus_message_get_path(call->message));
	int r;

	if (!call_require_root(call))
		return;
	if (!device) {
		call_error(call, "NoSuchDevice", "the device is gone; list the devices anew");
		return;
	}
	r = manager_clear_health(manager, device->name, "cleared by an administrator");
	if (r < 0)
		call_error(call, "IOError",
			   "that %s is well cannot be written down: %s; free space below /run and "
			   "call again",
			   device->name, strerror(-r));
	else
		call_done(call);
}

int method_clear_error(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return call_start(userdata, m, clear_error, error);
}
