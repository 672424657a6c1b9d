/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of fence-guard.h. */

#include "daemon/lease/fence-guard.h"

#include "daemon/lease/fence-mend.h"
#include "daemon/lease/fence-watch.h"
#include "daemon/sysfs/write.h"
#include "daemon/util/clock.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"

#include <stdio.h>

#define ROUNDS_USEC (60 * 1000 * 1000ULL)
/* A device that loses its driver may be on its way out of the host: its removal is waited for. */
#define UNBOUND_USEC (200 * 1000ULL)

struct guard {
	struct lease_run *run;
	struct child *child;
	sd_event_source *timer;
	bool again; /* something happened while the child was at work */
	bool failed;
	bool found;
	char why[512];
	uint64_t first_usec; /* of the rounds in which something was found */
	unsigned int rounds;

	struct attr_watch watch;
};

static int guard_main(int sock, void *userdata)
{
	const struct guard *guard = userdata;

	return mend_work(guard->run, sock);
}

/*
 * A device of a lease that stands for a journal which cannot be understood: told, and from now on
 * that is how it stays. Not journaled: at the next start it is taken for what it is then.
 */
static void report_of_blocked(struct guard *guard, const struct step_report *report,
			      struct lease_device *d)
{
	const char *driver = report->driver[0] ? report->driver : NULL;
	const char *before = d->left ? d->saved_driver : d->target_driver;
	const struct device *known = topology_device(guard->run->engine->topology, d->name);
	bool left = driver && !driver_is_vfio(driver, known ? known->vfio_driver : NULL);

	log_record(
		MESSAGE_INTERFERED, LOG_WARNING,
		LOG_FIELDS({ FIELD_LEASE, guard->run->lease->id }, { FIELD_DEVICE, report->device },
			   { FIELD_DRIVER, driver }, { FIELD_OVERRIDE, report->override }),
		"Somebody else changed %s, whose group a journal that cannot be understood keeps "
		"from everybody: it was on %s, and is on %s; it is left so, for what it should "
		"be on is not known",
		report->device, before ? before : "no driver", driver ? driver : "no driver");
	if (free_and_strdup(&d->saved_driver, left ? driver : NULL) < 0 ||
	    free_and_strdup(&d->target_driver, left ? NULL : driver) < 0)
		log_error("no memory for what %s is on", d->name);
	d->left = left;
	d->state = left ? DEVICE_HOST : DEVICE_WITHHELD;
	run_changed(guard->run);
}

static void report_found(struct guard *guard, const struct step_report *report)
{
	const struct lease *lease = guard->run->lease;
	struct lease_device *d = lease_device(lease, report->device);
	const char *driver = report->driver[0] ? report->driver : NULL;
	const char *target = d ? d->left ? d->saved_driver : d->target_driver : NULL;

	if (lease->blocked) {
		/* What came is the fence's alone: that it was bound is an event of its own. */
		if (d && d->state != DEVICE_FENCED)
			report_of_blocked(guard, report, d);
		return;
	}
	/* A driver that comes late for a fenced one is nobody's doing again and again. */
	guard->found = guard->found || !d || d->state != DEVICE_FENCED;
	log_record(
		MESSAGE_INTERFERED, LOG_WARNING,
		LOG_FIELDS({ FIELD_LEASE, lease->id }, { FIELD_DEVICE, report->device },
			   { FIELD_DRIVER, driver }, { FIELD_OVERRIDE, report->override }),
		"Somebody else changed %s of lease %s: it is on %s with driver_override \"%s\"%s, "
		"and should be on %s with \"%s\"; it is put right",
		report->device, lease->id, driver ? driver : "no driver", report->override,
		report->bus_master ? " and bus mastering on" : "", target ? target : "no driver",
		d && d->left ? ""
		: target     ? target
			     : OVERRIDE_NONE);
}

static void report_type(struct guard *guard, const struct step_report *report)
{
	struct engine *engine = guard->run->engine;
	struct lease *lease = guard->run->lease;
	struct lease_group *group = lease_group(lease, (uint32_t)strtoul(report->device, NULL, 10));
	bool harmless = group && mend_isolates(report->driver) && mend_isolates(group->type);

	if (!group || group->gone)
		return;
	guard->found = true;
	log_record(
		MESSAGE_INTERFERED, LOG_WARNING,
		LOG_FIELDS({ FIELD_LEASE, lease->id }, { FIELD_GROUP, report->device },
			   { FIELD_REASON, report->driver }),
		"Somebody else changed the domain type of group %s of lease %s from %s to %s; %s",
		report->device, lease->id, group->type, report->driver,
		harmless ? "it isolates as before, and stays so" : "it is put right");
	if (harmless) {
		free_and_strdup(&group->type, report->driver);
		if (journal_write(&engine->journal, lease) < 0)
			log_error("journal of lease %s cannot be written", lease->id);
	}
	engine->ops->group_changed(group->id, engine->userdata);
}

static void on_message(struct child *child, const void *data, size_t size, void *userdata)
{
	struct guard *guard = userdata;
	struct step_report report;

	if (size != sizeof(report))
		return;
	memcpy(&report, data, sizeof(report));
	report.device[sizeof(report.device) - 1] = 0;
	report.driver[sizeof(report.driver) - 1] = 0;
	report.override[sizeof(report.override) - 1] = 0;
	report.text[sizeof(report.text) - 1] = 0;
	if (report.index == MEND_FOUND) {
		report_found(guard, &report);
	} else if (report.index == MEND_TYPE && report.event != STEP_FAILED) {
		report_type(guard, &report);
	} else if (report.event == STEP_FAILED && !guard->failed) {
		guard->failed = true;
		snprintf(guard->why, sizeof(guard->why), "%s: %.400s", report.device, report.text);
	}
}

