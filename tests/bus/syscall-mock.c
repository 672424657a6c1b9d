/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * System calls of the daemon's that a test has a hand in: those on its journals, which fail as
 * CREATE/journal, WRITE/journal, FSYNC/journal, RENAME/journal and UNLINK/journal say (of WRITE,
 * "ignore" is a short one), and ioctl().
 *
 * In place of the kernel's ioctls of VFIO and iommufd, on the FIFOs that tests/mock/vfio-mock.c
 * opens: the rules of drivers/vfio/group.c, container.c and drivers/iommu/iommufd (Linux 6.12),
 * as far as the daemon meets them. Every other ioctl goes to the kernel. What is attached is this
 * process' own memory: only the child that hands over ever asks.
 *
 * Faults (mock-kernel.h): STATUS/group-N ("ignore": not viable), ATTACH/group-N, VERSION/container
 * ("ignore": another version), EXTENSION/container ("ignore": no type 1 v2), SET_IOMMU/container,
 * GET_DEVICE/DEVICE, RLIMIT/iommufd. What was done is in the mocked host's log.
 */

#include "client/vfio-uapi.h"
#include "daemon/util/fd.h"
#include "tests/mock/mock-kernel.h"
#include "tests/mock/tree.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define GROUPS_MAX 64

/* The container of this process, which has at most one. */
static struct {
	char *groups[GROUPS_MAX]; /* "9" */
	size_t n;
	bool iommu;
} attached;

int ioctl(int fd, unsigned long request, ...);

static int fail(int error)
{
	errno = error < 0 ? -error : error;
	return -1;
}

