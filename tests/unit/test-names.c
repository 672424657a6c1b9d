/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Asking for names outside the event loop. This program has its own getpwnam_r() and
 * getgrnam_r(), which take the place of the C library's: names that are there, are not, hang,
 * crash, or report what they see of the process that asks.
 */

#include "daemon/name-find.h"
#include "daemon/names.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* The C library's "struct group" is another than the topology's. */
#define group libc_group
#include <grp.h>
#undef group
#include <pwd.h>

static unsigned int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	for (struct dirent *d = readdir(dir); d; d = readdir(dir))
		if (d->d_name[0] != '.' && atoi(d->d_name) > 2 && atoi(d->d_name) != dirfd(dir))
			n++;
	closedir(dir);
	return n;
}

static unsigned int count_blocked(void)
{
	unsigned int n = 0;
	sigset_t set;

	sigprocmask(SIG_BLOCK, NULL, &set);
	for (int i = 1; i < NSIG; i++)
		n += sigismember(&set, i) == 1;
	return n;
}

/* What happens on a name. Returns an errno; *id of UINT32_MAX: there is none. */
static int happen(const char *name, size_t size, uint32_t *id)
{
	*id = UINT32_MAX;
	if (strncmp(name, "u", 1) == 0 && name[1] >= '0' && name[1] <= '9')
		*id = (uint32_t)strtoul(name + 1, NULL, 10);
	else if (streq(name, "hang"))
		for (;;)
			pause();
	else if (streq(name, "crash"))
		raise(SIGKILL);
	else if (streq(name, "leave"))
		_exit(0);
	else if (streq(name, "eio"))
		return EIO;
	else if (streq(name, "enoent"))
		return ENOENT;
	else if (streq(name, "large") && size < 300000)
		return ERANGE;
	else if (streq(name, "huge"))
		return ERANGE;
	else if (streq(name, "large"))
		*id = 77;
	else if (streq(name, "fds"))
		*id = count_fds();
	else if (streq(name, "blocked"))
		*id = count_blocked();
	else if (streq(name, "pid"))
		*id = (uint32_t)getpid();
	return 0;
}

int getpwnam_r(const char *name, struct passwd *entry, char *buffer, size_t size,
	       struct passwd **result)
{
	uint32_t id;
	int error = happen(name, size, &id);

	*result = NULL;
	if (error || id == UINT32_MAX)
		return error;
	memset(entry, 0, sizeof(*entry));
	entry->pw_uid = id;
	*result = entry;
	return 0;
}

int getgrnam_r(const char *name, struct libc_group *entry, char *buffer, size_t size,
	       struct libc_group **result)
{
	uint32_t id;
	int error = happen(name, size, &id);

	*result = NULL;
	if (error || id == UINT32_MAX)
		return error;
	memset(entry, 0, sizeof(*entry));
	entry->gr_gid = id + 1000000;
	*result = entry;
	return 0;
}

#define V(...) ((char **)(const char *[]){ __VA_ARGS__, NULL })

struct outcome {
	int calls, error;
	uint32_t users[8], groups[8];
	bool found_users[8], found_groups[8];
	size_t n_users, n_groups;
	bool free_inside;
};

static sd_event *event;

static void setup(void)
{
	sigset_t set;

	/* As the daemon has it. */
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	ck_assert_int_ge(sd_event_new(&event), 0);
}

static void teardown(void)
{
	event = sd_event_unref(event);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}

static void on_done(struct name_query *query, int error, const struct policy_name *users,
		    size_t n_users, const struct policy_name *groups, size_t n_groups,
		    void *userdata)
{
	struct outcome *outcome = userdata;

	outcome->calls++;
	outcome->error = error;
	outcome->n_users = n_users;
	outcome->n_groups = n_groups;
	for (size_t i = 0; i < n_users && i < 8; i++) {
		outcome->users[i] = users[i].id;
		outcome->found_users[i] = users[i].found;
	}
	for (size_t i = 0; i < n_groups && i < 8; i++) {
		outcome->groups[i] = groups[i].id;
		outcome->found_groups[i] = groups[i].found;
	}
	if (outcome->free_inside)
		name_query_free(query);
}

static void run_until(const int *calls, int n)
{
	while (*calls < n)
		ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);
}

