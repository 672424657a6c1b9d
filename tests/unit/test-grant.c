/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What goes over the handoff socket, with a kernel that this program plays: ioctl() and open() are
 * replaced here, record what is asked and fail where a test says so. That the real kernel
 * understands the same is for the tests on the virtual host. Needs root to make nodes.
 */

#include "client/vfio-uapi.h"
#include "daemon/util/clock.h"
#include "daemon/vfio/grant.h"
#include "tests/unit/fake-dev.h"

#include <dirent.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define CONTAINER 3 /* minors of the devices that stand for VFIO's */
#define GROUP_A	  5
#define GROUP_B	  7
#define CDEV_A	  8
#define CDEV_B	  9

static struct fake_dev fake;
static int pair[2]; /* client, daemon */
static char *calls; /* what was asked of the kernel */

static struct {
	unsigned long request; /* fails */
	int nth;	       /* the how-manieth of its kind; from 1 */
	int error;
	int seen;
	unsigned int open_minor; /* open() of this one fails */
	int open_error;
	bool not_viable;
	bool no_v2;
} kernel;

static unsigned int minor_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? minor(st.st_rdev) : 0;
}

static void record(const char *format, ...) _printf_(1, 2);
static void record(const char *format, ...)
{
	_cleanup_free_ char *before = calls, *line = NULL;
	va_list ap;

	va_start(ap, format);
	ck_assert_int_ge(vasprintf(&line, format, ap), 0);
	va_end(ap);
	calls = mock_asprintf("%s%s\n", before ? before : "", line);
}

static int play(int fd, unsigned long request, void *arg)
{
	struct vfio_group_status *status = arg;
	struct iommu_option *option = arg;

	switch (request) {
	case VFIO_GET_API_VERSION:
		return VFIO_API_VERSION;
	case VFIO_GROUP_GET_STATUS:
		ck_assert_uint_eq(status->argsz, sizeof(*status));
		status->flags = kernel.not_viable ? 0 : VFIO_GROUP_FLAGS_VIABLE;
		return 0;
	case VFIO_GROUP_SET_CONTAINER:
		record("attach %u to %u", minor_of(fd), minor_of(*(int *)arg));
		return 0;
	case VFIO_CHECK_EXTENSION:
		return (long)arg == VFIO_TYPE1v2_IOMMU && kernel.no_v2 ? 0 : 1;
	case VFIO_SET_IOMMU:
		record("type %ld on %u", (long)arg, minor_of(fd));
		return 0;
	case VFIO_GROUP_GET_DEVICE_FD:
		record("device %s of %u", (const char *)arg, minor_of(fd));
		return (int)syscall(SYS_openat, AT_FDCWD, "/dev/urandom", O_RDWR | O_CLOEXEC, 0);
	case IOMMU_OPTION:
		record("option %u op %u value %llu", option->option_id, option->op,
		       (unsigned long long)option->val64);
		ck_assert_uint_eq(option->size, sizeof(*option));
		ck_assert_uint_eq(option->object_id, 0);
		return 0;
	default:
		record("unknown request %lx", request);
		errno = ENOTTY;
		return -1;
	}
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request == kernel.request && ++kernel.seen == kernel.nth) {
		errno = kernel.error;
		return -1;
	}
	return play(fd, request, arg);
}

int open(const char *path, int flags, ...)
{
	struct stat st;
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	if (kernel.open_error && strncmp(path, "/proc/self/fd/", 14) == 0 && stat(path, &st) == 0 &&
	    minor(st.st_rdev) == kernel.open_minor) {
		errno = kernel.open_error;
		return -1;
	}
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* ---- the client */

static size_t open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* The messages that came: "TEXT [MINOR]" a line. Closes what came with them. */
static char *receive_all(void)
{
	char *all = mock_asprintf("%s", "");

	for (;;) {
		union {
			char bytes[CMSG_SPACE(4 * sizeof(int))];
			struct cmsghdr align;
		} control;
		char text[4096];
		struct iovec iov = { .iov_base = text, .iov_len = sizeof(text) - 1 };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = &control,
				      .msg_controllen = sizeof(control) };
		ssize_t k = recvmsg(pair[0], &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		_cleanup_free_ char *before = all, *with = NULL;

		if (k <= 0)
			return STEAL(before);
		text[k] = 0;
		ck_assert_uint_eq(strlen(text), (size_t)k);
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
			int fd;

			/* Exactly one. */
			ck_assert_ptr_null(with);
			ck_assert_uint_eq(c->cmsg_len, CMSG_LEN(sizeof(int)));
			memcpy(&fd, CMSG_DATA(c), sizeof(fd));
			with = mock_asprintf(" [%u]", minor_of(fd));
			close(fd);
		}
		all = mock_asprintf("%s%s%s\n", before, text, with ? with : "");
	}
}

