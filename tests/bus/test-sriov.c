/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Virtual functions are made and taken away by whom the policy lets, never from under a lease, and
 * come without a driver; a PF and its VFs are one owner's together, and end in the right order.
 */

#include "tests/bus/picture.h"

#include <stdio.h>

#define NIC_PATH DEVICE_PATH "pci_0000_03_00_0"
#define PF_PATH	 DEVICE_PATH "pci_0000_08_00_0"
#define NEW_0	 "0000:03:10.0"
#define NEW_1	 "0000:03:10.1"

static struct client *alice, *bob, *carol, *root;

/* As the usual policy, and Alice may have VFs made of NICs; Bob has a rule without the verb. */
static void policy(const char *verbs, const char *drivers)
{
	_cleanup_free_ char *text = mock_asprintf(
		"{ \"version\": 1, \"rules\": [\n"
		"{ \"id\": \"alice\", \"subjects\": [ { \"users\": [%u] } ],\n"
		"  \"devices\": [ { \"address\": \"*\" } ], \"allow\": [%s],\n"
		"  \"modes\": [\"cdev\", \"group\"], \"consent\": { \"drivers\": [%s] } },\n"
		"{ \"id\": \"bob\", \"subjects\": [ { \"users\": [%u] } ],\n"
		"  \"devices\": [ { \"address\": \"*\" } ], \"allow\": [\"acquire\"],\n"
		"  \"modes\": [\"cdev\", \"group\"],\n"
		"  \"consent\": { \"drivers\": [\"e1000*\", \"igb*\"] } },\n"
		"{ \"id\": \"root\", \"subjects\": [ { \"users\": [0] } ],\n"
		"  \"devices\": [ { \"address\": \"*\" } ], \"allow\": [\"acquire\", \"sriov\"],\n"
		"  \"modes\": [\"cdev\"], \"consent\": { \"drivers\": [\"*\"] } }\n"
		"] }\n",
		ALICE, verbs, drivers, BOB);

	bed_policy("50-test.json", text);
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Reload", ""), "");
}

static void start_clients(void)
{
	alice = client_new(ALICE);
	bob = client_new(BOB);
	carol = client_new(CAROL);
	root = client_new(0);
	policy("\"acquire\", \"sriov\"", "\"e1000*\", \"igb*\"");
	mock_pf(bed.host, NIC, 7);
	UNTIL(property_is(root, NIC_PATH, "Device", "TotalVfs", "7"));
}

static void start(void)
{
	bed_start();
	start_clients();
}

/* The daemon probes what is new, while there is a lease. */
static void start_broker(void)
{
	bed_make();
	tree_write(bed.host->fd, "7.2.0-1-amd64", "release");
	tree_write(bed.host->fd, "1\n", "sys/bus/pci/drivers_autoprobe");
	bed_policy("60-hotplug.json",
		   "{ \"version\": 1, \"hotplug\": { \"probe\": \"broker\" } }\n");
	bus_start();
	daemon_start();
	start_clients();
}

static void stop(void)
{
	alice = client_free(alice);
	bob = client_free(bob);
	carol = client_free(carol);
	root = client_free(root);
	bed_stop();
}

static const char *set_vfs(struct client *client, const char *path, unsigned int n)
{
	return call_error(client, path, "Device", "SetNumVfs", "u", n);
}

static const char *pending_error(struct pending *pending)
{
	static char name[64];
	sd_bus_message *reply = call_wait(pending);

	snprintf(name, sizeof(name), "%s", error_of(reply));
	sd_bus_message_unref(reply);
	return name;
}

static bool number_is(const char *device, const char *value)
{
	_cleanup_free_ char *path = mk_device_path(bed.host->fd, "pci", device);
	_cleanup_free_ char *now = tree_read(bed.host->fd, "%s/sriov_numvfs", path);

	return streq0(now, value);
}

static bool driver_is(const char *device, const char *driver)
{
	_cleanup_free_ char *now = host_driver(device);

	return streq0(now, driver);
}

static bool fence_is(const char *device, const char *value)
{
	_cleanup_free_ char *path = mk_device_path(bed.host->fd, "pci", device);
	_cleanup_free_ char *now = tree_read(bed.host->fd, "%s/sriov_drivers_autoprobe", path);

	return streq0(now, value);
}

