/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A recursive descent over RFC 8259 that builds nothing but the list of places. See json-scan.h
 * for what it refuses beyond the standard, and why it is there.
 */

#include "policy/json-scan.h"
#include "policy/utf8.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const json_node_kind_table[JSON_NODE_KIND_MAX] = {
	[JSON_NODE_OBJECT] = "object",	 [JSON_NODE_ARRAY] = "array",
	[JSON_NODE_STRING] = "string",	 [JSON_NODE_INTEGER] = "number",
	[JSON_NODE_BOOLEAN] = "boolean",
};
DEFINE_STRING_TABLE(json_node_kind, enum json_node_kind)

struct scanner {
	const char *p;
	const char *end;
	struct json_place at; /* of p */
	unsigned int depth;
	struct json_scan *scan;
};

/* A key of the object that is being read, to find the duplicate one. */
struct key {
	char *text;
	struct json_place place;
};

struct key_list {
	struct key *items;
	size_t n;
};

static int scan_value(struct scanner *s, struct json_place key);

static int _printf_(3, 4)
	scan_fail(struct scanner *s, struct json_place place, const char *format, ...)
{
	va_list ap;
	int r;

	va_start(ap, format);
	r = vasprintf(&s->scan->error, format, ap);
	va_end(ap);
	if (r < 0) {
		s->scan->error = NULL;
		return -ENOMEM;
	}
	s->scan->error_place = place;
	return -EBADMSG;
}

/* For a character that cannot stand here: names it in a way that is safe to print. */
static int scan_unexpected(struct scanner *s, const char *expected)
{
	uint32_t c;
	size_t n;

	if (s->p == s->end)
		return scan_fail(s, s->at, "the file ends where %s is expected", expected);
	n = utf8_read(s->p, (size_t)(s->end - s->p), &c);
	if (n == 0)
		return scan_fail(s, s->at, "byte 0x%02x is not valid UTF-8", (unsigned char)*s->p);
	if (c == 0xfeff)
		return scan_fail(s, s->at, "a byte order mark (U+FEFF) does not belong here");
	if (utf8_is_control(c))
		return scan_fail(s, s->at, "control character U+%04X where %s is expected", c,
				 expected);
	if (c == '\'')
		return scan_fail(s, s->at,
				 "strings are written with double quotes, not single ones");
	if (c == '/' || c == '#')
		return scan_fail(s, s->at, "JSON has no comments");
	return scan_fail(s, s->at, "'%.*s' where %s is expected", (int)n, s->p, expected);
}

/* Moves over n bytes which are one character. */
static void scan_step(struct scanner *s, size_t n)
{
	s->p += n;
	s->at.column++;
}

static void scan_space(struct scanner *s)
{
	for (; s->p < s->end; s->p++) {
		if (*s->p == '\n') {
			s->at.line++;
			s->at.column = 1;
		} else if (*s->p == ' ' || *s->p == '\t' || *s->p == '\r') {
			s->at.column++;
		} else {
			return;
		}
	}
}

static bool scan_take(struct scanner *s, char c)
{
	if (s->p == s->end || *s->p != c)
		return false;
	scan_step(s, 1);
	return true;
}

static int scan_add(struct scanner *s, enum json_node_kind kind, struct json_place place,
		    struct json_place key)
{
	struct json_scan *scan = s->scan;

	if (ARRAY_RESERVE_ONE(scan->nodes, scan->n_nodes) < 0)
		return -ENOMEM;
	scan->nodes[scan->n_nodes++] = (struct json_node){ kind, place, key };
	return 0;
}

/* Reads the four digits of a \u escape, which stands at s->p. Negative: not four digits. */
static int32_t scan_hex4(const struct scanner *s)
{
	int32_t value = 0;

	if (s->end - s->p < 6 || s->p[0] != '\\' || s->p[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++) {
		char c = s->p[i];

		value <<= 4;
		if (c >= '0' && c <= '9')
			value |= c - '0';
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			value |= (c | 0x20) - 'a' + 10;
		else
			return -1;
	}
	return value;
}

static void scan_steps(struct scanner *s, size_t n)
{
	while (n--)
		scan_step(s, 1);
}

static int scan_unicode_escape(struct scanner *s, uint32_t *character)
{
	struct json_place place = s->at;
	int32_t high = scan_hex4(s), low;

	if (high < 0)
		return scan_fail(s, place, "\\u must be followed by four hexadecimal digits");
	scan_steps(s, 6);
	*character = (uint32_t)high;
	if (high < 0xd800 || high > 0xdfff)
		return 0;
	low = scan_hex4(s);
	if (high > 0xdbff || low < 0xdc00 || low > 0xdfff)
		return scan_fail(s, place,
				 "\\u%04x is half of a pair, and the other half is not there",
				 (unsigned int)high);
	scan_steps(s, 6);
	*character = 0x10000 + (((uint32_t)high & 0x3ff) << 10) + ((uint32_t)low & 0x3ff);
	return 0;
}

static int scan_escape(struct scanner *s, uint32_t *character)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	struct json_place place = s->at;
	const char *name;
	int r;

	if (s->end - s->p >= 2 && s->p[1] == 'u') {
		r = scan_unicode_escape(s, character);
		if (r < 0)
			return r;
	} else {
		name = s->end - s->p >= 2 && s->p[1] ? strchr(names, s->p[1]) : NULL;
		if (!name)
			return scan_fail(s, place, "unknown escape after the backslash");
		scan_steps(s, 2);
		*character = (unsigned char)values[name - names];
	}
	if (utf8_is_control(*character))
		return scan_fail(s, place, "control character U+%04X in a string", *character);
	return 0;
}

