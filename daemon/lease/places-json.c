/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The text of a file of places:
 *
 *   { "version": 1, "leases": { "vm1": { "used": "MICROSECONDS", "devices": {
 *     "0000:03:00.0": "00:1e.0" } } } }
 */

#include "daemon/lease/places-names.h"

#include "daemon/sysfs/attr.h"
#include "policy/json-read.h"
#include "policy/utf8.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>

#define PLACES_VERSION 1

/* ---- writing */

/* Takes value. */
static int add(struct json_object *to, const char *key, struct json_object *value)
{
	if (value && json_object_object_add(to, key, value) == 0)
		return 0;
	json_object_put(value);
	return -ENOMEM;
}

static int add_devices(struct json_object *to, const struct guest_bus *bus)
{
	struct json_object *devices = json_object_new_object();
	char address[GUEST_ADDRESS_SIZE];
	int r = add(to, "devices", devices);

	for (size_t i = 0; r == 0 && i < bus->n; i++)
		r = add(devices, bus->items[i].device,
			json_object_new_string(
				guest_address_format(bus->items[i].address, address)));
	return r;
}

static int add_name(struct json_object *to, const struct places_name *name)
{
	struct json_object *object = json_object_new_object();
	char used[24];
	int r = add(to, name->name, object);

	snprintf(used, sizeof(used), "%" PRIu64, name->used_usec);
	if (r == 0)
		r = add(object, "used", json_object_new_string(used));
	return r < 0 ? r : add_devices(object, &name->bus);
}

char *places_to_json(const struct places_names *names)
{
	struct json_object *root = json_object_new_object(), *leases = json_object_new_object();
	char *text = NULL;
	int r = -ENOMEM;

	if (root)
		r = add(root, "version", json_object_new_int(PLACES_VERSION));
	if (r == 0)
		r = add(root, "leases", leases);
	else
		json_object_put(leases);
	for (size_t i = 0; r == 0 && i < names->n; i++)
		r = add_name(leases, &names->items[i]);
	if (r == 0)
		text = strdup(json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY));
	json_object_put(root);
	return text;
}

/* ---- reading */

static int bad(char **why, const char *format, ...) _printf_(2, 3);
static int bad(char **why, const char *format, ...)
{
	va_list ap;
	int r;

	va_start(ap, format);
	r = vasprintf(why, format, ap);
	va_end(ap);
	if (r < 0)
		*why = NULL;
	return r < 0 ? -ENOMEM : -EBADMSG;
}

static const char *string_of(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) &&
			       json_object_is_type(value, json_type_string)
		       ? json_object_get_string(value)
		       : NULL;
}

static int read_devices(struct json_object *object, struct places_name *name, char **why)
{
	struct json_object *devices;

	if (!json_object_object_get_ex(object, "devices", &devices) ||
	    !json_object_is_type(devices, json_type_object) ||
	    json_object_object_length(devices) > GUEST_ENTRIES_MAX)
		return bad(why, "the devices of \"%s\" make no sense", name->name);
	json_object_object_foreach (devices, device, value) {
		struct guest_address address;
		int r;

		if (!attr_name_valid(device) || !json_object_is_type(value, json_type_string) ||
		    guest_address_parse(json_object_get_string(value), &address) < 0)
			return bad(why, "a device of \"%s\" has no address", name->name);
		if (guest_bus_at(&name->bus, address))
			return bad(why, "two devices of \"%s\" have the address %s", name->name,
				   json_object_get_string(value));
		r = guest_bus_put(&name->bus, device, address);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_name(struct json_object *object, const char *key, struct places_names *names,
		     char **why)
{
	struct places_name *name;
	const char *used;

	if (names->n >= PLACES_NAMES_MAX)
		return bad(why, "it has more than %d names", PLACES_NAMES_MAX);
	if (ARRAY_RESERVE_ONE(names->items, names->n) < 0)
		return -ENOMEM;
	name = &names->items[names->n++];
	name->name = strdup(key);
	if (!name->name)
		return -ENOMEM;
	if (!json_object_is_type(object, json_type_object) ||
	    json_object_object_length(object) != 2)
		return bad(why, "the entry of \"%s\" makes no sense", key);
	used = string_of(object, "used");
	if (!used || parse_uint(used, UINT64_MAX, &name->used_usec) < 0)
		return bad(why, "\"%s\" was used at no time", key);
	name->kept_usec = name->used_usec;
	return read_devices(object, name, why);
}

static int name_compare(const void *a, const void *b)
{
	const struct places_name *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int read_root(struct json_object *root, struct places_names *names, char **why)
{
	struct json_object *version, *leases;
	int r = 0;

	if (!json_object_object_get_ex(root, "version", &version) ||
	    !json_object_is_type(version, json_type_int) ||
	    json_object_get_int64(version) != PLACES_VERSION)
		return bad(why, "it is not of version %d", PLACES_VERSION);
	if (!json_object_object_get_ex(root, "leases", &leases) ||
	    !json_object_is_type(leases, json_type_object) || json_object_object_length(root) != 2)
		return bad(why, "it has no leases, or more than these");
	json_object_object_foreach (leases, key, value) {
		r = read_name(value, key, names, why);
		if (r < 0)
			return r;
	}
	if (names->n > 0)
		qsort(names->items, names->n, sizeof(*names->items), name_compare);
	return 0;
}

int places_from_json(const char *text, size_t size, struct places_names *names, char **why)
{
	struct json_document document;
	int r;

	*names = (struct places_names){};
	*why = NULL;
	r = json_document_read(text, size, &document);
	if (r == -EBADMSG)
		r = bad(why, "%u:%u: %s", document.scan.error_place.line,
			document.scan.error_place.column,
			document.scan.error ? document.scan.error : "not JSON");
	else if (r == 0)
		r = read_root(document.root, names, why);
	json_document_done(&document);
	if (r < 0)
		places_names_done(names);
	return r;
}
