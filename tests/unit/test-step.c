/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Plans carried out on a mocked host: what is bound, shut off and told at the end of each, and
 * what happens when a step fails, a device goes or is another one, an unbind does not return, or
 * nobody listens any more. The worker is a process of its own here, too.
 */

#include "daemon/lease/step.h"
#include "daemon/sysfs/reset.h"
#include "daemon/sysfs/write.h"
#include "tests/mock/mock-host.h"

#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define A	   "0000:02:01.0"
#define B	   "0000:02:02.0"
#define BRIDGE	   "0000:01:00.0"
#define SHORT_MSEC 300

static struct mock_host *mock;
static struct host host;
static struct lease *lease;
static struct plan plan;

/* ---- the host: two NICs behind a bridge, in one group */

static struct lease_device *take(const char *name, const char *syspath, const char *saved,
				 enum device_state state, const char *target)
{
	struct lease_device *d = lease_add_device(lease, name);

	ck_assert_ptr_nonnull(d);
	ck_assert_int_eq(lease_add_group(lease, 9, 1), 0);
	d->group = 9;
	d->state = state;
	d->vendor = 0x8086;
	d->product = 0x100e;
	d->subvendor = 0x1af4;
	d->subproduct = 0x1100;
	ck_assert_int_eq(free_and_strdup(&d->syspath, syspath), 0);
	ck_assert_int_eq(free_and_strdup(&d->saved_driver, saved), 0);
	ck_assert_int_eq(free_and_strdup(&d->target_driver, target), 0);
	return d;
}

static void setup_with(const char *driver)
{
	struct mock_pci nic = { .vendor = 0x8086,
				.device = 0x100e,
				.subvendor = 0x1af4,
				.subdevice = 0x1100,
				.class_code = 0x020000,
				.group = 9,
				.driver = driver,
				.parent = "pci0000:00/" BRIDGE,
				.numa_node = -1 };
	struct mock_pci bridge = { .vendor = 0x8086,
				   .device = 0x100e,
				   .subvendor = 0x1af4,
				   .subdevice = 0x1100,
				   .class_code = 0x060400,
				   .group = 9,
				   .driver = "shpchp",
				   .numa_node = -1 };

	mock = mock_host_new();
	mock_drivers_add_usual(mock);
	mock_driver_add(mock, "pci", "e1000", "class 0200\n");
	mock_driver_add(mock, "pci", "other", "");
	mock_driver_add(mock, "pci", "shpchp", "class 0604\n");
	mock_pci_add_full(mock, BRIDGE, &bridge);
	mock_pci_add_full(mock, A, &nic);
	mock_pci_add_full(mock, B, &nic);
	if (streq(driver, "e1000")) {
		/* Without an interface in sight it would count as moved elsewhere, in use. */
		mock_net_add(mock, A, "eth0", 2);
		mock_net_add(mock, B, "eth1", 3);
	}
	mock_host_open(mock, &host);
	lease = lease_new("0123456789abcdef");
	ck_assert_ptr_nonnull(lease);
	lease->mode = MODE_GROUP;
	lease->owner = 1000;
	take(A, "/sys/devices/pci0000:00/" BRIDGE "/" A, driver, DEVICE_GRANTED, "vfio-pci");
	take(B, "/sys/devices/pci0000:00/" BRIDGE "/" B, driver, DEVICE_WITHHELD, NULL);
	take(BRIDGE, "/sys/devices/pci0000:00/" BRIDGE, "shpchp", DEVICE_WITHHELD, NULL)->bridge =
		true;
	/* The log begins with the test. */
	tree_remove(mock->fd, "log");
}

static void setup(void)
{
	setup_with("e1000");
}

static void setup_reserved(void)
{
	setup_with("vfio-pci");
}

static void teardown(void)
{
	plan_done(&plan);
	lease_free(lease);
	host_close(&host);
	mock_host_free(mock);
}

static void assert_driver(const char *device, const char *driver)
{
	_cleanup_free_ char *now = NULL;

	ck_assert_int_eq(sysfs_get_driver(&host, "pci", device, &now), 0);
	ck_assert_msg(streq0(now, driver), "%s is on %s, not on %s", device, now ? now : "none",
		      driver ? driver : "none");
}

static void assert_override(const char *device, const char *override)
{
	_cleanup_free_ char *now = NULL;

	ck_assert_int_eq(sysfs_get_override(&host, "pci", device, &now), 0);
	ck_assert_msg(streq0(now, override), "override of %s is %s", device, now ? now : "none");
}

/* ---- the worker */

static pid_t worker;
static int sock = -1;

static void start(void)
{
	const struct step_context context = { .host = &host, .subsystem = "pci" };
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	worker = fork();
	if (worker == 0) {
		int r;

		close(pair[0]);
		r = steps_run(&context, &plan, pair[1]);
		plan_done(&plan);
		lease_free(lease);
		_exit(r < 0 ? 2 : r);
	}
	close(pair[1]);
	sock = pair[0];
}

