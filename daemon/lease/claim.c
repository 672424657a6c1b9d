/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* preparing → leased: journal, worker, durable, told. */

#include "daemon/fault.h"
#include "daemon/lease/readback.h"
#include "daemon/lease/run.h"
#include "daemon/lease/vf-switch.h"

void claim_finish(struct lease_run *run)
{
	claim_done_fn done = run->claim_done;

	run->claim_done = NULL;
	if (done)
		done(run->lease, run->failure.error ? &run->failure : NULL, run->claim_userdata);
}

/* What a failed step means to the client. */
static void step_failure(struct lease_run *run, const struct step *step,
			 const struct step_report *report)
{
	const char *device = step->device ? step->device : "?";
	const char *what = report->text[0] ? report->text : strerror(report->error);

	switch (step->kind) {
	case STEP_CHECK:
		if (report->error == EBUSY)
			failure_set(&run->failure, "DeviceInUse",
				    "%s came into use: %s; stop that use, or have a rule waive it",
				    device, what);
		else
			failure_set(&run->failure, "GroupChanged",
				    "%s changed under the request: %s; ask again", device, what);
		return;
	case STEP_NODE_CLEAN:
		if (report->error == ESTALE)
			failure_set(&run->failure, "GroupChanged",
				    "%s changed under the request: %s; ask again", device, what);
		else
			failure_set(&run->failure, "DriverFailed", "%s: %s", device, what);
		return;
	case STEP_INSPECT:
	case STEP_OVERRIDE:
	case STEP_UNBIND:
	case STEP_UNBIND_VFIO:
	case STEP_SETTLE:
	case STEP_PROBE:
	case STEP_VERIFY:
	case STEP_QUIET:
	case STEP_NODE_GRANT:
	case STEP_NODE_REVOKE:
	case STEP_RESET:
	case STEP_RESET_BUS:
	case STEP_IDENTITY:
	case STEP_VFS_OFF:
	case STEP_VFS_BACK:
		failure_set(&run->failure, "DriverFailed",
			    "%s: step %s failed: %s; the devices go back to their drivers, see the "
			    "kernel log for the driver's own words",
			    device, step_kind_to_string(step->kind), what);
		return;
	case STEP_KIND_MAX:
	case STEP_KIND_INVALID:
		break;
	}
}

static void on_report(const struct step *step, const struct step_report *report, void *userdata)
{
	struct lease_run *run = userdata;

	if (report->event != STEP_FAILED)
		return;
	run_log_step(run, step, report);
	step_failure(run, step, report);
}

/* Something may have come to the group since the decision, and its event not to us yet. */
static bool group_is_as_decided(struct lease_run *run)
{
	_cleanup_free_ char *why = NULL;
	int r;

	/* Being shut off already: nobody has decided about it. */
	for (size_t i = 0; i < run->lease->n_devices; i++)
		if (run->lease->devices[i].state == DEVICE_FENCED && !run->lease->devices[i].gone) {
			failure_set(&run->failure, "GroupChanged",
				    "%s came to the group under the request; ask again",
				    run->lease->devices[i].name);
			return false;
		}
	r = lease_read_back(run->engine->host, run->lease, true, &why);

	if (r == 0)
		return true;
	if (r < 0)
		failure_set(&run->failure, "DriverFailed", "the group cannot be read back: %s",
			    strerror(-r));
	else
		failure_set(&run->failure, "GroupChanged",
			    "the group changed under the request: %s; ask again", why);
	return false;
}

/* It broke after the decision: whoever it is for has had no descriptor of it yet. */
static bool all_are_well(struct lease_run *run)
{
	for (size_t i = 0; i < run->lease->n_devices; i++) {
		const struct lease_device *d = &run->lease->devices[i];
		const struct device *now = topology_device(run->engine->topology, d->name);

		if (d->state != DEVICE_GRANTED || d->gone || !now || now->health != HEALTH_FAILED)
			continue;
		failure_set(&run->failure, "DeviceFailed",
			    "%s reported an error under the request that the kernel could not "
			    "recover it from; have an administrator look at it and run "
			    "\"vfiodctl clear\"",
			    d->name);
		return false;
	}
	return true;
}

static void become_leased(struct lease_run *run)
{
	int r;

	if (!group_is_as_decided(run) || !all_are_well(run)) {
		release_rollback(run);
		return;
	}
	r = run_set_state(run, LEASE_LEASED);
	if (r < 0) {
		failure_set(&run->failure, "DriverFailed",
			    "the journal of the lease cannot be written: %s; free space below "
			    "/run and ask again",
			    strerror(-r));
		release_rollback(run);
		return;
	}
	fault_point(CLAIM_LEASED);
	claim_finish(run);
}

/* Everything that was waited for is there, or something of it failed. */
static void decide_claim(struct lease_run *run)
{
	run->swapped = false;
	if (run->abandoned)
		failure_set(&run->failure, "TimedOut", "the caller went away");
	else if (run->lifeline_over)
		failure_set(&run->failure, "BadOption",
			    "the lifeline ended during the claim; pass one that lives");
	if (run->failure.error)
		release_rollback(run);
	else if (!run->barrier_source)
		become_leased(run);
	else
		run->swapped = true;
}

void claim_stored(struct lease_run *run)
{
	if (run->lease->state != LEASE_PREPARING)
		return;
	if (run->waits) {
		/* Nothing has begun: only what ends it ends the waiting. */
		run->waits = !run->failure.error && !run->lifeline_over && !run->abandoned;
		if (!run->waits)
			decide_claim(run);
		return;
	}
	if (run->swapped)
		decide_claim(run);
	else if (run->failure.error && run->worker)
		worker_stop(run->worker);
}

