/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of places-names.h, but for the text: that is in places-json.c. */

#include "daemon/lease/places-names.h"

/* So old may the time be that is on the disk: it is to find the names that nobody uses any more. */
#define KEPT_OLD_USEC (UINT64_C(24) * 60 * 60 * 1000000)

void places_names_done(struct places_names *names)
{
	for (size_t i = 0; i < names->n; i++) {
		free(names->items[i].name);
		guest_bus_done(&names->items[i].bus);
	}
	free(names->items);
	*names = (struct places_names){};
}

struct places_name *places_names_find(const struct places_names *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++)
		if (streq(names->items[i].name, name))
			return &names->items[i];
	return NULL;
}

uint64_t places_names_used(const struct places_names *names)
{
	uint64_t last = 0;

	for (size_t i = 0; i < names->n; i++)
		if (names->items[i].used_usec > last)
			last = names->items[i].used_usec;
	return last;
}

static void drop_oldest(struct places_names *names)
{
	size_t oldest = 0;

	for (size_t i = 1; i < names->n; i++)
		if (names->items[i].used_usec < names->items[oldest].used_usec)
			oldest = i;
	free(names->items[oldest].name);
	guest_bus_done(&names->items[oldest].bus);
	names->n--;
	memmove(names->items + oldest, names->items + oldest + 1,
		(names->n - oldest) * sizeof(*names->items));
}

static struct places_name *make_name(struct places_names *names, const char *name)
{
	struct places_name *entry = places_names_find(names, name);
	char *copy;
	size_t i;

	if (entry)
		return entry;
	copy = strdup(name);
	if (!copy || ARRAY_RESERVE_ONE(names->items, names->n) < 0) {
		free(copy);
		return NULL;
	}
	/* One that goes makes room for the one that comes. */
	if (names->n >= PLACES_NAMES_MAX)
		drop_oldest(names);
	for (i = names->n++; i > 0 && strcmp(names->items[i - 1].name, name) > 0; i--)
		names->items[i] = names->items[i - 1];
	names->items[i] = (struct places_name){ .name = copy };
	return &names->items[i];
}

static bool bus_equal(const struct guest_bus *a, const struct guest_bus *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!streq0(a->items[i].device, b->items[i].device) ||
		    a->items[i].address.slot != b->items[i].address.slot ||
		    a->items[i].address.function != b->items[i].address.function)
			return false;
	return true;
}

int places_names_keep(struct places_names *names, const char *name, const struct guest_bus *bus,
		      uint64_t now_usec)
{
	struct places_name *entry = make_name(names, name);
	struct guest_bus before;
	bool fresh;
	int r = entry ? guest_bus_copy(&entry->bus, &before) : -ENOMEM;

	if (r < 0)
		return r;
	/* One of the future is of a clock that was set back. */
	fresh = entry->kept_usec <= now_usec && now_usec - entry->kept_usec < KEPT_OLD_USEC;
	entry->used_usec = now_usec;
	r = guest_bus_remember(&entry->bus, bus);
	if (r == 0 && fresh && bus_equal(&entry->bus, &before))
		r = 1;
	else
		entry->kept_usec = now_usec;
	guest_bus_done(&before);
	return r;
}
