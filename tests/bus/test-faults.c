/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Everything that a claim and a release do to the host fails once, at each place: with each error
 * the call is answered by name, and all is as before; or the lease is failed and says what is not
 * home, and Restore brings it home when the cause is mended. The same for a journal that cannot be
 * written and for a worker that dies.
 */

#include "tests/bus/picture.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

static struct client *alice, *root;
static struct watch *watch;
static char *before, *there;

static void set_up(void)
{
	bed_start();
	alice = client_new(ALICE);
	root = client_new(0);
	watch = watch_new(CAROL);
	before = host_picture();
	there = bus_picture(root);
	picture_forget_uses(there);
}

static bool all_home(void)
{
	_cleanup_strv_ char **journals = host_journals();

	return !*journals;
}

static void tear_down(void)
{
	_cleanup_free_ char *now = NULL, *bus = NULL;

	client_free(alice);
	UNTIL(all_home());
	watch_settled(watch);
	watch_free(watch);
	now = host_picture();
	ck_same(before, now);
	bus = bus_picture(root);
	picture_forget_uses(bus);
	ck_same(there, bus);
	client_free(root);
	free(before);
	free(there);
	bed_stop();
}

/* ---- one claim with a fault, from beginning to end; several at once */

struct attempt {
	const char *device;
	int error;
	struct pending *pending;
	struct claim claim;
	char *lease; /* path */
};

