/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The engine's own life, and what claim, release, watch and recover share. What comes and goes
 * under a lease is in engine-events.c.
 */

#include "daemon/lease/engine.h"

#include "daemon/lease/fence-guard.h"
#include "daemon/lease/fence-watch.h"
#include "daemon/lease/fence.h"
#include "daemon/lease/run.h"
#include "daemon/sysfs/write.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"

#include <stdarg.h>
#include <stdio.h>

void failure_done(struct failure *failure)
{
	free(failure->message);
	*failure = (struct failure){ 0 };
}

void failure_set(struct failure *failure, const char *error, const char *format, ...)
{
	va_list ap;

	if (failure->error)
		return;
	failure->error = error;
	va_start(ap, format);
	if (vasprintf(&failure->message, format, ap) < 0)
		failure->message = NULL;
	va_end(ap);
}

int engine_init(struct engine *engine, sd_event *event, const struct host *host,
		struct topology *topology, struct ledger *ledger, const char *journal_path,
		const struct engine_ops *ops, void *userdata)
{
	int r;

	*engine = (struct engine){
		.event = event,
		.host = host,
		.topology = topology,
		.ledger = ledger,
		.ops = ops,
		.userdata = userdata,
	};
	handoffs_init(&engine->handoffs, event, host);
	r = journal_open(&engine->journal, journal_path);
	if (r < 0)
		return r;
	engine->fences = calloc(1, sizeof(*engine->fences));
	return engine->fences ? fences_init(engine->fences, engine) : -ENOMEM;
}

void engine_done(struct engine *engine)
{
	struct clean_device *clean, *next;

	if (engine->fences)
		fences_done(engine->fences);
	free(engine->fences);
	handoffs_done(&engine->handoffs);
	HASH_FOREACH (lease, engine->ledger->leases) {
		/* Whoever asked has gone before; what would have told them goes here. */
		if (lease_run(lease) && lease_run(lease)->claim_done) {
			failure_set(&lease_run(lease)->failure, "NoSuchLease", "vfiod ends");
			claim_finish(lease_run(lease));
		}
		run_free(lease_run(lease));
	}
	attr_watches_free(engine->watches);
	HASH_ITER(hh, engine->clean, clean, next)
	engine_forget_clean(engine, clean->name, UINT64_MAX);
	journal_close(&engine->journal);
}

struct lease_run *run_new(struct engine *engine, struct lease *lease)
{
	struct lease_run *run = calloc(1, sizeof(*run));

	if (!run)
		return NULL;
	run->engine = engine;
	run->lease = lease;
	run->lock = -EBADF;
	run->lifeline = -EBADF;
	run->kill_fd = -EBADF;
	lease->data = run;
	return run;
}

struct lease_run *run_free(struct lease_run *run)
{
	if (!run)
		return NULL;
	run->lease->data = NULL;
	run->guard = guard_free(run->guard);
	watch_holders_stop(run);
	handoffs_forget(&run->engine->handoffs, run->lease);
	worker_free(run->worker);
	sd_event_source_disable_unref(run->retry_timer);
	sd_event_source_disable_unref(run->lifeline_source);
	sd_event_source_disable_unref(run->barrier_source);
	sd_event_source_disable_unref(run->barrier_timer);
	sd_event_source_disable_unref(run->park_timer);
	sd_event_source_disable_unref(run->revoke_timer);
	if (run->vouch)
		run->vouch_free(run->vouch);
	growth_done(run, &(struct failure){ .error = "NoSuchLease" });
	run_reset_done(run, &(struct failure){ .error = "NoSuchLease" });
	free(run->waive);
	fd_close(run->kill_fd);
	fd_close(run->lifeline);
	fd_close(run->lock);
	failure_done(&run->failure);
	free(run);
	return NULL;
}

void run_changed(struct lease_run *run)
{
	/* A reset that had not begun has nothing to wait for any more. */
	if (run->reset && !run->worker && run->lease->state != LEASE_LEASED)
		run_reset_done(run, &(struct failure){ .error = "NoSuchLease",
						       .message = (char *)"the lease has ended" });
	guard_follow(run);
	run->engine->ops->changed(run->lease, run->engine->userdata);
}

