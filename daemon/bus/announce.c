/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of announce.h. */

#include "daemon/bus/announce.h"

#include "daemon/util/log.h"

#define PROPERTIES_MAX 64

/* What the bus knows of an object: hashes of its properties' values, in the class' order. */
struct announced {
	char *path;
	const struct object_class *class;
	bool known; /* InterfacesAdded was sent */
	bool dirty;
	bool replaced;
	uint64_t hashes[PROPERTIES_MAX];
	UT_hash_handle hh;
};

struct announcer {
	struct manager *manager;
	sd_bus *bus;
	sd_event_source *flush;
	struct announced *objects;
};

static void forget(struct announcer *announcer, struct announced *object)
{
	HASH_DEL(announcer->objects, object);
	free(object->path);
	free(object);
}

struct announcer *announcer_free(struct announcer *announcer)
{
	struct announced *object, *next;

	if (!announcer)
		return NULL;
	sd_event_source_disable_unref(announcer->flush);
	HASH_ITER(hh, announcer->objects, object, next)
	forget(announcer, object);
	free(announcer);
	return NULL;
}

/* ---- hashes of values (FNV-1a over every basic value and the structure) */

static void hash_bytes(uint64_t *hash, const void *data, size_t size)
{
	for (const unsigned char *p = data; size; p++, size--)
		*hash = (*hash ^ *p) * 0x100000001b3ULL;
}

static int hash_basic(sd_bus_message *m, char type, uint64_t *hash)
{
	union {
		const char *s;
		uint64_t t;
	} value = { .t = 0 };
	int r = sd_bus_message_read_basic(m, type, &value);

	if (r < 0)
		return r;
	if (type == 's' || type == 'o' || type == 'g')
		hash_bytes(hash, value.s, strlen(value.s) + 1);
	else
		hash_bytes(hash, &value.t, sizeof(value.t));
	return 0;
}

static int hash_message(sd_bus_message *m, uint64_t *hash)
{
	const char *contents;
	char type;
	int r;

	for (;;) {
		r = sd_bus_message_peek_type(m, &type, &contents);
		if (r <= 0)
			return r;
		hash_bytes(hash, &type, 1);
		if (!strchr("aver", type)) {
			r = hash_basic(m, type, hash);
			if (r < 0)
				return r;
			continue;
		}
		r = sd_bus_message_enter_container(m, type, contents);
		if (r >= 0)
			r = hash_message(m, hash);
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
		if (r < 0)
			return r;
	}
}

static int hash_property(struct announcer *announcer, const void *object,
			 const struct property *property, uint64_t *hash)
{
	sd_bus_message *m = NULL;
	int r;

	*hash = 0xcbf29ce484222325ULL;
	/* Never sent: only a place for the value. */
	r = sd_bus_message_new_signal(announcer->bus, &m, VFIOD_PATH, VFIOD_BUS_NAME, "Value");
	if (r >= 0)
		r = property->append(announcer->manager, object, m);
	if (r >= 0)
		r = sd_bus_message_seal(m, 1, 0);
	if (r >= 0)
		r = sd_bus_message_rewind(m, 1);
	if (r >= 0)
		r = hash_message(m, hash);
	sd_bus_message_unref(m);
	return r;
}

/* ---- which properties are announced, from the vtable */

static bool property_has(const struct object_class *class, const char *name, uint64_t flag)
{
	for (const sd_bus_vtable *v = class->vtable; v->type != _SD_BUS_VTABLE_END; v++)
		if (v->type == _SD_BUS_VTABLE_PROPERTY && streq(v->x.property.member, name))
			return v->flags & flag;
	return false;
}

/*
 * Renews the hashes; the names of those that differ go to *changed. A property that never changes
 * in the life of its object and differs all the same says that this is another object of the name:
 * *replaced.
 */
static int compare(struct announcer *announcer, struct announced *o, const void *object,
		   char ***changed, bool *replaced)
{
	const struct property *p = o->class->properties;

	for (size_t i = 0; p[i].name && i < PROPERTIES_MAX; i++) {
		uint64_t hash;
		int r;

		r = hash_property(announcer, object, &p[i], &hash);
		if (r >= 0 && hash != o->hashes[i]) {
			if (property_has(o->class, p[i].name, PROPERTY_CHANGES))
				r = strv_extend(changed, p[i].name);
			else if (property_has(o->class, p[i].name, PROPERTY_CONST))
				*replaced = true;
		}
		if (r < 0)
			return r;
		o->hashes[i] = hash;
	}
	return 0;
}

