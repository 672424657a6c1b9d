/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of arrivals.h. */

#include "daemon/hotplug/arrivals.h"

#include "daemon/sysfs/store.h"
#include "daemon/sysfs/write.h"
#include "daemon/util/child.h"
#include "daemon/util/clock.h"
#include "daemon/util/log.h"
#include "policy/topology.h"

#include <time.h>

#define SECOND (1000 * 1000ULL)
/* An udev that does not say a word about a device is not waited for. */
#define SETTLE_USEC (10 * SECOND)
/* How long one that came while the kernel probes by itself is remembered: the switch may be taken
 * between its event and its first probe, which for a large subtree is seconds. */
#define REMEMBER_USEC (30 * SECOND)
/* Processes that are younger than this count against the limit: the others hang. */
#define YOUNG_USEC SECOND
#define YOUNG_MAX  16

/*
 * When a first probe found no driver. The kernel lets no driver near a device before the whole bus
 * that it came with is set up, and the kernel's own second tries (EPROBE_DEFER) ask
 * drivers_autoprobe too.
 */
static const uint64_t again_usec[] = { SECOND, 4 * SECOND, 15 * SECOND };

struct arrival {
	char *name;
	uint64_t since, due;
	unsigned int tries;
	UT_hash_handle hh;
};

struct job {
	struct arrivals *arrivals;
	struct job *next;
	char *device;
	char *driver; /* to be bound; NULL: whatever the kernel finds */
	uint64_t appearance;
	struct child *child;
	uint64_t started; /* 0: not yet */
	bool stale;	  /* its device has gone */
};

struct arrivals {
	sd_event *event;
	const struct host *host;
	const struct arrivals_ops *ops;
	void *userdata;
	struct arrival *waiting;
	struct job *jobs;
	sd_event_source *timer;
};

static bool has_driver(const struct arrivals *arrivals, const char *device)
{
	_cleanup_free_ char *driver = NULL;

	return sysfs_get_driver(arrivals->host, "pci", device, &driver) == 0 && driver;
}

/* ---- the process */

static int bind_one(const struct job *job, const struct host *host)
{
	_cleanup_free_ char *override = NULL;
	int r = sysfs_get_override(host, "pci", job->device, &override);

	if (r < 0)
		return r;
	/* Whoever set it wants no other driver there. */
	if (override && !streq(override, job->driver))
		return 0;
	r = store_driver(host, "pci", job->driver, "bind", job->device);
	/* -ENODEV: it is none of that driver's. */
	return r == -ENODEV ? 0 : r;
}

static int job_main(int sock, void *userdata)
{
	const struct job *job = userdata;
	const struct host *host = job->arrivals->host;
	int r;

	/* Another one is at that address by now: not before somebody has looked whose it is. */
	if (sysfs_get_appearance(host, "pci", job->device) != job->appearance)
		return 0;
	if (has_driver(job->arrivals, job->device))
		return 0;
	r = job->driver ? bind_one(job, host) : sysfs_probe(host, "pci", job->device);
	return r < 0;
}

static void on_exited(struct child *child, int status, void *userdata);

static const struct child_ops job_ops = {
	.name = "vfiod-probe",
	.main = job_main,
	.exited = on_exited,
};

static void free_job(struct job *job)
{
	child_free(job->child);
	free(job->device);
	free(job->driver);
	free(job);
}

static void unlink_job(struct job *job)
{
	struct job **p = &job->arrivals->jobs;

	while (*p && *p != job)
		p = &(*p)->next;
	if (*p)
		*p = job->next;
}

/* At the end: first come, first served. */
static struct job *add_job(struct arrivals *arrivals, const char *device, const char *driver)
{
	struct job *job = calloc(1, sizeof(*job)), **p = &arrivals->jobs;

	if (!job)
		return NULL;
	job->arrivals = arrivals;
	job->appearance = sysfs_get_appearance(arrivals->host, "pci", device);
	if (free_and_strdup(&job->device, device) < 0 ||
	    free_and_strdup(&job->driver, driver) < 0) {
		free_job(job);
		return NULL;
	}
	while (*p)
		p = &(*p)->next;
	*p = job;
	return job;
}