/* Whether somebody does it again and again: a udev rule, or another manager of devices. */
static bool too_often(struct guard *guard)
{
	uint64_t now = monotonic_usec();

	if (!guard->found)
		return false;
	if (!guard->rounds || now - guard->first_usec > ROUNDS_USEC) {
		guard->rounds = 0;
		guard->first_usec = now;
	}
	if (++guard->rounds <= GUARD_ROUNDS_MAX)
		return false;
	snprintf(guard->why, sizeof(guard->why), "its devices are changed again and again");
	return true;
}

static void end_lease(struct guard *guard)
{
	char reason[600];

	/* It ends by Release alone: what it keeps from everybody goes to nobody else meanwhile. */
	if (guard->run->lease->blocked) {
		log_error("Lease %s: its devices cannot be looked after: %s", guard->run->lease->id,
			  guard->why);
		guard->again = false;
		return;
	}
	snprintf(reason, sizeof(reason), "changed behind the daemon: %s", guard->why);
	log_error("Lease %s: somebody else changed its devices in sysfs, and that could not be put "
		  "right (%s): it ends",
		  guard->run->lease->id, guard->why);
	engine_end(guard->run->engine, guard->run->lease, reason, true);
}

static void put_right_again(struct lease_run *run)
{
	struct engine *engine = run->engine;

	for (size_t i = 0; i < run->lease->n_groups; i++)
		if (!run->lease->groups[i].gone)
			engine->ops->group_changed(run->lease->groups[i].id, engine->userdata);
	run_changed(run);
}

static void on_exited(struct child *child, int status, void *userdata)
{
	struct guard *guard = userdata;
	struct lease_run *run = guard->run;
	bool killed = status < 0; /* that says nothing of the devices: another one looks */

	guard->child = child_free(guard->child);
	guard->found = guard->found || killed;
	guard->again = guard->again || killed;
	if (run->lease->state == LEASE_LEASED) {
		if (status != 0 && !guard->failed)
			snprintf(guard->why, sizeof(guard->why), "the worker died");
		if ((status != 0 && !killed) || too_often(guard))
			end_lease(guard);
		else if (guard->found)
			put_right_again(run);
	}
	if (run->lease->state == LEASE_LEASED && guard->again)
		guard_look(run);
	/* May be the lease's last word: nothing after it. */
	release_fence_over(run);
}

static const struct child_ops guard_ops = {
	.name = "vfiod-guard",
	.main = guard_main,
	.message = on_message,
	.exited = on_exited,
};

static int guard_get(struct lease_run *run)
{
	if (run->guard)
		return 0;
	run->guard = calloc(1, sizeof(*run->guard));
	if (!run->guard)
		return -ENOMEM;
	run->guard->run = run;
	return 0;
}

static int start(struct lease_run *run)
{
	const struct host *host = run->engine->host;
	const int keep[] = { host->sys, host->dev, host->proc, run->lock };
	struct guard *guard;
	int r = guard_get(run);

	if (r < 0)
		return r;
	guard = run->guard;
	guard->again = guard->child;
	if (guard->child)
		return 0;
	guard->failed = guard->found = false;
	return child_spawn(run->engine->event, &guard_ops, keep, run->lock >= 0 ? 4 : 3, guard,
			   &guard->child);
}

void guard_look(struct lease_run *run)
{
	int r;

	/* A worker of an earlier daemon may be at them. It is asked for again when that is over. */
	if (run->lock < 0)
		return;
	/* A change of some of its devices leaves the others to the guard. */
	if (run->lease->state != LEASE_LEASED || (run->worker && !run->changing))
		return;
	r = start(run);
	if (r < 0)
		log_error("lease %s: cannot look after its devices: %s", run->lease->id,
			  strerror(-r));
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct guard *guard = userdata;

	guard->timer = sd_event_source_disable_unref(guard->timer);
	guard_look(guard->run);
	return 0;
}

static void look_later(struct lease_run *run)
{
	if (guard_get(run) < 0 || run->guard->timer)
		return;
	if (sd_event_add_time_relative(run->engine->event, &run->guard->timer, CLOCK_MONOTONIC,
				       UNBOUND_USEC, 0, on_timer, run->guard) < 0)
		guard_look(run);
}

void guard_device_event(struct lease_run *run, const char *device)
{
	const struct lease_device *d = lease_device(run->lease, device);
	_cleanup_free_ char *driver = NULL;
	const char *target;

	if (!d || d->gone || run->lease->state != LEASE_LEASED)
		return;
	if (sysfs_get_driver(run->engine->host, "pci", device, &driver) < 0)
		return;
	target = d->left ? d->saved_driver : d->target_driver;
	if (streq0(driver, target))
		return;
	/* A port may be on any driver that does not count; of a blocked lease, on none but its own.
	 */
	if (d->left && !run->lease->blocked && !mend_left_counts(d, driver))
		return;
	if (driver)
		guard_look(run);
	else
		look_later(run);
}

void guard_device_went(struct lease_run *run)
{
	if (guard_busy(run))
		run->guard->again = true;
}

bool guard_busy(const struct lease_run *run)
{
	return run && run->guard && run->guard->child;
}

void guard_follow(struct lease_run *run)
{
	if (run->lease->state != LEASE_LEASED) {
		if (run->guard)
			attr_watch_done(&run->guard->watch);
	} else if (guard_get(run) >= 0) {
		attr_watch_follow(&run->guard->watch, run, guard_look);
	}
}

struct guard *guard_free(struct guard *guard)
{
	if (!guard)
		return NULL;
	child_free(guard->child);
	sd_event_source_disable_unref(guard->timer);
	attr_watch_done(&guard->watch);
	free(guard);
	return NULL;
}
