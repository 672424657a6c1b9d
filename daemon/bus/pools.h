/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Manager.GetPools: the census of every pool of the policy. */

#include <systemd/sd-bus.h>

int method_get_pools(sd_bus_message *m, void *userdata, sd_bus_error *error);
