/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * IOMMUs on the bus: what they can do, and who uses them. That one came into use is announced, and
 * that it is used no more, and nothing else of it, whatever the leases do meanwhile.
 */

#include "tests/bus/picture.h"

#include <fcntl.h>
#include <stdio.h>

#define DMAR0 "/org/vfiod1/iommu/dmar0"
#define DMAR1 "/org/vfiod1/iommu/dmar1"

static struct client *alice, *root;
static struct watch *watch;

static void setup(void)
{
	bed_start();
	alice = client_new(ALICE);
	root = client_new(0);
	watch = watch_new(0);
}

static void teardown(void)
{
	watch_free(watch);
	client_free(alice);
	client_free(root);
	bed_stop();
}

static size_t announced(const char *path)
{
	_cleanup_free_ char *beginning = mock_asprintf("changed %s:", path);

	watch_settled(watch);
	return watch_count(watch, beginning);
}

static void give_back(const char *lease)
{
	ck_assert_str_eq(release(alice, lease), "");
	UNTIL(lease_gone(root, lease));
}

static const char *change(const char *lease, const char *member, const char *device)
{
	static char name[128];
	sd_bus_message *m = call_new(alice, lease, "Lease", member), *reply;

	ck_assert_int_ge(sd_bus_message_append(m, "as", 1, device), 0);
	if (streq(member, "AddDevices"))
		ck_assert_int_ge(sd_bus_message_append(m, "a{sv}", 0), 0);
	reply = call_wait(call_send(alice, m));
	snprintf(name, sizeof(name), "%s", error_of(reply));
	sd_bus_message_unref(reply);
	return name;
}

/* ---- use */

START_TEST(fifty_leases)
{
	ck_property(root, DMAR0, "Iommu", "InUse", "false");
	for (int i = 0; i < 30; i++) {
		_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });

		ck_claimed(claim);
		ck_property(root, DMAR0, "Iommu", "Leases", "1");
		ck_property(root, DMAR0, "Iommu", "InUse", "true");
		ck_property(root, DMAR1, "Iommu", "InUse", "false");
		give_back(claim.lease);
	}
	ck_assert_uint_eq(announced(DMAR0), 60);
	{
		/* It is in use all the time: the others are no news. */
		_cleanup_claim_ struct claim held = acquire(alice, .devices = { BARE });

		ck_claimed(held);
		/* Neither is another container for what it has. */
		for (int i = 0; i < 3; i++) {
			struct taken taken = {};
			int fd = -EBADF;

			ck_assert_str_eq(get_fds(alice, held.lease, &fd), "");
			take(fd, &taken);
			ck_assert_uint_gt(taken.n, 1);
			taken_done(&taken);
			ck_property(root, DMAR0, "Iommu", "Leases", "1");
		}
		for (int i = 0; i < 19; i++) {
			_cleanup_claim_ struct claim claim =
				acquire(alice, .devices = { NIC_A, NIC_B, ADMIN });

			ck_claimed(claim);
			ck_property(root, DMAR0, "Iommu", "Leases", "2");
			give_back(claim.lease);
			ck_property(root, DMAR0, "Iommu", "Leases", "1");
		}
		ck_assert_uint_eq(announced(DMAR0), 61);
		give_back(held.lease);
	}
	ck_assert_uint_eq(announced(DMAR0), 62);
	ck_assert_uint_eq(announced(DMAR1), 0);
	ck_assert_uint_eq(watch_count(watch, "changed " DMAR0 ": InUse"), 62);
	ck_property(root, DMAR0, "Iommu", "Leases", "0");
}
END_TEST

START_TEST(failed_claim)
{
	_cleanup_claim_ struct claim claim = { .handoff = -EBADF };

	mock_fail(bed.host, "PROBE", NIC, EIO, 1);
	claim = acquire(alice, .devices = { NIC });
	ck_refused(claim, "DriverFailed");
	UNTIL(property_is(root, DMAR0, "Iommu", "Leases", "0"));
	ck_assert_uint_eq(announced(DMAR0) % 2, 0);
	ck_property(root, DMAR0, "Iommu", "InUse", "false");
}
END_TEST

START_TEST(refused_claim)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { DISK });

	ck_refused(claim, "DeviceInUse");
	ck_assert_uint_eq(announced(DMAR0), 0);
}
END_TEST

