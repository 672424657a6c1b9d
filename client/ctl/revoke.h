/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The grace that revoke and drain give.
 */

#include "client/ctl/ctl.h"

#define GRACE_DEFAULT_USEC (60 * 1000000ULL)

/* Seconds. An exit code. */
int grace_parse(const char *text, uint64_t *usec);
