/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Somebody else writes to sysfs behind the daemon, in every way that it can notice: it is told, and
 * put right, or the lease ends; never ignored. And the daemon's own processes do not write to one
 * device at a time.
 */

#include "tests/bus/comer.h"

#include <signal.h>
#include <stdio.h>

#define NIC_A_PATH DEVICE_PATH "pci_0000_02_01_0"
#define NIC_B_PATH DEVICE_PATH "pci_0000_02_02_0"
#define GROUP_2	   "/org/vfiod1/group/2"
#define TYPE_2	   "sys/kernel/iommu_groups/2/type"

static struct claim claim_pair(const char *mode, bool persist)
{
	const struct ask ask = {
		.devices = { NIC_A },
		.withhold = { NIC_B },
		.mode = mode,
		.persist = persist,
	};

	return acquire_ask(alice, &ask);
}

static void ck_released(const struct claim *claim)
{
	ck_assert_str_eq(release(alice, claim->lease), "");
	UNTIL(lease_gone(alice, claim->lease));
	ck_assert(is_on(NIC_A, "e1000", ""));
	ck_assert(is_on(NIC_B, "e1000", ""));
}

static void bind_to(const char *device, const char *driver)
{
	_cleanup_free_ char *bound = host_driver(device);

	ck_assert_int_eq(mk_override(bed.host->fd, "pci", device, driver), 0);
	if (*bound)
		ck_assert_int_eq(mk_unbind(bed.host->fd, "pci", bound, device), 0);
	ck_assert_int_eq(mk_bind(bed.host->fd, "pci", device, driver), 0);
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;

	for (const char *p = text; p && (p = strstr(p, what)); p++)
		n++;
	return n;
}

static size_t n_done(const char *line)
{
	_cleanup_free_ char *log = tree_read(bed.host->fd, "log");

	return count(log, line);
}

/* ---- bus mastering */

/* setpci on what is parked on no driver: it could do DMA into whatever its group is attached to. */
START_TEST(bus_mastering)
{
	_cleanup_claim_ struct claim claim = claim_pair(_i ? "node" : "group", false);

	ck_claimed(claim);
	ck_assert(!is_bus_master(NIC_B));
	for (int i = 0; i < 3; i++) {
		set_bus_master(NIC_B, true);
		UNTIL(!is_bus_master(NIC_B));
	}
	ck_assert(daemon_said("and bus mastering on"));
	/* A fenced one just so. */
	come(NULL);
	UNTIL(n_fenced() == 1);
	set_bus_master(COMER, true);
	UNTIL(!is_bus_master(COMER));
	ck_property(alice, claim.lease, "Lease", "State", "leased");
	ck_released(&claim);
}
END_TEST

/* While the daemon is down. */
START_TEST(bus_mastering_meanwhile)
{
	_cleanup_claim_ struct claim claim = claim_pair("group", true);

	ck_claimed(claim);
	watch_settled(comers.watch);
	comers.watch = watch_free(comers.watch);
	kill_daemon();
	set_bus_master(NIC_B, true);
	daemon_start();
	UNTIL(!is_bus_master(NIC_B));
	UNTIL(daemon_said("and bus mastering on"));
	release_by_root(claim.lease);
}
END_TEST

/* ---- the domain type of the group */

START_TEST(domain_type)
{
	_cleanup_claim_ struct claim claim = claim_pair("cdev", false);
	_cleanup_free_ char *type = NULL;

	ck_claimed(claim);
	tree_write(bed.host->fd, "identity\n", TYPE_2);
	UNTIL(daemon_said("changed the domain type of group 2"));
	UNTIL(n_done("GROUP 2/type DMA-FQ 0") == 1);
	type = tree_read(bed.host->fd, TYPE_2);
	ck_assert_str_eq(type, "DMA-FQ");
	UNTIL(property_is(alice, GROUP_2, "Group", "Type", "DMA-FQ"));
	/* A difference that lets nothing through is told, and left to who made it. */
	tree_write(bed.host->fd, "DMA\n", TYPE_2);
	UNTIL(property_is(alice, GROUP_2, "Group", "Type", "DMA"));
	ck_assert(daemon_said("it isolates as before"));
	bed_sleep(200000);
	ck_assert_uint_eq(n_done("GROUP 2/type"), 1);
	/* And it is what the next change is measured by. */
	tree_write(bed.host->fd, "identity\n", TYPE_2);
	UNTIL(n_done("GROUP 2/type DMA 0") == 1);
	ck_property(alice, claim.lease, "Lease", "State", "leased");
	ck_released(&claim);
}
END_TEST