/* 1 and a report; 0: the worker is through. */
static int next(struct step_report *report, int timeout_msec)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	ssize_t k;

	if (poll(&p, 1, timeout_msec) == 0)
		return -ETIMEDOUT;
	k = recv(sock, report, sizeof(*report), 0);
	if (k == 0)
		return 0;
	ck_assert_int_eq(k, sizeof(*report));
	ck_assert_uint_lt(report->index, plan.n);
	return 1;
}

static int end(void)
{
	int status;

	close(sock);
	sock = -1;
	ck_assert_int_eq(waitpid(worker, &status, 0), worker);
	ck_assert_msg(WIFEXITED(status), "the worker was killed");
	return WEXITSTATUS(status);
}

/* What did not go as planned: "FAILED KIND DEVICE ERROR TEXT" a line. Checks what every run keeps.
 */
static char *run(int result)
{
	static const char *const names[] = { "BEGIN", "DONE", "FAILED", "SKIPPED" };
	char *odd = mock_asprintf("%s", "");
	struct step_report report;
	ssize_t begun = -1;
	size_t last = 0;

	start();
	while (next(&report, 20000) == 1) {
		const struct step *step = &plan.steps[report.index];
		_cleanup_free_ char *before = NULL;

		/* In order; each that is begun is ended before the next. */
		ck_assert_uint_ge(report.index, last);
		last = report.index;
		ck_assert_str_eq(report.device, step->device ? step->device : "");
		if (report.event == STEP_BEGIN) {
			ck_assert_int_eq(begun, -1);
			begun = report.index;
			continue;
		}
		ck_assert(begun == (ssize_t)report.index ||
			  (begun == -1 && report.event == STEP_SKIPPED));
		begun = -1;
		if (report.event == STEP_DONE) {
			ck_assert_int_eq(report.error, 0);
			continue;
		}
		if (report.event == STEP_SKIPPED && report.error == 0)
			continue;
		before = odd;
		odd = mock_asprintf("%s%s %s %s %s %s\n", before, names[report.event],
				    step_kind_to_string(step->kind), report.device,
				    strerrorname_np(report.error), report.text);
	}
	ck_assert_int_eq(begun, -1);
	ck_assert_int_eq(end(), result);
	return odd;
}

#define assert_run(result, expected)                     \
	do {                                             \
		_cleanup_free_ char *_odd = run(result); \
		ck_assert_str_eq(_odd, expected);        \
		plan_done(&plan);                        \
	} while (0)

/* Only the beginning is compared: the rest is words. */
#define assert_run_begins(result, expected)                                                \
	do {                                                                               \
		_cleanup_free_ char *_odd = run(result);                                   \
		ck_assert_msg(strncmp(_odd, expected, strlen(expected)) == 0, "%s", _odd); \
		plan_done(&plan);                                                          \
	} while (0)

static void claim(void)
{
	ck_assert_int_eq(plan_claim(lease, NULL, &plan), 0);
}

static void drain(void)
{
	ck_assert_int_eq(plan_drain(lease, &plan), 0);
}

static void restore(void)
{
	ck_assert_int_eq(plan_restore(lease, &plan), 0);
}

static void one(struct step step)
{
	plan_done(&plan);
	ck_assert_int_eq(ARRAY_RESERVE_ONE(plan.steps, plan.n), 0);
	step.lease_device = lease_device(lease, step.device);
	plan.steps[plan.n++] = step;
}

static char *written(void)
{
	char *text = tree_read(mock->fd, "log");

	return text ? text : mock_asprintf("%s", "");
}

static size_t place_in(const char *text, const char *line, bool last)
{
	const char *found = NULL;

	for (const char *at = text; (at = strstr(at, line)); at++) {
		found = at;
		if (!last)
			break;
	}
	ck_assert_msg(found != NULL, "no %s in\n%s", line, text);
	return (size_t)(found - text);
}

/* ---- there and back */

START_TEST(test_there_and_back)
{
	ck_assert_int_eq(sysfs_set_override(&host, "pci", B, "e1000"), 0);
	ck_assert_int_eq(free_and_strdup(&lease_device(lease, B)->saved_override, "e1000"), 0);
	claim();
	assert_run(0, "");
	assert_driver(A, "vfio-pci");
	assert_override(A, "vfio-pci");
	assert_driver(B, NULL);
	assert_override(B, "none");
	assert_driver(BRIDGE, NULL);
	assert_override(BRIDGE, "none");
	drain();
	assert_run(0, "");
	assert_driver(A, NULL);
	assert_override(A, "none");
	restore();
	assert_run(0, "");
	assert_driver(A, "e1000");
	assert_override(A, NULL);
	assert_driver(B, "e1000");
	assert_override(B, "e1000");
	assert_driver(BRIDGE, "shpchp");
	assert_override(BRIDGE, NULL);
}
END_TEST

