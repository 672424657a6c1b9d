/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The driver core of the mocked kernel: override, unbind, probe, and VFIO's nodes. */

#include "tests/mock/mock-kernel.h"

#include "daemon/util/fd.h"
#include "tests/mock/tree.h"

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#define HELD_POLL_USEC 2000
#define FAILING_USEC   50000 /* of a probe that fails in the end */

char *mk_device_path(int root, const char *bus, const char *device)
{
	return tree_link_path(root, "sys/bus/%s/devices/%s", bus, device);
}

/* The device lock; let go of by closing. */
static int lock_device(int root, const char *device)
{
	_cleanup_free_ char *path = mock_asprintf("lock/%s", device);
	int fd;

	tree_mkdir(root, "lock");
	fd = openat(root, path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd >= 0)
		flock(fd, LOCK_EX);
	return fd;
}

int mk_override(int root, const char *bus, const char *device, const char *value)
{
	_cleanup_free_ char *path = mk_device_path(root, bus, device), *text = NULL;
	_cleanup_close_ int lock = -EBADF;
	int r;

	if (!path)
		return -ENOENT;
	if (tree_exists(root, "old-kernel"))
		lock = lock_device(root, device);
	r = mk_fault(root, "OVERRIDE", device);
	mk_log(root, "OVERRIDE %s %s %d\n", device, *value ? value : "-", r);
	if (r != 0)
		return r < 0 ? r : 0;
	if (!tree_exists(root, "%s/driver_override", path))
		return -ENOENT;
	text = mock_asprintf("%s\n", *value ? value : "(null)");
	tree_write(root, text, "%s/driver_override", path);
	return 0;
}

bool mk_driver_has(int root, const char *bus, const char *driver, const char *line)
{
	_cleanup_free_ char *table = tree_read(root, "drivers/%s/%s", bus, driver);
	char *save = NULL;

	for (char *l = table ? strtok_r(table, "\n", &save) : NULL; l;
	     l = strtok_r(NULL, "\n", &save))
		if (streq(l, line))
			return true;
	return false;
}

/* ---- VFIO's nodes */

static bool has_feature(int root, const char *feature)
{
	_cleanup_free_ char *features = tree_read(root, "features");

	return features && strstr(features, feature);
}

static void make_vfio(int root, const char *path, const char *device, const char *group)
{
	_cleanup_free_ char *dir = NULL, *node = NULL;
	unsigned long long n = mk_next(root, "next-cdev");

	if (has_feature(root, "group") && group && !tree_exists(root, "dev/vfio/%s", group)) {
		_cleanup_free_ char *virtual = mock_asprintf("sys/devices/virtual/vfio/%s", group);
		_cleanup_free_ char *dev = mock_asprintf("243:%s\n", group);

		tree_write(root, dev, "%s/dev", virtual);
		tree_link(root, "sys/class/vfio", "%s/subsystem", virtual);
		tree_link(root, virtual, "sys/class/vfio/%s", group);
		tree_write(root, "", "dev/vfio/%s", group);
		node = mock_asprintf("/dev/vfio/%s", group);
		mk_event(root, "add", "vfio", group, virtual, NULL, node);
	}
	dir = mock_asprintf("%s/vfio-dev/vfio%llu", path, n);
	tree_link(root, "sys/class/vfio-dev", "%s/subsystem", dir);
	if (has_feature(root, "cdev")) {
		_cleanup_free_ char *dev = mock_asprintf("510:%llu\n", n);

		tree_write(root, dev, "%s/dev", dir);
		tree_write(root, "", "dev/vfio/devices/vfio%llu", n);
	}
	tree_link(root, dir, "sys/class/vfio-dev/vfio%llu", n);
	free(node);
	node = mock_asprintf("/dev/vfio/devices/vfio%llu", n);
	mk_event(root, "add", "vfio-dev", strrchr(dir, '/') + 1, dir, NULL, node);
}

