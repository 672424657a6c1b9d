/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * AddDevices and RemoveDevices under attack: callers who may not, several changes at once, a change
 * in the middle of another, of a revocation or of the lease's end, callers that go, a journal that
 * is full, a worker that dies, devices that come and go. Whatever happens, the host has in the end
 * what it had before.
 */

#include "tests/bus/change.h"
#include "tests/bus/picture.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMER	   "0000:02:03.0"
#define FENCED	   "\"allow\": [\"acquire\", \"withhold\", \"persist\", \"fenced\"]"
#define GROUP(n)   "/org/vfiod1/group/" #n
#define SLOW_MSEC  500
#define AWHILE	   (100 * 1000)
#define LONG_GRACE (600 * 1000000ULL)

static struct client *alice, *other, *bob, *root;
static struct watch *watch;
static char *before;

static void setup(void)
{
	bed_start();
	alice = client_new(ALICE);
	other = client_new(ALICE);
	bob = client_new(BOB);
	root = client_new(0);
	watch = watch_new(0);
	before = host_picture();
}

static bool is_home(void)
{
	_cleanup_free_ char *now = host_picture();

	return streq(before, now);
}

static void teardown(void)
{
	_cleanup_free_ char *now = NULL;
	uint64_t end = bed_now() + BED_TIMEOUT_USEC;

	client_free(alice);
	client_free(other);
	client_free(bob);
	while (!is_home() && bed_now() < end)
		bed_turn();
	now = host_picture();
	ck_same(before, now);
	watch_settled(watch);
	watch_free(watch);
	client_free(root);
	free(before);
	bed_stop();
}

/* ---- what comes to the group */

static void come(void)
{
	mock_pci_add(bed.host, COMER, .vendor = 0x8086, .device = 0x100e, .class_code = 0x020000,
		     .group = 2, .iommu = "dmar0", .numa_node = -1);
	UNTIL(state_is(root, COMER, "fenced"));
	/* Its last word: the fence writes nothing more. */
	UNTIL(daemon_said(COMER " came to a group of lease"));
}

static void go(void)
{
	mock_device_remove(bed.host, "pci", COMER);
}

/* Nobody who looks later finds it shut off again. */
static void stays(const char *device, const char *state)
{
	bed_sleep(AWHILE);
	ck_assert(state_is(root, device, state));
}

/* A fence that has shut off what came may be at its last words yet. */
static const char *add_soon(const char *lease, const char *const *devices)
{
	const char *error;

	UNTIL((error = add(alice, lease, devices), !streq(error, "GroupBusy")));
	return error;
}

START_TEST(fenced)
{
	static const char *const modes[] = { "cdev", "group", "node" };
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B }, .mode = modes[_i]);
	_cleanup_taken_ struct taken taken = { 0 };
	int fd;

	ck_claimed(claim);
	come();
	/* The usual rule has not the verb. */
	ck_assert_str_eq(add(alice, claim.lease, LIST(COMER)), "NotPermitted");
	stays(COMER, "fenced");
	first_rule(root, ALICE, FENCED);
	ck_assert_str_eq(add(bob, claim.lease, LIST(COMER)), "DBus.AccessDenied");
	UNTIL(!*add_wait(add_start(alice, claim.lease, LIST(COMER), NULL), &fd));
	take(fd, &taken);
	fd_close(fd);
	ck_taken(&taken, _i == 0 ? "device " COMER ": end 1" : "end 0");
	taken_done(&taken);
	stays(COMER, "granted");
	ck_driver(COMER, "vfio-pci");
	ck_override(COMER, "vfio-pci");
	ck_property(root, claim.lease, "Lease", "Fenced", "[]");
	ck_assert_str_eq(add(alice, claim.lease, LIST(COMER)), "BadOption");
	/* Out again, and in again. */
	ck_assert_str_eq(take_away(alice, claim.lease, LIST(COMER)), "");
	UNTIL(state_is(root, COMER, "withheld"));
	ck_driver(COMER, "");
	ck_override(COMER, "none");
	ck_assert_str_eq(add(alice, claim.lease, LIST(COMER)), "");
	stays(COMER, "granted");
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	/* The host never had it: it finds the driver that it would have got. */
	ck_driver(COMER, "e1000");
	ck_override(COMER, "");
	go();
	first_rule(root, ALICE, NULL);
}
END_TEST

