/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of sriov.h: who may, and what is answered. What is done is lease/sriov.c's. */

#include "daemon/bus/sriov.h"

#include "daemon/bus/bus.h"
#include "daemon/bus/call.h"
#include "daemon/bus/lease-methods.h"
#include "daemon/bus/object.h"
#include "daemon/bus/record.h"
#include "daemon/lease/sriov.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"
#include "policy/decide-sriov.h"

static void record(struct call *call, const struct device *device, unsigned int n,
		   const struct sriov_decision *decision)
{
	const char *outcome = decision->message ? decision->message : "out of memory";

	/* What asks for nothing is said as often as somebody likes. */
	if (decision->error ? !may_record_refusal(call)
			    : n == strv_length(device->virtual_functions))
		return;
	log_record(MESSAGE_NUM_VFS, decision->error ? LOG_NOTICE : LOG_INFO,
		   LOG_FIELDS({ FIELD_DEVICE, device->name }, { FIELD_COUNT, LOG_NUMBER(n) },
			      { FIELD_UID, LOG_NUMBER(call->creds->uid) },
			      { FIELD_SENDER, call->creds->name },
			      { FIELD_UNIT, call->creds->unit }, { FIELD_RULE, decision->rule },
			      { FIELD_ERROR, decision->error }, { FIELD_OUTCOME, outcome }),
		   "uid %u: %u virtual functions of %s: %s", (unsigned int)call->creds->uid, n,
		   device->name, outcome);
}

/* What the kernel said, and what that means. */
static void answer_failure(struct call *call, const struct device *device, int r,
			   enum sriov_step step, const char *why)
{
	const char *name = device ? device->name : "the device";

	if (r == -ESTALE)
		call_error(call, "GroupChanged",
			   "%s, or its virtual functions, changed under the request; look at "
			   "NumVfs and ask again",
			   name);
	else if (r == -EBUSY && step == SRIOV_LOOK)
		call_error(call, "DeviceInUse",
			   "the host uses a virtual function of %s, which would vanish: %s; stop "
			   "that first",
			   name, why);
	else if (r == -ENOENT && step != SRIOV_READ)
		call_error(
			call, "DriverFailed",
			"the driver %s of %s makes no virtual functions; give it one that does%s",
			device && device->driver ? device->driver : "(none)", name,
			device && device_on_vfio(device)
				? " (vfio-pci: the module option enable_sriov)"
				: "");
	else if (r == -ETIMEDOUT)
		call_error(call, "TimedOut",
			   "the virtual functions of %s did not all appear; look at NumVfs", name);
	else if (r == -ECANCELED)
		call_error(call, "DriverFailed",
			   "the change of %s's virtual functions was interrupted; look at NumVfs "
			   "and call again",
			   name);
	else
		call_error(call, "DriverFailed",
			   "the virtual functions of %s: %s (step %s); see the kernel's log", name,
			   strerror(-r), sriov_step_to_string(step));
}

static void on_done(struct sriov_change *change, int r, enum sriov_step step, const char *why,
		    void *userdata)
{
	struct call *call = userdata;
	const struct device *device =
		device_class.find(call->manager, sd_bus_message_get_path(call->message));

	/* It ends by itself after this. */
	call->data = NULL;
	call->data_free = NULL;
	if (r < 0) {
		log_warning("%s: virtual functions: %s: %s", device ? device->name : "a device",
			    sriov_step_to_string(step), strerror(-r));
		answer_failure(call, device, r, step, why);
		return;
	}
	bus_flush(call->manager->bus);
	call_done(call);
}

static void abandon(void *data)
{
	sriov_abandon(data);
}

/* False: answered. waive: the uses of what goes that do not refuse. */
static bool may(struct call *call, const struct device *device, unsigned int n, unsigned int *waive)
{
	struct manager *manager = call->manager;
	_cleanup_(sriov_decision_done) struct sriov_decision decision = { 0 };
	const struct lease *lease = ledger_device(&manager->ledger, device->name);
	struct subject subject = creds_subject(call->creds);
	int r;

	r = decide_sriov(&manager->topology, manager->policy, &manager->ledger, &subject, device, n,
			 &decision);
	if (r < 0) {
		call_errno(call, r, "deciding");
		return false;
	}
	/* Of two programs of one user the one that has the lease decides about its device. */
	if (!decision.error && lease &&
	    !lease_controlled_by(lease, call->creds, bus_id(manager->bus))) {
		decision.error = "AccessDenied";
		free_and_asprintf(&decision.message,
				  "%s belongs to lease %s, which this connection does not "
				  "control; ask there",
				  device->name, lease->id);
	}
	record(call, device, n, &decision);
	*waive = decision.waive;
	if (!decision.error)
		return true;
	call_error(call, decision.error, "%s", decision.message ? decision.message : "");
	return false;
}

static void set_num_vfs(struct call *call)
{
	struct manager *manager = call->manager;
	const struct device *device =
		device_class.find(manager, sd_bus_message_get_path(call->message));
	struct sriov_change *change = NULL;
	unsigned int waive;
	uint32_t n;
	int r;

	if (!device) {
		call_error(call, "NoSuchDevice", "the device is gone; list the devices anew");
		return;
	}
	r = sd_bus_message_rewind(call->message, 1);
	if (r >= 0)
		r = sd_bus_message_read(call->message, "u", &n);
	if (r < 0) {
		call_errno(call, r, "reading the call");
		return;
	}
	if (!may(call, device, n, &waive) || !call_go_slow(call))
		return;
	if (n == strv_length(device->virtual_functions)) {
		call_done(call);
		return;
	}
	r = sriov_start(&manager->sriov, device, n, waive, on_done, call, &change);
	if (r < 0) {
		call_errno(call, r, "changing the virtual functions");
		return;
	}
	call->data = change;
	call->data_free = abandon;
}

int method_set_num_vfs(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return call_start(userdata, m, set_num_vfs, error);
}
