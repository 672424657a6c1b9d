/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reading the policy's files: which of them count, in what order, and everything that must not be
 * trusted or must not hang the reader. Runs as root or as anybody: where a file of somebody else
 * is needed, root gives one away, and others declare themselves to be somebody else.
 */

#include "daemon/policy-load.h"
#include "daemon/util/fd.h"
#include "daemon/util/trusted.h"

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char base[64];
static char dirs_paths[3][128];
static const char *dirs[4];

static const char *path_of(const char *format, ...) _printf_(1, 2);
static const char *path_of(const char *format, ...)
{
	static char path[8][512];
	static unsigned int next;
	char *p = path[next++ % 8];
	size_t n = (size_t)snprintf(p, sizeof(path[0]), "%s/", base);
	va_list ap;

	va_start(ap, format);
	vsnprintf(p + n, sizeof(path[0]) - n, format, ap);
	va_end(ap);
	return p;
}

static void put_text(const char *path, const char *text, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	ck_assert_msg(fd >= 0, "%s: %m", path);
	ck_assert_int_eq(write(fd, text, size), (ssize_t)size);
	ck_assert_int_eq(fchmod(fd, 0644), 0);
	close(fd);
}

/* A file with one rule of the given id. */
static void put_rule(const char *path, const char *id)
{
	char text[512];
	int n = snprintf(
		text, sizeof(text),
		"{\"version\":1,\"rules\":[{\"id\":\"%s\",\"subjects\":[{\"users\":\"*\"}],"
		"\"devices\":[{\"address\":\"*\"}],\"deny\":true}]}",
		id);

	put_text(path, text, (size_t)n);
}

static void make_dir(const char *path)
{
	ck_assert_msg(mkdir(path, 0755) == 0, "%s: %m", path);
	ck_assert_int_eq(chmod(path, 0755), 0);
}

