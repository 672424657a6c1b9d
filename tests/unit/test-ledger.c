/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One owner per group, every pair of lease states, and what the ledger counts. */

#include "policy/ledger.h"

#include <check.h>
#include <stdio.h>

static struct ledger ledger;

static void setup(void)
{
	ledger_init(&ledger);
}

static void teardown(void)
{
	ledger_done(&ledger);
}

static struct lease *make(const char *id, uid_t owner, const char *name, uint32_t group)
{
	struct lease *lease = lease_new(id);

	ck_assert_ptr_nonnull(lease);
	lease->owner = owner;
	ck_assert_int_eq(free_and_strdup(&lease->name, name), 0);
	if (group != ID_UNKNOWN)
		ck_assert_int_eq(lease_add_group(lease, group, 1), 0);
	return lease;
}

static struct lease_device *add(struct lease *lease, const char *name, enum device_state state,
				const char *rule)
{
	struct lease_device *device = lease_add_device(lease, name);

	ck_assert_ptr_nonnull(device);
	device->state = state;
	ck_assert_int_eq(free_and_strdup(&device->rule, rule), 0);
	return device;
}

/* The whole state machine, written down a second time: all pairs. */
START_TEST(test_states)
{
	static const char *const legal[] = {
		"preparing leased",   "preparing restoring", "leased draining",
		"draining restoring", "restoring failed",    "failed restoring",
	};
	size_t seen = 0;

	for (int from = 0; from < LEASE_STATE_MAX; from++)
		for (int to = 0; to < LEASE_STATE_MAX; to++) {
			_cleanup_(lease_freep) struct lease *lease = lease_new("x");
			char pair[64];
			bool expected = false;

			snprintf(pair, sizeof(pair), "%s %s",
				 lease_state_to_string((enum lease_state)from),
				 lease_state_to_string((enum lease_state)to));
			for (size_t i = 0; i < ARRAY_SIZE(legal); i++)
				expected |= streq(legal[i], pair);
			lease->state = (enum lease_state)from;
			ck_assert_msg(lease_set_state(lease, (enum lease_state)to) ==
					      (expected ? 0 : -EINVAL),
				      "%s", pair);
			ck_assert_int_eq(lease->state, expected ? to : from);
			seen += expected;
		}
	ck_assert_uint_eq(seen, ARRAY_SIZE(legal));
	ck_assert(!lease_state_may_follow(LEASE_STATE_INVALID, LEASE_LEASED));
	ck_assert(!lease_state_may_follow(LEASE_STATE_MAX, LEASE_LEASED));
	ck_assert(!lease_state_may_follow(LEASE_LEASED, LEASE_STATE_INVALID));
	ck_assert(!lease_state_may_follow(LEASE_LEASED, LEASE_STATE_MAX));
}
END_TEST

START_TEST(test_tables)
{
	for (int i = 0; i < LEASE_STATE_MAX; i++)
		ck_assert_int_eq(
			lease_state_from_string(lease_state_to_string((enum lease_state)i)), i);
	for (int i = 0; i < DEVICE_STATE_MAX; i++)
		ck_assert_int_eq(
			device_state_from_string(device_state_to_string((enum device_state)i)), i);
}
END_TEST

START_TEST(test_one_owner)
{
	struct lease *a = make("a", 1000, NULL, 5), *b = make("b", 1001, NULL, 5);

	ck_assert_int_eq(ledger_add(&ledger, a), 0);
	/* In every state of the first, the second is kept out. */
	for (int state = 0; state < LEASE_STATE_MAX; state++) {
		a->state = (enum lease_state)state;
		ck_assert_int_eq(ledger_add(&ledger, b), LEDGER_GROUP_TAKEN);
		ck_assert_ptr_null(ledger_lease(&ledger, "b"));
		ck_assert_ptr_eq(ledger_group(&ledger, 5), a);
	}
	/* Also when only one of several groups is taken, also for the same owner. */
	b->owner = 1000;
	ck_assert_int_eq(lease_add_group(b, 4, 1), 0);
	ck_assert_int_eq(ledger_add(&ledger, b), LEDGER_GROUP_TAKEN);
	ck_assert_ptr_null(ledger_group(&ledger, 4));

	ck_assert_ptr_eq(ledger_remove(&ledger, a), a);
	ck_assert_ptr_null(ledger_group(&ledger, 5));
	ck_assert_int_eq(ledger_add(&ledger, b), 0);
	ck_assert_ptr_eq(ledger_group(&ledger, 4), b);
	ck_assert_int_eq(ledger_add(&ledger, a), LEDGER_GROUP_TAKEN);
	lease_free(a);
}
END_TEST

