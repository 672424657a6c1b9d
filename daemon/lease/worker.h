/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A worker: a short-lived child that carries a plan out and reports each step. It may hang in the
 * kernel for hours; that holds up nobody but its own lease.
 */

#include "daemon/lease/step.h"

#include <systemd/sd-event.h>

struct worker;

struct worker_ops {
	/* Each report, as it comes. The step is the plan's. */
	void (*report)(const struct step *step, const struct step_report *report, void *userdata);
	/*
	 * Once, at the end: 0: every step was done; 1: some failed or were not begun; -ECANCELED:
	 * the worker died. The callee calls worker_free(), here or later.
	 */
	void (*done)(int result, void *userdata);
};

/*
 * Starts one. plan: taken in every case, kept until worker_free(); what it borrows must live as
 * long. lock: an fd that the worker holds as long as it lives (borrowed; -EBADF: none). -errno.
 */
int worker_start(sd_event *event, const struct host *host, struct plan *plan, int lock,
		 const struct worker_ops *ops, void *userdata, struct worker **worker);
/* Asks it to stop before its next step; done() comes as always. */
void worker_stop(struct worker *worker);
/* No callbacks any more; a worker that still runs stops before its next step. */
struct worker *worker_free(struct worker *worker);
DEFINE_CLEANUP(struct worker *, worker_free)
