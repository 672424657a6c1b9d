/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Fewer devices, and the way back from a growth that failed: see grow.h. */

#include "daemon/fault.h"
#include "daemon/lease/fence-guard.h"
#include "daemon/lease/fence.h"
#include "daemon/lease/grow.h"
#include "daemon/lease/run.h"
#include "daemon/util/clock.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

#define CLEAR_USEC (20 * 1000ULL)
#define RETRY_USEC (5 * 1000 * 1000ULL)

/* ---- nothing else of ours is at the devices */

static int on_clear_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct lease_run *run = userdata;

	run->park_timer = sd_event_source_disable_unref(run->park_timer);
	park_when_clear(run, run->park_next);
	return 0;
}

static void wait_a_little(struct lease_run *run, uint64_t usec)
{
	int r;

	run->park_timer = sd_event_source_disable_unref(run->park_timer);
	r = sd_event_add_time_relative(run->engine->event, &run->park_timer, CLOCK_MONOTONIC, usec,
				       0, on_clear_timer, run);
	if (r < 0)
		log_error("lease %s: no timer: %s", run->lease->id, strerror(-r));
}

static bool is_clear(const struct lease_run *run)
{
	const struct engine *engine = run->engine;
	const char *parent = run->lease->part_of;
	const struct lease *of = parent ? ledger_lease(engine->ledger, parent) : NULL;

	if (handoffs_interrupted(&engine->handoffs, run->lease->id) || guard_busy(run))
		return false;
	/* A part's devices were its parent's until now. */
	return !parent || (!handoffs_interrupted(&engine->handoffs, parent) &&
			   !(of && guard_busy(lease_run(of))));
}

bool change_is_barred(const struct lease_run *run)
{
	if (run->changing || run->growth || run->worker || run->lock < 0)
		return true;
	/* A fence knows its device by the lease that it came to. */
	for (size_t i = 0; i < run->lease->n_devices; i++)
		if (fences_busy_with(run->engine->fences, run->lease->devices[i].name))
			return true;
	return false;
}

void park_when_clear(struct lease_run *run, void (*next)(struct lease_run *run))
{
	run->park_next = next;
	if (is_clear(run))
		next(run);
	else
		wait_a_little(run, CLEAR_USEC);
}

/* ---- parking */

static void start_parking(struct lease_run *run);

static void on_report(const struct step *step, const struct step_report *report, void *userdata)
{
	struct lease_run *run = userdata;
	struct lease_device *d;

	if (report->event != STEP_FAILED)
		return;
	run->worker_bad = true;
	d = step->device ? lease_device(run->lease, step->device) : NULL;
	if (d)
		free_and_asprintf(&d->error, "%s: %s", step_kind_to_string(step->kind),
				  report->text[0] ? report->text : strerror(report->error));
	run_log_step(run, step, report);
}

/* They are shut off: nobody can have an fd of them any more. */
static void parked(struct lease_run *run)
{
	int r;

	for (size_t i = 0; i < run->lease->n_devices; i++) {
		struct lease_device *d = &run->lease->devices[i];

		if (!d->parking)
			continue;
		if (d->state == DEVICE_GRANTED)
			d->state = DEVICE_WITHHELD;
		else
			lease_device_undo_rule(d); /* it was to be added, and was not */
		d->parking = false;
		if (!plan_parks_on_vfio(run->lease, d))
			free_and_strdup(&d->target_driver, NULL);
		free_and_strdup(&d->error, NULL);
	}
	r = journal_write(&run->engine->journal, run->lease);
	/* A crash would only have them shut off once more. */
	if (r < 0)
		log_error("journal of lease %s: %s", run->lease->id, strerror(-r));
	fault_point(PARK_JOURNALED);
	run_changed(run);
}

static void on_done(int result, void *userdata)
{
	struct lease_run *run = userdata;

	run->worker = worker_free(run->worker);
	fault_point(PARK_DONE);
	if (run->lease->state != LEASE_LEASED) {
		run->changing = false;
		growth_done(run, &(struct failure){ .error = "NoSuchLease" });
		release_drain(run);
		return;
	}
	if (result != 0 || run->worker_bad) {
		run_changed(run);
		run->park_next = start_parking;
		wait_a_little(run, RETRY_USEC);
		/* Whoever asked for more need not wait for that. */
		growth_done(run, NULL);
		return;
	}
	run->changing = false;
	parked(run);
	growth_done(run, NULL);
}

