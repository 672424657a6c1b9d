/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What happens to leases, told by clients that do not give up: between them the stories pass every
 * point of daemon/fault.h. Each ends with everything home, whatever dies or fails on the way.
 */

#include "tests/bus/crash.h"

/* Cheapest first: a point is killed in the first that passes it. */
#define STORIES(X)      \
	X(withheld)     \
	X(failing)      \
	X(virtual)      \
	X(pair)         \
	X(lifeline)     \
	X(changed)      \
	X(changed_node) \
	X(reset)        \
	X(functions)    \
	X(mediated)     \
	X(interfered)   \
	X(newcomer)     \
	X(revoked)

enum {
#define X(story) STORY_##story,
	STORIES(X)
#undef X
		STORY_MAX,
};

const char *story_name(int story);
/* In the bed of crash_start(); fails where it does not come to its end. */
void tell_story(int story);
