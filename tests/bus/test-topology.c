/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The picture follows the host: devices come, go, are replaced, change drivers and groups; in
 * thousands, and with events lost. What the bus shows in the end is what a daemon that is started
 * anew would show, and every announcement on the way was true.
 */

#include "tests/bus/picture.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static struct client *root;
static struct watch *watch;

static void set_up(void)
{
	bed_start();
	root = client_new(0);
	watch = watch_new(CAROL);
	watch_settled(watch);
	watch_clear(watch);
}

/* Numbers of generations are a daemon's own; uses are seen in time. */
static char *picture(void)
{
	char *text = bus_picture(root);

	picture_forget(text, "Generation");
	picture_forget_uses(text);
	return text;
}

/* The events are through when what was announced is what is there, and stays so. */
static void ck_fresh(void)
{
	_cleanup_free_ char *now = NULL, *fresh = NULL;

	bed_sleep(30000);
	watch_settled(watch);
	watch = watch_free(watch);
	now = picture();
	ck_assert_int_eq(daemon_stop(), 0);
	daemon_start();
	fresh = picture();
	ck_same(fresh, now);
}

static void tear_down(void)
{
	if (watch) {
		watch_settled(watch);
		ck_fresh();
	}
	watch = watch_free(watch);
	client_free(root);
	bed_stop();
}

static void add_nic(const char *name, int group)
{
	mock_pci_add(bed.host, name, .vendor = 0x8086, .device = 0x10d3, .class_code = 0x020000,
		     .group = group, .iommu = "dmar1", .driver = "e1000e", .numa_node = 1);
}

#define NEW	 "0000:20:00.0"
#define NEW_PATH DEVICE_PATH "pci_0000_20_00_0"

START_TEST(added_and_removed)
{
	add_nic(NEW, 20);
	UNTIL(property_is(root, NEW_PATH, "Device", "Driver", "e1000e"));
	watch_settled(watch);
	ck_assert_uint_eq(watch_count(watch, "added " NEW_PATH), 1);
	ck_assert_uint_eq(watch_count(watch, "added /org/vfiod1/group/20"), 1);
	ck_assert_uint_eq(watch_count(watch, "added"), 2);
	ck_property(root, NEW_PATH, "Device", "Group", "/org/vfiod1/group/20");
	/* Into a group that is there. */
	add_nic("0000:20:00.1", 20);
	UNTIL(property_is(root, "/org/vfiod1/group/20", "Group", "Devices",
			  "[" NEW_PATH ", " DEVICE_PATH "pci_0000_20_00_1]"));
	watch_settled(watch);
	watch_clear(watch);
	mock_device_remove(bed.host, "pci", NEW);
	mock_device_remove(bed.host, "pci", "0000:20:00.1");
	UNTIL(watch_count(watch, "removed /org/vfiod1/group/20"));
	watch_settled(watch);
	ck_assert_uint_eq(watch_count(watch, "removed"), 3);
	ck_assert_uint_eq(watch_count(watch, "added"), 0);
}
END_TEST

/* Another one at the same address is another object, also when nobody looked in between. */
START_TEST(replaced)
{
	mock_device_remove(bed.host, "pci", BARE);
	if (_i)
		UNTIL(watch_count(watch, "removed"));
	mock_pci_add(bed.host, BARE, .vendor = 0x10de, .device = 0x1eb8, .group = _i ? 11 : 21,
		     .iommu = "dmar0", .numa_node = -1);
	UNTIL(property_is(root, DEVICE_PATH "pci_0000_0b_00_0", "Device", "Vendor", "0x10de"));
	watch_settled(watch);
	ck_assert_uint_eq(watch_count(watch, "removed " DEVICE_PATH "pci_0000_0b_00_0"), 1);
	ck_assert_uint_eq(watch_count(watch, "added " DEVICE_PATH "pci_0000_0b_00_0"), 1);
}
END_TEST