START_TEST(test_functions_come_and_go)
{
	mock_driver_add(bed.host, "pci", "eager", "id 8086:10d4\n");
	ck_property(root, NIC_PATH, "Device", "NumVfs", "0");
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 2), "");
	/* All are there when the call returns, and no host driver has one. */
	ck_property(alice, NIC_PATH, "Device", "NumVfs", "2");
	ck_property(alice, DEVICE_PATH "pci_0000_03_10_0", "Device", "PhysicalFunction", NIC_PATH);
	ck_property(alice, DEVICE_PATH "pci_0000_03_10_1", "Device", "State", "host");
	ck_driver(NEW_0, "");
	ck_driver(NEW_1, "");
	ck_assert(fence_is(NIC, "1"));
	ck_assert(host_did("STORE " NIC "/sriov_drivers_autoprobe 0"));
	/* Another number: by way of none. */
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 3), "");
	ck_property(alice, NIC_PATH, "Device", "NumVfs", "3");
	ck_assert(host_did("NUMVFS " NIC " 0 0"));
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 0), "");
	ck_property(alice, NIC_PATH, "Device", "NumVfs", "0");
	ck_assert(fence_is(NIC, "1"));
	/* Who had it off finds it off. */
	tree_write(bed.host->fd, "0\n", "sys/bus/pci/devices/" NIC "/sriov_drivers_autoprobe");
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 1), "");
	ck_assert(fence_is(NIC, "0"));
	ck_driver(NEW_0, "");
}
END_TEST

/* The VF fence refuses the first probe, whose driver is to be seen until then. */
START_TEST(test_a_probe_that_is_refused)
{
	mock_driver_add(bed.host, "pci", "eager", "id 8086:10d4\n");
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 2), "");
	ck_property(alice, DEVICE_PATH "pci_0000_03_10_0", "Device", "Driver", "");
	ck_property(alice, DEVICE_PATH "pci_0000_03_10_1", "Device", "Driver", "");
	ck_assert_str_eq(set_vfs(root, NIC_PATH, 0), "");
	ck_property(root, NIC_PATH, "Device", "NumVfs", "0");
}
END_TEST

START_TEST(test_who_may_not)
{
	ck_assert_str_eq(set_vfs(bob, NIC_PATH, 2), "NotPermitted");
	ck_assert_str_eq(set_vfs(carol, NIC_PATH, 2), "NotPermitted");
	policy("\"acquire\"", "\"e1000*\"");
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 2), "NotPermitted");
	ck_assert_str_eq(set_vfs(root, NIC_PATH, 8), "BadOption");
	ck_assert_str_eq(set_vfs(root, DEVICE_PATH "pci_0000_02_01_0", 1), "BadOption");
	ck_assert_str_eq(set_vfs(root, DEVICE_PATH "pci_0000_02_01_0", 0), "BadOption");
	ck_assert(!host_did("NUMVFS"));
	ck_property(root, NIC_PATH, "Device", "NumVfs", "0");
	/* Nobody fills the journal by asking. */
	for (unsigned int i = 0; i < 100; i++)
		ck_assert_str_eq(set_vfs(carol, NIC_PATH, 1000 + i), "NotPermitted");
	ck_assert(daemon_said(": 1005 virtual functions"));
	ck_assert(!daemon_said(": 1099 virtual functions"));
}
END_TEST

START_TEST(test_never_from_under_a_lease)
{
	_cleanup_claim_ struct claim one = { .handoff = -EBADF }, two = one, pf = one;

	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 2), "");
	one = acquire(alice, .devices = { NEW_0 });
	ck_claimed(one);
	two = acquire(bob, .devices = { NEW_1 });
	ck_claimed(two);
	/* Two users have one each; the PF is nobody's. */
	pf = acquire(alice, .devices = { NIC });
	ck_assert_msg(streq(pf.error, "DeviceInUse") || streq(pf.error, "GroupBusy"), "%s",
		      pf.error);
	claim_done(&pf);
	pf = acquire(bob, .devices = { NIC });
	ck_assert_msg(streq(pf.error, "DeviceInUse") || streq(pf.error, "GroupBusy"), "%s",
		      pf.error);
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 0), "GroupBusy");
	ck_assert_str_eq(set_vfs(root, NIC_PATH, 0), "GroupBusy");
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 3), "GroupBusy");
	/* That many there are. */
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 2), "");
	ck_assert_str_eq(release(alice, one.lease), "");
	UNTIL(lease_gone(alice, one.lease));
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 0), "GroupBusy");
	/* Over, and not yet gone: its VMM has it open. */
	mock_hold(bed.host, NEW_1, true);
	ck_assert_str_eq(release(bob, two.lease), "");
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 0), "GroupBusy");
	mock_hold(bed.host, NEW_1, false);
	UNTIL(lease_gone(alice, two.lease));
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 0), "");
	ck_property(root, NIC_PATH, "Device", "NumVfs", "0");
}
END_TEST

