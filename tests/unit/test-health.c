/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The kernel's words about what broke: policy/health.h. The texts of sysfs are of Linux 6.12. */

#include "policy/topology.h"

#include <check.h>
#include <stdio.h>

static struct error_counters counters;

static void teardown(void)
{
	error_counters_done(&counters);
}

START_TEST(test_names_go_there_and_back)
{
	for (int i = 0; i < HEALTH_MAX; i++)
		ck_assert_int_eq(health_from_string(health_to_string((enum health)i)), i);
	for (int i = 0; i < RECOVERY_MAX; i++)
		ck_assert_int_eq(recovery_from_string(recovery_to_string((enum recovery)i)), i);
	for (int i = 0; i < SEVERITY_MAX; i++)
		ck_assert_int_eq(severity_from_string(severity_to_string((enum severity)i)), i);
	for (int i = 0; i < EEH_MAX; i++)
		ck_assert_int_eq(eeh_state_from_string(eeh_state_to_string((enum eeh_state)i)), i);
}
END_TEST

START_TEST(test_events)
{
	ck_assert_int_eq(recovery_from_uevent("BEGIN_RECOVERY"), RECOVERY_BEGIN);
	ck_assert_int_eq(recovery_from_uevent("SUCCESSFUL_RECOVERY"), RECOVERY_SUCCESS);
	ck_assert_int_eq(recovery_from_uevent("FAILED_RECOVERY"), RECOVERY_FAILED);
	ck_assert_int_eq(recovery_from_uevent("BEGIN_RECOVER"), -EINVAL);
	ck_assert_int_eq(recovery_from_uevent(""), -EINVAL);
	ck_assert_int_eq(recovery_from_uevent(NULL), -EINVAL);
}
END_TEST

START_TEST(test_what_failed_stays_failed)
{
	ck_assert_int_eq(health_after(HEALTH_OK, RECOVERY_BEGIN), HEALTH_RECOVERING);
	ck_assert_int_eq(health_after(HEALTH_OK, RECOVERY_SUCCESS), HEALTH_OK);
	ck_assert_int_eq(health_after(HEALTH_OK, RECOVERY_FAILED), HEALTH_FAILED);
	ck_assert_int_eq(health_after(HEALTH_RECOVERING, RECOVERY_BEGIN), HEALTH_RECOVERING);
	ck_assert_int_eq(health_after(HEALTH_RECOVERING, RECOVERY_SUCCESS), HEALTH_OK);
	ck_assert_int_eq(health_after(HEALTH_RECOVERING, RECOVERY_FAILED), HEALTH_FAILED);
	for (int i = 0; i < RECOVERY_MAX; i++)
		ck_assert_int_eq(health_after(HEALTH_FAILED, (enum recovery)i), HEALTH_FAILED);
}
END_TEST

static uint64_t count_of(enum severity severity, const char *name)
{
	for (size_t i = 0; i < counters.of[severity].n; i++)
		if (streq(counters.of[severity].items[i].name, name))
			return counters.of[severity].items[i].count;
	return 0;
}

static const char correctable[] = "RxErr 3\nBadTLP 0\nBadDLLP 18446744073709551615\nRollover 0\n"
				  "Timeout 0\nNonFatalErr 0\nCorrIntErr 0\nHeaderOF 0\n"
				  "dev_cor_errs_bit[3] 1\nTOTAL_ERR_COR 4\n";

START_TEST(test_counters)
{
	ck_assert(!error_counters_present(&counters));
	ck_assert_int_eq(error_counters_parse(&counters, SEVERITY_CORRECTABLE, correctable), 0);
	ck_assert(error_counters_present(&counters));
	ck_assert_uint_eq(counters.of[SEVERITY_CORRECTABLE].n, 4);
	ck_assert_uint_eq(count_of(SEVERITY_CORRECTABLE, "RxErr"), 3);
	ck_assert_uint_eq(count_of(SEVERITY_CORRECTABLE, "BadDLLP"), UINT64_MAX);
	ck_assert_uint_eq(count_of(SEVERITY_CORRECTABLE, "dev_cor_errs_bit[3]"), 1);
	ck_assert_uint_eq(count_of(SEVERITY_CORRECTABLE, "total"), 4);

	/* As attributes are read: without the last newline. */
	ck_assert_int_eq(error_counters_parse(&counters, SEVERITY_FATAL,
					      "Undefined 0\nDLP 1\nTOTAL_ERR_FATAL 1"),
			 0);
	ck_assert_uint_eq(count_of(SEVERITY_FATAL, "DLP"), 1);
	ck_assert_uint_eq(count_of(SEVERITY_FATAL, "total"), 1);
	ck_assert_int_eq(
		error_counters_parse(&counters, SEVERITY_NONFATAL, "DLP 0\nTOTAL_ERR_NONFATAL 0\n"),
		0);
	ck_assert_uint_eq(counters.of[SEVERITY_NONFATAL].n, 1);
	/* Read anew: what was there is replaced. */
	ck_assert_int_eq(
		error_counters_parse(&counters, SEVERITY_FATAL, "DLP 2\nTOTAL_ERR_FATAL 2\n"), 0);
	ck_assert_uint_eq(count_of(SEVERITY_FATAL, "DLP"), 2);
}
END_TEST