/* Lets the loop do what is left, until no child is there. */
static void run_until_reaped(void)
{
	siginfo_t si;

	for (int i = 0; i < 500; i++) {
		ck_assert_int_ge(sd_event_run(event, 10000), 0);
		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0)
			return;
	}
	ck_abort_msg("a child is left");
}

static void ask(char *const *users, char *const *groups, uint64_t timeout, struct outcome *outcome)
{
	_cleanup_(name_query_freep) struct name_query *query = NULL;

	ck_assert_int_eq(name_query_start(event, users, groups, timeout, on_done, outcome, &query),
			 0);
	ck_assert_int_eq(outcome->calls, 0);
	run_until(&outcome->calls, 1);
	query = name_query_free(query);
	run_until_reaped();
	ck_assert_int_eq(outcome->calls, 1);
}

START_TEST(found_and_not)
{
	struct outcome o = { 0 };

	ask(V("u5", "nobody-of-this-name", "u0", "enoent", "large"), V("u5", "x"),
	    NAMES_TIMEOUT_USEC, &o);
	ck_assert_int_eq(o.error, 0);
	ck_assert_uint_eq(o.n_users, 5);
	ck_assert_uint_eq(o.n_groups, 2);
	ck_assert(o.found_users[0] && !o.found_users[1] && o.found_users[2]);
	ck_assert(!o.found_users[3] && o.found_users[4]);
	ck_assert_uint_eq(o.users[0], 5);
	ck_assert_uint_eq(o.users[2], 0);
	ck_assert_uint_eq(o.users[4], 77);
	ck_assert(o.found_groups[0] && !o.found_groups[1]);
	ck_assert_uint_eq(o.groups[0], 1000005);
}
END_TEST

START_TEST(nothing_to_ask)
{
	struct outcome o = { 0 };

	ask(NULL, NULL, NAMES_TIMEOUT_USEC, &o);
	ck_assert_int_eq(o.error, 0);
	ck_assert_uint_eq(o.n_users + o.n_groups, 0);
}
END_TEST

static const struct {
	const char *name;
	int error;
} failures[] = {
	{ "hang", -ETIMEDOUT }, { "crash", -EIO },   { "leave", -EIO },
	{ "eio", -EIO },	{ "huge", -ERANGE },
};

START_TEST(failure)
{
	struct outcome o = { 0 }, g = { 0 };
	uint64_t timeout = failures[_i].error == -ETIMEDOUT ? 50000 : NAMES_TIMEOUT_USEC;

	ask(V("u5", failures[_i].name, "u6"), NULL, timeout, &o);
	ck_assert_int_eq(o.error, failures[_i].error);
	ask(V("u5"), V("u1", failures[_i].name), timeout, &g);
	ck_assert_int_eq(g.error, failures[_i].error);
}
END_TEST

/* Many more than a socket holds. */
START_TEST(many)
{
	_cleanup_strv_ char **users = calloc(20001, sizeof(char *));
	struct outcome o = { 0 };

	for (int i = 0; i < 20000; i++)
		ck_assert_int_gt(asprintf(&users[i], "u%d", i), 0);
	ask(users, NULL, 10 * NAMES_TIMEOUT_USEC, &o);
	ck_assert_int_eq(o.error, 0);
	ck_assert_uint_eq(o.n_users, 20000);
	ck_assert_uint_eq(o.users[7], 7);
}
END_TEST

/* The name service sees nothing of the daemon: no fd but its own socket, no blocked signal. */
START_TEST(clean_child)
{
	struct outcome o = { 0 };
	int fd = open("/dev/null", O_RDONLY); /* one that even exec would inherit */

	ask(V("fds", "blocked", "pid"), NULL, NAMES_TIMEOUT_USEC, &o);
	ck_assert_int_eq(o.error, 0);
	ck_assert_uint_eq(o.users[0], 1);
	ck_assert_uint_eq(o.users[1], 0);
	ck_assert_uint_ne(o.users[2], (uint32_t)getpid());
	close(fd);
}
END_TEST

START_TEST(cancel)
{
	struct name_query *query = NULL;
	struct outcome o = { 0 };

	ck_assert_int_eq(
		name_query_start(event, V("hang"), NULL, NAMES_TIMEOUT_USEC, on_done, &o, &query),
		0);
	ck_assert_int_ge(sd_event_run(event, 50000), 0);
	ck_assert_ptr_null(name_query_free(query));
	run_until_reaped();
	ck_assert_int_eq(o.calls, 0);
	ck_assert_ptr_null(name_query_free(NULL));
}
END_TEST

