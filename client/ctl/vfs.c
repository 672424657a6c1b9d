/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vfiodctl vfs: how many virtual functions a device has.
 */

#include "client/ctl/names.h"
#include "client/ctl/picture.h"

static int set(struct ctl *ctl, const char *path, uint32_t n)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL, *reply = NULL;
	_cleanup_(vfiod_error_freep) struct vfiod_error *error = NULL;
	int r;

	r = sd_bus_message_new_method_call(vfiod_client_bus(ctl->client), &message, "org.vfiod1",
					   path, IFACE_DEVICE, "SetNumVfs");
	if (r >= 0)
		r = sd_bus_message_append(message, "u", n);
	if (r >= 0)
		r = vfiod_client_call(ctl->client, message, &reply, &error);
	return r < 0 ? ctl_fail(error, r) : EXIT_OK;
}

int verb_vfs(struct ctl *ctl, int argc, char *argv[])
{
	static const struct option options[] = { COMMON_OPTIONS, {} };
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *found = NULL;
	const char *path;
	unsigned long n;
	char *end;
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		r = ctl_common_option(ctl, c, argv[0]);
		if (r >= 0)
			return r;
	}
	if (argc - optind != 2) {
		usage_verb(stderr, argv[0]);
		return EXIT_USAGE;
	}
	n = strtoul(argv[optind + 1], &end, 10);
	if (*end || end == argv[optind + 1] || argv[optind + 1][0] == '-' || n > UINT16_MAX)
		return ctl_say(EXIT_USAGE, "\"%s\" is no number of virtual functions.",
			       argv[optind + 1]);
	r = ctl_connect(ctl);
	if (r == EXIT_OK)
		r = ctl_find_device(ctl, argv[optind], &found, &path);
	return r == EXIT_OK ? set(ctl, path, (uint32_t)n) : r;
}
