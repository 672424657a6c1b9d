/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* String vectors, growing arrays, string replacement and string tables: policy/base.h. */

#include "policy/base.h"

#include <check.h>
#include <stdio.h>

enum fruit { FRUIT_APPLE, FRUIT_GAP, FRUIT_PEAR, FRUIT_MAX, FRUIT_INVALID = -1 };
static const char *const fruit_table[FRUIT_MAX] = {
	[FRUIT_APPLE] = "apple",
	[FRUIT_PEAR] = "pear",
};
DECLARE_STRING_TABLE(fruit, enum fruit)
DEFINE_STRING_TABLE(fruit, enum fruit)

START_TEST(test_strv)
{
	_cleanup_strv_ char **v = NULL;
	_cleanup_strv_ char **copy = NULL;
	_cleanup_strv_ char **empty = NULL;
	_cleanup_free_ char *joined = NULL;
	_cleanup_free_ char *nothing = NULL;

	ck_assert_uint_eq(strv_length(NULL), 0);
	ck_assert(strv_equal(NULL, NULL));
	ck_assert(!strv_contains(NULL, "a"));

	ck_assert_int_eq(strv_extend(&v, "b"), 0);
	ck_assert_int_eq(strv_extendf(&v, "%s-%d", "a", 7), 0);
	ck_assert_uint_eq(strv_length(v), 2);
	ck_assert(strv_contains(v, "a-7"));
	ck_assert(!strv_contains(v, "a"));

	copy = strv_copy(v);
	ck_assert_ptr_nonnull(copy);
	ck_assert(strv_equal(copy, v));
	strv_sort(copy);
	ck_assert_str_eq(copy[0], "a-7");
	ck_assert(!strv_equal(copy, v));
	ck_assert(!strv_equal(copy, NULL));

	joined = strv_join(v, ", ");
	ck_assert_str_eq(joined, "b, a-7");
	nothing = strv_join(NULL, ", ");
	ck_assert_str_eq(nothing, "");

	empty = strv_copy(NULL);
	ck_assert_ptr_nonnull(empty);
	ck_assert(strv_equal(empty, NULL));
	ck_assert_ptr_null(strv_free(NULL));
	strv_sort(NULL);
}
END_TEST

START_TEST(test_strv_foreach)
{
	char *const v[] = { (char *)"x", (char *)"y", NULL };
	char *const *none = NULL;
	size_t n = 0;

	STRV_FOREACH (s, v)
		n += (*s)[0] == 'x' || (*s)[0] == 'y';
	STRV_FOREACH (s, none)
		n += 100;
	ck_assert_uint_eq(n, 2);
}
END_TEST

START_TEST(test_array)
{
	int *numbers = NULL;
	size_t n = 0;

	for (int i = 0; i < 1000; i++) {
		ck_assert_int_eq(ARRAY_RESERVE_ONE(numbers, n), 0);
		ck_assert_int_eq(numbers[n], 0);
		numbers[n++] = i + 1;
	}
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(numbers[i], i + 1);
	/* It may shrink and grow again, across each power of two. */
	while (n > 0)
		ck_assert_int_eq(numbers[--n], (int)n + 1);
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(ARRAY_RESERVE_ONE(numbers, n), 0);
		numbers[n++] = -i;
	}
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(numbers[i], -i);
	free(numbers);
}
END_TEST

START_TEST(test_replace)
{
	_cleanup_free_ char *s = NULL;

	ck_assert_int_eq(free_and_strdup(&s, "one"), 0);
	ck_assert_str_eq(s, "one");
	ck_assert_int_eq(free_and_asprintf(&s, "%s two", s), 0);
	ck_assert_str_eq(s, "one two");
	ck_assert_int_eq(free_and_strdup(&s, s), 0);
	ck_assert_str_eq(s, "one two");
	ck_assert_int_eq(free_and_strdup(&s, NULL), 0);
	ck_assert_ptr_null(s);
}
END_TEST

START_TEST(test_small)
{
	char *p = strdup("moved");
	char *q = STEAL(p);

	ck_assert_ptr_null(p);
	ck_assert_str_eq(q, "moved");
	free(q);

	ck_assert(streq0(NULL, NULL));
	ck_assert(!streq0(NULL, ""));
	ck_assert(!streq0("", NULL));
	ck_assert(streq0("a", "a"));
	ck_assert(str_empty(NULL) && str_empty("") && !str_empty("a"));
}
END_TEST

START_TEST(test_table)
{
	ck_assert_str_eq(fruit_to_string(FRUIT_APPLE), "apple");
	ck_assert_ptr_null(fruit_to_string(FRUIT_GAP));
	ck_assert_ptr_null(fruit_to_string(FRUIT_MAX));
	ck_assert_ptr_null(fruit_to_string(FRUIT_INVALID));
	ck_assert_int_eq(fruit_from_string("pear"), FRUIT_PEAR);
	ck_assert_int_eq(fruit_from_string("plum"), -EINVAL);
	ck_assert_int_eq(fruit_from_string(""), -EINVAL);
	ck_assert_int_eq(fruit_from_string(NULL), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("base");
	TCase *tc = tcase_create("base");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_strv);
	tcase_add_test(tc, test_strv_foreach);
	tcase_add_test(tc, test_array);
	tcase_add_test(tc, test_replace);
	tcase_add_test(tc, test_small);
	tcase_add_test(tc, test_table);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
