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
	mock_device_add(bed.host, "mdev", MDEV, "virtual/mtty/mtty", 0, NULL);
	tree_write(bed.host->fd, "200\n", "mdev-group/" MDEV);
	ck_assert_int_eq(mk_probe(bed.host->fd, "mdev", MDEV), 0);
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

START_TEST(test_a_lease_of_one_over_a_restart)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { MDEV }, .persist = true, .name = "vm");

	ck_claimed(claim);
	daemon_kill();
	daemon_start();
	ck_property(root, claim.lease, "Lease", "State", "leased");
	ck_property(root, MDEV_PATH, "Device", "State", "granted");
	ck_assert_str_eq(release(root, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	ck_is_on("mdev", MDEV, "mtty");
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
	bed_test(suite, start, stop, test_its_group_is_another_one, 1);
	bed_test(suite, start, stop, test_a_lease_of_one_over_a_restart, 1);
	bed_test(suite, start, stop, test_a_platform_device, 1);
	bed_test(suite, start, stop, test_a_pci_device_of_another_name, 1);
	return bed_main(suite, true);
}
