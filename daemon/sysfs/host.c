/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Opens the directories of the real host. A test links another host_open() in place of this. */

#include "daemon/sysfs/host.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/utsname.h>

static int open_dir(const char *path)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int open_modules(void)
{
	_cleanup_free_ char *path = NULL;
	struct utsname name;
	int fd;

	/* The unit hides /lib/modules, and shows what belongs to the running kernel here. */
	fd = open_dir(RUNSTATEDIR "/modules");
	if (fd >= 0 && faccessat(fd, "modules.alias", F_OK, 0) == 0)
		return fd;
	fd_close(fd);
	if (uname(&name) < 0 || asprintf(&path, "/lib/modules/%s", name.release) < 0)
		return -EBADF;
	return open_dir(path);
}

int host_open(struct host *host)
{
	int r;

	*host = (struct host){ -EBADF, -EBADF, -EBADF, -EBADF };
	host->sys = r = open_dir("/sys");
	if (r >= 0)
		host->dev = r = open_dir("/dev");
	if (r >= 0)
		host->proc = r = open_dir("/proc");
	if (r < 0) {
		host_close(host);
		return r;
	}
	/* A kernel without modules, or a file system without them: no variant drivers to find. */
	host->modules = open_modules();
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