/* Both lived on vfio-pci, and somebody has the group's fd from before (I5). */
START_TEST(test_reserved_are_unbound_together)
{
	_cleanup_close_ int stale = mk_open(mock->fd, "group-9");
	_cleanup_free_ char *log = NULL;
	struct lease_device *b = lease_device(lease, B);

	ck_assert_int_ge(stale, 0);
	lease->mode = MODE_CDEV;
	ck_assert_int_eq(free_and_strdup(&b->target_driver, "vfio-pci"), 0);
	claim();
	assert_run(0, "");
	assert_driver(A, "vfio-pci");
	assert_driver(B, "vfio-pci");
	log = written();
	ck_assert_uint_lt(place_in(log, "UNBOUND " A, true), place_in(log, "PROBE", false));
	ck_assert_uint_lt(place_in(log, "UNBOUND " B, true), place_in(log, "PROBE", false));
	ck_assert(!mk_is_held(mock->fd, "group-9"));
	drain();
	assert_run(0, "");
	restore();
	assert_run(0, "");
	assert_driver(A, "vfio-pci");
	assert_override(A, NULL);
}
END_TEST

/* A claim that never began is rolled back: nothing is unbound. */
START_TEST(test_rollback_of_nothing)
{
	_cleanup_free_ char *log = NULL;

	drain();
	assert_run(0, "");
	assert_override(A, NULL);
	restore();
	assert_run(0, "");
	log = written();
	ck_assert_ptr_null(strstr(log, "UNBIND"));
	assert_driver(A, "e1000");
	assert_driver(B, "e1000");
	assert_driver(BRIDGE, "shpchp");
	assert_override(A, NULL);
}
END_TEST

/* Every step of a claim fails in turn; what was done so far goes back. */
START_TEST(test_rollback_from_every_step)
{
	static const struct {
		const char *op, *device;
		int error;
	} faults[] = {
		{ "OVERRIDE", A, EIO }, { "OVERRIDE", B, EIO },	 { "OVERRIDE", BRIDGE, ENODEV },
		{ "UNBIND", A, EIO },	{ "UNBIND", B, EIO },	 { "UNBIND", BRIDGE, EIO },
		{ "UNBIND", A, 0 },	{ "UNBIND", BRIDGE, 0 }, { "PROBE", A, EINVAL },
		{ "PROBE", A, 0 },	{ "OVERRIDE", A, 0 },	 { "SETTLE", "vfio!9", ETIMEDOUT },
	};
	_cleanup_free_ char *odd = NULL;

	mock_fail(mock, faults[_i].op, faults[_i].device, faults[_i].error, 1);
	claim();
	odd = run(1);
	ck_assert_msg(strncmp(odd, "FAILED ", 7) == 0, "%s", odd);
	/* One failure, and the plan ends there. */
	ck_assert_ptr_eq(strchr(odd, '\n'), strrchr(odd, '\n'));
	plan_done(&plan);
	drain();
	assert_run(0, "");
	restore();
	assert_run(0, "");
	assert_driver(A, "e1000");
	assert_driver(B, "e1000");
	assert_driver(BRIDGE, "shpchp");
	assert_override(A, NULL);
	assert_override(B, NULL);
	assert_override(BRIDGE, NULL);
}
END_TEST

/* ---- checks */

START_TEST(test_check_driver_changed)
{
	ck_assert_int_eq(free_and_strdup(&lease_device(lease, A)->saved_driver, "other"), 0);
	claim();
	assert_run(1, "FAILED CHECK " A " ESTALE it is on e1000 now, it was on other\n");
	assert_driver(A, "e1000");
	ck_assert_int_eq(free_and_strdup(&lease_device(lease, A)->saved_driver, NULL), 0);
	claim();
	assert_run(1, "FAILED CHECK " A " ESTALE it is on e1000 now, it was on no driver\n");
}
END_TEST

START_TEST(test_check_override_changed)
{
	ck_assert_int_eq(sysfs_set_override(&host, "pci", A, "mine"), 0);
	claim();
	assert_run(1,
		   "FAILED CHECK " A " ESTALE its driver_override is \"mine\" now, it was \"\"\n");
	assert_driver(A, "e1000");
}
END_TEST

START_TEST(test_check_another_device)
{
	lease_device(lease, A)->product = 0x10d3;
	claim();
	assert_run(1, "FAILED CHECK " A
		      " ESTALE it is another device now: 8086:100e, it was 8086:10d3\n");
	lease_device(lease, A)->product = 0x100e;
	ck_assert_int_eq(free_and_strdup(&lease_device(lease, A)->syspath,
					 "/sys/devices/pci0000:00/0000:07:00.0/" A),
			 0);
	claim();
	assert_run_begins(1, "FAILED CHECK " A " ESTALE another device has its address now");
	assert_driver(A, "e1000");
}
END_TEST

