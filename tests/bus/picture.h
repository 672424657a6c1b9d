/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the bus shows of the daemon, as text: values, the picture of all objects, and a watch that
 * holds every announcement against the picture that was known before it.
 */

#include "tests/bus/client.h"

/* The value at the message's place, as text of the caller: 3, "x", ["a", "b"], {…}, (…). */
char *value_text(sd_bus_message *m);

/* GetManagedObjects: lines "PATH INTERFACE PROPERTY = VALUE", sorted, of the caller. */
char *bus_picture(struct client *client);
/* Takes the values of a property out of it: of one that may rightly differ. */
void picture_forget(char *picture, const char *property);
/* The same for what the host's uses of devices show in: they are seen in time. */
void picture_forget_uses(char *picture);

/*
 * Follows the announcements from watch_new() on, and fails the test when one is junk: a property
 * that did not change, an object that was there already or was not there.
 */
struct watch;
struct watch *watch_new(uid_t uid);
struct watch *watch_free(struct watch *watch);
/* Turns until what was announced and what is there are the same; constant properties too. */
void watch_settled(struct watch *watch);
/* The announcements, a line each: "changed PATH: State Lease", "added PATH", "removed PATH",
 * "ended PATH: REASON". Of the watch. */
char *const *watch_lines(const struct watch *watch);
void watch_clear(struct watch *watch);
/* How many lines begin so. */
size_t watch_count(const struct watch *watch, const char *beginning);
struct client *watch_client(struct watch *watch);