/* One character of a string, as it reads. */
static int scan_character(struct scanner *s, struct json_place start, uint32_t *character)
{
	size_t n;

	if (s->p == s->end)
		return scan_fail(s, start, "the string that begins here does not end");
	if (*s->p == '\\')
		return scan_escape(s, character);
	n = utf8_read(s->p, (size_t)(s->end - s->p), character);
	if (n == 0)
		return scan_fail(s, s->at, "byte 0x%02x is not valid UTF-8", (unsigned char)*s->p);
	if (*character == '\n')
		return scan_fail(s, start, "the string that begins here does not end on its line");
	if (utf8_is_control(*character))
		return scan_fail(s, s->at, "control character U+%04X in a string", *character);
	scan_step(s, n);
	return 0;
}

/* A string; the opening quote is at s->p. With ret, its text, after escapes, of the caller. */
static int scan_string(struct scanner *s, char **ret)
{
	struct json_place start = s->at;
	_cleanup_free_ char *text = NULL;
	size_t n = 1, left = (size_t)(s->end - s->p);
	char *out = NULL;

	if (ret) {
		/* No text is longer than its source: \uXXXX has 6 bytes for at most 3. */
		while (n < left && s->p[n] != '"')
			n += s->p[n] == '\\' ? 2 : 1;
		text = out = malloc(n + 1);
		if (!text)
			return -ENOMEM;
	}
	scan_step(s, 1);
	while (!scan_take(s, '"')) {
		uint32_t c;
		int r = scan_character(s, start, &c);

		if (r < 0)
			return r;
		if (out)
			out = utf8_write(out, c);
	}
	if (ret) {
		*out = 0;
		*ret = STEAL(text);
	}
	return 0;
}

static bool is_digit(const struct scanner *s, const char *p)
{
	return p < s->end && *p >= '0' && *p <= '9';
}

static int scan_number(struct scanner *s)
{
	struct json_place place = s->at;
	const char *start = s->p, *p = s->p;
	bool negative = *p == '-';
	uint64_t value = 0, limit = (uint64_t)INT64_MAX + negative;

	p += negative;
	if (!is_digit(s, p))
		return scan_fail(s, place, "a number must have digits after its sign");
	if (*p == '0' && is_digit(s, p + 1))
		return scan_fail(s, place, "a number must not begin with 0");
	for (; is_digit(s, p); p++) {
		unsigned int digit = (unsigned int)(*p - '0');

		if (value > (limit - digit) / 10)
			return scan_fail(s, place, "the number is too big");
		value = value * 10 + digit;
	}
	if (p < s->end && (*p == '.' || *p == 'e' || *p == 'E'))
		return scan_fail(s, place, "numbers must be whole, without point and exponent");
	if (negative && value == 0)
		return scan_fail(s, place, "-0 is not a number here");
	scan_steps(s, (size_t)(p - start));
	return 0;
}

/* A bare word: true or false; null, NaN, Infinity and all the others are refused. */
static int scan_word(struct scanner *s, struct json_place key)
{
	struct json_place place = s->at;
	size_t n = 0, left = (size_t)(s->end - s->p);

	while (n < left && ((s->p[n] | 0x20) >= 'a' && (s->p[n] | 0x20) <= 'z'))
		n++;
	if ((n == 4 && memcmp(s->p, "true", 4) == 0) || (n == 5 && memcmp(s->p, "false", 5) == 0)) {
		scan_steps(s, n);
		return scan_add(s, JSON_NODE_BOOLEAN, place, key);
	}
	if (n == 4 && memcmp(s->p, "null", 4) == 0)
		return scan_fail(s, place, "null is no value here: leave the key out instead");
	if (n == 0)
		return scan_unexpected(s, "a value");
	return scan_fail(s, place, "\"%.*s\" is no value; text is written in double quotes",
			 (int)(n < 32 ? n : 32), s->p);
}

static int key_compare(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	int r = strcmp(x->text, y->text);

	if (r)
		return r;
	if (x->place.line != y->place.line)
		return x->place.line < y->place.line ? -1 : 1;
	return (x->place.column > y->place.column) - (x->place.column < y->place.column);
}

