/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* UTF-8 by RFC 3629, the implementation of utf8.h. */

#include "policy/utf8.h"

size_t utf8_read(const char *text, size_t n, uint32_t *character)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *s = (const unsigned char *)text;
	size_t length;
	uint32_t c;

	if (n == 0)
		return 0;
	if (s[0] < 0x80) {
		*character = s[0];
		return 1;
	}
	length = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	if (s[0] < 0xc2 || s[0] > 0xf4 || length > n)
		return 0;
	c = s[0] & (0xffu >> (length + 1));
	for (size_t i = 1; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[length] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*character = c;
	return length;
}

bool utf8_is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

char *utf8_write(char *out, uint32_t c)
{
	if (c < 0x80) {
		*out++ = (char)c;
		return out;
	}
	if (c < 0x800) {
		*out++ = (char)(0xc0 | c >> 6);
	} else {
		if (c < 0x10000) {
			*out++ = (char)(0xe0 | c >> 12);
		} else {
			*out++ = (char)(0xf0 | c >> 18);
			*out++ = (char)(0x80 | (c >> 12 & 0x3f));
		}
		*out++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	*out++ = (char)(0x80 | (c & 0x3f));
	return out;
}

bool utf8_is_printable(const char *s)
{
	size_t left = strlen(s);

	while (left) {
		uint32_t c;
		size_t n = utf8_read(s, left, &c);

		if (n == 0 || utf8_is_control(c))
			return false;
		s += n;
		left -= n;
	}
	return true;
}

size_t utf8_cut(const char *s, size_t max)
{
	size_t n = strnlen(s, max + 1);

	if (n <= max)
		return n;
	/* s[n] is the first byte that is left out: it must begin a character. */
	for (n = max; n > 0 && (s[n] & 0xc0) == 0x80; n--)
		;
	return n;
}
