/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What sysfs says of one IOMMU: its driver, and the attributes that policy/iommu-*.c decode. */

#include "daemon/sysfs/scan-device.h"

#include "daemon/sysfs/attr.h"
#include "daemon/util/fd.h"

#include <stdio.h>

#define ATTRIBUTE_MAX 4096

/*
 * Only Intel's and AMD's have a directory of their own below /sys/class/iommu/NAME, named after
 * the driver; of the others the device behind them says it, or their name as the drivers choose
 * it (iommu_device_sysfs_add() in drivers/iommu).
 */
static const char *iommu_driver(int dir, const char *name)
{
	static const char *const attributes[] = { "intel-iommu", "amd-iommu" };
	static const char *const names[][2] = {
		{ "dmar", "intel-iommu" },    { "ivhd", "amd-iommu" },
		{ "smmu3.", "arm-smmu-v3" },  { "smmu.", "arm-smmu" },
		{ "virtio", "virtio_iommu" }, { "iommu-phb", "spapr-tce" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
		if (faccessat(dir, attributes[i], F_OK, 0) == 0)
			return attributes[i];
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strncmp(name, names[i][0], strlen(names[i][0])) == 0)
			return names[i][1];
	return "";
}

int scan_read_iommu(struct scanner *scanner, const char *name, char **driver)
{
	_cleanup_free_ char *path = NULL, *bound = NULL;
	_cleanup_close_ int dir = -EBADF, device = -EBADF;
	const char *text;
	int r;

	if (!attr_name_valid(name))
		return SCAN_GONE;
	if (asprintf(&path, "class/iommu/%s", name) < 0)
		return -ENOMEM;
	dir = attr_open_dir(scanner->host->sys, path);
	if (dir < 0) {
		r = attr_outcome_of_errno(-dir);
		return r < 0 ? r : SCAN_GONE;
	}
	text = iommu_driver(dir, name);
	if (!*text) {
		/* "device" may lead out of the directory, as links of sysfs do: from the top. */
		_cleanup_free_ char *link = NULL;

		if (asprintf(&link, "%s/device", path) < 0)
			return -ENOMEM;
		device = attr_open_dir(scanner->host->sys, link);
		r = device >= 0 ? attr_read_link(device, "driver", &bound) : 0;
		if (r < 0)
			return r;
		text = bound ?: "";
	}
	*driver = strdup(text);
	return *driver ? 0 : -ENOMEM;
}

/* ---- capabilities */

/* What there is to be read, of whatever kind it is; none of them takes a lock or asks hardware. */
static const char *const cap_attributes[] = {
	"intel-iommu/version",
	"intel-iommu/address",
	"intel-iommu/cap",
	"intel-iommu/ecap",
	"intel-iommu/domains_supported",
	"amd-iommu/cap",
	"amd-iommu/features",
	"device/features",
	"device/of_node/compatible",
	"device/of_node/dma-coherent",
	"device/of_node/ibm,dma-window",
	"device/of_node/ibm,ddw-applicable",
};

/*
 * The IOMMU that pSeries shows for a host bridge has no device behind it: the node of the bridge's
 * bus has the windows (iommu_device_sysfs_add() in arch/powerpc/kernel: "iommu-phb%04x").
 */
static int attribute_path(const char *name, const char *attribute, char **path)
{
	static const char prefix[] = "device/of_node/";
	unsigned int bridge;

	if (strncmp(attribute, prefix, strlen(prefix)) == 0 &&
	    sscanf(name, "iommu-phb%4x", &bridge) == 1)
		return asprintf(path, "class/pci_bus/%04x:00/of_node/%s", bridge,
				attribute + strlen(prefix));
	return asprintf(path, "class/iommu/%s/%s", name, attribute);
}

/* 0 and the content; 1: it is not there, or not to be read. Text loses its last newline. */
static int read_attribute(struct scanner *scanner, const char *name, const char *attribute,
			  char **data, size_t *size)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int dir = -EBADF;
	char *slash;
	int r;

	if (attribute_path(name, attribute, &path) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	slash = strrchr(path, '/');
	*slash = 0;
	dir = attr_open_dir(scanner->host->sys, path);
	if (dir < 0)
		return dir == -ENOMEM ? dir : 1;
	r = file_read_at(dir, slash + 1, ATTRIBUTE_MAX, data, size);
	if (r < 0)
		return r == -ENOMEM ? r : 1;
	if (*size > 0 && (*data)[*size - 1] == '\n')
		(*data)[--*size] = 0;
	return 0;
}

int scan_read_iommu_caps(struct scanner *scanner, const char *name, const char *driver,
			 struct iommu_caps *caps)
{
	struct iommu_attr attrs[ARRAY_SIZE(cap_attributes)];
	char *data[ARRAY_SIZE(cap_attributes)];
	size_t n = 0;
	int r = 0;

	*caps = (struct iommu_caps){};
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(cap_attributes); i++) {
		attrs[n].name = cap_attributes[i];
		r = read_attribute(scanner, name, cap_attributes[i], &data[n], &attrs[n].size);
		if (r == 0) {
			attrs[n].data = data[n];
			n++;
		}
	}
	if (r >= 0)
		r = iommu_caps_decode(driver, name, attrs, n, caps);
	for (size_t i = 0; i < n; i++)
		free(data[i]);
	return r < 0 ? r : 0;
}
