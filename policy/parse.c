/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The policy language, from the top: files, pools, rules, settings, and what can only be checked
 * when all files are read. The pieces are in parse-rule.c and parse-match.c, single values in
 * parse-value.c and parse-word.c, names of users and groups in parse-names.c.
 */

#include "policy/parse.h"
#include "policy/parse-internal.h"
#include "policy/utf8.h"

void policy_error_done(struct policy_error *error)
{
	free(error->message);
	error->message = NULL;
}

static int file_version(struct parser *p, struct json_object *value, void *target)
{
	int r;

	r = parse_expect(p, value, JSON_NODE_INTEGER, "the number 1");
	if (r < 0)
		return r;
	if (json_object_get_int64(value) != 1)
		return parse_fail(p, value, "version %lld of the language is not known, only 1 is",
				  (long long)json_object_get_int64(value));
	return 0;
}

static int pool_devices(struct parser *p, struct json_object *value, void *target)
{
	struct pool *pool = target;

	return parse_devices(p, value, true, &pool->devices, &pool->n_devices);
}

static int parse_pool(struct parser *p, const char *name, struct json_object *value)
{
	static const struct parse_key keys[] = { { "devices", pool_devices, true } };
	struct policy *policy = p->policy;
	struct pool *pool;
	int r;

	r = parse_check_name(p, value, true, name);
	if (r < 0)
		return r;
	r = parse_remember(p, &p->pools, name, &json_node_of(value)->key);
	if (r < 0)
		return r;
	if (ARRAY_RESERVE_ONE(policy->pools, policy->n_pools) < 0)
		return -ENOMEM;
	pool = &policy->pools[policy->n_pools++];
	r = free_and_strdup(&pool->name, name);
	return r < 0 ? r : parse_object(p, value, keys, ARRAY_SIZE(keys), pool);
}

static int file_pools(struct parser *p, struct json_object *value, void *target)
{
	int r;

	r = parse_expect(p, value, JSON_NODE_OBJECT, "an object");
	if (r < 0)
		return r;
	json_object_object_foreach (value, name, pool) {
		r = parse_pool(p, name, pool);
		if (r < 0)
			return r;
	}
	return 0;
}

static int file_rules(struct parser *p, struct json_object *value, void *target)
{
	int r;

	r = parse_expect(p, value, JSON_NODE_ARRAY, "an array of objects");
	for (size_t i = 0; r >= 0 && i < json_object_array_length(value); i++)
		r = parse_rule(p, json_object_array_get_idx(value, i));
	return r;
}

/*
 * A setting that holds for all may be given in more than one file, if they agree: which of two
 * values an administrator meant, nobody can know.
 */
static int parse_setting(struct parser *p, struct json_object *value, struct source *before,
			 bool same)
{
	if (!before->path) {
		*before = parse_source(p, value);
		return 0;
	}
	if (same)
		return 0;
	return parse_fail(p, value, "\"%s\" has another value at %s:%u:%u", p->key, before->path,
			  before->place.line, before->place.column);
}

static int hotplug_probe(struct parser *p, struct json_object *value, void *target)
{
	PARSE_WORDS(words, probe, enum probe, PROBE_MAX);
	int word, r;

	r = parse_word(p, value, words, PROBE_MAX, &word);
	if (r < 0)
		return r;
	r = parse_setting(p, value, &p->probe, (int)p->policy->probe == word);
	p->policy->probe = (enum probe)word;
	return r;
}

static int file_hotplug(struct parser *p, struct json_object *value, void *target)
{
	static const struct parse_key keys[] = { { "probe", hotplug_probe, false } };

	return parse_object(p, value, keys, ARRAY_SIZE(keys), NULL);
}

static int limits_leases_per_user(struct parser *p, struct json_object *value, void *target)
{
	uint64_t number;
	int r;

	r = parse_integer(p, value, 0, UINT32_MAX - 1, &number);
	if (r < 0)
		return r;
	r = parse_setting(p, value, &p->leases_per_user,
			  p->policy->limit_leases_per_user == number);
	p->policy->limit_leases_per_user = (uint32_t)number;
	return r;
}

static int file_limits(struct parser *p, struct json_object *value, void *target)
{
	static const struct parse_key keys[] = {
		{ "leases-per-user", limits_leases_per_user, false },
	};

	return parse_object(p, value, keys, ARRAY_SIZE(keys), NULL);
}

