/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the journals of an earlier run say. A lease that persists stays. One whose holder cannot be
 * known to live any more ends: its groups drain, which takes nothing from a VMM that still runs
 * until it lets go, and gives the devices back then. Half-done claims are undone, half-done
 * releases done. A journal that cannot be understood keeps its groups from everybody.
 */

#include "daemon/fault.h"
#include "daemon/lease/fence-guard.h"
#include "daemon/lease/run.h"
#include "daemon/util/fd.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"

#include <stdio.h>
#include <time.h>

#define LOCK_RETRY_USEC (1000 * 1000ULL)

/* ---- journals that cannot be understood: their groups are nobody's */

/* The lease that stands for a bad journal: the same id at each start. */
static void id_of_file(const char *file, char id[static 17])
{
	uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */

	for (; *file; file++)
		hash = (hash ^ (unsigned char)*file) * 0x100000001b3;
	snprintf(id, 17, "%016llx", (unsigned long long)hash);
}

/*
 * Every device that is in them now stays as it is until the lease is ended: one on a VFIO driver
 * may be a running VMM's, and one on a driver of the host was not taken from it, or is back. What
 * it had before is not known, so it is let go as one that came.
 */
static int add_members(const struct engine *engine, struct lease *lease)
{
	HASH_FOREACH (device, engine->topology->devices) {
		struct lease_device *d;

		if (!lease_has_group(lease, device->group_id))
			continue;
		d = lease_add_device(lease, device->name);
		if (!d || lease_device_know(d, device) < 0)
			return -ENOMEM;
		d->left = device->driver && !device_on_vfio(device);
		d->state = d->left ? DEVICE_HOST : DEVICE_WITHHELD;
		d->came = true;
		if (free_and_strdup(d->left ? &d->saved_driver : &d->target_driver,
				    device->driver) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Groups that another lease has are blocked by that one. */
static void drop_taken_groups(const struct engine *engine, struct lease *lease)
{
	size_t n = 0;

	for (size_t i = 0; i < lease->n_groups; i++)
		if (!ledger_group(engine->ledger, lease->groups[i].id))
			lease->groups[n++] = lease->groups[i];
		else
			free(lease->groups[i].type);
	lease->n_groups = n;
}

/* 0: its groups are blocked; -EBADMSG: it cannot be told which they are. Takes the lease. */
static int block_groups(struct engine *engine, struct lease *blocked)
{
	_cleanup_(lease_freep) struct lease *lease = blocked;
	int r;

	drop_taken_groups(engine, lease);
	if (lease->n_groups == 0)
		return 0;
	lease->state = LEASE_LEASED;
	lease->mode = MODE_CDEV;
	lease->persist = lease->blocked = true;
	r = add_members(engine, lease);
	if (r >= 0 && ledger_add(engine->ledger, lease) != 0)
		r = -EBADMSG;
	if (r < 0)
		return r;
	if (!run_new(engine, lease)) {
		ledger_remove(engine->ledger, lease);
		return -ENOMEM;
	}
	run_changed(lease_run(lease));
	recover_lock(lease_run(STEAL(lease)));
	return 0;
}

static int block_journal(struct engine *engine, const char *file)
{
	_cleanup_(lease_freep) struct lease *lease = NULL;
	_cleanup_free_ char *text = NULL;
	char id[17];
	int r;

	id_of_file(file, id);
	/* From an earlier start: it has a journal of its own by now. */
	if (ledger_lease(engine->ledger, id))
		return 0;
	r = file_read_at(engine->journal.dir, file, 4 << 20, &text, NULL);
	if (r < 0)
		return r;
	lease = lease_new(id);
	if (!lease)
		return -ENOMEM;
	r = journal_read_groups(text, lease);
	return r < 0 ? r : block_groups(engine, STEAL(lease));
}

struct bad_file {
	char *file;
	char *why;
};

struct bad_files {
	struct bad_file *items;
	size_t n;
	int error;
};

static void bad_files_done(struct bad_files *bad)
{
	for (size_t i = 0; i < bad->n; i++) {
		free(bad->items[i].file);
		free(bad->items[i].why);
	}
	free(bad->items);
}

/* For later: the good ones come first. */
static void add_bad_file(const char *file, const char *why, void *userdata)
{
	struct bad_files *bad = userdata;
	struct bad_file item = { strdup(file), strdup(why) };

	if (item.file && item.why && ARRAY_RESERVE_ONE(bad->items, bad->n) == 0) {
		bad->items[bad->n++] = item;
		return;
	}
	free(item.file);
	free(item.why);
	bad->error = -ENOMEM;
}

static void take_bad_file(struct engine *engine, const struct bad_file *bad)
{
	int r = block_journal(engine, bad->file);
	const char *so = "the groups that it names are given to nobody: look at their devices, end "
			 "their lease (Release, by root), and remove the file";

	if (r < 0) {
		engine->blind = true;
		so = "which groups it is about cannot be told, so there are no new leases: look at "
		     "the devices, remove the file, and restart vfiod";
	}
	log_record(MESSAGE_JOURNAL_BAD, LOG_ERR,
		   LOG_FIELDS({ FIELD_FILE, bad->file }, { FIELD_REASON, bad->why }),
		   "Journal %s cannot be understood (%s); %s", bad->file, bad->why, so);
}

/* ---- going on */

static int on_lock_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct lease_run *run = userdata;

	recover_lock(run);
	/* Not looked after meanwhile. */
	if (run->lock >= 0)
		guard_look(run);
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
		/* What was to be added to another lease, and was not yet: nobody has an fd of it.
		 */
		if (run->lease->part_of)
			engine_end(run->engine, run->lease, "the daemon ended while it was added",
				   true);
		else
			park_start(run);
		return;
	case LEASE_FAILED:
		return;
	case LEASE_DRAINING:
		release_drain(run);
		return;
	case LEASE_RESTORING:
		/* Unbinding again what is unbound costs nothing, and proves it. */
		release_drain(run);
		return;
	case LEASE_STATE_MAX:
	case LEASE_STATE_INVALID:
		return;
	}
}

void recover_lock(struct lease_run *run)
{
	run->retry_timer = sd_event_source_disable_unref(run->retry_timer);
	run->lock = journal_lock(&run->engine->journal, run->lease->id);
	if (run->lock >= 0) {
		fault_point(RECOVER_LOCKED);
		go_on(run);
		return;
	}
	if (run->lock != -EWOULDBLOCK)
		log_error("lease %s: lock: %s", run->lease->id, strerror(-run->lock));
	/* It waits for those who have fds yet. */
	if (run->lease->state == LEASE_DRAINING)
		watch_holders_start(run);
	retry_lock_later(run);
}

/* Identities are of this run of the daemon: the journal cannot know them. */
static void renew_identities(struct engine *engine, struct lease *lease)
{
	for (size_t i = 0; i < lease->n_devices; i++) {
		struct lease_device *d = &lease->devices[i];
		const struct device *now = topology_device(engine->topology, d->name);

		d->identity = now ? now->identity : 0;
		if (lease_device_is_by_name(d))
			continue;
		/* The kernel's own does: what came to the address meanwhile is another one. */
		if (!now || (d->appearance && now->appearance != d->appearance))
			d->gone = true;
	}
	for (size_t i = 0; i < lease->n_groups; i++) {
		struct lease_group *g = &lease->groups[i];
		const struct group *now = topology_group(engine->topology, g->id);

		g->generation = now ? now->generation : 0;
		if (lease_group_is_by_name(lease, g->id))
			continue;
		if (!now || (g->appearance && now->appearance != g->appearance))
			g->gone = true;
	}
}

static char *journal_file_name(const char *id, char file[static 64])
{
	snprintf(file, 64, "%.16s.json", id);
	return file;
}

static void fence_newcomers(struct engine *engine, const struct lease *lease)
{
	HASH_FOREACH (device, engine->topology->devices)
		if (streq(device->subsystem, "pci") && lease_has_group(lease, device->group_id))
			engine_device_came(engine, device->name, device->group_id, 0);
}

static int recover_one(struct engine *engine, struct lease *lease)
{
	struct lease_run *run;
	char file[64];

	renew_identities(engine, lease);
	if (ledger_add(engine->ledger, lease) != 0) {
		const struct bad_file bad = {
			journal_file_name(lease->id, file),
			(char *)"its id, name or groups are in another journal too",
		};

		lease_free(lease);
		take_bad_file(engine, &bad);
		return 0;
	}
	run = run_new(engine, lease);
	if (!run)
		return -ENOMEM;
	fault_point(RECOVER_ENTERED);
	log_record(
		MESSAGE_RECOVERED, LOG_NOTICE,
		LOG_FIELDS({ FIELD_LEASE, lease->id }, { FIELD_OWNER, LOG_NUMBER(lease->owner) }),
		"Lease %s of an earlier run, state %s", lease->id,
		lease_state_to_string(lease->state));
	run_changed(run);
	/* What came during the claim may be shut off, and not be in the journal: it goes home too.
	 */
	if (lease->state == LEASE_PREPARING)
		fence_newcomers(engine, lease);
	/* Not after the lock: a worker that waits for the holder is what it is about. */
	if (lease->state == LEASE_LEASED || lease->state == LEASE_DRAINING)
		revoke_recover(run);
	recover_lock(run);
	return 0;
}

/*
 * A part of a lease that has its groups (still, or again) is what a crash left of a change: the
 * lease's own journal, which is written last, is the truth.
 */
static bool is_void_part(const struct lease *part, struct lease *const *leases, size_t n)
{
	for (size_t i = 0; part->part_of && i < n; i++)
		for (size_t k = 0; leases[i] && k < part->n_groups; k++)
			if (streq(leases[i]->id, part->part_of) &&
			    lease_has_group(leases[i], part->groups[k].id))
				return true;
	return false;
}

static void drop_void_parts(struct engine *engine, struct lease **leases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!is_void_part(leases[i], leases, n))
			continue;
		journal_remove(&engine->journal, leases[i]->id);
		leases[i] = lease_free(leases[i]);
	}
}

int engine_recover(struct engine *engine)
{
	struct lease **leases = NULL;
	_cleanup_(bad_files_done) struct bad_files bad = { 0 };
	size_t n = 0;
	int r, result = 0;

	r = journal_read_all(&engine->journal, &leases, &n, add_bad_file, &bad);
	if (r < 0)
		return r;
	result = bad.error;
	fault_point(RECOVER_READ);
	drop_void_parts(engine, leases, n);
	for (size_t i = 0; i < n; i++) {
		r = leases[i] ? recover_one(engine, leases[i]) : 0;
		if (r < 0)
			result = r;
	}
	for (size_t i = 0; i < bad.n; i++)
		take_bad_file(engine, &bad.items[i]);
	free(leases);
	return result;
}
