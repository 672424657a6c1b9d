/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A worker that waits in the kernel, for a VMM that does not let go or for a driver that does not
 * come back: its own group waits with it, visibly. Nothing and nobody else does.
 */

#include "tests/bus/picture.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define GROUP_3 "/org/vfiod1/group/3"

static struct client *alice, *bob, *root;
static struct watch *watch;
static char *before;

static void set_up(void)
{
	bed_start();
	alice = client_new(ALICE);
	bob = client_new(BOB);
	root = client_new(0);
	watch = watch_new(CAROL);
	before = host_picture();
}

static bool all_home(void)
{
	_cleanup_strv_ char **journals = host_journals();

	return !*journals;
}

static void tear_down(void)
{
	_cleanup_free_ char *now = NULL;

	alice = client_free(alice);
	bob = client_free(bob);
	UNTIL(all_home());
	watch_settled(watch);
	watch = watch_free(watch);
	root = client_free(root);
	now = host_picture();
	ck_same(before, now);
	free(before);
	bed_stop();
}

static bool state_is(const char *state)
{
	return property_is(root, GROUP_3, "Group", "State", state);
}

/* Everything that does not need the group is answered at once. */
static void ck_all_served(void)
{
	uint64_t begin = bed_now();
	_cleanup_claim_ struct claim busy = { 0 }, other = { 0 };
	_cleanup_taken_ struct taken taken = { 0 };
	_cleanup_free_ char *picture = bus_picture(alice);
	sd_bus_message *m;

	ck_assert_ptr_nonnull(strstr(picture, NIC));
	ck_assert_str_eq(call_error(alice, VFIOD_ROOT, "Manager", "FindDevice", "s", NIC), "");
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Reload", NULL), "");
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Rescan", NULL), "");
	m = call(bob, VFIOD_ROOT, "Manager", "Explain", "asa{sv}", 1, NIC, 0);
	ck_assert_str_eq(error_of(m), "");
	sd_bus_message_unref(m);
	ck_assert_str_eq(call_error(bob, DEVICE_PATH "pci_0000_04_00_0", "Device", "GetUses", NULL),
			 "");
	other = acquire(bob, .devices = { ADMIN }, .mode = "group");
	ck_claimed(other);
	take(other.handoff, &taken);
	ck_assert_str_eq(taken.last, "end 2");
	taken_done(&taken);
	ck_assert_str_eq(release(bob, other.lease), "");
	UNTIL(lease_gone(bob, other.lease));
	busy = acquire(bob, .devices = { NIC });
	ck_assert(!*busy.error || strncmp(busy.error, "Group", 5) == 0);
	ck_assert_uint_lt(bed_now() - begin, 5000000);
}

/* A release whose unbind waits. */
START_TEST(unbind_waits)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC }), again = { 0 };
	_cleanup_free_ char *line = NULL;

	ck_claimed(claim);
	mock_hold(bed.host, NIC, true);
	ck_assert_str_eq(release(alice, claim.lease), "");
	ck_assert(state_is("draining"));
	ck_property(bob, claim.lease, "Lease", "State", "draining");
	for (int i = 0; i < 3; i++) {
		ck_all_served();
		again = acquire(bob, .devices = { NIC });
		ck_refused(again, "GroupDraining");
		claim_done(&again);
		/* Nor its old owner. */
		again = acquire(alice, .devices = { NIC });
		ck_refused(again, "GroupDraining");
		claim_done(&again);
		bed_sleep(100000);
	}
	/* I5: nothing of it has gone home. */
	ck_driver(NIC, "");
	ck_assert(!host_did("PROBE " NIC " -"));
	watch_clear(watch);
	mock_hold(bed.host, NIC, false);
	UNTIL(watch_count(watch, "ended"));
	ck_assert(state_is("host"));
	ck_driver(NIC, "e1000e");
	line = mock_asprintf("ended %s: released", claim.lease);
	ck_assert_uint_eq(watch_count(watch, line), 1);
	again = acquire(bob, .devices = { NIC });
	ck_claimed(again);
}
END_TEST