/* The cdev goes before the wait, the group after it (vfio_unregister_group_dev()). */
static void drop_cdev(int root, const char *path)
{
	_cleanup_strv_ char **nodes = tree_list(root, "%s/vfio-dev", path);

	STRV_FOREACH (node, nodes) {
		_cleanup_free_ char *dir = mock_asprintf("%s/vfio-dev/%s", path, *node);

		tree_remove(root, "sys/class/vfio-dev/%s", *node);
		tree_remove(root, "dev/vfio/devices/%s", *node);
		tree_remove(root, "acl/vfio!devices!%s", *node);
		mk_event(root, "remove", "vfio-dev", *node, dir, NULL, NULL);
	}
	tree_remove(root, "%s/vfio-dev", path);
}

static bool group_has_vfio(int root, const char *group)
{
	_cleanup_strv_ char **members =
		tree_list(root, "sys/kernel/iommu_groups/%s/devices", group);

	STRV_FOREACH (member, members) {
		_cleanup_free_ char *path = tree_link_path(
			root, "sys/kernel/iommu_groups/%s/devices/%s", group, *member);
		_cleanup_free_ char *driver = tree_link_name(root, "%s/driver", path);
		_cleanup_free_ char *bus = tree_link_name(root, "%s/subsystem", path);

		if (driver && mk_driver_has(root, bus, driver, "vfio"))
			return true;
	}
	return false;
}

static void drop_group(int root, const char *group)
{
	if (!group || group_has_vfio(root, group) || !tree_exists(root, "dev/vfio/%s", group))
		return;
	_cleanup_free_ char *virtual = mock_asprintf("sys/devices/virtual/vfio/%s", group);

	tree_remove(root, "dev/vfio/%s", group);
	tree_remove(root, "acl/vfio!%s", group);
	tree_remove(root, "sys/class/vfio/%s", group);
	tree_remove(root, "%s", virtual);
	/* What the old node's readers hold is an orphan: a new node is another file. */
	tree_remove(root, "open/group-%s", group);
	mk_event(root, "remove", "vfio", group, virtual, NULL, NULL);
}

/* ---- what a host driver makes below its device: interfaces, disks, … */

/* Moves what is there between the device and parked/DEVICE. Lines: "SUBSYSTEM NAME SUBPATH". */
static void move_children(int root, const char *path, const char *device, bool appear)
{
	_cleanup_free_ char *children = tree_read(root, "children/%s", device);
	char *save = NULL;

	for (char *l = children ? strtok_r(children, "\n", &save) : NULL; l;
	     l = strtok_r(NULL, "\n", &save)) {
		_cleanup_free_ char *live = NULL, *parked = NULL;
		char subsystem[64], name[64], below[256];

		if (sscanf(l, "%63s %63s %255s", subsystem, name, below) != 3)
			continue;
		live = mock_asprintf("%s/%s", path, below);
		parked = mock_asprintf("parked/%s/%s", device, name);
		if (tree_exists(root, "%s", appear ? live : parked))
			continue;
		if (appear && tree_exists(root, "%s", parked)) {
			tree_rename(root, parked, live);
			tree_link(root, live, "sys/class/%s/%s", subsystem, name);
			mk_event(root, "add", subsystem, name, live, NULL, NULL);
		} else if (!appear) {
			tree_remove(root, "sys/class/%s/%s", subsystem, name);
			tree_rename(root, live, parked);
			mk_event(root, "remove", subsystem, name, live, NULL, NULL);
		}
	}
}

/* ---- binding */

static bool is_bridge(int root, const char *path)
{
	_cleanup_free_ char *class_code = tree_read(root, "%s/class", path);

	return class_code && strncmp(class_code, "0x0604", 6) == 0;
}

static bool group_is_owned(int root, const char *group)
{
	_cleanup_free_ char *fifo = NULL;

	if (!group)
		return false;
	fifo = mock_asprintf("group-%s", group);
	return tree_exists(root, "owned/%s", group) || mk_is_held(root, fifo);
}