START_TEST(test_what_the_host_does_with_them)
{
	/* The usual PF has two, on igbvf. */
	policy("\"acquire\", \"sriov\"", "\"igb\"");
	ck_assert_str_eq(set_vfs(alice, PF_PATH, 0), "ConsentRequired");
	policy("\"acquire\", \"sriov\"", "\"igb*\"");
	/* No survey has seen these yet: whoever carries it out looks again. */
	mock_block_add(bed.host, VF_A, "sdx", "8:160");
	mock_block_busy(bed.host, "sdx", true);
	ck_assert_str_eq(set_vfs(alice, PF_PATH, 0), "DeviceInUse");
	mock_block_busy(bed.host, "sdx", false);
	mock_net_configure(bed.host, "eth5", "address 10.0.0.2/24\n");
	ck_assert_str_eq(set_vfs(alice, PF_PATH, 0), "DeviceInUse");
	mock_device_add(bed.host, "platform", "stir", NULL, 13, NULL);
	UNTIL(property_is(root, DEVICE_PATH "pci_0000_08_10_0", "Device", "Uses", "[network]"));
	ck_assert_str_eq(set_vfs(alice, PF_PATH, 0), "DeviceInUse");
	ck_driver(VF_A, "igbvf");
	ck_assert(!host_did("NUMVFS"));
}
END_TEST

static void to_vfio(const char *device)
{
	mk_override(bed.host->fd, "pci", device, "vfio-pci");
	ck_assert_int_eq(mk_probe(bed.host->fd, "pci", device), 0);
}

/* Somebody has it on vfio-pci, and nobody knows whether it is open. */
START_TEST(test_those_on_vfio)
{
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 1), "");
	to_vfio(NEW_0);
	UNTIL(property_is(root, DEVICE_PATH "pci_0000_03_10_0", "Device", "Driver", "vfio-pci"));
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 0), "GroupBusy");
	ck_assert_str_eq(set_vfs(root, NIC_PATH, 2), "GroupBusy");
	ck_driver(NEW_0, "vfio-pci");
	ck_assert(!host_did("UNBIND " NEW_0));
}
END_TEST

/* Those of a PF on vfio-pci the kernel has put there. The wait for one that is open is for it. */
START_TEST(test_those_of_a_pf_on_vfio)
{
	_cleanup_claim_ struct claim pf = acquire(alice, .devices = { NIC });
	struct pending *going;

	ck_claimed(pf);
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 1), "");
	to_vfio(NEW_0);
	UNTIL(property_is(root, DEVICE_PATH "pci_0000_03_10_0", "Device", "Driver", "vfio-pci"));
	mock_hold(bed.host, NEW_0, true);
	going = call_start(alice, NIC_PATH, "Device", "SetNumVfs", "u", 0);
	UNTIL(host_did("UNBIND " NEW_0 " vfio-pci"));
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 2), "GroupBusy");
	ck_assert(number_is(NIC, "1"));
	mock_hold(bed.host, NEW_0, false);
	ck_assert_str_eq(pending_error(going), "");
	ck_assert(number_is(NIC, "0"));
	/* Else no device of the whole host could come or go meanwhile. */
	ck_assert(!host_did("BLOCKED"));
}
END_TEST

/* An administrator has made some, and the daemon has not heard of it. */
START_TEST(test_others_than_those_that_were_decided_about)
{
	_cleanup_free_ char *path = mk_device_path(bed.host->fd, "pci", NIC);

	tree_write(bed.host->fd, "1\n", "%s/sriov_numvfs", path);
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 2), "GroupChanged");
	ck_assert(number_is(NIC, "1"));
	ck_assert(!host_did("NUMVFS"));
}
END_TEST

