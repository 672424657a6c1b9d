/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * From a node's name to an fd of it that cannot be anything else. A node is first reached by
 * O_PATH, which opens nothing: a wrong device would have been started by a mere open(). Only when
 * its number is the one of sysfs is that same inode opened.
 */

#include "daemon/vfio/open.h"

#include "daemon/sysfs/attr.h"
#include "policy/topology.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

const char *fd_link(int fd, char link[static FD_LINK_MAX])
{
	snprintf(link, FD_LINK_MAX, "/proc/self/fd/%d", fd);
	return link;
}

/* Digits only, no leading zero, at most 32 bits: the form in which the kernel writes ids. */
static bool is_number(const char *s)
{
	uint64_t value;

	if (s[0] < '0' || s[0] > '9' || (s[0] == '0' && s[1]))
		return false;
	return parse_uint(s, UINT32_MAX, &value) == 0;
}

int vfio_node_sysfs(const char *node, char path[static VFIO_NODE_SYSFS_MAX])
{
	const char *name;
	int k;

	if (streq(node, "iommu"))
		k = snprintf(path, VFIO_NODE_SYSFS_MAX, "class/misc/iommu");
	else if (streq(node, "vfio/vfio"))
		k = snprintf(path, VFIO_NODE_SYSFS_MAX, "class/misc/vfio");
	else if (strncmp(node, "vfio/devices/vfio", 17) == 0 && is_number(node + 17))
		k = snprintf(path, VFIO_NODE_SYSFS_MAX, "class/vfio-dev/%s", node + 13);
	else if (strncmp(node, "vfio/", 5) == 0 && is_number(name = node + 5))
		k = snprintf(path, VFIO_NODE_SYSFS_MAX, "class/vfio/%s", name);
	else
		return -EINVAL;
	return k < 0 || k >= VFIO_NODE_SYSFS_MAX ? -EINVAL : 0;
}

/* Component by component, for a kernel or a seccomp filter without openat2(). */
static int open_path_slowly(int dirfd, const char *path)
{
	_cleanup_close_ int dir = -EBADF;

	for (;;) {
		const char *slash = strchrnul(path, '/');
		_cleanup_free_ char *component = strndup(path, (size_t)(slash - path));
		int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC | (*slash ? O_DIRECTORY : 0), fd;

		if (!component)
			return -ENOMEM;
		if (!*component || streq(component, ".") || streq(component, ".."))
			return -EINVAL;
		fd = openat(dir >= 0 ? dir : dirfd, component, flags);
		if (fd < 0)
			return errno == ENOTDIR ? -ELOOP : -errno;
		if (!*slash)
			return fd;
		fd_close(dir);
		dir = fd;
		path = slash + 1;
	}
}

/* An O_PATH fd of what is at `path` itself; -ELOOP where a symlink is on the way. */
static int open_path(int dirfd, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));

	if (fd >= 0)
		return (int)fd;
	if (errno != ENOSYS && errno != EPERM && errno != EAGAIN)
		return -errno;
	return open_path_slowly(dirfd, path);
}

/* The device number that sysfs has for a directory of a class. */
static int read_number(const struct host *host, const char *sysfs, dev_t *number)
{
	_cleanup_close_ int dir = attr_open_dir(host->sys, sysfs);
	int r;

	if (dir < 0)
		return dir == -ENOTDIR ? -ENOENT : dir;
	r = attr_read_dev(dir, "dev", number);
	if (r == ATTR_MISSING)
		return -ENOENT;
	return r > 0 ? -ENODEV : r;
}

int vfio_node_path(const struct host *host, const char *node)
{
	_cleanup_close_ int fd = -EBADF;
	char sysfs[VFIO_NODE_SYSFS_MAX];
	struct stat st;
	dev_t number;
	int r;

	r = vfio_node_sysfs(node, sysfs);
	if (r < 0)
		return r;
	r = read_number(host, sysfs, &number);
	if (r < 0)
		return r;
	fd = open_path(host->dev, node);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	/* Without openat2() this opens the link itself. */
	if (S_ISLNK(st.st_mode))
		return -ELOOP;
	if (!S_ISCHR(st.st_mode) || st.st_rdev != number)
		return -ENODEV;
	return STEAL_FD(fd);
}

static int open_node(const struct host *host, const char *node)
{
	_cleanup_close_ int path = vfio_node_path(host, node), fd = -EBADF;
	char link[FD_LINK_MAX], sysfs[VFIO_NODE_SYSFS_MAX];
	struct stat st;
	dev_t number;
	int r;

	if (path < 0)
		return path;
	fd = open(fd_link(path, link), O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	/*
	 * Numbers are recycled: the device may have gone and another come between reading the
	 * number and the open. What is open now stays; that it is the one is asked again.
	 */
	r = vfio_node_sysfs(node, sysfs);
	if (r >= 0)
		r = read_number(host, sysfs, &number);
	if (r < 0)
		return r == -ENOENT ? -ENODEV : r;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISCHR(st.st_mode) || st.st_rdev != number)
		return -ENODEV;
	return STEAL_FD(fd);
}

int vfio_open_container(const struct host *host)
{
	return open_node(host, "vfio/vfio");
}

int vfio_open_iommufd(const struct host *host)
{
	return open_node(host, "iommu");
}

int vfio_open_group(const struct host *host, uint32_t group)
{
	char node[32];

	/* A noiommu group's node is "vfio/noiommu-9": this name never means one. */
	snprintf(node, sizeof(node), "vfio/%u", group);
	return open_node(host, node);
}

static bool has_number(const struct host *host, const char *directory, const char *name)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/%s/dev", directory, name) < 0) {
		path = NULL;
		return false;
	}
	return faccessat(host->sys, path, F_OK, 0) == 0;
}

int vfio_device_node(const struct host *host, const char *device, char **node)
{
	_cleanup_strv_ char **names = NULL;
	_cleanup_free_ char *path = NULL;
	int r;

	if (!attr_name_valid(device))
		return -EINVAL;
	if (asprintf(&path, "bus/%s/devices/%s/vfio-dev", attr_bus_of(host->sys, device), device) <
	    0)
		return -ENOMEM;
	r = attr_list(host->sys, path, &names);
	if (r == ATTR_MISSING)
		return -ENOENT;
	if (r != 0)
		return r > 0 ? -EIO : r;
	STRV_FOREACH (name, names) {
		if (strncmp(*name, "vfio", 4) != 0 || !is_number(*name + 4))
			continue;
		/* Since Linux 6.1 it is there also where the kernel makes no nodes. */
		if (!has_number(host, path, *name))
			continue;
		*node = strdup(*name);
		return *node ? 0 : -ENOMEM;
	}
	return -ENOENT;
}

int vfio_open_device(const struct host *host, const char *device)
{
	_cleanup_free_ char *name = NULL, *again = NULL, *node = NULL;
	_cleanup_close_ int fd = -EBADF;
	int r;

	r = vfio_device_node(host, device, &name);
	if (r < 0)
		return r;
	if (asprintf(&node, "vfio/devices/%s", name) < 0)
		return -ENOMEM;
	fd = open_node(host, node);
	if (fd < 0)
		return fd;
	/* An open cdev keeps its device from being unbound, so this answer holds. */
	r = vfio_device_node(host, device, &again);
	if (r < 0)
		return r == -ENOENT ? -ENODEV : r;
	return streq(name, again) ? STEAL_FD(fd) : -ENODEV;
}
