/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The few things every room needs: cleanup attributes, string vectors, growing arrays and
 * string tables for enums. Nothing here knows about devices, files or the bus.
 */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define _cleanup_(fn)  __attribute__((__cleanup__(fn)))
#define _printf_(a, b) __attribute__((__format__(__printf__, a, b)))
#define _unused_       __attribute__((__unused__))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Defines fn##p(), to be used as _cleanup_(fn##p), for a destructor that returns NULL. */
#define DEFINE_CLEANUP(type, fn)          \
	static inline void fn##p(type *p) \
	{                                 \
		if (*p)                   \
			fn(*p);           \
	}

static inline void free_charp(void *p)
{
	free(*(void **)p);
}
#define _cleanup_free_ _cleanup_(free_charp)

/* Moves a pointer out of a cleanup variable: the variable is NULL afterwards. */
#define STEAL(p)                              \
	({                                    \
		__typeof__(p) _steal_p = (p); \
		(p) = NULL;                   \
		_steal_p;                     \
	})

static inline bool streq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

/* Like streq(), and two NULLs are equal. */
static inline bool streq0(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static inline bool str_empty(const char *s)
{
	return !s || !*s;
}

/*
 * NULL-terminated string vectors. A NULL vector is an empty one. The vector owns its strings.
 */
char **strv_free(char **v);
DEFINE_CLEANUP(char **, strv_free)
#define _cleanup_strv_ _cleanup_(strv_freep)
size_t strv_length(char *const *v);
bool strv_contains(char *const *v, const char *s);
bool strv_equal(char *const *a, char *const *b);
/* Appends a copy of s. Returns 0 or -ENOMEM (the vector is unchanged). */
int strv_extend(char ***v, const char *s);
/* Appends a formatted string. Returns 0 or -ENOMEM. */
int strv_extendf(char ***v, const char *format, ...) _printf_(2, 3);
/* Returns a copy, or NULL when out of memory. A NULL vector gives an empty one. */
char **strv_copy(char *const *v);
/* Joins with a separator; a new string of the caller, or NULL when out of memory. */
char *strv_join(char *const *v, const char *separator);
/* Sorts by strcmp(), in place. */
void strv_sort(char **v);
#define STRV_FOREACH(s, v) for (__typeof__(*(v)) *s = (v); s && *s; s++)

/* Replaces *p by a copy of s (NULL frees it). Returns 0 or -ENOMEM (unchanged). */
int free_and_strdup(char **p, const char *s);
/* Replaces *p by a formatted string. Returns 0 or -ENOMEM (unchanged). */
int free_and_asprintf(char **p, const char *format, ...) _printf_(2, 3);

/*
 * Makes room for one more element in a plain array { items, n }: grows in powers of two.
 * Returns 0 or -ENOMEM; the new element is zeroed and not yet counted.
 */
int array_reserve_one(void **items, size_t n, size_t size);
#define ARRAY_RESERVE_ONE(items, n) array_reserve_one((void **)&(items), (n), sizeof((items)[0]))

/*
 * String tables for enums: NAME_to_string(value) gives NULL for a value outside the table,
 * NAME_from_string(s) gives -EINVAL for a string outside it. Enums count from 0 to _MAX - 1.
 */
#define DECLARE_STRING_TABLE(name, type)          \
	const char *name##_to_string(type value); \
	int name##_from_string(const char *s);

#define DEFINE_STRING_TABLE(name, type)                                          \
	const char *name##_to_string(type value)                                 \
	{                                                                        \
		if ((int)value < 0 || (size_t)value >= ARRAY_SIZE(name##_table)) \
			return NULL;                                             \
		return name##_table[value];                                      \
	}                                                                        \
	int name##_from_string(const char *s)                                    \
	{                                                                        \
		for (size_t i = 0; s && i < ARRAY_SIZE(name##_table); i++)       \
			if (name##_table[i] && streq(name##_table[i], s))        \
				return (int)i;                                   \
		return -EINVAL;                                                  \
	}
