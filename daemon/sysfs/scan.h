/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Reads the topology from sysfs. Only attributes that take no device lock are read here, for this
 * runs in the event loop: not driver_override (before 6.12.91), not sriov_numvfs.
 */

#include "daemon/sysfs/host.h"
#include "policy/topology.h"

#include <libudev.h>

/* What changed, one object at a time; called after the topology has it (or has it no more). */
enum topology_object { OBJECT_IOMMU, OBJECT_GROUP, OBJECT_DEVICE };
typedef void (*scan_changed_fn)(enum topology_object object, const char *name, uint32_t group,
				enum topology_change change, void *userdata);

struct scanner {
	const struct host *host;
	struct udev_hwdb *hwdb; /* or NULL: no model names */
	struct topology *topology;
	scan_changed_fn changed; /* or NULL */
	void *userdata;
	/* The scan's own: names and numbers that are kept between scans. NULL at first. */
	struct scan_cache *cache;
};

/*
 * Reads the error counters of a device again. TOPOLOGY_SAME, TOPOLOGY_CHANGED (the topology has
 * the new ones) or -errno.
 */
int scan_read_errors(struct scanner *scanner, const char *name);

/* Frees what the scanner keeps; the topology stays. */
void scanner_done(struct scanner *scanner);

/* What a group is a bus of: the subsystems whose devices are scanned. */
extern const char *const scan_subsystems[]; /* pci, platform, mdev, …, NULL */

/*
 * Walks all of sysfs and makes the topology equal to it: adds, updates and removes. Also used
 * when events were lost. 0 or -errno; a device that vanishes meanwhile is no error.
 */
int scan_all(struct scanner *scanner);

/*
 * Reads one device again, and its group and IOMMU: after its uevent. A device that is not there
 * (any more) is removed from the topology. A device without a group is not part of the topology,
 * except PCI devices, which are listed with no group. A physical function is read again with its
 * virtual ones. The subsystem "iommu" reads an IOMMU; others that are no bus change nothing.
 */
int scan_one(struct scanner *scanner, const char *subsystem, const char *name);

/*
 * The kernel said "remove": takes the device out of the topology, and reads what is at its place
 * now. That is another device then, even if it looks the same.
 */
int scan_removed(struct scanner *scanner, const char *subsystem, const char *name);

/* Reads kind, type and reserved regions of a group again. */
int scan_group(struct scanner *scanner, uint32_t id);
