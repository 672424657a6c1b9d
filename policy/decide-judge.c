/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The checks: what stands against each member of a claim, against the claim as a whole, and what
 * would be done to each member. A member's reason is the first that applies, in the order of
 * enum reason: what the thing is, what the rules say, what the host and others need.
 */

#include "policy/decide-internal.h"

bool mode_in_kernel(const struct host_features *features, enum mode mode)
{
	bool cdev = features->iommufd && features->cdev;

	switch (mode) {
	case MODE_CDEV:
		return cdev;
	case MODE_GROUP:
		return features->group;
	case MODE_NODE:
	case MODE_AUTO:
		return cdev || features->group;
	case MODE_MAX:
	case MODE_INVALID:
		break;
	}
	return false;
}

/*
 * Nobody on the host uses a device that is on a VFIO driver, except through the VFs of it: its
 * unbinding would take them away, whoever has them.
 */
unsigned int device_uses(const struct device *device)
{
	unsigned int kinds = 0;

	for (size_t i = 0; i < device->uses.n; i++)
		kinds |= 1U << device->uses.items[i].kind;
	if (device_on_vfio(device))
		kinds &= 1U << USE_VFS;
	if (strv_length(device->virtual_functions) > 0)
		kinds |= 1U << USE_VFS;
	return kinds;
}

/*
 * Whether the device stays as it is: a port's driver manages no DMA of its own, and what it does
 * (hot-plug, error reporting) the host goes on needing.
 */
bool device_stays(const struct device *device)
{
	return device->driver && !driver_counts(device) && !device_on_vfio(device) &&
	       !streq(device->driver, "pci-stub");
}

static bool stays(const struct member *member)
{
	if (member->target && !member->target->withhold)
		return false;
	return device_stays(member->device);
}

static bool as_expected(const struct request *request, const struct device *device)
{
	for (size_t i = 0; i < request->n_expect; i++) {
		const struct expect *expect = &request->expect[i];

		if (streq(expect->device, device->name) &&
		    (expect->vendor != device->vendor || expect->product != device->product))
			return false;
	}
	return true;
}

/* What the thing is: nothing here depends on who asks. */
static enum reason judge_kind(const struct claim *claim, const struct member *member)
{
	const struct device *device = member->device;

	if (!device)
		return member->target->reason;
	if (member->duplicate)
		return REASON_DUPLICATE;
	if (member->outside)
		return REASON_WITHHOLD_OUTSIDE;
	if (!device->group)
		return REASON_NO_GROUP;
	if (device->group->kind == GROUP_NOIOMMU)
		return REASON_NOT_ISOLATED;
	if (!bus_can_be_leased(device->subsystem) && (member->target || !stays(member)))
		return REASON_UNSUPPORTED_BUS;
	if (member->target && !member->target->withhold) {
		if (device->bridge)
			return REASON_BRIDGE;
		if (!device->vfio_driver)
			return REASON_NO_VFIO_DRIVER;
	}
	return as_expected(claim->request, device) ? REASON_ALLOWED : REASON_WRONG_DEVICE;
}

/* The entry of a member in the lease that asks for more; NULL: it has none. */
static const struct lease_device *own_entry(const struct claim *claim, const struct member *member)
{
	const struct lease_device *entry;

	if (!claim->lease || member->lease != claim->lease || !member->device)
		return NULL;
	entry = lease_device(claim->lease, member->name);
	return entry && entry->identity == member->device->identity ? entry : NULL;
}

unsigned int member_verbs(const struct claim *claim, const struct member *member)
{
	const struct lease_device *entry = own_entry(claim, member);
	unsigned int verbs = claim_verbs(claim, member->target->withhold);

	if (entry && (entry->came || entry->state == DEVICE_FENCED))
		verbs |= 1U << VERB_FENCED;
	return verbs;
}

const struct device_match *member_broken_pin(const struct claim *claim, const struct member *member)
{
	const struct pool *pool =
		member->target->pool ? policy_pool(claim->policy, member->target->pool) : NULL;
	const struct device_match *broken = NULL;

	if (pool)
		broken = pool_broken_pin(claim->policy, pool, member->device, member->host_driver);
	return broken ? broken
		      : rule_broken_pin(claim->policy, member->rule, member->device,
					member->host_driver);
}

/* What the deciding rule says about a device that was named. */
static enum reason judge_rule(const struct claim *claim, const struct member *member)
{
	const struct rule *rule = member->rule;
	unsigned int verbs = member_verbs(claim, member);

