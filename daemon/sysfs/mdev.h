/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Mediated devices. Their bus binds none that was unbound (mdev_match() in
 * drivers/vfio/mdev/mdev_driver.c matches nothing): such a one is removed, and comes back as a new
 * one of its name and type, with its driver. In between it is nowhere but in a note, for whoever
 * comes after one that was killed there.
 */

#include "daemon/sysfs/host.h"

/*
 * Gives a device without a driver its driver again; one that has it is left alone. note: a file of
 * the caller's, empty but for this; -EBADF: none, what is killed in between is gone. 0 or -errno:
 * then it is as it was, or the note says that it has to come.
 */
int mdev_probe(const struct host *host, const char *device, int note);
/*
 * Makes the device of the note, if there is one, and it is not there. 0: there is no note any more,
 * also if its type has gone; -errno: it could not be made, and the note stays.
 */
int mdev_mend(const struct host *host, int note);
/* Whether the note says that one has to come: it is not gone for good. */
bool mdev_is_due(int note);
