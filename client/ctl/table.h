/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Tables that fit the terminal: columns as wide as their widest cell, and where that is too wide,
 * the columns that may be cut are cut, the widest of them first.
 */

#include "client/ctl/term.h"

struct table_column {
	const char *title;
	bool right; /* aligned to the right */
	bool cut;   /* may be made narrower than its cells */
};

struct table {
	const struct table_column *columns;
	size_t n_columns;
	struct line_piece *cells; /* row after row */
	size_t n_cells;
	int failed; /* -ENOMEM sticks, and is returned by table_print() */
};

/* The columns are not copied. */
void table_init(struct table *table, const struct table_column *columns, size_t n_columns);
void table_done(struct table *table);
/* Adds the next cell, cleaned; an empty one is shown as "-". NULL is empty. */
void table_add(struct table *table, enum style style, const char *format, ...) _printf_(3, 4);
/* Writes the title and all rows. 0 or -ENOMEM. A half-filled last row is a bug: -EINVAL. */
int table_print(const struct ctl *ctl, const struct table *table);
size_t table_rows(const struct table *table);
