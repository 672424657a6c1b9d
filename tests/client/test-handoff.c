/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The client's reader of the handoff socket, against peers that do everything wrong. Whatever
 * happens, no descriptor may be left over: each test counts the open ones before and after.
 */

#include "client/internal.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>

static int client, peer, before;
static struct handoff handoff;
static struct vfiod_error *error;

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	ck_assert_ptr_nonnull(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void setup(void)
{
	int fds[2];

	before = count_fds();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	client = fds[0];
	peer = fds[1];
	handoff = (struct handoff){};
	error = NULL;
}

static void teardown(void)
{
	handoff_done(&handoff);
	error = vfiod_error_free(error);
	close(client);
	if (peer >= 0)
		close(peer);
	ck_assert_int_eq(count_fds(), before);
}

/* One packet with n descriptors of /dev/null. */
static void put_bytes(const char *text, size_t size, size_t n)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * 64)];
		struct cmsghdr align;
	} control = {};
	struct iovec iov = { .iov_base = (char *)text, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (n > 0) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n);
		for (size_t i = 0; i < n; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(fd));
	}
	ck_assert_int_eq(sendmsg(peer, &msg, MSG_NOSIGNAL), (ssize_t)size);
	close(fd);
}

static void put(const char *text, size_t n)
{
	put_bytes(text, strlen(text), n);
}

static void hang_up(void)
{
	close(peer);
	peer = -1;
}

static void expect_failure(int err, const char *word)
{
	ck_assert_int_eq(handoff_receive(client, &handoff, &error), -err);
	ck_assert_ptr_nonnull(error);
	ck_assert_int_eq(vfiod_error_errno(error), err);
	ck_assert_msg(strstr(vfiod_error_message(error), word) != NULL, "\"%s\" is not in \"%s\"",
		      word, vfiod_error_message(error));
	ck_assert_uint_eq(handoff.n, 0);
	ck_assert_ptr_null(handoff.fds);
}

START_TEST(test_good)
{
	const struct handoff_fd *f;
	char byte;

	put("iommufd -", 1);
	put("device 0000:03:00.0", 1);
	put("device 0000:03:00.1", 1);
	put("end 3", 0);
	ck_assert_int_eq(handoff_receive(client, &handoff, &error), 0);
	ck_assert_ptr_null(error);
	ck_assert_uint_eq(handoff.n, 3);
	/* the byte that says "ready", and nothing else */
	ck_assert_int_eq(recv(peer, &byte, 1, MSG_DONTWAIT), 1);
	ck_assert_int_eq(recv(peer, &byte, 1, MSG_DONTWAIT), -1);

	f = handoff_find(&handoff, "device", "0000:03:00.1");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fcntl(f->fd, F_GETFD), FD_CLOEXEC);
	ck_assert_ptr_nonnull(handoff_find(&handoff, "iommufd", NULL));
	ck_assert_ptr_null(handoff_find(&handoff, "device", "0000:03:00.2"));
	ck_assert_ptr_null(handoff_find(&handoff, "group", NULL));
}
END_TEST

/* mode node */
START_TEST(test_empty)
{
	put("end 0", 0);
	ck_assert_int_eq(handoff_receive(client, &handoff, &error), 0);
	ck_assert_uint_eq(handoff.n, 0);
}
END_TEST

START_TEST(test_count_wrong)
{
	put("iommufd -", 1);
	put("end 2", 0);
	expect_failure(EPROTO, "number");
}
END_TEST

START_TEST(test_count_garbled)
{
	static const char *const ends[] = {
		"end",	 "end ",   "end -1", "end +1",
		"end x", "end 1x", "end  1", "end 99999999999999999999"
	};

	put("iommufd -", 1);
	put(ends[_i], 0);
	expect_failure(EPROTO, "last message");
}
END_TEST

START_TEST(test_end_with_fd)
{
	put("end 0", 1);
	expect_failure(EPROTO, "last message");
}
END_TEST

START_TEST(test_no_fd)
{
	put("iommufd -", 0);
	put("end 1", 0);
	expect_failure(EPROTO, "without its descriptor");
}
END_TEST

