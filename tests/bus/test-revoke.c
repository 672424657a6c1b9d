/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The last rung of a revocation: who is killed, and who never. Each holder here is a process of the
 * test; where another one than the owner's would be killed, it must live, and the rung say why.
 * That access has ended is said by nobody before the unbinds have returned.
 */

#include "tests/bus/change.h"

#include <fcntl.h>
#include <linux/securebits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILL                                                                              \
	"\"allow\": [\"acquire\", \"withhold\", \"persist\", \"delegate\"], \"revoke\": " \
	"\"kill\""
#define NOT_POSSIBLE "kill-not-possible"

static struct client *alice, *root;
static char *before;

static void setup(void)
{
	bed_start();
	alice = client_new(ALICE);
	root = client_new(0);
	before = host_picture();
	first_rule(root, ALICE, KILL);
}

static void teardown(void)
{
	_cleanup_free_ char *now = NULL;

	bed_policy("10-first.json", NULL);
	now = host_picture();
	ck_same(before, now);
	client_free(alice);
	client_free(root);
	free(before);
	bed_stop();
}

/* The ladder's last rung, with the device in somebody's hands all the time. */
static void climb(const char *lease, const char *rung, const char *note)
{
	ck_assert_str_eq(revoke_lease(root, lease, 0), "");
	UNTIL(revocation_has(root, lease, rung));
	ck_assert_msg(revocation_has(root, lease, note), "no \"%s\"", note);
	/* It says what was tried, and no more. */
	bed_sleep(200 * 1000);
	ck_property(root, lease, "Lease", "State", "draining");
	ck_driver(NIC, "");
}

static void let_go(const char *lease)
{
	mock_hold(bed.host, NIC, false);
	UNTIL(lease_gone(root, lease));
	ck_assert(daemon_said("every unbind has returned"));
}

