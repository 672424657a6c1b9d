/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Manager.Explain: the decision of Acquire, and nothing done. */

#include "daemon/manager.h"

int method_explain(sd_bus_message *m, void *userdata, sd_bus_error *error);
