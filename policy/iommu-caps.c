/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The list of an IOMMU's capabilities, and what its decoders share. What the bits of each kind mean
 * is in iommu-intel.c, iommu-amd.c and iommu-other.c.
 */

#include "policy/iommu-caps.h"

void iommu_caps_done(struct iommu_caps *caps)
{
	for (size_t i = 0; i < caps->n; i++)
		free(caps->items[i].text);
	free(caps->items);
	*caps = (struct iommu_caps){};
}

bool iommu_caps_equal(const struct iommu_caps *a, const struct iommu_caps *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		const struct iommu_cap *x = &a->items[i], *y = &b->items[i];

		if (!streq(x->key, y->key) || x->type != y->type || x->value != y->value ||
		    !streq0(x->text, y->text))
			return false;
	}
	return true;
}

const struct iommu_cap *iommu_caps_find(const struct iommu_caps *caps, const char *key,
					enum iommu_cap_type type)
{
	for (size_t i = 0; i < caps->n; i++)
		if (caps->items[i].type == type && streq(caps->items[i].key, key))
			return &caps->items[i];
	return NULL;
}

/* ---- building */

static struct iommu_cap *add(struct caps_builder *b, const char *key, enum iommu_cap_type type)
{
	struct iommu_cap *cap;

	if (b->error < 0)
		return NULL;
	b->error = ARRAY_RESERVE_ONE(b->caps->items, b->caps->n);
	if (b->error < 0)
		return NULL;
	cap = &b->caps->items[b->caps->n++];
	*cap = (struct iommu_cap){ .key = key, .type = type };
	return cap;
}

void caps_add(struct caps_builder *b, const char *key, enum iommu_cap_type type, uint64_t value)
{
	struct iommu_cap *cap = add(b, key, type);

	if (cap)
		cap->value = value;
}

void caps_add_text(struct caps_builder *b, const char *key, const char *text)
{
	struct iommu_cap *cap = add(b, key, IOMMU_CAP_TEXT);

	if (!cap)
		return;
	cap->text = strdup(text);
	if (cap->text)
		return;
	b->caps->n--;
	b->error = -ENOMEM;
}

uint64_t caps_take(struct caps_register *reg, unsigned int low, unsigned int bits)
{
	uint64_t mask = bits < 64 ? (UINT64_C(1) << bits) - 1 : UINT64_MAX;

	reg->taken |= mask << low;
	return reg->value >> low & mask;
}

void caps_take_flags(struct caps_builder *b, struct caps_register *reg,
		     const struct caps_flag *flags, size_t n)
{
	for (size_t i = 0; i < n; i++)
		caps_add(b, flags[i].key, IOMMU_CAP_FLAG, caps_take(reg, flags[i].bit, 1));
}

void caps_rest(struct caps_builder *b, const struct caps_register *reg, const char *name)
{
	uint64_t rest = reg->value & ~reg->taken;

	if (rest)
		caps_add(b, name, IOMMU_CAP_UNKNOWN, rest);
}

/* ---- attributes */

const struct iommu_attr *caps_attr(const struct iommu_attr *attrs, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (streq(attrs[i].name, name))
			return &attrs[i];
	return NULL;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool caps_hex(const struct iommu_attr *attr, size_t from, char end, uint64_t *value)
{
	size_t i = from;
	uint64_t v = 0;

	if (!attr || from > attr->size)
		return false;
	if (attr->size - i > 2 && attr->data[i] == '0' && (attr->data[i + 1] | 0x20) == 'x')
		i += 2;
	from = i;
	for (; i < attr->size && attr->data[i] != end; i++) {
		int digit = hex_digit(attr->data[i]);

		if (digit < 0 || i - from >= 16)
			return false;
		v = v << 4 | (uint64_t)digit;
	}
	*value = v;
	return i > from;
}

/* The text of every attribute that is text, under the last part of its name. */
static void add_texts(struct caps_builder *b, const struct caps_source *source)
{
	static const char *const texts[] = {
		"intel-iommu/version",
		"intel-iommu/address",
		"intel-iommu/cap",
		"intel-iommu/ecap",
		"intel-iommu/domains_supported",
		"amd-iommu/cap",
		"amd-iommu/features",
		"device/features",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		const struct iommu_attr *attr = caps_attr(source->attrs, source->n, texts[i]);

		if (attr)
			caps_add_text(b, strchr(texts[i], '/') + 1, attr->data);
	}
}

int iommu_caps_decode(const char *driver, const char *name, const struct iommu_attr *attrs,
		      size_t n_attrs, struct iommu_caps *caps)
{
	static const struct {
		const char *driver;
		void (*decode)(struct caps_builder *b, const struct caps_source *source);
	} decoders[] = {
		{ "intel-iommu", caps_decode_intel },	{ "amd-iommu", caps_decode_amd },
		{ "arm-smmu", caps_decode_smmu },	{ "arm-smmu-v3", caps_decode_smmu },
		{ "virtio_iommu", caps_decode_virtio }, { "spapr-tce", caps_decode_spapr },
	};
	struct caps_source source = { .name = name, .attrs = attrs, .n = n_attrs };
	struct caps_builder b = { .caps = caps };

	*caps = (struct iommu_caps){};
	add_texts(&b, &source);
	for (size_t i = 0; i < ARRAY_SIZE(decoders); i++)
		if (streq(decoders[i].driver, driver))
			decoders[i].decode(&b, &source);
	if (b.error < 0)
		iommu_caps_done(caps);
	return b.error;
}
