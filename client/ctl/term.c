/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Terminal: its width, whether it takes colour, and lines that fit.
 */

#include "client/ctl/term.h"

#include <langinfo.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <wchar.h>
#include <wctype.h>

static const char *const style_table[STYLE_MAX] = {
	[STYLE_PLAIN] = "",	   [STYLE_BOLD] = "\033[1m",   [STYLE_DIM] = "\033[2m",
	[STYLE_RED] = "\033[31m",  [STYLE_GREEN] = "\033[32m", [STYLE_YELLOW] = "\033[33m",
	[STYLE_BLUE] = "\033[34m",
};

static int terminal_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	int n;

	if (!str_empty(columns)) {
		n = atoi(columns);
		if (n > 0)
			return n;
	}
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	return 0;
}

int term_stderr_width(void)
{
	struct winsize size;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

void term_init(struct ctl *ctl)
{
	const char *term = getenv("TERM");

	ctl->width = terminal_width();
	/* https://no-color.org: any value but the empty one */
	ctl->colour = isatty(STDOUT_FILENO) && str_empty(getenv("NO_COLOR")) &&
		      !(term && streq(term, "dumb"));
	ctl->unicode = streq(nl_langinfo(CODESET), "UTF-8");
}

char *term_clean(const char *s)
{
	size_t left = strlen(s), n = 0;
	mbstate_t state = {};
	char *clean = malloc(left + 1);

	if (!clean)
		return NULL;
	while (left > 0) {
		wchar_t c;
		size_t used = mbrtowc(&c, s, left, &state);

		if (used == 0 || used > left) {
			/* Invalid, or cut off: one byte of it goes. */
			state = (mbstate_t){};
			used = 1;
			clean[n++] = '?';
		} else if (!iswprint((wint_t)c)) {
			clean[n++] = '?';
		} else {
			memcpy(clean + n, s, used);
			n += used;
		}
		s += used;
		left -= used;
	}
	clean[n] = '\0';
	return clean;
}

char *term_clean_format(const char *format, va_list args)
{
	_cleanup_free_ char *text = NULL;

	if (vasprintf(&text, format, args) < 0) {
		text = NULL;
		return NULL;
	}
	return term_clean(text);
}

/* The columns of the first character, and its bytes. */
static int char_width(const char *s, size_t *bytes)
{
	mbstate_t state = {};
	wchar_t c;
	size_t used = mbrtowc(&c, s, strlen(s), &state);
	int width;

	if (used == 0 || used > strlen(s)) {
		*bytes = 1;
		return 1;
	}
	*bytes = used;
	width = wcwidth(c);
	return width < 0 ? 1 : width;
}

int term_width(const char *s)
{
	int width = 0;
	size_t bytes;

	for (; *s; s += bytes)
		width += char_width(s, &bytes);
	return width;
}

char *term_cut(const struct ctl *ctl, const char *s, int width)
{
	const char *ellipsis = ctl->unicode ? "…" : "~";
	const char *end = s;
	int taken = 0;
	char *cut;

	if (term_width(s) <= width)
		return strdup(s);
	while (*end) {
		size_t bytes;
		int w = char_width(end, &bytes);

		if (taken + w > width - 1)
			break;
		taken += w;
		end += bytes;
	}
	if (asprintf(&cut, "%.*s%s", (int)(end - s), s, width > 0 ? ellipsis : "") < 0)
		return NULL;
	return cut;
}

void line_add(struct line *line, enum style style, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	struct line_piece *grown;
	va_list args;
	int r;

	va_start(args, format);
	r = vasprintf(&text, format, args);
	va_end(args);
	if (r < 0) {
		text = NULL;
		line->failed = -ENOMEM;
		return;
	}
	grown = reallocarray(line->pieces, line->n + 1, sizeof(*grown));
	if (!grown) {
		line->failed = -ENOMEM;
		return;
	}
	line->pieces = grown;
	grown[line->n].style = style;
	grown[line->n].text = term_clean(text);
	if (!grown[line->n].text)
		line->failed = -ENOMEM;
	else
		line->n++;
}

static int piece_print(const struct ctl *ctl, const struct line_piece *piece, int *left)
{
	_cleanup_free_ char *cut = NULL;
	const char *text = piece->text;
	bool styled = ctl->colour && piece->style != STYLE_PLAIN;

	if (ctl->width > 0) {
		cut = term_cut(ctl, text, *left);
		if (!cut)
			return -ENOMEM;
		*left -= term_width(cut);
		text = cut;
	}
	printf("%s%s%s", styled ? style_table[piece->style] : "", text, styled ? "\033[0m" : "");
	return 0;
}

int line_print(const struct ctl *ctl, struct line *line)
{
	int r = line->failed, left = ctl->width;

	for (size_t i = 0; r == 0 && i < line->n; i++)
		if (ctl->width == 0 || left > 0)
			r = piece_print(ctl, &line->pieces[i], &left);
	putchar('\n');
	line_done(line);
	return r;
}

void line_done(struct line *line)
{
	for (size_t i = 0; i < line->n; i++)
		free(line->pieces[i].text);
	free(line->pieces);
	*line = (struct line){};
}

enum style style_of_state(const char *state)
{
	static const struct {
		const char *state;
		enum style style;
	} table[] = {
		{ "host", STYLE_DIM },	      { "preparing", STYLE_YELLOW },
		{ "leased", STYLE_GREEN },    { "granted", STYLE_GREEN },
		{ "withheld", STYLE_BLUE },   { "fenced", STYLE_BLUE },
		{ "draining", STYLE_YELLOW }, { "restoring", STYLE_YELLOW },
		{ "failed", STYLE_RED },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (streq(table[i].state, state))
			return table[i].style;
	return STYLE_PLAIN;
}
