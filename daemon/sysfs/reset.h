/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Resets through sysfs. Both block: for workers. Neither asks who has the device: whoever calls has
 * to know (policy/reset-domain.h).
 */

#include "daemon/sysfs/host.h"

/*
 * Resets a function by its first method that works (`reset`). -ENOENT: it has none, or is gone;
 * -ENOTTY: none works.
 */
int sysfs_reset(const struct host *host, const char *subsystem, const char *device);
/*
 * Resets the secondary bus of a bridge (`reset_subordinate`, Linux 6.12.5). The kernel only tries
 * to lock what is below it: -EAGAIN. -ENOENT: this kernel cannot; -EPERM: CAP_SYS_ADMIN is missing.
 */
int sysfs_reset_bus(const struct host *host, const char *bridge);
/* Whether a bridge has that; takes no lock. */
bool sysfs_can_reset_bus(const struct host *host, const char *bridge);
/*
 * Whether pciehp watches the link below a port; takes no lock. The link goes down in a reset of the
 * bus. Before Linux 7.1 reset_subordinate does not tell pciehp of it (8238cb69c01f, "PCI: Make
 * reset_subordinate hotplug safe"), which then removes what is below the port, and waits, with the
 * rescan lock of the whole machine, until a VMM has let go of it.
 */
bool sysfs_has_pciehp(const struct host *host, const char *port);
bool sysfs_reset_spares_hotplug(const char *release);
/*
 * What is below a device in sysfs now, at any depth, and its VFs and theirs: names of PCI devices
 * and mediated ones, of the caller. Takes no lock. -ENOENT: the device is gone.
 */
int sysfs_list_below(const struct host *host, const char *device, char ***names);
