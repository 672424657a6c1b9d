/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lifelines: descriptors that become readable or hang up when the holder of a lease is gone.
 */

#include "client/internal.h"

#include <fcntl.h>
#include <sys/syscall.h>

int vfiod_lifeline_pid(pid_t pid)
{
	long fd = syscall(SYS_pidfd_open, pid, 0); /* close-on-exec by itself */

	return fd < 0 ? -errno : (int)fd;
}

int vfiod_lifeline_self(void)
{
	return vfiod_lifeline_pid(getpid());
}

int vfiod_lifeline_pipe(int *holder)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	*holder = fds[1];
	return fds[0];
}
