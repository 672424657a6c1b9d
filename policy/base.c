/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* String vectors and growing arrays, the implementation of base.h. */

#include "policy/base.h"

#include <stdarg.h>
#include <stdio.h>

char **strv_free(char **v)
{
	STRV_FOREACH (s, v)
		free(*s);
	free(v);
	return NULL;
}

size_t strv_length(char *const *v)
{
	size_t n = 0;

	while (v && v[n])
		n++;
	return n;
}

bool strv_contains(char *const *v, const char *s)
{
	STRV_FOREACH (i, v)
		if (streq(*i, s))
			return true;
	return false;
}

bool strv_equal(char *const *a, char *const *b)
{
	size_t n = strv_length(a);

	if (n != strv_length(b))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!streq(a[i], b[i]))
			return false;
	return true;
}

static int strv_consume(char ***v, char *s)
{
	size_t n = strv_length(*v);
	char **grown;

	if (!s)
		return -ENOMEM;
	grown = reallocarray(*v, n + 2, sizeof(char *));
	if (!grown) {
		free(s);
		return -ENOMEM;
	}
	grown[n] = s;
	grown[n + 1] = NULL;
	*v = grown;
	return 0;
}

int strv_extend(char ***v, const char *s)
{
	return strv_consume(v, strdup(s));
}

int strv_extendf(char ***v, const char *format, ...)
{
	char *s = NULL;
	va_list ap;
	int r;

	va_start(ap, format);
	r = vasprintf(&s, format, ap);
	va_end(ap);
	return r < 0 ? -ENOMEM : strv_consume(v, s);
}

char **strv_copy(char *const *v)
{
	_cleanup_strv_ char **copy = calloc(strv_length(v) + 1, sizeof(char *));
	size_t n = 0;

	if (!copy)
		return NULL;
	STRV_FOREACH (s, v) {
		copy[n] = strdup(*s);
		if (!copy[n++])
			return NULL;
	}
	return STEAL(copy);
}

char *strv_join(char *const *v, const char *separator)
{
	size_t size = 1, gap = strlen(separator);
	char *joined, *p;

	STRV_FOREACH (s, v)
		size += strlen(*s) + gap;
	joined = malloc(size);
	if (!joined)
		return NULL;
	p = joined;
	STRV_FOREACH (s, v) {
		if (s != v)
			p = stpcpy(p, separator);
		p = stpcpy(p, *s);
	}
	*p = 0;
	return joined;
}

static int strv_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void strv_sort(char **v)
{
	if (v)
		qsort(v, strv_length(v), sizeof(char *), strv_compare);
}

int free_and_strdup(char **p, const char *s)
{
	char *copy = NULL;

	if (s && !(copy = strdup(s)))
		return -ENOMEM;
	free(*p);
	*p = copy;
	return 0;
}

int free_and_asprintf(char **p, const char *format, ...)
{
	char *s = NULL;
	va_list ap;
	int r;

	va_start(ap, format);
	r = vasprintf(&s, format, ap);
	va_end(ap);
	if (r < 0)
		return -ENOMEM;
	free(*p);
	*p = s;
	return 0;
}

int array_reserve_one(void **items, size_t n, size_t size)
{
	void *grown;

	/* Capacity is the next power of two, so it is full exactly when n is one (or zero). */
	if (n == 0 || (n & (n - 1)) == 0) {
		grown = reallocarray(*items, n ? n * 2 : 1, size);
		if (!grown)
			return -ENOMEM;
		*items = grown;
	}
	memset((char *)*items + n * size, 0, size);
	return 0;
}
