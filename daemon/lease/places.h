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

/* Owners who have a file. */
#define PLACES_OWNERS_MAX 1024
/* A further one's places are kept if another one has not used theirs for so long. */
#define PLACES_STALE_USEC (UINT64_C(30) * 24 * 60 * 60 * 1000000)

struct places;

/* Whether an owner has a lease of this name now; name NULL: any. */
typedef bool (*places_in_use_fn)(uid_t owner, const char *name, void *userdata);

/*
 * path: the directory, made (0700) if it is not there. A file that makes no sense is recorded, put
 * aside as FILE.bad, and counts as none. What in_use says yes to is the last to be forgotten.
 * -errno: the directory cannot be had.
 */
int places_new(sd_event *event, const char *path, places_in_use_fn in_use, void *userdata,
	       struct places **places);
/* A child that still writes goes on. */
struct places *places_free(struct places *places);
DEFINE_CLEANUP(struct places *, places_free)

/* Where the devices of an owner's lease of this name were; NULL: nothing is known. Borrowed. */
const struct guest_bus *places_find(const struct places *places, uid_t owner, const char *name);

/* r: 0: it is on the disk; else -errno, recorded already. */
typedef void (*places_done_fn)(int r, void *userdata);

/*
 * Keeps what is on a lease's bus. 1: it is on the disk already; 0: done comes from the event loop;
 * -EDQUOT: there are too many owners, recorded; -ETIMEDOUT: the disk does not answer, recorded;
 * -ENOMEM. Nobody waits for a disk for longer than seconds: done has -ETIMEDOUT then, and what it
 * is about is written when the disk is back. places may be NULL (1: nothing is kept).
 */
int places_keep(struct places *places, uid_t owner, const char *name, const struct guest_bus *bus,
		uint64_t now_usec, places_done_fn done, void *userdata);
/* Nobody waits any more. */
void places_forget(struct places *places, const void *userdata);
