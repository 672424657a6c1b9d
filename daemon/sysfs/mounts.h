/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What is mounted and swapped on, by name: to say who uses a block device. That is not the whole
 * truth (other mount namespaces are not seen): the kernel's refusal of O_EXCL is.
 */

#include "daemon/sysfs/host.h"

#include <sys/types.h>

struct mount {
	dev_t number;
	char *source; /* "/dev/sda1", or whatever the file system calls it */
	char *target; /* decoded, safe to print; NULL: swap space */
};

struct mounts {
	struct mount *items;
	size_t n;
};

/* Of process 1 (where there is none, of this process), and /proc/swaps. 0 or -errno. */
int mounts_read(const struct host *host, struct mounts *mounts);
void mounts_done(struct mounts *mounts);

/* Whether a mount is on the block device of this name and number. */
bool mount_is_on(const struct host *host, const struct mount *mount, const char *name,
		 dev_t number);
