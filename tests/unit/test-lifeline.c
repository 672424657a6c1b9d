/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Lifelines, as attackers would choose them: whose process a pidfd means, and every file that is
 * none. Other uids need root; without it those cases are said to be left out, and the program
 * ends as skipped.
 */

#include "daemon/lease/lifeline.h"

#include "daemon/util/fd.h"

#include <check.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define OTHER_UID 12345
#define THIRD_UID 12346

static struct host host;

static void setup(void)
{
	host = (struct host){ .sys = -EBADF, .dev = -EBADF };
	host.proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(host.proc, 0);
}

static void teardown(void)
{
	close(host.proc);
}

static int pidfd_of(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	ck_assert_msg(fd >= 0, "pidfd_open: %m");
	return fd;
}

/* A child that sits there, with these uids (where they are not ours). */
static pid_t child_with(uid_t real, uid_t effective, uid_t saved)
{
	int ready[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if ((real != getuid() || effective != geteuid() || saved != geteuid()) &&
		    setresuid(real, effective, saved) < 0)
			_exit(1);
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int inspect(int fd, uid_t owner, bool any, struct lifeline_info *info)
{
	struct lifeline_info unused;

	return lifeline_inspect(&host, fd, owner, any, info ? info : &unused);
}

/* ---- pidfds */

START_TEST(test_own_process)
{
	pid_t pid = child_with(getuid(), geteuid(), geteuid());
	_cleanup_close_ int fd = pidfd_of(pid);
	struct lifeline_info info;

	ck_assert_int_eq(inspect(fd, getuid(), false, &info), 0);
	ck_assert_int_eq(info.kind, LIFELINE_PIDFD);
	ck_assert_int_eq(info.pid, pid);
	ck_assert_uint_eq(info.uid, getuid());
	end(pid);
	ck_assert_int_eq(inspect(fd, getuid(), false, NULL), LIFELINE_DEAD);
	ck_assert_int_eq(inspect(fd, getuid(), true, NULL), LIFELINE_DEAD);
}
END_TEST

START_TEST(test_zombie)
{
	pid_t pid = fork();
	_cleanup_close_ int fd = -EBADF;
	struct pollfd p = { .events = POLLIN };

	if (pid == 0)
		_exit(0);
	p.fd = fd = pidfd_of(pid);
	ck_assert_int_eq(poll(&p, 1, 10000), 1);
	/* Not reaped: it has its pid, its uid and a /proc directory still. */
	ck_assert_int_eq(inspect(fd, getuid(), false, NULL), LIFELINE_DEAD);
	waitpid(pid, NULL, 0);
}
END_TEST

START_TEST(test_pid_1)
{
	_cleanup_close_ int fd = pidfd_of(1);
	struct lifeline_info info;

	ck_assert_int_eq(inspect(fd, getuid(), false, NULL), LIFELINE_FOREIGN);
	/* Not even where the owner is root. */
	ck_assert_int_eq(inspect(fd, 0, false, NULL), LIFELINE_FOREIGN);
	ck_assert_int_eq(inspect(fd, 0, true, &info), 0);
	ck_assert_int_eq(info.pid, 1);
}
END_TEST

START_TEST(test_kernel_thread)
{
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, 2, 0);
	_cleanup_free_ char *comm = NULL;

	if (fd < 0 || file_read_at(host.proc, "2/comm", 64, &comm, NULL) < 0 ||
	    !streq(comm, "kthreadd\n")) {
		fprintf(stderr, "test_kernel_thread: none to be seen here: not run\n");
		return;
	}
	ck_assert_int_eq(inspect(fd, 0, false, NULL), LIFELINE_FOREIGN);
}
END_TEST

START_TEST(test_other_uid)
{
	static const struct {
		uid_t real, effective, saved;
		uid_t owner;
		int result;
	} cases[] = {
		{ OTHER_UID, OTHER_UID, OTHER_UID, OTHER_UID, 0 },
		{ OTHER_UID, OTHER_UID, OTHER_UID, THIRD_UID, LIFELINE_FOREIGN },
		{ OTHER_UID, OTHER_UID, OTHER_UID, 0, LIFELINE_FOREIGN },
		{ 0, 0, 0, OTHER_UID, LIFELINE_FOREIGN },
		/* A set-uid program on its way: each of the three counts. */
		{ OTHER_UID, 0, 0, OTHER_UID, LIFELINE_FOREIGN },
		{ OTHER_UID, OTHER_UID, 0, OTHER_UID, LIFELINE_FOREIGN },
		{ OTHER_UID, OTHER_UID, THIRD_UID, OTHER_UID, LIFELINE_FOREIGN },
		{ THIRD_UID, OTHER_UID, OTHER_UID, OTHER_UID, LIFELINE_FOREIGN },
		{ OTHER_UID, THIRD_UID, OTHER_UID, OTHER_UID, LIFELINE_FOREIGN },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		pid_t pid = child_with(cases[i].real, cases[i].effective, cases[i].saved);
		_cleanup_close_ int fd = pidfd_of(pid);
		struct lifeline_info info;

		ck_assert_msg(inspect(fd, cases[i].owner, false, NULL) == cases[i].result,
			      "case %zu", i);
		ck_assert_int_eq(inspect(fd, cases[i].owner, true, &info), 0);
		ck_assert_int_eq(info.pid, pid);
		ck_assert_uint_eq(info.uid, cases[i].real);
		end(pid);
	}
}
END_TEST

/* A command that looks like the rest of /proc/PID/stat of a kernel thread, or of somebody else. */
START_TEST(test_hostile_command)
{
	static const char *const names[] = { ") R 2 0 0 0 -1 2", "a\nUid:\t1 1", "((((", "))))" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_close_ int fd = -EBADF;
		int ready[2];
		char byte;
		pid_t pid;

		ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
		pid = fork();
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			prctl(PR_SET_NAME, names[i]);
			if (write(ready[1], "", 1) == 1)
				pause();
			_exit(0);
		}
		ck_assert_int_eq(read(ready[0], &byte, 1), 1);
		close(ready[0]);
		close(ready[1]);
		fd = pidfd_of(pid);
		ck_assert_int_eq(inspect(fd, getuid(), false, NULL), 0);
		ck_assert_int_eq(inspect(fd, getuid() + 1, false, NULL), LIFELINE_FOREIGN);
		end(pid);
	}
}
END_TEST

