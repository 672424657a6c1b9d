/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The parser's readers for single values, and its errors. What the language means is not known
 * here: see parse.c, parse-rule.c and parse-match.c.
 */

#include "policy/parse-internal.h"
#include "policy/utf8.h"

#include <stdarg.h>
#include <stdio.h>

#define NAME_MAX_LENGTH 64

static int parse_vfail(struct parser *p, const char *path, const struct json_place *place,
		       const char *format, va_list ap)
{
	_cleanup_free_ char *text = NULL;

	if (vasprintf(&text, format, ap) < 0) {
		text = NULL;
		return -ENOMEM;
	}
	if (free_and_asprintf(&p->error->message, "%s:%u:%u: %s", path, place->line, place->column,
			      text) < 0)
		return -ENOMEM;
	return -EBADMSG;
}

int parse_fail(struct parser *p, struct json_object *at, const char *format, ...)
{
	va_list ap;
	int r;

	va_start(ap, format);
	r = parse_vfail(p, p->path, &json_node_of(at)->place, format, ap);
	va_end(ap);
	return r;
}

int parse_fail_key(struct parser *p, struct json_object *at, const char *format, ...)
{
	va_list ap;
	int r;

	va_start(ap, format);
	r = parse_vfail(p, p->path, &json_node_of(at)->key, format, ap);
	va_end(ap);
	return r;
}

int parse_fail_at(struct parser *p, const struct source *source, const char *format, ...)
{
	va_list ap;
	int r;

	va_start(ap, format);
	r = parse_vfail(p, source->path, &source->place, format, ap);
	va_end(ap);
	return r;
}

struct source parse_source(const struct parser *p, struct json_object *value)
{
	return (struct source){ .path = p->path, .place = json_node_of(value)->place };
}

int parse_remember(struct parser *p, struct named_list *list, const char *name,
		   const struct json_place *place)
{
	struct named *item;

	if (ARRAY_RESERVE_ONE(list->items, list->n) < 0)
		return -ENOMEM;
	item = &list->items[list->n];
	item->name = strdup(name);
	if (!item->name)
		return -ENOMEM;
	item->source = (struct source){ .path = p->path, .place = *place };
	item->order = list->n++;
	return 0;
}

int parse_expect(struct parser *p, struct json_object *value, enum json_node_kind kind,
		 const char *expected)
{
	static const char *const articles[JSON_NODE_KIND_MAX] = {
		[JSON_NODE_OBJECT] = "an", [JSON_NODE_ARRAY] = "an",  [JSON_NODE_STRING] = "a",
		[JSON_NODE_INTEGER] = "a", [JSON_NODE_BOOLEAN] = "a",
	};
	enum json_node_kind is = json_node_of(value)->kind;

	if (is == kind)
		return 0;
	return parse_fail(p, value, "\"%s\" wants %s, not %s %s", p->key, expected, articles[is],
			  json_node_kind_to_string(is));
}

int parse_string(struct parser *p, struct json_object *value, const char **ret)
{
	const char *s;
	int r;

	r = parse_expect(p, value, JSON_NODE_STRING, "a string");
	if (r < 0)
		return r;
	/* No NUL is in it: the scan refuses control characters. */
	s = json_object_get_string(value);
	if (!s)
		return -ENOMEM;
	if (!*s)
		return parse_fail(p, value, "an empty string in \"%s\"", p->key);
	if (strlen(s) > POLICY_STRING_MAX)
		return parse_fail(p, value, "a string of more than %d bytes in \"%s\"",
				  POLICY_STRING_MAX, p->key);
	*ret = s;
	return 0;
}

int parse_boolean(struct parser *p, struct json_object *value, bool *ret)
{
	int r = parse_expect(p, value, JSON_NODE_BOOLEAN, "true or false");

	if (r < 0)
		return r;
	*ret = json_object_get_boolean(value);
	return 0;
}

int parse_integer(struct parser *p, struct json_object *value, uint64_t min, uint64_t max,
		  uint64_t *ret)
{
	int64_t number;
	int r;

	r = parse_expect(p, value, JSON_NODE_INTEGER, "a number");
	if (r < 0)
		return r;
	number = json_object_get_int64(value);
	if (number < 0 || (uint64_t)number < min || (uint64_t)number > max)
		return parse_fail(p, value, "\"%s\" must be between %llu and %llu", p->key,
				  (unsigned long long)min, (unsigned long long)max);
	*ret = (uint64_t)number;
	return 0;
}