static bool is_named(const char *error)
{
	static const char *const names[] = { "DriverFailed", "GroupChanged", "DeviceInUse",
					     "DBus.IOError" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (streq(error, names[i]))
			return true;
	return false;
}

/* A failed lease says what is not home; when nothing is in the way any more, it goes. */
static void restore(const char *lease)
{
	_cleanup_free_ char *errors = property(root, lease, "Lease", "Errors");

	ck_assert_msg(errors && strlen(errors) > 10, "a failed lease with the errors %s", errors);
	ck_assert_str_eq(call_error(alice, lease, "Lease", "Restore", NULL), "DBus.AccessDenied");
	ck_assert_str_eq(call_error(root, lease, "Lease", "Restore", NULL), "");
	UNTIL(lease_gone(root, lease));
}

/* Goes home by itself (a drain that failed is tried again), or is failed. */
static void see_home(const char *lease)
{
	_cleanup_free_ char *state = NULL;

	UNTIL(({
		free(state);
		state = property(root, lease, "Lease", "State");
		!state || streq(state, "failed");
	}));
	if (state) {
		tree_remove(bed.host->fd, "fail");
		restore(lease);
	}
}

/* The lease that the group of a device has; NULL: none. */
static char *lease_on(const char *device)
{
	sd_bus_message *m = call(root, VFIOD_ROOT, "Manager", "FindDevice", "s", device);
	_cleanup_free_ char *path = value_text(m), *group = property(root, path, "Device", "Group");
	char *lease = property(root, group, "Group", "Lease");

	sd_bus_message_unref(m);
	if (lease && !streq(lease, "/"))
		return lease;
	free(lease);
	return NULL;
}

static void finish(struct attempt *attempt)
{
	attempt->claim = acquire_wait(attempt->pending);
	if (*attempt->claim.error) {
		_cleanup_free_ char *lease = lease_on(attempt->device);

		ck_assert_msg(is_named(attempt->claim.error), "%s: %s", attempt->claim.error,
			      attempt->claim.message);
		ck_assert_uint_gt(strlen(attempt->claim.message), 20);
		/* It is answered when all is done that can be. */
		if (lease)
			ck_property(root, lease, "Lease", "State", "failed");
		attempt->lease = STEAL(lease);
	} else {
		const char *error = release(alice, attempt->claim.lease);

		if (*error) {
			/* It could not be written: nothing has ended. */
			ck_assert_str_eq(error, "DBus.IOError");
			ck_property(root, attempt->claim.lease, "Lease", "State", "leased");
			ck_assert_str_eq(release(alice, attempt->claim.lease), "");
		}
		attempt->lease = strdup(attempt->claim.lease);
	}
}

/* mend: faults that never end by themselves end when each has been met. */
static void run_attempts(struct attempt *attempts, size_t n, const char *mode, bool mend)
{
	for (size_t i = 0; i < n; i++)
		attempts[i].pending = acquire_start(
			alice, &(struct ask){ .devices = { attempts[i].device }, .mode = mode });
	for (size_t i = 0; i < n; i++)
		finish(&attempts[i]);
	if (mend) {
		bed_sleep(500000);
		tree_remove(bed.host->fd, "fail");
	}
	for (size_t i = 0; i < n; i++)
		if (attempts[i].lease)
			see_home(attempts[i].lease);
	tree_remove(bed.host->fd, "fail");
	for (size_t i = 0; i < n; i++) {
		claim_done(&attempts[i].claim);
		free(attempts[i].lease);
	}
}

/* ---- each write to sysfs, at its nth time, with each errno: a device for each of them */

static const struct {
	const char *op;
	int times;
	const char *mode;
} writes[] = {
	{ "OVERRIDE", 6, "cdev" }, { "UNBIND", 2, "cdev" }, { "PROBE", 4, "cdev" },
	{ "OVERRIDE", 6, "node" }, { "UNBIND", 2, "node" }, { "PROBE", 4, "node" },
};

START_TEST(write_fails_once)
{
	for (int after = 0; after < writes[_i].times; after++) {
		struct attempt attempts[] = {
			{ NIC, EIO },	  { ADMIN, EBUSY }, { VF_A, EINVAL },
			{ VF_B, ENOENT }, { BARE, 0 },
		};
		_cleanup_free_ char *now = NULL;

		for (size_t i = 0; i < ARRAY_SIZE(attempts); i++)
			mock_fail_after(bed.host, writes[_i].op, attempts[i].device,
					attempts[i].error, after);
		run_attempts(attempts, ARRAY_SIZE(attempts), writes[_i].mode, false);
		now = host_picture();
		ck_same(before, now);
	}
}
END_TEST

/* The same writes when they never work again, until they do. */
START_TEST(write_fails_always)
{
	static const char *const ops[] = { "OVERRIDE", "UNBIND", "PROBE" };
	struct attempt attempts[] = {
		{ NIC, EIO }, { ADMIN, EBUSY }, { VF_A, EINVAL }, { VF_B, ENOENT }, { BARE, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++)
		mock_fail(bed.host, ops[_i], attempts[i].device, attempts[i].error, 0);
	run_attempts(attempts, ARRAY_SIZE(attempts), "cdev", true);
}
END_TEST

/* A release that fails all the time: visible, and home when it is mended. */
START_TEST(release_fails_always)
{
	static const char *const ops[] = { "OVERRIDE", "UNBIND", "PROBE" };
	static const char *const devices[] = { NIC, ADMIN, VF_A, VF_B };
	static const int errors[] = { EIO, EBUSY, EINVAL, 0 };
	struct claim claims[ARRAY_SIZE(devices)];

	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		claims[i] = acquire(alice, .devices = { devices[i] }, .mode = "group");
		ck_claimed(claims[i]);
		mock_fail(bed.host, ops[_i], devices[i], errors[i], 0);
		ck_assert_str_eq(release(alice, claims[i].lease), "");
	}
	bed_sleep(500000);
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		_cleanup_free_ char *state = property(root, claims[i].lease, "Lease", "State");
		_cleanup_claim_ struct claim again = acquire(root, .devices = { devices[i] });
		_cleanup_free_ char *driver = host_driver(devices[i]);

		/* Not home: and nobody is told otherwise, or gets it. */
		ck_assert_msg(state, "%s has gone home", devices[i]);
		ck_assert(streq(state, "draining") || streq(state, "failed"));
		ck_assert_msg(strncmp(again.error, "Group", 5) == 0, "%s", again.error);
		ck_assert_msg(!*driver || streq(driver, "vfio-pci"), "%s", driver);
	}
	tree_remove(bed.host->fd, "fail");
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		see_home(claims[i].lease);
		claim_done(&claims[i]);
	}
}
END_TEST

/* A pair of one group, one granted and one withheld. */
START_TEST(pair_fails)
{
	static const struct {
		const char *op, *device;
	} faults[] = {
		{ "OVERRIDE", NIC_A }, { "OVERRIDE", NIC_B }, { "UNBIND", NIC_A },
		{ "UNBIND", NIC_B },   { "PROBE", NIC_A },    { "PROBE", NIC_B },
	};

	for (int after = 0; after < 5; after++) {
		_cleanup_claim_ struct claim claim = { 0 };
		_cleanup_free_ char *lease = NULL, *now = NULL;

		mock_fail_after(bed.host, faults[_i].op, faults[_i].device, EIO, after);
		claim = acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B },
				.mode = after % 2 ? "group" : "cdev");
		if (*claim.error) {
			ck_refused(claim, "DriverFailed");
			lease = lease_on(NIC_A);
		} else {
			ck_assert_str_eq(release(alice, claim.lease), "");
			lease = strdup(claim.lease);
		}
		if (lease)
			see_home(lease);
		tree_remove(bed.host->fd, "fail");
		now = host_picture();
		ck_same(before, now);
	}
}
END_TEST

/* ---- nodes */

