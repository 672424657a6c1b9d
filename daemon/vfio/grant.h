/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What goes over the handoff socket: opens what the lease's mode grants, attaches it, sends it
 * (format: org.vfiod1(5), "The handoff socket"). Runs in a child of its own, which is the only
 * process of vfiod that ever holds VFIO fds, and only between opening and sending them.
 */

#include "daemon/sysfs/host.h"
#include "policy/ledger.h"

struct grant {
	enum mode mode;
	bool attach;
	bool device_fds;
	/* The owner has the rest: no iommufd, no container, nothing attached; group fds are bare.
	 */
	bool more;
	const uint32_t *groups;
	size_t n_groups;
	char *const *devices; /* granted ones */
};

/*
 * Sends everything or an "error NAME message", then returns. sock is a SOCK_SEQPACKET socket on
 * which the client's byte has been read; a client that does not take its messages within
 * timeout_usec is given up. Returns 0, or -errno of what failed (already said to the client where
 * it could be).
 *
 * cdev: iommufd with IOMMU_OPTION_RLIMIT_MODE=1 set (-EPERM and kernels without it are an error),
 * then the devices. group: container and groups; with attach the groups are set into the
 * container; with device_fds type1 (v2, else v1) is set as IOMMU and devices are opened. All
 * groups of the lease that have a device on VFIO are opened; the group fd is sent even where
 * attached. EBUSY of an open becomes "GroupBusy", EPERM of SET_IOMMU "UnsafeInterrupts", a
 * missing node "ModeUnsupported", the rest "DriverFailed".
 */
int grant_send(const struct host *host, const struct grant *grant, int sock, uint64_t timeout_usec);
