/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Names that people write and read: devices, users, sizes, times.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * A device as it was typed, as vfiod knows it: a PCI address may come without its domain
 * ("03:00.0") and in capitals; anything else stays as it is. New, or NULL when out of memory.
 */
char *device_argument(const char *typed);
/* Whether this is a full PCI address, "0000:03:00.0". */
bool is_pci_address(const char *name);

/* The name of a device from its object path; a path that is none comes back as it is. New, or NULL.
 */
char *device_of_path(const char *path);

/* The user's name, or the number. New, or NULL when out of memory. */
char *user_name(uid_t uid);
/* A user by name or number. 0, -ENOENT, or another negative errno. */
int user_parse(const char *s, uid_t *uid);
/* A group by name. 0, -ENOENT, or another negative errno. */
int group_parse(const char *s, gid_t *gid);
/* A user's groups. A new array. 0, -ENOENT for a uid without a name, or a negative errno. */
int user_groups(uid_t uid, gid_t **gids, size_t *n);

/* "64G", "512M", "4096" (bytes): powers of 1024. 0, -EINVAL or -ERANGE. */
int size_parse(const char *s, uint64_t *bytes);
/* How long ago a moment in microseconds since the epoch was: "12 s", "3 min", "5 h", "2 d". */
void format_age(uint64_t usec, char *text, size_t size);
