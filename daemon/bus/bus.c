/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of bus.h. */

#include "daemon/bus/bus.h"

#include "daemon/bus/announce.h"
#include "daemon/bus/call.h"
#include "daemon/bus/device-error.h"
#include "daemon/bus/error.h"
#include "daemon/bus/throttle.h"
#include "daemon/util/log.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>

/* A dbus-daemon that has stopped reading from us (64 fds in messages that their receivers leave
 * unread) does not carry this either. */
#define PING_INTERVAL_USEC (30 * 1000 * 1000ULL)
#define PING_TIMEOUT_USEC  (20 * 1000 * 1000ULL)

/* The bus may take a moment to notice that the daemon before this one is gone. */
#define NAME_AGAIN_USEC (100 * 1000ULL)
#define NAME_WAIT_USEC	(10 * 1000 * 1000ULL)

struct bus {
	struct manager *manager;
	const struct bus_ops *ops;
	void *userdata;
	sd_bus *connection;
	char id[SD_ID128_STRING_MAX];
	struct announcer *announcer;
	struct call *calls;
	struct listener *listeners;
	struct throttle *throttle;
	sd_event_source *turn_over;
	char served[256]; /* the sender of the call that is being served; empty: none */
	uint64_t served_since;
	sd_event_source *ping_timer;
	sd_bus_slot *ping;
	unsigned int pings_lost;
	struct creds_query *own_creds;
	sd_event_source *name_timer;
	unsigned int name_tries;
};

sd_bus *bus_connection(struct bus *bus)
{
	return bus->connection;
}

struct call **bus_calls(struct bus *bus)
{
	return &bus->calls;
}

struct listener **bus_listeners(struct bus *bus)
{
	return &bus->listeners;
}

const char *bus_id(const struct bus *bus)
{
	return bus->id;
}

/* ---- who leaves */

static int on_name_owner_changed(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus *bus = userdata;
	const char *name, *before, *after;
	int r;

	/*
	 * Anybody may send us a signal of this name, and a match's sender is not held against
	 * messages that are addressed to us: neither by the bus nor by sd-bus (252).
	 */
	if (!streq0(sd_bus_message_get_sender(m), "org.freedesktop.DBus"))
		return 0;
	r = sd_bus_message_read(m, "sss", &name, &before, &after);
	if (r < 0 || name[0] != ':' || *after)
		return 0;
	throttle_forget(bus->throttle, name);
	listeners_forget(&bus->listeners, name);
	calls_connection_gone(bus->manager, name);
	manager_connection_gone(bus->manager, name);
	return 0;
}

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus *bus = userdata;

	if (!streq0(sd_bus_message_get_sender(m), "org.freedesktop.DBus.Local"))
		return 0;
	bus->ops->lost("the bus has closed the connection", bus->userdata);
	return 0;
}

/* ---- who asks too much */

static uint64_t processor_usec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* The message that on_message() saw last has been dealt with. */
static void charge(struct bus *bus)
{
	if (!*bus->served)
		return;
	throttle_charge(bus->throttle, bus->served, processor_usec() - bus->served_since);
	*bus->served = 0;
}

static int on_turn_over(sd_event_source *source, void *userdata)
{
	charge(userdata);
	return 0;
}

/* Sees every message before anybody else does. An error is the call's answer. */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *sender = sd_bus_message_get_sender(m);
	struct bus *bus = userdata;
	uint64_t now;
	int r;

	charge(bus);
	if (!sender || !sd_bus_message_is_method_call(m, NULL, NULL))
		return 0;
	r = sd_event_now(bus->manager->event, CLOCK_MONOTONIC, &now);
	if (r < 0)
		return r;
	r = throttle_admit(bus->throttle, sender, now);
	if (r < 0)
		return r;
	snprintf(bus->served, sizeof(bus->served), "%s", sender);
	bus->served_since = processor_usec();
	if (r == 0)
		return 0;
	return bus_error_set(
		error, "LimitsExceeded",
		"this connection asks too much in a short time; ask again in a second");
}

