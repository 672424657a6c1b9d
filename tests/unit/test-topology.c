/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a change to the topology is, and that groups come and go with their members. */

#include "policy/topology.h"

#include <check.h>
#include <stdio.h>

static struct topology t;

static void setup(void)
{
	topology_init(&t);
}

static void teardown(void)
{
	topology_done(&t);
}

static struct device *make(const char *name, uint32_t group)
{
	struct device *device = device_new(name, "pci");

	ck_assert_ptr_nonnull(device);
	device->group_id = group;
	device->vendor = 0x8086;
	device->product = 0x10d3;
	return device;
}

static int put(const char *name, uint32_t group, const char *driver)
{
	struct device *device = make(name, group);

	ck_assert_int_eq(free_and_strdup(&device->driver, driver), 0);
	return topology_put_device(&t, device);
}

/* Every pointer between devices and groups agrees, members are sorted, no group is empty. */
static void check_sane(void)
{
	size_t members = 0, grouped = 0;

	HASH_FOREACH (group, t.groups) {
		ck_assert_uint_gt(group->n_devices, 0);
		ck_assert_uint_gt(group->generation, 0);
		for (size_t i = 0; i < group->n_devices; i++) {
			ck_assert_ptr_eq(group->devices[i]->group, group);
			ck_assert_uint_eq(group->devices[i]->group_id, group->id);
			if (i > 0)
				ck_assert_str_lt(group->devices[i - 1]->name,
						 group->devices[i]->name);
		}
		members += group->n_devices;
	}
	HASH_FOREACH (device, t.devices) {
		ck_assert_uint_gt(device->identity, 0);
		ck_assert_ptr_eq(topology_device(&t, device->name), device);
		ck_assert(!device->group == (device->group_id == ID_UNKNOWN));
		if (device->group)
			grouped++;
	}
	ck_assert_uint_eq(members, grouped);
}

START_TEST(test_add_remove)
{
	struct group *group;

	ck_assert_int_eq(put("0000:00:02.0", 5, "e1000"), TOPOLOGY_ADDED);
	ck_assert_int_eq(put("0000:00:01.0", 5, NULL), TOPOLOGY_ADDED);
	ck_assert_int_eq(put("0000:00:03.0", ID_UNKNOWN, NULL), TOPOLOGY_ADDED);
	check_sane();
	group = topology_group(&t, 5);
	ck_assert_ptr_nonnull(group);
	ck_assert_uint_eq(group->n_devices, 2);
	ck_assert_str_eq(group->devices[0]->name, "0000:00:01.0");
	ck_assert_int_eq(group->kind, GROUP_IOMMU);
	ck_assert_ptr_null(topology_group(&t, 6));
	ck_assert_ptr_null(topology_device(&t, "0000:00:04.0"));

	ck_assert_int_eq(topology_remove_device(&t, "0000:00:01.0"), TOPOLOGY_REMOVED);
	ck_assert_int_eq(topology_remove_device(&t, "0000:00:01.0"), TOPOLOGY_SAME);
	check_sane();
	ck_assert_int_eq(topology_remove_device(&t, "0000:00:02.0"), TOPOLOGY_REMOVED);
	ck_assert_ptr_null(topology_group(&t, 5));
	ck_assert_int_eq(topology_remove_device(&t, "0000:00:03.0"), TOPOLOGY_REMOVED);
	check_sane();
}
END_TEST

START_TEST(test_generation)
{
	uint64_t first;

	put("a", 5, NULL);
	put("b", 5, NULL);
	first = topology_group(&t, 5)->generation;
	topology_remove_device(&t, "a");
	put("a", 5, NULL);
	ck_assert_uint_eq(topology_group(&t, 5)->generation, first);
	topology_remove_device(&t, "a");
	topology_remove_device(&t, "b");
	put("c", 5, NULL);
	ck_assert_uint_gt(topology_group(&t, 5)->generation, first);
}
END_TEST

