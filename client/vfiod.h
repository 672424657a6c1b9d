/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvfiod: devices from vfiod, the broker of VFIO devices, for a VMM or any other program that
 * drives devices from user space.
 *
 *	struct vfiod_client *client;
 *	struct vfiod_request *request;
 *	struct vfiod_lease *lease;
 *	struct vfiod_error *error = NULL;
 *
 *	vfiod_client_new(&client);
 *	vfiod_request_new(&request);
 *	vfiod_request_add_device(request, "0000:03:00.0");
 *	if (vfiod_acquire(client, request, &lease, &error) < 0)
 *		errx(1, "%s", vfiod_error_message(error));
 *	device = vfiod_lease_fd(lease, "device", "0000:03:00.0");
 *
 * Conventions. Functions that can fail return 0 or a positive number on success and a negative
 * errno on failure. Those that take a struct vfiod_error ** set it on every failure but -ENOMEM, if
 * the pointer is not NULL; it must point to NULL, and the caller frees what it gets.
 * Destructors accept NULL and return NULL. Strings that are returned belong to the object that they
 * came from. Calls that wait are not ended by a signal whose handler returns. All structs are
 * opaque and grow without breaking the ABI. An object must be used by
 * one thread at a time; different clients are independent.
 *
 * libvfiod(3) has the whole story, org.vfiod1(5) the bus interface below it.
 */
#ifndef VFIOD_H
#define VFIOD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

struct sd_bus;
struct sd_bus_message;
struct vfiod_client;
struct vfiod_request;
struct vfiod_lease;
struct vfiod_decision;
struct vfiod_error;

/* ------------------------------------------------------------------------------------ errors */

/*
 * What went wrong, for programs. Each value stands for the bus error of the same name; the numbers
 * are ABI. A daemon newer than this library may send names that are not here: VFIOD_ERROR_OTHER.
 */
enum vfiod_error_code {
	VFIOD_ERROR_OTHER = 0,		 /* see vfiod_error_name(), vfiod_error_errno() */
	VFIOD_ERROR_NO_DAEMON = 1,	 /* no bus, or no vfiod on it, or it went away */
	VFIOD_ERROR_HANDOFF = 2,	 /* the descriptors did not arrive as agreed */
	VFIOD_ERROR_ACCESS_DENIED = 3,	 /* the bus or vfiod: not for this caller */
	VFIOD_ERROR_INVALID_ARGS = 4,	 /* the call's arguments have the wrong shape */
	VFIOD_ERROR_NO_SUCH_DEVICE = 10, /* and the rest as in org.vfiod1(5) */
	VFIOD_ERROR_NO_SUCH_GROUP = 11,
	VFIOD_ERROR_NO_SUCH_LEASE = 12,
	VFIOD_ERROR_NOT_PERMITTED = 13,
	VFIOD_ERROR_CONSENT_REQUIRED = 14,
	VFIOD_ERROR_DEVICE_IN_USE = 15,
	VFIOD_ERROR_GROUP_BUSY = 16,
	VFIOD_ERROR_GROUP_DRAINING = 17,
	VFIOD_ERROR_GROUP_NOT_VIABLE = 18,
	VFIOD_ERROR_GROUP_CHANGED = 19,
	VFIOD_ERROR_MODE_UNSUPPORTED = 20,
	VFIOD_ERROR_UNSAFE_INTERRUPTS = 21,
	VFIOD_ERROR_QUOTA_EXCEEDED = 22,
	VFIOD_ERROR_NAME_TAKEN = 23,
	VFIOD_ERROR_BAD_OPTION = 24,
	VFIOD_ERROR_POLICY_INVALID = 25,
	VFIOD_ERROR_DRIVER_FAILED = 26,
	VFIOD_ERROR_TIMED_OUT = 27,
	VFIOD_ERROR_DEVICE_FAILED = 28,
	VFIOD_ERROR_ADDRESS_TAKEN = 29,
	VFIOD_ERROR_RESET_NOT_OWNED = 30,
};

enum vfiod_error_code vfiod_error_code(const struct vfiod_error *error);
/* The D-Bus error name, such as "org.vfiod1.Error.GroupBusy"; never NULL. */
const char *vfiod_error_name(const struct vfiod_error *error);
/* What happened and what to do next, in one or two sentences for people; never NULL. */
const char *vfiod_error_message(const struct vfiod_error *error);
/* The errno that the failed function returned, as a positive number. */
int vfiod_error_errno(const struct vfiod_error *error);
/* The code for an error's name, whole or without "org.vfiod1.Error.", as vfiod_decision_error(). */
enum vfiod_error_code vfiod_error_code_from_name(const char *name);
struct vfiod_error *vfiod_error_free(struct vfiod_error *error);