START_TEST(node_fails)
{
	static const struct {
		const char *op, *node;
		int error;
	} faults[] = {
		{ "SETTLE", "vfio!3", ETIMEDOUT }, { "SETTLE", "vfio!3", EIO },
		{ "GRANT", "vfio!3", EOPNOTSUPP }, { "GRANT", "vfio!3", EIO },
		{ "GRANT", "iommu", ENOSPC },	   { "REVOKE", "vfio!3", EIO },
		{ "REVOKE", "iommu", EIO },	   { "RESET", "vfio!3", EPERM },
	};
	_cleanup_claim_ struct claim claim = { 0 };
	_cleanup_free_ char *lease = NULL;

	if (streq(faults[_i].op, "RESET"))
		tree_write(bed.host->fd, "mode 0660", "foreign/vfio!3");
	mock_fail(bed.host, faults[_i].op, faults[_i].node, faults[_i].error, 1);
	claim = acquire(alice, .devices = { NIC }, .mode = "node");
	if (*claim.error) {
		ck_refused(claim, "DriverFailed");
		lease = lease_on(NIC);
	} else {
		ck_assert(streq(faults[_i].op, "REVOKE"));
		ck_assert_str_eq(release(alice, claim.lease), "");
		lease = strdup(claim.lease);
	}
	if (lease)
		see_home(lease);
	/* A new one would have none of it. */
	tree_remove(bed.host->fd, "foreign");
	tree_remove(bed.host->fd, "acl/iommu");
}
END_TEST

/* A node that a site's rule opens is shut, and its group cycled, before anybody has it. */
START_TEST(foreign_node_is_reset)
{
	_cleanup_claim_ struct claim claim = { 0 };

	tree_write(bed.host->fd, "group kvm", "foreign/vfio!3");
	claim = acquire(alice, .devices = { NIC }, .mode = _i ? "group" : "node");
	ck_claimed(claim);
	ck_assert(host_did("NODE_RESET vfio/3"));
	/* Whoever opened it meanwhile lost it. */
	ck_assert(host_did("UNBOUND " NIC " vfio-pci"));
	/* Again, while it is leased: shut at the event. */
	tree_remove(bed.host->fd, "log");
	tree_write(bed.host->fd, "group kvm", "foreign/vfio!3");
	mk_event(bed.host->fd, "change", "vfio", "3", "sys/devices/virtual/vfio/3", NULL,
		 "/dev/vfio/3");
	UNTIL(host_did("NODE_RESET vfio/3"));
	if (!_i)
		UNTIL(tree_exists(bed.host->fd, "acl/vfio!3/%u", ALICE));
}
END_TEST

/* One that cannot be shut again is nobody's. */
START_TEST(foreign_node_stays)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC }, .persist = true);

	ck_claimed(claim);
	mock_fail(bed.host, "RESET", "vfio!3", EPERM, 0);
	tree_write(bed.host->fd, "bob owns it", "foreign/vfio!3");
	mk_event(bed.host->fd, "change", "vfio", "3", "sys/devices/virtual/vfio/3", NULL,
		 "/dev/vfio/3");
	UNTIL(daemon_said("its node is open to others"));
	see_home(claim.lease);
	tree_remove(bed.host->fd, "foreign");
}
END_TEST

/* ---- the journal */

/* fsync() of the nth time: of a file or of its directory. */
START_TEST(journal_full)
{
	for (int after = 0; after < 12; after++) {
		struct attempt attempt = { .device = NIC };
		_cleanup_free_ char *now = NULL;

		mock_fail_after(bed.host, "FSYNC", "journal", _i ? EIO : ENOSPC, after);
		run_attempts(&attempt, 1, "cdev", false);
		now = host_picture();
		ck_same(before, now);
	}
}
END_TEST

/* Full from now on: claims are refused, and who is gone is gone all the same. */
START_TEST(journal_stays_full)
{
	struct client *other = client_new(ALICE);
	_cleanup_claim_ struct claim claim = acquire(other, .devices = { NIC }), refused = { 0 };

	ck_claimed(claim);
	mock_fail(bed.host, "FSYNC", "journal", ENOSPC, 0);
	refused = acquire(alice, .devices = { ADMIN });
	ck_refused(refused, "DBus.IOError");
	ck_assert_ptr_nonnull(strstr(refused.message, "/run"));
	ck_driver(ADMIN, "e1000e");
	/* Release must be durable, and cannot be: said, and nothing has changed. */
	ck_assert_str_eq(release(other, claim.lease), "DBus.IOError");
	ck_property(root, claim.lease, "Lease", "State", "leased");
	/* The end of its holder does not ask. */
	client_free(other);
	UNTIL(lease_gone(root, claim.lease));
	ck_driver(NIC, "e1000e");
	tree_remove(bed.host->fd, "fail");
}
END_TEST

/* ---- children. The mocked kernel lives in a worker, and must not die in the middle of what the
 * real one does whole: so a worker is killed by the mock itself, right before. */

