/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Devices of other buses than PCI: mediated ones, whose group comes and goes with their driver and
 * looks like a noiommu one, and platform devices.
 */

#include "tests/bus/picture.h"

#define MDEV	  "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
#define MDEV_PATH DEVICE_PATH "_383b8f4f2_2d509f_2d382f_2d3c1e_2de6bfe0fa1001"

static struct client *alice, *bob, *root;

static void start(void)
{
	bed_make();
	mock_driver_add(bed.host, "mdev", "mtty", "vfio\nevery\n");
	mock_driver_add(bed.host, "platform", "vfio-platform", "vfio\n");
	tree_write(bed.host->fd, "200\n", "mdev-group/" MDEV);
	mock_mdev_add(bed.host, MDEV, "virtual/mtty/mtty", "mtty-1");
	bus_start();
	daemon_start();
	alice = client_new(ALICE);
	bob = client_new(BOB);
	root = client_new(0);
}

static void stop(void)
{
	alice = client_free(alice);
	bob = client_free(bob);
	root = client_free(root);
	bed_stop();
}

static char *driver_of(const char *bus, const char *device)
{
	_cleanup_free_ char *path = mk_device_path(bed.host->fd, bus, device);
	char *driver = tree_link_name(bed.host->fd, "%s/driver", path);

	return driver ?: mock_asprintf("%s", "");
}

static void ck_is_on(const char *bus, const char *device, const char *driver)
{
	_cleanup_free_ char *now = driver_of(bus, device);

	ck_assert_str_eq(now, driver);
}

static void ck_opened(const struct claim *claim, const char *text)
{
	_cleanup_taken_ struct taken taken = { 0 };

	take(claim->handoff, &taken);
	ck_taken(&taken, text);
}

START_TEST(test_a_mediated_device)
{
	static const char *const modes[] = { "cdev", "group", "node", "cdev" };

	ck_property(root, "/org/vfiod1/group/200", "Group", "Viable", "true");
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		_cleanup_claim_ struct claim claim =
			acquire(alice, .devices = { MDEV }, .mode = modes[i]);
		_cleanup_claim_ struct claim other = { .handoff = -EBADF };

		ck_claimed(claim);
		ck_opened(&claim, streq(modes[i], "cdev")    ? "iommufd -, device " MDEV ": end 2"
				  : streq(modes[i], "group") ? "container -, group 200: end 2"
							     : "end 0");
		other = acquire(bob, .devices = { MDEV });
		ck_refused(other, "GroupBusy");
		ck_assert_str_eq(release(alice, claim.lease), "");
		UNTIL(lease_gone(root, claim.lease));
		ck_is_on("mdev", MDEV, "mtty");
		ck_assert(host_did("UNBOUND " MDEV " mtty"));
	}
	/* Its bus has no such thing. */
	ck_assert(!host_did("OVERRIDE " MDEV));
}
END_TEST

START_TEST(test_nobody_gets_it_while_it_is_open)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { MDEV }), other = claim;

	ck_claimed(claim);
	mock_hold(bed.host, MDEV, true);
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(property_is(root, claim.lease, "Lease", "State", "draining"));
	other = acquire(bob, .devices = { MDEV });
	ck_assert_msg(*other.error, "it is open still");
	claim_done(&other);
	bed_sleep(300 * 1000);
	ck_property(root, claim.lease, "Lease", "State", "draining");
	mock_hold(bed.host, MDEV, false);
	UNTIL(lease_gone(root, claim.lease));
	UNTIL(property_is(root, "/org/vfiod1/group/200", "Group", "State", "host"));
	other = acquire(bob, .devices = { MDEV });
	ck_claimed(other);
}
END_TEST

