/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * More and fewer devices for a lease that exists, and its end by root's will.
 */

#include "client/lease.h"

/* The new descriptors go to the others of the lease object. */
static int take_over(struct vfiod_lease *lease, struct handoff *more)
{
	struct handoff_fd *grown =
		reallocarray(lease->handoff.fds, lease->handoff.n + more->n + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	lease->handoff.fds = grown;
	for (size_t i = 0; i < more->n; i++)
		grown[lease->handoff.n++] = more->fds[i];
	free(more->fds);
	*more = (struct handoff){ 0 };
	return 0;
}

/* Devices and groups as they are now. */
static int reload(struct vfiod_lease *lease, struct vfiod_error **error)
{
	list_free(lease->devices);
	lease->devices = NULL;
	lease->n_devices = 0;
	lease->n_groups = 0;
	return lease_object_load(lease, error);
}

int vfiod_lease_add_devices(struct vfiod_lease *lease, struct vfiod_request *request,
			    struct vfiod_error **error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
	struct handoff more = { 0 };
	int r, socket;

	if (request->n_devices == 0)
		return error_set(error, VFIOD_ERROR_OTHER, EINVAL,
				 "The request names no device: name at least one.");
	r = sd_bus_message_new_method_call(lease->bus, &call, VFIOD_NAME, lease->path, VFIOD_LEASE,
					   "AddDevices");
	if (r >= 0)
		r = request_append(call, request, REQUEST_ACQUIRE);
	if (r < 0)
		return error_set_bus(error, NULL, r);
	r = client_call(lease->bus, call, &reply, error);
	if (r < 0)
		return r;
	r = sd_bus_message_read(reply, "h", &socket);
	if (r < 0)
		return error_set_bus(error, NULL, r);
	r = handoff_receive(socket, &more, error);
	if (r >= 0)
		r = take_over(lease, &more);
	handoff_done(&more);
	return r < 0 ? r : reload(lease, error);
}

static void forget(struct vfiod_lease *lease, const char *device)
{
	struct handoff_fd *f = handoff_find(&lease->handoff, "device", device);

	if (!f)
		return;
	close(f->fd);
	f->fd = -1;
}

int vfiod_lease_remove_devices(struct vfiod_lease *lease, const char *const *devices,
			       struct vfiod_error **error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
	int r;

	r = sd_bus_message_new_method_call(lease->bus, &call, VFIOD_NAME, lease->path, VFIOD_LEASE,
					   "RemoveDevices");
	if (r >= 0)
		r = sd_bus_message_append_strv(call, (char **)devices);
	if (r < 0)
		return error_set_bus(error, NULL, r);
	r = client_call(lease->bus, call, NULL, error);
	if (r < 0)
		return r;
	/* The kernel waits for an fd that this object keeps. */
	for (const char *const *device = devices; *device; device++)
		forget(lease, *device);
	return reload(lease, error);
}

int vfiod_lease_reset(struct vfiod_lease *lease, const char *const *devices, const char *kind,
		      struct vfiod_error **error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
	int r;

	r = sd_bus_message_new_method_call(lease->bus, &call, VFIOD_NAME, lease->path, VFIOD_LEASE,
					   "Reset");
	if (r >= 0)
		r = sd_bus_message_append_strv(call, (char **)devices);
	if (r >= 0)
		r = sd_bus_message_append(call, "s", kind ? kind : "auto");
	if (r < 0)
		return error_set_bus(error, NULL, r);
	return client_call(lease->bus, call, NULL, error);
}

int vfiod_lease_revoke(struct vfiod_lease *lease, uint64_t grace_usec, const char *reason,
		       struct vfiod_error **error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
	int r;

	r = sd_bus_message_new_method_call(lease->bus, &call, VFIOD_NAME, lease->path, VFIOD_LEASE,
					   "Revoke");
	if (r >= 0)
		r = sd_bus_message_append(call, "ts", grace_usec, reason ? reason : "");
	if (r < 0)
		return error_set_bus(error, NULL, r);
	return client_call(lease->bus, call, NULL, error);
}