static void setup(void)
{
	memset(&kernel, 0, sizeof(kernel));
	calls = NULL;
	fake_dev_init(&fake);
	fake_dev_sysfs(&fake, "class/misc/vfio", CONTAINER);
	fake_dev_node(&fake, "vfio/vfio", CONTAINER);
	fake_dev_sysfs(&fake, "class/misc/iommu", CONTAINER);
	fake_dev_node(&fake, "iommu", CONTAINER);
	fake_dev_group(&fake, 9, GROUP_A);
	fake_dev_group(&fake, 10, GROUP_B);
	fake_dev_device(&fake, "0000:03:00.0", 9, "vfio0", CDEV_A);
	fake_dev_device(&fake, "0000:04:00.0", 10, "vfio1", CDEV_B);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
}

static void teardown(void)
{
	close(pair[0]);
	close(pair[1]);
	fake_dev_done(&fake);
	free(calls);
}

static char *both[] = { (char *)"0000:03:00.0", (char *)"0000:04:00.0", NULL };
static const uint32_t groups[] = { 9, 10 };

static struct grant make_grant(enum mode mode)
{
	return (struct grant){
		.mode = mode,
		.attach = true,
		.groups = groups,
		.n_groups = ARRAY_SIZE(groups),
		.devices = both,
	};
}

/* Sends, and compares what the client got and the kernel was asked. No fd stays open. */
static void run_grant(const struct grant *grant, int result, const char *messages,
		      const char *asked)
{
	size_t before = open_fds();
	_cleanup_free_ char *got = NULL;

	ck_assert_int_eq(grant_send(&fake.host, grant, pair[1], 1000000), result);
	got = receive_all();
	ck_assert_str_eq(got, messages);
	ck_assert_str_eq(calls ? calls : "", asked);
	ck_assert_uint_eq(open_fds(), before);
}

/* Only the error's name is looked at: one message, no fd, and a sentence for people. */
static void run_refused(const struct grant *grant, int result, const char *name)
{
	size_t before = open_fds();
	_cleanup_free_ char *got = NULL, *start = mock_asprintf("error %s ", name);

	ck_assert_int_eq(grant_send(&fake.host, grant, pair[1], 1000000), result);
	got = receive_all();
	ck_assert_msg(strncmp(got, start, strlen(start)) == 0, "%s", got);
	ck_assert_msg(strchr(got, '\n') == strrchr(got, '\n'), "%s", got);
	ck_assert_msg(strlen(got) > strlen(start) + 20, "%s", got);
	ck_assert_ptr_null(strchr(got, '['));
	ck_assert_uint_eq(open_fds(), before);
}

/* ---- what is sent */

START_TEST(test_cdev)
{
	struct grant grant = make_grant(MODE_CDEV);

	run_grant(&grant, 0,
		  "iommufd - [3]\ndevice 0000:03:00.0 [8]\ndevice 0000:04:00.0 [9]\nend 3\n",
		  "option 0 op 0 value 1\n");
}
END_TEST

START_TEST(test_group)
{
	struct grant grant = make_grant(MODE_GROUP);

	run_grant(&grant, 0, "container - [3]\ngroup 9 [5]\ngroup 10 [7]\nend 3\n",
		  "attach 5 to 3\nattach 7 to 3\n");
}
END_TEST

START_TEST(test_group_bare)
{
	struct grant grant = make_grant(MODE_GROUP);

	grant.attach = false;
	run_grant(&grant, 0, "container - [3]\ngroup 9 [5]\ngroup 10 [7]\nend 3\n", "");
}
END_TEST

START_TEST(test_group_device_fds)
{
	struct grant grant = make_grant(MODE_GROUP);

	grant.device_fds = true;
	run_grant(&grant, 0,
		  "container - [3]\ngroup 9 [5]\ngroup 10 [7]\ndevice 0000:03:00.0 [9]\n"
		  "device 0000:04:00.0 [9]\nend 5\n",
		  "attach 5 to 3\nattach 7 to 3\ntype 3 on 3\ndevice 0000:03:00.0 of 5\n"
		  "device 0000:04:00.0 of 7\n");
}
END_TEST

START_TEST(test_group_device_fds_v1)
{
	struct grant grant = make_grant(MODE_GROUP);
	char *one[] = { both[1], NULL };

	kernel.no_v2 = true;
	grant.device_fds = true;
	grant.attach = false; /* cannot be: a device opens only in an attached group */
	grant.groups = &groups[1];
	grant.n_groups = 1;
	grant.devices = one;
	run_grant(&grant, 0, "container - [3]\ngroup 10 [7]\ndevice 0000:04:00.0 [9]\nend 3\n",
		  "attach 7 to 3\ntype 1 on 3\ndevice 0000:04:00.0 of 7\n");
}
END_TEST

