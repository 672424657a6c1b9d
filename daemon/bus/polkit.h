/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Questions to polkit, about a bus connection, asynchronously. What the answer means for a claim
 * is the claim's business.
 */

#include "policy/base.h"

#include <systemd/sd-bus.h>

enum polkit_outcome {
	POLKIT_AUTHORIZED,
	POLKIT_DENIED,	  /* asked and answered: no */
	POLKIT_CHALLENGE, /* it would have to ask, and the client did not say "interactive" */
	POLKIT_ABSENT,	  /* polkit is not there */
	POLKIT_OUTCOME_MAX,
	POLKIT_OUTCOME_INVALID = -1,
};
DECLARE_STRING_TABLE(polkit_outcome, enum polkit_outcome)

#define POLKIT_TIMEOUT_USEC (5 * 60 * UINT64_C(1000000))

struct polkit_query;
/*
 * r: 0 and an outcome, or -errno (-ETIMEDOUT, a reply that makes no sense, …): not authorized.
 * `reason` is a sentence for people for everything but POLKIT_AUTHORIZED; good during the call.
 * The callee calls polkit_query_free(), in this call or later.
 */
typedef void (*polkit_fn)(struct polkit_query *query, int r, enum polkit_outcome outcome,
			  const char *reason, void *userdata);

/*
 * Asks whether the connection `unique_name` may do `action`. details: name, value, name, value, …,
 * NULL; may be NULL. interactive: polkit may ask the user, for at most POLKIT_TIMEOUT_USEC. The
 * callback comes from the event loop, never from in here.
 */
int polkit_query(sd_bus *bus, const char *unique_name, const char *action,
		 const char *const *details, bool interactive, polkit_fn callback, void *userdata,
		 struct polkit_query **ret);
/* Cancels: polkit takes its dialog away. Or lets go of one that is done. NULL is fine. */
struct polkit_query *polkit_query_free(struct polkit_query *query);
DEFINE_CLEANUP(struct polkit_query *, polkit_query_free)
