/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Resets of devices that nobody has yet: see reset-prospect.h. A VMM's hot reset wants every device
 * of the slot or bus on a VFIO driver (vfio_pci_dev_set_resettable() in
 * drivers/vfio/pci/vfio_pci_core.c), and owned by who asks: each granted, or shut in a group that
 * it has.
 */

#include "policy/reset-prospect.h"

void reset_prospects_done(struct reset_prospects *prospects)
{
	for (size_t i = 0; i < prospects->n; i++)
		free(prospects->items[i].why);
	free(prospects->items);
	*prospects = (struct reset_prospects){};
}

static const struct verdict *verdict_of(const struct decision *decision, const char *device)
{
	for (size_t i = 0; i < decision->n_verdicts; i++)
		if (streq(decision->verdicts[i].device, device))
			return &decision->verdicts[i];
	return NULL;
}

static bool rule_resets(const struct policy *policy, const char *id)
{
	for (size_t i = 0; policy && id && i < policy->n_rules; i++)
		if (streq(policy->rules[i].id, id))
			return policy->rules[i].verbs & 1U << VERB_RESET;
	return false;
}

/* Whether the daemon would leave a device that is not of the claim out of its way: nobody has it.
 */
static bool is_nobodys(const struct ledger *ledger, const struct device *device)
{
	return !device->driver && !reset_hits_console(device) &&
	       !ledger_device(ledger, device->name) &&
	       !(device->group && ledger_holder(ledger, device->group_id));
}

/* What one device of the domain does to a prospect. 0 or -ENOMEM. */
static int look(struct reset_prospect *p, const struct ledger *ledger,
		const struct decision *decision, const struct device *device, char ***why)
{
	const struct verdict *v = verdict_of(decision, device->name);

	if (!v && !is_nobodys(ledger, device)) {
		/* The kernel lets whoever has a function open reset it, with its VFs. */
		p->broker = false;
		p->vmm = p->vmm && p->kind == RESET_FUNCTION;
		return strv_extendf(why, "%s is not in the claim", device->name);
	}
	if (p->kind == RESET_FUNCTION ||
	    (v && (v->action == ACTION_GRANT || v->action == ACTION_PARK_VFIO)))
		return 0;
	p->vmm = false;
	return strv_extendf(why, "%s would be on no VFIO driver, so the VMM cannot", device->name);
}

struct look {
	const struct topology *topology;
	const struct policy *policy;
	const struct ledger *ledger;
	const struct decision *decision;
	reset_bar_fn bar;
	void *userdata;
};

static int prospect(const struct look *in, const struct verdict *v,
		    const struct reset_domain *domain, struct reset_prospect *p)
{
	const char *bar = domain->bridge ? in->bar(domain->bridge, in->userdata) : NULL;
	_cleanup_strv_ char **why = NULL;
	int r = 0;

	p->vmm = p->broker = true;
	for (size_t i = 0; r >= 0 && i < domain->n; i++)
		r = look(p, in->ledger, in->decision, domain->devices[i], &why);
	if (r >= 0 && bar) {
		p->broker = false;
		r = strv_extendf(&why, "not by vfiod: %s", bar);
	}
	if (r >= 0 && !rule_resets(in->policy, v->rule)) {
		p->broker = false;
		r = strv_extendf(&why, "rule \"%s\" lacks the verb \"reset\"", v->rule ?: "");
	}
	if (r < 0)
		return r;
	p->why = strv_join(why, "; ");
	return p->why ? 0 : -ENOMEM;
}

static int add(const struct look *in, const struct verdict *v, enum reset_kind kind,
	       struct reset_prospects *prospects)
{
	const struct device *device = topology_device(in->topology, v->device);
	struct reset_domain domain = { 0 };
	struct reset_prospect *p;
	const char *why;
	int r = device ? reset_domain(in->topology, device, kind, &domain, &why) : RESET_NONE;

	if (r == 0)
		r = ARRAY_RESERVE_ONE(prospects->items, prospects->n);
	if (r == 0) {
		p = &prospects->items[prospects->n];
		*p = (struct reset_prospect){ .device = v->device, .kind = kind };
		r = prospect(in, v, &domain, p);
		prospects->n += r == 0;
	}
	reset_domain_done(&domain);
	return r < 0 ? r : 0;
}

int reset_prospects(const struct topology *topology, const struct policy *policy,
		    const struct ledger *ledger, const struct decision *decision, reset_bar_fn bar,
		    void *userdata, struct reset_prospects *prospects)
{
	const struct look in = { topology, policy, ledger, decision, bar, userdata };

	*prospects = (struct reset_prospects){};
	for (size_t i = 0; decision->allowed && i < decision->n_verdicts; i++) {
		if (decision->verdicts[i].action != ACTION_GRANT)
			continue;
		for (int kind = 0; kind < RESET_AUTO; kind++) {
			int r = add(&in, &decision->verdicts[i], kind, prospects);

			if (r < 0) {
				reset_prospects_done(prospects);
				return r;
			}
		}
	}
	return 0;
}
