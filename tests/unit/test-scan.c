/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From a mocked sysfs to a topology: what is read, what is announced, and sysfs at its worst. */

#include "daemon/sysfs/scan.h"
#include "tests/mock/mock-host.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static struct mock_host *mock;
static struct host host;
static struct topology topology;
static struct scanner scanner;
static char **changes;

static void changed(enum topology_object object, const char *name, uint32_t group,
		    enum topology_change change, void *userdata)
{
	static const char *const objects[] = { "iommu", "group", "device" };
	static const char *const what[] = {
		[TOPOLOGY_SAME] = "same",	  [TOPOLOGY_ADDED] = "added",
		[TOPOLOGY_CHANGED] = "changed",	  [TOPOLOGY_REMOVED] = "removed",
		[TOPOLOGY_REPLACED] = "replaced",
	};
	int r = object == OBJECT_GROUP
			? strv_extendf(&changes, "group %u %s", group, what[change])
			: strv_extendf(&changes, "%s %s %s", objects[object], name, what[change]);

	ck_assert_int_eq(r, 0);
	/* It is told after the topology has it. */
	if (object == OBJECT_DEVICE)
		ck_assert((topology_device(&topology, name) != NULL) ==
			  (change != TOPOLOGY_REMOVED));
	else if (object == OBJECT_GROUP)
		ck_assert((topology_group(&topology, group) != NULL) ==
			  (change != TOPOLOGY_REMOVED));
}

static void setup(void)
{
	mock = mock_host_new();
	mock_drivers_add_usual(mock);
	mock_driver_add(mock, "pci", "e1000e", "id 8086:10d3\n");
	mock_host_open(mock, &host);
	topology_init(&topology);
	scanner = (struct scanner){ .host = &host, .topology = &topology, .changed = changed };
	changes = NULL;
}

static void teardown(void)
{
	scanner_done(&scanner);
	topology_done(&topology);
	host_close(&host);
	changes = strv_free(changes);
	mock = mock_host_free(mock);
}

/* The changes since the last time, and forgets them. */
static void expect(const char *want)
{
	_cleanup_free_ char *got = strv_join(changes, ", ");

	ck_assert_str_eq(got, want);
	changes = strv_free(changes);
}

static void forget(void)
{
	changes = strv_free(changes);
}

static struct device *device(const char *name)
{
	struct device *d = topology_device(&topology, name);

	ck_assert_msg(d != NULL, "no %s", name);
	return d;
}

static void add_nic(const char *name, int group)
{
	mock_pci_add(mock, name, .vendor = 0x8086, .device = 0x10d3, .subvendor = 0x8086,
		     .subdevice = 0xa01f, .class_code = 0x020000, .group = group,
		     .iommu = group ? "dmar0" : NULL, .driver = "e1000e", .numa_node = 1,
		     .reset = "flr bus");
}

START_TEST(everything)
{
	struct device *d;
	struct group *g;

	mock_iommu_add(mock, "dmar0", "intel-iommu");
	add_nic("0000:03:00.0", 9);
	tree_write(mock->fd, "0000:03:00\n", "sys/bus/pci/slots/5-1/address");
	ck_assert_int_eq(scan_all(&scanner), 0);
	expect("iommu dmar0 added, group 9 added, device 0000:03:00.0 added, group 9 changed");

	d = device("0000:03:00.0");
	ck_assert_str_eq(d->subsystem, "pci");
	ck_assert_str_eq(d->syspath, "/sys/devices/pci0000:00/0000:03:00.0");
	ck_assert_uint_eq(d->vendor, 0x8086);
	ck_assert_uint_eq(d->product, 0x10d3);
	ck_assert_uint_eq(d->subvendor, 0x8086);
	ck_assert_uint_eq(d->subproduct, 0xa01f);
	ck_assert_uint_eq(d->class_code, 0x020000);
	ck_assert_str_eq(d->driver, "e1000e");
	ck_assert_str_eq(d->slot, "5-1");
	ck_assert_str_eq(d->vfio_driver, "vfio-pci");
	ck_assert_ptr_null(d->vfio_node);
	ck_assert_int_eq(d->numa_node, 1);
	ck_assert_uint_eq(strv_length(d->reset_methods), 2);
	ck_assert_str_eq(d->reset_methods[0], "flr");
	ck_assert_uint_eq(d->group_id, 9);
	ck_assert_str_eq(d->iommu_name, "dmar0");
	ck_assert(!d->bridge);
	ck_assert_uint_gt(d->identity, 0);

	g = topology_group(&topology, 9);
	ck_assert_int_eq(g->kind, GROUP_IOMMU);
	ck_assert_str_eq(g->type, "DMA-FQ");
	ck_assert_uint_eq(g->n_regions, 1);
	ck_assert_uint_eq(g->regions[0].start, 0xfee00000);
	ck_assert_uint_eq(g->regions[0].end, 0xfeefffff);
	ck_assert_str_eq(g->regions[0].type, "msi");
	ck_assert_str_eq(topology_iommu(&topology, "dmar0")->driver, "intel-iommu");

	/* The same again is no news. */
	ck_assert_int_eq(scan_all(&scanner), 0);
	expect("");
	ck_assert_int_eq(scan_one(&scanner, "pci", "0000:03:00.0"), 0);
	expect("");
}
END_TEST

