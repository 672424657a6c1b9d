/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Words that must be one of a few: keys of an object, members of an enum. Who mistypes one is
 * told which one it may have been.
 */

#include "policy/parse-internal.h"
#include "policy/utf8.h"

#include <fnmatch.h>
#include <stdio.h>

/* Neither words of the language nor names of ours are longer. */
#define WORD_MAX 64
/* More words than this are not listed in a message. */
#define LIST_MAX 16

static unsigned int min3(unsigned int a, unsigned int b, unsigned int c)
{
	unsigned int m = a < b ? a : b;

	return m < c ? m : c;
}

/* How many letters to add, drop, change or swap with their neighbour make b of a. */
static unsigned int edit_distance(const char *a, const char *b)
{
	unsigned int d[WORD_MAX + 1][WORD_MAX + 1];
	size_t n = strlen(a), m = strlen(b);

	if (n > WORD_MAX || m > WORD_MAX)
		return UINT32_MAX;
	for (size_t i = 0; i <= n; i++)
		d[i][0] = (unsigned int)i;
	for (size_t j = 0; j <= m; j++)
		d[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= n; i++) {
		for (size_t j = 1; j <= m; j++) {
			d[i][j] = min3(d[i - 1][j] + 1, d[i][j - 1] + 1,
				       d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < d[i][j])
				d[i][j] = d[i - 2][j - 2] + 1;
		}
	}
	return d[n][m];
}

/* The word that s was probably meant to be; or NULL. */
static const char *most_similar(const char *s, const char *const *words, size_t n)
{
	const char *best = NULL;
	unsigned int least = UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		unsigned int distance = edit_distance(s, words[i]);

		if (distance < least) {
			least = distance;
			best = words[i];
		}
	}
	/* A third of its letters may be wrong, and one always; not all of them. */
	return best && least <= 1 + strlen(best) / 4 && least < strlen(best) ? best : NULL;
}

/* All the words, unless they are too many to be read. */
static char *list_of_words(const char *const *words, size_t n)
{
	_cleanup_strv_ char **list = NULL;
	_cleanup_free_ char *joined = NULL;
	char *text = NULL;

	if (n == 0 || n > LIST_MAX)
		return strdup("");
	for (size_t i = 0; i < n; i++)
		if (strv_extendf(&list, "\"%s\"", words[i]) < 0)
			return NULL;
	joined = strv_join(list, ", ");
	if (!joined)
		return NULL;
	return asprintf(&text, ": there is %s", joined) < 0 ? NULL : text;
}

char *parse_suggestion(const char *s, const char *const *words, size_t n)
{
	const char *similar = most_similar(s, words, n);
	char *text = NULL;

	if (!similar)
		return list_of_words(words, n);
	return asprintf(&text, ": did you mean \"%s\"?", similar) < 0 ? NULL : text;
}

int parse_unknown_key(struct parser *p, struct json_object *value, const char *key,
		      const char *const *words, size_t n_words)
{
	_cleanup_free_ char *text = parse_suggestion(key, words, n_words);

	if (!text)
		return -ENOMEM;
	return parse_fail_key(p, value, "unknown key \"%.*s\"%s",
			      (int)utf8_cut(key, UTF8_QUOTE_MAX), key, text);
}

static int parse_unknown_word(struct parser *p, struct json_object *value, const char *word,
			      const char *const *words, size_t n)
{
	_cleanup_free_ char *text = parse_suggestion(word, words, n);

	if (!text)
		return -ENOMEM;
	return parse_fail(p, value, "\"%s\" knows no \"%.*s\"%s", p->key,
			  (int)utf8_cut(word, UTF8_QUOTE_MAX), word, text);
}

static int unknown_key_of_table(struct parser *p, struct json_object *value, const char *key,
				const struct parse_key *keys, size_t n)
{
	_cleanup_free_ const char **words = calloc(n, sizeof(*words));

	if (!words)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		words[i] = keys[i].name;
	return parse_unknown_key(p, value, key, words, n);
}

static int parse_member(struct parser *p, const char *key, struct json_object *value,
			const struct parse_key *keys, size_t n_keys, void *target)
{
	const char *outer = p->key;
	int r;

	for (size_t i = 0; i < n_keys; i++) {
		if (!streq(keys[i].name, key))
			continue;
		p->key = keys[i].name;
		r = keys[i].parse(p, value, target);
		p->key = outer;
		return r;
	}
	return unknown_key_of_table(p, value, key, keys, n_keys);
}

int parse_object(struct parser *p, struct json_object *object, const struct parse_key *keys,
		 size_t n_keys, void *target)
{
	int r;

	r = parse_expect(p, object, JSON_NODE_OBJECT, "an object");
	if (r < 0)
		return r;
	json_object_object_foreach (object, key, value) {
		r = parse_member(p, key, value, keys, n_keys, target);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < n_keys; i++)
		if (keys[i].required && !json_object_object_get_ex(object, keys[i].name, NULL))
			return parse_fail(p, object, "the key \"%s\" is missing here",
					  keys[i].name);
	if (json_object_object_length(object) == 0)
		return parse_fail(p, object, "\"%s\" is empty", p->key);
	return 0;
}

int parse_word(struct parser *p, struct json_object *value, const char *const *words, size_t n,
	       int *ret)
{
	const char *s;
	int r;

	r = parse_string(p, value, &s);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (streq(words[i], s)) {
			*ret = (int)i;
			return 0;
		}
	}
	return parse_unknown_word(p, value, s, words, n);
}

/* A word, or a glob that is at least one of them. */
static int parse_word_glob(struct parser *p, struct json_object *value, const char *const *words,
			   size_t n, unsigned int *bits)
{
	unsigned int found = 0;
	const char *s;
	int r;

	r = parse_string(p, value, &s);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (fnmatch(s, words[i], FNM_NOESCAPE) == 0)
			found |= 1u << i;
	if (!found)
		return parse_unknown_word(p, value, s, words, n);
	*bits |= found;
	return 0;
}

int parse_word_set(struct parser *p, struct json_object *value, bool globs,
		   const char *const *words, size_t n, unsigned int *ret)
{
	unsigned int bits = 0;
	int r;

	r = parse_expect(p, value, JSON_NODE_ARRAY, "an array of strings");
	if (r < 0)
		return r;
	for (size_t i = 0; i < json_object_array_length(value); i++) {
		struct json_object *item = json_object_array_get_idx(value, i);
		int word;

		r = globs ? parse_word_glob(p, item, words, n, &bits)
			  : parse_word(p, item, words, n, &word);
		if (r < 0)
			return r;
		if (!globs)
			bits |= 1u << word;
	}
	*ret = bits;
	return 0;
}
