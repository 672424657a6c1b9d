/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How vfiodctl lays out text: columns, what is cut and what never is, widths that are not bytes,
 * and text that would drive a terminal.
 */

#include "client/ctl/table.h"

#include <check.h>
#include <locale.h>

static const struct table_column columns[] = {
	{ "NAME" },
	{ "N", .right = true },
	{ "TEXT", .cut = true },
};

static struct ctl ctl;
static struct table table;
static char *output;

static void setup(void)
{
	ck_assert_ptr_nonnull(setlocale(LC_ALL, "C.UTF-8"));
	ctl = (struct ctl){ .unicode = true };
	table_init(&table, columns, ARRAY_SIZE(columns));
	output = NULL;
}

static void teardown(void)
{
	table_done(&table);
	free(output);
}

/* Runs the function with standard output into the string. */
static void capture(int (*print)(void))
{
	FILE *memory, *old = stdout;
	size_t size;

	free(output);
	memory = open_memstream(&output, &size);
	ck_assert_ptr_nonnull(memory);
	stdout = memory;
	ck_assert_int_eq(print(), 0);
	fclose(memory);
	stdout = old;
}

static int print_it(void)
{
	return table_print(&ctl, &table);
}

static void add(const char *name, int n, const char *text)
{
	table_add(&table, STYLE_PLAIN, "%s", name);
	table_add(&table, STYLE_PLAIN, "%d", n);
	table_add(&table, STYLE_RED, "%s", text);
}

START_TEST(test_layout)
{
	add("a", 1, "first");
	add("longer", 100, "");
	capture(print_it);
	ck_assert_str_eq(output, "NAME      N  TEXT\n"
				 "a         1  first\n"
				 "longer  100  -\n");
}
END_TEST

/* No terminal: nothing is cut, however long. */
START_TEST(test_no_terminal)
{
	char text[1000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	add("a", 1, text);
	capture(print_it);
	ck_assert_ptr_nonnull(strstr(output, text));
}
END_TEST

START_TEST(test_cut)
{
	ctl.width = 25;
	add("name", 1, "12345678901234567890");
	capture(print_it);
	ck_assert_str_eq(output, "NAME  N  TEXT\n"
				 "name  1  123456789012345…\n");
	ctl.width = 29;
	capture(print_it);
	ck_assert_str_eq(output, "NAME  N  TEXT\n"
				 "name  1  12345678901234567890\n");
	ctl.unicode = false;
	ctl.width = 25;
	capture(print_it);
	ck_assert_str_eq(output, "NAME  N  TEXT\n"
				 "name  1  123456789012345~\n");
}
END_TEST

/* Where not even the narrowest columns fit, the line ends where the terminal does. */
START_TEST(test_narrow)
{
	ctl.width = 12;
	add("name", 1, "12345678901234567890");
	capture(print_it);
	for (char *line = strtok(output, "\n"); line; line = strtok(NULL, "\n"))
		ck_assert_int_le(term_width(line), 12);
}
END_TEST

/* é is two bytes and one column, 字 three bytes and two. */
START_TEST(test_width)
{
	add("é字", 1, "x");
	add("abc", 2, "y");
	capture(print_it);
	ck_assert_str_eq(output, "NAME  N  TEXT\n"
				 "é字   1  x\n"
				 "abc   2  y\n");
	ck_assert_int_eq(term_width("é字"), 3);
}
END_TEST

START_TEST(test_cut_wide)
{
	_cleanup_free_ char *cut = term_cut(&ctl, "字字字", 4);

	/* the second one would end in column 4, which the ellipsis needs */
	ck_assert_str_eq(cut, "字…");
}
END_TEST

START_TEST(test_colour)
{
	ctl.colour = true;
	add("a", 1, "red");
	capture(print_it);
	ck_assert_ptr_nonnull(strstr(output, "\033[31mred\033[0m"));
	ctl.colour = false;
	capture(print_it);
	ck_assert_ptr_null(strchr(output, '\033'));
}
END_TEST

/* The padding must not count the escape sequences. */
START_TEST(test_colour_width)
{
	ctl.colour = true;
	ctl.width = 25;
	add("name", 1, "12345678901234567890");
	capture(print_it);
	ck_assert_ptr_nonnull(strstr(output, "\033[31m123456789012345…\033[0m\n"));
}
END_TEST

START_TEST(test_clean)
{
	static const struct {
		const char *dirty, *clean;
	} cases[] = {
		{ "plain é 字", "plain é 字" },
		{ "\033[2J", "?[2J" },
		{ "a\nb\tc\r", "a?b?c?" },
		{ "\x7f", "?" },
		{ "\xc2\x9b"
		  "2J",
		  "?2J" },		    /* CSI as one character */
		{ "a\xff\xfe z", "a?? z" }, /* not UTF-8 */
		{ "a\xe5\xad", "a??" },	    /* cut off */
		{ "", "" },
	};
	_cleanup_free_ char *clean = term_clean(cases[_i].dirty);

	ck_assert_str_eq(clean, cases[_i].clean);
}
END_TEST

static int print_line(void)
{
	struct line line = {};

	line_add(&line, STYLE_BOLD, "%s", "bold\033[0m");
	line_add(&line, STYLE_PLAIN, " and plain");
	return line_print(&ctl, &line);
}

START_TEST(test_line)
{
	capture(print_line);
	ck_assert_str_eq(output, "bold?[0m and plain\n");
	ctl.width = 12;
	capture(print_line);
	ck_assert_str_eq(output, "bold?[0m an…\n");
}
END_TEST

/* A table that lacks cells is a bug of the caller's, and said to be one. */
START_TEST(test_half_row)
{
	table_add(&table, STYLE_PLAIN, "only");
	ck_assert_int_eq(table_print(&ctl, &table), -EINVAL);
}
END_TEST

START_TEST(test_terminal)
{
	struct ctl found = {};

	setenv("COLUMNS", "77", 1);
	term_init(&found);
	ck_assert_int_eq(found.width, 77);
	ck_assert(found.unicode);
	setenv("COLUMNS", "none", 1);
	term_init(&found);
	ck_assert_int_ge(found.width, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("table");
	TCase *tc = tcase_create("table");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_layout);
	tcase_add_test(tc, test_no_terminal);
	tcase_add_test(tc, test_cut);
	tcase_add_test(tc, test_narrow);
	tcase_add_test(tc, test_width);
	tcase_add_test(tc, test_cut_wide);
	tcase_add_test(tc, test_colour);
	tcase_add_test(tc, test_colour_width);
	tcase_add_loop_test(tc, test_clean, 0, 8);
	tcase_add_test(tc, test_line);
	tcase_add_test(tc, test_half_row);
	tcase_add_test(tc, test_terminal);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