START_TEST(free_in_callback)
{
	char *const *const users[] = { NULL, V("u5"), V("hang"), V("crash") };

	for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
		struct outcome o = { .free_inside = true };
		struct name_query *query = NULL;

		ck_assert_int_eq(
			name_query_start(event, users[i], NULL, 50000, on_done, &o, &query), 0);
		run_until(&o.calls, 1);
		run_until_reaped();
		ck_assert_int_eq(o.calls, 1);
	}
}
END_TEST

/* One that hangs does not hold up another. */
START_TEST(side_by_side)
{
	struct name_query *slow = NULL;
	struct outcome o = { 0 }, hanging = { 0 };

	ck_assert_int_eq(name_query_start(event, V("hang"), NULL, NAMES_TIMEOUT_USEC, on_done,
					  &hanging, &slow),
			 0);
	for (int i = 0; i < 20; i++) {
		struct name_query *query = NULL;

		o = (struct outcome){ .free_inside = true };
		ck_assert_int_eq(name_query_start(event, V("u5"), V("u6"), NAMES_TIMEOUT_USEC,
						  on_done, &o, &query),
				 0);
		run_until(&o.calls, 1);
		ck_assert_int_eq(o.error, 0);
	}
	ck_assert_int_eq(hanging.calls, 0);
	name_query_free(slow);
	run_until_reaped();
}
END_TEST

/* All the way: a policy, its names, and what is made of the answers, here and now. */
static int resolve(const char *user, const char *key, struct policy **policy,
		   struct policy_error *error)
{
	char text[512];
	struct policy_file file = { "/p/a.json", text, 0 };

	file.size = (size_t)snprintf(text, sizeof(text),
				     "{\"version\":1,\"rules\":[{\"id\":\"r\",\"subjects\":"
				     "[{\"users\":\"%s\"},{\"groups\":\"u8\"}],"
				     "\"devices\":[{\"address\":\"*\"}],%s}]}",
				     user, key);
	ck_assert_int_eq(policy_parse(&file, 1, policy, error), 0);
	return policy_resolve_now(*policy, error);
}

START_TEST(resolve_now)
{
	_cleanup_(policy_error_done) struct policy_error error = { 0 };
	struct policy *policy = NULL;

	ck_assert_int_eq(resolve("u7", "\"deny\":true", &policy, &error), 0);
	ck_assert_uint_eq(policy->rules[0].subjects[0].uids[0], 7);
	ck_assert_uint_eq(policy->rules[0].subjects[1].gids[0], 1000008);
	policy_free(policy);
	ck_assert_int_eq(resolve("gone", "\"allow\":[\"acquire\"]", &policy, &error), 0);
	ck_assert_uint_eq(strv_length(policy->warnings), 1);
	policy_free(policy);
	ck_assert_int_eq(resolve("gone", "\"deny\":true", &policy, &error), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(error.message, "/p/a.json:1:54: there is no user \"gone\""));
	policy_free(policy);
	ck_assert_int_eq(resolve("eio", "\"allow\":[\"acquire\"]", &policy, &error), -EIO);
	ck_assert_ptr_nonnull(strstr(error.message, "\"eio\""));
	policy_free(policy);
}
END_TEST

START_TEST(find)
{
	uint32_t id = 0;

	ck_assert_int_eq(name_find_user("u9", &id), 0);
	ck_assert_uint_eq(id, 9);
	ck_assert_int_eq(name_find_group("u9", &id), 0);
	ck_assert_uint_eq(id, 1000009);
	ck_assert_int_eq(name_find_user("x", &id), -ENOENT);
	ck_assert_int_eq(name_find_user("eio", &id), -EIO);
	ck_assert_int_eq(name_find_group("huge", &id), -ERANGE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("names");
	TCase *tests = tcase_create("names");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, found_and_not);
	tcase_add_test(tests, nothing_to_ask);
	tcase_add_loop_test(tests, failure, 0, ARRAY_SIZE(failures));
	tcase_add_test(tests, many);
	tcase_add_test(tests, clean_child);
	tcase_add_test(tests, cancel);
	tcase_add_test(tests, free_in_callback);
	tcase_add_test(tests, side_by_side);
	tcase_add_test(tests, resolve_now);
	tcase_add_test(tests, find);
	tcase_set_timeout(tests, 60);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
