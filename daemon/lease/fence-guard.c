/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of fence-guard.h. */

#include "daemon/lease/fence-guard.h"

#include "daemon/lease/fence.h"
#include "daemon/sysfs/write.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"

#include <stdio.h>
#include <sys/inotify.h>
#include <time.h>

#define ROUNDS_USEC (60 * 1000 * 1000ULL)
#define STEPS_MAX   12
/* A device that loses its driver may be on its way out of the host: its removal is waited for. */
#define UNBOUND_USEC (200 * 1000ULL)

/* In a report: not of a step, but of a device that is not as the lease has it. */
#define INDEX_FOUND UINT32_MAX

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

	int inotify;
	sd_event_source *source;
	size_t n_watched;
};

static uint64_t now_usec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* Devices that are the guard's: the others are the host's, gone, or a fence's. */
static bool is_guarded(const struct guard *guard, const struct lease_device *d)
{
	return !d->left && !d->gone && !d->parking &&
	       !fences_busy_with(guard->run->engine->fences, d->name);
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

static int tell(int sock, const struct lease_device *d, const char *driver, const char *override)
{
	struct step_report report = { .index = INDEX_FOUND };

	snprintf(report.device, sizeof(report.device), "%s", d->name);
	snprintf(report.driver, sizeof(report.driver), "%s", driver ? driver : "");
	snprintf(report.override, sizeof(report.override), "%s", override ? override : "");
	return socket_send_fd_borrow(sock, &report, sizeof(report), -EBADF);
}

/* 0: fine, or put right; > 0: it could not be; -errno. */
static int put_right(const struct guard *guard, const struct lease_device *d, int sock)
{
	const struct host *host = guard->run->engine->host;
	const struct step_context context = { .host = host, .subsystem = "pci" };
	const char *wanted = d->target_driver ? d->target_driver : OVERRIDE_NONE;
	_cleanup_free_ char *driver = NULL, *override = NULL;
	struct builder b = { .device = d };
	int r;

	b.plan.steps = b.steps;
	r = sysfs_get_driver(host, "pci", d->name, &driver);
	if (r >= 0)
		r = sysfs_get_override(host, "pci", d->name, &override);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	if (streq0(driver, d->target_driver) && streq0(override, wanted))
		return 0;
	r = tell(sock, d, driver, override);
	if (r < 0)
		return r;
	if (driver && streq0(driver, d->target_driver)) {
		add(&b, (struct step){ .kind = STEP_OVERRIDE, .arg = wanted });
	} else {
		add_shut(&b);
		if (d->target_driver)
			add_bind(&b, guard->run->lease);
		else if (!d->bridge)
			add(&b, (struct step){ .kind = STEP_QUIET });
	}
	return steps_run(&context, &b.plan, sock);
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
	return result;
}

/* ---- the parent */

static void report_found(struct guard *guard, const struct step_report *report)
{
	const struct lease *lease = guard->run->lease;
	const struct lease_device *d = lease_device(lease, report->device);
	const char *driver = report->driver[0] ? report->driver : NULL;
	const char *target = d && d->target_driver ? d->target_driver : NULL;

	/* A driver that comes late for a fenced one is nobody's doing again and again. */
	guard->found = guard->found || !d || d->state != DEVICE_FENCED;
	log_record(MESSAGE_INTERFERED, LOG_WARNING,
		   LOG_FIELDS({ FIELD_LEASE, lease->id }, { FIELD_DEVICE, report->device },
			      { FIELD_DRIVER, driver }, { FIELD_OVERRIDE, report->override }),
		   "Somebody else changed %s of lease %s: it is on %s with driver_override \"%s\", "
		   "and "
		   "should be on %s with \"%s\"; it is put right",
		   report->device, lease->id, driver ? driver : "no driver", report->override,
		   target ? target : "no driver", target ? target : OVERRIDE_NONE);
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

static void on_exited(struct child *child, int status, void *userdata)
{
	struct guard *guard = userdata;
	struct lease_run *run = guard->run;

	guard->child = child_free(guard->child);
	if (run->lease->state == LEASE_LEASED) {
		if (status != 0 && !guard->failed)
			snprintf(guard->why, sizeof(guard->why), "the worker died");
		if (status != 0 || too_often(guard))
			end_lease(guard);
		else if (guard->found)
			run_changed(run);
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
	run->guard->inotify = -EBADF;
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

	if (!d || d->left || d->gone || run->lease->state != LEASE_LEASED)
		return;
	if (sysfs_get_driver(run->engine->host, "pci", device, &driver) < 0)
		return;
	if (driver && !streq0(driver, d->target_driver))
		guard_look(run);
	else if (!streq0(driver, d->target_driver))
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

/* ---- overrides: sysfs has no event for them, but who writes to one modifies a file */

static int on_inotify(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct guard *guard = userdata;
	char events[4096];
	ssize_t k;

	/* Which one it was does not matter: the worker looks at all. */
	do
		k = read(fd, events, sizeof(events));
	while (k > 0);
	guard_look(guard->run);
	return 0;
}

static int watch_overrides(struct guard *guard)
{
	const struct lease *lease = guard->run->lease;
	int r;

	guard->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (guard->inotify < 0)
		return -errno;
	for (size_t i = 0; i < lease->n_devices; i++) {
		char path[256];

		if (lease->devices[i].left)
			continue;
		snprintf(path, sizeof(path),
			 "/proc/self/fd/%d/bus/pci/devices/%.64s/driver_override",
			 guard->run->engine->host->sys, lease->devices[i].name);
		r = inotify_add_watch(guard->inotify, path, IN_MODIFY);
		if (r < 0 && errno != ENOENT)
			return -errno;
	}
	return sd_event_add_io(guard->run->engine->event, &guard->source, guard->inotify, EPOLLIN,
			       on_inotify, guard);
}

static void unwatch(struct guard *guard)
{
	guard->source = sd_event_source_disable_unref(guard->source);
	guard->inotify = fd_close(guard->inotify);
	guard->n_watched = 0;
}

void guard_follow(struct lease_run *run)
{
	struct guard *guard;
	int r;

	if (run->lease->state != LEASE_LEASED) {
		if (run->guard)
			unwatch(run->guard);
		return;
	}
	if (guard_get(run) < 0)
		return;
	guard = run->guard;
	if (guard->n_watched == run->lease->n_devices)
		return;
	unwatch(guard);
	r = watch_overrides(guard);
	if (r < 0)
		log_warning("lease %s: changes of driver_override cannot be watched: %s",
			    run->lease->id, strerror(-r));
	guard->n_watched = run->lease->n_devices;
}

struct guard *guard_free(struct guard *guard)
{
	if (!guard)
		return NULL;
	child_free(guard->child);
	sd_event_source_disable_unref(guard->timer);
	unwatch(guard);
	free(guard);
	return NULL;
}
