/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How much of the daemon's time one connection may take: a purse for each that fills up again as
 * time goes by. The bus hands us everybody's messages in one queue, so that without this a client
 * that asks for the whole picture ten thousand times makes all others wait for ten thousand
 * answers. What is counted is processor time that was spent, not calls: so it holds on slow
 * machines and on large hosts alike. Nothing here knows of messages or reads a clock.
 */

#include "policy/base.h"

/* What a connection may take at once, and what it gets back of each second. */
#define THROTTLE_PURSE_USEC 1000000
#define THROTTLE_SHARE_USEC 200000

struct throttle;

/* -ENOMEM. */
int throttle_new(struct throttle **throttle);
struct throttle *throttle_free(struct throttle *throttle);
DEFINE_CLEANUP(struct throttle *, throttle_free)

/*
 * Whether sender may be served at the time now_usec, of any clock that only goes forward. 0: it
 * may. 1: it has taken all of its share, and must wait. -ENOMEM.
 */
int throttle_admit(struct throttle *throttle, const char *sender, uint64_t now_usec);

/* Serving sender has taken so long. One that was never admitted is not known, and not charged. */
void throttle_charge(struct throttle *throttle, const char *sender, uint64_t took_usec);

/* The connection is gone. */
void throttle_forget(struct throttle *throttle, const char *sender);
