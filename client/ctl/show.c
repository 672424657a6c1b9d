/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vfiodctl show: everything that is known of one device, group, IOMMU or lease.
 */

#include "client/ctl/bus-json.h"
#include "client/ctl/names.h"
#include "client/ctl/picture.h"
#include "client/ctl/term.h"

#include <inttypes.h>
#include <time.h>

/* Whether what was typed means this object. */
static bool means(json_object *object, const char *interface, const char *typed, const char *device)
{
	char id[24];

	if (streq(prop_string(object, "Path"), typed))
		return true;
	if (streq(interface, IFACE_GROUP)) {
		snprintf(id, sizeof(id), "%" PRId64, prop_int(object, "Id"));
		return streq(typed, id) ||
		       (strncmp(typed, "group:", 6) == 0 && streq(typed + 6, id));
	}
	if (streq(interface, IFACE_LEASE))
		return streq(typed, prop_string(object, "Id")) ||
		       streq(typed, prop_string(object, "Name")) ||
		       (strncmp(typed, "lease:", 6) == 0 &&
			streq(typed + 6, prop_string(object, "Id")));
	return streq(device, prop_string(object, "Name"));
}

/* The first object that is meant, devices before groups before IOMMUs before leases. */
static const char *find(const struct picture *picture, const char *typed, const char **interface)
{
	static const char *const interfaces[] = { IFACE_DEVICE, IFACE_GROUP, IFACE_IOMMU,
						  IFACE_LEASE };
	_cleanup_free_ char *device = device_argument(typed);

	for (size_t i = 0; device && i < ARRAY_SIZE(interfaces); i++) {
		json_object_object_foreach (picture->objects, path, all) {
			json_object *object;

			if (!json_object_object_get_ex(all, interfaces[i], &object) ||
			    !means(object, interfaces[i], typed, device))
				continue;
			*interface = interfaces[i];
			return path;
		}
	}
	return NULL;
}

/* One value in words. New, or NULL when out of memory. */
static char *value_text(const struct picture *picture, const char *name, json_object *value)
{
	_cleanup_strv_ char **items = NULL;
	const char *s;
	char *text;
	int r = 0;

	if (json_object_is_type(value, json_type_array)) {
		for (size_t i = 0; r >= 0 && i < json_object_array_length(value); i++) {
			_cleanup_free_ char *item =
				value_text(picture, name, json_object_array_get_idx(value, i));

			r = item ? strv_extend(&items, item) : -ENOMEM;
		}
		return r < 0 ? NULL : strv_join(items, "  ");
	}
	if (json_object_is_type(value, json_type_boolean))
		return strdup(json_object_get_boolean(value) ? "yes" : "no");
	if (streq(name, "Vendor") || streq(name, "Product") || streq(name, "SubsystemVendor") ||
	    streq(name, "SubsystemProduct"))
		r = asprintf(&text, "%04" PRIx64, json_object_get_int64(value));
	else if (streq(name, "Class"))
		r = asprintf(&text, "%06" PRIx64, json_object_get_int64(value));
	else if (streq(name, "ReservedRegions") && json_object_is_type(value, json_type_int))
		r = asprintf(&text, "%#" PRIx64, json_object_get_uint64(value));
	else if (json_object_is_type(value, json_type_string)) {
		s = json_object_get_string(value);
		if (streq(s, "/"))
			return strdup("");
		return strdup(strncmp(s, "/org/vfiod1/", 12) == 0 ? picture_label(picture, s) : s);
	} else
		return strdup(
			json_object_to_json_string_ext(value, JSON_C_TO_STRING_NOSLASHESCAPE));
	return r < 0 ? NULL : text;
}

/* Owner and Since are numbers that mean something else to people. */
static char *special_text(const char *name, json_object *value)
{
	time_t seconds;
	struct tm tm;
	char text[64];

	if (streq(name, "Owner"))
		return user_name((uid_t)json_object_get_int64(value));
	seconds = (time_t)(json_object_get_uint64(value) / 1000000);
	if (!localtime_r(&seconds, &tm) || strftime(text, sizeof(text), "%F %T %Z", &tm) == 0)
		return strdup("?");
	return strdup(text);
}

#define LABEL_WIDTH 18

static int print_property(const struct ctl *ctl, const struct picture *picture, const char *name,
			  json_object *value)
{
	_cleanup_(line_done) struct line line = {};
	_cleanup_free_ char *text = NULL;

	text = streq(name, "Owner") || streq(name, "Since") ? special_text(name, value)
							    : value_text(picture, name, value);
	if (!text)
		return -ENOMEM;
	line_add(&line, STYLE_DIM, "%*s  ", LABEL_WIDTH, name);
	line_add(&line, streq(name, "State") ? style_of_state(text) : STYLE_PLAIN, "%s",
		 text[0] ? text : "-");
	return line_print(ctl, &line);
}

static bool is_list_of_rows(json_object *value)
{
	return json_object_is_type(value, json_type_array) && json_object_array_length(value) > 0 &&
	       json_object_is_type(json_object_array_get_idx(value, 0), json_type_array);
}

