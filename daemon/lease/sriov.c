/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of sriov.h. */

#include "daemon/lease/sriov.h"

#include "daemon/util/child.h"
#include "daemon/util/fd.h"

#include <poll.h>

struct sriov_change {
	struct sriov_changes *changes;
	char *device;
	unsigned int n;
	struct child *child;
	sriov_done_fn done; /* NULL: abandoned */
	void *userdata;
	int result;
	enum sriov_step step;
	struct sriov_change *next;
};

struct report {
	int result;
	enum sriov_step step;
};

/* ---- the child */

/* The daemon has let go of it: another one may be deciding about the same functions by now. */
static bool hung_up(void *userdata)
{
	struct pollfd p = { .fd = *(int *)userdata, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLRDHUP);
}

static int child_main(int sock, void *userdata)
{
	struct sriov_change *change = userdata;
	struct report report = { 0 };

	report.result = sriov_set_number(change->changes->host, change->device, change->n, hung_up,
					 &sock, &report.step);
	return socket_send_fd_borrow(sock, &report, sizeof(report), -EBADF) < 0 ? 1 : 0;
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
	free(change->device);
	free(change);
}

static void on_message(struct child *child, const void *data, size_t size, void *userdata)
{
	struct sriov_change *change = userdata;
	struct report report;

	if (size != sizeof(report))
		return;
	memcpy(&report, data, sizeof(report));
	change->result = report.result > 0 ? -EPROTO : report.result;
	change->step = report.step;
}

static void on_exited(struct child *child, int status, void *userdata)
{
	struct sriov_change *change = userdata;
	struct sriov_changes *changes = change->changes;

	/* What is seen now for the first time came of it: see probing_device_came(). */
	changes->settled(change->device, changes->userdata);
	set_busy(change, false);
	if (change->done)
		change->done(change, change->result, change->step, change->userdata);
	change_free(change);
}

static const struct child_ops ops = {
	.name = "vfiod-sriov",
	.main = child_main,
	.message = on_message,
	.exited = on_exited,
};

int sriov_start(struct sriov_changes *changes, const char *device, unsigned int n,
		sriov_done_fn done, void *userdata, struct sriov_change **ret)
{
	struct sriov_change *change = calloc(1, sizeof(*change));
	const int keep[] = { changes->host->sys };
	int r;

	if (!change)
		return -ENOMEM;
	change->changes = changes;
	change->n = n;
	change->done = done;
	change->userdata = userdata;
	change->result = -ECANCELED;
	change->device = strdup(device);
	r = change->device ? child_spawn(changes->event, &ops, keep, ARRAY_SIZE(keep), change,
					 &change->child)
			   : -ENOMEM;
	if (r < 0) {
		change_free(change);
		return r;
	}
	change->next = changes->first;
	changes->first = change;
	set_busy(change, true);
	*ret = change;
	return 0;
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
