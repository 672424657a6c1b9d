/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a lease, its devices, groups and holders have in a journal, for lease-json.c, which writes
 * that, and lease-json-read.c: one table names each field once, for both ways.
 */

#include "policy/ledger.h"

#define JOURNAL_VERSION 1

enum field_type {
	FIELD_TYPE_NAME,   /* a name that becomes part of a path; always there */
	FIELD_TYPE_DRIVER, /* a driver's name, or left out for NULL */
	FIELD_TYPE_PATH,   /* below /sys, or left out for NULL */
	FIELD_TYPE_TEXT,   /* any text, or left out for NULL */
	FIELD_TYPE_U32,
	FIELD_TYPE_U64, /* as a string: JSON's numbers do not reach that far */
	FIELD_TYPE_BOOL,
	FIELD_TYPE_ENUM,
	/* Left out for zero, so that a journal from before they were there is one still. */
	FIELD_TYPE_FLAG,
	FIELD_TYPE_TIME,
	FIELD_TYPE_STAGE,
};

struct field {
	const char *key;
	enum field_type type;
	size_t offset;
	const char *(*to_string)(int value);
	int (*from_string)(const char *s);
};

struct fields {
	const struct field *items;
	size_t n;
};

extern const struct fields lease_json_lease, lease_json_device, lease_json_group, lease_json_holder;
