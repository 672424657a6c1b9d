/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of caps.h: the table, and its enforcement with libcap-ng. */

#include "daemon/caps.h"

#include "daemon/util/log.h"

#include <cap-ng.h>
#include <ctype.h>
#include <stdio.h>
#include <sys/prctl.h>

/*
 * vfiod runs as root, so what root owns (sysfs, VFIO's nodes, its journal) needs none of these. A
 * node that a udev rule opened to a group is root's still. One that a rule gave to another owner
 * would take CAP_CHOWN and CAP_FOWNER, for all files there are: such a claim is refused instead.
 * Whoever adds one: the unit and vfiod(8) must say it too.
 */
const struct cap_use caps_table[] = {
	{ CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH",
	  "enters /proc/PID/fd of other users, to see which host nodes are open and who still has "
	  "a device" },
	{ CAP_KILL, "CAP_KILL",
	  "ends the process that holds a revoked lease, where the policy says so" },
	{ CAP_SYS_ADMIN, "CAP_SYS_ADMIN",
	  "resets a bus (reset_subordinate), and opens config space for a serial number; it takes "
	  "effect in the child that does, for that alone",
	  .latent = true },
	{ CAP_SYS_PTRACE, "CAP_SYS_PTRACE",
	  "reads the links in /proc/PID/fd of other users, for the same two questions" },
	{ CAP_SYS_RESOURCE, "CAP_SYS_RESOURCE",
	  "raises RLIMIT_MEMLOCK of a client, and sets an iommufd to account locked memory per "
	  "process" },
};
const size_t caps_table_n = ARRAY_SIZE(caps_table);

#define CAP_LIMIT 64 /* as many as the kernel's interface can have */

static bool in_table(unsigned int cap)
{
	for (size_t i = 0; i < caps_table_n; i++)
		if (caps_table[i].cap == cap)
			return true;
	return false;
}

/* A capability of the process, in any of the sets. */
static bool has(capng_type_t set, unsigned int cap)
{
	return capng_have_capability(set, cap) > 0;
}

/* Dropping from the bounding set needs CAP_SETPCAP, which the unit does not leave us: it has
 * dropped them already. */
static bool bounding_too_large(void)
{
	for (unsigned int cap = 0; cap < CAP_LIMIT; cap++)
		if (has(CAPNG_BOUNDING_SET, cap) && !in_table(cap))
			return true;
	return false;
}

static bool is_latent(unsigned int cap)
{
	for (size_t i = 0; i < caps_table_n; i++)
		if (caps_table[i].cap == cap)
			return caps_table[i].latent;
	return false;
}

/* Whether a capability is in exactly the sets that it should be in, but for the effective one. */
static bool is_kept_right(unsigned int cap, bool want)
{
	return has(CAPNG_PERMITTED, cap) == want && !has(CAPNG_INHERITABLE, cap) &&
	       !has(CAPNG_AMBIENT, cap) && (!has(CAPNG_BOUNDING_SET, cap) || in_table(cap));
}

static bool is_right(unsigned int cap, bool want)
{
	return has(CAPNG_EFFECTIVE, cap) == (want && !is_latent(cap)) && is_kept_right(cap, want);
}

/* The capabilities that are not where they should be: "CAP_CHOWN CAP_SYS_RAWIO". */
static char *surplus(uint64_t kept, bool (*right)(unsigned int cap, bool want))
{
	_cleanup_free_ char *text = strdup("");

	for (unsigned int cap = 0; text && cap < CAP_LIMIT; cap++) {
		const char *name = capng_capability_to_name(cap);
		char *longer;

		if (right(cap, kept & (UINT64_C(1) << cap)))
			continue;
		if (asprintf(&longer, "%s%sCAP_%s", text, *text ? " " : "", name ? name : "?") < 0)
			return NULL;
		free(text);
		text = longer;
	}
	for (char *p = text; p && *p; p++)
		*p = (char)toupper((unsigned char)*p);
	return STEAL(text);
}

/*
 * The unit's sandbox has no way to drop any from the bounding set (CAP_SETPCAP is not there): it
 * leaves none that would have to be. With more than it keeps, vfiod does not start.
 */
static void cannot_drop(const char *names, int error)
{
	log_error("There are capabilities that vfiod does not keep (%s), and it was not let drop "
		  "them (libcap-ng: %d); where it is started by its unit, take them out of "
		  "CapabilityBoundingSet= and AmbientCapabilities= again (\"systemctl cat vfiod\" "
		  "shows which drop-in has them)",
		  names, error);
}

static int apply(uint64_t kept)
{
	int select = CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT;
	_cleanup_free_ char *names = surplus(kept, is_kept_right);
	int r;

	if (bounding_too_large())
		select |= CAPNG_SELECT_BOUNDS;
	capng_clear(CAPNG_SELECT_ALL);
	for (size_t i = 0; i < caps_table_n; i++)
		if (kept & (UINT64_C(1) << caps_table[i].cap))
			capng_update(CAPNG_ADD,
				     CAPNG_PERMITTED | CAPNG_BOUNDING_SET |
					     (caps_table[i].latent ? 0 : CAPNG_EFFECTIVE),
				     caps_table[i].cap);
	r = capng_apply((capng_select_t)select);
	if (r < 0) {
		cannot_drop(names ? names : "out of memory", r);
		return -EPERM;
	}
	return 0;
}

/* The unit has left nothing to be dropped, nor the system call to do it. */
static bool is_done(uint64_t kept)
{
	for (unsigned int cap = 0; cap < CAP_LIMIT; cap++)
		if (!is_right(cap, kept & (UINT64_C(1) << cap)))
			return false;
	return true;
}

/* A success code is not evidence: libcap-ng passes over a bounding set that it may not change. */
static int verify(uint64_t kept)
{
	_cleanup_free_ char *names = NULL;

	if (capng_get_caps_process() < 0)
		return -EIO;
	if (is_done(kept))
		return 0;
	names = surplus(kept, is_right);
	cannot_drop(names ? names : "out of memory", 0);
	return -EPERM;
}

int caps_drop(enum caps_kept which)
{
	uint64_t kept = 0;
	int r;

	if (geteuid() != 0) {
		log_warning("Not root: nothing to drop, and no device can be taken");
		return -EPERM;
	}
	if (capng_get_caps_process() < 0)
		return -EIO;
	for (size_t i = 0; which == CAPS_DAEMON && i < caps_table_n; i++) {
		if (has(CAPNG_PERMITTED, caps_table[i].cap))
			kept |= UINT64_C(1) << caps_table[i].cap;
		else
			log_warning("%s is missing: vfiod %s, and cannot here", caps_table[i].name,
				    caps_table[i].why);
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	r = is_done(kept) ? 0 : apply(kept);
	return r < 0 ? r : verify(kept);
}

static int change(capng_act_t act, unsigned int cap)
{
	if (capng_get_caps_process() < 0)
		return -EIO;
	if (!has(CAPNG_PERMITTED, cap))
		return -EPERM;
	if (capng_update(act, CAPNG_EFFECTIVE, cap) < 0 || capng_apply(CAPNG_SELECT_CAPS) < 0)
		return -EPERM;
	return 0;
}

int caps_raise(unsigned int cap)
{
	return change(CAPNG_ADD, cap);
}

int caps_lower(unsigned int cap)
{
	return change(CAPNG_DROP, cap);
}

int caps_forget(void)
{
	capng_clear(CAPNG_SELECT_CAPS);
	return capng_apply(CAPNG_SELECT_CAPS) < 0 ? -EPERM : 0;
}
