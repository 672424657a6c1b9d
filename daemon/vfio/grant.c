/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The implementation of grant.h: everything is opened and attached first, then sent, each fd
 * closed as soon as it is gone. A duplicate that were kept would hold a dead VMM's device.
 */

#include "daemon/vfio/grant.h"

#include "client/vfio-uapi.h"
#include "daemon/sysfs/attr.h"
#include "daemon/util/clock.h"
#include "daemon/vfio/open.h"
#include "policy/topology.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

struct item {
	const char *kind;
	char *name;
	uint32_t group; /* of a group fd */
	int fd;
};

struct sending {
	const struct host *host;
	const struct grant *grant;
	int sock;
	uint64_t timeout_usec;
	uint64_t end; /* of sending, CLOCK_MONOTONIC */
	struct item *items;
	size_t n;
	size_t n_sent;
};

static void sending_done(struct sending *s)
{
	for (size_t i = 0; i < s->n; i++) {
		fd_close(s->items[i].fd);
		free(s->items[i].name);
	}
	free(s->items);
}

/* ---- talking */

/* The time for all messages together, however slowly they are taken. */
static int send_message(struct sending *s, const char *text, int fd)
{
	uint64_t now = monotonic_usec(), left = s->end > now ? s->end - now : 0;
	struct timeval tv = { .tv_sec = (time_t)(left / 1000000),
			      .tv_usec = (suseconds_t)(left % 1000000) };

	/* Zero would mean for ever. */
	if (left == 0)
		return -ETIMEDOUT;
	if (setsockopt(s->sock, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0)
		return -errno;
	return socket_send_fd_borrow(s->sock, text, strlen(text), fd);
}

/* Tells the client why it gets nothing. Returns error, for "return refuse(…)". */
static int refuse(struct sending *s, int error, const char *name, const char *format, ...)
	_printf_(4, 5);
static int refuse(struct sending *s, int error, const char *name, const char *format, ...)
{
	char text[1024], message[1200];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	snprintf(message, sizeof(message), "error %s %s", name, text);
	s->end = monotonic_usec() + s->timeout_usec;
	/* One that is not there to hear it learns it from the hang-up. */
	(void)send_message(s, message, -EBADF);
	return error;
}

/* A failed open of a node, in words. */
static int refuse_open(struct sending *s, int error, const char *what)
{
	switch (error) {
	case -EBUSY:
		return refuse(s, error, "GroupBusy",
			      "%s is open already; whoever has it must close it first", what);
	case -ENOENT:
		return refuse(s, error, "ModeUnsupported",
			      "%s has no node on this kernel; ask for another mode", what);
	case -ENODEV:
	case -ELOOP:
		return refuse(s, error, "DriverFailed",
			      "the node of %s is not the one that sysfs names; see what changes "
			      "/dev/vfio, and release and acquire again",
			      what);
	default:
		return refuse(s, error, "DriverFailed",
			      "%s cannot be opened: %s; see the kernel log", what,
			      strerror(-error));
	}
}

/* ---- items */

/* Takes fd in every case. */
static int add_item(struct sending *s, const char *kind, const char *name, uint32_t group, int fd)
{
	int r = ARRAY_RESERVE_ONE(s->items, s->n);
	char *copy = r < 0 ? NULL : strdup(name);

	if (!copy) {
		fd_close(fd);
		return refuse(s, -ENOMEM, "DriverFailed", "out of memory; try GetFds later");
	}
	s->items[s->n++] = (struct item){ .kind = kind, .name = copy, .group = group, .fd = fd };
	return 0;
}

static int send_all(struct sending *s)
{
	char text[300];
	int r;

	s->end = monotonic_usec() + s->timeout_usec;
	for (size_t i = 0; i < s->n; i++) {
		struct item *item = &s->items[i];

		snprintf(text, sizeof(text), "%s %s", item->kind, item->name);
		r = send_message(s, text, item->fd);
		if (r < 0)
			return r;
		item->fd = fd_close(item->fd);
		s->n_sent++;
	}
	snprintf(text, sizeof(text), "end %zu", s->n_sent);
	return send_message(s, text, -EBADF);
}

/* ---- cdev */

/* Locked memory counts per process: VMMs of one user would starve each other otherwise. */
static int account_per_process(struct sending *s, int iommufd)
{
	struct iommu_option option = {
		.size = sizeof(option),
		.option_id = IOMMU_OPTION_RLIMIT_MODE,
		.op = IOMMU_OPTION_OP_SET,
		.val64 = 1,
	};

	if (ioctl(iommufd, IOMMU_OPTION, &option) == 0)
		return 0;
	return refuse(s, -errno, "DriverFailed",
		      "the iommufd cannot be set to account locked memory per process: %s; see "
		      "that vfiod has CAP_SYS_RESOURCE",
		      strerror(errno));
}

static int open_devices(struct sending *s)
{
	STRV_FOREACH (device, s->grant->devices) {
		int fd = vfio_open_device(s->host, *device), r;

		if (fd < 0)
			return refuse_open(s, fd, *device);
		r = add_item(s, "device", *device, ID_UNKNOWN, fd);
		if (r < 0)
			return r;
	}
	return 0;
}

static int open_cdevs(struct sending *s)
{
	int fd, r;

	if (s->grant->more)
		return open_devices(s);
	fd = vfio_open_iommufd(s->host);
	if (fd < 0)
		return refuse_open(s, fd, "iommufd");
	r = account_per_process(s, fd);
	if (r < 0) {
		fd_close(fd);
		return r;
	}
	r = add_item(s, "iommufd", "-", ID_UNKNOWN, fd);
	return r < 0 ? r : open_devices(s);
}

/* ---- group */

static int device_group(const struct sending *s, const char *device, uint32_t *group)
{
	_cleanup_free_ char *path = NULL, *name = NULL;
	_cleanup_close_ int dir = -EBADF;
	uint64_t id;
	int r;

	if (!attr_name_valid(device))
		return -EINVAL;
	if (asprintf(&path, "bus/%s/devices/%s", attr_bus_of(s->host->sys, device), device) < 0)
		return -ENOMEM;
	dir = attr_open_dir(s->host->sys, path);
	if (dir < 0)
		return dir;
	r = attr_read_link(dir, "iommu_group", &name);
	if (r != 0)
		return r < 0 ? r : -ENOENT;
	r = parse_uint(name, UINT32_MAX, &id);
	if (r < 0)
		return r;
	*group = (uint32_t)id;
	return 0;
}

/* Whether something that is granted needs the group's node. */
static bool group_is_needed(const struct sending *s, uint32_t group)
{
	STRV_FOREACH (device, s->grant->devices) {
		uint32_t of;

		if (device_group(s, *device, &of) < 0 || of == group)
			return true;
	}
	return false;
}

static int check_viable(struct sending *s, int fd, uint32_t group)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };

	if (ioctl(fd, VFIO_GROUP_GET_STATUS, &status) < 0)
		return refuse(s, -errno, "DriverFailed", "the status of group %u: %s", group,
			      strerror(errno));
	if (status.flags & VFIO_GROUP_FLAGS_VIABLE)
		return 0;
	return refuse(s, -EPERM, "GroupNotViable",
		      "the kernel says that a host driver has a device of group %u; see "
		      "\"vfiodctl show %u\", unbind it, and call GetFds",
		      group, group);
}