/* Its parent is not taken from the driver that makes it, whatever the rules waive. */
START_TEST(test_its_parent)
{
	_cleanup_claim_ struct claim claim = { .handoff = -EBADF }, parent = claim;
	_cleanup_free_ char *policy = mock_asprintf(
		"{ \"version\": 1, \"rules\": [ { \"id\": \"first\",\n"
		"\"subjects\": [ { \"users\": [%u, %u] } ], \"devices\": [ { \"address\": \"*\" } "
		"],\n"
		"\"allow\": [\"acquire\"], \"modes\": [\"cdev\"], \"waive\": [\"vfs\"],\n"
		"\"consent\": { \"drivers\": [\"*\"] } } ] }\n",
		ALICE, BOB);

	bed_policy("10-first.json", policy);
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Reload", ""), "");
	mock_device_remove(bed.host, "mdev", MDEV);
	mock_mdev_add(bed.host, MDEV, "pci0000:00/" NIC, "mtty-1");
	UNTIL(property_is(root, MDEV_PATH, "Device", "State", "host"));
	claim = acquire(alice, .devices = { MDEV });
	ck_claimed(claim);
	parent = acquire(bob, .devices = { NIC });
	ck_refused(parent, "GroupBusy");
	ck_assert(
		strstr(parent.message, "The mediated device " MDEV " of " NIC " belongs to lease"));
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	claim_done(&parent);
	parent = acquire(bob, .devices = { NIC });
	ck_claimed(parent);
}
END_TEST

/* The kernel may give the group another number when the driver has it again. */
START_TEST(test_its_group_is_another_one)
{
	_cleanup_claim_ struct claim claim = { .handoff = -EBADF };

	tree_write(bed.host->fd, "201\n", "mdev-group/" MDEV);
	claim = acquire(alice, .devices = { MDEV }, .mode = "group");
	if (*claim.error) {
		ck_refused(claim, "GroupChanged");
		claim_done(&claim);
		UNTIL(property_is(root, "/org/vfiod1/group/201", "Group", "State", "host"));
		claim = acquire(alice, .devices = { MDEV }, .mode = "group");
	}
	ck_claimed(claim);
	ck_property(root, claim.lease, "Lease", "Groups", "[/org/vfiod1/group/201]");
	ck_opened(&claim, "container -, group 201: end 2");
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	ck_is_on("mdev", MDEV, "mtty");
}
END_TEST

static void ck_not_for_bob(void)
{
	_cleanup_claim_ struct claim claim = acquire(bob, .devices = { MDEV });

	ck_refused(claim, "GroupBusy");
}

START_TEST(test_a_lease_of_one_over_a_restart)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { MDEV }, .persist = true, .name = "vm");

	ck_claimed(claim);
	/* The claim itself has made another device, and another group, of that name. */
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Rescan", ""), "");
	ck_not_for_bob();
	daemon_kill();
	daemon_start();
	ck_property(root, claim.lease, "Lease", "State", "leased");
	ck_property(root, MDEV_PATH, "Device", "State", "granted");
	ck_not_for_bob();
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Rescan", ""), "");
	ck_not_for_bob();
	/* Its VMM has it open, and the daemon comes while it drains: there is no group then. */
	mock_hold(bed.host, MDEV, true);
	ck_assert_str_eq(release(root, claim.lease), "");
	UNTIL(property_is(root, claim.lease, "Lease", "State", "draining"));
	daemon_kill();
	daemon_start();
	ck_property(root, claim.lease, "Lease", "State", "draining");
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Rescan", ""), "");
	mock_hold(bed.host, MDEV, false);
	UNTIL(lease_gone(root, claim.lease));
	ck_is_on("mdev", MDEV, "mtty");
}
END_TEST

static bool is_on(const char *driver)
{
	_cleanup_free_ char *now = driver_of("mdev", MDEV);

	return streq(now, driver);
}

/* What failed for good would stay; that a process died is no reason for it. */
static bool is_free(void)
{
	return property_is(root, MDEV_PATH, "Device", "State", "host") &&
	       property_is(root, "/org/vfiod1/group/200", "Group", "Lease", "/");
}

/*
 * To give it its driver back it is removed and made anew. Whoever does that is killed in between,
 * on the way into a lease or out of it, and the daemon too.
 */