/* Another card is there before it is over. */
START_TEST(test_another_device_meanwhile)
{
	_cleanup_claim_ struct claim claim = { .handoff = -EBADF };
	struct pending *making;

	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 1), "");
	tree_write(bed.host->fd, "", "stall/NUMVFS/" NIC);
	making = call_start(alice, NIC_PATH, "Device", "SetNumVfs", "u", 2);
	UNTIL(fence_is(NIC, "0"));
	mock_device_remove(bed.host, "pci", NEW_0);
	mock_device_remove(bed.host, "pci", NIC);
	mock_pci_add(bed.host, NIC, .vendor = 0x8086, .device = 0x10d3, .class_code = 0x020000,
		     .group = 3, .iommu = "dmar0", .driver = "e1000e", .numa_node = -1);
	mock_net_add(bed.host, NIC, "eth0", 2);
	mock_pf(bed.host, NIC, 6);
	UNTIL(property_is(root, NIC_PATH, "Device", "TotalVfs", "6"));
	claim = acquire(bob, .devices = { NIC });
	ck_refused(claim, "GroupBusy");
	tree_remove(bed.host->fd, "stall");
	ck_assert_str_eq(pending_error(making), "GroupChanged");
	ck_assert(number_is(NIC, "0"));
	ck_assert(!host_did("NUMVFS " NIC " 2"));
	claim_done(&claim);
	claim = acquire(bob, .devices = { NIC });
	ck_claimed(claim);
}
END_TEST

START_TEST(test_a_pf_and_its_functions_of_one_owner)
{
	_cleanup_claim_ struct claim pf = acquire(alice, .devices = { NIC }),
				     vf = { .handoff = -EBADF };
	_cleanup_claim_ struct claim other = { .handoff = -EBADF };

	ck_claimed(pf);
	ck_assert_str_eq(set_vfs(bob, NIC_PATH, 2), "NotPermitted");
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 2), "");
	other = acquire(bob, .devices = { NEW_0 });
	ck_refused(other, "GroupBusy");
	ck_assert(strstr(other.message, NIC));
	/* In one lease they would go in one go. */
	ck_assert_str_eq(call_error(alice, pf.lease, "Lease", "AddDevices", "asa{sv}", 1, NEW_0, 0),
			 "GroupBusy");
	vf = acquire(alice, .devices = { NEW_0 });
	ck_claimed(vf);
	/* The PF's lease ends, and waits for the other one: unbinding the PF takes the VF away. */
	ck_assert_str_eq(release(alice, pf.lease), "");
	ck_property(root, pf.lease, "Lease", "State", "draining");
	bed_sleep(600 * 1000);
	ck_property(root, pf.lease, "Lease", "State", "draining");
	ck_property(root, vf.lease, "Lease", "State", "leased");
	ck_assert(!host_did("UNBIND " NIC " vfio-pci"));
	/* Nobody gets another of its functions meanwhile. */
	claim_done(&other);
	other = acquire(alice, .devices = { NEW_1 });
	ck_refused(other, "GroupBusy");
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 0), "GroupDraining");
	ck_assert_str_eq(release(alice, vf.lease), "");
	UNTIL(lease_gone(root, vf.lease));
	UNTIL(lease_gone(root, pf.lease));
	ck_driver(NIC, "e1000e");
}
END_TEST

/* It leaves a lease whose group stays: that unbinds it as well. */
START_TEST(test_a_pf_that_leaves_its_lease)
{
	static const char path[] = DEVICE_PATH "pci_0000_02_01_0";
	_cleanup_claim_ struct claim pair = { .handoff = -EBADF }, vf = pair;

	mock_pf(bed.host, NIC_A, 2);
	UNTIL(property_is(root, path, "Device", "TotalVfs", "2"));
	pair = acquire(alice, .devices = { NIC_A, NIC_B }, .mode = "group");
	ck_claimed(pair);
	ck_assert_str_eq(set_vfs(alice, path, 1), "");
	vf = acquire(alice, .devices = { "0000:02:10.0" });
	ck_claimed(vf);
	ck_assert_str_eq(call_error(alice, pair.lease, "Lease", "RemoveDevices", "as", 1, NIC_A),
			 "");
	bed_sleep(600 * 1000);
	ck_assert(!host_did("UNBIND " NIC_A " vfio-pci"));
	ck_property(root, vf.lease, "Lease", "State", "leased");
	ck_assert_str_eq(set_vfs(alice, path, 0), "GroupBusy");
	ck_assert_str_eq(release(alice, vf.lease), "");
	UNTIL(property_is(root, path, "Device", "State", "withheld"));
	ck_driver(NIC_A, "");
	ck_property(root, pair.lease, "Lease", "State", "leased");
}
END_TEST