START_TEST(worker_dies)
{
	for (int after = 0; after < writes[_i].times; after++) {
		struct attempt attempts[] = {
			{ .device = NIC },
			{ .device = ADMIN },
			{ .device = VF_A },
			{ .device = BARE },
		};
		_cleanup_free_ char *now = NULL;

		for (size_t i = 0; i < ARRAY_SIZE(attempts); i++)
			mock_kill_after(bed.host, writes[_i].op, attempts[i].device, after);
		run_attempts(attempts, ARRAY_SIZE(attempts), writes[_i].mode, false);
		now = host_picture();
		ck_same(before, now);
	}
}
END_TEST

/* The child that hands over. */
START_TEST(sender_dies)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });
	_cleanup_taken_ struct taken taken = { 0 };
	int fd;

	ck_claimed(claim);
	tree_write(bed.host->fd, "20000", "slow/OPEN/" NIC);
	ck_assert_int_eq(write(claim.handoff, "x", 1), 1);
	UNTIL(daemon_kill_child("vfiod-handoff"));
	tree_remove(bed.host->fd, "slow");
	take(claim.handoff, &taken);
	ck_assert_uint_eq(taken.n, 0);
	ck_assert(strncmp(taken.last, "end", 3) != 0);
	ck_assert_str_eq(get_fds(alice, claim.lease, &fd), "");
	taken_done(&taken);
	take(fd, &taken);
	ck_assert_str_eq(taken.last, "end 2");
	fd_close(fd);
}
END_TEST

/* ---- what changed under the request */

/* Between the decision and the worker's own look, and between that and the hand-over. */
START_TEST(changes_under_the_claim)
{
	struct pending *pending;
	_cleanup_claim_ struct claim claim = { 0 };

	tree_write(bed.host->fd, "1500", "slow/OVERRIDE/" NIC_A);
	pending = acquire_start(alice, &(struct ask){ .devices = { NIC_A, NIC_B } });
	UNTIL(property_is(root, "/org/vfiod1/group/2", "Group", "State", "preparing"));
	tree_remove(bed.host->fd, "slow");
	if (_i == 0)
		/* Somebody configures the second one's interface. */
		mock_net_configure(bed.host, "eth2", "address 192.0.2.9/24\n");
	else if (_i == 1)
		/* Somebody wants another driver for it. */
		mk_override(bed.host->fd, "pci", NIC_B, "pci-stub");
	else
		mk_unbind(bed.host->fd, "pci", "e1000", NIC_B);
	claim = acquire_wait(pending);
	ck_refused(claim, _i == 0 ? "DeviceInUse" : "GroupChanged");
	UNTIL(!({
		_cleanup_free_ char *lease = lease_on(NIC_A);
		lease != NULL && !property_is(root, lease, "Lease", "State", "failed");
	}));
	{
		_cleanup_free_ char *lease = lease_on(NIC_A);

		if (lease)
			restore(lease);
	}
	ck_driver(NIC_A, "e1000");
	ck_override(NIC_A, "");
	/* What somebody else did is somebody else's. */
	tree_remove(bed.host->fd, "network");
	mk_override(bed.host->fd, "pci", NIC_B, "");
	mk_probe(bed.host->fd, "pci", NIC_B);
	ck_driver(NIC_B, "e1000");
}
END_TEST

/* Bus mastering of a device on no driver: switched off, and not taken on trust. */
START_TEST(parked_is_quiet)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B }, .mode = "group");
	_cleanup_free_ char *picture = host_picture();

	ck_claimed(claim);
	ck_assert_ptr_nonnull(strstr(picture, NIC_B ": , override none, bus master 0"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("faults");

	bed_test(suite, set_up, tear_down, write_fails_once, ARRAY_SIZE(writes));
	bed_test(suite, set_up, tear_down, write_fails_always, 3);
	bed_test(suite, set_up, tear_down, release_fails_always, 3);
	bed_test(suite, set_up, tear_down, pair_fails, 6);
	bed_test(suite, set_up, tear_down, node_fails, 8);
	bed_test(suite, set_up, tear_down, foreign_node_is_reset, 2);
	bed_test(suite, set_up, tear_down, foreign_node_stays, 1);
	bed_test(suite, set_up, tear_down, journal_full, 2);
	bed_test(suite, set_up, tear_down, journal_stays_full, 1);
	bed_test(suite, set_up, tear_down, worker_dies, ARRAY_SIZE(writes));
	bed_test(suite, set_up, tear_down, sender_dies, 1);
	bed_test(suite, set_up, tear_down, changes_under_the_claim, 3);
	bed_test(suite, set_up, tear_down, parked_is_quiet, 1);
	return bed_main(suite, true);
}
