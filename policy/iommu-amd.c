/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * AMD's IOMMUs: the header of their PCI capability block and the Extended Feature Registers, as the
 * AMD I/O Virtualization Technology (IOMMU) Specification (48882, rev. 3.08) has them in 3.2.1
 * (Capability Offset 00h) and 3.4.2 (MMIO Offset 0030h; its second one, 01A0h, since 3.06). sysfs
 * shows the header as a hexadecimal number, and both feature registers as "EFR:EFR2" (Linux 6.8:
 * those that the kernel uses, which are the same for all units), or the unit's first one alone.
 * What neither has (physical address width, interrupt remapping) is not told.
 */

#include "policy/iommu-caps.h"

#define SIZE_4K UINT64_C(0x1000)
#define SIZE_2M UINT64_C(0x200000)
#define SIZE_1G UINT64_C(0x40000000)

/* 3.2.1; the lower 16 bits are those of every PCI capability. */
static void decode_header(struct caps_builder *b, uint64_t value)
{
	static const struct caps_flag flags[] = {
		{ 24, "device-tlb" },		 /* IotlbSup */
		{ 25, "hypertransport-tunnel" }, /* HtTunnel */
		{ 26, "caching-mode" },	     /* NpCache: entries that are not present are cached */
		{ 27, "extended-features" }, /* EFRSup */
		{ 28, "extended-capability" }, /* CapExt */
	};
	struct caps_register reg = { .value = value };

	caps_take(&reg, 0, 16);
	/* 3 is an IOMMU */
	if (caps_take(&reg, 16, 3) != 3)
		reg.taken &= ~(UINT64_C(7) << 16);
	caps_add(b, "revision", IOMMU_CAP_NUMBER, caps_take(&reg, 19, 5)); /* CapRev */
	caps_take_flags(b, &reg, flags, ARRAY_SIZE(flags));
	caps_rest(b, &reg, "cap");
}

/* A field of two bits that counts levels from 4; 3 (0 here) is reserved, and says of HATS that
 * there are no host tables. */
static unsigned int take_levels(struct caps_register *reg, unsigned int low)
{
	uint64_t value = caps_take(reg, low, 2);

	if (value < 3)
		return 4 + (unsigned int)value;
	reg->taken &= ~(UINT64_C(3) << low);
	return 0;
}

/* A field that is 0 for no and 1 for yes; more is reserved. */
static void take_yes(struct caps_builder *b, struct caps_register *reg, unsigned int low,
		     unsigned int bits, const char *key)
{
	uint64_t taken = reg->taken, value = caps_take(reg, low, bits);

	if (value > 1)
		reg->taken = taken;
	else
		caps_add(b, key, IOMMU_CAP_FLAG, value);
}

static uint64_t levels_up_to(unsigned int levels)
{
	return levels ? (UINT64_C(1) << (levels + 1)) - (UINT64_C(1) << 1) : 0;
}

/* 12 bits of page, 9 for each level, and an address has 64 */
static uint64_t levels_bits(unsigned int levels)
{
	return levels >= 6 ? 64 : 12 + 9 * (uint64_t)levels;
}

static void decode_tables(struct caps_builder *b, struct caps_register *reg)
{
	unsigned int host = take_levels(reg, 10), guest = take_levels(reg, 12); /* HATS, GATS */
	bool tables = caps_take(reg, 4, 1);					/* GTSup */
	uint64_t glx = caps_take(reg, 14, 2), pasid = caps_take(reg, 32, 5);	/* PASmax */

	if (host) {
		caps_add(b, "address-bits", IOMMU_CAP_NUMBER, levels_bits(host));
		caps_add(b, "table-levels", IOMMU_CAP_SET, levels_up_to(host));
		/* 2.2.3: those of the levels, and every other power of two from 4 KiB on. */
		caps_add(b, "page-sizes", IOMMU_CAP_SIZES, SIZE_4K | SIZE_2M | SIZE_1G);
		caps_add(b, "any-page-size", IOMMU_CAP_FLAG, true);
		/* 2.2.3: FC, in every entry that maps a page. */
		caps_add(b, "snoop-control", IOMMU_CAP_FLAG, true);
	}
	/* Host tables are the second stage, guest tables the first, under the host's. */
	caps_add(b, "second-stage", IOMMU_CAP_FLAG, host > 0);
	caps_add(b, "first-stage", IOMMU_CAP_FLAG, tables);
	caps_add(b, "nested", IOMMU_CAP_FLAG, host > 0 && tables);
	/* A PASID selects a guest table: without those there is none. */
	caps_add(b, "pasid", IOMMU_CAP_FLAG, tables);
	if (!tables)
		return;
	if (guest)
		caps_add(b, "first-stage-levels", IOMMU_CAP_NUMBER, guest);
	caps_add(b, "first-stage-page-sizes", IOMMU_CAP_SIZES, SIZE_4K | SIZE_2M | SIZE_1G);
	if (glx < 3)
		caps_add(b, "pasid-table-levels", IOMMU_CAP_NUMBER, glx + 1);
	else
		reg->taken &= ~(UINT64_C(3) << 14);
	caps_add(b, "pasid-bits", IOMMU_CAP_NUMBER, pasid + 1);
}

