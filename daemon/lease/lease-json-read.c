/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A lease from JSON text. Strict: what is not exactly what lease-json.c wrote is refused, for it
 * says what is done to the host.
 */

#include "daemon/lease/journal.h"
#include "daemon/lease/lease-fields.h"
#include "daemon/sysfs/attr.h"
#include "policy/json-scan.h"

#include <json.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

#define ENTRIES_MAX 4096 /* groups, devices, holders */

static struct json_object *put_object(struct json_object *root)
{
	json_object_put(root);
	return NULL;
}
DEFINE_CLEANUP(struct json_object *, put_object)

/* Says why, once. */
static int bad(char **why, const char *format, ...) _printf_(2, 3);
static int bad(char **why, const char *format, ...)
{
	va_list ap;
	int r;

	if (*why)
		return -EBADMSG;
	va_start(ap, format);
	r = vasprintf(why, format, ap);
	va_end(ap);
	if (r >= 0)
		return -EBADMSG;
	*why = NULL;
	return -ENOMEM;
}

static bool driver_valid(const char *s)
{
	return *s && !strchr(s, '/') && !streq(s, ".") && !streq(s, "..") && strlen(s) < NAME_MAX;
}

static bool path_valid(const char *s)
{
	return strncmp(s, "/sys/", 5) == 0 && !strstr(s, "/../") && !strstr(s, "//") &&
	       strlen(s) < PATH_MAX;
}

static int read_string(const struct field *field, struct json_object *value, void *at, char **why)
{
	const char *s;
	bool fine = true;
	char *copy;

	if (!json_object_is_type(value, json_type_string))
		return bad(why, "%s is not a string", field->key);
	s = json_object_get_string(value);
	if (field->type == FIELD_TYPE_NAME)
		fine = attr_name_valid(s);
	else if (field->type == FIELD_TYPE_DRIVER)
		fine = driver_valid(s);
	else if (field->type == FIELD_TYPE_PATH)
		fine = path_valid(s);
	if (!fine)
		return bad(why, "%s is not what it should be: \"%s\"", field->key, s);
	copy = strdup(s);
	if (!copy)
		return -ENOMEM;
	memcpy(at, &copy, sizeof(copy));
	return 0;
}

static int read_u32(const struct field *field, struct json_object *value, void *at, char **why)
{
	int64_t number;
	uint32_t u32;

	if (!json_object_is_type(value, json_type_int))
		return bad(why, "%s is not a number", field->key);
	number = json_object_get_int64(value);
	if (number < 0 || number > UINT32_MAX)
		return bad(why, "%s is out of range", field->key);
	u32 = (uint32_t)number;
	memcpy(at, &u32, sizeof(u32));
	return 0;
}

static int read_u64(const struct field *field, struct json_object *value, void *at, char **why)
{
	uint64_t u64;

	if (!json_object_is_type(value, json_type_string) ||
	    parse_uint(json_object_get_string(value), UINT64_MAX, &u64) < 0)
		return bad(why, "%s is not a number in a string", field->key);
	memcpy(at, &u64, sizeof(u64));
	return 0;
}

static int read_enum(const struct field *field, struct json_object *value, void *at, char **why)
{
	int number;

	if (!json_object_is_type(value, json_type_string))
		return bad(why, "%s is not a string", field->key);
	number = field->from_string(json_object_get_string(value));
	if (number < 0)
		return bad(why, "%s has an unknown value", field->key);
	memcpy(at, &number, sizeof(number));
	return 0;
}

static int read_bool(const struct field *field, struct json_object *value, void *at, char **why)
{
	if (!json_object_is_type(value, json_type_boolean))
		return bad(why, "%s is not true or false", field->key);
	*(bool *)at = json_object_get_boolean(value);
	return 0;
}

static int read_field(const struct field *field, struct json_object *from, void *to, char **why)
{
	void *at = (char *)to + field->offset;
	struct json_object *value;
	bool there = json_object_object_get_ex(from, field->key, &value);

	switch (field->type) {
	case FIELD_TYPE_DRIVER:
	case FIELD_TYPE_PATH:
	case FIELD_TYPE_TEXT:
		return there ? read_string(field, value, at, why) : 0;
	case FIELD_TYPE_FLAG:
		return there ? read_bool(field, value, at, why) : 0;
	case FIELD_TYPE_TIME:
		return there ? read_u64(field, value, at, why) : 0;
	case FIELD_TYPE_STAGE:
		return there ? read_enum(field, value, at, why) : 0;
	case FIELD_TYPE_NAME:
	case FIELD_TYPE_U32:
	case FIELD_TYPE_U64:
	case FIELD_TYPE_BOOL:
	case FIELD_TYPE_ENUM:
		break;
	}
	if (!there)
		return bad(why, "%s is missing", field->key);
	switch (field->type) {
	case FIELD_TYPE_U32:
		return read_u32(field, value, at, why);
	case FIELD_TYPE_U64:
		return read_u64(field, value, at, why);
	case FIELD_TYPE_ENUM:
		return read_enum(field, value, at, why);
	case FIELD_TYPE_BOOL:
		return read_bool(field, value, at, why);
	case FIELD_TYPE_NAME:
	case FIELD_TYPE_DRIVER:
	case FIELD_TYPE_PATH:
	case FIELD_TYPE_TEXT:
	case FIELD_TYPE_FLAG:
	case FIELD_TYPE_TIME:
	case FIELD_TYPE_STAGE:
		return read_string(field, value, at, why);
	}
	return -EINVAL;
}

