/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Calls that change a lease: more devices, fewer, revocation, for the tests of these.
 */

#include "tests/bus/client.h"

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* withhold: one device, or NULL */
struct pending *add_start(struct client *client, const char *lease, const char *const *devices,
			  const char *withhold);
/* The error's name, static; *fd: the handoff. */
const char *add_wait(struct pending *pending, int *fd);
/* Adds, and closes the handoff. The error's name, static, as for the next ones. */
const char *add(struct client *client, const char *lease, const char *const *devices);
struct pending *take_away_start(struct client *client, const char *lease,
				const char *const *devices);
const char *take_away(struct client *client, const char *lease, const char *const *devices);
const char *revoke_lease(struct client *client, const char *lease, uint64_t usec);

/* What root sees of a device's state, and of a lease's revocation. */
bool state_is(struct client *root, const char *device, const char *state);
bool revocation_has(struct client *root, const char *lease, const char *text);

/* A rule for a uid with these words besides ("allow": …), before the usual ones; in force at once.
 * NULL takes it away. */
void first_rule(struct client *root, uid_t uid, const char *words);
/* The mocked kernel takes this long for an operation on a device: "PROBE"; 0: no longer. */
void slow(const char *op, const char *device, unsigned int milliseconds);
