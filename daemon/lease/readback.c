/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of readback.h. */

#include "daemon/lease/readback.h"

#include "daemon/sysfs/attr.h"
#include "daemon/sysfs/write.h"
#include "policy/topology.h"

#include <stdio.h>

static int say(char **why, int outcome, const char *device, const char *what, const char *driver)
{
	return asprintf(why, "%s %s %s", device, what, driver ? driver : "no driver") < 0 ? -ENOMEM
											  : outcome;
}

/* Drivers that the kernel does not count, whatever the device. */
static bool counts(const char *name, const char *driver)
{
	const struct device device = {
		.name = (char *)name,
		.subsystem = (char *)"pci",
		.driver = (char *)driver,
	};

	return driver_counts(&device);
}

static int check_stranger(const char *name, const char *driver, bool strict, char **why)
{
	if (!strict && (!driver || !counts(name, driver)))
		return 0;
	return say(why, READBACK_STRANGER, name, "has come to the group, on", driver);
}

static int check_member(const struct host *host, const struct lease *lease, const char *name,
			bool strict, char **why)
{
	const struct lease_device *d = lease_device(lease, name);
	_cleanup_free_ char *driver = NULL;
	int r;

	r = sysfs_get_driver(host, attr_bus_of(host->sys, name), name, &driver);
	if (r == -ENOENT)
		return 0; /* it goes this very moment */
	if (r < 0)
		return r;
	/* What has the address of one that went is a stranger as well, until it is fenced. */
	if (!d || d->gone)
		return check_stranger(name, driver, strict, why);
	if (streq0(driver, d->left ? d->saved_driver : d->target_driver))
		return 0;
	/* On its way: a worker of ours has it, and shuts it off or vouches for it. */
	if (d->parking && (!driver || streq0(driver, d->target_driver)))
		return 0;
	/* A port that lost its driver is no harm. */
	if (d->left && (!driver || !counts(name, driver)))
		return 0;
	return say(why, READBACK_DIFFERS, name, "is on", driver);
}

static int check_group(const struct host *host, const struct lease *lease, uint32_t id, bool strict,
		       char **why)
{
	_cleanup_strv_ char **names = NULL;
	char path[64];
	int r;

	snprintf(path, sizeof(path), "kernel/iommu_groups/%u/devices", id);
	r = attr_list(host->sys, path, &names);
	if (r < 0)
		return r;
	/* That of a mediated device goes with its driver, and comes back as another one. */
	for (size_t i = 0; i < lease->n_devices; i++) {
		const struct lease_device *d = &lease->devices[i];

		if (d->group == id && !d->gone &&
		    !bus_has_override(attr_bus_of(host->sys, d->name)) &&
		    !strv_contains(names, d->name))
			return say(why, READBACK_DIFFERS, d->name, "is in another group, on",
				   d->target_driver);
	}
	STRV_FOREACH (name, names) {
		r = check_member(host, lease, *name, strict, why);
		if (r != 0)
			return r;
	}
	return 0;
}

int lease_read_back(const struct host *host, const struct lease *lease, bool strict, char **why)
{
	int r = 0;

	*why = NULL;
	for (size_t i = 0; r == 0 && i < lease->n_groups; i++)
		if (!lease->groups[i].gone)
			r = check_group(host, lease, lease->groups[i].id, strict, why);
	return r;
}
