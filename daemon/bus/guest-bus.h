/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Lease.ReserveGuestAddresses, Lease.PlaceDevices and the property GuestAddresses. */

#include "daemon/manager.h"

int method_reserve_guest_addresses(sd_bus_message *m, void *userdata, sd_bus_error *error);
int method_place_devices(sd_bus_message *m, void *userdata, sd_bus_error *error);
int append_guest_addresses(struct manager *manager, const void *object, sd_bus_message *m);
