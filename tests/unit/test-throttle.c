/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How much time a connection may take: daemon/bus/throttle.h. */

#include "daemon/bus/throttle.h"

#include <check.h>
#include <stdio.h>

static struct throttle *throttle;

static void setup(void)
{
	ck_assert_int_eq(throttle_new(&throttle), 0);
}

static void teardown(void)
{
	throttle = throttle_free(throttle);
}

/* How much can be taken at this moment, in bites of so many microseconds. */
static unsigned int bites(const char *sender, uint64_t usec, uint64_t now)
{
	unsigned int n = 0;

	while (throttle_admit(throttle, sender, now) == 0) {
		throttle_charge(throttle, sender, usec);
		n++;
	}
	return n;
}

START_TEST(test_purse)
{
	ck_assert_uint_eq(bites(":1.1", 100, 5), THROTTLE_PURSE_USEC / 100);
	ck_assert_int_eq(throttle_admit(throttle, ":1.1", 5), 1);
	/* Others are not concerned. */
	ck_assert_int_eq(throttle_admit(throttle, ":1.2", 5), 0);
	/* What it does not take costs nothing. */
	for (unsigned int i = 0; i < 1000; i++)
		ck_assert_int_eq(throttle_admit(throttle, ":1.2", 5), 0);
	ck_assert_uint_eq(bites(":1.2", 1000, 5), THROTTLE_PURSE_USEC / 1000);
	/* Nobody is charged who was not admitted. */
	throttle_charge(throttle, ":1.3", UINT64_MAX);
	ck_assert_int_eq(throttle_admit(throttle, ":1.3", 5), 0);
}
END_TEST

START_TEST(test_share)
{
	uint64_t now = 1000000;

	bites(":1.1", 1, now);
	ck_assert_uint_eq(bites(":1.1", 1000, now + 1000000), THROTTLE_SHARE_USEC / 1000);
	now += 1000000;
	/* Short waits add up: a client that tries all the time gets what it has coming too. */
	for (unsigned int i = 1; i <= 1000000; i++)
		throttle_admit(throttle, ":1.1", now + i);
	ck_assert_uint_eq(bites(":1.1", 1000, now + 1000000), THROTTLE_SHARE_USEC / 1000);
	/* No more than a purse, however long it was away. */
	ck_assert_uint_eq(bites(":1.1", 1000, UINT64_MAX), THROTTLE_PURSE_USEC / 1000);
}
END_TEST

START_TEST(test_debt)
{
	const uint64_t second = 1000000;
	uint64_t now = 7;

	/* One answer that took for ever: it waits for as long as the debt takes, and no longer. */
	ck_assert_int_eq(throttle_admit(throttle, ":1.1", now), 0);
	throttle_charge(throttle, ":1.1", UINT64_MAX);
	throttle_charge(throttle, ":1.1", UINT64_MAX);
	ck_assert_int_eq(throttle_admit(throttle, ":1.1", now + second), 1);
	now += second * THROTTLE_PURSE_USEC / THROTTLE_SHARE_USEC;
	ck_assert_int_eq(throttle_admit(throttle, ":1.1", now), 1);
	ck_assert_int_eq(throttle_admit(throttle, ":1.1", now + 1), 0);
	ck_assert_uint_eq(bites(":1.1", 1000, UINT64_MAX), THROTTLE_PURSE_USEC / 1000);
}
END_TEST

START_TEST(test_many)
{
	char name[32];

	bites(":1.1", 100, 0);
	throttle_forget(throttle, ":1.1");
	throttle_forget(throttle, ":1.1");
	ck_assert_int_eq(throttle_admit(throttle, ":1.1", 0), 0);
	for (unsigned int i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), ":1.%u", i + 10);
		ck_assert_int_eq(throttle_admit(throttle, name, 0), 0);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("throttle");
	TCase *t = tcase_create("throttle");
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_purse);
	tcase_add_test(t, test_share);
	tcase_add_test(t, test_debt);
	tcase_add_test(t, test_many);
	suite_add_tcase(s, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
