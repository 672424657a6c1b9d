/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Device events, twice: from the kernel (at once, for what must be fast) and from udev (after its
 * rules, for names and nodes).
 */

#include "policy/base.h"

#include <systemd/sd-event.h>

struct uevent {
	const char *action;	 /* add, remove, change, bind, unbind, move, online, offline */
	const char *subsystem;	 /* pci, vfio, vfio-dev, net, block, iommu, … */
	const char *name;	 /* sysname */
	const char *syspath;	 /* "/sys/devices/…" */
	const char *devnode;	 /* or NULL */
	const char *driver;	 /* the DRIVER property, or NULL */
	const char *error_event; /* ERROR_EVENT of a device that broke or recovers, or NULL */
	bool online;		 /* DEVICE_ONLINE, with it */
	uint64_t seqnum;
	uint64_t usec; /* CLOCK_MONOTONIC when it was read */
	bool udev;     /* false: from the kernel */
};

struct monitor_ops {
	void (*event)(const struct uevent *event, void *userdata);
	/* Events were lost (ENOBUFS): the picture is to be made anew. */
	void (*lost)(bool udev, void *userdata);
};

struct monitor;
int monitor_new(sd_event *event, const struct monitor_ops *ops, void *userdata,
		struct monitor **monitor);
struct monitor *monitor_free(struct monitor *monitor);
DEFINE_CLEANUP(struct monitor *, monitor_free)
