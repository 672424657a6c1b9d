/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of serial.h. */

#include "daemon/sysfs/serial.h"

#include "daemon/sysfs/attr.h"
#include "daemon/util/fd.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>

#define CONFIG_SIZE	 256  /* conventional PCI: no extended capabilities behind it */
#define CONFIG_EXTENDED	 4096 /* PCI Express */
#define CAPABILITY_DSN	 0x0003
#define CAPABILITIES_MAX ((CONFIG_EXTENDED - CONFIG_SIZE) / 8)

static uint32_t dword(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void format(uint64_t number, char serial[SERIAL_SIZE])
{
	for (int i = 0; i < 8; i++)
		snprintf(serial + 3 * i, (size_t)(SERIAL_SIZE - 3 * i), i < 7 ? "%02x-" : "%02x",
			 (unsigned int)(number >> (56 - 8 * i)) & 0xff);
}

int serial_from_config(const uint8_t *config, size_t size, char serial[SERIAL_SIZE])
{
	size_t at = CONFIG_SIZE;

	serial[0] = 0;
	if (size == CONFIG_SIZE)
		return 0;
	if (size < CONFIG_EXTENDED)
		return SERIAL_UNREADABLE;
	/* A list that leads in circles ends too. */
	for (int i = 0; i < CAPABILITIES_MAX && at >= CONFIG_SIZE && at + 12 <= size; i++) {
		uint32_t header = dword(config + at);

		if (header == 0)
			return 0;
		/* All ones: the device does not answer. */
		if (header == UINT32_MAX)
			return SERIAL_UNREADABLE;
		if ((header & 0xffff) == CAPABILITY_DSN) {
			uint64_t number =
				(uint64_t)dword(config + at + 8) << 32 | dword(config + at + 4);

			/* It was read for good: not of a device that went away meanwhile. */
			if (number == UINT64_MAX)
				return SERIAL_UNREADABLE;
			format(number, serial);
			return 0;
		}
		at = header >> 20 & ~3U;
	}
	return 0;
}

static bool is_serial(const char *s)
{
	for (size_t i = 0; i < SERIAL_SIZE - 1; i++)
		if (i % 3 == 2 ? s[i] != '-' : !isxdigit((unsigned char)s[i]))
			return false;
	return s[SERIAL_SIZE - 1] == 0;
}

static int read_config(int fd, char serial[SERIAL_SIZE])
{
	uint8_t config[CONFIG_EXTENDED];
	size_t size = 0;

	while (fd >= 0 && size < sizeof(config)) {
		ssize_t n = pread(fd, config + size, sizeof(config) - size, (off_t)size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		size += (size_t)n;
	}
	return serial_from_config(config, size, serial);
}

static int open_device(const struct host *host, const char *device)
{
	_cleanup_free_ char *path = NULL;

	if (!attr_name_valid(device))
		return -ENOENT;
	if (asprintf(&path, "bus/pci/devices/%s", device) < 0)
		return -ENOMEM;
	return attr_open_dir(host->sys, path);
}

int serial_open_config(const struct host *host, const char *device)
{
	_cleanup_close_ int dir = open_device(host, device);
	int fd;

	if (dir < 0)
		return dir == -ENOMEM ? dir : -ENOENT;
	fd = openat(dir, "config", O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -ENOENT : fd;
}

int serial_read(const struct host *host, const char *device, int config, char serial[SERIAL_SIZE])
{
	_cleanup_close_ int dir = open_device(host, device);
	char text[64];
	int r;

	serial[0] = 0;
	if (dir < 0)
		return dir == -ENOMEM ? dir : SERIAL_UNREADABLE;
	r = attr_read(dir, "serial_number", text, sizeof(text));
	if (r < 0)
		return r;
	if (r == 0 && is_serial(text)) {
		for (size_t i = 0; i < SERIAL_SIZE; i++)
			serial[i] = (char)tolower((unsigned char)text[i]);
		return 0;
	}
	return read_config(config, serial);
}
