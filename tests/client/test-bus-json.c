/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * D-Bus values as JSON: every type, nested, empty, at its limits.
 */

#include "client/ctl/bus-json.h"

#include <check.h>
#include <sys/socket.h>

static sd_bus *bus;
static sd_bus_message *m;
static json_object *value;
static int peer;

/* A connection that talks to nobody: messages can be made and read all the same. */
static void setup(void)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	peer = fds[1];
	ck_assert_int_ge(sd_bus_new(&bus), 0);
	ck_assert_int_ge(sd_bus_set_fd(bus, fds[0], fds[0]), 0);
	ck_assert_int_ge(sd_bus_start(bus), 0);
	ck_assert_int_ge(sd_bus_message_new_signal(bus, &m, "/", "a.b", "C"), 0);
	value = NULL;
}

static void teardown(void)
{
	json_object_put(value);
	sd_bus_message_unref(m);
	sd_bus_close(bus);
	sd_bus_unref(bus);
	close(peer);
}

static const char *text(void)
{
	return json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN |
							     JSON_C_TO_STRING_NOSLASHESCAPE);
}

/* The first value of the message has this JSON, and nothing comes after it. */
static void expect(const char *json)
{
	json_object *more = NULL;

	ck_assert_int_ge(sd_bus_message_seal(m, 1, 0), 0);
	ck_assert_int_ge(sd_bus_message_rewind(m, true), 0);
	ck_assert_int_eq(bus_json_read(m, &value), 1);
	ck_assert_str_eq(text(), json);
	ck_assert_int_eq(bus_json_read(m, &more), 0);
}

#define APPEND(...) ck_assert_int_ge(sd_bus_message_append(m, __VA_ARGS__), 0)

START_TEST(test_numbers)
{
	APPEND("(ybnqiuxt)", 255, 1, INT16_MIN, UINT16_MAX, INT32_MIN, UINT32_MAX, INT64_MIN,
	       UINT64_MAX);
	expect("[255,true,-32768,65535,-2147483648,4294967295,-9223372036854775808,"
	       "18446744073709551615]");
}
END_TEST

START_TEST(test_double)
{
	APPEND("d", 1.5);
	expect("1.5");
}
END_TEST

START_TEST(test_strings)
{
	APPEND("(sog)", "a \"b\" \033 é", "/org/vfiod1", "a{sv}");
	expect("[\"a \\\"b\\\" \\u001b é\",\"/org/vfiod1\",\"a{sv}\"]");
}
END_TEST

START_TEST(test_empty)
{
	APPEND("(asa{sv}a(tts))", 0, 0, 0);
	expect("[[],{},[]]");
}
END_TEST

START_TEST(test_dictionary)
{
	APPEND("a{sv}", 3, "s", "s", "x", "n", "u", 7, "v", "as", 2, "a", "b");
	expect("{\"s\":\"x\",\"n\":7,\"v\":[\"a\",\"b\"]}");
}
END_TEST

/* Keys that are not strings become strings. */
START_TEST(test_number_keys)
{
	APPEND("a{us}", 2, 1, "one", 2, "two");
	expect("{\"1\":\"one\",\"2\":\"two\"}");
}
END_TEST

START_TEST(test_nested)
{
	APPEND("a{oa{sa{sv}}}", 1, "/p", 2, "a.b", 1, "K", "a(us)", 2, 1, "x", 2, "y", "c.d", 0);
	expect("{\"/p\":{\"a.b\":{\"K\":[[1,\"x\"],[2,\"y\"]]},\"c.d\":{}}}");
}
END_TEST

START_TEST(test_variant_in_variant)
{
	APPEND("v", "v", "s", "x");
	expect("\"x\"");
}
END_TEST

START_TEST(test_descriptor)
{
	APPEND("(sh)", "x", peer);
	expect("[\"x\",null]");
}
END_TEST

START_TEST(test_nothing)
{
	ck_assert_int_ge(sd_bus_message_seal(m, 1, 0), 0);
	ck_assert_int_eq(bus_json_read(m, &value), 0);
	ck_assert_ptr_null(value);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bus-json");
	TCase *tc = tcase_create("bus-json");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_numbers);
	tcase_add_test(tc, test_double);
	tcase_add_test(tc, test_strings);
	tcase_add_test(tc, test_empty);
	tcase_add_test(tc, test_dictionary);
	tcase_add_test(tc, test_number_keys);
	tcase_add_test(tc, test_nested);
	tcase_add_test(tc, test_variant_in_variant);
	tcase_add_test(tc, test_descriptor);
	tcase_add_test(tc, test_nothing);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
