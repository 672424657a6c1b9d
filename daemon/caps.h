/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The capabilities that vfiod keeps, each with its reason: the one table. The unit's
 * CapabilityBoundingSet= and vfiod(8) repeat it, and a test holds them against it.
 */

#include "policy/base.h"

struct cap_use {
	unsigned int cap; /* CAP_… */
	const char *name; /* "CAP_…" */
	const char *why;
	/*
	 * Not in the effective set but while it is used (caps_raise()), in the child that uses it:
	 * the kernel's widest capability.
	 */
	bool latent;
};

extern const struct cap_use caps_table[];
extern const size_t caps_table_n;

/*
 * Drops every capability that is not in the table from all sets (effective, permitted,
 * inheritable, bounding, ambient), sets no_new_privs, and reads the result back. Children inherit
 * it. One of the table that the process did not have (a container) is logged with what will not
 * work. Returns 0; -EPERM when not root, or when the read-back says that it does not hold
 * (logged); -errno. To be called once, before the first client is served.
 */
int caps_drop(void);

/*
 * Has a latent capability take effect in this process, until caps_lower(). -EPERM: the process does
 * not have it (a container, an older unit).
 */
int caps_raise(unsigned int cap);
int caps_lower(unsigned int cap);
