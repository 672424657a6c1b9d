/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Where the devices of a lease's name were on the guest's bus, across releases, restarts and boots:
 * a file for each owner below /var/lib/vfiod. Read once, at start; written by a child, for a disk
 * may take its time.
 */

#include "policy/guest-bus.h"

#include <sys/types.h>
#include <systemd/sd-event.h>

/* Names of leases that are kept of an owner: those that were used last. */
#define PLACES_NAMES_MAX 128
/* Owners who have a file. A further one's places are not kept. */
#define PLACES_OWNERS_MAX 1024

struct places;

/*
 * path: the directory, made (0700) if it is not there. A file that makes no sense is recorded, put
 * aside as FILE.bad, and counts as none. -errno: the directory cannot be had.
 */
int places_new(sd_event *event, const char *path, struct places **places);
/* A child that still writes goes on. */
struct places *places_free(struct places *places);
DEFINE_CLEANUP(struct places *, places_free)

/* Where the devices of an owner's lease of this name were; NULL: nothing is known. Borrowed. */
const struct guest_bus *places_find(const struct places *places, uid_t owner, const char *name);

/* r: 0: it is on the disk; else -errno, recorded already. */
typedef void (*places_done_fn)(int r, void *userdata);

/*
 * Keeps what is on a lease's bus. 1: it is on the disk already; 0: done comes from the event loop;
 * -EDQUOT: there are too many owners; -ETIMEDOUT: the disk does not answer, recorded; -ENOMEM.
 * Nobody waits for a disk for longer than seconds: done has -ETIMEDOUT then, and what it is about
 * is written when the disk is back. places may be NULL (1: nothing is kept).
 */
int places_keep(struct places *places, uid_t owner, const char *name, const struct guest_bus *bus,
		uint64_t now_usec, places_done_fn done, void *userdata);
/* Nobody waits any more. */
void places_forget(struct places *places, const void *userdata);

/* Text form, for tests too: what is in a file. */
struct places_name {
	char *name;
	uint64_t used_usec; /* CLOCK_REALTIME */
	uint64_t kept_usec; /* the same, as it is on the disk or on its way there */
	struct guest_bus bus;
};
struct places_names {
	struct places_name *items; /* by name */
	size_t n;
};
void places_names_done(struct places_names *names);
/* A new text, or NULL when out of memory. */
char *places_to_json(const struct places_names *names);
/* 0; -EBADMSG with *why of the caller; -ENOMEM. */
int places_from_json(const char *text, size_t size, struct places_names *names, char **why);
