/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The connection: a system bus connection of the library's own or the program's, and what can be
 * asked of it.
 */

#include "client/internal.h"

static int client_new(sd_bus *bus, bool own, struct vfiod_client **client)
{
	struct vfiod_client *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->bus = sd_bus_ref(bus);
	c->own = own;
	*client = c;
	return 0;
}

int vfiod_client_new(struct vfiod_client **client)
{
	_cleanup_(sd_bus_unrefp) sd_bus *bus = NULL;
	int r;

	r = sd_bus_open_system(&bus);
	if (r < 0)
		return r;
	return client_new(bus, true, client);
}

int vfiod_client_new_with_bus(struct sd_bus *bus, struct vfiod_client **client)
{
	return bus ? client_new(bus, false, client) : -EINVAL;
}

struct vfiod_client *vfiod_client_free(struct vfiod_client *client)
{
	if (!client)
		return NULL;
	/* Closing is what ends the leases that live with the connection: not left to a last
	 * reference that some lease object may hold. */
	if (client->own)
		sd_bus_close(client->bus);
	sd_bus_unref(client->bus);
	free(client);
	return NULL;
}

struct sd_bus *vfiod_client_bus(struct vfiod_client *client)
{
	return client->bus;
}

int vfiod_client_call(struct vfiod_client *client, struct sd_bus_message *call,
		      struct sd_bus_message **reply, struct vfiod_error **error)
{
	return client_call(client->bus, call, reply, error);
}

int vfiod_client_has_feature(struct vfiod_client *client, const char *feature,
			     struct vfiod_error **error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
	const char *s;
	int r;

	r = sd_bus_message_new_method_call(client->bus, &call, VFIOD_NAME, VFIOD_PATH,
					   "org.freedesktop.DBus.Properties", "Get");
	if (r >= 0)
		r = sd_bus_message_append(call, "ss", VFIOD_MANAGER, "Features");
	if (r < 0)
		return error_set_bus(error, NULL, r);
	r = client_call(client->bus, call, &reply, error);
	if (r < 0)
		return r;
	r = sd_bus_message_enter_container(reply, 'v', "as");
	if (r > 0)
		r = sd_bus_message_enter_container(reply, 'a', "s");
	if (r < 0)
		return error_set_bus(error, NULL, r);
	while ((r = sd_bus_message_read_basic(reply, 's', &s)) > 0)
		if (streq(s, feature))
			return 1;
	return r < 0 ? error_set_bus(error, NULL, r) : 0;
}
