/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What happens to a lease between claim and release: more devices, fewer devices, revocation, and
 * the daemon's own draining; done well, refused, cut short by faults and by crashes. What the host
 * has afterwards is what it had before.
 */

#include "tests/bus/change.h"
#include "tests/bus/picture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static struct client *alice, *bob, *root;
static char *before;

static void setup(void)
{
	bed_start();
	alice = client_new(ALICE);
	bob = client_new(BOB);
	root = client_new(0);
	before = host_picture();
}

static void teardown(void)
{
	client_free(alice);
	client_free(bob);
	client_free(root);
	free(before);
	bed_stop();
}

/* Everything is as it was. */
static void check_home(void)
{
	_cleanup_free_ char *now = host_picture();

	ck_same(before, now);
}

static bool is_home(void)
{
	_cleanup_free_ char *now = host_picture();

	return streq(before, now);
}

/* Alice's rule with more words, before the usual ones. */
static void rule(const char *words)
{
	first_rule(root, ALICE, words);
}

#define KILL "\"allow\": [\"acquire\", \"withhold\", \"persist\", \"fenced\"], \"revoke\": \"kill\""

static void restart(void)
{
	daemon_kill();
	client_free(root);
	client_free(alice);
	client_free(bob);
	daemon_start();
	alice = client_new(ALICE);
	bob = client_new(BOB);
	root = client_new(0);
}

/* ---- draining */

START_TEST(drain)
{
	if (geteuid() == 0)
		ck_assert_str_eq(call_error(alice, VFIOD_ROOT, "Manager", "Drain", "b", 1),
				 "DBus.AccessDenied");
	{
		_cleanup_claim_ struct claim held = acquire(alice, .devices = { BARE });
		_cleanup_claim_ struct claim claim = { .handoff = -EBADF };

		ck_claimed(held);
		ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Drain", "b", 1), "");
		ck_property(root, VFIOD_ROOT, "Manager", "Draining", "true");
		claim = acquire(alice, .devices = { NIC });
		ck_refused(claim, "NotPermitted");
		ck_assert_str_eq(add(alice, held.lease, LIST(NIC)), "NotPermitted");
		ck_property(root, held.lease, "Lease", "State", "leased");
	}
	restart();
	ck_property(root, VFIOD_ROOT, "Manager", "Draining", "true");
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Drain", "b", 0), "");
	ck_property(root, VFIOD_ROOT, "Manager", "Draining", "false");
	{
		_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });

		ck_claimed(claim);
	}
}
END_TEST

/* ---- revocation */

START_TEST(revoke_ends)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC }, .persist = true);

	ck_claimed(claim);
	if (geteuid() == 0)
		ck_assert_str_eq(revoke_lease(alice, claim.lease, 1), "DBus.AccessDenied");
	ck_assert_str_eq(revoke_lease(root, claim.lease, UINT64_MAX), "BadOption");
	ck_assert(revocation_has(root, claim.lease, "none"));
	ck_assert_str_eq(revoke_lease(root, claim.lease, 600 * 1000000ULL), "");
	ck_assert(revocation_has(root, claim.lease, "asked"));
	ck_property(root, claim.lease, "Lease", "State", "leased");
	/* Again, with less. */
	mock_hold(bed.host, NIC, true);
	ck_assert_str_eq(revoke_lease(root, claim.lease, 100 * 1000), "");
	UNTIL(property_is(root, claim.lease, "Lease", "State", "draining"));
	ck_assert(revocation_has(root, claim.lease, "unbinding"));
	/* It waits for the holder, and nobody says otherwise. */
	bed_sleep(200 * 1000);
	ck_property(root, claim.lease, "Lease", "State", "draining");
	mock_hold(bed.host, NIC, false);
	UNTIL(lease_gone(root, claim.lease));
	check_home();
}
END_TEST

