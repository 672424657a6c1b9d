/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of fence-guard.h. */

#include "daemon/lease/fence-guard.h"

#include "daemon/lease/fence-watch.h"
#include "daemon/lease/fence.h"
#include "daemon/sysfs/attr.h"
#include "daemon/sysfs/write.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"

#include <stdio.h>
#include <time.h>

#define ROUNDS_USEC (60 * 1000 * 1000ULL)
#define STEPS_MAX   12 /* of one device: add_shut() and add_left(), or add_bind() */
/* A device that loses its driver may be on its way out of the host: its removal is waited for. */
#define UNBOUND_USEC (200 * 1000ULL)

/* In a report: not of a step, but of a device that is not as the lease has it. */
#define INDEX_FOUND UINT32_MAX
/* The same of a group: its number in `device`, the domain type that it has now in `driver`. */
#define INDEX_TYPE (UINT32_MAX - 1)

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

static uint64_t now_usec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* Devices that are the guard's: the others are gone, on their way, or a fence's. */
static bool is_guarded(const struct guard *guard, const struct lease_device *d)
{
	return !d->gone && !d->parking && !fences_busy_with(guard->run->engine->fences, d->name);
}

/* ---- the child */

struct builder {
	struct step steps[STEPS_MAX];
	struct plan plan;
	const struct lease_device *device;
};

static void add(struct builder *b, struct step step)
{
	step.device = b->device->name;
	step.lease_device = b->device;
	step.keep_going = true;
	b->steps[b->plan.n++] = step;
}

/* Away from whatever has it; the probe finds nothing and waits for what was under way. */
static void add_shut(struct builder *b)
{
	add(b, (struct step){ .kind = STEP_OVERRIDE, .arg = OVERRIDE_NONE });
	add(b, (struct step){ .kind = STEP_UNBIND });
	add(b, (struct step){ .kind = STEP_PROBE });
	add(b, (struct step){ .kind = STEP_UNBIND });
	add(b, (struct step){ .kind = STEP_VERIFY });
}

static void add_bind(struct builder *b, const struct lease *lease)
{
	const char *driver = b->device->target_driver;
	bool node = lease->mode == MODE_NODE && b->device->state == DEVICE_GRANTED;

	add(b, (struct step){ .kind = STEP_OVERRIDE, .arg = driver });
	add(b, (struct step){ .kind = STEP_PROBE });
	add(b, (struct step){ .kind = STEP_VERIFY, .arg = driver });
	/* The node is a new one. In node mode a sibling's grant has the owner on the group's
	 * already. */
	add(b, (struct step){ .kind = STEP_NODE_CLEAN,
			      .uid = lease->mode == MODE_NODE ? lease->owner : (uid_t)-1 });
	if (node)
		add(b, (struct step){ .kind = STEP_NODE_GRANT, .uid = lease->owner });
}

/* What a device is found to have. */
struct found {
	char *driver, *override;
	bool bus_master; /* of one that is to be on no driver */
};

static void found_done(struct found *found)
{
	free(found->driver);
	free(found->override);
}

static int tell(int sock, const struct lease_device *d, const struct found *found)
{
	struct step_report report = { .index = INDEX_FOUND, .bus_master = found->bus_master };

	snprintf(report.device, sizeof(report.device), "%s", d->name);
	snprintf(report.driver, sizeof(report.driver), "%s", found->driver ?: "");
	snprintf(report.override, sizeof(report.override), "%s", found->override ?: "");
	return socket_send_fd_borrow(sock, &report, sizeof(report), -EBADF);
}

static int look(const struct host *host, const struct lease_device *d, struct found *found)
{
	int r = sysfs_get_driver(host, "pci", d->name, &found->driver);

	if (r >= 0)
		r = sysfs_get_override(host, "pci", d->name, &found->override);
	if (r < 0 || d->target_driver || d->bridge || d->left)
		return r;
	/* Of one that does not answer there is nothing to be known, nor to be afraid of. */
	if (sysfs_get_bus_master(host, d->name, &found->bus_master) < 0)
		found->bus_master = false;
	return 0;
}

/* A port that was left on its driver, and is on one that the kernel counts. */
static bool left_counts(const struct lease_device *d, const char *driver)
{
	const struct device device = {
		.name = d->name,
		.subsystem = (char *)"pci",
		.driver = (char *)driver,
	};

	return driver && !streq0(driver, d->saved_driver) && driver_counts(&device);
}

static bool is_right(const struct lease_device *d, const struct found *found)
{
	const char *wanted = d->target_driver ? d->target_driver : OVERRIDE_NONE;

	if (d->left)
		return !left_counts(d, found->driver);
	return streq0(found->driver, d->target_driver) && streq0(found->override, wanted) &&
	       !found->bus_master;
}

/* Back to the driver that it was left on. */
static void add_left(struct builder *b)
{
	add_shut(b);
	add(b, (struct step){ .kind = STEP_OVERRIDE, .arg = b->device->saved_driver });
	add(b, (struct step){ .kind = STEP_PROBE });
	add(b, (struct step){ .kind = STEP_VERIFY, .arg = b->device->saved_driver });
	add(b, (struct step){ .kind = STEP_OVERRIDE });
}