/* One of two members is held: the other waits with it, unbound. */
START_TEST(one_of_two_waits)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC_A, NIC_B });

	ck_claimed(claim);
	mock_hold(bed.host, _i ? NIC_B : NIC_A, true);
	ck_assert_str_eq(release(alice, claim.lease), "");
	bed_sleep(200000);
	ck_property(bob, "/org/vfiod1/group/2", "Group", "State", "draining");
	/* Neither has its host driver. */
	{
		_cleanup_free_ char *a = host_driver(NIC_A), *b = host_driver(NIC_B);

		ck_assert_str_ne(a, "e1000");
		ck_assert_str_ne(b, "e1000");
	}
	mock_hold(bed.host, _i ? NIC_B : NIC_A, false);
	UNTIL(lease_gone(root, claim.lease));
}
END_TEST

/* A VMM of alice's that keeps its fd: who it is, is said. */
START_TEST(vmm_keeps_its_fd)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });
	_cleanup_taken_ struct taken taken = { 0 };
	_cleanup_free_ char *holders = NULL, *wanted = NULL;
	pid_t pid;

	ck_claimed(claim);
	take(claim.handoff, &taken);
	ck_assert_uint_eq(taken.n, 2);
	/* It inherits them. */
	pid = idle_process(ALICE);
	taken_done(&taken);
	ck_assert_str_eq(release(alice, claim.lease), "");
	wanted = mock_asprintf("(%d, ", (int)pid);
	UNTIL(({
		free(holders);
		holders = property(bob, claim.lease, "Lease", "Holders");
		holders &&strstr(holders, wanted);
	}));
	ck_all_served();
	ck_assert(state_is("draining"));
	process_kill(pid);
	UNTIL(state_is("host"));
}
END_TEST

/* It loses its group fd's worth at once, and the device's with its end: a killed VMM. */
START_TEST(killed_vmm)
{
	_cleanup_claim_ struct claim claim = { 0 };
	_cleanup_taken_ struct taken taken = { 0 };
	pid_t pid = idle_process(ALICE), vmm;
	int fd = pidfd_of(pid);

	claim = acquire(alice, .devices = { NIC }, .lifeline = fd, .mode = "group",
			.device_fds = true);
	ck_claimed(claim);
	close(fd);
	take(claim.handoff, &taken);
	ck_assert_uint_eq(taken.n, 3);
	vmm = idle_process(ALICE);
	taken_done(&taken);
	/* Its child has the fds still. */
	process_kill(pid);
	UNTIL(state_is("draining"));
	bed_sleep(100000);
	ck_assert(state_is("draining"));
	process_kill(vmm);
	UNTIL(state_is("host"));
}
END_TEST

/* The claim's own unbind or probe takes its time: others go on, and so does the claim. */
START_TEST(claim_waits)
{
	static const char *const slow[] = { "slow/UNBIND/" NIC, "slow/PROBE/" NIC,
					    "slow/OVERRIDE/" NIC, "slow/SETTLE/vfio!3" };
	struct pending *pending;
	_cleanup_claim_ struct claim claim = { 0 };

	tree_write(bed.host->fd, "1000", "%s", slow[_i]);
	pending = acquire_start(alice, &(struct ask){ .devices = { NIC } });
	UNTIL(state_is("preparing"));
	ck_all_served();
	claim = acquire_wait(pending);
	ck_claimed(claim);
	tree_remove(bed.host->fd, "slow");
}
END_TEST

/* A device that somebody has open on vfio-pci: the claim's cycle waits for it. */
START_TEST(claim_waits_for_stranger)
{
	struct pending *pending;
	_cleanup_claim_ struct claim claim = { 0 }, other = { 0 };

	mock_hold(bed.host, VFIO_A, true);
	pending = acquire_start(alice, &(struct ask){ .devices = { VFIO_A, VFIO_B } });
	UNTIL(property_is(root, "/org/vfiod1/group/6", "Group", "State", "preparing"));
	bed_sleep(200000);
	ck_all_served();
	ck_property(root, "/org/vfiod1/group/6", "Group", "State", "preparing");
	other = acquire(bob, .devices = { VFIO_A, VFIO_B });
	ck_refused(other, "GroupBusy");
	ck_assert_ptr_null(pending->reply);
	mock_hold(bed.host, VFIO_A, false);
	claim = acquire_wait(pending);
	ck_claimed(claim);
}
END_TEST

