/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vfiod_acquire() and vfiod_find_lease(): from a request, or a name, to a lease object. A claim
 * succeeds as a whole or not at all: a lease whose descriptors do not arrive is given back.
 */

#include "client/lease.h"

static int check_request(const struct vfiod_request *request, struct vfiod_error **error)
{
	if (request->n_devices == 0)
		return error_set(error, VFIOD_ERROR_OTHER, EINVAL,
				 "The request names no device: name at least one.");
	if (request_has(request, REQUEST_SUBJECT))
		return error_set(error, VFIOD_ERROR_OTHER, EINVAL,
				 "A request for another subject can be explained, not acquired: "
				 "use the option \"owner\" for a lease of another user.");
	return 0;
}

/* Acquire itself: the reply has the lease's path and the handoff socket, borrowed from it. */
static int call_acquire(struct vfiod_client *client, const struct vfiod_request *request,
			sd_bus_message **reply, const char **path, int *socket,
			struct vfiod_error **error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
	int r;

	r = sd_bus_message_new_method_call(client->bus, &call, VFIOD_NAME, VFIOD_PATH,
					   VFIOD_MANAGER, "Acquire");
	if (r >= 0)
		r = request_append(call, request, REQUEST_ACQUIRE);
	if (r < 0)
		return error_set_bus(error, NULL, r);
	r = client_call(client->bus, call, reply, error);
	if (r < 0)
		return r;
	r = sd_bus_message_read(*reply, "oh", path, socket);
	if (r < 0)
		return error_set_bus(error, NULL, r);
	return 0;
}

/* The claim went through but this side cannot have it: give it back, and say so if that fails. */
static void give_back(struct vfiod_lease *lease, struct vfiod_error *why)
{
	_cleanup_(vfiod_error_freep) struct vfiod_error *e = NULL;

	if (vfiod_lease_release(lease, &e) < 0)
		error_append(why,
			     " The lease %s could not be given back either (%s): "
			     "release it with \"vfiodctl release %s\".",
			     vfiod_lease_id(lease), vfiod_error_message(e), vfiod_lease_id(lease));
}

int vfiod_acquire(struct vfiod_client *client, struct vfiod_request *request,
		  struct vfiod_lease **lease, struct vfiod_error **error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	_cleanup_(vfiod_lease_freep) struct vfiod_lease *l = NULL;
	_cleanup_(vfiod_error_freep) struct vfiod_error *e = NULL;
	const char *path;
	int r, socket;

	r = check_request(request, error);
	if (r < 0)
		return r;
	r = call_acquire(client, request, &reply, &path, &socket, error);
	if (r < 0)
		return r;
	r = lease_object_new(client, path, &l);
	if (r < 0)
		return r;
	r = handoff_receive(socket, &l->handoff, &e);
	if (r >= 0)
		r = lease_object_load(l, &e);
	if (r < 0) {
		give_back(l, e);
		if (error)
			*error = STEAL(e);
		return r;
	}
	*lease = STEAL(l);
	return 0;
}

int vfiod_find_lease(struct vfiod_client *client, const char *id_or_name,
		     struct vfiod_lease **lease, struct vfiod_error **error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
	_cleanup_(vfiod_lease_freep) struct vfiod_lease *l = NULL;
	const char *path;
	int r;

	r = sd_bus_message_new_method_call(client->bus, &call, VFIOD_NAME, VFIOD_PATH,
					   VFIOD_MANAGER, "FindLease");
	if (r >= 0)
		r = sd_bus_message_append(call, "s", id_or_name);
	if (r < 0)
		return error_set_bus(error, NULL, r);
	r = client_call(client->bus, call, &reply, error);
	if (r < 0)
		return r;
	r = sd_bus_message_read(reply, "o", &path);
	if (r < 0)
		return error_set_bus(error, NULL, r);
	r = lease_object_new(client, path, &l);
	if (r >= 0)
		r = lease_object_load(l, error);
	if (r < 0)
		return r;
	*lease = STEAL(l);
	return 0;
}
