/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * In place of daemon/sysfs/store.c: a write to sysfs does to the mocked tree what the kernel's
 * driver core would do.
 */

#include "daemon/sysfs/store.h"

#include "daemon/sysfs/attr.h"
#include "tests/mock/mock-host.h"
#include "tests/mock/mock-kernel.h"
#include "tests/mock/tree.h"

#include <fcntl.h>

/* The root of the mocked host is where its sys/ is. */
static int open_root(const struct host *host)
{
	int fd = openat(host->sys, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* The value without its newline. */
static char *strip(const char *value)
{
	return mock_asprintf("%.*s", (int)strcspn(value, "\n"), value);
}

static bool is_reset(const char *attr)
{
	return streq(attr, "reset") || streq(attr, "reset_subordinate");
}

/* In the log when it begins: a test of what comes meanwhile waits for that. */
static int reset(int root, const char *device, const char *attr, const char *text)
{
	mk_log(root, "STORE %s/%s %s\n", device, attr, text);
	return mk_fault(root, "RESET", device);
}

static int remove_mdev(int root, const char *device)
{
	struct mock_host mock = { .fd = root };
	int r;

	if (!tree_exists(root, "sys/bus/mdev/devices/%s", device))
		return -ENOENT;
	r = mk_fault(root, "REMOVE", device);
	mk_log(root, "REMOVE %s %d\n", device, r);
	if (r != 0)
		return r < 0 ? r : 0;
	mock_device_remove(&mock, "mdev", device);
	return 0;
}

int store_device(const struct host *host, const char *subsystem, const char *device,
		 const char *attr, const char *value)
{
	_cleanup_close_ int root = open_root(host);
	_cleanup_free_ char *path = NULL, *text = strip(value);
	int r;

	if (root < 0)
		return root;
	if (!attr_name_valid(subsystem) || !attr_name_valid(device) || !attr_name_valid(attr))
		return -EINVAL;
	if (streq(attr, "driver_override"))
		return mk_override(root, subsystem, device, text);
	if (streq(attr, "sriov_numvfs")) {
		struct mock_host mock = { .fd = root };

		return mock_set_num_vfs(&mock, device, (unsigned int)atoi(text));
	}
	if (streq(subsystem, "mdev") && streq(attr, "remove"))
		return remove_mdev(root, device);
	/* Any other attribute just has the value afterwards. */
	path = mk_device_path(root, subsystem, device);
	if (!path || !tree_exists(root, "%s/%s", path, attr))
		return -ENOENT;
	r = is_reset(attr) ? reset(root, device, attr, text) : mk_fault(root, "STORE", attr);
	if (!is_reset(attr))
		mk_log(root, "STORE %s/%s %s %d\n", device, attr, text, r);
	if (r != 0)
		return r < 0 ? r : 0;
	tree_write(root, value, "%s/%s", path, attr);
	return 0;
}

int store_bus_reset(const struct host *host, const char *bridge)
{
	return store_device(host, "pci", bridge, "reset_subordinate", "1\n");
}

int store_driver(const struct host *host, const char *subsystem, const char *driver,
		 const char *attr, const char *value)
{
	_cleanup_close_ int root = open_root(host);
	_cleanup_free_ char *text = strip(value);

	if (root < 0)
		return root;
	if (!attr_name_valid(subsystem) || !attr_name_valid(driver) || !attr_name_valid(attr))
		return -EINVAL;
	if (!tree_exists(root, "sys/bus/%s/drivers/%s", subsystem, driver))
		return -ENOENT;
	if (streq(attr, "unbind"))
		return mk_unbind(root, subsystem, driver, text);
	if (streq(attr, "bind"))
		return mk_bind_by_hand(root, subsystem, text, driver);
	return -ENOENT;
}

int store_group(const struct host *host, uint32_t group, const char *attr, const char *value)
{
	_cleanup_close_ int root = open_root(host);
	_cleanup_free_ char *text = strip(value), *name = mock_asprintf("%u", group);
	int r;

	if (root < 0)
		return root;
	if (!attr_name_valid(attr))
		return -EINVAL;
	if (!tree_exists(root, "sys/kernel/iommu_groups/%u/%s", group, attr))
		return -ENOENT;
	r = mk_fault(root, "GROUP", name);
	mk_log(root, "GROUP %u/%s %s %d\n", group, attr, text, r);
	if (r != 0)
		return r < 0 ? r : 0;
	tree_write(root, value, "sys/kernel/iommu_groups/%u/%s", group, attr);
	return 0;
}

/* "./devices/PARENT/mdev_supported_types/TYPE" */
int store_mdev_create(const struct host *host, const char *type, const char *device)
{
	_cleanup_close_ int root = open_root(host);
	_cleanup_free_ char *parent = NULL;
	const char *types = strstr(type, "/mdev_supported_types/");
	struct mock_host mock = { .fd = root };
	int r;

	if (root < 0)
		return root;
	if (!types || strncmp(type, "./devices/", 10) != 0 || !tree_exists(root, "sys/%s", type))
		return -ENOENT;
	r = mk_fault(root, "CREATE", device);
	mk_log(root, "CREATE %s %d\n", device, r);
	if (r != 0)
		return r < 0 ? r : 0;
	if (tree_exists(root, "sys/bus/mdev/devices/%s", device))
		return -EEXIST;
	parent = mock_asprintf("%.*s", (int)(types - type) - 10, type + 10);
	mock_mdev_add(&mock, device, parent, strrchr(type, '/') + 1);
	return 0;
}

int store_bus(const struct host *host, const char *subsystem, const char *attr, const char *value)
{
	_cleanup_close_ int root = open_root(host);
	_cleanup_free_ char *text = strip(value);

	if (root < 0)
		return root;
	if (!attr_name_valid(subsystem) || !attr_name_valid(attr))
		return -EINVAL;
	if (streq(attr, "drivers_probe"))
		return mk_probe(root, subsystem, text);
	if (!tree_exists(root, "sys/bus/%s/%s", subsystem, attr))
		return -ENOENT;
	return mk_store_bus(root, subsystem, attr, text);
}
