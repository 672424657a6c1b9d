/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Building worlds, and the promises of every decision: see decide-world.h. */

#include "tests/unit/decide-world.h"

#include "policy/parse.h"
#include "policy/utf8.h"

#include <check.h>
#include <stdio.h>

void world_init(struct world *world)
{
	*world = (struct world){ .features = { .group = true, .iommufd = true, .cdev = true } };
	topology_init(&world->topology);
	ledger_init(&world->ledger);
}

void world_done(struct world *world)
{
	ledger_done(&world->ledger);
	policy_free(world->policy);
	topology_done(&world->topology);
}

static void set(char **to, const char *from)
{
	ck_assert_int_eq(free_and_strdup(to, from), 0);
}

static void add_use(struct device *device, const char *use)
{
	_cleanup_free_ char *kind = strndup(use, strcspn(use, " "));
	int value = use_kind_from_string(kind);

	ck_assert_int_ge(value, 0);
	ck_assert_int_eq(
		use_list_add(&device->uses, (enum use_kind)value, "%s", use + strlen(kind) + 1), 0);
}

void world_add_device(struct world *world, const struct world_device *w)
{
	struct device *device = device_new(w->name, w->subsystem ? w->subsystem : "pci");

	ck_assert_ptr_nonnull(device);
	device->group_id = w->group;
	device->bridge = w->bridge;
	device->numa_node = w->node - 1;
	set(&device->serial, w->serial);
	if (w->ids)
		ck_assert_int_eq(sscanf(w->ids, "%x:%x:%x", &device->vendor, &device->product,
					&device->class_code),
				 3);
	set(&device->driver, w->driver);
	set(&device->vfio_driver, w->vfio_driver);
	set(&device->physical_function, w->pf);
	if (w->vf)
		ck_assert_int_eq(strv_extend(&device->virtual_functions, w->vf), 0);
	if (w->use)
		add_use(device, w->use);
	device->health = w->failed ? HEALTH_FAILED : HEALTH_OK;
	ck_assert_int_ge(topology_put_device(&world->topology, device), 0);
	if (w->group != ID_UNKNOWN)
		ck_assert_int_ge(
			topology_set_group(&world->topology, w->group, w->kind, "DMA", NULL, 0), 0);
}

static void add_lease_device(struct world *world, struct lease *lease, const char *text)
{
	const struct device *device;
	struct lease_device *leased;
	char name[64], word[16], rule[64], driver[64];
	int n = sscanf(text, "%63[^/]/%15[^/]/%63[^/]/%63[^/]", name, word, rule, driver);
	const char *state = word + strspn(word, "*!+");

	ck_assert_int_ge(n, 2);
	leased = lease_add_device(lease, name);
	ck_assert_ptr_nonnull(leased);
	leased->state = (enum device_state)device_state_from_string(state);
	ck_assert_int_ge((int)leased->state, 0);
	leased->parking = strchr(word, '*');
	leased->gone = strchr(word, '!');
	leased->came = strchr(word, '+');
	if (n >= 3 && !streq(rule, "-"))
		set(&leased->rule, rule);
	if (n >= 4)
		set(&leased->saved_driver, driver);
	device = topology_device(&world->topology, name);
	leased->identity = device ? device->identity : 0;
}

void world_add_lease(struct world *world, const struct world_lease *w)
{
	_cleanup_free_ char *devices = strdup(w->devices ? w->devices : "");
	struct lease *lease = lease_new(w->id);
	char *save = NULL;

	ck_assert_ptr_nonnull(lease);
	lease->owner = w->owner;
	lease->state = w->state;
	set(&lease->name, w->name);
	if (w->group != ID_UNKNOWN)
		ck_assert_int_eq(lease_add_group(lease, w->group, 1), 0);
	for (char *s = strtok_r(devices, " ", &save); s; s = strtok_r(NULL, " ", &save))
		add_lease_device(world, lease, s);
	if (w->holder) {
		lease->holders = calloc(1, sizeof(*lease->holders));
		lease->holders[0].pid = 4242;
		lease->holders[0].command = strdup(w->holder);
		lease->n_holders = 1;
	}
	ck_assert_int_eq(ledger_add(&world->ledger, lease), 0);
}

