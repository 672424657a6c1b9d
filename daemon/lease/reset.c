/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Resets: see reset.h. What a worker does for one is in plan-reset.c and step-reset.c. */

#include "daemon/lease/reset.h"

#include "daemon/lease/fence-guard.h"
#include "daemon/lease/run.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"

struct lease_reset {
	reset_fn done; /* NULL: nobody waits */
	void *userdata;
	struct failure failure;
	char **bridges; /* names that the plan borrows */
	char **devices; /* that were named, for the record */
};

static struct lease_reset *reset_free(struct lease_reset *reset)
{
	if (!reset)
		return NULL;
	failure_done(&reset->failure);
	strv_free(reset->bridges);
	strv_free(reset->devices);
	free(reset);
	return NULL;
}

void run_reset_done(struct lease_run *run, const struct failure *failure)
{
	struct lease_reset *reset = run->reset;

	if (!reset)
		return;
	run->reset = NULL;
	reset_unreserve(run->lease);
	if (reset->done)
		reset->done(run->lease, failure, reset->userdata);
	reset_free(reset);
}

static void record(const struct lease_run *run, const struct failure *failure)
{
	_cleanup_free_ char *text = strv_join(run->reset->devices, " ");
	const char *why = failure ? failure->message ?: "out of memory" : NULL;

	log_record(MESSAGE_RESET, failure ? LOG_ERR : LOG_INFO,
		   LOG_FIELDS({ FIELD_LEASE, run->lease->id },
			      { FIELD_OWNER, LOG_NUMBER(run->lease->owner) },
			      { FIELD_DEVICE, .values = run->reset->devices },
			      { FIELD_REASON, why }),
		   "Lease %s: %s %s%s", run->lease->id, text ? text : "devices",
		   failure ? "could not be reset: " : "reset", why ? why : "");
}

/* What a failed step means to the client. */
static void on_report(const struct step *step, const struct step_report *report, void *userdata)
{
	struct lease_run *run = userdata;
	struct failure *failure = &run->reset->failure;
	const char *what = report->text[0] ? report->text : strerror(report->error);

	/* A device that went is a failure here: nobody has reset it. */
	if (report->event != STEP_FAILED && !(report->event == STEP_SKIPPED && report->error))
		return;
	run_log_step(run, step, report);
	if (report->error == EAGAIN)
		failure_set(failure, "TimedOut", "%s: %s; ask again", step->device, what);
	else if (report->error == ESTALE)
		failure_set(failure, "GroupChanged", "%s: %s; look again, and ask again",
			    step->device, what);
	else if (report->error == ENOENT || report->error == ENODEV)
		failure_set(failure, "NoSuchDevice", "%s: %s; list the devices anew", step->device,
			    what);
	else if (report->error == ENOTTY || report->error == EOPNOTSUPP || report->error == EPERM)
		failure_set(failure, "ModeUnsupported", "%s: %s; ask for another kind",
			    step->device, what);
	else
		failure_set(failure, "DriverFailed", "%s: %s; see the kernel log", step->device,
			    what);
}

static void on_done(int result, void *userdata)
{
	struct lease_run *run = userdata;
	struct failure *failure = &run->reset->failure;

	run->worker = worker_free(run->worker);
	run->changing = false;
	if (run->lease->state != LEASE_LEASED)
		failure_set(failure, "NoSuchLease", "lease %s has ended", run->lease->id);
	else if (result != 0)
		failure_set(failure, "DriverFailed",
			    "the process that resets ended in the middle; ask again, and see the "
			    "log of vfiod for why");
	record(run, failure->error ? failure : NULL);
	run_reset_done(run, failure->error ? failure : NULL);
	/* It waited for this. */
	if (run->lease->state != LEASE_LEASED) {
		release_drain(run);
		return;
	}
	run_changed(run);
	/* What somebody did meanwhile is looked at now. */
	guard_look(run);
}

static const struct worker_ops reset_worker_ops = { .report = on_report, .done = on_done };

/* ---- the beginning */

static void give_up(struct lease_run *run, int error)
{
	struct failure failure = { 0 };

	run->changing = false;
	failure_set(&failure, "DriverFailed", "no worker could be started: %s", strerror(-error));
	record(run, &failure);
	run_reset_done(run, &failure);
	failure_done(&failure);
}

/* Pointers into the lease are good for no longer than this: a fence may move them. */
static int make_plan(struct lease_run *run, struct plan *plan)
{
	size_t n = strv_length(run->reset->devices);
	_cleanup_free_ struct reset_step *steps = calloc(n + 1, sizeof(*steps));

	if (!steps)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const char *bridge = run->reset->bridges[i];

		steps[i].device = lease_device(run->lease, run->reset->devices[i]);
		if (!steps[i].device)
			return -ENODEV;
		steps[i].bridge = *bridge ? bridge : NULL;
	}
	return plan_reset(run->lease, steps, n, plan);
}

static void start(struct lease_run *run)
{
	_cleanup_(plan_done) struct plan plan = { 0 };
	int r;

	/* The lease ended while this waited for the guard. */
	if (!run->reset)
		return;
	r = make_plan(run, &plan);
	if (r >= 0)
		r = run_worker(run, &plan, &reset_worker_ops);
	if (r < 0)
		give_up(run, r);
}

/* Names of our own, and the reservation: what is not in the lease may change while it waits. */
static int prepare(struct lease_run *run, const struct reset_target *targets, size_t n)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < n; i++) {
		const struct device *bridge = targets[i].domain->bridge;

		r = strv_extend(&run->reset->devices, targets[i].device);
		if (r >= 0)
			r = strv_extend(&run->reset->bridges, bridge ? bridge->name : "");
		if (r >= 0)
			r = reset_reserve(run->lease, targets[i].domain);
	}
	return r;
}

int engine_reset(struct engine *engine, struct lease *lease, const struct reset_target *targets,
		 size_t n, reset_fn done, void *userdata)
{
	struct lease_run *run = lease_run(lease);
	int r;

	if (lease->state != LEASE_LEASED || change_is_barred(run))
		return RESET_BUSY;
	run->reset = calloc(1, sizeof(*run->reset));
	if (!run->reset)
		return -ENOMEM;
	r = prepare(run, targets, n);
	if (r < 0) {
		run_reset_done(run, NULL);
		return r;
	}
	run->reset->done = done;
	run->reset->userdata = userdata;
	run->changing = true;
	/* Two of ours do not work on one device: the guard ends first. */
	park_when_clear(run, start);
	return 0;
}

void engine_abandon_reset(struct engine *engine, const void *userdata)
{
	HASH_FOREACH (lease, engine->ledger->leases) {
		struct lease_run *run = lease_run(lease);

		if (run && run->reset && run->reset->userdata == userdata)
			run->reset->done = NULL;
	}
}
