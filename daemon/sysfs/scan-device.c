/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What sysfs says of one device. An attribute that is no good leaves "unknown" in its place. */

#include "daemon/sysfs/scan-device.h"

#include "daemon/sysfs/attr.h"
#include "daemon/sysfs/scan-cache.h"

#include <fcntl.h>
#include <sys/stat.h>

#define CLASS_BRIDGE_PCI     0x0604
#define CLASS_BRIDGE_CARDBUS 0x0607
#define RESET_METHODS_MAX    16

/* Another device came to the place while it was read; after so many its events will tell. */
#define SCAN_REPLACED (SCAN_GONE + 1)
#define REPLACED_MAX  3

/* Only an error of ours ends the reading of a device. */
static int fatal(int r)
{
	return r < 0 ? r : 0;
}

static int read_ids(int dir, struct device *device)
{
	const struct {
		const char *attr;
		unsigned int bits;
		uint32_t *value;
	} ids[] = {
		{ "vendor", 16, &device->vendor },
		{ "device", 16, &device->product },
		{ "subsystem_vendor", 16, &device->subvendor },
		{ "subsystem_device", 16, &device->subproduct },
		{ "class", 24, &device->class_code },
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(ids) && r >= 0; i++) {
		*ids[i].value = ID_UNKNOWN;
		r = attr_read_hex(dir, ids[i].attr, ids[i].bits, ids[i].value);
	}
	return fatal(r);
}

static bool is_word(const char *s)
{
	return *s && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(s);
}

