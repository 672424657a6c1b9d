/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vfiodctl add, remove and reset: what is done to the devices of a lease. The descriptors of what
 * is added are closed again: a VMM that wants them asks for them itself, or with GetFds; in mode
 * node there are none.
 */

#include "client/ctl/names.h"
#include "client/ctl/request.h"

/* The lease's name is the first argument that is no option. */
static int find(struct ctl *ctl, int argc, char *argv[], struct vfiod_lease **lease)
{
	_cleanup_(vfiod_error_freep) struct vfiod_error *error = NULL;
	int r;

	if (argc - optind < 2) {
		usage_verb(stderr, argv[0]);
		return EXIT_USAGE;
	}
	r = ctl_connect(ctl);
	if (r != EXIT_OK)
		return r;
	r = vfiod_find_lease(ctl->client, argv[optind++], lease, &error);
	return r < 0 ? ctl_fail(error, r) : EXIT_OK;
}

static int add(struct ctl *ctl, int argc, char *argv[], struct request_options *o)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{ "withhold", required_argument, NULL, OPT_WITHHOLD },
		{ "expect", required_argument, NULL, OPT_EXPECT },
		{ "no-ask-password", no_argument, NULL, OPT_NO_ASK },
		{}
	};
	_cleanup_(vfiod_lease_freep) struct vfiod_lease *lease = NULL;
	_cleanup_(vfiod_error_freep) struct vfiod_error *error = NULL;
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		r = request_or_common_option(ctl, o, c, argv[0]);
		if (r >= 0)
			return r;
	}
	r = find(ctl, argc, argv, &lease);
	if (r == EXIT_OK)
		r = request_devices(o, argv + optind, (size_t)(argc - optind));
	if (r != EXIT_OK)
		return r;
	if (request_finish(o) < 0)
		return ctl_fail(NULL, -ENOMEM);
	r = vfiod_lease_add_devices(lease, o->request, &error);
	return r < 0 ? ctl_fail(error, r) : EXIT_OK;
}

int verb_add(struct ctl *ctl, int argc, char *argv[])
{
	struct request_options o;
	int r;

	if (request_options_init(&o) < 0)
		return ctl_fail(NULL, -ENOMEM);
	r = add(ctl, argc, argv, &o);
	request_options_done(&o);
	return r;
}

int verb_remove(struct ctl *ctl, int argc, char *argv[])
{
	static const struct option options[] = { COMMON_OPTIONS, {} };
	_cleanup_(vfiod_lease_freep) struct vfiod_lease *lease = NULL;
	_cleanup_(vfiod_error_freep) struct vfiod_error *error = NULL;
	_cleanup_strv_ char **devices = NULL;
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		r = ctl_common_option(ctl, c, argv[0]);
		if (r >= 0)
			return r;
	}
	r = find(ctl, argc, argv, &lease);
	if (r != EXIT_OK)
		return r;
	for (int i = optind; i < argc; i++) {
		_cleanup_free_ char *name = device_argument(argv[i]);

		if (!name || strv_extend(&devices, name) < 0)
			return ctl_fail(NULL, -ENOMEM);
	}
	r = vfiod_lease_remove_devices(lease, (const char *const *)devices, &error);
	return r < 0 ? ctl_fail(error, r) : EXIT_OK;
}

int verb_reset(struct ctl *ctl, int argc, char *argv[])
{
	static const struct option options[] = { COMMON_OPTIONS,
						 { "kind", required_argument, NULL, 'k' },
						 {} };
	_cleanup_(vfiod_lease_freep) struct vfiod_lease *lease = NULL;
	_cleanup_(vfiod_error_freep) struct vfiod_error *error = NULL;
	_cleanup_strv_ char **devices = NULL;
	const char *kind = "auto";
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (c == 'k') {
			kind = optarg;
			continue;
		}
		r = ctl_common_option(ctl, c, argv[0]);
		if (r >= 0)
			return r;
	}
	r = find(ctl, argc, argv, &lease);
	if (r != EXIT_OK)
		return r;
	for (int i = optind; i < argc; i++) {
		_cleanup_free_ char *name = device_argument(argv[i]);

		if (!name || strv_extend(&devices, name) < 0)
			return ctl_fail(NULL, -ENOMEM);
	}
	r = vfiod_lease_reset(lease, (const char *const *)devices, kind, &error);
	return r < 0 ? ctl_fail(error, r) : EXIT_OK;
}
