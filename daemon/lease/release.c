/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * draining → restoring → home. Nothing is given back before every unbind of the whole lease has
 * returned (I5): the kernel finishes one only when the device's last fd is gone.
 */

#include "daemon/fault.h"
#include "daemon/lease/fence-guard.h"
#include "daemon/lease/fence.h"
#include "daemon/lease/run.h"
#include "daemon/lease/vf-switch.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"
#include "daemon/vfio/node.h"

#include <time.h>

/* Twice as long each time. */
#define RETRY_FIRST_USEC (250 * 1000ULL)
#define RETRY_MAX_USEC	 (8 * 1000 * 1000ULL)
#define ROLLBACK_RETRIES 3
#define DEATHS_MAX	 3

static void retry_drain_later(struct lease_run *run);

/*
 * The owner's entry on /dev/iommu, which all its leases in node mode share: no step of a plan,
 * which sees one lease, can know. It opens no device, so it is no part of the barrier.
 */
static void drop_iommu_entry(struct lease_run *run)
{
	const struct lease *lease = run->lease;
	int r;

	if (lease->mode != MODE_NODE)
		return;
	HASH_FOREACH (other, run->engine->ledger->leases)
		if (other != lease && other->mode == MODE_NODE && other->owner == lease->owner &&
		    (other->state == LEASE_PREPARING || other->state == LEASE_LEASED))
			return;
	r = node_revoke(run->engine->host, "iommu", lease->owner);
	if (r < 0 && r != -ENOENT)
		log_warning("lease %s: the entry of uid %u on /dev/iommu stays: %s", lease->id,
			    lease->owner, strerror(-r));
}

/* ---- home */

static void go_home(struct lease_run *run);

static int on_go_home(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct lease_run *run = userdata;

	run->retry_timer = sd_event_source_disable_unref(run->retry_timer);
	go_home(run);
	return 0;
}

/* Seldom: to unlink takes no space. A journal that is left would take the devices from their next
 * owner at the next start. */
static void go_home_later(struct lease_run *run)
{
	uint64_t usec = RETRY_FIRST_USEC << run->n_home;
	int r;

	if (usec < RETRY_MAX_USEC)
		run->n_home++;
	run->retry_timer = sd_event_source_disable_unref(run->retry_timer);
	r = sd_event_add_time_relative(run->engine->event, &run->retry_timer, CLOCK_MONOTONIC, usec,
				       0, on_go_home, run);
	if (r < 0)
		log_error("lease %s: no timer: %s", run->lease->id, strerror(-r));
}

static void go_home(struct lease_run *run)
{
	struct engine *engine = run->engine;
	struct lease *lease = run->lease;
	int r;

	/* Once more: it may have failed before. */
	drop_iommu_entry(run);
	for (size_t i = 0; i < lease->n_devices; i++) {
		const struct lease_device *d = &lease->devices[i];
		const struct device *now = topology_device(engine->topology, d->name);

		if (now && !d->left && d->saved_driver &&
		    driver_is_vfio(d->saved_driver, now->vfio_driver))
			clean_add(engine, d, now->identity);
	}
	r = journal_remove(&engine->journal, lease->id);
	if (r < 0) {
		if (!run->n_home)
			log_error("journal of lease %s cannot be removed: %s; its groups stay "
				  "blocked until it is",
				  lease->id, strerror(-r));
		claim_finish(run);
		go_home_later(run);
		return;
	}
	fault_point(HOME_FORGOTTEN);
	log_record(
		MESSAGE_HOME, LOG_INFO,
		LOG_FIELDS({ FIELD_LEASE, lease->id }, { FIELD_OWNER, LOG_NUMBER(lease->owner) }),
		"Lease %s: every device is home", lease->id);
	watch_unstore_lifeline(run);
	claim_finish(run);
	ledger_remove(engine->ledger, lease);
	engine->ops->removed(lease, engine->userdata);
	run_free(run);
	lease_free(lease);
	fault_point(HOME_TOLD);
}

/* ---- restoring */

/* A step that failed, as its device shows it. */
static void note_failure(struct lease_run *run, const struct step *step,
			 const struct step_report *report)
{
	struct lease_device *d = step->device ? lease_device(run->lease, step->device) : NULL;

	run->worker_bad = true;
	if (d)
		free_and_asprintf(&d->error, "%s: %s", step_kind_to_string(step->kind),
				  report->text[0] ? report->text : strerror(report->error));
	run_log_step(run, step, report);
}

static void on_restore_report(const struct step *step, const struct step_report *report,
			      void *userdata)
{
	if (step->kind == STEP_VFS_BACK && report->event != STEP_BEGIN)
		vf_switch_is_back(userdata, step->arg);
	if (report->event == STEP_DONE && step->kind == STEP_PROBE && report->text[0])
		log_warning("%s goes to the host without a driver: %s", step->device, report->text);
	if (report->event == STEP_FAILED && step->device)
		note_failure(userdata, step, report);
}

