/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The steps that reset: a function by itself, and everything below a bridge. */

#include "daemon/lease/step-run.h"

#include "daemon/sysfs/reset.h"

int step_reset(struct step_run *run, const struct step *step)
{
	int r = sysfs_reset(run->host, run->subsystem, step->device);

	if (r == -ENOENT)
		return say(run, -EOPNOTSUPP, "the kernel has no reset of it");
	return r < 0 ? say(run, r, "the kernel did not reset it: %s", strerror(-r)) : 0;
}

int step_reset_bus(struct step_run *run, const struct step *step)
{
	int r = sysfs_reset_bus(run->host, step->arg);

	if (r == -ENOENT)
		return say(run, -EOPNOTSUPP,
			   "%s has no reset_subordinate, which Linux has from 6.12.5 on",
			   step->arg);
	if (r == -EPERM)
		return say(run, r, "vfiod lacks CAP_SYS_ADMIN, without which no bus is reset");
	if (r == -EAGAIN)
		return say(run, r, "a device below %s is locked in the kernel all the time",
			   step->arg);
	return r < 0 ? say(run, r, "the kernel did not reset what is below %s: %s", step->arg,
			   strerror(-r))
		     : 0;
}
