/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The implementation of creds.h. libsystemd's own sd_bus_query_sender_creds() is not used: it
 * blocks, before 253 it leaves out the groups, and it fills gaps from /proc by pid.
 */

#include "daemon/bus/creds.h"

#include "daemon/lease/lifeline.h"

#include <fcntl.h>

#define DBUS_NAME  "org.freedesktop.DBus"
#define DBUS_PATH  "/org/freedesktop/DBus"
#define DBUS_IFACE "org.freedesktop.DBus"

struct creds_query {
	sd_bus_slot *slot;
	const struct host *host;
	char *name;
	creds_fn callback;
	void *userdata;
};

struct creds *creds_free(struct creds *creds)
{
	if (!creds)
		return NULL;
	fd_close(creds->pidfd);
	free(creds->name);
	free(creds->gids);
	free(creds->unit);
	free(creds);
	return NULL;
}

struct subject creds_subject(const struct creds *creds)
{
	return (struct subject){
		.uid = creds->uid,
		.gids = creds->gids,
		.n_gids = creds->n_gids,
		.unit = creds->unit,
		.unit_known = creds->unit_known,
	};
}

static int parse_uid(sd_bus_message *m, struct creds *creds)
{
	uint32_t uid;
	int r;

	r = sd_bus_message_read(m, "v", "u", &uid);
	if (r < 0)
		return r;
	creds->uid = uid;
	return 0;
}

static int parse_gids(sd_bus_message *m, struct creds *creds)
{
	const void *data;
	size_t size;
	int r;

	r = sd_bus_message_enter_container(m, 'v', "au");
	if (r < 0)
		return r;
	r = sd_bus_message_read_array(m, 'u', &data, &size);
	if (r < 0)
		return r;
	free(creds->gids);
	creds->n_gids = 0;
	creds->gids = malloc(size ? size : 1);
	if (!creds->gids)
		return -ENOMEM;
	if (size)
		memcpy(creds->gids, data, size);
	creds->n_gids = size / sizeof(uint32_t);
	return sd_bus_message_exit_container(m);
}

static int parse_pid(sd_bus_message *m, struct creds *creds)
{
	uint32_t pid;
	int r;

	r = sd_bus_message_read(m, "v", "u", &pid);
	if (r < 0)
		return r;
	if (pid > INT32_MAX)
		return -EBADMSG;
	creds->pid = (pid_t)pid;
	return 0;
}

static int parse_pidfd(sd_bus_message *m, struct creds *creds)
{
	int fd, r;

	r = sd_bus_message_read(m, "v", "h", &fd);
	if (r < 0)
		return r;
	/* The message's own fd goes with the message. */
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return -errno;
	fd_close(creds->pidfd);
	creds->pidfd = fd;
	return 0;
}

static const struct {
	const char *key;
	int (*parse)(sd_bus_message *m, struct creds *creds);
} keys[] = {
	{ "UnixUserID", parse_uid },
	{ "UnixGroupIDs", parse_gids },
	{ "ProcessID", parse_pid },
	{ "ProcessFD", parse_pidfd },
};

static int parse_entry(sd_bus_message *m, struct creds *creds, bool *uid_known)
{
	const char *key;
	int r;

	r = sd_bus_message_read(m, "s", &key);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (streq(keys[i].key, key)) {
			if (keys[i].parse == parse_uid)
				*uid_known = true;
			return keys[i].parse(m, creds);
		}
	return sd_bus_message_skip(m, "v");
}

static int parse_dictionary(sd_bus_message *m, struct creds *creds, bool *uid_known)
{
	int r;

	r = sd_bus_message_enter_container(m, 'a', "{sv}");
	if (r < 0)
		return r;
	while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		r = parse_entry(m, creds, uid_known);
		if (r < 0)
			return r;
		r = sd_bus_message_exit_container(m);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

int creds_parse(sd_bus_message *m, struct creds *creds)
{
	bool uid_known = false;
	int r;

	creds->pidfd = -EBADF;
	creds->uid = (uid_t)-1;
	r = parse_dictionary(m, creds, &uid_known);
	/* sd-bus says -ENXIO for another type; here that would read as "no such connection". */
	if (r == -ENXIO || r == -EINVAL)
		return -EBADMSG;
	if (r < 0)
		return r;
	/* (uid_t)-1 is "no user" to every system call that takes a uid. */
	return uid_known && creds->uid != (uid_t)-1 ? 0 : -ENODATA;
}

/* A process that is over by now is a connection that is gone: its unit is not known, and its
 * disconnection is on the way. */
static int add_unit(const struct host *host, struct creds *creds)
{
	int r;

	if (creds->pidfd < 0)
		return 0;
	r = process_unit(host, creds->pidfd, &creds->unit);
	if (r == -ENOMEM)
		return r;
	creds->unit_known = r >= 0;
	return 0;
}

static int reply_to_creds(struct creds_query *query, sd_bus_message *m, struct creds **ret)
{
	_cleanup_(creds_freep) struct creds *creds = NULL;
	int r;

	if (sd_bus_message_is_method_error(m, SD_BUS_ERROR_NAME_HAS_NO_OWNER))
		return -ENXIO;
	if (sd_bus_message_is_method_error(m, NULL)) {
		r = -sd_bus_message_get_errno(m);
		return r < 0 && r != -ENXIO ? r : -EIO;
	}
	/* The bus delivers no reply that was not asked for; that it is the bus' is cheap to see. */
	if (!streq0(sd_bus_message_get_sender(m), DBUS_NAME))
		return -EBADMSG;
	creds = calloc(1, sizeof(*creds));
	if (!creds)
		return -ENOMEM;
	r = creds_parse(m, creds);
	if (r < 0)
		return r;
	creds->name = STEAL(query->name);
	r = add_unit(query->host, creds);
	if (r < 0)
		return r;
	*ret = STEAL(creds);
	return 0;
}

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct creds_query *query = userdata;
	struct creds *creds = NULL;
	int r;

	r = reply_to_creds(query, m, &creds);
	query->callback(query, r, creds, query->userdata);
	return 0;
}

int creds_query(sd_bus *bus, const struct host *host, const char *unique_name,
		uint64_t timeout_usec, creds_fn callback, void *userdata, struct creds_query **ret)
{
	_cleanup_(creds_query_freep) struct creds_query *query = NULL;
	sd_bus_message *m = NULL;
	int r;

	query = calloc(1, sizeof(*query));
	if (!query)
		return -ENOMEM;
	query->host = host;
	query->callback = callback;
	query->userdata = userdata;
	query->name = strdup(unique_name);
	if (!query->name)
		return -ENOMEM;
	r = sd_bus_message_new_method_call(bus, &m, DBUS_NAME, DBUS_PATH, DBUS_IFACE,
					   "GetConnectionCredentials");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", unique_name);
	if (r >= 0)
		r = sd_bus_call_async(bus, &query->slot, m, on_reply, query, timeout_usec);
	sd_bus_message_unref(m);
	if (r < 0)
		return r;
	*ret = STEAL(query);
	return 0;
}

struct creds_query *creds_query_free(struct creds_query *query)
{
	if (!query)
		return NULL;
	sd_bus_slot_unref(query->slot);
	free(query->name);
	free(query);
	return NULL;
}
