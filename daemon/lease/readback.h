/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The whole group read back: the last look before anything of a lease is handed out. Reads links
 * of sysfs only, which takes no lock, so it may run in the event loop.
 */

#include "daemon/sysfs/host.h"
#include "policy/ledger.h"

enum {
	/* A member that the lease does not know, on a driver that the kernel counts, or none. */
	READBACK_STRANGER = 1,
	/* A device of the lease is not where the lease has it. */
	READBACK_DIFFERS,
};

/*
 * Holds every member of the lease's groups, as sysfs lists them now, against the lease. strict: a
 * member that the lease does not know is an outcome whatever has it (the claim); else only one
 * that a counting driver has (a handoff: the lease may have grown a shut-off one). 0, an
 * outcome with *why (of the caller), -errno.
 */
int lease_read_back(const struct host *host, const struct lease *lease, bool strict, char **why);
