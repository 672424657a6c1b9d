/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the files of libvfiod share and its users do not see. No function here is exported: the
 * symbol map lists the public ones. Of policy/base.h only the inline parts are used, so that the
 * library stands on libc and libsystemd alone.
 */

#include "client/vfiod.h"
#include "client/handoff.h"
#include "policy/base.h"

#include <systemd/sd-bus.h>
#include <unistd.h>

#define VFIOD_NAME	   "org.vfiod1"
#define VFIOD_PATH	   "/org/vfiod1"
#define VFIOD_MANAGER	   "org.vfiod1.Manager"
#define VFIOD_LEASE	   "org.vfiod1.Lease"
#define VFIOD_ERROR_PREFIX "org.vfiod1.Error."
#define VFIOD_ERROR_LOCAL  "org.vfiod1.Client.Error"
#define VFIOD_WAIT_FOREVER UINT64_MAX
/* Where the client library's own limit for the strings of one list lies: a broken peer's bound. */
#define VFIOD_LIST_MAX 65536

static inline void close_fdp(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
#define _cleanup_close_ _cleanup_(close_fdp)

DEFINE_CLEANUP(struct vfiod_client *, vfiod_client_free)
DEFINE_CLEANUP(struct vfiod_request *, vfiod_request_free)
DEFINE_CLEANUP(struct vfiod_lease *, vfiod_lease_free)
DEFINE_CLEANUP(struct vfiod_decision *, vfiod_decision_free)
DEFINE_CLEANUP(struct vfiod_error *, vfiod_error_free)

struct vfiod_client {
	sd_bus *bus;
	bool own; /* the connection is this client's, and closed with it */
};

/* One option is a bit in "set" and, where it carries one, a value. */
enum request_option {
	REQUEST_MODE,
	REQUEST_NAME,
	REQUEST_WITHHOLD,
	REQUEST_LIFELINE,
	REQUEST_PERSIST,
	REQUEST_SHARED,
	REQUEST_OWNER,
	REQUEST_ATTACH,
	REQUEST_DEVICE_FDS,
	REQUEST_MEMLOCK,
	REQUEST_EXPECT,
	REQUEST_INTERACTIVE,
	REQUEST_SUBJECT,
	REQUEST_NUMA_NODE,
	REQUEST_MAX,
	REQUEST_INVALID = -1,
};

struct request_expect {
	char *device;
	char *hardware;
};

struct vfiod_request {
	unsigned int set;
	char **devices; /* NULL-terminated */
	size_t n_devices;
	char **withhold;
	size_t n_withhold;
	struct request_expect *expect;
	size_t n_expect;
	char *mode;
	char *name;
	int lifeline;
	bool persist;
	bool shared;
	bool attach;
	bool device_fds;
	bool interactive;
	uint64_t memlock;
	int numa_node;
	uid_t owner;
	uid_t subject_uid;
	gid_t *subject_gids;
	size_t n_subject_gids;
	char *subject_unit;
};

static inline bool request_has(const struct vfiod_request *request, enum request_option option)
{
	return request->set & (1U << option);
}

enum request_call { REQUEST_ACQUIRE, REQUEST_EXPLAIN };

/* Appends "as a{sv}", the arguments of Acquire and Explain. 0 or -errno. */
int request_append(sd_bus_message *message, const struct vfiod_request *request,
		   enum request_call call);

struct vfiod_lease {
	sd_bus *bus; /* a reference, so that a lease may be freed after its client */
	char *path;
	char *mode;
	char **devices; /* names */
	size_t n_devices;
	uint32_t *groups;
	size_t n_groups;
	struct handoff handoff;
	struct lease_place *places; /* by PlaceDevices */
	size_t n_places;
};

struct lease_place {
	char *device;
	char *address;
};

/* Errors. All return -err, so that a caller can return what they return. */
int error_set(struct vfiod_error **error, enum vfiod_error_code code, int err, const char *format,
	      ...) _printf_(4, 5);
/* From a failed bus call: r is its negative errno, bus_error may be unset. */
int error_set_bus(struct vfiod_error **error, const sd_bus_error *bus_error, int r);
/* From a name and a text that the daemon sent by another way than a bus error. */
int error_set_named(struct vfiod_error **error, const char *name, const char *message);

/* Adds to the message; does nothing for NULL or when out of memory. */
void error_append(struct vfiod_error *error, const char *format, ...) _printf_(2, 3);

/*
 * Sends a call and waits for its reply for ever, through signals too; *reply may be NULL. The
 * connection's other messages stay in its queue. 0 or a negative errno with *error set.
 */
int client_call(sd_bus *bus, sd_bus_message *call, sd_bus_message **reply,
		struct vfiod_error **error);

/*
 * The sysfs name of a device from its object path; -EINVAL if that is not a device's path. PCI
 * paths are "pci_" and the address with "_" for ":" and "."; others are sd_bus_path_encode().
 */
int device_name_from_path(const char *path, char **name);
/* The number of a group from its object path; -EINVAL if that is not a group's path. */
int group_id_from_path(const char *path, uint32_t *id);
/* Appends a copy to a NULL-terminated vector with a count. 0 or -ENOMEM. */
int list_append(char ***list, size_t *n, const char *s);
char **list_free(char **list);
