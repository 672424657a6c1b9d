/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The way back from broker-driven probing, whoever takes it: what waits in a leased group is shut
 * off (override "none"), the rest is probed, and only then drivers_autoprobe is as it was. Doing it
 * twice does no harm.
 *
 * The daemon has a child do it when its last lease has gone home. When the daemon itself goes,
 * however it goes, there are three nets: the keeper, a child of the daemon that outlives it; the
 * unit's ExecStopPost=, for when both were killed; and vfiod-unfence.service, for when the whole
 * control group was. They read the journals, and take one lock, which the daemon holds as long as
 * it lives: where another one is up again, it is left to that.
 */

#include "daemon/hotplug/autoprobe.h"

/* Groups that are not the host's, as the ledger or the journals say. */
struct owned_groups {
	uint32_t *ids;
	size_t n;
	bool unknown; /* some journal cannot be understood: any group may be one */
};
int owned_groups_add(struct owned_groups *owned, uint32_t id);
bool owned_groups_has(const struct owned_groups *owned, uint32_t id);
void owned_groups_done(struct owned_groups *owned);
/* From the journals; a bad one counts by the groups that its text names. 0 or -ENOMEM, -errno. */
int owned_groups_read(int journal_dir, struct owned_groups *owned);

/* Group of a PCI device by its link; ID_UNKNOWN for none. */
uint32_t net_group_of(const struct host *host, const char *device);

/*
 * Does it. lock: the lock's fd where this process has it, so that what hangs does not keep it; else
 * -EBADF. 0: done, or there was nothing to do; -errno: drivers_autoprobe is not as it was, and the
 * file stays.
 */
int net_run(const struct host *host, int dir, const struct owned_groups *owned, int lock);

/*
 * The lock: an fd of the caller; -EWOULDBLOCK: somebody has it. daemon: it is to be held for a
 * daemon's life, which others can see.
 */
int net_lock(int dir, bool daemon);

/* Waits for the lock and does it, with what the journals say. 0, 1: a daemon lives; -errno. */
int net_act(const struct host *host, int dir, int journal_dir);

/* `vfiod --unfence`: the exit status. */
int net_unfence(const char *journal_path);