static void restore_failed(struct lease_run *run)
{
	run_force_state(run, LEASE_FAILED);
	log_record(MESSAGE_FAILED, LOG_ERR, LOG_FIELDS({ FIELD_LEASE, run->lease->id }),
		   "Lease %s: not every device came home; see its devices' errors, mend the cause "
		   "and call Restore",
		   run->lease->id);
	if (run->claim_done)
		failure_set(&run->failure, "DriverFailed",
			    "not every device came back to its driver; mend what the "
			    "lease's Errors say, and have root call Restore");
	claim_finish(run);
}

static void on_restore_done(int result, void *userdata)
{
	struct lease_run *run = userdata;

	run->worker = worker_free(run->worker);
	vf_switch_is_back(run, NULL);
	fault_point(RESTORE_DONE);
	if (result == 0 && !run->worker_bad) {
		go_home(run);
		return;
	}
	/* Killed by somebody: that says nothing of the devices, and the barrier costs nothing. */
	if (result < 0 && !run->worker_bad && ++run->n_deaths <= DEATHS_MAX) {
		release_drain(run);
		return;
	}
	if (result < 0)
		for (size_t i = 0; i < run->lease->n_devices; i++)
			if (!run->lease->devices[i].error)
				free_and_strdup(&run->lease->devices[i].error, "the worker died");
	restore_failed(run);
}

static const struct worker_ops restore_worker_ops = {
	.report = on_restore_report,
	.done = on_restore_done,
};

void release_restore(struct lease_run *run)
{
	_cleanup_(plan_done) struct plan plan = { 0 };
	int r;

	for (size_t i = 0; i < run->lease->n_devices; i++)
		free_and_strdup(&run->lease->devices[i].error, NULL);
	vf_switch_may_go_back(run->engine, run->lease);
	r = plan_restore(run->lease, &plan);
	if (r >= 0)
		r = run_worker(run, &plan, &restore_worker_ops);
	fault_point(RESTORE_STARTED);
	if (r >= 0)
		return;
	log_error("lease %s: cannot start restoring: %s", run->lease->id, strerror(-r));
	vf_switch_is_back(run, NULL);
	restore_failed(run);
}

/* ---- draining */

static void on_drain_report(const struct step *step, const struct step_report *report,
			    void *userdata)
{
	if (report->event == STEP_FAILED)
		note_failure(userdata, step, report);
}

/* Without the kernel's word that every fd is gone, nothing is given back. A VMM that held one may
 * let go of it; on the way back from a claim there is none, and somebody waits for an answer. */
static void drain_failed(struct lease_run *run)
{
	if (run->lease->state == LEASE_RESTORING && run->n_retries >= ROLLBACK_RETRIES) {
		run->n_retries = 0;
		watch_holders_stop(run);
		restore_failed(run);
		return;
	}
	run_changed(run);
	retry_drain_later(run);
}

static void go_on_to_restoring(struct lease_run *run)
{
	/*
	 * A device that came meanwhile is being shut off; it is let go with the others. Two writers
	 * of one device's override would leave it to chance which is last.
	 */
	fences_stop(run->engine->fences, run->lease);
	if (fences_busy(run->engine->fences, run->lease)) {
		run->after_fences = RESTORE_AFTER_FENCES;
		return;
	}
	watch_holders_stop(run);
	revoke_done(run);
	lease_clear_holders(run->lease);
	if (run->lease->state == LEASE_DRAINING)
		run_force_state(run, LEASE_RESTORING);
	fault_point(RESTORE_JOURNALED);
	release_restore(run);
}

static void on_drain_done(int result, void *userdata)
{
	struct lease_run *run = userdata;

	run->worker = worker_free(run->worker);
	fault_point(DRAIN_DONE);
	if (result != 0 || run->worker_bad) {
		drain_failed(run);
		return;
	}
	go_on_to_restoring(run);
}

static const struct worker_ops drain_worker_ops = {
	.report = on_drain_report,
	.done = on_drain_done,
};

bool run_functions_bar(const struct lease_run *run, bool parking)
{
	for (size_t i = 0; i < run->lease->n_devices; i++) {
		const struct lease_device *d = &run->lease->devices[i];
		const struct device *device = topology_device(run->engine->topology, d->name);

		if (!device || (parking && !d->parking))
			continue;
		if (device->sriov_busy)
			return true;
		STRV_FOREACH (vf, device->virtual_functions) {
			const struct lease *other = ledger_device(run->engine->ledger, *vf);

			if (other && other != run->lease)
				return true;
		}
	}
	return false;
}

