/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * serial_find(): the capability that reading a serial number can need, around the one call that
 * needs it. What is read, and how, is in serial.c.
 */

#include "daemon/caps.h"
#include "daemon/sysfs/serial.h"
#include "daemon/util/fd.h"

#include <linux/capability.h>

bool serial_find(const struct host *host, const char *device, char serial[SERIAL_SIZE])
{
	bool raised = caps_raise(CAP_SYS_ADMIN) == 0;
	_cleanup_close_ int config = serial_open_config(host, device);

	/* A child that cannot let go of it again is none to go on with. */
	if (raised && caps_lower(CAP_SYS_ADMIN) < 0)
		_exit(1);
	return serial_read(host, device, config, serial) == 0;
}