/* ------------------------------------------------------------------------------------ client */

/*
 * Connects to the system bus (DBUS_SYSTEM_BUS_ADDRESS is honoured) with a connection of its own.
 * A lease without lifeline and persist ends when this connection is closed, with the client.
 * vfiod itself is started by the bus at the first call. Fails with what sd_bus_open_system(3)
 * gives.
 */
int vfiod_client_new(struct vfiod_client **client);
/*
 * Uses a system bus connection that the program has already; takes a reference. Calls block, and
 * leave the messages that arrive meanwhile in the connection's queue. -EINVAL for no bus.
 */
int vfiod_client_new_with_bus(struct sd_bus *bus, struct vfiod_client **client);
struct vfiod_client *vfiod_client_free(struct vfiod_client *client);
/* The connection, for the program's event loop and for calls that are not here. Not a reference. */
struct sd_bus *vfiod_client_bus(struct vfiod_client *client);
/*
 * Whether this host has a feature (Manager.Features): "iommufd", "cdev", "group", "process-fd",
 * "hotplug-broker", …. 1, 0, or an error.
 */
int vfiod_client_has_feature(struct vfiod_client *client, const char *feature,
			     struct vfiod_error **error);

/*
 * Makes a call that has no function here, waits for its reply as long as it takes, and turns its
 * failure into a struct vfiod_error. *reply, the caller's, may be asked for or not (NULL).
 */
int vfiod_client_call(struct vfiod_client *client, struct sd_bus_message *call,
		      struct sd_bus_message **reply, struct vfiod_error **error);

/* ----------------------------------------------------------------------------------- request */

/*
 * What to ask for. Setters copy what they are given, and return 0, -ENOMEM, or -EINVAL for a value
 * that cannot be meant; whether the daemon grants a value is known when it is asked. What is not
 * set is not sent, and has the daemon's default.
 */
int vfiod_request_new(struct vfiod_request **request);
struct vfiod_request *vfiod_request_free(struct vfiod_request *request);
/* A device to be granted: its sysfs name, its object path, or "pool:NAME". At least one. */
int vfiod_request_add_device(struct vfiod_request *request, const char *device);
/* A device of the same groups that may be taken from the host and is kept shut. */
int vfiod_request_add_withhold(struct vfiod_request *request, const char *device);
/* Refuse if DEVICE is not the hardware "VENDOR:PRODUCT" (hex), because addresses move. */
int vfiod_request_add_expect(struct vfiod_request *request, const char *device,
			     const char *vendor_product);
/* "auto" (default), "cdev", "group", "node". */
int vfiod_request_set_mode(struct vfiod_request *request, const char *mode);
/* A label, unique per owner: usually the VM's name. */
int vfiod_request_set_name(struct vfiod_request *request, const char *name);
/* The lease ends when this fd becomes readable or hangs up. Duplicated here. See below. */
int vfiod_request_set_lifeline(struct vfiod_request *request, int fd);
/* The lease outlives the connection and ends by vfiod_lease_release(); needs policy's leave. */
int vfiod_request_set_persist(struct vfiod_request *request, bool persist);
/* Any process of the owner's uid may control the lease. */
int vfiod_request_set_shared(struct vfiod_request *request, bool shared);
/* The lease is for this uid: root, or a rule with the verb "delegate". */
int vfiod_request_set_owner(struct vfiod_request *request, uid_t uid);
/* Mode "group": attach the groups to the container first (the daemon's default is true). */
int vfiod_request_set_attach(struct vfiod_request *request, bool attach);
/* Mode "group": also set the IOMMU type and open the granted devices. */
int vfiod_request_set_device_fds(struct vfiod_request *request, bool device_fds);
/* Bytes to which RLIMIT_MEMLOCK of the lifeline's process, or else of the caller, is raised. */
int vfiod_request_set_memlock(struct vfiod_request *request, uint64_t bytes);
/* What pools give is to be near this NUMA node. -EINVAL for a negative one. */
int vfiod_request_set_numa_node(struct vfiod_request *request, int node);
/* The caller can wait for a polkit question to be answered. */
int vfiod_request_set_interactive(struct vfiod_request *request, bool interactive);
/*
 * For vfiod_explain() by root alone: the decision for another user, as a member of these groups and
 * in this system unit (NULL for none). vfiod_acquire() refuses a request with a subject: -EINVAL.
 */
