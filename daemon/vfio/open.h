/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Opens VFIO's nodes: relative to /dev, no symlink followed, a character device, with the device
 * number that sysfs says. Runs in children only: the daemon itself never holds a VFIO fd.
 */

#include "daemon/sysfs/host.h"

/* Each gives an fd of the caller or -errno (-ENODEV: the node is not what sysfs says). */
int vfio_open_container(const struct host *host);
int vfio_open_group(const struct host *host, uint32_t group);
int vfio_open_iommufd(const struct host *host);
/* The cdev of a PCI device, by its sysfs name. */
int vfio_open_device(const struct host *host, const char *device);

/* "vfio3", the name of the cdev of a device, of the caller; -ENOENT: there is none. */
int vfio_device_node(const struct host *host, const char *device, char **node);

/*
 * The O_PATH fd of a node, checked as above and not opened: for who looks at or changes its owner,
 * mode and ACL. node: path below /dev: "vfio/vfio", "vfio/9", "vfio/devices/vfio3", "iommu";
 * -EINVAL for any other (a noiommu node among them). -ENOENT: no such node, or not in sysfs.
 */
int vfio_node_path(const struct host *host, const char *node);

/* The node's directory in sysfs, "class/vfio/9", in `path`; -EINVAL for what is no VFIO node. */
#define VFIO_NODE_SYSFS_MAX 64
int vfio_node_sysfs(const char *node, char path[static VFIO_NODE_SYSFS_MAX]);

/* Reaches an O_PATH fd by name, for calls that take no O_PATH fd: "/proc/self/fd/N". */
#define FD_LINK_MAX 32
const char *fd_link(int fd, char link[static FD_LINK_MAX]);
