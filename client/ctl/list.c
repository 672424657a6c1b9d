/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vfiodctl list and vfiodctl leases: tables of devices, groups, IOMMUs and leases.
 */

#include "client/ctl/names.h"
#include "client/ctl/picture.h"
#include "client/ctl/table.h"

#include <inttypes.h>

static const struct table_column device_columns[] = {
	{ "DEVICE" },
	{ "GROUP", .right = true },
	{ "STATE" },
	{ "DRIVER" },
	{ "OWNER", .cut = true },
	{ "ID" },
	{ "MODEL", .cut = true },
};
static const struct table_column group_columns[] = {
	{ "GROUP", .right = true },
	{ "STATE" },
	{ "VIABLE" },
	{ "TYPE" },
	{ "IOMMU" },
	{ "OWNER", .cut = true },
	{ "DEVICES", .cut = true },
};
static const struct table_column iommu_columns[] = {
	{ "IOMMU" },
	{ "DRIVER" },
	{ "GROUPS", .right = true },
	{ "DEVICES", .right = true },
	{ "LEASES", .right = true },
};
static const struct table_column lease_columns[] = {
	{ "LEASE" },
	{ "OWNER" },
	{ "NAME", .cut = true },
	{ "MODE" },
	{ "STATE" },
	{ "AGE", .right = true },
	{ "GROUPS", .cut = true },
	{ "DEVICES", .cut = true },
};

static void add_device(struct table *table, const struct picture *picture, json_object *device)
{
	json_object *group = picture_get(picture, prop_string(device, "Group"), IFACE_GROUP);
	json_object *lease =
		group ? picture_get(picture, prop_string(group, "Lease"), IFACE_LEASE) : NULL;
	_cleanup_free_ char *owner = owner_text(lease), *hardware = hardware_text(device);
	const char *state = device_state(picture, device);

	table_add(table, STYLE_PLAIN, "%s", prop_string(device, "Name"));
	if (group)
		table_add(table, STYLE_PLAIN, "%" PRId64, prop_int(group, "Id"));
	else
		table_add(table, STYLE_PLAIN, "-");
	table_add(table, device_is_well(device) ? style_of_state(state) : STYLE_RED, "%s%s%s",
		  state, device_is_well(device) ? "" : ", ",
		  device_is_well(device) ? "" : prop_string(device, "Health"));
	table_add(table, STYLE_PLAIN, "%s", prop_string(device, "Driver"));
	table_add(table, STYLE_PLAIN, "%s", owner ? owner : "?");
	table_add(table, STYLE_PLAIN, "%s", hardware ? hardware : "?");
	table_add(table, STYLE_PLAIN, "%s", prop_string(device, "Model"));
}

static void add_group(struct table *table, const struct picture *picture, json_object *group)
{
	json_object *lease = picture_get(picture, prop_string(group, "Lease"), IFACE_LEASE);
	_cleanup_free_ char *owner = owner_text(lease);
	_cleanup_free_ char *devices = picture_labels(picture, group, "Devices");
	const char *state = prop_string(group, "State");

	table_add(table, STYLE_PLAIN, "%" PRId64, prop_int(group, "Id"));
	table_add(table, style_of_state(state), "%s", state);
	table_add(table, STYLE_PLAIN, "%s", prop_bool(group, "Viable") ? "yes" : "no");
	table_add(table, STYLE_PLAIN, "%s", prop_string(group, "Type"));
	table_add(table, STYLE_PLAIN, "%s", picture_label(picture, prop_string(group, "Iommu")));
	table_add(table, STYLE_PLAIN, "%s", owner ? owner : "?");
	table_add(table, STYLE_PLAIN, "%s", devices ? devices : "?");
}

static void add_iommu(struct table *table, const struct picture *picture, json_object *iommu)
{
	table_add(table, STYLE_PLAIN, "%s", prop_string(iommu, "Name"));
	table_add(table, STYLE_PLAIN, "%s", prop_string(iommu, "Driver"));
	table_add(table, STYLE_PLAIN, "%zu", prop_length(iommu, "Groups"));
	table_add(table, STYLE_PLAIN, "%zu", prop_length(iommu, "Devices"));
	table_add(table, prop_bool(iommu, "InUse") ? STYLE_GREEN : STYLE_PLAIN, "%" PRId64,
		  prop_int(iommu, "Leases"));
}

