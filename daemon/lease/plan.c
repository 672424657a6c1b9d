/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a worker is to do, in which order: lease in, steps out. Nothing is touched here; step.c
 * carries a plan out.
 */

#include "daemon/lease/step.h"

#include "daemon/sysfs/write.h"

#define STEP_NAME(name) [STEP_##name] = #name,
static const char *const step_kind_table[STEP_KIND_MAX] = { STEP_KINDS(STEP_NAME) };
DEFINE_STRING_TABLE(step_kind, enum step_kind)

void plan_done(struct plan *plan)
{
	free(plan->steps);
	*plan = (struct plan){ 0 };
}

/* ---- order */

struct item {
	const struct lease_device *device;
	unsigned int waive;
	size_t depth;
};

static size_t path_depth(const char *path)
{
	size_t depth = 0;

	for (; path && *path; path++)
		depth += *path == '/';
	return depth;
}

static int compare_names(const struct item *a, const struct item *b)
{
	return strcmp(a->device->name, b->device->name);
}

/* What is behind a bridge is away before the bridge's own driver is taken. */
static int deepest_first(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return x->depth == y->depth ? compare_names(x, y) : x->depth < y->depth ? 1 : -1;
}

static int bridges_first(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return x->depth == y->depth ? compare_names(x, y) : x->depth > y->depth ? 1 : -1;
}

/* The devices of a lease in an order: an array of the caller, of n_devices. */
static struct item *sorted(const struct lease *lease, const unsigned int *waive,
			   int (*compare)(const void *, const void *))
{
	struct item *items = calloc(lease->n_devices + 1, sizeof(*items));

	if (!items)
		return NULL;
	for (size_t i = 0; i < lease->n_devices; i++)
		items[i] = (struct item){
			.device = &lease->devices[i],
			.waive = waive ? waive[i] : 0,
			.depth = path_depth(lease->devices[i].syspath),
		};
	qsort(items, lease->n_devices, sizeof(*items), compare);
	return items;
}

/* ---- steps */

/* A plan under construction: the first error sticks, so that the lists below read as lists. */
struct builder {
	struct plan *plan;
	bool keep_going;
	int error;
};

static void add(struct builder *b, const struct lease_device *device, struct step step)
{
	if (b->error == 0)
		b->error = ARRAY_RESERVE_ONE(b->plan->steps, b->plan->n);
	if (b->error < 0)
		return;
	step.device = device ? device->name : NULL;
	step.lease_device = device;
	step.keep_going = b->keep_going;
	b->plan->steps[b->plan->n++] = step;
}

static void add_kind(struct builder *b, const struct lease_device *device, enum step_kind kind,
		     const char *arg)
{
	add(b, device, (struct step){ .kind = kind, .arg = arg });
}

/* One step for each physical function, before all that is done to devices. */
static void switch_vfs(struct builder *b, const struct lease *lease, enum step_kind kind)
{
	for (size_t i = 0; i < lease->n_devices; i++) {
		const struct lease_device *d = &lease->devices[i];
		bool done = !d->vf_switch || (kind == STEP_VFS_BACK && !d->vf_back);

		for (size_t k = 0; k < i && !done; k++)
			done = streq0(lease->devices[k].vf_switch, d->vf_switch);
		if (done)
			continue;
		add_kind(b, d, kind, d->vf_switch);
		/* It is the function's: where that fails, the device's own steps are none the
		 * worse. */
		if (b->error == 0)
			b->plan->steps[b->plan->n - 1].device = d->vf_switch;
	}
}

bool lease_switches_vfs(const struct lease *lease)
{
	for (size_t i = 0; i < lease->n_devices; i++)
		if (lease->devices[i].vf_switch)
			return true;
	return false;
}

static int finish(struct builder *b)
{
	if (b->error < 0)
		plan_done(b->plan);
	return b->error;
}

/* ---- claim */

/*
 * Away from whatever has it. Every device of the lease is driverless at one moment, with an
 * override that lets nothing bind it, before the first is bound again: a group fd that somebody
 * opened earlier dies only when no member of its group is on a VFIO driver (I5).
 */
