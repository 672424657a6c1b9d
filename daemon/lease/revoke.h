/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Revocation: the ladder that ends a lease against its owner's will, rung by rung.
 *
 *   asked       the owner is told, and has until the deadline
 *   unbinding   the lease has ended: a worker unbinds, and the kernel asks whoever has the device
 *               open by VFIO's request eventfd, at once and every 10 s
 *   killed      where the policy says so, and REVOKE_KILL_USEC later: the process behind the
 *               lifeline's pidfd, or else the one that the bus vouches for as the lease's
 *               connection; only if it is the owner's, which is looked at right before
 *
 * None of them says that access has ended: that is the state restoring, when the unbinds have
 * returned. A lease that ends in another way ends the ladder; one that drains already (its owner
 * released it and keeps fds) can be revoked for the last rung.
 */

#include "daemon/lease/engine.h"

#define REVOKE_KILL_USEC (5 * 1000 * 1000ULL)
#define REVOKE_GRACE_MAX (366 * 24 * 3600 * 1000000ULL)

/*
 * Begins, or begins anew with another deadline. reason: root's words for the owner; "" is none.
 * -EINVAL: the lease is neither leased nor draining; -errno: the journal, and nothing has changed.
 */
int engine_revoke(struct engine *engine, struct lease *lease, uint64_t grace_usec,
		  const char *reason);

/*
 * What the bus says of the holder (engine_ops.vouch). pidfd: borrowed, or negative with why. The
 * query is freed in here.
 */
void engine_vouched(struct engine *engine, const char *lease, int pidfd, const char *why);