	if (!rule)
		return claim_rule_wants_unit(claim, member->device, &rule) ? REASON_NO_PROCESS
									   : REASON_NO_RULE;
	if (rule->deny)
		return REASON_DENY_RULE;
	if (member_broken_pin(claim, member))
		return REASON_PIN;
	if ((rule->verbs & verbs) != verbs)
		return REASON_VERB;
	if (!(rule->modes & claim_wanted_modes(claim)))
		return REASON_MODE;
	return REASON_ALLOWED;
}

static enum reason judge_lease(const struct lease *lease)
{
	if (!lease)
		return REASON_ALLOWED;
	switch (lease->state) {
	case LEASE_PREPARING:
	case LEASE_LEASED:
		return REASON_GROUP_LEASED;
	case LEASE_DRAINING:
	case LEASE_RESTORING:
	case LEASE_FAILED:
	case LEASE_STATE_MAX:
	case LEASE_STATE_INVALID:
		break;
	}
	return REASON_GROUP_DRAINING;
}

static bool claim_takes(const struct claim *claim, const char *device)
{
	for (size_t i = 0; i < claim->n_targets; i++) {
		const struct device *target = claim->targets[i].device;

		if (target && streq(target->name, device))
			return true;
	}
	return false;
}

const struct lease_device *claim_mediated_below(const struct claim *claim,
						const struct device *device)
{
	size_t length = strlen(device->syspath);

	if (streq(device->subsystem, "mdev") || !length)
		return NULL;
	HASH_FOREACH (lease, claim->ledger->leases)
		for (size_t i = 0; i < lease->n_devices; i++) {
			const struct lease_device *d = &lease->devices[i];

			if (lease_device_is_by_name(d) && d->syspath &&
			    strncmp(d->syspath, device->syspath, length) == 0 &&
			    d->syspath[length] == '/')
				return d;
		}
	return NULL;
}

/*
 * A PF is never taken while one of its VFs is leased, by whomever: unbinding the PF removes its
 * VFs, and removing one that is in use stops hot-plug for the whole machine. For the same reason
 * a PF and its VF are not taken in one go. A VF of a PF that another owner has is not given.
 */
static bool pf_vf_conflict(const struct claim *claim, const struct device *device)
{
	const char *pf = device->physical_function;
	const struct device *physical = pf ? topology_device(claim->topology, pf) : device;

	/* Those that are there may go at any moment. */
	if ((physical && physical->sriov_busy) || claim_mediated_below(claim, device))
		return true;
	STRV_FOREACH (vf, device->virtual_functions)
		if (ledger_device(claim->ledger, *vf))
			return true;
	if (pf) {
		const struct lease *lease = ledger_device(claim->ledger, pf);

		/*
		 * When that lease ends, the PF waits for its VFs; in one lease with it they would
		 * be unbound in one go.
		 */
		if (lease && (lease->owner != claim->request->owner ||
			      lease->state != LEASE_LEASED || lease == claim->lease))
			return true;
		if (claim_takes(claim, pf))
			return true;
	}
	return false;
}

/*
 * What stands against granting a device that the lease itself keeps shut. It was taken from the
 * host already, but under a policy that may have changed since: its driver needs consent still. One
 * that is granted, or on its way to be shut off, is busy for its own lease too.
 */
static enum reason judge_own(const struct claim *claim, const struct member *member)
{
	const struct lease_device *entry = own_entry(claim, member);
	const struct device *device = member->device;
	struct device host = *device;

	if (claim->lease->state != LEASE_LEASED)
		return judge_lease(claim->lease);
	if (!entry || entry->gone || entry->left || member->target->withhold ||
	    (entry->state != DEVICE_WITHHELD && entry->state != DEVICE_FENCED))
		return REASON_GROUP_LEASED;
	if (entry->parking)
		return REASON_GROUP_DRAINING;
	host.driver = entry->saved_driver;
	if (host.driver && driver_counts(&host) && !rule_consents(member->rule, host.driver))
		return REASON_CONSENT_DRIVER;
	if (device_uses(device) & ~member->rule->waive)
		return REASON_IN_USE;
	return pf_vf_conflict(claim, device) ? REASON_PF_VF : REASON_ALLOWED;
}

/* What stands against taking a device from the host that was named. */
static enum reason judge_taking(const struct claim *claim, const struct member *member)
{
	const struct device *device = member->device;

