/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Lease.DeviceError: told to the owner's side and to nobody else, as a signal with a destination.
 * The owner's side is the connection that acquired the lease, and every connection that controls
 * it and has asked for it with Lease.Subscribe.
 */

#include "daemon/manager.h"

struct listener;

/* For the bus room: a connection has gone; all have. */
void listeners_forget(struct listener **listeners, const char *connection);
void listeners_free(struct listener **listeners);

/* source: the bridge whose recovery it was, or NULL. */
void bus_device_error(struct manager *manager, const struct lease *lease,
		      const struct device *device, enum recovery recovery, bool online,
		      const char *source);

/* Lease.Subscribe, Device.ClearError */
int method_subscribe(sd_bus_message *m, void *userdata, sd_bus_error *error);
int method_clear_error(sd_bus_message *m, void *userdata, sd_bus_error *error);

/* Device.ErrorCounters, as in the property and in the signal's details: a{sa{st}}. */
int append_error_counters(sd_bus_message *m, const struct error_counters *counters);
