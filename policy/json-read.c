/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Two readers read each text: the scan, which says where everything is, and json-c, which makes
 * the values. They go through it in the same order, so that the n-th value of the one is the n-th
 * of the other; should they ever see two different things, the text is refused.
 */

#include "policy/json-read.h"

#include <json-c/json_object_iterator.h>
#include <json-c/json_tokener.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

struct walk {
	struct json_scan *scan;
	size_t next;
};

const struct json_node *json_node_of(struct json_object *value)
{
	return json_object_get_userdata(value);
}

static bool kind_agrees(enum json_node_kind kind, struct json_object *value)
{
	switch (kind) {
	case JSON_NODE_OBJECT:
		return json_object_is_type(value, json_type_object);
	case JSON_NODE_ARRAY:
		return json_object_is_type(value, json_type_array);
	case JSON_NODE_STRING:
		return json_object_is_type(value, json_type_string);
	case JSON_NODE_INTEGER:
		return json_object_is_type(value, json_type_int);
	case JSON_NODE_BOOLEAN:
		return json_object_is_type(value, json_type_boolean);
	case JSON_NODE_KIND_MAX:
	case JSON_NODE_KIND_INVALID:
		break;
	}
	return false;
}

/* Gives a value and all below it their nodes. Returns false if the readers disagree. */
static bool attach_nodes(struct walk *walk, struct json_object *value)
{
	struct json_node *node;

	if (!value || walk->next == walk->scan->n_nodes)
		return false;
	node = &walk->scan->nodes[walk->next++];
	if (!kind_agrees(node->kind, value))
		return false;
	json_object_set_userdata(value, node, NULL);
	if (node->kind == JSON_NODE_ARRAY) {
		size_t n = json_object_array_length(value);

		for (size_t i = 0; i < n; i++)
			if (!attach_nodes(walk, json_object_array_get_idx(value, i)))
				return false;
	} else if (node->kind == JSON_NODE_OBJECT) {
		/* json-c keeps the members in the order in which they came. */
		struct json_object_iterator i = json_object_iter_begin(value);
		struct json_object_iterator end = json_object_iter_end(value);

		for (; !json_object_iter_equal(&i, &end); json_object_iter_next(&i))
			if (!attach_nodes(walk, json_object_iter_peek_value(&i)))
				return false;
	}
	return true;
}

static int _printf_(3, 4)
	refuse(struct json_scan *scan, const struct json_node *node, const char *format, ...)
{
	va_list ap;
	int r;

	va_start(ap, format);
	r = vasprintf(&scan->error, format, ap);
	va_end(ap);
	if (r < 0) {
		scan->error = NULL;
		return -ENOMEM;
	}
	scan->error_place = node->place;
	return -EBADMSG;
}

static int disagree(const struct walk *walk, const char *why)
{
	const struct json_node *node = &walk->scan->nodes[walk->next ? walk->next - 1 : 0];

	return refuse(walk->scan, node, "the JSON library reads this differently: %s", why);
}

int json_document_read(const char *text, size_t size, struct json_document *document)
{
	struct walk walk = { .scan = &document->scan };
	enum json_tokener_error error;
	struct json_tokener *tokener;
	int r;

	*document = (struct json_document){ 0 };
	if (size > INT_MAX)
		return -EFBIG;
	r = json_scan(text, size, &document->scan);
	if (r < 0)
		return r;

	/* json-c itself would wait for more behind a lone number. */
	if (document->scan.nodes->kind != JSON_NODE_OBJECT)
		return refuse(&document->scan, document->scan.nodes,
			      "the file must hold an object, not this %s",
			      json_node_kind_to_string(document->scan.nodes->kind));

	tokener = json_tokener_new_ex(JSON_SCAN_DEPTH_MAX + 1);
	if (!tokener)
		return -ENOMEM;
	/* Not JSON_TOKENER_STRICT: with it json-c 0.18 refuses whatever is not ASCII (char is
	 * signed there). The scan was stricter than that already. */
	json_tokener_set_flags(tokener, JSON_TOKENER_VALIDATE_UTF8);
	document->root = json_tokener_parse_ex(tokener, text, (int)size);
	error = json_tokener_get_error(tokener);
	json_tokener_free(tokener);
	if (error != json_tokener_success)
		return disagree(&walk, json_tokener_error_desc(error));
	if (!attach_nodes(&walk, document->root) || walk.next != document->scan.n_nodes)
		return disagree(&walk, "another value");
	return 0;
}

void json_document_done(struct json_document *document)
{
	json_object_put(document->root);
	json_scan_done(&document->scan);
	document->root = NULL;
}
