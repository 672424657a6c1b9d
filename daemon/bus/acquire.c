/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The steps of Acquire, each a function that ends in the next one or in a reply:
 *
 *   begin → judged → [polkit → judged again] → [modules → judged again] → claim → claimed
 *
 * Nothing is reserved before claim(). Whatever ends the call frees the struct acquire, and that
 * cancels what is under way.
 */

#include "daemon/bus/acquire.h"

#include "daemon/bus/acquire-internal.h"
#include "daemon/bus/add-devices.h"
#include "daemon/bus/bus.h"
#include "daemon/bus/call.h"
#include "daemon/bus/judge.h"
#include "daemon/bus/lease-build.h"
#include "daemon/bus/modules.h"
#include "daemon/bus/object.h"
#include "daemon/bus/polkit.h"
#include "daemon/bus/record.h"
#include "daemon/bus/request.h"
#include "daemon/fault.h"
#include "daemon/lease/grow.h"
#include "daemon/lease/lifeline.h"
#include "daemon/util/log.h"
#include "daemon/vfio/features.h"

#include <fcntl.h>
#include <stdio.h>

void acquire_free(void *data)
{
	struct acquire *acquire = data;

	if (!acquire)
		return;
	if (acquire->claiming)
		engine_abandon_claim(acquire->engine, acquire->claiming);
	if (acquire->adding)
		engine_abandon_growth(acquire->engine, acquire);
	strv_free(acquire->added);
	free(acquire->lease_id);
	modules_load_free(acquire->modules);
	polkit_query_free(acquire->polkit);
	decision_free(acquire->asked);
	judge_free(acquire->judge);
	bus_request_free(acquire->request);
	free(acquire);
}

static void on_judged(struct judge *judge, int r, void *userdata);
static void claim(struct call *call);

static void refuse(struct call *call, const struct decision *decision)
{
	record_refused(call, decision);
	call_error(call, reason_to_error(decision->reason), "%s", decision->message);
}

void acquire_judge(struct call *call)
{
	struct acquire *acquire = call->data;
	int r;

	acquire->judge = judge_free(acquire->judge);
	r = judge_start(call->manager, &acquire->ask, on_judged, call, &acquire->judge);
	if (r < 0)
		call_errno(call, r, "deciding");
	else if (r > 0)
		on_judged(acquire->judge, 0, call);
}

/* ---- modules, which the sandbox keeps us from loading ourselves */

static void on_modules(struct modules_load *load, int r, const char *message, void *userdata)
{
	struct call *call = userdata;
	struct acquire *acquire = call->data;

	acquire->modules = modules_load_free(acquire->modules);
	if (r != 0) {
		call_error(call, "DriverFailed", "a module that is needed was not loaded: %s",
			   message ? message : strerror(-r));
		return;
	}
	features_read(&call->manager->host, &call->manager->features);
	/* That took a while, and nothing was reserved meanwhile: look again. */
	acquire->modules_loaded = true;
	acquire_judge(call);
}

static bool have(struct manager *manager, const char *format, const char *name)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, format, name) < 0)
		return false;
	return faccessat(manager->host.sys, path, F_OK, 0) == 0;
}

static int missing_modules(struct manager *manager, const struct decision *decision,
			   char ***missing)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < decision->n_verdicts; i++) {
		const char *driver = decision->verdicts[i].target_driver;

		/* The driver of a mediated device is there as long as the device is. */
		if (driver && !have(manager, "bus/pci/drivers/%s", driver) &&
		    !have(manager, "bus/mdev/drivers/%s", driver) &&
		    !have(manager, "bus/platform/drivers/%s", driver) &&
		    !strv_contains(*missing, driver))
			r = strv_extend(missing, driver);
	}
	if (r >= 0 && decision->mode == MODE_GROUP &&
	    !have(manager, "module/%s", "vfio_iommu_type1"))
		r = strv_extend(missing, "vfio_iommu_type1");
	if (r >= 0 && decision->mode == MODE_CDEV && !have(manager, "class/misc/%s", "iommu"))
		r = strv_extend(missing, "iommufd");
	return r;
}

static void load_modules(struct call *call)
{
	struct acquire *acquire = call->data;
	_cleanup_strv_ char **missing = NULL;
	int r;

	r = missing_modules(call->manager, judge_decision(acquire->judge), &missing);
	/* What is still missing now is no module: the probe will say so. */
	if (r >= 0 && (!missing || acquire->modules_loaded)) {
		claim(call);
		return;
	}
	if (r >= 0)
		r = modules_load(bus_connection(call->manager->bus), missing, on_modules, call,
				 &acquire->modules);
	if (r < 0)
		call_errno(call, r, "loading modules");
}

/* ---- polkit */

