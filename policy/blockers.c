/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What keeps the host from giving a group away whoever asks: for a picture of the groups, where
 * decide() answers somebody's request. A host driver is no blocker: it can be consented to.
 */

#include "policy/decide-internal.h"

static int add_blocker(struct blocker **blockers, size_t *n, const struct device *device,
		       const char *reason)
{
	char *copy = strdup(reason);
	int r;

	if (!copy)
		return -ENOMEM;
	r = ARRAY_RESERVE_ONE(*blockers, *n);
	if (r < 0) {
		free(copy);
		return r;
	}
	(*blockers)[(*n)++] = (struct blocker){ .device = device, .reason = copy };
	return 0;
}

void blockers_free(struct blocker *blockers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(blockers[i].reason);
	free(blockers);
}

/* Everybody may read this: the kinds of use, and nothing of what is mounted where. */
static int add_uses(struct blocker **blockers, size_t *n, const struct device *device)
{
	static const char *const texts[USE_MAX] = {
		[USE_BLOCK] = "the host uses a disk on it",
		[USE_NETWORK] = "the host uses its network",
		[USE_CONSOLE] = "it is the host's console",
		[USE_NODES] = "a program on the host has it open",
		[USE_VFS] = "it has virtual functions enabled",
	};
	unsigned int kinds = device_uses(device);
	int r;

	for (int kind = 0; kind < USE_MAX; kind++) {
		if (!(kinds & 1U << kind))
			continue;
		r = add_blocker(blockers, n, device, texts[kind]);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool can_be_granted(const struct device *device)
{
	return bus_can_be_leased(device->subsystem) && !device->bridge && device->vfio_driver;
}

static bool any_can_be_granted(const struct group *group)
{
	for (size_t i = 0; i < group->n_devices; i++)
		if (can_be_granted(group->devices[i]))
			return true;
	return false;
}

/* Why VFIO cannot have a device; NULL if it can, or if another one of the group makes up for it. */
static const char *why_not(const struct group *group, const struct device *device)
{
	if (group->kind == GROUP_NOIOMMU)
		return "the group is a noiommu group, which isolates nothing";
	if (!bus_can_be_leased(device->subsystem) && device->subsystem[0])
		return "devices of its bus cannot be leased";
	if (any_can_be_granted(group))
		return NULL;
	if (device->bridge)
		return "it is a bridge, which VFIO does not take";
	return "this kernel has no VFIO driver for it";
}

int group_blockers(const struct group *group, struct blocker **blockers, size_t *n)
{
	int r = 0;

	for (size_t i = 0; i < group->n_devices && r >= 0; i++) {
		const struct device *device = group->devices[i];
		const char *reason = why_not(group, device);

		if (reason)
			r = add_blocker(blockers, n, device, reason);
		if (r >= 0)
			r = add_uses(blockers, n, device);
	}
	return r;
}
