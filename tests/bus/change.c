/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of change.h. */

#include "tests/bus/change.h"

#include <fcntl.h>
#include <stdio.h>

static const char *call_name(struct pending *pending)
{
	static char name[128];
	sd_bus_message *reply = call_wait(pending);

	snprintf(name, sizeof(name), "%s", error_of(reply));
	sd_bus_message_unref(reply);
	return name;
}

struct pending *add_start(struct client *client, const char *lease, const char *const *devices,
			  const char *withhold)
{
	sd_bus_message *m = call_new(client, lease, "Lease", "AddDevices");

	ck_assert_int_ge(sd_bus_message_append_strv(m, (char **)devices), 0);
	ck_assert_int_ge(sd_bus_message_open_container(m, 'a', "{sv}"), 0);
	if (withhold)
		ck_assert_int_ge(sd_bus_message_append(m, "{sv}", "withhold", "as", 1, withhold),
				 0);
	ck_assert_int_ge(sd_bus_message_close_container(m), 0);
	return call_send(client, m);
}

const char *add_wait(struct pending *pending, int *fd)
{
	static char name[128];
	sd_bus_message *reply = call_wait(pending);
	int borrowed;

	*fd = -EBADF;
	snprintf(name, sizeof(name), "%s", error_of(reply));
	if (!*name) {
		ck_assert_int_ge(sd_bus_message_read(reply, "h", &borrowed), 0);
		*fd = fcntl(borrowed, F_DUPFD_CLOEXEC, 3);
	}
	sd_bus_message_unref(reply);
	return name;
}

const char *add(struct client *client, const char *lease, const char *const *devices)
{
	int fd;
	const char *error = add_wait(add_start(client, lease, devices, NULL), &fd);

	fd_close(fd);
	return error;
}

struct pending *take_away_start(struct client *client, const char *lease,
				const char *const *devices)
{
	sd_bus_message *m = call_new(client, lease, "Lease", "RemoveDevices");

	ck_assert_int_ge(sd_bus_message_append_strv(m, (char **)devices), 0);
	return call_send(client, m);
}

const char *take_away(struct client *client, const char *lease, const char *const *devices)
{
	return call_name(take_away_start(client, lease, devices));
}

const char *revoke_lease(struct client *client, const char *lease, uint64_t usec)
{
	return call_error(client, lease, "Lease", "Revoke", "ts", usec, "maintenance");
}

static char *device_path_of(const char *device)
{
	char *path = mock_asprintf(DEVICE_PATH "pci_%s", device);

	for (char *p = path + strlen(DEVICE_PATH); *p; p++)
		if (*p == ':' || *p == '.')
			*p = '_';
	return path;
}

bool state_is(struct client *root, const char *device, const char *state)
{
	_cleanup_free_ char *path = device_path_of(device);

	return property_is(root, path, "Device", "State", state);
}

bool revocation_has(struct client *root, const char *lease, const char *text)
{
	_cleanup_free_ char *value = property(root, lease, "Lease", "Revocation");

	return value && strstr(value, text);
}

void first_rule(struct client *root, uid_t uid, const char *words)
{
	_cleanup_free_ char *policy = mock_asprintf(
		"{ \"version\": 1, \"rules\": [ { \"id\": \"first\",\n"
		"\"subjects\": [ { \"users\": [%u] } ], \"devices\": [ { \"address\": \"*\" } ],\n"
		"\"modes\": [\"cdev\", \"group\", \"node\"], \"consent\": { \"drivers\": [\"*\"] "
		"},\n"
		"%s } ] }\n",
		uid, words ? words : "");

	bed_policy("10-first.json", words ? policy : NULL);
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Reload", NULL), "");
}

void slow(const char *op, const char *device, unsigned int milliseconds)
{
	_cleanup_free_ char *text = mock_asprintf("%u\n", milliseconds);

	if (milliseconds)
		tree_write(bed.host->fd, text, "slow/%s/%s", op, device);
	else
		tree_remove(bed.host->fd, "slow/%s/%s", op, device);
}
