/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Device.SetNumVfs */

#include "daemon/manager.h"

int method_set_num_vfs(sd_bus_message *m, void *userdata, sd_bus_error *error);
