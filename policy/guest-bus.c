/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of guest-bus.h. */

#include "policy/guest-bus.h"

#include <ctype.h>
#include <stdio.h>

#define SLOT_FIRST 0x02
#define SLOT_LAST  0x1e
#define SLOTS	   32
#define FUNCTIONS  8

/* ---- addresses */

/* One or two hexadecimal digits, up to `max`; moves on behind them. */
static int parse_part(const char **s, unsigned int max, uint8_t *value)
{
	unsigned int number = 0, digits = 0;

	for (; isxdigit((unsigned char)**s) && digits < 2; digits++, (*s)++)
		number = number * 16 +
			 (unsigned int)(isdigit((unsigned char)**s)
						? **s - '0'
						: tolower((unsigned char)**s) - 'a' + 10);
	if (digits == 0 || number > max)
		return -EINVAL;
	*value = (uint8_t)number;
	return 0;
}

int guest_address_parse(const char *s, struct guest_address *address)
{
	struct guest_address parsed = {};

	if (strncmp(s, "0000:", 5) == 0)
		s += 5;
	if (strncmp(s, "00:", 3) == 0)
		s += 3;
	if (parse_part(&s, SLOTS - 1, &parsed.slot) < 0)
		return -EINVAL;
	if (*s == '.') {
		s++;
		if (parse_part(&s, FUNCTIONS - 1, &parsed.function) < 0)
			return -EINVAL;
	}
	if (*s)
		return -EINVAL;
	*address = parsed;
	return 0;
}

const char *guest_address_format(struct guest_address address, char *text)
{
	snprintf(text, GUEST_ADDRESS_SIZE, "00:%02x.%x", address.slot & (SLOTS - 1),
		 address.function & (FUNCTIONS - 1));
	return text;
}

static int address_compare(struct guest_address a, struct guest_address b)
{
	return a.slot != b.slot ? a.slot - b.slot : a.function - b.function;
}

static bool address_equal(struct guest_address a, struct guest_address b)
{
	return address_compare(a, b) == 0;
}

/* ---- the bus as a table */

void guest_bus_done(struct guest_bus *bus)
{
	for (size_t i = 0; i < bus->n; i++)
		free(bus->items[i].device);
	free(bus->items);
	*bus = (struct guest_bus){};
}

int guest_bus_put(struct guest_bus *bus, const char *device, struct guest_address address)
{
	char *copy = NULL;
	size_t i;

	if (device && !(copy = strdup(device)))
		return -ENOMEM;
	if (ARRAY_RESERVE_ONE(bus->items, bus->n) < 0) {
		free(copy);
		return -ENOMEM;
	}
	for (i = bus->n++; i > 0 && address_compare(bus->items[i - 1].address, address) > 0; i--)
		bus->items[i] = bus->items[i - 1];
	bus->items[i] = (struct guest_entry){ copy, address };
	return 0;
}

int guest_bus_copy(const struct guest_bus *bus, struct guest_bus *copy)
{
	*copy = (struct guest_bus){};
	for (size_t i = 0; i < bus->n; i++)
		if (guest_bus_put(copy, bus->items[i].device, bus->items[i].address) < 0) {
			guest_bus_done(copy);
			return -ENOMEM;
		}
	return 0;
}

const struct guest_entry *guest_bus_device(const struct guest_bus *bus, const char *device)
{
	for (size_t i = 0; bus && i < bus->n; i++)
		if (streq0(bus->items[i].device, device))
			return &bus->items[i];
	return NULL;
}

const struct guest_entry *guest_bus_at(const struct guest_bus *bus, struct guest_address address)
{
	for (size_t i = 0; bus && i < bus->n; i++)
		if (address_equal(bus->items[i].address, address))
			return &bus->items[i];
	return NULL;
}

void guest_bus_remove(struct guest_bus *bus, const char *device)
{
	const struct guest_entry *entry = guest_bus_device(bus, device);
	size_t i;

	if (!entry)
		return;
	i = (size_t)(entry - bus->items);
	free(bus->items[i].device);
	bus->n--;
	memmove(bus->items + i, bus->items + i + 1, (bus->n - i) * sizeof(*bus->items));
}

