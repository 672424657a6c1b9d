/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What host drivers make of devices, and who uses it: interfaces, disks, mounts; and faults. */

#include "tests/mock/mock-host.h"

#include <err.h>
#include <fcntl.h>
#include <stdio.h>

/* Adds a line to a file. */
static void append(struct mock_host *mock, const char *line, const char *path)
{
	_cleanup_free_ char *old = tree_read(mock->fd, "%s", path), *text = NULL;

	text = mock_asprintf("%s%s%s\n", old ?: "", old && *old ? "\n" : "", line);
	tree_write(mock->fd, text, "%s", path);
}

char *mock_child_add(struct mock_host *mock, const char *bus, const char *device,
		     const char *subsystem, const char *path, const char *dev)
{
	_cleanup_free_ char *parent = mk_device_path(mock->fd, bus, device), *class_path = NULL;
	_cleanup_free_ char *line = NULL, *children = mock_asprintf("children/%s", device);
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	char *dir;

	if (!parent)
		errx(1, "mock: no device %s", device);
	dir = mock_asprintf("%s/%s", parent, path);
	class_path = mock_asprintf("sys/class/%s", subsystem);
	tree_mkdir(mock->fd, "%s", dir);
	tree_link(mock->fd, class_path, "%s/subsystem", dir);
	tree_link(mock->fd, dir, "%s/%s", class_path, name);
	if (dev) {
		_cleanup_free_ char *text = mock_asprintf("%s\n", dev);

		tree_write(mock->fd, text, "%s/dev", dir);
		tree_write(mock->fd, "", "dev/%s", name);
	}
	line = mock_asprintf("%s %s %s", subsystem, name, path);
	append(mock, line, children);
	mk_event(mock->fd, "add", subsystem, name, dir, NULL, NULL);
	return dir;
}

void mock_net_add(struct mock_host *mock, const char *device, const char *ifname,
		  unsigned int ifindex)
{
	_cleanup_free_ char *path = mock_asprintf("net/%s", ifname);
	_cleanup_free_ char *dir = mock_child_add(mock, "pci", device, "net", path, NULL);
	_cleanup_free_ char *text = mock_asprintf("%u\n", ifindex);

	tree_write(mock->fd, text, "%s/ifindex", dir);
}

void mock_net_configure(struct mock_host *mock, const char *ifname, const char *lines)
{
	tree_write(mock->fd, lines, "network/%s", ifname);
}

void mock_block_add(struct mock_host *mock, const char *device, const char *name, const char *dev)
{
	_cleanup_free_ char *path = mock_asprintf("host0/target0:0:0/0:0:0:0/block/%s", name);
	_cleanup_free_ char *dir = mock_child_add(mock, "pci", device, "block", path, dev);

	tree_mkdir(mock->fd, "%s/holders", dir);
}

void mock_partition_add(struct mock_host *mock, const char *device, const char *disk,
			const char *name, const char *dev)
{
	_cleanup_free_ char *path =
		mock_asprintf("host0/target0:0:0/0:0:0:0/block/%s/%s", disk, name);
	_cleanup_free_ char *dir = mock_child_add(mock, "pci", device, "block", path, dev);

	tree_write(mock->fd, "1\n", "%s/partition", dir);
	tree_mkdir(mock->fd, "%s/holders", dir);
}

void mock_mount_add(struct mock_host *mock, const char *dev, const char *source, const char *target)
{
	_cleanup_free_ char *line = mock_asprintf(
		"%llu 1 %s / %s rw,relatime - ext4 %s rw",
		(unsigned long long)mk_next(mock->fd, "next-mount"), dev, target, source);

	append(mock, line, "proc/1/mountinfo");
}

void mock_block_busy(struct mock_host *mock, const char *name, bool busy)
{
	if (busy)
		tree_write(mock->fd, "", "busy/%s", name);
	else
		tree_remove(mock->fd, "busy/%s", name);
}

void mock_alias_add(struct mock_host *mock, const char *pattern, const char *module)
{
	_cleanup_free_ char *line = mock_asprintf("alias %s %s", pattern, module);

	append(mock, line, "modules/modules.alias");
}

void mock_fail(struct mock_host *mock, const char *op, const char *name, int error, int count)
{
	_cleanup_free_ char *what = error ? mock_asprintf("%d", error) : mock_asprintf("ignore");
	_cleanup_free_ char *text =
		count ? mock_asprintf("%s %d\n", what, count) : mock_asprintf("%s\n", what);

	tree_write(mock->fd, text, "fail/%s/%s", op, name);
}

void mock_fail_after(struct mock_host *mock, const char *op, const char *name, int error, int after)
{
	_cleanup_free_ char *text = error ? mock_asprintf("%d 1 %d\n", error, after)
					  : mock_asprintf("ignore 1 %d\n", after);

	tree_write(mock->fd, text, "fail/%s/%s", op, name);
}

void mock_kill_after(struct mock_host *mock, const char *op, const char *name, int after)
{
	_cleanup_free_ char *text = mock_asprintf("kill 1 %d\n", after);

	tree_write(mock->fd, text, "fail/%s/%s", op, name);
}

void mock_hold(struct mock_host *mock, const char *device, bool held)
{
	if (held)
		tree_write(mock->fd, "", "held/%s", device);
	else
		tree_remove(mock->fd, "held/%s", device);
}
