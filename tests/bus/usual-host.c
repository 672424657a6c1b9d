/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of usual-host.h. */

#include "tests/bus/bed.h"

static const struct mock_pci e1000 = {
	.vendor = 0x8086,
	.device = 0x100e,
	.class_code = 0x020000,
	.iommu = "dmar0",
	.driver = "e1000",
	.numa_node = -1,
};
static const struct mock_pci e1000e = {
	.vendor = 0x8086,
	.device = 0x10d3,
	.class_code = 0x020000,
	.iommu = "dmar0",
	.driver = "e1000e",
	.numa_node = 0,
	.reset = "flr bus",
};

static void add(struct mock_host *host, const char *name, struct mock_pci pci, int group)
{
	pci.group = group;
	mock_pci_add_full(host, name, &pci);
}

static void drivers(struct mock_host *host)
{
	mock_drivers_add_usual(host);
	mock_driver_add(host, "pci", "e1000e", "id 8086:10d3\n");
	mock_driver_add(host, "pci", "e1000", "id 8086:100e\n");
	mock_driver_add(host, "pci", "shpchp", "class 0604\n");
	mock_driver_add(host, "pci", "nvme", "class 0108\n");
	mock_driver_add(host, "pci", "igb", "id 8086:10c9\n");
	mock_driver_add(host, "pci", "igbvf", "id 8086:10ca\n");
}

static void nics(struct mock_host *host)
{
	struct mock_pci admin = e1000e;

	add(host, NIC_A, e1000, 2);
	add(host, NIC_B, e1000, 2);
	add(host, NIC, e1000e, 3);
	admin.override = "e1000e";
	add(host, ADMIN, admin, 7);
	mock_net_add(host, NIC, "eth0", 2);
	mock_net_add(host, NIC_A, "eth1", 3);
	mock_net_add(host, NIC_B, "eth2", 4);
	mock_net_add(host, ADMIN, "eth3", 5);
}

static void sriov(struct mock_host *host)
{
	mock_pci_add(host, PF, .vendor = 0x8086, .device = 0x10c9, .class_code = 0x020000,
		     .group = 8, .iommu = "dmar1", .driver = "igb", .numa_node = -1);
	mock_net_add(host, PF, "eth4", 6);
	mock_pci_add(host, VF_A, .vendor = 0x8086, .device = 0x10ca, .class_code = 0x020000,
		     .group = 9, .iommu = "dmar1", .driver = "igbvf", .physfn = PF,
		     .numa_node = -1);
	mock_pci_add(host, VF_B, .vendor = 0x8086, .device = 0x10ca, .class_code = 0x020000,
		     .group = 10, .iommu = "dmar1", .driver = "igbvf", .physfn = PF,
		     .numa_node = -1);
	mock_net_add(host, VF_A, "eth5", 7);
	mock_net_add(host, VF_B, "eth6", 8);
}

static void others(struct mock_host *host)
{
	_cleanup_free_ char *disk = NULL;

	mock_pci_add(host, DISK, .vendor = 0x144d, .device = 0xa808, .class_code = 0x010802,
		     .group = 4, .iommu = "dmar0", .driver = "nvme", .numa_node = -1);
	mock_block_add(host, DISK, "sda", "8:0");
	mock_block_busy(host, "sda", true);
	disk = tree_link_path(host->fd, "sys/class/block/sda");
	tree_write(host->fd, "253:0\n", "sys/devices/virtual/block/dm-0/dev");
	tree_link(host->fd, "sys/class/block", "sys/devices/virtual/block/dm-0/subsystem");
	tree_link(host->fd, "sys/devices/virtual/block/dm-0", "%s/holders/dm-0", disk);
	mock_pci_add(host, BRIDGE, .vendor = 0x8086, .device = 0x244e, .class_code = 0x060400,
		     .group = 5, .iommu = "dmar0", .driver = "shpchp", .numa_node = -1);
	mock_pci_add(host, BEHIND, .vendor = 0x8086, .device = 0x100e, .class_code = 0x020000,
		     .group = 5, .iommu = "dmar0", .driver = "e1000", .numa_node = -1,
		     .parent = "pci0000:00/" BRIDGE);
	mock_net_add(host, BEHIND, "eth7", 9);
	for (int i = 0; i < 2; i++)
		mock_pci_add(host, i ? VFIO_B : VFIO_A, .vendor = 0x10de, .device = 0x1eb8,
			     .class_code = 0x030200, .group = 6, .iommu = "dmar0",
			     .driver = "vfio-pci", .override = "vfio-pci", .numa_node = -1);
	mock_pci_add(host, BARE, .vendor = 0x1af4, .device = 0x1050, .group = 11, .iommu = "dmar0",
		     .numa_node = -1);
	mock_pci_add(host, ALONE, .vendor = 0x1af4, .device = 0x1051, .numa_node = -1);
	mock_device_add(host, "platform", PLATFORM, NULL, 12, "dmar0");
}

void usual_host(struct mock_host *host)
{
	/* Loaded already: no service manager to ask. */
	tree_mkdir(host->fd, "sys/module/vfio_iommu_type1");
	mock_real_proc(host);
	mock_iommu_add(host, "dmar0", "intel-iommu");
	mock_iommu_add(host, "dmar1", "intel-iommu");
	drivers(host);
	nics(host);
	sriov(host);
	others(host);
}

char *usual_policy(void)
{
	static const char rule[] = "  \"devices\": [ { \"address\": \"*\" } ],\n"
				   "  \"allow\": [\"acquire\", \"withhold\", \"persist\"],\n"
				   "  \"modes\": [\"cdev\", \"group\", \"node\"],\n"
				   "  \"consent\": { \"drivers\": [\"e1000*\", \"igb*\", \"nvme\", "
				   "\"shpchp\", \"vfio-pci\"] },\n"
				   "  \"memlock\": \"1G\"";

	return mock_asprintf(
		"{ \"version\": 1,\n"
		"\"pools\": {\n"
		"  \"pair\": { \"devices\": [ { \"group\": [2] } ] },\n"
		"  \"none\": { \"devices\": [ { \"address\": \"ffff:*\" } ] } },\n"
		"\"rules\": [\n"
		"{ \"id\": \"alice\", \"subjects\": [ { \"users\": [%u] } ],\n%s },\n"
		"{ \"id\": \"bob\", \"subjects\": [ { \"users\": [%u] } ],\n%s },\n"
		"{ \"id\": \"root\", \"subjects\": [ { \"users\": [0] } ],\n"
		"  \"devices\": [ { \"address\": \"*\" } ],\n"
		"  \"allow\": [\"acquire\", \"withhold\", \"persist\", \"delegate\"],\n"
		"  \"modes\": [\"cdev\", \"group\", \"node\"],\n"
		"  \"consent\": { \"drivers\": [\"*\"] }, \"memlock\": \"1G\" }\n"
		"] }\n",
		ALICE, rule, BOB, rule);
}
