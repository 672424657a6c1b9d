/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who still has VFIO fds open: /proc/PID/fd of every process. Children only. What was passed on
 * or sits in a socket's queue cannot be seen in this way: "as far as it can be known".
 */

#include "daemon/sysfs/host.h"
#include "policy/ledger.h"

/* Processes with an open fd of the groups' nodes or the devices' cdevs, or of their device files
 * (anon_inode:[vfio-device]; told apart by what fdinfo says, "vfio-device-syspath", where the
 * kernel has it). whole: the lease that this one is a part of, whose devices its holder has as
 * well; or NULL. Array of the caller; release with holders_free(). */
int holders_find(const struct host *host, const struct lease *lease, const struct lease *whole,
		 struct lease_holder **holders, size_t *n);
void holders_free(struct lease_holder *holders, size_t n);
