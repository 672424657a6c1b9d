/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * D-Bus to JSON. The bus has checked types, depth and UTF-8 before a message gets here.
 */

#include "client/ctl/bus-json.h"

#include <inttypes.h>

static int read_basic(sd_bus_message *m, char type, json_object **value)
{
	union {
		uint8_t y;
		int b;
		int16_t n;
		uint16_t q;
		int32_t i;
		uint32_t u;
		int64_t x;
		uint64_t t;
		double d;
		const char *s;
		int h;
	} v;
	int r;

	r = sd_bus_message_read_basic(m, type, &v);
	if (r <= 0)
		return r;
	switch (type) {
	case 'y':
		*value = json_object_new_int64(v.y);
		break;
	case 'b':
		*value = json_object_new_boolean(v.b);
		break;
	case 'n':
		*value = json_object_new_int64(v.n);
		break;
	case 'q':
		*value = json_object_new_int64(v.q);
		break;
	case 'i':
		*value = json_object_new_int64(v.i);
		break;
	case 'u':
		*value = json_object_new_int64(v.u);
		break;
	case 'x':
		*value = json_object_new_int64(v.x);
		break;
	case 't':
		*value = json_object_new_uint64(v.t);
		break;
	case 'd':
		*value = json_object_new_double(v.d);
		break;
	case 'h':
		*value = NULL;
		return 1;
	default: /* s, o, g */
		*value = json_object_new_string(v.s);
		break;
	}
	return *value ? 1 : -ENOMEM;
}

static int read_items(sd_bus_message *m, json_object **value)
{
	_cleanup_json_ json_object *array = json_object_new_array();
	json_object *item = NULL;
	int r;

	if (!array)
		return -ENOMEM;
	while ((r = bus_json_read(m, &item)) > 0)
		if (json_object_array_add(array, item) < 0) {
			json_object_put(item);
			return -ENOMEM;
		}
	if (r < 0)
		return r;
	*value = STEAL(array);
	return 1;
}

static int add_entry(sd_bus_message *m, json_object *object)
{
	_cleanup_json_ json_object *key = NULL;
	json_object *item = NULL;
	int r;

	r = bus_json_read(m, &key);
	if (r <= 0)
		return r < 0 ? r : -EBADMSG;
	r = bus_json_read(m, &item);
	if (r <= 0)
		return r < 0 ? r : -EBADMSG;
	if (json_object_object_add(object, json_object_get_string(key), item) < 0) {
		json_object_put(item);
		return -ENOMEM;
	}
	return 0;
}

static int read_entries(sd_bus_message *m, const char *types, json_object **value)
{
	_cleanup_json_ json_object *object = json_object_new_object();
	int r;

	if (!object)
		return -ENOMEM;
	while ((r = sd_bus_message_enter_container(m, 'e', types)) > 0) {
		r = add_entry(m, object);
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	*value = STEAL(object);
	return 1;
}

/* contents of an array of dictionary entries: "{sv}"; their types without the braces: "sv" */
static int read_array(sd_bus_message *m, const char *contents, json_object **value)
{
	_cleanup_free_ char *types = NULL;

	if (contents[0] != '{')
		return read_items(m, value);
	types = strndup(contents + 1, strlen(contents) - 2);
	if (!types)
		return -ENOMEM;
	return read_entries(m, types, value);
}

static int read_container(sd_bus_message *m, char type, const char *contents, json_object **value)
{
	_cleanup_json_ json_object *v = NULL;
	int r;

	r = sd_bus_message_enter_container(m, type, contents);
	if (r < 0)
		return r;
	if (type == 'v')
		r = bus_json_read(m, &v);
	else if (type == 'a')
		r = read_array(m, contents, &v);
	else
		r = read_items(m, &v);
	if (r >= 0)
		r = sd_bus_message_exit_container(m);
	if (r < 0)
		return r;
	*value = STEAL(v);
	return 1;
}

int bus_json_read(sd_bus_message *message, json_object **value)
{
	const char *contents;
	char type;
	int r;

	r = sd_bus_message_peek_type(message, &type, &contents);
	if (r <= 0)
		return r;
	if (contents)
		return read_container(message, type, contents, value);
	return read_basic(message, type, value);
}
