/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of fence.h. */

#include "daemon/lease/fence.h"

#include "daemon/fault.h"
#include "daemon/lease/fence-guard.h"
#include "daemon/lease/run.h"
#include "daemon/sysfs/attr.h"
#include "daemon/sysfs/write.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"

#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#define AGAIN_USEC (1000 * 1000ULL)
#define NAME_MAX_  64

struct fence {
	struct fences *fences;
	struct fence *next;
	struct child *child; /* NULL: waits for its timer */
	sd_event_source *timer;
	struct lease *lease;
	char device[NAME_MAX_];
	uint64_t usec;
	char evicted[NAME_MAX_]; /* the host driver that had won; "" for none */
	uint64_t took;		 /* from the event until it was seen without a driver */
	bool failed;
	bool gone;
	bool again; /* bound while its process was at work: maybe after that had looked */
	bool stale; /* the device has gone meanwhile: what it says is of no interest */
	char why[256];
};

/*
 * ---- the child: waits for a name, then does these steps
 *
 * The probe finds no driver of that name, but takes the device lock: a driver's probe that was
 * under way when the override was written is over then, and the driver, if it won, is seen.
 */

enum {
	FENCE_OVERRIDE,
	FENCE_UNBIND,
	FENCE_LOCK,
	FENCE_UNBIND_LATE,
	FENCE_VERIFY,
	FENCE_QUIET,
	FENCE_STEPS
};

static void fill_plan(struct lease_device *device, struct step steps[FENCE_STEPS])
{
	static const enum step_kind kinds[FENCE_STEPS] = {
		[FENCE_OVERRIDE] = STEP_OVERRIDE, [FENCE_UNBIND] = STEP_UNBIND,
		[FENCE_LOCK] = STEP_PROBE,	  [FENCE_UNBIND_LATE] = STEP_UNBIND,
		[FENCE_VERIFY] = STEP_VERIFY,	  [FENCE_QUIET] = STEP_QUIET,
	};

	for (int i = 0; i < FENCE_STEPS; i++)
		steps[i] = (struct step){
			.kind = kinds[i],
			.device = device->name,
			.lease_device = device,
			.arg = i == FENCE_OVERRIDE ? OVERRIDE_NONE : NULL,
			.keep_going = true, /* a device that has gone is no failure */
		};
}

/*
 * A bridge on no driver masters no bus for itself, and is to forward again what is granted behind
 * it later.
 */
static bool is_bridge(const struct host *host, const char *name)
{
	char path[NAME_MAX_ + 32];
	uint32_t class_code = 0;
	_cleanup_close_ int dir = -EBADF;

	snprintf(path, sizeof(path), "bus/pci/devices/%s", name);
	dir = attr_open_dir(host->sys, path);
	return dir >= 0 && attr_read_hex(dir, "class", 24, &class_code) == 0 &&
	       class_code >> 8 == 0x0604;
}

static int fence_main(int sock, void *userdata)
{
	struct fence *fence = userdata;
	char name[NAME_MAX_] = "";
	struct lease_device device = { .name = name };
	struct step steps[FENCE_STEPS];
	struct plan plan = { .steps = steps, .n = FENCE_STEPS };
	const struct step_context context = {
		.host = fence->fences->engine->host,
		.subsystem = "pci",
	};
	ssize_t k = recv(sock, name, sizeof(name) - 1, 0);
	int r;

	/* The daemon is gone, and nothing was asked for. */
	if (k <= 0)
		return 0;
	fill_plan(&device, steps);
	if (is_bridge(context.host, name))
		plan.n = FENCE_QUIET;
	r = steps_run(&context, &plan, sock);
	return r < 0 ? 2 : r;
}

/* ---- the parent */

static void fence_free(struct fence *fence)
{
	child_free(fence->child);
	sd_event_source_disable_unref(fence->timer);
	free(fence);
}

static void unlink_fence(struct fence *fence)
{
	struct fence **p = &fence->fences->list;

	while (*p && *p != fence)
		p = &(*p)->next;
	if (*p)
		*p = fence->next;
}

static uint64_t now_usec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void on_message(struct child *child, const void *data, size_t size, void *userdata)
{
	struct fence *fence = userdata;
	struct step_report report;

	if (size != sizeof(report))
		return;
	memcpy(&report, data, sizeof(report));
	report.driver[sizeof(report.driver) - 1] = 0;
	report.text[sizeof(report.text) - 1] = 0;
	if ((report.index == FENCE_UNBIND || report.index == FENCE_UNBIND_LATE) &&
	    report.event == STEP_DONE && report.driver[0])
		snprintf(fence->evicted, sizeof(fence->evicted), "%s", report.driver);
	if (report.index == FENCE_VERIFY && report.event == STEP_DONE)
		fence->took = now_usec() - fence->usec;
	if (report.event == STEP_SKIPPED && report.error == ENOENT)
		fence->gone = true;
	if (report.event == STEP_FAILED) {
		fence->failed = true;
		snprintf(fence->why, sizeof(fence->why), "%.255s", report.text);
	}
}

