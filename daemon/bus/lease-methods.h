/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The methods of org.vfiod1.Lease, and who may call them. */

#include "daemon/bus/creds.h"
#include "daemon/manager.h"

int method_release(sd_bus_message *m, void *userdata, sd_bus_error *error);
int method_get_fds(sd_bus_message *m, void *userdata, sd_bus_error *error);
/* The lease of the call, if the caller controls it; else NULL, and the call is answered. */
struct call;
struct lease *controlled_lease(struct call *call);

int method_restore(sd_bus_message *m, void *userdata, sd_bus_error *error);

/*
 * Whether the caller controls the lease: the connection that acquired it, root, a process of the
 * same system unit, or, for a shared lease, any process of the owner. bus_id: of the bus that the
 * caller is on. A login session's scope and a user manager's unit are not a unit in this sense:
 * everything that a user runs is in one.
 */
bool lease_controlled_by(const struct lease *lease, const struct creds *creds, const char *bus_id);
/* Whether a system unit is a service of its own (see above). NULL is none. */
bool unit_is_service(const char *unit);
