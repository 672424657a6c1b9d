/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* More devices: see grow.h. The way back, which removing takes too, is in shrink.c. */

#include "daemon/lease/grow.h"

#include "daemon/fault.h"
#include "daemon/lease/fence-guard.h"
#include "daemon/lease/fence.h"
#include "daemon/lease/readback.h"
#include "daemon/lease/run.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"
#include "policy/decide.h"

struct growth {
	growth_fn done;
	void *userdata;
	size_t n; /* devices that are asked for */
	struct failure failure;
};

/* ---- groups: a part that is claimed, and joins */

struct joining {
	struct engine *engine;
	growth_fn done; /* NULL: nobody waits */
	void *userdata;
};

static struct lease *parent_of(const struct engine *engine, const struct lease *part)
{
	return part->part_of ? ledger_lease(engine->ledger, part->part_of) : NULL;
}

static bool fits(const struct lease *parent, const struct lease *part)
{
	return parent->n_groups + part->n_groups <= REQUEST_GROUPS_MAX;
}

/* Takes every group of the part to the parent, or none. */
static int take_over(struct lease *part, struct lease *parent, uint32_t *ids, size_t *n)
{
	for (*n = 0; part->n_groups > 0; (*n)++) {
		int r;

		ids[*n] = part->groups[0].id;
		r = lease_move_group(part, parent, ids[*n]);
		if (r < 0)
			return r;
	}
	return 0;
}

static void take_back(struct lease *part, struct lease *parent, const uint32_t *ids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (lease_move_group(parent, part, ids[i]) < 0)
			log_error("lease %s: out of memory", parent->id);
}

/* The part is no more; its devices are the parent's. */
static void drop_part(struct engine *engine, struct lease *part)
{
	int r = journal_remove(&engine->journal, part->id);

	if (r < 0)
		log_error("journal of lease %s cannot be removed: %s", part->id, strerror(-r));
	free_and_strdup(&part->end_reason, "joined");
	ledger_remove(engine->ledger, part);
	engine->ops->removed(part, engine->userdata);
	run_free(lease_run(part));
	lease_free(part);
}

/* 0, and the part is gone; -errno, and everything is as before. */
static int join(struct engine *engine, struct lease *part, struct lease *parent)
{
	uint32_t ids[REQUEST_GROUPS_MAX];
	enum revoke revoke = parent->revoke;
	enum park park = parent->park;
	size_t n = 0;
	int r;

	r = take_over(part, parent, ids, &n);
	/* The strictest holds for the whole lease: none is parked on VFIO that may not be. */
	if (part->revoke > parent->revoke)
		parent->revoke = part->revoke;
	if (part->park == PARK_NONE)
		parent->park = PARK_NONE;
	fault_point(GROW_CLAIMED);
	if (r >= 0)
		r = journal_write(&engine->journal, parent);
	if (r < 0) {
		parent->revoke = revoke;
		parent->park = park;
		take_back(part, parent, ids, n);
		return r;
	}
	fault_point(GROW_JOINED);
	/* Of a device that came under the claim, and has gone again. */
	fences_move(engine->fences, part, parent);
	drop_part(engine, part);
	run_changed(lease_run(parent));
	return 0;
}

static void tell(struct joining *joining, struct lease *lease, const struct failure *failure)
{
	if (joining->done)
		joining->done(lease, failure, joining->userdata);
	free(joining);
}

static void give_up(struct joining *joining, struct lease *part, const char *error,
		    const char *message)
{
	struct engine *engine = joining->engine;
	struct failure failure = { .error = error, .message = (char *)message };

	tell(joining, part, &failure);
	/* Nobody has had an fd of it. */
	engine_end(engine, part, "could not be added", true);
}

static void on_claimed(struct lease *part, const struct failure *failure, void *userdata)
{
	struct joining *joining = userdata;
	struct engine *engine = joining->engine;
	struct lease *parent = parent_of(engine, part);
	int r;

	if (failure) {
		tell(joining, part, failure);
		return;
	}
	if (!joining->done || !parent || parent->state != LEASE_LEASED) {
		give_up(joining, part, "NoSuchLease", "the lease has ended; acquire the devices");
		return;
	}
	if (!fits(parent, part)) {
		give_up(joining, part, "QuotaExceeded",
			"the lease would have too many groups; take another lease for them");
		return;
	}
	r = join(engine, part, parent);
	if (r < 0)
		give_up(joining, part, "DriverFailed",
			"the journal of the lease cannot be written; free space below /run and ask "
			"again");
	else
		tell(joining, parent, NULL);
}

