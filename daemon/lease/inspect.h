/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Looks at devices without changing them, in a worker: the attributes whose reading can block, and
 * why the host needs them. Before a claim, for Explain, and for GetUses.
 */

#include "daemon/lease/worker.h"
#include "policy/topology.h"

struct inspected {
	char *device;
	uint64_t appearance; /* when it was begun; 0: not known */
	uint64_t identity;   /* in the topology, at that time */
	char *driver;	     /* NULL: none */
	char *override;	     /* NULL: none */
	bool bus_master;
	struct use_list uses;
	char *serial; /* its serial number, where that was not known; or NULL */
	int error;    /* positive errno: this one could not be looked at; 0: fine */
};

struct inspection;
/*
 * r: 0, and n results, one for each device in the order given, good until the call returns (uses
 * may be taken); -ECANCELED: the worker died. The callee frees the inspection, here or later.
 */
typedef void (*inspect_fn)(struct inspection *inspection, int r, struct inspected *items, size_t n,
			   void *userdata);

/*
 * devices: names; their paths are taken from the topology (borrowed only for this call). exclusive:
 * block devices are opened O_EXCL for a moment, the kernel's own word. -ENODEV: one is not in the
 * topology; -errno.
 */
int inspect_start(sd_event *event, const struct host *host, const struct topology *topology,
		  char *const *devices, bool exclusive, inspect_fn done, void *userdata,
		  struct inspection **inspection);
struct inspection *inspection_free(struct inspection *inspection);
DEFINE_CLEANUP(struct inspection *, inspection_free)
