/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Lease.Revoke, its signal, and the question whose process a lease's connection is. */

#include "daemon/manager.h"

int method_revoke(sd_bus_message *m, void *userdata, sd_bus_error *error);

/* Lease.RevokeRequested, after what changed was announced. */
void bus_revoke_requested(struct bus *bus, const struct lease *lease);

/* As engine_ops.vouch: asks for the ProcessFD of the lease's connection. */
int bus_vouch(struct manager *manager, const struct lease *lease, void **query,
	      void (**query_free)(void *query));