START_TEST(revoke_released_before)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });

	ck_claimed(claim);
	ck_assert_str_eq(revoke_lease(root, claim.lease, 600 * 1000000ULL), "");
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	check_home();
	ck_assert_str_eq(revoke_lease(root, claim.lease, 0), "DBus.UnknownObject");
}
END_TEST

START_TEST(revoke_kills)
{
	pid_t holder = idle_process(ALICE);
	_cleanup_close_ int pidfd = pidfd_of(holder);
	bool released = _i;

	rule(KILL);
	mock_hold(bed.host, NIC, true);
	{
		_cleanup_claim_ struct claim claim =
			acquire(alice, .devices = { NIC }, .lifeline = pidfd);

		ck_claimed(claim);
		/* Releasing and keeping the fds is no way out. */
		if (released) {
			ck_assert_str_eq(release(alice, claim.lease), "");
			ck_property(root, claim.lease, "Lease", "State", "draining");
		}
		ck_assert_str_eq(revoke_lease(root, claim.lease, 0), "");
		UNTIL(revocation_has(root, claim.lease, "unbinding"));
		ck_assert_int_eq(kill(holder, 0), 0);
		UNTIL(revocation_has(root, claim.lease, "killed"));
		ck_assert_int_eq(waitpid(holder, NULL, 0), holder);
		/* A process that was killed is no unbind that has returned. */
		ck_property(root, claim.lease, "Lease", "State", "draining");
		mock_hold(bed.host, NIC, false);
		UNTIL(lease_gone(root, claim.lease));
	}
	bed_policy("10-first.json", NULL);
	check_home();
}
END_TEST

START_TEST(revoke_cannot_kill)
{
	_cleanup_close_ int stranger = -EBADF;
	pid_t process = -1;
	int pipefd[2];

	rule(KILL);
	ck_assert_int_eq(pipe2(pipefd, O_CLOEXEC), 0);
	if (_i == 1 && geteuid() == 0) {
		/* Root may give anybody's: that process is not killed for alice's lease. */
		process = idle_process(BOB);
		stranger = pidfd_of(process);
	}
	mock_hold(bed.host, NIC, true);
	{
		_cleanup_claim_ struct claim claim =
			process > 0 ? acquire(root, .devices = { NIC }, .lifeline = stranger,
					      .owner = ALICE)
				    : acquire(alice, .devices = { NIC }, .lifeline = pipefd[0]);

		ck_claimed(claim);
		ck_assert_str_eq(revoke_lease(root, claim.lease, 0), "");
		if (process > 0) {
			/* Root's own rule says "ask". */
			UNTIL(revocation_has(root, claim.lease, "unbinding"));
			ck_assert_int_eq(kill(process, 0), 0);
		} else {
			UNTIL(revocation_has(root, claim.lease, "kill-not-possible"));
		}
		ck_property(root, claim.lease, "Lease", "State", "draining");
		mock_hold(bed.host, NIC, false);
		UNTIL(lease_gone(root, claim.lease));
	}
	fd_close(pipefd[0]);
	fd_close(pipefd[1]);
}
END_TEST

START_TEST(revoke_over_restart)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC }, .persist = true);

	ck_claimed(claim);
	ck_assert_str_eq(revoke_lease(root, claim.lease, 1500 * 1000), "");
	restart();
	ck_assert(revocation_has(root, claim.lease, "asked"));
	UNTIL(lease_gone(root, claim.lease));
	check_home();
}
END_TEST

/* ---- more */

