/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of store.h. */

#include "daemon/sysfs/store.h"

#include "daemon/caps.h"
#include "daemon/sysfs/attr.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>

/*
 * sysfs takes a value in one write, or not at all: what a second write would bring is another
 * value. The write itself is not restarted either: the kernel has acted by then.
 */
static int store(const struct host *host, const char *dir_path, const char *attr, const char *value)
{
	_cleanup_close_ int dir = attr_open_dir(host->sys, dir_path), fd = -EBADF;
	size_t size = strlen(value);
	ssize_t k;

	if (dir < 0)
		return dir;
	fd = openat(dir, attr, O_WRONLY | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	k = write(fd, value, size);
	if (k < 0)
		return -errno;
	return (size_t)k == size ? 0 : -EIO;
}

static int store_below(const struct host *host, const char *subsystem, const char *kind,
		       const char *name, const char *attr, const char *value)
{
	_cleanup_free_ char *path = NULL;

	if (!attr_name_valid(subsystem) || !attr_name_valid(name) || !attr_name_valid(attr))
		return -EINVAL;
	if (asprintf(&path, "bus/%s/%s/%s", subsystem, kind, name) < 0)
		return -ENOMEM;
	return store(host, path, attr, value);
}

int store_device(const struct host *host, const char *subsystem, const char *device,
		 const char *attr, const char *value)
{
	return store_below(host, subsystem, "devices", device, attr, value);
}

int store_bus_reset(const struct host *host, const char *bridge)
{
	int r = caps_raise(CAP_SYS_ADMIN), lowered;

	if (r < 0)
		return -EPERM;
	r = store_below(host, "pci", "devices", bridge, "reset_subordinate", "1\n");
	lowered = caps_lower(CAP_SYS_ADMIN);
	return r < 0 ? r : lowered;
}

int store_driver(const struct host *host, const char *subsystem, const char *driver,
		 const char *attr, const char *value)
{
	return store_below(host, subsystem, "drivers", driver, attr, value);
}

int store_group(const struct host *host, uint32_t group, const char *attr, const char *value)
{
	char path[64];

	if (!attr_name_valid(attr))
		return -EINVAL;
	snprintf(path, sizeof(path), "kernel/iommu_groups/%u", group);
	return store(host, path, attr, value);
}

int store_mdev_create(const struct host *host, const char *type, const char *device)
{
	if (!attr_name_valid(device))
		return -EINVAL;
	return store(host, type, "create", device);
}

int store_bus(const struct host *host, const char *subsystem, const char *attr, const char *value)
{
	_cleanup_free_ char *path = NULL;

	if (!attr_name_valid(subsystem) || !attr_name_valid(attr))
		return -EINVAL;
	if (asprintf(&path, "bus/%s", subsystem) < 0)
		return -ENOMEM;
	return store(host, path, attr, value);
}
