/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tables: the widths of the columns, and the lines.
 */

#include "client/ctl/table.h"

#include <stdarg.h>

#define GAP	  2 /* between two columns */
#define WIDTH_MIN 8 /* of a column that is cut */

void table_init(struct table *table, const struct table_column *columns, size_t n_columns)
{
	*table = (struct table){ .columns = columns, .n_columns = n_columns };
}

void table_done(struct table *table)
{
	for (size_t i = 0; i < table->n_cells; i++)
		free(table->cells[i].text);
	free(table->cells);
	*table = (struct table){};
}

void table_add(struct table *table, enum style style, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	struct line_piece *cell;
	va_list args;
	int r;

	if (ARRAY_RESERVE_ONE(table->cells, table->n_cells) < 0) {
		table->failed = -ENOMEM;
		return;
	}
	va_start(args, format);
	r = vasprintf(&text, format, args);
	va_end(args);
	if (r < 0)
		text = NULL;
	cell = &table->cells[table->n_cells];
	cell->style = style;
	cell->text = text ? term_clean(text[0] ? text : "-") : NULL;
	if (cell->text)
		table->n_cells++;
	else
		table->failed = -ENOMEM;
}

size_t table_rows(const struct table *table)
{
	return table->n_cells / table->n_columns;
}

static int max(int a, int b)
{
	return a > b ? a : b;
}

static void natural_widths(const struct table *table, int *widths)
{
	for (size_t c = 0; c < table->n_columns; c++)
		widths[c] = term_width(table->columns[c].title);
	for (size_t i = 0; i < table->n_cells; i++) {
		size_t c = i % table->n_columns;

		widths[c] = max(widths[c], term_width(table->cells[i].text));
	}
}

static int total_width(const struct table *table, const int *widths)
{
	int total = GAP * ((int)table->n_columns - 1);

	for (size_t c = 0; c < table->n_columns; c++)
		total += widths[c];
	return total;
}

/* The widest column that may still give something, or n_columns. */
static size_t widest_cuttable(const struct table *table, const int *widths)
{
	size_t best = table->n_columns;

	for (size_t c = 0; c < table->n_columns; c++) {
		if (!table->columns[c].cut || widths[c] <= WIDTH_MIN)
			continue;
		if (best == table->n_columns || widths[c] > widths[best])
			best = c;
	}
	return best;
}

static void fit_widths(const struct table *table, int *widths, int limit)
{
	int excess = total_width(table, widths) - limit;

	while (excess-- > 0) {
		size_t c = widest_cuttable(table, widths);

		if (c == table->n_columns)
			return; /* what is left over is cut at the end of the line */
		widths[c]--;
	}
}

static int add_cell(const struct ctl *ctl, struct line *line, const struct table *table, size_t c,
		    const char *text, enum style style, const int *widths)
{
	_cleanup_free_ char *cut = term_cut(ctl, text, widths[c]);
	int padding;

	if (!cut)
		return -ENOMEM;
	padding = widths[c] - term_width(cut);
	if (table->columns[c].right && padding > 0)
		line_add(line, STYLE_PLAIN, "%*s", padding, "");
	line_add(line, style, "%s", cut);
	if (c + 1 == table->n_columns)
		return 0;
	if (table->columns[c].right)
		padding = 0;
	line_add(line, STYLE_PLAIN, "%*s", padding + GAP, "");
	return 0;
}

int table_print(const struct ctl *ctl, const struct table *table)
{
	_cleanup_(line_done) struct line line = {};
	_cleanup_free_ int *widths = NULL;
	int r = table->failed;

	if (r < 0)
		return r;
	if (table->n_cells % table->n_columns != 0)
		return -EINVAL;
	widths = calloc(table->n_columns, sizeof(*widths));
	if (!widths)
		return -ENOMEM;
	natural_widths(table, widths);
	if (ctl->width > 0)
		fit_widths(table, widths, ctl->width);
	for (size_t c = 0; r >= 0 && c < table->n_columns; c++)
		r = add_cell(ctl, &line, table, c, table->columns[c].title, STYLE_BOLD, widths);
	if (r >= 0)
		r = line_print(ctl, &line);
	for (size_t i = 0; r >= 0 && i < table->n_cells; i++) {
		size_t c = i % table->n_columns;

		r = add_cell(ctl, &line, table, c, table->cells[i].text, table->cells[i].style,
			     widths);
		if (r >= 0 && c + 1 == table->n_columns)
			r = line_print(ctl, &line);
	}
	return r;
}
