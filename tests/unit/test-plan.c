/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The order of steps. A plan is written as text, a step a line, and compared as a whole; the rules
 * that the order must keep whatever the lease looks like are checked on random leases.
 */

#include "daemon/lease/step.h"

#include <check.h>
#include <stdio.h>

static struct lease *make_lease(enum mode mode)
{
	struct lease *lease = lease_new("0123456789abcdef");

	ck_assert_ptr_nonnull(lease);
	lease->mode = mode;
	lease->owner = 1000;
	lease->state = LEASE_PREPARING;
	return lease;
}

static struct lease_device *put(struct lease *lease, const char *name, const char *syspath,
				uint32_t group, enum device_state state, const char *saved,
				const char *target)
{
	struct lease_device *d = lease_add_device(lease, name);

	ck_assert_ptr_nonnull(d);
	ck_assert_int_eq(lease_add_group(lease, group, 1), 0);
	d->group = group;
	d->state = state;
	ck_assert_int_eq(free_and_strdup(&d->syspath, syspath), 0);
	ck_assert_int_eq(free_and_strdup(&d->saved_driver, saved), 0);
	ck_assert_int_eq(free_and_strdup(&d->target_driver, target), 0);
	return d;
}

static char *plan_text(const struct plan *plan)
{
	_cleanup_strv_ char **lines = NULL;
	char *joined;

	for (size_t i = 0; i < plan->n; i++) {
		const struct step *s = &plan->steps[i];
		const char *arg = s->arg ? s->arg : "-";

		/* The switch of VFs is the function's, whosever device it is for. */
		if (s->kind == STEP_VFS_OFF || s->kind == STEP_VFS_BACK)
			ck_assert_str_eq(s->device, s->lease_device->vf_switch);
		else if (s->device)
			ck_assert_str_eq(s->device, s->lease_device->name);
		ck_assert_int_eq(strv_extendf(&lines, "%s %s %s", step_kind_to_string(s->kind),
					      s->device ? s->device : "-", arg),
				 0);
	}
	joined = strv_join(lines, "\n");
	ck_assert_ptr_nonnull(joined);
	return joined;
}

#define assert_plan(plan, ...)                                                            \
	do {                                                                              \
		static const char *const expected_lines[] = { __VA_ARGS__, NULL };        \
		_cleanup_free_ char *expected = strv_join((char **)expected_lines, "\n"); \
		_cleanup_free_ char *actual = plan_text(plan);                            \
		ck_assert_str_eq(actual, expected);                                       \
	} while (0)

#define BRIDGE "/sys/devices/pci0000:00/0000:00:04.0/0000:01:00.0"

/* Two NICs behind a bridge that shpchp has, one granted, and a root port that stays. */
static struct lease *bridge_lease(enum mode mode)
{
	struct lease *lease = make_lease(mode);

	put(lease, "0000:02:01.0", BRIDGE "/0000:02:01.0", 5, DEVICE_GRANTED, "e1000", "vfio-pci");
	put(lease, "0000:02:02.0", BRIDGE "/0000:02:02.0", 5, DEVICE_WITHHELD, "e1000",
	    mode == MODE_CDEV ? "vfio-pci" : NULL);
	put(lease, "0000:01:00.0", BRIDGE, 5, DEVICE_WITHHELD, "shpchp", NULL)->bridge = true;
	put(lease, "0000:00:04.0", "/sys/devices/pci0000:00/0000:00:04.0", 5, DEVICE_HOST,
	    "pcieport", NULL)
		->left = true;
	return lease;
}