int vfiod_request_set_subject(struct vfiod_request *request, uid_t uid, const gid_t *gids,
			      size_t n_gids, const char *unit);

/* ------------------------------------------------------------------------------------- lease */

/*
 * Claims the devices and receives their descriptors. Waits as long as it takes: for polkit, for a
 * module, for a driver that lets go slowly. On success the lease is complete, with all
 * descriptors, or, in mode "node", with the nodes opened to the owner. If the descriptors do not
 * arrive, the lease is released again and the error says so.
 */
int vfiod_acquire(struct vfiod_client *client, struct vfiod_request *request,
		  struct vfiod_lease **lease, struct vfiod_error **error);
/* A lease that exists, by id or by label, without descriptors (vfiod_lease_get_fds()). */
int vfiod_find_lease(struct vfiod_client *client, const char *id_or_name,
		     struct vfiod_lease **lease, struct vfiod_error **error);
/*
 * Closes the descriptors that were not taken. Does not end the lease: that is
 * vfiod_lease_release(), the lifeline, or, without one, the end of the connection.
 */
struct vfiod_lease *vfiod_lease_free(struct vfiod_lease *lease);

/* The lease's id; its object path; the mode that was granted: "cdev", "group" or "node". */
const char *vfiod_lease_id(const struct vfiod_lease *lease);
const char *vfiod_lease_path(const struct vfiod_lease *lease);
const char *vfiod_lease_mode(const struct vfiod_lease *lease);
/* The i-th granted device by its sysfs name, counted from 0; NULL past the last. */
const char *vfiod_lease_device(const struct vfiod_lease *lease, size_t i);
/* The i-th leased group by its number; -ENOENT past the last. */
int64_t vfiod_lease_group(const struct vfiod_lease *lease, size_t i);

/*
 * The descriptors, by kind and name: "iommufd" "-", "device" and its sysfs name, "container" "-",
 * "group" and its number. NAME may be NULL for the first of its kind. _fd() leaves the descriptor
 * with the lease, _take_fd() gives it to the caller; both return -ENOENT if it is not there (any
 * more). All of them are close-on-exec.
 */
int vfiod_lease_fd(const struct vfiod_lease *lease, const char *kind, const char *name);
int vfiod_lease_take_fd(struct vfiod_lease *lease, const char *kind, const char *name);
/* The i-th descriptor, still the lease's, with its kind and name; -ENOENT past the last. */
int vfiod_lease_fd_at(const struct vfiod_lease *lease, size_t i, const char **kind,
		      const char **name);

/*
 * Fresh descriptors, in place of the ones the lease object holds, which are closed first. For a
 * manager that restarted; GROUP_BUSY while a VMM still has the devices open.
 */
int vfiod_lease_get_fds(struct vfiod_lease *lease, struct vfiod_error **error);
/*
 * Ends the lease; returns when that is durable. The descriptors that the object holds are
 * closed first. The groups drain, as soon as everybody has closed their descriptors, and go home.
 */
int vfiod_lease_release(struct vfiod_lease *lease, struct vfiod_error **error);
/*
 * More devices for the lease: withheld or fenced ones of its groups, or other groups, not both in
 * one call. Of the request devices, withhold, expect and interactive may be set. The new
 * descriptors are with the lease's others: in mode "cdev" a "device" each, in mode "group" a
 * "group" for each new group, which the caller attaches to its container. A device in a group that
 * it has is opened by that group's descriptor.
 */
int vfiod_lease_add_devices(struct vfiod_lease *lease, struct vfiod_request *request,
			    struct vfiod_error **error);
/*
 * Gives devices (sysfs names, NULL at the end) back; returns when that is durable. The object's own
 * descriptors of them are closed then. A VMM must have let go of a device before it is home.
 */
int vfiod_lease_remove_devices(struct vfiod_lease *lease, const char *const *devices,
			       struct vfiod_error **error);
/*
 * Has granted devices (sysfs names, NULL at the end) reset: kind is "function", "slot", "bus" or
 * "auto". Returns when it is done. What the reset reaches must all be the lease's, or nobody's:
 * otherwise VFIOD_ERROR_RESET_NOT_OWNED.
 */
int vfiod_lease_reset(struct vfiod_lease *lease, const char *const *devices, const char *kind,
		      struct vfiod_error **error);
/*
 * Root: ask the owner to let go, and end the lease after grace_usec microseconds. reason (may be
 * NULL) is told to the owner. Returns when the owner has been told.
 */
