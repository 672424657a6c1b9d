/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A user who is refused all the time does not fill the journal; the others' records stay. */

#include "daemon/bus/refusals.h"

#include <check.h>

static struct refusals *table;

static void teardown(void)
{
	table = refusals_free(table);
}

static unsigned int flood(uid_t uid, uint64_t now, unsigned int n, uint64_t *missed)
{
	unsigned int recorded = 0;

	for (unsigned int i = 0; i < n; i++)
		recorded += refusals_note(&table, uid, now, missed);
	return recorded;
}

START_TEST(test_a_flood_is_bounded_and_counted)
{
	uint64_t missed;

	ck_assert_uint_eq(flood(1000, 5, 1000, &missed), REFUSALS_PER_WINDOW);
	ck_assert(refusals_note(&table, 1000, 5 + REFUSALS_WINDOW_USEC, &missed));
	ck_assert_uint_eq(missed, 1000 - REFUSALS_PER_WINDOW);
	ck_assert(refusals_note(&table, 1000, 6 + REFUSALS_WINDOW_USEC, &missed));
	ck_assert_uint_eq(missed, 0);
}
END_TEST

START_TEST(test_others_are_recorded_meanwhile)
{
	uint64_t missed;

	flood(1000, 5, 1000, &missed);
	ck_assert_uint_eq(flood(1001, 5, 3, &missed), 3);
	ck_assert_uint_eq(missed, 0);
}
END_TEST

START_TEST(test_the_table_does_not_grow)
{
	uint64_t missed;

	for (uid_t uid = 0; uid < REFUSALS_USERS; uid++)
		ck_assert(refusals_note(&table, uid, 5, &missed));
	ck_assert(!refusals_note(&table, REFUSALS_USERS, 5, &missed));
	ck_assert(refusals_note(&table, REFUSALS_USERS, 5 + REFUSALS_WINDOW_USEC, &missed));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("refusals");
	TCase *tcase = tcase_create("refusals");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, NULL, teardown);
	tcase_add_test(tcase, test_a_flood_is_bounded_and_counted);
	tcase_add_test(tcase, test_others_are_recorded_meanwhile);
	tcase_add_test(tcase, test_the_table_does_not_grow);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