START_TEST(test_node)
{
	struct grant grant = make_grant(MODE_NODE);

	run_grant(&grant, 0, "end 0\n", "");
}
END_TEST

/* A group of the lease in which everything is parked on no driver has no node. */
START_TEST(test_group_without_node)
{
	struct grant grant = make_grant(MODE_GROUP);
	char *one[] = { both[0], NULL };

	grant.devices = one;
	tree_remove(fake.root, "sys/class/vfio/10");
	unlinkat(fake.host.dev, "vfio/10", 0);
	run_grant(&grant, 0, "container - [3]\ngroup 9 [5]\nend 2\n", "attach 5 to 3\n");
	/* But one of a granted device must have. */
	grant.devices = both;
	run_refused(&grant, -ENOENT, "ModeUnsupported");
}
END_TEST

/* ---- refusals */

static const struct {
	const char *what;
	enum mode mode;
	bool device_fds;
	unsigned long request;
	int nth, error;
	const char *name;
} refusals[] = {
	{ "option", MODE_CDEV, false, IOMMU_OPTION, 1, EPERM, "DriverFailed" },
	{ "option unknown", MODE_CDEV, false, IOMMU_OPTION, 1, ENOTTY, "DriverFailed" },
	{ "version", MODE_GROUP, false, VFIO_GET_API_VERSION, 1, ENOTTY, "ModeUnsupported" },
	{ "status", MODE_GROUP, false, VFIO_GROUP_GET_STATUS, 2, EIO, "DriverFailed" },
	{ "attach", MODE_GROUP, false, VFIO_GROUP_SET_CONTAINER, 1, EPERM, "GroupNotViable" },
	{ "attach owned", MODE_GROUP, false, VFIO_GROUP_SET_CONTAINER, 1, EBUSY, "GroupNotViable" },
	{ "attach second", MODE_GROUP, false, VFIO_GROUP_SET_CONTAINER, 2, EINVAL, "DriverFailed" },
	{ "interrupts", MODE_GROUP, true, VFIO_SET_IOMMU, 1, EPERM, "UnsafeInterrupts" },
	{ "no driver", MODE_GROUP, true, VFIO_SET_IOMMU, 1, ENODEV, "ModeUnsupported" },
	{ "domains", MODE_GROUP, true, VFIO_SET_IOMMU, 1, EINVAL, "DriverFailed" },
	{ "device", MODE_GROUP, true, VFIO_GROUP_GET_DEVICE_FD, 2, EIO, "DriverFailed" },
	{ "token", MODE_GROUP, true, VFIO_GROUP_GET_DEVICE_FD, 1, EACCES, "ModeUnsupported" },
	{ "device open", MODE_GROUP, true, VFIO_GROUP_GET_DEVICE_FD, 1, EBUSY, "GroupBusy" },
};

START_TEST(test_refusals)
{
	struct grant grant = make_grant(refusals[_i].mode);
	/* The version is compared, not failed with an errno. */
	int result = streq(refusals[_i].what, "version") ? -EPROTO : -refusals[_i].error;

	grant.device_fds = refusals[_i].device_fds;
	kernel.request = refusals[_i].request;
	kernel.nth = refusals[_i].nth;
	kernel.error = refusals[_i].error;
	run_refused(&grant, result, refusals[_i].name);
}
END_TEST

START_TEST(test_not_viable)
{
	struct grant grant = make_grant(MODE_GROUP);

	kernel.not_viable = true;
	run_refused(&grant, -EPERM, "GroupNotViable");
	/* Nothing was attached. */
	ck_assert_ptr_null(calls);
}
END_TEST

static const struct {
	enum mode mode;
	unsigned int minor;
	int error;
	const char *name;
} opens[] = {
	{ MODE_GROUP, GROUP_B, EBUSY, "GroupBusy" },
	{ MODE_GROUP, GROUP_A, EPERM, "DriverFailed" },
	{ MODE_GROUP, GROUP_A, ENODEV, "DriverFailed" },
	{ MODE_CDEV, CDEV_B, EBUSY, "GroupBusy" },
	{ MODE_CDEV, CDEV_A, ENXIO, "DriverFailed" },
	{ MODE_CDEV, CONTAINER, EMFILE, "DriverFailed" },
};

START_TEST(test_open_fails)
{
	struct grant grant = make_grant(opens[_i].mode);

	kernel.open_minor = opens[_i].minor;
	kernel.open_error = opens[_i].error;
	run_refused(&grant, -opens[_i].error, opens[_i].name);
}
END_TEST

