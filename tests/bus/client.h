/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Clients of the daemon: connections of any user in the test's own process (the bus takes the uid
 * that connect() was called with), calls, claims and handoffs. All turn in the bed's loop.
 */

#include "tests/bus/bed.h"

#define VFIOD_NAME  "org.vfiod1"
#define VFIOD_ROOT  "/org/vfiod1"
#define DEVICE_PATH "/org/vfiod1/device/"

struct client {
	sd_bus *bus;
	uid_t uid;
};

struct client *client_new(uid_t uid);
/* Closes the connection at once. */
struct client *client_free(struct client *client);

/* ---- calls */

struct pending {
	sd_bus_slot *slot;
	sd_bus_message *reply; /* when it has come */
};

/* A call to the daemon; interface: "Manager", "Lease", … */
struct pending *call_start(struct client *client, const char *path, const char *interface,
			   const char *member, const char *types, ...);
/* A message made elsewhere (taken). */
struct pending *call_send(struct client *client, sd_bus_message *m);
sd_bus_message *call_new(struct client *client, const char *path, const char *interface,
			 const char *member);
/* Waits; the reply is the caller's, also when it is an error. Frees pending. */
sd_bus_message *call_wait(struct pending *pending);
/* Nobody waits any more. */
struct pending *call_drop(struct pending *pending);
sd_bus_message *call(struct client *client, const char *path, const char *interface,
		     const char *member, const char *types, ...);
/* The error's name without its prefix, "" for none: "GroupBusy", "DBus.AccessDenied". */
const char *error_of(sd_bus_message *reply);
const char *message_of(sd_bus_message *reply);
/* A call whose reply is dropped: its error. Static. */
const char *call_error(struct client *client, const char *path, const char *interface,
		       const char *member, const char *types, ...);

/* A property as text, of the caller; NULL: no such object or property. */
char *property(struct client *client, const char *path, const char *interface, const char *name);
bool property_is(struct client *client, const char *path, const char *interface, const char *name,
		 const char *value);
#define ck_property(client, path, interface, name, value)                                      \
	do {                                                                                   \
		_cleanup_free_ char *ck_property_is = property(client, path, interface, name); \
		ck_assert_ptr_nonnull(ck_property_is);                                         \
		ck_assert_str_eq(ck_property_is, value);                                       \
	} while (0)

/* ---- claims */

struct ask {
	const char *devices[80];
	const char *withhold[8];
	const char *mode;
	const char *name;
	int lifeline; /* 0: none */
	bool persist, shared, no_attach, device_fds, interactive;
	uid_t owner; /* 0: not given */
	uint64_t memlock;
	const char *expect[4]; /* device, ids, … */
};

struct claim {
	char *error; /* "" for none */
	char *message;
	char *lease; /* path */
	int handoff; /* the client's end, or -EBADF */
};

/* The call "Acquire", or "Explain", which takes the same. */
sd_bus_message *ask_message(struct client *client, const char *member, const struct ask *ask);
struct pending *acquire_start(struct client *client, const struct ask *ask);
struct claim acquire_wait(struct pending *pending);
struct claim acquire_ask(struct client *client, const struct ask *ask);
#define acquire(client, ...) acquire_ask(client, &(struct ask){ __VA_ARGS__ })
void claim_done(struct claim *claim);
#define _cleanup_claim_ _cleanup_(claim_done)
#define ck_claimed(claim) \
	ck_assert_msg(!*(claim).error, "Acquire: %s: %s", (claim).error, (claim).message)
#define ck_refused(claim, name)                                                                  \
	ck_assert_msg(streq((claim).error, name), "Acquire: \"%s\" (%s), not %s", (claim).error, \
		      (claim).message ? (claim).message : "", name)

const char *release(struct client *client, const char *lease);
/* The daemon knows it no more. */
bool lease_gone(struct client *client, const char *lease);
/* A new handoff: *fd; its error. */
const char *get_fds(struct client *client, const char *lease, int *fd);

/* ---- handoffs */

#define TAKEN_MAX 64
struct taken {
	char *names[TAKEN_MAX]; /* "device 0000:03:00.0" */
	int fds[TAKEN_MAX];
	size_t n;
	char *last; /* "end 2", "error GroupBusy …", "" for a hang-up */
};

/* Writes the byte and takes everything. */
void take(int handoff, struct taken *taken);
void taken_done(struct taken *taken);
#define _cleanup_taken_ _cleanup_(taken_done)
/* "iommufd -, device 0000:03:00.0: end 2", of the caller */
char *taken_text(const struct taken *taken);
#define ck_taken(taken, text)                                         \
	do {                                                          \
		_cleanup_free_ char *ck_taken_is = taken_text(taken); \
		ck_assert_str_eq(ck_taken_is, text);                  \
	} while (0)
