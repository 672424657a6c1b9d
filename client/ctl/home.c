/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A lease's way home. A signal of vfiod wakes this side up; what is true is read afresh each time,
 * so that a signal that was missed costs a second and nothing else.
 */

#include "client/ctl/home.h"
#include "client/ctl/bus-json.h"
#include "client/ctl/names.h"
#include "client/ctl/picture.h"
#include "client/ctl/progress.h"

#include <inttypes.h>
#include <time.h>

#define WAKE_USEC 1000000

/* Which of these an object that is gone gives depends on how much of its path is left. */
static bool is_gone(const struct vfiod_error *error)
{
	static const char *const names[] = {
		SD_BUS_ERROR_UNKNOWN_OBJECT,
		SD_BUS_ERROR_UNKNOWN_INTERFACE,
		SD_BUS_ERROR_UNKNOWN_METHOD,
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (streq(vfiod_error_name(error), names[i]))
			return true;
	return vfiod_error_code(error) == VFIOD_ERROR_NO_SUCH_LEASE;
}

int lease_fate(struct ctl *ctl, const char *path, json_object **object, struct vfiod_error **error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
	_cleanup_(vfiod_error_freep) struct vfiod_error *e = NULL;
	_cleanup_json_ json_object *lease = NULL;
	const char *state;
	int r, fate;

	r = sd_bus_message_new_method_call(vfiod_client_bus(ctl->client), &call, "org.vfiod1", path,
					   "org.freedesktop.DBus.Properties", "GetAll");
	if (r >= 0)
		r = sd_bus_message_append(call, "s", IFACE_LEASE);
	if (r < 0)
		return r;
	r = vfiod_client_call(ctl->client, call, &reply, &e);
	if (r < 0 && is_gone(e))
		return LEASE_HOME;
	if (r < 0 && error)
		*error = STEAL(e);
	if (r >= 0)
		r = bus_json_read(reply, &lease);
	if (r < 0)
		return r;
	state = prop_string(lease, "State");
	if (streq(state, "draining") || streq(state, "restoring"))
		fate = LEASE_ENDING;
	else if (streq(state, "failed"))
		fate = LEASE_FAILED;
	else
		fate = LEASE_LIVES;
	if (object)
		*object = STEAL(lease);
	return fate;
}

/* The signals do nothing by themselves: that they arrive wakes sd_bus_wait(). */
static int ignore(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return 0;
}

int home_subscribe(struct ctl *ctl)
{
	return sd_bus_add_match(vfiod_client_bus(ctl->client), NULL,
				"type='signal',sender='org.vfiod1',path_namespace='/org/vfiod1'",
				ignore, NULL);
}

/* "12345 qemu-system-x86, 99 foo" */
static char *holders_text(json_object *lease)
{
	_cleanup_strv_ char **texts = NULL;
	json_object *holders, *pid, *command;

	if (!json_object_object_get_ex(lease, "Holders", &holders))
		return strdup("");
	for (size_t i = 0; i < json_object_array_length(holders); i++) {
		json_object *holder = json_object_array_get_idx(holders, i);

		pid = json_object_array_get_idx(holder, 0);
		command = json_object_array_get_idx(holder, 1);
		if (strv_extendf(&texts, "%" PRId64 " %s", json_object_get_int64(pid),
				 json_object_get_string(command)) < 0)
			return NULL;
	}
	return strv_join(texts, ", ");
}

static void show(json_object *lease, unsigned int seconds)
{
	_cleanup_free_ char *holders = holders_text(lease);
	const char *state = prop_string(lease, "State");
	const char *id = prop_string(lease, "Id");

	if (streq(state, "draining") && !str_empty(holders))
		progress_show("Lease %s is draining: still open in %s (%u s).", id, holders,
			      seconds);
	else
		progress_show("Lease %s is %s (%u s).", id, state, seconds);
}

/* "0000:03:00.0: no driver took it" for each device that did not come home. */
static void say_errors(json_object *lease)
{
	json_object *errors;

	if (!json_object_object_get_ex(lease, "Errors", &errors))
		return;
	for (size_t i = 0; i < json_object_array_length(errors); i++) {
		json_object *row = json_object_array_get_idx(errors, i);
		_cleanup_free_ char *device =
			device_of_path(json_object_get_string(json_object_array_get_idx(row, 0)));

		ctl_say(EXIT_OK, "%s: %s", device ? device : "?",
			json_object_get_string(json_object_array_get_idx(row, 1)));
	}
}

static int failed(json_object *lease)
{
	say_errors(lease);
	return ctl_say(
		EXIT_DEVICE_FAILED,
		"Lease %s has ended, but a device did not come back to the host: "
		"see the journal of vfiod.service, then try \"vfiodctl restore %s\" as root.",
		prop_string(lease, "Id"), prop_string(lease, "Id"));
}

/* Sleeps until vfiod says something, or a second is over. */
static int pause_for_signal(sd_bus *bus)
{
	int r;

	while ((r = sd_bus_process(bus, NULL)) > 0)
		;
	if (r >= 0)
		r = sd_bus_wait(bus, WAKE_USEC);
	return r == -EINTR ? 0 : r;
}

int home_wait(struct ctl *ctl, const char *path, volatile int *interrupted)
{
	time_t start = time(NULL), shown = 0, now;
	bool rewritten = isatty(STDERR_FILENO);
	int r;

	for (;;) {
		_cleanup_(vfiod_error_freep) struct vfiod_error *error = NULL;
		_cleanup_json_ json_object *lease = NULL;

		r = lease_fate(ctl, path, &lease, &error);
		if (r < 0 || r == LEASE_HOME || r == LEASE_FAILED || (interrupted && *interrupted))
			progress_clear();
		if (r < 0)
			return ctl_fail(error, r);
		if (r == LEASE_HOME)
			return EXIT_OK;
		if (r == LEASE_FAILED)
			return failed(lease);
		if (interrupted && *interrupted)
			return EXIT_OK;
		now = time(NULL);
		if (now - start >= 1 && (rewritten || shown == 0 || now - shown >= 30)) {
			show(lease, (unsigned int)(now - start));
			shown = now;
		}
		r = pause_for_signal(vfiod_client_bus(ctl->client));
		if (r < 0)
			return ctl_fail(NULL, r);
	}
}
