/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The tokens of connections: daemon/bus/throttle.h. */

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

/* How often cost can be taken at this moment. */
static unsigned int times(const char *sender, unsigned int cost, uint64_t now)
{
	unsigned int n = 0;

	while (throttle_take(throttle, sender, cost, now) == 0)
		n++;
	return n;
}

START_TEST(test_burst)
{
	ck_assert_uint_eq(times(":1.1", 1, 5), THROTTLE_BURST);
	ck_assert_int_eq(throttle_take(throttle, ":1.1", 1, 5), 1);
	/* Others are not concerned. */
	ck_assert_uint_eq(times(":1.2", 50, 5), THROTTLE_BURST / 50);
	/* What is too dear takes nothing. */
	throttle_forget(throttle, ":1.2");
	ck_assert_int_eq(throttle_take(throttle, ":1.2", THROTTLE_BURST + 1, 5), 1);
	ck_assert_uint_eq(times(":1.2", 1, 5), THROTTLE_BURST);
}
END_TEST

START_TEST(test_refill)
{
	uint64_t now = 1000000;

	times(":1.1", 1, now);
	ck_assert_uint_eq(times(":1.1", 1, now + 1000000), THROTTLE_PER_SECOND);
	now += 1000000;
	/* Short times add up: a client that tries all the time gets what it has coming too. */
	for (unsigned int i = 0; i < 1999; i++)
		ck_assert_int_eq(
			throttle_take(throttle, ":1.1", THROTTLE_PER_SECOND, now + i * 500), 1);
	ck_assert_int_eq(throttle_take(throttle, ":1.1", THROTTLE_PER_SECOND, now + 1000000), 0);
	/* No more than full, however long it was away. */
	ck_assert_uint_eq(times(":1.1", 1, UINT64_MAX), THROTTLE_BURST);
}
END_TEST

START_TEST(test_many)
{
	char name[32];

	times(":1.1", 1, 0);
	throttle_forget(throttle, ":1.1");
	throttle_forget(throttle, ":1.1");
	ck_assert_uint_eq(times(":1.1", 1, 0), THROTTLE_BURST);
	for (unsigned int i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), ":1.%u", i + 10);
		ck_assert_int_eq(throttle_take(throttle, name, 1, 0), 0);
	}
}
END_TEST

START_TEST(test_cost)
{
	ck_assert_uint_eq(throttle_cost("org.vfiod1.Manager", "Acquire", 9999), 1);
	ck_assert_uint_eq(throttle_cost("org.freedesktop.DBus.Properties", "GetAll", 9999), 3);
	ck_assert_uint_eq(throttle_cost(NULL, "GetManagedObjects", 40), 50);
	/* However many there are, it can be had. */
	ck_assert_uint_le(throttle_cost(NULL, "GetManagedObjects", SIZE_MAX), THROTTLE_BURST);
	ck_assert_uint_eq(throttle_cost(NULL, NULL, 9999), 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("throttle");
	TCase *t = tcase_create("throttle");
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_burst);
	tcase_add_test(t, test_refill);
	tcase_add_test(t, test_many);
	tcase_add_test(t, test_cost);
	suite_add_tcase(s, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
