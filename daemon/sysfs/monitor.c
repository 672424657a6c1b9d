/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The two uevent sockets, by libudev. Each is drained a bounded number of events per turn of the
 * loop, so that a burst of them does not keep everything else waiting.
 */

#include "daemon/sysfs/monitor.h"

#include "daemon/util/clock.h"
#include "daemon/util/fd.h"

#include <libudev.h>
#include <sys/socket.h>

#define EVENTS_PER_TURN 64
/*
 * A receive buffer for bursts: some 10000 events. More than net.core.rmem_max needs CAP_NET_ADMIN;
 * without it the kernel gives rmem_max, and ENOBUFS says when that was not enough.
 */
#define RECEIVE_BUFFER (16 * 1024 * 1024)

/*
 * What concerns the topology (its buses and IOMMUs), VFIO's nodes, and what is made of devices
 * on the host's side: the uses of a device change with them.
 */
static const char *const subsystems[] = {
	"pci",	     "platform",       "mdev",	   "amba", "fsl-mc",   "cdx",
	"iommu",     "vfio",	       "vfio-dev", "misc", "net",      "block",
	"drm",	     "sound",	       "graphics", "nvme", "watchdog", "tty",
	"vtconsole", "nvme-subsystem", "drivers",
};

struct source {
	struct monitor *monitor;
	struct udev_monitor *udev_monitor;
	sd_event_source *event_source;
	bool udev;
};

struct monitor {
	const struct monitor_ops *ops;
	void *userdata;
	struct udev *udev;
	struct source sources[2];
	bool in_callback;
	bool freed;
};

static void deliver(struct source *source, struct udev_device *device)
{
	struct uevent event = {
		.action = udev_device_get_action(device),
		.subsystem = udev_device_get_subsystem(device),
		.name = udev_device_get_sysname(device),
		.syspath = udev_device_get_syspath(device),
		.devnode = udev_device_get_devnode(device),
		.driver = udev_device_get_property_value(device, "DRIVER"),
		.error_event = udev_device_get_property_value(device, "ERROR_EVENT"),
		.online = streq0(udev_device_get_property_value(device, "DEVICE_ONLINE"), "1"),
		.seqnum = udev_device_get_seqnum(device),
		.usec = monotonic_usec(),
		.udev = source->udev,
	};

	if (event.action && event.subsystem && event.name && event.syspath)
		source->monitor->ops->event(&event, source->monitor->userdata);
}

static struct monitor *monitor_destroy(struct monitor *monitor)
{
	for (size_t i = 0; i < ARRAY_SIZE(monitor->sources); i++) {
		sd_event_source_disable_unref(monitor->sources[i].event_source);
		udev_monitor_unref(monitor->sources[i].udev_monitor);
	}
	udev_unref(monitor->udev);
	free(monitor);
	return NULL;
}

/*
 * The kernel's events come before all other work: a device that is to be fenced is told of there.
 * But in a burst, which is more than a turn takes, they wait for their turn like everything else.
 */
static int set_priority(struct source *source, bool burst)
{
	return sd_event_source_set_priority(source->event_source,
					    source->udev || burst ? SD_EVENT_PRIORITY_NORMAL
								  : SD_EVENT_PRIORITY_IMPORTANT);
}

/* False: nothing is left for now. */
static bool receive_one(struct source *source)
{
	struct udev_device *device;

	errno = 0;
	device = udev_monitor_receive_device(source->udev_monitor);
	if (device) {
		deliver(source, device);
		udev_device_unref(device);
		return true;
	}
	if (errno == ENOBUFS) {
		source->monitor->ops->lost(source->udev, source->monitor->userdata);
		return true;
	}
	/* A message that is no event (EBADMSG, EINVAL, …) does not hide the ones behind it. */
	return errno != EAGAIN && errno != 0 && errno != EBADF;
}

static int on_readable(sd_event_source *event_source, int fd, uint32_t revents, void *userdata)
{
	struct source *source = userdata;
	struct monitor *monitor = source->monitor;

	bool drained = false;

	monitor->in_callback = true;
	for (int i = 0; i < EVENTS_PER_TURN && !monitor->freed && !drained; i++)
		drained = !receive_one(source);
	monitor->in_callback = false;
	if (!monitor->freed)
		return set_priority(source, !drained);
	monitor_destroy(monitor);
	return 0;
}

static void enlarge_buffer(int fd)
{
	int size = RECEIVE_BUFFER;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

static int start_source(struct source *source, sd_event *event)
{
	int fd, r;

	source->udev_monitor = udev_monitor_new_from_netlink(source->monitor->udev,
							     source->udev ? "udev" : "kernel");
	if (!source->udev_monitor)
		return errno ? -errno : -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(subsystems); i++) {
		r = udev_monitor_filter_add_match_subsystem_devtype(source->udev_monitor,
								    subsystems[i], NULL);
		if (r < 0)
			return r;
	}
	r = udev_monitor_enable_receiving(source->udev_monitor);
	if (r < 0)
		return r;
	fd = udev_monitor_get_fd(source->udev_monitor);
	enlarge_buffer(fd);
	r = sd_event_add_io(event, &source->event_source, fd, EPOLLIN, on_readable, source);
	if (r < 0)
		return r;
	return set_priority(source, false);
}

int monitor_new(sd_event *event, const struct monitor_ops *ops, void *userdata,
		struct monitor **ret)
{
	_cleanup_(monitor_freep) struct monitor *monitor = calloc(1, sizeof(*monitor));
	int r;

	if (!monitor)
		return -ENOMEM;
	monitor->ops = ops;
	monitor->userdata = userdata;
	monitor->udev = udev_new();
	if (!monitor->udev)
		return errno ? -errno : -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(monitor->sources); i++) {
		monitor->sources[i].monitor = monitor;
		monitor->sources[i].udev = i == 1;
		r = start_source(&monitor->sources[i], event);
		if (r < 0)
			return r;
	}
	*ret = STEAL(monitor);
	return 0;
}

struct monitor *monitor_free(struct monitor *monitor)
{
	if (!monitor)
		return NULL;
	/* A callback may free what called it. */
	if (monitor->in_callback) {
		monitor->freed = true;
		return NULL;
	}
	return monitor_destroy(monitor);
}