static bool key_known(const char *key, const struct fields *fields, const char *const *more)
{
	for (size_t i = 0; i < fields->n; i++)
		if (streq(fields->items[i].key, key))
			return true;
	for (; more && *more; more++)
		if (streq(*more, key))
			return true;
	return false;
}

/* Reads the fields, and refuses members that are neither in the table nor in `more`. */
static int read_fields(struct json_object *from, const struct fields *fields,
		       const char *const *more, void *to, char **why)
{
	struct json_object_iterator at, end;

	if (!json_object_is_type(from, json_type_object))
		return bad(why, "something is not an object");
	at = json_object_iter_begin(from);
	end = json_object_iter_end(from);
	for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at))
		if (!key_known(json_object_iter_peek_name(&at), fields, more))
			return bad(why, "unknown key \"%s\"", json_object_iter_peek_name(&at));
	for (size_t i = 0; i < fields->n; i++) {
		int r = read_field(&fields->items[i], from, to, why);

		if (r < 0)
			return r;
	}
	return 0;
}

static int get_array(struct json_object *root, const char *key, struct json_object **array,
		     char **why)
{
	if (!json_object_object_get_ex(root, key, array) ||
	    !json_object_is_type(*array, json_type_array))
		return bad(why, "%s is not an array", key);
	if (json_object_array_length(*array) > ENTRIES_MAX)
		return bad(why, "%s has too many entries", key);
	return 0;
}

static int read_groups(struct json_object *root, struct lease *lease, char **why)
{
	struct json_object *array;
	int r = get_array(root, "groups", &array, why);

	for (size_t i = 0; r >= 0 && i < json_object_array_length(array); i++) {
		struct lease_group group = { 0 };

		r = read_fields(json_object_array_get_idx(array, i), &lease_json_group, NULL,
				&group, why);
		if (r >= 0 && lease_group(lease, group.id))
			r = bad(why, "group %u is there twice", group.id);
		if (r >= 0)
			r = lease_add_group(lease, group.id, group.generation);
		if (r >= 0)
			*lease_group(lease, group.id) = group;
		else
			free(group.type);
	}
	return r;
}

static int read_device(struct json_object *from, struct lease *lease, char **why)
{
	struct json_object *value;
	struct lease_device *device, scratch;
	const char *name;
	int r;

	if (!json_object_is_type(from, json_type_object) ||
	    !json_object_object_get_ex(from, "name", &value) ||
	    !json_object_is_type(value, json_type_string))
		return bad(why, "a device has no name");
	name = json_object_get_string(value);
	if (!attr_name_valid(name))
		return bad(why, "a device has the name \"%s\"", name);
	if (lease_device(lease, name))
		return bad(why, "device %s is there twice", name);
	device = lease_add_device(lease, name);
	if (!device)
		return -ENOMEM;
	/* The entry's own copy of the name goes; the table brings one. */
	scratch = *device;
	device->name = NULL;
	r = read_fields(from, &lease_json_device, NULL, device, why);
	if (device->name)
		free(scratch.name);
	else
		device->name = scratch.name;
	if (r >= 0 && !lease_group(lease, device->group))
		return bad(why, "device %s is in no group of the lease", name);
	return r;
}

static int read_devices(struct json_object *root, struct lease *lease, char **why)
{
	struct json_object *array;
	int r = get_array(root, "devices", &array, why);

	for (size_t i = 0; r >= 0 && i < json_object_array_length(array); i++)
		r = read_device(json_object_array_get_idx(array, i), lease, why);
	return r;
}

static int read_holders(struct json_object *root, struct lease *lease, char **why)
{
	struct json_object *array;
	int r = get_array(root, "holders", &array, why);

	for (size_t i = 0; r >= 0 && i < json_object_array_length(array); i++) {
		r = ARRAY_RESERVE_ONE(lease->holders, lease->n_holders);
		if (r >= 0)
			r = read_fields(json_object_array_get_idx(array, i), &lease_json_holder,
					NULL, &lease->holders[lease->n_holders++], why);
	}
	return r;
}

