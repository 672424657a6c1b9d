/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The tables of IOMMUs, groups and devices, and what a change to them is. Groups come and go
 * with their members, as in the kernel, which sends no event for them. Nothing is read here.
 */

#include "policy/topology.h"

void topology_init(struct topology *t)
{
	*t = (struct topology){};
}

static struct iommu *iommu_free(struct iommu *iommu)
{
	if (!iommu)
		return NULL;
	iommu_caps_done(&iommu->caps);
	free(iommu->name);
	free(iommu->driver);
	free(iommu);
	return NULL;
}
DEFINE_CLEANUP(struct iommu *, iommu_free)

void reserved_regions_free(struct reserved_region *regions, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(regions[i].type);
	free(regions);
}

static bool reserved_regions_equal(const struct reserved_region *a, size_t n_a,
				   const struct reserved_region *b, size_t n_b)
{
	if (n_a != n_b)
		return false;
	for (size_t i = 0; i < n_a; i++)
		if (a[i].start != b[i].start || a[i].end != b[i].end ||
		    !streq0(a[i].type, b[i].type))
			return false;
	return true;
}

static struct group *group_free(struct group *group)
{
	if (!group)
		return NULL;
	reserved_regions_free(group->regions, group->n_regions);
	free(group->devices);
	free(group->type);
	free(group);
	return NULL;
}
DEFINE_CLEANUP(struct group *, group_free)

void topology_done(struct topology *t)
{
	HASH_FOREACH (device, t->devices) {
		HASH_DEL(t->devices, device);
		device_free(device);
	}
	HASH_FOREACH (group, t->groups) {
		HASH_DEL(t->groups, group);
		group_free(group);
	}
	HASH_FOREACH (iommu, t->iommus) {
		HASH_DEL(t->iommus, iommu);
		iommu_free(iommu);
	}
	topology_take_numa(t, NULL, 0);
}

void topology_take_numa(struct topology *t, unsigned char *distances, size_t n)
{
	free(t->numa);
	t->numa = distances;
	t->n_numa = distances ? n : 0;
}

unsigned int topology_numa_distance(const struct topology *t, int from, int to)
{
	size_t a = (size_t)from, b = (size_t)to;

	/* 0 is no distance: the table has no such entry. */
	if (from >= 0 && to >= 0 && a < t->n_numa && b < t->n_numa && t->numa[a * t->n_numa + b])
		return t->numa[a * t->n_numa + b];
	return from == to ? 10 : 20;
}

struct iommu *topology_iommu(const struct topology *t, const char *name)
{
	struct iommu *iommu;

	HASH_FIND_STR(t->iommus, name, iommu);
	return iommu;
}

struct group *topology_group(const struct topology *t, uint32_t id)
{
	struct group *group;

	HASH_FIND(hh, t->groups, &id, sizeof(id), group);
	return group;
}

struct device *topology_device(const struct topology *t, const char *name)
{
	struct device *device;

	HASH_FIND_STR(t->devices, name, device);
	return device;
}

/* A group of this id: the one that is there, or a new one without a device. */
static int topology_make_group(struct topology *t, uint32_t id, struct group **ret)
{
	_cleanup_(group_freep) struct group *group = NULL;

	*ret = topology_group(t, id);
	if (*ret)
		return 0;
	group = calloc(1, sizeof(*group));
	if (!group)
		return -ENOMEM;
	group->id = id;
	group->kind = GROUP_IOMMU;
	group->generation = t->last_generation + 1;
	group->type = strdup("");
	if (!group->type)
		return -ENOMEM;
	HASH_ADD(hh, t->groups, id, sizeof(group->id), group);
	if (!group->hh.tbl)
		return -ENOMEM;
	t->last_generation++;
	*ret = STEAL(group);
	return 0;
}

static void topology_drop_empty_group(struct topology *t, struct group *group)
{
	if (group->n_devices > 0)
		return;
	HASH_DEL(t->groups, group);
	group_free(group);
}

/* Makes a device a member of the group `id`. It is not a member of any other afterwards. */
static int group_join(struct topology *t, uint32_t id, struct device *device)
{
	struct group *group;
	size_t i;
	int r;

	if (id == ID_UNKNOWN)
		return 0;
	r = topology_make_group(t, id, &group);
	if (r < 0)
		return r;
	r = ARRAY_RESERVE_ONE(group->devices, group->n_devices);
	if (r < 0) {
		topology_drop_empty_group(t, group);
		return r;
	}
	for (i = group->n_devices++; i > 0; i--) {
		if (strcmp(group->devices[i - 1]->name, device->name) < 0)
			break;
		group->devices[i] = group->devices[i - 1];
	}
	group->devices[i] = device;
	return 0;
}