/* It cannot be bound: it is fenced as before, and can be tried again. */
START_TEST(fenced_fails)
{
	static const char *const ops[] = { "OVERRIDE", "PROBE" };
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B }, .mode = "cdev");

	ck_claimed(claim);
	first_rule(root, ALICE, FENCED);
	come();
	mock_fail(bed.host, ops[_i], COMER, EIO, 1);
	ck_assert_str_eq(add_soon(claim.lease, LIST(COMER)), "DriverFailed");
	stays(COMER, "fenced");
	ck_driver(COMER, "");
	ck_override(COMER, "none");
	ck_assert_str_eq(add(alice, claim.lease, LIST(COMER)), "");
	stays(COMER, "granted");
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	go();
	first_rule(root, ALICE, NULL);
}
END_TEST

START_TEST(fenced_is_not_removed)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B });
	const char *error;

	ck_claimed(claim);
	come();
	/* Its fence may not have come to its end yet. */
	UNTIL((error = take_away(alice, claim.lease, LIST(COMER)), !streq(error, "GroupBusy")));
	ck_assert_str_eq(error, "NoSuchDevice");
	/* Nor does its being there keep a group that nothing is granted of. */
	ck_assert_str_eq(take_away(alice, claim.lease, LIST(NIC_A, COMER)), "NoSuchDevice");
	ck_assert_str_eq(add(alice, claim.lease, LIST(NIC)), "");
	UNTIL(!*take_away(alice, claim.lease, LIST(NIC_A)));
	UNTIL(property_is(root, GROUP(2), "Group", "State", "host"));
	ck_driver(COMER, "e1000");
	ck_override(COMER, "");
	ck_driver(NIC, "vfio-pci");
	go();
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
}
END_TEST

/* ---- who may */

START_TEST(who_may)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });
	_cleanup_claim_ struct claim shared = { .handoff = -EBADF };

	ck_claimed(claim);
	if (geteuid() == 0) {
		ck_assert_str_eq(add(bob, claim.lease, LIST(BARE)), "DBus.AccessDenied");
		ck_assert_str_eq(add(other, claim.lease, LIST(BARE)), "DBus.AccessDenied");
		ck_assert_str_eq(take_away(other, claim.lease, LIST(NIC)), "DBus.AccessDenied");
		ck_assert_str_eq(revoke_lease(alice, claim.lease, 1), "DBus.AccessDenied");
	}
	/* Root may; who decides is the rule for root, who asks. */
	ck_assert_str_eq(add(root, claim.lease, LIST(BARE)), "");
	ck_assert_str_eq(take_away(root, claim.lease, LIST(BARE)), "");
	UNTIL(property_is(root, GROUP(11), "Group", "State", "host"));
	shared = acquire(alice, .devices = { ADMIN }, .shared = true);
	ck_claimed(shared);
	ck_assert_str_eq(add(other, shared.lease, LIST(BARE)), "");
	ck_assert_str_eq(take_away(other, shared.lease, LIST(BARE)), "");
	if (geteuid() == 0)
		ck_assert_str_eq(take_away(bob, shared.lease, LIST(ADMIN)), "DBus.AccessDenied");
	ck_assert_str_eq(add(alice, "/org/vfiod1/lease/0000000000000000", LIST(BARE)),
			 "DBus.UnknownObject");
}
END_TEST

/* Names that are none, and too many. */
START_TEST(bad_names)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });
	_cleanup_free_ char *there = NULL, *now = NULL;
	const char *many[130] = { NULL };
	static const char *const bad[] = { "",
					   "..",
					   "../../etc/passwd",
					   "pool:",
					   "0000:03:00.0\n",
					   "/org/vfiod1/device/x",
					   "\x1b[2J",
					   "0000:03:00.0/driver" };

	ck_claimed(claim);
	there = host_picture();
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const char *error = add(alice, claim.lease, LIST(bad[i]));

		ck_assert_msg(*error, "AddDevices took \"%s\"", bad[i]);
		error = take_away(alice, claim.lease, LIST(bad[i]));
		ck_assert_msg(*error, "RemoveDevices took \"%s\"", bad[i]);
	}
	for (size_t i = 0; i + 1 < ARRAY_SIZE(many); i++)
		many[i] = BARE;
	ck_assert_str_ne(add(alice, claim.lease, many), "");
	ck_assert_str_ne(take_away(alice, claim.lease, many), "");
	ck_assert_str_ne(add(alice, claim.lease, LIST(NULL)), "");
	ck_assert_str_ne(take_away(alice, claim.lease, LIST(NULL)), "");
	now = host_picture();
	ck_same(there, now);
	ck_property(root, claim.lease, "Lease", "State", "leased");
}
END_TEST

/* ---- several at once */

