/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What could be reset of the devices that a claim would get, said beforehand: by the VMM itself
 * with its descriptors, and by the daemon for it (Lease.Reset). Pure, from a decision.
 */

#include "policy/decide.h"
#include "policy/reset-domain.h"

struct reset_prospect {
	const char *device; /* the decision's */
	enum reset_kind kind;
	bool vmm; /* VFIO_DEVICE_RESET for a function, VFIO_DEVICE_PCI_HOT_RESET for the others */
	bool broker; /* Lease.Reset */
	char *why;   /* what stands against the one or the other, in words; "" for nothing */
};
struct reset_prospects {
	struct reset_prospect *items;
	size_t n;
};
void reset_prospects_done(struct reset_prospects *prospects);

/* What keeps the daemon from resetting what is below a bridge, literally; NULL: nothing. */
typedef const char *(*reset_bar_fn)(const struct device *bridge, void *userdata);

/*
 * For each device that would be granted, each kind of reset that there is of it; none for a claim
 * that is refused. policy: for the verb "reset". bar: what the kernel can. 0 or -ENOMEM.
 */
int reset_prospects(const struct topology *topology, const struct policy *policy,
		    const struct ledger *ledger, const struct decision *decision, reset_bar_fn bar,
		    void *userdata, struct reset_prospects *prospects);