START_TEST(test_same_and_changed)
{
	struct use_list uses = {};
	struct device *device;
	uint64_t identity;

	put("a", 5, "e1000");
	device = topology_device(&t, "a");
	identity = device->identity;
	ck_assert_int_eq(use_list_add(&uses, USE_NETWORK, "eth%d is up", 0), 0);
	ck_assert_int_eq(device_take_uses(device, &uses), TOPOLOGY_CHANGED);
	ck_assert_uint_eq(uses.n, 0);

	ck_assert_int_eq(put("a", 5, "e1000"), TOPOLOGY_SAME);
	ck_assert_int_eq(put("a", 5, "vfio-pci"), TOPOLOGY_CHANGED);
	ck_assert_int_eq(put("a", 5, NULL), TOPOLOGY_CHANGED);
	device = topology_device(&t, "a");
	ck_assert_ptr_null(device->driver);
	ck_assert_uint_eq(device->identity, identity);
	ck_assert_uint_eq(device->uses.n, 1);
	ck_assert_str_eq(device->uses.items[0].text, "eth0 is up");
	check_sane();
}
END_TEST

/* Each thing that is read of a device, when it changes alone, is a change. */
START_TEST(test_every_value)
{
	char **methods = NULL, **functions = NULL;

	ck_assert_int_eq(strv_extend(&methods, "flr"), 0);
	ck_assert_int_eq(strv_extend(&functions, "vf"), 0);
	put("a", 5, NULL);
#define CHANGE(statement)                                                       \
	do {                                                                    \
		struct device *d = make("a", 5);                                \
		statement;                                                      \
		ck_assert_int_eq(topology_put_device(&t, d), TOPOLOGY_CHANGED); \
		ck_assert_int_eq(put("a", 5, NULL), TOPOLOGY_CHANGED);          \
		ck_assert_int_eq(put("a", 5, NULL), TOPOLOGY_SAME);             \
		check_sane();                                                   \
	} while (0)
	CHANGE(d->class_code = 0x020000);
	CHANGE(d->numa_node = 1);
	CHANGE(d->bridge = true);
	CHANGE(d->driver = strdup("x"));
	CHANGE(d->model = strdup("x"));
	CHANGE(d->slot = strdup("x"));
	CHANGE(d->vfio_node = strdup("x"));
	CHANGE(d->vfio_driver = strdup("x"));
	CHANGE(d->iommu_name = strdup("x"));
	CHANGE(d->physical_function = strdup("x"));
	CHANGE(d->reset_methods = methods);
	CHANGE(d->virtual_functions = functions);
	CHANGE(d->group_id = 6);
	CHANGE(d->group_id = ID_UNKNOWN);
#undef CHANGE
}
END_TEST

/* Each thing that makes it another device gives it a new identity, and drops what was surveyed. */
START_TEST(test_every_identity)
{
	struct device *device;

	put("a", 5, NULL);
#define REPLACE(statement)                                                       \
	do {                                                                     \
		struct device *d = make("a", 5);                                 \
		struct use_list uses = {};                                       \
		uint64_t before, generation;                                     \
		device = topology_device(&t, "a");                               \
		ck_assert_int_eq(use_list_add(&uses, USE_BLOCK, "x"), 0);        \
		device_take_uses(device, &uses);                                 \
		before = device->identity;                                       \
		generation = device->group->generation;                          \
		statement;                                                       \
		ck_assert_int_eq(topology_put_device(&t, d), TOPOLOGY_REPLACED); \
		device = topology_device(&t, "a");                               \
		ck_assert_uint_gt(device->identity, before);                     \
		ck_assert_uint_gt(device->group->generation, generation);        \
		ck_assert_uint_eq(device->uses.n, 0);                            \
		ck_assert_int_eq(put("a", 5, NULL), TOPOLOGY_REPLACED);          \
		check_sane();                                                    \
	} while (0)
	REPLACE(d->vendor = 1);
	REPLACE(d->product = 1);
	REPLACE(d->subvendor = 1);
	REPLACE(d->subproduct = 1);
	REPLACE(free_and_strdup(&d->subsystem, "platform"));
	REPLACE(free_and_strdup(&d->syspath, "/sys/devices/other"));
	REPLACE(d->group_id = 9; d->vendor = 2);
#undef REPLACE
}
END_TEST

