/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The daemon is killed, at any moment, and started again: whose holder lives stays, the rest goes
 * home, no journal is left, and no half-done thing.
 */

#include "tests/bus/picture.h"
#include "tests/mock/mock-kernel.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define GROUP_3	      "/org/vfiod1/group/3"
#define STORED(claim) (strrchr((claim).lease, '/') + 1)

static struct client *alice, *root;
static char *before, *there;

static void set_up(void)
{
	bed_start();
	alice = client_new(ALICE);
	root = client_new(0);
	before = host_picture();
	there = bus_picture(root);
	picture_forget_uses(there);
}

static bool all_home(void)
{
	_cleanup_strv_ char **journals = host_journals();

	return !*journals;
}

static void ck_as_before(void)
{
	_cleanup_free_ char *now = NULL, *bus = NULL;

	UNTIL(all_home());
	now = host_picture();
	ck_same(before, now);
	bus = bus_picture(root);
	picture_forget_uses(bus);
	picture_forget(bus, "VfioNode");
	picture_forget(there, "VfioNode");
	ck_same(there, bus);
}

static void tear_down(void)
{
	alice = client_free(alice);
	ck_as_before();
	root = client_free(root);
	free(before);
	free(there);
	bed_stop();
}

static void restart(void)
{
	daemon_kill();
	daemon_start();
}

static void ck_leased(const struct claim *claim)
{
	_cleanup_strv_ char **journals = host_journals();

	ck_property(root, claim->lease, "Lease", "State", "leased");
	ck_assert_uint_eq(strv_length(journals), 1);
}

/* ---- whose holder lives */

START_TEST(persist_stays)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC }, .name = "vm", .persist = true, .shared = true);
	_cleanup_taken_ struct taken taken = { 0 };
	_cleanup_free_ char *picture = NULL, *now = NULL;
	int fd;

	ck_claimed(claim);
	take(claim.handoff, &taken);
	ck_assert_uint_eq(taken.n, 2);
	UNTIL(property_is(root, DEVICE_PATH "pci_0000_03_00_0", "Device", "Driver", "vfio-pci"));
	picture = bus_picture(root);
	for (int i = 0; i < 5; i++) {
		restart();
		ck_leased(&claim);
		ck_driver(NIC, "vfio-pci");
		/* Nobody notices: neither the owner, nor who reads of it. */
		now = bus_picture(root);
		picture_forget_uses(now);
		picture_forget_uses(picture);
		ck_same(picture, now);
		now = (free(now), NULL);
	}
	ck_assert_str_eq(call_error(alice, VFIOD_ROOT, "Manager", "FindLease", "s", "vm"), "");
	taken_done(&taken);
	ck_assert_str_eq(get_fds(alice, claim.lease, &fd), "");
	take(fd, &taken);
	ck_assert_str_eq(taken.last, "end 2");
	fd_close(fd);
	taken_done(&taken);
	ck_assert_str_eq(release(alice, claim.lease), "");
}
END_TEST

START_TEST(connection_stays)
{
	struct client *sibling = client_new(ALICE);
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });

	ck_claimed(claim);
	restart();
	bed_sleep(100000);
	ck_leased(&claim);
	ck_assert_str_eq(release(sibling, claim.lease), "DBus.AccessDenied");
	client_free(sibling);
	bed_sleep(50000);
	ck_leased(&claim);
	if (_i) {
		/* It is still the one whose end ends it. */
		alice = client_free(alice);
		UNTIL(lease_gone(root, claim.lease));
	} else {
		ck_assert_str_eq(release(alice, claim.lease), "");
	}
}
END_TEST

START_TEST(connection_goes_meanwhile)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC }, .mode = _i ? "node" : "cdev");

	ck_claimed(claim);
	daemon_kill();
	alice = client_free(alice);
	daemon_start();
	UNTIL(lease_gone(root, claim.lease));
}
END_TEST

