/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vfiodctl tree: IOMMU → group → device, with state, driver, model and owner, and what ties a
 * device to others: virtual functions, and resets that reach further than itself.
 */

#include "client/ctl/names.h"
#include "client/ctl/picture.h"
#include "client/ctl/term.h"

#include <inttypes.h>

static const char *branch(const struct ctl *ctl, bool last)
{
	if (ctl->unicode)
		return last ? "└─ " : "├─ ";
	return last ? "`- " : "|- ";
}

static const char *trunk(const struct ctl *ctl, bool last)
{
	if (last)
		return "   ";
	return ctl->unicode ? "│  " : "|  ";
}

static void add_driver(struct line *line, json_object *device)
{
	const char *driver = prop_string(device, "Driver");
	const char *saved = prop_string(device, "SavedDriver");

	line_add(line, STYLE_PLAIN, "  %s", str_empty(driver) ? "no driver" : driver);
	if (!str_empty(saved) && !streq(saved, driver))
		line_add(line, STYLE_DIM, " (was %s)", saved);
}

/* Where a device is on its owner's guest's bus. */
static void add_guest(struct line *line, const struct picture *picture, json_object *device)
{
	json_object *group = picture_get(picture, prop_string(device, "Group"), IFACE_GROUP);
	json_object *lease =
		group ? picture_get(picture, prop_string(group, "Lease"), IFACE_LEASE) : NULL;
	const char *address = picture_guest_address(lease, prop_string(device, "Name"));

	if (!str_empty(address))
		line_add(line, STYLE_PLAIN, "  guest %s", address);
}

/* Its virtual functions, or what it is one of. */
static void add_functions(struct line *line, const struct picture *picture, json_object *device)
{
	const char *physical = prop_string(device, "PhysicalFunction");

	if (prop_int(device, "TotalVfs") > 0)
		line_add(line, STYLE_PLAIN, "  %" PRId64 " of %" PRId64 " VFs",
			 prop_int(device, "NumVfs"), prop_int(device, "TotalVfs"));
	if (!str_empty(physical) && !streq(physical, "/"))
		line_add(line, STYLE_PLAIN, "  VF of %s", picture_label(picture, physical));
}

#define COMPANIONS_MAX 2 /* that are named; of the others there are so many */

/* The other devices that a reset reaches. */
static void add_companions(struct line *line, const struct picture *picture, json_object *device)
{
	json_object *domain;
	size_t n = 0;

	if (!json_object_object_get_ex(device, "ResetDomain", &domain))
		return;
	for (size_t i = 0; i < json_object_array_length(domain); i++) {
		json_object *pair = json_object_array_get_idx(domain, i);
		const char *path = json_object_get_string(json_object_array_get_idx(pair, 0));

		if (!path || streq(path, prop_string(device, "Path")) || ++n > COMPANIONS_MAX)
			continue;
		line_add(line, STYLE_PLAIN, "%s %s", n == 1 ? "  reset reaches" : ",",
			 picture_label(picture, path));
	}
	if (n > COMPANIONS_MAX)
		line_add(line, STYLE_PLAIN, " and %zu more", n - COMPANIONS_MAX);
}

static int print_device(const struct ctl *ctl, const struct picture *picture, const char *path,
			const char *prefix, bool last)
{
	_cleanup_(line_done) struct line line = {};
	json_object *device = picture_get(picture, path, IFACE_DEVICE);
	_cleanup_free_ char *hardware = NULL;
	const char *state;

	line_add(&line, STYLE_DIM, "%s%s", prefix, branch(ctl, last));
	line_add(&line, STYLE_PLAIN, "%s", picture_label(picture, path));
	if (device) {
		state = device_state(picture, device);
		line_add(&line, STYLE_PLAIN, "  ");
		line_add(&line, style_of_state(state), "%s", state);
		if (!device_is_well(device))
			line_add(&line, STYLE_RED, ", %s", prop_string(device, "Health"));
		add_driver(&line, device);
		if (prop_int(device, "NumaNode") >= 0)
			line_add(&line, STYLE_DIM, "  node %" PRId64, prop_int(device, "NumaNode"));
		add_guest(&line, picture, device);
		add_functions(&line, picture, device);
		add_companions(&line, picture, device);
		hardware = hardware_text(device);
		if (!str_empty(hardware))
			line_add(&line, STYLE_DIM, "  %s", hardware);
		if (!str_empty(prop_string(device, "Model")))
			line_add(&line, STYLE_PLAIN, "  %s", prop_string(device, "Model"));
	}
	return line_print(ctl, &line);
}