	if (member->lease && member->lease == claim->lease)
		return judge_own(claim, member);
	if (member->lease || stays(member))
		return judge_lease(member->lease);
	if (driver_counts(device) && !rule_consents(member->rule, device->driver))
		return REASON_CONSENT_DRIVER;
	if (device_uses(device) & ~member->rule->waive)
		return REASON_IN_USE;
	return pf_vf_conflict(claim, device) ? REASON_PF_VF : REASON_ALLOWED;
}

/* A member that was not named: it may only be shut off if no driver has it (I3). */
static enum reason judge_sibling(const struct claim *claim, const struct member *member)
{
	const struct device *device = member->device;

	/* What the lease has done with it stays so. */
	if (member->lease && member->lease == claim->lease)
		return REASON_ALLOWED;
	if (member->lease)
		return judge_lease(member->lease);
	if (stays(member))
		return REASON_ALLOWED;
	if (driver_counts(device))
		return REASON_CONSENT_NAME;
	if (device->driver)
		return REASON_SIBLING_ON_VFIO;
	if (device_uses(device))
		return REASON_IN_USE;
	return pf_vf_conflict(claim, device) ? REASON_PF_VF : REASON_ALLOWED;
}

enum reason judge_member(const struct claim *claim, const struct member *member)
{
	enum reason reason = judge_kind(claim, member);

	if (reason != REASON_ALLOWED)
		return reason;
	if (!member->target)
		return judge_sibling(claim, member);
	reason = judge_rule(claim, member);
	if (reason == REASON_ALLOWED)
		reason = judge_taking(claim, member);
	/* What only is kept shut may be broken. */
	if (reason == REASON_ALLOWED && !member->target->withhold &&
	    member->device->health == HEALTH_FAILED)
		reason = REASON_DEVICE_FAILED;
	return reason;
}

/*
 * VFIO takes no bridge, and a host or ISA bridge, which it would take, must not be put to sleep
 * as vfio-pci does with what nobody has open: class 06 is parked on no driver.
 */
static enum action plan_parking(const struct claim *claim, const struct device *device)
{
	bool bridge = device->bridge ||
		      (device->class_code != ID_UNKNOWN && device->class_code >> 16 == 0x06);

	if (claim->park == PARK_VFIO && !bridge && device->vfio_driver)
		return ACTION_PARK_VFIO;
	return ACTION_PARK_NONE;
}

static enum action plan_member(const struct claim *claim, const struct member *member)
{
	if (member->reason != REASON_ALLOWED || stays(member))
		return ACTION_NONE;
	if (member->lease && !member->target)
		return ACTION_NONE;
	if (member->target && !member->target->withhold)
		return ACTION_GRANT;
	return plan_parking(claim, member->device);
}

static void claim_refuse(struct claim *claim, enum reason reason, const struct rule *rule)
{
	if (claim->refused[reason])
		return;
	claim->refused[reason] = true;
	claim->refused_rule[reason] = rule;
}

/* A withheld device of the lease counts for its rule as it is. */
static bool counted_already(const struct claim *claim, const struct target *target)
{
	const struct lease_device *entry =
		claim->lease && target->device ? lease_device(claim->lease, target->device->name)
					       : NULL;

	return entry && entry->state != DEVICE_FENCED && streq0(entry->rule, target->rule->id);
}

static void judge_limits(struct claim *claim, const struct rule *rule)
{
	uid_t owner = claim->request->owner;
	bool has = false;
	size_t n = 0;

	for (size_t i = 0; i < claim->n_targets; i++)
		if (claim->targets[i].rule == rule && !counted_already(claim, &claim->targets[i]))
			n++;
	/* A lease that grows is no further one. */
	for (size_t i = 0; claim->lease && i < claim->lease->n_devices; i++)
		has = has || streq0(claim->lease->devices[i].rule, rule->id);
	if (rule->limit_leases != UINT32_MAX && !has &&
	    ledger_count_rule_leases(claim->ledger, owner, rule->id) >= rule->limit_leases)
		claim_refuse(claim, REASON_LIMIT_RULE_LEASES, rule);
	if (rule->limit_devices != UINT32_MAX &&
	    ledger_count_rule_devices(claim->ledger, owner, rule->id) + n > rule->limit_devices)
		claim_refuse(claim, REASON_LIMIT_RULE_DEVICES, rule);
}

