/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Connections and calls of client.h; claims are in client-claim.c. */

#include "tests/bus/client.h"
#include "tests/bus/picture.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

struct client *client_new(uid_t uid)
{
	struct client *client = calloc(1, sizeof(*client));
	bool other = geteuid() == 0 && uid != 0;
	int r;

	client->uid = uid;
	ck_assert_int_ge(sd_bus_new(&client->bus), 0);
	ck_assert_int_ge(sd_bus_set_address(client->bus, bed.address), 0);
	ck_assert_int_ge(sd_bus_set_bus_client(client->bus, 1), 0);
	if (other)
		ck_assert_int_eq(setegid(uid) | seteuid(uid), 0);
	r = sd_bus_start(client->bus);
	if (other)
		ck_assert_int_eq(seteuid(0) | setegid(0), 0);
	ck_assert_int_ge(r, 0);
	ck_assert_int_ge(sd_bus_attach_event(client->bus, bed.event, 0), 0);
	return client;
}

struct client *client_free(struct client *client)
{
	if (!client)
		return NULL;
	sd_bus_detach_event(client->bus);
	sd_bus_close_unref(client->bus);
	free(client);
	return NULL;
}

/* ---- calls */

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct pending *pending = userdata;

	pending->reply = sd_bus_message_ref(m);
	return 0;
}

struct pending *call_send(struct client *client, sd_bus_message *m)
{
	struct pending *pending = calloc(1, sizeof(*pending));
	int r = sd_bus_call_async(client->bus, &pending->slot, m, on_reply, pending,
				  BED_TIMEOUT_USEC);

	ck_assert_msg(r >= 0, "sending: %s", strerror(-r));
	sd_bus_message_unref(m);
	return pending;
}

sd_bus_message *call_new(struct client *client, const char *path, const char *interface,
			 const char *member)
{
	_cleanup_free_ char *full = strchr(interface, '.')
					    ? strdup(interface)
					    : mock_asprintf("org.vfiod1.%s", interface);
	sd_bus_message *m = NULL;

	ck_assert_int_ge(
		sd_bus_message_new_method_call(client->bus, &m, VFIOD_NAME, path, full, member), 0);
	return m;
}

static struct pending *start(struct client *client, const char *path, const char *interface,
			     const char *member, const char *types, va_list ap)
{
	sd_bus_message *m = call_new(client, path, interface, member);

	if (types)
		ck_assert_int_ge(sd_bus_message_appendv(m, types, ap), 0);
	return call_send(client, m);
}

struct pending *call_start(struct client *client, const char *path, const char *interface,
			   const char *member, const char *types, ...)
{
	struct pending *pending;
	va_list ap;

	va_start(ap, types);
	pending = start(client, path, interface, member, types, ap);
	va_end(ap);
	return pending;
}

struct pending *call_drop(struct pending *pending)
{
	if (!pending)
		return NULL;
	sd_bus_slot_unref(pending->slot);
	sd_bus_message_unref(pending->reply);
	free(pending);
	return NULL;
}

sd_bus_message *call_wait(struct pending *pending)
{
	sd_bus_message *reply;

	UNTIL(pending->reply);
	reply = STEAL(pending->reply);
	call_drop(pending);
	return reply;
}

sd_bus_message *call(struct client *client, const char *path, const char *interface,
		     const char *member, const char *types, ...)
{
	struct pending *pending;
	va_list ap;

	va_start(ap, types);
	pending = start(client, path, interface, member, types, ap);
	va_end(ap);
	return call_wait(pending);
}

const char *error_of(sd_bus_message *reply)
{
	const sd_bus_error *error = sd_bus_message_get_error(reply);

	if (!error || !error->name)
		return "";
	if (strncmp(error->name, "org.vfiod1.Error.", 17) == 0)
		return error->name + 17;
	if (strncmp(error->name, "org.freedesktop.DBus.Error.", 27) == 0) {
		static char name[128];

		snprintf(name, sizeof(name), "DBus.%s", error->name + 27);
		return name;
	}
	return error->name;
}

const char *message_of(sd_bus_message *reply)
{
	const sd_bus_error *error = sd_bus_message_get_error(reply);

	return error && error->message ? error->message : "";
}

const char *call_error(struct client *client, const char *path, const char *interface,
		       const char *member, const char *types, ...)
{
	static char name[128];
	sd_bus_message *reply;
	struct pending *pending;
	va_list ap;

	va_start(ap, types);
	pending = start(client, path, interface, member, types, ap);
	va_end(ap);
	reply = call_wait(pending);
	snprintf(name, sizeof(name), "%s", error_of(reply));
	sd_bus_message_unref(reply);
	return name;
}

char *property(struct client *client, const char *path, const char *interface, const char *name)
{
	_cleanup_free_ char *full = mock_asprintf("org.vfiod1.%s", interface);
	sd_bus_message *reply =
		call(client, path, "org.freedesktop.DBus.Properties", "Get", "ss", full, name);
	char *text = NULL;

	if (!*error_of(reply)) {
		ck_assert_int_ge(sd_bus_message_enter_container(reply, 'v', NULL), 0);
		text = value_text(reply);
	}
	sd_bus_message_unref(reply);
	return text;
}

bool property_is(struct client *client, const char *path, const char *interface, const char *name,
		 const char *value)
{
	_cleanup_free_ char *text = property(client, path, interface, name);

	return text && streq(text, value);
}
