/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Maintenance: whether new leases are given. A file besides the journals' directory says so, for a
 * daemon that is restarted in the middle. */

#include "daemon/bus/bus.h"
#include "daemon/manager.h"
#include "daemon/util/log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define FLAG "../draining"

static int write_flag(int dir, bool on)
{
	_cleanup_close_ int fd = -EBADF;

	if (!on)
		return unlinkat(dir, FLAG, 0) < 0 && errno != ENOENT ? -errno : 0;
	fd = openat(dir, FLAG, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600);
	return fd < 0 ? -errno : 0;
}

int manager_drain(struct manager *manager, bool on)
{
	int r = write_flag(manager->engine.journal.dir, on);

	if (r < 0)
		return r;
	if (manager->draining != on)
		log_notice(on ? "No new leases from now on" : "New leases are given again");
	manager->draining = on;
	bus_announce_manager(manager->bus);
	return 0;
}

void manager_drain_recover(struct manager *manager)
{
	struct stat st;

	if (fstatat(manager->engine.journal.dir, FLAG, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	manager->draining = true;
	log_notice("No new leases: vfiod was told so before it was started again; vfiodctl drain "
		   "--off ends that");
}
