/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Waiting for udev to be through with a VFIO node. udev applies owner and mode of its rules, writes
 * its database, runs the rules' programs (a setfacl, say), and only then passes the event on to
 * those who listen. So the event is the proof; the database serves for nodes that were there
 * before.
 */

#include "daemon/vfio/node.h"

#include "daemon/sysfs/attr.h"
#include "daemon/util/clock.h"
#include "daemon/vfio/open.h"

#include <fcntl.h>
#include <libudev.h>
#include <poll.h>
#include <stdio.h>

#define POLL_MSEC      20
#define MONITOR_BUFFER (8 * 1024 * 1024)

struct seen {
	char *node; /* path below /dev */
	unsigned long long seqnum;
};

struct node_watch {
	const struct host *host;
	struct udev *udev;
	struct udev_monitor *monitor;
	struct seen *seen; /* the last event that made each node */
	size_t n_seen;
	bool lost;		 /* events were dropped: the database must do */
	unsigned long long mark; /* the kernel's last event number at the mark */
	bool marked;
	char **present; /* nodes that were there at the mark: "class/vfio/9" */
};

struct node_watch *node_watch_free(struct node_watch *watch)
{
	if (!watch)
		return NULL;
	for (size_t i = 0; i < watch->n_seen; i++)
		free(watch->seen[i].node);
	free(watch->seen);
	strv_free(watch->present);
	udev_monitor_unref(watch->monitor);
	udev_unref(watch->udev);
	free(watch);
	return NULL;
}

static int listen_to_udev(struct node_watch *watch)
{
	int r;

	watch->monitor = udev_monitor_new_from_netlink(watch->udev, "udev");
	if (!watch->monitor)
		return errno ? -errno : -ENOMEM;
	r = udev_monitor_filter_add_match_subsystem_devtype(watch->monitor, "vfio", NULL);
	if (r >= 0)
		r = udev_monitor_filter_add_match_subsystem_devtype(watch->monitor, "vfio-dev",
								    NULL);
	if (r < 0)
		return r;
	/* Needs CAP_NET_ADMIN; what is lost in a smaller one is noticed. */
	(void)udev_monitor_set_receive_buffer_size(watch->monitor, MONITOR_BUFFER);
	return udev_monitor_enable_receiving(watch->monitor);
}

int node_watch_new(const struct host *host, struct node_watch **ret)
{
	_cleanup_(node_watch_freep) struct node_watch *watch = calloc(1, sizeof(*watch));
	int r;

	if (!watch)
		return -ENOMEM;
	watch->host = host;
	watch->udev = udev_new();
	if (!watch->udev)
		return errno ? -errno : -ENOMEM;
	r = listen_to_udev(watch);
	if (r < 0)
		return r;
	*ret = STEAL(watch);
	return 0;
}

static int list_class(const struct host *host, const char *class, char ***present)
{
	_cleanup_strv_ char **names = NULL;
	int r = attr_list(host->sys, class, &names);

	if (r == ATTR_MISSING)
		return 0;
	if (r != 0)
		return r > 0 ? -EIO : r;
	STRV_FOREACH (name, names) {
		r = strv_extendf(present, "%s/%s", class, *name);
		if (r < 0)
			return r;
	}
	return 0;
}

int node_watch_mark(struct node_watch *watch)
{
	_cleanup_strv_ char **present = NULL;
	_cleanup_close_ int kernel = -EBADF;
	int64_t number;
	int r;

	r = list_class(watch->host, "class/vfio", &present);
	if (r >= 0)
		r = list_class(watch->host, "class/vfio-dev", &present);
	if (r < 0)
		return r;
	kernel = attr_open_dir(watch->host->sys, "kernel");
	if (kernel < 0)
		return kernel;
	r = attr_read_int(kernel, "uevent_seqnum", 0, INT64_MAX, &number);
	if (r != 0)
		return r > 0 ? -EIO : r;
	watch->mark = (unsigned long long)number;
	watch->marked = true;
	strv_free(watch->present);
	watch->present = STEAL(present);
	return 0;
}

/* ---- events */

static int note(struct node_watch *watch, const char *node, unsigned long long seqnum)
{
	int r;

	for (size_t i = 0; i < watch->n_seen; i++) {
		if (!streq(watch->seen[i].node, node))
			continue;
		if (watch->seen[i].seqnum < seqnum)
			watch->seen[i].seqnum = seqnum;
		return 0;
	}
	r = ARRAY_RESERVE_ONE(watch->seen, watch->n_seen);
	if (r < 0)
		return r;
	watch->seen[watch->n_seen] = (struct seen){ .node = strdup(node), .seqnum = seqnum };
	return watch->seen[watch->n_seen].node ? (watch->n_seen++, 0) : -ENOMEM;
}