/* The name of an fd in the mocked host's open/, of the caller; NULL: it is no mocked node. */
static char *node_name(int root, int fd)
{
	_cleanup_strv_ char **names = NULL;
	struct stat a, b;

	if (fstat(fd, &a) < 0 || !S_ISFIFO(a.st_mode))
		return NULL;
	names = tree_list(root, "open");
	STRV_FOREACH (name, names) {
		_cleanup_free_ char *path = mock_asprintf("open/%s", *name);

		if (fstatat(root, path, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_ino == b.st_ino &&
		    a.st_dev == b.st_dev)
			return STEAL(*name);
	}
	return NULL;
}

/* ---- a group */

static bool is_attached(const char *group)
{
	for (size_t i = 0; i < attached.n; i++)
		if (streq(attached.groups[i], group))
			return true;
	return false;
}

/* No member is on a driver that the kernel counts. */
static bool is_viable(int root, const char *group)
{
	_cleanup_strv_ char **members =
		tree_list(root, "sys/kernel/iommu_groups/%s/devices", group);

	STRV_FOREACH (member, members) {
		_cleanup_free_ char *path = tree_link_path(
			root, "sys/kernel/iommu_groups/%s/devices/%s", group, *member);
		_cleanup_free_ char *driver = tree_link_name(root, "%s/driver", path);
		_cleanup_free_ char *bus = tree_link_name(root, "%s/subsystem", path);

		if (driver && !mk_driver_has(root, bus, driver, "vfio") &&
		    !mk_driver_has(root, bus, driver, "managed-dma"))
			return false;
	}
	return true;
}

static int get_status(int root, const char *name, struct vfio_group_status *status)
{
	int r = mk_fault(root, "STATUS", name);

	if (r < 0)
		return fail(r);
	if (status->argsz < sizeof(*status))
		return fail(EINVAL);
	status->flags = r == 0 && is_viable(root, name + 6) ? VFIO_GROUP_FLAGS_VIABLE : 0;
	if (is_attached(name + 6))
		status->flags |= VFIO_GROUP_FLAGS_CONTAINER_SET | VFIO_GROUP_FLAGS_VIABLE;
	return 0;
}

/* EPERM: iommu_group_claim_dma_owner() found a host driver. */
static int set_container(int root, const char *name, const int *container)
{
	_cleanup_free_ char *what = container ? node_name(root, *container) : NULL;
	int r = mk_fault(root, "ATTACH", name);

	mk_log(root, "ATTACH %s %d\n", name, r);
	if (r != 0)
		return r < 0 ? fail(r) : 0;
	if (!what || !streq(what, "container"))
		return fail(EBADF);
	if (is_attached(name + 6) || attached.n >= GROUPS_MAX)
		return fail(EINVAL);
	if (!is_viable(root, name + 6))
		return fail(EPERM);
	attached.groups[attached.n++] = mock_asprintf("%s", name + 6);
	return 0;
}

static int get_device(int root, const char *name, const char *device)
{
	_cleanup_free_ char *path = mk_device_path(root, "pci", device);
	_cleanup_free_ char *group = NULL, *driver = NULL;
	int r = mk_fault(root, "GET_DEVICE", device);

	mk_log(root, "GET_DEVICE %s %s %d\n", name, device, r);
	if (r != 0)
		return fail(r < 0 ? r : EIO);
	if (!is_attached(name + 6) || !attached.iommu)
		return fail(EINVAL);
	if (path) {
		group = tree_link_name(root, "%s/iommu_group", path);
		driver = tree_link_name(root, "%s/driver", path);
	}
	if (!group || !streq(group, name + 6) || !driver ||
	    !mk_driver_has(root, "pci", driver, "vfio"))
		return fail(ENODEV);
	r = mk_open(root, device);
	return r < 0 ? fail(r) : r;
}

static int group_ioctl(int root, const char *name, unsigned long request, void *arg)
{
	switch (request) {
	case VFIO_GROUP_GET_STATUS:
		return get_status(root, name, arg);
	case VFIO_GROUP_SET_CONTAINER:
		return set_container(root, name, arg);
	case VFIO_GROUP_GET_DEVICE_FD:
		return get_device(root, name, arg);
	}
	return fail(ENOTTY);
}

/* ---- container and iommufd */

static int container_ioctl(int root, unsigned long request, uintptr_t arg)
{
	int r;

	switch (request) {
	case VFIO_GET_API_VERSION:
		r = mk_fault(root, "VERSION", "container");
		return r < 0 ? fail(r) : r > 0 ? VFIO_API_VERSION + 1 : VFIO_API_VERSION;
	case VFIO_CHECK_EXTENSION:
		r = mk_fault(root, "EXTENSION", "container");
		return r < 0	? fail(r)
		       : r == 0 ? arg == VFIO_TYPE1_IOMMU || arg == VFIO_TYPE1v2_IOMMU
				: arg == VFIO_TYPE1_IOMMU;
	case VFIO_SET_IOMMU:
		r = mk_fault(root, "SET_IOMMU", "container");
		mk_log(root, "SET_IOMMU %d %d\n", (int)arg, r);
		if (r != 0)
			return fail(r < 0 ? r : EIO);
		if (attached.n == 0 || attached.iommu)
			return fail(EINVAL);
		attached.iommu = true;
		return 0;
	}
	return fail(ENOTTY);
}

static int iommufd_ioctl(int root, unsigned long request, const struct iommu_option *option)
{
	int r;

	if (request != IOMMU_OPTION)
		return fail(ENOTTY);
	r = mk_fault(root, "RLIMIT", "iommufd");
	mk_log(root, "IOMMU_OPTION %u %u %llu %d\n", option->option_id, option->op,
	       (unsigned long long)option->val64, r);
	if (r != 0)
		return fail(r < 0 ? r : EIO);
	if (option->size < sizeof(*option) || option->option_id != IOMMU_OPTION_RLIMIT_MODE ||
	    option->object_id != 0 || option->val64 > 1)
		return fail(EOPNOTSUPP);
	return 0;
}

/* ---- journals */

static int journal_fault(const char *op)
{
	const char *path = getenv("VFIOD_MOCK_ROOT");
	_cleanup_close_ int root = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -EBADF;

	return root < 0 ? 0 : mk_fault(root, op, "journal");
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && streq(s + n - k, end);
}

/* The daemon calls it for its journals alone. */
int fsync(int fd)
{
	int r = journal_fault("FSYNC");

	return r < 0 ? fail(r) : (int)syscall(SYS_fsync, fd);
}

int openat(int dirfd, const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;
	int r;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	r = flags & O_CREAT && ends_with(path, ".json.tmp") ? journal_fault("CREATE") : 0;
	return r < 0 ? fail(r) : (int)syscall(SYS_openat, dirfd, path, flags, mode);
}

static bool is_journal(int fd)
{
	char link[64], path[512];
	ssize_t k;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	k = readlink(link, path, sizeof(path) - 1);
	if (k < 0)
		return false;
	path[k] = 0;
	return ends_with(path, ".json.tmp");
}

ssize_t write(int fd, const void *data, size_t size)
{
	int r = is_journal(fd) ? journal_fault("WRITE") : 0;

	if (r < 0)
		return fail(r);
	return syscall(SYS_write, fd, data, r == MK_IGNORE ? size / 2 : size);
}

int renameat(int from, const char *old, int to, const char *new)
{
	int r = ends_with(old, ".json.tmp") ? journal_fault("RENAME") : 0;

	return r < 0 ? fail(r) : (int)syscall(SYS_renameat2, from, old, to, new, 0);
}

int unlinkat(int dirfd, const char *path, int flags)
{
	int r = ends_with(path, ".json") ? journal_fault("UNLINK") : 0;

	/* What is not there is gone. */
	if (r == -ENOENT)
		syscall(SYS_unlinkat, dirfd, path, flags);
	return r < 0 ? fail(r) : (int)syscall(SYS_unlinkat, dirfd, path, flags);
}

int ioctl(int fd, unsigned long request, ...)
{
	const char *path = getenv("VFIOD_MOCK_ROOT");
	_cleanup_close_ int root = -EBADF;
	_cleanup_free_ char *name = NULL;
	uintptr_t arg;
	va_list ap;

	va_start(ap, request);
	arg = va_arg(ap, uintptr_t);
	va_end(ap);
	if (path && (_IOC_TYPE(request) == VFIO_TYPE || _IOC_TYPE(request) == IOMMUFD_TYPE)) {
		root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		name = root < 0 ? NULL : node_name(root, fd);
	}
	if (!name)
		return (int)syscall(SYS_ioctl, fd, request, arg);
	if (streq(name, "container"))
		return container_ioctl(root, request, arg);
	if (streq(name, "iommufd"))
		return iommufd_ioctl(root, request, (const struct iommu_option *)arg);
	if (strncmp(name, "group-", 6) == 0)
		return group_ioctl(root, name, request, (void *)arg);
	return fail(ENOTTY);
}
