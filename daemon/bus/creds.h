/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who a bus connection is: what the bus itself vouches for (GetConnectionCredentials), asked
 * directly and asynchronously. Nothing is ever looked up by a bare pid.
 */

#include "daemon/sysfs/host.h"
#include "policy/rules.h"

#include <sys/types.h>
#include <systemd/sd-bus.h>

struct creds {
	char *name; /* unique bus name */
	uid_t uid;
	gid_t *gids; /* every gid the bus vouched for, the primary one too; none if it gave none */
	size_t n_gids;
	pid_t pid;	 /* for messages only; 0: not known */
	int pidfd;	 /* ProcessFD; -EBADF where the bus gives none */
	char *unit;	 /* system unit; NULL: in none, or not known */
	bool unit_known; /* the bus gave ProcessFD and the process lived when it was looked at */
};

struct creds *creds_free(struct creds *creds);
DEFINE_CLEANUP(struct creds *, creds_free)

/* A view of it for decide(): borrows from creds. */
struct subject creds_subject(const struct creds *creds);

/*
 * Reads the reply of GetConnectionCredentials (a{sv}): unknown keys are skipped, a known one of
 * another type is -EBADMSG, a missing uid -ENODATA. Fills everything but name, unit and
 * unit_known. On failure the struct can still be freed.
 */
int creds_parse(sd_bus_message *m, struct creds *creds);

struct creds_query;
/*
 * r: 0 and creds, which is the callee's; -ENXIO: there is no such connection (any more);
 * -ETIMEDOUT, -EBADMSG, -errno: it is not known who it is. The callee calls creds_query_free(),
 * in this call or later.
 */
typedef void (*creds_fn)(struct creds_query *query, int r, struct creds *creds, void *userdata);

/*
 * Asks for the credentials of a unique name. host must outlive the query (the unit is read from
 * /proc through the ProcessFD). The callback comes from the event loop, never from in here.
 */
int creds_query(sd_bus *bus, const struct host *host, const char *unique_name,
		uint64_t timeout_usec, creds_fn callback, void *userdata, struct creds_query **ret);
/* Cancels, or lets go of one that is done. Accepts NULL, returns NULL. */
struct creds_query *creds_query_free(struct creds_query *query);
DEFINE_CLEANUP(struct creds_query *, creds_query_free)
