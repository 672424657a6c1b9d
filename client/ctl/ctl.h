/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the verbs of vfiodctl share: the options that all of them take, the connection, the exit
 * codes, and how a failure is told. A verb is a function that gets its own arguments and returns
 * an exit code; each family of verbs has a file.
 */

#include "client/vfiod.h"
#include "policy/base.h"

#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

/* Documented in vfiodctl(1): numbers do not change. */
enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1,    /* anything that is not below */
	EXIT_USAGE = 2,	    /* the command line, or an option that vfiod does not take */
	EXIT_REFUSED = 3,   /* policy says no, or consent is missing */
	EXIT_BUSY = 4,	    /* in use, leased, draining, changed meanwhile, a limit is reached */
	EXIT_NOT_FOUND = 5, /* no such device, group, lease */
	EXIT_NO_DAEMON = 6, /* no system bus, or no vfiod on it */
	EXIT_POLICY_INVALID = 7, /* a policy file has an error */
	EXIT_UNSUPPORTED = 8,	 /* this kernel, device or policy does not do this mode */
	EXIT_DEVICE_FAILED = 9,	 /* a driver or device did not do what it was told */
	EXIT_LEASE_ENDED = 10,	 /* acquire: somebody else ended the lease */
	EXIT_CANNOT_EXECUTE = 126,
	EXIT_COMMAND_NOT_FOUND = 127,
};

enum json_mode { JSON_OFF, JSON_SHORT, JSON_PRETTY };

struct ctl {
	enum json_mode json;
	bool colour;  /* standard output takes it and NO_COLOR does not forbid it */
	bool unicode; /* line drawing characters and … can be shown */
	int width;    /* of the terminal; 0: no terminal, lines may be as long as they are */
	struct vfiod_client *client; /* after ctl_connect() */
};

typedef int (*verb_fn)(struct ctl *ctl, int argc, char *argv[]);

int verb_list(struct ctl *ctl, int argc, char *argv[]);
int verb_tree(struct ctl *ctl, int argc, char *argv[]);
int verb_graph(struct ctl *ctl, int argc, char *argv[]);
int verb_pools(struct ctl *ctl, int argc, char *argv[]);
int verb_show(struct ctl *ctl, int argc, char *argv[]);
int verb_leases(struct ctl *ctl, int argc, char *argv[]);
int verb_explain(struct ctl *ctl, int argc, char *argv[]);
int verb_acquire(struct ctl *ctl, int argc, char *argv[]);
int verb_run(struct ctl *ctl, int argc, char *argv[]);
int verb_release(struct ctl *ctl, int argc, char *argv[]);
int verb_restore(struct ctl *ctl, int argc, char *argv[]);
int verb_add(struct ctl *ctl, int argc, char *argv[]);
int verb_remove(struct ctl *ctl, int argc, char *argv[]);
int verb_reset(struct ctl *ctl, int argc, char *argv[]);
int verb_clear(struct ctl *ctl, int argc, char *argv[]);
int verb_vfs(struct ctl *ctl, int argc, char *argv[]);
int verb_revoke(struct ctl *ctl, int argc, char *argv[]);
int verb_drain(struct ctl *ctl, int argc, char *argv[]);
int verb_monitor(struct ctl *ctl, int argc, char *argv[]);
int verb_policy(struct ctl *ctl, int argc, char *argv[]);
int verb_reload(struct ctl *ctl, int argc, char *argv[]);
int verb_rescan(struct ctl *ctl, int argc, char *argv[]);

/* Options that every verb takes; a verb's own start at OPT_OWN. */
enum { OPT_HELP = 256, OPT_JSON, OPT_OWN };
#define COMMON_OPTIONS                                    \
	{ "help", no_argument, NULL, OPT_HELP },          \
	{                                                 \
		"json", required_argument, NULL, OPT_JSON \
	}

DEFINE_CLEANUP(struct vfiod_error *, vfiod_error_free)
DEFINE_CLEANUP(struct vfiod_client *, vfiod_client_free)
DEFINE_CLEANUP(struct vfiod_request *, vfiod_request_free)
DEFINE_CLEANUP(struct vfiod_lease *, vfiod_lease_free)
DEFINE_CLEANUP(struct vfiod_decision *, vfiod_decision_free)

static inline void json_putp(json_object **object)
{
	json_object_put(*object);
}
#define _cleanup_json_ _cleanup_(json_putp)

/*
 * Handles an option that the verb did not: a common one, or a wrong one. Returns a negative number
 * to go on with the next, or the exit code to leave with.
 */
int ctl_common_option(struct ctl *ctl, int c, const char *verb);
/* Of a verb that has no others: negative: go on, with its arguments from optind; or an exit code.
 */
int ctl_common_options(struct ctl *ctl, int argc, char *argv[]);

/* Connects ctl->client, if it is not yet. EXIT_OK, or the exit code with everything said. */
int ctl_connect(struct ctl *ctl);

/* "vfiodctl: …" on standard error, made safe for a terminal. Returns code. */
int ctl_say(int code, const char *format, ...) _printf_(2, 3);
/* Tells the error of a failed library call, and gives the exit code for it. */
int ctl_fail(const struct vfiod_error *error, int r);
/* The exit code for an error, by the table in vfiodctl(1). */
int exit_code_for(enum vfiod_error_code code);
/* Prints in the mode that was asked for. Returns EXIT_OK, or EXIT_FAILED if it cannot be written.
 */
int ctl_print_json(const struct ctl *ctl, json_object *object);

/* Calls a method of org.vfiod1.Manager that takes and returns nothing. An exit code. */
int ctl_manager_call(struct ctl *ctl, const char *method);

/* The lines on a verb from the table of verbs: for its --help and for a wrong command line. */
void usage_verb(FILE *out, const char *verb);
