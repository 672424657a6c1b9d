/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Lease.AddDevices: as Acquire, for a lease that exists. The way through the decision is
 * acquire.c's, what is done to the host lease/grow.c's.
 */

#include "daemon/manager.h"

struct call;

int method_add_devices(sd_bus_message *m, void *userdata, sd_bus_error *error);
/* The last step, in place of acquire.c's claim. */
void add_devices_claim(struct call *call);
/* Whether the lease can have more still; else the call is answered. */
bool add_devices_possible(struct call *call);
