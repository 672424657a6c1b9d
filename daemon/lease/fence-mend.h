/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the process of a guard does: reads what each device and group of the lease has in sysfs, and
 * puts right what is not as the lease has it. It may hang in the kernel. When it is asked, and what
 * is made of its reports, is in fence-guard.c.
 */

#include "daemon/lease/run.h"

/* In a report: not of a step, but of a device that is not as the lease has it. */
#define MEND_FOUND UINT32_MAX
/* The same of a group: its number in `device`, the domain type that it has now in `driver`. */
#define MEND_TYPE (UINT32_MAX - 1)

/*
 * Its main. What it finds goes over sock as a struct step_report (MEND_FOUND, MEND_TYPE) before
 * anything is done about it, then the reports of the steps; to the devices of a blocked lease
 * (lease->blocked) nothing is done. 0: all is as it should be, is again, or is left as it is;
 * 1: something could not be put right; 2: something could not be read, or told.
 */
int mend_work(const struct lease_run *run, int sock);

/* A port that was left on its driver, and is on one that the kernel counts. driver may be NULL. */
bool mend_left_counts(const struct lease_device *d, const char *driver);
/* "DMA" and "DMA-FQ" differ in when the IOMMU forgets, not in what it lets through. */
bool mend_isolates(const char *type);
