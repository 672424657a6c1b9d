/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Carries a plan out, in a worker: step by step, each reported before and after. What the steps do
 * is in step-device.c and step-node.c; which steps there are is decided in plan.c.
 */

#include "daemon/lease/step-run.h"

#include "daemon/fault.h"
#include "daemon/sysfs/attr.h"
#include "daemon/sysfs/mdev.h"
#include "daemon/sysfs/write.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>

int say(struct step_run *run, int error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(run->report.text, sizeof(run->report.text), format, ap);
	va_end(ap);
	return error;
}

static int carry_out(struct step_run *run, const struct step *step)
{
	switch (step->kind) {
	case STEP_INSPECT:
		return step_inspect(run, step);
	case STEP_CHECK:
		return step_check(run, step);
	case STEP_OVERRIDE:
		return step_override(run, step);
	case STEP_UNBIND:
		return step_unbind(run, step);
	case STEP_UNBIND_VFIO:
		return step_unbind_vfio(run, step);
	case STEP_SETTLE:
		return step_settle(run, step);
	case STEP_PROBE:
		return step_probe(run, step);
	case STEP_VERIFY:
		return step_verify(run, step);
	case STEP_QUIET:
		return step_quiet(run, step);
	case STEP_NODE_CLEAN:
		return step_node_clean(run, step);
	case STEP_NODE_GRANT:
		return step_node_grant(run, step);
	case STEP_NODE_REVOKE:
		return step_node_revoke(run, step);
	case STEP_RESET:
		return step_reset(run, step);
	case STEP_RESET_BUS:
		return step_reset_bus(run, step);
	case STEP_IDENTITY:
		return step_identity(run, step);
	case STEP_VFS_OFF:
		return step_vfs(run, step, false);
	case STEP_VFS_BACK:
		return step_vfs(run, step, true);
	case STEP_KIND_MAX:
	case STEP_KIND_INVALID:
		break;
	}
	return say(run, -EINVAL, "no such step");
}

static int report(struct step_run *run, enum step_event event)
{
	run->report.event = event;
	return socket_send_fd_borrow(run->sock, &run->report, sizeof(run->report), -EBADF);
}

static void begin_report(struct step_run *run, size_t index)
{
	const char *device = run->plan->steps[index].device;

	memset(&run->report, 0, sizeof(run->report));
	run->report.index = (uint32_t)index;
	snprintf(run->report.device, sizeof(run->report.device), "%s", device ? device : "");
}

/* Nobody listens any more: no step is begun that nobody would learn of. */
bool step_hung_up(const struct step_run *run)
{
	struct pollfd p = { .fd = run->sock, .events = POLLRDHUP };

	while (poll(&p, 1, 0) < 0)
		if (errno != EINTR)
			return true;
	return p.revents != 0;
}

static void skip_device(struct step_run *run, size_t index)
{
	const struct step *steps = run->plan->steps;

	for (size_t i = index + 1; i < run->plan->n; i++)
		if (steps[index].device && streq0(steps[i].device, steps[index].device))
			run->skip[i] = true;
}

static bool is_gone(const struct step_run *run, const struct step *step)
{
	_cleanup_free_ char *driver = NULL;

	return step->device && !mdev_is_due(run->note) &&
	       sysfs_get_driver(run->host, run->subsystem, step->device, &driver) == -ENOENT;
}

/* 0: done or rightly skipped; 1: failed; -errno: the report could not be sent. */
static int finish_step(struct step_run *run, size_t index, int result, bool stale)
{
	const struct step *step = &run->plan->steps[index];
	enum step_event event = STEP_DONE;
	int r;

	if (result < 0) {
		run->report.error = -result;
		if (!run->report.text[0])
			say(run, 0, "%s", strerror(-result));
		event = STEP_FAILED;
		/* A device that went has nothing to be given back to it, nor has its successor. */
		if (step->keep_going && is_gone(run, step)) {
			event = STEP_SKIPPED;
			run->report.error = ENOENT;
			say(run, 0, "the device is gone");
		} else if ((step->kind == STEP_IDENTITY && result == -ESTALE) ||
			   (step->keep_going && stale)) {
			event = STEP_SKIPPED;
		}
		skip_device(run, index);
	}
	r = report(run, event);
	if (r < 0)
		return r;
	return event == STEP_FAILED;
}

static int run_one(struct step_run *run, size_t index)
{
	bool stale;
	int r;

	begin_report(run, index);
	if (run->plan->steps[index].device)
		run->subsystem = attr_bus_of(run->host->sys, run->plan->steps[index].device);
	if (run->skip[index]) {
		r = report(run, STEP_SKIPPED);
		return r < 0 ? r : 0;
	}
	r = report(run, STEP_BEGIN);
	if (r < 0)
		return r;
	fault_step(run->plan->name, run->plan->steps[index].kind, false);
	r = step_appearance(run, &run->plan->steps[index]);
	stale = r < 0;
	if (!stale)
		r = carry_out(run, &run->plan->steps[index]);
	fault_step(run->plan->name, run->plan->steps[index].kind, true);
	return finish_step(run, index, r, stale);
}

static int run_all(struct step_run *run)
{
	int result = 0;

	for (size_t i = 0; i < run->plan->n; i++) {
		int r;

		if (step_hung_up(run))
			return 1;
		r = run_one(run, i);
		if (r < 0)
			return r;
		if (r > 0)
			result = 1;
		if (r > 0 && !run->plan->steps[i].keep_going)
			break;
	}
	return result;
}

/*
 * A worker before this one may have been killed while a device was nowhere: it comes first. And
 * listening to udev begins before the first node is made.
 */
static int prepare(struct step_run *run)
{
	int r = mdev_mend(run->host, run->note);

	if (r < 0)
		return r;
	run->skip = calloc(run->plan->n + 1, sizeof(bool));
	if (!run->skip)
		return -ENOMEM;
	for (size_t i = 0; i < run->plan->n; i++)
		if (run->plan->steps[i].kind == STEP_NODE_CLEAN)
			return node_watch_new(run->host, &run->watch);
	return 0;
}

int steps_run(const struct step_context *context, const struct plan *plan, int sock)
{
	struct step_run run = {
		.host = context->host,
		.subsystem = context->subsystem,
		.plan = plan,
		.note = context->lock ? *context->lock : -EBADF,
		.sock = sock,
	};
	int r;

	r = prepare(&run);
	if (r >= 0) {
		r = run_all(&run);
	} else if (plan->n) {
		begin_report(&run, 0);
		run.report.error = -r;
		say(&run, 0, "the worker cannot begin: %s", strerror(-r));
		r = report(&run, STEP_FAILED);
		r = r < 0 ? r : 1;
	}
	held_fds_done(&run.held);
	node_watch_free(run.watch);
	free(run.skip);
	return r;
}