START_TEST(test_claim_group_mode)
{
	_cleanup_(lease_freep) struct lease *lease = bridge_lease(MODE_GROUP);
	_cleanup_(plan_done) struct plan plan = { 0 };
	const unsigned int waive[] = { 0, 0, 1U << USE_NETWORK, 1U << USE_BLOCK };

	ck_assert_int_eq(plan_claim(lease, waive, &plan), 0);
	assert_plan(&plan, "CHECK 0000:02:01.0 -", "OVERRIDE 0000:02:01.0 none",
		    "UNBIND 0000:02:01.0 -", "CHECK 0000:02:02.0 -", "OVERRIDE 0000:02:02.0 none",
		    "UNBIND 0000:02:02.0 -", "CHECK 0000:01:00.0 -", "OVERRIDE 0000:01:00.0 none",
		    "UNBIND 0000:01:00.0 -", "OVERRIDE 0000:02:01.0 vfio-pci",
		    "PROBE 0000:02:01.0 -", "VERIFY 0000:02:01.0 vfio-pci", "VERIFY 0000:02:02.0 -",
		    "QUIET 0000:02:02.0 -", "VERIFY 0000:01:00.0 -", "NODE_CLEAN 0000:02:01.0 -",
		    "VERIFY 0000:02:01.0 vfio-pci", "VERIFY 0000:02:02.0 -",
		    "VERIFY 0000:01:00.0 -", "VERIFY 0000:00:04.0 pcieport");
	/* The bits go with the lease's order, not with the plan's. */
	ck_assert_uint_eq(plan.steps[0].waive, 1U << USE_NETWORK);
	ck_assert_uint_eq(plan.steps[3].waive, 1U << USE_BLOCK);
	ck_assert_uint_eq(plan.steps[6].waive, 0);
	for (size_t i = 0; i < plan.n; i++)
		ck_assert(!plan.steps[i].keep_going);
}
END_TEST

START_TEST(test_claim_cdev_mode_parks_on_vfio)
{
	_cleanup_(lease_freep) struct lease *lease = bridge_lease(MODE_CDEV);
	_cleanup_(plan_done) struct plan plan = { 0 };

	ck_assert_int_eq(plan_claim(lease, NULL, &plan), 0);
	assert_plan(&plan, "CHECK 0000:02:01.0 -", "OVERRIDE 0000:02:01.0 none",
		    "UNBIND 0000:02:01.0 -", "CHECK 0000:02:02.0 -", "OVERRIDE 0000:02:02.0 none",
		    "UNBIND 0000:02:02.0 -", "CHECK 0000:01:00.0 -", "OVERRIDE 0000:01:00.0 none",
		    "UNBIND 0000:01:00.0 -", "OVERRIDE 0000:02:01.0 vfio-pci",
		    "PROBE 0000:02:01.0 -", "VERIFY 0000:02:01.0 vfio-pci",
		    "OVERRIDE 0000:02:02.0 vfio-pci", "PROBE 0000:02:02.0 -",
		    "VERIFY 0000:02:02.0 vfio-pci", "VERIFY 0000:01:00.0 -",
		    "NODE_CLEAN 0000:02:01.0 -", "NODE_CLEAN 0000:02:02.0 -",
		    "VERIFY 0000:02:01.0 vfio-pci", "VERIFY 0000:02:02.0 vfio-pci",
		    "VERIFY 0000:01:00.0 -", "VERIFY 0000:00:04.0 pcieport");
}
END_TEST

START_TEST(test_claim_node_mode_grants_last)
{
	_cleanup_(lease_freep) struct lease *lease = make_lease(MODE_NODE);
	_cleanup_(plan_done) struct plan plan = { 0 };

	put(lease, "0000:03:00.0", "/sys/devices/a/b", 7, DEVICE_GRANTED, "e1000e", "vfio-pci");
	put(lease, "0000:03:00.1", "/sys/devices/a/c", 7, DEVICE_WITHHELD, NULL, NULL);
	ck_assert_int_eq(plan_claim(lease, NULL, &plan), 0);
	assert_plan(&plan, "CHECK 0000:03:00.0 -", "OVERRIDE 0000:03:00.0 none",
		    "UNBIND 0000:03:00.0 -", "CHECK 0000:03:00.1 -", "OVERRIDE 0000:03:00.1 none",
		    "UNBIND 0000:03:00.1 -", "OVERRIDE 0000:03:00.0 vfio-pci",
		    "PROBE 0000:03:00.0 -", "VERIFY 0000:03:00.0 vfio-pci", "VERIFY 0000:03:00.1 -",
		    "QUIET 0000:03:00.1 -", "NODE_CLEAN 0000:03:00.0 -",
		    "NODE_GRANT 0000:03:00.0 -", "VERIFY 0000:03:00.0 vfio-pci",
		    "VERIFY 0000:03:00.1 -");
	ck_assert_uint_eq(plan.steps[11].uid, (uid_t)-1);
	ck_assert_uint_eq(plan.steps[12].uid, 1000);
}
END_TEST

