/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One write(2) to one attribute of sysfs. This is all that changes a driver or a device, and what
 * a test replaces by a mocked kernel. Every call may block for as long as the kernel likes.
 *
 * Names are single path components; any other is -EINVAL. 0: the whole value was taken. -ENOENT:
 * no such device, driver or attribute; else the kernel's errno.
 */

#include "daemon/sysfs/host.h"

/* bus/SUBSYSTEM/devices/DEVICE/ATTR */
int store_device(const struct host *host, const char *subsystem, const char *device,
		 const char *attr, const char *value);
/*
 * bus/pci/devices/BRIDGE/reset_subordinate. The kernel wants CAP_SYS_ADMIN of whoever writes it:
 * this raises it for that one write, and -EPERM says that it could not.
 */
int store_bus_reset(const struct host *host, const char *bridge);
/* bus/SUBSYSTEM/drivers/DRIVER/ATTR */
int store_driver(const struct host *host, const char *subsystem, const char *driver,
		 const char *attr, const char *value);
/* kernel/iommu_groups/GROUP/ATTR */
int store_group(const struct host *host, uint32_t group, const char *attr, const char *value);
/* bus/SUBSYSTEM/ATTR */
int store_bus(const struct host *host, const char *subsystem, const char *attr, const char *value);
/*
 * TYPE/create, which makes a mediated device of that name and gives it its driver. type: a path
 * below sys, without links in it.
 */
int store_mdev_create(const struct host *host, const char *type, const char *device);
