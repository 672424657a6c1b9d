/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The use counts of IOMMUs. They are counted anew at every change, rather than added to and taken
 * from: a lease changes in many ways (claimed, grown, shrunk, split into parts that go home one by
 * one, failed and tried again), and so does what is behind an IOMMU; a count that is a function of
 * both cannot drift.
 */

#include "policy/iommu-use.h"

bool group_behind_iommu(const struct group *group, const struct iommu *iommu)
{
	for (size_t i = 0; i < group->n_devices; i++)
		if (streq0(group->devices[i]->iommu_name, iommu->name))
			return true;
	return false;
}

static bool lease_behind_iommu(const struct topology *t, const struct lease *lease,
			       const struct iommu *iommu)
{
	for (size_t i = 0; i < lease->n_groups; i++) {
		const struct group *group = topology_group(t, lease->groups[i].id);

		if (group && !lease->groups[i].gone && group_behind_iommu(group, iommu))
			return true;
	}
	return false;
}

static const char *whole(const struct lease *lease)
{
	return lease->part_of ? lease->part_of : lease->id;
}

/* seen: room for a name of each lease */
static uint32_t count(const struct topology *t, const struct ledger *ledger,
		      const struct iommu *iommu, const char **seen)
{
	size_t n = 0;

	HASH_FOREACH (lease, ledger->leases) {
		size_t i = 0;

		if (!lease_behind_iommu(t, lease, iommu))
			continue;
		while (i < n && !streq(seen[i], whole(lease)))
			i++;
		if (i == n)
			seen[n++] = whole(lease);
	}
	return (uint32_t)n;
}

int iommu_use_update(struct topology *topology, const struct ledger *ledger, iommu_use_fn flipped,
		     void *userdata)
{
	_cleanup_free_ const char **seen = calloc(HASH_COUNT(ledger->leases) + 1, sizeof(*seen));

	if (!seen)
		return -ENOMEM;
	HASH_FOREACH (iommu, topology->iommus) {
		uint32_t before = iommu->leases;

		iommu->leases = count(topology, ledger, iommu, seen);
		if (flipped && (before > 0) != (iommu->leases > 0))
			flipped(iommu, userdata);
	}
	return 0;
}
