/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The walk over sysfs: which devices, groups and IOMMUs there are, and what of it is news. What
 * one of them says is read in scan-device.c and scan-group.c.
 */

#include "daemon/sysfs/scan.h"

#include "daemon/sysfs/attr.h"
#include "daemon/sysfs/scan-cache.h"
#include "daemon/sysfs/scan-device.h"

#include <stdio.h>

const char *const scan_subsystems[] = { "pci", "platform", "mdev", "amba", "fsl-mc", "cdx", NULL };

static int need_cache(struct scanner *scanner)
{
	if (!scanner->cache)
		scanner->cache = scan_cache_new();
	return scanner->cache ? 0 : -ENOMEM;
}

void scanner_done(struct scanner *scanner)
{
	scanner->cache = scan_cache_free(scanner->cache);
}

static void announce(struct scanner *scanner, enum topology_object object, const char *name,
		     uint32_t group, int change)
{
	if (change > TOPOLOGY_SAME && scanner->changed)
		scanner->changed(object, name, group, (enum topology_change)change,
				 scanner->userdata);
}

static uint64_t group_generation(const struct topology *t, uint32_t id)
{
	const struct group *group = id == ID_UNKNOWN ? NULL : topology_group(t, id);

	return group ? group->generation : 0;
}

/* What became of a group whose generation was `before` (0: it was not there). */
static void announce_group(struct scanner *scanner, uint32_t id, uint64_t before)
{
	uint64_t after = group_generation(scanner->topology, id);
	enum topology_change change = TOPOLOGY_CHANGED;

	if (id == ID_UNKNOWN || (!before && !after))
		return;
	if (!before)
		change = TOPOLOGY_ADDED;
	else if (!after)
		change = TOPOLOGY_REMOVED;
	else if (before != after)
		change = TOPOLOGY_REPLACED;
	announce(scanner, OBJECT_GROUP, NULL, id, change);
}

/* Takes a device out. `name` may be the topology's own. */
static int remove_device(struct scanner *scanner, const char *name)
{
	const struct device *device = topology_device(scanner->topology, name);
	_cleanup_free_ char *copy = NULL;
	uint64_t generation;
	uint32_t group;
	int r;

	scan_cache_forget(scanner->cache, name);
	if (!device)
		return 0;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	group = device->group_id;
	generation = group_generation(scanner->topology, group);
	r = topology_remove_device(scanner->topology, copy);
	if (r < 0)
		return r;
	announce(scanner, OBJECT_DEVICE, copy, group, r);
	announce_group(scanner, group, generation);
	return 0;
}

/*
 * Puts what was read. The group is told of only when its members are others than before; a new
 * one before its first device, an old one after its last.
 */
static int put_device(struct scanner *scanner, struct device *read)
{
	const struct device *old = topology_device(scanner->topology, read->name);
	uint32_t old_group = old ? old->group_id : ID_UNKNOWN, new_group = read->group_id;
	uint64_t old_generation = group_generation(scanner->topology, old_group);
	uint64_t new_generation = group_generation(scanner->topology, new_group);
	_cleanup_free_ char *name = strdup(read->name);
	bool moved;
	int r;

	if (!name) {
		device_free(read);
		return -ENOMEM;
	}
	r = topology_put_device(scanner->topology, read);
	if (r < 0)
		return r;
	moved = r == TOPOLOGY_ADDED || r == TOPOLOGY_REPLACED || old_group != new_group;
	if (moved)
		announce_group(scanner, new_group, new_generation);
	announce(scanner, OBJECT_DEVICE, name, new_group, r);
	if (moved && old_group != new_group)
		announce_group(scanner, old_group, old_generation);
	return 0;
}

/* A directory with another inode is another appearance, even if all that it says is the same. */
static int note_appearance(struct scanner *scanner, const char *name, uint64_t inode)
{
	struct scan_seen *seen = scan_cache_seen(scanner->cache, name, true);
	int r = 0;

	if (!seen)
		return -ENOMEM;
	if (seen->inode && seen->inode != inode) {
		r = remove_device(scanner, name);
		seen = scan_cache_seen(scanner->cache, name, true);
		if (r < 0 || !seen)
			return r < 0 ? r : -ENOMEM;
	}
	seen->inode = inode;
	seen->round = scan_cache_round(scanner->cache);
	return 0;
}

/* A name that two buses have is the one's that had it first, as long as it is there. */
static bool is_of_another_bus(struct scanner *scanner, const char *subsystem, const char *name,
			      bool gone)
{
	const struct device *old = topology_device(scanner->topology, name);
	const struct scan_seen *seen = scan_cache_seen(scanner->cache, name, false);

	if (!old || streq(old->subsystem, subsystem))
		return false;
	return gone || (seen && seen->round == scan_cache_round(scanner->cache));
}