/* etc, run and usr, of which the first is the strongest. */
static void setup(void)
{
	static const char *const names[] = { "etc", "run", "usr" };

	strcpy(base, "/tmp/vfiod-policy-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(base));
	ck_assert_int_eq(chmod(base, 0755), 0);
	for (size_t i = 0; i < 3; i++) {
		snprintf(dirs_paths[i], sizeof(dirs_paths[i]), "%s/%s", base, names[i]);
		make_dir(dirs_paths[i]);
		dirs[i] = dirs_paths[i];
	}
	dirs[3] = NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void teardown(void)
{
	ck_assert_int_eq(nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* Loads, and gives the ids of the rules in their order. */
static char *ids(void)
{
	_cleanup_(policy_error_done) struct policy_error error = { 0 };
	_cleanup_(policy_freep) struct policy *policy = NULL;
	_cleanup_strv_ char **v = NULL;
	int r = policy_load(dirs, getuid(), &policy, &error);

	ck_assert_msg(r == 0, "%d: %s", r, error.message);
	for (size_t i = 0; i < policy->n_rules; i++)
		ck_assert_int_eq(strv_extend(&v, policy->rules[i].id), 0);
	return strv_join(v, " ");
}

static void check_ids(const char *expected)
{
	_cleanup_free_ char *s = ids();

	ck_assert_str_eq(s, expected);
}

static void check_refused_as(uid_t owner, int expected, const char *path, const char *part)
{
	_cleanup_(policy_error_done) struct policy_error error = { 0 };
	struct policy *policy = NULL;
	int r = policy_load(dirs, owner, &policy, &error);

	ck_assert_ptr_null(policy);
	ck_assert_msg(r == expected, "%d: %s", r, error.message);
	ck_assert_ptr_nonnull(error.message);
	ck_assert_msg(strstr(error.message, path) != NULL, "%s", error.message);
	ck_assert_msg(strstr(error.message, part) != NULL, "%s", error.message);
}

static void check_refused(int expected, const char *path, const char *part)
{
	check_refused_as(getuid(), expected, path, part);
}

START_TEST(no_directory)
{
	static const char *const none[] = { "/tmp/vfiod-is-not-here/a", NULL };
	_cleanup_(policy_error_done) struct policy_error error = { 0 };
	_cleanup_(policy_freep) struct policy *policy = NULL;

	ck_assert_int_eq(policy_load(none, getuid(), &policy, &error), 0);
	ck_assert_uint_eq(policy->n_rules, 0);
	ck_assert_uint_eq(strv_length(policy->warnings), 1);
}
END_TEST

START_TEST(order_and_shadowing)
{
	put_rule(path_of("usr/99-default.json"), "usr99");
	put_rule(path_of("usr/20-a.json"), "usr20");
	put_rule(path_of("run/50-a.json"), "run50");
	put_rule(path_of("etc/30-a.json"), "etc30");
	check_ids("usr20 etc30 run50 usr99");
	/* The same name in an earlier directory. */
	put_rule(path_of("run/20-a.json"), "run20");
	check_ids("run20 etc30 run50 usr99");
	put_rule(path_of("etc/20-a.json"), "etc20");
	check_ids("etc20 etc30 run50 usr99");
	/* What is hidden is not even read. */
	put_text(path_of("run/20-a.json"), "broken", 6);
	check_ids("etc20 etc30 run50 usr99");
}
END_TEST

START_TEST(masking)
{
	put_rule(path_of("usr/20-a.json"), "usr20");
	put_rule(path_of("usr/99-default.json"), "usr99");
	put_text(path_of("etc/99-default.json"), "", 0);
	check_ids("usr20");
	ck_assert_int_eq(symlink("/dev/null", path_of("run/20-a.json")), 0);
	check_ids("");
	/* A mask is hidden as any other file is. */
	put_rule(path_of("etc/20-a.json"), "etc20");
	check_ids("etc20");
}
END_TEST

START_TEST(other_names)
{
	put_rule(path_of("etc/20-a.json"), "a");
	put_text(path_of("etc/README"), "x", 1);
	put_text(path_of("etc/20-a.json~"), "x", 1);
	put_text(path_of("etc/.20-a.json"), "x", 1);
	put_text(path_of("etc/.json"), "x", 1);
	put_text(path_of("etc/20-a.JSON"), "x", 1);
	put_text(path_of("etc/json"), "x", 1);
	check_ids("a");
}
END_TEST

START_TEST(paths_are_told)
{
	_cleanup_(policy_error_done) struct policy_error error = { 0 };
	_cleanup_(policy_freep) struct policy *policy = NULL;

	put_rule(path_of("usr/20-a.json"), "a");
	put_rule(path_of("etc/30-a.json"), "b");
	ck_assert_int_eq(policy_load(dirs, getuid(), &policy, &error), 0);
	ck_assert_uint_eq(strv_length(policy->files), 2);
	ck_assert_str_eq(policy->files[0], path_of("usr/20-a.json"));
	ck_assert_str_eq(policy->files[1], path_of("etc/30-a.json"));
	ck_assert_ptr_null(policy->warnings);
}
END_TEST

START_TEST(broken_is_refused_whole)
{
	char expected[256];

	put_rule(path_of("usr/20-a.json"), "a");
	put_text(path_of("etc/30-b.json"), "{\n 'x'", 6);
	snprintf(expected, sizeof(expected), "%s:2:2: ", path_of("etc/30-b.json"));
	check_refused(-EBADMSG, expected, "double quotes");
}
END_TEST

START_TEST(whitespace_is_no_mask)
{
	put_text(path_of("etc/30-b.json"), "\n", 1);
	check_refused(-EBADMSG, path_of("etc/30-b.json:2:1: "), "the file ends");
}
END_TEST

/* Owner: root gives it away; another user claims to be somebody else. */
static void check_foreign(const char *path, const char *part)
{
	if (getuid() == 0) {
		ck_assert_int_eq(lchown(path, 65534, 65534), 0);
		check_refused_as(0, -EPERM, path, part);
		/* It is that user's own, though. */
		_cleanup_(policy_error_done) struct policy_error error = { 0 };
		_cleanup_(policy_freep) struct policy *policy = NULL;

		ck_assert_int_eq(policy_load(dirs, 65534, &policy, &error), 0);
	} else {
		check_refused_as(getuid() + 1, -EPERM, base, "belongs to uid");
	}
}

START_TEST(foreign_file)
{
	put_rule(path_of("usr/20-a.json"), "a");
	check_foreign(path_of("usr/20-a.json"), "belongs to uid 65534 and not to root: refused");
}
END_TEST

START_TEST(foreign_mask)
{
	ck_assert_int_eq(symlink("/dev/null", path_of("run/20-a.json")), 0);
	check_foreign(path_of("run/20-a.json"), "belongs to uid 65534 and not to root: refused");
}
END_TEST

START_TEST(foreign_directory)
{
	check_foreign(path_of("run"), "belongs to uid 65534 and not to root: refused");
}
END_TEST

START_TEST(foreign_parent)
{
	static char above[128];

	make_dir(path_of("up"));
	make_dir(path_of("up/policy.d"));
	snprintf(above, sizeof(above), "%s", path_of("up/policy.d"));
	dirs[1] = above;
	check_foreign(path_of("up"), "belongs to uid 65534 and not to root: refused");
}
END_TEST

START_TEST(writable_file)
{
	static const mode_t modes[] = { 0664, 0646, 0622, 0602, 0620 };

	put_rule(path_of("usr/20-a.json"), "a");
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		ck_assert_int_eq(chmod(path_of("usr/20-a.json"), modes[i]), 0);
		check_refused(-EPERM, path_of("usr/20-a.json"), "can be written by others");
	}
	ck_assert_int_eq(chmod(path_of("usr/20-a.json"), 0755), 0);
	check_ids("a");
}
END_TEST

START_TEST(writable_directory)
{
	/* In a sticky directory nobody can replace a file; but everybody can add one. */
	static const mode_t modes[] = { 0775, 0757, 01777 };

	put_rule(path_of("usr/20-a.json"), "a");
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		ck_assert_int_eq(chmod(path_of("run"), modes[i]), 0);
		check_refused(-EPERM, path_of("run"), "can be written by others");
	}
	ck_assert_int_eq(chmod(path_of("run"), 0700), 0);
	check_ids("a");
}
END_TEST

START_TEST(writable_parent)
{
	static const mode_t modes[] = { 0775, 0757 };

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		ck_assert_int_eq(chmod(base, modes[i]), 0);
		check_refused(-EPERM, base, "can be written by others");
	}
	ck_assert_int_eq(chmod(base, 01777), 0);
	check_ids("");
}
END_TEST

/* A missing directory is fine, but not where somebody else could make it. */
START_TEST(missing_below_writable)
{
	static char missing[128];

	make_dir(path_of("open"));
	ck_assert_int_eq(chmod(path_of("open"), 0777), 0);
	snprintf(missing, sizeof(missing), "%s", path_of("open/policy.d"));
	dirs[0] = missing;
	check_refused(-EPERM, path_of("open"), "can be written by others");
}
END_TEST

START_TEST(linked_parent)
{
	static char linked[128], dotted[256];

	put_rule(path_of("usr/20-a.json"), "a");
	ck_assert_int_eq(symlink("usr", path_of("link")), 0);
	ck_assert_int_eq(symlink(base, path_of("absolute")), 0);
	snprintf(linked, sizeof(linked), "%s", path_of("absolute/link"));
	dirs[2] = linked;
	check_ids("a");
	snprintf(dotted, sizeof(dotted), "%s", path_of("./etc/..//absolute/../%s/usr/.", base + 5));
	dirs[2] = dotted;
	check_ids("a");
	/* What the link leads through is looked at, too. */
	ck_assert_int_eq(chmod(path_of("usr"), 0777), 0);
	check_refused(-EPERM, path_of("usr"), "can be written by others");
}
END_TEST

START_TEST(link_through_foreign)
{
	static char linked[128];

	make_dir(path_of("open"));
	make_dir(path_of("open/deep"));
	make_dir(path_of("open/deep/policy.d"));
	ck_assert_int_eq(chmod(path_of("open"), 0777), 0);
	ck_assert_int_eq(symlink("open/deep", path_of("link")), 0);
	snprintf(linked, sizeof(linked), "%s", path_of("link/policy.d"));
	dirs[1] = linked;
	check_refused(-EPERM, path_of("open"), "can be written by others");
}
END_TEST

START_TEST(link_loop)
{
	static char linked[128];

	ck_assert_int_eq(symlink("loop", path_of("loop")), 0);
	snprintf(linked, sizeof(linked), "%s", path_of("loop/policy.d"));
	dirs[1] = linked;
	check_refused(-ELOOP, linked, "cannot read");
}
END_TEST

START_TEST(not_a_directory)
{
	put_text(path_of("file"), "", 0);
	snprintf(dirs_paths[1], sizeof(dirs_paths[1]), "%s", path_of("file"));
	check_refused(-ENOTDIR, path_of("file"), "cannot read");
	snprintf(dirs_paths[1], sizeof(dirs_paths[1]), "%s", path_of("file/policy.d"));
	check_refused(-ENOTDIR, path_of("file"), "cannot read");
	snprintf(dirs_paths[1], sizeof(dirs_paths[1]), "relative");
	check_refused(-EINVAL, "relative", "cannot read");
}
END_TEST

START_TEST(linked_files)
{
	static const char *const targets[] = { "20-b",	    "../usr/20-a.json", "/dev/zero",
					       "nowhere",   "../dev/null",	"/dev/null/",
					       "//dev/null" };

	put_rule(path_of("etc/20-b"), "b");
	put_rule(path_of("usr/20-a.json"), "a");
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		ck_assert_int_eq(symlink(targets[i], path_of("etc/10-a.json")), 0);
		check_refused(-EPERM, path_of("etc/10-a.json"), "is a symbolic link: refused");
		ck_assert_int_eq(unlink(path_of("etc/10-a.json")), 0);
	}
}
END_TEST

