/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The guest's bus of a lease: which slots of a VM's root bus emulated devices have, and which the
 * lease's own devices get. Pure: what was placed in an earlier life of the lease's name comes as an
 * argument, and what is to be kept is the result.
 *
 * The root bus has the slots 00 to 1f. 00 is the host bridge's, and 01 and 1f are where the usual
 * chipsets have their own functions (PIIX3, ICH9): these are not given away unasked. Slots are
 * given from 1e downwards, for VMMs that number emulated devices by themselves do so from 01
 * upwards.
 */

#include "policy/base.h"

struct guest_address {
	uint8_t slot;	  /* 0 to 31 */
	uint8_t function; /* 0 to 7 */
};

/* "5", "05", "05.0", "00:05.0" and "0000:00:05.0"; hexadecimal. -EINVAL for any other text. */
int guest_address_parse(const char *s, struct guest_address *address);
#define GUEST_ADDRESS_SIZE 8
/* "00:05.0", into a buffer of GUEST_ADDRESS_SIZE. */
const char *guest_address_format(struct guest_address address, char *text);

struct guest_entry {
	char *device; /* NULL: an emulated device's */
	struct guest_address address;
};

/* What is on the bus, by address. */
struct guest_bus {
	struct guest_entry *items;
	size_t n;
};

#define GUEST_ENTRIES_MAX 256 /* 32 slots of 8 functions */

void guest_bus_done(struct guest_bus *bus);
/* A copy, of the caller. 0 or -ENOMEM. */
int guest_bus_copy(const struct guest_bus *bus, struct guest_bus *copy);
/* The entry of a device, or at an address; NULL: none. */
const struct guest_entry *guest_bus_device(const struct guest_bus *bus, const char *device);
const struct guest_entry *guest_bus_at(const struct guest_bus *bus, struct guest_address address);
/* Puts an entry (device NULL: an emulated one). The address must be free. 0 or -ENOMEM. */
int guest_bus_put(struct guest_bus *bus, const char *device, struct guest_address address);
void guest_bus_remove(struct guest_bus *bus, const char *device);

/* A device of the lease, as the guest's bus sees it. */
struct guest_device {
	const char *name;
	/*
	 * What it is a function of, such as "0000:03:00", and its number there: functions with the
	 * same text share a slot. NULL: it is by itself (a VF, what is no PCI device).
	 */
	const char *physical;
	uint8_t function;
	bool place; /* it is to be placed now; else it only counts as being in the lease */
	bool wants; /* at this address and no other */
	struct guest_address wanted;
};

enum {
	GUEST_TAKEN = 1, /* the address is somebody else's: see the clash */
	GUEST_MOVED,	 /* the device has another address already */
	GUEST_FULL,	 /* no slot is left */
	GUEST_UNSEEN,	 /* wanted where the guest would not look: the slot has no function 0 */
};

/* What an outcome is about. Texts belong to the arguments, or are static. */
struct guest_clash {
	const char *device;	      /* that was to be placed; NULL: an emulated one */
	const char *other;	      /* that has the address; NULL: an emulated one */
	struct guest_address address; /* that was wanted */
	struct guest_address has;     /* GUEST_MOVED: where it is */
	bool remembered; /* wanted because of an earlier life, not because it was asked for */
};

/*
 * Takes addresses for emulated devices. One that an emulated device of this lease has already is
 * fine: a VM that starts again says the same again. All or nothing: 0, GUEST_TAKEN or -ENOMEM.
 */
int guest_bus_reserve(struct guest_bus *bus, const struct guest_address *addresses, size_t n,
		      struct guest_clash *clash);

/*
 * Places devices: at the address that is wanted; else where the memory has the device; else next to
 * the functions of the same physical device, with its own function number; else in a slot of its
 * own that the memory has for no other device, as long as there is one. In a slot that is shared
 * without function 0, which the guest would not find, the lowest function of the lease becomes
 * function 0; one that comes later, and finds it there, gets a slot of its own. With a function go
 * the others of its physical device that are in the lease. The order of the devices is nothing:
 * they are sorted by name. Devices that are placed already stay where they are. All or nothing: 0,
 * an outcome with its clash, or -ENOMEM.
 */
int guest_bus_place(struct guest_bus *bus, const struct guest_bus *memory,
		    const struct guest_device *devices, size_t n, struct guest_clash *clash);

/*
 * Takes into the memory what is on the bus now. Whoever was remembered in a slot that is another
 * device's by now is forgotten, so that a memory never has more than a bus can have. 0 or -ENOMEM.
 */
int guest_bus_remember(struct guest_bus *memory, const struct guest_bus *bus);