int engine_grow(struct engine *engine, struct lease *part, const unsigned int *waive,
		growth_fn done, void *userdata)
{
	struct joining *joining = calloc(1, sizeof(*joining));
	int r;

	if (!joining)
		return -ENOMEM;
	*joining = (struct joining){ .engine = engine, .done = done, .userdata = userdata };
	r = engine_claim(engine, part, waive, -EBADF, on_claimed, joining);
	if (r != 0)
		free(joining);
	return r;
}

void engine_abandon_growth(struct engine *engine, const void *userdata)
{
	HASH_FOREACH (lease, engine->ledger->leases) {
		struct lease_run *run = lease_run(lease);
		struct joining *joining;

		if (run && run->growth && run->growth->userdata == userdata)
			run->growth->done = NULL;
		if (!run || run->claim_done != on_claimed)
			continue;
		joining = run->claim_userdata;
		if (joining->userdata != userdata)
			continue;
		joining->done = NULL;
		failure_set(&run->failure, "TimedOut", "the caller went away");
		if (run->worker)
			worker_stop(run->worker);
	}
}

void grow_parent_ends(struct engine *engine, const struct lease *lease)
{
	HASH_FOREACH (part, engine->ledger->leases)
		if (part->state == LEASE_PREPARING && streq0(part->part_of, lease->id))
			engine_end(engine, part, "the lease that it was for has ended", true);
}

/* ---- devices of the lease's own groups */

void growth_done(struct lease_run *run, const struct failure *failure)
{
	struct growth *growth = run->growth;

	run->growth = NULL;
	if (!growth)
		return;
	if (growth->done)
		growth->done(run->lease, growth->failure.error ? &growth->failure : failure,
			     growth->userdata);
	failure_done(&growth->failure);
	free(growth);
}

static void on_report(const struct step *step, const struct step_report *report, void *userdata)
{
	struct lease_run *run = userdata;
	const char *what = report->text[0] ? report->text : strerror(report->error);

	if (report->event == STEP_FAILED)
		run_log_step(run, step, report);
	else if (report->event != STEP_SKIPPED)
		return;
	run->worker_bad = true;
	/* A skip without a text is the rest of what was skipped before. */
	if (report->event == STEP_FAILED || report->text[0])
		failure_set(&run->growth->failure, "DriverFailed",
			    "%s: step %s failed: %s; it stays shut off",
			    step->device ? step->device : "?", step_kind_to_string(step->kind),
			    what);
}

/* Makes what is `parking` granted; -errno: as before. */
static int grant(struct lease_run *run)
{
	struct lease *lease = run->lease;
	_cleanup_free_ enum device_state *before = calloc(lease->n_devices + 1, sizeof(*before));
	int r;

	if (!before)
		return -ENOMEM;
	for (size_t i = 0; i < lease->n_devices; i++) {
		struct lease_device *d = &lease->devices[i];

		before[i] = d->state;
		if (!d->parking || d->gone)
			continue;
		d->came = d->came || d->state == DEVICE_FENCED;
		d->state = DEVICE_GRANTED;
		d->parking = false;
	}
	r = journal_write(&run->engine->journal, lease);
	for (size_t i = 0; r < 0 && i < lease->n_devices; i++) {
		struct lease_device *d = &lease->devices[i];

		d->parking = d->state != before[i];
		d->state = before[i];
	}
	return r;
}

static bool is_read_back(struct lease_run *run)
{
	_cleanup_free_ char *why = NULL;
	int r = lease_read_back(run->engine->host, run->lease, false, &why);

	if (r != 0)
		failure_set(&run->growth->failure, "GroupChanged",
			    "the group changed under the request: %s; ask again",
			    why ? why : strerror(-r));
	return r == 0;
}

/* What was removed meanwhile is not had, nor what has its address now. */
static bool all_there(struct lease_run *run)
{
	size_t n = 0;

	for (size_t i = 0; i < run->lease->n_devices; i++)
		n += run->lease->devices[i].parking && !run->lease->devices[i].gone;
	if (n != run->growth->n)
		failure_set(&run->growth->failure, "GroupChanged",
			    "a device was removed while it was added; ask again");
	return n == run->growth->n;
}