static void take(struct builder *b, const struct item *item)
{
	const struct lease_device *d = item->device;

	add(b, d, (struct step){ .kind = STEP_CHECK, .waive = item->waive });
	add_kind(b, d, STEP_OVERRIDE, OVERRIDE_NONE);
	add_kind(b, d, STEP_UNBIND, NULL);
}

static void settle(struct builder *b, const struct lease_device *d)
{
	if (d->target_driver) {
		add_kind(b, d, STEP_OVERRIDE, d->target_driver);
		add_kind(b, d, STEP_PROBE, NULL);
		add_kind(b, d, STEP_VERIFY, d->target_driver);
		return;
	}
	add_kind(b, d, STEP_VERIFY, NULL);
	/* A bridge that masters no bus forwards nothing for what is behind it. */
	if (!d->bridge)
		add_kind(b, d, STEP_QUIET, NULL);
}

static void open_nodes(struct builder *b, const struct lease *lease, const struct item *items)
{
	for (size_t i = 0; i < lease->n_devices; i++)
		if (!items[i].device->left && items[i].device->target_driver)
			add(b, items[i].device,
			    (struct step){ .kind = STEP_NODE_CLEAN, .uid = (uid_t)-1 });
	if (lease->mode != MODE_NODE)
		return;
	for (size_t i = 0; i < lease->n_devices; i++)
		if (items[i].device->state == DEVICE_GRANTED && !items[i].device->left &&
		    items[i].device->target_driver)
			add(b, items[i].device,
			    (struct step){ .kind = STEP_NODE_GRANT, .uid = lease->owner });
}

int plan_vfs_off(const struct lease *lease, struct plan *plan)
{
	struct builder b = { .plan = plan };

	*plan = (struct plan){ .name = "claim" };
	switch_vfs(&b, lease, STEP_VFS_OFF);
	return finish(&b);
}

int plan_claim(const struct lease *lease, const unsigned int *waive, struct plan *plan)
{
	_cleanup_free_ struct item *items = sorted(lease, waive, deepest_first);
	struct builder b = { .plan = plan };

	*plan = (struct plan){ .name = "claim" };
	if (!items)
		return -ENOMEM;
	switch_vfs(&b, lease, STEP_VFS_OFF);
	for (size_t i = 0; i < lease->n_devices; i++)
		if (!items[i].device->left)
			take(&b, &items[i]);
	for (size_t i = 0; i < lease->n_devices; i++)
		if (!items[i].device->left)
			settle(&b, items[i].device);
	open_nodes(&b, lease, items);
	for (size_t i = 0; i < lease->n_devices; i++) {
		const struct lease_device *d = items[i].device;

		add_kind(&b, d, STEP_VERIFY, d->left ? d->saved_driver : d->target_driver);
	}
	return finish(&b);
}

/* ---- changes of a lease that stays: of its devices that are `parking` alone */

int plan_grow(const struct lease *lease, struct plan *plan)
{
	const uid_t uid = lease->mode == MODE_NODE ? lease->owner : (uid_t)-1;
	struct builder b = { .plan = plan };

	*plan = (struct plan){ .name = "grow" };
	for (size_t i = 0; i < lease->n_devices; i++) {
		const struct lease_device *d = &lease->devices[i];

		if (!d->parking)
			continue;
		add_kind(&b, d, STEP_IDENTITY, NULL);
		/* Parked on its VFIO driver, too, it is cycled: no fd of it can be left then. */
		add_kind(&b, d, STEP_UNBIND_VFIO, NULL);
		add_kind(&b, d, STEP_VERIFY, NULL);
		add_kind(&b, d, STEP_OVERRIDE, d->target_driver);
		add_kind(&b, d, STEP_PROBE, NULL);
		add_kind(&b, d, STEP_VERIFY, d->target_driver);
		add(&b, d, (struct step){ .kind = STEP_NODE_CLEAN, .uid = uid });
		if (lease->mode == MODE_NODE)
			add(&b, d, (struct step){ .kind = STEP_NODE_GRANT, .uid = uid });
	}
	return finish(&b);
}

