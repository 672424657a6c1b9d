/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The kernel's own answer to whether a block device is in use. A test links another one. */

#include "daemon/sysfs/host.h"

#include <sys/types.h>

/*
 * Opens a block device exclusively, for reading and without waiting for a medium; no data is read.
 * As long as the fd is open nobody can mount it, or a partition of it. name: of the kernel; number:
 * what sysfs says that it is. An fd of the caller; -EBUSY: somebody has it; -ENOMEDIUM: there is
 * nothing in it that could be used; -ENODEV: the node is another device; -errno.
 */
int block_open_exclusive(const struct host *host, const char *name, dev_t number);
