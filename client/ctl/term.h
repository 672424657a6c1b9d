/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Text for a terminal: lines made of styled pieces that are cut where the terminal ends. What comes
 * from elsewhere (labels, process names, model names) is made harmless on its way in.
 */

#include "client/ctl/ctl.h"

#include <stdarg.h>

enum style {
	STYLE_PLAIN,
	STYLE_BOLD,
	STYLE_DIM,
	STYLE_RED,
	STYLE_GREEN,
	STYLE_YELLOW,
	STYLE_BLUE,
	STYLE_MAX,
	STYLE_INVALID = -1,
};

/* Finds out what standard output is; called once at the start, after setlocale(). */
void term_init(struct ctl *ctl);

/* The columns of the terminal on standard error; 0 if it is none. */
int term_stderr_width(void);

/*
 * A copy without control characters and invalid sequences: each becomes "?". NULL when out of
 * memory. A lease's label, for one, is any user's text, and must not be able to drive the
 * administrator's terminal.
 */
char *term_clean(const char *s);
/* The same of what is formatted. */
char *term_clean_format(const char *format, va_list args);
/* How many columns a clean string takes. */
int term_width(const char *s);
/* A copy cut to at most width columns, the last of them an ellipsis if anything is missing. */
char *term_cut(const struct ctl *ctl, const char *s, int width);

struct line_piece {
	char *text;
	enum style style;
};

struct line {
	struct line_piece *pieces;
	size_t n;
	int failed; /* -ENOMEM sticks, and is returned by line_print() */
};

/* Adds a piece, cleaned. */
void line_add(struct line *line, enum style style, const char *format, ...) _printf_(3, 4);
/* Writes the line, cut to the terminal, and a newline; empties it. 0 or -ENOMEM. */
int line_print(const struct ctl *ctl, struct line *line);
void line_done(struct line *line);

/* How a state is shown, whether of a group, a device or a lease. */
enum style style_of_state(const char *state);