static void set_bus_master(int root, const char *path, bool on)
{
	_cleanup_free_ char *config = mock_asprintf("%s/config", path);
	_cleanup_close_ int fd = openat(root, config, O_RDWR | O_CLOEXEC);
	unsigned char command;

	if (fd < 0 || pread(fd, &command, 1, 4) != 1)
		return;
	command = (unsigned char)(on ? command | 4 : command & ~4);
	(void)!pwrite(fd, &command, 1, 4);
}

/*
 * The driver of a mediated device makes its group, named as for noiommu, and takes it away
 * (vfio_noiommu_group_alloc() in drivers/vfio/group.c). Its number is that of mdev-group/DEVICE.
 */
static void make_mdev_group(int root, const char *path, const char *device)
{
	_cleanup_free_ char *number = tree_read(root, "mdev-group/%s", device), *group = NULL;

	group = mock_asprintf("sys/kernel/iommu_groups/%s", number ?: "200");
	tree_write(root, "vfio-noiommu\n", "%s/name", group);
	tree_write(root, "blocked\n", "%s/type", group);
	tree_write(root, "", "%s/reserved_regions", group);
	tree_link(root, path, "%s/devices/%s", group, device);
	tree_link(root, group, "%s/iommu_group", path);
}

static void drop_mdev_group(int root, const char *path, const char *group)
{
	tree_remove(root, "%s/iommu_group", path);
	if (group)
		tree_remove(root, "sys/kernel/iommu_groups/%s", group);
}

static void link_driver(int root, const char *bus, const char *device, const char *path,
			const char *driver)
{
	_cleanup_free_ char *target = mock_asprintf("sys/bus/%s/drivers/%s", bus, driver);

	tree_link(root, path, "sys/bus/%s/drivers/%s/%s", bus, driver, device);
	tree_link(root, target, "%s/driver", path);
}

/* A probe that fails shows its driver meanwhile (driver_sysfs_add()), and has no event. */
static void fail_to_probe(int root, const char *bus, const char *device, const char *path,
			  const char *driver)
{
	link_driver(root, bus, device, path, driver);
	usleep(FAILING_USEC);
	tree_remove(root, "%s/driver", path);
	tree_remove(root, "sys/bus/%s/drivers/%s/%s", bus, driver, device);
}

/* really_probe(): 0 bound, > 0 the driver refused (the core goes on), < 0 DMA is not free. */
static int bind_driver(int root, const char *bus, const char *device, const char *path,
		       const char *driver)
{
	_cleanup_free_ char *group = NULL;
	bool vfio = mk_driver_has(root, bus, driver, "vfio");

	if (streq(bus, "mdev"))
		make_mdev_group(root, path, device);
	group = tree_link_name(root, "%s/iommu_group", path);
	if (!vfio && !mk_driver_has(root, bus, driver, "managed-dma") &&
	    group_is_owned(root, group))
		return -EBUSY;
	if (vfio && is_bridge(root, path))
		return EINVAL;
	link_driver(root, bus, device, path, driver);
	if (vfio) {
		make_vfio(root, path, device, group);
	} else {
		set_bus_master(root, path, true);
		move_children(root, path, device, true);
	}
	mk_event(root, "bind", bus, device, path, driver, NULL);
	return 0;
}

int mk_bind(int root, const char *bus, const char *device, const char *driver)
{
	_cleanup_free_ char *path = mk_device_path(root, bus, device);
	int r;

	if (!path || !tree_exists(root, "sys/bus/%s/drivers/%s", bus, driver))
		return -ENODEV;
	r = bind_driver(root, bus, device, path, driver);
	return r > 0 ? -r : r;
}

