/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a worker does to reset devices of a lease: pure, like plan.c. */

#include "daemon/lease/step.h"

static int add(struct plan *plan, struct step step)
{
	int r = ARRAY_RESERVE_ONE(plan->steps, plan->n);

	if (r < 0)
		return r;
	step.device = step.lease_device->name;
	plan->steps[plan->n++] = step;
	return 0;
}

/* One bus is reset once, whatever was named on it. */
static bool is_repeated(const struct reset_step *steps, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (steps[i].bridge && streq0(steps[k].bridge, steps[i].bridge))
			return true;
	return false;
}

/*
 * The kernel saves and restores the config space of what it resets. What it made of that is read
 * back, of every device of the lease, for a bus has more than was named: the driver, and that what
 * is shut off without a driver masters no bus.
 */
static int check(struct plan *plan, const struct lease *lease)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < lease->n_devices; i++) {
		const struct lease_device *d = &lease->devices[i];

		if (d->left || d->gone || d->state == DEVICE_FENCED)
			continue;
		r = add(plan, (struct step){ .kind = STEP_VERIFY,
					     .lease_device = d,
					     .arg = d->target_driver });
		if (r >= 0 && !d->target_driver && !d->bridge)
			r = add(plan, (struct step){ .kind = STEP_QUIET, .lease_device = d });
	}
	return r;
}

int plan_reset(const struct lease *lease, const struct reset_step *steps, size_t n,
	       struct plan *plan)
{
	int r = 0;

	*plan = (struct plan){ .name = "reset" };
	for (size_t i = 0; r >= 0 && i < n; i++) {
		if (is_repeated(steps, i))
			continue;
		r = add(plan,
			(struct step){ .kind = STEP_IDENTITY, .lease_device = steps[i].device });
		if (r >= 0)
			r = add(plan, (struct step){ .kind = steps[i].bridge ? STEP_RESET_BUS
									     : STEP_RESET,
						     .lease_device = steps[i].device,
						     .lease = lease,
						     .arg = steps[i].bridge });
	}
	if (r >= 0)
		r = check(plan, lease);
	if (r < 0)
		plan_done(plan);
	return r;
}