/* 3.4.2 */
static void decode_features(struct caps_builder *b, uint64_t value)
{
	static const struct caps_flag flags[] = {
		{ 0, "prefetch" },		      /* PreFSup */
		{ 1, "pri" },			      /* PPRSup */
		{ 2, "extended-interrupts" },	      /* XTSup */
		{ 3, "no-execute" },		      /* NXSup */
		{ 5, "guest-apic-physical" },	      /* GAPPISup */
		{ 6, "invalidate-all" },	      /* IASup */
		{ 7, "guest-apic" },		      /* GASup */
		{ 8, "error-registers" },	      /* HESup */
		{ 9, "performance-monitoring" },      /* PCSup */
		{ 31, "secure-ats" },		      /* SATSSup */
		{ 37, "user-supervisor" },	      /* USSup */
		{ 40, "page-request-overflow" },      /* PprOvrflwEarlySup */
		{ 41, "page-request-auto-response" }, /* PprAutoRspSup */
		{ 44, "stop-marker" },		      /* BlkStopMrkSup */
		{ 45, "performance-optimization" },   /* PerfOptSup */
		{ 46, "msi-in-mmio" },		      /* MsiCapMmioSup */
		{ 48, "guest-io-protection" },	      /* GIOSup */
		{ 49, "accessed-tracking" },	      /* HASup */
		{ 50, "enhanced-page-requests" },     /* EPHSup */
		{ 51, "forward-attributes" },	      /* AttrFWSup */
		{ 52, "dirty-tracking" },	      /* HDSup */
		{ 54, "invalidate-type" },	      /* InvIotlbTypeSup */
		{ 55, "virtual-iommu" },	      /* vIommuSup */
		{ 61, "guest-apic-update-disable" },  /* GAUpdateDisSup */
		{ 62, "force-physical-destination" }, /* ForcePhyDestSup */
		{ 63, "snp" },			      /* SNPSup */
	};
	struct caps_register reg = { .value = value };

	decode_tables(b, &reg);
	take_yes(b, &reg, 16, 2, "smi-filter"); /* SmiFSup */
	caps_add(b, "smi-filter-registers", IOMMU_CAP_NUMBER,
		 UINT64_C(1) << caps_take(&reg, 18, 3)); /* SmiFRC */
	take_yes(b, &reg, 21, 3, "posted-interrupts");	 /* GAMSup */
	caps_add(b, "dual-page-request-log", IOMMU_CAP_NUMBER, caps_take(&reg, 24, 2));
	caps_add(b, "dual-event-log", IOMMU_CAP_NUMBER, caps_take(&reg, 28, 2));
	caps_add(b, "device-table-segments", IOMMU_CAP_NUMBER,
		 UINT64_C(1) << caps_take(&reg, 38, 2));			 /* DevTblSegSup */
	caps_add(b, "memory-routing", IOMMU_CAP_NUMBER, caps_take(&reg, 42, 2)); /* MarcSup */
	caps_take_flags(b, &reg, flags, ARRAY_SIZE(flags));
	caps_rest(b, &reg, "features");
}

static void decode_features2(struct caps_builder *b, uint64_t value)
{
	static const struct caps_flag flags[] = {
		{ 1, "snp-io" },	       /* SEVSNPIOSup */
		{ 3, "guest-table-physical" }, /* GCR3TRPMode */
		{ 11, "ht-range-ignore" },     /* HtRangeIgnore */
	};
	struct caps_register reg = { .value = value };
	uint64_t entries = caps_take(&reg, 8, 2); /* NumIntRemapSup: 2 and more are reserved */

	if (entries < 2)
		caps_add(b, "interrupt-table-entries", IOMMU_CAP_NUMBER, entries ? 2048 : 512);
	else
		reg.taken &= ~(UINT64_C(3) << 8);
	take_yes(b, &reg, 5, 3, "snp-posted-interrupts"); /* SNPAVICSup: GAMSup where SNP is on */
	caps_take_flags(b, &reg, flags, ARRAY_SIZE(flags));
	caps_rest(b, &reg, "features2");
}

void caps_decode_amd(struct caps_builder *b, const struct caps_source *source)
{
	const struct iommu_attr *header = caps_attr(source->attrs, source->n, "amd-iommu/cap");
	const struct iommu_attr *efr = caps_attr(source->attrs, source->n, "amd-iommu/features");
	const char *colon = efr ? strchr(efr->data, ':') : NULL;
	uint64_t value;

	caps_add_text(b, "translation", "page-tables");
	if (caps_hex(header, 0, 0, &value))
		decode_header(b, value);
	/* 2.4: everything is asked of it through a buffer of commands. */
	caps_add(b, "queued-invalidation", IOMMU_CAP_FLAG, true);
	/* The registers are all zero where the header says that there are none. */
	if (caps_hex(efr, 0, ':', &value) && value)
		decode_features(b, value);
	if (colon && caps_hex(efr, (size_t)(colon - efr->data) + 1, 0, &value) && value)
		decode_features2(b, value);
}