static bool has_job(const struct arrivals *arrivals, const char *device, const char *driver)
{
	for (const struct job *job = arrivals->jobs; job; job = job->next)
		if (!job->stale && streq(job->device, device) && streq0(job->driver, driver))
			return true;
	return false;
}

bool arrivals_busy_with(const struct arrivals *arrivals, const char *device)
{
	for (const struct job *job = arrivals->jobs; job; job = job->next)
		if (job->started && !job->stale && streq(job->device, device))
			return true;
	return false;
}

/* ---- devices */

static struct arrival *find(const struct arrivals *arrivals, const char *device)
{
	struct arrival *arrival;

	HASH_FIND_STR(arrivals->waiting, device, arrival);
	return arrival;
}

static void drop(struct arrivals *arrivals, struct arrival *arrival)
{
	HASH_DEL(arrivals->waiting, arrival);
	free(arrival->name);
	free(arrival);
}

static void over(struct arrivals *arrivals, struct arrival *arrival)
{
	arrivals->ops->probed(arrival->name, arrivals->userdata);
	drop(arrivals, arrival);
}

void arrivals_went(struct arrivals *arrivals, const char *device)
{
	struct arrival *arrival = find(arrivals, device);
	struct job *next;

	if (arrival)
		drop(arrivals, arrival);
	for (struct job *job = arrivals->jobs; job; job = next) {
		next = job->next;
		if (!streq(job->device, device))
			continue;
		if (job->started) {
			job->stale = true;
			continue;
		}
		unlink_job(job);
		free_job(job);
	}
}

static void add_arrival(struct arrivals *arrivals, const char *device)
{
	struct arrival *arrival = calloc(1, sizeof(*arrival));

	if (!arrival || free_and_strdup(&arrival->name, device) < 0) {
		free(arrival);
		log_error("no memory for %s: it is to be probed by hand", device);
		return;
	}
	arrival->since = monotonic_usec();
	arrival->due = arrival->since + SETTLE_USEC;
	HASH_ADD_KEYPTR(hh, arrivals->waiting, arrival->name, strlen(arrival->name), arrival);
	if (!arrival->hh.tbl) {
		log_error("no memory for %s: it is to be probed by hand", device);
		free(arrival->name);
		free(arrival);
	}
}

void arrivals_came(struct arrivals *arrivals, const char *device)
{
	arrivals_went(arrivals, device);
	add_arrival(arrivals, device);
	arrivals_turn(arrivals);
}

void arrivals_found(struct arrivals *arrivals, const char *device)
{
	if (!find(arrivals, device))
		add_arrival(arrivals, device);
	arrivals_settled(arrivals, device);
}

void arrivals_settled(struct arrivals *arrivals, const char *device)
{
	struct arrival *arrival = find(arrivals, device);

	if (!arrival || arrival->tries)
		return;
	arrival->due = monotonic_usec();
	arrivals_turn(arrivals);
}

void arrivals_decided(struct arrivals *arrivals, const char *device)
{
	struct arrival *arrival = find(arrivals, device);

	if (arrival)
		over(arrivals, arrival);
}

void arrivals_driver(struct arrivals *arrivals, const char *driver, const char *device)
{
	if (!has_job(arrivals, device, driver) && !add_job(arrivals, device, driver))
		log_error("no memory: %s is to be bound to %s by hand", device, driver);
}

/* ---- turns */

static void on_exited(struct child *child, int status, void *userdata)
{
	struct job *job = userdata;
	struct arrivals *arrivals = job->arrivals;
	struct arrival *arrival = job->stale ? NULL : find(arrivals, job->device);

	if (status != 0 && !job->stale && job->driver)
		log_notice("%s could not be bound to %s; the kernel's log says why", job->device,
			   job->driver);
	if (arrival &&
	    (has_driver(arrivals, job->device) || arrival->tries > ARRAY_SIZE(again_usec)))
		over(arrivals, arrival);
	unlink_job(job);
	free_job(job);
	arrivals_turn(arrivals);
	arrivals->ops->idle(arrivals->userdata);
}

