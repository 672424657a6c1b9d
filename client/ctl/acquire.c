/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vfiodctl acquire: hold a lease until it ends or a signal comes. And claim(), which run uses too.
 */

#include "client/ctl/agent.h"
#include "client/ctl/claim.h"
#include "client/ctl/home.h"
#include "client/ctl/progress.h"

#include <inttypes.h>
#include <signal.h>

/* Whether the rule asks polkit. Who cannot know is not asked: the daemon says what is missing. */
static bool will_be_asked(struct ctl *ctl, const struct request_options *o)
{
	_cleanup_(vfiod_decision_freep) struct vfiod_decision *decision = NULL;

	return vfiod_explain(ctl->client, o->request, &decision, NULL) >= 0 &&
	       streq(vfiod_decision_auth(decision), "polkit");
}

int claim(struct ctl *ctl, struct request_options *o, struct vfiod_lease **lease,
	  struct vfiod_error **error)
{
	struct progress *progress;
	pid_t agent = 0;
	int r;

	r = request_finish(o);
	if (r < 0)
		return r;
	if (!o->no_ask && geteuid() != 0 && agent_possible() && will_be_asked(ctl, o))
		agent = agent_start();
	/* The agent's question and a line that is rewritten do not go together. */
	progress = agent > 0 ? NULL : progress_start(o->devices);
	r = vfiod_acquire(ctl->client, o->request, lease, error);
	progress_stop(progress);
	agent_stop(agent);
	return r;
}

static int add_json_list(json_object *object, const char *key, json_object **array)
{
	*array = json_object_new_array();
	return !*array || json_object_object_add(object, key, *array) < 0 ? -ENOMEM : 0;
}

static int print_lease_json(const struct ctl *ctl, const struct vfiod_lease *lease)
{
	_cleanup_json_ json_object *object = json_object_new_object();
	json_object *devices, *groups;
	const char *name;
	int64_t id;

	if (!object || add_json_list(object, "devices", &devices) < 0 ||
	    add_json_list(object, "groups", &groups) < 0)
		return ctl_fail(NULL, -ENOMEM);
	json_object_object_add(object, "lease", json_object_new_string(vfiod_lease_id(lease)));
	json_object_object_add(object, "mode", json_object_new_string(vfiod_lease_mode(lease)));
	for (size_t i = 0; (name = vfiod_lease_device(lease, i)); i++)
		json_object_array_add(devices, json_object_new_string(name));
	for (size_t i = 0; (id = vfiod_lease_group(lease, i)) >= 0; i++)
		json_object_array_add(groups, json_object_new_int64(id));
	return ctl_print_json(ctl, object);
}

/* The id alone on standard output, for scripts; the story on standard error, for people. */
static int print_lease(const struct ctl *ctl, const struct vfiod_lease *lease, bool held)
{
	if (ctl->json != JSON_OFF)
		return print_lease_json(ctl, lease);
	printf("%s\n", vfiod_lease_id(lease));
	fflush(stdout);
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "Lease %s, mode %s. %s\n", vfiod_lease_id(lease),
			vfiod_lease_mode(lease),
			held ? "It ends with Ctrl-C."
			     : "It ends with \"vfiodctl release\" and its id.");
	return EXIT_OK;
}

static volatile int interrupted;

static void interrupt(int signal)
{
	interrupted = 1;
}

/* The first signal ends the lease, a second one the wait for its way home. */
static void catch_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = interrupt };

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &action, NULL);
}

/* Holds it until a signal comes (EXIT_OK) or the lease is no longer live (EXIT_LEASE_ENDED). */
static int hold(struct ctl *ctl, const char *path)
{
	sd_bus *bus = vfiod_client_bus(ctl->client);
	int r;

	while (!interrupted) {
		_cleanup_(vfiod_error_freep) struct vfiod_error *error = NULL;

		r = lease_fate(ctl, path, NULL, &error);
		if (r < 0)
			return ctl_fail(error, r);
		if (r != LEASE_LIVES)
			return EXIT_LEASE_ENDED;
		/* A signal handler that runs right before the wait is seen a second later. */
		while ((r = sd_bus_process(bus, NULL)) > 0)
			;
		if (r >= 0)
			r = sd_bus_wait(bus, 1000000);
		if (r < 0 && r != -EINTR)
			return ctl_fail(NULL, r);
	}
	return EXIT_OK;
}

static int end(struct ctl *ctl, struct vfiod_lease *lease)
{
	_cleanup_(vfiod_error_freep) struct vfiod_error *error = NULL;
	int r;

	r = vfiod_lease_release(lease, &error);
	if (r < 0)
		return ctl_fail(error, r);
	interrupted = 0;
	return home_wait(ctl, vfiod_lease_path(lease), &interrupted);
}

static int acquire(struct ctl *ctl, struct request_options *o)
{
	_cleanup_(vfiod_lease_freep) struct vfiod_lease *lease = NULL;
	_cleanup_(vfiod_error_freep) struct vfiod_error *error = NULL;
	int r;

	r = ctl_connect(ctl);
	if (r != EXIT_OK)
		return r;
	r = claim(ctl, o, &lease, &error);
	if (r < 0)
		return ctl_fail(error, r);
	if (o->persist)
		return print_lease(ctl, lease, false);
	catch_signals();
	r = home_subscribe(ctl);
	if (r < 0)
		return ctl_fail(NULL, r);
	r = print_lease(ctl, lease, true);
	if (r == EXIT_OK)
		r = hold(ctl, vfiod_lease_path(lease));
	if (r != EXIT_LEASE_ENDED)
		return r == EXIT_OK ? end(ctl, lease) : r;
	return ctl_say(r,
		       "Lease %s was ended by somebody else. \"vfiodctl leases\" shows whether "
		       "its groups are home yet.",
		       vfiod_lease_id(lease));
}

int verb_acquire(struct ctl *ctl, int argc, char *argv[])
{
	static const struct option options[] = { COMMON_OPTIONS, REQUEST_OPTIONS, {} };
	_cleanup_(request_options_done) struct request_options o;
	int c, r;

	r = request_options_init(&o);
	if (r < 0)
		return ctl_fail(NULL, r);
	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		r = request_or_common_option(ctl, &o, c, argv[0]);
		if (r >= 0)
			return r;
	}
	if (optind == argc) {
		usage_verb(stderr, argv[0]);
		return EXIT_USAGE;
	}
	r = request_devices(&o, argv + optind, (size_t)(argc - optind));
	return r == EXIT_OK ? acquire(ctl, &o) : r;
}
