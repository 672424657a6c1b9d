/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of picture.h. */

#include "tests/bus/picture.h"

#include "policy/topology.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- values */

static void write_value(sd_bus_message *m, FILE *f);

static void write_basic(sd_bus_message *m, char type, FILE *f)
{
	union {
		const char *s;
		uint64_t t;
		uint32_t u;
		uint16_t q;
		int i;
		uint8_t y;
	} v = { .t = 0 };

	ck_assert_int_gt(sd_bus_message_read_basic(m, type, &v), 0);
	switch (type) {
	case 's':
	case 'o':
	case 'g':
		fputs(v.s, f);
		return;
	case 't':
	case 'x':
		fprintf(f, "%" PRIu64, v.t);
		return;
	case 'u':
		fprintf(f, "%u", v.u);
		return;
	case 'q':
		fprintf(f, "0x%04x", v.q);
		return;
	case 'i':
		fprintf(f, "%d", v.i);
		return;
	case 'b':
		fputs(v.i ? "true" : "false", f);
		return;
	}
	ck_abort_msg("type %c", type);
}

static void write_container(sd_bus_message *m, char type, const char *contents, FILE *f)
{
	bool first = true;

	ck_assert_int_gt(sd_bus_message_enter_container(m, type, contents), 0);
	fputs(type == 'a' ? "[" : type == 'r' ? "(" : "", f);
	while (sd_bus_message_at_end(m, 0) == 0) {
		if (!first)
			fputs(type == 'e' ? ": " : ", ", f);
		write_value(m, f);
		first = false;
	}
	fputs(type == 'a' ? "]" : type == 'r' ? ")" : "", f);
	ck_assert_int_ge(sd_bus_message_exit_container(m), 0);
}

static void write_value(sd_bus_message *m, FILE *f)
{
	const char *contents;
	char type;

	ck_assert_int_gt(sd_bus_message_peek_type(m, &type, &contents), 0);
	if (strchr("aver", type))
		write_container(m, type, contents, f);
	else
		write_basic(m, type, f);
}

char *value_text(sd_bus_message *m)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	write_value(m, f);
	fclose(f);
	return text;
}

/* ---- properties by name */

struct entry {
	char *key; /* "PATH INTERFACE PROPERTY" */
	char *value;
	UT_hash_handle hh;
};

static void entry_drop(struct entry **table, struct entry *entry)
{
	HASH_DEL(*table, entry);
	free(entry->key);
	free(entry->value);
	free(entry);
}

static void table_clear(struct entry **table)
{
	struct entry *entry, *next;

	HASH_ITER(hh, *table, entry, next)
	entry_drop(table, entry);
}

/* Takes both. The value that was there before, of the caller; NULL: none. */
static char *table_put(struct entry **table, char *key, char *value)
{
	struct entry *entry;
	char *before;

	HASH_FIND_STR(*table, key, entry);
	if (entry) {
		before = entry->value;
		entry->value = value;
		free(key);
		return before;
	}
	entry = calloc(1, sizeof(*entry));
	entry->key = key;
	entry->value = value;
	HASH_ADD_KEYPTR(hh, *table, entry->key, strlen(entry->key), entry);
	return NULL;
}

static int by_key(const struct entry *a, const struct entry *b)
{
	return strcmp(a->key, b->key);
}

static char *table_text(struct entry **table)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	HASH_SORT(*table, by_key);
	for (struct entry *e = *table; e; e = e->hh.next)
		fprintf(f, "%s = %s\n", e->key, e->value);
	fclose(f);
	return text;
}

/* a{sv} of an interface. each: told of every property with its value before (or NULL). */
static void
read_properties(sd_bus_message *m, const char *path, const char *interface, struct entry **table,
		void (*each)(const char *name, const char *before, const char *now, void *userdata),
		void *userdata)
{
	ck_assert_int_ge(sd_bus_message_enter_container(m, 'a', "{sv}"), 0);
	while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
		_cleanup_free_ char *before = NULL;
		const char *name;
		char *value;

		ck_assert_int_ge(sd_bus_message_read(m, "s", &name), 0);
		ck_assert_int_ge(sd_bus_message_enter_container(m, 'v', NULL), 0);
		value = value_text(m);
		ck_assert_int_ge(sd_bus_message_exit_container(m), 0);
		before = table_put(table, mock_asprintf("%s %s %s", path, interface, name), value);
		if (each)
			each(name, before, value, userdata);
		ck_assert_int_ge(sd_bus_message_exit_container(m), 0);
	}
	ck_assert_int_ge(sd_bus_message_exit_container(m), 0);
}

