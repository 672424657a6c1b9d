/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Makes a lease out of a decision: what it takes, and what each device had before. */

#include "daemon/bus/creds.h"
#include "daemon/bus/judge.h"
#include "daemon/bus/request.h"

/*
 * 0: a lease of the caller, and for each of its devices the use kinds that its rule waives (an
 * array of the caller). 1: the topology is not what was decided on. -errno.
 */
int lease_build(struct manager *manager, const struct bus_request *request,
		const struct creds *creds, const struct judge *judge, struct lease **lease,
		unsigned int **waive);
