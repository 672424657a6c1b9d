/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * UTF-8, one character at a time, and what of it may be shown to a terminal. Messages of the
 * parser go over D-Bus, which takes nothing but valid UTF-8.
 */

#include "policy/base.h"

/* How many bytes of somebody's string a message quotes. */
#define UTF8_QUOTE_MAX 64

/*
 * Reads one character. Returns the number of bytes (1 to 4), or 0 when the bytes are not valid:
 * none, overlong, a surrogate, beyond U+10FFFF, cut short.
 */
size_t utf8_read(const char *s, size_t n, uint32_t *character);
/* Writes one character, at most 4 bytes, no NUL. Returns the place behind it. */
char *utf8_write(char *out, uint32_t character);
/* Whether a character moves the cursor rather than shows: C0, DEL and C1. */
bool utf8_is_control(uint32_t character);
/* Whether a string is valid and has no control character. */
bool utf8_is_printable(const char *s);
/* The length of the longest part of s that has at most max bytes and ends between characters. */
size_t utf8_cut(const char *s, size_t max);