START_TEST(test_move_between_groups)
{
	put("a", 5, NULL);
	put("b", 5, NULL);
	ck_assert_int_eq(put("a", 6, NULL), TOPOLOGY_CHANGED);
	check_sane();
	ck_assert_uint_eq(topology_group(&t, 5)->n_devices, 1);
	ck_assert_uint_eq(topology_group(&t, 6)->n_devices, 1);
	ck_assert_int_eq(put("b", 6, NULL), TOPOLOGY_CHANGED);
	check_sane();
	ck_assert_ptr_null(topology_group(&t, 5));
	ck_assert_int_eq(put("b", ID_UNKNOWN, NULL), TOPOLOGY_CHANGED);
	ck_assert_int_eq(put("a", ID_UNKNOWN, NULL), TOPOLOGY_CHANGED);
	ck_assert_ptr_null(t.groups);
	check_sane();
}
END_TEST

static struct reserved_region *region(uint64_t start, uint64_t end, const char *type)
{
	struct reserved_region *regions = calloc(1, sizeof(*regions));

	*regions = (struct reserved_region){ .start = start, .end = end, .type = strdup(type) };
	return regions;
}

START_TEST(test_set_group)
{
	struct group *group;

	ck_assert_int_eq(topology_set_group(&t, 5, GROUP_IOMMU, "DMA", region(1, 2, "msi"), 1),
			 -ENOENT);
	put("a", 5, NULL);
	ck_assert_int_eq(topology_set_group(&t, 5, GROUP_IOMMU, "DMA", region(1, 2, "msi"), 1),
			 TOPOLOGY_CHANGED);
	ck_assert_int_eq(topology_set_group(&t, 5, GROUP_IOMMU, "DMA", region(1, 2, "msi"), 1),
			 TOPOLOGY_SAME);
	ck_assert_int_eq(topology_set_group(&t, 5, GROUP_IOMMU, "DMA", region(1, 3, "msi"), 1),
			 TOPOLOGY_CHANGED);
	ck_assert_int_eq(topology_set_group(&t, 5, GROUP_IOMMU, "DMA", region(1, 3, "direct"), 1),
			 TOPOLOGY_CHANGED);
	ck_assert_int_eq(topology_set_group(&t, 5, GROUP_IOMMU, "DMA", NULL, 0), TOPOLOGY_CHANGED);
	ck_assert_int_eq(topology_set_group(&t, 5, GROUP_NOIOMMU, "DMA", NULL, 0),
			 TOPOLOGY_CHANGED);
	ck_assert_int_eq(topology_set_group(&t, 5, GROUP_NOIOMMU, "identity", NULL, 0),
			 TOPOLOGY_CHANGED);
	group = topology_group(&t, 5);
	ck_assert_int_eq(group->kind, GROUP_NOIOMMU);
	ck_assert_str_eq(group->type, "identity");
	ck_assert_uint_eq(group->n_regions, 0);
}
END_TEST

START_TEST(test_iommu)
{
	ck_assert_int_eq(topology_put_iommu(&t, "dmar0", ""), TOPOLOGY_ADDED);
	ck_assert_int_eq(topology_put_iommu(&t, "dmar0", ""), TOPOLOGY_SAME);
	ck_assert_int_eq(topology_put_iommu(&t, "dmar0", "intel-iommu"), TOPOLOGY_CHANGED);
	ck_assert_str_eq(topology_iommu(&t, "dmar0")->driver, "intel-iommu");
	ck_assert_int_eq(topology_remove_iommu(&t, "dmar1"), TOPOLOGY_SAME);
	ck_assert_int_eq(topology_remove_iommu(&t, "dmar0"), TOPOLOGY_REMOVED);
	ck_assert_ptr_null(topology_iommu(&t, "dmar0"));
}
END_TEST

START_TEST(test_uses)
{
	struct use_list a = {}, b = {};
	struct device *device;

	put("a", 5, NULL);
	device = topology_device(&t, "a");
	use_list_add(&a, USE_BLOCK, "sda");
	use_list_add(&b, USE_BLOCK, "sda");
	ck_assert(use_list_equal(&a, &b));
	ck_assert_int_eq(device_take_uses(device, &a), TOPOLOGY_CHANGED);
	ck_assert_int_eq(device_take_uses(device, &b), TOPOLOGY_SAME);
	use_list_add(&b, USE_NODES, "sda");
	ck_assert(!use_list_equal(&device->uses, &b));
	ck_assert_int_eq(device_take_uses(device, &b), TOPOLOGY_CHANGED);
	ck_assert_int_eq(device_take_uses(device, &b), TOPOLOGY_CHANGED);
	ck_assert_uint_eq(device->uses.n, 0);
}
END_TEST

