/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reads what sysfs says of one device, group or IOMMU, as a value. The walk is in scan.c. */

#include "daemon/sysfs/scan.h"

enum {
	SCAN_GONE = 1, /* it is not there, or went while it was read */
};

/*
 * Reads a device of a bus. 0 and a device of the caller, with the inode of its directory, which
 * tells appearances apart; SCAN_GONE; -errno. No attribute is read that takes the device lock.
 */
int scan_read_device(struct scanner *scanner, const char *subsystem, const char *name,
		     struct device **device, uint64_t *inode);

/* The driver of an IOMMU, of the caller, "" if unknown. 0, SCAN_GONE or -errno. */
int scan_read_iommu(struct scanner *scanner, const char *name, char **driver);
/* What it can do, of the caller: 0 or -ENOMEM. An attribute that is not there tells nothing. */
int scan_read_iommu_caps(struct scanner *scanner, const char *name, const char *driver,
			 struct iommu_caps *caps);

/* Reads the distances of the NUMA nodes into the topology. 0 or -errno. */
int scan_numa(struct scanner *scanner);

/*
 * What a group's directory says: its name attribute (NULL: none), its type ("" if unknown) and its
 * reserved regions (all or none: a list with a line that is not understood is not known), all of
 * the caller; and its inode. 0, SCAN_GONE or -errno.
 */
int scan_read_group(struct scanner *scanner, uint32_t id, char **name, char **type,
		    struct reserved_region **regions, size_t *n_regions, uint64_t *inode);