START_TEST(two_groups_at_once)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });
	_cleanup_free_ char *first_error = NULL, *second_error = NULL;
	struct pending *first, *second;
	int a, b;

	ck_claimed(claim);
	slow("PROBE", NIC_A, SLOW_MSEC);
	first = add_start(alice, claim.lease, LIST(NIC_A, NIC_B), NULL);
	if (_i < 2)
		UNTIL(host_did("OVERRIDE " NIC_A " vfio-pci"));
	second = add_start(alice, claim.lease, _i == 0 ? LIST(BARE) : LIST(NIC_A, NIC_B), NULL);
	second_error = strdup(add_wait(second, &b));
	first_error = strdup(add_wait(first, &a));
	/* The same: one has it, and the other one is told so. */
	if (_i == 0)
		ck_assert_str_eq(second_error, "");
	else if (_i == 1)
		ck_assert_str_eq(second_error, "GroupBusy");
	else
		ck_assert_msg(!*first_error != !*second_error, "%s, %s", first_error, second_error);
	ck_assert(_i == 2 || streq(first_error, ""));
	fd_close(a);
	fd_close(b);
	slow("PROBE", NIC_A, 0);
	ck_assert(state_is(root, NIC_A, "granted"));
	ck_assert(_i > 0 || state_is(root, BARE, "granted"));
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
}
END_TEST

/* A change inside its groups bars another one; of groups of their own it does not. */
START_TEST(inside_at_once)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B }, .mode = "group");
	struct pending *first;
	int fd;

	ck_claimed(claim);
	slow("PROBE", NIC_B, SLOW_MSEC);
	first = add_start(alice, claim.lease, LIST(NIC_B), NULL);
	UNTIL(host_did("OVERRIDE " NIC_B " vfio-pci"));
	ck_assert_str_eq(add(alice, claim.lease, LIST(NIC_B)), "GroupDraining");
	ck_assert_str_eq(take_away(alice, claim.lease, LIST(NIC_A)), "GroupBusy");
	ck_assert_str_eq(add(alice, claim.lease, LIST(NIC)), "");
	ck_assert_str_eq(add_wait(first, &fd), "");
	fd_close(fd);
	slow("PROBE", NIC_B, 0);
	ck_assert(state_is(root, NIC_B, "granted"));
	ck_assert(state_is(root, NIC, "granted"));
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
}
END_TEST

/* Many of both, whatever they are answered: all is well in the end. */
START_TEST(crowd)
{
	struct pending *adds[24], *takes[24];
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });
	size_t added = 0;

	ck_claimed(claim);
	for (size_t i = 0; i < ARRAY_SIZE(adds); i++) {
		adds[i] = add_start(alice, claim.lease, i % 2 ? LIST(BARE) : LIST(NIC_A, NIC_B),
				    NULL);
		takes[i] = take_away_start(alice, claim.lease, LIST(BARE));
	}
	for (size_t i = 0; i < ARRAY_SIZE(adds); i++) {
		sd_bus_message *reply = call_wait(takes[i]);
		int fd;

		sd_bus_message_unref(reply);
		added += !*add_wait(adds[i], &fd);
		fd_close(fd);
	}
	ck_assert_uint_ge(added, 1);
	ck_property(root, claim.lease, "Lease", "State", "leased");
	ck_assert(state_is(root, NIC, "granted"));
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
}
END_TEST

/* ---- at a bad time */

START_TEST(asked_back)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B });

	ck_claimed(claim);
	ck_assert_str_eq(add(alice, claim.lease, LIST(NIC)), "");
	ck_assert_str_eq(revoke_lease(root, claim.lease, LONG_GRACE), "");
	/* More would be no more its own than the rest; to give some back is what it is asked for.
	 */
	ck_assert_str_eq(add(alice, claim.lease, LIST(BARE)), "NotPermitted");
	ck_assert_str_eq(add(alice, claim.lease, LIST(NIC_B)), "NotPermitted");
	ck_assert_str_eq(take_away(alice, claim.lease, LIST(NIC)), "");
	UNTIL(property_is(root, GROUP(3), "Group", "State", "host"));
	ck_assert(revocation_has(root, claim.lease, "asked"));
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
}
END_TEST

