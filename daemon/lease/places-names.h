/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What is in an owner's file of places: by the names of leases, where their devices were. As a
 * value, and as text; neither files nor disks are here.
 */

#include "policy/guest-bus.h"

/* Names that are kept of an owner: those that were used last. */
#define PLACES_NAMES_MAX 512

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
/* NULL: none of that name. Good until one comes or goes. */
struct places_name *places_names_find(const struct places_names *names, const char *name);
/* When the last of them was used; 0: there is none. */
uint64_t places_names_used(const struct places_names *names);
/*
 * Takes in what is on the bus of a lease. One more than PLACES_NAMES_MAX makes the one go that was
 * used the longest time ago. 0; 1: the same is on the disk, and as used lately; -ENOMEM.
 */
int places_names_keep(struct places_names *names, const char *name, const struct guest_bus *bus,
		      uint64_t now_usec);

/* A new text, or NULL when out of memory. */
char *places_to_json(const struct places_names *names);
/* 0; -EBADMSG with *why of the caller; -ENOMEM. */
int places_from_json(const char *text, size_t size, struct places_names *names, char **why);