START_TEST(test_drain)
{
	_cleanup_(lease_freep) struct lease *lease = bridge_lease(MODE_CDEV);
	_cleanup_(plan_done) struct plan plan = { 0 };

	ck_assert_int_eq(plan_drain(lease, &plan), 0);
	assert_plan(&plan, "UNBIND_VFIO 0000:02:01.0 -", "UNBIND_VFIO 0000:02:02.0 -",
		    "UNBIND_VFIO 0000:01:00.0 -", "SETTLE 0000:02:01.0 -", "SETTLE 0000:02:02.0 -",
		    "SETTLE 0000:01:00.0 -");
	for (size_t i = 0; i < plan.n; i++)
		ck_assert(plan.steps[i].keep_going);
}
END_TEST

START_TEST(test_drain_node_mode_revokes_first)
{
	_cleanup_(lease_freep) struct lease *lease = make_lease(MODE_NODE);
	_cleanup_(plan_done) struct plan plan = { 0 };

	put(lease, "0000:03:00.0", "/sys/devices/a/b", 7, DEVICE_GRANTED, "e1000e", "vfio-pci");
	put(lease, "0000:04:00.0", "/sys/devices/a/d", 8, DEVICE_GRANTED, "vfio-pci", "vfio-pci");
	ck_assert_int_eq(plan_drain(lease, &plan), 0);
	assert_plan(&plan, "NODE_REVOKE 0000:03:00.0 -", "NODE_REVOKE 0000:04:00.0 -",
		    "UNBIND_VFIO 0000:03:00.0 -", "UNBIND_VFIO 0000:04:00.0 -",
		    "SETTLE 0000:03:00.0 -", "SETTLE 0000:04:00.0 -");
	ck_assert_uint_eq(plan.steps[0].uid, 1000);
}
END_TEST

START_TEST(test_restore)
{
	_cleanup_(lease_freep) struct lease *lease = bridge_lease(MODE_GROUP);
	_cleanup_(plan_done) struct plan plan = { 0 };
	struct lease_device *d = lease_device(lease, "0000:02:01.0");

	ck_assert_int_eq(free_and_strdup(&d->saved_override, "e1000"), 0);
	put(lease, "0000:02:03.0", BRIDGE "/0000:02:03.0", 5, DEVICE_FENCED, NULL, NULL);
	d = put(lease, "0000:02:04.0", BRIDGE "/0000:02:04.0", 5, DEVICE_WITHHELD, NULL, NULL);
	ck_assert_int_eq(free_and_strdup(&d->saved_override, "mine"), 0);
	ck_assert_int_eq(plan_restore(lease, &plan), 0);
	assert_plan(
		&plan, "IDENTITY 0000:01:00.0 -", "OVERRIDE 0000:01:00.0 shpchp",
		"PROBE 0000:01:00.0 -", "VERIFY 0000:01:00.0 shpchp", "OVERRIDE 0000:01:00.0 -",
		"IDENTITY 0000:02:01.0 -", "OVERRIDE 0000:02:01.0 e1000", "PROBE 0000:02:01.0 -",
		"VERIFY 0000:02:01.0 e1000", "OVERRIDE 0000:02:01.0 e1000",
		"IDENTITY 0000:02:02.0 -", "OVERRIDE 0000:02:02.0 e1000", "PROBE 0000:02:02.0 -",
		"VERIFY 0000:02:02.0 e1000", "OVERRIDE 0000:02:02.0 -", "IDENTITY 0000:02:03.0 -",
		"OVERRIDE 0000:02:03.0 -", "PROBE 0000:02:03.0 -", "IDENTITY 0000:02:04.0 -",
		"VERIFY 0000:02:04.0 -", "OVERRIDE 0000:02:04.0 mine");
	for (size_t i = 0; i < plan.n; i++)
		ck_assert(plan.steps[i].keep_going);
}
END_TEST