static void add_repair(struct builder *b, const struct lease *lease, const struct found *found)
{
	const struct lease_device *d = b->device;

	if (d->left) {
		add_left(b);
		return;
	}
	if (streq0(found->driver, d->target_driver)) {
		const char *wanted = d->target_driver ? d->target_driver : OVERRIDE_NONE;

		add(b, (struct step){ .kind = STEP_OVERRIDE, .arg = wanted });
	} else {
		add_shut(b);
		if (d->target_driver)
			add_bind(b, lease);
	}
	if (!d->target_driver && !d->bridge)
		add(b, (struct step){ .kind = STEP_QUIET });
}

/* 0: fine, or put right; > 0: it could not be; -errno. first: nothing was tried before. */
static int try_to_put_right(const struct guard *guard, const struct lease_device *d, int sock,
			    bool first)
{
	const struct host *host = guard->run->engine->host;
	const struct step_context context = { .host = host, .subsystem = "pci" };
	_cleanup_(found_done) struct found found = { 0 };
	struct builder b = { .device = d };
	int r;

	b.plan.steps = b.steps;
	b.plan.name = "guard";
	r = look(host, d, &found);
	if (r == -ENOENT)
		return 0;
	if (r < 0 || is_right(d, &found))
		return r;
	/* Another one by now: its event is on its way. */
	if (d->appearance && sysfs_get_appearance(host, "pci", d->name) != d->appearance)
		return 0;
	r = first ? tell(sock, d, &found) : 0;
	if (r < 0)
		return r;
	add_repair(&b, guard->run->lease, &found);
	return steps_run(&context, &b.plan, sock);
}

/* Somebody may write at the very moment: what is read back then is no failure of ours yet. */
static int put_right(const struct guard *guard, const struct lease_device *d, int sock)
{
	int r = try_to_put_right(guard, d, sock, true);

	return r > 0 ? try_to_put_right(guard, d, sock, false) : r;
}

/* "DMA" and "DMA-FQ" differ in when the IOMMU forgets, not in what it lets through. */
static bool isolates(const char *type)
{
	return streq(type, "DMA") || streq(type, "DMA-FQ");
}

/* 0: fine, or put right; > 0: it could not be; -errno. */
static int put_type_right(const struct guard *guard, const struct lease_group *group, int sock)
{
	const struct host *host = guard->run->engine->host;
	struct step_report report = { .index = INDEX_TYPE };
	char now[32];
	int r;

	if (sysfs_get_group_type(host, group->id, now, sizeof(now)) < 0 ||
	    streq(now, group->type) ||
	    sysfs_get_group_appearance(host, group->id) != group->appearance)
		return 0;
	snprintf(report.device, sizeof(report.device), "%u", group->id);
	snprintf(report.driver, sizeof(report.driver), "%s", now);
	r = socket_send_fd_borrow(sock, &report, sizeof(report), -EBADF);
	if (r < 0 || (isolates(now) && isolates(group->type)))
		return r;
	r = sysfs_set_group_type(host, group->id, group->type);
	if (r >= 0)
		return 0;
	report.event = STEP_FAILED;
	snprintf(report.text, sizeof(report.text), "the domain type of group %u stays %s: %s",
		 group->id, now, strerror(-r));
	r = socket_send_fd_borrow(sock, &report, sizeof(report), -EBADF);
	return r < 0 ? r : 1;
}

static int guard_main(int sock, void *userdata)
{
	const struct guard *guard = userdata;
	const struct lease *lease = guard->run->lease;
	int result = 0;

	for (size_t i = 0; i < lease->n_devices; i++) {
		int r;

		if (!is_guarded(guard, &lease->devices[i]))
			continue;
		r = put_right(guard, &lease->devices[i], sock);
		if (r != 0)
			result = r < 0 ? 2 : 1;
	}
	for (size_t i = 0; i < lease->n_groups; i++) {
		int r = 0;

		if (!lease->groups[i].gone && lease->groups[i].type)
			r = put_type_right(guard, &lease->groups[i], sock);
		if (r != 0)
			result = r < 0 ? 2 : 1;
	}
	return result;
}

/* ---- the parent */

static void report_found(struct guard *guard, const struct step_report *report)
{
	const struct lease *lease = guard->run->lease;
	const struct lease_device *d = lease_device(lease, report->device);
	const char *driver = report->driver[0] ? report->driver : NULL;
	const char *target = d ? d->left ? d->saved_driver : d->target_driver : NULL;

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
	bool harmless = group && isolates(report->driver) && isolates(group->type);

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
	if (report.index == INDEX_FOUND) {
		report_found(guard, &report);
	} else if (report.index == INDEX_TYPE && report.event != STEP_FAILED) {
		report_type(guard, &report);
	} else if (report.event == STEP_FAILED && !guard->failed) {
		guard->failed = true;
		snprintf(guard->why, sizeof(guard->why), "%s: %.400s", report.device, report.text);
	}
}

/* Whether somebody does it again and again: a udev rule, or another manager of devices. */
static bool too_often(struct guard *guard)
{
	uint64_t now = now_usec();

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

	if (!d || d->gone || run->lease->state != LEASE_LEASED)
		return;
	if (sysfs_get_driver(run->engine->host, "pci", device, &driver) < 0)
		return;
	if (d->left ? left_counts(d, driver) : driver && !streq0(driver, d->target_driver))
		guard_look(run);
	else if (!d->left && !streq0(driver, d->target_driver))
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
