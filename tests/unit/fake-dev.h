/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A /dev with real device nodes and the bit of /sys that names them, in a temporary directory: for
 * the tests of what opens and guards nodes. The nodes are those of harmless devices of memory
 * (null, zero, …), so that they can be opened. Making them needs root.
 */

#include "daemon/sysfs/host.h"
#include "tests/mock/tree.h"

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

struct fake_dev {
	char path[64];
	int root;
	struct host host;
};

static int fake_dev_remove_entry(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(name);
}

static inline bool fake_dev_try(const char *dir)
{
	_cleanup_free_ char *path = mock_asprintf("%s/vfiod-test-mknod-XXXXXX", dir);
	int fd = mkstemp(path);
	bool possible;

	if (fd < 0)
		return false;
	close(fd);
	unlink(path);
	possible = mknod(path, S_IFCHR | 0600, makedev(1, 3)) == 0;
	if (possible) {
		fd = open(path, O_RDWR | O_CLOEXEC);
		possible = fd >= 0;
		close(fd);
	}
	unlink(path);
	return possible;
}

/* Where nodes can be made and opened (/tmp may be mounted nodev); NULL: nowhere. */
static inline const char *fake_dev_directory(void)
{
	static const char *const directories[] = { "/tmp", "/var/tmp", "/run", "/root" };

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		if (fake_dev_try(directories[i]))
			return directories[i];
	return NULL;
}

static inline bool fake_dev_possible(void)
{
	return fake_dev_directory() != NULL;
}

static inline void fake_dev_init(struct fake_dev *fake)
{
	snprintf(fake->path, sizeof(fake->path), "%s/vfiod-test-dev-XXXXXX", fake_dev_directory());
	ck_assert_ptr_nonnull(mkdtemp(fake->path));
	fake->root = open(fake->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(fake->root, 0);
	tree_mkdir(fake->root, "sys/class/vfio");
	tree_mkdir(fake->root, "sys/class/vfio-dev");
	tree_mkdir(fake->root, "sys/class/misc");
	tree_mkdir(fake->root, "sys/bus/pci/devices");
	tree_mkdir(fake->root, "dev/vfio/devices");
	tree_mkdir(fake->root, "proc");
	fake->host.sys = openat(fake->root, "sys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fake->host.dev = openat(fake->root, "dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fake->host.proc = openat(fake->root, "proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static inline void fake_dev_done(struct fake_dev *fake)
{
	close(fake->host.sys);
	close(fake->host.dev);
	close(fake->host.proc);
	close(fake->root);
	nftw(fake->path, fake_dev_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* The node alone; path below /dev. The umask is out of the way. */
static inline void fake_dev_node(struct fake_dev *fake, const char *node, unsigned int minor)
{
	unlinkat(fake->host.dev, node, 0);
	ck_assert_int_eq(mknodat(fake->host.dev, node, S_IFCHR | 0600, makedev(1, minor)), 0);
	ck_assert_int_eq(fchmodat(fake->host.dev, node, 0600, 0), 0);
}

/* What sysfs says of it: "class/vfio/9". */
static inline void fake_dev_sysfs(struct fake_dev *fake, const char *sysfs, unsigned int minor)
{
	_cleanup_free_ char *text = mock_asprintf("1:%u\n", minor);

	tree_write(fake->root, text, "sys/%s/dev", sysfs);
}

/* A PCI device of a group, and its cdev unless minor is 0. */
static inline void fake_dev_device(struct fake_dev *fake, const char *device, unsigned int group,
				   const char *cdev, unsigned int minor)
{
	_cleanup_free_ char *path = mock_asprintf("bus/pci/devices/%s/vfio-dev/%s", device, cdev);

	tree_mkdir(fake->root, "sys/kernel/iommu_groups/%u", group);
	tree_mkdir(fake->root, "sys/%s", path);
	tree_link(fake->root, "sys/class/nothing", "sys/bus/pci/devices/%s/subsystem", device);
	{
		_cleanup_free_ char *target = mock_asprintf("sys/kernel/iommu_groups/%u", group);

		tree_link(fake->root, target, "sys/bus/pci/devices/%s/iommu_group", device);
	}
	if (minor) {
		_cleanup_free_ char *class = mock_asprintf("class/vfio-dev/%s", cdev);
		_cleanup_free_ char *node = mock_asprintf("vfio/devices/%s", cdev);

		fake_dev_sysfs(fake, path, minor);
		fake_dev_sysfs(fake, class, minor);
		fake_dev_node(fake, node, minor);
	}
}

static inline void fake_dev_group(struct fake_dev *fake, unsigned int group, unsigned int minor)
{
	_cleanup_free_ char *sysfs = mock_asprintf("class/vfio/%u", group);
	_cleanup_free_ char *node = mock_asprintf("vfio/%u", group);

	fake_dev_sysfs(fake, sysfs, minor);
	fake_dev_node(fake, node, minor);
}
