/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A request's form on the bus: the arguments "as devices, a{sv} options" of Acquire and Explain.
 * Only what was set is sent.
 */

#include "client/internal.h"

static int append_strv(sd_bus_message *m, const char *key, char **values)
{
	int r;

	r = sd_bus_message_open_container(m, 'e', "sv");
	if (r >= 0)
		r = sd_bus_message_append_basic(m, 's', key);
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', "as");
	if (r >= 0)
		r = sd_bus_message_append_strv(m, values);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_expect(sd_bus_message *m, const struct vfiod_request *request)
{
	int r;

	r = sd_bus_message_open_container(m, 'e', "sv");
	if (r >= 0)
		r = sd_bus_message_append_basic(m, 's', "expect");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', "a{ss}");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "{ss}");
	for (size_t i = 0; r >= 0 && i < request->n_expect; i++)
		r = sd_bus_message_append(m, "{ss}", request->expect[i].device,
					  request->expect[i].hardware);
	for (int level = 0; r >= 0 && level < 3; level++)
		r = sd_bus_message_close_container(m);
	return r;
}

static int append_gids(sd_bus_message *m, const struct vfiod_request *request)
{
	int r;

	r = sd_bus_message_open_container(m, 'e', "sv");
	if (r >= 0)
		r = sd_bus_message_append_basic(m, 's', "gids");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', "au");
	if (r >= 0)
		r = sd_bus_message_append_array(m, 'u', request->subject_gids,
						request->n_subject_gids * sizeof(uint32_t));
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_subject(sd_bus_message *m, const struct vfiod_request *request)
{
	int r;

	r = sd_bus_message_append(m, "{sv}", "uid", "u", (uint32_t)request->subject_uid);
	if (r >= 0)
		r = append_gids(m, request);
	if (r >= 0 && request->subject_unit)
		r = sd_bus_message_append(m, "{sv}", "unit", "s", request->subject_unit);
	return r;
}

static int append_option(sd_bus_message *m, const struct vfiod_request *r, enum request_option o)
{
	switch (o) {
	case REQUEST_MODE:
		return sd_bus_message_append(m, "{sv}", "mode", "s", r->mode);
	case REQUEST_NAME:
		return sd_bus_message_append(m, "{sv}", "name", "s", r->name);
	case REQUEST_WITHHOLD:
		return append_strv(m, "withhold", r->withhold);
	case REQUEST_LIFELINE:
		return sd_bus_message_append(m, "{sv}", "lifeline", "h", r->lifeline);
	case REQUEST_PERSIST:
		return sd_bus_message_append(m, "{sv}", "persist", "b", r->persist);
	case REQUEST_SHARED:
		return sd_bus_message_append(m, "{sv}", "shared", "b", r->shared);
	case REQUEST_OWNER:
		return sd_bus_message_append(m, "{sv}", "owner", "u", (uint32_t)r->owner);
	case REQUEST_ATTACH:
		return sd_bus_message_append(m, "{sv}", "attach", "b", r->attach);
	case REQUEST_DEVICE_FDS:
		return sd_bus_message_append(m, "{sv}", "device-fds", "b", r->device_fds);
	case REQUEST_MEMLOCK:
		return sd_bus_message_append(m, "{sv}", "memlock", "t", r->memlock);
	case REQUEST_EXPECT:
		return append_expect(m, r);
	case REQUEST_INTERACTIVE:
		return sd_bus_message_append(m, "{sv}", "interactive", "b", r->interactive);
	case REQUEST_SUBJECT:
		return append_subject(m, r);
	case REQUEST_NUMA_NODE:
		return sd_bus_message_append(m, "{sv}", "numa-node", "i", (int32_t)r->numa_node);
	case REQUEST_MAX:
	case REQUEST_INVALID:
		break;
	}
	return -EINVAL;
}

/* The lifeline is for a lease that comes about; the subject for a decision alone. */
static bool is_sent(enum request_option option, enum request_call call)
{
	return option != (call == REQUEST_EXPLAIN ? REQUEST_LIFELINE : REQUEST_SUBJECT);
}

int request_append(sd_bus_message *m, const struct vfiod_request *request, enum request_call call)
{
	int r;

	r = sd_bus_message_append_strv(m, request->devices);
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "{sv}");
	for (enum request_option o = 0; r >= 0 && o < REQUEST_MAX; o++)
		if (request_has(request, o) && is_sent(o, call))
			r = append_option(m, request, o);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	/* polkit may only ask the caller's agent if the message itself says so. */
	if (r >= 0 && request_has(request, REQUEST_INTERACTIVE))
		r = sd_bus_message_set_allow_interactive_authorization(m, request->interactive);
	return r < 0 ? r : 0;
}