void world_set_policy(struct world *world, const char *json)
{
	struct policy_error error = {};
	struct policy_file file = { .path = "test.json", .text = json };
	int r;

	world->policy = policy_free(world->policy);
	if (!json)
		return;
	file.size = strlen(json);
	r = policy_parse(&file, 1, &world->policy, &error);
	ck_assert_msg(r == 0, "%s", error.message);
}

size_t world_count(char *const *devices)
{
	size_t n = 0;

	STRV_FOREACH (name, devices) {
		const char *star = strrchr(*name, '*');

		n += strncmp(*name, "pool:", 5) == 0 && star ? (size_t)atoi(star + 1) : 1;
	}
	return n;
}

struct decision *world_decide(const struct world *world, const struct request *request)
{
	struct decision *decision = NULL;

	ck_assert_int_eq(decide(&world->topology, world->policy, &world->ledger, &world->features,
				world->draining, request, &decision),
			 0);
	ck_assert_ptr_nonnull(decision);
	return decision;
}

/* The deciding rule, found the plain way: the first of which both halves match. */
static const struct rule *deciding_rule(const struct world *world, const struct request *request,
					const struct device *device)
{
	const char *driver = ledger_host_driver(&world->ledger, device);

	for (size_t i = 0; world->policy && i < world->policy->n_rules; i++) {
		const struct rule *rule = &world->policy->rules[i];

		if (rule_matches_subject(rule, &request->subject) &&
		    rule_matches_device(world->policy, rule, device, driver))
			return rule;
	}
	return NULL;
}

static const struct verdict *find_verdict(const struct decision *decision, const char *device)
{
	for (size_t i = 0; i < decision->n_verdicts; i++)
		if (streq(decision->verdicts[i].device, device))
			return &decision->verdicts[i];
	return NULL;
}

static void check_text(const char *message)
{
	size_t n = message ? strlen(message) : 0;

	ck_assert_uint_gt(n, 10);
	ck_assert_msg(utf8_is_printable(message), "%s", message);
	ck_assert_msg(message[n - 1] == '.', "%s", message);
	ck_assert_ptr_null(strstr(message, "(null)"));
	ck_assert_ptr_null(strstr(message, "  "));
}

static void check_order(const struct decision *decision)
{
	for (size_t i = 1; i < decision->n_verdicts; i++)
		ck_assert_str_lt(decision->verdicts[i - 1].device, decision->verdicts[i].device);
	for (size_t i = 1; i < decision->n_groups; i++)
		ck_assert_uint_lt(decision->groups[i - 1], decision->groups[i]);
}

/* Every member of every group is there, and everything that is there is a member or was named. */
static void check_closure(const struct world *world, const struct decision *decision)
{
	for (size_t i = 0; i < decision->n_groups; i++) {
		const struct group *group = topology_group(&world->topology, decision->groups[i]);

		ck_assert_ptr_nonnull(group);
		for (size_t j = 0; j < group->n_devices; j++)
			ck_assert_ptr_nonnull(find_verdict(decision, group->devices[j]->name));
	}
	for (size_t i = 0; i < decision->n_verdicts; i++) {
		const struct verdict *verdict = &decision->verdicts[i];
		bool inside = verdict->named;

		for (size_t j = 0; j < decision->n_groups; j++)
			inside |= decision->groups[j] == verdict->group;
		ck_assert_msg(inside, "%s", verdict->device);
		ck_assert(!verdict->message == (verdict->reason == REASON_ALLOWED));
		if (verdict->message)
			check_text(verdict->message);
		if (verdict->reason != REASON_ALLOWED)
			ck_assert_int_eq(verdict->action, ACTION_NONE);
	}
}

