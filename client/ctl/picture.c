/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The picture of all objects, and the small questions that verbs ask of it.
 */

#include "client/ctl/picture.h"
#include "client/ctl/bus-json.h"
#include "client/ctl/names.h"

#include <inttypes.h>
#include <unistd.h>

int picture_from_message(sd_bus_message *reply, struct picture *picture)
{
	int r = bus_json_read(reply, &picture->objects);

	if (r < 0)
		return r;
	if (r == 0 || !json_object_is_type(picture->objects, json_type_object))
		return -EBADMSG;
	json_object_object_foreach (picture->objects, path, interfaces) {
		json_object_object_foreach (interfaces, interface, properties) {
			json_object *value;

			if (strncmp(interface, "org.vfiod1.", 11) != 0)
				continue;
			value = json_object_new_string(path);
			if (!value || json_object_object_add(properties, "Path", value) < 0)
				return -ENOMEM;
		}
	}
	return 0;
}

int picture_read(struct ctl *ctl, struct picture *picture)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
	_cleanup_(vfiod_error_freep) struct vfiod_error *error = NULL;
	int r;

	r = ctl_connect(ctl);
	if (r != EXIT_OK)
		return r;
	r = sd_bus_message_new_method_call(vfiod_client_bus(ctl->client), &call, "org.vfiod1",
					   "/org/vfiod1", "org.freedesktop.DBus.ObjectManager",
					   "GetManagedObjects");
	if (r >= 0)
		r = vfiod_client_call(ctl->client, call, &reply, &error);
	if (r >= 0)
		r = picture_from_message(reply, picture);
	return r < 0 ? ctl_fail(error, r) : EXIT_OK;
}

#define ASK_AGAIN_USEC	(1000 * 1000)
#define ASK_AGAIN_TIMES 300

static bool error_is(const struct vfiod_error *error, const char *name)
{
	const char *dot = error ? strrchr(vfiod_error_name(error), '.') : NULL;

	return dot && streq(dot + 1, name);
}

static int ask_domain(struct ctl *ctl, const char *path, json_object **domain,
		      struct vfiod_error **error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
	int r;

	r = sd_bus_message_new_method_call(vfiod_client_bus(ctl->client), &call, "org.vfiod1", path,
					   IFACE_DEVICE, "GetResetDomain");
	if (r >= 0)
		r = vfiod_client_call(ctl->client, call, &reply, error);
	if (r >= 0)
		r = bus_json_read(reply, domain);
	if (r < 0 || json_object_is_type(*domain, json_type_array))
		return r;
	json_object_put(*domain);
	*domain = NULL;
	return -EBADMSG;
}

/* An exit code. On a large host that is a lot to ask: the daemon says when it is too much at once.
 */
static int read_domain(struct ctl *ctl, const char *path, json_object **domain)
{
	for (int i = 0;; i++) {
		_cleanup_(vfiod_error_freep) struct vfiod_error *error = NULL;
		int r = ask_domain(ctl, path, domain, &error);

		if (r >= 0)
			return EXIT_OK;
		if (error_is(error, "LimitsExceeded") && i < ASK_AGAIN_TIMES) {
			usleep(ASK_AGAIN_USEC);
			continue;
		}
		/* Gone meanwhile. */
		if (error_is(error, "NoSuchDevice") || error_is(error, "UnknownObject") ||
		    error_is(error, "UnknownMethod"))
			*domain = json_object_new_array();
		return *domain ? EXIT_OK : ctl_fail(error, r);
	}
}

/*
 * What is on one bus below a bridge is reset with that bus, whichever of it is asked for: one
 * answer is that of all. NULL: it has to be asked for.
 */
static const char *bus_of(json_object *device)
{
	const char *parent = prop_string(device, "Parent");

	return streq(prop_string(device, "Subsystem"), "pci") && !str_empty(parent) &&
			       !streq(parent, "/")
		       ? parent
		       : NULL;
}

int picture_read_domains(struct ctl *ctl, json_object *devices)
{
	_cleanup_json_ json_object *known = json_object_new_object();

	if (!known)
		return ctl_fail(NULL, -ENOMEM);
	for (size_t i = 0; i < json_object_array_length(devices); i++) {
		json_object *device = json_object_array_get_idx(devices, i), *domain = NULL;
		const char *bus = bus_of(device);
		int r;

		if (bus && json_object_object_get_ex(known, bus, &domain)) {
			json_object_get(domain);
		} else {
			r = read_domain(ctl, prop_string(device, "Path"), &domain);
			if (r != EXIT_OK)
				return r;
			if (bus && json_object_array_length(domain) > 0 &&
			    json_object_object_add(known, bus, json_object_get(domain)) < 0)
				return ctl_fail(NULL, -ENOMEM);
		}
		if (json_object_object_add(device, "ResetDomain", domain) < 0)
			return ctl_fail(NULL, -ENOMEM);
	}
	return EXIT_OK;
}

void picture_done(struct picture *picture)
{
	json_object_put(picture->objects);
	picture->objects = NULL;
}

json_object *picture_get(const struct picture *picture, const char *path, const char *interface)
{
	json_object *interfaces, *object;

	if (!json_object_object_get_ex(picture->objects, path, &interfaces) ||
	    !json_object_object_get_ex(interfaces, interface, &object))
		return NULL;
	return object;
}

/* Numbers in names count as numbers, but for the hex digits of PCI addresses, which have a fixed
 * length and sort as they are. */
