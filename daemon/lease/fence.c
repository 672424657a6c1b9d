/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of fence.h. */

#include "daemon/lease/fence.h"

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
	sd_event_source *again;
	struct lease *lease;
	char device[NAME_MAX_];
	uint64_t usec;
	char evicted[NAME_MAX_]; /* the host driver that had won; "" for none */
	bool failed;
	bool gone;
	char why[256];
};

/* ---- the child: waits for a name, then does four steps */

enum { FENCE_OVERRIDE, FENCE_UNBIND, FENCE_VERIFY, FENCE_QUIET, FENCE_STEPS };

static void fill_plan(struct lease_device *device, struct step steps[FENCE_STEPS])
{
	static const enum step_kind kinds[FENCE_STEPS] = {
		[FENCE_OVERRIDE] = STEP_OVERRIDE,
		[FENCE_UNBIND] = STEP_UNBIND,
		[FENCE_VERIFY] = STEP_VERIFY,
		[FENCE_QUIET] = STEP_QUIET,
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

static int fence_main(int sock, void *userdata)
{
	struct fence *fence = userdata;
	char name[NAME_MAX_] = "";
	struct lease_device device = { .name = name };
	struct step steps[FENCE_STEPS];
	const struct plan plan = { .steps = steps, .n = FENCE_STEPS };
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
	r = steps_run(&context, &plan, sock);
	return r < 0 ? 2 : r;
}

/* ---- the parent */

static void fence_free(struct fence *fence)
{
	child_free(fence->child);
	sd_event_source_disable_unref(fence->again);
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
	if (report.index == FENCE_UNBIND && report.event == STEP_DONE)
		snprintf(fence->evicted, sizeof(fence->evicted), "%s", report.driver);
	if (report.event == STEP_SKIPPED && report.error == ENOENT)
		fence->gone = true;
	if (report.event == STEP_FAILED) {
		fence->failed = true;
		snprintf(fence->why, sizeof(fence->why), "%.255s", report.text);
	}
}

static uint64_t elapsed(const struct fence *fence)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000 - fence->usec;
}

/*
 * Which fence held. That the kernel refused the host driver, because the group's DMA ownership was
 * taken, cannot be told from a driver that did not come yet, except by the kernel's log: both are
 * "fenced-unbound".
 */
static const char *outcome(const struct fence *fence)
{
	char text[8];

	if (fence->evicted[0])
		return "evicted";
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
	uint64_t usec = elapsed(fence);
	int r;

	log_record(MESSAGE_FENCED, LOG_NOTICE,
		   LOG_FIELDS({ FIELD_LEASE, fence->lease->id }, { FIELD_DEVICE, fence->device },
			      { FIELD_OUTCOME, result },
			      { FIELD_DRIVER, fence->evicted[0] ? fence->evicted : NULL },
			      { FIELD_USEC, LOG_NUMBER(usec) }),
		   "%s came to a group of lease %s and is shut off (%s, %llu us after its event)",
		   fence->device, fence->lease->id, result, (unsigned long long)usec);
	r = journal_write(&engine->journal, fence->lease);
	if (r < 0)
		log_error("journal of lease %s: %s", fence->lease->id, strerror(-r));
	engine->ops->fenced(fence->lease, fence->device, result, engine->userdata);
	run_changed(lease_run(fence->lease));
}

static void try_again_later(struct fence *fence);

static void on_exited(struct child *child, int status, void *userdata)
{
	struct fence *fence = userdata;
	struct lease *lease = fence->lease;
	bool ending = lease && lease->state != LEASE_PREPARING && lease->state != LEASE_LEASED;

	fence->child = child_free(fence->child);
	if (!lease) {
		/* The spare died without having been asked for anything. */
		if (fence->fences->spare == fence)
			fence->fences->spare = NULL;
		fence_free(fence);
		return;
	}
	if ((fence->failed || status != 0) && !fence->gone && !ending) {
		try_again_later(fence);
		return;
	}
	if (!fence->failed && !fence->gone && status == 0)
		report_fenced(fence);
	unlink_fence(fence);
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

static int on_again(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct fence *fence = userdata;
	int r;

	fence->again = sd_event_source_disable_unref(fence->again);
	fence->failed = false;
	r = start_child(fence);
	if (r >= 0)
		r = child_send(fence->child, fence->device, strlen(fence->device));
	if (r < 0)
		try_again_later(fence);
	return 0;
}

static void try_again_later(struct fence *fence)
{
	int r;

	log_error("%s is in a group of lease %s and could not be shut off: %s; trying again, and "
		  "nothing of the group is handed out meanwhile",
		  fence->device, fence->lease->id, fence->why);
	fence->child = child_free(fence->child);
	r = sd_event_add_time_relative(fence->fences->engine->event, &fence->again,
				       CLOCK_MONOTONIC, AGAIN_USEC, 0, on_again, fence);
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
		if (fence->lease == lease && streq(fence->device, device))
			return;
	fence = fences->spare ? fences->spare : fence_new(fences);
	fences->spare = NULL;
	if (!fence || strlen(device) >= sizeof(fence->device)) {
		log_error("no process for the fence of %s", device);
		fences->spare = fence;
		return;
	}
	strcpy(fence->device, device);
	fence->lease = lease;
	fence->usec = usec;
	fence->next = fences->list;
	fences->list = fence;
	if (child_send(fence->child, device, strlen(device)) < 0) {
		snprintf(fence->why, sizeof(fence->why), "its process has died");
		try_again_later(fence);
	}
	/* The device is being shut off; now there is time for the rest. */
	fences->spare = fence_new(fences);
	if (enter(lease, device, group) < 0)
		log_error("lease %s: no memory for %s", lease->id, device);
	run_changed(lease_run(lease));
}

bool fences_busy(const struct fences *fences, const struct lease *lease)
{
	for (const struct fence *f = fences->list; f; f = f->next)
		if (f->lease == lease)
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