/* "flr bus": in the order in which the kernel tries them. */
static int read_reset_methods(int dir, struct device *device)
{
	char text[256], *save = NULL;
	int r = attr_read(dir, "reset_method", text, sizeof(text));

	if (r != 0)
		return fatal(r);
	for (char *word = strtok_r(text, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		if (!is_word(word) || strv_length(device->reset_methods) >= RESET_METHODS_MAX) {
			device->reset_methods = strv_free(device->reset_methods);
			return 0;
		}
		r = strv_extend(&device->reset_methods, word);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The names behind virtfn0, virtfn1, …, sorted. Few devices have sriov_totalvfs at all. */
static int read_virtual_functions(int dir, struct device *device)
{
	_cleanup_strv_ char **names = NULL;
	uint64_t number;
	int64_t total;
	int r = attr_read_int(dir, "sriov_totalvfs", 0, 65535, &total);

	if (r == 0)
		device->total_vfs = (unsigned int)total;
	if (r == 0)
		r = attr_list(dir, ".", &names);
	STRV_FOREACH (name, names) {
		_cleanup_free_ char *target = NULL;

		if (strncmp(*name, "virtfn", 6) != 0 || parse_uint(*name + 6, 65535, &number) < 0)
			continue;
		r = attr_read_link(dir, *name, &target);
		if (r == 0)
			r = strv_extend(&device->virtual_functions, target);
		if (r < 0)
			return r;
	}
	strv_sort(device->virtual_functions);
	return fatal(r);
}

/* These take no lock (aer_stats_dev_attr() in drivers/pci/pcie/aer.c). */
static int read_error_counters(int dir, struct error_counters *counters)
{
	for (int s = 0; s < SEVERITY_MAX; s++) {
		char text[ATTR_SIZE];
		int r = attr_read(dir, severity_attribute((enum severity)s), text, sizeof(text));

		if (r == ATTR_MISSING)
			return 0;
		if (r == 0)
			r = error_counters_parse(counters, (enum severity)s, text);
		if (r < 0 && r != -EBADMSG)
			return r;
	}
	return 0;
}

int scan_read_errors(struct scanner *scanner, const char *name)
{
	struct device *device = topology_device(scanner->topology, name);
	struct error_counters counters = { 0 };
	_cleanup_close_ int dir = -EBADF;
	_cleanup_free_ char *link = NULL;
	int r;

	if (!device || !error_counters_present(&device->errors))
		return TOPOLOGY_SAME;
	if (asprintf(&link, "bus/pci/devices/%s", name) < 0)
		return -ENOMEM;
	dir = attr_open_dir(scanner->host->sys, link);
	/* It goes; its event is on its way. */
	if (dir < 0)
		return TOPOLOGY_SAME;
	r = read_error_counters(dir, &counters);
	if (r < 0 || error_counters_equal(&counters, &device->errors)) {
		error_counters_done(&counters);
		return r < 0 ? r : TOPOLOGY_SAME;
	}
	error_counters_done(&device->errors);
	device->errors = counters;
	return TOPOLOGY_CHANGED;
}

/* The entry of vfio-dev/ is the name of the cdev (Linux 6.1; nodes from 6.6 on). */
static int read_vfio_node(int dir, struct device *device)
{
	_cleanup_strv_ char **names = NULL;
	int r = attr_list(dir, "vfio-dev", &names);

	STRV_FOREACH (name, names)
		if (strncmp(*name, "vfio", 4) == 0)
			return free_and_strdup(&device->vfio_node, *name);
	return fatal(r);
}

static int read_group_link(int dir, struct device *device)
{
	_cleanup_free_ char *group = NULL;
	uint64_t id;
	int r = attr_read_link(dir, "iommu_group", &group);

	device->group_id = ID_UNKNOWN;
	if (r == 0 && parse_uint(group, ID_UNKNOWN - 1, &id) == 0)
		device->group_id = (uint32_t)id;
	return fatal(r);
}

static int read_model(struct scanner *scanner, int dir, struct device *device)
{
	bool pci = streq(device->subsystem, "pci");
	_cleanup_free_ char *modalias = NULL;
	const char *text = NULL;
	int r = attr_read_string(dir, "modalias", &modalias);

	if (r < 0)
		return r;
	if (r == 0) {
		r = scan_cache_model(scanner, modalias, &text);
		if (r >= 0 && text)
			r = free_and_strdup(&device->model, text);
		if (r < 0)
			return r;
	}
	/* The driver of a mediated device is VFIO's by its nature; without one it is remembered. */
	if (streq(device->subsystem, "mdev")) {
		const struct device *before = topology_device(scanner->topology, device->name);

		text = device->driver ?: before ? before->vfio_driver : NULL;
		return text ? free_and_strdup(&device->vfio_driver, text) : 0;
	}
	if (streq(device->subsystem, "platform"))
		return free_and_strdup(&device->vfio_driver, "vfio-platform");
	if (!pci || device->bridge)
		return 0;
	text = "vfio-pci";
	r = modalias ? scan_cache_vfio_driver(scanner, modalias, &text) : 0;
	return r < 0 ? r : free_and_strdup(&device->vfio_driver, text);
}

static int read_pci(struct scanner *scanner, int dir, struct device *device)
{
	uint32_t class_code;
	const char *slot;
	int r = read_ids(dir, device);

	if (r >= 0)
		r = read_reset_methods(dir, device);
	if (r >= 0)
		r = fatal(attr_read_link(dir, "physfn", &device->physical_function));
	if (r >= 0)
		r = read_virtual_functions(dir, device);
	if (r >= 0)
		r = read_error_counters(dir, &device->errors);
	if (r < 0)
		return r;
	/* Reading that one asks the firmware: the survey does. */
	device->has_eeh = faccessat(dir, "eeh_pe_state", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	class_code = device->class_code >> 8;
	device->bridge = device->class_code != ID_UNKNOWN &&
			 (class_code == CLASS_BRIDGE_PCI || class_code == CLASS_BRIDGE_CARDBUS);
	slot = scan_cache_slot(scanner, device->name);
	return slot ? free_and_strdup(&device->slot, slot) : 0;
}

static int read_common(struct scanner *scanner, int dir, struct device *device)
{
	int64_t node = -1;
	int r;

	r = fatal(attr_read_link(dir, "driver", &device->driver));
	if (r >= 0)
		r = read_group_link(dir, device);
	if (r >= 0)
		r = fatal(attr_read_link(dir, "iommu", &device->iommu_name));
	if (r >= 0)
		r = fatal(attr_read_int(dir, "numa_node", -1, 65535, &node));
	if (r >= 0 && device->driver)
		r = read_vfio_node(dir, device);
	device->numa_node = (int)node;
	return r < 0 ? r : read_model(scanner, dir, device);
}

static int read_path(struct scanner *scanner, const char *link, char **syspath)
{
	int r = attr_read_link_path(scanner->host->sys, link, "/sys", syspath);

	return r > 0 ? SCAN_GONE : r;
}

/*
 * The kernel takes the link in bus/SUBSYSTEM/devices away before anything else of a device that
 * goes (bus_remove_device()): if it still leads to the same directory, all that was read is of
 * this device, and whole.
 */
static int still_there(struct scanner *scanner, const char *link, const struct stat *before)
{
	struct stat now;

	if (fstatat(scanner->host->sys, link, &now, 0) < 0)
		return SCAN_GONE;
	return now.st_ino == before->st_ino && now.st_dev == before->st_dev ? 0 : SCAN_REPLACED;
}

static int read_once(struct scanner *scanner, const char *link, struct device *device,
		     uint64_t *inode)
{
	_cleanup_close_ int dir = attr_open_dir(scanner->host->sys, link);
	_cleanup_free_ char *path = NULL;
	struct stat st;
	int r;

	if (dir < 0) {
		r = attr_outcome_of_errno(-dir);
		return r < 0 ? r : SCAN_GONE;
	}
	if (fstat(dir, &st) < 0)
		return SCAN_GONE;
	r = read_path(scanner, link, &path);
	if (r != 0)
		return r;
	free(device->syspath);
	device->syspath = STEAL(path);
	if (streq(device->subsystem, "pci"))
		r = read_pci(scanner, dir, device);
	if (r == 0)
		r = read_common(scanner, dir, device);
	if (r == 0)
		r = still_there(scanner, link, &st);
	*inode = st.st_ino;
	return r;
}

int scan_read_device(struct scanner *scanner, const char *subsystem, const char *name,
		     struct device **ret, uint64_t *inode)
{
	_cleanup_free_ char *link = NULL;
	int r = SCAN_REPLACED;

	*ret = NULL;
	if (!attr_name_valid(subsystem) || !attr_name_valid(name))
		return SCAN_GONE;
	if (asprintf(&link, "bus/%s/devices/%s", subsystem, name) < 0)
		return -ENOMEM;
	for (int tries = 0; tries < REPLACED_MAX && r == SCAN_REPLACED; tries++) {
		_cleanup_(device_freep) struct device *device = device_new(name, subsystem);

		if (!device)
			return -ENOMEM;
		r = read_once(scanner, link, device, inode);
		if (r == 0)
			*ret = STEAL(device);
	}
	return r == SCAN_REPLACED ? SCAN_GONE : r;
}