START_TEST(add_groups)
{
	static const struct {
		const char *mode, *taken;
	} modes[] = {
		{ "cdev", "device " NIC_A ", device " NIC_B ": end 2" },
		{ "group", "group 2: end 1" },
		{ "node", "end 0" },
	};
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC }, .mode = modes[_i].mode);
	_cleanup_taken_ struct taken taken = { 0 };
	_cleanup_free_ char *groups = NULL;
	int fd;

	ck_claimed(claim);
	ck_assert_str_eq(add_wait(add_start(alice, claim.lease, LIST(NIC_A, NIC_B), NULL), &fd),
			 "");
	take(fd, &taken);
	fd_close(fd);
	ck_taken(&taken, modes[_i].taken);
	ck_driver(NIC_A, "vfio-pci");
	ck_driver(NIC_B, "vfio-pci");
	ck_assert(state_is(root, NIC_A, "granted"));
	groups = property(root, claim.lease, "Lease", "Groups");
	ck_assert(strstr(groups, "/group/2") && strstr(groups, "/group/3"));
	ck_property(root, "/org/vfiod1/group/2", "Group", "State", "leased");
	taken_done(&taken);
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	check_home();
}
END_TEST

START_TEST(add_withheld)
{
	static const char *const modes[] = { "cdev", "group", "node" };
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B }, .mode = modes[_i]);
	_cleanup_taken_ struct taken taken = { 0 };
	int fd;

	ck_claimed(claim);
	ck_assert(state_is(root, NIC_B, "withheld"));
	ck_assert_str_eq(add_wait(add_start(alice, claim.lease, LIST(NIC_B), NULL), &fd), "");
	take(fd, &taken);
	fd_close(fd);
	ck_taken(&taken, _i == 0 ? "device " NIC_B ": end 1" : "end 0");
	taken_done(&taken);
	ck_assert(state_is(root, NIC_B, "granted"));
	ck_driver(NIC_B, "vfio-pci");
	/* And shut off again. */
	ck_assert_str_eq(take_away(alice, claim.lease, LIST(NIC_B)), "");
	UNTIL(state_is(root, NIC_B, "withheld"));
	ck_driver(NIC_B, _i == 0 ? "vfio-pci" : "");
	ck_driver(NIC_A, "vfio-pci");
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	check_home();
}
END_TEST

START_TEST(add_refused)
{
	_cleanup_claim_ struct claim held = acquire(bob, .devices = { ADMIN });
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B });
	_cleanup_free_ char *there = NULL, *now = NULL;

	ck_claimed(held);
	ck_claimed(claim);
	there = host_picture();
	if (geteuid() == 0) {
		ck_assert_str_eq(add(bob, claim.lease, LIST(NIC)), "DBus.AccessDenied");
		ck_assert_str_eq(take_away(bob, claim.lease, LIST(NIC_A)), "DBus.AccessDenied");
	}
	ck_assert_str_eq(add(alice, claim.lease, LIST(NIC, NIC)), "BadOption");
	ck_assert_str_eq(add(alice, claim.lease, LIST(NIC_A)), "BadOption");
	ck_assert_str_eq(add(alice, claim.lease, LIST(NIC_B, NIC)), "BadOption");
	ck_assert_str_eq(add(alice, claim.lease, LIST(ADMIN)), "GroupBusy");
	ck_assert_str_eq(add(alice, claim.lease, LIST("ffff:00:00.0")), "NoSuchDevice");
	ck_assert_str_eq(add(alice, claim.lease, LIST(DISK)), "DeviceInUse");
	ck_assert_str_eq(add(alice, claim.lease, LIST(BEHIND)), "ConsentRequired");
	ck_assert_str_eq(call_error(alice, claim.lease, "Lease", "AddDevices", "asa{sv}", 1, NIC, 1,
				    "persist", "b", 1),
			 "BadOption");
	ck_assert_str_eq(take_away(alice, claim.lease, LIST(NIC_A)), "BadOption");
	ck_assert_str_eq(take_away(alice, claim.lease, LIST(NIC_B)), "NoSuchDevice");
	ck_assert_str_eq(take_away(alice, claim.lease, LIST(NIC)), "NoSuchDevice");
	ck_assert_str_eq(take_away(alice, claim.lease, LIST(NIC_A, NIC_A)), "BadOption");
	/* A rule that no longer has the verb. */
	rule("\"allow\": [\"withhold\"]");
	ck_assert_str_eq(add(alice, claim.lease, LIST(NIC_B)), "NotPermitted");
	now = host_picture();
	ck_same(there, now);
	ck_property(root, claim.lease, "Lease", "State", "leased");
}
END_TEST