/* A lease that drains, and one that failed, is a use. */
START_TEST(until_it_is_home)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });

	ck_claimed(claim);
	mock_hold(bed.host, NIC, true);
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(property_is(root, claim.lease, "Lease", "State", "draining"));
	ck_property(root, DMAR0, "Iommu", "Leases", "1");
	/* The first one only waits for the unbind's end. */
	mock_fail_after(bed.host, "PROBE", NIC, EIO, 1);
	mock_hold(bed.host, NIC, false);
	UNTIL(property_is(root, claim.lease, "Lease", "State", "failed"));
	ck_property(root, DMAR0, "Iommu", "Leases", "1");
	ck_assert_uint_eq(announced(DMAR0), 1);
	ck_assert_str_eq(call_error(root, claim.lease, "Lease", "Restore", NULL), "");
	UNTIL(lease_gone(root, claim.lease));
	ck_assert_uint_eq(announced(DMAR0), 2);
}
END_TEST

/* Growing over to another IOMMU, and back. */
START_TEST(grow_and_shrink)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });

	ck_claimed(claim);
	ck_assert_str_eq(change(claim.lease, "AddDevices", VF_A), "");
	ck_property(root, DMAR1, "Iommu", "Leases", "1");
	/* The part that was prepared is not counted besides. */
	ck_assert_str_eq(change(claim.lease, "AddDevices", BARE), "");
	ck_property(root, DMAR0, "Iommu", "Leases", "1");
	ck_assert_uint_eq(announced(DMAR1), 1);
	ck_assert_uint_eq(announced(DMAR0), 1);
	mock_hold(bed.host, VF_A, true);
	ck_assert_str_eq(change(claim.lease, "RemoveDevices", VF_A), "");
	/* The part that drains uses it still. */
	ck_property(root, DMAR1, "Iommu", "Leases", "1");
	mock_hold(bed.host, VF_A, false);
	UNTIL(property_is(root, DMAR1, "Iommu", "InUse", "false"));
	ck_assert_uint_eq(announced(DMAR1), 2);
	ck_assert_uint_eq(announced(DMAR0), 1);
	give_back(claim.lease);
	ck_assert_uint_eq(announced(DMAR0), 2);
	ck_assert_uint_eq(announced(DMAR1), 2);
}
END_TEST

START_TEST(over_a_restart)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC }, .persist = true);

	ck_claimed(claim);
	watch = watch_free(watch);
	client_free(root);
	client_free(alice);
	daemon_kill();
	daemon_start();
	alice = client_new(ALICE);
	root = client_new(0);
	watch = watch_new(0);
	ck_property(root, DMAR0, "Iommu", "Leases", "1");
	ck_property(root, DMAR0, "Iommu", "InUse", "true");
	ck_assert_str_eq(release(root, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	ck_assert_uint_eq(announced(DMAR0), 1);
}
END_TEST

/* ---- what they can do */

START_TEST(capabilities)
{
	static const char *const parts[] = {
		"cap: d2008c40660462",
		"address-bits: 39",
		"domains: 256",
		"page-selective-invalidation: true",
		"caching-mode: false",
		"table-levels: [4]",
		"page-sizes: [4096, 2097152, 1073741824]",
		"translation: page-tables",
	};
	_cleanup_free_ char *text = property(root, DMAR0, "Iommu", "Capabilities");

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		ck_assert_msg(strstr(text, parts[i]) != NULL, "no %s in %s", parts[i], text);
	ck_assert_msg(!strstr(text, "unknown"), "%s", text);
	ck_assert_msg(!strstr(text, "coherent"), "not told by cap alone: %s", text);

	mock_iommu_add(bed.host, "dmar9", NULL);
	UNTIL(watch_count(watch, "added /org/vfiod1/iommu/dmar9"));
	tree_write(bed.host->fd, "ffffffffffffffff\n",
		   "sys/devices/virtual/iommu/dmar9/intel-iommu/cap");
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Rescan", NULL), "");
	{
		_cleanup_free_ char *all =
			property(root, "/org/vfiod1/iommu/dmar9", "Iommu", "Capabilities");

		ck_assert_msg(strstr(all, "unknown: [cap: 0x60000700080f107]") != NULL, "%s", all);
	}
}
END_TEST

START_TEST(identity)
{
	mock_group_set(bed.host, 3, "identity", "0x0 0xfff direct\n", NULL);
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Rescan", NULL), "");
	ck_property(root, "/org/vfiod1/group/3", "Group", "Identity", "true");
	ck_property(root, "/org/vfiod1/group/3", "Group", "ReservedRegions", "[(0, 4095, direct)]");
	ck_property(root, "/org/vfiod1/group/2", "Group", "Identity", "false");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("iommu");
	TCase *tcase = tcase_create("iommu");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 180);
	tcase_add_test(tcase, fifty_leases);
	tcase_add_test(tcase, failed_claim);
	tcase_add_test(tcase, refused_claim);
	tcase_add_test(tcase, until_it_is_home);
	tcase_add_test(tcase, grow_and_shrink);
	tcase_add_test(tcase, over_a_restart);
	tcase_add_test(tcase, capabilities);
	tcase_add_test(tcase, identity);
	suite_add_tcase(suite, tcase);
	return bed_main(suite, false);
}