static void on_polkit(struct polkit_query *query, int r, enum polkit_outcome outcome,
		      const char *reason, void *userdata)
{
	struct call *call = userdata;
	struct acquire *acquire = call->data;

	acquire->polkit = polkit_query_free(acquire->polkit);
	if (r < 0 || outcome != POLKIT_AUTHORIZED) {
		record_denied(call, acquire->asked, reason);
		call_error(call, "AccessDenied", "%s", reason);
		return;
	}
	/* The user may have thought for minutes: look again. */
	acquire_judge(call);
}

static void ask_polkit(struct call *call)
{
	struct acquire *acquire = call->data;
	_cleanup_strv_ char **rules = NULL;
	_cleanup_free_ char *devices = NULL, *rule = NULL;
	int r;

	r = manager_decide(call->manager, &acquire->ask, &acquire->asked);
	if (r >= 0)
		r = decision_rules(acquire->asked, &rules);
	if (r >= 0) {
		devices = strv_join(acquire->request->devices, ", ");
		rule = strv_join(rules, ", ");
		r = devices && rule ? 0 : -ENOMEM;
	}
	if (r >= 0) {
		const char *details[] = { "devices", devices, "rule", rule, NULL };

		r = polkit_query(bus_connection(call->manager->bus), call->creds->name,
				 "org.vfiod1.acquire", details, acquire->request->interactive,
				 on_polkit, call, &acquire->polkit);
	}
	if (r < 0)
		call_errno(call, r, "asking polkit");
}

/* ---- the decision */

static void on_judged(struct judge *judge, int r, void *userdata)
{
	struct call *call = userdata;
	struct acquire *acquire = call->data;
	const struct decision *decision;

	acquire->judge = judge;
	if (r < 0) {
		call_errno(call, r, "looking at the devices");
		return;
	}
	if (r > 0) {
		call_error(call, "GroupChanged",
			   "the devices changed while they were looked at; ask again");
		return;
	}
	decision = judge_decision(judge);
	/* Without its lease the request would be one for another. */
	if (acquire->lease_id && !add_devices_possible(call))
		return;
	if (!decision->allowed)
		refuse(call, decision);
	else if (acquire->asked && !decision_equal(acquire->asked, decision))
		call_error(call, "GroupChanged",
			   "what would be done changed while the user was asked; ask again");
	else if (decision->auth == AUTH_POLKIT && !acquire->asked)
		ask_polkit(call);
	else
		load_modules(call);
}

/* ---- the claim */

static int raise_memlock(struct call *call, const struct lease *lease)
{
	struct acquire *acquire = call->data;
	int pidfd = acquire->lifeline_is_process ? acquire->request->lifeline : call->creds->pidfd;
	int r;

	if (!acquire->request->memlock)
		return 0;
	r = process_raise_memlock(&call->manager->host, pidfd, acquire->request->memlock);
	if (r < 0)
		log_warning("lease %s: RLIMIT_MEMLOCK: %s", lease->id, strerror(-r));
	return r;
}

/* The reply. What cannot be delivered is taken back. */
static void hand_over(struct call *call, struct lease *lease)
{
	struct manager *manager = call->manager;
	_cleanup_close_ int client = -EBADF;
	sd_bus_message *reply = NULL;
	int r;

	r = handoff_new(&manager->engine.handoffs, lease, call->creds->uid, false, &client);
	if (r == HANDOFF_QUOTA) {
		engine_end(&manager->engine, lease, "handoff quota", true);
		call_error(call, "QuotaExceeded",
			   "too many handoffs wait for their client; use or close them");
		return;
	}
	if (r >= 0)
		r = call_new_reply(call, &reply);
	if (r >= 0)
		r = append_path_lease(reply, lease->id);
	/* sd-bus duplicates the fd. */
	if (r >= 0)
		r = sd_bus_message_append(reply, "h", client);
	if (r < 0) {
		sd_bus_message_unref(reply);
		engine_end(&manager->engine, lease, "no reply could be made", true);
		call_errno(call, r, "making the reply");
		return;
	}
	r = call_reply(call, reply);
	fault_point(CLAIM_REPLIED);
	if (r < 0)
		engine_end(&manager->engine, lease, "the reply could not be sent", true);
}

static void on_claimed(struct lease *lease, const struct failure *failure, void *userdata)
{
	struct call *call = userdata;
	struct acquire *acquire = call->data;
	int r;

	acquire->claiming = NULL;
	if (failure) {
		record_claim_failed(call, lease, failure);
		call_error(call, failure->error, "%s",
			   failure->message ? failure->message : "out of memory");
		return;
	}
	record_leased(call, lease);
	r = raise_memlock(call, lease);
	if (r < 0) {
		engine_end(&call->manager->engine, lease, "memlock", true);
		call_error(
			call, "BadOption",
			"RLIMIT_MEMLOCK of the process could not be raised: %s; ask for less, or "
			"without memlock",
			r == -ESRCH ? "it has ended" : strerror(-r));
		return;
	}
	hand_over(call, lease);
}