static const struct parse_key file_keys[] = {
	{ "version", file_version, true }, { "pools", file_pools, false },
	{ "rules", file_rules, false },	   { "hotplug", file_hotplug, false },
	{ "limits", file_limits, false },
};

static int parse_document(struct parser *p, const struct policy_file *file,
			  struct json_document *document)
{
	struct json_object *version;
	int r;

	r = json_document_read(file->text, file->size, document);
	if (r == -EBADMSG) {
		struct source source = { file->path, document->scan.error_place };

		return parse_fail_at(p, &source, "%s", document->scan.error);
	}
	if (r < 0)
		return r;
	/* First of all, since another version may have other keys. */
	if (json_object_is_type(document->root, json_type_object) &&
	    json_object_object_get_ex(document->root, "version", &version)) {
		p->key = "version";
		r = file_version(p, version, NULL);
		p->key = NULL;
		if (r < 0)
			return r;
	}
	return parse_object(p, document->root, file_keys, ARRAY_SIZE(file_keys), NULL);
}

static int parse_file(struct parser *p, const struct policy_file *file)
{
	struct json_document document;
	int r;

	if (file->size == 0)
		return 0;
	p->path = file->path;
	r = parse_document(p, file, &document);
	json_document_done(&document);
	return r < 0 ? r : strv_extend(&p->policy->files, file->path);
}

static int named_compare(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	return r ? r : (x->order > y->order) - (x->order < y->order);
}

/* Sorts the list. The first that has the name of an earlier one is refused. */
static int check_unique(struct parser *p, struct named_list *list, const char *what)
{
	const struct named *again = NULL;

	if (list->n < 2)
		return 0;
	qsort(list->items, list->n, sizeof(*list->items), named_compare);
	for (size_t i = 1; i < list->n; i++) {
		const struct named *item = &list->items[i];

		if (streq(item[-1].name, item->name) && (!again || item->order < again->order))
			again = item;
	}
	if (!again)
		return 0;
	return parse_fail_at(p, &again->source, "the %s \"%s\" is already at %s:%u:%u", what,
			     again->name, again[-1].source.path, again[-1].source.place.line,
			     again[-1].source.place.column);
}

static int unknown_pool(struct parser *p, const struct named *reference)
{
	_cleanup_free_ const char **names = calloc(p->pools.n + 1, sizeof(*names));
	_cleanup_free_ char *text = NULL;

	if (!names)
		return -ENOMEM;
	for (size_t i = 0; i < p->pools.n; i++)
		names[i] = p->pools.items[i].name;
	text = parse_suggestion(reference->name, names, p->pools.n);
	if (!text)
		return -ENOMEM;
	return parse_fail_at(p, &reference->source, "there is no pool \"%.*s\"%s",
			     (int)utf8_cut(reference->name, UTF8_QUOTE_MAX), reference->name, text);
}

/* check_unique() has sorted the pools. */
static int check_references(struct parser *p)
{
	for (size_t i = 0; i < p->pool_references.n; i++) {
		const struct named *reference = &p->pool_references.items[i];
		const struct named *next = NULL;
		size_t low = 0, high = p->pools.n;

		while (!next && low < high) {
			size_t middle = low + (high - low) / 2;
			int r = strcmp(reference->name, p->pools.items[middle].name);

			if (r == 0)
				next = &p->pools.items[middle];
			else if (r < 0)
				high = middle;
			else
				low = middle + 1;
		}
		if (!next)
			return unknown_pool(p, reference);
	}
	return 0;
}

static int parse_files(struct parser *p, const struct policy_file *files, size_t n)
{
	int r;

	for (size_t i = 0; i < n; i++) {
		r = parse_file(p, &files[i]);
		if (r < 0)
			return r;
	}
	r = check_unique(p, &p->rules, "rule");
	if (r < 0)
		return r;
	r = check_unique(p, &p->pools, "pool");
	return r < 0 ? r : check_references(p);
}

static void named_list_done(struct named_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i].name);
	free(list->items);
}

int policy_parse(const struct policy_file *files, size_t n, struct policy **policy,
		 struct policy_error *error)
{
	_cleanup_(policy_freep) struct policy *made = policy_new();
	struct parser p = { .policy = made, .error = error };
	int r;

	if (!made)
		return -ENOMEM;
	r = parse_files(&p, files, n);
	named_list_done(&p.rules);
	named_list_done(&p.pools);
	named_list_done(&p.pool_references);
	if (r < 0)
		return r;
	*policy = STEAL(made);
	return 0;
}
