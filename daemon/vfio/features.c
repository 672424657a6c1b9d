/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of features.h. */

#include "daemon/vfio/features.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/utsname.h>

#define PROC_DEVICES_MAX 65536

static bool exists(const struct host *host, const char *path)
{
	return faccessat(host->sys, path, F_OK, 0) == 0;
}

/*
 * The class vfio-dev is there since Linux 6.1 whether its devices have nodes or not, and no device
 * need be bound now. But a kernel with CONFIG_VFIO_DEVICE_CDEV registers character device numbers
 * for them (drivers/vfio/device_cdev.c, vfio_cdev_init()), which /proc/devices shows.
 */
static bool has_cdev(const struct host *host)
{
	_cleanup_free_ char *text = NULL;
	char *state = NULL;

	if (file_read_at(host->proc, "devices", PROC_DEVICES_MAX, &text, NULL) < 0)
		return false;
	for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
		if (streq(line, "Block devices:"))
			break;
		line += strspn(line, " 0123456789");
		if (streq(line, "vfio-dev"))
			return true;
	}
	return false;
}

void features_read(const struct host *host, struct host_features *features)
{
	*features = (struct host_features){
		/* The class goes with CONFIG_VFIO_GROUP, the node with a container behind it. */
		.group = exists(host, "class/vfio") && exists(host, "class/misc/vfio"),
		.iommufd = exists(host, "class/misc/iommu"),
		.cdev = has_cdev(host),
	};
}

void features_release(const struct host *host, char release[static FEATURES_RELEASE_SIZE])
{
	struct utsname name;

	*release = 0;
	if (uname(&name) == 0)
		snprintf(release, FEATURES_RELEASE_SIZE, "%s", name.release);
}
