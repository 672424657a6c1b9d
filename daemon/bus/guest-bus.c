/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The implementation of guest-bus.h. What is placed is in the lease's own journal before the reply,
 * and, for a lease with a label, in the owner's file of places, for the next lease of that label.
 */

#include "daemon/bus/guest-bus.h"

#include "daemon/bus/bus.h"
#include "daemon/bus/call.h"
#include "daemon/bus/lease-methods.h"
#include "daemon/bus/object.h"
#include "daemon/lease/places.h"
#include "daemon/util/clock.h"

#include <stdio.h>

/* ---- the property */

static int append_entry(sd_bus_message *m, const struct guest_entry *entry)
{
	char address[GUEST_ADDRESS_SIZE];
	int r = sd_bus_message_open_container(m, 'r', "ss");

	if (r >= 0)
		r = append_string(m, entry->device);
	if (r >= 0)
		r = append_string(m, guest_address_format(entry->address, address));
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static bool is_granted(const struct lease *lease, const char *device)
{
	const struct lease_device *d = lease_device(lease, device);

	return d && d->state == DEVICE_GRANTED && !d->gone;
}

/* With the emulated ones or without. What was taken out of the lease is on the bus no more. */
static int append_bus(sd_bus_message *m, const struct lease *lease, bool emulated)
{
	int r = sd_bus_message_open_container(m, 'a', "(ss)");

	for (size_t i = 0; r >= 0 && i < lease->guest.n; i++) {
		const struct guest_entry *entry = &lease->guest.items[i];

		if (entry->device ? is_granted(lease, entry->device) : emulated)
			r = append_entry(m, entry);
	}
	return r < 0 ? r : sd_bus_message_close_container(m);
}

int append_guest_addresses(struct manager *manager, const void *object, sd_bus_message *m)
{
	return append_bus(m, object, true);
}

/* ---- what both methods do */

static struct lease *leased(struct call *call)
{
	struct lease *lease = controlled_lease(call);

	if (!lease)
		return NULL;
	if (lease->state == LEASE_LEASED && !lease->part_of)
		return lease;
	call_error(call, "NoSuchLease",
		   "lease %s is %s: it has no guest; acquire the devices again", lease->id,
		   lease_state_to_string(lease->state));
	return NULL;
}

/* Devices that were given back make room. */
static int current_bus(const struct lease *lease, struct guest_bus *bus)
{
	int r = guest_bus_copy(&lease->guest, bus);

	for (size_t i = lease->guest.n; r == 0 && i-- > 0;) {
		const char *device = lease->guest.items[i].device;

		if (device && !is_granted(lease, device))
			guest_bus_remove(bus, device);
	}
	return r;
}

/* Takes the bus into the lease when that is on disk. 0, or the call is answered. */
static int commit(struct call *call, struct lease *lease, struct guest_bus *bus)
{
	struct manager *manager = call->manager;
	struct guest_bus before = lease->guest;
	int r;

	lease->guest = *bus;
	r = journal_write(&manager->engine.journal, lease);
	if (r < 0) {
		lease->guest = before;
		guest_bus_done(bus);
		call_error(call, "IOError",
			   "the addresses of lease %s cannot be written to its journal: %s; free "
			   "space below /run and call again",
			   lease->id, strerror(-r));
		return r;
	}
	guest_bus_done(&before);
	bus_announce_lease(manager->bus, lease);
	return 0;
}

/* "0000:03:00.0", or what emulated devices are called. */
static const char *name_of(const char *device)
{
	return device ? device : "an emulated device";
}

static void refuse(struct call *call, int r, const struct guest_clash *clash)
{
	char address[GUEST_ADDRESS_SIZE], has[GUEST_ADDRESS_SIZE];

	guest_address_format(clash->address, address);
	if (r == GUEST_TAKEN)
		call_error(call, "AddressTaken",
			   "%s cannot have the guest address %s%s: its slot is that of %s; give "
			   "one of the two another address",
			   name_of(clash->device), address,
			   clash->remembered ? ", which it had before" : "", name_of(clash->other));
	else if (r == GUEST_MOVED)
		call_error(call, "AddressTaken",
			   "%s has the guest address %s already and cannot have %s too; leave its "
			   "address out, or take a new lease",
			   name_of(clash->device), guest_address_format(clash->has, has), address);
	else if (r == GUEST_FULL)
		call_error(call, "QuotaExceeded",
			   "the guest's root bus has no slot left for %s; reserve fewer, or take "
			   "fewer devices",
			   name_of(clash->device));
	else if (r == GUEST_UNSEEN)
		call_error(call, "BadOption",
			   "%s would not be seen by the guest at %s: that slot has no function 0; "
			   "ask for 00:%02x.0, or place the one that is function 0 with it",
			   name_of(clash->device), address, clash->address.slot);
	else
		call_errno(call, r, "placing");
}

/* ---- ReserveGuestAddresses */

static int read_addresses(sd_bus_message *m, struct guest_address *addresses, size_t *n,
			  sd_bus_error *error)
{
	const char *s;
	int r = sd_bus_message_enter_container(m, 'a', "s");

	*n = 0;
	while (r >= 0 && (r = sd_bus_message_read_basic(m, 's', &s)) > 0) {
		if (*n >= GUEST_ENTRIES_MAX)
			return bus_error_set(error, "QuotaExceeded",
					     "a bus has at most %d addresses", GUEST_ENTRIES_MAX);
		if (guest_address_parse(s, &addresses[(*n)++]) < 0)
			return bus_error_set(
				error, "BadOption",
				"\"%.64s\" is no address on the guest's root bus, such "
				"as 00:02.0",
				s);
	}
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

struct reserve {
	struct guest_address addresses[GUEST_ENTRIES_MAX];
	size_t n;
};

static void reserve(struct call *call)
{
	const struct reserve *wanted = call->data;
	struct guest_clash clash = {};
	struct lease *lease = leased(call);
	struct guest_bus bus;
	int r;

	if (!lease)
		return;
	r = current_bus(lease, &bus);
	if (r == 0) {
		r = guest_bus_reserve(&bus, wanted->addresses, wanted->n, &clash);
		if (r != 0) {
			refuse(call, r, &clash);
			guest_bus_done(&bus);
			return;
		}
	}
	if (r < 0)
		call_errno(call, r, "reserving");
	else if (commit(call, lease, &bus) == 0)
		call_done(call);
}

int method_reserve_guest_addresses(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct reserve *wanted = calloc(1, sizeof(*wanted));
	int r = wanted ? read_addresses(m, wanted->addresses, &wanted->n, error) : -ENOMEM;

	if (r < 0) {
		free(wanted);
		return r;
	}
	return call_start_with(userdata, m, reserve, wanted, free, error);
}

/* ---- PlaceDevices */

struct place {
	struct manager *manager;
	struct call *call;
	char **names; /* as asked for; with the addresses beside them */
	struct guest_address addresses[GUEST_ENTRIES_MAX];
	bool wanted[GUEST_ENTRIES_MAX];
	sd_bus_message *reply;
	bool waits;
};

static void place_free(void *data)
{
	struct place *place = data;

	if (!place)
		return;
	if (place->waits)
		places_forget(place->manager->places, place->call);
	sd_bus_message_unref(place->reply);
	strv_free(place->names);
	free(place);
}

static int read_device(const char *s, struct place *place, sd_bus_error *error)
{
	_cleanup_free_ char *name = NULL;

	if (strv_length(place->names) >= GUEST_ENTRIES_MAX)
		return bus_error_set(error, "QuotaExceeded", "a lease has at most %d devices",
				     REQUEST_DEVICES_MAX);
	if (*s == '/') {
		int r = path_device_decode(s, &name, NULL);

		if (r != 0)
			return r < 0 ? r
				     : bus_error_set(
					       error, "NoSuchDevice",
					       "%.256s is no device's path; see vfiodctl list", s);
	}
	if (strv_contains(place->names, name ? name : s))
		return bus_error_set(error, "BadOption", "%.64s is named twice; name it once", s);
	return strv_extend(&place->names, name ? name : s);
}

/* A string: an address, or "" for any. */
static int read_address(sd_bus_message *m, struct place *place, sd_bus_error *error)
{
	size_t i = strv_length(place->names) - 1;
	const char *contents, *s;
	int r = sd_bus_message_peek_type(m, NULL, &contents);

	if (r >= 0 && !streq(contents, "s"))
		return bus_error_set(error, "BadOption",
				     "the address of %s has the type \"%.32s\"; it must be \"s\"",
				     place->names[i], contents);
	if (r >= 0)
		r = sd_bus_message_read(m, "v", "s", &s);
	if (r < 0)
		return r;
	place->wanted[i] = *s;
	if (*s && guest_address_parse(s, &place->addresses[i]) < 0)
		return bus_error_set(error, "BadOption",
				     "\"%.64s\" is no address on the guest's root bus, such as "
				     "00:1e.0",
				     s);
	if (*s && place->addresses[i].slot == 0)
		return bus_error_set(error, "AddressTaken",
				     "%.64s cannot have the guest address %s: slot 00 is that of "
				     "the guest's host bridge; ask for another",
				     place->names[i], s);
	return 0;
}

static int read_places(sd_bus_message *m, struct place *place, sd_bus_error *error)
{
	const char *s;
	int r = sd_bus_message_enter_container(m, 'a', "{sv}");

	while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		r = sd_bus_message_read_basic(m, 's', &s);
		if (r >= 0)
			r = read_device(s, place, error);
		if (r >= 0)
			r = read_address(m, place, error);
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* What a device is a function of: of a PCI device that is no VF all but the function's number. */
static bool find_physical(struct manager *manager, const char *name, char *physical, size_t size,
			  uint8_t *function)
{
	const struct device *device = topology_device(&manager->topology, name);
	const char *dot = strrchr(name, '.');

	if (!device || device->physical_function || !pci_address_valid(name) || !dot ||
	    (size_t)(dot - name) >= size)
		return false;
	memcpy(physical, name, (size_t)(dot - name));
	physical[dot - name] = 0;
	*function = (uint8_t)(dot[1] - '0');
	return true;
}

#define PHYSICAL_SIZE 32

/* Whether the device is one that a VMM puts on a PCI bus. */
static bool is_for_bus(struct manager *manager, const char *name)
{
	const struct device *device = topology_device(&manager->topology, name);

	return device && (streq(device->subsystem, "pci") || streq(device->subsystem, "mdev"));
}

static int fill_devices(struct call *call, const struct lease *lease, struct guest_device *devices,
			char (*physical)[PHYSICAL_SIZE])
{
	const struct place *place = call->data;
	size_t n = 0;

	for (size_t i = 0; i < lease->n_devices; i++) {
		const char *name = lease->devices[i].name;
		struct guest_device *device = &devices[n];

		if (!is_granted(lease, name) || !is_for_bus(call->manager, name))
			continue;
		*device = (struct guest_device){ .name = name, .place = !place->names };
		if (find_physical(call->manager, name, physical[n], PHYSICAL_SIZE,
				  &device->function))
			device->physical = physical[n];
		for (size_t j = 0; place->names && place->names[j]; j++)
			if (streq(place->names[j], name)) {
				device->place = true;
				device->wants = place->wanted[j];
				device->wanted = place->addresses[j];
			}
		n++;
	}
	return (int)n;
}

/* False, and the call is answered, for a name that is none of the lease's. */
static bool names_are_good(struct call *call, const struct lease *lease)
{
	const struct place *place = call->data;

	STRV_FOREACH (name, place->names) {
		if (!is_granted(lease, *name)) {
			call_error(call, "BadOption",
				   "lease %s has not been granted %s; name devices that it has",
				   lease->id, *name);
			return false;
		}
		if (!is_for_bus(call->manager, *name)) {
			call_error(call, "BadOption", "%s has no place on a PCI bus; leave it out",
				   *name);
			return false;
		}
	}
	return true;
}

static void on_kept(int r, void *userdata)
{
	struct call *call = userdata;
	struct place *place = call->data;

	place->waits = false;
	/* What could not be kept is recorded, and holds in this lease all the same. */
	call_reply(call, STEAL(place->reply));
}

static void reply(struct call *call, const struct lease *lease)
{
	struct place *place = call->data;
	struct manager *manager = call->manager;
	int r = call_new_reply(call, &place->reply);

	if (r >= 0)
		r = append_bus(place->reply, lease, false);
	if (r < 0) {
		call_errno(call, r, "making the reply");
		return;
	}
	place->manager = manager;
	place->call = call;
	place->waits = true;
	r = places_keep(manager->places, lease->owner, lease->name, &lease->guest, realtime_usec(),
			on_kept, call);
	/* 0: the call may be gone already. */
	if (r != 0)
		on_kept(r, call);
}

static void place_devices(struct call *call)
{
	_cleanup_free_ struct guest_device *devices = NULL;
	_cleanup_free_ char(*physical)[PHYSICAL_SIZE] = NULL;
	struct guest_clash clash = {};
	struct lease *lease = leased(call);
	struct guest_bus bus;
	int n, r;

	if (!lease || !names_are_good(call, lease))
		return;
	devices = calloc(lease->n_devices + 1, sizeof(*devices));
	physical = calloc(lease->n_devices + 1, sizeof(*physical));
	r = devices && physical ? current_bus(lease, &bus) : -ENOMEM;
	if (r < 0) {
		call_errno(call, r, "placing");
		return;
	}
	n = fill_devices(call, lease, devices, physical);
	r = guest_bus_place(&bus, places_find(call->manager->places, lease->owner, lease->name),
			    devices, (size_t)n, &clash);
	if (r != 0) {
		refuse(call, r, &clash);
		guest_bus_done(&bus);
		return;
	}
	if (commit(call, lease, &bus) == 0)
		reply(call, lease);
}

int method_place_devices(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct place *place = calloc(1, sizeof(*place));
	int r = place ? read_places(m, place, error) : -ENOMEM;

	if (r < 0) {
		place_free(place);
		return r;
	}
	return call_start_with(userdata, m, place_devices, place, place_free, error);
}