static void on_done(int result, void *userdata)
{
	struct lease_run *run = userdata;
	int r;

	run->worker = worker_free(run->worker);
	fault_point(GROW_SWAPPED);
	run->changing = false;
	if (run->lease->state != LEASE_LEASED) {
		growth_done(run, &(struct failure){ .error = "NoSuchLease",
						    .message = (char *)"the lease has ended" });
		release_drain(run);
		return;
	}
	if (result != 0 || run->worker_bad)
		failure_set(&run->growth->failure, "DriverFailed", "the worker died");
	else if (!run->growth->done)
		failure_set(&run->growth->failure, "TimedOut", "the caller went away");
	if (run->growth->failure.error || !all_there(run) || !is_read_back(run)) {
		park_start(run);
		return;
	}
	r = grant(run);
	if (r < 0) {
		failure_set(&run->growth->failure, "DriverFailed",
			    "the journal of the lease cannot be written: %s; free space below /run "
			    "and ask again",
			    strerror(-r));
		park_start(run);
		return;
	}
	fault_point(GROW_GRANTED);
	run_changed(run);
	growth_done(run, NULL);
}

static const struct worker_ops grow_worker_ops = { .report = on_report, .done = on_done };

static void start_growing(struct lease_run *run)
{
	_cleanup_(plan_done) struct plan plan = { 0 };
	int r;

	if (!all_there(run)) {
		park_start(run);
		return;
	}
	r = plan_grow(run->lease, &plan);
	if (r >= 0)
		r = run_worker(run, &plan, &grow_worker_ops);
	if (r >= 0)
		return;
	failure_set(&run->growth->failure, "DriverFailed", "no worker could be started: %s",
		    strerror(-r));
	park_start(run);
}

/* What the journal says before the first step. Undone on a failure. */
static int mark(struct lease_run *run, const struct grown_device *devices, size_t n)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < n; i++) {
		struct lease_device *d = lease_device(run->lease, devices[i].name);

		d->parking = true;
		/* Counts for the new rule from now on, or two requests could have its last place.
		 */
		free(d->rule_before);
		d->rule_before = STEAL(d->rule);
		r = free_and_strdup(&d->target_driver, devices[i].target_driver);
		if (r >= 0)
			r = free_and_strdup(&d->rule, devices[i].rule);
	}
	if (r >= 0)
		r = journal_write(&run->engine->journal, run->lease);
	return r;
}

static int remember(const struct lease *lease, const struct grown_device *devices, size_t n,
		    char **drivers)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < n; i++) {
		const struct lease_device *d = lease_device(lease, devices[i].name);

		if (!d)
			return -ENODEV;
		r = free_and_strdup(&drivers[i], d->target_driver);
	}
	return r;
}

static void forget(char **drivers, size_t n)
{
	for (size_t i = 0; drivers && i < n; i++)
		free(drivers[i]);
	free(drivers);
}

static void unmark(struct lease *lease, const struct grown_device *devices, size_t n,
		   char **drivers)
{
	for (size_t i = 0; i < n; i++) {
		struct lease_device *d = lease_device(lease, devices[i].name);

		/* It was not reached. */
		if (!d->parking)
			continue;
		d->parking = false;
		free(d->target_driver);
		d->target_driver = STEAL(drivers[i]);
		lease_device_undo_rule(d);
	}
}

int engine_grow_inside(struct engine *engine, struct lease *lease,
		       const struct grown_device *devices, size_t n, growth_fn done, void *userdata)
{
	struct lease_run *run = lease_run(lease);
	char **drivers;
	int r;

	if (lease->state != LEASE_LEASED || change_is_barred(run))
		return GROW_BUSY;
	drivers = calloc(n + 1, sizeof(*drivers));
	run->growth = calloc(1, sizeof(*run->growth));
	r = drivers && run->growth ? remember(lease, devices, n, drivers) : -ENOMEM;
	if (r >= 0) {
		r = mark(run, devices, n);
		if (r < 0)
			unmark(lease, devices, n, drivers);
	}
	forget(drivers, n);
	if (r < 0) {
		free(run->growth);
		run->growth = NULL;
		return r;
	}
	fault_point(GROW_MARKED);
	run->growth->done = done;
	run->growth->userdata = userdata;
	run->growth->n = n;
	run->changing = true;
	park_when_clear(run, start_growing);
	return 0;
}
