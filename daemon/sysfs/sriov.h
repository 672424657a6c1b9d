/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Making and taking away virtual functions. Reading and writing sriov_numvfs takes the device lock,
 * and lowering it holds the rescan lock of the whole machine until every driver of a virtual
 * function has let go: in children only, and never with one that is in use.
 */

#include "daemon/sysfs/host.h"
#include "policy/topology.h"

/* How far it has come, and what did not work: for messages. */
enum sriov_step {
	SRIOV_READ,
	SRIOV_LOOK,   /* at those that are there, once more */
	SRIOV_FENCE,  /* sriov_drivers_autoprobe = 0: the host's drivers take none of them */
	SRIOV_UNBIND, /* those on a VFIO driver, each by itself */
	SRIOV_LOWER,
	SRIOV_RAISE,
	SRIOV_WAIT, /* for their links to appear */
	SRIOV_UNFENCE,
	SRIOV_STEP_MAX,
	SRIOV_STEP_INVALID = -1,
};
DECLARE_STRING_TABLE(sriov_step, enum sriov_step)

/* What was decided, and of what. */
struct sriov_order {
	const struct device *device;	 /* the physical function */
	const struct device **functions; /* those that it has: they go */
	size_t n_functions;
	unsigned int waive; /* kinds of use (bit per enum use_kind) that do not refuse */
	unsigned int n;	    /* how many it is to have */
	/* A file, that says meanwhile that the fence was down before: for after a crash. */
	int state;
};

/*
 * Gives a physical function n virtual functions; those that are there go first. What
 * sriov_drivers_autoprobe was before it is afterwards, and the new functions have no driver, unless
 * something else gives them one. Waits for whoever has one open that is on a VFIO driver. 0, or
 * -errno of the step in *step: -ENOENT for a driver that does not make any, -ESTALE when it is not
 * what was decided about (any more), -EBUSY at SRIOV_LOOK when the host uses one, with *why of the
 * caller; -ETIMEDOUT, -EIO when the read-back differs.
 */
int sriov_set_number(const struct host *host, const struct sriov_order *order,
		     enum sriov_step *step, char **why);

/* Whether the file says that somebody has raised the fence and not lowered it. */
bool sriov_fence_is_up(int state);
/*
 * Lowers it, 0.1 s later for a first probe that is late, and the file says so; that of a device
 * that has gone is down. 0 or -errno.
 */
int sriov_lower_fence(const struct host *host, const char *device, int state);