START_TEST(test_two_fds)
{
	put("iommufd -", 1);
	put("device a", 2);
	put("end 2", 0);
	expect_failure(EPROTO, "more than one");
}
END_TEST

/* More than the control buffer holds: the kernel drops the rest and sets MSG_CTRUNC. */
START_TEST(test_fd_flood)
{
	put("device a", 60);
	put("end 1", 0);
	expect_failure(EPROTO, "cut off");
}
END_TEST

START_TEST(test_long_message)
{
	char text[HANDOFF_MESSAGE_MAX + 100];

	memset(text, 'x', sizeof(text));
	put_bytes(text, sizeof(text), 1);
	expect_failure(EPROTO, "cut off");
}
END_TEST

/* The longest message that is allowed is read whole. */
START_TEST(test_longest_message)
{
	char text[HANDOFF_MESSAGE_MAX];

	memset(text, 'x', sizeof(text));
	memcpy(text, "error TimedOut ", 15);
	put_bytes(text, sizeof(text), 0);
	ck_assert_int_eq(handoff_receive(client, &handoff, &error), -ETIMEDOUT);
	ck_assert_uint_eq(strlen(vfiod_error_message(error)), sizeof(text) - 15);
}
END_TEST

START_TEST(test_nul_byte)
{
	put_bytes("device a\0b", 10, 1);
	expect_failure(EPROTO, "NUL");
}
END_TEST

START_TEST(test_garbled)
{
	static const char *const texts[] = { "device",	   "device ",	 " device a",
					     "dev\nice a", "device a b", "device \x1b[2J",
					     "device \xff" };

	put(texts[_i], 1);
	expect_failure(EPROTO, "KIND NAME");
}
END_TEST

START_TEST(test_twice)
{
	put("group 9", 1);
	put("group 9", 1);
	put("end 2", 0);
	expect_failure(EPROTO, "twice");
}
END_TEST

/* A kind that this library does not know is passed on: the program may. */
START_TEST(test_unknown_kind)
{
	put("token 0000:03:00.0", 1);
	put("end 1", 0);
	ck_assert_int_eq(handoff_receive(client, &handoff, &error), 0);
	ck_assert_ptr_nonnull(handoff_find(&handoff, "token", "0000:03:00.0"));
}
END_TEST

START_TEST(test_hang_up_early)
{
	put("iommufd -", 1);
	hang_up();
	/* the byte cannot be sent any more */
	expect_failure(EPIPE, "hung up");
}
END_TEST

static void *hang_up_after_byte(void *unused)
{
	char byte;

	ck_assert_int_eq(recv(peer, &byte, 1, 0), 1);
	put("iommufd -", 1);
	hang_up();
	return NULL;
}

START_TEST(test_hang_up_in_the_middle)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, hang_up_after_byte, NULL), 0);
	expect_failure(ECONNRESET, "hung up");
	pthread_join(thread, NULL);
}
END_TEST

/* It closes with our byte unread: the kernel says ECONNRESET before what was sent. */
static void *close_unread(void *unused)
{
	char byte;

	while (recv(peer, &byte, 1, MSG_PEEK) < 0)
		;
	put("iommufd -", 1);
	put("end 1", 0);
	hang_up();
	return NULL;
}

START_TEST(test_byte_unread)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, close_unread, NULL), 0);
	ck_assert_int_eq(handoff_receive(client, &handoff, &error), 0);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(handoff.n, 1);
}
END_TEST

START_TEST(test_empty_packet)
{
	put("", 0);
	put("end 0", 0);
	expect_failure(ECONNRESET, "hung up");
}
END_TEST

