/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of refusals.h: a window for each user, in a table of fixed size. */

#include "daemon/bus/refusals.h"

struct window {
	uid_t uid;
	bool used;
	uint64_t since;
	uint64_t n;
	uint64_t missed;
};

struct refusals {
	struct window windows[REFUSALS_USERS];
};

struct refusals *refusals_free(struct refusals *refusals)
{
	free(refusals);
	return NULL;
}

static bool is_over(const struct window *window, uint64_t now_usec)
{
	return now_usec - window->since >= REFUSALS_WINDOW_USEC;
}

/* The user's window, or one that is free or over; NULL: there is none. */
static struct window *find(struct refusals *refusals, uid_t uid, uint64_t now_usec)
{
	struct window *spare = NULL;

	for (size_t i = 0; i < REFUSALS_USERS; i++) {
		struct window *window = &refusals->windows[i];

		if (window->used && window->uid == uid)
			return window;
		if (!spare && (!window->used || is_over(window, now_usec)))
			spare = window;
	}
	if (spare)
		*spare = (struct window){ .uid = uid, .used = true, .since = now_usec };
	return spare;
}

bool refusals_note(struct refusals **refusals, uid_t uid, uint64_t now_usec, uint64_t *missed)
{
	struct window *window;

	*missed = 0;
	if (!*refusals)
		*refusals = calloc(1, sizeof(**refusals));
	window = *refusals ? find(*refusals, uid, now_usec) : NULL;
	if (!window)
		return false;
	if (is_over(window, now_usec)) {
		window->since = now_usec;
		window->n = 0;
	}
	if (window->n >= REFUSALS_PER_WINDOW) {
		window->missed++;
		return false;
	}
	window->n++;
	*missed = window->missed;
	window->missed = 0;
	return true;
}