/* The bus goes too: names of another bus are not those of this one. */
START_TEST(bus_goes)
{
	_cleanup_claim_ struct claim own = acquire(alice, .devices = { NIC });
	_cleanup_claim_ struct claim kept = acquire(alice, .devices = { BARE }, .persist = true);

	ck_claimed(own);
	ck_claimed(kept);
	alice = client_free(alice);
	alice = client_new(ALICE);
	{
		_cleanup_claim_ struct claim last = acquire(alice, .devices = { ADMIN });

		ck_claimed(last);
		client_free(root);
		client_free(alice);
		bus_kill();
		/* It ends by itself, to be started again. */
		ck_assert_int_ne(daemon_wait(), 0);
		bus_start();
		daemon_start();
		root = client_new(0);
		alice = client_new(ALICE);
		UNTIL(lease_gone(root, last.lease));
	}
	ck_property(root, kept.lease, "Lease", "State", "leased");
	ck_assert_str_eq(release(root, kept.lease), "");
}
END_TEST

/* ---- lifelines are in the service manager's store */

START_TEST(lifeline_stays)
{
	pid_t pid = idle_process(ALICE);
	int fd = pidfd_of(pid);
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC }, .lifeline = fd);
	_cleanup_free_ char *name = NULL;

	ck_claimed(claim);
	close(fd);
	UNTIL(bed.n_stored == 1);
	name = mock_asprintf("lease-%s", STORED(claim));
	ck_assert_str_eq(bed.stored[0].name, name);
	alice = client_free(alice);
	for (int i = 0; i < 3; i++) {
		restart();
		bed_sleep(50000);
		ck_leased(&claim);
	}
	process_kill(pid);
	UNTIL(lease_gone(root, claim.lease));
	/* It is not kept longer than it is needed. */
	UNTIL(bed.n_stored == 0);
}
END_TEST

START_TEST(lifeline_goes_meanwhile)
{
	int ends[2];
	_cleanup_claim_ struct claim claim = { 0 };

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	claim = acquire(alice, .devices = { NIC }, .lifeline = ends[0]);
	ck_claimed(claim);
	UNTIL(bed.n_stored == 1);
	daemon_kill();
	close(ends[1]);
	daemon_start();
	UNTIL(lease_gone(root, claim.lease));
	UNTIL(bed.n_stored == 0);
	close(ends[0]);
}
END_TEST

/* A store that has lost it, or never got it: the holder is gone as far as anybody can know. */
START_TEST(lifeline_is_lost)
{
	int ends[2];
	_cleanup_claim_ struct claim claim = { 0 };

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	claim = acquire(alice, .devices = { NIC }, .lifeline = ends[0]);
	ck_claimed(claim);
	UNTIL(bed.n_stored == 1);
	daemon_kill();
	free(bed.stored[0].name);
	fd_close(bed.stored[0].fd);
	bed.n_stored = 0;
	daemon_start();
	UNTIL(lease_gone(root, claim.lease));
	close(ends[0]);
	close(ends[1]);
}
END_TEST

/* Fds of no lease are none of its business. */
START_TEST(store_has_more)
{
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	daemon_kill();
	bed.stored = calloc(2, sizeof(*bed.stored));
	bed.stored[0] = (struct stored_fd){ strdup("lease-0123456789abcdef"), ends[0] };
	bed.stored[1] = (struct stored_fd){ strdup("something"), ends[1] };
	bed.n_stored = 2;
	daemon_start();
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "FindGroup", "u", 3), "");
}
END_TEST

/* ---- killed at any moment */

/* Each write takes a while; killed after another time each round. */
static void make_slow(const char *device)
{
	static const char *const ops[] = { "OVERRIDE", "UNBIND", "PROBE" };

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
		tree_write(bed.host->fd, "12", "slow/%s/%s", ops[i], device);
}

#define ROUNDS 12