int run_set_state(struct lease_run *run, enum lease_state state)
{
	enum lease_state before = run->lease->state;
	int r;

	r = lease_set_state(run->lease, state);
	if (r < 0)
		return r;
	r = journal_write(&run->engine->journal, run->lease);
	if (r < 0) {
		run->lease->state = before;
		return r;
	}
	run_changed(run);
	return 0;
}

void run_force_state(struct lease_run *run, enum lease_state state)
{
	int r = run_set_state(run, state);

	if (r >= 0)
		return;
	log_error("journal of lease %s: %s; a crash now would find it in state %s", run->lease->id,
		  strerror(-r), lease_state_to_string(run->lease->state));
	lease_set_state(run->lease, state);
	run_changed(run);
}

int run_worker(struct lease_run *run, struct plan *plan, const struct worker_ops *ops)
{
	run->worker = worker_free(run->worker);
	run->worker_bad = false;
	return worker_start(run->engine->event, run->engine->host, plan, run->lock, ops, run,
			    &run->worker);
}

void run_log_step(const struct lease_run *run, const struct step *step,
		  const struct step_report *report)
{
	const char *why = report->text[0] ? report->text : strerror(report->error);

	log_record(MESSAGE_STEP_FAILED, LOG_ERR,
		   LOG_FIELDS({ FIELD_LEASE, run->lease->id }, { FIELD_DEVICE, step->device },
			      { FIELD_STEP, step_kind_to_string(step->kind) },
			      { FIELD_REASON, why }),
		   "Lease %s, %s: step %s failed: %s", run->lease->id,
		   step->device ? step->device : "-", step_kind_to_string(step->kind), why);
}

/* ---- the short way */

/* The number of the kernel's last uevent; events up to it may still be on their way to us. */
static uint64_t last_uevent(const struct host *host)
{
	_cleanup_free_ char *text = NULL;

	if (file_read_at(host->sys, "kernel/uevent_seqnum", 64, &text, NULL) < 0)
		return 0;
	return strtoull(text, NULL, 10);
}

static void clean_free(struct clean_device *clean)
{
	free(clean->name);
	free(clean->driver);
	free(clean->override);
	free(clean);
}

void engine_forget_clean(struct engine *engine, const char *device, uint64_t seqnum)
{
	struct clean_device *clean;

	HASH_FIND_STR(engine->clean, device, clean);
	if (!clean || seqnum <= clean->seqnum)
		return;
	HASH_DEL(engine->clean, clean);
	clean_free(clean);
}

/* Best effort: a device that is not recorded only takes the long way. */
void clean_add(struct engine *engine, const struct lease_device *device, uint64_t identity)
{
	struct clean_device *clean;

	engine_forget_clean(engine, device->name, UINT64_MAX);
	clean = calloc(1, sizeof(*clean));
	if (!clean)
		return;
	clean->identity = identity;
	clean->seqnum = last_uevent(engine->host);
	if (free_and_strdup(&clean->name, device->name) >= 0 &&
	    free_and_strdup(&clean->driver, device->saved_driver) >= 0 &&
	    free_and_strdup(&clean->override, device->saved_override) >= 0) {
		HASH_ADD_KEYPTR(hh, engine->clean, clean->name, strlen(clean->name), clean);
		if (clean->hh.tbl)
			return;
	}
	clean_free(clean);
}

const struct clean_device *engine_clean(const struct engine *engine, const char *device,
					uint64_t identity)
{
	struct clean_device *clean;

	HASH_FIND_STR(engine->clean, device, clean);
	return clean && clean->identity == identity ? clean : NULL;
}

bool clean_lease(const struct engine *engine, const struct lease *lease)
{
	for (size_t i = 0; i < lease->n_devices; i++) {
		const struct lease_device *d = &lease->devices[i];
		const struct clean_device *clean;

		if (d->left)
			continue;
		clean = engine_clean(engine, d->name, d->identity);
		if (!clean || !d->target_driver || !streq(d->target_driver, clean->driver))
			return false;
	}
	return lease->mode != MODE_NODE;
}
