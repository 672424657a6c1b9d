/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of revoke.h. What a revocation does is lease/revoke.c's. */

#include "daemon/bus/revoke.h"

#include "daemon/bus/bus.h"
#include "daemon/bus/call.h"
#include "daemon/bus/lease-methods.h"
#include "daemon/bus/object.h"
#include "daemon/lease/revoke.h"
#include "daemon/util/log.h"

#define REASON_BYTES_MAX   512
#define VOUCH_TIMEOUT_USEC (20 * 1000 * 1000ULL)

static bool reason_valid(const char *reason)
{
	if (strlen(reason) > REASON_BYTES_MAX)
		return false;
	for (; *reason; reason++)
		if ((unsigned char)*reason < ' ' || *reason == 0x7f)
			return false;
	return true;
}

static void start_revoking(struct call *call)
{
	struct lease *lease;
	const char *reason;
	uint64_t grace;
	int r;

	if (!call_require_root(call))
		return;
	r = sd_bus_message_rewind(call->message, 1);
	if (r >= 0)
		r = sd_bus_message_read(call->message, "ts", &grace, &reason);
	if (r < 0) {
		call_errno(call, r, "reading the call");
		return;
	}
	if (!reason_valid(reason)) {
		call_error(call, "BadOption",
			   "the reason must have at most %d bytes and no control characters",
			   REASON_BYTES_MAX);
		return;
	}
	lease = controlled_lease(call);
	if (!lease)
		return;
	r = engine_revoke(&call->manager->engine, lease, grace, reason);
	if (r == -EINVAL)
		call_error(call, "InvalidArgs",
			   "lease %s is %s: only one that is leased or draining can be revoked",
			   lease->id, lease_state_to_string(lease->state));
	else if (r == -ERANGE)
		call_error(call, "BadOption", "the grace is longer than a year; give less");
	else if (r < 0)
		call_errno(call, r, "journal of the lease");
	else
		call_done(call);
}

int method_revoke(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return call_start(userdata, m, start_revoking, error);
}

void bus_revoke_requested(struct bus *bus, const struct lease *lease)
{
	_cleanup_free_ char *path = NULL;
	int r;

	if (!bus || path_lease(lease->id, &path) < 0)
		return;
	bus_flush(bus);
	r = sd_bus_emit_signal(bus_connection(bus), path, "org.vfiod1.Lease", "RevokeRequested",
			       "ts", lease->revoke_deadline_usec,
			       lease->revoke_reason ? lease->revoke_reason : "");
	if (r < 0)
		log_warning("lease %s: RevokeRequested: %s", lease->id, strerror(-r));
}

/* ---- whose process the connection is */

struct vouch {
	struct manager *manager;
	char *lease;
	struct creds_query *query;
};

static void vouch_free(void *data)
{
	struct vouch *vouch = data;

	creds_query_free(vouch->query);
	free(vouch->lease);
	free(vouch);
}

static void on_creds(struct creds_query *query, int r, struct creds *creds, void *userdata)
{
	struct vouch *vouch = userdata;
	int pidfd = r >= 0 ? creds->pidfd : -EBADF;
	const char *why = r == -ENXIO ? "the lease's connection is closed"
			  : r < 0     ? "it does not answer"
				      : "it gives no ProcessFD";

	/* Frees vouch. */
	engine_vouched(&vouch->manager->engine, vouch->lease, pidfd, why);
	creds_free(r >= 0 ? creds : NULL);
}

int bus_vouch(struct manager *manager, const struct lease *lease, void **query,
	      void (**query_free)(void *query))
{
	struct vouch *vouch;
	int r;

	if (!manager->bus || !streq0(lease->bus_id, bus_id(manager->bus)))
		return -ENXIO;
	vouch = calloc(1, sizeof(*vouch));
	if (!vouch)
		return -ENOMEM;
	vouch->manager = manager;
	vouch->lease = strdup(lease->id);
	r = vouch->lease
		    ? creds_query(bus_connection(manager->bus), &manager->host, lease->connection,
				  VOUCH_TIMEOUT_USEC, on_creds, vouch, &vouch->query)
		    : -ENOMEM;
	if (r < 0) {
		vouch_free(vouch);
		return r;
	}
	*query = vouch;
	*query_free = vouch_free;
	return 0;
}
