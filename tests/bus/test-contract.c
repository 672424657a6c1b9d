/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The contract: live introspection is dbus/org.vfiod1.xml, the picture is complete and has the
 * right paths and values, and what can be looked up is found.
 */

#include "tests/bus/picture.h"

#include <fcntl.h>
#include <stdio.h>

/* ---- introspection as lines, "INTERFACE method Acquire", "… arg 0 in as devices" */

struct reader {
	const char *at;
	char interface[64], member[160];
	int arg;
	bool wanted; /* inside one of our interfaces */
	char **lines;
};

static void attribute(const char *tag, const char *end, const char *name, char *value, size_t size)
{
	_cleanup_free_ char *key = mock_asprintf(" %s=\"", name);
	const char *at = memmem(tag, (size_t)(end - tag), key, strlen(key));
	size_t n;

	*value = 0;
	if (!at)
		return;
	at += strlen(key);
	n = strcspn(at, "\"");
	ck_assert_uint_lt(n, size);
	memcpy(value, at, n);
	value[n] = 0;
}

static bool is_tag(const char *tag, const char *name)
{
	size_t n = strlen(name);

	return strncmp(tag, name, n) == 0 && strchr(" />", tag[n]);
}

static void take_member(struct reader *r, const char *tag, const char *end, const char *kind)
{
	char name[64], type[64] = "", access[16] = "";

	attribute(tag, end, "name", name, sizeof(name));
	attribute(tag, end, "type", type, sizeof(type));
	attribute(tag, end, "access", access, sizeof(access));
	snprintf(r->member, sizeof(r->member), "%s %s %s", r->interface, kind, name);
	r->arg = 0;
	strv_extendf(&r->lines, "%s %s %s", r->member, type, access);
}

static void take_arg(struct reader *r, const char *tag, const char *end)
{
	char name[64], type[64], direction[16];

	attribute(tag, end, "name", name, sizeof(name));
	attribute(tag, end, "type", type, sizeof(type));
	attribute(tag, end, "direction", direction, sizeof(direction));
	/* A signal's have no other direction. */
	strv_extendf(&r->lines, "%s arg %d %s %s %s", r->member, r->arg++,
		     *direction ? direction : "out", type, name);
}

static void take_tag(struct reader *r, const char *tag, const char *end)
{
	char name[128], value[128];

	if (is_tag(tag, "interface")) {
		attribute(tag, end, "name", r->interface, sizeof(r->interface));
		r->wanted = strncmp(r->interface, "org.vfiod1.", 11) == 0;
		if (r->wanted)
			strv_extend(&r->lines, r->interface);
	} else if (!r->wanted) {
		return;
	} else if (is_tag(tag, "method")) {
		take_member(r, tag, end, "method");
	} else if (is_tag(tag, "signal")) {
		take_member(r, tag, end, "signal");
	} else if (is_tag(tag, "property")) {
		take_member(r, tag, end, "property");
	} else if (is_tag(tag, "arg")) {
		take_arg(r, tag, end);
	} else if (is_tag(tag, "annotation")) {
		attribute(tag, end, "name", name, sizeof(name));
		attribute(tag, end, "value", value, sizeof(value));
		strv_extendf(&r->lines, "%s annotation %s %s", r->member, name, value);
	} else if (is_tag(tag, "/interface")) {
		r->wanted = false;
	}
}

/* Adds what is in a text. */
static void read_xml(const char *xml, char ***lines)
{
	struct reader r = { .at = xml, .lines = *lines };

	while ((r.at = strchr(r.at, '<'))) {
		bool comment = strncmp(r.at, "<!--", 4) == 0;
		const char *end = strstr(r.at, comment ? "-->" : ">");

		ck_assert_ptr_nonnull(end);
		if (!comment)
			take_tag(&r, r.at + 1, end);
		r.at = end;
	}
	*lines = r.lines;
}

static void introspect(struct client *client, const char *path, char ***lines)
{
	sd_bus_message *reply =
		call(client, path, "org.freedesktop.DBus.Introspectable", "Introspect", NULL);
	const char *xml;

	ck_assert_int_gt(sd_bus_message_read(reply, "s", &xml), 0);
	read_xml(xml, lines);
	sd_bus_message_unref(reply);
}

