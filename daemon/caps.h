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

enum caps_kept {
	CAPS_DAEMON, /* those of the table */
	CAPS_NONE,   /* for "vfiod --unfence": what it writes to is root's */
};
/*
 * Drops every other capability from all sets (effective, permitted, inheritable, ambient, and the
 * bounding set, of which what is in the table may stay where nothing can be taken out of it any
 * more), sets no_new_privs, and reads the result back. Children inherit it. One of the daemon's
 * that the process did not have (a container) is logged with what will not work. Returns 0; -EPERM
 * when not root, or when the read-back says that it does not hold (logged); -errno. To be called
 * once, before the first client is served.
 */
int caps_drop(enum caps_kept which);

/*
 * Has a latent capability take effect in this process, until caps_lower(). -EPERM: the process does
 * not have it (a container, an older unit).
 */
int caps_raise(unsigned int cap);
int caps_lower(unsigned int cap);

/* For a child that runs the code of others: it keeps none, and gets none back. -EPERM: it has them
 * still. */
int caps_forget(void);
