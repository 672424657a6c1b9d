/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The strict pre-scan in front of json-c. json-c takes duplicate keys, NaN, single quotes and
 * comments, saturates big numbers, and knows places only for syntax errors. The scan refuses what
 * RFC 8259 does not have, and some things that it does have but a policy has no use for, and says
 * for each value at which line and column it stands. It makes no values: json-read.c lets json-c
 * do that.
 */

#include "policy/base.h"

#include <stdint.h>

/* Arrays and objects within each other; the language needs 6. json-c's own limit is 32. */
#define JSON_SCAN_DEPTH_MAX 16

/* Counted from 1. Columns count characters, and a tab is one. */
struct json_place {
	unsigned int line;
	unsigned int column;
};

enum json_node_kind {
	JSON_NODE_OBJECT,
	JSON_NODE_ARRAY,
	JSON_NODE_STRING,
	JSON_NODE_INTEGER,
	JSON_NODE_BOOLEAN,
	JSON_NODE_KIND_MAX,
	JSON_NODE_KIND_INVALID = -1,
};
DECLARE_STRING_TABLE(json_node_kind, enum json_node_kind)

/* One value, in the order in which they begin in the text. */
struct json_node {
	enum json_node_kind kind;
	struct json_place place;
	struct json_place key; /* of a member of an object: its key's place; else 0:0 */
};

struct json_scan {
	struct json_node *nodes;
	size_t n_nodes;
	/* When refused: */
	struct json_place error_place;
	char *error;
};

/*
 * Scans a text (not NUL-terminated). Returns 0, -EBADMSG with error and error_place set, or
 * -ENOMEM. Refused are, besides everything that is not JSON: duplicate keys (as they read after
 * their escapes are resolved), invalid UTF-8, a byte order mark, control characters (escaped
 * ones too), lone surrogates, null, numbers that are not whole, do not fit into 64 bits with a
 * sign, or are "-0", nesting deeper than JSON_SCAN_DEPTH_MAX, and anything after the value.
 */
int json_scan(const char *text, size_t size, struct json_scan *scan);
void json_scan_done(struct json_scan *scan);