/* ---- the self-ping */

/* Whether more lies in our socket: then the answer may lie there too, behind a flood of others'. */
static bool input_waits(struct bus *bus)
{
	int fd = sd_bus_get_fd(bus->connection), n = 0;

	return fd >= 0 && ioctl(fd, FIONREAD, &n) >= 0 && n > 0;
}

static int on_pong(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus *bus = userdata;

	bus->ping = sd_bus_slot_unref(bus->ping);
	if (!sd_bus_message_is_method_error(m, NULL)) {
		bus->pings_lost = 0;
		return 0;
	}
	if (input_waits(bus))
		return 0;
	bus->pings_lost++;
	log_warning("the bus did not carry a message to ourselves within %llu s (%u in a row)",
		    (unsigned long long)(PING_TIMEOUT_USEC / 1000000), bus->pings_lost);
	if (bus->pings_lost >= 2)
		bus->ops->lost("the bus does not carry our messages any more", bus->userdata);
	return 0;
}

static int on_ping_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct bus *bus = userdata;
	sd_bus_message *m = NULL;
	const char *self;
	int r = 0;

	if (!bus->ping && sd_bus_get_unique_name(bus->connection, &self) >= 0) {
		r = sd_bus_message_new_method_call(bus->connection, &m, self, VFIOD_PATH,
						   "org.freedesktop.DBus.Peer", "Ping");
		if (r >= 0)
			r = sd_bus_call_async(bus->connection, &bus->ping, m, on_pong, bus,
					      PING_TIMEOUT_USEC);
		sd_bus_message_unref(m);
	}
	if (r < 0)
		log_warning("cannot ping ourselves: %s", strerror(-r));
	sd_event_source_set_time_relative(source, PING_INTERVAL_USEC);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

/* ---- what this bus can: asked about ourselves */

static void on_own_creds(struct creds_query *query, int r, struct creds *creds, void *userdata)
{
	struct bus *bus = userdata;

	bus->own_creds = creds_query_free(bus->own_creds);
	if (r < 0)
		log_warning("the bus does not say who we are: %s", strerror(-r));
	else
		bus->ops->features(creds->pidfd >= 0, bus->userdata);
	creds_free(creds);
}

static void ask_features(struct bus *bus)
{
	const char *self;
	int r = sd_bus_get_unique_name(bus->connection, &self);

	if (r >= 0)
		r = creds_query(bus->connection, &bus->manager->host, self, PING_TIMEOUT_USEC,
				on_own_creds, bus, &bus->own_creds);
	if (r < 0)
		log_warning("cannot ask the bus who we are: %s", strerror(-r));
}

/* ---- the name */

static int on_name(sd_bus_message *m, void *userdata, sd_bus_error *error);

static int request_name(struct bus *bus)
{
	return sd_bus_request_name_async(bus->connection, NULL, VFIOD_BUS_NAME, 0, on_name, bus);
}

static int on_name_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct bus *bus = userdata;

	bus->name_timer = sd_event_source_disable_unref(bus->name_timer);
	if (request_name(bus) < 0)
		bus->ops->lost("the name " VFIOD_BUS_NAME " cannot be asked for", bus->userdata);
	return 0;
}

/* Not queued for it: what another daemon that runs has is not waited for without end. */
static void name_is_taken(struct bus *bus)
{
	if (bus->name_tries++ < NAME_WAIT_USEC / NAME_AGAIN_USEC &&
	    sd_event_add_time_relative(bus->manager->event, &bus->name_timer, CLOCK_MONOTONIC,
				       NAME_AGAIN_USEC, 0, on_name_timer, bus) >= 0)
		return;
	bus->ops->lost("another process owns the name " VFIOD_BUS_NAME, bus->userdata);
}

static int on_name(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus *bus = userdata;
	uint32_t result = 0;

	if (sd_bus_message_is_method_error(m, NULL)) {
		const sd_bus_error *e = sd_bus_message_get_error(m);

		bus->ops->lost(e->message ? e->message : "the name was refused", bus->userdata);
		return 0;
	}
	/* 1: primary owner; 4: already owner. */
	if (sd_bus_message_read(m, "u", &result) < 0 || (result != 1 && result != 4)) {
		name_is_taken(bus);
		return 0;
	}
	ask_features(bus);
	bus->ops->ready(bus->userdata);
	return 0;
}