START_TEST(iommu_drivers)
{
	static const char *const names[][3] = {
		{ "dmar0", "intel-iommu", "intel-iommu" },
		{ "ivhd0", "amd-iommu", "amd-iommu" },
		{ "smmu3.0x09050000", NULL, "arm-smmu-v3" },
		{ "smmu.0x5000000", NULL, "arm-smmu" },
		{ "strange", NULL, "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		mock_iommu_add(mock, names[i][0], names[i][1]);
	/* virtio-iommu is named after its PCI device, which says its driver. */
	mock_driver_add(mock, "pci", "virtio-pci", "");
	mock_pci_add(mock, "0000:00:02.0", .vendor = 0x1af4, .device = 0x1057, .numa_node = -1,
		     .driver = "virtio-pci");
	mock_iommu_add(mock, "0000:00:02.0", NULL);
	tree_link(mock->fd, "sys/devices/pci0000:00/0000:00:02.0",
		  "sys/devices/virtual/iommu/0000:00:02.0/device");
	ck_assert_int_eq(scan_all(&scanner), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		ck_assert_str_eq(topology_iommu(&topology, names[i][0])->driver, names[i][2]);
	ck_assert_str_eq(topology_iommu(&topology, "0000:00:02.0")->driver, "virtio-pci");
	forget();
	tree_remove(mock->fd, "sys/class/iommu/dmar0");
	ck_assert_int_eq(scan_one(&scanner, "iommu", "dmar0"), 0);
	expect("iommu dmar0 removed");
	tree_remove(mock->fd, "sys/class/iommu/ivhd0");
	ck_assert_int_eq(scan_all(&scanner), 0);
	expect("iommu ivhd0 removed");
}
END_TEST

START_TEST(bridge_and_variant)
{
	mock_alias_add(mock, "pci:v*d*sv*sd*bc*sc*i*", "decoy");
	mock_alias_add(mock, "vfio_pci:v*d*sv*sd*bc*sc*i*", "vfio_pci");
	mock_alias_add(mock, "vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i*", "mlx5_vfio_pci");
	mock_alias_add(mock, "vfio_pci:v000015B3d*sv*sd*bc*sc*i*", "less_vfio_pci");
	mock_alias_add(mock, "vfio_pci:bad[", "bad/name");
	tree_write_bytes(mock->fd,
			 "vfio_pci.alias=vfio_pci:v*d*sv*sd*bc*sc*i*\0x\0other_vfio_pci.alias="
			 "vfio_pci:v0000177Dd0000A030sv*sd*bc*sc*i*\0trailing",
			 116, "modules/modules.builtin.modinfo");
	mock_pci_add(mock, "0000:00:1c.0", .vendor = 0x8086, .device = 0x9d10,
		     .class_code = 0x060400, .group = 3, .numa_node = -1);
	mock_pci_add(mock, "0000:01:00.0", .vendor = 0x15b3, .device = 0x101e,
		     .class_code = 0x020000, .group = 4, .numa_node = -1);
	mock_pci_add(mock, "0000:02:00.0", .vendor = 0x8086, .device = 0x1, .group = 5,
		     .class_code = 0x020000, .numa_node = -1);
	mock_pci_add(mock, "0000:03:00.0", .vendor = 0x177d, .device = 0xa030, .group = 6,
		     .numa_node = -1);
	mock_pci_add(mock, "0000:04:00.0", .vendor = 0x104c, .device = 0xac56,
		     .class_code = 0x060700, .numa_node = -1);
	ck_assert_int_eq(scan_all(&scanner), 0);
	ck_assert(device("0000:00:1c.0")->bridge);
	ck_assert_ptr_null(device("0000:00:1c.0")->vfio_driver);
	ck_assert(device("0000:04:00.0")->bridge);
	ck_assert_str_eq(device("0000:01:00.0")->vfio_driver, "mlx5_vfio_pci");
	ck_assert_str_eq(device("0000:02:00.0")->vfio_driver, "vfio-pci");
	ck_assert_str_eq(device("0000:03:00.0")->vfio_driver, "other_vfio_pci");
	/* PCI devices are there without a group too. */
	ck_assert_uint_eq(device("0000:04:00.0")->group_id, ID_UNKNOWN);
}
END_TEST

START_TEST(other_buses)
{
	mock_iommu_add(mock, "smmu3.0x09050000", NULL);
	mock_device_add(mock, "platform", "fff51000.ethernet", "platform", 7, "smmu3.0x09050000");
	mock_device_add(mock, "platform", "lonely", "platform", 0, NULL);
	mock_pci_add(mock, "0000:00:02.0", .vendor = 0x8086, .device = 0x5912, .numa_node = -1);
	mock_device_add(mock, "mdev", "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001",
			"pci0000:00/0000:00:02.0", 12, NULL);
	mock_group_set(mock, 12, "unmanaged", "", "vfio-noiommu");
	mock_pci_add(mock, "0000:05:00.0", .vendor = 0x1af4, .device = 0x1000, .group = 13,
		     .numa_node = -1);
	mock_group_set(mock, 13, "unmanaged", "", "vfio-noiommu");
	/* Only the name "vfio-noiommu", in a group that has an IOMMU, means nothing. */
	mock_group_set(mock, 7, "DMA", "", "vfio-noiommu");
	ck_assert_int_eq(scan_all(&scanner), 0);
	ck_assert_str_eq(device("fff51000.ethernet")->subsystem, "platform");
	ck_assert_uint_eq(device("fff51000.ethernet")->vendor, ID_UNKNOWN);
	ck_assert_str_eq(device("fff51000.ethernet")->vfio_driver, "vfio-platform");
	ck_assert_ptr_null(topology_device(&topology, "lonely"));
	ck_assert_int_eq(topology_group(&topology, 12)->kind, GROUP_EMULATED);
	ck_assert_int_eq(topology_group(&topology, 13)->kind, GROUP_NOIOMMU);
	ck_assert_int_eq(topology_group(&topology, 7)->kind, GROUP_IOMMU);
	forget();
	ck_assert_int_eq(scan_one(&scanner, "platform", "lonely"), 0);
	expect("");
	mock_device_remove(mock, "mdev", "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001");
	ck_assert_int_eq(scan_one(&scanner, "mdev", "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"), 0);
	expect("device 83b8f4f2-509f-382f-3c1e-e6bfe0fa1001 removed, group 12 removed");
}
END_TEST

START_TEST(virtual_functions)
{
	mock_pci_add(mock, "0000:03:00.0", .vendor = 0x8086, .device = 0x10c9, .group = 1,
		     .numa_node = -1);
	ck_assert_int_eq(scan_all(&scanner), 0);
	forget();
	mock_pci_add(mock, "0000:03:10.2", .vendor = 0x8086, .device = 0x10ca, .group = 3,
		     .physfn = "0000:03:00.0", .numa_node = -1);
	mock_pci_add(mock, "0000:03:10.0", .vendor = 0x8086, .device = 0x10ca, .group = 2,
		     .physfn = "0000:03:00.0", .numa_node = -1);
	/* The PF is read again with each VF, for it gets no event. */
	ck_assert_int_eq(scan_one(&scanner, "pci", "0000:03:10.0"), 0);
	expect("group 2 added, device 0000:03:10.0 added, device 0000:03:00.0 changed, "
	       "group 2 changed");
	ck_assert_str_eq(device("0000:03:10.0")->physical_function, "0000:03:00.0");
	ck_assert_uint_eq(strv_length(device("0000:03:00.0")->virtual_functions), 2);
	ck_assert_str_eq(device("0000:03:00.0")->virtual_functions[0], "0000:03:10.0");
	ck_assert_str_eq(device("0000:03:00.0")->virtual_functions[1], "0000:03:10.2");
	mock_device_remove(mock, "pci", "0000:03:10.0");
	ck_assert_int_eq(scan_removed(&scanner, "pci", "0000:03:10.0"), 0);
	expect("device 0000:03:10.0 removed, group 2 removed, device 0000:03:00.0 changed");
	ck_assert_uint_eq(strv_length(device("0000:03:00.0")->virtual_functions), 1);
}
END_TEST

/* A VF whose links come after its event is found when the PF is announced. */
START_TEST(late_links)
{
	const char *const vf = "sys/devices/pci0000:00/0000:03:10.0";
	const char *const pf = "sys/devices/pci0000:00/0000:03:00.0";

	mock_pci_add(mock, "0000:03:00.0", .vendor = 0x8086, .device = 0x10c9, .group = 1,
		     .numa_node = -1);
	mock_pci_add(mock, "0000:03:10.0", .vendor = 0x8086, .device = 0x10ca, .group = 2,
		     .numa_node = -1);
	ck_assert_int_eq(scan_all(&scanner), 0);
	forget();
	tree_link(mock->fd, pf, "%s/physfn", vf);
	tree_link(mock->fd, vf, "%s/virtfn0", pf);
	tree_write(mock->fd, "8\n", "%s/sriov_totalvfs", pf);
	ck_assert_int_eq(scan_one(&scanner, "pci", "0000:03:00.0"), 0);
	expect("device 0000:03:00.0 changed, device 0000:03:10.0 changed");
	ck_assert_str_eq(device("0000:03:10.0")->physical_function, "0000:03:00.0");
	/* A number of VFs that is none leaves none. */
	tree_write(mock->fd, "many\n", "%s/sriov_totalvfs", pf);
	ck_assert_int_eq(scan_one(&scanner, "pci", "0000:03:00.0"), 0);
	expect("device 0000:03:00.0 changed");
	ck_assert_ptr_null(device("0000:03:00.0")->virtual_functions);
}
END_TEST

START_TEST(drivers_come_and_go)
{
	mock_iommu_add(mock, "dmar0", "intel-iommu");
	add_nic("0000:03:00.0", 9);
	add_nic("0000:03:00.1", 9);
	ck_assert_int_eq(scan_all(&scanner), 0);
	forget();
	ck_assert_int_eq(mk_unbind(mock->fd, "pci", "e1000e", "0000:03:00.0"), 0);
	ck_assert_int_eq(scan_one(&scanner, "pci", "0000:03:00.0"), 0);
	expect("device 0000:03:00.0 changed");
	ck_assert_ptr_null(device("0000:03:00.0")->driver);
	ck_assert_int_eq(mk_bind(mock->fd, "pci", "0000:03:00.0", "vfio-pci"), 0);
	ck_assert_int_eq(scan_one(&scanner, "pci", "0000:03:00.0"), 0);
	expect("device 0000:03:00.0 changed");
	ck_assert_str_eq(device("0000:03:00.0")->driver, "vfio-pci");
	ck_assert_str_eq(device("0000:03:00.0")->vfio_node, "vfio0");
	mock_device_remove(mock, "pci", "0000:03:00.1");
	ck_assert_int_eq(scan_one(&scanner, "pci", "0000:03:00.1"), 0);
	expect("device 0000:03:00.1 removed, group 9 changed");
}
END_TEST

START_TEST(another_at_the_same_place)
{
	uint64_t identity;

	add_nic("0000:03:00.0", 9);
	ck_assert_int_eq(scan_all(&scanner), 0);
	identity = device("0000:03:00.0")->identity;
	forget();
	/* All the same, but the kernel said "remove". */
	ck_assert_int_eq(scan_removed(&scanner, "pci", "0000:03:00.0"), 0);
	expect("device 0000:03:00.0 removed, group 9 removed, group 9 added, "
	       "device 0000:03:00.0 added, group 9 changed");
	ck_assert_uint_ne(device("0000:03:00.0")->identity, identity);
	identity = device("0000:03:00.0")->identity;
	/* Nobody said so, but it is another directory. */
	tree_rename(mock->fd, "sys/devices/pci0000:00/0000:03:00.0", "gone");
	add_nic("0000:03:00.0", 9);
	ck_assert_int_eq(scan_all(&scanner), 0);
	ck_assert_uint_ne(device("0000:03:00.0")->identity, identity);
	forget();
	/* Other ids at the same place. */
	identity = device("0000:03:00.0")->identity;
	tree_write(mock->fd, "0x10fb\n", "sys/devices/pci0000:00/0000:03:00.0/device");
	ck_assert_int_eq(scan_one(&scanner, "pci", "0000:03:00.0"), 0);
	expect("group 9 replaced, device 0000:03:00.0 replaced, group 9 changed");
	ck_assert_uint_ne(device("0000:03:00.0")->identity, identity);
}
END_TEST

START_TEST(renumbered_groups)
{
	for (int i = 0; i < 4; i++) {
		_cleanup_free_ char *name = mock_asprintf("0000:03:00.%d", i);

		add_nic(name, i + 1);
	}
	ck_assert_int_eq(scan_all(&scanner), 0);
	forget();
	/* Everybody moves on by one, the last to the first. */
	for (int i = 0; i < 4; i++) {
		_cleanup_free_ char *name = mock_asprintf("0000:03:00.%d", i);

		mock_device_regroup(mock, "pci", name, i == 3 ? 1 : i + 2);
	}
	ck_assert_int_eq(scan_all(&scanner), 0);
	for (int i = 0; i < 4; i++) {
		_cleanup_free_ char *name = mock_asprintf("0000:03:00.%d", i);
		struct device *d = device(name);

		ck_assert_uint_eq(d->group_id, i == 3 ? 1 : (uint32_t)i + 2);
		ck_assert_uint_eq(d->group->n_devices, 1);
		ck_assert_ptr_eq(d->group->devices[0], d);
	}
	ck_assert_uint_eq(HASH_COUNT(topology.groups), 4);
}
END_TEST

/* Whatever an attribute holds, the answer is a value or "unknown". */
START_TEST(garbage)
{
	static const char *const attrs[] = {
		"vendor",	   "device",	     "subsystem_vendor", "subsystem_device",
		"class",	   "numa_node",	     "reset_method",	 "modalias",
		"driver_override", "sriov_totalvfs",
	};
	static char big[10001];
	const char *const contents[] = {
		"",	     "\n",	"\n\n\n",      "garbage",   "0x",
		"0x1ffff\n", "-5\n",	"99999999999", "\033[",	    "\xff\xff\xff",
		"0x8086 0",  "0x80 86", big,	       "../../etc",
	};

	memset(big, 'A', sizeof(big) - 1);
	mock_iommu_add(mock, "dmar0", "intel-iommu");
	for (size_t a = 0; a < ARRAY_SIZE(attrs); a++) {
		for (size_t c = 0; c < ARRAY_SIZE(contents); c++) {
			struct device *d;

			add_nic("0000:03:00.0", 9);
			tree_write(mock->fd, contents[c], "sys/devices/pci0000:00/0000:03:00.0/%s",
				   attrs[a]);
			ck_assert_int_eq(scan_all(&scanner), 0);
			d = device("0000:03:00.0");
			if (a == 0)
				ck_assert_uint_eq(d->vendor, ID_UNKNOWN);
			if (a == 4 && c != 5)
				ck_assert_uint_eq(d->class_code, ID_UNKNOWN);
			if (a == 5)
				ck_assert_int_eq(d->numa_node, -1);
			STRV_FOREACH (method, d->reset_methods)
				ck_assert_uint_lt(strlen(*method), 16);
			ck_assert_str_eq(d->vfio_driver, "vfio-pci");
			mock_device_remove(mock, "pci", "0000:03:00.0");
		}
	}
	ck_assert_int_eq(scan_all(&scanner), 0);
	ck_assert_uint_eq(HASH_COUNT(topology.devices), 0);
	ck_assert_uint_eq(HASH_COUNT(topology.groups), 0);
}
END_TEST

START_TEST(garbage_regions)
{
	static const char *const bad[] = {
		"0x1 0x0 msi\n",
		"0x0 msi\n",
		"0x0 0x1 msi extra\n",
		"zero 0x1 msi\n",
		"0x0 0x11111111111111111 msi\n",
		"0x0 0x1\n",
		"0x0 0x1 direct\n0x2 0x3\n",
		"\001\n",
		"0x0 0x1 msi\n\n0x5 0x4 direct\n",
	};

	add_nic("0000:03:00.0", 9);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		mock_group_set(mock, 9, "DMA", bad[i], NULL);
		ck_assert_int_eq(scan_all(&scanner), 0);
		ck_assert_uint_eq(topology_group(&topology, 9)->n_regions, 0);
		mock_group_set(mock, 9, "DMA", "0x0 0xffffffffffffffff reserved\n", NULL);
		ck_assert_int_eq(scan_group(&scanner, 9), 0);
		ck_assert_uint_eq(topology_group(&topology, 9)->n_regions, 1);
		ck_assert_uint_eq(topology_group(&topology, 9)->regions[0].end, UINT64_MAX);
	}
	mock_group_set(mock, 9, "two words", "", NULL);
	ck_assert_int_eq(scan_group(&scanner, 9), 0);
	ck_assert_str_eq(topology_group(&topology, 9)->type, "");
	ck_assert_int_eq(scan_group(&scanner, 4711), 0);
}
END_TEST

/* Links that lead in circles, out of sysfs, or nowhere; groups and devices of strange names. */
START_TEST(broken_links)
{
	const int fd = mock->fd;

	add_nic("0000:03:00.0", 9);
	symlinkat("0000:ff:00.0", fd, "sys/bus/pci/devices/0000:ff:00.0");
	symlinkat("../../../../../../../etc", fd, "sys/bus/pci/devices/0000:ff:00.1");
	symlinkat("../../../devices/nowhere", fd, "sys/bus/pci/devices/0000:ff:00.2");
	symlinkat("/etc", fd, "sys/bus/pci/devices/0000:ff:00.3");
	symlinkat("x", fd, "sys/bus/pci/devices/bad name");
	symlinkat("x", fd, "sys/bus/pci/devices/bad\nname");
	tree_write(fd, "", "sys/bus/pci/devices/0000:ff:00.4");
	tree_mkdir(fd, "sys/kernel/iommu_groups/abc/devices/x");
	tree_mkdir(fd, "sys/kernel/iommu_groups/99999999999/devices/x");
	tree_mkdir(fd, "sys/kernel/iommu_groups/11/devices/no-subsystem");
	tree_write(fd, "", "sys/kernel/iommu_groups/12");
	tree_link(fd, "sys/kernel/iommu_groups/nine",
		  "sys/devices/pci0000:00/0000:03:00.0/iommu_group");
	ck_assert_int_eq(scan_all(&scanner), 0);
	ck_assert_uint_eq(HASH_COUNT(topology.devices), 1);
	ck_assert_uint_eq(device("0000:03:00.0")->group_id, ID_UNKNOWN);
	ck_assert_uint_eq(HASH_COUNT(topology.groups), 0);
	/* A driver link into a circle is no driver. */
	tree_remove(fd, "sys/devices/pci0000:00/0000:03:00.0/driver");
	tree_write(fd, "x", "sys/devices/pci0000:00/0000:03:00.0/driver");
	ck_assert_int_eq(scan_one(&scanner, "pci", "0000:03:00.0"), 0);
	ck_assert_ptr_null(device("0000:03:00.0")->driver);
	ck_assert_int_eq(scan_one(&scanner, "pci", "../../../etc"), 0);
	ck_assert_int_eq(scan_one(&scanner, "..", "x"), 0);
	ck_assert_int_eq(scan_one(&scanner, "", ""), 0);
	ck_assert_uint_eq(HASH_COUNT(topology.devices), 1);
}
END_TEST

START_TEST(nothing_there)
{
	tree_remove(mock->fd, "sys/bus");
	tree_remove(mock->fd, "sys/class");
	tree_remove(mock->fd, "sys/kernel/iommu_groups");
	ck_assert_int_eq(scan_all(&scanner), 0);
	ck_assert_uint_eq(HASH_COUNT(topology.devices), 0);
	ck_assert_int_eq(scan_one(&scanner, "pci", "0000:00:00.0"), 0);
}
END_TEST

/* Devices are added and torn down by another process while they are scanned. */
START_TEST(vanishing)
{
	const char *victim = "sys/devices/pci0000:00/0000:03:00.0";
	pid_t pid;
	size_t seen = 0;

	mock_iommu_add(mock, "dmar0", "intel-iommu");
	add_nic("0000:04:00.0", 10);
	pid = fork();
	if (pid == 0) {
		for (;;) {
			add_nic("0000:03:00.0", 9);
			mock_device_remove(mock, "pci", "0000:03:00.0");
		}
	}
	ck_assert_int_gt(pid, 0);
	for (int i = 0; i < 3000; i++) {
		struct device *d;

		ck_assert_int_eq(i % 2 == 0 ? scan_all(&scanner)
					    : scan_one(&scanner, "pci", "0000:03:00.0"),
				 0);
		d = topology_device(&topology, "0000:03:00.0");
		/* Never half: the link of the bus comes last and goes first. */
		if (d) {
			seen++;
			ck_assert_uint_eq(d->vendor, 0x8086);
			ck_assert_uint_eq(d->product, 0x10d3);
		}
		ck_assert_ptr_nonnull(topology_device(&topology, "0000:04:00.0"));
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	tree_remove(mock->fd, "sys/bus/pci/devices/0000:03:00.0");
	tree_remove(mock->fd, "%s", victim);
	tree_remove(mock->fd, "sys/kernel/iommu_groups/9");
	ck_assert_int_eq(scan_all(&scanner), 0);
	ck_assert_uint_eq(HASH_COUNT(topology.devices), 1);
	printf("vanishing device seen whole in %zu of 3000 scans\n", seen);
	forget();
}
END_TEST

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

START_TEST(many)
{
	double begin;

	mock_iommu_add(mock, "dmar0", "intel-iommu");
	for (int i = 0; i < 5000; i++) {
		_cleanup_free_ char *name = mock_asprintf("%04x:%02x:%02x.%x", i >> 12,
							  i >> 4 & 0xff, i >> 3 & 1, i & 7);

		mock_pci_add(mock, name, .vendor = 0x8086, .device = (unsigned int)i & 0xfff,
			     .group = i / 2 + 1, .iommu = "dmar0", .numa_node = 0, .reset = "flr");
	}
	begin = now();
	ck_assert_int_eq(scan_all(&scanner), 0);
	printf("5000 devices: first scan %.0f ms, ", (now() - begin) * 1000);
	ck_assert_uint_eq(HASH_COUNT(topology.devices), 5000);
	ck_assert_uint_eq(HASH_COUNT(topology.groups), 2500);
	forget();
	begin = now();
	ck_assert_int_eq(scan_all(&scanner), 0);
	printf("second %.0f ms\n", (now() - begin) * 1000);
	expect("");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("scan");
	TCase *tc = tcase_create("scan");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, everything);
	tcase_add_test(tc, iommu_drivers);
	tcase_add_test(tc, bridge_and_variant);
	tcase_add_test(tc, other_buses);
	tcase_add_test(tc, virtual_functions);
	tcase_add_test(tc, late_links);
	tcase_add_test(tc, drivers_come_and_go);
	tcase_add_test(tc, another_at_the_same_place);
	tcase_add_test(tc, renumbered_groups);
	tcase_add_test(tc, garbage);
	tcase_add_test(tc, garbage_regions);
	tcase_add_test(tc, broken_links);
	tcase_add_test(tc, nothing_there);
	tcase_add_test(tc, vanishing);
	tcase_add_test(tc, many);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
