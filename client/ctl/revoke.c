/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vfiodctl revoke: ask for leases back, end them at the deadline, and wait for their groups.
 */

#include "client/ctl/home.h"
#include "client/ctl/revoke.h"

enum { OPT_NO_WAIT = OPT_OWN, OPT_GRACE, OPT_REASON };

int grace_parse(const char *text, uint64_t *usec)
{
	char *end = NULL;
	unsigned long long seconds;

	errno = 0;
	seconds = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || seconds > 366 * 24 * 3600ULL)
		return ctl_say(EXIT_USAGE,
			       "\"%s\" is no number of seconds up to a year, such as 60.", text);
	*usec = seconds * 1000000;
	return EXIT_OK;
}

static int one(struct ctl *ctl, const char *name, uint64_t grace, const char *reason, bool wait)
{
	_cleanup_(vfiod_lease_freep) struct vfiod_lease *lease = NULL;
	_cleanup_(vfiod_error_freep) struct vfiod_error *error = NULL;
	int r;

	r = vfiod_find_lease(ctl->client, name, &lease, &error);
	if (r >= 0)
		r = vfiod_lease_revoke(lease, grace, reason, &error);
	if (r < 0)
		return ctl_fail(error, r);
	return wait ? home_wait(ctl, vfiod_lease_path(lease), NULL) : EXIT_OK;
}

int verb_revoke(struct ctl *ctl, int argc, char *argv[])
{
	static const struct option options[] = { COMMON_OPTIONS,
						 { "no-wait", no_argument, NULL, OPT_NO_WAIT },
						 { "grace", required_argument, NULL, OPT_GRACE },
						 { "reason", required_argument, NULL, OPT_REASON },
						 {} };
	uint64_t grace = GRACE_DEFAULT_USEC;
	const char *reason = "";
	bool wait = true;
	int c, r, worst = EXIT_OK;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		r = EXIT_OK;
		if (c == OPT_NO_WAIT)
			wait = false;
		else if (c == OPT_GRACE)
			r = grace_parse(optarg, &grace);
		else if (c == OPT_REASON)
			reason = optarg;
		else if ((r = ctl_common_option(ctl, c, argv[0])) < 0)
			continue;
		else
			return r;
		if (r != EXIT_OK)
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
		r = one(ctl, argv[i], grace, reason, wait);
		if (worst == EXIT_OK)
			worst = r;
	}
	return worst;
}
