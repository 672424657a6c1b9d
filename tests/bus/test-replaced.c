/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What comes to the address of a leased device, or to its group, just when the lease changes or
 * ends: it is shut off like any other, nobody gets it for the one that was there, and nobody waits
 * for it for ever.
 */

#include "tests/bus/change.h"

#define COMER "0000:02:03.0"

static struct client *alice, *root;

static void set_up(void)
{
	bed_start();
	alice = client_new(ALICE);
	root = client_new(0);
}

static void tear_down(void)
{
	alice = client_free(alice);
	root = client_free(root);
	bed_stop();
}

static void come(const char *name, const char *driver)
{
	mock_pci_add(bed.host, name, .vendor = 0x8086, .device = 0x100e, .class_code = 0x020000,
		     .group = 2, .iommu = "dmar0", .driver = driver, .numa_node = -1);
}

static bool is_shut(const char *device)
{
	_cleanup_free_ char *driver = host_driver(device), *override = host_override(device);

	return streq(driver, "") && streq(override, "none");
}

/* A withheld device is on its way to the owner, and the card is another one suddenly. */
START_TEST(added_one_is_replaced)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B }, .mode = "group",
			.persist = true);
	struct pending *pending;
	const char *error;
	int fd;

	ck_claimed(claim);
	slow("PROBE", NIC_B, 700);
	pending = add_start(alice, claim.lease, LIST(NIC_B), NULL);
	UNTIL(host_did("OVERRIDE " NIC_B " vfio-pci"));
	mock_device_remove(bed.host, "pci", NIC_B);
	come(NIC_B, _i ? "e1000" : NULL);
	error = add_wait(pending, &fd);
	ck_assert_msg(streq(error, "GroupChanged") || streq(error, "DriverFailed"), "\"%s\"",
		      error);
	slow("PROBE", NIC_B, 0);
	UNTIL(state_is(root, NIC_B, "fenced") && is_shut(NIC_B));
	ck_property(root, claim.lease, "Lease", "State", "leased");
	/* The change is over: another one is refused for its own reason. */
	UNTIL(!streq(error = take_away(alice, claim.lease, LIST(NIC_A)), "GroupBusy"));
	ck_assert_str_eq(error, "BadOption");
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	ck_driver(NIC_A, "e1000");
	ck_driver(NIC_B, "e1000");
	ck_override(NIC_B, "");
}
END_TEST

/* One that cannot be shut off is tried no more when all else of the lease can go home. */
START_TEST(fence_fails_at_the_end)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B });

	ck_claimed(claim);
	slow("UNBIND", COMER, 1000);
	mock_fail(bed.host, "UNBIND", COMER, EIO, 0);
	come(COMER, "e1000");
	UNTIL(host_did("OVERRIDE " COMER " none"));
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	ck_driver(NIC_A, "e1000");
	ck_driver(NIC_B, "e1000");
	ck_driver(COMER, "e1000");
	ck_override(COMER, "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("replaced");

	bed_test(suite, set_up, tear_down, added_one_is_replaced, 2);
	bed_test(suite, set_up, tear_down, fence_fails_at_the_end, 1);
	return bed_main(suite, true);
}
