/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * While a physical function or one of its VFs is leased, sriov_drivers_autoprobe of it is 0,
 * however many leases share it, and in the end it is what it was.
 */

#include "tests/bus/client.h"

#include <stdio.h>

#define NEW_VF "0000:08:10.4"

static struct client *alice, *bob, *root;

static void start(void)
{
	bed_start();
	alice = client_new(ALICE);
	bob = client_new(BOB);
	root = client_new(geteuid());
}

static void stop(void)
{
	client_free(alice);
	client_free(bob);
	client_free(root);
	ck_assert(!daemon_said("Sanitizer"));
	bed_stop();
}

static bool switch_is(const char *value)
{
	_cleanup_free_ char *path = mk_device_path(bed.host->fd, "pci", PF);
	_cleanup_free_ char *now = tree_read(bed.host->fd, "%s/sriov_drivers_autoprobe", path);

	return streq0(now, value);
}

static void set_switch(const char *value)
{
	_cleanup_free_ char *path = mk_device_path(bed.host->fd, "pci", PF);

	tree_write(bed.host->fd, value, "%s/sriov_drivers_autoprobe", path);
}

static bool is_on(const char *device, const char *driver)
{
	_cleanup_free_ char *d = host_driver(device), *o = host_override(device);

	return streq(d, driver) && streq(o, "");
}

static size_t count_of(const char *line)
{
	_cleanup_free_ char *log = tree_read(bed.host->fd, "log");
	size_t n = 0;

	for (const char *l = log; l && *l; l = strchrnul(l, '\n'), l += *l == '\n')
		n += strncmp(l, line, strlen(line)) == 0;
	return n;
}

static void end_lease(struct client *client, const struct claim *claim)
{
	ck_assert_str_eq(release(client, claim->lease), "");
	UNTIL(lease_gone(root, claim->lease));
}

static struct claim claim_vf(struct client *client, const char *vf, const char *name)
{
	struct claim claim = acquire(client, .devices = { vf }, .name = name, .mode = "cdev");

	ck_claimed(claim);
	ck_assert(switch_is("0"));
	return claim;
}

static void make_new_vf(void)
{
	mock_pci_add(bed.host, NEW_VF, .vendor = 0x8086, .device = 0x10ca, .class_code = 0x020000,
		     .group = 30, .iommu = "dmar1", .physfn = PF, .numa_node = -1);
	mk_first_probe(bed.host->fd, "pci", NEW_VF);
}

START_TEST(one_vf)
{
	_cleanup_claim_ struct claim claim = claim_vf(alice, VF_A, NULL);

	/* The kernel gives no driver to what is made now. */
	make_new_vf();
	ck_assert(is_on(NEW_VF, ""));
	ck_assert(is_on(VF_B, "igbvf") && is_on(PF, "igb"));
	end_lease(alice, &claim);
	ck_assert(switch_is("1"));
	ck_assert(is_on(VF_A, "igbvf"));
	/* Once there, once back. */
	ck_assert_uint_eq(count_of("STORE " PF "/sriov_drivers_autoprobe"), 2);
}
END_TEST

START_TEST(shared)
{
	_cleanup_claim_ struct claim one = claim_vf(alice, VF_A, NULL);
	_cleanup_claim_ struct claim two = claim_vf(bob, VF_B, NULL);

	if (_i < 2) {
		end_lease(_i ? alice : bob, _i ? &one : &two);
		ck_assert(switch_is("0"));
		end_lease(_i ? bob : alice, _i ? &two : &one);
	} else {
		/* Both at once: one of them is the last. */
		struct pending *a = call_start(alice, one.lease, "Lease", "Release", NULL);
		struct pending *b = call_start(bob, two.lease, "Lease", "Release", NULL);

		sd_bus_message_unref(call_wait(a));
		sd_bus_message_unref(call_wait(b));
		UNTIL(lease_gone(root, one.lease) && lease_gone(root, two.lease));
	}
	ck_assert(switch_is("1"));
	ck_assert(is_on(VF_A, "igbvf") && is_on(VF_B, "igbvf"));
}
END_TEST

