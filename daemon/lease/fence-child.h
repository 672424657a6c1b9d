/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the process of a fence does: waits for the name of a device, and shuts that off. It may hang
 * in the kernel. Who asks it, and what is made of its reports, is in fence.c.
 */

#include "daemon/sysfs/host.h"

#define FENCE_NAME_MAX 64 /* of a device, with the NUL */

/*
 * Its steps, by their index in a report.
 *
 * A driver whose probe is under way has its link: the first unbind waits for it. The probe that is
 * asked for finds no driver of that name; where the kernel was about to ask one when the override
 * was written, and it has no link yet, the probe takes the device lock, that is over then, and the
 * driver, if it won, is seen (docs/kernel.md, 28).
 */
enum {
	FENCE_OVERRIDE,
	FENCE_UNBIND,
	FENCE_LOCK,
	FENCE_UNBIND_LATE,
	FENCE_VERIFY,
	FENCE_QUIET,
	FENCE_STEPS
};

/*
 * Its main. The device's name comes as one message over sock, the lease's lock with it; the reports
 * go back, as steps_run() makes them. 0: shut off, gone, or nothing was asked for; 1: a step has
 * failed; 2: the reports could not be sent.
 */
int fence_work(const struct host *host, int sock);