START_TEST(killed_in_claim)
{
	make_slow(NIC_A);
	make_slow(NIC_B);
	for (int i = 0; i < ROUNDS; i++) {
		struct client *c = client_new(ALICE);
		struct pending *pending =
			acquire_start(c, &(struct ask){ .devices = { NIC_A, NIC_B },
							.mode = i % 2 ? "group" : "node" });

		bed_sleep((uint64_t)(i + (_i ? 0 : ROUNDS)) * 9000);
		daemon_kill();
		if (i % 3 == 0)
			c = client_free(c);
		call_drop(pending);
		daemon_start();
		/* A claim that was done has a holder; its end ends it. */
		client_free(c);
		ck_as_before();
	}
	tree_remove(bed.host->fd, "slow");
}
END_TEST

START_TEST(killed_in_release)
{
	make_slow(NIC_A);
	make_slow(NIC_B);
	for (int i = 0; i < ROUNDS; i++) {
		_cleanup_claim_ struct claim claim =
			acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B },
				.mode = i % 2 ? "group" : "cdev");
		struct pending *pending;

		ck_claimed(claim);
		pending = call_start(alice, claim.lease, "Lease", "Release", NULL);
		bed_sleep((uint64_t)i * 9000);
		daemon_kill();
		call_drop(pending);
		daemon_start();
		/* Either it was heard, or it was not. */
		if (!lease_gone(root, claim.lease) &&
		    property_is(root, claim.lease, "Lease", "State", "leased"))
			ck_assert_str_eq(release(alice, claim.lease), "");
		ck_as_before();
	}
	tree_remove(bed.host->fd, "slow");
}
END_TEST

/* The worker waits in the kernel: the next daemon waits for it, and starts no second one. */
START_TEST(worker_is_stuck)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });
	_cleanup_free_ char *log = NULL;
	int unbinds = 0;

	ck_claimed(claim);
	mock_hold(bed.host, NIC, true);
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(host_did("UNBIND " NIC " vfio-pci"));
	for (int i = 0; i < 3; i++) {
		restart();
		ck_property(root, GROUP_3, "Group", "State", "draining");
		bed_sleep(100000);
	}
	log = tree_read(bed.host->fd, "log");
	for (const char *at = log; (at = strstr(at, "UNBIND " NIC " vfio-pci")); at++)
		unbinds++;
	ck_assert_int_eq(unbinds, 1);
	ck_driver(NIC, "");
	mock_hold(bed.host, NIC, false);
	UNTIL(lease_gone(root, claim.lease));
}
END_TEST

/* One that shuts a device off, of a lease that stands. The lease ends before the worker does. */
START_TEST(worker_is_stuck_and_lease_ends)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A, NIC_B }, .mode = "cdev", .persist = true);

	ck_claimed(claim);
	mock_hold(bed.host, NIC_B, true);
	ck_assert_str_eq(call_error(alice, claim.lease, "Lease", "RemoveDevices", "as", 1, NIC_B),
			 "");
	UNTIL(host_did("UNBIND " NIC_B " vfio-pci"));
	restart();
	ck_property(root, claim.lease, "Lease", "State", "leased");
	ck_assert_str_eq(release(root, claim.lease), "");
	for (int i = 0; i < 2; i++) {
		/* Nobody touches a device of it meanwhile. */
		bed_sleep(1300000);
		ck_property(root, claim.lease, "Lease", "State", "draining");
		ck_driver(NIC_A, "vfio-pci");
		ck_assert(!host_did("UNBIND " NIC_A " vfio-pci"));
		if (i == 0)
			restart();
	}
	mock_hold(bed.host, NIC_B, false);
	UNTIL(lease_gone(root, claim.lease));
}
END_TEST

/* The bus has not noticed yet that the daemon before is gone: the name is waited for. */
START_TEST(name_is_taken)
{
	ck_assert_int_eq(daemon_stop(), 0);
	ck_assert_int_ge(sd_bus_request_name(root->bus, VFIOD_NAME, 0), 0);
	daemon_start_only();
	bed_sleep(500000);
	ck_assert(!bed.ready);
	ck_assert_int_eq(kill(bed.daemon, 0), 0);
	if (_i == 0) {
		ck_assert_int_ge(sd_bus_release_name(root->bus, VFIOD_NAME), 0);
		UNTIL(bed.ready);
		return;
	}
	/* Not for ever: somebody else has it. */
	ck_assert_int_ne(daemon_wait(), 0);
	ck_assert(daemon_said("another process owns the name"));
	ck_assert_int_ge(sd_bus_release_name(root->bus, VFIOD_NAME), 0);
	daemon_start();
}
END_TEST