/* ---- fewer */

START_TEST(remove_group)
{
	static const char *const modes[] = { "cdev", "group", "node" };
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC, BARE }, .mode = modes[_i]);
	_cleanup_free_ char *part = NULL, *of = NULL;

	ck_claimed(claim);
	mock_hold(bed.host, NIC, true);
	ck_assert_str_eq(take_away(alice, claim.lease, LIST(NIC)), "");
	ck_property(root, "/org/vfiod1/group/3", "Group", "State", "draining");
	ck_property(root, "/org/vfiod1/group/11", "Group", "State", "leased");
	part = property(root, "/org/vfiod1/group/3", "Group", "Lease");
	ck_assert_str_ne(part, claim.lease);
	of = property(root, part, "Lease", "PartOf");
	ck_assert_str_eq(of, claim.lease);
	/* Nobody gets it before it is home, its owner neither. */
	ck_assert_str_eq(add(alice, claim.lease, LIST(NIC)), "GroupDraining");
	mock_hold(bed.host, NIC, false);
	UNTIL(lease_gone(root, part));
	ck_driver(NIC, "e1000e");
	ck_driver(BARE, "vfio-pci");
	ck_property(root, claim.lease, "Lease", "State", "leased");
	/* And back. */
	ck_assert_str_eq(add(alice, claim.lease, LIST(NIC)), "");
	ck_driver(NIC, "vfio-pci");
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	check_home();
}
END_TEST

START_TEST(remove_inside)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A, NIC_B }, .mode = "group");

	ck_claimed(claim);
	mock_hold(bed.host, NIC_B, true);
	ck_assert_str_eq(take_away(alice, claim.lease, LIST(NIC_B)), "");
	/* Who has it open has it. */
	bed_sleep(100 * 1000);
	ck_assert(state_is(root, NIC_B, "granted"));
	ck_assert_str_eq(add(alice, claim.lease, LIST(NIC_B)), "BadOption");
	ck_assert_str_eq(take_away(alice, claim.lease, LIST(NIC_A)), "GroupBusy");
	if (_i == 1) {
		/* The end of the lease does not wait for it in vain. */
		ck_assert_str_eq(release(alice, claim.lease), "");
		bed_sleep(100 * 1000);
		ck_property(root, claim.lease, "Lease", "State", "draining");
	} else if (_i == 2) {
		restart();
	}
	mock_hold(bed.host, NIC_B, false);
	if (_i == 0) {
		UNTIL(state_is(root, NIC_B, "withheld"));
		ck_driver(NIC_B, "");
		ck_override(NIC_B, "none");
		ck_property(root, claim.lease, "Lease", "State", "leased");
		ck_assert_str_eq(release(alice, claim.lease), "");
	}
	UNTIL(lease_gone(root, claim.lease));
	check_home();
}
END_TEST

/* ---- faults */

static const struct {
	const char *op, *device;
	int error;
} faults[] = {
	{ "OVERRIDE", NIC_A, EIO }, { "UNBIND", NIC_A, EIO },	{ "PROBE", NIC_A, EIO },
	{ "PROBE", NIC_A, 0 },	    { "OVERRIDE", NIC_B, EIO }, { "PROBE", NIC_B, 0 },
};

START_TEST(add_groups_fails)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });
	_cleanup_free_ char *there = NULL, *now = NULL;

	ck_claimed(claim);
	there = host_picture();
	mock_fail(bed.host, faults[_i].op, faults[_i].device, faults[_i].error, 1);
	ck_assert_str_eq(add(alice, claim.lease, LIST(NIC_A, NIC_B)), "DriverFailed");
	UNTIL(property_is(root, "/org/vfiod1/group/2", "Group", "State", "host"));
	now = host_picture();
	ck_same(there, now);
	ck_property(root, claim.lease, "Lease", "State", "leased");
	ck_assert_str_eq(add(alice, claim.lease, LIST(NIC_A, NIC_B)), "");
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	check_home();
}
END_TEST

