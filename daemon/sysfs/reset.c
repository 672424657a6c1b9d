/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of reset.h; the write(2) itself is in store.c. */

#include "daemon/sysfs/reset.h"

#include "daemon/sysfs/attr.h"
#include "daemon/sysfs/store.h"
#include "daemon/util/fd.h"

#include <fcntl.h>
#include <stdio.h>

int sysfs_reset(const struct host *host, const char *subsystem, const char *device)
{
	return store_device(host, subsystem, device, "reset", "1\n");
}

int sysfs_reset_bus(const struct host *host, const char *bridge)
{
	return store_bus_reset(host, bridge);
}

bool sysfs_can_reset_bus(const struct host *host, const char *bridge)
{
	_cleanup_free_ char *path = NULL;

	if (!attr_name_valid(bridge) ||
	    asprintf(&path, "bus/pci/devices/%s/reset_subordinate", bridge) < 0)
		return false;
	return faccessat(host->sys, path, F_OK, 0) == 0;
}

/* A service of a port is a device below it, "PORT:pcie" and a number; its driver is a link. */
static bool is_pciehp(int dir, const char *port, const char *entry)
{
	_cleanup_free_ char *path = NULL, *driver = NULL;
	size_t n = strlen(port);

	if (strncmp(entry, port, n) != 0 || strncmp(entry + n, ":pcie", 5) != 0)
		return false;
	if (asprintf(&path, "%s/driver", entry) < 0) {
		path = NULL;
		return true;
	}
	return attr_read_link(dir, path, &driver) == 0 && streq(driver, "pciehp");
}

bool sysfs_has_pciehp(const struct host *host, const char *port)
{
	_cleanup_strv_ char **entries = NULL;
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int dir = -EBADF;

	if (!attr_name_valid(port))
		return false;
	if (asprintf(&path, "bus/pci/devices/%s", port) < 0) {
		path = NULL;
		return true;
	}
	dir = attr_open_dir(host->sys, path);
	if (dir < 0 || attr_list(dir, ".", &entries) < 0)
		return false;
	STRV_FOREACH (entry, entries)
		if (is_pciehp(dir, port, *entry))
			return true;
	return false;
}

bool sysfs_reset_spares_hotplug(const char *release)
{
	unsigned int version, minor;

	if (sscanf(release, "%u.%u", &version, &minor) != 2)
		return false;
	return version > 7 || (version == 7 && minor >= 1);
}

/* ---- what is there */

static bool is_reached(int dir)
{
	_cleanup_free_ char *subsystem = NULL;

	return attr_read_link(dir, "subsystem", &subsystem) == 0 &&
	       (streq(subsystem, "pci") || streq(subsystem, "mdev"));
}

static int list_below(int dir, char ***names);

/* An entry of a device's directory: a device below it, a link to a VF, or something else. */
static int take_entry(int dir, const char *entry, char ***names)
{
	_cleanup_free_ char *vf = NULL;
	_cleanup_close_ int below = -EBADF;
	int r = 0;

	if (strncmp(entry, "virtfn", 6) == 0) {
		r = attr_read_link(dir, entry, &vf);
		return r == 0 && !strv_contains(*names, vf) ? strv_extend(names, vf)
							    : (r < 0 ? r : 0);
	}
	/* A device has its directory in that of the one above it; links lead elsewhere. */
	below = openat(dir, entry, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (below < 0)
		return errno == ENOTDIR || errno == ELOOP || errno == ENOENT ? 0 : -errno;
	if (!is_reached(below))
		return 0;
	if (!strv_contains(*names, entry))
		r = strv_extend(names, entry);
	return r < 0 ? r : list_below(below, names);
}

static int list_below(int dir, char ***names)
{
	_cleanup_strv_ char **entries = NULL;
	int r = attr_list(dir, ".", &entries);

	STRV_FOREACH (entry, entries)
		if (r >= 0)
			r = take_entry(dir, *entry, names);
	return r < 0 ? r : 0;
}

int sysfs_list_below(const struct host *host, const char *device, char ***names)
{
	_cleanup_strv_ char **found = NULL;
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int dir = -EBADF;
	int r;

	if (!attr_name_valid(device))
		return -EINVAL;
	if (asprintf(&path, "bus/pci/devices/%s", device) < 0)
		return -ENOMEM;
	dir = attr_open_dir(host->sys, path);
	r = dir < 0 ? dir : list_below(dir, &found);
	if (r >= 0)
		*names = STEAL(found);
	return r;
}
