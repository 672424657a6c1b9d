/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Object paths: daemon/bus/path.h. That two names never share one is tried at length. */

#include "daemon/bus/path.h"

#include <check.h>
#include <stdio.h>
#include <systemd/sd-bus.h>

static const struct {
	const char *subsystem, *name, *path;
} devices[] = {
	{ "pci", "0000:02:01.0", VFIOD_PATH_DEVICE "/pci_0000_02_01_0" },
	{ "pci", "ffff:ff:1f.7", VFIOD_PATH_DEVICE "/pci_ffff_ff_1f_7" },
	{ "pci", "10000:e1:00.0", VFIOD_PATH_DEVICE "/pci_10000_e1_00_0" },
	{ "platform", "0000:02:01.0", VFIOD_PATH_DEVICE "/_30000_3a02_3a01_2e0" },
	{ "platform", "pci_0000_02_01_0", VFIOD_PATH_DEVICE "/pci_5f0000_5f02_5f01_5f0" },
	{ "platform", "fff51000.ethernet", VFIOD_PATH_DEVICE "/fff51000_2eethernet" },
	{ "mdev", "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001",
	  VFIOD_PATH_DEVICE "/_383b8f4f2_2d509f_2d382f_2d3c1e_2de6bfe0fa1001" },
	/* Almost PCI addresses: not the kernel's spelling. */
	{ "pci", "0000:02:01.8", VFIOD_PATH_DEVICE "/_30000_3a02_3a01_2e8" },
	{ "pci", "0000:02:21.0", VFIOD_PATH_DEVICE "/_30000_3a02_3a21_2e0" },
	{ "pci", "0000:0A:01.0", VFIOD_PATH_DEVICE "/_30000_3a0A_3a01_2e0" },
	{ "pci", "00000:02:01.0", VFIOD_PATH_DEVICE "/_300000_3a02_3a01_2e0" },
	{ "pci", "0000:02:01", VFIOD_PATH_DEVICE "/_30000_3a02_3a01" },
	{ "pci", "000:002:01.0", VFIOD_PATH_DEVICE "/_3000_3a002_3a01_2e0" },
	{ "pci", "\xc3\xa4", VFIOD_PATH_DEVICE "/_c3_a4" },
};

START_TEST(test_device)
{
	_cleanup_free_ char *path = NULL, *name = NULL;
	bool pci;

	ck_assert_int_eq(path_device(devices[_i].subsystem, devices[_i].name, &path), 0);
	ck_assert_str_eq(path, devices[_i].path);
	ck_assert(sd_bus_object_path_is_valid(path));
	ck_assert_int_eq(path_device_decode(path, &name, &pci), 0);
	ck_assert_str_eq(name, devices[_i].name);
	ck_assert_int_eq(pci, streq(devices[_i].subsystem, "pci") &&
				      pci_address_valid(devices[_i].name));
}
END_TEST

START_TEST(test_device_refused)
{
	static const char *const wrong[] = {
		"",
		"/",
		"pci_0000_02_01_0",
		VFIOD_PATH_DEVICE,
		VFIOD_PATH_DEVICE "/",
		VFIOD_PATH_DEVICE "pci_0000_02_01_0",
		VFIOD_PATH_DEVICE "/pci_0000_02_01_0/",
		VFIOD_PATH_DEVICE "/pci_0000_02_01_0/x",
		VFIOD_PATH_DEVICE "/pci_0000_02_01_8",
		VFIOD_PATH_DEVICE "/pci_0000_02_01_00",
		VFIOD_PATH_DEVICE "/pci_0000_02_31_0",
		VFIOD_PATH_DEVICE "/pci_00000_02_01_0",
		VFIOD_PATH_DEVICE "/pci_000_02_01_0",
		VFIOD_PATH_DEVICE "/pci_123456789_02_01_0",
		VFIOD_PATH_DEVICE "/pci_000A_02_01_0",
		/* Another spelling of the same bytes, a NUL, and what is no path. */
		VFIOD_PATH_DEVICE "/_61bc",
		VFIOD_PATH_DEVICE "/a_2E",
		VFIOD_PATH_DEVICE "/a_00b",
		VFIOD_PATH_DEVICE "/a_2",
		VFIOD_PATH_DEVICE "/a_zz",
		VFIOD_PATH_DEVICE "/_",
		VFIOD_PATH_DEVICE "/..",
		VFIOD_PATH_DEVICE "/a b",
		VFIOD_PATH_LEASE "/0123456789abcdef",
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		char *name = NULL;

		ck_assert_msg(path_device_decode(wrong[i], &name, NULL) == 1, "%s", wrong[i]);
		ck_assert_ptr_null(name);
	}
	ck_assert_int_eq(path_device("platform", "", &(char *){ NULL }), -EINVAL);
}
END_TEST

/*
 * No encoded name is a PCI path: random names made of just what PCI paths are made of, PCI paths
 * themselves, and those with one character replaced.
 */