static void claim_refused(struct call *call, int r)
{
	switch (r) {
	case LEDGER_GROUP_TAKEN:
		call_error(call, "GroupBusy", "somebody else was faster; ask again");
		return;
	case LEDGER_NAME_TAKEN:
		call_error(call, "NameTaken", "you have a lease named \"%s\"; take another name",
			   ((struct acquire *)call->data)->request->name);
		return;
	default: /* LEDGER_ID_TAKEN (64 random bits), or an errno */
		call_error(call, "IOError",
			   "the lease cannot be written to its journal: %s; free space below /run "
			   "and ask again",
			   strerror(r < 0 ? -r : EEXIST));
	}
}

static void claim(struct call *call)
{
	struct acquire *acquire = call->data;
	struct manager *manager = call->manager;
	_cleanup_(lease_freep) struct lease *lease = NULL;
	_cleanup_free_ unsigned int *waive = NULL;
	int lifeline = -EBADF, r;

	if (acquire->lease_id) {
		add_devices_claim(call);
		return;
	}
	r = lease_build(manager, acquire->request, call->creds, acquire->judge, &lease, &waive);
	if (r > 0) {
		call_error(call, "GroupChanged",
			   "the devices changed while the request was decided; ask again");
		return;
	}
	if (r >= 0 && acquire->request->lifeline >= 0) {
		lifeline = fcntl(acquire->request->lifeline, F_DUPFD_CLOEXEC, 3);
		if (lifeline < 0)
			r = -errno;
	}
	if (r < 0) {
		call_errno(call, r, "making the lease");
		return;
	}
	record_allowed(call, judge_decision(acquire->judge));
	acquire->engine = &manager->engine;
	acquire->claiming = lease;
	r = engine_claim(&manager->engine, lease, waive, lifeline, on_claimed, call);
	if (r == 0) {
		/* The call may be gone already. The lease is the engine's. */
		STEAL(lease);
		return;
	}
	acquire->claiming = NULL;
	claim_refused(call, r);
}

/* ---- the beginning */

static bool lifeline_good(struct call *call)
{
	struct acquire *acquire = call->data;
	struct lifeline_info info = { 0 };
	int r;

	if (acquire->request->lifeline < 0)
		return true;
	r = lifeline_inspect(&call->manager->host, acquire->request->lifeline, acquire->ask.owner,
			     call->creds->uid == 0, &info);
	acquire->lifeline_is_process = r == 0 && info.kind == LIFELINE_PIDFD;
	switch (r) {
	case 0:
		return true;
	case LIFELINE_BAD_KIND:
		call_error(call, "BadOption",
			   "the lifeline is neither a pidfd, nor the read end of a pipe, nor a "
			   "socket; pass one of these");
		return false;
	case LIFELINE_DEAD:
		call_error(call, "BadOption", "the lifeline is over already; pass a live one");
		return false;
	case LIFELINE_FOREIGN:
		call_error(call, "BadOption",
			   "the lifeline is not a process of uid %u; pass one that is",
			   acquire->ask.owner);
		return false;
	default:
		call_errno(call, r, "looking at the lifeline");
		return false;
	}
}

static bool memlock_possible(struct call *call)
{
	struct acquire *acquire = call->data;

	if (!acquire->request->memlock || acquire->lifeline_is_process || call->creds->pidfd >= 0)
		return true;
	call_error(call, "BadOption",
		   "memlock: this bus does not say which process calls (no ProcessFD); pass a "
		   "pidfd as lifeline");
	return false;
}

/* Known before anything is moved: else drivers would be swapped for nothing. */
bool acquire_handoff_possible(struct call *call)
{
	if (!handoffs_full(&call->manager->engine.handoffs, call->creds->uid))
		return true;
	call_error(call, "QuotaExceeded",
		   "too many handoffs wait for their client; use or close them");
	return false;
}

static void begin(struct call *call)
{
	struct acquire *acquire = call->data;

	acquire->ask = bus_request_ask(acquire->request, call->creds);
	if (call_go_slow(call) && acquire_handoff_possible(call) && lifeline_good(call) &&
	    memlock_possible(call))
		acquire_judge(call);
}

int acquire_start(sd_bus_message *m, void *userdata, enum request_for request_for,
		  void (*begin_call)(struct call *call), sd_bus_error *error)
{
	struct acquire *acquire;
	int r;

	/* Nobody would have the handoff. */
	if (!sd_bus_message_get_expect_reply(m))
		return 1;
	acquire = calloc(1, sizeof(*acquire));
	if (!acquire)
		return -ENOMEM;
	r = bus_request_read(m, request_for, &acquire->request, error);
	if (r < 0) {
		acquire_free(acquire);
		return r;
	}
	return call_start_with(userdata, m, begin_call, acquire, acquire_free, error);
}

int method_acquire(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return acquire_start(m, userdata, REQUEST_FOR_ACQUIRE, begin, error);
}
