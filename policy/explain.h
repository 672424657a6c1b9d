/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files that explain a decision share: how a reason is said, and pieces of sentences. */

#include "policy/decide-internal.h"

#include <stdio.h>

/*
 * How a reason is said: of one member that has it, of the request as a whole, or both; and what
 * to do next. Every reason is in one of the tables.
 */
struct explanation {
	void (*member)(FILE *f, const struct claim *claim, const struct member *member);
	void (*claim)(FILE *f, const struct claim *claim);
	const char *next;
	bool of_group; /* the same for a whole group: of its members the named ones will do */
};

extern const struct explanation explanations_of_request[REASON_MAX];
extern const struct explanation explanations_of_rule[REASON_MAX];
extern const struct explanation explanations_of_host[REASON_MAX];

/* Somebody's string: at most so much of it, and nothing that a terminal or the bus minds. */
void explain_put(FILE *f, const char *s);
void explain_put_quoted(FILE *f, const char *s);
void explain_put_rule(FILE *f, const struct rule *rule);
/* The names of a set of bits as "a, b and c". */
void explain_put_bits(FILE *f, unsigned int bits, int max, const char *(*name)(int value));
/* Other users learn that there is a lease and whose it is, but not what it is called. */
void explain_put_lease(FILE *f, const struct claim *claim, const struct lease *lease);
