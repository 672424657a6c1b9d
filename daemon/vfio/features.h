/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the running kernel's VFIO can do, from sysfs; modules that are not loaded do not count. */

#include "daemon/sysfs/host.h"
#include "policy/decide.h"

void features_read(const struct host *host, struct host_features *features);
