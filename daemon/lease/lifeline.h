/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What kind of file a lifeline is, and whose process a pidfd means. Watching it is the claim's.
 */

#include "daemon/sysfs/host.h"

enum lifeline_kind { LIFELINE_PIDFD, LIFELINE_PIPE, LIFELINE_SOCKET };

enum {
	LIFELINE_BAD_KIND = 1, /* neither pidfd, pipe's read end, nor socket */
	LIFELINE_DEAD,	       /* over already */
	LIFELINE_FOREIGN,      /* a pidfd of another uid's process */
};

struct lifeline_info {
	enum lifeline_kind kind;
	pid_t pid; /* of a pidfd; else 0 */
	uid_t uid; /* of a pidfd's process (its real, effective and saved uid are all this one) */
};

/*
 * Looks at an fd that a client passed; never reads from it. For a pidfd: pid from its fdinfo, uid
 * from /proc/PID/status, and the pidfd polled again after that so that pid and uid are of the
 * living process. owner: what a pidfd's uid must be, unless any_uid (root may give any).
 * PID 1 and kernel threads are foreign to everyone but root, and so is a process whose real,
 * effective or saved uid differs from the owner (a set-uid program in between).
 */
int lifeline_inspect(const struct host *host, int fd, uid_t owner, bool any_uid,
		     struct lifeline_info *info);

/* Whether an fd is a pidfd, of a process that may be over. */
bool lifeline_is_pidfd(int fd);

/* System unit of the process behind a pidfd, by cgroup: of the caller; NULL: in none. The pidfd is
 * polled afterwards: -ESRCH if it is over. User units (below user@UID.service) do not count: that
 * gives user@UID.service itself. */
int process_unit(const struct host *host, int pidfd, char **unit);

/* Raises RLIMIT_MEMLOCK (soft and hard) of the process behind a pidfd to at least bytes. */
int process_raise_memlock(const struct host *host, int pidfd, uint64_t bytes);