static int subscribe(struct bus *bus)
{
	int r;

	/* Every connection that ends: cheaper than a match for each client, and no client can make
	 * us hold more of them. */
	r = sd_bus_add_match_async(bus->connection, NULL,
				   "type='signal',sender='org.freedesktop.DBus',"
				   "path='/org/freedesktop/DBus',"
				   "interface='org.freedesktop.DBus',"
				   "member='NameOwnerChanged',arg2=''",
				   on_name_owner_changed, NULL, bus);
	if (r < 0)
		return r;
	return sd_bus_match_signal_async(
		bus->connection, NULL, "org.freedesktop.DBus.Local", "/org/freedesktop/DBus/Local",
		"org.freedesktop.DBus.Local", "Disconnected", on_disconnected, NULL, bus);
}

static int connect_bus(struct bus *bus)
{
	sd_id128_t id;
	int r;

	r = sd_bus_open_system_with_description(&bus->connection, "vfiod");
	if (r < 0)
		return r;
	r = sd_bus_attach_event(bus->connection, bus->manager->event, SD_EVENT_PRIORITY_NORMAL);
	if (r < 0)
		return r;
	r = sd_bus_get_bus_id(bus->connection, &id);
	if (r < 0)
		return r;
	sd_id128_to_string(id, bus->id);
	r = throttle_new(&bus->throttle);
	if (r < 0)
		return r;
	r = sd_bus_add_filter(bus->connection, NULL, on_message, bus);
	if (r < 0)
		return r;
	r = sd_event_add_post(bus->manager->event, &bus->turn_over, on_turn_over, bus);
	if (r < 0)
		return r;
	r = objects_register(bus->manager, bus->connection);
	if (r < 0)
		return r;
	r = subscribe(bus);
	if (r < 0)
		return r;
	r = request_name(bus);
	if (r < 0)
		return r;
	return sd_event_add_time_relative(bus->manager->event, &bus->ping_timer, CLOCK_MONOTONIC,
					  PING_INTERVAL_USEC, 0, on_ping_timer, bus);
}

int bus_new(struct manager *manager, const struct bus_ops *ops, void *userdata, struct bus **ret)
{
	_cleanup_(bus_freep) struct bus *bus = calloc(1, sizeof(*bus));
	int r;

	if (!bus)
		return -ENOMEM;
	bus->manager = manager;
	bus->ops = ops;
	bus->userdata = userdata;
	r = connect_bus(bus);
	if (r < 0)
		return r;
	r = announcer_new(manager, bus->connection, &bus->announcer);
	if (r < 0)
		return r;
	*ret = STEAL(bus);
	return 0;
}

struct bus *bus_free(struct bus *bus)
{
	if (!bus)
		return NULL;
	if (bus->manager->bus == bus)
		calls_drop_all(bus->manager);
	creds_query_free(bus->own_creds);
	listeners_free(&bus->listeners);
	announcer_free(bus->announcer);
	sd_event_source_disable_unref(bus->ping_timer);
	sd_event_source_disable_unref(bus->name_timer);
	sd_bus_slot_unref(bus->ping);
	sd_bus_flush_close_unref(bus->connection);
	sd_event_source_disable_unref(bus->turn_over);
	throttle_free(bus->throttle);
	free(bus);
	return NULL;
}

/* ---- announcements */

void bus_announce_device(struct bus *bus, const char *name, bool replaced)
{
	_cleanup_free_ char *path = bus ? device_path(bus->manager, name) : NULL;

	if (path)
		announce(bus->announcer, &device_class, path, replaced);
}

void bus_announce_group(struct bus *bus, uint32_t id, bool replaced)
{
	_cleanup_free_ char *path = NULL;

	if (bus && id != ID_UNKNOWN && path_group(id, &path) >= 0)
		announce(bus->announcer, &group_class, path, replaced);
}

