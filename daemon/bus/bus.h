/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The daemon on the bus: connection, name, objects, who leaves, and whether the bus still carries
 * messages. No other room sees sd-bus but through here.
 */

#include "daemon/manager.h"

struct bus;
struct call;
struct listener;

struct bus_ops {
	void (*ready)(void *userdata); /* the name is ours */
	/* Whether this bus says which process a connection is (ProcessFD). */
	void (*features)(bool process_fd, void *userdata);
	/* The bus is lost, or the name is: the daemon cannot go on. */
	void (*lost)(const char *why, void *userdata);
};

/* Connects; the rest comes from the event loop. */
int bus_new(struct manager *manager, const struct bus_ops *ops, void *userdata, struct bus **bus);
struct bus *bus_free(struct bus *bus);
DEFINE_CLEANUP(struct bus *, bus_free)

/* For the bus room itself. */
sd_bus *bus_connection(struct bus *bus);
struct call **bus_calls(struct bus *bus);
struct listener **bus_listeners(struct bus *bus);
/* Id of the bus instance: unique names are only good within one. */
const char *bus_id(const struct bus *bus);

/* What changed, for the announcements. */
void bus_announce_device(struct bus *bus, const char *name, bool replaced);
void bus_announce_group(struct bus *bus, uint32_t id, bool replaced);
void bus_announce_iommu(struct bus *bus, const char *name);
void bus_announce_iommus(struct bus *bus); /* all: what they count has changed */
/* With its groups and devices. */
void bus_announce_lease(struct bus *bus, const struct lease *lease);
void bus_announce_manager(struct bus *bus);
/* The lease's Ended signal, after what it changed was announced. */
void bus_lease_ended(struct bus *bus, const struct lease *lease);

/* Announces what changed now: for a signal that comes after it. */
void bus_flush(struct bus *bus);

/* Manager.DeviceFenced, after what it changed was announced. */
void bus_device_fenced(struct bus *bus, const char *device, uint32_t group, const char *outcome);

/* Whether a unique name is still on the bus; done is called later. For leases of an earlier run. */
int bus_check_name(struct bus *bus, const char *name,
		   void (*done)(const char *name, bool present, void *userdata), void *userdata);
