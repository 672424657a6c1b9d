/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of mock-host.h. */

#include "tests/mock/mock-host.h"

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static void make_skeleton(struct mock_host *mock)
{
	static const char *const dirs[] = {
		"sys/bus/pci/devices",
		"sys/bus/pci/drivers",
		"sys/bus/pci/slots",
		"sys/class/iommu",
		"sys/class/vfio",
		"sys/class/vfio-dev",
		"sys/class/net",
		"sys/class/block",
		"sys/class/misc",
		"sys/class/tty",
		"sys/class/vtconsole",
		"sys/kernel/iommu_groups",
		"sys/devices",
		"dev/vfio/devices",
		"proc/1",
		"proc/self",
		"modules",
	};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		tree_mkdir(mock->fd, "%s", dirs[i]);
	tree_write(mock->fd, "1\n", "sys/bus/pci/drivers_autoprobe");
	tree_write(mock->fd, "", "proc/1/mountinfo");
	tree_write(mock->fd, "", "proc/self/mountinfo");
	tree_write(mock->fd, "Filename\tType\tSize\tUsed\tPriority\n", "proc/swaps");
	tree_write(mock->fd, "", "proc/consoles");
	tree_write(mock->fd, "0\n", "sys/kernel/uevent_seqnum");
	tree_write(mock->fd, "", "modules/modules.alias");
	mock_features(mock, "group iommufd cdev");
}

struct mock_host *mock_host_at(const char *path)
{
	struct mock_host *mock = calloc(1, sizeof(*mock));

	if (!mock || !(mock->root = strdup(path)))
		err(1, "mock");
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		err(1, "mock: %s", path);
	mock->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mock->fd < 0)
		err(1, "mock: %s", path);
	mock->keep = true;
	if (!tree_exists(mock->fd, "sys"))
		make_skeleton(mock);
	return mock;
}

struct mock_host *mock_host_new(void)
{
	/* Thousands of small files: in memory where there is room for them. */
	const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	_cleanup_free_ char *path = mock_asprintf("%s/vfiod-mock.XXXXXX", getenv("TMPDIR") ?: dir);
	struct mock_host *mock;

	if (!mkdtemp(path))
		err(1, "mock: %s", path);
	mock = mock_host_at(path);
	mock->keep = false;
	return mock;
}

struct mock_host *mock_host_free(struct mock_host *mock)
{
	if (!mock)
		return NULL;
	if (!mock->keep) {
		_cleanup_strv_ char **names = tree_list(mock->fd, ".");

		STRV_FOREACH (name, names)
			tree_remove(mock->fd, "%s", *name);
		rmdir(mock->root);
	}
	fd_close(mock->fd);
	free(mock->root);
	free(mock);
	return NULL;
}