static size_t count_young(const struct arrivals *arrivals, uint64_t now)
{
	size_t n = 0;

	for (const struct job *job = arrivals->jobs; job; job = job->next)
		n += job->started && now - job->started < YOUNG_USEC;
	return n;
}

/* False: there is no process to be had. */
static bool start(struct arrivals *arrivals, struct job *job)
{
	const int keep[] = { arrivals->host->sys };
	int r;

	r = child_spawn(arrivals->event, &job_ops, keep, ARRAY_SIZE(keep), job, &job->child);
	if (r < 0) {
		log_error("no process to probe %s: %s; trying again", job->device, strerror(-r));
		return false;
	}
	job->started = monotonic_usec();
	return true;
}

static bool may_start(const struct arrivals *arrivals, const struct job *job)
{
	return !job->started && !arrivals_busy_with(arrivals, job->device) &&
	       !arrivals->ops->is_owned(job->device, arrivals->userdata);
}

/* Makes jobs of what is due. */
static void queue_due(struct arrivals *arrivals, uint64_t now)
{
	bool may_probe = arrivals->ops->may_probe(arrivals->userdata);

	HASH_FOREACH (arrival, arrivals->waiting) {
		if (now < arrival->due || has_job(arrivals, arrival->name, NULL))
			continue;
		if (!may_probe) {
			/* The kernel has probed it. */
			if (now - arrival->since >= REMEMBER_USEC)
				drop(arrivals, arrival);
			continue;
		}
		if (arrivals->ops->is_owned(arrival->name, arrivals->userdata) ||
		    !add_job(arrivals, arrival->name, NULL))
			continue;
		arrival->due = now + again_usec[arrival->tries < ARRAY_SIZE(again_usec)
							? arrival->tries
							: ARRAY_SIZE(again_usec) - 1];
		arrival->tries++;
	}
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	arrivals_turn(userdata);
	return 0;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void set_timer(struct arrivals *arrivals, uint64_t now, bool queued)
{
	uint64_t next = queued ? now + YOUNG_USEC : UINT64_MAX;

	/* What is overdue waits for a lease to end, or to be forgotten. */
	HASH_FOREACH (arrival, arrivals->waiting)
		next = earlier(next, arrival->due > now ? arrival->due
				     : arrival->since + REMEMBER_USEC > now
					     ? arrival->since + REMEMBER_USEC
					     : UINT64_MAX);
	arrivals->timer = sd_event_source_disable_unref(arrivals->timer);
	if (next == UINT64_MAX)
		return;
	if (sd_event_add_time(arrivals->event, &arrivals->timer, CLOCK_MONOTONIC, next, 0, on_timer,
			      arrivals) < 0)
		log_error("no timer for devices that wait for their first probe");
}

void arrivals_turn(struct arrivals *arrivals)
{
	uint64_t now = monotonic_usec();
	size_t young = count_young(arrivals, now);
	bool queued = false;

	queue_due(arrivals, now);
	for (struct job *job = arrivals->jobs; job; job = job->next) {
		if (!may_start(arrivals, job))
			continue;
		if (young >= YOUNG_MAX || !start(arrivals, job))
			queued = true;
		else
			young++;
	}
	set_timer(arrivals, now, queued);
}

int arrivals_new(sd_event *event, const struct host *host, const struct arrivals_ops *ops,
		 void *userdata, struct arrivals **ret)
{
	struct arrivals *arrivals = calloc(1, sizeof(*arrivals));

	if (!arrivals)
		return -ENOMEM;
	arrivals->event = event;
	arrivals->host = host;
	arrivals->ops = ops;
	arrivals->userdata = userdata;
	*ret = arrivals;
	return 0;
}

struct arrivals *arrivals_free(struct arrivals *arrivals)
{
	if (!arrivals)
		return NULL;
	HASH_FOREACH (arrival, arrivals->waiting)
		drop(arrivals, arrival);
	for (struct job *job = arrivals->jobs, *next; job; job = next) {
		next = job->next;
		free_job(job);
	}
	sd_event_source_disable_unref(arrivals->timer);
	free(arrivals);
	return NULL;
}