START_TEST(test_another_program_of_the_owner)
{
	struct client *sibling = client_new(ALICE);
	_cleanup_claim_ struct claim pf = acquire(alice, .devices = { NIC });

	ck_claimed(pf);
	ck_assert_str_eq(set_vfs(sibling, NIC_PATH, 2), "DBus.AccessDenied");
	ck_assert_str_eq(set_vfs(root, NIC_PATH, 2), "");
	client_free(sibling);
}
END_TEST

START_TEST(test_meanwhile)
{
	_cleanup_claim_ struct claim claim = { .handoff = -EBADF };
	struct pending *first;

	tree_write(bed.host->fd, "", "stall/NUMVFS/" NIC);
	first = call_start(alice, NIC_PATH, "Device", "SetNumVfs", "u", 2);
	UNTIL(host_did("STORE " NIC "/sriov_drivers_autoprobe 0"));
	/* Everybody else is answered, and nobody gets the device. */
	ck_property(root, NIC_PATH, "Device", "NumVfs", "0");
	ck_assert_str_eq(set_vfs(root, NIC_PATH, 1), "GroupBusy");
	claim = acquire(bob, .devices = { NIC });
	ck_refused(claim, "GroupBusy");
	/* Who asked goes: it is done all the same, and to its end. */
	call_drop(first);
	alice = client_free(alice);
	tree_remove(bed.host->fd, "stall");
	UNTIL(property_is(root, NIC_PATH, "Device", "NumVfs", "2"));
	UNTIL(fence_is(NIC, "1"));
	UNTIL(streq(set_vfs(root, NIC_PATH, 2), ""));
	ck_assert_str_eq(set_vfs(root, NIC_PATH, 0), "");
}
END_TEST

START_TEST(test_what_the_kernel_refuses)
{
	mock_fail(bed.host, "NUMVFS", NIC, ENOENT, 1);
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 2), "DriverFailed");
	ck_assert(fence_is(NIC, "1"));
	mock_fail(bed.host, "NUMVFS", NIC, ENOMEM, 1);
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 2), "DriverFailed");
	/* It says yes and does nothing. */
	mock_fail(bed.host, "NUMVFS", NIC, 0, 1);
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 2), "DriverFailed");
	ck_property(root, NIC_PATH, "Device", "NumVfs", "0");
	ck_assert(fence_is(NIC, "1"));
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 2), "");
	/* In the middle: what is left is said, and nobody is blocked by it. */
	mock_fail_after(bed.host, "NUMVFS", NIC, EIO, 1);
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 3), "DriverFailed");
	ck_property(root, NIC_PATH, "Device", "NumVfs", "0");
	/* Whoever does it dies. */
	mock_kill_after(bed.host, "NUMVFS", NIC, 0);
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 2), "DriverFailed");
	ck_assert(fence_is(NIC, "1"));
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 2), "");
	ck_property(root, NIC_PATH, "Device", "NumVfs", "2");
}
END_TEST

