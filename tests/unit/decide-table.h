/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The tables of test-decide.c: one host with everything that makes a difference, policies, and
 * rows of leases and request with the answer.
 */

#include "tests/unit/decide-world.h"

#define ALICE 1000
#define BOB   1001
#define CAROL 1002

#define LEASES_MAX 3

struct row {
	const char *what;
	const char *policy;
	const char *devices; /* separated by blanks */
	const char *withhold;
	struct world_lease leases[LEASES_MAX];
	uid_t uid;   /* 0: ALICE */
	uid_t owner; /* 0: uid */
	bool root;
	gid_t gid;
	bool no_process;
	const char *unit;
	enum mode mode; /* of the request, if has_mode; else auto */
	bool has_mode;
	const char *kernel; /* NULL: all; else of "group", "iommufd", "cdev" */
	bool draining;
	const char *name;
	bool persist;
	uint64_t memlock;
	const char *expect; /* "device vendor:product" */
	int node;	    /* 1 + the NUMA node asked for; 0: none is */
	const char *why;    /* in why the first device was drawn */
	const char *grows;  /* id of the lease that is to have more; NULL: a new one */
	int park_vfio;	    /* 1 + number of a rule that the parser would not let say so */

	enum reason reason;
	const char *plan;  /* "device action", separated by commas; where allowed */
	const char *says;  /* in the message */
	const char *says2; /* this too */
	enum mode granted;
};

/* Modes of a row. */
#define MODE(m) .has_mode = true, .mode = (m)

extern const struct world_device lab[];
extern const size_t n_lab;
extern const struct row rows[];
extern const size_t n_rows;
/* In decide-grow-table.c. */
extern const struct row grow_rows[];
extern const size_t n_grow_rows;

/* Everybody everything; some some; some in one mode only; everybody everything, PFs too. */
extern const char open_policy[], careful_policy[], node_policy[], vfs_policy[], pin_policy[];
