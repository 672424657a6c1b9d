/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of remove-devices.h. */

#include "daemon/bus/remove-devices.h"

#include "daemon/bus/call.h"
#include "daemon/bus/lease-methods.h"
#include "daemon/bus/request.h"
#include "daemon/lease/grow.h"

static void strv_free_data(void *data)
{
	strv_free(data);
}

static bool names_are_good(struct call *call, char *const *devices)
{
	if (!devices) {
		call_error(call, "BadOption", "no device is named; name those to be given back");
		return false;
	}
	STRV_FOREACH (device, devices)
		if (strv_contains(device + 1, *device)) {
			call_error(call, "BadOption", "%s is named twice; name it once", *device);
			return false;
		}
	return true;
}

static void remove_devices(struct call *call)
{
	struct failure failure = { 0 };
	char **devices = call->data;
	struct lease *lease;
	int r;

	if (!names_are_good(call, devices))
		return;
	lease = controlled_lease(call);
	if (!lease)
		return;
	if (lease->state != LEASE_LEASED || lease->part_of) {
		call_error(call, "NoSuchLease", "lease %s is %s: nothing can be taken out of it",
			   lease->id, lease_state_to_string(lease->state));
		return;
	}
	r = engine_shrink(&call->manager->engine, lease, devices, &failure);
	if (r < 0)
		call_error(call, failure.error, "%s",
			   failure.message ? failure.message : "out of memory");
	else
		call_done(call);
	failure_done(&failure);
}

int method_remove_devices(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	char **devices = NULL;
	int r = bus_request_read_devices(m, &devices, error);

	if (r < 0) {
		strv_free(devices);
		return r;
	}
	return call_start_with(userdata, m, remove_devices, devices, strv_free_data, error);
}