static bool place_before(struct json_place a, struct json_place b)
{
	return a.line != b.line ? a.line < b.line : a.column < b.column;
}

static void key_list_done(struct key_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i].text);
	free(list->items);
}

/* Sorts the keys, so that many of them cost no more than they should. */
static int scan_duplicates(struct scanner *s, struct key_list *keys)
{
	const struct key *first = NULL, *second = NULL;

	if (keys->n < 2)
		return 0;
	qsort(keys->items, keys->n, sizeof(*keys->items), key_compare);
	for (size_t i = 1; i < keys->n; i++) {
		const struct key *k = &keys->items[i];

		if (!streq(k[-1].text, k->text))
			continue;
		if (!second || place_before(k->place, second->place)) {
			first = k - 1;
			second = k;
		}
	}
	if (!second)
		return 0;
	return scan_fail(s, second->place, "key \"%.*s\" is here twice, first at %u:%u",
			 (int)utf8_cut(second->text, UTF8_QUOTE_MAX), second->text,
			 first->place.line, first->place.column);
}

static int scan_member(struct scanner *s, struct key_list *keys)
{
	struct json_place place = s->at;
	int r;

	if (s->p == s->end || *s->p != '"')
		return scan_unexpected(s, "a key in double quotes");
	if (ARRAY_RESERVE_ONE(keys->items, keys->n) < 0)
		return -ENOMEM;
	r = scan_string(s, &keys->items[keys->n].text);
	if (r < 0)
		return r;
	keys->items[keys->n++].place = place;
	scan_space(s);
	if (!scan_take(s, ':'))
		return scan_unexpected(s, "':'");
	scan_space(s);
	return scan_value(s, place);
}

static int scan_object(struct scanner *s)
{
	_cleanup_(key_list_done) struct key_list keys = { 0 };
	int r;

	scan_step(s, 1);
	scan_space(s);
	if (scan_take(s, '}'))
		return 0;
	for (;;) {
		r = scan_member(s, &keys);
		if (r < 0)
			return r;
		scan_space(s);
		if (scan_take(s, '}'))
			return scan_duplicates(s, &keys);
		if (!scan_take(s, ','))
			return scan_unexpected(s, "',' or '}'");
		scan_space(s);
		if (s->p < s->end && *s->p == '}')
			return scan_fail(s, s->at, "JSON has no ',' after the last member");
	}
}

static int scan_array(struct scanner *s)
{
	int r;

	scan_step(s, 1);
	scan_space(s);
	if (scan_take(s, ']'))
		return 0;
	for (;;) {
		r = scan_value(s, (struct json_place){ 0 });
		if (r < 0)
			return r;
		scan_space(s);
		if (scan_take(s, ']'))
			return 0;
		if (!scan_take(s, ','))
			return scan_unexpected(s, "',' or ']'");
		scan_space(s);
		if (s->p < s->end && *s->p == ']')
			return scan_fail(s, s->at, "JSON has no ',' after the last element");
	}
}

static int scan_container(struct scanner *s, enum json_node_kind kind, struct json_place key)
{
	int r;

	if (s->depth == JSON_SCAN_DEPTH_MAX)
		return scan_fail(s, s->at, "more than %d levels of nesting", JSON_SCAN_DEPTH_MAX);
	r = scan_add(s, kind, s->at, key);
	if (r < 0)
		return r;
	s->depth++;
	r = kind == JSON_NODE_OBJECT ? scan_object(s) : scan_array(s);
	s->depth--;
	return r;
}

static int scan_value(struct scanner *s, struct json_place key)
{
	struct json_place place = s->at;
	int r;

	if (s->p == s->end)
		return scan_unexpected(s, "a value");
	if (*s->p == '{')
		return scan_container(s, JSON_NODE_OBJECT, key);
	if (*s->p == '[')
		return scan_container(s, JSON_NODE_ARRAY, key);
	if (*s->p == '"') {
		r = scan_string(s, NULL);
		return r < 0 ? r : scan_add(s, JSON_NODE_STRING, place, key);
	}
	if (*s->p == '-' || is_digit(s, s->p)) {
		r = scan_number(s);
		return r < 0 ? r : scan_add(s, JSON_NODE_INTEGER, place, key);
	}
	return scan_word(s, key);
}

int json_scan(const char *text, size_t size, struct json_scan *scan)
{
	struct scanner s = { .p = text, .end = text + size, .at = { 1, 1 }, .scan = scan };
	int r;

	*scan = (struct json_scan){ 0 };
	scan_space(&s);
	r = scan_value(&s, (struct json_place){ 0 });
	if (r < 0)
		return r;
	scan_space(&s);
	if (s.p < s.end)
		return scan_unexpected(&s, "the end of the file");
	return 0;
}

void json_scan_done(struct json_scan *scan)
{
	free(scan->nodes);
	free(scan->error);
	*scan = (struct json_scan){ 0 };
}
