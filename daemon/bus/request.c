/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of request.h: strict, and bounded in everything. */

#include "daemon/bus/request.h"

#include "daemon/bus/error.h"
#include "daemon/bus/path.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>

struct reader {
	struct bus_request *request;
	sd_bus_error *error;
};

struct bus_request *bus_request_free(struct bus_request *request)
{
	if (!request)
		return NULL;
	strv_free(request->devices);
	strv_free(request->withhold);
	free(request->name);
	fd_close(request->lifeline);
	for (size_t i = 0; i < request->n_expect; i++)
		free((char *)request->expect[i].device);
	free(request->expect);
	free(request->gids);
	free(request->unit);
	free(request);
	return NULL;
}

/* A device's name from a sysfs name, an object path or "pool:NAME". */
static int device_name(const char *s, bool pools, char **name, sd_bus_error *error)
{
	if (strlen(s) > REQUEST_STRING_MAX)
		return bus_error_set(error, "BadOption",
				     "a device's name has more than %d bytes; name devices as "
				     "sysfs does",
				     REQUEST_STRING_MAX);
	if (*s == '/') {
		int r = path_device_decode(s, name, NULL);

		if (r == 0)
			return 0;
		return r < 0 ? r
			     : bus_error_set(error, "NoSuchDevice",
					     "%s is no device's path; see vfiodctl list", s);
	}
	if (!*s || strchr(s, '/') || (!pools && strncmp(s, "pool:", 5) == 0))
		return bus_error_set(error, "BadOption",
				     "\"%s\" is not the name of a device; see vfiodctl list", s);
	*name = strdup(s);
	return *name ? 0 : -ENOMEM;
}

