/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Credentials: the dictionary that the bus answers with, good, odd and bad. */

#include "daemon/bus/creds.h"

#include "daemon/lease/lifeline.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* creds.c asks for the unit behind a ProcessFD; here nothing does. */
int process_unit(const struct host *host, int pidfd, char **unit)
{
	ck_abort_msg("not asked for by creds_parse()");
	return -ENOSYS;
}

static sd_bus *bus;
static sd_bus_message *message;
static int other_end = -EBADF;

/* Messages are made on a connection; this one never says a word. */
static void setup(void)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	other_end = pair[1];
	ck_assert_int_ge(sd_bus_new(&bus), 0);
	ck_assert_int_ge(sd_bus_set_fd(bus, pair[0], pair[0]), 0);
	ck_assert_int_ge(sd_bus_negotiate_fds(bus, 1), 0);
	ck_assert_int_ge(sd_bus_start(bus), 0);
	ck_assert_int_ge(sd_bus_message_new_method_call(bus, &message, NULL, "/x", "a.b", "C"), 0);
}

static void teardown(void)
{
	message = sd_bus_message_unref(message);
	sd_bus_close(bus);
	bus = sd_bus_unref(bus);
	fd_close(other_end);
}

static struct creds *parse(int expected)
{
	struct creds *creds = calloc(1, sizeof(*creds));

	ck_assert_int_ge(sd_bus_message_seal(message, 1, 0), 0);
	ck_assert_int_ge(sd_bus_message_rewind(message, 1), 0);
	ck_assert_int_eq(creds_parse(message, creds), expected);
	return creds;
}

