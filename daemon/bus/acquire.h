/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Manager.Acquire: from the request to the reply. What a claim does to the host is lease/'s. */

#include "daemon/manager.h"

int method_acquire(sd_bus_message *m, void *userdata, sd_bus_error *error);