/* ---- of a lease that stays: what is marked, and nothing else */

static void mark(struct lease *lease, const char *name)
{
	struct lease_device *d = lease_device(lease, name);

	ck_assert_ptr_nonnull(d);
	d->parking = true;
}

START_TEST(test_grow)
{
	_cleanup_(lease_freep) struct lease *lease = bridge_lease(MODE_GROUP);
	_cleanup_(plan_done) struct plan plan = { 0 };
	struct lease_device *d = lease_device(lease, "0000:02:02.0");

	ck_assert_int_eq(free_and_strdup(&d->target_driver, "vfio-pci"), 0);
	mark(lease, "0000:02:02.0");
	ck_assert_int_eq(plan_grow(lease, &plan), 0);
	/* The one that it was taken for, driverless at a moment, then bound, and its node root's.
	 */
	assert_plan(&plan, "IDENTITY 0000:02:02.0 -", "UNBIND_VFIO 0000:02:02.0 -",
		    "VERIFY 0000:02:02.0 -", "OVERRIDE 0000:02:02.0 vfio-pci",
		    "PROBE 0000:02:02.0 -", "VERIFY 0000:02:02.0 vfio-pci",
		    "NODE_CLEAN 0000:02:02.0 -");
	ck_assert_uint_eq(plan.steps[6].uid, (uid_t)-1);
	/* The first failure ends it: what is left undone is put back by another plan. */
	for (size_t i = 0; i < plan.n; i++)
		ck_assert(!plan.steps[i].keep_going);
}
END_TEST

START_TEST(test_grow_node_mode)
{
	_cleanup_(lease_freep) struct lease *lease = make_lease(MODE_NODE);
	_cleanup_(plan_done) struct plan plan = { 0 };

	put(lease, "0000:03:00.0", "/sys/devices/a/b", 7, DEVICE_GRANTED, "e1000e", "vfio-pci");
	put(lease, "0000:03:00.1", "/sys/devices/a/c", 7, DEVICE_FENCED, NULL, "mlx5_vfio_pci")
		->parking = true;
	ck_assert_int_eq(plan_grow(lease, &plan), 0);
	assert_plan(&plan, "IDENTITY 0000:03:00.1 -", "UNBIND_VFIO 0000:03:00.1 -",
		    "VERIFY 0000:03:00.1 -", "OVERRIDE 0000:03:00.1 mlx5_vfio_pci",
		    "PROBE 0000:03:00.1 -", "VERIFY 0000:03:00.1 mlx5_vfio_pci",
		    "NODE_CLEAN 0000:03:00.1 -", "NODE_GRANT 0000:03:00.1 -");
	/* The group's node has the owner's entry for the others, and keeps it. */
	ck_assert_uint_eq(plan.steps[6].uid, 1000);
	ck_assert_uint_eq(plan.steps[7].uid, 1000);
}
END_TEST

