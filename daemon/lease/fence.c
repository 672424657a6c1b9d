/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of fence.h. */

#include "daemon/lease/fence.h"

#include "daemon/fault.h"
#include "daemon/lease/fence-child.h"
#include "daemon/lease/fence-guard.h"
#include "daemon/lease/run.h"
#include "daemon/sysfs/attr.h"
#include "daemon/sysfs/write.h"
#include "daemon/util/clock.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"

#include <stdio.h>

#define AGAIN_USEC (1000 * 1000ULL)

struct fence {
	struct fences *fences;
	struct fence *next;
	struct child *child; /* NULL: waits for its timer */
	sd_event_source *timer;
	struct lease *lease;
	char device[FENCE_NAME_MAX];
	uint64_t usec;
	char evicted[FENCE_NAME_MAX]; /* the host driver that had won; "" for none */
	uint64_t took;		      /* from the event until it was seen without a driver */
	bool failed;
	bool gone;
	bool again; /* bound while its process was at work: maybe after that had looked */
	bool stale; /* the device has gone meanwhile: what it says is of no interest */
	bool own;   /* a device of the lease, which somebody else has bound: fence_again() */
	char why[256];
};

static int fence_main(int sock, void *userdata)
{
	const struct fence *fence = userdata;

	return fence_work(fence->fences->engine->host, sock);
}

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
		fence->took = monotonic_usec() - fence->usec;
	if (report.event == STEP_SKIPPED && (report.error == ENOENT || report.error == ESTALE))
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
	if (fence->fences->engine->autoprobe_honoured &&
	    attr_read(fence->fences->engine->host->sys, "bus/pci/drivers_autoprobe", text,
		      sizeof(text)) == 0 &&
	    streq(text, "0"))
		return "never-probed";
	return "fenced-unbound";
}

static void report_again(const struct fence *fence)
{
	if (!fence->evicted[0])
		return;
	log_record(
		MESSAGE_INTERFERED, LOG_WARNING,
		LOG_FIELDS({ FIELD_LEASE, fence->lease->id }, { FIELD_DEVICE, fence->device },
			   { FIELD_DRIVER, fence->evicted }),
		"Somebody else bound %s of lease %s to %s while the lease drains: it is shut off "
		"again until every device of the lease can go home",
		fence->device, fence->lease->id, fence->evicted);
}

