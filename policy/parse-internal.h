/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the files of the parser share: the state of one policy_parse(), and readers for the kinds
 * of values that the language has. All of them return 0, -EBADMSG with the error set, or -ENOMEM.
 */

#include "policy/json-read.h"
#include "policy/parse.h"

/* A string in a policy is no longer than this. */
#define POLICY_STRING_MAX 255

/* Where something was written. */
struct source {
	const char *path; /* of the struct policy_file */
	struct json_place place;
};

/* A thing that has a name (a rule, a pool, a reference to a pool), and where. */
struct named {
	char *name;
	struct source source;
	size_t order;
};

struct named_list {
	struct named *items;
	size_t n;
};

struct parser {
	struct policy *policy;
	struct policy_error *error;
	const char *path;
	const char *key; /* of the value that is being read, for messages; NULL: the whole file */
	struct named_list rules, pools, pool_references;
	/* Settings that hold for all: where they were given. path NULL: nowhere yet. */
	struct source probe, leases_per_user;
};

/* Fails at a value, or at the key of a member. */
int parse_fail(struct parser *p, struct json_object *at, const char *format, ...) _printf_(3, 4);
int parse_fail_key(struct parser *p, struct json_object *at, const char *format, ...)
	_printf_(3, 4);
/* Fails anywhere. */
int parse_fail_at(struct parser *p, const struct source *source, const char *format, ...)
	_printf_(3, 4);
struct source parse_source(const struct parser *p, struct json_object *value);
int parse_remember(struct parser *p, struct named_list *list, const char *name,
		   const struct json_place *place);

/* One of the keys that an object may have. */
struct parse_key {
	const char *name;
	int (*parse)(struct parser *p, struct json_object *value, void *target);
	bool required;
};
/* Reads an object by a table of its keys, in the order in which they are written. */
int parse_object(struct parser *p, struct json_object *object, const struct parse_key *keys,
		 size_t n_keys, void *target);
/* ": did you mean …?", or a list of all the words, or "". A new string; NULL: out of memory. */
char *parse_suggestion(const char *s, const char *const *words, size_t n);
/* Fails at a key that is none of `words`, with the most similar one. */
int parse_unknown_key(struct parser *p, struct json_object *value, const char *key,
		      const char *const *words, size_t n_words);

int parse_expect(struct parser *p, struct json_object *value, enum json_node_kind kind,
		 const char *expected);
/* A string that is not empty and not too long. It belongs to the value. */
int parse_string(struct parser *p, struct json_object *value, const char **ret);
int parse_boolean(struct parser *p, struct json_object *value, bool *ret);
int parse_integer(struct parser *p, struct json_object *value, uint64_t min, uint64_t max,
		  uint64_t *ret);
/* Bytes: a number, "64G" with the binary K, M, G or T, or "unlimited" (UINT64_MAX). */
int parse_bytes(struct parser *p, struct json_object *value, uint64_t *ret);
/* An identifier of ours: letters, digits, "_", "-", "." and ":". At a key, if at_key. */
int parse_check_name(struct parser *p, struct json_object *at, bool at_key, const char *name);

/* A word of an enum; *ret is its index. */
int parse_word(struct parser *p, struct json_object *value, const char *const *words, size_t n,
	       int *ret);
/* An array of words, or of globs that match one at least: a bit for each. May be empty. */
int parse_word_set(struct parser *p, struct json_object *value, bool globs,
		   const char *const *words, size_t n, unsigned int *ret);
int parse_not_empty(struct parser *p, struct json_object *array);
/* Declares the array of the words of an enum, from its string table, for the functions above. */
#define PARSE_WORDS(words, name, type, max)                     \
	const char *words[max];                                 \
	for (int words##_i = 0; words##_i < (max); words##_i++) \
	words[words##_i] = name##_to_string((type)words##_i)

/*
 * A string or an array of one or more, each read by item(), which gives a new string. With
 * `sources`, "FILE:LINE:COLUMN" of each is put there.
 */
typedef int (*parse_item_fn)(struct parser *p, struct json_object *item, char **ret);
int parse_list(struct parser *p, struct json_object *value, parse_item_fn item, char ***ret,
	       char ***sources);
/* An item that is any string. */
int parse_item_string(struct parser *p, struct json_object *item, char **ret);

/* The parts of the language: parse-match.c and parse-rule.c. */
int parse_subjects(struct parser *p, struct json_object *value, struct rule *rule);
int parse_devices(struct parser *p, struct json_object *value, bool in_pool,
		  struct device_match **ret, size_t *n);
int parse_rule(struct parser *p, struct json_object *value);
