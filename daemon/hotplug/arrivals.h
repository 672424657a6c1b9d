/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Devices that the kernel does not probe by itself while drivers_autoprobe is 0, and what a driver
 * that is registered then would have bound: each is probed by a process of its own. One that hangs
 * holds up nobody else (I8).
 */

#include "daemon/sysfs/host.h"

#include <systemd/sd-event.h>

struct arrivals;

struct arrivals_ops {
	/* Whether it is for us to probe: the switch is off, and not by an administrator's will. */
	bool (*may_probe)(void *userdata);
	/* Whether the group of the device is not the host's: it waits then. */
	bool (*is_owned)(const char *device, void *userdata);
	/* The device has had its first probe. */
	void (*probed)(const char *device, void *userdata);
	/* A process has ended: who waited for that goes on. */
	void (*idle)(void *userdata);
};

int arrivals_new(sd_event *event, const struct host *host, const struct arrivals_ops *ops,
		 void *userdata, struct arrivals **arrivals);
struct arrivals *arrivals_free(struct arrivals *arrivals);
DEFINE_CLEANUP(struct arrivals *, arrivals_free)

/* A PCI device has appeared, and has had no probe that we know of. */
void arrivals_came(struct arrivals *arrivals, const char *device);
/* A look has found that it waits: now, unless it was tried already, and goes on as before. */
void arrivals_found(struct arrivals *arrivals, const char *device);
/* It has gone. */
void arrivals_went(struct arrivals *arrivals, const char *device);
/* udev has handled its event: what module it needs is loaded. */
void arrivals_settled(struct arrivals *arrivals, const char *device);
/* It was bound, or unbound, by whomever: no more probes. */
void arrivals_decided(struct arrivals *arrivals, const char *device);
/* A driver was registered: it gets those of the devices that it takes. */
void arrivals_driver(struct arrivals *arrivals, const char *driver, const char *device);
/* Something has changed: starts what is due. */
void arrivals_turn(struct arrivals *arrivals);
/* Whether a process is at work on the device. */
bool arrivals_busy_with(const struct arrivals *arrivals, const char *device);