static int print_rows(const struct ctl *ctl, const struct picture *picture, const char *name,
		      json_object *rows)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < json_object_array_length(rows); i++)
		r = print_property(ctl, picture, name, json_object_array_get_idx(rows, i));
	return r;
}

/* What a reset reaches: devices, each with its group. New, or NULL when out of memory. */
static char *domain_text(const struct picture *picture, json_object *domain)
{
	_cleanup_strv_ char **items = NULL;

	for (size_t i = 0; i < json_object_array_length(domain); i++) {
		json_object *row = json_object_array_get_idx(domain, i);
		const char *device = json_object_get_string(json_object_array_get_idx(row, 0));
		const char *group = json_object_get_string(json_object_array_get_idx(row, 1));
		int r = !group || streq(group, "/")
				? strv_extend(&items, picture_label(picture, device))
				: strv_extendf(&items, "%s (group %s)",
					       picture_label(picture, device),
					       picture_label(picture, group));

		if (r < 0)
			return NULL;
	}
	return strv_join(items, ", ");
}

static int print_entries(const struct ctl *ctl, const struct picture *picture, const char *name,
			 json_object *entries)
{
	int r = 0;

	json_object_object_foreach (entries, key, value) {
		_cleanup_(line_done) struct line line = {};
		_cleanup_free_ char *text = NULL;

		if (r < 0)
			continue;
		text = is_list_of_rows(value) ? domain_text(picture, value)
					      : value_text(picture, key, value);
		if (!text)
			return -ENOMEM;
		line_add(&line, STYLE_DIM, "%*s  %s ", LABEL_WIDTH, name, key);
		line_add(&line, STYLE_PLAIN, "%s", text[0] ? text : "-");
		r = line_print(ctl, &line);
	}
	return r;
}

/* A property that is a list of tuples, or a dictionary, gets a line for each of them. */
static int print_properties(const struct ctl *ctl, const struct picture *picture,
			    json_object *object)
{
	int r = 0;

	json_object_object_foreach (object, name, value) {
		if (r < 0 || streq(name, "Path"))
			continue;
		if (is_list_of_rows(value))
			r = print_rows(ctl, picture, name, value);
		else if (json_object_is_type(value, json_type_object) &&
			 json_object_object_length(value) > 0)
			r = print_entries(ctl, picture, name, value);
		else if (json_object_is_type(value, json_type_object))
			continue;
		else
			r = print_property(ctl, picture, name, value);
	}
	return r;
}

/* What a call of a device without arguments gives: takes its place in the object, by this name. */
static int ask_device(struct ctl *ctl, const char *path, const char *member, const char *name,
		      json_object *device)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
	_cleanup_(vfiod_error_freep) struct vfiod_error *error = NULL;
	json_object *value = NULL;
	int r;

	r = sd_bus_message_new_method_call(vfiod_client_bus(ctl->client), &call, "org.vfiod1", path,
					   IFACE_DEVICE, member);
	if (r >= 0)
		r = vfiod_client_call(ctl->client, call, &reply, &error);
	if (r >= 0)
		r = bus_json_read(reply, &value);
	if (r < 0)
		return ctl_fail(error, r);
	if (json_object_object_add(device, name, value) < 0)
		return ctl_fail(NULL, -ENOMEM);
	return EXIT_OK;
}

/*
 * Uses as a property is from the last survey, and of kinds alone: GetUses looks anew. What a reset
 * reaches is no property.
 */
static int ask_more(struct ctl *ctl, const char *path, json_object *device)
{
	int r = ask_device(ctl, path, "GetUses", "Uses", device);

	return r == EXIT_OK ? ask_device(ctl, path, "GetResetDomains", "ResetDomains", device) : r;
}

static int show_one(struct ctl *ctl, const struct picture *picture, const char *typed)
{
	_cleanup_json_ json_object *object = NULL;
	const char *interface, *path;
	int r;

	path = find(picture, typed, &interface);
	if (!path)
		return ctl_say(EXIT_NOT_FOUND,
			       "There is no device, group, IOMMU or lease \"%s\": "
			       "\"vfiodctl tree\" shows what there is.",
			       typed);
	r = picture_read_one(ctl, path, interface, &object);
	if (r == EXIT_OK && streq(interface, IFACE_DEVICE))
		r = ask_more(ctl, path, object);
	if (r != EXIT_OK)
		return r;
	if (ctl->json != JSON_OFF)
		return ctl_print_json(ctl, object);
	r = print_properties(ctl, picture, object);
	return r < 0 ? ctl_fail(NULL, r) : EXIT_OK;
}

int verb_show(struct ctl *ctl, int argc, char *argv[])
{
	_cleanup_(picture_done) struct picture picture = {};
	int r = ctl_common_options(ctl, argc, argv);

	if (r >= 0)
		return r;
	if (optind == argc) {
		usage_verb(stderr, argv[0]);
		return EXIT_USAGE;
	}
	r = picture_read(ctl, &picture);
	for (int i = optind; r == EXIT_OK && i < argc; i++) {
		if (i > optind && ctl->json == JSON_OFF)
			putchar('\n');
		r = show_one(ctl, &picture, argv[i]);
	}
	return r;
}