static int parse_bytes_string(struct parser *p, struct json_object *value, uint64_t *ret)
{
	static const char units[] = "KMGT";
	uint64_t bytes = 0;
	const char *s, *c;
	int r;

	r = parse_string(p, value, &s);
	if (r < 0)
		return r;
	if (streq(s, "unlimited")) {
		*ret = UINT64_MAX;
		return 0;
	}
	for (c = s; *c >= '0' && *c <= '9'; c++) {
		if (bytes > ((uint64_t)INT64_MAX - 9) / 10)
			return parse_fail(p, value, "\"%s\" is too big", p->key);
		bytes = bytes * 10 + (uint64_t)(*c - '0');
	}
	if (c > s && *c && !c[1] && strchr(units, *c)) {
		unsigned int shift = 10 * (unsigned int)(strchr(units, *c) - units + 1);

		if (bytes > (uint64_t)INT64_MAX >> shift)
			return parse_fail(p, value, "\"%s\" is too big", p->key);
		bytes <<= shift;
		c++;
	}
	if (c == s || *c)
		return parse_fail(p, value,
				  "\"%s\" is a number of bytes, a number with K, M, G or T behind "
				  "it (\"64G\"), or \"unlimited\"",
				  p->key);
	*ret = bytes;
	return 0;
}

int parse_bytes(struct parser *p, struct json_object *value, uint64_t *ret)
{
	if (json_node_of(value)->kind == JSON_NODE_STRING)
		return parse_bytes_string(p, value, ret);
	return parse_integer(p, value, 0, INT64_MAX, ret);
}

int parse_check_name(struct parser *p, struct json_object *at, bool at_key, const char *name)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789_-.:";
	size_t n = strlen(name);
	const char *why;

	if (n > 0 && n <= NAME_MAX_LENGTH && strspn(name, good) == n)
		return 0;
	why = "a name has 1 to 64 letters, digits, \"_\", \"-\", \".\" and \":\"";
	return at_key ? parse_fail_key(p, at, "%s", why) : parse_fail(p, at, "%s", why);
}

int parse_item_string(struct parser *p, struct json_object *item, char **ret)
{
	const char *s = NULL;
	int r;

	r = parse_string(p, item, &s);
	if (r < 0)
		return r;
	*ret = strdup(s);
	return *ret ? 0 : -ENOMEM;
}

static int parse_list_item(struct parser *p, struct json_object *item, parse_item_fn fn,
			   struct named_list *list)
{
	struct named *entry;
	int r;

	if (ARRAY_RESERVE_ONE(list->items, list->n) < 0)
		return -ENOMEM;
	entry = &list->items[list->n];
	r = fn(p, item, &entry->name);
	if (r < 0)
		return r;
	entry->source = parse_source(p, item);
	list->n++;
	return 0;
}

static void named_list_done(struct named_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i].name);
	free(list->items);
}

/* Turns the list into the two vectors. A vector of many is not grown string by string. */
static int list_to_vectors(struct named_list *list, char ***names, char ***sources)
{
	_cleanup_strv_ char **n = calloc(list->n + 1, sizeof(char *));
	_cleanup_strv_ char **s = calloc(list->n + 1, sizeof(char *));

	if (!n || !s)
		return -ENOMEM;
	for (size_t i = 0; i < list->n; i++) {
		const struct source *source = &list->items[i].source;

		n[i] = STEAL(list->items[i].name);
		if (sources && free_and_asprintf(&s[i], "%s:%u:%u", source->path,
						 source->place.line, source->place.column) < 0)
			return -ENOMEM;
	}
	*names = STEAL(n);
	if (sources)
		*sources = STEAL(s);
	return 0;
}

int parse_list(struct parser *p, struct json_object *value, parse_item_fn item, char ***ret,
	       char ***sources)
{
	_cleanup_(named_list_done) struct named_list list = { 0 };
	size_t n;
	int r;

	if (json_node_of(value)->kind != JSON_NODE_ARRAY) {
		r = parse_list_item(p, value, item, &list);
		return r < 0 ? r : list_to_vectors(&list, ret, sources);
	}
	n = json_object_array_length(value);
	if (n == 0)
		return parse_fail(p, value, "\"%s\" is empty", p->key);
	for (size_t i = 0; i < n; i++) {
		r = parse_list_item(p, json_object_array_get_idx(value, i), item, &list);
		if (r < 0)
			return r;
	}
	return list_to_vectors(&list, ret, sources);
}
