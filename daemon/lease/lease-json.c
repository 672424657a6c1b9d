/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A lease as JSON text. The way back is lease-json-read.c's, what is written lease-fields.c's, and
 * the files journal.c's.
 */

#include "daemon/lease/journal.h"
#include "daemon/lease/lease-fields.h"

#include <inttypes.h>
#include <json.h>
#include <stdio.h>

static struct json_object *put_object(struct json_object *root)
{
	json_object_put(root);
	return NULL;
}
DEFINE_CLEANUP(struct json_object *, put_object)

/* Takes value. */
static int add_member(struct json_object *to, const char *key, struct json_object *value)
{
	if (!value)
		return -ENOMEM;
	if (json_object_object_add(to, key, value) == 0)
		return 0;
	json_object_put(value);
	return -ENOMEM;
}

static struct json_object *number_string(uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	return json_object_new_string(text);
}

static int write_field(struct json_object *to, const struct field *field, const void *from)
{
	const void *at = (const char *)from + field->offset;
	const char *s;
	uint32_t u32;
	uint64_t u64;
	int value;

	switch (field->type) {
	case FIELD_TYPE_NAME:
	case FIELD_TYPE_DRIVER:
	case FIELD_TYPE_PATH:
	case FIELD_TYPE_TEXT:
		memcpy(&s, at, sizeof(s));
		return s ? add_member(to, field->key, json_object_new_string(s)) : 0;
	case FIELD_TYPE_U32:
		memcpy(&u32, at, sizeof(u32));
		return add_member(to, field->key, json_object_new_int64(u32));
	case FIELD_TYPE_U64:
		memcpy(&u64, at, sizeof(u64));
		return add_member(to, field->key, number_string(u64));
	case FIELD_TYPE_TIME:
		memcpy(&u64, at, sizeof(u64));
		return u64 ? add_member(to, field->key, number_string(u64)) : 0;
	case FIELD_TYPE_FLAG:
		if (!*(const bool *)at)
			return 0;
		return add_member(to, field->key, json_object_new_boolean(true));
	case FIELD_TYPE_BOOL:
		return add_member(to, field->key, json_object_new_boolean(*(const bool *)at));
	case FIELD_TYPE_STAGE:
		memcpy(&value, at, sizeof(value));
		if (!value)
			return 0;
		s = field->to_string(value);
		return s ? add_member(to, field->key, json_object_new_string(s)) : -EINVAL;
	case FIELD_TYPE_ENUM:
		memcpy(&value, at, sizeof(value));
		s = field->to_string(value);
		return s ? add_member(to, field->key, json_object_new_string(s)) : -EINVAL;
	}
	return -EINVAL;
}

static int write_fields(struct json_object *to, const struct fields *fields, const void *from)
{
	for (size_t i = 0; i < fields->n; i++) {
		int r = write_field(to, &fields->items[i], from);

		if (r < 0)
			return r;
	}
	return 0;
}

/* An array of objects with the same fields. */
static int write_array(struct json_object *to, const char *key, const struct fields *fields,
		       const void *items, size_t n, size_t size)
{
	struct json_object *array = json_object_new_array();
	int r = add_member(to, key, array);

	for (size_t i = 0; r >= 0 && i < n; i++) {
		struct json_object *item = json_object_new_object();

		if (!item)
			return -ENOMEM;
		if (json_object_array_add(array, item) < 0) {
			json_object_put(item);
			return -ENOMEM;
		}
		r = write_fields(item, fields, (const char *)items + i * size);
	}
	return r;
}

/* Nothing for a lease that has placed nothing. */
static int write_guest(struct json_object *to, const struct guest_bus *bus)
{
	struct json_object *array = bus->n > 0 ? json_object_new_array() : NULL;
	char address[GUEST_ADDRESS_SIZE];
	int r = bus->n > 0 ? add_member(to, "guest", array) : 0;

	for (size_t i = 0; r >= 0 && i < bus->n; i++) {
		struct json_object *item = json_object_new_object();

		if (!item)
			return -ENOMEM;
		if (json_object_array_add(array, item) < 0) {
			json_object_put(item);
			return -ENOMEM;
		}
		guest_address_format(bus->items[i].address, address);
		r = add_member(item, "address", json_object_new_string(address));
		if (r >= 0 && bus->items[i].device)
			r = add_member(item, "device",
				       json_object_new_string(bus->items[i].device));
	}
	return r;
}

int lease_to_json(const struct lease *lease, char **text)
{
	_cleanup_(put_objectp) struct json_object *root = json_object_new_object();
	const char *s;
	int r;

	if (!root)
		return -ENOMEM;
	r = add_member(root, "version", json_object_new_int(JOURNAL_VERSION));
	if (r >= 0)
		r = write_fields(root, &lease_json_lease, lease);
	if (r >= 0)
		r = write_array(root, "groups", &lease_json_group, lease->groups, lease->n_groups,
				sizeof(*lease->groups));
	if (r >= 0)
		r = write_array(root, "devices", &lease_json_device, lease->devices,
				lease->n_devices, sizeof(*lease->devices));
	if (r >= 0)
		r = write_array(root, "holders", &lease_json_holder, lease->holders,
				lease->n_holders, sizeof(*lease->holders));
	if (r >= 0)
		r = write_guest(root, &lease->guest);
	if (r < 0)
		return r;
	s = json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY |
							 JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!s || asprintf(text, "%s\n", s) < 0)
		return -ENOMEM;
	return 0;
}