/* 16 hexadecimal digits: it is the name of the file, too. */
static bool id_valid(const char *id)
{
	return strlen(id) == 16 && strspn(id, "0123456789abcdef") == 16;
}

/* Absent from leases that have placed nothing. An emulated device has no name. */
static int read_guest(struct json_object *root, struct lease *lease, char **why)
{
	static const struct fields none = { NULL, 0 };
	static const char *const keys[] = { "device", "address", NULL };
	struct json_object *array, *value;
	int r;

	if (!json_object_object_get_ex(root, "guest", &array))
		return 0;
	r = get_array(root, "guest", &array, why);
	for (size_t i = 0; r >= 0 && i < json_object_array_length(array); i++) {
		struct json_object *from = json_object_array_get_idx(array, i);
		struct guest_address address;
		const char *device = NULL;

		r = read_fields(from, &none, keys, NULL, why);
		if (r >= 0 && json_object_object_get_ex(from, "device", &value)) {
			device = json_object_get_string(value);
			if (!attr_name_valid(device) || guest_bus_device(&lease->guest, device))
				r = bad(why, "an entry of guest has the name \"%s\"", device);
		}
		if (r >= 0 && (!json_object_object_get_ex(from, "address", &value) ||
			       guest_address_parse(json_object_get_string(value), &address) < 0 ||
			       guest_bus_at(&lease->guest, address)))
			r = bad(why, "an entry of guest has no address of its own");
		if (r >= 0)
			r = guest_bus_put(&lease->guest, device, address);
	}
	return r;
}

static int read_lease(struct json_object *root, struct lease *lease, char **why)
{
	static const char *const more[] = {
		"version", "groups", "devices", "holders", "guest", NULL
	};
	char *id = STEAL(lease->id);
	int r;

	r = read_fields(root, &lease_json_lease, more, lease, why);
	if (lease->id)
		free(id);
	else
		lease->id = id;
	if (r >= 0 && !id_valid(lease->id))
		r = bad(why, "the id is not 16 hexadecimal digits");
	if (r >= 0 && lease->mode == MODE_AUTO)
		r = bad(why, "a lease has no mode \"auto\"");
	if (r >= 0)
		r = read_groups(root, lease, why);
	if (r >= 0)
		r = read_devices(root, lease, why);
	if (r >= 0)
		r = read_holders(root, lease, why);
	if (r >= 0)
		r = read_guest(root, lease, why);
	return r;
}

/* What json-c would let pass is refused before json-c sees it. */
static int parse(const char *text, size_t size, struct json_object **root, char **why)
{
	struct json_scan scan = { 0 };
	struct json_tokener *tokener;
	int r;

	if (size > INT_MAX)
		return bad(why, "too big");
	r = json_scan(text, size, &scan);
	if (r == -EBADMSG)
		r = bad(why, "%u:%u: %s", scan.error_place.line, scan.error_place.column,
			scan.error ? scan.error : "not JSON");
	json_scan_done(&scan);
	if (r < 0)
		return r;
	tokener = json_tokener_new_ex(JSON_SCAN_DEPTH_MAX + 1);
	if (!tokener)
		return -ENOMEM;
	/* Not JSON_TOKENER_STRICT: with it json-c 0.18 refuses whatever is not ASCII (char is
	 * signed there). The scan was stricter than that already. */
	json_tokener_set_flags(tokener, JSON_TOKENER_VALIDATE_UTF8);
	*root = json_tokener_parse_ex(tokener, text, (int)size);
	if (!*root)
		r = bad(why, "%s", json_tokener_error_desc(json_tokener_get_error(tokener)));
	json_tokener_free(tokener);
	return r;
}

int lease_from_json(const char *text, size_t size, struct lease **ret, char **why)
{
	_cleanup_(put_objectp) struct json_object *root = NULL;
	_cleanup_(lease_freep) struct lease *lease = lease_new("");
	struct json_object *version;
	int r;

	*why = NULL;
	if (!lease)
		return -ENOMEM;
	r = parse(text, size, &root, why);
	if (r < 0)
		return r;
	if (!json_object_object_get_ex(root, "version", &version) ||
	    !json_object_is_type(version, json_type_int) ||
	    json_object_get_int64(version) != JOURNAL_VERSION)
		return bad(why, "it is not of version %d", JOURNAL_VERSION);
	r = read_lease(root, lease, why);
	if (r < 0)
		return r;
	*ret = STEAL(lease);
	return 0;
}
