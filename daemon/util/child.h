/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Children of the daemon: a fork (no exec) that does what could block, and reports over a
 * socketpair (SOCK_SEQPACKET) to the event loop. The daemon never waits for one.
 */

#include "policy/base.h"

#include <signal.h>
#include <systemd/sd-event.h>

struct child;

struct child_ops {
	const char *name; /* for PR_SET_NAME, at most 15 characters */
	/*
	 * Runs in the child, with only `sock` and the fds named in `keep` open, signals reset and
	 * unblocked. What it returns is the exit status. It may use the memory that the parent
	 * had. When the parent goes away or calls child_free(), `sock` hangs up.
	 */
	int (*main)(int sock, void *userdata);
	/* In the parent, for each message. `data` is the callee's until it returns. May be NULL. */
	void (*message)(struct child *child, const void *data, size_t size, void *userdata);
	/*
	 * In the parent, once, after the child has ended and its last message has been delivered.
	 * status is that of waitid(): the exit code, or minus the signal number. The callee calls
	 * child_free(), here or later.
	 */
	void (*exited)(struct child *child, int status, void *userdata);
};

#define CHILD_MESSAGE_MAX 65536
#define CHILD_KEEP_MAX	  16

/*
 * Forks. `keep`: fds that stay open in the child besides 0 to 2 and its end of the socketpair.
 * Returns 0 and a child of the caller, or -errno.
 */
int child_spawn(sd_event *event, const struct child_ops *ops, const int *keep, size_t n_keep,
		void *userdata, struct child **child);

pid_t child_pid(const struct child *child);

/* Sends a message to the child. -errno. */
int child_send(struct child *child, const void *data, size_t size);
/* With an fd, or -EBADF for none. */
int child_send_fd_borrow(struct child *child, const void *data, size_t size, int fd);

/*
 * Shuts the sending direction: the child sees end of file (POLLRDHUP) and ends when it next looks;
 * what it says until then is still delivered.
 */
void child_hang_up(struct child *child);

/* Sends a signal by pidfd: never to another process. Fine on one that has ended. */
void child_kill(struct child *child, int sig);

/*
 * Lets go of it: no callback any more, its socket hangs up. A child that still runs is left
 * running and reaped when it ends. Accepts NULL, returns NULL.
 */
struct child *child_free(struct child *child);
DEFINE_CLEANUP(struct child *, child_free)