/* What is left of a lease on disk would take the devices from their next owner: nobody is that. */
START_TEST(journal_stays)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });
	_cleanup_claim_ struct claim other = { 0 };

	ck_claimed(claim);
	mock_fail(bed.host, "UNLINK", "journal", EIO, 0);
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(daemon_said("cannot be removed"));
	ck_driver(NIC, "e1000e");
	for (int i = 0; i < 2; i++) {
		other = acquire(root, .devices = { NIC });
		ck_assert_msg(strncmp(other.error, "Group", 5) == 0, "%s", other.error);
		claim_done(&other);
		if (i == 0)
			restart();
	}
	tree_remove(bed.host->fd, "fail");
	UNTIL(lease_gone(root, claim.lease));
	other = acquire(root, .devices = { NIC });
	ck_claimed(other);
	restart();
	ck_property(root, other.lease, "Lease", "State", "leased");
	ck_assert_str_eq(release(root, other.lease), "");
}
END_TEST

/* Nobody's handoff hangs for ever. */
START_TEST(handoff_is_cut)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC }, .persist = true, .shared = true);
	_cleanup_taken_ struct taken taken = { 0 };
	int fd;

	ck_claimed(claim);
	restart();
	take(claim.handoff, &taken);
	ck_assert_str_eq(taken.last, "");
	taken_done(&taken);
	ck_assert_str_eq(get_fds(alice, claim.lease, &fd), "");
	take(fd, &taken);
	ck_assert_str_eq(taken.last, "end 2");
	fd_close(fd);
	taken_done(&taken);
	ck_assert_str_eq(release(alice, claim.lease), "");
}
END_TEST

/* A failed lease stays failed, with its reasons, and is mended by the next daemon. */
START_TEST(failed_stays)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });
	_cleanup_free_ char *errors = NULL;

	ck_claimed(claim);
	mock_fail(bed.host, "PROBE", NIC, 0, 0);
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(property_is(root, claim.lease, "Lease", "State", "failed"));
	errors = property(root, claim.lease, "Lease", "Errors");
	restart();
	ck_property(root, claim.lease, "Lease", "State", "failed");
	ck_property(root, claim.lease, "Lease", "Errors", errors);
	tree_remove(bed.host->fd, "fail");
	ck_assert_str_eq(call_error(root, claim.lease, "Lease", "Restore", NULL), "");
	UNTIL(lease_gone(root, claim.lease));
}
END_TEST

/* A stop is no end of a lease. */
START_TEST(stopped)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });

	ck_claimed(claim);
	ck_assert_int_eq(daemon_stop(), 0);
	ck_driver(NIC, "vfio-pci");
	daemon_start();
	bed_sleep(50000);
	ck_leased(&claim);
}
END_TEST

/* ---- the host moves on meanwhile */