/* The last handoff child is gone: no process of vfiod has fds of the lease. */
static void on_handoffs_gone(void *userdata)
{
	struct lease_run *run = userdata;
	_cleanup_(plan_done) struct plan plan = { 0 };
	int r;

	if (park_give_way(run)) {
		watch_holders_start(run);
		return;
	}
	/* It binds devices again. A fence only shuts off, as draining does: it goes on meanwhile.
	 */
	if (guard_busy(run)) {
		run->after_fences = DRAIN_AFTER_FENCES;
		return;
	}
	if (run_functions_bar(run, false)) {
		watch_holders_start(run);
		retry_drain_later(run);
		return;
	}
	r = plan_drain(run->lease, &plan);
	if (r >= 0)
		r = run_worker(run, &plan, &drain_worker_ops);
	fault_point(DRAIN_STARTED);
	if (r >= 0) {
		watch_holders_start(run);
		return;
	}
	log_error("lease %s: cannot start draining: %s", run->lease->id, strerror(-r));
	retry_drain_later(run);
}

void release_fence_over(struct lease_run *run)
{
	int after = run ? (int)run->after_fences : FENCES_DONE;

	if (after == FENCES_DONE || guard_busy(run))
		return;
	if (after == RESTORE_AFTER_FENCES && fences_busy(run->engine->fences, run->lease))
		return;
	run->after_fences = FENCES_DONE;
	if (after == DRAIN_AFTER_FENCES)
		on_handoffs_gone(run);
	else
		go_on_to_restoring(run);
}

void release_drain(struct lease_run *run)
{
	/* A worker of an earlier daemon is at its devices yet: this comes again when it is over. */
	if (run->lock < 0) {
		recover_lock(run);
		return;
	}
	drop_iommu_entry(run);
	run->retry_timer = sd_event_source_disable_unref(run->retry_timer);
	handoffs_end(&run->engine->handoffs, run->lease, on_handoffs_gone, run);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	release_drain(userdata);
	return 0;
}

static void retry_drain_later(struct lease_run *run)
{
	uint64_t usec = RETRY_FIRST_USEC << run->n_retries;
	int r;

	if (usec < RETRY_MAX_USEC)
		run->n_retries++;
	run->retry_timer = sd_event_source_disable_unref(run->retry_timer);
	r = sd_event_add_time_relative(run->engine->event, &run->retry_timer, CLOCK_MONOTONIC, usec,
				       0, on_retry, run);
	if (r < 0)
		log_error("lease %s: no timer to drain again: %s", run->lease->id, strerror(-r));
}

/* A claim that failed: no fd was handed out, but the same barrier costs nothing and asks nobody
 * to be sure. */
void release_rollback(struct lease_run *run)
{
	run_force_state(run, LEASE_RESTORING);
	fault_point(ROLLBACK_JOURNALED);
	release_drain(run);
}

/* ---- what the engine's owner calls */

/* Before it is leased: the claim fails, and who waits for it is told. */
static int end_claim(struct lease_run *run, const char *reason)
{
	int r = free_and_strdup(&run->lease->end_reason, reason);

	if (r < 0)
		return r;
	failure_set(&run->failure, "NoSuchLease",
		    "the lease was ended while it was prepared (%s); ask again", reason);
	if (run->worker)
		worker_stop(run->worker);
	else if (run->swapped || run->waits)
		claim_stored(run);
	return 0;
}

int engine_end(struct engine *engine, struct lease *lease, const char *reason, bool force)
{
	struct lease_run *run = lease_run(lease);
	int r;

	if (lease->state == LEASE_PREPARING)
		return end_claim(run, reason);
	if (lease->state != LEASE_LEASED)
		return 0;
	r = free_and_strdup(&lease->end_reason, reason);
	if (r >= 0)
		r = run_set_state(run, LEASE_DRAINING);
	if (r < 0 && !force) {
		free_and_strdup(&lease->end_reason, NULL);
		return r;
	}
	if (r < 0)
		run_force_state(run, LEASE_DRAINING);
	fault_point(END_JOURNALED);
	log_record(MESSAGE_ENDED, LOG_INFO,
		   LOG_FIELDS({ FIELD_LEASE, lease->id }, { FIELD_NAME, lease->name },
			      { FIELD_OWNER, LOG_NUMBER(lease->owner) }, { FIELD_REASON, reason }),
		   "Lease %s has ended: %s", lease->id, reason);
	run->lifeline_source = sd_event_source_disable_unref(run->lifeline_source);
	/* Whom a revocation may have to kill: an owner does not get out of that by releasing. One
	 * that is over stays too, for nobody else is to be killed in its place. */
	if (lease->revoke == REVOKE_KILL) {
		fd_close(run->kill_fd);
		run->kill_fd = STEAL_FD(run->lifeline);
	}
	run->lifeline = fd_close(run->lifeline);
	revoke_over(run);
	grow_parent_ends(engine, lease);
	release_drain(run);
	return 0;
}

int engine_restore(struct engine *engine, struct lease *lease)
{
	struct lease_run *run = lease_run(lease);
	int r;

	if (lease->state != LEASE_FAILED)
		return -EINVAL;
	r = run_set_state(run, LEASE_RESTORING);
	if (r < 0)
		return r;
	/* Whoever bound it to a VFIO driver meanwhile: the barrier again. */
	release_drain(run);
	return 0;
}