START_TEST(test_ids_and_names)
{
	struct lease *a = make("a", 1000, "vm", 1), *b = make("b", 1001, "vm", 2);
	struct lease *c = make("a", 1002, "vm", 3), *d = make("d", 1000, "vm", 4);
	struct lease *e = make("e", 1000, NULL, 5), *f = make("f", 1000, NULL, 6);
	struct lease *g = make("g", 1003, "solo", 7);

	ck_assert_int_eq(ledger_add(&ledger, a), 0);
	ck_assert_int_eq(ledger_add(&ledger, b), 0);
	ck_assert_int_eq(ledger_add(&ledger, c), LEDGER_ID_TAKEN);
	ck_assert_int_eq(ledger_add(&ledger, d), LEDGER_NAME_TAKEN);
	ck_assert_int_eq(ledger_add(&ledger, e), 0);
	ck_assert_int_eq(ledger_add(&ledger, f), 0);
	ck_assert_int_eq(ledger_add(&ledger, g), 0);

	ck_assert_ptr_eq(ledger_find(&ledger, "vm", 1000, false), a);
	ck_assert_ptr_eq(ledger_find(&ledger, "vm", 1001, true), b);
	ck_assert_ptr_null(ledger_find(&ledger, "vm", 1003, false));
	ck_assert_ptr_null(ledger_find(&ledger, "vm", 0, true));
	ck_assert_ptr_eq(ledger_find(&ledger, "solo", 0, true), g);
	ck_assert_ptr_null(ledger_find(&ledger, "solo", 0, false));
	ck_assert_ptr_eq(ledger_find(&ledger, "b", 1003, false), b);
	ck_assert_uint_eq(ledger_count_owner(&ledger, 1000), 3);
	ck_assert_uint_eq(ledger_count_owner(&ledger, 7), 0);
	lease_free(c);
	lease_free(d);
}
END_TEST

START_TEST(test_rule_counts)
{
	struct lease *a = make("a", 1000, NULL, 1), *b = make("b", 1000, NULL, 2);
	struct lease *c = make("c", 1001, NULL, 3);

	add(a, "1", DEVICE_GRANTED, "nics");
	add(a, "2", DEVICE_WITHHELD, "nics");
	add(a, "3", DEVICE_GRANTED, "gpus");
	add(a, "4", DEVICE_WITHHELD, NULL);
	add(a, "5", DEVICE_FENCED, "nics");
	add(b, "6", DEVICE_GRANTED, "nics");
	add(c, "7", DEVICE_GRANTED, "nics");
	ledger_add(&ledger, a);
	ledger_add(&ledger, b);
	ledger_add(&ledger, c);
	ck_assert_uint_eq(ledger_count_rule_leases(&ledger, 1000, "nics"), 2);
	ck_assert_uint_eq(ledger_count_rule_devices(&ledger, 1000, "nics"), 3);
	ck_assert_uint_eq(ledger_count_rule_leases(&ledger, 1000, "gpus"), 1);
	ck_assert_uint_eq(ledger_count_rule_devices(&ledger, 1001, "nics"), 1);
	ck_assert_uint_eq(ledger_count_rule_leases(&ledger, 1001, "gpus"), 0);
	/* On its way into the lease it has its place; one that failed to get there has none. */
	lease_device(a, "5")->parking = true;
	ck_assert_uint_eq(ledger_count_rule_devices(&ledger, 1000, "nics"), 4);
	free_and_strdup(&lease_device(a, "5")->rule_before, "gpus");
	lease_device_undo_rule(lease_device(a, "5"));
	lease_device(a, "5")->parking = false;
	ck_assert_str_eq(lease_device(a, "5")->rule, "gpus");
	ck_assert_ptr_null(lease_device(a, "5")->rule_before);
	ck_assert_uint_eq(ledger_count_rule_devices(&ledger, 1000, "nics"), 3);
	ck_assert_uint_eq(ledger_count_rule_devices(&ledger, 1000, "gpus"), 1);
	ck_assert_uint_eq(lease_count_devices(a, DEVICE_WITHHELD), 2);
	ck_assert_uint_eq(lease_count_devices(a, DEVICE_HOST), 0);
}
END_TEST

