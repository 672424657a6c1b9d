/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How much of our time one connection may ask for: a bucket of tokens for each that fills up again
 * with time. The bus hands us everybody's messages in one queue, so that without this a client that
 * asks for the whole picture ten thousand times makes all others wait for ten thousand answers.
 * Nothing here knows of messages or of a clock.
 */

#include "policy/base.h"

/* What a connection may spend at once, and what it gets back each second. */
/* busctl introspects every object of a host of thousands of devices at once. */
#define THROTTLE_BURST	    20000
#define THROTTLE_PER_SECOND 5000

struct throttle;

/* -ENOMEM. */
int throttle_new(struct throttle **throttle);
struct throttle *throttle_free(struct throttle *throttle);
DEFINE_CLEANUP(struct throttle *, throttle_free)

/*
 * Takes cost tokens of sender's at the time now_usec, of any clock that only goes forward. 0:
 * taken. 1: it has not got so many; nothing is taken. -ENOMEM.
 */
int throttle_take(struct throttle *throttle, const char *sender, unsigned int cost,
		  uint64_t now_usec);

/* The connection is gone. */
void throttle_forget(struct throttle *throttle, const char *sender);

/*
 * What a call of this method costs: about how long an answer takes, in parts of the shortest.
 * objects: how many there are on the bus, for the whole picture.
 */
unsigned int throttle_cost(const char *interface, const char *member, size_t objects);
