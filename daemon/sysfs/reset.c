/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of reset.h; the write(2) itself is in store.c. */

#include "daemon/sysfs/reset.h"

#include "daemon/sysfs/attr.h"
#include "daemon/sysfs/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <time.h>

/* Somebody probes, unbinds or opens a device now and then; who waits in an unbind keeps its lock. */
#define TRIES	   50
#define PAUSE_MSEC 100

int sysfs_reset(const struct host *host, const char *subsystem, const char *device)
{
	return store_device(host, subsystem, device, "reset", "1\n");
}

int sysfs_reset_bus(const struct host *host, const char *bridge)
{
	const struct timespec pause = { .tv_nsec = PAUSE_MSEC * 1000000L };
	int r = -EAGAIN;

	for (int i = 0; i < TRIES && r == -EAGAIN; i++) {
		if (i > 0)
			nanosleep(&pause, NULL);
		r = store_bus_reset(host, bridge);
	}
	return r;
}

bool sysfs_can_reset_bus(const struct host *host, const char *bridge)
{
	_cleanup_free_ char *path = NULL;

	if (!attr_name_valid(bridge) ||
	    asprintf(&path, "bus/pci/devices/%s/reset_subordinate", bridge) < 0)
		return false;
	return faccessat(host->sys, path, F_OK, 0) == 0;
}
