/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From command line options to a struct vfiod_request.
 */

#include "client/ctl/request.h"
#include "client/ctl/names.h"

int request_options_init(struct request_options *o)
{
	*o = (struct request_options){};
	return vfiod_request_new(&o->request);
}

void request_options_done(struct request_options *o)
{
	o->request = vfiod_request_free(o->request);
	o->devices = strv_free(o->devices);
}

/* A setter's outcome as an exit code. */
static int done(int r, const char *what)
{
	if (r == -EINVAL)
		return ctl_say(EXIT_USAGE, "%s needs a value.", what);
	return r < 0 ? ctl_say(EXIT_FAILED, "%s: %s.", what, strerror(-r)) : EXIT_OK;
}

static int set_withhold(struct request_options *o, const char *argument)
{
	_cleanup_free_ char *copy = strdup(argument);
	char *rest = NULL;

	for (char *s = copy ? strtok_r(copy, ",", &rest) : NULL; s;
	     s = strtok_r(NULL, ",", &rest)) {
		_cleanup_free_ char *name = device_argument(s);
		int r = name ? vfiod_request_add_withhold(o->request, name) : -ENOMEM;

		if (r < 0)
			return done(r, "--withhold");
	}
	return copy ? EXIT_OK : ctl_fail(NULL, -ENOMEM);
}

/* "0000:03:00.0=8086:10d3" */
static int set_expect(struct request_options *o, const char *argument)
{
	const char *equals = strchr(argument, '=');
	_cleanup_free_ char *typed = NULL, *name = NULL;

	if (!equals)
		return ctl_say(EXIT_USAGE, "--expect takes DEVICE=VENDOR:PRODUCT, not \"%s\".",
			       argument);
	typed = strndup(argument, (size_t)(equals - argument));
	name = typed ? device_argument(typed) : NULL;
	if (!name)
		return ctl_fail(NULL, -ENOMEM);
	return done(vfiod_request_add_expect(o->request, name, equals + 1), "--expect");
}

static int set_owner(struct request_options *o, const char *argument)
{
	uid_t uid;

	if (user_parse(argument, &uid) < 0)
		return ctl_say(EXIT_USAGE, "There is no user \"%s\".", argument);
	return done(vfiod_request_set_owner(o->request, uid), "--owner");
}

static int set_memlock(struct request_options *o, const char *argument)
{
	uint64_t bytes;

	o->memlock_set = true;
	if (streq(argument, "none"))
		return EXIT_OK;
	if (size_parse(argument, &bytes) < 0)
		return ctl_say(EXIT_USAGE,
			       "--memlock takes a size such as 4G, or none, not \"%s\".", argument);
	return done(vfiod_request_set_memlock(o->request, bytes), "--memlock");
}

static int set_numa_node(struct request_options *o, const char *argument)
{
	char *end;
	long node;

	errno = 0;
	node = strtol(argument, &end, 10);
	if (errno || end == argument || *end || node < 0 || node > 65535)
		return ctl_say(EXIT_USAGE, "--numa-node takes the number of a node, not \"%s\".",
			       argument);
	return done(vfiod_request_set_numa_node(o->request, (int)node), "--numa-node");
}

static int set_mode(struct request_options *o, const char *argument)
{
	static const char *const modes[] = { "auto", "cdev", "group", "node" };

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		if (streq(modes[i], argument)) {
			o->mode = modes[i];
			return done(vfiod_request_set_mode(o->request, argument), "--mode");
		}
	return ctl_say(EXIT_USAGE, "--mode takes auto, cdev, group or node, not \"%s\".", argument);
}

int request_option(struct request_options *o, int c, const char *argument)
{
	switch (c) {
	case OPT_MODE:
		return set_mode(o, argument);
	case OPT_NAME:
		return done(vfiod_request_set_name(o->request, argument), "--name");
	case OPT_WITHHOLD:
		return set_withhold(o, argument);
	case OPT_PERSIST:
		o->persist = true;
		return done(vfiod_request_set_persist(o->request, true), "--persist");
	case OPT_SHARED:
		return done(vfiod_request_set_shared(o->request, true), "--shared");
	case OPT_OWNER:
		return set_owner(o, argument);
	case OPT_NO_ATTACH:
		return done(vfiod_request_set_attach(o->request, false), "--no-attach");
	case OPT_DEVICE_FDS:
		return done(vfiod_request_set_device_fds(o->request, true), "--device-fds");
	case OPT_MEMLOCK:
		return set_memlock(o, argument);
	case OPT_EXPECT:
		return set_expect(o, argument);
	case OPT_NUMA_NODE:
		return set_numa_node(o, argument);
	case OPT_NO_ASK:
		o->no_ask = true;
		return EXIT_OK;
	default:
		return -1;
	}
}

int request_or_common_option(struct ctl *ctl, struct request_options *o, int c, const char *verb)
{
	int r = request_option(o, c, optarg);

	if (r < 0)
		return ctl_common_option(ctl, c, verb);
	return r == EXIT_OK ? -1 : r;
}

int request_devices(struct request_options *o, char **names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *name = device_argument(names[i]);
		int r = name ? strv_extend(&o->devices, name) : -ENOMEM;

		if (r >= 0)
			r = vfiod_request_add_device(o->request, name);
		if (r < 0)
			return done(r, "A device");
	}
	return EXIT_OK;
}

int request_finish(struct request_options *o)
{
	/* Somebody who can type a password can answer polkit. */
	if (o->no_ask || !isatty(STDIN_FILENO))
		return 0;
	return vfiod_request_set_interactive(o->request, true);
}