static int open_group(struct sending *s, uint32_t group)
{
	char name[16], what[32];
	int fd, r;

	snprintf(name, sizeof(name), "%u", group);
	snprintf(what, sizeof(what), "group %u", group);
	fd = vfio_open_group(s->host, group);
	/* Nothing of it is on a VFIO driver: everything is parked on none. */
	if (fd == -ENOENT && !group_is_needed(s, group))
		return 0;
	if (fd < 0)
		return refuse_open(s, fd, what);
	r = check_viable(s, fd, group);
	if (r < 0) {
		fd_close(fd);
		return r;
	}
	return add_item(s, "group", name, group, fd);
}

static int open_container(struct sending *s)
{
	int fd = vfio_open_container(s->host), version;

	if (fd < 0)
		return refuse_open(s, fd, "the VFIO container");
	version = ioctl(fd, VFIO_GET_API_VERSION);
	if (version != VFIO_API_VERSION) {
		fd_close(fd);
		return refuse(s, -EPROTO, "ModeUnsupported",
			      "the kernel speaks VFIO version %d, not %d", version,
			      VFIO_API_VERSION);
	}
	return add_item(s, "container", "-", ID_UNKNOWN, fd);
}

static int attach(struct sending *s, int container)
{
	for (size_t i = 0; i < s->n; i++) {
		struct item *item = &s->items[i];
		int error;

		if (item->group == ID_UNKNOWN)
			continue;
		if (ioctl(item->fd, VFIO_GROUP_SET_CONTAINER, &container) == 0)
			continue;
		error = errno;
		/* The group's DMA belongs to a host driver, or to another open file. */
		if (error == EPERM || error == EBUSY)
			return refuse(s, -error, "GroupNotViable",
				      "group %u cannot be attached: a host driver, or somebody "
				      "else, has its DMA; see \"vfiodctl show %u\"",
				      item->group, item->group);
		return refuse(
			s, -error, "DriverFailed",
			"group %u cannot be attached to the container: %s; see the kernel log",
			item->group, strerror(error));
	}
	return 0;
}