START_TEST(introspection)
{
	struct client *alice = client_new(ALICE);
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });
	_cleanup_free_ char *shipped = NULL, *path = NULL;
	_cleanup_strv_ char **live = NULL, **xml = NULL;

	ck_claimed(claim);
	introspect(alice, VFIOD_ROOT, &live);
	introspect(alice, "/org/vfiod1/iommu/dmar0", &live);
	introspect(alice, "/org/vfiod1/group/3", &live);
	introspect(alice, DEVICE_PATH "pci_0000_03_00_0", &live);
	introspect(alice, claim.lease, &live);
	path = mock_asprintf("%s/dbus/org.vfiod1.xml", getenv("top_srcdir") ?: ".");
	ck_assert_int_eq(file_read_at(AT_FDCWD, path, 1 << 20, &shipped, NULL), 0);
	read_xml(shipped, &xml);
	strv_sort(live);
	strv_sort(xml);
	ck_assert_uint_gt(strv_length(xml), 60);
	/* The first that differs: all of both is more than a message takes. */
	for (size_t i = 0; live[i] && xml[i]; i++)
		ck_assert_str_eq(live[i], xml[i]);
	ck_assert_uint_eq(strv_length(live), strv_length(xml));
	client_free(alice);
}
END_TEST

/* Every object can be walked to from the root, as busctl tree does. */
static void walk(struct client *client, const char *path, char ***found)
{
	sd_bus_message *reply =
		call(client, path, "org.freedesktop.DBus.Introspectable", "Introspect", NULL);
	const char *xml, *at;

	ck_assert_int_gt(sd_bus_message_read(reply, "s", &xml), 0);
	if (strstr(xml, "org.vfiod1."))
		strv_extend(found, path);
	for (at = xml; (at = strstr(at, "<node name=\"")); at++) {
		size_t n = strcspn(at + 12, "\"");
		_cleanup_free_ char *child = mock_asprintf("%s/%.*s", path, (int)n, at + 12);

		walk(client, child, found);
	}
	sd_bus_message_unref(reply);
}

static const char *const paths[] = {
	"/org/vfiod1/device/gpu_2e0",
	"/org/vfiod1/device/pci_0000_00_05_0",
	"/org/vfiod1/device/pci_0000_02_01_0",
	"/org/vfiod1/device/pci_0000_02_02_0",
	"/org/vfiod1/device/pci_0000_03_00_0",
	"/org/vfiod1/device/pci_0000_04_00_0",
	"/org/vfiod1/device/pci_0000_05_01_0",
	"/org/vfiod1/device/pci_0000_06_00_0",
	"/org/vfiod1/device/pci_0000_06_00_1",
	"/org/vfiod1/device/pci_0000_07_00_0",
	"/org/vfiod1/device/pci_0000_08_00_0",
	"/org/vfiod1/device/pci_0000_08_10_0",
	"/org/vfiod1/device/pci_0000_08_10_2",
	"/org/vfiod1/device/pci_0000_0a_00_0",
	"/org/vfiod1/device/pci_0000_0b_00_0",
	"/org/vfiod1/group/10",
	"/org/vfiod1/group/11",
	"/org/vfiod1/group/12",
	"/org/vfiod1/group/2",
	"/org/vfiod1/group/3",
	"/org/vfiod1/group/4",
	"/org/vfiod1/group/5",
	"/org/vfiod1/group/6",
	"/org/vfiod1/group/7",
	"/org/vfiod1/group/8",
	"/org/vfiod1/group/9",
	"/org/vfiod1/iommu/dmar0",
	"/org/vfiod1/iommu/dmar1",
};

START_TEST(objects)
{
	struct client *carol = client_new(CAROL);
	_cleanup_free_ char *picture = bus_picture(carol), *found_text = NULL, *should_text = NULL;
	_cleanup_strv_ char **found = NULL, **should = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		_cleanup_free_ char *line = mock_asprintf("%s org.vfiod1.", paths[i]);

		ck_assert_msg(strstr(picture, line), "%s is missing", paths[i]);
		strv_extend(&should, paths[i]);
	}
	strv_extend(&should, VFIOD_ROOT);
	walk(carol, VFIOD_ROOT, &found);
	strv_sort(found);
	strv_sort(should);
	found_text = strv_join(found, "\n");
	should_text = strv_join(should, "\n");
	ck_assert_str_eq(found_text, should_text);
	client_free(carol);
}
END_TEST

#define NIC_PATH DEVICE_PATH "pci_0000_03_00_0"

