/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of block-open.h. */

#include "daemon/sysfs/block-open.h"

#include <fcntl.h>
#include <sys/stat.h>

int block_open_exclusive(const struct host *host, const char *name, dev_t number)
{
	_cleanup_free_ char *node = strdup(name);
	_cleanup_close_ int fd = -EBADF;
	struct stat st;

	if (!node)
		return -ENOMEM;
	/* "cciss!c0d0" is /dev/cciss/c0d0. */
	for (char *p = node; *p; p++)
		if (*p == '!')
			*p = '/';
	/* Looked at before it is opened: opening a wrong node might start something. */
	if (fstatat(host->dev, node, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISBLK(st.st_mode) || st.st_rdev != number)
		return -ENODEV;
	fd = openat(host->dev, node,
		    O_RDONLY | O_EXCL | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISBLK(st.st_mode) || st.st_rdev != number)
		return -ENODEV;
	return STEAL_FD(fd);
}
