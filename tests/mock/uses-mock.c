/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * In place of daemon/sysfs/block-open.c and netlink.c: busy/NAME in the mocked host says that a
 * block device is open exclusively, network/IFNAME has "address A" and "route R" lines.
 */

#include "daemon/sysfs/block-open.h"
#include "daemon/sysfs/netlink.h"

#include "tests/mock/mock-kernel.h"
#include "tests/mock/tree.h"

#include <fcntl.h>

static int open_root(const struct host *host)
{
	int fd = openat(host->sys, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int block_open_exclusive(const struct host *host, const char *name, dev_t number)
{
	_cleanup_close_ int root = open_root(host);
	int fd, r;

	if (root < 0)
		return root;
	r = mk_fault(root, "BLOCK", name);
	if (r < 0)
		return r;
	if (tree_exists(root, "busy/%s", name))
		return -EBUSY;
	fd = openat(host->dev, name, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int netlink_read_interface(const struct host *host, const char *name, unsigned int ifindex,
			   char ***text)
{
	_cleanup_close_ int root = open_root(host);
	_cleanup_free_ char *lines = NULL;
	char *save = NULL;
	int r;

	if (root < 0)
		return root;
	r = mk_fault(root, "NETLINK", name);
	if (r < 0)
		return r;
	lines = tree_read(root, "network/%s", name);
	for (char *l = lines ? strtok_r(lines, "\n", &save) : NULL; l;
	     l = strtok_r(NULL, "\n", &save)) {
		r = strv_extendf(text, "has the %s", l);
		if (r < 0)
			return r;
	}
	return 0;
}
