/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of judge.h. */

#include "daemon/bus/judge.h"

#include "daemon/manager-internal.h"
#include "daemon/sysfs/write.h"

/* So often is looked again because a pool gives another device than the one that was looked at. */
#define ROUNDS_MAX 16

struct judge {
	struct manager *manager;
	const struct request *ask;
	judge_fn done;
	void *userdata;
	struct decision *decision;
	struct inspection *inspection;
	struct inspected *items; /* the inspection's */
	size_t n;
	unsigned int rounds;
};

const struct decision *judge_decision(const struct judge *judge)
{
	return judge->decision;
}

const struct inspected *judge_found(const struct judge *judge, const char *device)
{
	for (size_t i = 0; i < judge->n; i++)
		if (streq(judge->items[i].device, device))
			return &judge->items[i];
	return NULL;
}

struct judge *judge_free(struct judge *judge)
{
	if (!judge)
		return NULL;
	inspection_free(judge->inspection);
	decision_free(judge->decision);
	free(judge);
	return NULL;
}

static int decide_anew(struct judge *judge)
{
	judge->decision = decision_free(judge->decision);
	return manager_decide(judge->manager, judge->ask, &judge->decision);
}

/* The worker's view against the topology's: an event may be on its way to us still. */
static int reconcile(struct manager *manager, struct inspected *item)
{
	const struct device *device = topology_device(&manager->topology, item->device);

	if (device && streq0(device->driver, item->driver))
		return 0;
	if (scan_one(&manager->scanner, device ? device->subsystem : "pci", item->device) < 0)
		return 1;
	device = topology_device(&manager->topology, item->device);
	return device && streq0(device->driver, item->driver) ? 0 : 1;
}

static int take_uses(struct manager *manager, struct inspected *item)
{
	struct device *device = topology_device(&manager->topology, item->device);
	struct use_list uses = { 0 };
	int r = 0;

	for (size_t i = 0; r >= 0 && i < item->uses.n; i++)
		r = use_list_add(&uses, item->uses.items[i].kind, "%s", item->uses.items[i].text);
	if (r < 0) {
		use_list_done(&uses);
		return r;
	}
	r = device_take_uses(device, &uses);
	/* Of the very device that was asked, for it is not read again. */
	if (item->serial && device->identity == item->identity) {
		int k = device_set_serial(device, item->serial);

		r = k == TOPOLOGY_SAME ? r : k;
	}
	if (r == TOPOLOGY_CHANGED)
		manager_on_surveyed(item->device, manager);
	return r;
}

/* What is removed while it is looked at fails in whatever is read at that moment. */
static bool went(const struct judge *judge, const struct inspected *item)
{
	const struct device *device = topology_device(&judge->manager->topology, item->device);

	return item->error == ENOENT || item->error == ENODEV || !device ||
	       (item->appearance && sysfs_get_appearance(&judge->manager->host, device->subsystem,
							 item->device) != item->appearance);
}

static int take_in(struct judge *judge)
{
	for (size_t i = 0; i < judge->n; i++) {
		struct inspected *item = &judge->items[i];
		int r;

		/* Of a pool that gave nothing: it still gives nothing of this. */
		if (item->error && strv_contains(judge->decision->pool_unsure, item->device))
			continue;
		if (item->error && went(judge, item))
			return 1;
		if (item->error)
			return -item->error;
		r = reconcile(judge->manager, item);
		if (r != 0)
			return r;
		r = take_uses(judge->manager, item);
		if (r < 0)
			return r;
	}
	return decide_anew(judge);
}

/* Refused for a pin, while nobody has read its serial number yet: the survey takes its time. */
static bool is_unread(const struct judge *judge, const struct verdict *v)
{
	const struct device *device = topology_device(&judge->manager->topology, v->device);

	return v->reason == REASON_PIN && device && !device->serial &&
	       streq(device->subsystem, "pci");
}

static int devices_to_look_at(struct judge *judge, char ***devices)
{
	for (size_t i = 0; i < judge->decision->n_verdicts; i++) {
		const struct verdict *v = &judge->decision->verdicts[i];
		int r;

		if (!is_unread(judge, v) &&
		    ((v->action == ACTION_NONE && v->reason != REASON_IN_USE) ||
		     engine_clean(&judge->manager->engine, v->device, v->identity)))
			continue;
		r = strv_extend(devices, v->device);
		if (r < 0)
			return r;
	}
	STRV_FOREACH (device, judge->decision->pool_unsure)
		if (!strv_contains(*devices, *device) && strv_extend(devices, *device) < 0)
			return -ENOMEM;
	return 0;
}

static void on_inspected(struct inspection *inspection, int r, struct inspected *items, size_t n,
			 void *userdata);

static bool all_seen(const struct judge *judge, char *const *devices)
{
	STRV_FOREACH (device, devices)
		if (!judge_found(judge, *device))
			return false;
	return true;
}

/* What the survey saw in use may be idle by now: an address that went sends no event. */
static bool is_worth_a_look(const struct judge *judge)
{
	const struct decision *decision = judge->decision;

	for (size_t i = 0; decision->reason == REASON_PIN && i < decision->n_verdicts; i++)
		if (is_unread(judge, &decision->verdicts[i]))
			return true;
	return decision->allowed || decision->reason == REASON_IN_USE || decision->pool_unsure;
}

/* 0: a worker looks; 1: there is nothing (more) to look at; -errno. */
static int look(struct judge *judge)
{
	struct manager *manager = judge->manager;
	_cleanup_strv_ char **devices = NULL;
	int r;

	if (!is_worth_a_look(judge))
		return 1;
	r = devices_to_look_at(judge, &devices);
	if (r < 0)
		return r;
	if (all_seen(judge, devices))
		return 1;
	if (judge->rounds++ >= ROUNDS_MAX)
		return -EAGAIN;
	judge->inspection = inspection_free(judge->inspection);
	judge->items = NULL;
	judge->n = 0;
	return inspect_start(manager->event, &manager->host, &manager->topology, devices, true,
			     on_inspected, judge, &judge->inspection);
}

/*
 * What was seen may have a pool give another device, and so may a lease that somebody else got
 * meanwhile: that one is looked at too.
 */
static void on_inspected(struct inspection *inspection, int r, struct inspected *items, size_t n,
			 void *userdata)
{
	struct judge *judge = userdata;

	judge->items = items;
	judge->n = n;
	if (r >= 0)
		r = take_in(judge);
	/* What a pool gave is somebody else's by now: nothing that was seen holds. */
	if (r > 0 && judge->decision->n_drawn > 0) {
		judge->n = 0;
		r = decide_anew(judge);
	}
	if (r == 0)
		r = look(judge);
	else if (r > 0)
		r = -EAGAIN;
	if (r == 0)
		return;
	judge->done(judge, r > 0 ? 0 : r == -EAGAIN ? 1 : r, judge->userdata);
}

static int begin(struct judge *judge)
{
	int r = decide_anew(judge);

	return r < 0 ? r : look(judge);
}

int judge_start(struct manager *manager, const struct request *ask, judge_fn done, void *userdata,
		struct judge **ret)
{
	_cleanup_(judge_freep) struct judge *judge = calloc(1, sizeof(*judge));
	int r;

	if (!judge)
		return -ENOMEM;
	judge->manager = manager;
	judge->ask = ask;
	judge->done = done;
	judge->userdata = userdata;
	r = begin(judge);
	if (r < 0)
		return r;
	*ret = STEAL(judge);
	return r;
}
