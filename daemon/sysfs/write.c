/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What vfiod does to a device through sysfs, and what of it is read back: a success code from
 * sysfs is not evidence. The write(2) itself is in store.c.
 */

#include "daemon/sysfs/write.h"

#include "daemon/sysfs/attr.h"
#include "daemon/sysfs/store.h"
#include "policy/topology.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define GROUP_POLL_USEC	   (50 * 1000)
#define PCI_COMMAND	   4
#define PCI_COMMAND_MASTER 0x4

/* An unbind whose driver changes under it is tried again, this often. */
#define UNBIND_TRIES 4

/* An attribute's outcome as an errno, for those who need an answer. */
static int need(int outcome)
{
	switch (outcome) {
	case ATTR_MISSING:
		return -ENOENT;
	case ATTR_DENIED:
		return -EACCES;
	case ATTR_EMPTY:
	case ATTR_OVERSIZED:
	case ATTR_GARBAGE:
	case ATTR_FAILED:
		return -EIO;
	}
	return outcome;
}

/* The directory of a device: an fd of the caller, or -ENOENT and the like. */
static int open_device(const struct host *host, const char *subsystem, const char *device)
{
	_cleanup_free_ char *path = NULL;

	if (!attr_name_valid(subsystem) || !attr_name_valid(device))
		return -EINVAL;
	if (asprintf(&path, "bus/%s/devices/%s", subsystem, device) < 0)
		return -ENOMEM;
	return attr_open_dir(host->sys, path);
}

int sysfs_get_override(const struct host *host, const char *subsystem, const char *device,
		       char **driver)
{
	_cleanup_close_ int dir = open_device(host, subsystem, device);
	_cleanup_free_ char *text = NULL;
	int r;

	*driver = NULL;
	if (dir < 0)
		return dir;
	if (!bus_has_override(subsystem))
		return 0;
	r = attr_read_string(dir, "driver_override", &text);
	if (r == ATTR_EMPTY)
		return 0;
	if (r != 0)
		return need(r);
	/* The kernel prints a NULL pointer so (driver_override_show()). */
	if (!streq(text, "(null)"))
		*driver = STEAL(text);
	return 0;
}

int sysfs_set_override(const struct host *host, const char *subsystem, const char *device,
		       const char *driver)
{
	_cleanup_free_ char *value = NULL, *now = NULL;
	int r;

	if (driver && !attr_name_valid(driver))
		return -EINVAL;
	/* Its bus gives a mediated device to no driver but its parent's. */
	if (!bus_has_override(subsystem))
		return 0;
	if (asprintf(&value, "%s\n", driver ?: "") < 0)
		return -ENOMEM;
	r = store_device(host, subsystem, device, "driver_override", value);
	if (r < 0)
		return r;
	r = sysfs_get_override(host, subsystem, device, &now);
	if (r < 0)
		return r;
	return streq0(now, driver) ? 0 : -EIO;
}