/*
 * Which fence held. That the kernel refused the host driver, because the group's DMA ownership was
 * taken, shows nowhere but in the kernel's log; it is known where the daemon itself has taken it,
 * for what it handed out. A refusal because of the VMM's own attach is "fenced-unbound", as is a
 * driver that did not come yet.
 */
static const char *outcome(const struct fence *fence)
{
	const struct lease *lease = fence->lease;
	char text[8];

	if (fence->evicted[0])
		return "evicted";
	if (lease->mode == MODE_GROUP && lease->attach && lease->state == LEASE_LEASED &&
	    lease_run(lease)->handed_over)
		return "refused-by-kernel";
	if (attr_read(fence->fences->engine->host->sys, "bus/pci/drivers_autoprobe", text,
		      sizeof(text)) == 0 &&
	    streq(text, "0"))
		return "never-probed";
	return "fenced-unbound";
}

static void report_fenced(struct fence *fence)
{
	struct engine *engine = fence->fences->engine;
	const char *result = outcome(fence);
	uint64_t usec = fence->took;
	int r;

	log_record(MESSAGE_FENCED, LOG_NOTICE,
		   LOG_FIELDS({ FIELD_LEASE, fence->lease->id }, { FIELD_DEVICE, fence->device },
			      { FIELD_OUTCOME, result },
			      { FIELD_DRIVER, fence->evicted[0] ? fence->evicted : NULL },
			      { FIELD_USEC, LOG_NUMBER(usec) }),
		   "%s came to a group of lease %s and is shut off (%s, %llu us after its event)",
		   fence->device, fence->lease->id, result, (unsigned long long)usec);
	fault_point(FENCE_DONE);
	r = journal_write(&engine->journal, fence->lease);
	if (r < 0)
		log_error("journal of lease %s: %s", fence->lease->id, strerror(-r));
	fault_point(FENCE_JOURNALED);
	engine->ops->fenced(fence->lease, fence->device, result, engine->userdata);
	run_changed(lease_run(fence->lease));
}

static void try_again_later(struct fence *fence);
static void start_again(struct fence *fence);

static bool has_driver(const struct fence *fence)
{
	_cleanup_free_ char *driver = NULL;

	return sysfs_get_driver(fence->fences->engine->host, "pci", fence->device, &driver) == 0 &&
	       driver;
}

/*
 * What came and went again leaves nothing behind: a slot that is plugged ten thousand times does
 * not make ten thousand entries.
 */
static void forget_gone(const struct fence *fence)
{
	struct lease *lease = fence->lease;
	const struct lease_device *d = lease_device(lease, fence->device);

	if (!d || !d->gone || d->state != DEVICE_FENCED || lease->state != LEASE_LEASED ||
	    lease_run(lease)->worker || fences_busy_with(fence->fences, fence->device))
		return;
	lease_remove_device(lease, fence->device);
	if (journal_write(&fence->fences->engine->journal, lease) < 0)
		log_error("journal of lease %s cannot be written", lease->id);
	run_changed(lease_run(lease));
}

static void on_exited(struct child *child, int status, void *userdata)
{
	struct fence *fence = userdata;
	struct lease *lease = fence->lease;
	/* While it drains, too, no host driver may have what comes. */
	bool ending = lease && (lease->state == LEASE_RESTORING || lease->state == LEASE_FAILED);

	fence->child = child_free(fence->child);
	if (!lease) {
		/* The spare died without having been asked for anything. */
		if (fence->fences->spare == fence)
			fence->fences->spare = NULL;
		fence_free(fence);
		return;
	}
	if ((fence->failed || status != 0) && !fence->gone && !fence->stale && !ending) {
		if (!fence->why[0])
			snprintf(fence->why, sizeof(fence->why), "its process has died");
		try_again_later(fence);
		return;
	}
	if (fence->again && !fence->gone && !fence->stale && !ending && has_driver(fence)) {
		start_again(fence);
		return;
	}
	if (!fence->failed && !fence->gone && !fence->stale && status == 0)
		report_fenced(fence);
	unlink_fence(fence);
	forget_gone(fence);
	fence_free(fence);
	release_fence_over(lease_run(lease));
}

static const struct child_ops fence_ops = {
	.name = "vfiod-fence",
	.main = fence_main,
	.message = on_message,
	.exited = on_exited,
};

static int start_child(struct fence *fence)
{
	const struct host *host = fence->fences->engine->host;
	const int keep[] = { host->sys, host->dev, host->proc };

	return child_spawn(fence->fences->engine->event, &fence_ops, keep, ARRAY_SIZE(keep), fence,
			   &fence->child);
}

static struct fence *fence_new(struct fences *fences)
{
	struct fence *fence = calloc(1, sizeof(*fence));

	if (!fence)
		return NULL;
	fence->fences = fences;
	if (start_child(fence) < 0) {
		fence_free(fence);
		return NULL;
	}
	return fence;
}