/* ---- emulated devices */

int guest_bus_reserve(struct guest_bus *bus, const struct guest_address *addresses, size_t n,
		      struct guest_clash *clash)
{
	struct guest_bus next;
	int r = guest_bus_copy(bus, &next);

	for (size_t i = 0; r == 0 && i < n; i++) {
		const struct guest_entry *there = NULL;

		/* A slot is one party's: a function beside somebody else's would take its slot. */
		for (size_t j = 0; j < next.n && !there; j++)
			if (next.items[j].device && next.items[j].address.slot == addresses[i].slot)
				there = &next.items[j];
		if (there) {
			*clash = (struct guest_clash){
				.other = guest_bus_device(bus, there->device)->device,
				.address = addresses[i],
			};
			r = GUEST_TAKEN;
		} else if (!guest_bus_at(&next, addresses[i])) {
			r = guest_bus_put(&next, NULL, addresses[i]);
		}
	}
	if (r != 0) {
		guest_bus_done(&next);
		return r;
	}
	guest_bus_done(bus);
	*bus = next;
	return 0;
}

/* ---- devices of the lease */

struct placing {
	struct guest_bus *bus; /* what comes of it */
	const struct guest_bus *memory;
	const struct guest_device **devices; /* by name */
	size_t n;
	struct guest_clash *clash;
};