static int read_device(struct scanner *scanner, const char *subsystem, const char *name)
{
	_cleanup_(device_freep) struct device *device = NULL;
	uint64_t inode = 0;
	int r = scan_read_device(scanner, subsystem, name, &device, &inode);

	if (r >= 0 && is_of_another_bus(scanner, subsystem, name, r == SCAN_GONE))
		return 0;
	if (r == 0 && device->group_id == ID_UNKNOWN && !streq(subsystem, "pci"))
		r = SCAN_GONE;
	if (r == SCAN_GONE)
		return remove_device(scanner, name);
	if (r == 0) {
		device->appearance = inode;
		r = note_appearance(scanner, name, inode);
	}
	return r < 0 ? r : put_device(scanner, STEAL(device));
}

/* 0 and up: an enum topology_change. */
static int put_iommu(struct scanner *scanner, const char *name, const char *driver)
{
	struct iommu_caps caps;
	int r = scan_read_iommu_caps(scanner, name, driver, &caps), changed;

	if (r < 0)
		return r;
	r = topology_put_iommu(scanner->topology, name, driver);
	if (r < 0) {
		iommu_caps_done(&caps);
		return r;
	}
	changed = topology_set_iommu_caps(scanner->topology, name, &caps);
	return r == TOPOLOGY_SAME ? changed : r;
}

static int read_iommu(struct scanner *scanner, const char *name)
{
	_cleanup_free_ char *driver = NULL;
	int r = scan_read_iommu(scanner, name, &driver);

	if (r == 0)
		r = put_iommu(scanner, name, driver);
	else if (r == SCAN_GONE)
		r = topology_remove_iommu(scanner->topology, name);
	if (r < 0)
		return r;
	announce(scanner, OBJECT_IOMMU, name, ID_UNKNOWN, r);
	return 0;
}

/*
 * A group that VFIO made for a device without an IOMMU has the name "vfio-noiommu", and so has,
 * for lack of care, the group of a mediated device, which its parent driver isolates
 * (vfio_noiommu_group_alloc() in drivers/vfio/group.c).
 */
static enum group_kind group_kind(const struct group *group, const char *name)
{
	if (!streq0(name, "vfio-noiommu"))
		return GROUP_IOMMU;
	for (size_t i = 0; i < group->n_devices; i++) {
		if (streq(group->devices[i]->subsystem, "mdev"))
			return GROUP_EMULATED;
		if (group->devices[i]->iommu_name)
			return GROUP_IOMMU;
	}
	return GROUP_NOIOMMU;
}

int scan_group(struct scanner *scanner, uint32_t id)
{
	const struct group *group = topology_group(scanner->topology, id);
	_cleanup_free_ char *name = NULL, *type = NULL;
	struct reserved_region *regions = NULL;
	uint64_t inode = 0;
	size_t n = 0;
	int r;

	if (!group)
		return 0;
	r = scan_read_group(scanner, id, &name, &type, &regions, &n, &inode);
	/* It goes with its last device, whose event is on its way. */
	if (r != 0)
		return r < 0 ? r : 0;
	r = topology_note_group(scanner->topology, id, inode);
	announce(scanner, OBJECT_GROUP, NULL, id, r);
	r = topology_set_group(scanner->topology, id, group_kind(group, name), type, regions, n);
	if (r < 0)
		return r;
	announce(scanner, OBJECT_GROUP, NULL, id, r);
	return 0;
}

/* The IOMMU and the group of a device that was just read. */
static int read_around(struct scanner *scanner, const char *name)
{
	const struct device *device = topology_device(scanner->topology, name);
	int r = 0;

	if (!device)
		return 0;
	if (device->iommu_name && !topology_iommu(scanner->topology, device->iommu_name))
		r = read_iommu(scanner, device->iommu_name);
	device = topology_device(scanner->topology, name);
	if (r >= 0 && device && device->group_id != ID_UNKNOWN)
		r = scan_group(scanner, device->group_id);
	return r;
}

/* A VF that comes or goes changes its PF, for which there is no event. */
static int read_physical_function(struct scanner *scanner, const char *before, const char *name)
{
	const struct device *device = topology_device(scanner->topology, name);
	const char *now = device ? device->physical_function : NULL;
	_cleanup_free_ char *parent = NULL;

	if (streq0(before, now) || (!before && !now))
		return 0;
	parent = strdup(now ?: before);
	if (!parent)
		return -ENOMEM;
	return read_device(scanner, "pci", parent);
}

/*
 * The kernel announces a VF before it makes the links between it and its PF (pci_iov_add_virtfn()),
 * and the PF once more when all of its VFs are there: that is when they are known for what they
 * are.
 */
static int read_virtual_functions(struct scanner *scanner, const char *name)
{
	const struct device *device = topology_device(scanner->topology, name);
	_cleanup_strv_ char **names = NULL;

	if (!device || !device->virtual_functions)
		return 0;
	names = strv_copy(device->virtual_functions);
	if (!names)
		return -ENOMEM;
	STRV_FOREACH (function, names) {
		int r = 0;

		device = topology_device(scanner->topology, *function);
		if (!device || !device->physical_function)
			r = read_device(scanner, "pci", *function);
		if (r < 0)
			return r;
	}
	return 0;
}

