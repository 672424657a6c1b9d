/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of add-devices.h. */

#include "daemon/bus/add-devices.h"

#include "daemon/bus/acquire-internal.h"
#include "daemon/bus/lease-build.h"
#include "daemon/bus/lease-methods.h"
#include "daemon/bus/record.h"
#include "daemon/lease/grow.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"

/* The lease, if it can have more; else the call is answered. */
static struct lease *leased(struct call *call)
{
	const struct acquire *acquire = call->data;
	struct lease *lease = ledger_lease(&call->manager->ledger, acquire->lease_id);

	if (lease && lease->state == LEASE_LEASED && lease->revocation != REVOCATION_NONE) {
		call_error(call, "NotPermitted",
			   "lease %s is asked back (%s): nothing is added to it; release it",
			   lease->id,
			   lease->revoke_reason ? lease->revoke_reason : "no reason given");
		return NULL;
	}
	if (lease && lease->state == LEASE_LEASED && !lease->part_of)
		return lease;
	call_error(call, "NoSuchLease", "lease %s %s; acquire the devices", acquire->lease_id,
		   lease ? "is not leased" : "has ended");
	return NULL;
}

bool add_devices_possible(struct call *call)
{
	return leased(call) != NULL;
}

/* ---- the reply */

static void record_added(const struct call *call, const struct lease *lease)
{
	struct acquire *acquire = call->data;
	_cleanup_free_ char *text = strv_join(acquire->added, " ");

	log_record(MESSAGE_CHANGED, LOG_INFO,
		   LOG_FIELDS({ FIELD_LEASE, lease->id }, { FIELD_OWNER, LOG_NUMBER(lease->owner) },
			      { FIELD_UID, LOG_NUMBER(call->creds->uid) },
			      { FIELD_PID, LOG_NUMBER(call->creds->pid) },
			      { FIELD_DEVICE, .values = acquire->added }),
		   "Lease %s: %s were added", lease->id, text ? text : "devices");
}

/* What cannot be delivered is taken back. */
static void take_back(struct manager *manager, struct lease *lease, char *const *devices)
{
	struct failure failure = { 0 };

	if (engine_shrink(&manager->engine, lease, devices, &failure) < 0)
		log_error("lease %s: devices that could not be handed over stay: %s", lease->id,
			  failure.message ? failure.message : "out of memory");
	failure_done(&failure);
}

static void hand_over(struct call *call, struct lease *lease)
{
	struct acquire *acquire = call->data;
	struct manager *manager = call->manager;
	_cleanup_strv_ char **devices = STEAL(acquire->added);
	_cleanup_close_ int client = -EBADF;
	sd_bus_message *reply = NULL;
	int r;

	r = handoff_new_part(&manager->engine.handoffs, lease, call->creds->uid, devices,
			     acquire->groups, acquire->n_groups, &client);
	if (r == HANDOFF_QUOTA) {
		take_back(manager, lease, devices);
		call_error(call, "QuotaExceeded",
			   "too many handoffs wait for their client; use or close them");
		return;
	}
	if (r >= 0)
		r = call_new_reply(call, &reply);
	/* sd-bus duplicates the fd. */
	if (r >= 0)
		r = sd_bus_message_append(reply, "h", client);
	if (r < 0) {
		sd_bus_message_unref(reply);
		take_back(manager, lease, devices);
		call_errno(call, r, "making the reply");
		return;
	}
	r = call_reply(call, reply);
	if (r < 0)
		take_back(manager, lease, devices);
}

static void on_added(struct lease *lease, const struct failure *failure, void *userdata)
{
	struct acquire *acquire = userdata;
	struct call *call = acquire->call;

	acquire->adding = false;
	if (failure) {
		record_claim_failed(call, lease, failure);
		call_error(call, failure->error, "%s",
			   failure->message ? failure->message : "out of memory");
		return;
	}
	record_added(call, lease);
	hand_over(call, lease);
}

/* ---- groups */

static int copy_terms(struct lease *part, const struct lease *lease)
{
	int r;

	part->owner = lease->owner;
	part->mode = lease->mode;
	part->shared = lease->shared;
	part->attach = lease->attach;
	part->device_fds = lease->device_fds;
	part->acquirer = lease->acquirer;
	/* Its end is the lease's, not that of the connection which asks. */
	part->persist = true;
	r = free_and_strdup(&part->part_of, lease->id);
	if (r >= 0)
		r = free_and_strdup(&part->name, NULL);
	if (r >= 0)
		r = free_and_strdup(&part->connection, lease->connection);
	if (r >= 0)
		r = free_and_strdup(&part->bus_id, lease->bus_id);
	return r < 0 ? r : free_and_strdup(&part->unit, lease->unit);
}

static void grow_refused(struct call *call, int r)
{
	struct acquire *acquire = call->data;

	acquire->adding = false;
	if (r == LEDGER_GROUP_TAKEN)
		call_error(call, "GroupBusy", "somebody else was faster; ask again");
	else
		call_error(call, "IOError",
			   "the devices cannot be written to the lease's journal: %s; free space "
			   "below /run and ask again",
			   strerror(r < 0 ? -r : EEXIST));
}