START_TEST(no_regular_files)
{
	make_dir(path_of("etc/10-a.json"));
	check_refused(-EPERM, path_of("etc/10-a.json"), "is no regular file");
	ck_assert_int_eq(rmdir(path_of("etc/10-a.json")), 0);
	/* Nobody ever writes to it: who opened it the simple way would wait for ever. */
	ck_assert_int_eq(mkfifo(path_of("etc/10-a.json"), 0644), 0);
	check_refused(-EPERM, path_of("etc/10-a.json"), "is no regular file");
}
END_TEST

START_TEST(size_bound)
{
	static char text[POLICY_FILE_SIZE_MAX + 1];

	memset(text, ' ', sizeof(text));
	memcpy(text, "{\"version\":1}", 13);
	put_text(path_of("etc/10-a.json"), text, POLICY_FILE_SIZE_MAX);
	check_ids("");
	put_text(path_of("etc/10-a.json"), text, POLICY_FILE_SIZE_MAX + 1);
	check_refused(-EFBIG, path_of("etc/10-a.json"), "more than 1048576 bytes");
}
END_TEST

START_TEST(count_bound)
{
	for (int i = 0; i < POLICY_FILES_MAX; i++)
		put_text(path_of("run/%d.json", i), "", 0);
	check_ids("");
	put_text(path_of("etc/one-more.json"), "", 0);
	check_refused(-E2BIG, "1024", "policy files");
}
END_TEST

