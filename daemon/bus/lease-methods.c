/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of lease-methods.h. */

#include "daemon/bus/lease-methods.h"

#include "daemon/bus/bus.h"
#include "daemon/bus/call.h"
#include "daemon/bus/object.h"
#include "daemon/bus/record.h"

#include <fnmatch.h>

bool unit_is_service(const char *unit)
{
	if (!unit)
		return false;
	return fnmatch("user@*.service", unit, 0) != 0 &&
	       fnmatch("session-*.scope", unit, 0) != 0 && !streq(unit, "init.scope");
}

bool lease_controlled_by(const struct lease *lease, const struct creds *creds, const char *bus_id)
{
	if (creds->uid == 0)
		return true;
	if (streq0(lease->connection, creds->name) && streq0(lease->bus_id, bus_id))
		return true;
	if (lease->shared && creds->uid == lease->owner)
		return true;
	return creds->unit_known && unit_is_service(lease->unit) &&
	       streq0(lease->unit, creds->unit);
}

struct lease *controlled_lease(struct call *call)
{
	struct manager *manager = call->manager;
	/* The ledger is the manager's: const comes from the lookup alone. */
	struct lease *lease =
		(struct lease *)lease_class.find(manager, sd_bus_message_get_path(call->message));

	if (!lease) {
		call_error(call, "NoSuchLease", "the lease is gone; list the leases anew");
		return NULL;
	}
	if (lease_controlled_by(lease, call->creds, bus_id(manager->bus))) {
		record_control(call, lease, NULL);
		return lease;
	}
	record_control(call, lease, "AccessDenied");
	call_error(call, "AccessDenied",
		   "lease %s is not yours to change: it belongs to uid %u, and is controlled by "
		   "the connection that acquired it, by root, by its system unit%s; ask there",
		   lease->id, lease->owner,
		   lease->shared ? ", and by every process of its owner" : "");
	return NULL;
}

static void release(struct call *call)
{
	struct lease *lease = controlled_lease(call);
	int r;

	if (!lease)
		return;
	r = engine_end(&call->manager->engine, lease, "released", false);
	if (r < 0)
		call_error(call, "IOError",
			   "the end of lease %s cannot be written to its journal: %s; free space "
			   "below /run and call again",
			   lease->id, strerror(-r));
	else
		call_done(call);
}

int method_release(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return call_start(userdata, m, release, error);
}

static bool may_have_fds(struct call *call, const struct lease *lease)
{
	switch (lease->state) {
	case LEASE_LEASED:
		return true;
	case LEASE_PREPARING:
		call_error(call, "GroupBusy", "lease %s is still being prepared; wait for it",
			   lease->id);
		return false;
	case LEASE_DRAINING:
	case LEASE_RESTORING:
	case LEASE_FAILED:
	case LEASE_STATE_MAX:
	case LEASE_STATE_INVALID:
		break;
	}
	call_error(call, "NoSuchLease", "lease %s has ended (%s); acquire the devices again",
		   lease->id, lease->end_reason ? lease->end_reason : "");
	return false;
}

static void get_fds(struct call *call)
{
	struct manager *manager = call->manager;
	struct lease *lease = controlled_lease(call);
	_cleanup_close_ int client = -EBADF;
	sd_bus_message *reply = NULL;
	int r;

	if (!lease || !may_have_fds(call, lease))
		return;
	r = handoff_new(&manager->engine.handoffs, lease, call->creds->uid, true, &client);
	if (r == HANDOFF_QUOTA) {
		call_error(call, "QuotaExceeded",
			   "too many handoffs wait for their client; use or close them");
		return;
	}
	if (r >= 0)
		r = call_new_reply(call, &reply);
	/* sd-bus duplicates the fd. */
	if (r >= 0)
		r = sd_bus_message_append(reply, "h", client);
	if (r >= 0) {
		call_reply(call, reply);
		return;
	}
	sd_bus_message_unref(reply);
	call_errno(call, r, "making the handoff");
}

int method_get_fds(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	/* Nobody would have the fd. */
	if (!sd_bus_message_get_expect_reply(m))
		return 1;
	return call_start(userdata, m, get_fds, error);
}

static void restore(struct call *call)
{
	struct lease *lease;
	int r;

	if (!call_require_root(call))
		return;
	lease = controlled_lease(call);
	if (!lease)
		return;
	r = engine_restore(&call->manager->engine, lease);
	if (r == -EINVAL)
		call_error(call, "InvalidArgs",
			   "lease %s is %s, not failed: there is nothing to restore", lease->id,
			   lease_state_to_string(lease->state));
	else if (r < 0)
		call_errno(call, r, "journal of the lease");
	else
		call_done(call);
}

int method_restore(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return call_start(userdata, m, restore, error);
}
