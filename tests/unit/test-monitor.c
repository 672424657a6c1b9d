/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Events: what they carry, both sources, bursts that do not starve the loop, losses. Mocked by
 * umockdev, for which the program runs itself again with its library preloaded; losses are the
 * kernel's own, in a network namespace.
 */

#include "daemon/sysfs/monitor.h"
#include "policy/base.h"

#include <check.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <umockdev.h>
#include <unistd.h>

#define SKIPPED 77

struct seen {
	char **events; /* "kernel add pci NAME" */
	size_t n[2];
	size_t lost[2];
	struct monitor *monitor;
	size_t free_after;
	uint64_t last_seqnum;
};

static sd_event *loop;
static struct seen seen;

static void on_event(const struct uevent *event, void *userdata)
{
	struct seen *s = userdata;

	s->n[event->udev]++;
	s->last_seqnum = event->seqnum;
	ck_assert_uint_gt(event->usec, 0);
	if (strv_length(s->events) < 64)
		ck_assert_int_eq(strv_extendf(&s->events, "%s %s %s %s %s %s %s",
					      event->udev ? "udev" : "kernel", event->action,
					      event->subsystem, event->name, event->syspath,
					      event->driver ?: "-", event->devnode ?: "-"),
				 0);
	if (s->free_after && s->n[0] + s->n[1] == s->free_after)
		s->monitor = monitor_free(s->monitor);
}

static void on_lost(bool udev, void *userdata)
{
	struct seen *s = userdata;

	s->lost[udev]++;
}

static const struct monitor_ops ops = { .event = on_event, .lost = on_lost };

static void setup(void)
{
	ck_assert_int_ge(sd_event_new(&loop), 0);
	seen = (struct seen){ 0 };
}

static void teardown(void)
{
	monitor_free(seen.monitor);
	strv_free(seen.events);
	sd_event_unref(loop);
}

static void start(void)
{
	ck_assert_int_eq(monitor_new(loop, &ops, &seen, &seen.monitor), 0);
}

/* Turns the loop until nothing comes any more; returns the number of turns. */
static size_t run(void)
{
	size_t turns = 0;

	while (sd_event_run(loop, 100000) > 0)
		turns++;
	return turns;
}

static bool has(const char *event)
{
	return strv_contains(seen.events, event);
}

static char *add(UMockdevTestbed *bed, const char *subsystem, const char *name)
{
	char *path = umockdev_testbed_add_device(bed, subsystem, name, NULL, NULL, "DRIVER",
						 "vfio-pci", NULL);

	ck_assert_ptr_nonnull(path);
	return path;
}

START_TEST(sources)
{
	UMockdevTestbed *bed = umockdev_testbed_new();
	char *pci, *input;

	start();
	/* Adding sends "add". */
	pci = add(bed, "pci", "0000:03:00.0");
	input = add(bed, "input", "event7");
	/* What is nobody's business is not delivered. */
	umockdev_testbed_uevent(bed, input, "add");
	umockdev_testbed_uevent(bed, pci, "bind");
	umockdev_testbed_uevent(bed, pci, "remove");
	run();
	for (int udev = 0; udev < 2; udev++) {
		static const char *const actions[] = { "add", "bind", "remove" };

		_cleanup_free_ char *all = strv_join(seen.events, ", ");

		ck_assert_msg(seen.n[udev] == 3, "%s", all);
		ck_assert_uint_eq(seen.lost[udev], 0);
		for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
			char *want;

			ck_assert_int_gt(asprintf(&want,
						  "%s %s pci 0000:03:00.0 "
						  "/sys/devices/0000:03:00.0 vfio-pci -",
						  udev ? "udev" : "kernel", actions[i]),
					 0);
			ck_assert_msg(has(want), "%s", want);
			free(want);
		}
	}
	g_free(pci);
	g_free(input);
	g_object_unref(bed);
}
END_TEST

/* A callback may free the monitor that called it. */
START_TEST(freed_by_callback)
{
	UMockdevTestbed *bed = umockdev_testbed_new();
	char *pci = add(bed, "pci", "0000:03:00.0");

	start();
	seen.free_after = 3;
	for (int i = 0; i < 5; i++)
		umockdev_testbed_uevent(bed, pci, "change");
	run();
	ck_assert_uint_eq(seen.n[0] + seen.n[1], 3);
	ck_assert_ptr_null(seen.monitor);
	g_free(pci);
	g_object_unref(bed);
}
END_TEST

/* ---- the kernel's own events */

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t k;

	if (fd < 0)
		return -errno;
	k = write(fd, text, strlen(text));
	close(fd);
	return k < 0 ? -errno : 0;
}

/*
 * A network namespace of one's own, with its sysfs: the kernel sends the events of its
 * interfaces to it alone. 0, or -errno where that is not allowed here.
 */