START_TEST(device_goes_meanwhile)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { ADMIN }, .persist = true);

	ck_claimed(claim);
	daemon_kill();
	mock_device_remove(bed.host, "pci", ADMIN);
	if (_i)
		/* Another one has its place: nothing of the old one's is its. */
		mock_pci_add(bed.host, ADMIN, .vendor = 0x8086, .device = 0x100e,
			     .class_code = 0x020000, .group = 7, .iommu = "dmar0",
			     .driver = "e1000", .numa_node = -1);
	daemon_start();
	ck_assert_str_eq(release(root, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	if (_i) {
		ck_driver(ADMIN, "e1000");
		ck_override(ADMIN, "");
		mock_device_remove(bed.host, "pci", ADMIN);
	}
	mock_pci_add(bed.host, ADMIN, .vendor = 0x8086, .device = 0x10d3, .class_code = 0x020000,
		     .group = 7, .iommu = "dmar0", .driver = "e1000e", .override = "e1000e",
		     .numa_node = 0, .reset = "flr bus");
	mock_net_add(bed.host, ADMIN, "eth3", 5);
	UNTIL(property_is(root, DEVICE_PATH "pci_0000_07_00_0", "Device", "Driver", "e1000e"));
	/* Its number is that of another group now. */
	picture_forget(there, "Generation");
	restart();
	bed_sleep(20000);
	free(there);
	there = bus_picture(root);
	picture_forget_uses(there);
}
END_TEST

/* Entries that no lease explains are taken away at the start. */
START_TEST(stray_acl)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC }, .mode = "node", .persist = true);

	ck_claimed(claim);
	daemon_kill();
	tree_write(bed.host->fd, "", "acl/vfio!3/%u", BOB);
	tree_write(bed.host->fd, "", "acl/vfio!6/%u", BOB);
	daemon_start();
	ck_assert(!tree_exists(bed.host->fd, "acl/vfio!3/%u", BOB));
	ck_assert(!tree_exists(bed.host->fd, "acl/vfio!6/%u", BOB));
	ck_assert(tree_exists(bed.host->fd, "acl/vfio!3/%u", ALICE));
	ck_assert_str_eq(release(root, claim.lease), "");
}
END_TEST

/* ---- journals that make no sense */

/* They are left for people, told, and in nobody's way. */
START_TEST(bad_journals)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC }, .persist = true);
	_cleanup_strv_ char **journals = host_journals();
	_cleanup_free_ char *good = NULL, *half = NULL, *twice = NULL;
	const char *const names[] = {
		"0000000000000001.json", "0000000000000002.json", "0000000000000003.json",
		"ffffffffffffffff.json", "0000000000000005.json", "0000000000000006.json",
		"0000000000000007.json", "nonsense.json",	  "other",
	};

	ck_claimed(claim);
	good = tree_read(bed.host->fd, "run/leases/%s", journals[0]);
	half = strndup(good, strlen(good) / 2);
	/* The same groups under another id. */
	twice = strdup(good);
	memcpy(strstr(twice, STORED(claim)), "ffffffffffffffff", 16);
	daemon_kill();
	tree_write(bed.host->fd, "", "run/leases/%s", names[0]);
	tree_write(bed.host->fd, half, "run/leases/%s", names[1]);
	tree_write(bed.host->fd, "{}", "run/leases/%s", names[2]);
	tree_write(bed.host->fd, twice, "run/leases/%s", names[3]);
	tree_mkdir(bed.host->fd, "run/leases/%s", names[4]);
	tree_link(bed.host->fd, "run/leases/0000000000000003.json", "run/leases/%s", names[5]);
	/* What it says is not what it is called. */
	tree_write(bed.host->fd, good, "run/leases/%s", names[6]);
	tree_write(bed.host->fd, "[[[[", "run/leases/%s", names[7]);
	tree_write(bed.host->fd, "x", "run/leases/%s", names[8]);
	daemon_start();
	ck_property(root, claim.lease, "Lease", "State", "leased");
	ck_assert(daemon_said("cannot be understood"));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		ck_assert_msg(tree_exists(bed.host->fd, "run/leases/%s", names[i]), "%s", names[i]);
		if (i < 8)
			ck_assert_msg(daemon_said(i == 3 ? "ffffffffffffffff" : names[i]),
				      "%s is not told", names[i]);
		tree_remove(bed.host->fd, "run/leases/%s", names[i]);
	}
	ck_assert_str_eq(release(root, claim.lease), "");
}
END_TEST

/*
 * The groups that one names are nobody's until root says so, and what is at work there is not
 * disturbed: neither a VMM (0), nor a driver of the host (1).
 */