START_TEST(test_killed_while_it_is_nowhere)
{
	bool at_claim = _i & 1, daemon_too = _i & 2;
	_cleanup_claim_ struct claim claim = { .handoff = -EBADF };
	struct pending *pending = NULL;

	if (at_claim) {
		mock_kill_after(bed.host, "CREATE", MDEV, 0);
		tree_write(bed.host->fd, "500\n", "slow/CREATE/" MDEV);
		pending = acquire_start(alice, &(struct ask){ .devices = { MDEV } });
	} else {
		claim = acquire(alice, .devices = { MDEV }, .persist = true);
		ck_claimed(claim);
		mock_kill_after(bed.host, "CREATE", MDEV, 0);
		tree_write(bed.host->fd, "500\n", "slow/CREATE/" MDEV);
		ck_assert_str_eq(release(alice, claim.lease), "");
	}
	UNTIL(!tree_exists(bed.host->fd, "sys/bus/mdev/devices/" MDEV));
	if (daemon_too) {
		daemon_kill();
		if (pending)
			call_drop(pending);
		UNTIL(!tree_exists(bed.host->fd, "fail/CREATE/" MDEV));
		daemon_start();
	} else if (pending) {
		claim = acquire_wait(pending);
		ck_refused(claim, "DriverFailed");
	}
	UNTIL(is_on("mtty") && is_free());
	claim_done(&claim);
	claim = acquire(bob, .devices = { MDEV });
	ck_claimed(claim);
}
END_TEST

START_TEST(test_a_platform_device)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { PLATFORM });

	ck_claimed(claim);
	ck_is_on("platform", PLATFORM, "vfio-platform");
	ck_opened(&claim, "iommufd -, device " PLATFORM ": end 2");
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	ck_is_on("platform", PLATFORM, "");
	ck_assert(host_did("OVERRIDE " PLATFORM " vfio-platform 0"));
}
END_TEST

/* From the host's driver, with consent, and back to it. */
START_TEST(test_a_platform_device_of_the_host)
{
	static const char *const names[] = { "fe200000.dma", "fe300000.dma" };
	static const char *const drivers[] = { "igb-dma", "pl330" };
	_cleanup_claim_ struct claim claim = { .handoff = -EBADF };

	for (int i = 0; i < 2; i++) {
		mock_driver_add(bed.host, "platform", drivers[i], "");
		mock_device_add(bed.host, "platform", names[i], NULL, 13 + i, "dmar0");
		ck_assert_int_eq(mk_bind(bed.host->fd, "platform", names[i], drivers[i]), 0);
	}
	UNTIL(property_is(root, DEVICE_PATH "fe300000_2edma", "Device", "Driver", "pl330"));
	claim = acquire(alice, .devices = { "fe300000.dma" });
	ck_refused(claim, "ConsentRequired");
	claim_done(&claim);
	claim = acquire(alice, .devices = { "fe200000.dma" }, .mode = "group");
	ck_claimed(claim);
	ck_is_on("platform", "fe200000.dma", "vfio-platform");
	ck_opened(&claim, "container -, group 13: end 2");
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	ck_is_on("platform", "fe200000.dma", "igb-dma");
	ck_assert(host_did("OVERRIDE fe200000.dma - 0"));
}
END_TEST

/* Its bus is where it is, whatever its name looks like. */
START_TEST(test_a_pci_device_of_another_name)
{
	static const char *const modes[] = { "cdev", "group" };

	mock_pci_add(bed.host, "odd", .vendor = 0x8086, .device = 0x10d3, .class_code = 0x010802,
		     .group = 30, .iommu = "dmar0", .driver = "nvme", .numa_node = -1);
	UNTIL(property_is(root, DEVICE_PATH "odd", "Device", "Driver", "nvme"));
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		_cleanup_claim_ struct claim claim =
			acquire(alice, .devices = { "odd" }, .mode = modes[i], .device_fds = i > 0);

		ck_claimed(claim);
		ck_is_on("pci", "odd", "vfio-pci");
		ck_opened(&claim, i ? "container -, group 30, device odd: end 3"
				    : "iommufd -, device odd: end 2");
		ck_assert_str_eq(release(alice, claim.lease), "");
		UNTIL(lease_gone(root, claim.lease));
		ck_is_on("pci", "odd", "nvme");
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mdev");

	bed_test(suite, start, stop, test_a_mediated_device, 1);
	bed_test(suite, start, stop, test_nobody_gets_it_while_it_is_open, 1);
	bed_test(suite, start, stop, test_its_parent, 1);
	bed_test(suite, start, stop, test_its_group_is_another_one, 1);
	bed_test(suite, start, stop, test_a_lease_of_one_over_a_restart, 1);
	bed_test(suite, start, stop, test_killed_while_it_is_nowhere, 4);
	bed_test(suite, start, stop, test_a_platform_device, 1);
	bed_test(suite, start, stop, test_a_platform_device_of_the_host, 1);
	bed_test(suite, start, stop, test_a_pci_device_of_another_name, 1);
	return bed_main(suite, true);
}