int scan_one(struct scanner *scanner, const char *subsystem, const char *name)
{
	const struct device *device;
	_cleanup_free_ char *physical_function = NULL;
	int r = need_cache(scanner);

	if (r < 0)
		return r;
	if (streq(subsystem, "iommu"))
		return read_iommu(scanner, name);
	if (streq(subsystem, "pci"))
		r = scan_cache_read_slots(scanner);
	device = topology_device(scanner->topology, name);
	if (r >= 0 && device && device->physical_function)
		r = free_and_strdup(&physical_function, device->physical_function);
	if (r >= 0)
		r = read_device(scanner, subsystem, name);
	if (r >= 0)
		r = read_physical_function(scanner, physical_function, name);
	if (r >= 0)
		r = read_virtual_functions(scanner, name);
	return r < 0 ? r : read_around(scanner, name);
}

int scan_removed(struct scanner *scanner, const char *subsystem, const char *name)
{
	const struct device *device = topology_device(scanner->topology, name);
	_cleanup_free_ char *physical_function = NULL;
	int r = need_cache(scanner);

	if (r >= 0 && device && device->physical_function)
		r = free_and_strdup(&physical_function, device->physical_function);
	if (r >= 0 && device && streq(device->subsystem, subsystem))
		r = remove_device(scanner, name);
	if (r >= 0 && physical_function)
		r = read_device(scanner, "pci", physical_function);
	return r < 0 ? r : scan_one(scanner, subsystem, name);
}

static int walk_iommus(struct scanner *scanner)
{
	_cleanup_strv_ char **names = NULL;
	int r = attr_list(scanner->host->sys, "class/iommu", &names);

	if (r < 0)
		return r;
	HASH_FOREACH (iommu, scanner->topology->iommus) {
		if (strv_contains(names, iommu->name))
			continue;
		/* Gone: reading it takes it out. */
		_cleanup_free_ char *name = strdup(iommu->name);
		r = name ? read_iommu(scanner, name) : -ENOMEM;
		if (r < 0)
			return r;
	}
	STRV_FOREACH (name, names) {
		r = read_iommu(scanner, *name);
		if (r < 0)
			return r;
	}
	return 0;
}

static int walk_pci(struct scanner *scanner)
{
	_cleanup_strv_ char **names = NULL;
	int r = attr_list(scanner->host->sys, "bus/pci/devices", &names);

	STRV_FOREACH (name, names) {
		r = read_device(scanner, "pci", *name);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : 0;
}

/* A member of a group that no walk over a bus has met: its subsystem link says where it is. */
static int walk_member(struct scanner *scanner, int members, const char *name)
{
	const struct scan_seen *seen = scan_cache_seen(scanner->cache, name, false);
	_cleanup_free_ char *link = NULL, *subsystem = NULL;
	int r;

	if (seen && seen->round == scan_cache_round(scanner->cache))
		return 0;
	if (asprintf(&link, "kernel/iommu_groups/%d/devices/%s/subsystem", members, name) < 0)
		return -ENOMEM;
	r = attr_read_link(scanner->host->sys, link, &subsystem);
	if (r != 0)
		return r < 0 ? r : 0;
	return read_device(scanner, subsystem, name);
}

static int walk_groups(struct scanner *scanner)
{
	_cleanup_strv_ char **ids = NULL;
	int r = attr_list(scanner->host->sys, "kernel/iommu_groups", &ids);

	STRV_FOREACH (id, ids) {
		_cleanup_strv_ char **members = NULL;
		_cleanup_free_ char *path = NULL;
		uint64_t number;

		if (parse_uint(*id, INT32_MAX, &number) < 0)
			continue;
		if (asprintf(&path, "kernel/iommu_groups/%s/devices", *id) < 0)
			return -ENOMEM;
		r = attr_list(scanner->host->sys, path, &members);
		STRV_FOREACH (name, members) {
			r = walk_member(scanner, (int)number, *name);
			if (r < 0)
				return r;
		}
		if (r < 0)
			return r;
	}
	return r < 0 ? r : 0;
}

static int remove_unseen(struct scanner *scanner)
{
	HASH_FOREACH (device, scanner->topology->devices) {
		const struct scan_seen *seen = scan_cache_seen(scanner->cache, device->name, false);
		int r;

		if (seen && seen->round == scan_cache_round(scanner->cache))
			continue;
		r = remove_device(scanner, device->name);
		if (r < 0)
			return r;
	}
	return 0;
}

int scan_all(struct scanner *scanner)
{
	int r = need_cache(scanner);

	if (r < 0)
		return r;
	scan_cache_next_round(scanner->cache);
	r = scan_numa(scanner);
	if (r >= 0)
		r = walk_iommus(scanner);
	if (r >= 0)
		r = scan_cache_read_slots(scanner);
	if (r >= 0)
		r = walk_pci(scanner);
	if (r >= 0)
		r = walk_groups(scanner);
	if (r >= 0)
		r = remove_unseen(scanner);
	if (r < 0)
		return r;
	HASH_FOREACH (group, scanner->topology->groups) {
		r = scan_group(scanner, group->id);
		if (r < 0)
			return r;
	}
	return 0;
}
