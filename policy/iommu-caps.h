/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What an IOMMU can do: decoded from what sysfs shows of it, as a list of named values that the
 * bus shows as they are. The names are the same for every kind of IOMMU where the thing is the
 * same; a name that is not there is one that sysfs does not tell, which is not "no". Bits of a
 * register that the decoders do not know are kept. Nothing is read here: daemon/sysfs/ does.
 */

#include "policy/base.h"

/* An attribute as read; data ends with a NUL that size does not count. Borrowed. */
struct iommu_attr {
	const char *name; /* below the IOMMU's directory: "intel-iommu/cap" */
	const char *data;
	size_t size;
};

enum iommu_cap_type {
	IOMMU_CAP_FLAG,	   /* value is 0 or 1 */
	IOMMU_CAP_NUMBER,  /* value, 32 bits */
	IOMMU_CAP_LONG,	   /* value, 64 bits */
	IOMMU_CAP_SIZES,   /* a bit for each power of two, in bytes */
	IOMMU_CAP_SET,	   /* a bit for each number */
	IOMMU_CAP_TEXT,	   /* text, as sysfs has it */
	IOMMU_CAP_UNKNOWN, /* bits of the register `key` that mean nothing to us; never 0 */
	IOMMU_CAP_TYPE_MAX,
	IOMMU_CAP_TYPE_INVALID = -1,
};

struct iommu_cap {
	const char *key; /* literal */
	enum iommu_cap_type type;
	uint64_t value;
	char *text;
};

struct iommu_caps {
	struct iommu_cap *items;
	size_t n;
};

void iommu_caps_done(struct iommu_caps *caps);
bool iommu_caps_equal(const struct iommu_caps *a, const struct iommu_caps *b);
/* The one of this key and type; NULL: sysfs does not tell. */
const struct iommu_cap *iommu_caps_find(const struct iommu_caps *caps, const char *key,
					enum iommu_cap_type type);

/*
 * Decodes by the driver's name ("intel-iommu", …); name is the IOMMU's own. An attribute that is no
 * register value gives nothing but its text. Fills *caps, of the caller; 0 or -ENOMEM.
 */
int iommu_caps_decode(const char *driver, const char *name, const struct iommu_attr *attrs,
		      size_t n_attrs, struct iommu_caps *caps);

/* ---- for the decoders, iommu-*.c */

/* Caps under construction: the first error sticks. */
struct caps_builder {
	struct iommu_caps *caps;
	int error;
};

void caps_add(struct caps_builder *b, const char *key, enum iommu_cap_type type, uint64_t value);
void caps_add_text(struct caps_builder *b, const char *key, const char *text);

/* Flags of a register: bit and key. What is not NULL-keyed is added, set or not. */
struct caps_flag {
	unsigned int bit;
	const char *key;
};

/*
 * A register being decoded: who takes bits out of it says so, and what nobody took is unknown. It
 * is taken whether it is set or not.
 */
struct caps_register {
	uint64_t value;
	uint64_t taken;
};
uint64_t caps_take(struct caps_register *reg, unsigned int low, unsigned int bits);
void caps_take_flags(struct caps_builder *b, struct caps_register *reg,
		     const struct caps_flag *flags, size_t n);
/* Adds what is set and was not taken, under the register's name. */
void caps_rest(struct caps_builder *b, const struct caps_register *reg, const char *name);

const struct iommu_attr *caps_attr(const struct iommu_attr *attrs, size_t n, const char *name);
/* The hexadecimal number at the beginning of an attribute, up to `end`; false: there is none. */
bool caps_hex(const struct iommu_attr *attr, size_t from, char end, uint64_t *value);

struct caps_source {
	const char *name; /* of the IOMMU */
	const struct iommu_attr *attrs;
	size_t n;
};
void caps_decode_intel(struct caps_builder *b, const struct caps_source *source);
void caps_decode_amd(struct caps_builder *b, const struct caps_source *source);
void caps_decode_smmu(struct caps_builder *b, const struct caps_source *source);
void caps_decode_virtio(struct caps_builder *b, const struct caps_source *source);
void caps_decode_spapr(struct caps_builder *b, const struct caps_source *source);
