/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of sriov.h. */

#include "daemon/lease/sriov.h"

#include "daemon/sysfs/attr.h"
#include "daemon/util/child.h"
#include "daemon/util/fd.h"
#include "daemon/util/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#define PREFIX	   "sriov-"
#define RETRY_USEC (100 * 1000ULL)
#define MEND_MAX   3

struct sriov_change {
	struct sriov_changes *changes;
	char *device;
	unsigned int n, waive;
	int state; /* its file, locked; a child that lives on holds the lock */
	struct child *child;
	bool mending;
	unsigned int n_mended;
	sd_event_source *retry; /* another daemon's child has the lock */
	sriov_done_fn done;	/* NULL: abandoned */
	void *userdata;
	struct report {
		int result;
		enum sriov_step step;
		char why[512];
	} report;
	struct sriov_change *next;
};

/* ---- the child */

/* The topology is as it was when this was decided. */
static int carry_out(const struct sriov_change *change, struct report *report, char **why)
{
	const struct topology *topology = change->changes->topology;
	_cleanup_free_ const struct device **functions = NULL;
	struct sriov_order order = {
		.device = topology_device(topology, change->device),
		.waive = change->waive,
		.n = change->n,
		.state = change->state,
	};

	*why = NULL;
	if (!order.device)
		return -ESTALE;
	functions = calloc(strv_length(order.device->virtual_functions) + 1, sizeof(*functions));
	if (!functions)
		return -ENOMEM;
	STRV_FOREACH (name, order.device->virtual_functions) {
		functions[order.n_functions] = topology_device(topology, *name);
		if (!functions[order.n_functions++])
			return -ESTALE;
	}
	order.functions = functions;
	return sriov_set_number(change->changes->host, &order, &report->step, why);
}

/* When the daemon goes it goes on to its end: nobody decides about the device before that. */
static int child_main(int sock, void *userdata)
{
	struct sriov_change *change = userdata;
	struct report report = { 0 };
	_cleanup_free_ char *why = NULL;

	if (change->mending)
		return sriov_lower_fence(change->changes->host, change->device, change->state) < 0;
	report.result = carry_out(change, &report, &why);
	snprintf(report.why, sizeof(report.why), "%s", why ? why : "");
	return socket_send_fd_borrow(sock, &report, sizeof(report), -EBADF) < 0 ? 1 : 0;
}

/* ---- the file */

