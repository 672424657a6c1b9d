/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Making and taking away virtual functions. Reading and writing sriov_numvfs takes the device lock,
 * and lowering it holds the rescan lock of the whole machine until every driver of a virtual
 * function has let go: in children only, and never with one that is in use.
 */

#include "daemon/sysfs/host.h"

/* How far it has come, and what did not work: for messages. */
enum sriov_step {
	SRIOV_READ,
	SRIOV_FENCE, /* sriov_drivers_autoprobe = 0: the host's drivers take none of them */
	SRIOV_LOWER,
	SRIOV_RAISE,
	SRIOV_WAIT, /* for their links to appear */
	SRIOV_UNFENCE,
	SRIOV_STEP_MAX,
	SRIOV_STEP_INVALID = -1,
};
DECLARE_STRING_TABLE(sriov_step, enum sriov_step)

/*
 * Gives a physical function n virtual functions; those that are there go first, if there are
 * others. What sriov_drivers_autoprobe was before it is afterwards, and the new functions have no
 * driver, unless something else gives them one. state: a file, which says meanwhile that it was on,
 * for those who come after a crash. stop: asked before each write; true ends it. 0, or
 * -errno of the step in *step: -ENOENT for a driver that does not make any, -ECANCELED after
 * stop(), -ETIMEDOUT, -EIO when the read-back differs.
 */
int sriov_set_number(const struct host *host, const char *device, unsigned int n, int state,
		     bool (*stop)(void *userdata), void *userdata, enum sriov_step *step);

/* Whether the file says that somebody has raised the fence and not lowered it. */
bool sriov_fence_is_up(int state);
/* Lowers it, and the file says so: 0 or -errno. */
int sriov_lower_fence(const struct host *host, const char *device, int state);