START_TEST(test_devices)
{
	_cleanup_(device_freep) struct device *device = device_new("0000:00:05.0", "pci");
	struct lease *lease = make("a", 1000, NULL, 1);
	struct lease_device *leased;
	char name[16];

	/* Added in any order, they are sorted, and each is there once. */
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "dev%02d", i * 37 % 100);
		ck_assert_ptr_nonnull(lease_add_device(lease, name));
	}
	ck_assert_uint_eq(lease->n_devices, 100);
	for (size_t i = 1; i < lease->n_devices; i++)
		ck_assert_str_lt(lease->devices[i - 1].name, lease->devices[i].name);
	leased = lease_device(lease, "dev42");
	ck_assert_ptr_nonnull(leased);
	ck_assert_ptr_eq(lease_add_device(lease, "dev42"), leased);
	ck_assert_uint_eq(lease->n_devices, 100);
	ck_assert_ptr_null(lease_device(lease, "dev"));

	leased = add(lease, "0000:00:05.0", DEVICE_FENCED, NULL);
	leased->identity = 7;
	free_and_strdup(&leased->saved_driver, "e1000");
	ck_assert_int_eq(ledger_add(&ledger, lease), 0);
	ck_assert_int_eq(ledger_device_state(&ledger, "0000:00:05.0"), DEVICE_FENCED);
	ck_assert_int_eq(ledger_device_state(&ledger, "0000:00:06.0"), DEVICE_HOST);
	ck_assert_ptr_eq(ledger_device(&ledger, "dev00"), lease);

	/* The saved driver is that of the device that was there, not of its address. */
	device->identity = 7;
	free_and_strdup(&device->driver, "vfio-pci");
	ck_assert_str_eq(ledger_host_driver(&ledger, device), "e1000");
	device->identity = 8;
	ck_assert_str_eq(ledger_host_driver(&ledger, device), "vfio-pci");
}
END_TEST

START_TEST(test_groups_and_holders)
{
	_cleanup_(lease_freep) struct lease *lease = make("a", 1000, NULL, ID_UNKNOWN);

	for (uint32_t i = 0; i < 50; i++)
		ck_assert_int_eq(lease_add_group(lease, i * 7 % 50, i), 0);
	ck_assert_int_eq(lease_add_group(lease, 3, 99), 0);
	ck_assert_uint_eq(lease->n_groups, 50);
	for (size_t i = 0; i < lease->n_groups; i++)
		ck_assert_uint_eq(lease->groups[i].id, i);
	ck_assert(lease_has_group(lease, 49) && !lease_has_group(lease, 50));

	lease->holders = calloc(1, sizeof(*lease->holders));
	lease->holders[0].command = strdup("qemu");
	lease->n_holders = 1;
	lease_clear_holders(lease);
	ck_assert_uint_eq(lease->n_holders, 0);
	ck_assert_ptr_null(lease_free(NULL));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ledger");
	TCase *tc = tcase_create("ledger");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_states);
	tcase_add_test(tc, test_tables);
	tcase_add_test(tc, test_one_owner);
	tcase_add_test(tc, test_ids_and_names);
	tcase_add_test(tc, test_rule_counts);
	tcase_add_test(tc, test_devices);
	tcase_add_test(tc, test_groups_and_holders);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
