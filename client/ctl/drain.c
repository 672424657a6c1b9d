/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vfiodctl drain: for maintenance. No new leases, every owner is asked for its own, and what is
 * left is shown until nothing is.
 */

#include "client/ctl/home.h"
#include "client/ctl/picture.h"
#include "client/ctl/progress.h"
#include "client/ctl/revoke.h"

#include <signal.h>
#include <time.h>

#define WAKE_USEC 1000000

enum { OPT_OFF = OPT_OWN, OPT_NO_WAIT, OPT_GRACE, OPT_REASON };

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	interrupted = 1;
}

struct drain {
	struct ctl *ctl;
	bool off, wait;
	uint64_t grace;
	const char *reason;
};

static int set_draining(struct ctl *ctl, bool on)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
	_cleanup_(vfiod_error_freep) struct vfiod_error *error = NULL;
	int r;

	r = sd_bus_message_new_method_call(vfiod_client_bus(ctl->client), &call, "org.vfiod1",
					   "/org/vfiod1", IFACE_MANAGER, "Drain");
	if (r >= 0)
		r = sd_bus_message_append(call, "b", on);
	if (r >= 0)
		r = vfiod_client_call(ctl->client, call, NULL, &error);
	return r < 0 ? ctl_fail(error, r) : EXIT_OK;
}

/* Asks the owner of one; one that has just gone is as good. */
static int ask(struct drain *drain, json_object *lease)
{
	_cleanup_(vfiod_lease_freep) struct vfiod_lease *l = NULL;
	_cleanup_(vfiod_error_freep) struct vfiod_error *error = NULL;
	int r;

	if (!streq(prop_string(lease, "State"), "leased"))
		return EXIT_OK;
	r = vfiod_find_lease(drain->ctl->client, prop_string(lease, "Id"), &l, &error);
	if (r >= 0)
		r = vfiod_lease_revoke(l, drain->grace, drain->reason, &error);
	if (r >= 0 || vfiod_error_code(error) == VFIOD_ERROR_NO_SUCH_LEASE)
		return EXIT_OK;
	return ctl_fail(error, r);
}

static int ask_all(struct drain *drain)
{
	struct picture picture = { 0 };
	json_object *leases;
	int r = picture_read(drain->ctl, &picture), worst = EXIT_OK;

	if (r != EXIT_OK)
		return r;
	leases = picture_all(&picture, IFACE_LEASE);
	for (size_t i = 0; leases && i < json_object_array_length(leases); i++) {
		r = ask(drain, json_object_array_get_idx(leases, i));
		if (worst == EXIT_OK)
			worst = r;
	}
	json_object_put(leases);
	picture_done(&picture);
	return worst;
}

/* "1000 12ab… draining (1234 qemu)" for each that is left. */
static void report(json_object *leases)
{
	for (size_t i = 0; i < json_object_array_length(leases); i++) {
		json_object *lease = json_object_array_get_idx(leases, i), *holders = NULL;
		_cleanup_free_ char *owner = owner_text(lease);

		ctl_say(EXIT_OK, "Left: lease %s of %s, %s", prop_string(lease, "Id"),
			owner ? owner : "?", prop_string(lease, "State"));
		if (!json_object_object_get_ex(lease, "Holders", &holders))
			continue;
		for (size_t j = 0; j < json_object_array_length(holders); j++) {
			json_object *holder = json_object_array_get_idx(holders, j);

			ctl_say(EXIT_OK, "  held by process %s, %s",
				json_object_get_string(json_object_array_get_idx(holder, 0)),
				json_object_get_string(json_object_array_get_idx(holder, 1)));
		}
	}
}

/* One whose claim was under way when the others were asked. */
static bool is_unasked(json_object *lease)
{
	return streq(prop_item(lease, "Revocation", 0), "none");
}

/* How many leases are left; negative: an exit code was said. */
static int look(struct drain *drain, bool last, size_t *n)
{
	struct picture picture = { 0 };
	json_object *leases;
	int r = picture_read(drain->ctl, &picture);

	if (r != EXIT_OK)
		return r;
	leases = picture_all(&picture, IFACE_LEASE);
	*n = leases ? json_object_array_length(leases) : 0;
	for (size_t i = 0; r == EXIT_OK && !last && i < *n; i++)
		if (is_unasked(json_object_array_get_idx(leases, i)))
			r = ask(drain, json_object_array_get_idx(leases, i));
	if (last && leases)
		report(leases);
	json_object_put(leases);
	picture_done(&picture);
	return r;
}

static int wait_for_all(struct drain *drain)
{
	sd_bus *bus = vfiod_client_bus(drain->ctl->client);
	time_t start = time(NULL);
	size_t n = 0;
	int r;

	for (;;) {
		bool last = interrupted;

		r = look(drain, last, &n);
		if (r != EXIT_OK || n == 0 || last) {
			progress_clear();
			break;
		}
		/* It came during that look: the next one says who is left. */
		if (interrupted)
			continue;
		progress_show("%zu lease%s left (%u s).", n, n == 1 ? "" : "s",
			      (unsigned int)(time(NULL) - start));
		while ((r = sd_bus_process(bus, NULL)) > 0)
			;
		if (r >= 0)
			r = sd_bus_wait(bus, WAKE_USEC);
		if (r < 0 && r != -EINTR)
			return ctl_fail(NULL, r);
	}
	if (r != EXIT_OK)
		return r;
	return n == 0 ? EXIT_OK : EXIT_BUSY;
}

static int run(struct drain *drain)
{
	struct sigaction action = { .sa_handler = on_signal };
	int r = ctl_connect(drain->ctl);

	if (r == EXIT_OK)
		r = set_draining(drain->ctl, !drain->off);
	if (r != EXIT_OK || drain->off)
		return r;
	r = home_subscribe(drain->ctl);
	if (r < 0)
		return ctl_fail(NULL, r);
	r = ask_all(drain);
	if (r != EXIT_OK || !drain->wait)
		return r;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	return wait_for_all(drain);
}

int verb_drain(struct ctl *ctl, int argc, char *argv[])
{
	static const struct option options[] = { COMMON_OPTIONS,
						 { "off", no_argument, NULL, OPT_OFF },
						 { "no-wait", no_argument, NULL, OPT_NO_WAIT },
						 { "grace", required_argument, NULL, OPT_GRACE },
						 { "reason", required_argument, NULL, OPT_REASON },
						 {} };
	struct drain drain = {
		.ctl = ctl,
		.wait = true,
		.grace = GRACE_DEFAULT_USEC,
		.reason = "maintenance",
	};
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		r = EXIT_OK;
		if (c == OPT_OFF)
			drain.off = true;
		else if (c == OPT_NO_WAIT)
			drain.wait = false;
		else if (c == OPT_GRACE)
			r = grace_parse(optarg, &drain.grace);
		else if (c == OPT_REASON)
			drain.reason = optarg;
		else if ((r = ctl_common_option(ctl, c, argv[0])) < 0)
			continue;
		else
			return r;
		if (r != EXIT_OK)
			return r;
	}
	if (optind != argc) {
		usage_verb(stderr, argv[0]);
		return EXIT_USAGE;
	}
	return run(&drain);
}