static void add_groups(struct call *call, const struct lease *lease)
{
	struct acquire *acquire = call->data;
	struct manager *manager = call->manager;
	_cleanup_(lease_freep) struct lease *part = NULL;
	_cleanup_free_ unsigned int *waive = NULL;
	int r;

	r = lease_build(manager, acquire->request, call->creds, acquire->judge, &part, &waive);
	if (r > 0) {
		call_error(call, "GroupChanged",
			   "the devices changed while the request was decided; ask again");
		return;
	}
	if (r >= 0)
		r = copy_terms(part, lease);
	if (r < 0) {
		call_errno(call, r, "making the lease");
		return;
	}
	acquire->adding = true;
	r = engine_grow(&manager->engine, part, waive, on_added, acquire);
	if (r == 0)
		/* The call may be gone already. The part is the engine's. */
		STEAL(part);
	else
		grow_refused(call, r);
}

/* ---- devices of the lease's own groups */

static void add_inside(struct call *call, struct lease *lease)
{
	struct acquire *acquire = call->data;
	const struct decision *decision = judge_decision(acquire->judge);
	struct grown_device devices[REQUEST_DEVICES_MAX];
	size_t n = 0;
	int r;

	for (size_t i = 0; i < decision->n_verdicts && n < ARRAY_SIZE(devices); i++) {
		const struct verdict *v = &decision->verdicts[i];

		if (v->action == ACTION_GRANT)
			devices[n++] =
				(struct grown_device){ v->device, v->rule, v->target_driver };
	}
	acquire->adding = true;
	r = engine_grow_inside(&call->manager->engine, lease, devices, n, on_added, acquire);
	if (r == 0)
		return;
	acquire->adding = false;
	if (r == -ENODEV)
		call_error(call, "GroupChanged",
			   "the devices changed while the request was decided; ask again");
	else if (r == GROW_BUSY)
		call_error(
			call, "GroupBusy",
			"another change of lease %s is under way, or a device that came is being "
			"shut off; ask again when it is over",
			lease->id);
	else
		call_error(
			call, "IOError",
			"the change of lease %s cannot be written to its journal: %s; free space "
			"below /run and ask again",
			lease->id, strerror(-r));
}

/* Sorts the devices to be granted; how many are in groups that the lease has. -ENOMEM. */
static int look_at(struct acquire *acquire, const struct decision *decision,
		   const struct lease *lease)
{
	int inside = 0;

	for (size_t i = 0; i < decision->n_groups && i < REQUEST_GROUPS_MAX; i++)
		if (!lease_has_group(lease, decision->groups[i]))
			acquire->groups[acquire->n_groups++] = decision->groups[i];
	for (size_t i = 0; i < decision->n_verdicts; i++) {
		const struct verdict *v = &decision->verdicts[i];
		int r;

		if (v->action != ACTION_GRANT)
			continue;
		inside += lease_has_group(lease, v->group);
		r = strv_extend(&acquire->added, v->device);
		if (r < 0)
			return r;
	}
	return inside;
}

void add_devices_claim(struct call *call)
{
	struct acquire *acquire = call->data;
	const struct decision *decision = judge_decision(acquire->judge);
	struct lease *lease = leased(call);
	int inside;

	if (!lease)
		return;
	acquire->engine = &call->manager->engine;
	acquire->call = call;
	inside = look_at(acquire, decision, lease);
	if (inside < 0) {
		call_errno(call, inside, "sorting the devices");
	} else if (inside > 0 && acquire->n_groups > 0) {
		call_error(call, "BadOption",
			   "some of the devices are in groups that the lease has, and others are "
			   "not; ask for these and for those in a call each");
	} else if (lease->n_groups + acquire->n_groups > REQUEST_GROUPS_MAX) {
		call_error(call, "QuotaExceeded",
			   "a lease has at most %d groups; take another lease for these",
			   REQUEST_GROUPS_MAX);
	} else {
		record_allowed(call, decision);
		if (inside > 0)
			add_inside(call, lease);
		else
			add_groups(call, lease);
	}
}

/* ---- the beginning */

static int fill(struct call *call, const struct lease *lease)
{
	struct acquire *acquire = call->data;

	acquire->lease_id = strdup(lease->id);
	if (!acquire->lease_id)
		return -ENOMEM;
	acquire->ask = bus_request_ask(acquire->request, call->creds);
	acquire->ask.lease = acquire->lease_id;
	acquire->ask.owner = lease->owner;
	acquire->ask.mode = lease->mode;
	acquire->ask.persist = lease->persist;
	return 0;
}

static bool none_granted(struct call *call, const struct lease *lease)
{
	struct acquire *acquire = call->data;

	STRV_FOREACH (device, acquire->request->devices) {
		const struct lease_device *d = lease_device(lease, *device);

		if (!d || d->state != DEVICE_GRANTED)
			continue;
		call_error(call, "BadOption", "lease %s has %s already; GetFds gives its fds again",
			   lease->id, *device);
		return false;
	}
	return true;
}

static void begin(struct call *call)
{
	struct lease *lease = controlled_lease(call);
	int r;

	if (!lease)
		return;
	r = fill(call, lease);
	if (r < 0) {
		call_errno(call, r, "making the request");
		return;
	}
	if (leased(call) && none_granted(call, lease) && call_go_slow(call) &&
	    acquire_handoff_possible(call))
		acquire_judge(call);
}

int method_add_devices(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return acquire_start(m, userdata, REQUEST_FOR_ADD, begin, error);
}