/* The very same one: nothing that a client knows of it has to be wrong. */
START_TEST(replugged)
{
	for (int i = 0; i < 20; i++) {
		mock_device_remove(bed.host, "pci", NIC);
		add_nic(NIC, 3);
		if (i % 4 == 0)
			bed_turn();
	}
	UNTIL(property_is(root, DEVICE_PATH "pci_0000_03_00_0", "Device", "Iommu",
			  "/org/vfiod1/iommu/dmar1"));
}
END_TEST

START_TEST(driver_changes)
{
	const char *path = DEVICE_PATH "pci_0000_03_00_0";

	mk_unbind(bed.host->fd, "pci", "e1000e", NIC);
	UNTIL(property_is(root, path, "Device", "Driver", ""));
	ck_property(root, "/org/vfiod1/group/3", "Group", "Viable", "true");
	mk_override(bed.host->fd, "pci", NIC, "vfio-pci");
	mk_probe(bed.host->fd, "pci", NIC);
	UNTIL(property_is(root, path, "Device", "Driver", "vfio-pci"));
	UNTIL(!property_is(root, path, "Device", "VfioNode", ""));
	UNTIL(property_is(root, "/org/vfiod1/group/3", "Group", "Node", "/dev/vfio/3"));
	mk_unbind(bed.host->fd, "pci", "vfio-pci", NIC);
	mk_override(bed.host->fd, "pci", NIC, "");
	mk_probe(bed.host->fd, "pci", NIC);
	UNTIL(property_is(root, path, "Device", "Driver", "e1000e"));
	watch_settled(watch);
	ck_assert_uint_eq(watch_count(watch, "added") + watch_count(watch, "removed"), 0);
}
END_TEST

/* A probe shows its driver, and when it fails nothing says so, be it long after the last event. */
START_TEST(probe_fails)
{
	_cleanup_free_ char *path = NULL;

	mock_pci_add(bed.host, NEW, .vendor = 0x8086, .device = 0x10d3, .class_code = 0x020000,
		     .group = 20, .iommu = "dmar1", .numa_node = 1);
	UNTIL(property_is(root, NEW_PATH, "Device", "Driver", ""));
	path = mk_device_path(bed.host->fd, "pci", NEW);
	tree_link(bed.host->fd, "sys/bus/pci/drivers/e1000e", "%s/driver", path);
	mk_event(bed.host->fd, "change", "pci", NEW, path, NULL, NULL);
	UNTIL(property_is(root, NEW_PATH, "Device", "Driver", "e1000e"));
	if (_i)
		bed_sleep(1000000);
	tree_remove(bed.host->fd, "%s/driver", path);
	UNTIL(property_is(root, NEW_PATH, "Device", "Driver", ""));
}
END_TEST

START_TEST(virtual_functions)
{
	const char *pf = DEVICE_PATH "pci_0000_08_00_0";

	mock_pci_add(bed.host, "0000:08:10.4", .vendor = 0x8086, .device = 0x10ca,
		     .class_code = 0x020000, .group = 30, .iommu = "dmar1", .physfn = PF,
		     .numa_node = -1);
	UNTIL(property_is(root, pf, "Device", "VirtualFunctions",
			  "[" DEVICE_PATH "pci_0000_08_10_0, " DEVICE_PATH
			  "pci_0000_08_10_2, " DEVICE_PATH "pci_0000_08_10_4]"));
	mock_device_remove(bed.host, "pci", VF_A);
	mock_device_remove(bed.host, "pci", VF_B);
	mock_device_remove(bed.host, "pci", "0000:08:10.4");
	UNTIL(property_is(root, pf, "Device", "VirtualFunctions", "[]"));
}
END_TEST

/* A group's number means another group. */
START_TEST(group_is_recycled)
{
	_cleanup_free_ char *first = property(root, "/org/vfiod1/group/11", "Group", "Generation");
	_cleanup_free_ char *second = NULL;

	mock_device_remove(bed.host, "pci", BARE);
	add_nic(NEW, 11);
	UNTIL(property_is(root, "/org/vfiod1/group/11", "Group", "Devices", "[" NEW_PATH "]"));
	second = property(root, "/org/vfiod1/group/11", "Group", "Generation");
	ck_assert_str_ne(first, second);
	watch_settled(watch);
	ck_assert_uint_eq(watch_count(watch, "removed /org/vfiod1/group/11"), 1);
	ck_assert_uint_eq(watch_count(watch, "added /org/vfiod1/group/11"), 1);
}
END_TEST