int vfiod_lease_revoke(struct vfiod_lease *lease, uint64_t grace_usec, const char *reason,
		       struct vfiod_error **error);
/*
 * The guest's root bus. Two parties that number its devices apart from one another collide: vfiod
 * keeps who has which slot. Addresses are "00:SLOT.FUNCTION", hexadecimal, or "SLOT.FUNCTION".
 *
 * Takes the addresses of emulated devices (a NULL-terminated list), all or none. One that is taken
 * for them already is fine; one of a device's slot is VFIOD_ERROR_ADDRESS_TAKEN.
 */
int vfiod_lease_reserve_guest_addresses(struct vfiod_lease *lease, const char *const *addresses,
					struct vfiod_error **error);
/*
 * Gives every device of the lease that has none an address: the one that it had in an earlier lease
 * of the same label; functions of one physical device share a slot.
 */
int vfiod_lease_place_devices(struct vfiod_lease *lease, struct vfiod_error **error);
/* Gives one device this address and no other. */
int vfiod_lease_place_device(struct vfiod_lease *lease, const char *device, const char *address,
			     struct vfiod_error **error);
/* The address of a device that was placed by this object; NULL: it was not. The lease's. */
const char *vfiod_lease_guest_address(const struct vfiod_lease *lease, const char *device);
/* Root: try again what failed on the way home. */
int vfiod_lease_restore(struct vfiod_lease *lease, struct vfiod_error **error);

/* ---------------------------------------------------------------------------------- decision */

/*
 * What vfiod_acquire() would be answered now, and why. Changes nothing. A refusal is a success of
 * this call: ask vfiod_decision_allowed().
 */
int vfiod_explain(struct vfiod_client *client, struct vfiod_request *request,
		  struct vfiod_decision **decision, struct vfiod_error **error);
struct vfiod_decision *vfiod_decision_free(struct vfiod_decision *decision);
bool vfiod_decision_allowed(const struct vfiod_decision *decision);
/* A word for the reason; the error that Acquire would give, or ""; its message; the mode. */
const char *vfiod_decision_reason(const struct vfiod_decision *decision);
const char *vfiod_decision_error(const struct vfiod_decision *decision);
const char *vfiod_decision_message(const struct vfiod_decision *decision);
const char *vfiod_decision_mode(const struct vfiod_decision *decision);
/* What an allowed claim would still wait for: "none", or "polkit" for an answer to its question. */
const char *vfiod_decision_auth(const struct vfiod_decision *decision);
/*
 * The i-th row, counted from 0, of: the rule that decides each device; what would be done to each
 * device, and the host driver that has it; the rules that were passed over for a device, and why.
 * 0, or -ENOENT past the last. Any of the out pointers may be NULL.
 */
int vfiod_decision_rule(const struct vfiod_decision *decision, size_t i, const char **device,
			const char **rule);
int vfiod_decision_plan(const struct vfiod_decision *decision, size_t i, const char **device,
			const char **action, const char **driver);
int vfiod_decision_passed(const struct vfiod_decision *decision, size_t i, const char **device,
			  const char **rule, const char **why);
/* The same of the devices that pools would give: the pool, the device, and why this one. */
int vfiod_decision_drawn(const struct vfiod_decision *decision, size_t i, const char **pool,
			 const char **device, const char **why);
/*
 * What could be reset of the devices that would be granted: the device, the kind ("function",
 * "slot", "bus"), by whom ("vmm": with its descriptors, "vfiod": by vfiod_lease_reset(), "both",
 * "nobody"), and what stands against the others, "" for nothing.
 */
int vfiod_decision_reset(const struct vfiod_decision *decision, size_t i, const char **device,
			 const char **kind, const char **by, const char **why);

/* --------------------------------------------------------------------------------- lifelines */

/*
 * Lifelines: new descriptors of the caller, close-on-exec, for vfiod_request_set_lifeline(). A
 * lease with a lifeline needs no bus connection to live. -errno on failure.
 *
 * A pidfd of this process: the lease lives as long as the process, through exec too.
 */
int vfiod_lifeline_self(void);
/* A pidfd of another process of the owner's uid; the caller must know that it still lives. */
int vfiod_lifeline_pid(pid_t pid);
/*
 * A pipe: the lease lives as long as a copy of *holder is open anywhere, for a lease that is
 * shared by several processes. Returns the end for the request.
 */
int vfiod_lifeline_pipe(int *holder);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif /* VFIOD_H */
