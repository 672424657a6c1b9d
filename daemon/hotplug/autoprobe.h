/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * drivers_autoprobe of the PCI bus, and the file that says what it was: /run/vfiod/probing, there
 * exactly while the daemon has it at 0. No loop here: what writes to sysfs runs in children, the
 * keeper, and `vfiod --unfence`.
 *
 * The file is written before the switch (I4). It also names each device that is not waiting for its
 * first probe: those that were there before, and those that have had it. A name alone is no
 * identity, so each has the inode of its directory in sysfs, which another device at the same
 * address does not have.
 */

#include "daemon/sysfs/host.h"

/* Name of the file, in the directory above the journals. */
#define AUTOPROBE_FILE "probing"

struct known_device;

struct autoprobe_state {
	bool there;   /* the file exists */
	bool prior;   /* what drivers_autoprobe was, and will be */
	bool bad;     /* the file makes no sense: nothing is known of who waits */
	bool cut_off; /* its last line has no end, and does not count */
	struct known_device *known;
};

/*
 * dir: where the file is. 0, also when there is none, or a bad one (which says what a kernel
 * begins with: on); -errno.
 */
int autoprobe_state_read(int dir, struct autoprobe_state *state);
void autoprobe_state_done(struct autoprobe_state *state);
/* Appends: from now on it is to be `prior` again; this device (as it is now) waits no more. */
int autoprobe_note_prior(int dir, bool prior);
int autoprobe_note_known(int dir, const struct host *host, const char *device);
/* The file goes. */
int autoprobe_forget(int dir);

/* Reads the attribute, which takes no lock: 0 and *on, or -errno. */
int autoprobe_get(const struct host *host, bool *on);
/* Writes it, and reads it back (-EIO if it is another). */
int autoprobe_set(const struct host *host, bool on);

/*
 * Has the kernel probe no new device: file, then switch. A file that is there already (of a daemon
 * that was killed) is gone on with. When the switch fails, all is as before. -errno.
 */
int autoprobe_take(const struct host *host, int dir);

/*
 * PCI devices without a driver that are not known: they wait for their first probe. Of the caller,
 * sorted. 0 or -errno.
 */
int autoprobe_waiting(const struct host *host, const struct autoprobe_state *state, char ***names);

/*
 * Whether a kernel of this release ("6.19.0-1-amd64") asks drivers_autoprobe before the first probe
 * of a hot-added device: since Linux 6.19 (drivers/base/dd.c, device_initial_probe()).
 */
bool autoprobe_release_honours(const char *release);
