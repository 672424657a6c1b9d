/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vfiodctl release and vfiodctl restore: end leases, or try again what failed on the way home, and
 * wait for the groups.
 */

#include "client/ctl/home.h"

enum { OPT_NO_WAIT = OPT_OWN };

typedef int (*lease_verb)(struct vfiod_lease *lease, struct vfiod_error **error);

static int one(struct ctl *ctl, const char *name, lease_verb verb, bool wait)
{
	_cleanup_(vfiod_lease_freep) struct vfiod_lease *lease = NULL;
	_cleanup_(vfiod_error_freep) struct vfiod_error *error = NULL;
	int r;

	r = vfiod_find_lease(ctl->client, name, &lease, &error);
	if (r >= 0)
		r = verb(lease, &error);
	if (r < 0)
		return ctl_fail(error, r);
	return wait ? home_wait(ctl, vfiod_lease_path(lease), NULL) : EXIT_OK;
}

static int for_each(struct ctl *ctl, int argc, char *argv[], lease_verb verb)
{
	static const struct option options[] = { COMMON_OPTIONS,
						 { "no-wait", no_argument, NULL, OPT_NO_WAIT },
						 {} };
	bool wait = true;
	int c, r, worst = EXIT_OK;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (c == OPT_NO_WAIT) {
			wait = false;
			continue;
		}
		r = ctl_common_option(ctl, c, argv[0]);
		if (r >= 0)
			return r;
	}
	if (optind == argc) {
		usage_verb(stderr, argv[0]);
		return EXIT_USAGE;
	}
	r = ctl_connect(ctl);
	if (r != EXIT_OK)
		return r;
	r = home_subscribe(ctl);
	if (r < 0)
		return ctl_fail(NULL, r);
	/* Each is tried; the first failure is the exit code. */
	for (int i = optind; i < argc; i++) {
		r = one(ctl, argv[i], verb, wait);
		if (worst == EXIT_OK)
			worst = r;
	}
	return worst;
}

int verb_release(struct ctl *ctl, int argc, char *argv[])
{
	return for_each(ctl, argc, argv, vfiod_lease_release);
}

int verb_restore(struct ctl *ctl, int argc, char *argv[])
{
	return for_each(ctl, argc, argv, vfiod_lease_restore);
}
