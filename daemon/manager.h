/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The manager ties the rooms together: topology, policy, ledger, engine, monitor, bus. What
 * happens in one is told to the others here, and nowhere else.
 */

#include "daemon/lease/engine.h"
#include "daemon/lease/sriov.h"
#include "daemon/names.h"
#include "daemon/sysfs/monitor.h"
#include "daemon/sysfs/scan.h"
#include "policy/decide.h"
#include "policy/parse.h"

#include <libudev.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

struct announcer;
struct places;
struct bus;
struct refusals;
struct probing;
struct survey;
struct failed_device;

/* r: 0: in force; else error says why, and the old policy stays. */
typedef void (*reload_fn)(int r, const char *error, void *userdata);

struct reload_waiter {
	reload_fn done;
	void *userdata;
};

/* Where journals and policy files are; tests give others. */
struct manager_paths {
	const char *journal;
	const char *places;		/* where guest addresses are kept over releases */
	const char *const *policy_dirs; /* NULL-terminated, highest precedence first */
	uid_t policy_owner;		/* whose policy files may be, besides root */
};

struct manager {
	sd_event *event;
	struct host host;
	struct udev *udev;
	struct udev_hwdb *hwdb;
	struct monitor *monitor;
	struct topology topology;
	struct scanner scanner;
	struct host_features features;
	bool autoprobe_honoured;   /* the kernel asks drivers_autoprobe before a first probe */
	bool reset_spares_hotplug; /* see sysfs/reset.h */
	struct ledger ledger;
	struct engine engine;
	struct survey *survey;
	struct probing *probing;
	struct places *places; /* NULL: there is nowhere to keep them */
	struct sriov_changes sriov;
	struct failed_device *failed; /* uthash by name; see manager-health.h */

	struct manager_paths paths;
	struct policy *policy; /* NULL until one was read: nobody may have anything */
	uint64_t policy_serial;
	struct policy *policy_next; /* being resolved */
	struct name_query *names;
	struct reload_waiter *reload_waiters;
	size_t n_reload_waiters;

	bool draining;
	bool process_fd; /* the bus gives ProcessFD in credentials */
	struct bus *bus;
	struct refusals *refusals; /* of clients, for what is recorded of them */

	bool bus_ready;
	bool policy_read; /* once, well or badly */
	bool told_ready;
	sd_event_source *status_timer;
};

int manager_new(sd_event *event, struct manager **manager);
struct manager *manager_free(struct manager *manager);
DEFINE_CLEANUP(struct manager *, manager_free)

/* Opens everything, scans, recovers, connects. The service manager is told READY=1 when the bus
 * name is owned and the first policy was read or refused. -errno: the daemon cannot run. */
int manager_start(struct manager *manager, const struct manager_paths *paths);

/* Reads the policy again. done comes once, from the event loop or from here. */
void manager_reload(struct manager *manager, reload_fn done, void *userdata);
/* Nobody waits any more. */
void manager_reload_forget(struct manager *manager, const void *userdata);

/* Walks sysfs again. */
int manager_rescan(struct manager *manager);

/* decide() with everything the manager knows. */
int manager_decide(struct manager *manager, const struct request *request,
		   struct decision **decision);

/*
 * Whether new leases are given: for maintenance, and across restarts of the daemon. -errno: it
 * cannot be written down, and is as before.
 */
int manager_drain(struct manager *manager, bool on);
/* As it was in an earlier run. */
void manager_drain_recover(struct manager *manager);

/* Counts the leases of each IOMMU: after whatever changed the ledger or the topology. */
void manager_count_uses(struct manager *manager);

/* A bus connection has gone: its leases end, unless something else keeps them. */
void manager_connection_gone(struct manager *manager, const char *name);