START_TEST(the_function_itself)
{
	_cleanup_claim_ struct claim claim = { 0 };

	mock_device_remove(bed.host, "pci", VF_A);
	mock_device_remove(bed.host, "pci", VF_B);
	UNTIL(call_error(root, VFIOD_ROOT, "Manager", "FindDevice", "s", VF_B)[0]);
	claim = claim_vf(alice, PF, NULL);
	make_new_vf();
	ck_assert(is_on(NEW_VF, ""));
	mock_device_remove(bed.host, "pci", NEW_VF);
	end_lease(alice, &claim);
	ck_assert(switch_is("1"));
	ck_assert(is_on(PF, "igb"));
}
END_TEST

START_TEST(off_by_will)
{
	_cleanup_claim_ struct claim one = { 0 }, two = { 0 };

	set_switch("0\n");
	one = claim_vf(alice, VF_A, NULL);
	two = claim_vf(bob, VF_B, NULL);
	end_lease(alice, &one);
	end_lease(bob, &two);
	ck_assert(switch_is("0"));
	ck_assert_uint_eq(count_of("STORE " PF "/sriov_drivers_autoprobe"), 0);
}
END_TEST

START_TEST(cannot_switch_off)
{
	_cleanup_free_ char *before = host_picture(), *after = NULL;
	_cleanup_claim_ struct claim claim = { 0 }, again = { 0 };

	mock_fail(bed.host, "STORE", "sriov_drivers_autoprobe", _i ? 0 : EIO, 1);
	claim = acquire(alice, .devices = { VF_A }, .mode = "cdev");
	ck_refused(claim, "DriverFailed");
	ck_assert(switch_is("1"));
	ck_assert_uint_eq(count_of("UNBIND " VF_A), 0);
	UNTIL((free(after), after = host_picture(), streq(before, after)));
	again = claim_vf(alice, VF_A, NULL);
	end_lease(alice, &again);
	ck_assert(switch_is("1"));
}
END_TEST

START_TEST(cannot_give_back)
{
	_cleanup_claim_ struct claim claim = claim_vf(alice, VF_A, NULL);

	mock_fail(bed.host, "STORE", "sriov_drivers_autoprobe", EIO, 1);
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(property_is(root, claim.lease, "Lease", "State", "failed"));
	/* Its device is none the worse. */
	ck_assert(is_on(VF_A, "igbvf"));
	ck_assert(daemon_said("VFS_BACK"));
	{
		/* Others may have the rest of the function meanwhile. */
		_cleanup_claim_ struct claim other = claim_vf(bob, VF_B, NULL);

		end_lease(bob, &other);
		ck_assert(switch_is("1"));
	}
	ck_assert_str_eq(call_error(root, claim.lease, "Lease", "Restore", NULL), "");
	UNTIL(lease_gone(root, claim.lease));
	ck_assert(switch_is("1"));
}
END_TEST

START_TEST(a_claim_waits)
{
	_cleanup_claim_ struct claim one = claim_vf(alice, VF_A, NULL), two = { 0 };

	/* While one is giving it back, another needs it. */
	tree_write(bed.host->fd, "1500\n", "slow/STORE/sriov_drivers_autoprobe");
	ck_assert_str_eq(release(alice, one.lease), "");
	UNTIL(property_is(root, one.lease, "Lease", "State", "restoring"));
	two = acquire(bob, .devices = { VF_B }, .mode = "cdev");
	ck_claimed(two);
	ck_assert(switch_is("0"));
	UNTIL(lease_gone(root, one.lease));
	bed_sleep(200000);
	ck_assert(switch_is("0"));
	end_lease(bob, &two);
	ck_assert(switch_is("1"));
}
END_TEST