START_TEST(test_check_in_use)
{
	unsigned int waive[] = { 0, 1U << USE_BLOCK, 0 }; /* by name: BRIDGE, A, B */

	mock_block_add(mock, A, "sda", "8:0");
	mock_block_busy(mock, "sda", true);
	claim();
	assert_run_begins(1, "FAILED CHECK " A " EBUSY block\t");
	assert_driver(A, "e1000");
	assert_override(A, NULL);
	/* Another's waive does not count. */
	ck_assert_int_eq(
		plan_claim(lease, (unsigned int[]){ 1U << USE_BLOCK, 0, 1U << USE_BLOCK }, &plan),
		0);
	assert_run_begins(1, "FAILED CHECK " A " EBUSY block\t");
	ck_assert_int_eq(plan_claim(lease, waive, &plan), 0);
	assert_run(0, "");
	assert_driver(A, "vfio-pci");
}
END_TEST

/* Somebody unbinds it while it is looked at: what is found then is no use, but a change. */
START_TEST(test_check_unbound_meanwhile)
{
	struct step_report report = { 0 };

	mock_net_configure(mock, "eth0", "address 10.0.0.2/24\n");
	tree_write(mock->fd, "", "stall/NETLINK/eth0");
	claim();
	start();
	while (report.event != STEP_BEGIN || !streq(report.device, A))
		ck_assert_int_eq(next(&report, 20000), 1);
	usleep(100000);
	ck_assert_int_eq(mk_unbind(mock->fd, "pci", "e1000", A), 0);
	tree_remove(mock->fd, "stall");
	ck_assert_int_eq(next(&report, 20000), 1);
	ck_assert_int_eq(report.event, STEP_FAILED);
	ck_assert_int_eq(report.error, EAGAIN);
	ck_assert_uint_eq(report.uses, 0);
	ck_assert_ptr_nonnull(strstr(report.text, "lost its driver"));
	while (next(&report, 20000) == 1)
		;
	ck_assert_int_eq(end(), 1);
}
END_TEST

/* It is not known whether it is in use: then it is. */
START_TEST(test_check_not_known)
{
	mock_block_add(mock, A, "sda", "8:0");
	mock_fail(mock, "BLOCK", "sda", EIO, 0);
	claim();
	assert_run_begins(1, "FAILED CHECK " A " ");
	assert_driver(A, "e1000");
}
END_TEST

static size_t fds_of(pid_t pid, const char *name)
{
	_cleanup_free_ char *path = mock_asprintf("/proc/%d/fd", (int)pid);
	int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_strv_ char **fds = tree_list(root, ".");
	size_t n = 0;

	STRV_FOREACH (fd, fds) {
		char target[512];
		ssize_t k = readlinkat(root, *fd, target, sizeof(target) - 1);

		if (k <= 0)
			continue;
		target[k] = 0;
		n += strstr(target, name) != NULL;
	}
	close(root);
	return n;
}

/* Block devices are held from their check until their own device's unbind is over, not longer. */
START_TEST(test_check_holds_block_devices)
{
	struct step_report report;
	bool seen = false;

	mock_block_add(mock, A, "sdheld", "8:0");
	tree_write(mock->fd, "300", "slow/UNBIND/" A);
	tree_write(mock->fd, "300", "slow/UNBIND/" B);
	claim();
	start();
	while (next(&report, 20000) == 1) {
		enum step_kind kind = plan.steps[report.index].kind;

		if (kind != STEP_UNBIND || report.event != STEP_BEGIN)
			continue;
		usleep(100000);
		ck_assert_uint_eq(fds_of(worker, "/sdheld"), streq(report.device, A) ? 1 : 0);
		seen = seen || streq(report.device, B);
	}
	ck_assert(seen);
	ck_assert_int_eq(end(), 0);
}
END_TEST

/* ---- an unbind that does not return */

START_TEST(test_drain_waits)
{
	struct step_report report;

	claim();
	assert_run(0, "");
	mock_hold(mock, A, true);
	drain();
	start();
	while (next(&report, SHORT_MSEC) == 1)
		ck_assert(report.event != STEP_DONE);
	/* It was told what it hangs in. */
	ck_assert_int_eq(plan.steps[report.index].kind, STEP_UNBIND_VFIO);
	ck_assert_str_eq(report.device, A);
	ck_assert_int_eq(report.event, STEP_BEGIN);
	ck_assert_int_eq(waitpid(worker, NULL, WNOHANG), 0);
	mock_hold(mock, A, false);
	while (next(&report, 20000) == 1)
		ck_assert(report.event != STEP_FAILED);
	ck_assert_int_eq(end(), 0);
	assert_driver(A, NULL);
}
END_TEST

/* Another unbind is under way (an earlier daemon's, say): no driver is to be seen, and yet it is
 * not over. SETTLE waits for it. */
START_TEST(test_settle_waits_for_others)
{
	struct step_report report;
	pid_t other;

	claim();
	assert_run(0, "");
	mock_hold(mock, A, true);
	other = fork();
	if (other == 0)
		_exit(sysfs_unbind(&host, "pci", A) != 0);
	for (;;) {
		_cleanup_free_ char *driver = NULL;

		ck_assert_int_eq(sysfs_get_driver(&host, "pci", A, &driver), 0);
		if (!driver)
			break;
		usleep(1000);
	}
	drain();
	start();
	while (next(&report, SHORT_MSEC) == 1)
		;
	ck_assert_int_eq(plan.steps[report.index].kind, STEP_SETTLE);
	ck_assert_str_eq(report.device, A);
	mock_hold(mock, A, false);
	while (next(&report, 20000) == 1)
		ck_assert(report.event != STEP_FAILED);
	ck_assert_int_eq(end(), 0);
	ck_assert_int_eq(waitpid(other, NULL, 0), other);
}
END_TEST

