/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The errors that clients see: the one list of our own, and how they are set. Which error a
 * refusal has is in policy/decide.c; what a message says is its author's: the thing, the reason,
 * and in one sentence what to do next.
 */

#include "policy/base.h"

#include <systemd/sd-bus.h>

#define VFIOD_ERROR_PREFIX "org.vfiod1.Error."

struct bus_error_entry {
	const char *name; /* short: "GroupBusy" */
	int err;	  /* errno that says about the same, positive */
	const char *text; /* when it is given, for docs and tests */
};
extern const struct bus_error_entry bus_errors[];
extern const size_t bus_errors_n;

/*
 * Sets an error by its short name: one of bus_errors gets our prefix; "AccessDenied",
 * "InvalidArgs" and the like org.freedesktop.DBus.Error. Returns -errno, never 0, so that a
 * method handler can `return bus_error_set(…)`. The message may contain anything: what is not
 * UTF-8 is replaced (the bus would disconnect us for it).
 */
int bus_error_set(sd_bus_error *error, const char *short_name, const char *format, ...)
	_printf_(3, 4);
/* The same for an errno of something that failed in the daemon: "what: strerror". */
int bus_error_set_errno(sd_bus_error *error, int r, const char *format, ...) _printf_(3, 4);

/* The whole name of a short one, of the caller; NULL when out of memory. */
char *bus_error_name(const char *short_name);

/* Replaces in place what is not valid UTF-8, and control characters, by '?'. For everything that
 * goes out as a D-Bus string and came from the kernel, a process or a file. */
char *utf8_clean(char *s);
