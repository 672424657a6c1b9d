/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The parent's side of a worker, and the few lines of its child that call steps_run(). */

#include "daemon/lease/worker.h"

#include "daemon/util/child.h"

struct worker {
	const struct worker_ops *ops;
	void *userdata;
	const struct host *host;
	struct plan plan;
	int lock; /* borrowed */
	struct child *child;
};

static int worker_main(int sock, void *userdata)
{
	struct worker *worker = userdata;
	struct step_context context = {
		.host = worker->host,
		.subsystem = "pci",
		.lock = &worker->lock,
	};
	int r = steps_run(&context, &worker->plan, sock);

	return r < 0 ? 2 : r;
}

static void on_message(struct child *child, const void *data, size_t size, void *userdata)
{
	struct worker *worker = userdata;
	struct step_report report;

	if (size != sizeof(report))
		return;
	memcpy(&report, data, sizeof(report));
	if (report.index >= worker->plan.n)
		return;
	/* The child is ours, but terminated strings cost nothing to make sure of. */
	report.device[sizeof(report.device) - 1] = 0;
	report.driver[sizeof(report.driver) - 1] = 0;
	report.override[sizeof(report.override) - 1] = 0;
	report.text[sizeof(report.text) - 1] = 0;
	worker->ops->report(&worker->plan.steps[report.index], &report, worker->userdata);
}

static void on_exited(struct child *child, int status, void *userdata)
{
	struct worker *worker = userdata;

	worker->ops->done(status == 0 ? 0 : status == 1 ? 1 : -ECANCELED, worker->userdata);
}

static const struct child_ops worker_child_ops = {
	.name = "vfiod-worker",
	.main = worker_main,
	.message = on_message,
	.exited = on_exited,
};

int worker_start(sd_event *event, const struct host *host, struct plan *plan, int lock,
		 const struct worker_ops *ops, void *userdata, struct worker **ret)
{
	const int keep[] = { host->sys, host->dev, host->proc, lock };
	struct worker *worker = calloc(1, sizeof(*worker));
	int r;

	if (!worker) {
		plan_done(plan);
		return -ENOMEM;
	}
	worker->ops = ops;
	worker->userdata = userdata;
	worker->host = host;
	worker->plan = *plan;
	worker->lock = lock;
	*plan = (struct plan){ 0 };
	r = child_spawn(event, &worker_child_ops, keep, lock >= 0 ? 4 : 3, worker, &worker->child);
	if (r < 0) {
		worker_free(worker);
		return r;
	}
	*ret = worker;
	return 0;
}

void worker_stop(struct worker *worker)
{
	child_hang_up(worker->child);
}

struct worker *worker_free(struct worker *worker)
{
	if (!worker)
		return NULL;
	child_free(worker->child);
	plan_done(&worker->plan);
	free(worker);
	return NULL;
}
