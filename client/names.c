/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The names of things from their object paths (the table in org.vfiod1(5)): the inverse of what the
 * daemon does when it makes the paths. Nothing is asked of the bus here.
 */

#include "client/internal.h"

#include <stdio.h>

#define DEVICE_PREFIX VFIOD_PATH "/device"
#define GROUP_PREFIX  VFIOD_PATH "/group/"

static bool is_hex(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strchr("0123456789abcdef", s[i]))
			return false;
	return n > 0;
}

/* "0000_02_01_0": the domain may be longer than four digits (VMD), the rest has its length. */
static bool is_pci_tail(const char *s)
{
	size_t n = strlen(s);
	const char *bus;

	if (n < 4 + 8 || n > 8 + 8)
		return false;
	bus = s + n - 8;
	return is_hex(s, n - 8) && bus[0] == '_' && is_hex(bus + 1, 2) && bus[3] == '_' &&
	       is_hex(bus + 4, 2) && bus[6] == '_' && bus[7] >= '0' && bus[7] <= '7';
}

int device_name_from_path(const char *path, char **name)
{
	const char *tail;
	size_t n;
	int r;

	if (strncmp(path, DEVICE_PREFIX "/pci_", sizeof(DEVICE_PREFIX "/pci_") - 1) == 0) {
		tail = path + sizeof(DEVICE_PREFIX "/pci_") - 1;
		if (!is_pci_tail(tail))
			return -EINVAL;
		*name = strdup(tail);
		if (!*name)
			return -ENOMEM;
		n = strlen(*name);
		(*name)[n - 8] = ':';
		(*name)[n - 5] = ':';
		(*name)[n - 2] = '.';
		return 0;
	}
	r = sd_bus_path_decode(path, DEVICE_PREFIX, name);
	if (r < 0)
		return r;
	return r == 0 || str_empty(*name) ? -EINVAL : 0;
}

int group_id_from_path(const char *path, uint32_t *id)
{
	unsigned long value;
	char *end;

	if (strncmp(path, GROUP_PREFIX, sizeof(GROUP_PREFIX) - 1) != 0)
		return -EINVAL;
	path += sizeof(GROUP_PREFIX) - 1;
	if (*path < '0' || *path > '9')
		return -EINVAL;
	errno = 0;
	value = strtoul(path, &end, 10);
	if (errno || *end || value > UINT32_MAX)
		return -EINVAL;
	*id = (uint32_t)value;
	return 0;
}
