/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Lease.RemoveDevices. What it does is lease/shrink.c's. */

#include "daemon/manager.h"

int method_remove_devices(sd_bus_message *m, void *userdata, sd_bus_error *error);
