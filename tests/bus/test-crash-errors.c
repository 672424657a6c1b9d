/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Every system call that can fail while a lease comes, changes and goes does: writes to sysfs and
 * to nodes, what is asked of VFIO, and each call on a journal. Each story (stories.h) is told once
 * to count them, and then once for each of them, which fails, with one errno after the other; with
 * every second one the daemon is killed right after. The story comes to its end all the same, with
 * the invariants held.
 *
 *   VFIOD_TEST_SEED=N       which errno comes with which call; each run prints its own
 *   VFIOD_TEST_POINT=REGEX  only rows that match: "pair 12 EIO"
 *   VFIOD_TEST_ALL=1        each call with each errno, with and without a crash
 */

#include "tests/bus/parallel.h"
#include "tests/bus/stories.h"

#include <regex.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>

/* The last: it says that it did, and did not; of a write to a journal, a short one. */
static const char *const errors[] = { "EIO", "ENOSPC", "EBUSY", "ENOENT", "ignore" };
#define ERRORS (unsigned int)ARRAY_SIZE(errors)

#define ROWS_MAX 16384

static struct table {
	unsigned int calls[STORY_MAX];
	bool failed[ROWS_MAX];
} * table;

static struct row {
	int story;
	unsigned int number;
	unsigned int error;
	bool crash;
} rows[ROWS_MAX];
static int n_rows;

static void fail_at(unsigned int number, const char *error)
{
	_cleanup_free_ char *text = mock_asprintf("%s %u\n", error, number);

	tree_write(bed.host->fd, text, "fail-at");
}

START_TEST(without_a_fault)
{
	int story = parallel_row(_i);
	_cleanup_free_ char *calls = NULL;

	fail_at(UINT32_MAX, "EIO");
	tell_story(story);
	calls = tree_read(bed.host->fd, "calls");
	ck_assert_ptr_nonnull(calls);
	table->calls[story] = (unsigned int)atoi(calls);
	printf("%s: %s calls that can fail\n", story_name(story), calls);
}
END_TEST

static char *row_text(const struct row *row)
{
	return mock_asprintf("%s %u %s%s", story_name(row->story), row->number, errors[row->error],
			     row->crash ? " crash" : "");
}

START_TEST(call_fails)
{
	int i = parallel_row(_i);
	const struct row *row = &rows[i];
	_cleanup_free_ char *text = row_text(row), *which = NULL;

	printf("%s …\n", text);
	fflush(stdout);
	fail_at(row->number, errors[row->error]);
	crash_after_failure = row->crash;
	tell_story(row->story);
	supervise();
	which = tree_read(bed.host->fd, "failed");
	table->failed[i] = which;
	printf("%s: %s%s\n", text, which ?: "not that many calls this time",
	       which ? ", everything home" : "");
}
END_TEST

/* How many calls there are is not the same each time, but nearly. */
START_TEST(calls_have_failed)
{
	int n = 0;

	for (int i = 0; i < n_rows; i++)
		n += table->failed[i];
	printf("%d calls have failed, of %d\n", n, n_rows);
	ck_assert_int_ge(n, n_rows - n_rows / 8);
}
END_TEST

/* ---- which rows */

static unsigned int get_seed(void)
{
	const char *wanted = getenv("VFIOD_TEST_SEED");
	unsigned int seed;

	if (wanted)
		return (unsigned int)strtoul(wanted, NULL, 10);
	return getrandom(&seed, sizeof(seed), 0) == sizeof(seed) ? seed % 1000 : 0;
}

static void add_row(int story, unsigned int number, unsigned int error, bool crash)
{
	static int n;

	if (n_rows < ROWS_MAX && parallel_is_sampled(n++))
		rows[n_rows++] = (struct row){ story, number, error, crash };
}

static void make_rows(bool all)
{
	unsigned int seed = get_seed();

	printf("seed %u: VFIOD_TEST_SEED=%u replays it\n", seed, seed);
	for (int s = 0; s < STORY_MAX; s++)
		for (unsigned int k = 0; k < table->calls[s]; k++)
			for (unsigned int e = 0; e < (all ? 2 * ERRORS : 1); e++)
				add_row(s, k, all ? e / 2 : (k + seed) % ERRORS,
					(all ? e : (k + seed) / ERRORS) % 2);
}

static void keep_rows(const char *only)
{
	regex_t regex;
	int n = 0;

	if (regcomp(&regex, only, REG_EXTENDED | REG_NOSUB) != 0)
		abort();
	for (int i = 0; i < n_rows; i++) {
		_cleanup_free_ char *text = row_text(&rows[i]);

		if (regexec(&regex, text, 0, NULL, 0) == 0)
			rows[n++] = rows[i];
	}
	n_rows = n;
	regfree(&regex);
}

static Suite *suite_of(const char *name, const TTest *test, bool bed_too, int n)
{
	Suite *suite = suite_create(name);
	TCase *tcase = tcase_create(name);

	if (bed_too)
		tcase_add_checked_fixture(tcase, crash_start, crash_stop);
	tcase_set_timeout(tcase, 240);
	tcase_add_loop_test(tcase, test, 0, n);
	suite_add_tcase(suite, tcase);
	return suite;
}

static Suite *of_stories(int n)
{
	return suite_of("stories", without_a_fault, true, n);
}

static Suite *of_failures(int n)
{
	return suite_of("crash-errors", call_fails, true, n);
}

int main(void)
{
	const char *only = getenv("VFIOD_TEST_POINT");
	int r;

	table = mmap(NULL, sizeof(*table), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (table == MAP_FAILED)
		return EXIT_FAILURE;
	r = parallel_main(of_stories, STORY_MAX);
	if (r != 0)
		return r;
	make_rows(only || getenv("VFIOD_TEST_ALL"));
	if (only)
		keep_rows(only);
	r = parallel_main(of_failures, n_rows);
	if (r != 0 || only)
		return r;
	return bed_main(suite_of("count", calls_have_failed, false, 1), true);
}
