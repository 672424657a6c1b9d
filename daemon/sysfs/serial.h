/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The PCI device serial number (PCI Express Base Specification, 7.9.3: extended capability 0003h).
 * Reading it may wake the device and wait for that: only for children.
 */

#include "daemon/sysfs/host.h"

#include <stddef.h>
#include <stdint.h>

#define SERIAL_SIZE 24 /* "00-1b-21-ff-ff-a0-36-9f" */

enum {
	SERIAL_UNREADABLE =
		1, /* this kernel shows it to nobody without CAP_SYS_ADMIN, or not now */
};

/*
 * Opens the configuration space: an fd of the caller. The kernel shows more than its first 64 bytes
 * only to who had CAP_SYS_ADMIN when it was opened (pci_read_config(), file_ns_capable()).
 * -ENOENT, -ENOMEM.
 */
int serial_open_config(const struct host *host, const char *device);

/*
 * Where the number is to be had: the attribute serial_number of newer kernels, which root may read;
 * else the extended configuration space (config: an fd, or -EBADF). 0: serial is the text, "" for a
 * device without; SERIAL_UNREADABLE; -errno (of ours).
 */
int serial_read(const struct host *host, const char *device, int config, char serial[SERIAL_SIZE]);

/*
 * The same, with CAP_SYS_ADMIN in effect while configuration space is opened, and then no more: for
 * a child. Whether it could be read.
 */
bool serial_find(const struct host *host, const char *device, char serial[SERIAL_SIZE]);

/* From a configuration space of `size` bytes. 0 or SERIAL_UNREADABLE for one that was cut. */
int serial_from_config(const uint8_t *config, size_t size, char serial[SERIAL_SIZE]);