static int device_compare(const void *a, const void *b)
{
	const struct guest_device *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static const struct guest_device *find(const struct placing *placing, const char *name)
{
	for (size_t i = 0; i < placing->n; i++)
		if (streq0(placing->devices[i]->name, name))
			return placing->devices[i];
	return NULL;
}

static bool same_physical(const struct guest_device *a, const struct guest_device *b)
{
	return a && b && a->physical && b->physical && streq(a->physical, b->physical);
}

/* Who stands against a device at an address: what is there, or has the slot and is not its kin. */
static const struct guest_entry *find_foe(const struct placing *placing,
					  const struct guest_device *device,
					  struct guest_address address)
{
	for (size_t i = 0; i < placing->bus->n; i++) {
		const struct guest_entry *entry = &placing->bus->items[i];

		if (entry->address.slot != address.slot)
			continue;
		if (address_equal(entry->address, address) || !entry->device ||
		    !same_physical(device, find(placing, entry->device)))
			return entry;
	}
	return NULL;
}

static int put_at(struct placing *placing, const struct guest_device *device,
		  struct guest_address address, bool remembered)
{
	const struct guest_entry *foe = find_foe(placing, device, address);

	if (!foe)
		return guest_bus_put(placing->bus, device->name, address);
	*placing->clash = (struct guest_clash){
		.device = device->name,
		.other = foe->device,
		.address = address,
		.remembered = remembered,
	};
	return GUEST_TAKEN;
}

/* Its own number, but that the lowest of the lease is function 0 where the lease has none. */
static uint8_t function_in_slot(const struct placing *placing, const struct guest_device *device)
{
	uint8_t lowest = device->function;

	if (!device->physical)
		return 0;
	for (size_t i = 0; i < placing->n; i++)
		if (same_physical(device, placing->devices[i]) &&
		    placing->devices[i]->function < lowest)
			lowest = placing->devices[i]->function;
	return device->function == lowest ? 0 : device->function;
}

static bool has_kin(const struct placing *placing, const struct guest_device *device)
{
	for (size_t i = 0; i < placing->bus->n; i++) {
		const char *other = placing->bus->items[i].device;

		if (other && same_physical(device, find(placing, other)))
			return true;
	}
	return false;
}

/* Without one a guest does not look at the other functions of a slot (Linux: pci_scan_slot()). */
static bool has_function_0(const struct guest_bus *bus, uint8_t slot)
{
	return guest_bus_at(bus, (struct guest_address){ slot, 0 });
}

/*
 * The slot in which other functions of the same device are; -1: none, or its number is taken, or it
 * would not be seen there: function 0 was given back meanwhile.
 */
static int slot_of_kin(const struct placing *placing, const struct guest_device *device)
{
	for (size_t i = 0; i < placing->bus->n; i++) {
		const struct guest_entry *entry = &placing->bus->items[i];
		struct guest_address address = { entry->address.slot,
						 function_in_slot(placing, device) };

		if (entry->device && same_physical(device, find(placing, entry->device)) &&
		    !find_foe(placing, device, address) &&
		    (address.function == 0 || has_function_0(placing->bus, address.slot)))
			return entry->address.slot;
	}
	return -1;
}

static bool slot_is_empty(const struct guest_bus *bus, int slot)
{
	for (size_t i = 0; bus && i < bus->n; i++)
		if (bus->items[i].address.slot == slot)
			return false;
	return true;
}

/* An empty one; of these one that was nobody's before. */
static int find_slot(const struct placing *placing)
{
	int again = -1;

	for (int slot = SLOT_LAST; slot >= SLOT_FIRST; slot--) {
		if (!slot_is_empty(placing->bus, slot))
			continue;
		if (slot_is_empty(placing->memory, slot))
			return slot;
		if (again < 0)
			again = slot;
	}
	return again;
}

static int put_anywhere(struct placing *placing, const struct guest_device *device)
{
	struct guest_address address = { .function = function_in_slot(placing, device) };
	int slot = slot_of_kin(placing, device);

	if (slot < 0) {
		slot = find_slot(placing);
		/* Function 0 of its kin is elsewhere, and this slot wants one too. */
		if (has_kin(placing, device))
			address.function = 0;
	}
	if (slot < 0) {
		*placing->clash = (struct guest_clash){ .device = device->name };
		return GUEST_FULL;
	}
	address.slot = (uint8_t)slot;
	return guest_bus_put(placing->bus, device->name, address);
}

/*
 * Where it was. A function other than 0 is seen by the guest only beside a function 0: when that is
 * not there this time, the lowest of those that were in the slot stands in for it.
 */
static struct guest_address address_before(const struct placing *placing,
					   const struct guest_entry *before)
{
	struct guest_address zero = { before->address.slot, 0 };
	const struct guest_entry *there = guest_bus_at(placing->bus, zero);

	if (before->address.function == 0 || (there && !streq0(there->device, before->device)))
		return before->address;
	for (size_t i = 0; i < placing->n; i++) {
		const struct guest_device *device = placing->devices[i];
		const struct guest_entry *other =
			device->wants ? NULL : guest_bus_device(placing->memory, device->name);

		if (other && other->address.slot == before->address.slot &&
		    other->address.function < before->address.function)
			return before->address;
	}
	return zero;
}

/* Whether another function of its device has the address: it stands in, or was wanted there. */
static bool is_kins(const struct placing *placing, const struct guest_device *device,
		    struct guest_address address)
{
	const struct guest_entry *there = guest_bus_at(placing->bus, address);

	return there && there->device && same_physical(device, find(placing, there->device));
}

enum turn { TURN_WANTED, TURN_REMEMBERED, TURN_REST };

/* Who has an address to get comes before those who take what is left. */
static int place_in_turn(struct placing *placing, const struct guest_device *device, enum turn turn)
{
	const struct guest_entry *before = guest_bus_device(placing->memory, device->name);
	struct guest_address address;

	if (guest_bus_device(placing->bus, device->name))
		return 0;
	if (device->wants)
		return turn == TURN_WANTED ? put_at(placing, device, device->wanted, false) : 0;
	if (turn == TURN_REMEMBERED && before) {
		address = address_before(placing, before);
		/* A running guest has the other one there: this is no collision of two parties. */
		if (!is_kins(placing, device, address))
			return put_at(placing, device, address, true);
	}
	return turn == TURN_REST ? put_anywhere(placing, device) : 0;
}

static int check_moved(const struct placing *placing, const struct guest_device *device)
{
	const struct guest_entry *entry = guest_bus_device(placing->bus, device->name);

	if (!device->wants || !entry || address_equal(entry->address, device->wanted))
		return 0;
	*placing->clash = (struct guest_clash){
		.device = device->name,
		.address = device->wanted,
		.has = entry->address,
	};
	return GUEST_MOVED;
}

/* Who is at an address that was wanted has to be seen there. */
static int check_seen(const struct placing *placing, const struct guest_device *device)
{
	if (!device->wants || device->wanted.function == 0 ||
	    has_function_0(placing->bus, device->wanted.slot))
		return 0;
	*placing->clash = (struct guest_clash){ .device = device->name, .address = device->wanted };
	return GUEST_UNSEEN;
}

/* With a function go the others of its device: function 0 has to be there for the guest. */
static bool is_to_be_placed(const struct placing *placing, const struct guest_device *device)
{
	for (size_t i = 0; i < placing->n; i++)
		if (placing->devices[i]->place &&
		    (placing->devices[i] == device || same_physical(placing->devices[i], device)))
			return true;
	return false;
}

static int place_all(struct placing *placing)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < placing->n; i++)
		if (placing->devices[i]->place)
			r = check_moved(placing, placing->devices[i]);
	for (enum turn turn = TURN_WANTED; turn <= TURN_REST; turn++)
		for (size_t i = 0; r == 0 && i < placing->n; i++)
			if (is_to_be_placed(placing, placing->devices[i]))
				r = place_in_turn(placing, placing->devices[i], turn);
	for (size_t i = 0; r == 0 && i < placing->n; i++)
		if (placing->devices[i]->place)
			r = check_seen(placing, placing->devices[i]);
	return r;
}