static void add_lease(struct table *table, const struct picture *picture, json_object *lease)
{
	_cleanup_free_ char *user = user_name((uid_t)prop_int(lease, "Owner"));
	_cleanup_free_ char *groups = picture_labels(picture, lease, "Groups");
	_cleanup_free_ char *devices = picture_labels(picture, lease, "Devices");
	const char *state = prop_string(lease, "State");
	char age[32];

	format_age((uint64_t)prop_int(lease, "Since"), age, sizeof(age));
	table_add(table, STYLE_PLAIN, "%s", prop_string(lease, "Id"));
	table_add(table, STYLE_PLAIN, "%s", user ? user : "?");
	table_add(table, STYLE_PLAIN, "%s", prop_string(lease, "Name"));
	table_add(table, STYLE_PLAIN, "%s", prop_string(lease, "Mode"));
	table_add(table, style_of_state(state), "%s", state);
	table_add(table, STYLE_PLAIN, "%s", age);
	table_add(table, STYLE_PLAIN, "%s", groups ? groups : "?");
	table_add(table, STYLE_PLAIN, "%s", devices ? devices : "?");
}

static const struct kind {
	const char *name;
	const char *interface;
	const struct table_column *columns;
	size_t n_columns;
	void (*add)(struct table *table, const struct picture *picture, json_object *object);
} kinds[] = {
	{ "devices", IFACE_DEVICE, device_columns, ARRAY_SIZE(device_columns), add_device },
	{ "groups", IFACE_GROUP, group_columns, ARRAY_SIZE(group_columns), add_group },
	{ "iommus", IFACE_IOMMU, iommu_columns, ARRAY_SIZE(iommu_columns), add_iommu },
	{ "leases", IFACE_LEASE, lease_columns, ARRAY_SIZE(lease_columns), add_lease },
};

/* People see what is missing in words; a program gets an empty list. */
static int print_table(const struct ctl *ctl, const struct kind *kind,
		       const struct picture *picture, json_object *all)
{
	_cleanup_(table_done) struct table table;
	int r;

	table_init(&table, kind->columns, kind->n_columns);
	for (size_t i = 0; i < json_object_array_length(all); i++)
		kind->add(&table, picture, json_object_array_get_idx(all, i));
	if (table_rows(&table) == 0) {
		printf("No %s.\n", kind->name);
		return EXIT_OK;
	}
	r = table_print(ctl, &table);
	return r < 0 ? ctl_fail(NULL, r) : EXIT_OK;
}

static int print_kind(struct ctl *ctl, const struct kind *kind)
{
	_cleanup_(picture_done) struct picture picture = {};
	_cleanup_json_ json_object *all = NULL, *answer = NULL;
	int r;

	r = picture_read(ctl, &picture);
	if (r != EXIT_OK)
		return r;
	all = picture_all(&picture, kind->interface);
	if (!all)
		return ctl_fail(NULL, -ENOMEM);
	if (ctl->json == JSON_OFF)
		return print_table(ctl, kind, &picture, all);
	answer = json_object_new_object();
	if (!answer || json_object_object_add(answer, kind->name, json_object_get(all)) < 0)
		return ctl_fail(NULL, -ENOMEM);
	return ctl_print_json(ctl, answer);
}

int verb_list(struct ctl *ctl, int argc, char *argv[])
{
	const char *what;
	int r = ctl_common_options(ctl, argc, argv);

	if (r >= 0)
		return r;
	what = optind < argc ? argv[optind] : "devices";
	for (size_t i = 0; i < ARRAY_SIZE(kinds) && argc - optind <= 1; i++)
		if (streq(kinds[i].name, what))
			return print_kind(ctl, &kinds[i]);
	usage_verb(stderr, argv[0]);
	return ctl_say(EXIT_USAGE, "list takes one of devices, groups, iommus, leases.");
}

int verb_leases(struct ctl *ctl, int argc, char *argv[])
{
	int r = ctl_common_options(ctl, argc, argv);

	if (r >= 0)
		return r;
	if (optind != argc) {
		usage_verb(stderr, argv[0]);
		return EXIT_USAGE;
	}
	return print_kind(ctl, &kinds[3]);
}