START_TEST(values)
{
	struct client *carol = client_new(CAROL);
	struct client *c = carol;

	ck_property(c, NIC_PATH, "Device", "Name", NIC);
	ck_property(c, NIC_PATH, "Device", "Subsystem", "pci");
	ck_property(c, NIC_PATH, "Device", "Group", "/org/vfiod1/group/3");
	ck_property(c, NIC_PATH, "Device", "Iommu", "/org/vfiod1/iommu/dmar0");
	ck_property(c, NIC_PATH, "Device", "State", "host");
	ck_property(c, NIC_PATH, "Device", "Driver", "e1000e");
	ck_property(c, NIC_PATH, "Device", "SavedDriver", "");
	ck_property(c, NIC_PATH, "Device", "Vendor", "0x8086");
	ck_property(c, NIC_PATH, "Device", "Product", "0x10d3");
	ck_property(c, NIC_PATH, "Device", "NumaNode", "0");
	ck_property(c, NIC_PATH, "Device", "ResetMethods", "[flr, bus]");
	ck_property(c, NIC_PATH, "Device", "PhysicalFunction", "/");
	ck_property(c, NIC_PATH, "Device", "VfioNode", "");
	ck_property(c, DEVICE_PATH "pci_0000_08_00_0", "Device", "VirtualFunctions",
		    "[" DEVICE_PATH "pci_0000_08_10_0, " DEVICE_PATH "pci_0000_08_10_2]");
	ck_property(c, DEVICE_PATH "pci_0000_08_10_2", "Device", "PhysicalFunction",
		    DEVICE_PATH "pci_0000_08_00_0");
	ck_property(c, DEVICE_PATH "pci_0000_0a_00_0", "Device", "Group", "/");
	ck_property(c, "/org/vfiod1/group/2", "Group", "Devices",
		    "[" DEVICE_PATH "pci_0000_02_01_0, " DEVICE_PATH "pci_0000_02_02_0]");
	ck_property(c, "/org/vfiod1/group/2", "Group", "State", "host");
	ck_property(c, "/org/vfiod1/group/2", "Group", "Lease", "/");
	ck_property(c, "/org/vfiod1/group/2", "Group", "Viable", "false");
	ck_property(c, "/org/vfiod1/group/11", "Group", "Viable", "true");
	ck_property(c, "/org/vfiod1/group/2", "Group", "ReservedRegions",
		    "[(4276092928, 4277141503, msi)]");
	ck_property(c, "/org/vfiod1/iommu/dmar1", "Iommu", "Groups",
		    "[/org/vfiod1/group/8, /org/vfiod1/group/9, /org/vfiod1/group/10]");
	ck_property(c, "/org/vfiod1/iommu/dmar1", "Iommu", "InUse", "false");
	ck_property(c, VFIOD_ROOT, "Manager", "Features",
		    "[group, iommufd, cdev, fence-reaction, fence-ownership, "
		    "fence-vf-switch]");
	ck_property(c, VFIOD_ROOT, "Manager", "PolicySerial", "1");
	ck_property(c, VFIOD_ROOT, "Manager", "Draining", "false");
	/* The disk's use is there by kind, and why in full for root alone. */
	UNTIL(property_is(c, DEVICE_PATH "pci_0000_04_00_0", "Device", "Uses", "[block]"));
	client_free(carol);
}
END_TEST

/* What a method answers with, as text of the caller. */
static char *answer(struct client *client, const char *member, const char *types, ...)
{
	sd_bus_message *m = call_new(client, VFIOD_ROOT, "Manager", member), *reply;
	char *text;
	va_list ap;

	va_start(ap, types);
	ck_assert_int_ge(sd_bus_message_appendv(m, types, ap), 0);
	va_end(ap);
	reply = call_wait(call_send(client, m));
	text = *error_of(reply) ? mock_asprintf("%s", error_of(reply)) : value_text(reply);
	sd_bus_message_unref(reply);
	return text;
}

#define ck_answer(expected, ...)                                         \
	do {                                                             \
		_cleanup_free_ char *ck_answer_is = answer(__VA_ARGS__); \
		ck_assert_str_eq(ck_answer_is, expected);                \
	} while (0)