START_TEST(a_claim_that_waits_ends)
{
	_cleanup_claim_ struct claim one = claim_vf(alice, VF_A, NULL);
	struct pending *pending;

	tree_write(bed.host->fd, "1500\n", "slow/STORE/sriov_drivers_autoprobe");
	ck_assert_str_eq(release(alice, one.lease), "");
	UNTIL(property_is(root, one.lease, "Lease", "State", "restoring"));
	pending = acquire_start(bob, &(struct ask){ .devices = { VF_B }, .name = "waits" });
	UNTIL(streq(call_error(bob, VFIOD_ROOT, "Manager", "FindLease", "s", "waits"), ""));
	pending = call_drop(pending);
	bob = client_free(bob);
	UNTIL(lease_gone(root, one.lease));
	UNTIL(!streq(call_error(root, VFIOD_ROOT, "Manager", "FindLease", "s", "waits"), ""));
	UNTIL(switch_is("1") && is_on(VF_B, "igbvf"));
}
END_TEST

START_TEST(the_short_way)
{
	size_t n = 0;

	/* Reserved at boot. */
	ck_assert_int_eq(mk_unbind(bed.host->fd, "pci", "igbvf", VF_B), 0);
	ck_assert_int_eq(mk_override(bed.host->fd, "pci", VF_B, "vfio-pci"), 0);
	ck_assert_int_eq(mk_probe(bed.host->fd, "pci", VF_B), 0);
	for (int i = 0; i < 3; i++) {
		_cleanup_claim_ struct claim claim = claim_vf(alice, VF_B, NULL);

		if (i == 1)
			n = count_of("UNBOUND " VF_B);
		end_lease(alice, &claim);
		ck_assert(switch_is("1"));
	}
	/* Each release cycles it once; the claims do not. */
	ck_assert_uint_eq(count_of("UNBOUND " VF_B), n + 2);
}
END_TEST

START_TEST(in_and_out)
{
	_cleanup_claim_ struct claim claim = claim_vf(alice, VF_A, "vm");

	ck_assert_str_eq(
		call_error(alice, claim.lease, "Lease", "AddDevices", "asa{sv}", 1, VF_B, 0), "");
	ck_assert_str_eq(call_error(alice, claim.lease, "Lease", "RemoveDevices", "as", 1, VF_A),
			 "");
	UNTIL(is_on(VF_A, "igbvf"));
	bed_sleep(200000);
	ck_assert(switch_is("0"));
	end_lease(alice, &claim);
	ck_assert(switch_is("1"));
	ck_assert(is_on(VF_B, "igbvf"));
}
END_TEST

START_TEST(across_a_crash)
{
	struct ask ask = { .devices = { VF_A }, .persist = true, .mode = "cdev" };
	_cleanup_claim_ struct claim claim = acquire_ask(alice, &ask);

	ck_claimed(claim);
	daemon_kill();
	ck_assert(switch_is("0"));
	daemon_start();
	UNTIL(property_is(root, claim.lease, "Lease", "State", "leased"));
	{
		_cleanup_claim_ struct claim other = claim_vf(bob, VF_B, NULL);

		end_lease(bob, &other);
	}
	ck_assert(switch_is("0"));
	end_lease(root, &claim);
	ck_assert(switch_is("1"));
}
END_TEST

START_TEST(the_function_goes)
{
	_cleanup_claim_ struct claim claim = claim_vf(alice, VF_A, NULL);

	mock_device_remove(bed.host, "pci", VF_A);
	mock_device_remove(bed.host, "pci", VF_B);
	mock_device_remove(bed.host, "pci", PF);
	end_lease(alice, &claim);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vf-switch");

	bed_test(suite, start, stop, one_vf, 1);
	bed_test(suite, start, stop, shared, 3);
	bed_test(suite, start, stop, the_function_itself, 1);
	bed_test(suite, start, stop, off_by_will, 1);
	bed_test(suite, start, stop, cannot_switch_off, 2);
	bed_test(suite, start, stop, cannot_give_back, 1);
	bed_test(suite, start, stop, a_claim_waits, 1);
	bed_test(suite, start, stop, a_claim_that_waits_ends, 1);
	bed_test(suite, start, stop, the_short_way, 1);
	bed_test(suite, start, stop, in_and_out, 1);
	bed_test(suite, start, stop, across_a_crash, 1);
	bed_test(suite, start, stop, the_function_goes, 1);
	return bed_main(suite, true);
}