START_TEST(bad_journal_keeps_its_group)
{
	const char *device = _i ? BEHIND : NIC, *group = _i ? "/org/vfiod1/group/5" : GROUP_3;
	_cleanup_free_ char *text = NULL, *lease = NULL, *driver = NULL, *override = NULL;

	if (_i == 0) {
		_cleanup_claim_ struct claim claim =
			acquire(alice, .devices = { NIC }, .persist = true);
		_cleanup_strv_ char **journals = host_journals();

		ck_claimed(claim);
		mock_hold(bed.host, NIC, true);
		text = tree_read(bed.host->fd, "run/leases/%s", journals[0]);
		memcpy(strstr(text, "\"version\""), "\"unknown\"", 9);
		daemon_kill();
		tree_remove(bed.host->fd, "run/leases/%s", journals[0]);
	} else {
		text = strdup("{ \"groups\": [ { \"id\": 5 } ],");
		daemon_kill();
	}
	driver = host_driver(device);
	override = host_override(device);
	tree_write(bed.host->fd, text, "run/leases/0000000000000001.json");
	daemon_start();
	lease = property(root, group, "Group", "Lease");
	ck_property(root, lease, "Lease", "State", "leased");
	ck_assert_str_eq(call_error(root, "/org/vfiod1", "Manager", "Rescan", NULL), "");
	{
		_cleanup_claim_ struct claim refused = acquire(root, .devices = { device });

		ck_refused(refused, "GroupBusy");
	}
	bed_sleep(300000);
	ck_driver(device, driver);
	ck_override(device, override);
	ck_assert(!host_did("UNBIND " NIC " vfio-pci"));
	ck_assert_str_eq(release(root, lease), "");
	if (_i == 0) {
		UNTIL(host_did("UNBIND " NIC " vfio-pci"));
		ck_property(root, group, "Group", "State", "draining");
		mock_hold(bed.host, NIC, false);
	}
	UNTIL(lease_gone(root, lease));
	ck_driver(device, _i ? "e1000" : "e1000e");
	tree_remove(bed.host->fd, "run/leases/0000000000000001.json");
}
END_TEST

/*
 * What its devices had is not known, so nothing is written to them: not when they are looked at
 * (the override of one is not what a lease would have, and one has neither driver nor override),
 * and not when somebody, the administrator who was told to look after them maybe, changes them.
 */
START_TEST(bad_journal_writes_nothing)
{
	_cleanup_free_ char *lease = NULL;

	daemon_kill();
	ck_assert_int_eq(mk_override(bed.host->fd, "pci", NIC, "vfio-pci"), 0);
	ck_assert_int_eq(mk_unbind(bed.host->fd, "pci", "e1000e", NIC), 0);
	ck_assert_int_eq(mk_bind(bed.host->fd, "pci", NIC, "vfio-pci"), 0);
	ck_assert_int_eq(mk_override(bed.host->fd, "pci", NIC, _i ? "somebody's" : "\n"), 0);
	ck_assert_int_eq(mk_unbind(bed.host->fd, "pci", "e1000", BEHIND), 0);
	tree_write(bed.host->fd, "{ \"groups\": [ { \"id\": 3 }, { \"id\": 5 } ],",
		   "run/leases/0000000000000001.json");
	daemon_start();
	lease = property(root, GROUP_3, "Group", "Lease");
	ck_property(root, lease, "Lease", "State", "leased");
	/* The guard has looked, and looks again. */
	ck_assert_str_eq(call_error(root, "/org/vfiod1", "Manager", "Rescan", NULL), "");
	bed_sleep(300000);
	ck_assert(!daemon_said("Somebody else changed"));
	ck_driver(NIC, "vfio-pci");
	ck_override(NIC, _i ? "somebody's" : "");
	ck_driver(BEHIND, "");
	ck_override(BEHIND, "");

	ck_assert_int_eq(mk_override(bed.host->fd, "pci", NIC, "e1000e"), 0);
	ck_assert_int_eq(mk_unbind(bed.host->fd, "pci", "vfio-pci", NIC), 0);
	ck_assert_int_eq(mk_bind(bed.host->fd, "pci", NIC, "e1000e"), 0);
	UNTIL(daemon_said("and is on e1000e; it is left so"));
	UNTIL(property_is(root, DEVICE_PATH "pci_0000_03_00_0", "Device", "State", "host"));
	ck_driver(NIC, "e1000e");
	ck_override(NIC, "e1000e");
	ck_property(root, lease, "Lease", "State", "leased");
	/* Nor does it end by that again and again. */
	for (int i = 0; i < 8; i++) {
		const char *from = i % 2 ? "vfio-pci" : "e1000e",
			   *to = i % 2 ? "e1000e" : "vfio-pci";

		ck_assert_int_eq(mk_override(bed.host->fd, "pci", NIC, to), 0);
		ck_assert_int_eq(mk_unbind(bed.host->fd, "pci", from, NIC), 0);
		ck_assert_int_eq(mk_bind(bed.host->fd, "pci", NIC, to), 0);
		UNTIL(property_is(root, DEVICE_PATH "pci_0000_03_00_0", "Device", "State",
				  i % 2 ? "host" : "withheld"));
	}
	ck_property(root, lease, "Lease", "State", "leased");
	ck_assert_str_eq(release(root, lease), "");
	UNTIL(lease_gone(root, lease));
	ck_driver(NIC, "e1000e");
	/* Left where it was, with what whoever put it there has said. */
	ck_override(NIC, "e1000e");
	ck_assert_int_eq(mk_override(bed.host->fd, "pci", NIC, "\n"), 0);
	ck_driver(BEHIND, "e1000");
	tree_remove(bed.host->fd, "run/leases/0000000000000001.json");
}
END_TEST