static int open_file(const struct sriov_changes *changes, const char *device)
{
	_cleanup_close_ int fd = -EBADF;
	char path[288];

	if (snprintf(path, sizeof(path), "../" PREFIX "%s", device) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = openat(changes->dir, path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : STEAL_FD(fd);
}

static void remove_file(const struct sriov_change *change)
{
	char path[288];

	snprintf(path, sizeof(path), "../" PREFIX "%s", change->device);
	if (unlinkat(change->changes->dir, path, 0) < 0 && errno != ENOENT)
		log_warning("/run/vfiod/" PREFIX "%s: %s", change->device, strerror(errno));
}

/* ---- the parent */

static void set_busy(struct sriov_change *change, bool busy)
{
	struct device *device = topology_device(change->changes->topology, change->device);

	if (device)
		device->sriov_busy = busy;
}

static void change_free(struct sriov_change *change)
{
	struct sriov_change **p = &change->changes->first;

	while (*p && *p != change)
		p = &(*p)->next;
	if (*p)
		*p = change->next;
	child_free(change->child);
	sd_event_source_disable_unref(change->retry);
	fd_close(change->state);
	free(change->device);
	free(change);
}

static void on_message(struct child *child, const void *data, size_t size, void *userdata)
{
	struct sriov_change *change = userdata;

	if (size != sizeof(change->report))
		return;
	memcpy(&change->report, data, sizeof(change->report));
	change->report.why[sizeof(change->report.why) - 1] = 0;
	if (change->report.result > 0)
		change->report.result = -EPROTO;
}

static int mend(struct sriov_change *change);

/* Whoever raised the fence has died, or could not lower it. */
static bool has_to_mend(struct sriov_change *change)
{
	if (!sriov_fence_is_up(change->state))
		return false;
	if (change->n_mended++ < MEND_MAX && mend(change) >= 0)
		return true;
	log_error("%s: sriov_drivers_autoprobe could not be put back to 1; it is tried again when "
		  "vfiod starts",
		  change->device);
	return false;
}

static void finish(struct sriov_change *change)
{
	struct sriov_changes *changes = change->changes;

	/* What is seen now for the first time came of it: see probing_device_came(). */
	changes->settled(change->device, changes->userdata);
	set_busy(change, false);
	if (change->done)
		change->done(change, change->report.result, change->report.step, change->report.why,
			     change->userdata);
	if (!sriov_fence_is_up(change->state))
		remove_file(change);
	change_free(change);
}

static void on_exited(struct child *child, int status, void *userdata)
{
	struct sriov_change *change = userdata;

	change->child = child_free(child);
	if (!has_to_mend(change))
		finish(change);
}

static const struct child_ops ops = {
	.name = "vfiod-sriov",
	.main = child_main,
	.message = on_message,
	.exited = on_exited,
};

static int spawn(struct sriov_change *change)
{
	struct sriov_changes *changes = change->changes;
	const struct host *host = changes->host;
	const int keep[] = { host->sys, host->dev, host->proc, change->state };

	return child_spawn(changes->event, &ops, keep, ARRAY_SIZE(keep), change, &change->child);
}

static int mend(struct sriov_change *change)
{
	change->mending = true;
	return spawn(change);
}

static struct sriov_change *change_new(struct sriov_changes *changes, const char *device)
{
	struct sriov_change *change = calloc(1, sizeof(*change));

	if (!change)
		return NULL;
	change->changes = changes;
	change->report.result = -ECANCELED;
	change->device = strdup(device);
	change->state = open_file(changes, device);
	return change;
}

static void add(struct sriov_change *change)
{
	change->next = change->changes->first;
	change->changes->first = change;
	set_busy(change, true);
}

int sriov_start(struct sriov_changes *changes, const struct device *device, unsigned int n,
		unsigned int waive, sriov_done_fn done, void *userdata, struct sriov_change **ret)
{
	struct sriov_change *change = change_new(changes, device->name);
	int r;

	if (!change)
		return -ENOMEM;
	change->n = n;
	change->waive = waive;
	change->done = done;
	change->userdata = userdata;
	r = !change->device ? -ENOMEM : change->state < 0 ? change->state : 0;
	if (r >= 0 && flock(change->state, LOCK_EX | LOCK_NB) < 0)
		r = -errno;
	if (r >= 0)
		r = spawn(change);
	if (r < 0) {
		change_free(change);
		return r;
	}
	add(change);
	*ret = change;
	return 0;
}

/* ---- after a crash */

static void take_up(struct sriov_change *change);

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct sriov_change *change = userdata;

	change->retry = sd_event_source_disable_unref(change->retry);
	take_up(change);
	return 0;
}

static void take_up(struct sriov_change *change)
{
	int r = 0;

	if (flock(change->state, LOCK_EX | LOCK_NB) >= 0) {
		if (!has_to_mend(change))
			finish(change);
		return;
	}
	/* What is being made, or taken away, is nobody's to lease until that is over. */
	r = sd_event_add_time_relative(change->changes->event, &change->retry, CLOCK_MONOTONIC,
				       RETRY_USEC, 0, on_retry, change);
	if (r < 0)
		log_error("%s: no timer: its virtual functions stay blocked", change->device);
}

static void recover_one(struct sriov_changes *changes, const char *device)
{
	struct sriov_change *change = attr_name_valid(device) ? change_new(changes, device) : NULL;

	if (!change || !change->device || change->state < 0) {
		log_error("/run/vfiod/" PREFIX "%s cannot be taken up", device);
		if (change)
			change_free(change);
		return;
	}
	add(change);
	take_up(change);
}

void sriov_recover(struct sriov_changes *changes)
{
	_cleanup_strv_ char **names = NULL;
	int fd = openat(changes->dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	for (struct dirent *e = dir ? readdir(dir) : NULL; e && r >= 0; e = readdir(dir))
		if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) == 0)
			r = strv_extend(&names, e->d_name + strlen(PREFIX));
	if (!dir || r < 0)
		log_error("changes of virtual functions of an earlier run cannot be looked for");
	if (dir)
		closedir(dir);
	else
		fd_close(fd);
	STRV_FOREACH (name, names)
		recover_one(changes, *name);
}

void sriov_device_came(struct sriov_changes *changes, const char *device)
{
	for (struct sriov_change *change = changes->first; change; change = change->next)
		if (streq(change->device, device))
			set_busy(change, true);
}

void sriov_abandon(struct sriov_change *change)
{
	change->done = NULL;
}

void sriov_changes_done(struct sriov_changes *changes)
{
	while (changes->first)
		change_free(changes->first);
}