/* a{sa{sv}} of an object; only our own interfaces. Their number. */
static size_t read_interfaces(sd_bus_message *m, const char *path, struct entry **table)
{
	size_t n = 0;

	ck_assert_int_ge(sd_bus_message_enter_container(m, 'a', "{sa{sv}}"), 0);
	while (sd_bus_message_enter_container(m, 'e', "sa{sv}") > 0) {
		const char *interface;

		ck_assert_int_ge(sd_bus_message_read(m, "s", &interface), 0);
		if (strncmp(interface, "org.vfiod1.", 11) == 0) {
			read_properties(m, path, interface, table, NULL, NULL);
			n++;
		} else {
			ck_assert_int_ge(sd_bus_message_skip(m, "a{sv}"), 0);
		}
		ck_assert_int_ge(sd_bus_message_exit_container(m), 0);
	}
	ck_assert_int_ge(sd_bus_message_exit_container(m), 0);
	return n;
}

static void read_objects(sd_bus_message *m, struct entry **table)
{
	ck_assert_msg(!*error_of(m), "GetManagedObjects: %s", message_of(m));
	ck_assert_int_ge(sd_bus_message_enter_container(m, 'a', "{oa{sa{sv}}}"), 0);
	while (sd_bus_message_enter_container(m, 'e', "oa{sa{sv}}") > 0) {
		const char *path;

		ck_assert_int_ge(sd_bus_message_read(m, "o", &path), 0);
		/* The root is announced as an object manager, and not in its own list. */
		ck_assert_msg(read_interfaces(m, path, table) == 1, "%s has no interface", path);
		ck_assert_int_ge(sd_bus_message_exit_container(m), 0);
	}
	ck_assert_int_ge(sd_bus_message_exit_container(m), 0);
}

static sd_bus_message *get_objects(struct client *client)
{
	return call(client, VFIOD_ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects",
		    NULL);
}

static void read_manager(struct client *client, struct entry **table)
{
	sd_bus_message *reply = call(client, VFIOD_ROOT, "org.freedesktop.DBus.Properties",
				     "GetAll", "s", "org.vfiod1.Manager");

	ck_assert_msg(!*error_of(reply), "GetAll: %s", message_of(reply));
	read_properties(reply, VFIOD_ROOT, "org.vfiod1.Manager", table, NULL, NULL);
	sd_bus_message_unref(reply);
}

char *bus_picture(struct client *client)
{
	struct entry *table = NULL;
	sd_bus_message *reply = get_objects(client);
	char *text;

	read_objects(reply, &table);
	sd_bus_message_unref(reply);
	text = table_text(&table);
	table_clear(&table);
	return text;
}

void picture_forget(char *picture, const char *property)
{
	_cleanup_free_ char *key = mock_asprintf(" %s = ", property);

	for (char *at = picture; (at = strstr(at, key));) {
		char *end = strchr(at, '\n');

		memmove(at + 1, end, strlen(end) + 1);
	}
}

void picture_forget_uses(char *picture)
{
	picture_forget(picture, "Uses");
	picture_forget(picture, "Blockers");
}

/* ---- the watch */

struct watch {
	struct client *client;
	struct entry *known;
	bool following;
	char **lines;
};

struct change {
	struct watch *watch;
	const char *path;
	char *names;
};

static void on_property(const char *name, const char *before, const char *now, void *userdata)
{
	struct change *change = userdata;
	char *names = mock_asprintf("%s %s", change->names ?: "", name);

	ck_assert_msg(before, "%s: %s changed, and was not known", change->path, name);
	ck_assert_msg(!streq(before, now), "%s: %s is announced, and is %s as before", change->path,
		      name, now);
	free(change->names);
	change->names = names;
}

static int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct watch *watch = userdata;
	struct change change = { .watch = watch, .path = sd_bus_message_get_path(m) };
	const char *interface;

	if (!watch->following)
		return 0;
	ck_assert_int_ge(sd_bus_message_read(m, "s", &interface), 0);
	if (strncmp(interface, "org.vfiod1.", 11) != 0)
		return 0;
	read_properties(m, change.path, interface, &watch->known, on_property, &change);
	/* Nothing is announced without its value. */
	ck_assert_int_ge(sd_bus_message_enter_container(m, 'a', "s"), 0);
	ck_assert_int_eq(sd_bus_message_at_end(m, 0), 1);
	ck_assert_ptr_nonnull(change.names);
	strv_extendf(&watch->lines, "changed %s:%s", change.path, change.names);
	free(change.names);
	return 0;
}

