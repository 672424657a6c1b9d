/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * In place of daemon/vfio/open.c: a node's fd is the read end of a FIFO in the root of the mocked
 * host, open/NAME with NAME = container, iommufd, group-N or the device's name. The mocked kernel
 * tells by its readers that it is held. It is opened by the node's name in dev/, which is a link to
 * it, so that /proc/PID/fd shows what the real one would.
 */

#include "daemon/vfio/open.h"

#include "daemon/sysfs/attr.h"
#include "tests/mock/mock-kernel.h"
#include "tests/mock/tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static int open_root(const struct host *host)
{
	int fd = openat(host->sys, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* The node is another name of the FIFO; it goes when the device is unbound, the FIFO does not. */
static int open_by_node(int root, const char *node, const char *name)
{
	_cleanup_free_ char *path = mock_asprintf("dev/%s", node);
	_cleanup_free_ char *fifo = mock_asprintf("open/%s", name);
	_cleanup_close_ int first = mk_open(root, name);
	struct stat a, b;
	int fd;

	if (first < 0)
		return first;
	if (fstat(first, &a) < 0 || fstatat(root, path, &b, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (a.st_ino != b.st_ino &&
	    (unlinkat(root, path, 0) < 0 || linkat(root, fifo, root, path, 0) < 0))
		return -errno;
	fd = openat(root, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Opens NAME if `node` is there. */
static int open_node(const struct host *host, const char *node, const char *name)
{
	_cleanup_close_ int root = open_root(host);
	int r;

	if (root < 0)
		return root;
	r = mk_fault(root, "OPEN", name);
	if (r != 0)
		return r < 0 ? r : -EIO;
	if (!tree_exists(root, "dev/%s", node))
		return -ENOENT;
	return open_by_node(root, node, name);
}

int vfio_open_container(const struct host *host)
{
	return open_node(host, "vfio/vfio", "container");
}

int vfio_open_iommufd(const struct host *host)
{
	return open_node(host, "iommu", "iommufd");
}

/* One open at a time, and none while a device of the group is open. */
int vfio_open_group(const struct host *host, uint32_t group)
{
	_cleanup_close_ int root = open_root(host);
	_cleanup_free_ char *name = mock_asprintf("group-%u", group);
	_cleanup_free_ char *node = mock_asprintf("vfio/%u", group);
	_cleanup_strv_ char **members = NULL;

	if (root < 0)
		return root;
	if (mk_is_held(root, name))
		return -EBUSY;
	members = tree_list(root, "sys/kernel/iommu_groups/%u/devices", group);
	STRV_FOREACH (member, members)
		if (mk_is_held(root, *member))
			return -EBUSY;
	return open_node(host, node, name);
}

int vfio_device_node(const struct host *host, const char *device, char **node)
{
	_cleanup_close_ int root = open_root(host);
	_cleanup_free_ char *path = NULL;
	_cleanup_strv_ char **names = NULL;

	if (root < 0)
		return root;
	path = mk_device_path(root, attr_bus_of(host->sys, device), device);
	if (path)
		names = tree_list(root, "%s/vfio-dev", path);
	if (!names || !*names)
		return -ENOENT;
	*node = strdup(*names);
	return *node ? 0 : -ENOMEM;
}

int vfio_open_device(const struct host *host, const char *device)
{
	_cleanup_free_ char *name = NULL, *node = NULL;
	int r = vfio_device_node(host, device, &name);

	if (r < 0)
		return r;
	node = mock_asprintf("vfio/devices/%s", name);
	return open_node(host, node, device);
}

int vfio_node_sysfs(const char *node, char path[static VFIO_NODE_SYSFS_MAX])
{
	int k;

	if (streq(node, "iommu") || streq(node, "vfio/vfio"))
		k = snprintf(path, VFIO_NODE_SYSFS_MAX, "class/misc/%s",
			     streq(node, "iommu") ? "iommu" : "vfio");
	else if (strncmp(node, "vfio/devices/", 13) == 0)
		k = snprintf(path, VFIO_NODE_SYSFS_MAX, "class/vfio-dev/%s", node + 13);
	else if (strncmp(node, "vfio/", 5) == 0)
		k = snprintf(path, VFIO_NODE_SYSFS_MAX, "class/%s", node);
	else
		return -EINVAL;
	return k < 0 || k >= VFIO_NODE_SYSFS_MAX ? -EINVAL : 0;
}

int vfio_node_path(const struct host *host, const char *node)
{
	int fd = openat(host->dev, node, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

const char *fd_link(int fd, char link[static FD_LINK_MAX])
{
	snprintf(link, FD_LINK_MAX, "/proc/self/fd/%d", fd);
	return link;
}
