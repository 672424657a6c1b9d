/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Typed readers of sysfs, relative to a directory fd: what is missing, empty, too big, not what it
 * should be, or denied is a named outcome, never a wrong value. Links inside a directory's path
 * are followed as long as they stay below the fd; a file is never a link.
 */

#include "policy/base.h"

#include <stdio.h>
#include <sys/types.h>

/* What reading an attribute gave, besides 0 (a value) and -errno (out of memory or of fds). */
enum attr_outcome {
	ATTR_MISSING = 1, /* not there, or its device went while it was read */
	ATTR_EMPTY,	  /* there, and without a value */
	ATTR_OVERSIZED,	  /* more than fits */
	ATTR_GARBAGE,	  /* not of the type that was asked for, or not a regular file */
	ATTR_DENIED,	  /* permission refused */
	ATTR_FAILED,	  /* the kernel gave an error of its own (EIO, EINVAL, …) */
	ATTR_OUTCOME_MAX,
	ATTR_OUTCOME_INVALID = -1,
};
DECLARE_STRING_TABLE(attr_outcome, enum attr_outcome)

/*
 * What an errno (positive) of opening or reading says of an attribute: an outcome, or -errno for
 * what is no fault of the attribute's (memory, fds, system calls that are not there).
 */
int attr_outcome_of_errno(int error);

/* What a sysfs attribute can hold: a page. */
#define ATTR_SIZE 4096
/* Entries of one directory that are looked at. */
#define ATTR_LIST_MAX 65536

/* A name that can be one component of a path and go into a message: printable, no slash. */
bool attr_name_valid(const char *name);

/*
 * Opens a directory below dirfd as O_PATH; path may have several components and links among
 * them. Returns an fd of the caller (>= 0), or -errno: -ENOENT, -EXDEV for a link that leads out
 * of dirfd, -ELOOP.
 */
int attr_open_dir(int dirfd, const char *path);

/*
 * The bus on which /sys has a device that may be leased, for those who see no topology:
 * device_bus_of_name(), but what is on the PCI bus under a name of another form is there. A
 * literal.
 */
const char *attr_bus_of(int sys, const char *device);

/*
 * Reads an attribute of at most size - 1 bytes into buffer, as text: without trailing newlines
 * and spaces, NUL-terminated. Other control characters than newline and tab, and what is not
 * UTF-8, are ATTR_GARBAGE. buffer is "" for every outcome but 0.
 */
int attr_read(int dirfd, const char *name, char *buffer, size_t size);

/* A new string of the caller of at most ATTR_SIZE bytes; *value is NULL for an outcome but 0. */
int attr_read_string(int dirfd, const char *name, char **value);

/* A hexadecimal number with or without 0x, of at most `bits` bits; *value untouched but for 0. */
int attr_read_hex(int dirfd, const char *name, unsigned int bits, uint32_t *value);

/* A decimal number, in [min, max]. */
int attr_read_int(int dirfd, const char *name, int64_t min, int64_t max, int64_t *value);

/* "MAJOR:MINOR", as in every `dev`. */
int attr_read_dev(int dirfd, const char *name, dev_t *value);

/*
 * The last component of a link's target (of the caller; a valid name, else ATTR_GARBAGE): driver,
 * subsystem, iommu_group, … ATTR_GARBAGE also for what is no link.
 */
int attr_read_link(int dirfd, const char *name, char **value);

/*
 * Where a relative link at `path` below root leads, as a path that begins with `prefix` for root:
 * the real path of a device. Only the link itself is read. A target that is absolute, or above
 * root, or has ".." in its middle is ATTR_GARBAGE. Of the caller.
 */
int attr_read_link_path(int root, const char *path, const char *prefix, char **value);

/*
 * The valid names in a directory, without "." and "..", sorted; of the caller. No directory is
 * ATTR_MISSING with *names NULL. More than ATTR_LIST_MAX: ATTR_OVERSIZED.
 */
int attr_list(int dirfd, const char *path, char ***names);

/* Strict parsers, for text from elsewhere: 0 or -EINVAL, -ERANGE. */
int parse_hex(const char *s, unsigned int bits, uint64_t *value);
int parse_uint(const char *s, uint64_t max, uint64_t *value);
int parse_int(const char *s, int64_t min, int64_t max, int64_t *value);
int parse_dev(const char *s, dev_t *value);

/* Whether text is valid UTF-8 without control characters other than newline and tab. */
bool text_is_clean(const char *s);
/* Replaces bytes that are not UTF-8, and control characters, by '?', in place. */
char *text_clean(char *s);

/* fopen() below dirfd for reading, O_NOFOLLOW, regular files only. NULL and errno. */
FILE *attr_fopen(int dirfd, const char *name);
static inline void attr_fclosep(FILE **file)
{
	if (*file)
		fclose(*file);
}
#define _cleanup_fclose_ _cleanup_(attr_fclosep)
