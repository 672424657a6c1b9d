/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* "subjects" and "devices": what their objects may have, and what their values look like. */

#include "policy/parse-internal.h"
#include "policy/utf8.h"

#include <ctype.h>
#include <stdio.h>

static bool all_digits(const char *s)
{
	return *s && s[strspn(s, "0123456789")] == 0;
}

/* A uid or gid: every number but (uid_t)-1, which the kernel takes for "none". */
static int item_id(struct parser *p, struct json_object *item, char **ret)
{
	unsigned long long number;
	uint64_t value;
	const char *s;
	int r;

	if (json_node_of(item)->kind == JSON_NODE_INTEGER) {
		r = parse_integer(p, item, 0, UINT32_MAX - 1, &value);
		if (r < 0)
			return r;
		number = value;
	} else {
		s = json_object_get_string(item);
		errno = 0;
		number = strtoull(s, NULL, 10);
		if (errno || number >= UINT32_MAX)
			return parse_fail(p, item, "\"%s\" must be between 0 and %u", p->key,
					  UINT32_MAX - 1);
	}
	return asprintf(ret, "%llu", number) < 0 ? -ENOMEM : 0;
}

/* A user or group, by name or number. Numbers come out as digits alone, names never do. */
static int item_account(struct parser *p, struct json_object *item, char **ret)
{
	const char *s;
	int r;

	if (json_node_of(item)->kind == JSON_NODE_INTEGER)
		return item_id(p, item, ret);
	r = parse_expect(p, item, JSON_NODE_STRING, "names or numbers");
	if (r < 0)
		return r;
	r = parse_string(p, item, &s);
	if (r < 0)
		return r;
	if (all_digits(s))
		return item_id(p, item, ret);
	if (strchr("+-", *s) || strpbrk(s, "*?[:/"))
		return parse_fail(p, item, "\"%.*s\" can be no name; globs do not work here",
				  (int)utf8_cut(s, UTF8_QUOTE_MAX), s);
	*ret = strdup(s);
	return *ret ? 0 : -ENOMEM;
}

static int item_user(struct parser *p, struct json_object *item, char **ret)
{
	if (json_node_of(item)->kind == JSON_NODE_STRING &&
	    streq(json_object_get_string(item), "*")) {
		*ret = strdup("*");
		return *ret ? 0 : -ENOMEM;
	}
	return item_account(p, item, ret);
}

static int item_group_name(struct parser *p, struct json_object *item, char **ret)
{
	if (json_node_of(item)->kind == JSON_NODE_STRING &&
	    streq(json_object_get_string(item), "*"))
		return parse_fail(p, item, "everybody is { \"users\": [\"*\"] }");
	return item_account(p, item, ret);
}

static int item_unit(struct parser *p, struct json_object *item, char **ret)
{
	const char *s;
	int r;

	r = parse_string(p, item, &s);
	if (r < 0)
		return r;
	if (!strpbrk(s, ".*"))
		return parse_fail(p, item, "\"%.*s\" has no suffix: did you mean \"%.*s.service\"?",
				  (int)utf8_cut(s, UTF8_QUOTE_MAX), s,
				  (int)utf8_cut(s, UTF8_QUOTE_MAX), s);
	*ret = strdup(s);
	return *ret ? 0 : -ENOMEM;
}

/* The values that are numbers: uids of users and gids of groups that were given so. */
static int numbers_of(char *const *values, uint32_t **ret, size_t *n)
{
	STRV_FOREACH (value, values) {
		if (!all_digits(*value))
			continue;
		if (ARRAY_RESERVE_ONE(*ret, *n) < 0)
			return -ENOMEM;
		(*ret)[(*n)++] = (uint32_t)strtoul(*value, NULL, 10);
	}
	return 0;
}

static int subject_users(struct parser *p, struct json_object *value, void *target)
{
	struct subject_match *match = target;
	int r;

	r = parse_list(p, value, item_user, &match->users, &match->user_sources);
	return r < 0 ? r : numbers_of(match->users, &match->uids, &match->n_uids);
}

static int subject_groups(struct parser *p, struct json_object *value, void *target)
{
	struct subject_match *match = target;
	int r;

	r = parse_list(p, value, item_group_name, &match->groups, &match->group_sources);
	return r < 0 ? r : numbers_of(match->groups, &match->gids, &match->n_gids);
}

static int subject_units(struct parser *p, struct json_object *value, void *target)
{
	struct subject_match *match = target;

	return parse_list(p, value, item_unit, &match->units, NULL);
}

static const struct parse_key subject_keys[] = {
	{ "users", subject_users, false },
	{ "groups", subject_groups, false },
	{ "units", subject_units, false },
};

int parse_not_empty(struct parser *p, struct json_object *array)
{
	int r;

	r = parse_expect(p, array, JSON_NODE_ARRAY, "an array of objects");
	if (r < 0)
		return r;
	if (json_object_array_length(array) == 0)
		return parse_fail(p, array, "\"%s\" is empty", p->key);
	return 0;
}