START_TEST(test_full)
{
	_cleanup_(creds_freep) struct creds *creds = NULL;
	_cleanup_close_ int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct subject subject;
	struct stat a, b;

	ck_assert_int_ge(sd_bus_message_append(message, "a{sv}", 7, "ProcessID", "u", 4711,
					       "UnixUserID", "u", 1000, "LinuxSecurityLabel", "ay",
					       3, 'a', 'b', 0, "UnixGroupIDs", "au", 3, 1000, 27,
					       107, "ProcessFD", "h", fd, "org.example.New",
					       "a{sv}", 1, "x", "s", "y", "WindowsSID", "s", "S-1"),
			 0);
	creds = parse(0);
	ck_assert_uint_eq(creds->uid, 1000);
	ck_assert_int_eq(creds->pid, 4711);
	ck_assert_uint_eq(creds->n_gids, 3);
	ck_assert_uint_eq(creds->gids[0], 1000);
	ck_assert_uint_eq(creds->gids[2], 107);
	/* A duplicate of its own, closed on exec: the message's goes with the message. */
	ck_assert_int_ge(creds->pidfd, 0);
	ck_assert_int_ne(creds->pidfd, fd);
	ck_assert_int_eq(fcntl(creds->pidfd, F_GETFD), FD_CLOEXEC);
	message = sd_bus_message_unref(message);
	ck_assert_int_eq(fstat(creds->pidfd, &a), 0);
	ck_assert_int_eq(fstat(fd, &b), 0);
	ck_assert(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
	ck_assert(!creds->unit_known);
	subject = creds_subject(creds);
	ck_assert_uint_eq(subject.uid, 1000);
	ck_assert_uint_eq(subject.n_gids, 3);
	ck_assert_ptr_eq(subject.gids, creds->gids);
	ck_assert(!subject.unit_known);
}
END_TEST

/* dbus-daemon 1.14: no ProcessFD. And a bus without groups: no group, not root's. */
START_TEST(test_little)
{
	_cleanup_(creds_freep) struct creds *creds = NULL;

	ck_assert_int_ge(sd_bus_message_append(message, "a{sv}", 1, "UnixUserID", "u", 0), 0);
	creds = parse(0);
	ck_assert_uint_eq(creds->uid, 0);
	ck_assert_int_eq(creds->pid, 0);
	ck_assert_int_eq(creds->pidfd, -EBADF);
	ck_assert_uint_eq(creds->n_gids, 0);
}
END_TEST

START_TEST(test_no_groups_in_list)
{
	_cleanup_(creds_freep) struct creds *creds = NULL;

	ck_assert_int_ge(sd_bus_message_append(message, "a{sv}", 2, "UnixUserID", "u", 5,
					       "UnixGroupIDs", "au", 0),
			 0);
	creds = parse(0);
	ck_assert_uint_eq(creds->n_gids, 0);
}
END_TEST

/* Twice the same key, which no bus sends: the last one counts and nothing leaks. */
START_TEST(test_twice)
{
	_cleanup_(creds_freep) struct creds *creds = NULL;
	_cleanup_close_ int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	ck_assert_int_ge(sd_bus_message_append(message, "a{sv}", 5, "UnixUserID", "u", 5,
					       "UnixGroupIDs", "au", 1, 1, "UnixGroupIDs", "au", 2,
					       2, 3, "ProcessFD", "h", fd, "ProcessFD", "h", fd),
			 0);
	creds = parse(0);
	ck_assert_uint_eq(creds->n_gids, 2);
}
END_TEST

START_TEST(test_no_uid)
{
	_cleanup_(creds_freep) struct creds *creds = NULL;

	ck_assert_int_ge(sd_bus_message_append(message, "a{sv}", 1, "ProcessID", "u", 1), 0);
	creds = parse(-ENODATA);
}
END_TEST

START_TEST(test_empty)
{
	_cleanup_(creds_freep) struct creds *creds = NULL;

	ck_assert_int_ge(sd_bus_message_append(message, "a{sv}", 0), 0);
	creds = parse(-ENODATA);
}
END_TEST

/* (uid_t)-1 would mean "leave as it is" to many calls. */
START_TEST(test_uid_nobody_at_all)
{
	_cleanup_(creds_freep) struct creds *creds = NULL;

	ck_assert_int_ge(sd_bus_message_append(message, "a{sv}", 1, "UnixUserID", "u", UINT32_MAX),
			 0);
	creds = parse(-ENODATA);
}
END_TEST

static const struct {
	const char *key;
	char type;
	uint64_t value;
} wrong[] = {
	{ "UnixUserID", 'i', 1000 }, { "UnixUserID", 't', 1000 }, { "UnixGroupIDs", 'u', 1 },
	{ "ProcessID", 't', 1 },     { "ProcessFD", 'u', 0 },	  { "ProcessID", 'u', UINT32_MAX },
};

START_TEST(test_wrong_type)
{
	_cleanup_(creds_freep) struct creds *creds = NULL;
	const char type[] = { wrong[_i].type, '\0' };
	uint32_t small = (uint32_t)wrong[_i].value;

	ck_assert_int_ge(sd_bus_message_open_container(message, 'a', "{sv}"), 0);
	ck_assert_int_ge(sd_bus_message_append(message, "{sv}", "UnixUserID", "u", 1000), 0);
	ck_assert_int_ge(sd_bus_message_open_container(message, 'e', "sv"), 0);
	ck_assert_int_ge(sd_bus_message_append(message, "s", wrong[_i].key), 0);
	ck_assert_int_ge(sd_bus_message_open_container(message, 'v', type), 0);
	ck_assert_int_ge(sd_bus_message_append_basic(
				 message, wrong[_i].type,
				 wrong[_i].type == 't' ? (const void *)&wrong[_i].value : &small),
			 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_ge(sd_bus_message_close_container(message), 0);
	creds = parse(-EBADMSG);
}
END_TEST

START_TEST(test_not_a_dictionary)
{
	_cleanup_(creds_freep) struct creds *creds = NULL;

	ck_assert_int_ge(sd_bus_message_append(message, "as", 1, "UnixUserID"), 0);
	creds = parse(-EBADMSG);
}
END_TEST

START_TEST(test_nothing)
{
	_cleanup_(creds_freep) struct creds *creds = NULL;

	creds = parse(-EBADMSG);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("creds");
	TCase *tcase = tcase_create("creds");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, test_full);
	tcase_add_test(tcase, test_little);
	tcase_add_test(tcase, test_no_groups_in_list);
	tcase_add_test(tcase, test_twice);
	tcase_add_test(tcase, test_no_uid);
	tcase_add_test(tcase, test_empty);
	tcase_add_test(tcase, test_uid_nobody_at_all);
	tcase_add_loop_test(tcase, test_wrong_type, 0, ARRAY_SIZE(wrong));
	tcase_add_test(tcase, test_not_a_dictionary);
	tcase_add_test(tcase, test_nothing);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
