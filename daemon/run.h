/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The daemon's event loop, from start to end. main() and the tests' own main() call it. */

#include "daemon/manager.h"

/* Returns the exit status. */
int daemon_run(const struct manager_paths *paths);