START_TEST(test_park)
{
	static const char device[] = "0000:02:01.0";
	_cleanup_(lease_freep) struct lease *lease = bridge_lease(MODE_CDEV);
	_cleanup_(plan_done) struct plan none = { 0 }, vfio = { 0 }, came = { 0 };

	mark(lease, device);
	lease->park = PARK_NONE;
	ck_assert_int_eq(plan_park(lease, &none), 0);
	assert_plan(&none, "UNBIND_VFIO 0000:02:01.0 -", "SETTLE 0000:02:01.0 -",
		    "VERIFY 0000:02:01.0 -", "QUIET 0000:02:01.0 -");
	for (size_t i = 0; i < none.n; i++)
		ck_assert(none.steps[i].keep_going);
	/* Unbound for good once, before it is bound again where only root gets at it. */
	lease->park = PARK_VFIO;
	ck_assert_int_eq(plan_park(lease, &vfio), 0);
	assert_plan(&vfio, "UNBIND_VFIO 0000:02:01.0 -", "SETTLE 0000:02:01.0 -",
		    "VERIFY 0000:02:01.0 -", "QUIET 0000:02:01.0 -",
		    "OVERRIDE 0000:02:01.0 vfio-pci", "PROBE 0000:02:01.0 -",
		    "VERIFY 0000:02:01.0 vfio-pci", "NODE_CLEAN 0000:02:01.0 -");
	ck_assert_uint_eq(vfio.steps[7].uid, (uid_t)-1);
	/* What came later was on no driver, and is so again. */
	lease_device(lease, device)->came = true;
	ck_assert_int_eq(plan_park(lease, &came), 0);
	ck_assert_uint_eq(came.n, none.n);
}
END_TEST

START_TEST(test_park_node_mode_revokes_first)
{
	_cleanup_(lease_freep) struct lease *lease = make_lease(MODE_NODE);
	_cleanup_(plan_done) struct plan plan = { 0 };

	put(lease, "0000:03:00.0", "/sys/devices/a/b", 7, DEVICE_GRANTED, "e1000e", "vfio-pci");
	put(lease, "0000:03:00.1", "/sys/devices/a/c", 7, DEVICE_GRANTED, NULL, "vfio-pci")
		->parking = true;
	/* No group's node can be shut for one of its devices: never on VFIO there. */
	lease->park = PARK_VFIO;
	ck_assert_int_eq(plan_park(lease, &plan), 0);
	assert_plan(&plan, "NODE_REVOKE 0000:03:00.1 -", "UNBIND_VFIO 0000:03:00.1 -",
		    "SETTLE 0000:03:00.1 -", "VERIFY 0000:03:00.1 -", "QUIET 0000:03:00.1 -");
	ck_assert_uint_eq(plan.steps[0].uid, 1000);
}
END_TEST

START_TEST(test_empty)
{
	_cleanup_(lease_freep) struct lease *lease = make_lease(MODE_GROUP);
	struct plan plan;

	ck_assert_int_eq(plan_claim(lease, NULL, &plan), 0);
	ck_assert_uint_eq(plan.n, 0);
	plan_done(&plan);
	ck_assert_int_eq(plan_drain(lease, &plan), 0);
	ck_assert_uint_eq(plan.n, 0);
	plan_done(&plan);
	ck_assert_int_eq(plan_restore(lease, &plan), 0);
	ck_assert_uint_eq(plan.n, 0);
	plan_done(&plan);
	ck_assert_int_eq(plan_grow(lease, &plan), 0);
	ck_assert_uint_eq(plan.n, 0);
	plan_done(&plan);
	ck_assert_int_eq(plan_park(lease, &plan), 0);
	ck_assert_uint_eq(plan.n, 0);
	plan_done(&plan);
}
END_TEST

START_TEST(test_string_table)
{
	for (int i = 0; i < STEP_KIND_MAX; i++)
		ck_assert_int_eq(step_kind_from_string(step_kind_to_string(i)), i);
	ck_assert_ptr_null(step_kind_to_string(STEP_KIND_MAX));
	ck_assert_ptr_null(step_kind_to_string(STEP_KIND_INVALID));
	ck_assert_int_lt(step_kind_from_string("REMOVE"), 0);
}
END_TEST