/* What a write left that was not finished is nothing. */
START_TEST(unfinished_write)
{
	_cleanup_strv_ char **left = NULL;

	mock_fail_after(bed.host, "FSYNC", "journal", ENOSPC, 2);
	{
		_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });

		(void)claim;
	}
	tree_remove(bed.host->fd, "fail");
	alice = client_free(alice);
	UNTIL(all_home());
	restart();
	left = tree_list(bed.host->fd, "run/leases");
	ck_assert_msg(!*left, "%s is left", *left);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("restart");

	bed_test(suite, set_up, tear_down, persist_stays, 1);
	bed_test(suite, set_up, tear_down, connection_stays, 2);
	bed_test(suite, set_up, tear_down, connection_goes_meanwhile, 2);
	bed_test(suite, set_up, tear_down, bus_goes, 1);
	bed_test(suite, set_up, tear_down, lifeline_stays, 1);
	bed_test(suite, set_up, tear_down, lifeline_goes_meanwhile, 1);
	bed_test(suite, set_up, tear_down, lifeline_is_lost, 1);
	bed_test(suite, set_up, tear_down, store_has_more, 1);
	bed_test(suite, set_up, tear_down, killed_in_claim, 2);
	bed_test(suite, set_up, tear_down, killed_in_release, 1);
	bed_test(suite, set_up, tear_down, worker_is_stuck, 1);
	bed_test(suite, set_up, tear_down, worker_is_stuck_and_lease_ends, 1);
	bed_test(suite, set_up, tear_down, name_is_taken, 2);
	bed_test(suite, set_up, tear_down, journal_stays, 1);
	bed_test(suite, set_up, tear_down, handoff_is_cut, 1);
	bed_test(suite, set_up, tear_down, failed_stays, 1);
	bed_test(suite, set_up, tear_down, stopped, 1);
	bed_test(suite, set_up, tear_down, device_goes_meanwhile, 2);
	bed_test(suite, set_up, tear_down, stray_acl, 1);
	bed_test(suite, set_up, tear_down, bad_journals, 1);
	bed_test(suite, set_up, tear_down, bad_journal_keeps_its_group, 2);
	bed_test(suite, set_up, tear_down, bad_journal_writes_nothing, 2);
	bed_test(suite, set_up, tear_down, unfinished_write, 1);
	return bed_main(suite, true);
}
