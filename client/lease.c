/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * struct vfiod_lease: what is known of a lease, its descriptors by kind and name, and the calls on
 * its object. How one comes about is in acquire.c.
 */

#include "client/lease.h"

/* Reads a variant with an array of paths, and hands each to one(). */
static int read_paths(sd_bus_message *m, struct vfiod_lease *lease,
		      int (*one)(struct vfiod_lease *lease, const char *path))
{
	const char *path;
	size_t n = 0;
	int r;

	r = sd_bus_message_enter_container(m, 'v', "ao");
	if (r >= 0)
		r = sd_bus_message_enter_container(m, 'a', "o");
	if (r < 0)
		return r;
	while ((r = sd_bus_message_read_basic(m, 'o', &path)) > 0) {
		r = ++n > VFIOD_LIST_MAX ? -EMSGSIZE : one(lease, path);
		if (r < 0)
			return r;
	}
	if (r >= 0)
		r = sd_bus_message_exit_container(m);
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int add_device(struct vfiod_lease *lease, const char *path)
{
	_cleanup_free_ char *name = NULL;
	int r;

	r = device_name_from_path(path, &name);
	return r < 0 ? r : list_append(&lease->devices, &lease->n_devices, name);
}

static int add_group(struct vfiod_lease *lease, const char *path)
{
	uint32_t *grown, id;
	int r;

	r = group_id_from_path(path, &id);
	if (r < 0)
		return r;
	grown = reallocarray(lease->groups, lease->n_groups + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	lease->groups = grown;
	grown[lease->n_groups++] = id;
	return 0;
}

static int read_property(sd_bus_message *m, struct vfiod_lease *lease)
{
	const char *key, *s;
	int r;

	r = sd_bus_message_read_basic(m, 's', &key);
	if (r < 0)
		return r;
	if (streq(key, "Devices"))
		return read_paths(m, lease, add_device);
	if (streq(key, "Groups"))
		return read_paths(m, lease, add_group);
	if (!streq(key, "Mode"))
		return sd_bus_message_skip(m, "v");
	r = sd_bus_message_read(m, "v", "s", &s);
	if (r < 0)
		return r;
	free(lease->mode);
	lease->mode = strdup(s);
	return lease->mode ? 0 : -ENOMEM;
}

static int read_properties(sd_bus_message *m, struct vfiod_lease *lease)
{
	int r;

	r = sd_bus_message_enter_container(m, 'a', "{sv}");
	if (r < 0)
		return r;
	while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		r = read_property(m, lease);
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
		if (r < 0)
			return r;
	}
	return r;
}

int lease_object_load(struct vfiod_lease *lease, struct vfiod_error **error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
	int r;

	r = sd_bus_message_new_method_call(lease->bus, &call, VFIOD_NAME, lease->path,
					   "org.freedesktop.DBus.Properties", "GetAll");
	if (r >= 0)
		r = sd_bus_message_append(call, "s", VFIOD_LEASE);
	if (r < 0)
		return error_set_bus(error, NULL, r);
	r = client_call(lease->bus, call, &reply, error);
	if (r < 0)
		return r;
	r = read_properties(reply, lease);
	if (r < 0)
		return error_set_bus(error, NULL, r);
	return 0;
}

int lease_object_new(struct vfiod_client *client, const char *path, struct vfiod_lease **lease)
{
	_cleanup_(vfiod_lease_freep) struct vfiod_lease *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->bus = sd_bus_ref(client->bus);
	l->path = strdup(path);
	if (!l->path)
		return -ENOMEM;
	*lease = STEAL(l);
	return 0;
}

struct vfiod_lease *vfiod_lease_free(struct vfiod_lease *lease)
{
	if (!lease)
		return NULL;
	handoff_done(&lease->handoff);
	lease_places_clear(lease);
	list_free(lease->devices);
	free(lease->groups);
	free(lease->path);
	free(lease->mode);
	sd_bus_unref(lease->bus);
	free(lease);
	return NULL;
}

const char *vfiod_lease_id(const struct vfiod_lease *lease)
{
	const char *slash = strrchr(lease->path, '/');

	return slash ? slash + 1 : lease->path;
}

const char *vfiod_lease_path(const struct vfiod_lease *lease)
{
	return lease->path;
}

const char *vfiod_lease_mode(const struct vfiod_lease *lease)
{
	return lease->mode ? lease->mode : "";
}

const char *vfiod_lease_device(const struct vfiod_lease *lease, size_t i)
{
	return i < lease->n_devices ? lease->devices[i] : NULL;
}

int64_t vfiod_lease_group(const struct vfiod_lease *lease, size_t i)
{
	return i < lease->n_groups ? (int64_t)lease->groups[i] : -ENOENT;
}

int vfiod_lease_fd(const struct vfiod_lease *lease, const char *kind, const char *name)
{
	const struct handoff_fd *f = handoff_find(&lease->handoff, kind, name);

	return f ? f->fd : -ENOENT;
}

int vfiod_lease_take_fd(struct vfiod_lease *lease, const char *kind, const char *name)
{
	struct handoff_fd *f = handoff_find(&lease->handoff, kind, name);
	int fd;

	if (!f)
		return -ENOENT;
	fd = f->fd;
	f->fd = -1;
	return fd;
}

int vfiod_lease_fd_at(const struct vfiod_lease *lease, size_t i, const char **kind,
		      const char **name)
{
	for (size_t j = 0; j < lease->handoff.n; j++) {
		const struct handoff_fd *f = &lease->handoff.fds[j];

		if (f->fd < 0 || i-- > 0)
			continue;
		if (kind)
			*kind = f->kind;
		if (name)
			*name = f->name;
		return f->fd;
	}
	return -ENOENT;
}

static int lease_call(struct vfiod_lease *lease, const char *method, sd_bus_message **reply,
		      struct vfiod_error **error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
	int r;

	r = sd_bus_message_new_method_call(lease->bus, &call, VFIOD_NAME, lease->path, VFIOD_LEASE,
					   method);
	if (r < 0)
		return error_set_bus(error, NULL, r);
	return client_call(lease->bus, call, reply, error);
}

int vfiod_lease_get_fds(struct vfiod_lease *lease, struct vfiod_error **error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	int r, socket;

	/* While they are open the kernel gives no others, and the daemon says GroupBusy. */
	handoff_done(&lease->handoff);
	r = lease_call(lease, "GetFds", &reply, error);
	if (r < 0)
		return r;
	r = sd_bus_message_read(reply, "h", &socket);
	if (r < 0)
		return error_set_bus(error, NULL, r);
	return handoff_receive(socket, &lease->handoff, error);
}

int vfiod_lease_release(struct vfiod_lease *lease, struct vfiod_error **error)
{
	handoff_done(&lease->handoff);
	return lease_call(lease, "Release", NULL, error);
}

int vfiod_lease_restore(struct vfiod_lease *lease, struct vfiod_error **error)
{
	return lease_call(lease, "Restore", NULL, error);
}
