/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * struct vfiod_request: what to ask for, option by option, and its form on the bus. What a value
 * means, and whether it is granted, is the daemon's affair.
 */

#include "client/internal.h"

#include <fcntl.h>

int list_append(char ***list, size_t *n, const char *s)
{
	char **grown = reallocarray(*list, *n + 2, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	*list = grown;
	grown[*n] = strdup(s);
	if (!grown[*n])
		return -ENOMEM;
	grown[++*n] = NULL;
	return 0;
}

char **list_free(char **list)
{
	for (char **s = list; s && *s; s++)
		free(*s);
	free(list);
	return NULL;
}

int vfiod_request_new(struct vfiod_request **request)
{
	struct vfiod_request *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->lifeline = -1;
	*request = r;
	return 0;
}

struct vfiod_request *vfiod_request_free(struct vfiod_request *request)
{
	if (!request)
		return NULL;
	list_free(request->devices);
	list_free(request->withhold);
	for (size_t i = 0; i < request->n_expect; i++) {
		free(request->expect[i].device);
		free(request->expect[i].hardware);
	}
	free(request->expect);
	free(request->mode);
	free(request->name);
	close_fdp(&request->lifeline);
	free(request->subject_gids);
	free(request->subject_unit);
	free(request);
	return NULL;
}

static int set(struct vfiod_request *request, enum request_option option)
{
	request->set |= 1U << option;
	return 0;
}

static int set_string(struct vfiod_request *request, enum request_option option, char **field,
		      const char *value)
{
	char *copy;

	if (str_empty(value))
		return -EINVAL;
	copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return set(request, option);
}

int vfiod_request_add_device(struct vfiod_request *request, const char *device)
{
	if (str_empty(device))
		return -EINVAL;
	return list_append(&request->devices, &request->n_devices, device);
}

int vfiod_request_add_withhold(struct vfiod_request *request, const char *device)
{
	int r;

	if (str_empty(device))
		return -EINVAL;
	r = list_append(&request->withhold, &request->n_withhold, device);
	return r < 0 ? r : set(request, REQUEST_WITHHOLD);
}

int vfiod_request_add_expect(struct vfiod_request *request, const char *device,
			     const char *vendor_product)
{
	struct request_expect *grown, e;

	if (str_empty(device) || str_empty(vendor_product))
		return -EINVAL;
	grown = reallocarray(request->expect, request->n_expect + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	request->expect = grown;
	e.device = strdup(device);
	e.hardware = strdup(vendor_product);
	if (!e.device || !e.hardware) {
		free(e.device);
		free(e.hardware);
		return -ENOMEM;
	}
	grown[request->n_expect++] = e;
	return set(request, REQUEST_EXPECT);
}

int vfiod_request_set_mode(struct vfiod_request *request, const char *mode)
{
	return set_string(request, REQUEST_MODE, &request->mode, mode);
}

int vfiod_request_set_name(struct vfiod_request *request, const char *name)
{
	return set_string(request, REQUEST_NAME, &request->name, name);
}

int vfiod_request_set_lifeline(struct vfiod_request *request, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (copy < 0)
		return -errno;
	close_fdp(&request->lifeline);
	request->lifeline = copy;
	return set(request, REQUEST_LIFELINE);
}

int vfiod_request_set_persist(struct vfiod_request *request, bool persist)
{
	request->persist = persist;
	return set(request, REQUEST_PERSIST);
}

int vfiod_request_set_shared(struct vfiod_request *request, bool shared)
{
	request->shared = shared;
	return set(request, REQUEST_SHARED);
}

int vfiod_request_set_owner(struct vfiod_request *request, uid_t uid)
{
	if (uid == (uid_t)-1)
		return -EINVAL;
	request->owner = uid;
	return set(request, REQUEST_OWNER);
}

int vfiod_request_set_attach(struct vfiod_request *request, bool attach)
{
	request->attach = attach;
	return set(request, REQUEST_ATTACH);
}

int vfiod_request_set_device_fds(struct vfiod_request *request, bool device_fds)
{
	request->device_fds = device_fds;
	return set(request, REQUEST_DEVICE_FDS);
}

int vfiod_request_set_memlock(struct vfiod_request *request, uint64_t bytes)
{
	request->memlock = bytes;
	return set(request, REQUEST_MEMLOCK);
}

int vfiod_request_set_numa_node(struct vfiod_request *request, int node)
{
	if (node < 0)
		return -EINVAL;
	request->numa_node = node;
	return set(request, REQUEST_NUMA_NODE);
}

int vfiod_request_set_interactive(struct vfiod_request *request, bool interactive)
{
	request->interactive = interactive;
	return set(request, REQUEST_INTERACTIVE);
}

int vfiod_request_set_subject(struct vfiod_request *request, uid_t uid, const gid_t *gids,
			      size_t n_gids, const char *unit)
{
	gid_t *copy = NULL;
	char *unit_copy = NULL;

	if (uid == (uid_t)-1)
		return -EINVAL;
	if (n_gids > 0) {
		copy = reallocarray(NULL, n_gids, sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		memcpy(copy, gids, n_gids * sizeof(*copy));
	}
	if (unit) {
		unit_copy = strdup(unit);
		if (!unit_copy) {
			free(copy);
			return -ENOMEM;
		}
	}
	free(request->subject_gids);
	free(request->subject_unit);
	request->subject_uid = uid;
	request->subject_gids = copy;
	request->n_subject_gids = n_gids;
	request->subject_unit = unit_copy;
	return set(request, REQUEST_SUBJECT);
}
