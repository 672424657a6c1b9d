/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Strict parsers of numbers and names, and the check of text that goes to the bus. */

#include "daemon/sysfs/attr.h"

#include "policy/utf8.h"

#include <ctype.h>
#include <limits.h>
#include <sys/sysmacros.h>

int parse_hex(const char *s, unsigned int bits, uint64_t *value)
{
	uint64_t number = 0;

	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
		s += 2;
	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		unsigned int digit;

		if (!isxdigit((unsigned char)*s))
			return -EINVAL;
		if (number >> 60)
			return -ERANGE;
		digit = isdigit((unsigned char)*s) ? *s - '0' : (*s | 0x20) - 'a' + 10;
		number = number << 4 | digit;
	}
	if (bits < 64 && number >> bits)
		return -ERANGE;
	*value = number;
	return 0;
}

int parse_uint(const char *s, uint64_t max, uint64_t *value)
{
	uint64_t number = 0;

	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(*s - '0'), &number))
			return -ERANGE;
	}
	if (number > max)
		return -ERANGE;
	*value = number;
	return 0;
}

int parse_int(const char *s, int64_t min, int64_t max, int64_t *value)
{
	bool negative = *s == '-';
	uint64_t number;
	int r = parse_uint(s + negative, INT64_MAX, &number);

	if (r < 0)
		return r;
	if ((negative ? -(int64_t)number : (int64_t)number) < min ||
	    (negative ? -(int64_t)number : (int64_t)number) > max)
		return -ERANGE;
	*value = negative ? -(int64_t)number : (int64_t)number;
	return 0;
}

int parse_dev(const char *s, dev_t *value)
{
	char text[32];
	char *colon;
	uint64_t high, low;

	if (strlen(s) >= sizeof(text))
		return -EINVAL;
	strcpy(text, s);
	colon = strchr(text, ':');
	if (!colon)
		return -EINVAL;
	*colon = 0;
	/* 12 and 20 bits: the kernel's MINORBITS. */
	if (parse_uint(text, 0xfff, &high) < 0 || parse_uint(colon + 1, 0xfffff, &low) < 0)
		return -EINVAL;
	*value = makedev((unsigned int)high, (unsigned int)low);
	return 0;
}

bool attr_name_valid(const char *name)
{
	if (!*name || streq(name, ".") || streq(name, "..") || strlen(name) > NAME_MAX)
		return false;
	for (const char *p = name; *p; p++)
		if (*p == '/' || *p < '!' || *p > '~')
			return false;
	return true;
}

bool text_is_clean(const char *s)
{
	size_t left = strlen(s);

	while (left) {
		uint32_t c;
		size_t n = utf8_read(s, left, &c);

		if (n == 0 || (utf8_is_control(c) && c != '\n' && c != '\t'))
			return false;
		s += n;
		left -= n;
	}
	return true;
}

char *text_clean(char *s)
{
	size_t left = strlen(s);

	for (char *p = s; left;) {
		uint32_t c;
		size_t n = utf8_read(p, left, &c);

		if (n == 0 || utf8_is_control(c)) {
			memset(p, '?', n ?: 1);
			n = n ?: 1;
		}
		p += n;
		left -= n;
	}
	return s;
}