static int read_devices(sd_bus_message *m, bool pools, char ***devices, sd_bus_error *error)
{
	const char *s;
	int r;

	r = sd_bus_message_enter_container(m, 'a', "s");
	while (r >= 0 && (r = sd_bus_message_read_basic(m, 's', &s)) > 0) {
		_cleanup_free_ char *name = NULL;

		if (strv_length(*devices) >= REQUEST_DEVICES_MAX)
			return bus_error_set(error, "QuotaExceeded",
					     "a request names at most %d devices",
					     REQUEST_DEVICES_MAX);
		r = device_name(s, pools, &name, error);
		if (r >= 0)
			r = strv_extend(devices, name);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_mode(sd_bus_message *m, struct reader *reader)
{
	const char *s;
	int mode, r;

	r = sd_bus_message_read_basic(m, 's', &s);
	if (r < 0)
		return r;
	mode = mode_from_string(s);
	if (mode < 0)
		return bus_error_set(reader->error, "BadOption",
				     "mode \"%.64s\" is none of auto, cdev, group, node", s);
	reader->request->mode = (enum mode)mode;
	return 0;
}

static bool name_valid(const char *s)
{
	if (!*s || strlen(s) > REQUEST_NAME_MAX)
		return false;
	for (; *s; s++)
		if (iscntrl((unsigned char)*s) || *s == '/')
			return false;
	return true;
}

static int read_name(sd_bus_message *m, struct reader *reader)
{
	const char *s;
	int r;

	r = sd_bus_message_read_basic(m, 's', &s);
	if (r < 0)
		return r;
	if (!name_valid(s))
		return bus_error_set(reader->error, "BadOption",
				     "name must have 1 to %d bytes, no control characters, no '/'",
				     REQUEST_NAME_MAX);
	return free_and_strdup(&reader->request->name, s);
}

static int read_withhold(sd_bus_message *m, struct reader *reader)
{
	return read_devices(m, false, &reader->request->withhold, reader->error);
}

static int read_lifeline(sd_bus_message *m, struct reader *reader)
{
	int fd, r;

	r = sd_bus_message_read_basic(m, 'h', &fd);
	if (r < 0)
		return r;
	fd_close(reader->request->lifeline);
	reader->request->lifeline = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return reader->request->lifeline < 0 ? -errno : 0;
}

static int read_bool(sd_bus_message *m, bool *value)
{
	int b, r;

	r = sd_bus_message_read_basic(m, 'b', &b);
	if (r >= 0)
		*value = b;
	return r;
}

#define DEFINE_BOOL_OPTION(name, member)                          \
	static int name(sd_bus_message *m, struct reader *reader) \
	{                                                         \
		return read_bool(m, &reader->request->member);    \
	}
DEFINE_BOOL_OPTION(read_persist, persist)
DEFINE_BOOL_OPTION(read_shared, shared)
DEFINE_BOOL_OPTION(read_attach, attach)
DEFINE_BOOL_OPTION(read_device_fds, device_fds)
DEFINE_BOOL_OPTION(read_interactive, interactive)

static int read_owner(sd_bus_message *m, struct reader *reader)
{
	uint32_t uid;
	int r = sd_bus_message_read_basic(m, 'u', &uid);

	if (r >= 0 && uid == UINT32_MAX)
		return bus_error_set(reader->error, "BadOption", "owner %u is no uid", uid);
	reader->request->owner = uid;
	reader->request->owner_given = true;
	return r;
}

static int read_memlock(sd_bus_message *m, struct reader *reader)
{
	return sd_bus_message_read_basic(m, 't', &reader->request->memlock);
}

static int read_numa_node(sd_bus_message *m, struct reader *reader)
{
	int r = sd_bus_message_read_basic(m, 'i', &reader->request->numa_node);

	if (r >= 0 && reader->request->numa_node < 0)
		return bus_error_set(reader->error, "BadOption",
				     "numa-node %d is none: leave it out to ask for any",
				     reader->request->numa_node);
	reader->request->has_numa_node = true;
	return r;
}

static int add_expect(struct reader *reader, const char *device, const char *ids)
{
	struct bus_request *request = reader->request;
	unsigned int vendor, product;
	char *name = NULL;
	int end = 0, r;

	if (request->n_expect >= REQUEST_DEVICES_MAX)
		return bus_error_set(reader->error, "QuotaExceeded",
				     "expect names at most %d devices", REQUEST_DEVICES_MAX);
	if (strlen(ids) != 9 || sscanf(ids, "%4x:%4x%n", &vendor, &product, &end) != 2 || end != 9)
		return bus_error_set(reader->error, "BadOption",
				     "expect \"%.64s\" is not VENDOR:PRODUCT, such as 8086:10d3",
				     ids);
	r = device_name(device, false, &name, reader->error);
	if (r < 0)
		return r;
	r = ARRAY_RESERVE_ONE(request->expect, request->n_expect);
	if (r < 0) {
		free(name);
		return r;
	}
	request->expect[request->n_expect++] =
		(struct expect){ .device = name, .vendor = vendor, .product = product };
	return 0;
}

static int read_expect(sd_bus_message *m, struct reader *reader)
{
	const char *device, *ids;
	int r;

	r = sd_bus_message_enter_container(m, 'a', "{ss}");
	while (r >= 0 && (r = sd_bus_message_read(m, "{ss}", &device, &ids)) > 0)
		r = add_expect(reader, device, ids);
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_uid(sd_bus_message *m, struct reader *reader)
{
	uint32_t uid;
	int r = sd_bus_message_read_basic(m, 'u', &uid);

	reader->request->uid = uid;
	reader->request->subject_given = true;
	return r;
}

static int read_gids(sd_bus_message *m, struct reader *reader)
{
	const void *gids;
	size_t size;
	int r = sd_bus_message_read_array(m, 'u', &gids, &size);

	if (r < 0)
		return r;
	free(reader->request->gids);
	reader->request->gids = malloc(size ? size : 1);
	if (!reader->request->gids)
		return -ENOMEM;
	if (size)
		memcpy(reader->request->gids, gids, size);
	reader->request->n_gids = size / sizeof(uint32_t);
	return 0;
}

static int read_unit(sd_bus_message *m, struct reader *reader)
{
	const char *s;
	int r = sd_bus_message_read_basic(m, 's', &s);

	if (r < 0)
		return r;
	if (strlen(s) > REQUEST_STRING_MAX)
		return bus_error_set(reader->error, "BadOption", "unit has more than %d bytes",
				     REQUEST_STRING_MAX);
	return free_and_strdup(&reader->request->unit, s);
}

static const struct option {
	const char *name;
	const char *signature;
	int (*read)(sd_bus_message *m, struct reader *reader);
	enum { BOTH, ACQUIRE_ONLY, EXPLAIN_ONLY, ALL } where; /* ALL: AddDevices too */
} options[] = {
	{ "mode", "s", read_mode, BOTH },
	{ "name", "s", read_name, BOTH },
	{ "withhold", "as", read_withhold, ALL },
	{ "lifeline", "h", read_lifeline, ACQUIRE_ONLY },
	{ "persist", "b", read_persist, BOTH },
	{ "shared", "b", read_shared, BOTH },
	{ "owner", "u", read_owner, BOTH },
	{ "attach", "b", read_attach, BOTH },
	{ "device-fds", "b", read_device_fds, BOTH },
	{ "memlock", "t", read_memlock, BOTH },
	{ "expect", "a{ss}", read_expect, ALL },
	{ "interactive", "b", read_interactive, ALL },
	{ "numa-node", "i", read_numa_node, ALL },
	{ "uid", "u", read_uid, EXPLAIN_ONLY },
	{ "gids", "au", read_gids, EXPLAIN_ONLY },
	{ "unit", "s", read_unit, EXPLAIN_ONLY },
};

static bool option_is_for(const struct option *option, enum request_for what)
{
	switch (what) {
	case REQUEST_FOR_ACQUIRE:
		return option->where != EXPLAIN_ONLY;
	case REQUEST_FOR_EXPLAIN:
		return option->where != ACQUIRE_ONLY;
	case REQUEST_FOR_ADD:
		return option->where == ALL;
	}
	return false;
}

static const struct option *find_option(const char *key, enum request_for what)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (streq(options[i].name, key) && option_is_for(&options[i], what))
			return &options[i];
	return NULL;
}

static int read_option(sd_bus_message *m, enum request_for what, unsigned int *seen,
		       struct reader *reader)
{
	const struct option *option;
	const char *key, *contents;
	int r;

	r = sd_bus_message_read_basic(m, 's', &key);
	if (r < 0)
		return r;
	option = find_option(key, what);
	if (!option)
		return bus_error_set(reader->error, "BadOption",
				     "there is no option \"%.64s\"; org.vfiod1(5) lists them", key);
	if (*seen & (1U << (option - options)))
		return bus_error_set(reader->error, "BadOption", "option \"%s\" is given twice",
				     key);
	*seen |= 1U << (option - options);
	r = sd_bus_message_peek_type(m, NULL, &contents);
	if (r < 0)
		return r;
	if (!streq(contents, option->signature))
		return bus_error_set(reader->error, "BadOption",
				     "option \"%s\" has the type \"%.32s\"; it must be \"%s\"", key,
				     contents, option->signature);
	r = sd_bus_message_enter_container(m, 'v', option->signature);
	if (r >= 0)
		r = option->read(m, reader);
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_options(sd_bus_message *m, enum request_for what, struct reader *reader)
{
	unsigned int seen = 0;
	int r;

	r = sd_bus_message_enter_container(m, 'a', "{sv}");
	while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		r = read_option(m, what, &seen, reader);
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int check(const struct bus_request *request, sd_bus_error *error)
{
	if (request->lifeline >= 0 && request->persist)
		return bus_error_set(error, "BadOption",
				     "lifeline and persist contradict each other; give one");
	if (request->mode != MODE_GROUP && request->device_fds)
		return bus_error_set(error, "BadOption",
				     "device-fds is for mode group; cdev gives devices by itself");
	if (request->device_fds && !request->attach)
		return bus_error_set(error, "BadOption",
				     "device-fds needs attach: a device can only be opened in an "
				     "attached group");
	return 0;
}

int bus_request_read_devices(sd_bus_message *m, char ***devices, sd_bus_error *error)
{
	return read_devices(m, false, devices, error);
}

int bus_request_read(sd_bus_message *m, enum request_for what, struct bus_request **ret,
		     sd_bus_error *error)
{
	_cleanup_(bus_request_freep) struct bus_request *request = calloc(1, sizeof(*request));
	struct reader reader = { .request = request, .error = error };
	int r;

	if (!request)
		return -ENOMEM;
	request->lifeline = -EBADF;
	request->mode = MODE_AUTO;
	request->attach = true;
	r = read_devices(m, true, &request->devices, error);
	if (r >= 0)
		r = read_options(m, what, &reader);
	if (r >= 0)
		r = check(request, error);
	if (r < 0)
		return r;
	*ret = STEAL(request);
	return 0;
}

struct request bus_request_ask(const struct bus_request *request, const struct creds *creds)
{
	struct request ask = {
		.subject = creds_subject(creds),
		.devices = request->devices,
		.withhold = request->withhold,
		.mode = request->mode,
		.name = request->name,
		.persist = request->persist,
		.memlock = request->memlock,
		.expect = request->expect,
		.n_expect = request->n_expect,
		.has_numa_node = request->has_numa_node,
		.numa_node = request->numa_node,
	};

	if (request->subject_given)
		ask.subject = (struct subject){
			.uid = request->uid,
			.gids = request->gids,
			.n_gids = request->n_gids,
			.unit = request->unit,
			.unit_known = true,
		};
	ask.owner = request->owner_given ? request->owner : ask.subject.uid;
	return ask;
}
