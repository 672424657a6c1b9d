/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Who is seen to hold a lease's nodes: real processes with real fds of nodes that stand for
 * VFIO's, and those that must not be named. Needs root to make nodes.
 */

#include "daemon/lease/holders.h"
#include "tests/unit/fake-dev.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define OWNER 12345
#define OTHER 12346

static struct fake_dev fake;
static struct lease *lease, *whole;
static struct lease_holder *holders;
static size_t n_holders;
static pid_t children[80];
static size_t n_children;

static void setup(void)
{
	struct lease_device *d;

	fake_dev_init(&fake);
	fake_dev_group(&fake, 9, 3);
	fake_dev_group(&fake, 10, 5);
	fake_dev_device(&fake, "0000:03:00.0", 9, "vfio3", 7);
	fake_dev_device(&fake, "0000:04:00.0", 10, "vfio4", 8);
	close(fake.host.proc);
	fake.host.proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lease = lease_new("0123456789abcdef");
	lease->owner = OWNER;
	lease->state = LEASE_DRAINING;
	ck_assert_int_eq(lease_add_group(lease, 9, 1), 0);
	d = lease_add_device(lease, "0000:03:00.0");
	d->group = 9;
}

static void look(void)
{
	holders_free(holders, n_holders);
	ck_assert_int_eq(holders_find(&fake.host, lease, whole, &holders, &n_holders), 0);
}

static void teardown(void)
{
	for (size_t i = 0; i < n_children; i++) {
		kill(children[i], SIGKILL);
		waitpid(children[i], NULL, 0);
	}
	n_children = 0;
	holders_free(holders, n_holders);
	holders = NULL;
	lease_free(lease);
	whole = lease_free(whole);
	fake_dev_done(&fake);
}

/* A process of the uid that has a node open, and another one if it is given. */
static pid_t hold(uid_t uid, const char *name, const char *node, const char *other)
{
	int ready[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (openat(fake.host.dev, node, O_RDWR) < 0 ||
		    (other && openat(fake.host.dev, other, O_RDWR) < 0) ||
		    setresuid(uid, uid, uid) < 0)
			_exit(1);
		prctl(PR_SET_DUMPABLE, 1);
		prctl(PR_SET_NAME, name);
		if (write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	children[n_children++] = pid;
	return pid;
}

static void assert_holder(pid_t pid, const char *command)
{
	look();
	ck_assert_uint_eq(n_holders, 1);
	ck_assert_int_eq(holders[0].pid, pid);
	ck_assert_str_eq(holders[0].command, command);
}

static void assert_nobody(void)
{
	look();
	ck_assert_uint_eq(n_holders, 0);
}

START_TEST(test_group)
{
	pid_t pid;

	assert_nobody();
	hold(OWNER, "other", "vfio/10", NULL);
	assert_nobody();
	/* Whoever it is passed on to counts. */
	pid = hold(OTHER, "qemu", "vfio/9", NULL);
	assert_holder(pid, "qemu");
}
END_TEST

START_TEST(test_cdev)
{
	pid_t pid;

	hold(OWNER, "other", "vfio/devices/vfio4", NULL);
	assert_nobody();
	lease->state = LEASE_LEASED;
	pid = hold(OWNER, "qemu", "vfio/devices/vfio3", NULL);
	assert_holder(pid, "qemu");
}
END_TEST

/* While its device is being unbound, a cdev has no node any more. */
START_TEST(test_cdev_that_is_gone)
{
	pid_t pid = hold(OWNER, "qemu", "vfio/devices/vfio3", NULL);

	unlinkat(fake.host.dev, "vfio/devices/vfio3", 0);
	tree_remove(fake.root, "sys/bus/pci/devices/0000:03:00.0/vfio-dev");
	assert_holder(pid, "qemu");
	/* While it is leased nothing is guessed. */
	lease->state = LEASE_LEASED;
	assert_nobody();
	lease->state = LEASE_DRAINING;
	/* Nor of another uid, nor where the process is seen to have another lease's group. */
	lease->owner = OTHER;
	assert_nobody();
	hold(OTHER, "both", "vfio/10", NULL);
	assert_nobody();
}
END_TEST

/* What was taken out of a lease is held by who has the rest of it. */
START_TEST(test_part)
{
	pid_t pid =
		hold(OWNER, "qemu", "vfio/devices/vfio3", _i ? "vfio/10" : "vfio/devices/vfio4");
	struct lease_device *d;

	unlinkat(fake.host.dev, "vfio/devices/vfio3", 0);
	tree_remove(fake.root, "sys/bus/pci/devices/0000:03:00.0/vfio-dev");
	/* Of another lease: not suspected. */
	assert_nobody();
	whole = lease_new("fedcba9876543210");
	ck_assert_int_eq(lease_add_group(whole, 10, 1), 0);
	d = lease_add_device(whole, "0000:04:00.0");
	d->group = 10;
	assert_holder(pid, "qemu");
}
END_TEST

START_TEST(test_guess_gives_way)
{
	pid_t pid;

	fake_dev_node(&fake, "vfio/devices/vfio9", 7);
	hold(OWNER, "two", "vfio/devices/vfio9", "vfio/10");
	hold(OWNER, "maybe", "vfio/devices/vfio9", NULL);
	unlinkat(fake.host.dev, "vfio/devices/vfio9", 0);
	look();
	ck_assert_uint_eq(n_holders, 1);
	ck_assert_str_eq(holders[0].command, "maybe");
	pid = hold(OTHER, "sure", "vfio/9", NULL);
	assert_holder(pid, "sure");
}
END_TEST

START_TEST(test_hostile_names)
{
	pid_t pid = hold(OWNER, "a\nb\x1b\xff\"", "vfio/9", NULL);

	assert_holder(pid, "a?b??\"");
}
END_TEST

/* Files that only look like VFIO's. */
START_TEST(test_false_names)
{
	static const char *const files[] = { "vfio/9x", "vfio/-9", "vfio/9 (deleted)", "vfio/+9",
					     "vfio/4294967305" };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		fake_dev_node(&fake, files[i], 3);
		hold(OWNER, "false", files[i], NULL);
	}
	look();
	/* The third cannot be told from a group's node that is gone: a name for people, no more. */
	ck_assert_uint_le(n_holders, 1);
}
END_TEST

START_TEST(test_many)
{
	for (size_t i = 0; i < 70; i++)
		hold(OWNER, "many", "vfio/9", NULL);
	look();
	ck_assert_uint_eq(n_holders, 64);
}
END_TEST

/* The daemon's own child, which looks, is none. */
START_TEST(test_not_oneself)
{
	int fd = openat(fake.host.dev, "vfio/9", O_RDWR | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	assert_nobody();
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("holders");
	TCase *tc = tcase_create("holders");
	SRunner *runner;
	int failed;

	if (!fake_dev_possible()) {
		fprintf(stderr, "holders: making device nodes needs root: not run\n");
		return 77;
	}
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_group);
	tcase_add_test(tc, test_cdev);
	tcase_add_test(tc, test_cdev_that_is_gone);
	tcase_add_loop_test(tc, test_part, 0, 2);
	tcase_add_test(tc, test_guess_gives_way);
	tcase_add_test(tc, test_hostile_names);
	tcase_add_test(tc, test_false_names);
	tcase_add_test(tc, test_many);
	tcase_add_test(tc, test_not_oneself);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
