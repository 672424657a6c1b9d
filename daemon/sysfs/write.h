/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Everything that vfiod writes to sysfs, and the attributes whose reading takes the device lock.
 * All of it can block, for hours: it runs in workers only.
 */

#include "daemon/sysfs/host.h"

/* The name of no driver: keeps every driver off a device. */
#define OVERRIDE_NONE "none"

/*
 * Writes driver_override; NULL clears it. Then reads it back: -EIO if it is another. Blocks
 * behind a probe or an unbind of the device on kernels before 6.12.91.
 */
int sysfs_set_override(const struct host *host, const char *subsystem, const char *device,
		       const char *driver);
/* 0 and a string of the caller, or NULL for no override. -ENOENT: the device is gone. */
int sysfs_get_override(const struct host *host, const char *subsystem, const char *device,
		       char **driver);
/*
 * Unbinds the device from the driver that it is bound to, and returns when the kernel is done: for
 * a VFIO driver that is when the last fd of the device is gone. A device that is bound to none is
 * fine. -ENOENT: the device is gone.
 */
int sysfs_unbind(const struct host *host, const char *subsystem, const char *device);
/*
 * Asks the kernel to find a driver for the device (drivers_probe). A success says nothing: read
 * the driver back. -EINVAL is what a refused probe gives.
 */
int sysfs_probe(const struct host *host, const char *subsystem, const char *device);
/*
 * Returns when no unbind of the device from a VFIO driver is under way: one that somebody else
 * began shows as "no driver" long before it is over. The override must be "none", at the end too
 * (else -EPERM): what is bound by then is unbound, and a probe that is asked for finds nothing.
 * vfio_driver: one that does not tell by its name that it is VFIO's (driver_is_vfio()); or NULL.
 * Mediated devices have no override: theirs is over when the group that VFIO made is gone.
 */
int sysfs_wait_unbound(const struct host *host, const char *subsystem, const char *device,
		       const char *vfio_driver);
/* The bound driver: 0 and a string of the caller, or NULL. -ENOENT: the device is gone. */
int sysfs_get_driver(const struct host *host, const char *subsystem, const char *device,
		     char **driver);
/*
 * Whether it is gone, or on another driver than `driver` (NULL: none). What cannot be read is not.
 * The driver's link goes before the driver lets go: a NIC that has lost its interface that way is
 * not in use, but another than it was.
 */
bool sysfs_has_other_driver(const struct host *host, const char *subsystem, const char *device,
			    const char *driver);
/*
 * The inode of the directory of a device, or of a group: it tells one appearance from the next
 * (struct device in policy/topology.h). Takes no lock. 0: there is none, or it cannot be known.
 */
uint64_t sysfs_get_appearance(const struct host *host, const char *subsystem, const char *device);
uint64_t sysfs_get_group_appearance(const struct host *host, uint32_t group);
/* vendor, device, subsystem_vendor, subsystem_device: ID_UNKNOWN for what cannot be read. */
int sysfs_get_identity(const struct host *host, const char *subsystem, const char *device,
		       uint32_t ids[4]);
/* The domain type of a group: a word. -ENOENT, -EIO: it is not known. Takes no device's lock. */
int sysfs_get_group_type(const struct host *host, uint32_t group, char *type, size_t size);
/*
 * Writes it and reads it back: -EIO if it is another. The kernel refuses (-EPERM, -EBUSY, -EINVAL)
 * while a driver does DMA through the group, and before 6.4 for a group of more than one device.
 */
int sysfs_set_group_type(const struct host *host, uint32_t group, const char *type);
/*
 * sriov_drivers_autoprobe of a physical function: whether its VFs are given drivers when they come.
 * Takes no lock. Then reads it back: -EIO if it is another. -ENOENT: no such function.
 */
int sysfs_set_vf_probe(const struct host *host, const char *device, bool on);
/* Bus mastering (PCI command register bit 2, in the first 64 bytes of config space). */
int sysfs_get_bus_master(const struct host *host, const char *device, bool *on);
int sysfs_clear_bus_master(const struct host *host, const char *device);
