/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vfiodctl clear: devices that broke, and that somebody has looked at, may be given away again.
 */

#include "client/ctl/names.h"
#include "client/ctl/picture.h"

static int call(struct ctl *ctl, sd_bus_message *message, sd_bus_message **reply)
{
	_cleanup_(vfiod_error_freep) struct vfiod_error *error = NULL;
	int r = vfiod_client_call(ctl->client, message, reply, &error);

	return r < 0 ? ctl_fail(error, r) : EXIT_OK;
}

int ctl_find_device(struct ctl *ctl, const char *typed, sd_bus_message **reply, const char **path)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
	_cleanup_free_ char *name = device_argument(typed);
	int r;

	if (!name)
		return ctl_fail(NULL, -ENOMEM);
	r = sd_bus_message_new_method_call(vfiod_client_bus(ctl->client), &message, "org.vfiod1",
					   "/org/vfiod1", "org.vfiod1.Manager", "FindDevice");
	if (r >= 0)
		r = sd_bus_message_append(message, "s", name);
	if (r < 0)
		return ctl_fail(NULL, r);
	r = call(ctl, message, reply);
	if (r != EXIT_OK)
		return r;
	r = sd_bus_message_read(*reply, "o", path);
	return r < 0 ? ctl_fail(NULL, r) : EXIT_OK;
}

static int clear(struct ctl *ctl, const char *typed)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL, *found = NULL,
							*reply = NULL;
	const char *path;
	int r;

	r = ctl_find_device(ctl, typed, &found, &path);
	if (r != EXIT_OK)
		return r;
	r = sd_bus_message_new_method_call(vfiod_client_bus(ctl->client), &message, "org.vfiod1",
					   path, IFACE_DEVICE, "ClearError");
	return r < 0 ? ctl_fail(NULL, r) : call(ctl, message, &reply);
}

int verb_clear(struct ctl *ctl, int argc, char *argv[])
{
	static const struct option options[] = { COMMON_OPTIONS, {} };
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		r = ctl_common_option(ctl, c, argv[0]);
		if (r >= 0)
			return r;
	}
	if (optind == argc) {
		usage_verb(stderr, argv[0]);
		return EXIT_USAGE;
	}
	r = ctl_connect(ctl);
	for (int i = optind; r == EXIT_OK && i < argc; i++)
		r = clear(ctl, argv[i]);
	return r;
}