static bool is_known(struct watch *watch, const char *path, bool drop)
{
	_cleanup_free_ char *prefix = mock_asprintf("%s ", path);
	struct entry *entry, *next;
	bool known = false;

	HASH_ITER(hh, watch->known, entry, next)
	{
		if (strncmp(entry->key, prefix, strlen(prefix)) != 0)
			continue;
		known = true;
		if (drop)
			entry_drop(&watch->known, entry);
	}
	return known;
}

static int on_added(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct watch *watch = userdata;
	const char *path;

	if (!watch->following)
		return 0;
	ck_assert_int_ge(sd_bus_message_read(m, "o", &path), 0);
	ck_assert_msg(!is_known(watch, path, false), "%s is added again", path);
	ck_assert_uint_eq(read_interfaces(m, path, &watch->known), 1);
	strv_extendf(&watch->lines, "added %s", path);
	return 0;
}

static int on_removed(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct watch *watch = userdata;
	const char *path;

	if (!watch->following)
		return 0;
	ck_assert_int_ge(sd_bus_message_read(m, "o", &path), 0);
	ck_assert_msg(is_known(watch, path, true), "%s is removed, and was not known", path);
	strv_extendf(&watch->lines, "removed %s", path);
	return 0;
}

static int on_ended(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct watch *watch = userdata;
	const char *reason;

	if (!watch->following)
		return 0;
	ck_assert_int_ge(sd_bus_message_read(m, "s", &reason), 0);
	strv_extendf(&watch->lines, "ended %s: %s", sd_bus_message_get_path(m), reason);
	return 0;
}

static void match(struct watch *watch, const char *interface, const char *member,
		  sd_bus_message_handler_t handler)
{
	ck_assert_int_ge(sd_bus_match_signal(watch->client->bus, NULL, VFIOD_NAME, NULL, interface,
					     member, handler, watch),
			 0);
}

struct watch *watch_new(uid_t uid)
{
	struct watch *watch = calloc(1, sizeof(*watch));
	struct pending *pending;

	watch->client = client_new(uid);
	match(watch, "org.freedesktop.DBus.Properties", "PropertiesChanged", on_changed);
	match(watch, "org.freedesktop.DBus.ObjectManager", "InterfacesAdded", on_added);
	match(watch, "org.freedesktop.DBus.ObjectManager", "InterfacesRemoved", on_removed);
	match(watch, "org.vfiod1.Lease", "Ended", on_ended);
	read_manager(watch->client, &watch->known);
	pending = call_start(watch->client, VFIOD_ROOT, "org.freedesktop.DBus.ObjectManager",
			     "GetManagedObjects", NULL);
	/* From the reply on, in the order of the messages. */
	while (!pending->reply)
		ck_assert_int_ge(sd_event_run(bed.event, UINT64_MAX), 0);
	watch->following = true;
	read_objects(pending->reply, &watch->known);
	call_drop(pending);
	return watch;
}

struct watch *watch_free(struct watch *watch)
{
	if (!watch)
		return NULL;
	client_free(watch->client);
	table_clear(&watch->known);
	strv_free(watch->lines);
	free(watch);
	return NULL;
}

static bool is_settled(struct watch *watch, char **known, char **there)
{
	struct entry *table = NULL;
	sd_bus_message *reply = get_objects(watch->client);

	read_objects(reply, &table);
	sd_bus_message_unref(reply);
	read_manager(watch->client, &table);
	free(*known);
	free(*there);
	*known = table_text(&watch->known);
	*there = table_text(&table);
	table_clear(&table);
	/* Not announced, by contract. */
	picture_forget(*known, "Leases");
	picture_forget(*there, "Leases");
	return streq(*known, *there);
}

void watch_settled(struct watch *watch)
{
	_cleanup_free_ char *known = NULL, *there = NULL;
	uint64_t end = bed_now() + BED_TIMEOUT_USEC / 4;

	while (!is_settled(watch, &known, &there) && bed_now() < end)
		bed_sleep(20000);
	ck_same(known, there);
}

char *const *watch_lines(const struct watch *watch)
{
	return watch->lines;
}

void watch_clear(struct watch *watch)
{
	watch->lines = strv_free(watch->lines);
}

size_t watch_count(const struct watch *watch, const char *beginning)
{
	size_t n = 0;

	STRV_FOREACH (line, watch->lines)
		n += strncmp(*line, beginning, strlen(beginning)) == 0;
	return n;
}

struct client *watch_client(struct watch *watch)
{
	return watch->client;
}