START_TEST(regrouped)
{
	mock_device_regroup(bed.host, "pci", NIC_B, 40);
	UNTIL(property_is(root, DEVICE_PATH "pci_0000_02_02_0", "Device", "Group",
			  "/org/vfiod1/group/40"));
	ck_property(root, "/org/vfiod1/group/2", "Group", "Devices",
		    "[" DEVICE_PATH "pci_0000_02_01_0]");
	mock_device_regroup(bed.host, "pci", NIC_B, 0);
	UNTIL(property_is(root, DEVICE_PATH "pci_0000_02_02_0", "Device", "Group", "/"));
}
END_TEST

START_TEST(iommu_comes)
{
	mock_iommu_add(bed.host, "dmar2", "intel-iommu");
	UNTIL(watch_count(watch, "added /org/vfiod1/iommu/dmar2"));
	mock_pci_add(bed.host, NEW, .vendor = 1, .device = 2, .group = 50, .iommu = "dmar2",
		     .numa_node = -1);
	UNTIL(property_is(root, "/org/vfiod1/iommu/dmar2", "Iommu", "Devices", "[" NEW_PATH "]"));
	ck_property(root, "/org/vfiod1/iommu/dmar2", "Iommu", "Groups", "[/org/vfiod1/group/50]");
}
END_TEST

/* ---- many */

/* A small generator of our own: the same on every machine. */
static unsigned int next(unsigned int *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 16 & 0x7fff;
}

static void random_event(unsigned int *seed)
{
	_cleanup_free_ char *name =
		mock_asprintf("0000:30:%02x.%u", next(seed) % 8, next(seed) % 4);
	_cleanup_free_ char *path = mk_device_path(bed.host->fd, "pci", name);
	_cleanup_free_ char *driver = path ? tree_link_name(bed.host->fd, "%s/driver", path) : NULL;

	if (!path)
		add_nic(name, 60 + (int)(next(seed) % 6));
	else if (next(seed) % 2)
		mock_device_remove(bed.host, "pci", name);
	else if (driver)
		mk_unbind(bed.host->fd, "pci", driver, name);
	else
		mk_probe(bed.host->fd, "pci", name);
}

static void burst(int n, bool turn)
{
	unsigned int seed = 7;

	for (int i = 0; i < n; i++) {
		random_event(&seed);
		if (turn && i % 50 == 0)
			bed_turn();
	}
}

START_TEST(thousands)
{
	/* Each is two or three events, to us twice. */
	burst(1000, _i);
	/* Somebody who asks in the middle of it is answered. */
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "FindDevice", "s", NIC), "");
}
END_TEST

static void hear(bool on)
{
	tree_rename(bed.host->fd, on ? "uevent-off" : "uevent", on ? "uevent" : "uevent-off");
}

static void send_event(const char *line)
{
	int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/uevent", bed.host->root);
	ck_assert_int_eq(
		sendto(sock, line, strlen(line), 0, (struct sockaddr *)&address, sizeof(address)),
		strlen(line));
	close(sock);
}

/* Nothing was heard of all that; then that something was not heard. */
START_TEST(lost)
{
	static const char *const lines[] = { "lost", "kernel lost", "udev lost" };

	hear(false);
	burst(300, false);
	hear(true);
	send_event(lines[_i]);
	UNTIL(watch_count(watch, "added") > 5);
}
END_TEST

/* By hand. */
START_TEST(rescan)
{
	hear(false);
	burst(300, false);
	hear(true);
	if (geteuid() == 0) {
		ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Rescan", NULL), "");
	} else {
		puts("rescan: SKIPPED but for its refusal, it needs root");
		ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Rescan", NULL),
				 "DBus.AccessDenied");
		send_event("lost");
	}
}
END_TEST