/* The daemon dies, and whoever makes them lives on: the next one waits for him. */
START_TEST(test_over_a_crash)
{
	_cleanup_claim_ struct claim claim = { .handoff = -EBADF };
	struct pending *making;

	if (_i)
		mock_kill_after(bed.host, "NUMVFS", NIC, 0);
	tree_write(bed.host->fd, "", "stall/NUMVFS/" NIC);
	making = call_start(alice, NIC_PATH, "Device", "SetNumVfs", "u", 2);
	UNTIL(fence_is(NIC, "0"));
	daemon_kill();
	call_drop(making);
	daemon_start();
	ck_assert(fence_is(NIC, "0"));
	ck_assert_str_eq(set_vfs(root, NIC_PATH, 1), "GroupBusy");
	claim = acquire(bob, .devices = { NIC });
	ck_refused(claim, "GroupBusy");
	claim_done(&claim);
	tree_remove(bed.host->fd, "stall");
	UNTIL(fence_is(NIC, "1"));
	UNTIL(property_is(root, NIC_PATH, "Device", "NumVfs", _i ? "0" : "2"));
	UNTIL(streq(set_vfs(root, NIC_PATH, 0), ""));
	claim = acquire(bob, .devices = { NIC });
	ck_claimed(claim);
	/* It is told but once. */
	ck_assert_str_eq(release(bob, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	tree_write(bed.host->fd, "0\n", "sys/bus/pci/devices/" NIC "/sriov_drivers_autoprobe");
	daemon_kill();
	daemon_start();
	ck_property(root, NIC_PATH, "Device", "State", "host");
	ck_assert(fence_is(NIC, "0"));
}
END_TEST

/* Between those that go and those that come: there are as many as were asked for all the same. */
START_TEST(test_a_crash_on_the_way)
{
	struct pending *making;

	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 2), "");
	tree_write(bed.host->fd, "", "stall/NUMVFS/" NIC);
	making = call_start(alice, NIC_PATH, "Device", "SetNumVfs", "u", 3);
	UNTIL(fence_is(NIC, "0"));
	daemon_kill();
	call_drop(making);
	daemon_start();
	tree_remove(bed.host->fd, "stall");
	UNTIL(property_is(root, NIC_PATH, "Device", "NumVfs", "3"));
	UNTIL(fence_is(NIC, "1"));
	ck_driver(NEW_0, "");
	UNTIL(streq(set_vfs(root, NIC_PATH, 3), ""));
}
END_TEST

static bool probing_is(const char *value)
{
	_cleanup_free_ char *now = tree_read(bed.host->fd, "sys/bus/pci/drivers_autoprobe");

	return streq0(now, value);
}

/* The daemon, which probes what is new then, is no host driver's friend either. */
START_TEST(test_while_the_daemon_probes)
{
	_cleanup_claim_ struct claim claim = { .handoff = -EBADF };

	mock_driver_add(bed.host, "pci", "eager", "id 8086:10d4\n");
	policy("\"acquire\", \"withhold\", \"sriov\"", "\"e1000*\"");
	claim = acquire(alice, .devices = { "0000:02:01.0" }, .withhold = { "0000:02:02.0" });
	ck_claimed(claim);
	ck_assert(probing_is("0"));
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 2), "");
	ck_assert(fence_is(NIC, "1"));
	/* What came by itself after them has had its probe: theirs would have been before. */
	mock_pci_add(bed.host, "0000:20:00.0", .vendor = 0x8086, .device = 0x10d4,
		     .class_code = 0x020000, .group = 20, .iommu = "dmar0", .numa_node = -1);
	mk_first_probe(bed.host->fd, "pci", "0000:20:00.0");
	UNTIL(driver_is("0000:20:00.0", "eager"));
	ck_driver(NEW_0, "");
	ck_driver(NEW_1, "");
	/* Nor does anything that puts the switch back. */
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	UNTIL(probing_is("1"));
	ck_driver(NEW_0, "");
	ck_driver(NEW_1, "");
}
END_TEST

/* Whoever looks for what waits while they are made: root, or the daemon that has lost events. */
START_TEST(test_while_everything_is_read_again)
{
	_cleanup_claim_ struct claim claim = { .handoff = -EBADF };
	struct pending *making;

	mock_driver_add(bed.host, "pci", "eager", "id 8086:10d4\n");
	policy("\"acquire\", \"withhold\", \"sriov\"", "\"e1000*\"");
	claim = acquire(alice, .devices = { "0000:02:01.0" }, .withhold = { "0000:02:02.0" });
	ck_claimed(claim);
	ck_assert(probing_is("0"));
	/* The fence is up for long before and after. */
	tree_write(bed.host->fd, "1500\n", "slow/STORE/sriov_drivers_autoprobe");
	tree_write(bed.host->fd, "", "uevent-drops");
	making = call_start(alice, NIC_PATH, "Device", "SetNumVfs", "u", 2);
	UNTIL(fence_is(NIC, "0"));
	kill(bed.daemon, SIGSTOP);
	for (int i = 0; i < 64; i++)
		mk_event(bed.host->fd, "change", "pci", DISK, "devices/x", NULL, NULL);
	UNTIL(number_is(NIC, "2"));
	ck_assert(fence_is(NIC, "0"));
	kill(bed.daemon, SIGCONT);
	ck_assert(tree_exists(bed.host->fd, "uevent-dropped"));
	mk_event_lost(bed.host->fd);
	UNTIL(daemon_said("were lost"));
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Rescan", ""), "");
	ck_assert_str_eq(pending_error(making), "");
	ck_assert(fence_is(NIC, "1"));
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Rescan", ""), "");
	/* What came after them has had its probe: theirs would have been before. */
	mock_pci_add(bed.host, "0000:20:00.0", .vendor = 0x8086, .device = 0x10d4,
		     .class_code = 0x020000, .group = 20, .iommu = "dmar0", .numa_node = -1);
	mk_first_probe(bed.host->fd, "pci", "0000:20:00.0");
	UNTIL(driver_is("0000:20:00.0", "eager"));
	ck_driver(NEW_0, "");
	ck_driver(NEW_1, "");
	/* A daemon that begins anew does not take them for waiting ones. */
	daemon_kill();
	daemon_start();
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	UNTIL(probing_is("1"));
	ck_driver(NEW_0, "");
	ck_driver(NEW_1, "");
}
END_TEST

