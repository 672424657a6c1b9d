/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A host to decide about: its devices from a table, its policy from JSON, its leases from a
 * table; and the promises that hold for every decision, whatever it was about.
 */

#include "policy/decide.h"

struct world_device {
	const char *name;
	uint32_t group;		 /* ID_UNKNOWN: none */
	const char *driver;	 /* NULL: none */
	const char *vfio_driver; /* NULL: VFIO cannot take it */
	const char *ids;	 /* "vendor:product:class" */
	const char *use;	 /* "kind text", or NULL */
	bool bridge;
	const char *pf;	       /* of a VF */
	const char *vf;	       /* of a PF, one of them */
	const char *subsystem; /* NULL: pci */
	enum group_kind kind;
	int node;	    /* 1 + its NUMA node; 0: not known */
	const char *serial; /* NULL: not known */
	bool failed;	    /* it broke, and nobody cleared that */
};

struct world_lease {
	const char *id;
	uid_t owner;
	const char *name;
	enum lease_state state;
	uint32_t group;
	/*
	 * "name/state/rule/saved-driver", separated by blanks; the state after a "*" for one on its
	 * way out, "!" for one that is gone, "+" for one that came later.
	 */
	const char *devices;
	const char *holder; /* its command, with pid 4242 */
};

struct world {
	struct topology topology;
	struct policy *policy;
	struct ledger ledger;
	struct host_features features;
	bool draining;
};

void world_init(struct world *world);
void world_done(struct world *world);
void world_add_device(struct world *world, const struct world_device *device);
void world_add_lease(struct world *world, const struct world_lease *lease);
/* NULL: no policy is in force. */
void world_set_policy(struct world *world, const char *json);

/* "pool:a*3" is three. */
size_t world_count(char *const *devices);
struct decision *world_decide(const struct world *world, const struct request *request);

/*
 * Fails the test if a decision breaks a promise: whole groups and every member of them, nothing
 * taken from a host driver that was not named and consented to, nothing that is leased or in use
 * or not PCI, no verb, mode or limit beyond the rules, a reason and a sentence for each refusal.
 * Written from the policy's text, apart from decide().
 */
void world_check_promises(const struct world *world, const struct request *request,
			  const struct decision *decision);