/* The lease is asked back, and its deadline passes, while more comes to it. */
START_TEST(asked_back_meanwhile)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B }, .mode = "group");
	const char *device = _i ? NIC_B : NIC;
	struct pending *pending;
	int fd;

	ck_claimed(claim);
	slow("PROBE", device, SLOW_MSEC);
	pending = add_start(alice, claim.lease, LIST(device), NULL);
	UNTIL(host_did(_i ? "OVERRIDE " NIC_B " vfio-pci" : "OVERRIDE " NIC " vfio-pci"));
	ck_assert_str_eq(revoke_lease(root, claim.lease, 0), "");
	ck_assert_str_eq(add_wait(pending, &fd), "NoSuchLease");
	slow("PROBE", device, 0);
	UNTIL(lease_gone(root, claim.lease));
	UNTIL(property_is(root, GROUP(3), "Group", "State", "host"));
}
END_TEST

START_TEST(draining)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC, BARE });

	ck_claimed(claim);
	mock_hold(bed.host, NIC, true);
	ck_assert_str_eq(release(alice, claim.lease), "");
	ck_property(root, claim.lease, "Lease", "State", "draining");
	ck_assert_str_eq(add(alice, claim.lease, LIST(NIC_A, NIC_B)), "NoSuchLease");
	ck_assert_str_eq(take_away(alice, claim.lease, LIST(BARE)), "NoSuchLease");
	mock_hold(bed.host, NIC, false);
	UNTIL(lease_gone(root, claim.lease));
}
END_TEST

/* What was taken out drains by itself, as a lease that nobody adds to. */
START_TEST(to_a_part)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC, BARE });
	_cleanup_free_ char *part = NULL;

	ck_claimed(claim);
	mock_hold(bed.host, NIC, true);
	ck_assert_str_eq(take_away(alice, claim.lease, LIST(NIC)), "");
	part = property(root, GROUP(3), "Group", "Lease");
	ck_assert_str_eq(add(alice, part, LIST(NIC_A, NIC_B)), "NoSuchLease");
	ck_assert_str_eq(take_away(alice, part, LIST(NIC)), "NoSuchLease");
	/* Everybody else is served. */
	ck_assert_str_eq(add(alice, claim.lease, LIST(NIC_A, NIC_B)), "");
	{
		_cleanup_claim_ struct claim more = acquire(bob, .devices = { ADMIN });

		ck_claimed(more);
	}
	/* The end of what it was taken from is not its end. */
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	ck_property(root, part, "Lease", "State", "draining");
	mock_hold(bed.host, NIC, false);
	UNTIL(lease_gone(root, part));
}
END_TEST

/* ---- the journal is full */

START_TEST(journal_full)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC_A, BARE, NIC },
						     .withhold = { NIC_B }, .mode = "cdev");
	size_t refused = 0;

	ck_claimed(claim);
	for (int after = 0; after < 12; after++) {
		_cleanup_free_ char *there = host_picture();
		const char *error;

		mock_fail_after(bed.host, "FSYNC", "journal", ENOSPC, after);
		if (_i == 0)
			error = add(alice, claim.lease, LIST(ADMIN));
		else if (_i == 1)
			error = add(alice, claim.lease, LIST(NIC_B));
		else
			error = take_away(alice, claim.lease, LIST(BARE));
		tree_remove(bed.host->fd, "fail");
		if (*error) {
			_cleanup_free_ char *now = NULL;

			refused++;
			ck_assert_msg(streq(error, "DBus.IOError") || streq(error, "DriverFailed"),
				      "%s", error);
			/* Nothing has changed, or it is undone in a moment. */
			UNTIL(({
				free(now);
				now = host_picture();
				streq(now, there);
			}));
		} else if (_i == 0) {
			ck_assert_str_eq(take_away(alice, claim.lease, LIST(ADMIN)), "");
			UNTIL(property_is(root, GROUP(7), "Group", "State", "host"));
		} else if (_i == 1) {
			ck_assert_str_eq(take_away(alice, claim.lease, LIST(NIC_B)), "");
			UNTIL(state_is(root, NIC_B, "withheld"));
		} else {
			UNTIL(property_is(root, GROUP(11), "Group", "State", "host"));
			ck_assert_str_eq(add(alice, claim.lease, LIST(BARE)), "");
		}
		ck_property(root, claim.lease, "Lease", "State", "leased");
		ck_assert(state_is(root, NIC, "granted"));
	}
	ck_assert_uint_ge(refused, 1);
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
}
END_TEST

/* ---- the worker dies */