/* ---- whatever the lease looks like */

static struct lease *random_lease(void)
{
	static const char *const drivers[] = { NULL, "e1000", "vfio-pci", "mlx5_vfio_pci" };
	struct lease *lease = make_lease((enum mode)(random() % 3));
	size_t n = 1 + (size_t)random() % 12;

	for (size_t i = 0; i < n; i++) {
		char name[32], path[128] = "/sys/devices/x";
		struct lease_device *d;

		snprintf(name, sizeof(name), "0000:%02lx:00.%zu", random() % 200, i % 8);
		for (long k = random() % 4; k > 0; k--)
			strcat(path, "/b");
		d = put(lease, name, path, 1 + (uint32_t)random() % 3,
			(enum device_state)(random() % DEVICE_STATE_MAX), drivers[random() % 4],
			drivers[2 * (random() % 2)]);
		d->left = random() % 5 == 0;
		d->bridge = random() % 5 == 0;
	}
	return lease;
}

static ssize_t last_of(const struct plan *plan, enum step_kind kind)
{
	for (size_t i = plan->n; i > 0; i--)
		if (plan->steps[i - 1].kind == kind)
			return (ssize_t)i - 1;
	return -1;
}

static ssize_t first_of(const struct plan *plan, enum step_kind kind)
{
	for (size_t i = 0; i < plan->n; i++)
		if (plan->steps[i].kind == kind)
			return (ssize_t)i;
	return (ssize_t)plan->n;
}

static bool changes(enum step_kind kind)
{
	return kind == STEP_OVERRIDE || kind == STEP_UNBIND || kind == STEP_UNBIND_VFIO ||
	       kind == STEP_SETTLE || kind == STEP_PROBE || kind == STEP_QUIET ||
	       kind == STEP_NODE_GRANT;
}

START_TEST(test_claim_rules)
{
	srandom((unsigned int)_i);
	for (int round = 0; round < 50; round++) {
		_cleanup_(lease_freep) struct lease *lease = random_lease();
		_cleanup_(plan_done) struct plan plan = { 0 };
		size_t verified = 0;

		ck_assert_int_eq(plan_claim(lease, NULL, &plan), 0);
		/* I5: all are unbound before one is bound; nodes are open to the owner last. */
		ck_assert_int_lt(last_of(&plan, STEP_UNBIND), first_of(&plan, STEP_PROBE));
		ck_assert_int_lt(last_of(&plan, STEP_PROBE), first_of(&plan, STEP_NODE_CLEAN));
		ck_assert_int_lt(last_of(&plan, STEP_NODE_CLEAN), first_of(&plan, STEP_NODE_GRANT));
		ck_assert(lease->mode == MODE_NODE || last_of(&plan, STEP_NODE_GRANT) < 0);
		for (size_t i = 0; i < plan.n; i++) {
			const struct step *s = &plan.steps[i];

			ck_assert(!s->lease_device->left || !changes(s->kind));
			ck_assert(s->kind != STEP_NODE_GRANT ||
				  s->lease_device->state == DEVICE_GRANTED);
			ck_assert(s->kind != STEP_QUIET || !s->lease_device->bridge);
			/* Nothing is unbound that was not checked, and shut off, just before. */
			if (s->kind == STEP_UNBIND) {
				ck_assert(plan.steps[i - 1].kind == STEP_OVERRIDE);
				ck_assert(plan.steps[i - 2].kind == STEP_CHECK);
				ck_assert_ptr_eq(plan.steps[i - 2].device, s->device);
			}
		}
		/* 10: the whole group is read back once more. */
		for (size_t i = plan.n; i > 0 && plan.steps[i - 1].kind == STEP_VERIFY; i--)
			verified++;
		ck_assert_uint_ge(verified, lease->n_devices);
	}
}
END_TEST