static int compare_objects(const void *a, const void *b)
{
	const char *p = prop_string(*(json_object *const *)a, "Path");
	const char *q = prop_string(*(json_object *const *)b, "Path");

	if (strncmp(p, "/org/vfiod1/device/", 19) == 0)
		return strcmp(p, q);
	return strverscmp(p, q);
}

json_object *picture_all(const struct picture *picture, const char *interface)
{
	_cleanup_json_ json_object *array = json_object_new_array();

	if (!array)
		return NULL;
	json_object_object_foreach (picture->objects, path, interfaces) {
		json_object *object;

		(void)path;
		if (!json_object_object_get_ex(interfaces, interface, &object))
			continue;
		if (json_object_array_add(array, json_object_get(object)) < 0) {
			json_object_put(object);
			return NULL;
		}
	}
	json_object_array_sort(array, compare_objects);
	return STEAL(array);
}

int picture_read_one(struct ctl *ctl, const char *path, const char *interface, json_object **object)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
	_cleanup_(vfiod_error_freep) struct vfiod_error *error = NULL;
	json_object *value;
	int r;

	r = sd_bus_message_new_method_call(vfiod_client_bus(ctl->client), &call, "org.vfiod1", path,
					   "org.freedesktop.DBus.Properties", "GetAll");
	if (r >= 0)
		r = sd_bus_message_append(call, "s", interface);
	if (r >= 0)
		r = vfiod_client_call(ctl->client, call, &reply, &error);
	if (r >= 0)
		r = bus_json_read(reply, object);
	if (r < 0)
		return ctl_fail(error, r);
	value = json_object_new_string(path);
	if (!value || json_object_object_add(*object, "Path", value) < 0)
		return ctl_fail(NULL, -ENOMEM);
	return EXIT_OK;
}

const char *prop_string(json_object *object, const char *name)
{
	json_object *value;

	if (!json_object_object_get_ex(object, name, &value) ||
	    !json_object_is_type(value, json_type_string))
		return "";
	return json_object_get_string(value);
}

int64_t prop_int(json_object *object, const char *name)
{
	json_object *value;

	return json_object_object_get_ex(object, name, &value) ? json_object_get_int64(value) : 0;
}

bool prop_bool(json_object *object, const char *name)
{
	json_object *value;

	return json_object_object_get_ex(object, name, &value) && json_object_get_boolean(value);
}

static json_object *prop_array(json_object *object, const char *name)
{
	json_object *value;

	if (!json_object_object_get_ex(object, name, &value) ||
	    !json_object_is_type(value, json_type_array))
		return NULL;
	return value;
}

size_t prop_length(json_object *object, const char *name)
{
	json_object *array = prop_array(object, name);

	return array ? json_object_array_length(array) : 0;
}

const char *prop_item(json_object *object, const char *name, size_t i)
{
	json_object *array = prop_array(object, name);
	json_object *item = array ? json_object_array_get_idx(array, i) : NULL;

	return json_object_is_type(item, json_type_string) ? json_object_get_string(item) : "";
}

const char *picture_label(const struct picture *picture, const char *path)
{
	static const char *const interfaces[] = { IFACE_DEVICE, IFACE_IOMMU };
	const char *slash = strrchr(path, '/');

	for (size_t i = 0; i < ARRAY_SIZE(interfaces); i++) {
		json_object *object = picture_get(picture, path, interfaces[i]);

		if (object)
			return prop_string(object, "Name");
	}
	/* Groups and leases have their id at the end; "/" is none. */
	return slash ? slash + 1 : path;
}

char *picture_labels(const struct picture *picture, json_object *object, const char *name)
{
	_cleanup_strv_ char **labels = NULL;

	for (size_t i = 0; i < prop_length(object, name); i++)
		if (strv_extend(&labels, picture_label(picture, prop_item(object, name, i))) < 0)
			return NULL;
	return strv_join(labels, ", ");
}

const char *device_state(const struct picture *picture, json_object *device)
{
	json_object *group = picture_get(picture, prop_string(device, "Group"), IFACE_GROUP);
	const char *state = group ? prop_string(group, "State") : "";

	if (str_empty(state) || streq(state, "host") || streq(state, "leased"))
		return prop_string(device, "State");
	return state;
}

bool device_is_well(json_object *device)
{
	const char *health = prop_string(device, "Health");

	return str_empty(health) || streq(health, "ok");
}

char *owner_text(json_object *lease)
{
	_cleanup_free_ char *user = NULL;
	const char *label;
	char *text;

	if (!lease)
		return strdup("");
	user = user_name((uid_t)prop_int(lease, "Owner"));
	if (!user)
		return NULL;
	label = prop_string(lease, "Name");
	if (str_empty(label))
		return STEAL(user);
	return asprintf(&text, "%s: %s", user, label) < 0 ? NULL : text;
}

char *hardware_text(json_object *device)
{
	char *text;

	if (!streq(prop_string(device, "Subsystem"), "pci"))
		return strdup("");
	return asprintf(&text, "%04" PRIx64 ":%04" PRIx64, prop_int(device, "Vendor"),
			prop_int(device, "Product")) < 0
		       ? NULL
		       : text;
}

const char *picture_guest_address(json_object *lease, const char *device)
{
	json_object *array;

	if (!lease || !json_object_object_get_ex(lease, "GuestAddresses", &array))
		return "";
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		json_object *entry = json_object_array_get_idx(array, i);

		if (streq(json_object_get_string(json_object_array_get_idx(entry, 0)), device))
			return json_object_get_string(json_object_array_get_idx(entry, 1));
	}
	return "";
}