/* Takes what is in the socket. */
static int receive(struct node_watch *watch)
{
	for (;;) {
		struct udev_device *device;
		const char *action, *devnode;
		int r = 0;

		errno = 0;
		device = udev_monitor_receive_device(watch->monitor);
		if (!device) {
			if (errno == ENOBUFS) {
				watch->lost = true;
				continue;
			}
			return errno == ENOMEM ? -ENOMEM : 0;
		}
		action = udev_device_get_action(device);
		devnode = udev_device_get_devnode(device);
		if (action && streq(action, "add") && devnode && strncmp(devnode, "/dev/", 5) == 0)
			r = note(watch, devnode + 5, udev_device_get_seqnum(device));
		udev_device_unref(device);
		if (r < 0)
			return r;
	}
}

static bool was_seen(const struct node_watch *watch, const char *node)
{
	for (size_t i = 0; i < watch->n_seen; i++)
		if (streq(watch->seen[i].node, node))
			return watch->seen[i].seqnum > watch->mark;
	return false;
}

/* ---- database */

static bool udev_runs(void)
{
	/* What libudev itself asks: the control socket. */
	return access("/run/udev/control", F_OK) == 0;
}

/* Whether udev's queue is empty: for when events were lost. */
static bool queue_empty(void)
{
	return access("/run/udev/queue", F_OK) < 0 && errno == ENOENT;
}

/* sysfs: "class/SUBSYSTEM/NAME". 1: initialized, 0: not yet, -ENOENT: no such device. */
static int in_database(struct udev *udev, const char *sysfs)
{
	_cleanup_free_ char *subsystem = strdup(sysfs + strlen("class/"));
	struct udev_device *device;
	char *name;
	int r;

	if (!subsystem)
		return -ENOMEM;
	name = strchr(subsystem, '/');
	*name++ = 0;
	errno = 0;
	device = udev_device_new_from_subsystem_sysname(udev, subsystem, name);
	if (!device)
		return errno == ENOMEM ? -ENOMEM : -ENOENT;
	r = udev_device_get_is_initialized(device);
	udev_device_unref(device);
	return r;
}

static int settled(struct node_watch *watch, struct udev *udev, const char *node, const char *sysfs)
{
	int r;

	if (watch) {
		r = receive(watch);
		if (r < 0)
			return r;
		if (watch->marked && !strv_contains(watch->present, sysfs)) {
			if (!watch->lost)
				return was_seen(watch, node);
			if (!queue_empty())
				return 0;
		}
	}
	return in_database(udev, sysfs);
}

static int wait_settled(struct node_watch *watch, struct udev *udev, const char *node,
			const char *sysfs, uint64_t timeout_usec)
{
	uint64_t end = monotonic_usec() + timeout_usec;

	for (;;) {
		struct pollfd p = { .fd = watch ? udev_monitor_get_fd(watch->monitor) : -1,
				    .events = POLLIN };
		int r = settled(watch, udev, node, sysfs);

		if (r != 0)
			return r < 0 ? r : 0;
		if (monotonic_usec() >= end)
			return -ETIMEDOUT;
		/* The database tells nobody: it is asked again. */
		if (poll(&p, 1, POLL_MSEC) < 0 && errno != EINTR)
			return -errno;
	}
}

/* A cdev's entry in sysfs is there also where the kernel makes no node for it. */
static int has_node(const struct host *host, const char *sysfs)
{
	char path[VFIO_NODE_SYSFS_MAX + 8];

	snprintf(path, sizeof(path), "%s/dev", sysfs);
	return faccessat(host->sys, path, F_OK, 0) < 0 ? -errno : 0;
}

int node_settle(const struct host *host, struct node_watch *watch, const char *node,
		uint64_t timeout_usec)
{
	char sysfs[VFIO_NODE_SYSFS_MAX];
	struct udev *udev;
	int r;

	r = vfio_node_sysfs(node, sysfs);
	if (r < 0)
		return r;
	r = has_node(host, sysfs);
	if (r < 0)
		return r;
	if (!udev_runs())
		return 0;
	udev = watch ? udev_ref(watch->udev) : udev_new();
	if (!udev)
		return -ENOMEM;
	r = wait_settled(watch, udev, node, sysfs, timeout_usec);
	udev_unref(udev);
	return r;
}
