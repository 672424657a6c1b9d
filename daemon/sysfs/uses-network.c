/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Network interfaces: one with an address, a route, or something above it is in use. So is a
 * network device whose driver is bound and whose interface is not to be seen: it was moved to
 * another network namespace, and what it does there the kernel does not tell us.
 */

#include "daemon/sysfs/uses-read.h"

#include "daemon/sysfs/attr.h"
#include "daemon/sysfs/netlink.h"

#define CLASS_NETWORK 0x02

static int read_above(struct uses_run *run, const struct below *below)
{
	_cleanup_strv_ char **names = NULL;
	int r = attr_list(run->host->sys, below->path, &names);

	if (r != 0)
		return r < 0 || r == ATTR_MISSING ? (r < 0 ? r : 0) : -EIO;
	STRV_FOREACH (name, names) {
		/* Each upper_X is said; "master" is one of them. */
		if (strncmp(*name, "upper_", 6) == 0)
			r = use_list_add(run->uses, USE_NETWORK, "%s is below %s", below->name,
					 *name + 6);
		if (r < 0)
			return r;
	}
	if (strv_contains(names, "brport") && !strv_contains(names, "master"))
		r = use_list_add(run->uses, USE_NETWORK, "%s is a port of a bridge", below->name);
	return r;
}

static int read_interface(struct uses_run *run, const struct below *below)
{
	_cleanup_strv_ char **text = NULL;
	_cleanup_close_ int dir = below_open(run, below);
	int64_t ifindex;
	int r;

	if (dir < 0)
		return dir == -ENOENT ? 0 : dir;
	r = attr_read_int(dir, "ifindex", 1, INT32_MAX, &ifindex);
	if (r == ATTR_MISSING)
		return 0;
	/* One that is being unregistered: netdev_show() in net/core/net-sysfs.c has EINVAL for it.
	 */
	if (r == ATTR_FAILED)
		return -ENODEV;
	if (r != 0)
		return r < 0 ? r : -EIO;
	r = netlink_read_interface(run->host, below->name, (unsigned int)ifindex, &text);
	if (r < 0)
		return r;
	STRV_FOREACH (s, text) {
		r = use_list_add(run->uses, USE_NETWORK, "%s %s", below->name, *s);
		if (r < 0)
			return r;
	}
	return read_above(run, below);
}

/* Drivers that are bound to a network device and make no interface of it. */
static bool makes_no_interface(const char *driver)
{
	return driver_is_vfio(driver, NULL) || streq(driver, "pci-stub") ||
	       streq(driver, "pcieport");
}

int uses_read_network(struct uses_run *run)
{
	const struct uses_query *query = run->query;
	bool seen = false;
	int r;

	for (size_t i = 0; i < run->n_below; i++) {
		if (!streq(run->below[i].subsystem, "net"))
			continue;
		seen = true;
		r = read_interface(run, &run->below[i]);
		if (r < 0)
			return r;
	}
	if (seen || !query->driver || query->class_code == ID_UNKNOWN ||
	    query->class_code >> 16 != CLASS_NETWORK || makes_no_interface(query->driver))
		return 0;
	return use_list_add(run->uses, USE_NETWORK,
			    "%s has it and its network interface is not in sight: it may be in "
			    "another network namespace",
			    query->driver);
}
