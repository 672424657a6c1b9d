/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Replacement of descriptor patterns in arguments. Only the four patterns are touched: arguments
 * are full of braces that mean something else (QEMU takes JSON).
 */

#include "client/ctl/replace.h"
#include "client/ctl/names.h"
#include "policy/base.h"

#include <stdio.h>

/* What the inside of braces asks for. False: not one of the patterns. */
static bool parse_pattern(const char *inside, const char **kind, char **name)
{
	*name = NULL;
	if (streq(inside, "iommufd") || streq(inside, "container")) {
		*kind = inside;
		return true;
	}
	if (strncmp(inside, "fd:", 3) == 0) {
		*kind = "device";
		*name = device_argument(inside + 3);
		return true;
	}
	if (strncmp(inside, "group:", 6) == 0) {
		*kind = "group";
		*name = strdup(inside + 6);
		return true;
	}
	return false;
}

static int append(char **result, const char *s, size_t n)
{
	char *grown;

	if (asprintf(&grown, "%s%.*s", *result ? *result : "", (int)n, s) < 0)
		return -ENOMEM;
	free(*result);
	*result = grown;
	return 0;
}

/* Replaces the pattern between open and close. 1: done. 0: it is none. Negative: failed. */
static int replace_pattern(const char *open, const char *close, replace_lookup lookup,
			   void *userdata, char **result, char **missing)
{
	_cleanup_free_ char *inside = strndup(open + 1, (size_t)(close - open - 1)), *name = NULL;
	const char *kind;
	char number[16];
	int fd, r;

	if (!inside)
		return -ENOMEM;
	if (!parse_pattern(inside, &kind, &name))
		return 0;
	if (!name && kind != inside)
		return -ENOMEM;
	fd = lookup(userdata, kind, name);
	if (fd < 0) {
		*missing = strndup(open, (size_t)(close - open + 1));
		return *missing ? -ENOENT : -ENOMEM;
	}
	snprintf(number, sizeof(number), "%d", fd);
	r = append(result, number, strlen(number));
	return r < 0 ? r : 1;
}

int replace_argument(const char *argument, replace_lookup lookup, void *userdata, char **result,
		     char **missing)
{
	_cleanup_free_ char *text = NULL;
	const char *s = argument;
	int r = append(&text, "", 0);

	while (r >= 0 && *s) {
		size_t plain = strcspn(s, "{");
		const char *close;

		r = append(&text, s, plain);
		s += plain;
		if (r < 0 || !*s)
			break;
		/* The innermost pair: "{{iommufd}" has one pattern, after a brace. */
		close = s + 1 + strcspn(s + 1, "{}");
		r = *close == '}' ? replace_pattern(s, close, lookup, userdata, &text, missing) : 0;
		if (r > 0) {
			s = close + 1;
		} else if (r == 0) {
			r = append(&text, s, 1);
			s++;
		}
	}
	if (r < 0)
		return r;
	*result = STEAL(text);
	return 0;
}

int replace_arguments(char *const *arguments, replace_lookup lookup, void *userdata, char ***result,
		      char **missing)
{
	_cleanup_strv_ char **out = NULL;
	int r = 0;

	for (size_t i = 0; r >= 0 && arguments[i]; i++) {
		_cleanup_free_ char *one = NULL;

		r = replace_argument(arguments[i], lookup, userdata, &one, missing);
		if (r >= 0)
			r = strv_extend(&out, one);
	}
	if (r < 0)
		return r;
	*result = STEAL(out);
	return 0;
}
