/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of decide-sriov.h. Rules are matched as for a claim: decide-rule.c. */

#include "policy/decide-sriov.h"

#include "policy/decide-internal.h"
#include "policy/explain.h"

#include <stdarg.h>
#include <stdio.h>

struct query {
	const struct claim *claim;
	const struct rule *rule;
	const struct device *device;
	unsigned int n;
	struct sriov_decision *out;
};

void sriov_decision_done(struct sriov_decision *decision)
{
	free(decision->message);
	free(decision->rule);
	*decision = (struct sriov_decision){ 0 };
}

/* 1: that is the answer. */
_printf_(3, 4) static int say(struct query *q, const char *error, const char *format, ...)
{
	va_list ap;
	int r;

	va_start(ap, format);
	r = vasprintf(&q->out->message, format, ap);
	va_end(ap);
	if (r < 0) {
		q->out->message = NULL;
		return -ENOMEM;
	}
	q->out->error = error;
	return 1;
}

/* What the rules say: before what the thing is, so that who has no rule learns nothing else. */
static int judge_rule(struct query *q)
{
	const char *name = q->device->name;
	const struct rule *missed;

	if (!q->rule && claim_rule_wants_unit(q->claim, q->device, &missed))
		return say(q, "NotPermitted",
			   "Rule \"%s\" needs to know the unit of the caller, and the bus does "
			   "not say it. Ask as root, or have an administrator write the rule "
			   "without units.",
			   missed->id);
	if (!q->rule)
		return say(q, "NotPermitted",
			   "No rule of the policy allows %s. Have an administrator add one.", name);
	q->out->rule = strdup(q->rule->id);
	if (!q->out->rule)
		return -ENOMEM;
	q->out->waive = q->rule->waive;
	if (q->rule->deny)
		return say(q, "NotPermitted",
			   "Rule \"%s\" denies %s. Have an administrator change it.", q->rule->id,
			   name);
	if (!(q->rule->verbs & 1U << VERB_SRIOV))
		return say(q, "NotPermitted",
			   "Rule \"%s\", which decides %s, does not allow \"sriov\". Have an "
			   "administrator add it.",
			   q->rule->id, name);
	return 0;
}

static int judge_kind(struct query *q)
{
	const char *name = q->device->name;

	if (q->device->total_vfs == 0)
		return say(q, "BadOption",
			   "%s can have no virtual functions. Name a physical function.", name);
	if (q->n > q->device->total_vfs)
		return say(q, "BadOption", "%s can have %u virtual functions. Ask for no more.",
			   name, q->device->total_vfs);
	if (q->device->sriov_busy)
		return say(q, "GroupBusy",
			   "The virtual functions of %s are being changed. Try again later.", name);
	if (q->device->health == HEALTH_FAILED)
		return say(q, "DeviceFailed",
			   "The device %s reported an error that the kernel could not recover it "
			   "from. Have an administrator look at it and run \"vfiodctl clear\".",
			   name);
	return 0;
}

static int judge_lease(struct query *q)
{
	const struct lease *lease = ledger_device(q->claim->ledger, q->device->name);
	const struct lease_device *entry = lease ? lease_device(lease, q->device->name) : NULL;

	if (!entry)
		return 0;
	if (entry->parking)
		return say(q, "GroupBusy",
			   "%s of lease %s is being taken from its owner. Try again when that is "
			   "over.",
			   q->device->name, lease->id);
	if (lease->state != LEASE_LEASED)
		return say(q, lease->state == LEASE_PREPARING ? "GroupBusy" : "GroupDraining",
			   "%s belongs to lease %s, which is %s. Try again when that is over.",
			   q->device->name, lease->id, lease_state_to_string(lease->state));
	if (lease->owner != q->claim->request->subject.uid && q->claim->request->subject.uid != 0)
		return say(q, "GroupBusy",
			   "%s belongs to lease %s of uid %u. Ask its owner, or wait for the "
			   "lease to end.",
			   q->device->name, lease->id, (unsigned int)lease->owner);
	return 0;
}

/* One that would go. */
static int judge_function(struct query *q, const char *name)
{
	const struct lease *lease = ledger_device(q->claim->ledger, name);
	const struct device *vf = topology_device(q->claim->topology, name);
	const struct lease_device *mediated;

	if (lease)
		return say(q, "GroupBusy",
			   "The virtual function %s of %s belongs to lease %s of uid %u, and would "
			   "vanish. Wait for that lease to end.",
			   name, q->device->name, lease->id, (unsigned int)lease->owner);
	if (!vf)
		return 0;
	mediated = claim_mediated_below(q->claim, vf);
	if (mediated)
		return say(q, "GroupBusy",
			   "The mediated device %s of the virtual function %s of %s is leased, and "
			   "would vanish. Wait for that lease to end.",
			   mediated->name, name, q->device->name);
	/* The kernel itself gives those of a PF on vfio-pci to it (sriov_enable(),
	 * driver_override).
	 */
	if (device_on_vfio(vf) && !device_on_vfio(q->device))
		return say(q, "GroupBusy",
			   "The virtual function %s of %s is on %s, by somebody else's doing. Have "
			   "it taken off that driver.",
			   name, q->device->name, vf->driver);
	if (device_uses(vf) & ~q->rule->waive)
		return say(q, "DeviceInUse",
			   "The host uses the virtual function %s of %s, which would vanish: %s. "
			   "Stop these uses first.",
			   name, q->device->name, vf->uses.n ? vf->uses.items[0].text : "vfs");
	if (driver_counts(vf) && !rule_consents(q->rule, vf->driver))
		return say(
			q, "ConsentRequired",
			"The virtual function %s of %s has the driver %s, and would vanish. Have "
			"an administrator consent to that driver in rule \"%s\", or unbind it.",
			name, q->device->name, vf->driver, q->rule->id);
	return 0;
}

static int judge(struct query *q)
{
	unsigned int now = (unsigned int)strv_length(q->device->virtual_functions);
	int r = judge_rule(q);

	if (r == 0)
		r = judge_kind(q);
	if (r == 0)
		r = judge_lease(q);
	if (r == 0 && now == q->n)
		return say(q, NULL, "%s has %u virtual functions already.", q->device->name, now);
	STRV_FOREACH (vf, q->device->virtual_functions)
		if (r == 0)
			r = judge_function(q, *vf);
	if (r != 0)
		return r;
	return say(q, NULL, "Rule \"%s\" allows %s to have %u virtual functions.", q->rule->id,
		   q->device->name, q->n);
}

int decide_sriov(const struct topology *topology, const struct policy *policy,
		 const struct ledger *ledger, const struct subject *subject,
		 const struct device *device, unsigned int n, struct sriov_decision *ret)
{
	struct request request = { .subject = *subject, .owner = subject->uid };
	struct claim claim = {
		.topology = topology, .policy = policy, .ledger = ledger, .request = &request
	};
	struct query q = { .claim = &claim, .device = device, .n = n, .out = ret };
	int r;

	*ret = (struct sriov_decision){ 0 };
	r = claim_fit_rules(&claim);
	if (r >= 0) {
		q.rule = claim_rule_of(&claim, device);
		r = judge(&q);
	}
	free(claim.fits);
	if (r < 0)
		sriov_decision_done(ret);
	return r < 0 ? r : 0;
}