static bool matches(int root, const char *bus, const char *path, const char *driver)
{
	_cleanup_free_ char *override = tree_read(root, "%s/driver_override", path);
	_cleanup_free_ char *vendor = tree_read(root, "%s/vendor", path);
	_cleanup_free_ char *product = tree_read(root, "%s/device", path);
	_cleanup_free_ char *class_code = tree_read(root, "%s/class", path);
	_cleanup_free_ char *id = NULL, *class_line = NULL;

	if (override && *override && !streq(override, "(null)"))
		return streq(override, driver);
	if (mk_driver_has(root, bus, driver, "every"))
		return true;
	if (!vendor || !product || !class_code)
		return false;
	id = mock_asprintf("id %s:%s", vendor + 2, product + 2);
	class_line = mock_asprintf("class %.4s", class_code + 2);
	return mk_driver_has(root, bus, driver, id) || mk_driver_has(root, bus, driver, class_line);
}

/* pci_device_can_probe(): an override counts for more than the switch. */
static bool vf_may_probe(int root, const char *path)
{
	_cleanup_free_ char *name = tree_read(root, "physfn/%s", strrchr(path, '/') + 1);
	_cleanup_free_ char *function = name ? mk_device_path(root, "pci", name) : NULL, *on = NULL;
	_cleanup_free_ char *override = tree_read(root, "%s/driver_override", path);

	if (!function || (override && *override && !streq(override, "(null)")))
		return true;
	on = tree_read(root, "%s/sriov_drivers_autoprobe", function);
	return !on || !streq(on, "0");
}

int mk_bind_by_hand(int root, const char *bus, const char *device, const char *driver)
{
	_cleanup_free_ char *path = mk_device_path(root, bus, device);
	_cleanup_close_ int lock = -EBADF;
	int r;

	if (!path || !matches(root, bus, path, driver))
		return -ENODEV;
	lock = lock_device(root, device);
	r = tree_exists(root, "%s/driver", path) ? -EBUSY : mk_fault(root, "BIND", device);
	mk_log(root, "BIND %s %s %d\n", device, driver, r);
	if (r != 0)
		return r < 0 ? r : 0;
	if (!vf_may_probe(root, path))
		return -ENODEV;
	r = bind_driver(root, bus, device, path, driver);
	return r > 0 ? -r : r;
}

static bool autoprobe_is_off(int root, const char *bus)
{
	_cleanup_free_ char *on = tree_read(root, "sys/bus/%s/drivers_autoprobe", bus);

	return on && streq(on, "0");
}

void mk_first_probe(int root, const char *bus, const char *device)
{
	_cleanup_free_ char *release = tree_read(root, "release");
	bool honoured = release && strverscmp(release, "6.19") >= 0;

	if (!honoured || !autoprobe_is_off(root, bus))
		mk_probe(root, bus, device);
}

void mk_driver_registered(int root, const char *bus, const char *driver)
{
	_cleanup_free_ char *path = mock_asprintf("sys/bus/%s/drivers/%s", bus, driver);
	_cleanup_strv_ char **devices = tree_list(root, "sys/bus/%s/devices", bus);

	STRV_FOREACH (device, devices)
		if (!autoprobe_is_off(root, bus))
			mk_bind_by_hand(root, bus, *device, driver);
	mk_event(root, "add", "drivers", driver, path, NULL, NULL);
}

/*
 * The driver is the kernel's until its removal is over, long after the link went: a lock that
 * whoever unbinds has meanwhile, on a file with the driver's name. -EBADF: somebody else has it.
 */
