/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of reset.h. */

#include "daemon/bus/reset.h"

#include "daemon/bus/call.h"
#include "daemon/bus/lease-methods.h"
#include "daemon/bus/object.h"
#include "daemon/bus/request.h"
#include "daemon/lease/reset.h"
#include "daemon/manager-health.h"
#include "daemon/sysfs/reset.h"

/* ---- Device.GetResetDomain, Device.GetResetDomains */

static int append_domain(struct manager *manager, sd_bus_message *m,
			 const struct reset_domain *domain)
{
	int r;

	r = sd_bus_message_open_container(m, 'a', "(oo)");
	for (size_t i = 0; r >= 0 && i < domain->n; i++) {
		const struct device *device = domain->devices[i];

		r = sd_bus_message_open_container(m, 'r', "oo");
		if (r >= 0)
			r = append_path_device(manager, m, device->name);
		if (r >= 0)
			r = append_path_group(m, device->group ? device->group_id : ID_UNKNOWN);
		if (r >= 0)
			r = sd_bus_message_close_container(m);
	}
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int reply_domain(struct manager *manager, const struct device *device, sd_bus_message *reply)
{
	struct reset_domain domain;
	int r = reset_domain_any(&manager->topology, device, &domain);

	if (r >= 0)
		r = append_domain(manager, reply, &domain);
	reset_domain_done(&domain);
	return r;
}

/* "function", "slot" and "bus", as far as there is such a reset. */
static int reply_domains(struct manager *manager, const struct device *device,
			 sd_bus_message *reply)
{
	int r;

	r = sd_bus_message_open_container(reply, 'a', "{sa(oo)}");
	for (int kind = 0; r >= 0 && kind < RESET_AUTO; kind++) {
		struct reset_domain domain;
		const char *why;

		r = reset_domain(&manager->topology, device, kind, &domain, &why);
		if (r == 0) {
			r = sd_bus_message_open_container(reply, 'e', "sa(oo)");
			if (r >= 0)
				r = append_string(reply, reset_kind_to_string(kind));
			if (r >= 0)
				r = append_domain(manager, reply, &domain);
			if (r >= 0)
				r = sd_bus_message_close_container(reply);
		}
		reset_domain_done(&domain);
	}
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int answer(sd_bus_message *m, struct manager *manager, sd_bus_error *error,
		  int (*fill)(struct manager *, const struct device *, sd_bus_message *))
{
	const struct device *device = device_class.find(manager, sd_bus_message_get_path(m));
	sd_bus_message *reply = NULL;
	int r;

	if (!device)
		return bus_error_set(error, "NoSuchDevice",
				     "the device is gone; list the devices anew");
	r = sd_bus_message_new_method_return(m, &reply);
	if (r >= 0)
		r = fill(manager, device, reply);
	if (r >= 0)
		r = sd_bus_send(NULL, reply, NULL);
	sd_bus_message_unref(reply);
	return r < 0 ? r : 1;
}

int method_get_reset_domain(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return answer(m, userdata, error, reply_domain);
}

int method_get_reset_domains(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return answer(m, userdata, error, reply_domains);
}

/* ---- Lease.Reset */

struct reset_call {
	char **devices;
	enum reset_kind kind;
	struct call *call;
	struct engine *engine; /* set when the reset has begun */
	char **reached;	       /* names, for their health */
};

static void reset_call_free(void *data)
{
	struct reset_call *reset = data;

	if (reset->engine)
		engine_abandon_reset(reset->engine, reset);
	strv_free(reset->devices);
	strv_free(reset->reached);
	free(reset);
}

static void on_reset(struct lease *lease, const struct failure *failure, void *userdata)
{
	struct reset_call *reset = userdata;

	reset->engine = NULL;
	if (failure) {
		call_error(reset->call, failure->error, "%s",
			   failure->message ? failure->message : "out of memory");
		return;
	}
	STRV_FOREACH (name, reset->reached)
		manager_device_reset(reset->call->manager, *name);
	call_done(reset->call);
}

/* The rule that gave the device away, as the policy has it now. */
static const struct rule *rule_of(const struct manager *manager, const struct lease_device *d)
{
	for (size_t i = 0; manager->policy && d->rule && i < manager->policy->n_rules; i++)
		if (streq(manager->policy->rules[i].id, d->rule))
			return &manager->policy->rules[i];
	return NULL;
}

static bool may_reset(struct call *call, const struct lease *lease, const char *name)
{
	const struct lease_device *d = lease_device(lease, name);
	const struct rule *rule;

	if (!d || d->state != DEVICE_GRANTED || d->parking || d->gone) {
		call_error(call, "NoSuchDevice",
			   "%s is not granted by lease %s; see \"vfiodctl show %s\"", name,
			   lease->id, lease->id);
		return false;
	}
	if (call->creds->uid == 0)
		return true;
	rule = rule_of(call->manager, d);
	if (rule && !rule->deny && rule->verbs & 1U << VERB_RESET)
		return true;
	call_error(call, "NotPermitted",
		   "rule \"%s\" does not allow the verb \"reset\" for %s; ask the administrator",
		   d->rule ? d->rule : "", name);
	return false;
}

/* "0000:03:00.1 (group 9: the host has it, on nvme), …" */
static char *missing_text(const struct reset_missing_list *missing)
{
	_cleanup_strv_ char **parts = NULL;

	for (size_t i = 0; i < missing->n; i++) {
		const struct device *device = missing->items[i].device;
		int r = device->group ? strv_extendf(&parts, "%s (group %u: %s)", device->name,
						     device->group_id, missing->items[i].who)
				      : strv_extendf(&parts, "%s (in no group: %s)", device->name,
						     missing->items[i].who);

		if (r < 0)
			return NULL;
	}
	return strv_join(parts, ", ");
}

static void refuse_missing(struct call *call, const char *device, enum reset_kind kind,
			   const struct reset_missing_list *missing)
{
	_cleanup_free_ char *text = missing_text(missing);

	call_error(call, "ResetNotOwned",
		   "a reset of kind %s of %s would reach what the lease does not have: %s; have "
		   "these in the lease too, or reset less",
		   reset_kind_to_string(kind), device, text ? text : "out of memory");
}

const char *reset_bar(const struct device *bridge, void *userdata)
{
	const struct manager *manager = userdata;

	if (!sysfs_can_reset_bus(&manager->host, bridge->name))
		return "this kernel has no reset_subordinate, which Linux has from 6.12.5 on";
	if (!manager->reset_spares_hotplug && sysfs_has_pciehp(&manager->host, bridge->name))
		return "pciehp watches the slot, and before Linux 7.1 would take its reset for a "
		       "removal (an administrator can unbind pciehp from the port)";
	return NULL;
}

enum verdict_of { CAN, CANNOT, ANSWERED };

/*
 * Whether the lease may have this kind of reset of this device. CAN: *domain is the caller's.
 * quiet: CANNOT instead of an answer to the caller.
 */
static enum verdict_of try_kind(struct call *call, const struct lease *lease, const char *name,
				enum reset_kind kind, bool quiet, struct reset_domain *domain)
{
	struct manager *manager = call->manager;
	const struct device *device = topology_device(&manager->topology, name);
	struct reset_missing_list missing = { 0 };
	enum verdict_of verdict = quiet ? CANNOT : ANSWERED;
	const char *why = "it is gone", *bar;
	int r = RESET_NONE;

	*domain = (struct reset_domain){};
	if (device)
		r = reset_domain(&manager->topology, device, kind, domain, &why);
	bar = r == 0 && domain->bridge ? reset_bar(domain->bridge, manager) : NULL;
	if (bar) {
		r = RESET_NONE;
		why = bar;
	}
	if (r == 0)
		r = reset_missing(&manager->ledger, lease, domain, &missing);
	if (r == 0 && missing.n == 0)
		return CAN;
	if (r < 0) {
		call_errno(call, r, "finding out what the reset reaches");
		verdict = ANSWERED;
	} else if (!quiet && r == RESET_NONE) {
		call_error(call, "ModeUnsupported",
			   "%s has no reset of kind %s: %s; ask for another kind", name,
			   reset_kind_to_string(kind), why);
	} else if (!quiet) {
		refuse_missing(call, name, kind, &missing);
	}
	reset_missing_done(&missing);
	reset_domain_done(domain);
	return verdict;
}

/* The least reset that there is; where the lease may have none, the refusal is that of the first.
 */
static enum verdict_of try_auto(struct call *call, const struct lease *lease, const char *name,
				struct reset_domain *domain)
{
	const struct device *device = topology_device(&call->manager->topology, name);
	enum reset_kind first = RESET_KIND_INVALID;

	for (int kind = 0; kind < RESET_AUTO; kind++) {
		enum verdict_of verdict = try_kind(call, lease, name, kind, true, domain);
		struct reset_domain there;
		const char *why;

		if (verdict != CANNOT)
			return verdict;
		if (first != RESET_KIND_INVALID || !device)
			continue;
		if (reset_domain(&call->manager->topology, device, kind, &there, &why) == 0)
			first = kind;
		/* Of a slot there is something that it would reach, too. */
		reset_domain_done(&there);
	}
	return try_kind(call, lease, name, first == RESET_KIND_INVALID ? RESET_BUS : first, false,
			domain);
}

static void begin(struct call *call, struct lease *lease, const struct reset_target *targets,
		  size_t n)
{
	struct reset_call *reset = call->data;
	int r = 0;

	for (size_t i = 0; r >= 0 && i < n; i++)
		for (size_t k = 0; r >= 0 && k < targets[i].domain->n; k++)
			r = strv_extend(&reset->reached, targets[i].domain->devices[k]->name);
	reset->call = call;
	reset->engine = &call->manager->engine;
	if (r >= 0)
		r = engine_reset(&call->manager->engine, lease, targets, n, on_reset, reset);
	/* Maybe answered already, and gone. */
	if (r == 0)
		return;
	reset->engine = NULL;
	if (r == RESET_BUSY)
		call_error(call, "GroupBusy",
			   "another change or reset of lease %s is under way; ask again when it is "
			   "over",
			   lease->id);
	else
		call_errno(call, r, "starting the reset");
}

static void start(struct call *call)
{
	struct reset_call *reset = call->data;
	size_t n = strv_length(reset->devices), found = 0;
	struct lease *lease = controlled_lease(call);
	struct reset_domain *domains;
	struct reset_target *targets;

	if (!lease)
		return;
	if (lease->state != LEASE_LEASED || lease->part_of) {
		call_error(call, "NoSuchLease", "lease %s is %s: nothing of it can be reset",
			   lease->id, lease_state_to_string(lease->state));
		return;
	}
	STRV_FOREACH (name, reset->devices)
		if (!may_reset(call, lease, *name))
			return;
	if (!call_go_slow(call))
		return;
	domains = calloc(n + 1, sizeof(*domains));
	targets = calloc(n + 1, sizeof(*targets));
	if (!domains || !targets)
		call_errno(call, -ENOMEM, "looking at the devices");
	for (; domains && targets && found < n; found++) {
		const char *name = reset->devices[found];
		enum verdict_of verdict =
			reset->kind == RESET_AUTO
				? try_auto(call, lease, name, &domains[found])
				: try_kind(call, lease, name, reset->kind, false, &domains[found]);

		if (verdict != CAN)
			break;
		targets[found] = (struct reset_target){ name, &domains[found] };
	}
	/* Otherwise the call is answered, and gone. */
	if (domains && targets && found == n)
		begin(call, lease, targets, n);
	for (size_t i = 0; i < found; i++)
		reset_domain_done(&domains[i]);
	free(domains);
	free(targets);
}

static int read_call(sd_bus_message *m, struct reset_call *reset, sd_bus_error *error)
{
	const char *kind;
	int r = bus_request_read_devices(m, &reset->devices, error);

	if (r < 0)
		return r;
	if (!reset->devices)
		return bus_error_set(error, "BadOption",
				     "no device is named; name those to be reset");
	STRV_FOREACH (device, reset->devices)
		if (strv_contains(device + 1, *device))
			return bus_error_set(error, "BadOption", "%s is named twice; name it once",
					     *device);
	r = sd_bus_message_read(m, "s", &kind);
	if (r < 0)
		return r;
	r = reset_kind_from_string(kind);
	if (r < 0)
		return bus_error_set(
			error, "BadOption",
			"there is no reset of this kind; the kinds are function, slot, "
			"bus and auto");
	reset->kind = r;
	return 0;
}

int method_reset(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct reset_call *reset = calloc(1, sizeof(*reset));
	int r = reset ? read_call(m, reset, error) : -ENOMEM;

	if (r < 0) {
		if (reset)
			reset_call_free(reset);
		return r;
	}
	return call_start_with(userdata, m, start, reset, reset_call_free, error);
}