/* Events that make no sense. */
START_TEST(odd_events)
{
	static const char *const lines[] = {
		"",
		"x",
		"both",
		"both add pci",
		"both add pci 0000:99:00.0 /devices/pci0000:00/0000:99:00.0 - - 5",
		"both remove pci 0000:99:00.0 /devices/pci0000:00/0000:99:00.0 - - 6",
		"both add pci ../../../etc /devices/../../etc - - 7",
		"both add pci %s%n /devices/x - - 8",
		"both nonsense pci " NIC " /devices/x - - 9",
		"both add vfio ../2 /devices/virtual/vfio/2 - /dev/vfio/2 10",
		"both change vfio 99999999999 /devices/virtual/vfio/2 - /dev/vfio/2 11",
		"both add vfio-dev vfio0 /devices/x - - 12",
		"both add net eth99 /devices/x - - 13",
		"both add iommu nothing /devices/x - - 14",
		"both change pci " NIC " /devices/elsewhere - - 0",
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		send_event(lines[i]);
	bed_sleep(50000);
	watch_settled(watch);
	ck_assert_uint_eq(watch_count(watch, "added") + watch_count(watch, "removed"), 0);
}
END_TEST

/* Attributes that make no sense: a known state each, and no other device's trouble. */
START_TEST(odd_attributes)
{
	static const char *const attributes[] = { "vendor",	  "device",	     "class",
						  "numa_node",	  "config",	     "modalias",
						  "reset_method", "subsystem_vendor" };
	static const char *const values[] = {
		"",	  "garbage\n", "0x\n", "0xffffffffffffffff\n", "-99999999999\n",
		"0x8086", "\xff\xfe\n"
	};
	_cleanup_free_ char *path = NULL, *big = calloc(1, 70000);

	memset(big, 'a', 69999);
	add_nic(NEW, 70);
	path = mk_device_path(bed.host->fd, "pci", NEW);
	for (size_t a = 0; a < ARRAY_SIZE(attributes); a++)
		for (size_t v = 0; v <= ARRAY_SIZE(values) + 1; v++) {
			tree_remove(bed.host->fd, "%s/%s", path, attributes[a]);
			if (v < ARRAY_SIZE(values))
				tree_write(bed.host->fd, values[v], "%s/%s", path, attributes[a]);
			else if (v == ARRAY_SIZE(values))
				tree_write(bed.host->fd, big, "%s/%s", path, attributes[a]);
			mk_event(bed.host->fd, "change", "pci", NEW, path, NULL, NULL);
		}
	UNTIL(watch_count(watch, "added " NEW_PATH));
	bed_sleep(50000);
	ck_property(root, DEVICE_PATH "pci_0000_03_00_0", "Device", "Vendor", "0x8086");
	watch_settled(watch);
	mock_device_remove(bed.host, "pci", NEW);
	UNTIL(watch_count(watch, "removed " NEW_PATH));
}
END_TEST

/* A host of two thousand devices: everything is there, and asking for it all is quick. */
START_TEST(big_host)
{
	_cleanup_free_ char *text = NULL;
	uint64_t begin;
	size_t n = 0;

	for (int i = 0; i < 2000; i++) {
		_cleanup_free_ char *name = mock_asprintf("%04x:%02x:%02x.%u", 1 + i / 1024,
							  i / 256 % 4 * 16, i / 8 % 32, i % 8);

		mock_pci_add(bed.host, name, .vendor = 0x8086, .device = 0x100e,
			     .class_code = 0x020000, .group = 100 + i / 2, .iommu = "dmar1",
			     .numa_node = -1);
	}
	begin = bed_now();
	UNTIL(property_is(root, "/org/vfiod1/group/1099", "Group", "Id", "1099"));
	text = bus_picture(root);
	for (const char *at = text; (at = strstr(at, "Device Name = ")); at++)
		n++;
	ck_assert_uint_eq(n, 2015);
	ck_assert_uint_lt(bed_now() - begin, 20000000);
}
END_TEST

/* ---- under a lease */

/* A leased device goes: what is left can be released, and what comes in its place is the host's. */
START_TEST(leased_device_goes)
{
	struct client *alice = client_new(ALICE);
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A, NIC_B }, .mode = "group");

	ck_claimed(claim);
	mock_device_remove(bed.host, "pci", NIC_A);
	UNTIL(watch_count(watch, "removed"));
	ck_property(root, claim.lease, "Lease", "State", "leased");
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	ck_driver(NIC_B, "e1000");
	ck_override(NIC_B, "");
	client_free(alice);
}
END_TEST

