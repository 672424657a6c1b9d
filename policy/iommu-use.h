/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who uses an IOMMU: how many leases have a group behind it, counted once, here, for everybody. A
 * lease counts once for an IOMMU, however many groups it has behind it and whatever its state is
 * (until its last group is home); a part of a lease (struct lease's part_of) counts as that lease.
 */

#include "policy/ledger.h"
#include "policy/topology.h"

/* An IOMMU came into use, or is used no more. */
typedef void (*iommu_use_fn)(const struct iommu *iommu, void *userdata);

/*
 * Counts anew, into iommu->leases: to be called after every change of the ledger or the topology,
 * whatever it was. flipped (or NULL) is called for each that went from zero to more, or back. 0 or
 * -ENOMEM: then nothing has changed.
 */
int iommu_use_update(struct topology *topology, const struct ledger *ledger, iommu_use_fn flipped,
		     void *userdata);

/* Whether a member of the group is behind the IOMMU. */
bool group_behind_iommu(const struct group *group, const struct iommu *iommu);