/* It cannot be put right: the lease ends, and nothing is handed out meanwhile. */
START_TEST(domain_type_stays)
{
	_cleanup_claim_ struct claim claim = claim_pair("cdev", false);
	int fd;

	ck_claimed(claim);
	mock_hold(bed.host, NIC_A, true);
	mock_fail(bed.host, "GROUP", "2", _i ? 0 : EPERM, 0);
	tree_write(bed.host->fd, "identity\n", TYPE_2);
	UNTIL(property_is(alice, claim.lease, "Lease", "State", "draining"));
	ck_assert(daemon_said("the domain type of group 2 stays identity"));
	ck_assert_str_ne(get_fds(alice, claim.lease, &fd), "");
	mock_hold(bed.host, NIC_A, false);
	UNTIL(lease_gone(alice, claim.lease));
	ck_assert(is_on(NIC_A, "e1000", ""));
}
END_TEST

/* While the daemon is down. */
START_TEST(domain_type_meanwhile)
{
	_cleanup_claim_ struct claim claim = claim_pair("cdev", true);

	ck_claimed(claim);
	watch_settled(comers.watch);
	comers.watch = watch_free(comers.watch);
	kill_daemon();
	tree_write(bed.host->fd, "identity\n", TYPE_2);
	daemon_start();
	UNTIL(n_done("GROUP 2/type DMA-FQ 0") == 1);
	release_by_root(claim.lease);
}
END_TEST

/* ---- drivers */

/* A port that was left on pcieport is none of the lease's to move, but no driver that counts. */
START_TEST(port_that_was_left)
{
	_cleanup_claim_ struct claim claim = { 0 };

	bind_to(BRIDGE, "pcieport");
	ck_assert_int_eq(mk_override(bed.host->fd, "pci", BRIDGE, ""), 0);
	UNTIL(property_is(alice, DEVICE_PATH "pci_0000_00_05_0", "Device", "Driver", "pcieport"));
	claim = acquire(alice, .devices = { BEHIND });
	ck_claimed(claim);
	ck_assert(is_on(BRIDGE, "pcieport", ""));
	bind_to(BRIDGE, "shpchp");
	UNTIL(daemon_said("Somebody else changed " BRIDGE));
	UNTIL(is_on(BRIDGE, "pcieport", ""));
	ck_property(alice, claim.lease, "Lease", "State", "leased");
	/* Without a driver it is in nobody's way. */
	ck_assert_int_eq(mk_unbind(bed.host->fd, "pci", "pcieport", BRIDGE), 0);
	bed_sleep(400000);
	ck_assert(is_on(BRIDGE, "", ""));
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(alice, claim.lease));
	ck_assert(is_on(BEHIND, "e1000", ""));
}
END_TEST

/* What is fenced is given to a host driver, or only labelled for one. */
START_TEST(fenced_is_bound)
{
	_cleanup_claim_ struct claim claim = claim_pair(_i ? "node" : "group", false);

	ck_claimed(claim);
	come(NULL);
	UNTIL(n_fenced() == 1);
	for (int i = 0; i < 2; i++) {
		bind_to(COMER, "e1000");
		UNTIL(is_shut(COMER));
		bed_sleep(100000);
	}
	ck_assert_int_eq(mk_override(bed.host->fd, "pci", COMER, "e1000"), 0);
	UNTIL(is_shut(COMER));
	ck_property(alice, COMER_PATH, "Device", "State", "fenced");
	ck_property(alice, claim.lease, "Lease", "State", "leased");
	ck_released(&claim);
	ck_assert(is_on(COMER, "e1000", ""));
}
END_TEST