/* Its caller goes away: it is undone when the kernel lets go, and not before. */
START_TEST(caller_goes_while_claim_waits)
{
	struct pending *pending;

	mock_hold(bed.host, VFIO_A, true);
	pending = acquire_start(alice, &(struct ask){ .devices = { VFIO_A, VFIO_B } });
	UNTIL(property_is(root, "/org/vfiod1/group/6", "Group", "State", "preparing"));
	call_drop(pending);
	alice = client_free(alice);
	alice = client_new(ALICE);
	bed_sleep(100000);
	ck_all_served();
	mock_hold(bed.host, VFIO_A, false);
	UNTIL(property_is(root, "/org/vfiod1/group/6", "Group", "State", "host"));
	ck_driver(VFIO_A, "vfio-pci");
	ck_override(VFIO_A, "vfio-pci");
}
END_TEST

/* The host driver's probe takes its time on the way home. */
START_TEST(restore_waits)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC }), again = { 0 };

	ck_claimed(claim);
	tree_write(bed.host->fd, "1000", "slow/PROBE/" NIC);
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(state_is("restoring") || state_is("draining"));
	ck_all_served();
	again = acquire(bob, .devices = { NIC });
	if (*again.error)
		ck_refused(again, "GroupDraining");
	UNTIL(lease_gone(root, claim.lease));
	tree_remove(bed.host->fd, "slow");
}
END_TEST

/* Everything at once: every group has a lease that drains and cannot. */
START_TEST(many_wait)
{
	static const char *const devices[] = { NIC, ADMIN, BARE, VF_A, VF_B };
	struct claim claims[ARRAY_SIZE(devices)];

	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		claims[i] = acquire(alice, .devices = { devices[i] });
		ck_claimed(claims[i]);
		claims[i].handoff = fd_close(claims[i].handoff);
		mock_hold(bed.host, devices[i], true);
	}
	alice = client_free(alice);
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
		UNTIL(property_is(root, claims[i].lease, "Lease", "State", "draining"));
	{
		_cleanup_claim_ struct claim free = acquire(bob, .devices = { NIC_A, NIC_B });

		ck_claimed(free);
	}
	/* One after the other, in another order. */
	for (size_t i = ARRAY_SIZE(devices); i-- > 0;) {
		mock_hold(bed.host, devices[i], false);
		UNTIL(lease_gone(root, claims[i].lease));
		claim_done(&claims[i]);
	}
	UNTIL(watch_count(watch, "ended") == ARRAY_SIZE(devices));
}
END_TEST

/* A stop of the daemon does not wait for it either; the next one takes it up. */
START_TEST(stop_while_waiting)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });
	uint64_t begin;

	ck_claimed(claim);
	mock_hold(bed.host, NIC, true);
	ck_assert_str_eq(release(alice, claim.lease), "");
	bed_sleep(100000);
	begin = bed_now();
	watch = watch_free(watch);
	ck_assert_int_eq(daemon_stop(), 0);
	ck_assert_uint_lt(bed_now() - begin, 5000000);
	daemon_start();
	watch = watch_new(CAROL);
	ck_assert(state_is("draining"));
	ck_all_served();
	mock_hold(bed.host, NIC, false);
	UNTIL(state_is("host"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hang");

	bed_test(suite, set_up, tear_down, unbind_waits, 1);
	bed_test(suite, set_up, tear_down, one_of_two_waits, 2);
	bed_test(suite, set_up, tear_down, vmm_keeps_its_fd, 1);
	bed_test(suite, set_up, tear_down, killed_vmm, 1);
	bed_test(suite, set_up, tear_down, claim_waits, 4);
	bed_test(suite, set_up, tear_down, claim_waits_for_stranger, 1);
	bed_test(suite, set_up, tear_down, caller_goes_while_claim_waits, 1);
	bed_test(suite, set_up, tear_down, restore_waits, 1);
	bed_test(suite, set_up, tear_down, many_wait, 1);
	bed_test(suite, set_up, tear_down, stop_while_waiting, 1);
	return bed_main(suite, true);
}