int parse_subjects(struct parser *p, struct json_object *value, struct rule *rule)
{
	int r;

	r = parse_not_empty(p, value);
	for (size_t i = 0; r >= 0 && i < json_object_array_length(value); i++) {
		struct json_object *object = json_object_array_get_idx(value, i);

		if (ARRAY_RESERVE_ONE(rule->subjects, rule->n_subjects) < 0)
			return -ENOMEM;
		rule->n_subjects++;
		r = parse_expect(p, object, JSON_NODE_OBJECT, "an array of objects");
		if (r >= 0 && json_object_object_length(object) == 0)
			r = parse_fail(p, object,
				       "an empty object; everybody is { \"users\": [\"*\"] }");
		if (r >= 0)
			r = parse_object(p, object, subject_keys, ARRAY_SIZE(subject_keys),
					 &rule->subjects[rule->n_subjects - 1]);
	}
	return r;
}

/* The digits of a hexadecimal number, in small letters and without "0x", if it has n of them. */
static int hex_digits(const char *s, size_t n, char **ret)
{
	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
		s += 2;
	if (strlen(s) != n)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (!isxdigit((unsigned char)s[i]))
			return -EINVAL;
	*ret = strdup(s);
	if (!*ret)
		return -ENOMEM;
	for (char *c = *ret; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return 0;
}

static int item_hex_id(struct parser *p, struct json_object *item, char **ret)
{
	const char *s;
	int r;

	r = parse_expect(p, item, JSON_NODE_STRING, "hexadecimal numbers as strings (\"8086\")");
	if (r < 0)
		return r;
	r = parse_string(p, item, &s);
	if (r < 0)
		return r;
	if (streq(s, "*")) {
		*ret = strdup(s);
		return *ret ? 0 : -ENOMEM;
	}
	r = hex_digits(s, 4, ret);
	if (r == -EINVAL)
		return parse_fail(p, item, "\"%s\" wants four hexadecimal digits, or \"*\"",
				  p->key);
	return r;
}

static int item_class(struct parser *p, struct json_object *item, char **ret)
{
	const char *s;
	int r;

	r = parse_expect(p, item, JSON_NODE_STRING, "hexadecimal numbers as strings (\"03\")");
	if (r < 0)
		return r;
	r = parse_string(p, item, &s);
	if (r < 0)
		return r;
	for (size_t n = 2; n <= 6; n += 2) {
		r = hex_digits(s, n, ret);
		if (r != -EINVAL)
			return r;
	}
	return parse_fail(p, item, "\"%s\" wants two, four or six hexadecimal digits", p->key);
}

/* The number of an IOMMU group. */
static int item_group_id(struct parser *p, struct json_object *item, char **ret)
{
	const char *s;
	int r;

	if (json_node_of(item)->kind == JSON_NODE_INTEGER)
		return item_id(p, item, ret);
	r = parse_expect(p, item, JSON_NODE_STRING, "numbers");
	if (r < 0)
		return r;
	r = parse_string(p, item, &s);
	if (r < 0)
		return r;
	if (!all_digits(s))
		return parse_fail(p, item, "\"%s\" wants the number of an IOMMU group", p->key);
	return item_id(p, item, ret);
}

/* "3b:00.0", as lspci writes it: the kernel's name has a domain in front, so it is never met. */
static bool lacks_domain(const char *s)
{
	/* A "*" in front of the colon may stand for a domain and more. */
	size_t n = strspn(s, "0123456789abcdefABCDEF?[]-");

	if (n == 0 || s[n] != ':' || strchr(s + n + 1, ':'))
		return false;
	s += n + 1;
	n = strspn(s, "0123456789abcdefABCDEF*?[]-");
	return n > 0 && s[n] == '.' && strlen(s + n + 1) > 0;
}

static int item_address(struct parser *p, struct json_object *item, char **ret)
{
	const char *s;
	int r;

	r = parse_string(p, item, &s);
	if (r < 0)
		return r;
	if (lacks_domain(s))
		return parse_fail(p, item, "the address has no domain: did you mean \"0000:%.*s\"?",
				  (int)utf8_cut(s, UTF8_QUOTE_MAX), s);
	*ret = strdup(s);
	return *ret ? 0 : -ENOMEM;
}

/* The pools themselves may come in a later file, so references are checked at the end. */
static int item_pool(struct parser *p, struct json_object *item, char **ret)
{
	const char *s;
	int r;

	r = parse_string(p, item, &s);
	if (r < 0)
		return r;
	r = parse_remember(p, &p->pool_references, s, &json_node_of(item)->place);
	if (r < 0)
		return r;
	*ret = strdup(s);
	return *ret ? 0 : -ENOMEM;
}

static parse_item_fn item_of_key(enum device_key key)
{
	switch (key) {
	case DEVICE_KEY_VENDOR:
	case DEVICE_KEY_PRODUCT:
	case DEVICE_KEY_SUBSYSTEM_VENDOR:
	case DEVICE_KEY_SUBSYSTEM_PRODUCT:
		return item_hex_id;
	case DEVICE_KEY_CLASS:
		return item_class;
	case DEVICE_KEY_GROUP:
		return item_group_id;
	case DEVICE_KEY_ADDRESS:
	case DEVICE_KEY_PHYSICAL_FUNCTION:
		return item_address;
	case DEVICE_KEY_POOL:
		return item_pool;
	case DEVICE_KEY_DRIVER:
	case DEVICE_KEY_SUBSYSTEM:
	case DEVICE_KEY_IOMMU:
	case DEVICE_KEY_SLOT:
	case DEVICE_KEY_MAX:
	case DEVICE_KEY_INVALID:
		break;
	}
	return parse_item_string;
}

static int parse_device_key(struct parser *p, const char *name, struct json_object *value,
			    bool in_pool, struct device_match *match)
{
	PARSE_WORDS(words, device_key, enum device_key, DEVICE_KEY_MAX);
	int key = device_key_from_string(name);
	const char *outer = p->key;
	int r;

	if (key < 0)
		return parse_unknown_key(p, value, name, words, DEVICE_KEY_MAX - in_pool);
	if (in_pool && key == DEVICE_KEY_POOL)
		return parse_fail_key(p, value, "a pool cannot be made of pools");
	p->key = words[key];
	r = parse_list(p, value, item_of_key((enum device_key)key), &match->values[key], NULL);
	p->key = outer;
	return r;
}

static int pin_id(struct parser *p, struct json_object *value, enum pin_key key, void *target)
{
	struct device_match *match = target;
	const char *s;
	int r;

	r = parse_string(p, value, &s);
	if (r < 0)
		return r;
	r = hex_digits(s, 4, &match->pin[key]);
	if (r == -EINVAL)
		return parse_fail(p, value, "\"%s\" wants four hexadecimal digits", p->key);
	return r;
}

static int pin_vendor(struct parser *p, struct json_object *value, void *target)
{
	return pin_id(p, value, PIN_VENDOR, target);
}

static int pin_product(struct parser *p, struct json_object *value, void *target)
{
	return pin_id(p, value, PIN_PRODUCT, target);
}

/* As lspci and sysfs write it: eight bytes, "00-1b-21-ff-ff-a0-36-9f". */
static int pin_serial(struct parser *p, struct json_object *value, void *target)
{
	struct device_match *match = target;
	const char *s;
	char *copy;
	int r;

	r = parse_string(p, value, &s);
	if (r < 0)
		return r;
	for (size_t i = 0; i < 23 || s[i]; i++)
		if (i >= 23 || (i % 3 == 2 ? s[i] != '-' : !isxdigit((unsigned char)s[i])))
			return parse_fail(p, value,
					  "\"serial\" wants eight bytes as lspci writes them, such "
					  "as \"00-1b-21-ff-ff-a0-36-9f\"");
	copy = strdup(s);
	if (!copy)
		return -ENOMEM;
	for (char *c = copy; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	match->pin[PIN_SERIAL] = copy;
	return 0;
}

static int parse_pin(struct parser *p, struct json_object *value, struct device_match *match)
{
	static const struct parse_key keys[] = {
		{ "vendor", pin_vendor, false },
		{ "product", pin_product, false },
		{ "serial", pin_serial, false },
	};
	int r;

	r = parse_expect(p, value, JSON_NODE_OBJECT, "an object");
	if (r >= 0 && json_object_object_length(value) == 0)
		return parse_fail(p, value, "\"pin\" is empty; leave it out to pin nothing");
	return r < 0 ? r : parse_object(p, value, keys, ARRAY_SIZE(keys), match);
}

static int parse_device_match(struct parser *p, struct json_object *object, bool in_pool,
			      struct device_match *match)
{
	int r;

	r = parse_expect(p, object, JSON_NODE_OBJECT, "an array of objects");
	if (r < 0)
		return r;
	if (json_object_object_length(object) == 0)
		return parse_fail(p, object,
				  "an empty object; every device is { \"address\": \"*\" }");
	if (json_object_object_length(object) == 1 &&
	    json_object_object_get_ex(object, "pin", NULL))
		return parse_fail(p, object,
				  "a \"pin\" chooses no device; every device is { \"address\": "
				  "\"*\" }");
	json_object_object_foreach (object, key, value) {
		const char *outer = p->key;

		if (streq(key, "pin")) {
			p->key = key;
			r = parse_pin(p, value, match);
			p->key = outer;
		} else {
			r = parse_device_key(p, key, value, in_pool, match);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

int parse_devices(struct parser *p, struct json_object *value, bool in_pool,
		  struct device_match **ret, size_t *n)
{
	int r;

	r = parse_not_empty(p, value);
	for (size_t i = 0; r >= 0 && i < json_object_array_length(value); i++) {
		if (ARRAY_RESERVE_ONE(*ret, *n) < 0)
			return -ENOMEM;
		(*n)++;
		r = parse_device_match(p, json_object_array_get_idx(value, i), in_pool,
				       &(*ret)[*n - 1]);
	}
	return r;
}
