/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The bus errors: names, errnos, and that no message can break the connection. */

#include "daemon/bus/error.h"

#include "policy/decide.h"

#include <check.h>
#include <stdio.h>

START_TEST(test_ours)
{
	for (size_t i = 0; i < bus_errors_n; i++) {
		_cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
		_cleanup_free_ char *name = NULL;

		ck_assert_int_gt(asprintf(&name, "org.vfiod1.Error.%s", bus_errors[i].name), 0);
		ck_assert_int_eq(bus_error_set(&e, bus_errors[i].name, "%s %d", "because", 1),
				 -bus_errors[i].err);
		ck_assert_str_eq(e.name, name);
		ck_assert_str_eq(e.message, "because 1");
		for (size_t j = 0; j < i; j++)
			ck_assert_str_ne(bus_errors[i].name, bus_errors[j].name);
	}
}
END_TEST

START_TEST(test_standard)
{
	_cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;

	ck_assert_int_eq(bus_error_set(&e, "AccessDenied", "no"), -EACCES);
	ck_assert_str_eq(e.name, SD_BUS_ERROR_ACCESS_DENIED);
	sd_bus_error_free(&e);
	ck_assert_int_eq(bus_error_set(&e, "InvalidArgs", "no"), -EINVAL);
	ck_assert_str_eq(e.name, SD_BUS_ERROR_INVALID_ARGS);
	sd_bus_error_free(&e);
	ck_assert_int_eq(bus_error_set_errno(&e, -ENOSPC, "Writing %s", "x"), -ENOSPC);
	ck_assert_str_eq(e.name, SD_BUS_ERROR_FAILED);
	ck_assert_str_eq(e.message, "Writing x: No space left on device.");
}
END_TEST

/* Each reason of a refusal is one of the errors that are documented. */
START_TEST(test_reasons)
{
	for (int i = 0; i < REASON_MAX; i++) {
		const char *name = reason_to_error((enum reason)i);
		bool found = false;

		if (i == REASON_ALLOWED)
			continue;
		ck_assert_ptr_nonnull(name);
		for (size_t j = 0; j < bus_errors_n; j++)
			found = found || streq(bus_errors[j].name, name);
		ck_assert_msg(found || streq(name, "InvalidArgs") || streq(name, "AccessDenied"),
			      "%s: %s", reason_to_string((enum reason)i), name);
	}
}
END_TEST

/* What a file of the project says of each error: its whole name. */
START_TEST(test_documented)
{
	const char *top = getenv("top_srcdir");
	_cleanup_free_ char *path = NULL, *text = calloc(1, 1 << 20);
	FILE *f;

	ck_assert_int_gt(asprintf(&path, "%s/man/org.vfiod1.5", top ? top : "."), 0);
	f = fopen(path, "re");
	ck_assert_msg(f != NULL, "%s: %m", path);
	ck_assert_uint_gt(fread(text, 1, (1 << 20) - 1, f), 0);
	fclose(f);
	for (size_t i = 0; i < bus_errors_n; i++)
		ck_assert_msg(strstr(text, bus_errors[i].name) != NULL, "%s", bus_errors[i].name);
}
END_TEST

static const struct {
	const char *in, *out;
} strings[] = {
	{ "", "" },
	{ "abc\n\t", "abc\n\t" },
	{ "\x01\x1f\x7f", "???" },
	{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
	{ "\xc3", "?" },
	{ "\xc3(", "?(" },
	{ "\xe2\x82", "??" },
	{ "\xe2\x82x", "??x" },
	{ "\xc0\xaf", "??" },		     /* overlong */
	{ "\xe0\x80\xaf", "???" },	     /* overlong */
	{ "\xed\xa0\x80", "???" },	     /* surrogate */
	{ "\xf4\x90\x80\x80", "????" },	     /* above U+10FFFF */
	{ "\xf8\x88\x80\x80\x80", "?????" }, /* five bytes */
	{ "\xff\xfe", "??" },
	{ "\x80", "?" },
	{ "\xc2\x9b", "??" }, /* CSI */
};

START_TEST(test_utf8)
{
	char buffer[32];

	snprintf(buffer, sizeof(buffer), "%s", strings[_i].in);
	ck_assert_str_eq(utf8_clean(buffer), strings[_i].out);
	ck_assert_ptr_null(utf8_clean(NULL));
}
END_TEST

START_TEST(test_message_clean)
{
	_cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;

	bus_error_set(&e, "GroupBusy", "%s", "lease \xff\x01 has it");
	ck_assert_str_eq(e.message, "lease ?? has it");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("error");
	TCase *tcase = tcase_create("error");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, test_ours);
	tcase_add_test(tcase, test_standard);
	tcase_add_test(tcase, test_reasons);
	tcase_add_test(tcase, test_documented);
	tcase_add_loop_test(tcase, test_utf8, 0, ARRAY_SIZE(strings));
	tcase_add_test(tcase, test_message_clean);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
