/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A claim as a person sees it: with progress while it takes long, and polkit's question where the
 * rule asks one.
 */

#include "client/ctl/request.h"

/* vfiod_acquire() with all that around it. What it returns, and *error is set as it does. */
int claim(struct ctl *ctl, struct request_options *o, struct vfiod_lease **lease,
	  struct vfiod_error **error);