/* All of them go, the group with them, and its number comes back as another's: the host's. */
START_TEST(leased_group_goes)
{
	struct client *alice = client_new(ALICE), *bob = client_new(BOB);
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { BARE }), other = { 0 };

	ck_claimed(claim);
	mock_device_remove(bed.host, "pci", BARE);
	add_nic(NEW, 11);
	mock_net_add(bed.host, NEW, "eth20", 20);
	UNTIL(property_is(root, NEW_PATH, "Device", "Driver", "e1000e"));
	ck_property(root, NEW_PATH, "Device", "State", "host");
	other = acquire(bob, .devices = { NEW });
	ck_claimed(other);
	/* What is left of the one lease is nothing to the other. */
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	ck_driver(NEW, "vfio-pci");
	ck_assert_str_eq(release(bob, other.lease), "");
	UNTIL(lease_gone(root, other.lease));
	client_free(alice);
	client_free(bob);
}
END_TEST

/* A device goes in the middle of its claim. */
START_TEST(device_goes_in_claim)
{
	static const char *const ops[] = { "OVERRIDE", "UNBIND", "PROBE" };
	struct client *alice = client_new(ALICE);
	struct pending *pending;
	_cleanup_claim_ struct claim claim = { 0 };

	tree_write(bed.host->fd, "200", "slow/%s/" NIC_A, ops[_i]);
	pending = acquire_start(alice, &(struct ask){ .devices = { NIC_A, NIC_B } });
	UNTIL(property_is(root, "/org/vfiod1/group/2", "Group", "State", "preparing"));
	tree_remove(bed.host->fd, "slow");
	mock_device_remove(bed.host, "pci", NIC_B);
	claim = acquire_wait(pending);
	ck_assert_msg(streq(claim.error, "GroupChanged") || streq(claim.error, "DriverFailed"),
		      "\"%s\"", claim.error);
	UNTIL(property_is(root, "/org/vfiod1/group/2", "Group", "State", "host"));
	ck_driver(NIC_A, "e1000");
	ck_override(NIC_A, "");
	client_free(alice);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("topology");

	bed_test(suite, set_up, tear_down, added_and_removed, 1);
	bed_test(suite, set_up, tear_down, replaced, 2);
	bed_test(suite, set_up, tear_down, replugged, 1);
	bed_test(suite, set_up, tear_down, driver_changes, 1);
	bed_test(suite, set_up, tear_down, probe_fails, 2);
	bed_test(suite, set_up, tear_down, virtual_functions, 1);
	bed_test(suite, set_up, tear_down, group_is_recycled, 1);
	bed_test(suite, set_up, tear_down, regrouped, 1);
	bed_test(suite, set_up, tear_down, iommu_comes, 1);
	bed_test(suite, set_up, tear_down, thousands, 2);
	bed_test(suite, set_up, tear_down, lost, 3);
	bed_test(suite, set_up, tear_down, rescan, 1);
	bed_test(suite, set_up, tear_down, odd_events, 1);
	bed_test(suite, set_up, tear_down, odd_attributes, 1);
	bed_test(suite, set_up, tear_down, big_host, 1);
	bed_test(suite, set_up, tear_down, leased_device_goes, 1);
	bed_test(suite, set_up, tear_down, leased_group_goes, 1);
	bed_test(suite, set_up, tear_down, device_goes_in_claim, 3);
	return bed_main(suite, false);
}
