/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of vf-switch.h. */

#include "daemon/lease/vf-switch.h"

#include "daemon/sysfs/attr.h"

#include <stdio.h>

static bool has_switch(const struct lease *lease, const char *function, bool moving)
{
	for (size_t i = 0; i < lease->n_devices; i++) {
		const struct lease_device *d = &lease->devices[i];

		if (streq0(d->vf_switch, function) && (!moving || d->vf_back))
			return true;
	}
	return false;
}

/* Whether another lease has it: it reads as 0 then, and was 1. */
static bool others_have(const struct engine *engine, const struct lease *lease,
			const char *function, bool needed)
{
	HASH_FOREACH (other, engine->ledger->leases)
		if (other != lease && (!needed || lease_keeps_host_out(other)) &&
		    has_switch(other, function, false))
			return true;
	return false;
}

/* 1: on; 0: off, or no such thing; -errno. */
static int is_on(const struct engine *engine, const char *function)
{
	char path[192], text[8];
	int r;

	snprintf(path, sizeof(path), "bus/pci/devices/%.64s/sriov_drivers_autoprobe", function);
	r = attr_read(engine->host->sys, path, text, sizeof(text));
	if (r < 0)
		return r;
	return r == 0 && !streq(text, "0");
}

int vf_switch_note(const struct engine *engine, struct lease *lease)
{
	for (size_t i = 0; i < lease->n_devices; i++) {
		struct lease_device *d = &lease->devices[i];
		const struct device *now = topology_device(engine->topology, d->name);
		const char *function =
			now && now->physical_function ? now->physical_function : d->name;
		int r;

		/* Of a part that comes from another lease it is known. */
		if (d->left || d->vf_switch)
			continue;
		r = others_have(engine, lease, function, false) ? 1 : is_on(engine, function);
		if (r > 0)
			r = free_and_strdup(&d->vf_switch, function);
		if (r < 0)
			return r;
	}
	return 0;
}

bool vf_switch_is_moving(const struct engine *engine, const struct lease *lease)
{
	for (size_t i = 0; i < lease->n_devices; i++) {
		const char *function = lease->devices[i].vf_switch;

		HASH_FOREACH (other, engine->ledger->leases)
			if (function && other != lease && has_switch(other, function, true))
				return true;
	}
	return false;
}

void vf_switch_may_go_back(const struct engine *engine, struct lease *lease)
{
	for (size_t i = 0; i < lease->n_devices; i++) {
		struct lease_device *d = &lease->devices[i];

		d->vf_back = d->vf_switch && !others_have(engine, lease, d->vf_switch, true);
	}
}

void vf_switch_is_back(struct lease_run *run, const char *function)
{
	bool any = false;

	for (size_t i = 0; i < run->lease->n_devices; i++) {
		struct lease_device *d = &run->lease->devices[i];

		if (!d->vf_back || (function && !streq(d->vf_switch, function)))
			continue;
		d->vf_back = false;
		any = true;
	}
	/* Whoever listens asks the claims again that wait. */
	if (any)
		run_changed(run);
}