/* The daemon is gone, or let go of the worker: the step that runs ends, no other begins. */
START_TEST(test_hang_up)
{
	struct step_report report;
	int status;

	claim();
	assert_run(0, "");
	mock_hold(mock, A, true);
	drain();
	start();
	while (next(&report, SHORT_MSEC) == 1)
		;
	close(sock);
	mock_hold(mock, A, false);
	ck_assert_int_eq(waitpid(worker, &status, 0), worker);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) != 0);
	assert_driver(A, NULL);
	/* The bridge was parked before; A was unbound, and nothing after that was touched. */
	{
		_cleanup_free_ char *log = written();

		ck_assert_uint_gt(place_in(log, "UNBOUND " A, true), place_in(log, "PROBE", true));
	}
}
END_TEST

START_TEST(test_stop)
{
	struct step_report report;
	bool stopped = false;

	tree_write(mock->fd, "200", "slow/UNBIND/" A);
	claim();
	start();
	while (next(&report, 20000) == 1) {
		/* It still reports how the step that runs went. */
		ck_assert(!stopped || plan.steps[report.index].kind == STEP_UNBIND);
		if (plan.steps[report.index].kind == STEP_UNBIND && report.event == STEP_BEGIN) {
			ck_assert_int_eq(shutdown(sock, SHUT_WR), 0);
			stopped = true;
		}
	}
	ck_assert(stopped);
	ck_assert_int_eq(report.event, STEP_DONE);
	ck_assert_int_eq(end(), 1);
	assert_driver(A, NULL);
	assert_driver(B, "e1000");
}
END_TEST

START_TEST(test_stopped_before_it_began)
{
	const struct step_context context = { .host = &host, .subsystem = "pci" };
	_cleanup_free_ char *log = NULL;
	int pair[2];

	claim();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	close(pair[0]);
	ck_assert_int_eq(steps_run(&context, &plan, pair[1]), 1);
	close(pair[1]);
	log = written();
	ck_assert_str_eq(log, "");
}
END_TEST

/* ---- what a reset reaches, as sysfs has it */

static void assert_below(const char *device, const char *const *expected)
{
	_cleanup_strv_ char **names = NULL;
	size_t n = 0;

	ck_assert_int_eq(sysfs_list_below(&host, device, &names), 0);
	for (; expected[n]; n++)
		ck_assert_msg(strv_contains(names, expected[n]), "%s is not below %s", expected[n],
			      device);
	ck_assert_uint_eq(strv_length(names), n);
}

#define UUID "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
START_TEST(test_below)
{
	_cleanup_strv_ char **none = NULL;

	/* A PF with two VFs behind A, and a mediated device of B. The mock has VFs elsewhere. */
	mock_pci_add(mock, "0000:05:00.0", .group = 20, .driver = "other", .numa_node = -1,
		     .parent = "pci0000:00/" BRIDGE "/" A);
	mock_pf(mock, "0000:05:00.0", 2);
	ck_assert_int_eq(mock_set_num_vfs(mock, "0000:05:00.0", 2), 0);
	mock_device_add(mock, "mdev", UUID, "pci0000:00/" BRIDGE "/" B, 30, NULL);
	/* What is of no bus that resets reach, and what only looks like a device. */
	mock_net_add(mock, B, "eth0", 2);
	tree_mkdir(mock->fd, "sys/devices/pci0000:00/" BRIDGE "/0000:99:00.0");
	assert_below(BRIDGE, (const char *const[]){ A, B, "0000:05:00.0", "0000:05:10.0",
						    "0000:05:10.1", UUID, NULL });
	assert_below("0000:05:00.0", (const char *const[]){ "0000:05:10.0", "0000:05:10.1", NULL });
	assert_below("0000:05:10.0", (const char *const[]){ NULL });
	assert_below(B, (const char *const[]){ UUID, NULL });
	ck_assert_int_eq(sysfs_list_below(&host, "0000:77:00.0", &none), -ENOENT);
	ck_assert_int_lt(sysfs_list_below(&host, "../pci", &none), 0);
}
END_TEST

/* ---- devices that go, or are others */

START_TEST(test_gone)
{
	claim();
	assert_run(0, "");
	mock_device_remove(mock, "pci", A);
	drain();
	assert_run(0, "SKIPPED UNBIND_VFIO " A " ENOENT the device is gone\n");
	restore();
	assert_run(0, "SKIPPED IDENTITY " A " ENOENT the device is gone\n");
	assert_driver(B, "e1000");
	assert_driver(BRIDGE, "shpchp");
}
END_TEST