static const struct worker_ops park_worker_ops = { .report = on_report, .done = on_done };

static void start_parking(struct lease_run *run)
{
	_cleanup_(plan_done) struct plan plan = { 0 };
	int r;

	if (run_functions_bar(run, true)) {
		run->park_next = start_parking;
		wait_a_little(run, RETRY_USEC);
		growth_done(run, NULL);
		return;
	}
	r = plan_park(run->lease, &plan);
	if (r >= 0)
		r = run_worker(run, &plan, &park_worker_ops);
	if (r >= 0)
		return;
	log_error("lease %s: cannot start to shut devices off: %s", run->lease->id, strerror(-r));
	run->park_next = start_parking;
	wait_a_little(run, RETRY_USEC);
	growth_done(run, NULL);
}

static bool any_parking(const struct lease *lease)
{
	for (size_t i = 0; i < lease->n_devices; i++)
		if (lease->devices[i].parking)
			return true;
	return false;
}

void park_start(struct lease_run *run)
{
	run->changing = any_parking(run->lease);
	if (!run->changing) {
		/* What was to be added is not there any more. */
		growth_done(run, NULL);
		return;
	}
	handoffs_interrupt(&run->engine->handoffs, run->lease);
	park_when_clear(run, start_parking);
}

bool park_give_way(struct lease_run *run)
{
	if (!run->changing)
		return false;
	if (run->worker) {
		worker_stop(run->worker);
		return true;
	}
	/* It waited for its next try. */
	run->park_timer = sd_event_source_disable_unref(run->park_timer);
	run->changing = false;
	growth_done(run, &(struct failure){ .error = "NoSuchLease",
					    .message = (char *)"the lease has ended" });
	return false;
}

/* ---- what goes, and how */

static struct lease_device *granted(struct lease *lease, const char *name)
{
	struct lease_device *d = lease_device(lease, name);

	return d && d->state == DEVICE_GRANTED && !d->parking ? d : NULL;
}

static bool is_named(char *const *devices, const char *name)
{
	STRV_FOREACH (device, devices)
		if (streq(*device, name))
			return true;
	return false;
}

/* Whether the owner keeps a device of this group. */
static bool group_stays(const struct lease *lease, uint32_t group, char *const *devices)
{
	for (size_t i = 0; i < lease->n_devices; i++) {
		const struct lease_device *d = &lease->devices[i];

		if (d->group == group && d->state == DEVICE_GRANTED && !d->parking && !d->gone &&
		    !is_named(devices, d->name))
			return true;
	}
	return false;
}

/* Whether a named device is in it. */
static bool group_is_named(struct lease *lease, uint32_t group, char *const *devices)
{
	STRV_FOREACH (device, devices) {
		const struct lease_device *d = lease_device(lease, *device);

		/* One that is not there has left with another group. */
		if (d && d->group == group)
			return true;
	}
	return false;
}

static bool check(struct lease_run *run, char *const *devices, struct failure *failure)
{
	struct lease *lease = run->lease;
	size_t left = 0;

	STRV_FOREACH (device, devices)
		if (!granted(lease, *device)) {
			failure_set(failure, "NoSuchDevice",
				    "%s is not granted by lease %s; see \"vfiodctl show %s\"",
				    *device, lease->id, lease->id);
			return false;
		}
	if (change_is_barred(run)) {
		failure_set(failure, "GroupBusy",
			    "another change of lease %s is under way; ask again when it is over",
			    lease->id);
		return false;
	}
	for (size_t i = 0; i < lease->n_groups; i++)
		left += group_stays(lease, lease->groups[i].id, devices);
	if (left > 0)
		return true;
	failure_set(failure, "BadOption",
		    "nothing would be left of lease %s; call Release to end it", lease->id);
	return false;
}

/* ---- groups that go: parts that drain */

struct leaving {
	struct lease *parts[64];
	size_t n;
};

static struct lease *part_new(const struct lease *lease)
{
	_cleanup_(lease_freep) struct lease *part = NULL;
	char id[17];
	uint64_t n;

