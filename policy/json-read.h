/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * JSON text to json-c values that know where they stand: the pre-scan of json-scan.h and json-c,
 * held against each other. No file is opened here, and nothing here knows what a policy is.
 */

#include "policy/json-scan.h"

#include <json-c/json_object.h>
#include <json-c/linkhash.h> /* json_object_object_foreach() */

struct json_document {
	struct json_object *root;
	struct json_scan scan; /* owns the nodes that the values point to */
};

/*
 * Reads a text, which must be an object. Returns 0, -EBADMSG with scan.error and scan.error_place
 * set, or -ENOMEM. Every value below root is not NULL: JSON's null is refused. In each case the
 * document is to be freed by json_document_done().
 */
int json_document_read(const char *text, size_t size, struct json_document *document);
void json_document_done(struct json_document *document);

/* Where a value of a document stands, and of what kind it is. */
const struct json_node *json_node_of(struct json_object *value);