START_TEST(find)
{
	struct client *alice = client_new(ALICE), *bob = client_new(BOB);
	_cleanup_claim_ struct claim a = acquire(alice, .devices = { NIC }, .name = "vm");
	_cleanup_claim_ struct claim b = acquire(bob, .devices = { BARE }, .name = "vm");
	const char *id;

	ck_claimed(a);
	ck_answer(NIC_PATH, alice, "FindDevice", "s", NIC);
	ck_answer("/org/vfiod1/device/gpu_2e0", alice, "FindDevice", "s", PLATFORM);
	ck_answer("NoSuchDevice", alice, "FindDevice", "s", "0000:03:00.1");
	ck_answer("NoSuchDevice", alice, "FindDevice", "s", "");
	ck_answer("NoSuchDevice", alice, "FindDevice", "s", "../../etc");
	ck_answer("/org/vfiod1/group/3", alice, "FindGroup", "u", 3);
	ck_answer("NoSuchGroup", alice, "FindGroup", "u", 1);
	ck_answer("NoSuchGroup", alice, "FindGroup", "u", UINT32_MAX);
	id = strrchr(a.lease, '/') + 1;
	ck_answer(a.lease, alice, "FindLease", "s", "vm");
	ck_answer(a.lease, bob, "FindLease", "s", id);
	ck_answer("NoSuchLease", alice, "FindLease", "s", "other");
	ck_answer("NoSuchLease", alice, "FindLease", "s", "");
	if (BOB != ALICE) {
		ck_claimed(b);
		ck_answer(b.lease, bob, "FindLease", "s", "vm");
	} else {
		ck_refused(b, "NameTaken");
	}
	client_free(alice);
	client_free(bob);
}
END_TEST

/* Objects that are not there are not there, whatever they are called. */
START_TEST(no_such_object)
{
	static const char *const no[] = {
		"/org/vfiod1/group/1",	     "/org/vfiod1/group/03",
		"/org/vfiod1/group/x",	     "/org/vfiod1/group/4294967299",
		"/org/vfiod1/device/pci_",   "/org/vfiod1/device/_30",
		"/org/vfiod1/lease/0",	     "/org/vfiod1/lease/0123456789abcdef",
		"/org/vfiod1/iommu/dmar0/x", "/org/vfiod1/device/pci_0000_03_00_0/x",
		"/org/vfiod1/device",	     "/org/vfiod1/lease",
	};
	struct client *carol = client_new(CAROL);

	for (size_t i = 0; i < ARRAY_SIZE(no); i++) {
		ck_assert_ptr_null(property(carol, no[i], "Group", "State"));
		ck_assert_ptr_null(property(carol, no[i], "Device", "State"));
		ck_assert_ptr_null(property(carol, no[i], "Lease", "State"));
		ck_assert_ptr_nonnull(
			strstr(call_error(carol, no[i], "Lease", "Release", NULL), "Unknown"));
	}
	ck_assert_str_eq(call_error(carol, VFIOD_ROOT, "Manager", "Nothing", NULL),
			 "DBus.UnknownMethod");
	/* Nothing is writable. */
	ck_assert_str_eq(call_error(carol, NIC_PATH, "org.freedesktop.DBus.Properties", "Set",
				    "ssv", "org.vfiod1.Device", "State", "s", "granted"),
			 "DBus.PropertyReadOnly");
	client_free(carol);
}
END_TEST

/* In full for root alone. */
START_TEST(uses)
{
	struct client *carol = client_new(CAROL), *root = client_new(0);
	const char *disk = DEVICE_PATH "pci_0000_04_00_0";
	sd_bus_message *m;
	_cleanup_free_ char *kinds = NULL, *words = NULL;

	m = call(carol, disk, "Device", "GetUses", NULL);
	kinds = value_text(m);
	sd_bus_message_unref(m);
	m = call(root, disk, "Device", "GetUses", NULL);
	words = value_text(m);
	sd_bus_message_unref(m);
	ck_assert_str_eq(kinds, "[block]");
	/* Where the tests are not run as root, there is nobody to whom more is said. */
	ck_assert_ptr_nonnull(strstr(words, geteuid() == 0 ? "sda is below dm-0" : "block"));
	client_free(carol);
	client_free(root);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("contract");

	bed_test(suite, bed_start, bed_stop, introspection, 1);
	bed_test(suite, bed_start, bed_stop, objects, 1);
	bed_test(suite, bed_start, bed_stop, values, 1);
	bed_test(suite, bed_start, bed_stop, find, 1);
	bed_test(suite, bed_start, bed_stop, no_such_object, 1);
	bed_test(suite, bed_start, bed_stop, uses, 1);
	return bed_main(suite, false);
}
