/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Devices that broke: what the kernel's recovery says of them goes to their owner and into the
 * journal, and one that failed is remembered, across restarts of the daemon, until a reset or an
 * administrator clears it.
 */

#include "daemon/manager.h"

/* Devices that failed; the manager's. */
struct failed_device;

/* What an earlier run remembered. After the first scan, with the journal open. */
void manager_health_recover(struct manager *manager);
void manager_health_done(struct manager *manager);

/*
 * A device was added or replaced: one that failed before it went has failed still, unless what is
 * there now is other hardware.
 */
void manager_health_appeared(struct manager *manager, const char *name);

/* Events were lost, the ends of recoveries maybe among them. */
void manager_health_lost(struct manager *manager);

/* A uevent with an ERROR_EVENT, after the device was read anew. */
void manager_device_error(struct manager *manager, const struct uevent *event);

/*
 * A failed device may be given away again. why: for the record ("reset", "cleared by uid 0"). 0, or
 * -errno: it cannot be written down, and the device is failed as before. 0 for one that is well.
 */
int manager_clear_health(struct manager *manager, const char *name, const char *why);

/* A reset of the device by the daemon went well. */
void manager_device_reset(struct manager *manager, const char *name);