START_TEST(add_inside_fails)
{
	static const char *const ops[] = { "OVERRIDE", "PROBE" };
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B }, .mode = "group");

	ck_claimed(claim);
	mock_fail(bed.host, ops[_i], NIC_B, EIO, 1);
	ck_assert_str_eq(add(alice, claim.lease, LIST(NIC_B)), "DriverFailed");
	ck_assert(state_is(root, NIC_B, "withheld"));
	ck_driver(NIC_B, "");
	ck_override(NIC_B, "none");
	ck_property(root, claim.lease, "Lease", "State", "leased");
	ck_assert_str_eq(add(alice, claim.lease, LIST(NIC_B)), "");
	ck_assert(state_is(root, NIC_B, "granted"));
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	check_home();
}
END_TEST

/*
 * A growth that fails (0), or that a crash cuts short (1), leaves the device with the rule that it
 * was withheld by: the one place of the rule that was to let it in is another's.
 */
START_TEST(add_inside_fails_and_counts_no_more)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC_A },
						     .withhold = { NIC_B }, .mode = "group",
						     .persist = true),
				     other = { .handoff = -EBADF };
	_cleanup_free_ char *rules = NULL;
	struct pending *pending;

	ck_claimed(claim);
	rules = property(root, claim.lease, "Lease", "Rules");
	rule("\"allow\": [\"acquire\", \"withhold\", \"persist\"], \"limits\": { \"devices\": 1 }");
	if (_i == 0) {
		mock_fail(bed.host, "PROBE", NIC_B, EIO, 1);
		ck_assert_str_eq(add(alice, claim.lease, LIST(NIC_B)), "DriverFailed");
	} else {
		slow("PROBE", NIC_B, 5000);
		pending = add_start(alice, claim.lease, LIST(NIC_B), NULL);
		UNTIL(host_did("OVERRIDE " NIC_B " vfio-pci"));
		/* Meanwhile the place is taken. */
		other = acquire(alice, .devices = { BARE });
		ck_refused(other, "QuotaExceeded");
		claim_done(&other);
		call_drop(pending);
		restart();
		slow("PROBE", NIC_B, 0);
	}
	UNTIL(property_is(root, claim.lease, "Lease", "Rules", rules));
	ck_assert(state_is(root, NIC_B, "withheld"));
	other = acquire(alice, .devices = { BARE });
	ck_claimed(other);
	ck_assert_str_eq(release(root, other.lease), "");
	ck_assert_str_eq(release(root, claim.lease), "");
	UNTIL(is_home());
}
END_TEST

/* ---- cut short */

/* The daemon, the lifeline or the caller goes while a group is being added. */
START_TEST(add_groups_cut_short)
{
	/* It would keep the connection, which is to close. */
	pid_t holder = _i == 1 ? idle_process(ALICE) : -1;
	_cleanup_close_ int pidfd = _i == 1 ? pidfd_of(holder) : -EBADF;
	_cleanup_claim_ struct claim claim = { .handoff = -EBADF };
	struct pending *pending;

	claim = _i == 1 ? acquire(alice, .devices = { NIC }, .lifeline = pidfd)
			: acquire(alice, .devices = { NIC }, .persist = true, .shared = true);
	ck_claimed(claim);
	slow("PROBE", NIC_A, 700);
	pending = add_start(alice, claim.lease, LIST(NIC_A, NIC_B), NULL);
	UNTIL(property_is(root, "/org/vfiod1/group/2", "Group", "State", "preparing"));
	if (_i == 0) {
		call_drop(pending);
		restart();
	} else if (_i == 1) {
		int fd;

		process_kill(holder);
		ck_assert_str_ne(add_wait(pending, &fd), "");
	} else if (_i == 2) {
		call_drop(pending);
		client_free(alice);
		alice = client_new(ALICE);
	} else {
		int fd;

		ck_assert_str_eq(release(alice, claim.lease), "");
		ck_assert_str_ne(add_wait(pending, &fd), "");
	}
	slow("PROBE", NIC_A, 0);
	UNTIL(property_is(root, "/org/vfiod1/group/2", "Group", "State", "host"));
	if (_i == 0 || _i == 2) {
		ck_property(root, claim.lease, "Lease", "State", "leased");
		ck_driver(NIC, "vfio-pci");
		ck_assert_str_eq(release(root, claim.lease), "");
	}
	UNTIL(lease_gone(root, claim.lease));
	check_home();
}
END_TEST