/* new_id gives nothing that has an override to a driver: as if nothing had happened. */
START_TEST(new_id)
{
	_cleanup_claim_ struct claim claim = claim_pair("group", false);

	ck_claimed(claim);
	tree_write(bed.host->fd, "id 8086:100e\n", "drivers/pci/igb");
	mk_probe(bed.host->fd, "pci", NIC_A);
	mk_probe(bed.host->fd, "pci", NIC_B);
	bed_sleep(200000);
	ck_assert(is_on(NIC_A, "vfio-pci", "vfio-pci") && is_shut(NIC_B));
	ck_assert(!daemon_said("Somebody else"));
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(alice, claim.lease));
}
END_TEST

/* One of two drains still; the other is not for the host before it is over (I5). */
START_TEST(bound_while_draining)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC_A, NIC_B });

	ck_claimed(claim);
	mock_hold(bed.host, NIC_A, true);
	ck_assert_str_eq(release(alice, claim.lease), "");
	/* Deepest and first by name: the held one is the first. */
	UNTIL(host_did("UNBIND " NIC_A " vfio-pci"));
	for (int i = 0; i < 2; i++) {
		bind_to(NIC_B, "e1000");
		/* The override may be the other's, if that was faster than the fence's end. */
		UNTIL(is_on(NIC_B, "", "none") || is_on(NIC_B, "", "e1000"));
		bed_sleep(200000);
	}
	UNTIL(daemon_said("while the lease drains"));
	ck_property(alice, claim.lease, "Lease", "State", "draining");
	mock_hold(bed.host, NIC_A, false);
	UNTIL(lease_gone(alice, claim.lease));
	/* Each is what it was, and not what it was made. */
	ck_assert(is_on(NIC_A, "e1000", "") && is_on(NIC_B, "e1000", ""));
	ck_assert_uint_eq(n_fenced(), 0);
}
END_TEST

/* ---- what cannot be put right */

static const struct {
	const char *device, *driver, *op;
	const char *mode;
	int after; /* so often somebody else does it first */
} stubborn[] = {
	/* The host's driver does not let go. */
	{ NIC_A, "e1000", "UNBIND", "cdev", 1 },
	{ NIC_B, "e1000", "UNBIND", "group", 0 },
	/* VFIO's does not take it. */
	{ NIC_A, NULL, "PROBE", "cdev", 0 },
	{ NIC_A, NULL, "PROBE", "node", 0 },
	/* Not even the override can be written. */
	{ NIC_A, "e1000", "OVERRIDE", "cdev", 1 },
};

/* The lease ends, nothing is handed out, and it is failed until somebody mends the cause. */
START_TEST(cannot_be_put_right)
{
	const char *device = stubborn[_i].device;
	const char *wanted = streq(stubborn[_i].op, "PROBE") ? "draining" : "failed";
	_cleanup_claim_ struct claim claim = claim_pair(stubborn[_i].mode, false);
	_cleanup_taken_ struct taken taken = { 0 };
	struct client *root = client_new(0);
	_cleanup_claim_ struct claim other = { 0 };
	_cleanup_free_ char *fault = NULL;
	int fd;

	ck_claimed(claim);
	fault = mock_asprintf("EIO 0 %d\n", stubborn[_i].after);
	tree_write(bed.host->fd, fault, "fail/%s/%s", stubborn[_i].op, device);
	if (stubborn[_i].driver)
		bind_to(device, stubborn[_i].driver);
	else
		ck_assert_int_eq(mk_unbind(bed.host->fd, "pci", "vfio-pci", device), 0);
	/* What comes first: it may not have been noticed yet, but nothing goes out. */
	if (stubborn[_i].driver && claim.handoff >= 0) {
		take(claim.handoff, &taken);
		ck_assert_msg(!strstr(taken.last, "end "), "%s", taken.last);
	}
	UNTIL(daemon_said("could not be put right"));
	/* Whether a cycle is over cannot be found out without a probe: it drains then. */
	UNTIL(property_is(alice, claim.lease, "Lease", "State", wanted) ||
	      lease_gone(alice, claim.lease));
	if (!lease_gone(alice, claim.lease)) {
		ck_assert_str_ne(get_fds(alice, claim.lease, &fd), "");
		other = acquire(root, .devices = { NIC_A }, .withhold = { NIC_B });
		ck_assert_str_ne(other.error, "");
	}
	tree_remove(bed.host->fd, "fail");
	if (streq(wanted, "failed") && !lease_gone(alice, claim.lease))
		ck_assert_str_eq(call_error(root, claim.lease, "Lease", "Restore", NULL), "");
	UNTIL(lease_gone(root, claim.lease));
	ck_assert(is_on(NIC_B, "e1000", ""));
	ck_assert(is_on(NIC_A, "e1000", "") || is_on(NIC_A, "e1000", "e1000"));
	client_free(root);
}
END_TEST