START_TEST(test_drivers)
{
	static const struct {
		const char *driver, *subsystem, *vfio_driver;
		bool counts, vfio;
	} cases[] = {
		{ NULL, "pci", "vfio-pci", false, false },
		{ NULL, "pci", NULL, false, false },
		{ "e1000e", "pci", "vfio-pci", true, false },
		{ "vfio-pci", "pci", "vfio-pci", false, true },
		{ "vfio-pci", "pci", "mlx5_vfio_pci", false, true },
		{ "mlx5_vfio_pci", "pci", "vfio-pci", false, true },
		{ "hisi_acc_vfio_pci", "pci", NULL, false, true },
		{ "site-special", "pci", "site-special", false, true },
		{ "vfio-platform", "platform", NULL, false, true },
		{ "pcieport", "pci", "vfio-pci", false, false },
		{ "pci-stub", "pci", "vfio-pci", false, false },
		{ "shpchp", "pci", NULL, true, false },
		{ "vfio", "pci", NULL, true, false },
		{ "my-vfio-pci-thing", "pci", NULL, true, false },
		{ "mtty", "mdev", NULL, false, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(device_freep) struct device *d = device_new("a", cases[i].subsystem);

		free_and_strdup(&d->driver, cases[i].driver);
		free_and_strdup(&d->vfio_driver, cases[i].vfio_driver);
		ck_assert_msg(driver_counts(d) == cases[i].counts, "%s", cases[i].driver);
		ck_assert_msg(device_on_vfio(d) == cases[i].vfio, "%s", cases[i].driver);
	}
}
END_TEST

START_TEST(test_tables)
{
	for (int i = 0; i < USE_MAX; i++)
		ck_assert_int_eq(use_kind_from_string(use_kind_to_string((enum use_kind)i)), i);
	for (int i = 0; i < GROUP_KIND_MAX; i++)
		ck_assert_int_eq(group_kind_from_string(group_kind_to_string((enum group_kind)i)),
				 i);
}
END_TEST

/* Thousands of random puts and removes: the pointers agree after each. */
START_TEST(test_storm)
{
	_cleanup_free_ struct device **sorted = NULL;
	static const char *const drivers[] = { NULL, "e1000", "vfio-pci" };
	size_t n;

	srandom(1);
	for (int i = 0; i < 4000; i++) {
		struct device *device;
		char name[16];
		long dice = random();

		snprintf(name, sizeof(name), "dev%02ld", dice % 40);
		if (dice / 64 % 4 == 0) {
			topology_remove_device(&t, name);
		} else {
			device = make(name,
				      dice / 256 % 8 ? (uint32_t)(dice / 256 % 8) : ID_UNKNOWN);
			if (dice / 4096 % 8 == 0)
				device->product = 1;
			free_and_strdup(&device->driver, drivers[dice / 65536 % 3]);
			ck_assert_int_ge(topology_put_device(&t, device), 0);
		}
		check_sane();
	}
	sorted = topology_devices_sorted(&t, &n);
	ck_assert_uint_eq(n, HASH_COUNT(t.devices));
	for (size_t i = 1; i < n; i++)
		ck_assert_str_lt(sorted[i - 1]->name, sorted[i]->name);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("topology");
	TCase *tc = tcase_create("topology");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_add_remove);
	tcase_add_test(tc, test_generation);
	tcase_add_test(tc, test_same_and_changed);
	tcase_add_test(tc, test_every_value);
	tcase_add_test(tc, test_every_identity);
	tcase_add_test(tc, test_move_between_groups);
	tcase_add_test(tc, test_set_group);
	tcase_add_test(tc, test_iommu);
	tcase_add_test(tc, test_uses);
	tcase_add_test(tc, test_drivers);
	tcase_add_test(tc, test_tables);
	tcase_add_test(tc, test_storm);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