void bus_announce_iommu(struct bus *bus, const char *name)
{
	_cleanup_free_ char *path = NULL;

	if (bus && path_iommu(name, &path) >= 0)
		announce(bus->announcer, &iommu_class, path, false);
}

void bus_announce_iommus(struct bus *bus)
{
	if (!bus)
		return;
	HASH_FOREACH (iommu, bus->manager->topology.iommus)
		bus_announce_iommu(bus, iommu->name);
}

void bus_announce_lease(struct bus *bus, const struct lease *lease)
{
	_cleanup_free_ char *path = NULL;

	if (!bus)
		return;
	if (path_lease(lease->id, &path) >= 0)
		announce(bus->announcer, &lease_class, path, false);
	for (size_t i = 0; i < lease->n_groups; i++)
		bus_announce_group(bus, lease->groups[i].id, false);
	for (size_t i = 0; i < lease->n_devices; i++)
		bus_announce_device(bus, lease->devices[i].name, false);
	bus_announce_iommus(bus);
}

void bus_announce_manager(struct bus *bus)
{
	if (bus)
		announce(bus->announcer, &manager_class, VFIOD_PATH, false);
}

void bus_lease_ended(struct bus *bus, const struct lease *lease)
{
	_cleanup_free_ char *path = NULL;
	int r;

	if (!bus || path_lease(lease->id, &path) < 0)
		return;
	announce_flush(bus->announcer);
	r = sd_bus_emit_signal(bus->connection, path, "org.vfiod1.Lease", "Ended", "s",
			       lease->end_reason ? lease->end_reason : "");
	if (r < 0)
		log_warning("lease %s: Ended: %s", lease->id, strerror(-r));
}

void bus_flush(struct bus *bus)
{
	announce_flush(bus->announcer);
}

void bus_device_fenced(struct bus *bus, const char *device, uint32_t group, const char *outcome)
{
	_cleanup_free_ char *path = bus ? device_path(bus->manager, device) : NULL;
	_cleanup_free_ char *group_path = NULL;
	int r;

	if (!path || group == ID_UNKNOWN || path_group(group, &group_path) < 0)
		return;
	announce_flush(bus->announcer);
	r = sd_bus_emit_signal(bus->connection, VFIOD_PATH, "org.vfiod1.Manager", "DeviceFenced",
			       "oos", path, group_path, outcome);
	if (r < 0)
		log_warning("%s: DeviceFenced: %s", device, strerror(-r));
}

/* ---- names of an earlier run */

struct name_check {
	char *name;
	void (*done)(const char *name, bool present, void *userdata);
	void *userdata;
};

static void name_check_free(void *userdata)
{
	struct name_check *check = userdata;

	free(check->name);
	free(check);
}

static int on_name_checked(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct name_check *check = userdata;

	/* A bus that did not answer has not said that the connection is gone. */
	check->done(check->name, !sd_bus_message_is_method_error(m, SD_BUS_ERROR_NAME_HAS_NO_OWNER),
		    check->userdata);
	return 0;
}

int bus_check_name(struct bus *bus, const char *name,
		   void (*done)(const char *name, bool present, void *userdata), void *userdata)
{
	struct name_check *check = calloc(1, sizeof(*check));
	sd_bus_slot *slot = NULL;
	int r;

	if (!check || !(check->name = strdup(name))) {
		free(check);
		return -ENOMEM;
	}
	check->done = done;
	check->userdata = userdata;
	r = sd_bus_call_method_async(bus->connection, &slot, "org.freedesktop.DBus",
				     "/org/freedesktop/DBus", "org.freedesktop.DBus",
				     "GetNameOwner", on_name_checked, check, "s", name);
	if (r < 0) {
		name_check_free(check);
		return r;
	}
	sd_bus_slot_set_destroy_callback(slot, name_check_free);
	r = sd_bus_slot_set_floating(slot, 1);
	sd_bus_slot_unref(slot);
	return r;
}