bool plan_parks_on_vfio(const struct lease *lease, const struct lease_device *d)
{
	return lease->park == PARK_VFIO && lease->mode == MODE_CDEV && d->target_driver &&
	       !d->bridge && !d->came && d->state != DEVICE_FENCED;
}

int plan_park(const struct lease *lease, struct plan *plan)
{
	struct builder b = { .plan = plan, .keep_going = true };

	*plan = (struct plan){ .name = "park" };
	for (size_t i = 0; i < lease->n_devices; i++) {
		const struct lease_device *d = &lease->devices[i];

		if (!d->parking)
			continue;
		if (lease->mode == MODE_NODE)
			add(&b, d, (struct step){ .kind = STEP_NODE_REVOKE, .uid = lease->owner });
		add_kind(&b, d, STEP_UNBIND_VFIO, NULL);
		add_kind(&b, d, STEP_SETTLE, NULL);
		add_kind(&b, d, STEP_VERIFY, NULL);
		if (!d->bridge)
			add_kind(&b, d, STEP_QUIET, NULL);
		if (!plan_parks_on_vfio(lease, d))
			continue;
		add_kind(&b, d, STEP_OVERRIDE, d->target_driver);
		add_kind(&b, d, STEP_PROBE, NULL);
		add_kind(&b, d, STEP_VERIFY, d->target_driver);
		add(&b, d, (struct step){ .kind = STEP_NODE_CLEAN, .uid = (uid_t)-1 });
	}
	return finish(&b);
}

/* ---- release */

int plan_drain(const struct lease *lease, struct plan *plan)
{
	_cleanup_free_ struct item *items = sorted(lease, NULL, deepest_first);
	struct builder b = { .plan = plan, .keep_going = true };

	*plan = (struct plan){ .name = "drain" };
	if (!items)
		return -ENOMEM;
	/* The nodes of one that has gone went with it: a group of its number is another's. */
	for (size_t i = 0; i < lease->n_devices && lease->mode == MODE_NODE; i++)
		if (!items[i].device->left && items[i].device->target_driver &&
		    !items[i].device->gone)
			add(&b, items[i].device,
			    (struct step){ .kind = STEP_NODE_REVOKE, .uid = lease->owner });
	for (size_t i = 0; i < lease->n_devices; i++)
		if (!items[i].device->left)
			add_kind(&b, items[i].device, STEP_UNBIND_VFIO, NULL);
	for (size_t i = 0; i < lease->n_devices; i++)
		if (!items[i].device->left)
			add_kind(&b, items[i].device, STEP_SETTLE, NULL);
	return finish(&b);
}

static void give_back(struct builder *b, const struct lease_device *d)
{
	/* One that was shut off and not read since is let go, whatever it is. */
	if (d->state != DEVICE_FENCED || d->syspath)
		add_kind(b, d, STEP_IDENTITY, NULL);
	if (d->state == DEVICE_FENCED || d->came) {
		/* It arrived later: what it would have had is the kernel's to find. */
		add_kind(b, d, STEP_OVERRIDE, NULL);
		add_kind(b, d, STEP_PROBE, d->evicted);
		return;
	}
	if (d->saved_driver) {
		/* One that has its driver still is left alone by both. */
		add_kind(b, d, STEP_OVERRIDE, d->saved_driver);
		add_kind(b, d, STEP_PROBE, NULL);
	}
	add_kind(b, d, STEP_VERIFY, d->saved_driver);
	add_kind(b, d, STEP_OVERRIDE, d->saved_override);
}

int plan_restore(const struct lease *lease, struct plan *plan)
{
	_cleanup_free_ struct item *items = sorted(lease, NULL, bridges_first);
	struct builder b = { .plan = plan, .keep_going = true };

	*plan = (struct plan){ .name = "restore" };
	if (!items)
		return -ENOMEM;
	switch_vfs(&b, lease, STEP_VFS_BACK);
	for (size_t i = 0; i < lease->n_devices; i++)
		if (!items[i].device->left)
			give_back(&b, items[i].device);
	return finish(&b);
}
