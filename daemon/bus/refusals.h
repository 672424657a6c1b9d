/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How often the refusals of a user are recorded. Refusing is cheap for who asks; without a bound
 * one user could have the journal drop everybody's records.
 */

#include "policy/base.h"

#include <sys/types.h>

#define REFUSALS_PER_WINDOW  30
#define REFUSALS_WINDOW_USEC (10 * 1000 * 1000ULL)
#define REFUSALS_USERS	     256

struct refusals;

/*
 * Whether a refusal of the user at this time (CLOCK_MONOTONIC) is to be recorded. *missed: how many
 * were not since the last that was. The table is made at the first call; when it is full of users
 * who are refused right now, a further one's are not recorded.
 */
bool refusals_note(struct refusals **refusals, uid_t uid, uint64_t now_usec, uint64_t *missed);
struct refusals *refusals_free(struct refusals *refusals);
