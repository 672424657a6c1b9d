/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Addresses and routes of a network interface, by rtnetlink. A test links another one. */

#include "daemon/sysfs/host.h"

/*
 * Appends to `text`, a string each: "has the address 10.0.0.2", "has the default route" and the
 * like. Left out is what an idle interface has too: link-local IPv6 addresses that the kernel
 * made, and the kernel's own local, link-local and multicast routes. Interfaces of other network
 * namespaces are not seen. 0 or -errno: not known.
 */
int netlink_read_interface(const struct host *host, const char *name, unsigned int ifindex,
			   char ***text);
