/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A plan being carried out, for the step*.c files among themselves. A step is a function that
 * returns 0 or -errno, and says why in the report's text.
 */

#include "daemon/lease/step.h"
#include "daemon/sysfs/uses.h"
#include "daemon/vfio/node.h"

struct step_run {
	const struct host *host;
	const char *subsystem;
	const struct plan *plan;
	int note; /* the lock of the lease, or -EBADF */
	int sock;
	bool *skip; /* per step: its device has failed */

	struct held_fds held; /* block devices, from a CHECK until that device's UNBIND is over */
	struct node_watch *watch;
	bool marked; /* the watch has its mark: before the first PROBE */

	struct step_report report; /* of the step that runs */
};

/* Puts the words for a failure into the report. Returns error, for "return say(…)". */
int say(struct step_run *run, int error, const char *format, ...) _printf_(3, 4);

/* step.c: nobody listens any more, and the next step is not begun. */
bool step_hung_up(const struct step_run *run);

/* step-device.c */
/*
 * -ESTALE: the address is another device's by now, which no step is meant for. What comes after
 * this look is told apart by its driver_override: no step binds a device without setting it first.
 */
int step_appearance(struct step_run *run, const struct step *step);
int step_inspect(struct step_run *run, const struct step *step);
int step_check(struct step_run *run, const struct step *step);
int step_identity(struct step_run *run, const struct step *step);
int step_override(struct step_run *run, const struct step *step);
int step_unbind(struct step_run *run, const struct step *step);
int step_unbind_vfio(struct step_run *run, const struct step *step);
int step_settle(struct step_run *run, const struct step *step);
int step_probe(struct step_run *run, const struct step *step);
int step_verify(struct step_run *run, const struct step *step);
int step_vfs(struct step_run *run, const struct step *step, bool on);
int step_quiet(struct step_run *run, const struct step *step);

/* The same by device, for the cycle of NODE_CLEAN. */
int device_verify(struct step_run *run, const char *device, const char *driver);
int device_override(struct step_run *run, const char *device, const char *driver);
int device_unbind(struct step_run *run, const char *device);
int device_probe(struct step_run *run, const char *device);

/* step-reset.c */
int step_reset(struct step_run *run, const struct step *step);
int step_reset_bus(struct step_run *run, const struct step *step);

/* step-node.c */
int step_node_clean(struct step_run *run, const struct step *step);
int step_node_grant(struct step_run *run, const struct step *step);
int step_node_revoke(struct step_run *run, const struct step *step);