static int open_below(struct mock_host *mock, const char *path)
{
	int fd = openat(mock->fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		err(1, "mock: %s", path);
	return fd;
}

void mock_host_open(struct mock_host *mock, struct host *host)
{
	host->sys = open_below(mock, "sys");
	host->dev = open_below(mock, "dev");
	host->proc = open_below(mock, tree_exists(mock->fd, "real-proc") ? "/proc" : "proc");
	host->modules = open_below(mock, "modules");
}

void mock_features(struct mock_host *mock, const char *features)
{
	bool group = strstr(features, "group"), iommufd = strstr(features, "iommufd");

	tree_write(mock->fd, features, "features");
	tree_remove(mock->fd, "sys/class/misc");
	tree_mkdir(mock->fd, "sys/class/misc");
	tree_remove(mock->fd, "dev/vfio/vfio");
	tree_remove(mock->fd, "dev/iommu");
	if (group) {
		tree_write(mock->fd, "10:196\n", "sys/class/misc/vfio/dev");
		tree_write(mock->fd, "", "dev/vfio/vfio");
	}
	if (iommufd) {
		tree_write(mock->fd, "10:125\n", "sys/class/misc/iommu/dev");
		tree_write(mock->fd, "", "dev/iommu");
	}
	tree_write(mock->fd,
		   strstr(features, "cdev") ? "Character devices:\n510 vfio-dev\n"
					    : "Character devices:\n  1 mem\n",
		   "proc/devices");
}

void mock_real_proc(struct mock_host *mock)
{
	tree_write(mock->fd, "", "real-proc");
}

void mock_iommu_add(struct mock_host *mock, const char *name, const char *attributes)
{
	_cleanup_free_ char *dir = mock_asprintf("sys/devices/virtual/iommu/%s", name);

	tree_mkdir(mock->fd, "%s/devices", dir);
	if (attributes)
		tree_write(mock->fd, "d2008c40660462\n", "%s/%s/cap", dir, attributes);
	tree_link(mock->fd, "sys/class/iommu", "%s/subsystem", dir);
	tree_link(mock->fd, dir, "sys/class/iommu/%s", name);
	mk_event(mock->fd, "add", "iommu", name, dir, NULL, NULL);
}

void mock_group_set(struct mock_host *mock, unsigned int group, const char *type,
		    const char *reserved, const char *name)
{
	_cleanup_free_ char *line = mock_asprintf("%s\n", type);

	tree_mkdir(mock->fd, "sys/kernel/iommu_groups/%u/devices", group);
	tree_write(mock->fd, line, "sys/kernel/iommu_groups/%u/type", group);
	tree_write(mock->fd, reserved ?: "", "sys/kernel/iommu_groups/%u/reserved_regions", group);
	if (name) {
		_cleanup_free_ char *text = mock_asprintf("%s\n", name);

		tree_write(mock->fd, text, "sys/kernel/iommu_groups/%u/name", group);
	}
}

static void join_group(struct mock_host *mock, const char *path, const char *name, int group)
{
	_cleanup_free_ char *dir = mock_asprintf("sys/kernel/iommu_groups/%d", group);

	if (!group)
		return;
	if (!tree_exists(mock->fd, "%s", dir))
		mock_group_set(mock, (unsigned int)group, "DMA-FQ",
			       "0x00000000fee00000 0x00000000feefffff msi\n", NULL);
	tree_link(mock->fd, path, "%s/devices/%s", dir, name);
	tree_link(mock->fd, dir, "%s/iommu_group", path);
}

static void leave_group(struct mock_host *mock, const char *path, const char *name)
{
	_cleanup_free_ char *group = tree_link_name(mock->fd, "%s/iommu_group", path);
	_cleanup_strv_ char **left = NULL;

	if (!group)
		return;
	tree_remove(mock->fd, "%s/iommu_group", path);
	tree_remove(mock->fd, "sys/kernel/iommu_groups/%s/devices/%s", group, name);
	left = tree_list(mock->fd, "sys/kernel/iommu_groups/%s/devices", group);
	if (!*left)
		tree_remove(mock->fd, "sys/kernel/iommu_groups/%s", group);
}

static void add_device(struct mock_host *mock, const char *bus, const char *name, const char *path,
		       int group, const char *iommu)
{
	_cleanup_free_ char *bus_path = mock_asprintf("sys/bus/%s", bus);

	tree_mkdir(mock->fd, "%s/drivers", bus_path);
	tree_link(mock->fd, bus_path, "%s/subsystem", path);
	tree_link(mock->fd, path, "%s/devices/%s", bus_path, name);
	join_group(mock, path, name, group);
	if (iommu) {
		_cleanup_free_ char *dir = mock_asprintf("sys/devices/virtual/iommu/%s", iommu);

		tree_link(mock->fd, dir, "%s/iommu", path);
		tree_link(mock->fd, path, "%s/devices/%s", dir, name);
	}
}

static void write_format(struct mock_host *mock, const char *path, const char *attr,
			 const char *format, unsigned int value)
{
	_cleanup_free_ char *text = mock_asprintf(format, value);

	tree_write(mock->fd, text, "%s/%s", path, attr);
}

static void write_pci_attributes(struct mock_host *mock, const char *path,
				 const struct mock_pci *pci)
{
	unsigned int c = pci->class_code ?: 0x088000;
	_cleanup_free_ char *alias = mock_asprintf(
		"pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X\n", pci->vendor, pci->device,
		pci->subvendor, pci->subdevice, c >> 16, c >> 8 & 0xff, c & 0xff);
	_cleanup_free_ char *config = mock_asprintf("%s/config", path);
	unsigned char space[64] = {
		[0] = (unsigned char)pci->vendor,
		[1] = (unsigned char)(pci->vendor >> 8),
		[2] = (unsigned char)pci->device,
		[3] = (unsigned char)(pci->device >> 8),
		[4] = 0x03,
		[0xe] = c >> 8 == 0x0604,
	};

	write_format(mock, path, "vendor", "0x%04x\n", pci->vendor);
	write_format(mock, path, "device", "0x%04x\n", pci->device);
	write_format(mock, path, "subsystem_vendor", "0x%04x\n", pci->subvendor);
	write_format(mock, path, "subsystem_device", "0x%04x\n", pci->subdevice);
	write_format(mock, path, "class", "0x%06x\n", c);
	tree_write(mock->fd, alias, "%s/modalias", path);
	tree_write_bytes(mock->fd, space, sizeof(space), config);
}

static void write_pci_optional(struct mock_host *mock, const char *path, const char *name,
			       const struct mock_pci *pci)
{
	_cleanup_free_ char *override = mock_asprintf("%s\n", pci->override ?: "(null)");
	_cleanup_free_ char *node = mock_asprintf("%d\n", pci->numa_node);
	_cleanup_free_ char *reset = mock_asprintf("%s\n", pci->reset ?: "");

	tree_write(mock->fd, override, "%s/driver_override", path);
	tree_write(mock->fd, node, "%s/numa_node", path);
	if (pci->reset)
		tree_write(mock->fd, reset, "%s/reset_method", path);
	if (pci->boot_vga)
		tree_write(mock->fd, pci->boot_vga > 0 ? "1\n" : "0\n", "%s/boot_vga", path);
	if (pci->slot) {
		_cleanup_free_ char *address =
			mock_asprintf("%.*s\n", (int)(strrchr(name, '.') - name), name);

		tree_write(mock->fd, address, "sys/bus/pci/slots/%s/address", pci->slot);
	}
}

static void link_physfn(struct mock_host *mock, const char *path, const char *physfn)
{
	_cleanup_free_ char *parent = mk_device_path(mock->fd, "pci", physfn);
	int n = 0;

	if (!parent)
		errx(1, "mock: no PF %s", physfn);
	tree_link(mock->fd, parent, "%s/physfn", path);
	while (tree_exists(mock->fd, "%s/virtfn%d", parent, n))
		n++;
	tree_link(mock->fd, path, "%s/virtfn%d", parent, n);
	write_format(mock, parent, "sriov_numvfs", "%u\n", (unsigned int)n + 1);
	if (tree_exists(mock->fd, "%s/sriov_totalvfs", parent))
		return;
	tree_write(mock->fd, "8\n", "%s/sriov_totalvfs", parent);
	tree_write(mock->fd, "1\n", "%s/sriov_drivers_autoprobe", parent);
}

void mock_pf(struct mock_host *mock, const char *name, unsigned int total)
{
	_cleanup_free_ char *path = mk_device_path(mock->fd, "pci", name);

	write_format(mock, path, "sriov_totalvfs", "%u\n", total);
	tree_write(mock->fd, "0\n", "%s/sriov_numvfs", path);
	tree_write(mock->fd, "1\n", "%s/sriov_drivers_autoprobe", path);
	mk_event(mock->fd, "change", "pci", name, path, NULL, NULL);
}

void mock_pci_add_full(struct mock_host *mock, const char *name, const struct mock_pci *pci)
{
	_cleanup_free_ char *path =
		mock_asprintf("sys/devices/%s/%s", pci->parent ?: "pci0000:00", name);

	tree_mkdir(mock->fd, "%s", path);
	write_pci_attributes(mock, path, pci);
	write_pci_optional(mock, path, name, pci);
	/* The kernel knows whose it is, and links the two only after the event
	 * (pci_iov_add_virtfn()). */
	if (pci->physfn)
		tree_write(mock->fd, pci->physfn, "physfn/%s", name);
	add_device(mock, "pci", name, path, pci->group, pci->iommu);
	mk_event(mock->fd, "add", "pci", name, path, NULL, NULL);
	if (pci->physfn) {
		link_physfn(mock, path, pci->physfn);
		mk_event(mock->fd, "change", "pci", name, path, NULL, NULL);
	}
	if (pci->driver && mk_bind(mock->fd, "pci", name, pci->driver) < 0)
		errx(1, "mock: %s does not bind %s", pci->driver, name);
}

void mock_device_add(struct mock_host *mock, const char *bus, const char *name, const char *parent,
		     int group, const char *iommu)
{
	_cleanup_free_ char *path =
		mock_asprintf("sys/devices/%s%s%s", parent ?: "", parent ? "/" : "", name);
	_cleanup_free_ char *alias = mock_asprintf("%s:%s\n", bus, name);

	tree_mkdir(mock->fd, "%s", path);
	tree_write(mock->fd, alias, "%s/modalias", path);
	if (!streq(bus, "mdev"))
		tree_write(mock->fd, "(null)\n", "%s/driver_override", path);
	add_device(mock, bus, name, path, group, iommu);
	mk_event(mock->fd, "add", bus, name, path, NULL, NULL);
}

void mock_mdev_add(struct mock_host *mock, const char *name, const char *parent, const char *type)
{
	_cleanup_free_ char *path =
		mock_asprintf("sys/devices/%s/mdev_supported_types/%s", parent, type);

	tree_mkdir(mock->fd, "%s", path);
	mock_device_add(mock, "mdev", name, parent, 0, NULL);
	tree_link(mock->fd, path, "sys/devices/%s/%s/mdev_type", parent, name);
	mk_probe(mock->fd, "mdev", name);
}

static void remove_virtfn(struct mock_host *mock, const char *path)
{
	_cleanup_free_ char *parent = tree_link_path(mock->fd, "%s/physfn", path);

	for (int n = 0; parent && n < 256; n++) {
		_cleanup_free_ char *target = tree_link_path(mock->fd, "%s/virtfn%d", parent, n);

		if (target && streq(target, path))
			tree_remove(mock->fd, "%s/virtfn%d", parent, n);
	}
}

void mock_device_remove(struct mock_host *mock, const char *bus, const char *name)
{
	_cleanup_free_ char *path = mk_device_path(mock->fd, bus, name), *driver = NULL;
	_cleanup_free_ char *iommu = NULL;

	if (!path)
		errx(1, "mock: no device %s", name);
	/* bus_remove_device(): the link of the bus first, the driver after it. */
	driver = tree_link_name(mock->fd, "%s/driver", path);
	if (driver)
		mk_unbind(mock->fd, bus, driver, name);
	tree_remove(mock->fd, "sys/bus/%s/devices/%s", bus, name);
	iommu = tree_link_name(mock->fd, "%s/iommu", path);
	if (iommu)
		tree_remove(mock->fd, "sys/devices/virtual/iommu/%s/devices/%s", iommu, name);
	remove_virtfn(mock, path);
	leave_group(mock, path, name);
	tree_remove(mock->fd, "%s", path);
	tree_remove(mock->fd, "parked/%s", name);
	tree_remove(mock->fd, "physfn/%s", name);
	tree_remove(mock->fd, "children/%s", name);
	mk_event(mock->fd, "remove", bus, name, path, NULL, NULL);
}

static unsigned int read_id(struct mock_host *mock, const char *path, const char *attr)
{
	_cleanup_free_ char *text = tree_read(mock->fd, "%s/%s", path, attr);

	return text ? (unsigned int)strtoul(text, NULL, 0) : 0;
}

static void add_function(struct mock_host *mock, const char *pf, const char *path, unsigned int i)
{
	_cleanup_free_ char *name = mock_asprintf("%.8s10.%u", pf, i);
	_cleanup_free_ char *group = tree_link_name(mock->fd, "%s/iommu_group", path);
	_cleanup_free_ char *iommu = tree_link_name(mock->fd, "%s/iommu", path);

	mock_pci_add(mock, name, .vendor = read_id(mock, path, "vendor"),
		     .device = read_id(mock, path, "device") + 1,
		     .class_code = read_id(mock, path, "class"),
		     .group = (group ? atoi(group) : 0) + 100 + (int)i, .iommu = iommu,
		     .physfn = pf, .numa_node = -1);
	mk_first_probe(mock->fd, "pci", name);
}

static void remove_functions(struct mock_host *mock, const char *path)
{
	for (int i = 0; i < 256; i++) {
		_cleanup_free_ char *name = tree_link_name(mock->fd, "%s/virtfn%d", path, i);

		if (!name)
			continue;
		/* Under the rescan lock of the whole machine. */
		if (mk_is_held(mock->fd, name))
			mk_log(mock->fd, "BLOCKED %s\n", name);
		mock_device_remove(mock, "pci", name);
	}
}

int mock_set_num_vfs(struct mock_host *mock, const char *pf, unsigned int n)
{
	_cleanup_free_ char *path = mk_device_path(mock->fd, "pci", pf);
	unsigned int now = path ? read_id(mock, path, "sriov_numvfs") : 0;
	int r = mk_fault(mock->fd, "NUMVFS", pf);

	mk_log(mock->fd, "NUMVFS %s %u %d\n", pf, n, r);
	if (r != 0)
		return r < 0 ? r : 0;
	if (!path || !tree_exists(mock->fd, "%s/sriov_totalvfs", path) ||
	    !tree_exists(mock->fd, "%s/driver", path))
		return -ENOENT;
	if (n > read_id(mock, path, "sriov_totalvfs"))
		return -ERANGE;
	if (n > 0 && now > 0)
		return n == now ? 0 : -EBUSY;
	remove_functions(mock, path);
	for (unsigned int i = 0; i < n; i++)
		add_function(mock, pf, path, i);
	write_format(mock, path, "sriov_numvfs", "%u\n", n);
	if (n > 0)
		mk_event(mock->fd, "change", "pci", pf, path, NULL, NULL);
	return 0;
}

void mock_device_regroup(struct mock_host *mock, const char *bus, const char *name, int group)
{
	_cleanup_free_ char *path = mk_device_path(mock->fd, bus, name);

	if (!path)
		errx(1, "mock: no device %s", name);
	leave_group(mock, path, name);
	join_group(mock, path, name, group);
	mk_event(mock->fd, "change", bus, name, path, NULL, NULL);
}

void mock_driver_add(struct mock_host *mock, const char *bus, const char *name, const char *table)
{
	tree_mkdir(mock->fd, "sys/bus/%s/drivers/%s", bus, name);
	tree_write(mock->fd, table, "drivers/%s/%s", bus, name);
}

void mock_drivers_add_usual(struct mock_host *mock)
{
	mock_driver_add(mock, "pci", "vfio-pci", "vfio\n");
	mock_driver_add(mock, "pci", "pcieport", "class 0604\nmanaged-dma\n");
	mock_driver_add(mock, "pci", "pci-stub", "managed-dma\n");
}
