/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* In place of daemon/sysfs/host.c: the host is the mocked one of VFIOD_MOCK_ROOT. */

#include "daemon/sysfs/host.h"

#include <fcntl.h>
#include <stdio.h>

static int open_below(const char *root, const char *name)
{
	_cleanup_free_ char *path = NULL;
	int fd;

	if (asprintf(&path, "%s/%s", root, name) < 0)
		return -ENOMEM;
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int host_open(struct host *host)
{
	const char *root = getenv("VFIOD_MOCK_ROOT");
	_cleanup_free_ char *real_proc = NULL;
	int r;

	*host = (struct host){ -EBADF, -EBADF, -EBADF, -EBADF };
	if (!root)
		return -ENOENT;
	if (asprintf(&real_proc, "%s/real-proc", root) < 0)
		return -ENOMEM;
	host->sys = r = open_below(root, "sys");
	if (r >= 0)
		host->dev = r = open_below(root, "dev");
	if (r >= 0)
		host->proc = r = access(real_proc, F_OK) == 0 ? open_below("/", "proc")
							      : open_below(root, "proc");
	if (r < 0) {
		host_close(host);
		return r;
	}
	host->modules = open_below(root, "modules");
	return 0;
}

void host_close(struct host *host)
{
	host->sys = fd_close(host->sys);
	host->dev = fd_close(host->dev);
	host->proc = fd_close(host->proc);
	if (host->modules > 0)
		host->modules = fd_close(host->modules);
}