START_TEST(names_that_are_no_text)
{
	put_rule(path_of("etc/10-b\xc3\xbcro.json"), "a");
	check_ids("a");
	put_rule(path_of("etc/10-\xff.json"), "b");
	check_refused(-EPERM, path_of("etc"), "not printable");
	ck_assert_int_eq(unlink(path_of("etc/10-\xff.json")), 0);
	put_rule(path_of("etc/10-\033[2J.json"), "b");
	check_refused(-EPERM, path_of("etc"), "not printable");
}
END_TEST

static int load_one(const char *path, struct policy **policy, struct policy_error *error)
{
	return policy_load_files(&path, 1, policy, error);
}

/* For "vfiodctl policy check": whoever owns it, wherever it is. */
START_TEST(files_offline)
{
	_cleanup_(policy_error_done) struct policy_error error = { 0 };
	_cleanup_(policy_freep) struct policy *policy = NULL;
	const char *const paths[] = { path_of("z.json"), path_of("link") };

	put_rule(paths[0], "z");
	put_rule(path_of("a"), "a");
	ck_assert_int_eq(chmod(paths[0], 0666), 0);
	ck_assert_int_eq(symlink("a", paths[1]), 0);
	ck_assert_int_eq(policy_load_files(paths, 2, &policy, &error), 0);
	ck_assert_uint_eq(policy->n_rules, 2);
	ck_assert_str_eq(policy->rules[0].id, "z");
	ck_assert_str_eq(policy->rules[1].id, "a");
}
END_TEST