/* ---- other files */

START_TEST(test_pipe)
{
	int fds[2];
	struct lifeline_info info;

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	ck_assert_int_eq(inspect(fds[0], getuid(), false, &info), 0);
	ck_assert_int_eq(info.kind, LIFELINE_PIPE);
	ck_assert_int_eq(info.pid, 0);
	/* The write end says something only when the daemon's own end closes. */
	ck_assert_int_eq(inspect(fds[1], getuid(), false, NULL), LIFELINE_BAD_KIND);
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	ck_assert_int_eq(inspect(fds[0], getuid(), false, NULL), LIFELINE_DEAD);
	close(fds[1]);
	ck_assert_int_eq(inspect(fds[0], getuid(), false, NULL), LIFELINE_DEAD);
	close(fds[0]);
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	close(fds[1]);
	ck_assert_int_eq(inspect(fds[0], getuid(), true, NULL), LIFELINE_DEAD);
	close(fds[0]);
}
END_TEST

START_TEST(test_fifo_for_both)
{
	char path[] = "/tmp/vfiod-test-lifeline-XXXXXX";
	char fifo[64];
	int fd;

	ck_assert_ptr_nonnull(mkdtemp(path));
	snprintf(fifo, sizeof(fifo), "%s/fifo", path);
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	fd = open(fifo, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(inspect(fd, getuid(), false, NULL), LIFELINE_BAD_KIND);
	close(fd);
	/* Its access mode reads as "read only", but there is nothing to wait for. */
	fd = open(fifo, O_PATH | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(inspect(fd, getuid(), false, NULL), LIFELINE_BAD_KIND);
	close(fd);
	unlink(fifo);
	rmdir(path);
}
END_TEST

START_TEST(test_socket)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct lifeline_info info;
		int fds[2];

		ck_assert_int_eq(socketpair(AF_UNIX, types[i] | SOCK_CLOEXEC, 0, fds), 0);
		ck_assert_int_eq(inspect(fds[0], getuid(), false, &info), 0);
		ck_assert_int_eq(info.kind, LIFELINE_SOCKET);
		ck_assert_int_eq(write(fds[1], "x", 1), 1);
		ck_assert_int_eq(inspect(fds[0], getuid(), false, NULL), LIFELINE_DEAD);
		/* It was not read: the byte is there still. */
		ck_assert_int_eq(read(fds[0], &(char){ 0 }, 1), 1);
		ck_assert_int_eq(inspect(fds[0], getuid(), false, NULL), 0);
		ck_assert_int_eq(shutdown(fds[1], SHUT_WR), 0);
		ck_assert_int_eq(inspect(fds[0], getuid(), false, NULL), LIFELINE_DEAD);
		close(fds[0]);
		close(fds[1]);
	}
}
END_TEST