START_TEST(test_missing_nodes)
{
	struct grant grant = make_grant(MODE_CDEV);

	tree_remove(fake.root, "sys/bus/pci/devices/0000:04:00.0/vfio-dev");
	run_refused(&grant, -ENOENT, "ModeUnsupported");
	unlinkat(fake.host.dev, "iommu", 0);
	run_refused(&grant, -ENOENT, "ModeUnsupported");
	unlinkat(fake.host.dev, "vfio/vfio", 0);
	grant.mode = MODE_GROUP;
	run_refused(&grant, -ENOENT, "ModeUnsupported");
	grant.mode = MODE_AUTO;
	run_refused(&grant, -EINVAL, "ModeUnsupported");
}
END_TEST

START_TEST(test_false_nodes)
{
	struct grant grant = make_grant(MODE_GROUP);

	fake_dev_node(&fake, "vfio/10", CONTAINER);
	run_refused(&grant, -ENODEV, "DriverFailed");
	unlinkat(fake.host.dev, "vfio/10", 0);
	ck_assert_int_eq(symlinkat("/dev/full", fake.host.dev, "vfio/10"), 0);
	run_refused(&grant, -ELOOP, "DriverFailed");
	grant.mode = MODE_CDEV;
	fake_dev_node(&fake, "vfio/devices/vfio1", CDEV_A);
	run_refused(&grant, -ENODEV, "DriverFailed");
}
END_TEST

/* The device at the address is in another group by now: no fd of a group that it is not in. */
START_TEST(test_group_moved)
{
	struct grant grant = make_grant(MODE_GROUP);

	tree_mkdir(fake.root, "sys/kernel/iommu_groups/11");
	tree_link(fake.root, "sys/kernel/iommu_groups/11",
		  "sys/bus/pci/devices/0000:04:00.0/iommu_group");
	run_refused(&grant, -ENXIO, "DriverFailed");
	grant.device_fds = true;
	run_refused(&grant, -ENXIO, "DriverFailed");
	tree_remove(fake.root, "sys/bus/pci/devices/0000:04:00.0/iommu_group");
	run_refused(&grant, -ENOENT, "DriverFailed");
	ck_assert_ptr_null(calls);
}
END_TEST

/* ---- clients */

START_TEST(test_client_gone)
{
	struct grant grant = make_grant(MODE_CDEV);
	size_t before = open_fds();

	close(pair[0]);
	pair[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(grant_send(&fake.host, &grant, pair[1], 1000000), -EPIPE);
	ck_assert_uint_eq(open_fds(), before);
	kernel.open_error = EBUSY;
	kernel.open_minor = CDEV_A;
	ck_assert_int_eq(grant_send(&fake.host, &grant, pair[1], 1000000), -EBUSY);
	ck_assert_uint_eq(open_fds(), before);
}
END_TEST

/* The socket is full: whoever never reads is given up, also on a socket that does not block. */
START_TEST(test_client_never_reads)
{
	struct grant grant = make_grant(MODE_CDEV);
	size_t before = open_fds();
	uint64_t start, took;
	char junk[256] = "";
	int r;

	while (send(pair[1], junk, sizeof(junk), MSG_DONTWAIT) > 0)
		;
	ck_assert_int_eq(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
	start = monotonic_usec();
	r = grant_send(&fake.host, &grant, pair[1], 300000);
	took = monotonic_usec() - start;
	ck_assert_msg(r == -EAGAIN || r == -ETIMEDOUT, "%d", r);
	ck_assert_msg(took >= 250000 && took < 5000000, "%llu", (unsigned long long)took);
	ck_assert_uint_eq(open_fds(), before);
	/* And so for the word that it gets nothing. */
	kernel.open_error = EBUSY;
	kernel.open_minor = CDEV_A;
	ck_assert_int_eq(grant_send(&fake.host, &grant, pair[1], 300000), -EBUSY);
	ck_assert_uint_eq(open_fds(), before);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("grant");
	TCase *tc = tcase_create("grants");
	SRunner *runner;
	int failed;

	if (!fake_dev_possible()) {
		fprintf(stderr, "grant: making device nodes needs root: not run\n");
		return 77;
	}
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_cdev);
	tcase_add_test(tc, test_group);
	tcase_add_test(tc, test_group_bare);
	tcase_add_test(tc, test_group_device_fds);
	tcase_add_test(tc, test_group_device_fds_v1);
	tcase_add_test(tc, test_node);
	tcase_add_test(tc, test_group_without_node);
	tcase_add_loop_test(tc, test_refusals, 0, ARRAY_SIZE(refusals));
	tcase_add_test(tc, test_not_viable);
	tcase_add_loop_test(tc, test_open_fails, 0, ARRAY_SIZE(opens));
	tcase_add_test(tc, test_missing_nodes);
	tcase_add_test(tc, test_false_nodes);
	tcase_add_test(tc, test_group_moved);
	tcase_add_test(tc, test_client_gone);
	tcase_add_test(tc, test_client_never_reads);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