/* ---- sending */

static int send_removed(struct announcer *announcer, struct announced *o)
{
	if (!o->known)
		return 0;
	o->known = false;
	return sd_bus_emit_interfaces_removed(announcer->bus, o->path, o->class->interface, NULL);
}

static int send_present(struct announcer *announcer, struct announced *o, const void *object)
{
	_cleanup_strv_ char **changed = NULL;
	bool replaced = false;
	int r;

	r = compare(announcer, o, object, &changed, &replaced);
	if (r >= 0 && replaced)
		r = send_removed(announcer, o);
	if (r < 0)
		return r;
	if (!o->known) {
		o->known = true;
		return sd_bus_emit_interfaces_added(announcer->bus, o->path, o->class->interface,
						    NULL);
	}
	if (!changed)
		return 0;
	return sd_bus_emit_properties_changed_strv(announcer->bus, o->path, o->class->interface,
						   changed);
}

static void flush_one(struct announcer *announcer, struct announced *o)
{
	const void *object = o->class->find(announcer->manager, o->path);
	int r = 0;

	o->dirty = false;
	if (o->replaced || !object)
		r = send_removed(announcer, o);
	o->replaced = false;
	if (r >= 0 && object)
		r = send_present(announcer, o, object);
	if (r < 0)
		log_warning("announcing %s: %s", o->path, strerror(-r));
	if (!object)
		forget(announcer, o);
}

void announce_flush(struct announcer *announcer)
{
	struct announced *object, *next;

	sd_event_source_set_enabled(announcer->flush, SD_EVENT_OFF);
	HASH_ITER(hh, announcer->objects, object, next)
	if (object->dirty)
		flush_one(announcer, object);
}

static int on_flush(sd_event_source *source, void *userdata)
{
	announce_flush(userdata);
	return 0;
}

void announce(struct announcer *announcer, const struct object_class *class, const char *path,
	      bool replaced)
{
	struct announced *o;

	if (!announcer || !path)
		return;
	HASH_FIND_STR(announcer->objects, path, o);
	if (!o) {
		o = calloc(1, sizeof(*o));
		if (!o || !(o->path = strdup(path))) {
			free(o);
			return;
		}
		o->class = class;
		HASH_ADD_KEYPTR(hh, announcer->objects, o->path, strlen(o->path), o);
		if (!o->hh.tbl) {
			free(o->path);
			free(o);
			return;
		}
	}
	o->dirty = true;
	o->replaced |= replaced;
	sd_event_source_set_enabled(announcer->flush, SD_EVENT_ONESHOT);
}

/* What is there when the bus is joined needs no announcement: who cares lists it. */
static int learn(struct announcer *announcer)
{
	for (size_t i = 0; object_classes[i]; i++) {
		const struct object_class *class = object_classes[i];
		_cleanup_strv_ char **paths = NULL;
		int r;

		r = class->enumerate ? class->enumerate(announcer->manager, &paths)
				     : strv_extend(&paths, class->prefix);
		if (r < 0)
			return r;
		STRV_FOREACH (path, paths) {
			_cleanup_strv_ char **changed = NULL;
			const void *object = class->find(announcer->manager, *path);
			struct announced *o;
			bool replaced;

			announce(announcer, class, *path, false);
			HASH_FIND_STR(announcer->objects, *path, o);
			if (!o || !object)
				continue;
			o->known = true;
			o->dirty = false;
			r = compare(announcer, o, object, &changed, &replaced);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

int announcer_new(struct manager *manager, sd_bus *bus, struct announcer **ret)
{
	_cleanup_(announcer_freep) struct announcer *announcer = calloc(1, sizeof(*announcer));
	int r;

	if (!announcer)
		return -ENOMEM;
	announcer->manager = manager;
	announcer->bus = bus;
	r = sd_event_add_defer(manager->event, &announcer->flush, on_flush, announcer);
	if (r < 0)
		return r;
	sd_event_source_set_enabled(announcer->flush, SD_EVENT_OFF);
	r = learn(announcer);
	if (r < 0)
		return r;
	*ret = STEAL(announcer);
	return 0;
}
