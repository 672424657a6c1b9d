/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the running kernel's VFIO can do, from sysfs; modules that are not loaded do not count. */

#include "daemon/sysfs/host.h"
#include "policy/decide.h"

void features_read(const struct host *host, struct host_features *features);

/* The running kernel's release, "6.12.0-1-amd64"; "" if it cannot be told. */
#define FEATURES_RELEASE_SIZE 128
void features_release(const struct host *host, char release[static FEATURES_RELEASE_SIZE]);