static void add_group(struct line *line, const struct picture *picture, json_object *group)
{
	json_object *lease = picture_get(picture, prop_string(group, "Lease"), IFACE_LEASE);
	_cleanup_free_ char *owner = owner_text(lease);
	const char *state = prop_string(group, "State");

	line_add(line, STYLE_BOLD, "group %" PRId64, prop_int(group, "Id"));
	line_add(line, STYLE_PLAIN, "  ");
	line_add(line, style_of_state(state), "%s", state);
	if (prop_bool(group, "Identity"))
		line_add(line, STYLE_YELLOW, "  identity");
	if (lease)
		line_add(line, STYLE_BOLD, "  %s", owner ? owner : "?");
	if (lease)
		line_add(line, STYLE_DIM, "  lease %s, %s", prop_string(lease, "Id"),
			 prop_string(lease, "Mode"));
}

static int print_group(const struct ctl *ctl, const struct picture *picture, json_object *group,
		       bool last)
{
	_cleanup_(line_done) struct line line = {};
	size_t n = prop_length(group, "Devices");
	int r;

	line_add(&line, STYLE_DIM, "%s", branch(ctl, last));
	add_group(&line, picture, group);
	r = line_print(ctl, &line);
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = print_device(ctl, picture, prop_item(group, "Devices", i), trunk(ctl, last),
				 i + 1 == n);
	return r;
}

/* The groups of one unit: those that name it. A new array, or NULL when out of memory. */
static json_object *groups_of(json_object *groups, const char *iommu)
{
	json_object *array = json_object_new_array();

	for (size_t i = 0; array && i < json_object_array_length(groups); i++) {
		json_object *group = json_object_array_get_idx(groups, i);

		if (streq(prop_string(group, "Iommu"), iommu))
			json_object_array_add(array, json_object_get(group));
	}
	return array;
}

static int print_groups(const struct ctl *ctl, const struct picture *picture, json_object *groups)
{
	size_t n = json_object_array_length(groups);
	int r = 0;

	for (size_t i = 0; r >= 0 && i < n; i++)
		r = print_group(ctl, picture, json_object_array_get_idx(groups, i), i + 1 == n);
	return r;
}

static int print_iommu(const struct ctl *ctl, const struct picture *picture, json_object *iommu,
		       json_object *groups)
{
	_cleanup_(line_done) struct line line = {};
	json_object *capabilities;
	int64_t leases;
	int r;

	if (iommu) {
		leases = prop_int(iommu, "Leases");
		line_add(&line, STYLE_BOLD, "%s", prop_string(iommu, "Name"));
		line_add(&line, STYLE_PLAIN, "  %s", prop_string(iommu, "Driver"));
		if (json_object_object_get_ex(iommu, "Capabilities", &capabilities) &&
		    prop_int(capabilities, "address-bits") > 0)
			line_add(&line, STYLE_DIM, "  %" PRId64 "-bit addresses",
				 prop_int(capabilities, "address-bits"));
		if (leases > 0)
			line_add(&line, STYLE_GREEN, "  %" PRId64 " %s", leases,
				 leases == 1 ? "lease" : "leases");
	} else {
		line_add(&line, STYLE_BOLD, "groups whose IOMMU sysfs does not name");
	}
	r = line_print(ctl, &line);
	return r < 0 ? r : print_groups(ctl, picture, groups);
}