static void start_again(struct fence *fence)
{
	int r;

	fence->failed = fence->again = false;
	r = start_child(fence);
	if (r >= 0)
		r = child_send(fence->child, fence->device, strlen(fence->device));
	if (r < 0)
		try_again_later(fence);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct fence *fence = userdata;

	fence->timer = sd_event_source_disable_unref(fence->timer);
	start_again(fence);
	return 0;
}

static void try_again_later(struct fence *fence)
{
	int r;

	log_error("%s is in a group of lease %s and could not be shut off: %s; trying again, and "
		  "nothing of the group is handed out meanwhile",
		  fence->device, fence->lease->id, fence->why);
	fence->child = child_free(fence->child);
	r = sd_event_add_time_relative(fence->fences->engine->event, &fence->timer, CLOCK_MONOTONIC,
				       AGAIN_USEC, 0, on_timer, fence);
	if (r < 0)
		log_error("no timer for the fence of %s: %s", fence->device, strerror(-r));
}

/* ---- the lease's entry */

static int enter(struct lease *lease, const char *name, uint32_t group)
{
	struct lease_device *d = lease_device(lease, name);

	if (!d)
		d = lease_add_device(lease, name);
	if (!d)
		return -ENOMEM;
	/* What came had no override, and no driver that it would be given back to: it is let go,
	 * and the kernel finds its driver (I4). */
	free_and_strdup(&d->saved_driver, NULL);
	free_and_strdup(&d->saved_override, NULL);
	free_and_strdup(&d->target_driver, NULL);
	free_and_strdup(&d->rule, NULL);
	free_and_strdup(&d->error, NULL);
	d->group = group;
	d->state = DEVICE_FENCED;
	d->left = false;
	d->gone = false;
	return 0;
}

void fence_device(struct fences *fences, struct lease *lease, const char *device, uint32_t group,
		  uint64_t usec)
{
	struct fence *fence;

	for (fence = fences->list; fence; fence = fence->next)
		if (fence->lease == lease && streq(fence->device, device) && !fence->stale) {
			fence->again = true;
			return;
		}
	fence = fences->spare ? fences->spare : fence_new(fences);
	fences->spare = NULL;
	if (!fence || strlen(device) >= sizeof(fence->device)) {
		log_error("no process for the fence of %s", device);
		fences->spare = fence;
		return;
	}
	strcpy(fence->device, device);
	fence->lease = lease;
	fence->took = 0;
	fence->usec = usec ? usec : now_usec(); /* of a stranger: found just now */
	fence->next = fences->list;
	fences->list = fence;
	if (child_send(fence->child, device, strlen(device)) < 0) {
		snprintf(fence->why, sizeof(fence->why), "its process has died");
		try_again_later(fence);
	}
	fault_point(FENCE_ASKED);
	/* The device is being shut off; now there is time for the rest. */
	fences->spare = fence_new(fences);
	if (enter(lease, device, group) < 0)
		log_error("lease %s: no memory for %s", lease->id, device);
	fault_point(FENCE_ENTERED);
	run_changed(lease_run(lease));
}

void fence_if_bound(struct fences *fences, struct lease *lease, const char *device, uint32_t group,
		    uint64_t usec)
{
	_cleanup_free_ char *driver = NULL;

	if (fences_busy_with(fences, device) ||
	    (sysfs_get_driver(fences->engine->host, "pci", device, &driver) == 0 && driver))
		fence_device(fences, lease, device, group, usec);
}

void fences_device_went(struct fences *fences, const char *device)
{
	for (struct fence *f = fences->list, *next; f; f = next) {
		next = f->next;
		if (!streq(f->device, device))
			continue;
		/* Its process is let come to its end: it may be in the middle of a write. */
		f->stale = true;
		if (f->child)
			continue;
		unlink_fence(f);
		forget_gone(f);
		release_fence_over(lease_run(f->lease));
		fence_free(f);
	}
}

bool fences_busy(const struct fences *fences, const struct lease *lease)
{
	for (const struct fence *f = fences->list; f; f = f->next)
		if (f->lease == lease)
			return true;
	return guard_busy(lease_run(lease));
}

bool fences_busy_with(const struct fences *fences, const char *device)
{
	for (const struct fence *f = fences->list; f; f = f->next)
		if (streq(f->device, device))
			return true;
	return false;
}

void fences_stop(struct fences *fences, const struct lease *lease)
{
	for (struct fence *f = fences->list, *next; f; f = next) {
		next = f->next;
		if (f->lease != lease || f->child)
			continue;
		unlink_fence(f);
		fence_free(f);
	}
}

int fences_init(struct fences *fences, struct engine *engine)
{
	*fences = (struct fences){ .engine = engine };
	fences->spare = fence_new(fences);
	return fences->spare ? 0 : -EAGAIN;
}

void fences_done(struct fences *fences)
{
	while (fences->list) {
		struct fence *fence = fences->list;

		unlink_fence(fence);
		fence_free(fence);
	}
	if (fences->spare)
		fence_free(fences->spare);
	fences->spare = NULL;
}