static void on_done(int result, void *userdata)
{
	struct lease_run *run = userdata;

	run->worker = worker_free(run->worker);
	fault_point(CLAIM_SWAPPED);
	if (result != 0 && !run->abandoned && !run->lifeline_over)
		failure_set(&run->failure, "DriverFailed",
			    "the process that swaps drivers ended in the middle; ask again, and "
			    "see the kernel log and that of vfiod for why");
	decide_claim(run);
}

static const struct worker_ops claim_worker_ops = { .report = on_report, .done = on_done };

static int start(struct lease_run *run, const unsigned int *waive)
{
	_cleanup_(plan_done) struct plan plan = { 0 };
	int r;

	r = clean_lease(run->engine, run->lease) ? plan_vfs_off(run->lease, &plan)
						 : plan_claim(run->lease, waive, &plan);
	if (r < 0)
		return r;
	return run_worker(run, &plan, &claim_worker_ops);
}

/* The short way, or a worker. */
static int begin(struct lease_run *run, const unsigned int *waive)
{
	int r;

	if (clean_lease(run->engine, run->lease) && !lease_switches_vfs(run->lease)) {
		run_changed(run);
		decide_claim(run);
		return 0;
	}
	r = start(run, waive);
	if (r < 0)
		return r;
	fault_point(CLAIM_WORKING);
	run_changed(run);
	return 0;
}

/* ---- before that: the probing of new devices is switched, and switches of VFs are not moving */

/* 1: now; 0: engine_claims_go_on() comes; -errno. */
static int may_begin(struct lease_run *run)
{
	const struct engine *engine = run->engine;

	if (vf_switch_is_moving(engine, run->lease))
		return 0;
	return engine->ops->may_begin ? engine->ops->may_begin(run->lease, engine->userdata) : 1;
}

static int wait_to_begin(struct lease_run *run, const unsigned int *waive)
{
	size_t size = run->lease->n_devices * sizeof(*waive);

	run->waive = calloc(run->lease->n_devices + 1, sizeof(*waive));
	if (!run->waive)
		return -ENOMEM;
	if (waive && size)
		memcpy(run->waive, waive, size);
	run->waits = true;
	run_changed(run);
	return 0;
}

static void go_on(struct lease_run *run)
{
	int r = may_begin(run);

	if (r == 0)
		return;
	run->waits = false;
	if (r > 0)
		r = begin(run, run->waive);
	if (r >= 0)
		return;
	failure_set(&run->failure, "DriverFailed",
		    "the claim could not be begun: %s; the log of vfiod says of what, and if it is "
		    "drivers_autoprobe of the PCI bus, a policy with \"hotplug\": {\"probe\": "
		    "\"kernel\"} does without",
		    strerror(-r));
	decide_claim(run);
}

void engine_claims_go_on(struct engine *engine)
{
	HASH_FOREACH (lease, engine->ledger->leases)
		if (lease_run(lease) && lease_run(lease)->waits)
			go_on(lease_run(lease));
}

/*
 * Nothing was begun: the lease becomes the caller's again. Unless its journal cannot be removed:
 * the next start would undo this claim, whoever has the devices by then, so it goes the way of one
 * that failed, which keeps its groups until it is off the disk.
 */
static int undo(struct lease_run *run, int error)
{
	struct engine *engine = run->engine;
	int r;

	watch_unstore_lifeline(run);
	r = journal_remove(&engine->journal, run->lease->id);
	if (r < 0) {
		failure_set(&run->failure, "DriverFailed",
			    "the claim could not be begun (%s), and its journal not be removed: %s",
			    strerror(-error), strerror(-r));
		release_rollback(run);
		return 0;
	}
	ledger_remove(engine->ledger, run->lease);
	run_free(run);
	return error;
}

int engine_claim(struct engine *engine, struct lease *lease, const unsigned int *waive,
		 int lifeline, claim_done_fn done, void *userdata)
{
	struct lease_run *run;
	int r;

	r = ledger_add(engine->ledger, lease);
	if (r != 0) {
		fd_close(lifeline);
		return r;
	}
	run = run_new(engine, lease);
	if (!run) {
		fd_close(lifeline);
		ledger_remove(engine->ledger, lease);
		return -ENOMEM;
	}
	run->lifeline = lifeline;
	run->claim_done = done;
	run->claim_userdata = userdata;
	run->lock = journal_lock(&engine->journal, lease->id);
	if (run->lock < 0) {
		r = run->lock;
		ledger_remove(engine->ledger, lease);
		run_free(run);
		return r;
	}
	fault_point(CLAIM_LOCKED);
	r = watch_lifeline(run);
	if (r >= 0)
		r = vf_switch_note(engine, lease);
	if (r >= 0)
		r = journal_write(&engine->journal, lease);
	if (r < 0)
		return undo(run, r);
	fault_point(CLAIM_JOURNALED);
	r = watch_store_lifeline(run);
	if (r < 0)
		return undo(run, r);
	fault_point(CLAIM_STORED);
	r = may_begin(run);
	if (r >= 0)
		r = r ? begin(run, waive) : wait_to_begin(run, waive);
	return r < 0 ? undo(run, r) : 0;
}

void engine_abandon_claim(struct engine *engine, struct lease *lease)
{
	struct lease_run *run = lease_run(lease);

	run->claim_done = NULL;
	run->abandoned = true;
	if (lease->state == LEASE_PREPARING && run->worker)
		worker_stop(run->worker);
	else if (lease->state == LEASE_PREPARING && (run->swapped || run->waits))
		claim_stored(run);
}
