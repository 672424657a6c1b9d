/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Lease.Reset, and what Device tells of resets. What a reset reaches is in policy/reset-domain.h.
 */

#include "daemon/manager.h"

/*
 * What keeps the daemon from resetting what is below a bridge, whoever has that: literally; NULL:
 * nothing. userdata: the manager. Takes no lock of a device.
 */
const char *reset_bar(const struct device *bridge, void *userdata);

int method_reset(sd_bus_message *m, void *userdata, sd_bus_error *error);
int method_get_reset_domain(sd_bus_message *m, void *userdata, sd_bus_error *error);
int method_get_reset_domains(sd_bus_message *m, void *userdata, sd_bus_error *error);
