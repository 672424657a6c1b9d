/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One user or group by name. It can take for ever: see names.h for what the daemon uses. */

#include "policy/base.h"

/*
 * Asks the name service for one name, in this process, for as long as it takes. Returns 0 and the
 * number, -ENOENT when there is none of this name, or another -errno when it could not be learned.
 */
int name_find_user(const char *name, uint32_t *uid);
int name_find_group(const char *name, uint32_t *gid);