static int set_iommu(struct sending *s, int container)
{
	int type = VFIO_TYPE1v2_IOMMU, error;

	if (ioctl(container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) <= 0)
		type = VFIO_TYPE1_IOMMU;
	if (ioctl(container, VFIO_SET_IOMMU, type) == 0)
		return 0;
	error = errno;
	if (error == EPERM)
		return refuse(s, -error, "UnsafeInterrupts",
			      "the IOMMU does not remap interrupts, so a device could forge them; "
			      "an administrator can accept that with the option "
			      "allow_unsafe_interrupts of vfio_iommu_type1");
	if (error == ENODEV)
		return refuse(s, -error, "ModeUnsupported",
			      "no VFIO IOMMU driver takes all groups of the lease in one "
			      "container; load vfio_iommu_type1, or lease them one by one");
	return refuse(s, -error, "DriverFailed",
		      "the IOMMU driver refused the groups of the lease in one container: %s; "
		      "lease them one by one, and see the kernel log",
		      strerror(error));
}

static int group_fd(const struct sending *s, uint32_t group)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->items[i].group == group)
			return s->items[i].fd;
	return -ENXIO;
}

/* Ids are recycled: the groups that are open must be those that the devices are in now. */
static int check_devices(struct sending *s)
{
	STRV_FOREACH (device, s->grant->devices) {
		uint32_t group = ID_UNKNOWN;
		int r = device_group(s, *device, &group);

		if (r < 0 || group == ID_UNKNOWN || group_fd(s, group) < 0)
			return refuse(s, r < 0 ? r : -ENXIO, "DriverFailed",
				      "%s is in no group of the lease any more; release it",
				      *device);
	}
	return 0;
}

static int get_device(struct sending *s, const char *device)
{
	uint32_t group = ID_UNKNOWN;
	int r = device_group(s, device, &group), fd;

	if (r < 0)
		return refuse(s, r, "DriverFailed", "%s is gone; release the lease", device);
	fd = ioctl(group_fd(s, group), VFIO_GROUP_GET_DEVICE_FD, device);
	if (fd >= 0)
		return add_item(s, "device", device, ID_UNKNOWN, fd);
	r = -errno;
	if (r == -EACCES)
		return refuse(
			s, r, "ModeUnsupported",
			"%s is a virtual function whose physical function is on vfio-pci: the "
			"kernel wants a VF token for it; ask without device-fds and open it "
			"with the token",
			device);
	if (r == -EBUSY)
		return refuse(s, r, "GroupBusy", "%s is open already", device);
	return refuse(s, r, "DriverFailed",
		      "%s cannot be opened in group %u: %s; see the kernel log", device, group,
		      strerror(-r));
}

static int attach_and_open(struct sending *s)
{
	int container = s->items[0].fd, r;

	r = attach(s, container);
	if (r < 0 || !s->grant->device_fds)
		return r;
	r = set_iommu(s, container);
	if (r < 0)
		return r;
	STRV_FOREACH (device, s->grant->devices) {
		r = get_device(s, *device);
		if (r < 0)
			return r;
	}
	return 0;
}

static int open_groups(struct sending *s)
{
	int r = s->grant->more ? 0 : open_container(s);

	for (size_t i = 0; r >= 0 && i < s->grant->n_groups; i++)
		r = open_group(s, s->grant->groups[i]);
	if (r >= 0 && !s->grant->more)
		r = check_devices(s);
	if (r < 0 || s->grant->more)
		return r;
	/* A device is opened only in an attached group. */
	if (s->grant->attach || s->grant->device_fds)
		return attach_and_open(s);
	return 0;
}

/* ---- all of it */

static int open_all(struct sending *s)
{
	switch (s->grant->mode) {
	case MODE_CDEV:
		return open_cdevs(s);
	case MODE_GROUP:
		return open_groups(s);
	case MODE_NODE:
		return 0;
	case MODE_AUTO:
	case MODE_MAX:
	case MODE_INVALID:
		break;
	}
	return refuse(s, -EINVAL, "ModeUnsupported", "the lease has no mode that hands out fds");
}

/* SO_SNDTIMEO holds only for a socket that blocks. */
static int make_blocking(int sock)
{
	int flags = fcntl(sock, F_GETFL);

	if (flags < 0)
		return -errno;
	return fcntl(sock, F_SETFL, flags & ~O_NONBLOCK) < 0 ? -errno : 0;
}

int grant_send(const struct host *host, const struct grant *grant, int sock, uint64_t timeout_usec)
{
	_cleanup_(sending_done) struct sending s = {
		.host = host,
		.grant = grant,
		.sock = sock,
		.timeout_usec = timeout_usec,
	};
	int r = make_blocking(sock);

	if (r < 0)
		return r;
	r = open_all(&s);
	return r < 0 ? r : send_all(&s);
}