START_TEST(test_other_kinds)
{
	char path[] = "/tmp/vfiod-test-lifeline-XXXXXX";
	const int fds[] = {
		mkostemp(path, O_CLOEXEC),
		open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		open("/dev/null", O_RDONLY | O_CLOEXEC),
		open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		open("/proc/self/status", O_RDONLY | O_CLOEXEC),
		eventfd(0, EFD_CLOEXEC),
		epoll_create1(EPOLL_CLOEXEC),
		memfd_create("anon_inode:[pidfd]", MFD_CLOEXEC),
	};

	unlink(path);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		ck_assert_msg(fds[i] >= 0, "file %zu: %m", i);
		ck_assert_msg(inspect(fds[i], getuid(), true, NULL) == LIFELINE_BAD_KIND,
			      "file %zu", i);
		close(fds[i]);
	}
	ck_assert_int_eq(inspect(-1, getuid(), true, NULL), -EBADF);
	ck_assert_int_eq(inspect(1023, getuid(), true, NULL), -EBADF);
}
END_TEST

/* A file whose name is what the kernel shows for a pidfd: its link begins with a slash. */
START_TEST(test_false_name)
{
	char path[] = "/tmp/vfiod-test-lifeline-XXXXXX";
	char file[96];
	int fd;

	ck_assert_ptr_nonnull(mkdtemp(path));
	snprintf(file, sizeof(file), "%s/anon_inode:[pidfd]", path);
	fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(inspect(fd, getuid(), true, NULL), LIFELINE_BAD_KIND);
	close(fd);
	unlink(file);
	rmdir(path);
}
END_TEST

/* ---- unit: a /proc of our own, with the pid of a living child */

static struct host fake;
static char fake_path[64];
static pid_t fake_pid;

