/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Intel's remapping units: the Capability and Extended Capability Registers, as the Intel
 * Virtualization Technology for Directed I/O specification (rev. 4.1) has them in 11.4.2
 * and 11.4.3. sysfs shows both as hexadecimal numbers (drivers/iommu/intel/iommu.c,
 * intel_iommu_attrs). Bits that an earlier revision defined and the present one does not are
 * unknown here.
 */

#include "policy/iommu-caps.h"

#define SIZE_4K UINT64_C(0x1000)
#define SIZE_2M UINT64_C(0x200000)
#define SIZE_1G UINT64_C(0x40000000)

/* What both registers say together. */
struct units {
	bool pages;    /* SAGAW: second-stage tables there are */
	bool first_1g; /* FS1GP */
	bool has_cap;
	bool has_ecap;
	bool scalable; /* SMTS */
	bool first;    /* FSTS */
	bool second;   /* SSTS */
};

/* 11.4.2 */
static void decode_cap(struct caps_builder *b, uint64_t value, struct units *u)
{
	static const struct caps_flag flags[] = {
		{ 3, "advanced-fault-log" },	       /* AFL */
		{ 4, "write-buffer-flush" },	       /* RWBF */
		{ 5, "protected-low-memory" },	       /* PLMR */
		{ 6, "protected-high-memory" },	       /* PHMR */
		{ 7, "caching-mode" },		       /* CM */
		{ 22, "zero-length-read" },	       /* ZLR */
		{ 39, "page-selective-invalidation" }, /* PSI */
		{ 54, "write-drain" },		       /* DWD */
		{ 55, "read-drain" },		       /* DRD */
		{ 59, "posted-interrupts" },	       /* PI */
		{ 60, "first-stage-5-level" },	       /* FS5LP */
		{ 61, "enhanced-commands" },	       /* ECMDS */
		{ 62, "root-interrupt-invalidation" }, /* ESIRTPS */
		{ 63, "root-table-invalidation" },     /* ESRTPS */
	};
	struct caps_register reg = { .value = value };
	uint64_t domains = caps_take(&reg, 0, 3), sagaw = caps_take(&reg, 9, 3);
	uint64_t pages = caps_take(&reg, 34, 2), levels = sagaw << 3;

	u->has_cap = true;
	u->pages = sagaw != 0;
	u->first_1g = caps_take(&reg, 56, 1);
	/* ND: 4 + 2n bits of domain id; 7 is reserved. */
	if (domains < 7)
		caps_add(b, "domains", IOMMU_CAP_NUMBER, UINT64_C(1) << (4 + 2 * domains));
	else
		reg.taken &= ~UINT64_C(7);
	/* SAGAW: bit 1 is 39 bits in 3 levels, bit 2 48 in 4, bit 3 57 in 5. */
	caps_add(b, "table-levels", IOMMU_CAP_SET, levels);
	caps_add(b, "address-bits", IOMMU_CAP_NUMBER, caps_take(&reg, 16, 6) + 1); /* MGAW */
	/* SSLPS */
	if (u->pages)
		caps_add(b, "page-sizes", IOMMU_CAP_SIZES,
			 SIZE_4K | (pages & 1 ? SIZE_2M : 0) | (pages & 2 ? SIZE_1G : 0));
	caps_add(b, "fault-records", IOMMU_CAP_NUMBER, caps_take(&reg, 40, 8) + 1); /* NFR */
	caps_add(b, "max-address-mask", IOMMU_CAP_NUMBER, caps_take(&reg, 48, 6));  /* MAMV */
	caps_take(&reg, 24, 10); /* FRO: where the fault records are */
	caps_take_flags(b, &reg, flags, ARRAY_SIZE(flags));
	caps_rest(b, &reg, "cap");
}

/* 11.4.3 */
static void decode_ecap(struct caps_builder *b, uint64_t value, struct units *u)
{
	static const struct caps_flag flags[] = {
		{ 0, "coherent" },		  /* C */
		{ 1, "queued-invalidation" },	  /* QI */
		{ 2, "device-tlb" },		  /* DT */
		{ 3, "interrupt-remapping" },	  /* IR */
		{ 4, "extended-interrupts" },	  /* EIM */
		{ 6, "pass-through" },		  /* PT */
		{ 7, "snoop-control" },		  /* SC */
		{ 25, "memory-types" },		  /* MTS */
		{ 26, "nested" },		  /* NEST */
		{ 29, "pri" },			  /* PRS */
		{ 30, "execute-requests" },	  /* ERS */
		{ 31, "supervisor-requests" },	  /* SRS */
		{ 33, "no-write-flag" },	  /* NWFS */
		{ 34, "extended-accessed-flag" }, /* EAFS */
		{ 41, "device-tlb-throttle" },	  /* DIT */
		{ 42, "page-request-drain" },	  /* PDS */
		{ 44, "virtual-commands" },	  /* VCS */
		{ 45, "dirty-tracking" },	  /* SSADS */
		{ 48, "scalable-coherent" },	  /* SMPWCS */
		{ 49, "request-id-pasid" },	  /* RPS */
		{ 51, "performance-monitoring" }, /* PMS */
		{ 52, "abort-dma" },		  /* ADMS */
		{ 53, "request-id-privilege" },	  /* RPRIVS */
		{ 58, "stop-marker" },		  /* SMS */
	};
	struct caps_register reg = { .value = value };
	bool pasid = caps_take(&reg, 40, 1);
	uint64_t pasid_bits = caps_take(&reg, 35, 5); /* PSS */

	u->has_ecap = true;
	u->scalable = caps_take(&reg, 43, 1);
	u->second = caps_take(&reg, 46, 1);
	u->first = caps_take(&reg, 47, 1);
	caps_add(b, "pasid", IOMMU_CAP_FLAG, pasid);
	if (pasid)
		caps_add(b, "pasid-bits", IOMMU_CAP_NUMBER, pasid_bits + 1);
	caps_add(b, "scalable", IOMMU_CAP_FLAG, u->scalable);
	caps_add(b, "max-handle-mask", IOMMU_CAP_NUMBER, caps_take(&reg, 20, 4)); /* MHMV */
	caps_take(&reg, 8, 10); /* IRO: where the IOTLB registers are */
	caps_take_flags(b, &reg, flags, ARRAY_SIZE(flags));
	caps_rest(b, &reg, "ecap");
}

void caps_decode_intel(struct caps_builder *b, const struct caps_source *source)
{
	const struct iommu_attr *cap = caps_attr(source->attrs, source->n, "intel-iommu/cap");
	const struct iommu_attr *ecap = caps_attr(source->attrs, source->n, "intel-iommu/ecap");
	struct units u = { 0 };
	uint64_t value;

	caps_add_text(b, "translation", "page-tables");
	if (caps_hex(cap, 0, 0, &value))
		decode_cap(b, value, &u);
	if (caps_hex(ecap, 0, 0, &value))
		decode_ecap(b, value, &u);
	if (!u.has_cap || !u.has_ecap)
		return;
	/* In legacy mode (3.4) a unit translates by second-stage tables, and by them alone. */
	caps_add(b, "second-stage", IOMMU_CAP_FLAG, u.scalable ? u.second : u.pages);
	caps_add(b, "first-stage", IOMMU_CAP_FLAG, u.scalable && u.first);
	/* 3.6: first-stage tables map 4 KiB and 2 MiB always. */
	if (u.scalable && u.first)
		caps_add(b, "first-stage-page-sizes", IOMMU_CAP_SIZES,
			 SIZE_4K | SIZE_2M | (u.first_1g ? SIZE_1G : 0));
}
