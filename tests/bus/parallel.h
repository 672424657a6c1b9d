/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Many tests that mostly wait: in several processes at once, each with beds of its own. All of a
 * suite's rows are run, each by one of them.
 */

#include <check.h>
#include <stdbool.h>

/*
 * Makes the suite of n rows in each process and runs it; 0 when all have passed in all of them.
 * $VFIOD_TEST_JOBS: how many (default 12).
 */
int parallel_main(Suite *(*make)(int n), int n_rows);
/* Of the rows of all, the one that a loop test's i is in this process. */
int parallel_row(int i);
/* With VFIOD_TEST_SAMPLE=N in the environment one row of N is; which, is random and printed. */
bool parallel_is_sampled(int i);
