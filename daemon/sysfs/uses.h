/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Why the host needs a device now. Opens block devices and walks /proc: runs in children only.
 */

#include "daemon/sysfs/host.h"
#include "policy/topology.h"

struct uses_query {
	const char *name;    /* 0000:03:00.0 */
	const char *syspath; /* /sys/devices/… */
	const char *driver;  /* bound driver or NULL */
	uint32_t class_code;
	/*
	 * True: block devices are opened O_EXCL, the kernel's own answer (it sees mounts of every
	 * namespace, swap, dm, md, loop, …), and those that open are kept in `held` until the
	 * caller closes them. False: only what can be seen without touching (holders, mountinfo,
	 * swaps): for lists, where an O_EXCL open could make somebody's mount fail.
	 */
	bool exclusive;
};

struct held_fds {
	int *fds;
	size_t n;
};
void held_fds_done(struct held_fds *held); /* closes them */

/*
 * Appends every use of the device to `uses`. held may be NULL unless exclusive. 0 or -errno: then
 * the answer is not known, and the device must be taken as in use.
 */
int uses_read(const struct host *host, const struct uses_query *query, struct held_fds *held,
	      struct use_list *uses);