static void fake_setup(void)
{
	char path[128];

	setup();
	fake_pid = child_with(getuid(), geteuid(), geteuid());
	strcpy(fake_path, "/tmp/vfiod-test-proc-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(fake_path));
	snprintf(path, sizeof(path), "%s/%d", fake_path, (int)fake_pid);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	fake = (struct host){ .sys = -EBADF, .dev = -EBADF };
	fake.proc = open(fake_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void put_proc(const char *file, const char *text)
{
	char path[160];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%d/%s", fake_path, (int)fake_pid, file);
	f = fopen(path, "we");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
}

static void fake_teardown(void)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%d/cgroup", fake_path, (int)fake_pid);
	unlink(path);
	snprintf(path, sizeof(path), "%s/%d", fake_path, (int)fake_pid);
	rmdir(path);
	rmdir(fake_path);
	close(fake.proc);
	end(fake_pid);
	teardown();
}

static const struct {
	const char *cgroup;
	const char *unit; /* NULL: none */
} units[] = {
	{ "0::/system.slice/vm-1.service\n", "vm-1.service" },
	{ "0::/system.slice/vm-1.service", "vm-1.service" },
	{ "0::/system.slice/system-getty.slice/getty@tty1.service\n", "getty@tty1.service" },
	{ "0::/machine.slice/machine-qemu.scope/libvirt/emulator\n", "machine-qemu.scope" },
	{ "0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope" },
	{ "0::/user.slice/user-1000.slice/user@1000.service/app.slice/vm-1.service\n",
	  "user@1000.service" },
	/* What is below a unit has any name that who runs there likes. */
	{ "0::/user.slice/user-1000.slice/user@1000.service/../../system.slice/vm-1.service\n",
	  "user@1000.service" },
	{ "0::/system.slice/mine.service/vm-1.service\n", "mine.service" },
	{ "0::/system.slice/x/vm-1.service\n", NULL },
	{ "0::/../vm-1.service\n", NULL },
	{ "0::/init.scope\n", "init.scope" },
	{ "0::/system.slice/_vm-1.service\n", "vm-1.service" },
	{ "0::/system.slice/vm-1.service (deleted)\n", NULL },
	{ "0::/system.slice/vm 1.service\n", NULL },
	{ "0::/system.slice/.service\n", NULL },
	{ "0::/system.slice\n", NULL },
	{ "0::/\n", NULL },
	{ "0::\n", NULL },
	{ "", NULL },
	{ "garbage\n", NULL },
	{ "12:pids:/system.slice/a.service\n1:name=systemd:/system.slice/b.service\n",
	  "b.service" },
	{ "12:cpu:/system.slice/a.service\n", NULL },
	{ "1:name=systemd:/user.slice/user-1.slice/session-1.scope\n0::/system.slice/b.service\n",
	  "session-1.scope" },
};

START_TEST(test_unit)
{
	_cleanup_close_ int fd = pidfd_of(fake_pid);
	_cleanup_free_ char *unit = NULL;

	put_proc("cgroup", units[_i].cgroup);
	ck_assert_int_eq(process_unit(&fake, fd, &unit), 0);
	ck_assert_msg(streq0(unit, units[_i].unit), "%s: %s", units[_i].cgroup,
		      unit ? unit : "none");
}
END_TEST

START_TEST(test_unit_of_the_dead)
{
	pid_t pid = child_with(getuid(), geteuid(), geteuid());
	_cleanup_close_ int fd = pidfd_of(pid);
	char *unit = NULL;

	ck_assert_int_eq(process_unit(&host, fd, &unit), 0);
	free(unit);
	end(pid);
	ck_assert_int_eq(process_unit(&host, fd, &unit), -ESRCH);
	ck_assert_ptr_null(unit);
	ck_assert_int_eq(process_unit(&host, host.proc, &unit), -EBADF);
}
END_TEST

/* A process that ends and leaves its pid: what is read then is somebody else's. */
START_TEST(test_unit_of_a_pid_that_was_reused)
{
	_cleanup_close_ int fd = pidfd_of(fake_pid);
	char *unit = NULL;

	put_proc("cgroup", "0::/system.slice/vm-1.service\n");
	kill(fake_pid, SIGKILL);
	/* Not reaped: fdinfo has its pid still, and the mocked /proc answers for it. */
	ck_assert_int_eq(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 10000), 1);
	ck_assert_int_eq(process_unit(&fake, fd, &unit), -ESRCH);
	ck_assert_ptr_null(unit);
}
END_TEST

/* ---- memlock */

static rlim_t memlock_of(pid_t pid, rlim_t *hard)
{
	struct rlimit limit;

	ck_assert_int_eq(prlimit(pid, RLIMIT_MEMLOCK, NULL, &limit), 0);
	*hard = limit.rlim_max;
	return limit.rlim_cur;
}

/* Tried on a process that is over in a moment. */
static bool may_raise_limits(void)
{
	const struct rlimit low = { 4096, 4096 }, high = { 8192, 8192 };
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(setrlimit(RLIMIT_MEMLOCK, &low) < 0 || setrlimit(RLIMIT_MEMLOCK, &high) < 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status == 0;
}

START_TEST(test_memlock)
{
	const struct rlimit before = { .rlim_cur = 65536, .rlim_max = 131072 };
	pid_t pid = child_with(getuid(), geteuid(), geteuid());
	_cleanup_close_ int fd = pidfd_of(pid);
	rlim_t hard;

	ck_assert_int_eq(prlimit(pid, RLIMIT_MEMLOCK, &before, NULL), 0);
	/* Never lowered. */
	ck_assert_int_eq(process_raise_memlock(&host, fd, 4096), 0);
	ck_assert_uint_eq(memlock_of(pid, &hard), 65536);
	ck_assert_uint_eq(hard, 131072);
	ck_assert_int_eq(process_raise_memlock(&host, fd, 100000), 0);
	ck_assert_uint_eq(memlock_of(pid, &hard), 100000);
	ck_assert_uint_eq(hard, 131072);
	if (may_raise_limits()) {
		ck_assert_int_eq(process_raise_memlock(&host, fd, 1ULL << 36), 0);
		ck_assert_uint_eq(memlock_of(pid, &hard), 1ULL << 36);
		ck_assert_uint_eq(hard, 1ULL << 36);
		ck_assert_int_eq(process_raise_memlock(&host, fd, UINT64_MAX), 0);
		ck_assert_uint_eq(memlock_of(pid, &hard), RLIM_INFINITY);
	} else {
		fprintf(stderr, "test_memlock: no CAP_SYS_RESOURCE: raising hard limits not run\n");
		ck_assert_int_eq(process_raise_memlock(&host, fd, 1ULL << 36), -EPERM);
		ck_assert_uint_eq(memlock_of(pid, &hard), 100000);
	}
	end(pid);
	ck_assert_int_eq(process_raise_memlock(&host, fd, 4096), -ESRCH);
	ck_assert_int_eq(process_raise_memlock(&host, host.proc, 4096), -EBADF);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lifeline");
	TCase *tc = tcase_create("real"), *unit = tcase_create("unit");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_own_process);
	tcase_add_test(tc, test_zombie);
	tcase_add_test(tc, test_pid_1);
	tcase_add_test(tc, test_kernel_thread);
	if (geteuid() == 0)
		tcase_add_test(tc, test_other_uid);
	tcase_add_test(tc, test_hostile_command);
	tcase_add_test(tc, test_pipe);
	tcase_add_test(tc, test_fifo_for_both);
	tcase_add_test(tc, test_socket);
	tcase_add_test(tc, test_other_kinds);
	tcase_add_test(tc, test_false_name);
	tcase_add_test(tc, test_unit_of_the_dead);
	tcase_add_test(tc, test_memlock);
	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(unit, fake_setup, fake_teardown);
	tcase_add_loop_test(unit, test_unit, 0, ARRAY_SIZE(units));
	tcase_add_test(unit, test_unit_of_a_pid_that_was_reused);
	suite_add_tcase(suite, unit);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	if (!failed && geteuid() != 0) {
		fprintf(stderr, "lifeline: processes of other uids need root: not run\n");
		return 77;
	}
	return failed ? 1 : 0;
}
