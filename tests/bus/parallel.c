/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of parallel.h. */

#include "tests/bus/parallel.h"

#include "tests/bus/bed.h"

#include <err.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

static int jobs = 1, job;

int parallel_row(int i)
{
	return job + i * jobs;
}

bool parallel_is_sampled(int i)
{
	static unsigned int every, from;
	const char *wanted = getenv("VFIOD_TEST_SAMPLE");

	if (every == 0) {
		every = wanted && atoi(wanted) > 0 ? (unsigned int)atoi(wanted) : 1;
		if (getrandom(&from, sizeof(from), 0) != sizeof(from))
			from = 0;
		from %= every;
		if (every > 1)
			printf("a sample: one row of %u, from row %u\n", every, from);
	}
	return (unsigned int)i % every == from;
}

static int run_job(Suite *(*make)(int n), int n_rows)
{
	int r = bed_main(make((n_rows - job + jobs - 1) / jobs), true);

	fflush(NULL);
	return r;
}

int parallel_main(Suite *(*make)(int n), int n_rows)
{
	const char *wanted = getenv("VFIOD_TEST_JOBS");
	int result = n_rows > 0 ? EXIT_SUCCESS : EXIT_FAILURE, status;

	jobs = wanted ? atoi(wanted) : 12;
	if (jobs < 1)
		jobs = 1;
	if (jobs > n_rows)
		jobs = n_rows;
	fflush(NULL);
	for (job = 0; job < jobs; job++) {
		pid_t pid = fork();

		if (pid < 0)
			err(1, "fork");
		if (pid == 0)
			_exit(run_job(make, n_rows));
	}
	while (wait(&status) > 0)
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
			result = WIFEXITED(status) && WEXITSTATUS(status) == 77 ? 77 : EXIT_FAILURE;
	return result;
}
