/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Object paths: /org/vfiod1/KIND/ELEMENT from names, and back. Two things never share a path.
 */

#include "policy/base.h"

#define VFIOD_BUS_NAME	  "org.vfiod1"
#define VFIOD_PATH	  "/org/vfiod1"
#define VFIOD_PATH_IOMMU  VFIOD_PATH "/iommu"
#define VFIOD_PATH_GROUP  VFIOD_PATH "/group"
#define VFIOD_PATH_DEVICE VFIOD_PATH "/device"
#define VFIOD_PATH_LEASE  VFIOD_PATH "/lease"

/*
 * Each makes a path that is the caller's. 0, -ENOMEM, or -EINVAL for a name that cannot be
 * (empty; a lease id that is not 16 hexadecimal digits).
 *
 * A PCI device is "pci_" and its address with '_' for ':' and '.', if subsystem is "pci" and the
 * name has exactly the kernel's form; everything else is sd_bus_path_encode(3)d. No encoded name
 * equals a PCI path: an encoded '_' is always followed by two hexadecimal digits of an escaped
 * byte, and a PCI path ends in '_' and one digit.
 */
int path_device(const char *subsystem, const char *name, char **path);
int path_group(uint32_t id, char **path);
int path_iommu(const char *name, char **path);
int path_lease(const char *id, char **path);

/*
 * And back. 0 and a name of the caller; 1: not a path of this kind, or not one that the functions
 * above make (there is one spelling); -ENOMEM. pci (may be NULL): it is the path of a PCI device.
 */
int path_device_decode(const char *path, char **name, bool *pci);
int path_group_decode(const char *path, uint32_t *id);
int path_iommu_decode(const char *path, char **name);
int path_lease_decode(const char *path, char **id);

/* Whether a name has the kernel's form of a PCI address: DDDD:BB:DD.F, lower-case hexadecimal.
 * The domain has more digits where it needs them (VMD: 10000:e1:00.0). */
bool pci_address_valid(const char *name);