START_TEST(test_errors)
{
	static const struct {
		const char *text, *name;
		int err;
		enum vfiod_error_code code;
	} cases[] = {
		{ "error GroupBusy The VMM has them.", "org.vfiod1.Error.GroupBusy", EBUSY,
		  VFIOD_ERROR_GROUP_BUSY },
		{ "error org.vfiod1.Error.UnsafeInterrupts No.",
		  "org.vfiod1.Error.UnsafeInterrupts", EPERM, VFIOD_ERROR_UNSAFE_INTERRUPTS },
		{ "error Unheard Of it.", "org.vfiod1.Error.Unheard", EIO, VFIOD_ERROR_OTHER },
		{ "error TimedOut", "org.vfiod1.Error.TimedOut", ETIMEDOUT, VFIOD_ERROR_TIMED_OUT },
	};

	put("iommufd -", 1);
	put(cases[_i].text, 0);
	ck_assert_int_eq(handoff_receive(client, &handoff, &error), -cases[_i].err);
	ck_assert_str_eq(vfiod_error_name(error), cases[_i].name);
	ck_assert_int_eq(vfiod_error_code(error), cases[_i].code);
	ck_assert(vfiod_error_message(error)[0]);
	ck_assert_uint_eq(handoff.n, 0);
}
END_TEST

START_TEST(test_error_garbled)
{
	static const char *const texts[] = { "error", "error ", "error \n x" };

	put(texts[_i], 0);
	expect_failure(EPROTO, "garbled");
}
END_TEST

START_TEST(test_error_with_fd)
{
	put("error GroupBusy x", 1);
	expect_failure(EPROTO, "garbled");
}
END_TEST

/* This process may open no more: the kernel drops the descriptor. */
START_TEST(test_no_room)
{
	struct rlimit limit, old;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	put("iommufd -", 1);
	put("end 1", 0);
	limit = old;
	limit.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(handoff_receive(client, &handoff, &error), -EPROTO);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	ck_assert_ptr_nonnull(strstr(vfiod_error_message(error), "limit"));
}
END_TEST

static void *send_too_many(void *unused)
{
	char text[32];

	for (unsigned int i = 0; i <= HANDOFF_FDS_MAX; i++) {
		snprintf(text, sizeof(text), "device %u", i);
		put(text, 1);
	}
	return NULL;
}

START_TEST(test_too_many)
{
	struct rlimit limit = { .rlim_cur = 4096, .rlim_max = 4096 };
	pthread_t thread;

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, send_too_many, NULL), 0);
	expect_failure(EPROTO, "too many");
	pthread_join(thread, NULL);
}
END_TEST

START_TEST(test_not_a_handoff)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_int_eq(handoff_receive(fds[0], &handoff, &error), -EPROTO);
	ck_assert_ptr_nonnull(strstr(vfiod_error_message(error), "not a handoff"));
	error = vfiod_error_free(error);
	ck_assert_int_eq(handoff_receive(STDIN_FILENO, &handoff, &error), -EPROTO);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

/* Every failure can be asked for without wanting to know why. */
START_TEST(test_no_error_wanted)
{
	put("end 7", 0);
	ck_assert_int_eq(handoff_receive(client, &handoff, NULL), -EPROTO);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("handoff");
	TCase *tc = tcase_create("handoff");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_good);
	tcase_add_test(tc, test_empty);
	tcase_add_test(tc, test_count_wrong);
	tcase_add_loop_test(tc, test_count_garbled, 0, 8);
	tcase_add_test(tc, test_end_with_fd);
	tcase_add_test(tc, test_no_fd);
	tcase_add_test(tc, test_two_fds);
	tcase_add_test(tc, test_fd_flood);
	tcase_add_test(tc, test_long_message);
	tcase_add_test(tc, test_longest_message);
	tcase_add_test(tc, test_nul_byte);
	tcase_add_loop_test(tc, test_garbled, 0, 7);
	tcase_add_test(tc, test_twice);
	tcase_add_test(tc, test_unknown_kind);
	tcase_add_test(tc, test_hang_up_early);
	tcase_add_test(tc, test_hang_up_in_the_middle);
	tcase_add_test(tc, test_byte_unread);
	tcase_add_test(tc, test_empty_packet);
	tcase_add_loop_test(tc, test_errors, 0, 4);
	tcase_add_loop_test(tc, test_error_garbled, 0, 3);
	tcase_add_test(tc, test_error_with_fd);
	tcase_add_test(tc, test_no_room);
	tcase_add_test(tc, test_too_many);
	tcase_add_test(tc, test_not_a_handoff);
	tcase_add_test(tc, test_no_error_wanted);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