int guest_bus_place(struct guest_bus *bus, const struct guest_bus *memory,
		    const struct guest_device *devices, size_t n, struct guest_clash *clash)
{
	_cleanup_free_ const struct guest_device **sorted = calloc(n + 1, sizeof(*sorted));
	struct guest_bus next;
	struct placing placing = { &next, memory, sorted, n, clash };
	int r;

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		sorted[i] = &devices[i];
	if (n > 0)
		qsort(sorted, n, sizeof(*sorted), device_compare);
	r = guest_bus_copy(bus, &next);
	if (r < 0)
		return r;
	r = place_all(&placing);
	if (r != 0) {
		/* What the clash names must outlive the copy. */
		if (r > 0 && clash->other) {
			const struct guest_device *device = find(&placing, clash->other);
			const struct guest_entry *entry = guest_bus_device(bus, clash->other);

			clash->other = device ? device->name : entry ? entry->device : NULL;
		}
		guest_bus_done(&next);
		return r;
	}
	guest_bus_done(bus);
	*bus = next;
	return 0;
}

/* ---- what is kept for the next life */

/* "0000:03:00.1" and "0000:03:00.0": up to the last dot. */
static bool names_are_kin(const char *a, const char *b)
{
	const char *dot = strrchr(a, '.');

	return dot && strncmp(a, b, (size_t)(dot - a) + 1) == 0;
}

static int remember_one(struct guest_bus *memory, const struct guest_entry *entry)
{
	const struct guest_entry *before = guest_bus_device(memory, entry->device);

	/* In its slot it may stand in for a function 0 that is away: it is not for good. */
	if (before && before->address.slot == entry->address.slot)
		return 0;
	guest_bus_remove(memory, entry->device);
	for (size_t i = memory->n; i-- > 0;) {
		const struct guest_entry *other = &memory->items[i];

		if (other->address.slot == entry->address.slot &&
		    (address_equal(other->address, entry->address) ||
		     !names_are_kin(other->device, entry->device)))
			guest_bus_remove(memory, other->device);
	}
	return guest_bus_put(memory, entry->device, entry->address);
}

int guest_bus_remember(struct guest_bus *memory, const struct guest_bus *bus)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < bus->n; i++)
		if (bus->items[i].device)
			r = remember_one(memory, &bus->items[i]);
	return r;
}