static int enter_namespace(char *dir)
{
	uid_t uid = geteuid();

	if (unshare(CLONE_NEWNET | CLONE_NEWNS | (uid ? CLONE_NEWUSER : 0)) < 0)
		return -errno;
	if (uid) {
		char map[64];

		snprintf(map, sizeof(map), "0 %u 1", uid);
		if (write_file("/proc/self/uid_map", map) < 0)
			return -EPERM;
	}
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("sysfs", dir, "sysfs", 0, NULL) < 0)
		return -errno;
	return 0;
}

static bool may_enter_namespace(void)
{
	char dir[] = "/tmp/vfiod-sysfs.XXXXXX";
	pid_t pid;
	int status = -1;

	if (!mkdtemp(dir))
		return false;
	pid = fork();
	if (pid == 0)
		_exit(enter_namespace(dir) == 0 ? 0 : 1);
	waitpid(pid, &status, 0);
	rmdir(dir);
	return status == 0;
}

START_TEST(lost)
{
	char dir[] = "/tmp/vfiod-sysfs.XXXXXX";
	char path[128];
	size_t sent = 0;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(enter_namespace(dir), 0);
	snprintf(path, sizeof(path), "%s/class/net/lo/uevent", dir);
	start();
	ck_assert_int_eq(write_file(path, "change"), 0);
	run();
	ck_assert_uint_eq(seen.n[0], 1);
	ck_assert(has("kernel change net lo /sys/devices/virtual/net/lo - -"));

	/* More than any buffer holds, and nobody reads. */
	for (; sent < 100000; sent++)
		ck_assert_int_eq(write_file(path, "change"), 0);
	run();
	ck_assert_uint_ge(seen.lost[0], 1);
	ck_assert_uint_lt(seen.n[0], sent);
	/* Enough of them for a burst have been kept, and all goes on. */
	ck_assert_uint_gt(seen.n[0], 100);
	printf("%zu events were sent, %zu kept, %zu times lost\n", sent, seen.n[0], seen.lost[0]);
	seen.n[0] = seen.lost[0] = 0;
	ck_assert_int_eq(write_file(path, "change"), 0);
	run();
	ck_assert_uint_eq(seen.n[0], 1);
	ck_assert_uint_eq(seen.lost[0], 0);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
}
END_TEST

static int count_turns(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	size_t *turns = userdata;

	(*turns)++;
	return 0;
}

/* Others of the same loop have their turn in the middle of a burst. */
START_TEST(burst)
{
	char dir[] = "/tmp/vfiod-sysfs.XXXXXX";
	int ready = eventfd(1, EFD_CLOEXEC);
	sd_event_source *other;
	size_t turns = 0;
	char path[128];

	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(enter_namespace(dir), 0);
	snprintf(path, sizeof(path), "%s/class/net/lo/uevent", dir);
	start();
	for (int i = 0; i < 2000; i++)
		ck_assert_int_eq(write_file(path, "change"), 0);
	ck_assert_int_ge(ready, 0);
	ck_assert_int_ge(sd_event_add_io(loop, &other, ready, EPOLLIN, count_turns, &turns), 0);
	for (int i = 0; i < 10000 && seen.n[0] < 2000; i++) {
		size_t n = seen.n[0];

		ck_assert_int_ge(sd_event_run(loop, 0), 0);
		ck_assert_uint_le(seen.n[0] - n, 64);
	}
	ck_assert_uint_eq(seen.n[0], 2000);
	ck_assert_uint_eq(seen.lost[0], 0);
	/* One that is always ready had a turn for each bite. */
	ck_assert_uint_ge(turns, 2000 / 64 - 2);
	sd_event_source_unref(other);
	close(ready);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
}
END_TEST

/* umockdev works by a preloaded library. */
static void preload(char **argv)
{
	if (getenv("VFIOD_PRELOADED"))
		return;
	setenv("VFIOD_PRELOADED", "1", 1);
	setenv("LD_PRELOAD", "libumockdev-preload.so.0", 1);
	setenv("ASAN_OPTIONS", "verify_asan_link_order=0:detect_leaks=0", 1);
	execv("/proc/self/exe", argv);
	perror("exec");
	exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
	Suite *suite = suite_create("monitor");
	TCase *tc = tcase_create("monitor");
	bool whole;
	SRunner *runner;
	int failed;

	preload(argv);
	whole = may_enter_namespace();
	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, sources);
	tcase_add_test(tc, freed_by_callback);
	if (whole) {
		tcase_add_test(tc, burst);
		tcase_add_test(tc, lost);
	}
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	if (!failed && !whole) {
		printf("SKIPPED: bursts and losses, for network namespaces are not allowed here\n");
		return SKIPPED;
	}
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
