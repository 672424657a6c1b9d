/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Broker-driven probing (policy "hotplug": { "probe": "broker" }): while any lease exists,
 * drivers_autoprobe of the PCI bus is 0, and the daemon says which new device is probed and when.
 * This is who switches it, and keeps it switched; the loop's side. What it was is on disk first
 * (autoprobe.h), how it comes back is in net.h, who waits meanwhile in arrivals.h.
 *
 *	kernel --a lease, before its worker begins--> taking --> broker
 *	   ^                                                       |
 *	   +--- giving back <---the last lease is home, or another policy
 */

#include "daemon/lease/engine.h"
#include "daemon/sysfs/monitor.h"

struct probing;

struct probing_ops {
	/* What probing_ready() said may be another answer now. Never called from within a call. */
	void (*go_on)(void *userdata);
};

/* host, engine: borrowed. The engine's journal is open. Nothing is done before the policy is known.
 */
int probing_new(sd_event *event, const struct host *host, struct engine *engine,
		const struct probing_ops *ops, void *userdata, struct probing **probing);
/* The keeper gives back what is not given back yet. */
struct probing *probing_free(struct probing *probing);
DEFINE_CLEANUP(struct probing *, probing_free)

/*
 * The policy in force says so, or there is none. honoured: the kernel asks drivers_autoprobe before
 * the first probe of a hot-added device; where it does not, that is said once, and the reactive
 * fence does the work.
 */
void probing_set_policy(struct probing *probing, bool broker, bool honoured);

/*
 * Whether a worker may begin on a new lease, which is in the ledger: 1: yes; 0: not yet, go_on()
 * comes; -errno: the switch cannot be had.
 */
int probing_ready(struct probing *probing, const struct lease *lease);
/* Leases came, went or changed. */
void probing_poke(struct probing *probing);

/*
 * A PCI device is new in the topology: it, and not its event, is what counts, for some ask for
 * events of what is there ("udevadm trigger").
 */
void probing_device_came(struct probing *probing, const char *device);
/* A virtual function that SetNumVfs has made: nobody probes it. */
void probing_function_made(struct probing *probing, const char *device);
/* After the reactive fence has had it, and before the topology has. */
void probing_kernel_event(struct probing *probing, const struct uevent *event);
void probing_udev_event(struct probing *probing, const struct uevent *event);
/* Events were lost, or root wants to be sure: looks for devices that wait. */
void probing_look(struct probing *probing);
