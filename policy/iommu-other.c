/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * IOMMUs of which sysfs shows less: Arm's SMMUs and sPAPR's windows by what the device tree has of
 * them, virtio's by the features that were negotiated. None of what is decoded for SMMU and sPAPR
 * was seen on hardware: it is held against trees that were made from the kernel's sources.
 */

#include "policy/iommu-caps.h"

/* ---- Arm */

/*
 * The names are "smmu3.0x0000000009050000" (arm-smmu-v3.c) and "smmu.0x…" (arm-smmu.c): where the
 * registers are. dma-coherent is in the bindings (arm,smmu.yaml, arm,smmu-v3.yaml): the walks of
 * its tables are coherent. Under ACPI there is no such node, and nothing is told.
 */
void caps_decode_smmu(struct caps_builder *b, const struct caps_source *source)
{
	const struct iommu_attr *compatible =
		caps_attr(source->attrs, source->n, "device/of_node/compatible");
	const char *dot = strchr(source->name, '.');

	caps_add_text(b, "translation", "page-tables");
	if (dot)
		caps_add_text(b, "address", dot + 1);
	if (!compatible)
		return;
	/* A list of strings, each with its NUL: the first says it best. */
	caps_add_text(b, "compatible", compatible->data);
	caps_add(b, "coherent", IOMMU_CAP_FLAG,
		 caps_attr(source->attrs, source->n, "device/of_node/dma-coherent") != NULL);
}

/* ---- virtio */

/*
 * The features of /sys/bus/virtio/devices/N/features: a '0' or '1' for each, the first one first.
 * Virtual I/O Device (VIRTIO) Version 1.2, 5.13.3 (those of an IOMMU), 6 (those of every device).
 * Address widths and page sizes are in its configuration space, of which sysfs shows nothing.
 */
static bool read_bits(const struct iommu_attr *attr, uint64_t *value)
{
	*value = 0;
	if (!attr || attr->size < 32 || attr->size > 128)
		return false;
	for (size_t i = 0; i < attr->size; i++) {
		if (attr->data[i] != '0' && attr->data[i] != '1')
			return false;
		if (i < 64)
			*value |= (uint64_t)(attr->data[i] == '1') << i;
	}
	return true;
}

void caps_decode_virtio(struct caps_builder *b, const struct caps_source *source)
{
	static const struct caps_flag flags[] = {
		{ 0, "input-range" },	     /* VIRTIO_IOMMU_F_INPUT_RANGE */
		{ 1, "domain-range" },	     /* VIRTIO_IOMMU_F_DOMAIN_RANGE */
		{ 2, "map-unmap" },	     /* VIRTIO_IOMMU_F_MAP_UNMAP */
		{ 3, "bypass" },	     /* VIRTIO_IOMMU_F_BYPASS */
		{ 4, "probe" },		     /* VIRTIO_IOMMU_F_PROBE */
		{ 5, "mmio" },		     /* VIRTIO_IOMMU_F_MMIO */
		{ 6, "bypass-config" },	     /* VIRTIO_IOMMU_F_BYPASS_CONFIG */
		{ 28, "indirect-requests" }, /* VIRTIO_F_INDIRECT_DESC */
		{ 29, "event-index" },	     /* VIRTIO_F_EVENT_IDX */
		{ 32, "version-1" },	     /* VIRTIO_F_VERSION_1 */
		{ 33, "access-platform" },   /* VIRTIO_F_ACCESS_PLATFORM */
		{ 34, "packed-ring" },	     /* VIRTIO_F_RING_PACKED */
		{ 35, "in-order" },	     /* VIRTIO_F_IN_ORDER */
		{ 36, "order-platform" },    /* VIRTIO_F_ORDER_PLATFORM */
		{ 38, "notification-data" }, /* VIRTIO_F_NOTIFICATION_DATA */
		{ 40, "ring-reset" },	     /* VIRTIO_F_RING_RESET */
	};
	const struct iommu_attr *features = caps_attr(source->attrs, source->n, "device/features");
	struct caps_register reg = { 0 };

	caps_add_text(b, "translation", "requests");
	if (!read_bits(features, &reg.value))
		return;
	/* Requests are queued, and the device walks no tables that it would have to snoop. */
	caps_add(b, "queued-invalidation", IOMMU_CAP_FLAG, true);
	caps_take_flags(b, &reg, flags, ARRAY_SIZE(flags));
	caps_rest(b, &reg, "features");
}

/* ---- sPAPR */

#define WINDOW_CELLS 5

static uint64_t cell(const struct iommu_attr *attr, size_t i)
{
	const unsigned char *p = (const unsigned char *)attr->data + 4 * i;

	return (uint64_t)p[0] << 24 | (uint64_t)p[1] << 16 | (uint64_t)p[2] << 8 | p[3];
}

/*
 * LoPAPR 1.1, B.6.2 ("ibm,dma-window": logical I/O bus number, first address, size, with two cells
 * for an address and for a size) and 7.4.7.2 ("ibm,ddw-applicable": the calls that make windows of
 * any page size). A device behind it can use the fixed window, 4 KiB pages of a table in the
 * hypervisor; with dynamic windows it can have another one, as large as the guest's memory.
 */
void caps_decode_spapr(struct caps_builder *b, const struct caps_source *source)
{
	const struct iommu_attr *window =
		caps_attr(source->attrs, source->n, "device/of_node/ibm,dma-window");
	const struct iommu_attr *dynamic =
		caps_attr(source->attrs, source->n, "device/of_node/ibm,ddw-applicable");

	caps_add_text(b, "translation", "windows");
	if (!window && !dynamic)
		return;
	caps_add(b, "fixed-window", IOMMU_CAP_FLAG, window != NULL);
	if (window && window->size == 4 * WINDOW_CELLS) {
		caps_add(b, "logical-bus", IOMMU_CAP_NUMBER, cell(window, 0));
		caps_add(b, "window-start", IOMMU_CAP_LONG,
			 cell(window, 1) << 32 | cell(window, 2));
		caps_add(b, "window-size", IOMMU_CAP_LONG, cell(window, 3) << 32 | cell(window, 4));
	}
	caps_add(b, "dynamic-windows", IOMMU_CAP_FLAG, dynamic && dynamic->size == 12);
}