START_TEST(test_never_shared)
{
	static const char alphabet[] = "_0a2:.";
	unsigned int seed = 4711;

	for (int round = 0; round < 60000; round++) {
		_cleanup_free_ char *path = NULL, *back = NULL;
		char buffer[24];
		size_t n = 0;
		bool pci;

		if (round % 2 == 0) {
			n = (size_t)snprintf(buffer, sizeof(buffer), "pci_%04x_%02x_%02x_%x",
					     rand_r(&seed) & 0xffff, rand_r(&seed) & 0xff,
					     rand_r(&seed) & 0x1f, rand_r(&seed) & 7);
			if (round % 4 == 0)
				buffer[(size_t)rand_r(&seed) % n] =
					alphabet[(size_t)rand_r(&seed) % (sizeof(alphabet) - 1)];
		} else {
			n = 1 + (size_t)rand_r(&seed) % 14;
			for (size_t i = 0; i < n; i++)
				buffer[i] =
					alphabet[(size_t)rand_r(&seed) % (sizeof(alphabet) - 1)];
			buffer[n] = '\0';
		}
		ck_assert_int_eq(path_device("platform", buffer, &path), 0);
		ck_assert_int_eq(path_device_decode(path, &back, &pci), 0);
		ck_assert_str_eq(back, buffer);
		ck_assert_msg(!pci, "%s is shared", path);
	}
}
END_TEST

START_TEST(test_group)
{
	_cleanup_free_ char *path = NULL;
	uint32_t id;

	ck_assert_int_eq(path_group(UINT32_MAX, &path), 0);
	ck_assert_str_eq(path, VFIOD_PATH_GROUP "/4294967295");
	ck_assert_int_eq(path_group_decode(path, &id), 0);
	ck_assert_uint_eq(id, UINT32_MAX);
	ck_assert_int_eq(path_group_decode(VFIOD_PATH_GROUP "/0", &id), 0);
	ck_assert_uint_eq(id, 0);
	ck_assert_int_eq(path_group_decode(VFIOD_PATH_GROUP "/4294967296", &id), 1);
	ck_assert_int_eq(path_group_decode(VFIOD_PATH_GROUP "/00", &id), 1);
	ck_assert_int_eq(path_group_decode(VFIOD_PATH_GROUP "/-1", &id), 1);
	ck_assert_int_eq(path_group_decode(VFIOD_PATH_GROUP "/+1", &id), 1);
	ck_assert_int_eq(path_group_decode(VFIOD_PATH_GROUP "/1a", &id), 1);
	ck_assert_int_eq(path_group_decode(VFIOD_PATH_GROUP "/", &id), 1);
	ck_assert_int_eq(path_group_decode(VFIOD_PATH_DEVICE "/1", &id), 1);
	ck_assert_int_eq(path_group_decode(VFIOD_PATH_GROUP "/99999999999999999999", &id), 1);
}
END_TEST

START_TEST(test_iommu)
{
	_cleanup_free_ char *path = NULL, *smmu = NULL, *name = NULL;

	ck_assert_int_eq(path_iommu("dmar0", &path), 0);
	ck_assert_str_eq(path, VFIOD_PATH_IOMMU "/dmar0");
	ck_assert_int_eq(path_iommu("smmu3.0x2b400000", &smmu), 0);
	ck_assert_str_eq(smmu, VFIOD_PATH_IOMMU "/smmu3_2e0x2b400000");
	ck_assert_int_eq(path_iommu_decode(smmu, &name), 0);
	ck_assert_str_eq(name, "smmu3.0x2b400000");
	ck_assert_int_eq(path_iommu("", &(char *){ NULL }), -EINVAL);
	ck_assert_int_eq(path_iommu_decode(VFIOD_PATH_IOMMU, &(char *){ NULL }), 1);
}
END_TEST

START_TEST(test_lease)
{
	_cleanup_free_ char *path = NULL, *id = NULL;

	ck_assert_int_eq(path_lease("0123456789abcdef", &path), 0);
	ck_assert_str_eq(path, VFIOD_PATH_LEASE "/0123456789abcdef");
	ck_assert_int_eq(path_lease_decode(path, &id), 0);
	ck_assert_str_eq(id, "0123456789abcdef");
	ck_assert_int_eq(path_lease("0123456789ABCDEF", &(char *){ NULL }), -EINVAL);
	ck_assert_int_eq(path_lease("0123456789abcde", &(char *){ NULL }), -EINVAL);
	ck_assert_int_eq(path_lease("../../etc/passwd", &(char *){ NULL }), -EINVAL);
	ck_assert_int_eq(path_lease_decode(VFIOD_PATH_LEASE "/0123456789abcdeg", &(char *){ NULL }),
			 1);
	ck_assert_int_eq(path_lease_decode(VFIOD_PATH_LEASE "/", &(char *){ NULL }), 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("path");
	TCase *tcase = tcase_create("path");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, test_device, 0, ARRAY_SIZE(devices));
	tcase_add_test(tcase, test_device_refused);
	tcase_add_test(tcase, test_never_shared);
	tcase_add_test(tcase, test_group);
	tcase_add_test(tcase, test_iommu);
	tcase_add_test(tcase, test_lease);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