static int lock_unbinding(int root, const char *device, int how)
{
	_cleanup_free_ char *path = mock_asprintf("unbinding/%s", device);
	_cleanup_close_ int fd = -EBADF;

	tree_mkdir(root, "unbinding");
	fd = openat(root, path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	return fd >= 0 && flock(fd, how) == 0 ? STEAL_FD(fd) : -EBADF;
}

static int mark_unbinding(int root, const char *device, const char *driver)
{
	int fd = lock_unbinding(root, device, LOCK_EX);

	if (fd < 0 || ftruncate(fd, 0) != 0 ||
	    pwrite(fd, driver, strlen(driver), 0) != (ssize_t)strlen(driver))
		err(1, "mock: unbinding/%s", device);
	return fd;
}

/* Shared: who else looks at the same moment is not taken for an unbind. */
static bool is_unbinding(int root, const char *device)
{
	_cleanup_close_ int fd = lock_unbinding(root, device, LOCK_SH | LOCK_NB);

	return fd < 0;
}

/* dev->driver, without the lock: what `unbind` asks first. */
static bool is_driver(int root, const char *path, const char *device, const char *driver)
{
	_cleanup_free_ char *bound = tree_link_name(root, "%s/driver", path), *leaves = NULL;

	if (bound || !is_unbinding(root, device))
		return streq0(bound, driver);
	leaves = tree_read(root, "unbinding/%s", device);
	return streq0(leaves, driver);
}

/* drivers_probe: success says nothing, except that DMA ownership makes it EINVAL. */
int mk_probe(int root, const char *bus, const char *device)
{
	_cleanup_free_ char *path = mk_device_path(root, bus, device);
	_cleanup_strv_ char **drivers = NULL;
	_cleanup_close_ int lock = -EBADF;
	int r;

	if (!path)
		return -ENODEV;
	/* It has a driver, so there is nothing to do, nor to wait for. */
	if (is_unbinding(root, device)) {
		mk_log(root, "PROBE %s 0\n", device);
		return 0;
	}
	lock = lock_device(root, device);
	r = mk_fault(root, "PROBE", device);
	mk_log(root, "PROBE %s %d\n", device, r);
	if (r != 0)
		return r < 0 ? r : 0;
	if (tree_exists(root, "%s/driver", path))
		return 0;
	drivers = tree_list(root, "sys/bus/%s/drivers", bus);
	STRV_FOREACH (driver, drivers) {
		if (!matches(root, bus, path, *driver))
			continue;
		if (!vf_may_probe(root, path)) {
			fail_to_probe(root, bus, device, path, *driver);
			continue;
		}
		r = bind_driver(root, bus, device, path, *driver);
		if (r == 0)
			return 0;
		if (r < 0)
			return -EINVAL;
	}
	return 0;
}

static void wait_released(int root, const char *device)
{
	while (mk_is_held(root, device))
		usleep(HELD_POLL_USEC);
}

int mk_unbind(int root, const char *bus, const char *driver, const char *device)
{
	_cleanup_free_ char *path = mk_device_path(root, bus, device), *bound = NULL;
	_cleanup_free_ char *group = NULL;
	_cleanup_close_ int lock = -EBADF;
	_cleanup_close_ int unbinding = -EBADF;
	bool vfio;
	int r;

	if (!path || !is_driver(root, path, device, driver))
		return -ENODEV;
	lock = lock_device(root, device);
	bound = tree_link_name(root, "%s/driver", path);
	/* Whoever was faster has done it. */
	if (!streq0(bound, driver))
		return 0;
	unbinding = mark_unbinding(root, device, driver);
	r = mk_fault(root, "UNBIND", device);
	mk_log(root, "UNBIND %s %s %d\n", device, driver, r);
	if (r != 0)
		return r < 0 ? r : 0;
	group = tree_link_name(root, "%s/iommu_group", path);
	vfio = mk_driver_has(root, bus, driver, "vfio");
	tree_remove(root, "%s/driver", path);
	tree_remove(root, "sys/bus/%s/drivers/%s/%s", bus, driver, device);
	if (vfio) {
		drop_cdev(root, path);
		wait_released(root, device);
		/* The last close clears bus mastering (vfio_pci_core_disable()). */
		set_bus_master(root, path, false);
		drop_group(root, group);
		if (streq(bus, "mdev"))
			drop_mdev_group(root, path, group);
	} else {
		move_children(root, path, device, false);
	}
	mk_log(root, "UNBOUND %s %s\n", device, driver);
	/* It has no driver any more when that is told. */
	fd_close(STEAL_FD(unbinding));
	mk_event(root, "unbind", bus, device, path, NULL, NULL);
	return 0;
}