/* The PF's lease ends while it is given functions: they are not the host's drivers' for that. */
START_TEST(test_its_lease_ends_meanwhile)
{
	_cleanup_claim_ struct claim pf = acquire(alice, .devices = { NIC });
	struct pending *making;

	ck_claimed(pf);
	mock_driver_add(bed.host, "pci", "eager", "id 8086:10d4\n");
	tree_write(bed.host->fd, "", "stall/NUMVFS/" NIC);
	making = call_start(alice, NIC_PATH, "Device", "SetNumVfs", "u", 2);
	UNTIL(streq(set_vfs(root, NIC_PATH, 1), "GroupBusy"));
	ck_assert_str_eq(release(alice, pf.lease), "");
	ck_assert(!host_did("UNBIND " NIC " vfio-pci"));
	tree_remove(bed.host->fd, "stall");
	ck_assert_str_eq(pending_error(making), "");
	ck_property(root, pf.lease, "Lease", "State", "draining");
	ck_assert(!host_did("UNBIND " NIC " vfio-pci"));
	UNTIL(lease_gone(root, pf.lease));
	ck_driver(NEW_0, "");
	ck_driver(NIC, "e1000e");
}
END_TEST

START_TEST(test_a_failed_one)
{
	mk_error_event(bed.host->fd, NIC, "FAILED_RECOVERY", false);
	UNTIL(property_is(root, NIC_PATH, "Device", "Health", "failed"));
	ck_assert_str_eq(set_vfs(alice, NIC_PATH, 2), "DeviceFailed");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sriov");

	bed_test(suite, start, stop, test_functions_come_and_go, 1);
	bed_test(suite, start, stop, test_a_probe_that_is_refused, 1);
	bed_test(suite, start, stop, test_who_may_not, 1);
	bed_test(suite, start, stop, test_never_from_under_a_lease, 1);
	bed_test(suite, start, stop, test_what_the_host_does_with_them, 1);
	bed_test(suite, start, stop, test_a_pf_and_its_functions_of_one_owner, 1);
	bed_test(suite, start, stop, test_a_pf_that_leaves_its_lease, 1);
	bed_test(suite, start, stop, test_another_program_of_the_owner, 1);
	bed_test(suite, start, stop, test_meanwhile, 1);
	bed_test(suite, start, stop, test_what_the_kernel_refuses, 1);
	bed_test(suite, start, stop, test_over_a_crash, 2);
	bed_test(suite, start, stop, test_a_crash_on_the_way, 1);
	bed_test(suite, start, stop, test_those_on_vfio, 1);
	bed_test(suite, start, stop, test_those_of_a_pf_on_vfio, 1);
	bed_test(suite, start, stop, test_others_than_those_that_were_decided_about, 1);
	bed_test(suite, start, stop, test_another_device_meanwhile, 1);
	bed_test(suite, start, stop, test_a_failed_one, 1);
	bed_test(suite, start, stop, test_its_lease_ends_meanwhile, 1);
	bed_test(suite, start_broker, stop, test_while_the_daemon_probes, 1);
	bed_test(suite, start_broker, stop, test_while_everything_is_read_again, 1);
	return bed_main(suite, true);
}