	if (getrandom(&n, sizeof(n), 0) != (ssize_t)sizeof(n))
		return NULL;
	snprintf(id, sizeof(id), "%016" PRIx64, n);
	part = lease_new(id);
	if (!part)
		return NULL;
	part->owner = lease->owner;
	part->mode = lease->mode;
	part->state = LEASE_DRAINING;
	part->park = lease->park;
	part->revoke = lease->revoke;
	part->since_usec = realtime_usec();
	part->acquirer = lease->acquirer;
	/* No connection's end is its end: it has ended. */
	part->persist = true;
	if (free_and_strdup(&part->part_of, lease->id) < 0 ||
	    free_and_strdup(&part->end_reason, "removed") < 0 ||
	    free_and_strdup(&part->connection, lease->connection) < 0 ||
	    free_and_strdup(&part->bus_id, lease->bus_id) < 0 ||
	    free_and_strdup(&part->unit, lease->unit) < 0)
		return NULL;
	return STEAL(part);
}

/* Undone: the groups are the lease's again. */
static void stay(struct lease_run *run, struct leaving *leaving)
{
	while (leaving->n > 0) {
		struct lease *part = leaving->parts[--leaving->n];

		while (part->n_groups > 0)
			if (lease_move_group(part, run->lease, part->groups[0].id) < 0)
				break;
		journal_remove(&run->engine->journal, part->id);
		if (part->hh.tbl)
			ledger_remove(run->engine->ledger, part);
		if (lease_run(part))
			run_free(lease_run(part));
		lease_free(part);
	}
}

static int leave_one(struct lease_run *run, uint32_t group, struct leaving *leaving)
{
	struct engine *engine = run->engine;
	struct lease *part = part_new(run->lease);
	struct lease_run *part_run;
	int r;

	if (!part)
		return -ENOMEM;
	leaving->parts[leaving->n++] = part;
	r = lease_move_group(run->lease, part, group);
	if (r < 0)
		return r;
	r = ledger_add(engine->ledger, part);
	if (r != 0)
		return r < 0 ? r : -EEXIST;
	part_run = run_new(engine, part);
	if (!part_run)
		return -ENOMEM;
	part_run->lock = journal_lock(&engine->journal, part->id);
	if (part_run->lock < 0)
		return part_run->lock;
	return journal_write(&engine->journal, part);
}

static int leave(struct lease_run *run, char *const *devices, struct leaving *leaving)
{
	struct lease *lease = run->lease;

	for (size_t i = 0; i < lease->n_groups;) {
		uint32_t group = lease->groups[i].id;
		int r;

		/* A group without a named device stays, whatever it has. */
		if (group_stays(lease, group, devices) || !group_is_named(lease, group, devices)) {
			i++;
			continue;
		}
		if (leaving->n >= ARRAY_SIZE(leaving->parts))
			return -E2BIG;
		r = leave_one(run, group, leaving);
		if (r < 0)
			return r;
	}
	return 0;
}

static void mark(struct lease *lease, char *const *devices, bool parking)
{
	STRV_FOREACH (device, devices) {
		struct lease_device *d = lease_device(lease, *device);

		if (d)
			d->parking = parking;
	}
}

static void drain_part(struct lease_run *run)
{
	release_drain(run);
}

static void record(const struct lease *lease, char *const *devices)
{
	_cleanup_free_ char *text = strv_join(devices, " ");

	log_record(MESSAGE_CHANGED, LOG_INFO,
		   LOG_FIELDS({ FIELD_LEASE, lease->id }, { FIELD_OWNER, LOG_NUMBER(lease->owner) },
			      { FIELD_DEVICE, .values = (char **)devices }),
		   "Lease %s: %s were removed", lease->id, text ? text : "devices");
}

int engine_shrink(struct engine *engine, struct lease *lease, char *const *devices,
		  struct failure *failure)
{
	struct lease_run *run = lease_run(lease);
	struct leaving leaving = { .n = 0 };
	int r;

	if (!check(run, devices, failure))
		return -EINVAL;
	r = leave(run, devices, &leaving);
	if (r >= 0) {
		/* What is left of the named ones is in groups that stay. */
		mark(lease, devices, true);
		fault_point(SHRINK_PARTS);
		r = journal_write(&engine->journal, lease);
	}
	if (r < 0) {
		stay(run, &leaving);
		mark(lease, devices, false);
		failure_set(failure, "IOError",
			    "the change of lease %s cannot be written to its journal: %s; free "
			    "space below /run and call again",
			    lease->id, strerror(-r));
		return r;
	}
	fault_point(SHRINK_JOURNALED);
	record(lease, devices);
	handoffs_interrupt(&engine->handoffs, lease);
	for (size_t i = 0; i < leaving.n; i++) {
		run_changed(lease_run(leaving.parts[i]));
		park_when_clear(lease_run(leaving.parts[i]), drain_part);
	}
	run_changed(run);
	park_start(run);
	return 0;
}