START_TEST(test_release_rules)
{
	srandom((unsigned int)_i);
	for (int round = 0; round < 50; round++) {
		_cleanup_(lease_freep) struct lease *lease = random_lease();
		_cleanup_(plan_done) struct plan drain = { 0 }, restore = { 0 };
		size_t unbinds = 0, identities = 0, moved = 0;

		for (size_t i = 0; i < lease->n_devices; i++)
			moved += !lease->devices[i].left;
		ck_assert_int_eq(plan_drain(lease, &drain), 0);
		for (size_t i = 0; i < drain.n; i++) {
			ck_assert(!drain.steps[i].lease_device->left);
			unbinds += drain.steps[i].kind == STEP_UNBIND_VFIO;
			/* The barrier binds nothing and clears nothing. */
			ck_assert(drain.steps[i].kind != STEP_PROBE);
			ck_assert(drain.steps[i].kind != STEP_OVERRIDE);
			ck_assert(drain.steps[i].kind != STEP_UNBIND);
		}
		ck_assert_uint_eq(unbinds, moved);
		ck_assert_int_lt(last_of(&drain, STEP_UNBIND_VFIO), first_of(&drain, STEP_SETTLE));
		ck_assert_int_eq(plan_restore(lease, &restore), 0);
		for (size_t i = 0; i < restore.n; i++) {
			ck_assert(!restore.steps[i].lease_device->left);
			identities += restore.steps[i].kind == STEP_IDENTITY;
			/* Never an unbind: a device with its driver is not cycled. */
			ck_assert(restore.steps[i].kind != STEP_UNBIND);
			/* Nothing of a device before its identity. */
			if (i == 0 || restore.steps[i].device != restore.steps[i - 1].device)
				ck_assert_int_eq(restore.steps[i].kind, STEP_IDENTITY);
		}
		ck_assert_uint_eq(identities, moved);
	}
}
END_TEST

/* Whatever is marked: the rest of the lease is its owner's, and is not touched. */
START_TEST(test_change_rules)
{
	srandom((unsigned int)_i);
	for (int round = 0; round < 50; round++) {
		_cleanup_(lease_freep) struct lease *lease = random_lease();
		_cleanup_(plan_done) struct plan grow = { 0 }, park = { 0 };
		size_t marked = 0, unbinds = 0;

		lease->park = (enum park)(random() % PARK_MAX);
		for (size_t i = 0; i < lease->n_devices; i++) {
			struct lease_device *d = &lease->devices[i];

			d->parking = random() % 2 && !d->left && d->target_driver;
			d->came = random() % 3 == 0;
			marked += d->parking;
		}
		ck_assert_int_eq(plan_grow(lease, &grow), 0);
		for (size_t i = 0; i < grow.n; i++) {
			const struct step *s = &grow.steps[i];

			ck_assert(s->lease_device->parking);
			ck_assert(s->kind != STEP_UNBIND && s->kind != STEP_CHECK);
			/* Only what is the one that was looked at, and is unbound, is bound. */
			if (s->kind == STEP_PROBE) {
				ck_assert_int_eq(grow.steps[i - 1].kind, STEP_OVERRIDE);
				ck_assert_int_eq(grow.steps[i - 2].kind, STEP_VERIFY);
				ck_assert_ptr_null(grow.steps[i - 2].arg);
				ck_assert_int_eq(grow.steps[i - 3].kind, STEP_UNBIND_VFIO);
				ck_assert_int_eq(grow.steps[i - 4].kind, STEP_IDENTITY);
			}
			ck_assert(s->kind != STEP_NODE_GRANT ||
				  (lease->mode == MODE_NODE && s->uid == lease->owner));
		}
		ck_assert_int_eq(plan_park(lease, &park), 0);
		for (size_t i = 0; i < park.n; i++) {
			const struct step *s = &park.steps[i];

			ck_assert(s->lease_device->parking && s->keep_going);
			unbinds += s->kind == STEP_UNBIND_VFIO;
			/* It is bound again where the fds that open it are root's alone. */
			if (s->kind == STEP_PROBE) {
				ck_assert_int_eq(lease->mode, MODE_CDEV);
				ck_assert_int_eq(lease->park, PARK_VFIO);
				ck_assert(!s->lease_device->bridge && !s->lease_device->came);
			}
		}
		ck_assert_uint_eq(unbinds, marked);
	}
}
END_TEST