START_TEST(worker_dies)
{
	static const struct {
		const char *op, *device;
	} deaths[] = {
		{ "OVERRIDE", NIC_B }, { "PROBE", NIC_B }, { "UNBIND", NIC }, { "PROBE", NIC }
	};
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B }, .mode = "group");
	const char *device = deaths[_i].device;

	ck_claimed(claim);
	mock_kill_after(bed.host, deaths[_i].op, device, 0);
	ck_assert_str_eq(add(alice, claim.lease, LIST(device)), "DriverFailed");
	UNTIL(state_is(root, device, streq(device, NIC) ? "host" : "withheld"));
	ck_assert_str_eq(add(alice, claim.lease, LIST(device)), "");
	ck_assert(state_is(root, device, "granted"));
	/* And while it takes it away. */
	mock_kill_after(bed.host, "UNBIND", device, 0);
	ck_assert_str_eq(take_away(alice, claim.lease, LIST(device)), "");
	UNTIL(state_is(root, device, streq(device, NIC) ? "host" : "withheld"));
	ck_property(root, claim.lease, "Lease", "State", "leased");
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
}
END_TEST

/* ---- devices that go */

START_TEST(device_goes)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC_A, NIC, BARE },
						     .withhold = { NIC_B }, .mode = "group");
	struct pending *pending;
	int fd;

	ck_claimed(claim);
	first_rule(root, ALICE, FENCED);
	come();
	if (_i == 0) {
		/* In the middle of becoming the lease's. */
		bed_sleep(AWHILE);
		slow("PROBE", COMER, SLOW_MSEC);
		pending = add_start(alice, claim.lease, LIST(COMER), NULL);
		UNTIL(host_did("OVERRIDE " COMER " vfio-pci"));
		go();
		ck_assert_str_ne(add_wait(pending, &fd), "");
		slow("PROBE", COMER, 0);
	} else if (_i == 1) {
		/* It was the lease's. */
		ck_assert_str_eq(add_soon(claim.lease, LIST(COMER)), "");
		go();
		UNTIL(property_is(root, claim.lease, "Lease", "Fenced", "[]"));
		take_away(alice, claim.lease, LIST(COMER));
	} else {
		/* On its way out, with somebody who has it open. */
		ck_assert_str_eq(add_soon(claim.lease, LIST(COMER)), "");
		mock_hold(bed.host, COMER, true);
		ck_assert_str_eq(take_away(alice, claim.lease, LIST(COMER)), "");
		bed_sleep(AWHILE);
		mock_hold(bed.host, COMER, false);
		go();
	}
	/* The lease can be changed as before, and what comes to the address is another device. */
	UNTIL(streq(add(alice, claim.lease, LIST(NIC_B)), ""));
	ck_assert(state_is(root, NIC_B, "granted"));
	ck_assert_str_eq(take_away(alice, claim.lease, LIST(NIC)), "");
	come();
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	go();
	first_rule(root, ALICE, NULL);
}
END_TEST

/* ---- callers that go */

START_TEST(caller_goes)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B }, .persist = true,
			.mode = "group");
	const char *device = _i ? NIC_B : NIC;
	struct client *caller = client_new(0);
	struct pending *pending;

	ck_claimed(claim);
	slow("PROBE", device, SLOW_MSEC);
	pending = add_start(caller, claim.lease, LIST(device), NULL);
	UNTIL(host_did(_i ? "OVERRIDE " NIC_B " vfio-pci" : "OVERRIDE " NIC " vfio-pci"));
	call_drop(pending);
	client_free(caller);
	slow("PROBE", device, 0);
	UNTIL(state_is(root, device, _i ? "withheld" : "host"));
	UNTIL(streq(add(root, claim.lease, LIST(device)), ""));
	ck_assert(state_is(root, device, "granted"));
	ck_property(root, claim.lease, "Lease", "State", "leased");
	ck_assert_str_eq(release(root, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("change-attack");

	bed_test(suite, setup, teardown, fenced, 3);
	bed_test(suite, setup, teardown, fenced_fails, 2);
	bed_test(suite, setup, teardown, fenced_is_not_removed, 1);
	bed_test(suite, setup, teardown, who_may, 1);
	bed_test(suite, setup, teardown, bad_names, 1);
	bed_test(suite, setup, teardown, two_groups_at_once, 3);
	bed_test(suite, setup, teardown, inside_at_once, 1);
	bed_test(suite, setup, teardown, crowd, 1);
	bed_test(suite, setup, teardown, asked_back, 1);
	bed_test(suite, setup, teardown, asked_back_meanwhile, 2);
	bed_test(suite, setup, teardown, draining, 1);
	bed_test(suite, setup, teardown, to_a_part, 1);
	bed_test(suite, setup, teardown, journal_full, 3);
	bed_test(suite, setup, teardown, worker_dies, 4);
	bed_test(suite, setup, teardown, device_goes, 3);
	bed_test(suite, setup, teardown, caller_goes, 2);
	return bed_main(suite, true);
}
