/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Any crash, same answer (I7), on the mocked host. Stories that between them pass every point of
 * daemon/fault.h are told once without a crash, and what they pass is written down. Each of them is
 * told again for each point that it passes, with the daemon, or the child that passes it, killed
 * there: it comes to the same end, with the invariants held after each start.
 *
 *   VFIOD_TEST_POINT=REGEX  only rows that match: "pair claim.STEP_PROBE_BEGIN 0 worker"
 *   VFIOD_TEST_ALL=1        at each pass of a point, not at the first of the first story alone
 */

#include "daemon/fault.h"
#include "tests/bus/parallel.h"
#include "tests/bus/stories.h"

#include <regex.h>
#include <stdio.h>
#include <sys/mman.h>

/* ---- what they pass: shared by all processes of this program */

#define ROWS_MAX 8192

static struct table {
	char traces[STORY_MAX][1 << 16];
} * table;

struct row {
	int story, passes;
	bool worker;
	char point[56];
};
static struct row rows[ROWS_MAX];
static int n_rows;

START_TEST(without_a_crash)
{
	int story = parallel_row(_i);
	_cleanup_free_ char *trace = NULL;

	fault_trace();
	tell_story(story);
	ck_assert_int_eq(crashes, 0);
	trace = fault_traced();
	ck_assert_uint_lt(strlen(trace), sizeof(table->traces[story]));
	strcpy(table->traces[story], trace);
}
END_TEST

static const char *kind_of(const char *point)
{
	const char *dot = strchr(point, '.');

	return dot ? dot + 1 : point;
}

/* No point is forgotten: a new one that no story passes fails here. */
START_TEST(every_point_is_passed)
{
	for (enum fault_point i = 0; i < FAULT_POINT_MAX; i++) {
		bool passed = false;

		for (int k = 0; !passed && k < n_rows; k++)
			passed = streq(kind_of(rows[k].point), fault_point_to_string(i));
		ck_assert_msg(passed, "no story passes %s", fault_point_to_string(i));
	}
}
END_TEST

/* ---- the matrix */

static void add_row(int story, const char *point, bool worker)
{
	struct row *row = &rows[n_rows];

	if (n_rows >= ROWS_MAX)
		return;
	*row = (struct row){ .story = story, .worker = worker };
	snprintf(row->point, sizeof(row->point), "%s", point);
	for (int i = 0; i < n_rows; i++)
		if (rows[i].story == story && rows[i].worker == worker &&
		    streq(rows[i].point, point))
			row->passes++;
	n_rows++;
}

static void read_traces(void)
{
	for (size_t i = 0; i < STORY_MAX; i++) {
		_cleanup_free_ char *text = strdup(table->traces[i]);
		char *save = NULL;

		for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
			char point[56], who[16];

			if (sscanf(l, "%55s %15s", point, who) != 2)
				continue;
			add_row((int)i, point, false);
			if (streq(who, "worker"))
				add_row((int)i, point, true);
		}
	}
}

static bool is_first(int i)
{
	for (int k = 0; k < i; k++)
		if (rows[k].worker == rows[i].worker && streq(rows[k].point, rows[i].point))
			return false;
	return true;
}

/* A journal is written at each step of a lease's life: each time counts. */
static bool is_of_journal(int i)
{
	return strncmp(rows[i].point, "JOURNAL_", 8) == 0;
}

static char *row_text(const struct row *row)
{
	return mock_asprintf("%s %s %d %s", story_name(row->story), row->point, row->passes,
			     row->worker ? "worker" : "daemon");
}

static void choose_rows(void)
{
	const char *only = getenv("VFIOD_TEST_POINT");
	static struct row chosen[ROWS_MAX];
	regex_t regex;
	int n = 0;

	if (only && regcomp(&regex, only, REG_EXTENDED | REG_NOSUB) != 0)
		abort();
	for (int i = 0; i < n_rows; i++) {
		_cleanup_free_ char *text = row_text(&rows[i]);

		if (only ? regexec(&regex, text, 0, NULL, 0) == 0
			 : getenv("VFIOD_TEST_ALL") ||
				    ((is_first(i) || is_of_journal(i)) && parallel_is_sampled(i)))
			chosen[n++] = rows[i];
	}
	if (only)
		regfree(&regex);
	memcpy(rows, chosen, (size_t)n * sizeof(rows[0]));
	n_rows = n;
}

START_TEST(crash_at_point)
{
	const struct row *row = &rows[parallel_row(_i)];
	_cleanup_free_ char *text = row_text(row);
	uint64_t from = bed_now();

	printf("%s …\n", text);
	fflush(stdout);
	fault_at(row->point, row->worker ? "worker" : "daemon", row->passes);
	tell_story(row->story);
	supervise();
	/* How often something is done is not the same each time, but once it is. */
	if (!fault_happened(row->point)) {
		ck_assert_msg(row->passes > 0, "%s: the point was not passed", text);
		printf("%s: not passed that often this time\n", text);
		return;
	}
	ck_assert_msg(crashes == (row->worker ? 0 : 1), "%s: %d crashes", text, crashes);
	printf("%s: killed, everything home (%d ms)\n", text, (int)(bed_now() - from) / 1000);
}
END_TEST

static Suite *of_stories(int n)
{
	Suite *suite = suite_create("stories");
	TCase *tcase = tcase_create("stories");

	tcase_add_checked_fixture(tcase, crash_start, crash_stop);
	tcase_set_timeout(tcase, 240);
	tcase_add_loop_test(tcase, without_a_crash, 0, n);
	suite_add_tcase(suite, tcase);
	return suite;
}

static Suite *of_points(int n)
{
	Suite *suite = suite_create("points");
	TCase *tcase = tcase_create("points");

	tcase_add_loop_test(tcase, every_point_is_passed, 0, n);
	suite_add_tcase(suite, tcase);
	return suite;
}

static Suite *of_crashes(int n)
{
	Suite *suite = suite_create("crash");
	TCase *tcase = tcase_create("matrix");

	tcase_add_checked_fixture(tcase, crash_start, crash_stop);
	tcase_set_timeout(tcase, 240);
	tcase_add_loop_test(tcase, crash_at_point, 0, n);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	int r;

	table = mmap(NULL, sizeof(*table), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (table == MAP_FAILED)
		return EXIT_FAILURE;
	r = parallel_main(of_stories, STORY_MAX);
	if (r != 0)
		return r;
	read_traces();
	r = bed_main(of_points(1), true);
	choose_rows();
	return parallel_main(of_crashes, n_rows) ?: r;
}