START_TEST(test_gone_before_claim)
{
	mock_device_remove(mock, "pci", B);
	claim();
	assert_run_begins(1, "FAILED CHECK " B " ENOENT ");
}
END_TEST

/* Another card at the same address: it gets nothing of what its predecessor had. */
START_TEST(test_replaced)
{
	ck_assert_int_eq(free_and_strdup(&lease_device(lease, A)->saved_override, "e1000"), 0);
	ck_assert_int_eq(sysfs_set_override(&host, "pci", A, "e1000"), 0);
	claim();
	assert_run(0, "");
	mock_device_remove(mock, "pci", A);
	mock_pci_add(mock, A, .vendor = 0x10de, .device = 0x1234, .class_code = 0x030000,
		     .group = 9, .numa_node = -1, .parent = "pci0000:00/" BRIDGE);
	tree_remove(mock->fd, "log");
	drain();
	assert_run(0, "");
	restore();
	assert_run_begins(0, "SKIPPED IDENTITY " A " ESTALE it is another device now: 10de:1234");
	assert_driver(A, NULL);
	assert_driver(B, "e1000");
	{
		_cleanup_free_ char *log = written();

		ck_assert_ptr_null(strstr(log, A));
	}
}
END_TEST

/* ---- giving back */

START_TEST(test_restore_goes_on)
{
	claim();
	assert_run(0, "");
	drain();
	assert_run(0, "");
	mock_fail(mock, "PROBE", A, 0, 1);
	restore();
	assert_run(1, "FAILED VERIFY " A " EIO " A " is on no driver, it should be on e1000\n");
	assert_driver(B, "e1000");
	assert_driver(BRIDGE, "shpchp");
	/* And once more, when the cause is gone. */
	drain();
	assert_run(0, "");
	restore();
	assert_run(0, "");
	assert_driver(A, "e1000");
	assert_override(A, NULL);
}
END_TEST

START_TEST(test_restore_refused)
{
	claim();
	assert_run(0, "");
	drain();
	assert_run(0, "");
	/* DMA of the group is owned still: the kernel refuses host drivers. */
	tree_write(mock->fd, "", "owned/9");
	restore();
	assert_run_begins(1, "FAILED PROBE ");
	assert_driver(A, NULL);
	tree_remove(mock->fd, "owned/9");
	restore();
	assert_run(0, "");
	assert_driver(A, "e1000");
}
END_TEST

/* Somebody bound it to something else meanwhile: not taken away, and not said to be home. */
START_TEST(test_restore_on_another_driver)
{
	claim();
	assert_run(0, "");
	drain();
	assert_run(0, "");
	ck_assert_int_eq(mk_bind(mock->fd, "pci", A, "other"), 0);
	restore();
	assert_run(1, "FAILED VERIFY " A " EIO " A " is on other, it should be on e1000\n");
	assert_driver(A, "other");
}
END_TEST

START_TEST(test_restore_fenced)
{
	mock_pci_add(mock, "0000:02:03.0", .vendor = 0x8086, .device = 0x100e, .subvendor = 0x1af4,
		     .subdevice = 0x1100, .class_code = 0x020000, .group = 9, .override = "none",
		     .numa_node = -1, .parent = "pci0000:00/" BRIDGE);
	take("0000:02:03.0", "/sys/devices/pci0000:00/" BRIDGE "/0000:02:03.0", NULL, DEVICE_FENCED,
	     NULL);
	drain();
	assert_run(0, "");
	assert_override("0000:02:03.0", "none");
	restore();
	assert_run(0, "");
	assert_override("0000:02:03.0", NULL);
	assert_driver("0000:02:03.0", "e1000");
}
END_TEST

/* Bound to VFIO behind the barrier's back: the lease does not go on. */
START_TEST(test_settle_refuses)
{
	claim();
	assert_run(0, "");
	one((struct step){ .kind = STEP_SETTLE, .device = A });
	assert_run(1, "FAILED SETTLE " A " EBUSY it is on vfio-pci again\n");
}
END_TEST

/* ---- bus mastering */

static void set_command(const char *device, unsigned char command)
{
	_cleanup_free_ char *path = mk_device_path(mock->fd, "pci", device);
	_cleanup_free_ char *config = mock_asprintf("%s/config", path);
	_cleanup_close_ int fd = openat(mock->fd, config, O_RDWR | O_CLOEXEC);

	ck_assert_int_eq(pwrite(fd, &command, 1, 4), 1);
}

START_TEST(test_quiet)
{
	bool on = true;

	set_command(B, 0x7);
	claim();
	assert_run(0, "");
	ck_assert_int_eq(sysfs_get_bus_master(&host, B, &on), 0);
	ck_assert(!on);
	/* Where it cannot be read, it is not known. */
	set_command(B, 0xff);
	{
		_cleanup_free_ char *path = mk_device_path(mock->fd, "pci", B);

		tree_remove(mock->fd, "%s/config", path);
	}
	one((struct step){ .kind = STEP_QUIET, .device = B });
	assert_run_begins(1, "FAILED QUIET " B " ENOENT ");
}
END_TEST

