/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of inspect.h: a plan of nothing but INSPECT steps. */

#include "daemon/lease/inspect.h"

struct inspection {
	struct worker *worker;
	struct inspected *items;
	struct lease_device *views; /* what a step is told of a device */
	size_t n;
	inspect_fn done;
	void *userdata;
};

/* "kind\ttext" a line. What is not understood counts as a use that nothing waives. */
static int take_uses(struct inspected *item, char *text)
{
	char *state = NULL;

	for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
		char *tab = strchr(line, '\t');
		int kind, r;

		if (!tab)
			return -EBADMSG;
		*tab = 0;
		kind = use_kind_from_string(line);
		if (kind < 0)
			return -EBADMSG;
		r = use_list_add(&item->uses, (enum use_kind)kind, "%s", tab + 1);
		if (r < 0)
			return r;
	}
	return 0;
}

static int take_report(struct inspected *item, const struct step_report *report)
{
	_cleanup_free_ char *text = strdup(report->text);
	int r = 0;

	if (!text)
		return -ENOMEM;
	if (report->driver[0])
		r = free_and_strdup(&item->driver, report->driver);
	if (r >= 0 && report->override[0])
		r = free_and_strdup(&item->override, report->override);
	item->bus_master = report->bus_master;
	if (r >= 0 && report->has_serial)
		r = free_and_strdup(&item->serial, report->serial);
	return r < 0 ? r : take_uses(item, text);
}

static void on_report(const struct step *step, const struct step_report *report, void *userdata)
{
	struct inspection *inspection = userdata;
	struct inspected *item = &inspection->items[report->index];
	int r;

	if (report->event == STEP_FAILED) {
		item->error = report->error ? report->error : EIO;
	} else if (report->event == STEP_DONE) {
		r = take_report(item, report);
		item->error = r < 0 ? -r : 0;
	}
}

static void on_done(int result, void *userdata)
{
	struct inspection *inspection = userdata;

	inspection->done(inspection, result < 0 ? result : 0, inspection->items, inspection->n,
			 inspection->userdata);
}

static const struct worker_ops inspect_ops = { .report = on_report, .done = on_done };

static int fill_one(struct inspection *inspection, const struct device *device, bool exclusive,
		    struct step *step)
{
	struct inspected *item = &inspection->items[inspection->n];
	struct lease_device *view = &inspection->views[inspection->n];

	item->error = EIO; /* until its report says otherwise */
	item->device = strdup(device->name);
	item->appearance = device->appearance;
	item->identity = device->identity;
	view->syspath = strdup(device->syspath);
	inspection->n++;
	if (!item->device || !view->syspath)
		return -ENOMEM;
	view->name = item->device;
	*step = (struct step){
		.kind = STEP_INSPECT,
		.device = item->device,
		.lease_device = view,
		.exclusive = exclusive,
		.find_serial = !device->serial && streq(device->subsystem, "pci"),
		.keep_going = true,
	};
	return 0;
}

static int fill(struct inspection *inspection, const struct topology *topology,
		char *const *devices, bool exclusive, struct plan *plan)
{
	size_t n = strv_length(devices);

	inspection->items = calloc(n + 1, sizeof(struct inspected));
	inspection->views = calloc(n + 1, sizeof(struct lease_device));
	plan->steps = calloc(n + 1, sizeof(struct step));
	if (!inspection->items || !inspection->views || !plan->steps)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct device *device = topology_device(topology, devices[i]);
		int r = device ? fill_one(inspection, device, exclusive, &plan->steps[plan->n++])
			       : -ENODEV;

		if (r < 0)
			return r;
	}
	return 0;
}

int inspect_start(sd_event *event, const struct host *host, const struct topology *topology,
		  char *const *devices, bool exclusive, inspect_fn done, void *userdata,
		  struct inspection **ret)
{
	_cleanup_(inspection_freep) struct inspection *inspection = calloc(1, sizeof(*inspection));
	struct plan plan = { .name = "inspect" };
	int r;

	if (!inspection)
		return -ENOMEM;
	inspection->done = done;
	inspection->userdata = userdata;
	r = fill(inspection, topology, devices, exclusive, &plan);
	if (r < 0) {
		plan_done(&plan);
		return r;
	}
	r = worker_start(event, host, &plan, -EBADF, &inspect_ops, inspection, &inspection->worker);
	if (r < 0)
		return r;
	*ret = STEAL(inspection);
	return 0;
}

struct inspection *inspection_free(struct inspection *inspection)
{
	if (!inspection)
		return NULL;
	worker_free(inspection->worker);
	for (size_t i = 0; i < inspection->n; i++) {
		struct inspected *item = &inspection->items[i];

		free(item->device);
		free(item->driver);
		free(item->override);
		use_list_done(&item->uses);
		free(item->serial);
		free(inspection->views[i].syspath);
	}
	free(inspection->items);
	free(inspection->views);
	free(inspection);
	return NULL;
}