/* A fence that never succeeds holds up no release. */
START_TEST(fence_never_succeeds)
{
	_cleanup_claim_ struct claim claim = claim_pair("cdev", false);

	ck_claimed(claim);
	mock_fail(bed.host, "UNBIND", COMER, EIO, 0);
	come("e1000");
	UNTIL(daemon_said("could not be shut off"));
	ck_released(&claim);
	ck_assert_uint_eq(n_fenced(), 0);
	ck_assert(is_on(COMER, "e1000", ""));
}
END_TEST

/* ---- two writers */

/* How long a process of an earlier daemon is at a device, the next one lets the lease be. */
START_TEST(fence_outlives_the_daemon)
{
	_cleanup_claim_ struct claim claim = claim_pair("cdev", true);
	uint64_t before;

	ck_claimed(claim);
	watch_settled(comers.watch);
	comers.watch = watch_free(comers.watch);
	tree_write(bed.host->fd, "2500\n", "slow/%s/%s", _i ? "OVERRIDE" : "UNBIND", COMER);
	before = bed_now();
	come("e1000");
	if (_i == 0)
		UNTIL(is_on(COMER, "e1000", "none"));
	else
		bed_sleep(300000);
	kill_daemon();
	tree_remove(bed.host->fd, "slow");
	daemon_start();
	/* The release waits for it: else "none" might be written last of all. */
	release_by_root(claim.lease);
	ck_assert_uint_gt(bed_now() - before, 2400000);
	bed_sleep(300000);
	ck_assert(is_on(COMER, "e1000", ""));
	ck_assert(is_on(NIC_A, "e1000", "") && is_on(NIC_B, "e1000", ""));
}
END_TEST

/* The fence's process and its like are killed: another one does it. */
START_TEST(fence_is_killed)
{
	_cleanup_claim_ struct claim claim = claim_pair("cdev", false);

	ck_claimed(claim);
	mock_kill_after(bed.host, _i ? "UNBIND" : "OVERRIDE", COMER, 0);
	come("e1000");
	UNTIL(n_fenced() == 1);
	ck_assert(is_shut(COMER));
	ck_assert(daemon_said("could not be shut off"));
	ck_released(&claim);
	ck_assert(is_on(COMER, "e1000", ""));
}
END_TEST

/* Somebody else and the guard at one device, until the guard has had enough. */
START_TEST(in_a_fight)
{
	_cleanup_claim_ struct claim claim = claim_pair("cdev", false);

	ck_claimed(claim);
	for (int i = 0; i < 40 && !lease_gone(alice, claim.lease); i++) {
		_cleanup_free_ char *driver = host_driver(NIC_A);

		mk_override(bed.host->fd, "pci", NIC_A, "e1000");
		if (streq(driver, "vfio-pci"))
			mk_unbind(bed.host->fd, "pci", "vfio-pci", NIC_A);
		mk_probe(bed.host->fd, "pci", NIC_A);
		bed_sleep(70000);
	}
	UNTIL(lease_gone(alice, claim.lease));
	ck_assert(daemon_said("again and again"));
	ck_assert(is_on(NIC_B, "e1000", ""));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("interfere");

#define T(test, times) bed_test(suite, comers_start, comers_stop, test, times)
	T(bus_mastering, 2);
	T(bus_mastering_meanwhile, 1);
	T(domain_type, 1);
	T(domain_type_stays, 2);
	T(domain_type_meanwhile, 1);
	T(port_that_was_left, 1);
	T(fenced_is_bound, 2);
	T(new_id, 1);
	T(bound_while_draining, 1);
	T(cannot_be_put_right, (int)ARRAY_SIZE(stubborn));
	T(fence_never_succeeds, 1);
	T(fence_outlives_the_daemon, 2);
	T(fence_is_killed, 2);
	T(in_a_fight, 1);
	return bed_main(suite, true);
}