static void report_fenced(struct fence *fence)
{
	struct engine *engine = fence->fences->engine;
	const char *result = outcome(fence);
	struct lease_device *d = lease_device(fence->lease, fence->device);
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
	if (d && fence->evicted[0] && free_and_strdup(&d->evicted, fence->evicted) < 0)
		log_error("no memory for the driver of %s", fence->device);
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
	/* While it drains, too, no host driver may have what comes; until nothing else is waited
	 * for: then one that cannot be shut off goes to the host with the others. */
	bool ending = lease && (lease->state == LEASE_RESTORING || lease->state == LEASE_FAILED ||
				lease_run(lease)->after_fences == RESTORE_AFTER_FENCES);

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
	/* Who bound a device of the lease has set its driver_override before, too. */
	if (fence->again && !fence->gone && !fence->stale && !ending &&
	    (fence->own || has_driver(fence))) {
		start_again(fence);
		return;
	}
	if (!fence->failed && !fence->gone && !fence->stale && status == 0) {
		if (fence->own)
			report_again(fence);
		else
			report_fenced(fence);
	}
	unlink_fence(fence);
	forget_gone(fence);
	fence_free(fence);
	/* What somebody wrote while it was at work is the guard's now. */
	if (lease_run(lease))
		guard_look(lease_run(lease));
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

/* Without a process, if none can be had: whoever needs one tries again. */
static struct fence *fence_new(struct fences *fences)
{
	struct fence *fence = calloc(1, sizeof(*fence));

	if (!fence)
		return NULL;
	fence->fences = fences;
	if (start_child(fence) < 0)
		fence->child = NULL;
	return fence;
}

static struct fence *spare_new(struct fences *fences)
{
	struct fence *fence = fence_new(fences);

	if (fence && !fence->child) {
		fence_free(fence);
		return NULL;
	}
	return fence;
}

/* Its process may have died while it waited, or there was none to be had: then a little later. */
static void ask(struct fence *fence)
{
	int r = fence->child
			? child_send_fd_borrow(fence->child, fence->device, strlen(fence->device),
					       lease_run(fence->lease)->lock)
			: -EAGAIN;

	if (r >= 0)
		return;
	snprintf(fence->why, sizeof(fence->why), "no process: %s", strerror(-r));
	try_again_later(fence);
}

static void start_again(struct fence *fence)
{
	fence->failed = fence->again = false;
	if (start_child(fence) < 0)
		fence->child = NULL;
	ask(fence);
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

static int enter(struct lease *lease, const char *name, uint32_t group, uint64_t appearance)
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
	free_and_strdup(&d->rule_before, NULL);
	free_and_strdup(&d->error, NULL);
	free_and_strdup(&d->evicted, NULL);
	/* Read anew when the fence stands; until then nothing is known of it but its name. */
	free_and_strdup(&d->syspath, NULL);
	d->identity = 0;
	d->vendor = d->product = d->subvendor = d->subproduct = ID_UNKNOWN;
	d->appearance = appearance;
	d->group = group;
	d->state = DEVICE_FENCED;
	d->left = false;
	d->gone = false;
	/* A change that was about the one before it does not go on with this one. */
	d->parking = false;
	d->came = false;
	return 0;
}

/* False: one is at work on it already, or there is no memory for one. */
static bool start(struct fences *fences, struct lease *lease, const char *device, uint64_t usec,
		  bool own)
{
	struct fence *fence;

	for (fence = fences->list; fence; fence = fence->next)
		if (fence->lease == lease && streq(fence->device, device) && !fence->stale) {
			fence->again = true;
			return false;
		}
	fence = fences->spare ? fences->spare : fence_new(fences);
	fences->spare = NULL;
	if (!fence || strlen(device) >= sizeof(fence->device)) {
		log_error("no memory for the fence of %s", device);
		fences->spare = fence;
		return false;
	}
	strcpy(fence->device, device);
	fence->lease = lease;
	fence->own = own;
	fence->took = 0;
	fence->usec = usec ? usec : monotonic_usec(); /* of a stranger: found just now */
	fence->next = fences->list;
	fences->list = fence;
	ask(fence);
	return true;
}

void fence_device(struct fences *fences, struct lease *lease, const char *device, uint32_t group,
		  uint64_t usec)
{
	uint64_t appearance = sysfs_get_appearance(fences->engine->host, "pci", device);

	if (!start(fences, lease, device, usec, false))
		return;
	fault_point(FENCE_ASKED);
	/* The device is being shut off; now there is time for the rest. */
	fences->spare = spare_new(fences);
	if (enter(lease, device, group, appearance) < 0)
		log_error("lease %s: no memory for %s", lease->id, device);
	fault_point(FENCE_ENTERED);
	run_changed(lease_run(lease));
}

void fence_again(struct fences *fences, struct lease *lease, const char *device, uint64_t usec)
{
	if (start(fences, lease, device, usec, true))
		fences->spare = spare_new(fences);
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
	for (struct fence *f = fences->list; f; f = f->next)
		if (streq(f->device, device))
			f->stale = true;
}

/* One that waits for another try, of a device that has gone. */
static struct fence *find_dead(const struct fences *fences)
{
	struct fence *f = fences->list;

	/* A process is let come to its end: it may be in the middle of a write. */
	while (f && (!f->stale || f->child))
		f = f->next;
	return f;
}

void fences_bury(struct fences *fences)
{
	/* From the start each time: what goes on may end a lease, and others of its fences. */
	for (struct fence *f = find_dead(fences); f; f = find_dead(fences)) {
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

void fences_move(struct fences *fences, const struct lease *from, struct lease *to)
{
	for (struct fence *f = fences->list; f; f = f->next)
		if (f->lease == from)
			f->lease = to;
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
	fences->spare = spare_new(fences);
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
