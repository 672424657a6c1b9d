/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * For tests in which the daemon dies: starting it again as the service manager does, a client that
 * does not give up, and what must hold after each start, seen from outside.
 */

#include "tests/bus/client.h"

/* The bed with a directory of faults (daemon/fault.h), and alice, bob and root on its bus. */
void crash_start(void);
void crash_stop(void);
extern struct client *alice, *bob, *root;

/* What happens at a point: "daemon", "worker", "EIO"; passes: how often it is passed before. */
void fault_at(const char *point, const char *what, int passes);
/* Whether it has happened. */
bool fault_happened(const char *point);
/* Points are written down from now on; what was (daemon/fault.h), of the caller. */
void fault_trace(void);
char *fault_traced(void);

/* How often the daemon was started again. */
extern int crashes;
/* supervise() kills it when the operation of the mocked host's fail-at has failed; once. */
extern bool crash_after_failure;
/* Starts the daemon again if it has died, and holds it to the invariants then. */
void supervise(void);
/* The daemon dies once more, not by a fault, and is started again. */
void crash_now(void);
/* Turns the loop, with supervision, until it is so. */
#define EVENTUALLY(condition)                                                            \
	do {                                                                             \
		uint64_t eventually_end = bed_now() + BED_TIMEOUT_USEC;                  \
		while (supervise(), !(condition)) {                                      \
			ck_assert_msg(bed_now() < eventually_end, "never: " #condition); \
			bed_turn();                                                      \
		}                                                                        \
	} while (0)

/*
 * I1, I2, I5 and what follows for a stranger, for every group that has a lease or had one: fails
 * the test where they do not hold.
 */
void check_invariants(void);

/* The lease of this name, path of the caller; NULL: there is none. */
char *lease_of_name(struct client *client, const char *name);
/* The daemon says so; one that is dead does not. */
bool lease_is_gone(struct client *client, const char *lease);
/* Root restores what has failed there. */
void mend_group(unsigned int group);
/* Asks until the lease is there: path of the caller. */
char *ensure_leased(struct client *client, const struct ask *ask);
/* Asks for fds until they are there. */
void ensure_taken(struct client *client, const char *lease, struct taken *taken);
/* Releases until it has ended (it may drain still). */
void ensure_ended(struct client *client, const char *lease);
/* Until it is home; what failed is restored by root. */
void ensure_home(struct client *client, const char *lease);