static void group_leave(struct topology *t, struct group *group, const struct device *device)
{
	size_t i = 0;

	if (!group)
		return;
	while (group->devices[i] != device)
		i++;
	group->n_devices--;
	memmove(group->devices + i, group->devices + i + 1,
		(group->n_devices - i) * sizeof(*group->devices));
	topology_drop_empty_group(t, group);
}

/* The only member became another device: the kernel made the group anew meanwhile. */
static void group_renew(struct topology *t, struct group *group)
{
	group->generation = ++t->last_generation;
	group->appearance = 0;
	group->kind = GROUP_IOMMU;
	group->type[0] = 0;
	reserved_regions_free(group->regions, group->n_regions);
	group->regions = NULL;
	group->n_regions = 0;
}

static bool device_same_identity(const struct device *a, const struct device *b)
{
	return a->vendor == b->vendor && a->product == b->product && a->subvendor == b->subvendor &&
	       a->subproduct == b->subproduct && streq(a->subsystem, b->subsystem) &&
	       streq(a->syspath, b->syspath);
}

/* Whether all that was read is the same. Uses are not read with a device, but surveyed. */
static bool device_same_values(const struct device *a, const struct device *b)
{
	return a->class_code == b->class_code && a->numa_node == b->numa_node &&
	       a->bridge == b->bridge && a->group_id == b->group_id &&
	       streq0(a->driver, b->driver) && streq0(a->model, b->model) &&
	       streq0(a->slot, b->slot) && streq0(a->vfio_node, b->vfio_node) &&
	       streq0(a->vfio_driver, b->vfio_driver) && streq0(a->iommu_name, b->iommu_name) &&
	       streq0(a->physical_function, b->physical_function) && a->total_vfs == b->total_vfs &&
	       a->has_eeh == b->has_eeh && error_counters_equal(&a->errors, &b->errors) &&
	       strv_equal(a->reset_methods, b->reset_methods) &&
	       strv_equal(a->virtual_functions, b->virtual_functions);
}

/*
 * Exchanges the contents of a device in the tables with those of one that is not, so that no
 * table has to be touched, which could fail. The name is the table's key and stays.
 */
static void device_swap(struct device *there, struct device *fresh)
{
	struct device old = *there;

	*there = *fresh;
	*fresh = old;

	fresh->name = there->name;
	there->name = old.name;
	there->hh = old.hh;
}

static int topology_add_device(struct topology *t, struct device *device)
{
	int r;

	HASH_ADD_KEYPTR(hh, t->devices, device->name, strlen(device->name), device);
	if (!device->hh.tbl)
		return -ENOMEM;
	r = group_join(t, device->group_id, device);
	if (r < 0) {
		HASH_DEL(t->devices, device);
		return r;
	}
	device->identity = ++t->last_identity;
	device->group = topology_group(t, device->group_id);
	return TOPOLOGY_ADDED;
}

int topology_put_device(struct topology *t, struct device *fresh)
{
	_cleanup_(device_freep) struct device *device = fresh;
	struct device *there = topology_device(t, device->name);
	struct group *left;
	bool same;
	int r;

	if (!there) {
		r = topology_add_device(t, device);
		if (r >= 0)
			STEAL(device);
		return r;
	}

	same = device_same_identity(there, device);
	if (same && device_same_values(there, device))
		return TOPOLOGY_SAME;

	left = there->group;
	if (device->group_id != there->group_id) {
		r = group_join(t, device->group_id, there);
		if (r < 0)
			return r;
		group_leave(t, left, there);
	} else if (!same && left && left->n_devices == 1) {
		group_renew(t, left);
	}

	device_swap(there, device);
	there->group = topology_group(t, there->group_id);
	if (!same) {
		there->identity = ++t->last_identity;
		return TOPOLOGY_REPLACED;
	}
	there->identity = device->identity;
	there->health = device->health;
	there->last_recovery = device->last_recovery;
	there->sriov_busy = device->sriov_busy;
	there->unprobed = device->unprobed;
	there->eeh = device->eeh;
	use_list_done(&there->uses);
	there->uses = device->uses;
	device->uses = (struct use_list){};
	free(there->serial);
	there->serial = STEAL(device->serial);
	return TOPOLOGY_CHANGED;
}