/* A process of these uids that does nothing: a set-uid program has such. */
static pid_t process_of(uid_t real, uid_t effective, uid_t saved)
{
	int ready[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (setresuid(real, effective, saved) < 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static struct claim lease_of(uid_t owner, int lifeline)
{
	return acquire(root, .devices = { NIC }, .lifeline = lifeline, .owner = owner);
}

/* Root may give any process for a lifeline. None but the owner's is killed. */
START_TEST(foreign)
{
	const uid_t uids[][3] = {
		{ BOB, BOB, BOB },   /* another user's */
		{ ALICE, 0, 0 },     /* the owner's, in a set-uid program */
		{ ALICE, ALICE, 0 }, /* that has put root's aside */
		{ 0, ALICE, ALICE }, /* root's, acting for the owner */
		{ ALICE, BOB, ALICE },
	};
	pid_t process = process_of(uids[_i][0], uids[_i][1], uids[_i][2]);
	_cleanup_close_ int pidfd = pidfd_of(process);

	first_rule(root, 0, KILL);
	mock_hold(bed.host, NIC, true);
	{
		_cleanup_claim_ struct claim claim = lease_of(ALICE, pidfd);

		ck_claimed(claim);
		climb(claim.lease, NOT_POSSIBLE, "the lifeline: it is no process of the owner");
		ck_assert_int_eq(waitpid(process, NULL, WNOHANG), 0);
		let_go(claim.lease);
	}
	process_kill(process);
}
END_TEST

/* The process is the owner's when the lease begins, and another's when it is to be killed. */
START_TEST(changed_uid)
{
	const uid_t owner = ALICE, stranger = BOB;
	_cleanup_close_ int pidfd = -EBADF;
	int sock[2];
	pid_t process;
	char byte;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock), 0);
	process = fork();
	if (process == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* It keeps the right to change its uid, as a program with that capability. */
		if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) < 0 ||
		    setresuid(owner, owner, owner) < 0 || write(sock[1], "", 1) != 1 ||
		    read(sock[1], &byte, 1) != 1 ||
		    (_i ? setresuid(stranger, stranger, stranger) : setresuid(owner, 0, owner)) <
			    0 ||
		    write(sock[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	ck_assert_int_eq(read(sock[0], &byte, 1), 1);
	pidfd = pidfd_of(process);
	mock_hold(bed.host, NIC, true);
	{
		_cleanup_claim_ struct claim claim =
			acquire(alice, .devices = { NIC }, .lifeline = pidfd);

		ck_claimed(claim);
		ck_assert_int_eq(write(sock[0], "", 1), 1);
		ck_assert_int_eq(read(sock[0], &byte, 1), 1);
		climb(claim.lease, NOT_POSSIBLE, "the lifeline: it is no process of the owner");
		ck_assert_int_eq(waitpid(process, NULL, WNOHANG), 0);
		let_go(claim.lease);
	}
	process_kill(process);
	close(sock[0]);
	close(sock[1]);
}
END_TEST

/* Process 1 is nobody's VMM, not even root's. */
START_TEST(process_one)
{
	_cleanup_close_ int pidfd = pidfd_of(1);

	first_rule(root, 0, KILL);
	mock_hold(bed.host, NIC, true);
	{
		_cleanup_claim_ struct claim claim = lease_of(0, pidfd);

		ck_claimed(claim);
		climb(claim.lease, NOT_POSSIBLE, "the lifeline: it is no process of the owner");
		ck_assert_int_eq(kill(1, 0), 0);
		let_go(claim.lease);
	}
}
END_TEST

/* A pipe or a socket means nobody, and this bus does not say whose the connection is: the test's
 * own process, which it would be, is another's. */
START_TEST(no_process)
{
	int fds[2];

	if (_i)
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	else
		ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	mock_hold(bed.host, NIC, true);
	{
		_cleanup_claim_ struct claim claim =
			acquire(alice, .devices = { NIC }, .lifeline = fds[0]);

		ck_claimed(claim);
		if (_i == 2)
			close(fds[1]);
		climb(claim.lease, NOT_POSSIBLE, "bus");
		let_go(claim.lease);
	}
	close(fds[0]);
	if (_i != 2)
		close(fds[1]);
}
END_TEST

/* Its process has ended, and somebody else has the device from it: nobody is killed instead, the
 * one who has the pid next least of all. */
START_TEST(ended)
{
	pid_t holder = idle_process(ALICE);
	_cleanup_close_ int pidfd = pidfd_of(holder);

	mock_hold(bed.host, NIC, true);
	{
		_cleanup_claim_ struct claim claim =
			acquire(alice, .devices = { NIC }, .lifeline = pidfd);

		ck_claimed(claim);
		process_kill(holder);
		UNTIL(property_is(root, claim.lease, "Lease", "State", "draining"));
		climb(claim.lease, NOT_POSSIBLE, "the lifeline: it has ended already");
		let_go(claim.lease);
	}
}
END_TEST

/* The holder is killed, and the device is in a third process's hands. */
START_TEST(handed_on)
{
	pid_t holder = idle_process(ALICE);
	_cleanup_close_ int pidfd = pidfd_of(holder);

	mock_hold(bed.host, NIC, true);
	{
		_cleanup_claim_ struct claim claim =
			acquire(alice, .devices = { NIC }, .lifeline = pidfd);

		ck_claimed(claim);
		climb(claim.lease, "killed", "by the lifeline");
		ck_assert_int_eq(waitpid(holder, NULL, 0), holder);
		/* Again, by one who has seen that it did not help. */
		climb(claim.lease, NOT_POSSIBLE, "the lifeline: it has ended already");
		let_go(claim.lease);
	}
}
END_TEST

/* What was taken out of a lease is held by who holds the rest. */
START_TEST(part)
{
	pid_t holder = idle_process(ALICE);
	_cleanup_close_ int pidfd = pidfd_of(holder);

	mock_hold(bed.host, NIC, true);
	{
		_cleanup_claim_ struct claim claim =
			acquire(alice, .devices = { NIC, BARE }, .lifeline = pidfd);
		_cleanup_free_ char *gone = NULL;

		ck_claimed(claim);
		ck_assert_str_eq(take_away(alice, claim.lease, LIST(NIC)), "");
		gone = property(root, "/org/vfiod1/group/3", "Group", "Lease");
		climb(gone, "killed", "by the lifeline");
		ck_assert_int_eq(waitpid(holder, NULL, 0), holder);
		/* Which is the end of the rest. */
		UNTIL(lease_gone(root, claim.lease));
		let_go(gone);
	}
}
END_TEST

/* The daemon is killed between the rungs: the lifeline comes back from the service manager. */
START_TEST(restarted)
{
	pid_t holder = idle_process(ALICE);
	_cleanup_close_ int pidfd = pidfd_of(holder);

	mock_hold(bed.host, NIC, true);
	{
		_cleanup_claim_ struct claim claim =
			acquire(alice, .devices = { NIC }, .lifeline = pidfd);

		ck_claimed(claim);
		ck_assert_str_eq(revoke_lease(root, claim.lease, _i ? 0 : 1000 * 1000), "");
		if (_i)
			UNTIL(revocation_has(root, claim.lease, "unbinding"));
		daemon_kill();
		client_free(root);
		daemon_start();
		root = client_new(0);
		UNTIL(revocation_has(root, claim.lease, "killed"));
		ck_assert_int_eq(waitpid(holder, NULL, 0), holder);
		ck_property(root, claim.lease, "Lease", "State", "draining");
		let_go(claim.lease);
	}
	alice = client_free(alice);
	alice = client_new(ALICE);
}
END_TEST

/* A policy that only asks kills nobody. */
START_TEST(only_asked)
{
	pid_t holder = idle_process(ALICE);
	_cleanup_close_ int pidfd = pidfd_of(holder);

	first_rule(root, ALICE, NULL);
	mock_hold(bed.host, NIC, true);
	{
		_cleanup_claim_ struct claim claim =
			acquire(alice, .devices = { NIC }, .lifeline = pidfd);

		ck_claimed(claim);
		ck_assert_str_eq(revoke_lease(root, claim.lease, 0), "");
		UNTIL(revocation_has(root, claim.lease, "unbinding"));
		ck_assert(revocation_has(root, claim.lease, "the owner has not given it back"));
		/* Longer than the next rung would take. */
		bed_sleep(6500 * 1000);
		ck_assert(revocation_has(root, claim.lease, "unbinding"));
		ck_assert_int_eq(waitpid(holder, NULL, WNOHANG), 0);
		ck_property(root, claim.lease, "Lease", "State", "draining");
		let_go(claim.lease);
	}
	process_kill(holder);
}
END_TEST

/* Given back in time: the ladder is over, and the record says so. */
START_TEST(obeyed)
{
	pid_t holder = idle_process(ALICE);
	_cleanup_close_ int pidfd = pidfd_of(holder);
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC }, .lifeline = pidfd);

	ck_claimed(claim);
	ck_assert_str_eq(revoke_lease(root, claim.lease, 600 * 1000000ULL), "");
	if (_i)
		process_kill(holder);
	else
		ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	ck_assert(daemon_said("the lease ended before the deadline"));
	ck_assert(!daemon_said("unbinding"));
	if (!_i)
		process_kill(holder);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("revoke");

	bed_test(suite, setup, teardown, ended, 1);
	bed_test(suite, setup, teardown, handed_on, 1);
	bed_test(suite, setup, teardown, part, 1);
	bed_test(suite, setup, teardown, restarted, 2);
	bed_test(suite, setup, teardown, only_asked, 1);
	bed_test(suite, setup, teardown, obeyed, 2);
	bed_test(suite, setup, teardown, foreign, 5);
	bed_test(suite, setup, teardown, changed_uid, 2);
	bed_test(suite, setup, teardown, process_one, 1);
	bed_test(suite, setup, teardown, no_process, 3);
	return bed_main(suite, true);
}