/* What the growing lease has of a device. */
static const struct lease_device *own_entry(const struct world *world,
					    const struct request *request, const char *device)
{
	const struct lease *lease =
		request->lease ? ledger_lease(&world->ledger, request->lease) : NULL;

	return lease ? lease_device(lease, device) : NULL;
}

static void check_named(const struct world *world, const struct request *request,
			const struct decision *decision, const struct verdict *verdict,
			const struct device *device)
{
	const struct lease_device *own = own_entry(world, request, verdict->device);
	const struct rule *rule = deciding_rule(world, request, device);

	ck_assert_ptr_nonnull(rule);
	ck_assert(!rule->deny);
	ck_assert_ptr_null(rule_broken_pin(world->policy, rule, device,
					   ledger_host_driver(&world->ledger, device)));
	ck_assert_str_eq(rule->id, verdict->rule);
	ck_assert(rule->verbs & 1U << (verdict->withhold ? VERB_WITHHOLD : VERB_ACQUIRE));
	if (own && (own->came || own->state == DEVICE_FENCED))
		ck_assert(rule->verbs & 1U << VERB_FENCED);
	ck_assert(!request->persist || rule->verbs & 1U << VERB_PERSIST);
	ck_assert(request->owner == request->subject.uid || request->subject.uid == 0 ||
		  rule->verbs & 1U << VERB_DELEGATE);
	ck_assert(rule->modes & 1U << decision->mode);
	ck_assert_uint_le(request->memlock, rule->memlock);
	ck_assert_uint_le(decision->memlock_max, rule->memlock);
	ck_assert(decision->auth == AUTH_POLKIT || rule->auth == AUTH_NONE);
	ck_assert(decision->revoke == REVOKE_KILL || rule->revoke == REVOKE_ASK);
	ck_assert(decision->park == PARK_NONE || rule->park != PARK_NONE);
	if (rule->limit_leases != UINT32_MAX && !request->lease)
		ck_assert_uint_lt(
			ledger_count_rule_leases(&world->ledger, request->owner, rule->id),
			rule->limit_leases);
	if (verdict->action == ACTION_NONE)
		return;
	if (driver_counts(device))
		ck_assert(rule_consents(rule, device->driver));
	for (size_t i = 0; i < device->uses.n; i++)
		if (!device_on_vfio(device) || device->uses.items[i].kind == USE_VFS)
			ck_assert(rule->waive & 1U << device->uses.items[i].kind);
}

static void check_action(const struct decision *decision, const struct verdict *verdict,
			 const struct device *device, const struct lease_device *own)
{
	switch (verdict->action) {
	case ACTION_NONE:
		/* Of the lease's own, what was not asked for is as it was. */
		if (own && !verdict->named)
			break;
		/* What stays is on a driver that the kernel does not count, and not openable. */
		ck_assert_ptr_nonnull(device->driver);
		ck_assert(!driver_counts(device) && !device_on_vfio(device));
		ck_assert(!streq(device->driver, "pci-stub"));
		break;
	case ACTION_GRANT:
		ck_assert(verdict->named && !verdict->withhold && !device->bridge);
		ck_assert_str_eq(verdict->target_driver, device->vfio_driver);
		break;
	case ACTION_PARK_VFIO:
		ck_assert(!device->bridge);
		ck_assert_int_eq(decision->mode, MODE_CDEV);
		ck_assert_str_eq(verdict->target_driver, device->vfio_driver);
		break;
	case ACTION_PARK_NONE:
		ck_assert_ptr_null(verdict->target_driver);
		break;
	case ACTION_MAX:
	case ACTION_INVALID:
		ck_abort();
	}
}

