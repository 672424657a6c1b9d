/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where a lease's devices are on the guest's bus: vfiod has the say, this asks and remembers.
 */

#include "client/lease.h"

void lease_places_clear(struct vfiod_lease *lease)
{
	for (size_t i = 0; i < lease->n_places; i++) {
		free(lease->places[i].device);
		free(lease->places[i].address);
	}
	free(lease->places);
	lease->places = NULL;
	lease->n_places = 0;
}

static int add_place(struct vfiod_lease *lease, const char *device, const char *address)
{
	struct lease_place *grown;

	if (lease->n_places >= VFIOD_LIST_MAX)
		return -EMSGSIZE;
	grown = reallocarray(lease->places, lease->n_places + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	lease->places = grown;
	grown[lease->n_places] = (struct lease_place){ strdup(device), strdup(address) };
	lease->n_places++;
	return grown[lease->n_places - 1].device && grown[lease->n_places - 1].address ? 0
										       : -ENOMEM;
}

/* Everything that is placed by now, not only what was asked for. */
static int read_places(sd_bus_message *reply, struct vfiod_lease *lease)
{
	const char *device, *address;
	int r;

	lease_places_clear(lease);
	r = sd_bus_message_enter_container(reply, 'a', "(ss)");
	while (r >= 0 && (r = sd_bus_message_read(reply, "(ss)", &device, &address)) > 0)
		r = add_place(lease, device, address);
	/* No half of one: whoever looks for an address compares names. */
	if (r < 0)
		lease_places_clear(lease);
	return r;
}

static int place(struct vfiod_lease *lease, const char *device, const char *address,
		 struct vfiod_error **error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
	int r;

	r = sd_bus_message_new_method_call(lease->bus, &call, VFIOD_NAME, lease->path, VFIOD_LEASE,
					   "PlaceDevices");
	if (r >= 0)
		r = device ? sd_bus_message_append(call, "a{sv}", 1, device, "s", address)
			   : sd_bus_message_append(call, "a{sv}", 0);
	if (r < 0)
		return error_set_bus(error, NULL, r);
	r = client_call(lease->bus, call, &reply, error);
	if (r < 0)
		return r;
	r = read_places(reply, lease);
	return r < 0 ? error_set_bus(error, NULL, r) : 0;
}

int vfiod_lease_place_devices(struct vfiod_lease *lease, struct vfiod_error **error)
{
	return place(lease, NULL, NULL, error);
}

int vfiod_lease_place_device(struct vfiod_lease *lease, const char *device, const char *address,
			     struct vfiod_error **error)
{
	/* No device would mean all. */
	if (!device || !address)
		return error_set(error, VFIOD_ERROR_OTHER, EINVAL,
				 "No device or no address was given to be placed.");
	return place(lease, device, address, error);
}

const char *vfiod_lease_guest_address(const struct vfiod_lease *lease, const char *device)
{
	for (size_t i = 0; i < lease->n_places; i++)
		if (streq(lease->places[i].device, device))
			return lease->places[i].address;
	return NULL;
}

int vfiod_lease_reserve_guest_addresses(struct vfiod_lease *lease, const char *const *addresses,
					struct vfiod_error **error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
	int r;

	r = sd_bus_message_new_method_call(lease->bus, &call, VFIOD_NAME, lease->path, VFIOD_LEASE,
					   "ReserveGuestAddresses");
	if (r >= 0)
		r = sd_bus_message_append_strv(call, (char **)addresses);
	if (r < 0)
		return error_set_bus(error, NULL, r);
	return client_call(lease->bus, call, NULL, error);
}