static int print_tree(const struct ctl *ctl, const struct picture *picture, json_object *iommus,
		      json_object *groups)
{
	_cleanup_json_ json_object *rest = groups_of(groups, "/");
	int r = rest ? 0 : -ENOMEM;

	for (size_t i = 0; r >= 0 && i < json_object_array_length(iommus); i++) {
		json_object *iommu = json_object_array_get_idx(iommus, i);
		_cleanup_json_ json_object *own = groups_of(groups, prop_string(iommu, "Path"));

		r = own ? print_iommu(ctl, picture, iommu, own) : -ENOMEM;
	}
	if (r >= 0 && json_object_array_length(rest) > 0)
		r = print_iommu(ctl, picture, NULL, rest);
	if (json_object_array_length(groups) == 0)
		printf("No IOMMU groups: the IOMMU is off in firmware or on the kernel's command "
		       "line, or there is none.\n");
	return r;
}

/* Replaces the property's paths by the objects that they name. */
static int nest(const struct picture *picture, json_object *object, const char *name,
		const char *interface)
{
	json_object *array = json_object_new_array();

	if (!array)
		return -ENOMEM;
	for (size_t i = 0; i < prop_length(object, name); i++) {
		json_object *child = picture_get(picture, prop_item(object, name, i), interface);

		if (child && json_object_array_add(array, json_object_get(child)) < 0) {
			json_object_put(child);
			json_object_put(array);
			return -ENOMEM;
		}
	}
	return json_object_object_add(object, name, array) < 0 ? -ENOMEM : 0;
}

static int print_json(const struct ctl *ctl, const struct picture *picture, json_object *iommus,
		      json_object *groups)
{
	_cleanup_json_ json_object *answer = json_object_new_object(),
				   *rest = groups_of(groups, "/");
	int r = answer && rest ? 0 : -ENOMEM;

	for (size_t i = 0; r >= 0 && i < json_object_array_length(groups); i++)
		r = nest(picture, json_object_array_get_idx(groups, i), "Devices", IFACE_DEVICE);
	for (size_t i = 0; r >= 0 && i < json_object_array_length(iommus); i++) {
		json_object *iommu = json_object_array_get_idx(iommus, i);
		json_object *own = groups_of(groups, prop_string(iommu, "Path"));

		if (!own || json_object_object_add(iommu, "Groups", own) < 0)
			r = -ENOMEM;
	}
	if (r >= 0 && (json_object_object_add(answer, "iommus", json_object_get(iommus)) < 0 ||
		       json_object_object_add(answer, "groups", json_object_get(rest)) < 0))
		r = -ENOMEM;
	return r < 0 ? ctl_fail(NULL, r) : ctl_print_json(ctl, answer);
}

int verb_tree(struct ctl *ctl, int argc, char *argv[])
{
	_cleanup_(picture_done) struct picture picture = {};
	_cleanup_json_ json_object *iommus = NULL, *groups = NULL, *devices = NULL;
	int r = ctl_common_options(ctl, argc, argv);

	if (r >= 0)
		return r;
	if (optind != argc) {
		usage_verb(stderr, argv[0]);
		return EXIT_USAGE;
	}
	r = picture_read(ctl, &picture);
	if (r != EXIT_OK)
		return r;
	iommus = picture_all(&picture, IFACE_IOMMU);
	groups = picture_all(&picture, IFACE_GROUP);
	devices = picture_all(&picture, IFACE_DEVICE);
	if (!iommus || !groups || !devices)
		return ctl_fail(NULL, -ENOMEM);
	r = picture_read_domains(ctl, devices);
	if (r != EXIT_OK)
		return r;
	if (ctl->json != JSON_OFF)
		return print_json(ctl, &picture, iommus, groups);
	r = print_tree(ctl, &picture, iommus, groups);
	return r < 0 ? ctl_fail(NULL, r) : EXIT_OK;
}