int sysfs_get_driver(const struct host *host, const char *subsystem, const char *device,
		     char **driver)
{
	_cleanup_close_ int dir = open_device(host, subsystem, device);
	int r;

	*driver = NULL;
	if (dir < 0)
		return dir;
	r = attr_read_link(dir, "driver", driver);
	if (r != ATTR_MISSING)
		return need(r);
	/* No driver, or no device any more: its subsystem link goes first. */
	return faccessat(dir, "subsystem", F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : -ENOENT;
}

bool sysfs_has_other_driver(const struct host *host, const char *subsystem, const char *device,
			    const char *driver)
{
	_cleanup_free_ char *now = NULL;
	int r = sysfs_get_driver(host, subsystem, device, &now);

	return r == -ENOENT || (r >= 0 && !streq0(now, driver));
}

int sysfs_unbind(const struct host *host, const char *subsystem, const char *device)
{
	int r = 0;

	for (int i = 0; i < UNBIND_TRIES; i++) {
		_cleanup_free_ char *driver = NULL;

		r = sysfs_get_driver(host, subsystem, device, &driver);
		if (r < 0 || !driver)
			return r;
		r = store_driver(host, subsystem, driver, "unbind", device);
		if (r == 0)
			return 0;
		/* -ENODEV: it is not bound to that driver any more; -ENOENT: the driver is gone. */
		if (r != -ENODEV && r != -ENOENT)
			return r;
	}
	return r;
}

int sysfs_probe(const struct host *host, const char *subsystem, const char *device)
{
	if (!attr_name_valid(device))
		return -EINVAL;
	return store_bus(host, subsystem, "drivers_probe", device);
}

/*
 * The group of a mediated device is made by its driver, and goes after the last fd when that is
 * unbound (vfio_device_remove_group() in drivers/vfio/group.c). One that has its driver is not
 * being unbound. The directory is that of this appearance: one that was made anew meanwhile, under
 * the same name, has a group for as long as it likes.
 */
static int wait_no_group(const struct host *host, const char *subsystem, const char *device)
{
	_cleanup_close_ int dir = open_device(host, subsystem, device);

	if (dir < 0)
		return dir;
	while (faccessat(dir, "driver", F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
		if (faccessat(dir, "iommu_group", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			return errno == ENOENT ? 0 : -errno;
		usleep(GROUP_POLL_USEC);
	}
	return 0;
}

/*
 * While an unbind waits, the kernel has the driver still, which no link shows any more.
 * drivers_probe does nothing for a device that has one, and waits for nothing
 * (bus_rescan_devices_helper() in drivers/base/bus.c); that driver's own `unbind` takes the device
 * lock first, and finds nothing left to do. Of every other driver it is -ENODEV.
 */
static int wait_vfio_unbound(const struct host *host, const char *subsystem, const char *device,
			     const char *vfio_driver)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_strv_ char **drivers = NULL;
	int r;

	if (asprintf(&path, "bus/%s/drivers", subsystem) < 0)
		return -ENOMEM;
	/* A list that cannot be read is no empty one. */
	r = need(attr_list(host->sys, path, &drivers));
	STRV_FOREACH (driver, drivers) {
		if (r < 0 || !driver_is_vfio(*driver, vfio_driver))
			continue;
		r = store_driver(host, subsystem, *driver, "unbind", device);
		if (r == -ENODEV || r == -ENOENT)
			r = 0;
	}
	return r;
}

static int need_override_none(const struct host *host, const char *subsystem, const char *device)
{
	_cleanup_free_ char *override = NULL;
	int r = sysfs_get_override(host, subsystem, device, &override);

	if (r < 0)
		return r;
	return streq0(override, OVERRIDE_NONE) ? 0 : -EPERM;
}

int sysfs_wait_unbound(const struct host *host, const char *subsystem, const char *device,
		       const char *vfio_driver)
{
	int r;

	if (!bus_has_override(subsystem))
		return wait_no_group(host, subsystem, device);
	r = need_override_none(host, subsystem, device);
	if (r >= 0)
		r = wait_vfio_unbound(host, subsystem, device, vfio_driver);
	/* Again: that may have taken hours, and its address may be another device's by now. */
	if (r >= 0)
		r = need_override_none(host, subsystem, device);
	if (r < 0)
		return r;
	/* Takes the device lock, finds no driver of this name, and lets go of it. */
	return sysfs_probe(host, subsystem, device);
}

static uint64_t get_inode(int dir)
{
	struct stat st;

	return dir >= 0 && fstat(dir, &st) == 0 ? st.st_ino : 0;
}

uint64_t sysfs_get_appearance(const struct host *host, const char *subsystem, const char *device)
{
	_cleanup_close_ int dir = open_device(host, subsystem, device);

	return get_inode(dir);
}

uint64_t sysfs_get_group_appearance(const struct host *host, uint32_t group)
{
	_cleanup_close_ int dir = -EBADF;
	char path[64];

	snprintf(path, sizeof(path), "kernel/iommu_groups/%u", group);
	dir = attr_open_dir(host->sys, path);
	return get_inode(dir);
}

int sysfs_get_group_type(const struct host *host, uint32_t group, char *type, size_t size)
{
	char path[64];

	snprintf(path, sizeof(path), "kernel/iommu_groups/%u/type", group);
	return need(attr_read(host->sys, path, type, size));
}

int sysfs_set_group_type(const struct host *host, uint32_t group, const char *type)
{
	char value[40], now[32];
	int r;

	if (!attr_name_valid(type) || strlen(type) >= sizeof(now))
		return -EINVAL;
	snprintf(value, sizeof(value), "%s\n", type);
	r = store_group(host, group, "type", value);
	if (r >= 0)
		r = sysfs_get_group_type(host, group, now, sizeof(now));
	if (r < 0)
		return r;
	return streq(now, type) ? 0 : -EIO;
}

int sysfs_get_identity(const struct host *host, const char *subsystem, const char *device,
		       uint32_t ids[4])
{
	static const char *const attrs[] = { "vendor", "device", "subsystem_vendor",
					     "subsystem_device" };
	_cleanup_close_ int dir = open_device(host, subsystem, device);

	if (dir < 0)
		return dir;
	for (size_t i = 0; i < ARRAY_SIZE(attrs); i++) {
		int r;

		ids[i] = ID_UNKNOWN;
		r = attr_read_hex(dir, attrs[i], 16, &ids[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

int sysfs_set_vf_probe(const struct host *host, const char *device, bool on)
{
	static const char attr[] = "sriov_drivers_autoprobe";
	_cleanup_close_ int dir = -EBADF;
	char text[8];
	int r;

	r = store_device(host, "pci", device, attr, on ? "1\n" : "0\n");
	if (r < 0)
		return r;
	dir = open_device(host, "pci", device);
	if (dir < 0)
		return dir;
	r = attr_read(dir, attr, text, sizeof(text));
	if (r != 0)
		return need(r);
	return streq(text, on ? "1" : "0") ? 0 : -EIO;
}

static int open_config(const struct host *host, const char *device, int flags)
{
	_cleanup_close_ int dir = open_device(host, "pci", device);
	int fd;

	if (dir < 0)
		return dir;
	fd = openat(dir, "config", flags | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The first 64 bytes of config space are for everyone to read; all ones is a device that is gone.
 */
static int read_command(int fd, uint16_t *command)
{
	uint8_t bytes[2];
	ssize_t k = pread(fd, bytes, sizeof(bytes), PCI_COMMAND);

	if (k < 0)
		return -errno;
	if (k != sizeof(bytes))
		return -EIO;
	*command = (uint16_t)(bytes[0] | bytes[1] << 8);
	return *command == 0xffff ? -EIO : 0;
}

int sysfs_get_bus_master(const struct host *host, const char *device, bool *on)
{
	_cleanup_close_ int fd = open_config(host, device, O_RDONLY);
	uint16_t command = 0;
	int r;

	if (fd < 0)
		return fd;
	r = read_command(fd, &command);
	if (r < 0)
		return r;
	*on = command & PCI_COMMAND_MASTER;
	return 0;
}

int sysfs_clear_bus_master(const struct host *host, const char *device)
{
	_cleanup_close_ int fd = open_config(host, device, O_RDWR);
	uint16_t command = 0;
	uint8_t bytes[2];
	ssize_t k;
	int r;

	if (fd < 0)
		return fd;
	r = read_command(fd, &command);
	if (r < 0)
		return r;
	if (!(command & PCI_COMMAND_MASTER))
		return 0;
	command &= (uint16_t)~PCI_COMMAND_MASTER;
	bytes[0] = (uint8_t)(command & 0xff);
	bytes[1] = (uint8_t)(command >> 8);
	k = pwrite(fd, bytes, sizeof(bytes), PCI_COMMAND);
	if (k != sizeof(bytes))
		return k < 0 ? -errno : -EIO;
	r = read_command(fd, &command);
	if (r < 0)
		return r;
	return command & PCI_COMMAND_MASTER ? -EIO : 0;
}
