/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The steps that reset: a function by itself, and everything below a bridge. */

#include "daemon/lease/step-run.h"

#include "daemon/sysfs/attr.h"
#include "daemon/sysfs/reset.h"
#include "daemon/sysfs/write.h"

#include <time.h>

/* Somebody probes, unbinds or opens a device now and then; who waits in an unbind keeps its lock.
 */
#define TRIES	   50
#define PAUSE_MSEC 100

static bool is_of_lease(const struct step_run *run, const struct lease *lease, const char *name)
{
	const struct lease_device *d = lease_device(lease, name);
	uint64_t now;

	if (!d || d->gone)
		return false;
	now = d->appearance
		      ? sysfs_get_appearance(run->host, attr_bus_of(run->host->sys, name), name)
		      : 0;
	return !now || now == d->appearance;
}

/*
 * Right before the write: what the reset would reach and is not the lease's has no driver still.
 * That was so when the reset was allowed, and nobody gets it from the daemon meanwhile; but a host
 * driver may have come to it, a card into another slot, or, if this process has outlived its
 * daemon, a lease that the next one gave.
 */
static int look_again(struct step_run *run, const struct step *step, const char *above)
{
	_cleanup_strv_ char **names = NULL;
	int r = sysfs_list_below(run->host, above, &names);

	STRV_FOREACH (name, names) {
		_cleanup_free_ char *driver = NULL;

		if (r < 0 || is_of_lease(run, step->lease, *name))
			continue;
		r = sysfs_get_driver(run->host, attr_bus_of(run->host->sys, *name), *name, &driver);
		if (r == -ENOENT)
			r = 0;
		if (r >= 0 && driver)
			return say(
				run, -ESTALE,
				"%s, which the reset would reach and the lease does not have, is "
				"on %s by now",
				*name, driver);
	}
	if (r == -ENOENT)
		return say(run, -ENODEV, "%s is gone", above);
	return r < 0 ? r : 0;
}

int step_reset(struct step_run *run, const struct step *step)
{
	int r = look_again(run, step, step->device);

	if (r >= 0)
		r = sysfs_reset(run->host, run->subsystem, step->device);
	if (r == -ENOENT)
		return say(run, -EOPNOTSUPP, "the kernel has no reset of it");
	if (r < 0 && !run->report.text[0])
		return say(run, r, "the kernel did not reset it: %s", strerror(-r));
	return r;
}

/* -ECANCELED: whoever wants it does not listen any more. */
static int try_bus(struct step_run *run, const struct step *step)
{
	const struct timespec pause = { .tv_nsec = PAUSE_MSEC * 1000000L };
	int r = -EAGAIN;

	for (int i = 0; i < TRIES && r == -EAGAIN; i++) {
		if (i > 0)
			nanosleep(&pause, NULL);
		if (step_hung_up(run))
			return -ECANCELED;
		r = look_again(run, step, step->arg);
		if (r >= 0)
			r = sysfs_reset_bus(run->host, step->arg);
	}
	return r;
}

int step_reset_bus(struct step_run *run, const struct step *step)
{
	int r = try_bus(run, step);

	if (r >= 0 || run->report.text[0])
		return r;
	if (r == -ENOENT)
		return say(run, -EOPNOTSUPP,
			   "%s has no reset_subordinate, which Linux has from 6.12.5 on",
			   step->arg);
	if (r == -EPERM)
		return say(run, r, "vfiod lacks CAP_SYS_ADMIN, without which no bus is reset");
	if (r == -EAGAIN)
		return say(run, r, "a device below %s is locked in the kernel all the time",
			   step->arg);
	return say(run, r, "the kernel did not reset what is below %s: %s", step->arg,
		   strerror(-r));
}
