/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes the graph of a made-up host with as many devices as the argument says: four IOMMUs, root
 * ports with switches, pairs and single devices, leases, resets, and labels that hurt.
 */

#include "client/ctl/graph.h"
#include "client/ctl/term.h"

#include <locale.h>

#define DEVICE "/org/vfiod1/device/pci_0000_%02x_00_%x"

static void add_string(json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key, json_object_new_string(value));
}

static void add_paths(json_object *object, const char *key, char *const *paths)
{
	json_object *array = json_object_new_array();

	STRV_FOREACH (path, paths)
		json_object_array_add(array, json_object_new_string(*path));
	json_object_object_add(object, key, array);
}

static json_object *add_object(struct picture *picture, const char *path, const char *interface)
{
	json_object *interfaces = json_object_new_object(), *object = json_object_new_object();

	json_object_object_add(picture->objects, path, interfaces);
	json_object_object_add(interfaces, interface, object);
	add_string(object, "Path", path);
	return object;
}

static void add_device(struct picture *picture, int i, const char *parent)
{
	char path[64], name[32], group[64];
	json_object *device;

	snprintf(path, sizeof(path), DEVICE, i / 2, i % 2);
	snprintf(name, sizeof(name), "0000:%02x:00.%x", i / 2, i % 2);
	snprintf(group, sizeof(group), "/org/vfiod1/group/%d", i / 2);
	device = add_object(picture, path, IFACE_DEVICE);
	add_string(device, "Name", name);
	add_string(device, "Subsystem", "pci");
	add_string(device, "Driver", i % 3 ? "nvme" : "vfio-pci");
	add_string(device, "State", i % 3 ? "host" : "granted");
	add_string(device, "Group", group);
	add_string(device, "Parent", parent);
	add_string(device, "Health", i % 17 ? "ok" : "failed");
	add_string(device, "Model",
		   i == 5 ? "a \"model\" with \\ and \033[31m in it"
			  : "NVMe SSD Controller PM9A1/PM9A3/980PRO with a long name");
	json_object_object_add(device, "NumaNode", json_object_new_int(i % 4));
}

static void add_group(struct picture *picture, int i, int n)
{
	_cleanup_strv_ char **devices = NULL;
	char path[64], iommu[64];
	json_object *group;

	for (int k = 2 * i; k < 2 * i + 2 && k < n; k++)
		strv_extendf(&devices, DEVICE, k / 2, k % 2);
	snprintf(path, sizeof(path), "/org/vfiod1/group/%d", i);
	snprintf(iommu, sizeof(iommu), "/org/vfiod1/iommu/dmar%d", i % 4);
	group = add_object(picture, path, IFACE_GROUP);
	json_object_object_add(group, "Id", json_object_new_int(i));
	add_string(group, "State", i % 3 ? "host" : "leased");
	add_string(group, "Iommu", iommu);
	add_string(group, "Lease", i % 3 ? "/" : "/org/vfiod1/lease/1");
	add_paths(group, "Devices", devices);
}

static void add_lease(struct picture *picture, int number, int n)
{
	_cleanup_strv_ char **devices = NULL;
	char path[64];
	json_object *lease;

	for (int k = number * 12; k < number * 12 + 6 && k < n; k++)
		strv_extendf(&devices, DEVICE, k / 2, k % 2);
	snprintf(path, sizeof(path), "/org/vfiod1/lease/%d", number);
	lease = add_object(picture, path, IFACE_LEASE);
	json_object_object_add(lease, "Owner", json_object_new_int(0));
	add_string(lease, "Name", number ? "vm" : "vm \"0\" \\");
	add_string(lease, "Mode", "cdev");
	add_string(lease, "State", "leased");
	add_paths(lease, "Devices", devices);
}

static void add_iommu(struct picture *picture, int i)
{
	char path[64], name[16];
	json_object *iommu;

	snprintf(name, sizeof(name), "dmar%d", i);
	snprintf(path, sizeof(path), "/org/vfiod1/iommu/%s", name);
	iommu = add_object(picture, path, IFACE_IOMMU);
	add_string(iommu, "Name", name);
	add_string(iommu, "Driver", "intel-iommu");
}

static void add_domain(json_object *domains, int from, int to)
{
	_cleanup_strv_ char **devices = NULL;
	char key[32];

	for (int i = from; i < to; i++)
		strv_extendf(&devices, DEVICE, i / 2, i % 2);
	snprintf(key, sizeof(key), "%d %d", from, to);
	add_paths(domains, key, devices);
}

int main(int argc, char *argv[])
{
	struct picture picture = { .objects = json_object_new_object() };
	json_object *domains = json_object_new_object();
	int n = argc > 1 ? atoi(argv[1]) : 20;
	struct ctl ctl = {};

	setlocale(LC_ALL, "");
	term_init(&ctl);
	for (int i = 0; i < 4; i++)
		add_iommu(&picture, i);
	for (int i = 0; i < n; i++) {
		char parent[64] = "/";

		/* Every tenth pair hangs below a port, which is the first of its ten. */
		if (i % 20 >= 2)
			snprintf(parent, sizeof(parent), DEVICE, i / 20 * 10, 0);
		add_device(&picture, i, parent);
	}
	for (int i = 0; i < (n + 1) / 2; i++)
		add_group(&picture, i, n);
	for (int i = 0; i < n / 12; i++)
		add_lease(&picture, i, n);
	for (int i = 2; i + 1 < n; i += 20) {
		add_domain(domains, i, i + 2);
		/* All that is below the port, with the pair in it. */
		if (i + 2 < n)
			add_domain(domains, i, i + 18 < n ? i + 18 : n);
	}
	graph_write(stdout, &ctl, &picture, domains);
	json_object_put(domains);
	picture_done(&picture);
	return 0;
}
