/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How a lease object is made, for acquire.c.
 */

#include "client/internal.h"

/* A lease object for this path; nothing is asked of the daemon. 0 or -ENOMEM. */
int lease_object_new(struct vfiod_client *client, const char *path, struct vfiod_lease **lease);
/* Reads mode, devices and groups. 0, or a negative errno with *error set. */
int lease_object_load(struct vfiod_lease *lease, struct vfiod_error **error);
/* Forgets where devices are on the guest's bus. */
void lease_places_clear(struct vfiod_lease *lease);