/* ---- nodes */

START_TEST(test_node_clean_resets_and_cycles)
{
	_cleanup_free_ char *log = NULL;

	tree_write(mock->fd, "group kvm may read and write\n", "foreign/vfio!9");
	claim();
	assert_run(0, "");
	log = written();
	ck_assert_uint_lt(place_in(log, "NODE_RESET vfio/9", false),
			  place_in(log, "UNBIND " A " vfio-pci", false));
	assert_driver(A, "vfio-pci");
	ck_assert(!tree_exists(mock->fd, "foreign/vfio!9"));
}
END_TEST

START_TEST(test_node_clean_gives_up)
{
	tree_write(mock->fd, "group kvm may read and write\n", "foreign/vfio!9");
	tree_write(mock->fd, "", "sticky/vfio!9");
	claim();
	assert_run_begins(1, "FAILED NODE_CLEAN " A
			     " EPERM /dev/vfio/9: group kvm may read and write, and again");
}
END_TEST

/* In cdev mode the cycle covers the parked sibling, too, and its new node is looked at again. */
START_TEST(test_node_clean_cycles_the_group)
{
	_cleanup_free_ char *log = NULL;
	struct lease_device *b = lease_device(lease, B);

	lease->mode = MODE_CDEV;
	ck_assert_int_eq(free_and_strdup(&b->target_driver, "vfio-pci"), 0);
	/* Only the second one's node: the first was found clean before. */
	tree_write(mock->fd, "everybody may read\n", "foreign/vfio!devices!vfio1");
	claim();
	assert_run(0, "");
	log = written();
	ck_assert_uint_lt(place_in(log, "NODE_RESET", false),
			  place_in(log, "UNBIND " A " vfio-pci", false));
	ck_assert_uint_lt(place_in(log, "UNBOUND " A, true), place_in(log, "PROBE", true));
	ck_assert_uint_lt(place_in(log, "UNBOUND " B, true), place_in(log, "PROBE " A, true));
	assert_driver(A, "vfio-pci");
	assert_driver(B, "vfio-pci");
}
END_TEST

static bool has_entry(const char *node, uid_t uid)
{
	return tree_exists(mock->fd, "acl/%s/%u", node, uid);
}

START_TEST(test_node_mode)
{
	_cleanup_strv_ char **cdevs = NULL;
	_cleanup_free_ char *log = NULL, *cdev = NULL;

	lease->mode = MODE_NODE;
	claim();
	assert_run(0, "");
	cdevs = tree_list(mock->fd, "dev/vfio/devices");
	ck_assert_uint_eq(strv_length(cdevs), 1);
	cdev = mock_asprintf("vfio!devices!%s", cdevs[0]);
	ck_assert(has_entry("vfio!9", 1000));
	ck_assert(has_entry(cdev, 1000));
	ck_assert(has_entry("iommu", 1000));
	drain();
	assert_run(0, "");
	log = written();
	ck_assert_uint_lt(place_in(log, "NODE_REVOKE vfio/9 1000", false),
			  place_in(log, "UNBIND " A " vfio-pci", false));
	ck_assert(!has_entry("vfio!9", 1000));
	ck_assert(!has_entry(cdev, 1000));
	/* Another lease of the owner may need it. */
	ck_assert(has_entry("iommu", 1000));
}
END_TEST

START_TEST(test_node_mode_without_iommufd)
{
	mock_features(mock, "group");
	lease->mode = MODE_NODE;
	claim();
	assert_run(0, "");
	ck_assert(has_entry("vfio!9", 1000));
	ck_assert(!has_entry("iommu", 1000));
}
END_TEST

START_TEST(test_node_grant_checks)
{
	lease->mode = MODE_NODE;
	mock_fail(mock, "GRANT", "vfio!9", EOPNOTSUPP, 1);
	claim();
	assert_run_begins(1, "FAILED NODE_GRANT " A " EOPNOTSUPP ");
	/* Somebody else came in between the check and the grant. */
	tree_write(mock->fd, "", "acl/vfio!9/54321");
	one((struct step){ .kind = STEP_NODE_GRANT, .device = A, .uid = 1000 });
	assert_run(1, "FAILED NODE_GRANT " A " EPERM /dev/vfio/9: user 54321 may read and write\n");
}
END_TEST

/* ---- looking */

static struct step_report inspect(struct step step, int result)
{
	struct step_report report, last = { 0 };

	one(step);
	start();
	while (next(&report, 20000) == 1)
		last = report;
	ck_assert_int_eq(end(), result);
	return last;
}