/* What the deciding rules together say about the request. */
static void judge_terms(struct claim *claim)
{
	const struct rule *last = NULL;

	for (size_t i = 0; i < claim->n_targets; i++) {
		const struct rule *rule = claim->targets[i].rule;

		if (!rule || rule->deny)
			continue;
		if (rule->park == PARK_VFIO && claim->rule_park == PARK_VFIO &&
		    claim->mode != MODE_CDEV)
			claim_refuse(claim, REASON_PARK, rule);
		if (rule->memlock < claim->request->memlock)
			claim_refuse(claim, REASON_MEMLOCK, rule);
		/* Neighbours mostly have the same rule: do not count the ledger for each. */
		if (rule != last)
			judge_limits(claim, rule);
		last = rule;
	}
	if (!(claim->modes & claim_wanted_modes(claim)))
		claim_refuse(claim, REASON_MODE, NULL);
	else if (!mode_in_kernel(claim->features, claim->mode))
		claim_refuse(claim, REASON_MODE_KERNEL, NULL);
}

static bool name_taken(const struct claim *claim)
{
	const struct request *request = claim->request;

	if (!request->name)
		return false;
	HASH_FOREACH (lease, claim->ledger->leases)
		if (lease->owner == request->owner && streq0(lease->name, request->name))
			return true;
	return false;
}

/* An expectation of a device that is not concerned is a slip of the pen, and checks nothing. */
static const struct expect *find_unmet(const struct claim *claim)
{
	for (size_t i = 0; i < claim->request->n_expect; i++)
		if (!claim_member(claim, claim->request->expect[i].device))
			return &claim->request->expect[i];
	return NULL;
}

static void judge_request(struct claim *claim)
{
	const struct policy *policy = claim->policy;

	memset(claim->refused, 0, sizeof(claim->refused));
	judge_terms(claim);
	claim->unmet = claim->n_undrawn == 0 ? find_unmet(claim) : NULL;
	if (claim->unmet)
		claim_refuse(claim, REASON_WRONG_DEVICE, NULL);
	if (policy && !claim->lease &&
	    ledger_count_owner(claim->ledger, claim->request->owner) >=
		    policy->limit_leases_per_user)
		claim_refuse(claim, REASON_LIMIT_USER, NULL);
	if (name_taken(claim))
		claim_refuse(claim, REASON_NAME_TAKEN, NULL);
	if (claim->draining)
		claim_refuse(claim, REASON_DRAINING, NULL);
}

void claim_judge(struct claim *claim)
{
	claim_find_terms(claim);
	for (size_t i = 0; i < claim->n_members; i++) {
		struct member *member = &claim->members[i];

		member->reason = judge_member(claim, member);
		member->action = plan_member(claim, member);
	}
	judge_request(claim);
}

/*
 * While pools are still to be drawn from, a sibling that is not named yet may be drawn, and what
 * is withheld may turn out to be in the group of what is drawn.
 */
static bool may_be_drawn(const struct claim *claim, const struct device *device, bool *used)
{
	size_t left = claim->n_undrawn;

	for (size_t i = claim->n_targets; i-- > 0 && left > 0;) {
		const struct target *target = &claim->targets[i];
		const struct pool *pool;

		if (!target->pool || target->device || target->reason != REASON_ALLOWED)
			continue;
		left--;
		pool = policy_pool(claim->policy, target->pool);
		if (used[i] || !pool_matches_device(claim->policy, pool, device, device->driver))
			continue;
		used[i] = true;
		return true;
	}
	return false;
}

static bool is_open(const struct claim *claim, const struct member *member, bool *used)
{
	if (claim->n_undrawn == 0)
		return false;
	if (member->reason == REASON_WITHHOLD_OUTSIDE)
		return true;
	if (member->reason != REASON_CONSENT_NAME && member->reason != REASON_SIBLING_ON_VFIO)
		return false;
	return may_be_drawn(claim, member->device, used);
}

enum reason claim_refusal(const struct claim *claim)
{
	bool used[REQUEST_DEVICES_MAX] = {};
	enum reason worst = REASON_MAX;

	for (size_t i = 0; i < claim->n_members; i++) {
		const struct member *member = &claim->members[i];

		/* Each that is open uses up a pool: they are asked in the same order every time. */
		if (member->reason != REASON_ALLOWED && !is_open(claim, member, used) &&
		    member->reason < worst)
			worst = member->reason;
	}
	for (int reason = 0; reason < (int)worst; reason++)
		if (claim->refused[reason])
			worst = (enum reason)reason;
	return worst == REASON_MAX ? REASON_ALLOWED : worst;
}

void claim_settle(struct claim *claim)
{
	bool used[REQUEST_DEVICES_MAX] = {};

	for (size_t i = 0; i < claim->n_members; i++)
		if (is_open(claim, &claim->members[i], used))
			claim->members[i].reason = REASON_ALLOWED;
}