START_TEST(test_counters_compare)
{
	struct error_counters other = { 0 };

	ck_assert(error_counters_equal(&counters, &other));
	ck_assert_int_eq(error_counters_parse(&counters, SEVERITY_CORRECTABLE, correctable), 0);
	ck_assert(!error_counters_equal(&counters, &other));
	ck_assert_int_eq(error_counters_parse(&other, SEVERITY_CORRECTABLE, correctable), 0);
	ck_assert(error_counters_equal(&counters, &other));
	ck_assert_int_eq(
		error_counters_parse(&other, SEVERITY_CORRECTABLE, "RxErr 4\nTOTAL_ERR_COR 4\n"),
		0);
	ck_assert(!error_counters_equal(&counters, &other));
	error_counters_done(&other);
}
END_TEST

START_TEST(test_other_texts_are_no_counters)
{
	static const char *const texts[] = {
		"",
		"\n",
		"RxErr",
		"RxErr ",
		"RxErr x\n",
		"RxErr -1\n",
		" 3\n",
		"Rx Err 3\n",
		"RxErr 3 \n",
		"RxErr 3\n\nBadTLP 0\n",
		"Rx\tErr 3\n",
		"RxErr 0\n",
		"RxErr 18446744073709551616\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		ck_assert_int_eq(error_counters_parse(&counters, SEVERITY_FATAL, "DLP 1\n"), 0);
		ck_assert_msg(error_counters_parse(&counters, SEVERITY_FATAL, texts[i]) == -EBADMSG,
			      "\"%s\" is taken", texts[i]);
		ck_assert(!error_counters_present(&counters));
	}
}
END_TEST

START_TEST(test_too_many_counters)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (int i = 0; i < 200; i++)
		fprintf(f, "e%d 1\n", i);
	fclose(f);
	ck_assert_int_eq(error_counters_parse(&counters, SEVERITY_FATAL, text), -EBADMSG);
}
END_TEST

/* What the two back ends of POWER give (eeh_pseries.c, eeh_powernv.c), and the kernel's flags. */
START_TEST(test_eeh)
{
	static const struct {
		const char *text;
		int state;
	} cases[] = {
		{ "0x00000018 0x00000000", EEH_NORMAL },
		{ "0x00000078 0x00000800", EEH_NORMAL },
		{ "0x00000018 0x00000001", EEH_FROZEN },
		{ "0x00000000 0x00000001", EEH_FROZEN },
		{ "0x00000000 0x00000000", EEH_FROZEN },
		{ "0x00000020 0x00000000", EEH_FROZEN },
		{ "0x00000050 0x00000000", EEH_FROZEN },
		{ "0x0000001c 0x00000000", EEH_RESET },
		{ "0x00000018 0x00000008", EEH_RESET },
		{ "0x00000018 0x00000003", EEH_RECOVERING },
		{ "0x00000001 0x00000000", EEH_UNAVAILABLE },
		{ "0x00000002 0x00000000", EEH_UNSUPPORTED },
		{ "0x00000018 0x00000400", EEH_REMOVED },
		{ "0xffffffed 0x00000000", EEH_UNKNOWN },
		{ "", -EBADMSG },
		{ "0x18", -EBADMSG },
		{ "0x18 0x0 0x0", -EBADMSG },
		{ "24 0", -EBADMSG },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		ck_assert_msg(eeh_state_parse(cases[i].text) == cases[i].state, "%s: %d",
			      cases[i].text, eeh_state_parse(cases[i].text));
}
END_TEST

/* What was read anew is no other device: it is as broken as it was. Another one is not. */
START_TEST(test_health_stays_with_the_device)
{
	struct device *device = device_new("0000:03:00.0", "pci");
	struct topology t;

	topology_init(&t);
	device->vendor = 1;
	ck_assert_int_eq(topology_put_device(&t, device), TOPOLOGY_ADDED);
	topology_device(&t, "0000:03:00.0")->health = HEALTH_FAILED;
	device = device_new("0000:03:00.0", "pci");
	device->vendor = 1;
	ck_assert_int_eq(error_counters_parse(&device->errors, SEVERITY_FATAL, "DLP 1\n"), 0);
	ck_assert_int_eq(topology_put_device(&t, device), TOPOLOGY_CHANGED);
	device = topology_device(&t, "0000:03:00.0");
	ck_assert_int_eq(device->health, HEALTH_FAILED);
	ck_assert(error_counters_present(&device->errors));
	device = device_new("0000:03:00.0", "pci");
	device->vendor = 2;
	ck_assert_int_eq(topology_put_device(&t, device), TOPOLOGY_REPLACED);
	ck_assert_int_eq(topology_device(&t, "0000:03:00.0")->health, HEALTH_OK);
	topology_done(&t);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("health");
	TCase *tcase = tcase_create("health");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, NULL, teardown);
	tcase_add_test(tcase, test_names_go_there_and_back);
	tcase_add_test(tcase, test_events);
	tcase_add_test(tcase, test_what_failed_stays_failed);
	tcase_add_test(tcase, test_counters);
	tcase_add_test(tcase, test_counters_compare);
	tcase_add_test(tcase, test_other_texts_are_no_counters);
	tcase_add_test(tcase, test_too_many_counters);
	tcase_add_test(tcase, test_eeh);
	tcase_add_test(tcase, test_health_stays_with_the_device);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