static void check_member(const struct world *world, const struct request *request,
			 const struct decision *decision, const struct verdict *verdict)
{
	const struct device *device = topology_device(&world->topology, verdict->device);
	const struct lease_device *own = own_entry(world, request, verdict->device);

	ck_assert_ptr_nonnull(device);
	ck_assert_int_eq(verdict->reason, REASON_ALLOWED);
	ck_assert_uint_eq(verdict->identity, device->identity);
	/* Of one that the lease has: what it had before. */
	ck_assert(streq0(verdict->host_driver, own ? own->saved_driver : device->driver));
	ck_assert_ptr_nonnull(device->group);
	ck_assert_int_ne(device->group->kind, GROUP_NOIOMMU);
	if (own) {
		ck_assert(
			streq(ledger_group(&world->ledger, device->group_id)->id, request->lease));
		/* Only what it keeps shut, and that is there, can become its own. */
		if (verdict->action != ACTION_NONE)
			ck_assert(own->state != DEVICE_GRANTED && !own->gone && !own->parking);
	} else {
		ck_assert_ptr_null(ledger_group(&world->ledger, device->group_id));
	}
	if (verdict->action != ACTION_NONE)
		STRV_FOREACH (vf, device->virtual_functions)
			ck_assert_ptr_null(ledger_device(&world->ledger, *vf));
	check_action(decision, verdict, device, own);
	if (verdict->named) {
		check_named(world, request, decision, verdict, device);
		return;
	}
	/* I3: who was not named is taken from nobody. */
	if (verdict->action != ACTION_NONE) {
		ck_assert_ptr_null(device->driver);
		ck_assert_uint_eq(device->uses.n, 0);
	}
	ck_assert_int_ne(verdict->action, ACTION_GRANT);
}

static void check_allowed(const struct world *world, const struct request *request,
			  const struct decision *decision)
{
	bool cdev = world->features.iommufd && world->features.cdev;
	size_t granted = 0, withheld = 0;

	ck_assert_ptr_nonnull(world->policy);
	ck_assert(!world->draining);
	ck_assert_int_eq(decision->reason, REASON_ALLOWED);
	ck_assert_int_ne(decision->mode, MODE_AUTO);
	ck_assert(request->mode == decision->mode ||
		  (request->mode == MODE_AUTO && decision->mode != MODE_NODE));
	ck_assert(decision->mode != MODE_CDEV || cdev);
	ck_assert(decision->mode != MODE_GROUP || world->features.group);
	ck_assert(decision->mode != MODE_NODE || cdev || world->features.group);
	ck_assert(decision->park == PARK_NONE ||
		  (decision->park == PARK_VFIO && decision->mode == MODE_CDEV));
	ck_assert(request->lease || ledger_count_owner(&world->ledger, request->owner) <
					    world->policy->limit_leases_per_user);
	for (size_t i = 0; i < decision->n_verdicts; i++) {
		const struct verdict *verdict = &decision->verdicts[i];

		check_member(world, request, decision, verdict);
		granted += verdict->action == ACTION_GRANT;
		withheld += verdict->withhold;
	}
	/* As many as were asked for, pools included, and all that were named by name. */
	ck_assert_uint_eq(granted, world_count(request->devices));
	ck_assert_uint_eq(withheld, strv_length(request->withhold));
	STRV_FOREACH (name, request->devices)
		if (strncmp(*name, "pool:", 5) != 0)
			ck_assert_int_eq(find_verdict(decision, *name)->action, ACTION_GRANT);
	STRV_FOREACH (name, request->withhold)
		ck_assert(find_verdict(decision, *name)->withhold);
}

static void check_refused(const struct decision *decision)
{
	enum reason first = REASON_MAX;

	ck_assert_int_ne(decision->reason, REASON_ALLOWED);
	ck_assert_ptr_nonnull(reason_to_error(decision->reason));
	for (size_t i = 0; i < decision->n_verdicts; i++)
		if (decision->verdicts[i].reason != REASON_ALLOWED &&
		    decision->verdicts[i].reason < first)
			first = decision->verdicts[i].reason;
	/* No verdict has a reason that comes before the decision's own. */
	ck_assert_int_le(decision->reason, first);
}

void world_check_promises(const struct world *world, const struct request *request,
			  const struct decision *decision)
{
	check_text(decision->message);
	check_order(decision);
	check_closure(world, decision);
	if (decision->allowed)
		check_allowed(world, request, decision);
	else
		check_refused(decision);
}
