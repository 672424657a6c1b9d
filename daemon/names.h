/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Users and groups by name. The name service may ask the network and hang, so the daemon never
 * asks it itself: a child does, and the event loop goes on (I8).
 */

#include "policy/parse.h"

#include <systemd/sd-event.h>

#define NAMES_TIMEOUT_USEC (10 * UINT64_C(1000000))

struct name_query;

/*
 * The end of a query, called once from the event loop. error is 0, or why the names could not be
 * learned, all of them then: -ETIMEDOUT; -EIO when the child died; what the name service reported.
 * The answers are in the order of the names that were asked for, and the query's: they are good
 * until name_query_free(), which may be called here.
 */
typedef void (*name_done_fn)(struct name_query *query, int error, const struct policy_name *users,
			     size_t n_users, const struct policy_name *groups, size_t n_groups,
			     void *userdata);

/*
 * Starts a query. The vectors are copied; done() is never called from here, even with nothing to
 * ask for. Returns 0 and a query of the caller, or -errno.
 */
int name_query_start(sd_event *event, char *const *users, char *const *groups,
		     uint64_t timeout_usec, name_done_fn done, void *userdata,
		     struct name_query **ret);

/* Cancels a query that runs: its child is killed, and reaped by the event loop. NULL is fine. */
struct name_query *name_query_free(struct name_query *query);
DEFINE_CLEANUP(struct name_query *, name_query_free)

/*
 * Resolves a policy's names in this process: for tools, never for the daemon. Returns as
 * policy_resolve(), or the -errno of the name service with *error set.
 */
int policy_resolve_now(struct policy *policy, struct policy_error *error);
