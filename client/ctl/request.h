/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The options of a request, which explain, acquire and run have in common.
 */

#include "client/ctl/ctl.h"

enum {
	OPT_MODE = OPT_OWN,
	OPT_NAME,
	OPT_WITHHOLD,
	OPT_PERSIST,
	OPT_SHARED,
	OPT_OWNER,
	OPT_NO_ATTACH,
	OPT_DEVICE_FDS,
	OPT_MEMLOCK,
	OPT_EXPECT,
	OPT_NO_ASK,
	OPT_NUMA_NODE,
	OPT_VERB, /* a verb's own options start here */
};
#define REQUEST_OPTIONS                                                  \
	{ "mode", required_argument, NULL, OPT_MODE },                   \
		{ "name", required_argument, NULL, OPT_NAME },           \
		{ "withhold", required_argument, NULL, OPT_WITHHOLD },   \
		{ "persist", no_argument, NULL, OPT_PERSIST },           \
		{ "shared", no_argument, NULL, OPT_SHARED },             \
		{ "owner", required_argument, NULL, OPT_OWNER },         \
		{ "no-attach", no_argument, NULL, OPT_NO_ATTACH },       \
		{ "device-fds", no_argument, NULL, OPT_DEVICE_FDS },     \
		{ "memlock", required_argument, NULL, OPT_MEMLOCK },     \
		{ "expect", required_argument, NULL, OPT_EXPECT },       \
		{ "numa-node", required_argument, NULL, OPT_NUMA_NODE }, \
	{                                                                \
		"no-ask-password", no_argument, NULL, OPT_NO_ASK         \
	}

struct request_options {
	struct vfiod_request *request;
	char **devices;	  /* as vfiod knows them */
	const char *mode; /* as given, or NULL */
	bool persist;
	bool memlock_set; /* --memlock was given, "none" included */
	bool no_ask;
};

/* 0 or -ENOMEM. */
int request_options_init(struct request_options *o);
void request_options_done(struct request_options *o);
/*
 * Takes one option. EXIT_OK: taken. Another exit code: leave with it, everything is said. Negative:
 * it is not one of these.
 */
int request_option(struct request_options *o, int c, const char *argument);
/*
 * Takes one of these or a common option: negative: go on with the next; or the exit code to leave
 * with.
 */
int request_or_common_option(struct ctl *ctl, struct request_options *o, int c, const char *verb);
/* The devices, from the arguments that are not options. An exit code. */
int request_devices(struct request_options *o, char **names, size_t n);
/* What is said at the end: whether polkit may ask. 0 or -ENOMEM. */
int request_finish(struct request_options *o);
