/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Whether somebody may change how many virtual functions a device has: pure, as decide() is.
 * Device.SetNumVfs carries the answer out.
 */

#include "policy/decide.h"

struct sriov_decision {
	const char *error;  /* literal: the bus error's short name; NULL: allowed */
	char *message;	    /* with the next step; for what is allowed too */
	char *rule;	    /* id of the deciding rule; NULL: none */
	unsigned int waive; /* its kinds of use that do not refuse; they may be others by now */
};

void sriov_decision_done(struct sriov_decision *decision);

/*
 * subject asks that `device` has n virtual functions. The device's deciding rule must have the verb
 * "sriov"; those that are there go first, so none of them may be leased, in use, or on a host
 * driver that the rule does not consent to. A device that is leased can be changed by its owner
 * alone. 0, with *ret filled in and of the caller; -ENOMEM.
 */
int decide_sriov(const struct topology *topology, const struct policy *policy,
		 const struct ledger *ledger, const struct subject *subject,
		 const struct device *device, unsigned int n, struct sriov_decision *ret);
