/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vfiodctl monitor: what changes, as it changes, a line for each.
 */

#include "client/ctl/bus-json.h"
#include "client/ctl/names.h"
#include "client/ctl/picture.h"
#include "client/ctl/term.h"

#include <time.h>

struct monitor {
	struct ctl *ctl;
	int result; /* an exit code that ends the loop, or negative */
};

/* "group 9", "device 0000:03:00.0": the last two parts of the path, as people say them. */
static char *subject(const char *path)
{
	_cleanup_free_ char *kind = NULL, *device = NULL;
	const char *slash;
	char *text;

	if (strncmp(path, "/org/vfiod1/", 12) != 0)
		return strdup("vfiod");
	if (strncmp(path, "/org/vfiod1/device/", 19) == 0) {
		device = device_of_path(path);
		return device && asprintf(&text, "device %s", device) >= 0 ? text : NULL;
	}
	path += 12;
	slash = strchr(path, '/');
	if (!slash)
		return strdup(path);
	kind = strndup(path, (size_t)(slash - path));
	slash++;
	if (!kind)
		return NULL;
	return asprintf(&text, "%s %s", kind, slash) < 0 ? NULL : text;
}

static void print_line(const struct ctl *ctl, const char *path, const char *what, const char *name,
		       const char *value)
{
	_cleanup_(line_done) struct line line = {};
	_cleanup_free_ char *about = subject(path);
	time_t now = time(NULL);
	struct tm tm;
	char clock[16] = "";

	if (localtime_r(&now, &tm))
		strftime(clock, sizeof(clock), "%T", &tm);
	line_add(&line, STYLE_DIM, "%s ", clock);
	line_add(&line, STYLE_BOLD, "%s ", about ? about : path);
	if (what)
		line_add(&line, STYLE_PLAIN, "%s", what);
	if (name)
		line_add(&line, STYLE_PLAIN, "%s%s", what ? " " : "", name);
	if (value) {
		line_add(&line, STYLE_PLAIN, "=");
		line_add(&line, style_of_state(value), "%s", value);
	}
	line_print(ctl, &line);
	fflush(stdout);
}

static const char *value_text(json_object *value)
{
	if (json_object_is_type(value, json_type_string))
		return json_object_get_string(value);
	return json_object_to_json_string_ext(value, JSON_C_TO_STRING_NOSLASHESCAPE);
}

/* A record for programs: path, event, and what came with it. Takes the body. */
static int print_record(const struct ctl *ctl, const char *path, const char *event,
			json_object *body)
{
	_cleanup_json_ json_object *record = json_object_new_object();
	struct ctl short_json = *ctl;

	if (!record) {
		json_object_put(body);
		return EXIT_FAILED;
	}
	/* One record, one line, in both forms: otherwise a reader cannot split the stream. */
	if (ctl->json == JSON_SHORT)
		short_json.json = JSON_SHORT;
	json_object_object_add(record, "path", json_object_new_string(path));
	json_object_object_add(record, "event", json_object_new_string(event));
	json_object_object_add(record, "body", body);
	return ctl_print_json(&short_json, record);
}

/* The whole body of a signal as an array. New, or NULL. */
static json_object *read_body(sd_bus_message *m)
{
	_cleanup_json_ json_object *array = json_object_new_array();
	json_object *value = NULL;
	int r;

	if (!array)
		return NULL;
	while ((r = bus_json_read(m, &value)) > 0)
		if (json_object_array_add(array, value) < 0) {
			json_object_put(value);
			return NULL;
		}
	return r < 0 ? NULL : STEAL(array);
}

static void print_changes(const struct ctl *ctl, const char *path, json_object *changes)
{
	if (!json_object_is_type(changes, json_type_object))
		return;
	json_object_object_foreach (changes, name, value) {
		print_line(ctl, path, NULL, name, value_text(value));
	}
}

static void print_text(const struct ctl *ctl, const char *path, const char *member,
		       json_object *body)
{
	json_object *first = json_object_array_get_idx(body, 0);

	if (streq(member, "PropertiesChanged"))
		print_changes(ctl, path, json_object_array_get_idx(body, 1));
	else if (streq(member, "InterfacesAdded"))
		print_line(ctl, json_object_get_string(first), "appeared", NULL, NULL);
	else if (streq(member, "InterfacesRemoved"))
		print_line(ctl, json_object_get_string(first), "is gone", NULL, NULL);
	else
		print_line(ctl, path, member, first ? value_text(first) : NULL, NULL);
}

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct monitor *monitor = userdata;
	const char *path = sd_bus_message_get_path(m), *member = sd_bus_message_get_member(m);
	json_object *body = read_body(m);

	if (!path || !member || !body) {
		json_object_put(body);
		return 0;
	}
	if (monitor->ctl->json != JSON_OFF) {
		if (print_record(monitor->ctl, path, member, body) != EXIT_OK)
			monitor->result = EXIT_FAILED;
		return 0;
	}
	print_text(monitor->ctl, path, member, body);
	json_object_put(body);
	if (ferror(stdout))
		monitor->result = EXIT_FAILED;
	return 0;
}

static int on_owner(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct monitor *monitor = userdata;
	const char *name, *old, *new;
	json_object *body;

	if (sd_bus_message_read(m, "sss", &name, &old, &new) < 0)
		return 0;
	if (monitor->ctl->json == JSON_OFF) {
		print_line(monitor->ctl, "/org/vfiod1",
			   str_empty(new) ? "has left the bus" : "is on the bus", NULL, NULL);
		return 0;
	}
	body = json_object_new_array();
	if (body)
		json_object_array_add(body, json_object_new_string(new));
	if (print_record(monitor->ctl, "/org/vfiod1", "NameOwnerChanged", body) != EXIT_OK)
		monitor->result = EXIT_FAILED;
	return 0;
}

static int watch(struct monitor *monitor)
{
	sd_bus *bus = vfiod_client_bus(monitor->ctl->client);
	int r;

	r = sd_bus_add_match(bus, NULL,
			     "type='signal',sender='org.vfiod1',path_namespace='/org/vfiod1'",
			     on_signal, monitor);
	if (r >= 0)
		r = sd_bus_add_match(bus, NULL,
				     "type='signal',sender='org.freedesktop.DBus',"
				     "member='NameOwnerChanged',arg0='org.vfiod1'",
				     on_owner, monitor);
	while (r >= 0 && monitor->result < 0) {
		while ((r = sd_bus_process(bus, NULL)) > 0 && monitor->result < 0)
			;
		if (r >= 0 && monitor->result < 0)
			r = sd_bus_wait(bus, UINT64_MAX);
		if (r == -EINTR)
			r = 0;
	}
	if (monitor->result >= 0)
		return monitor->result;
	return ctl_say(EXIT_NO_DAEMON, "The connection to the system bus is gone: %s.",
		       strerror(-r));
}

int verb_monitor(struct ctl *ctl, int argc, char *argv[])
{
	struct monitor monitor = { .ctl = ctl, .result = -1 };
	int r = ctl_common_options(ctl, argc, argv);

	if (r >= 0)
		return r;
	if (optind != argc) {
		usage_verb(stderr, argv[0]);
		return EXIT_USAGE;
	}
	r = ctl_connect(ctl);
	return r == EXIT_OK ? watch(&monitor) : r;
}