const struct device *topology_parent(const struct topology *t, const struct device *device)
{
	const char *end = strrchr(device->syspath, '/'), *start = end;
	char name[256];

	/* "/sys/devices/pci0000:00/0000:00:08.0/0000:01:00.0": the part before the last. */
	while (start && start > device->syspath && start[-1] != '/')
		start--;
	if (!start || start == device->syspath || (size_t)(end - start) >= sizeof(name))
		return NULL;
	memcpy(name, start, (size_t)(end - start));
	name[end - start] = 0;
	return topology_device(t, name);
}

int topology_remove_device(struct topology *t, const char *name)
{
	struct device *device = topology_device(t, name);

	if (!device)
		return TOPOLOGY_SAME;
	HASH_DEL(t->devices, device);
	group_leave(t, device->group, device);
	device_free(device);
	return TOPOLOGY_REMOVED;
}

int topology_set_group(struct topology *t, uint32_t id, enum group_kind kind, const char *type,
		       struct reserved_region *regions, size_t n_regions)
{
	struct group *group = topology_group(t, id);
	char *copy = NULL;

	if (!group) {
		reserved_regions_free(regions, n_regions);
		return -ENOENT;
	}
	if (group->kind == kind && streq(group->type, type) &&
	    reserved_regions_equal(group->regions, group->n_regions, regions, n_regions)) {
		reserved_regions_free(regions, n_regions);
		return TOPOLOGY_SAME;
	}
	copy = strdup(type);
	if (!copy) {
		reserved_regions_free(regions, n_regions);
		return -ENOMEM;
	}
	free(group->type);
	group->type = copy;
	group->kind = kind;
	reserved_regions_free(group->regions, group->n_regions);
	group->regions = regions;
	group->n_regions = n_regions;
	return TOPOLOGY_CHANGED;
}

int topology_note_group(struct topology *t, uint32_t id, uint64_t appearance)
{
	struct group *group = topology_group(t, id);
	uint64_t before = group ? group->appearance : 0;

	if (!group || !appearance || before == appearance)
		return TOPOLOGY_SAME;
	if (before)
		group_renew(t, group);
	group->appearance = appearance;
	return before ? TOPOLOGY_REPLACED : TOPOLOGY_SAME;
}

int topology_put_iommu(struct topology *t, const char *name, const char *driver)
{
	_cleanup_(iommu_freep) struct iommu *iommu = NULL;
	struct iommu *there = topology_iommu(t, name);
	int r;

	if (there) {
		if (streq(there->driver, driver))
			return TOPOLOGY_SAME;
		r = free_and_strdup(&there->driver, driver);
		return r < 0 ? r : TOPOLOGY_CHANGED;
	}
	iommu = calloc(1, sizeof(*iommu));
	if (!iommu)
		return -ENOMEM;
	iommu->name = strdup(name);
	iommu->driver = strdup(driver);
	if (!iommu->name || !iommu->driver)
		return -ENOMEM;
	HASH_ADD_KEYPTR(hh, t->iommus, iommu->name, strlen(iommu->name), iommu);
	if (!iommu->hh.tbl)
		return -ENOMEM;
	STEAL(iommu);
	return TOPOLOGY_ADDED;
}

int topology_set_iommu_caps(struct topology *t, const char *name, struct iommu_caps *caps)
{
	struct iommu *iommu = topology_iommu(t, name);
	int r = !iommu				       ? -ENOENT
		: iommu_caps_equal(&iommu->caps, caps) ? TOPOLOGY_SAME
						       : TOPOLOGY_CHANGED;

	if (r == TOPOLOGY_CHANGED) {
		iommu_caps_done(&iommu->caps);
		iommu->caps = *caps;
		*caps = (struct iommu_caps){};
	}
	iommu_caps_done(caps);
	return r;
}

int topology_remove_iommu(struct topology *t, const char *name)
{
	struct iommu *iommu = topology_iommu(t, name);

	if (!iommu)
		return TOPOLOGY_SAME;
	HASH_DEL(t->iommus, iommu);
	iommu_free(iommu);
	return TOPOLOGY_REMOVED;
}

static int device_compare(const void *a, const void *b)
{
	const struct device *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

struct device **topology_devices_sorted(const struct topology *t, size_t *n)
{
	size_t count = HASH_COUNT(t->devices), i = 0;
	struct device **sorted = calloc(count + 1, sizeof(*sorted));

	*n = 0;
	if (!sorted)
		return NULL;
	HASH_FOREACH (device, t->devices)
		sorted[i++] = device;
	if (count > 0)
		qsort(sorted, count, sizeof(*sorted), device_compare);
	*n = count;
	return sorted;
}