START_TEST(test_inspect)
{
	_cleanup_free_ char *log = NULL;
	struct step_report r;

	mock_net_configure(mock, "eth0", "address 10.0.0.2/24\n");
	r = inspect((struct step){ .kind = STEP_INSPECT, .device = A }, 0);
	log = written();
	ck_assert_str_eq(r.driver, "e1000");
	ck_assert_str_eq(r.override, "");
	ck_assert(r.bus_master);
	ck_assert_uint_eq(r.uses, 1U << USE_NETWORK);
	ck_assert_int_eq(strncmp(r.text, "network\t", 8), 0);
	ck_assert_str_eq(log, "");

	mock_block_add(mock, A, "sda", "8:0");
	mock_block_busy(mock, "sda", true);
	ck_assert_int_eq(sysfs_set_override(&host, "pci", A, "e1000"), 0);
	r = inspect((struct step){ .kind = STEP_INSPECT,
				   .device = A,
				   .exclusive = true,
				   .waive = 1U << USE_NETWORK },
		    0);
	ck_assert_str_eq(r.override, "e1000");
	ck_assert_uint_eq(r.uses, 1U << USE_BLOCK);
	ck_assert_int_eq(strncmp(r.text, "block\t", 6), 0);
	r = inspect(
		(struct step){ .kind = STEP_INSPECT, .device = A, .waive = (1U << USE_MAX) - 1 },
		0);
	ck_assert_uint_eq(r.uses, 0);
	ck_assert_str_eq(r.text, "");
}
END_TEST

/* What would be journaled cut off is not journaled at all. */
START_TEST(test_inspect_too_long)
{
	_cleanup_free_ char *path = mk_device_path(mock->fd, "pci", A);
	struct step_report r;
	char name[140];

	memset(name, 'x', sizeof(name));
	name[127] = 0;
	tree_write(mock->fd, name, "%s/driver_override", path);
	r = inspect((struct step){ .kind = STEP_INSPECT, .device = A }, 0);
	ck_assert_str_eq(r.override, name);
	name[127] = 'x';
	name[128] = 0;
	tree_write(mock->fd, name, "%s/driver_override", path);
	r = inspect((struct step){ .kind = STEP_INSPECT, .device = A }, 1);
	ck_assert_int_eq(r.event, STEP_FAILED);
	ck_assert_int_eq(r.error, ENAMETOOLONG);
	ck_assert_str_eq(r.override, "");
}
END_TEST

/* More uses than fit: the text is cut at a line, the bits are whole. */
START_TEST(test_inspect_many_uses)
{
	struct step_report r;

	for (unsigned int i = 0; i < 200; i++) {
		_cleanup_free_ char *name = mock_asprintf("sdname%u", i);
		_cleanup_free_ char *dev = mock_asprintf("8:%u", i);

		mock_block_add(mock, A, name, dev);
		mock_block_busy(mock, name, true);
	}
	r = inspect((struct step){ .kind = STEP_INSPECT, .device = A, .exclusive = true }, 0);
	ck_assert_uint_eq(r.uses & 1U << USE_BLOCK, 1U << USE_BLOCK);
	ck_assert_uint_gt(strnlen(r.text, sizeof(r.text)), sizeof(r.text) / 2);
	ck_assert_uint_lt(strnlen(r.text, sizeof(r.text)), sizeof(r.text));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("step");
	TCase *tc = tcase_create("steps"), *reserved = tcase_create("reserved");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_there_and_back);
	tcase_add_test(tc, test_rollback_of_nothing);
	tcase_add_loop_test(tc, test_rollback_from_every_step, 0, 12);
	tcase_add_test(tc, test_check_driver_changed);
	tcase_add_test(tc, test_check_override_changed);
	tcase_add_test(tc, test_check_another_device);
	tcase_add_test(tc, test_check_in_use);
	tcase_add_test(tc, test_check_unbound_meanwhile);
	tcase_add_test(tc, test_check_not_known);
	tcase_add_test(tc, test_check_holds_block_devices);
	tcase_add_test(tc, test_drain_waits);
	tcase_add_test(tc, test_settle_waits_for_others);
	tcase_add_test(tc, test_hang_up);
	tcase_add_test(tc, test_stop);
	tcase_add_test(tc, test_stopped_before_it_began);
	tcase_add_test(tc, test_below);
	tcase_add_test(tc, test_gone);
	tcase_add_test(tc, test_gone_before_claim);
	tcase_add_test(tc, test_replaced);
	tcase_add_test(tc, test_restore_goes_on);
	tcase_add_test(tc, test_restore_refused);
	tcase_add_test(tc, test_restore_on_another_driver);
	tcase_add_test(tc, test_restore_fenced);
	tcase_add_test(tc, test_settle_refuses);
	tcase_add_test(tc, test_quiet);
	tcase_add_test(tc, test_node_clean_resets_and_cycles);
	tcase_add_test(tc, test_node_clean_gives_up);
	tcase_add_test(tc, test_node_clean_cycles_the_group);
	tcase_add_test(tc, test_node_mode);
	tcase_add_test(tc, test_node_mode_without_iommufd);
	tcase_add_test(tc, test_node_grant_checks);
	tcase_add_test(tc, test_inspect);
	tcase_add_test(tc, test_inspect_too_long);
	tcase_add_test(tc, test_inspect_many_uses);
	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(reserved, setup_reserved, teardown);
	tcase_add_test(reserved, test_reserved_are_unbound_together);
	suite_add_tcase(suite, reserved);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