START_TEST(add_inside_cut_short)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B }, .mode = "group",
			.persist = true);
	struct pending *pending;
	int fd;

	ck_claimed(claim);
	slow("PROBE", NIC_B, 700);
	pending = add_start(alice, claim.lease, LIST(NIC_B), NULL);
	UNTIL(host_did("OVERRIDE " NIC_B " vfio-pci"));
	if (_i == 0) {
		call_drop(pending);
		restart();
		slow("PROBE", NIC_B, 0);
		UNTIL(host_did("UNBOUND " NIC_B " vfio-pci"));
		ck_assert(state_is(root, NIC_B, "withheld"));
		ck_property(root, claim.lease, "Lease", "State", "leased");
		ck_assert_str_eq(release(root, claim.lease), "");
	} else {
		ck_assert_str_eq(release(alice, claim.lease), "");
		ck_assert_str_ne(add_wait(pending, &fd), "");
	}
	slow("PROBE", NIC_B, 0);
	UNTIL(lease_gone(root, claim.lease));
	check_home();
}
END_TEST

/* A part that drains is found again, and the lease that it left. */
START_TEST(remove_group_over_restart)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC, BARE }, .persist = true);

	ck_claimed(claim);
	mock_hold(bed.host, NIC, true);
	ck_assert_str_eq(take_away(alice, claim.lease, LIST(NIC)), "");
	restart();
	ck_property(root, claim.lease, "Lease", "State", "leased");
	ck_property(root, "/org/vfiod1/group/3", "Group", "State", "draining");
	mock_hold(bed.host, NIC, false);
	UNTIL(property_is(root, "/org/vfiod1/group/3", "Group", "State", "host"));
	ck_driver(BARE, "vfio-pci");
	ck_assert_str_eq(release(root, claim.lease), "");
	UNTIL(is_home());
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("change");
	TCase *tcase = tcase_create("change");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, drain);
	tcase_add_test(tcase, revoke_ends);
	tcase_add_test(tcase, revoke_released_before);
	tcase_add_loop_test(tcase, revoke_kills, 0, 2);
	tcase_add_loop_test(tcase, revoke_cannot_kill, 0, 2);
	tcase_add_test(tcase, revoke_over_restart);
	tcase_add_loop_test(tcase, add_groups, 0, 3);
	tcase_add_loop_test(tcase, add_withheld, 0, 3);
	tcase_add_test(tcase, add_refused);
	tcase_add_loop_test(tcase, remove_group, 0, 3);
	tcase_add_loop_test(tcase, remove_inside, 0, 3);
	tcase_add_loop_test(tcase, add_groups_fails, 0, ARRAY_SIZE(faults));
	tcase_add_loop_test(tcase, add_inside_fails, 0, 2);
	tcase_add_loop_test(tcase, add_inside_fails_and_counts_no_more, 0, 2);
	tcase_add_loop_test(tcase, add_groups_cut_short, 0, 4);
	tcase_add_loop_test(tcase, add_inside_cut_short, 0, 2);
	tcase_add_test(tcase, remove_group_over_restart);
	suite_add_tcase(suite, tcase);
	return bed_main(suite, true);
}
