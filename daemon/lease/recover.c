/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the journals of an earlier run say. A lease that persists stays. One whose holder cannot be
 * known to live any more ends: its groups drain, which takes nothing from a VMM that still runs
 * until it lets go, and gives the devices back then. Half-done claims are undone, half-done
 * releases done.
 */

#include "daemon/lease/run.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"

#include <stdio.h>
#include <time.h>

#define LOCK_RETRY_USEC (1000 * 1000ULL)

static void take_up(struct lease_run *run);

static void bad_journal(const char *file, const char *why, void *userdata)
{
	log_record(MESSAGE_JOURNAL_BAD, LOG_ERR,
		   LOG_FIELDS({ FIELD_FILE, file }, { FIELD_REASON, why }),
		   "Journal %s cannot be understood (%s); it is left in place: look at its devices "
		   "by hand",
		   file, why);
}

static int on_lock_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	take_up(userdata);
	return 0;
}

static void retry_lock_later(struct lease_run *run)
{
	int r;

	run->retry_timer = sd_event_source_disable_unref(run->retry_timer);
	r = sd_event_add_time_relative(run->engine->event, &run->retry_timer, CLOCK_MONOTONIC,
				       LOCK_RETRY_USEC, 0, on_lock_retry, run);
	if (r < 0)
		log_error("lease %s: no timer: %s", run->lease->id, strerror(-r));
}

/* No worker of an earlier daemon lives: go on from the state in the journal. */
static void go_on(struct lease_run *run)
{
	switch (run->lease->state) {
	case LEASE_PREPARING:
		failure_set(&run->failure, "DriverFailed", "the daemon ended during the claim");
		release_rollback(run);
		return;
	case LEASE_LEASED:
	case LEASE_FAILED:
		return;
	case LEASE_DRAINING:
	case LEASE_RESTORING:
		/* Unbinding again what is unbound costs nothing, and proves it. */
		release_drain(run);
		return;
	case LEASE_STATE_MAX:
	case LEASE_STATE_INVALID:
		return;
	}
}

static void take_up(struct lease_run *run)
{
	run->retry_timer = sd_event_source_disable_unref(run->retry_timer);
	run->lock = journal_lock(&run->engine->journal, run->lease->id);
	if (run->lock >= 0) {
		go_on(run);
		return;
	}
	if (run->lock != -EWOULDBLOCK)
		log_error("lease %s: lock: %s", run->lease->id, strerror(-run->lock));
	retry_lock_later(run);
}

/* Identities are of this run of the daemon: the journal cannot know them. */
static void renew_identities(struct engine *engine, struct lease *lease)
{
	for (size_t i = 0; i < lease->n_devices; i++) {
		const struct device *now =
			topology_device(engine->topology, lease->devices[i].name);

		lease->devices[i].identity = now ? now->identity : 0;
	}
	for (size_t i = 0; i < lease->n_groups; i++) {
		const struct group *now = topology_group(engine->topology, lease->groups[i].id);

		lease->groups[i].generation = now ? now->generation : 0;
	}
}

static int recover_one(struct engine *engine, struct lease *lease)
{
	struct lease_run *run;

	renew_identities(engine, lease);
	if (ledger_add(engine->ledger, lease) != 0) {
		bad_journal(lease->id, "its id, name or groups are in another journal too", NULL);
		lease_free(lease);
		return 0;
	}
	run = run_new(engine, lease);
	if (!run)
		return -ENOMEM;
	log_record(
		MESSAGE_RECOVERED, LOG_NOTICE,
		LOG_FIELDS({ FIELD_LEASE, lease->id }, { FIELD_OWNER, LOG_NUMBER(lease->owner) }),
		"Lease %s of an earlier run, state %s", lease->id,
		lease_state_to_string(lease->state));
	run_changed(run);
	take_up(run);
	return 0;
}

int engine_recover(struct engine *engine)
{
	struct lease **leases = NULL;
	size_t n = 0;
	int r, result = 0;

	r = journal_read_all(&engine->journal, &leases, &n, bad_journal, NULL);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		r = recover_one(engine, leases[i]);
		if (r < 0)
			result = r;
	}
	free(leases);
	return result;
}