START_TEST(files_offline_errors)
{
	static char big[POLICY_FILE_SIZE_MAX + 1];
	_cleanup_(policy_error_done) struct policy_error error = { 0 };
	struct policy *policy = NULL;

	ck_assert_int_eq(load_one(path_of("none"), &policy, &error), -ENOENT);
	ck_assert_ptr_nonnull(strstr(error.message, "none: No such file"));
	ck_assert_int_eq(load_one(base, &policy, &error), -EISDIR);
	put_text(path_of("big"), big, sizeof(big));
	ck_assert_int_eq(load_one(path_of("big"), &policy, &error), -EFBIG);
	put_text(path_of("bad"), "{}", 2);
	ck_assert_int_eq(load_one(path_of("bad"), &policy, &error), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(error.message, "bad:1:1: "));
	ck_assert_int_eq(load_one("/dev/zero", &policy, &error), -EFBIG);
	ck_assert_ptr_null(policy);
}
END_TEST

START_TEST(files_offline_pipe)
{
	static const char text[] = "{\"version\":1,\"hotplug\":{\"probe\":\"broker\"}}";
	_cleanup_(policy_error_done) struct policy_error error = { 0 };
	_cleanup_(policy_freep) struct policy *policy = NULL;
	char path[64];
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	/* In two pieces, which a reader must put together. */
	ck_assert_int_eq(write(fds[1], text, 10), 10);
	if (fork() == 0) {
		usleep(50000);
		_exit(write(fds[1], text + 10, sizeof(text) - 11) < 0);
	}
	close(fds[1]);
	snprintf(path, sizeof(path), "/dev/fd/%d", fds[0]);
	ck_assert_msg(load_one(path, &policy, &error) == 0, "%s", error.message);
	ck_assert_int_eq(policy->probe, PROBE_BROKER);
	close(fds[0]);
	wait(NULL);
}
END_TEST

START_TEST(own_directories)
{
	ck_assert_str_eq(policy_dirs[0], SYSCONFDIR "/vfiod/policy.d");
	ck_assert_str_eq(policy_dirs[1], "/run/vfiod/policy.d");
	ck_assert_str_eq(policy_dirs[2], POLICYDIR);
	ck_assert_ptr_null(policy_dirs[3]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("policy-load");
	TCase *tests = tcase_create("policy-load");
	SRunner *runner;
	int failed;

	umask(0);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, no_directory);
	tcase_add_test(tests, order_and_shadowing);
	tcase_add_test(tests, masking);
	tcase_add_test(tests, other_names);
	tcase_add_test(tests, paths_are_told);
	tcase_add_test(tests, broken_is_refused_whole);
	tcase_add_test(tests, whitespace_is_no_mask);
	tcase_add_test(tests, foreign_file);
	tcase_add_test(tests, foreign_mask);
	tcase_add_test(tests, foreign_directory);
	tcase_add_test(tests, foreign_parent);
	tcase_add_test(tests, writable_file);
	tcase_add_test(tests, writable_directory);
	tcase_add_test(tests, writable_parent);
	tcase_add_test(tests, missing_below_writable);
	tcase_add_test(tests, linked_parent);
	tcase_add_test(tests, link_through_foreign);
	tcase_add_test(tests, link_loop);
	tcase_add_test(tests, not_a_directory);
	tcase_add_test(tests, linked_files);
	tcase_add_test(tests, no_regular_files);
	tcase_add_test(tests, size_bound);
	tcase_add_test(tests, count_bound);
	tcase_add_test(tests, names_that_are_no_text);
	tcase_add_test(tests, files_offline);
	tcase_add_test(tests, files_offline_errors);
	tcase_add_test(tests, files_offline_pipe);
	tcase_add_test(tests, own_directories);
	tcase_set_timeout(tests, 30);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