/* Two VFs of one function, one of another whose switch was off. */
static struct lease *vf_lease(void)
{
	struct lease *lease = make_lease(MODE_CDEV);
	struct lease_device *d;

	put(lease, "0000:08:10.0", NULL, 9, DEVICE_GRANTED, "igbvf", "vfio-pci");
	put(lease, "0000:08:10.2", NULL, 10, DEVICE_GRANTED, NULL, "vfio-pci");
	put(lease, "0000:09:10.0", NULL, 11, DEVICE_GRANTED, NULL, "vfio-pci");
	for (size_t i = 0; i < 2; i++) {
		d = &lease->devices[i];
		ck_assert_int_eq(free_and_strdup(&d->vf_switch, "0000:08:00.0"), 0);
	}
	return lease;
}

START_TEST(test_switch_of_vfs)
{
	_cleanup_(lease_freep) struct lease *lease = vf_lease(), *none = bridge_lease(MODE_GROUP);
	_cleanup_(plan_done) struct plan off = { 0 }, claim = { 0 }, shared = { 0 }, back = { 0 };

	ck_assert(lease_switches_vfs(lease) && !lease_switches_vfs(none));
	ck_assert_int_eq(plan_vfs_off(lease, &off), 0);
	assert_plan(&off, "VFS_OFF 0000:08:00.0 0000:08:00.0");
	/* Before anything is done to a device, once for each function. */
	ck_assert_int_eq(plan_claim(lease, NULL, &claim), 0);
	ck_assert_int_eq(claim.steps[0].kind, STEP_VFS_OFF);
	ck_assert(!claim.steps[0].keep_going);
	for (size_t i = 1; i < claim.n; i++)
		ck_assert(claim.steps[i].kind != STEP_VFS_OFF &&
			  claim.steps[i].kind != STEP_VFS_BACK);
	/* Another lease needs it off: it stays. */
	ck_assert_int_eq(plan_restore(lease, &shared), 0);
	for (size_t i = 0; i < shared.n; i++)
		ck_assert_int_ne(shared.steps[i].kind, STEP_VFS_BACK);
	lease->devices[0].vf_back = lease->devices[1].vf_back = true;
	ck_assert_int_eq(plan_restore(lease, &back), 0);
	ck_assert_int_eq(back.steps[0].kind, STEP_VFS_BACK);
	ck_assert_str_eq(back.steps[0].arg, "0000:08:00.0");
	ck_assert(back.steps[0].keep_going);
	ck_assert_uint_eq(back.n, shared.n + 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("plan");
	TCase *tc = tcase_create("plans");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, test_claim_group_mode);
	tcase_add_test(tc, test_claim_cdev_mode_parks_on_vfio);
	tcase_add_test(tc, test_claim_node_mode_grants_last);
	tcase_add_test(tc, test_drain);
	tcase_add_test(tc, test_drain_node_mode_revokes_first);
	tcase_add_test(tc, test_restore);
	tcase_add_test(tc, test_grow);
	tcase_add_test(tc, test_grow_node_mode);
	tcase_add_test(tc, test_park);
	tcase_add_test(tc, test_park_node_mode_revokes_first);
	tcase_add_test(tc, test_switch_of_vfs);
	tcase_add_test(tc, test_empty);
	tcase_add_test(tc, test_string_table);
	tcase_add_loop_test(tc, test_claim_rules, 0, 20);
	tcase_add_loop_test(tc, test_release_rules, 0, 20);
	tcase_add_loop_test(tc, test_change_rules, 0, 20);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
