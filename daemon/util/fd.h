/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * File descriptors: closing them, reading and writing whole small files relative to a directory,
 * sending one over a socket. -EBADF (-1) stands for "no fd".
 */

#include "policy/base.h"

#include <sys/types.h>
#include <unistd.h>

/* Closes an fd that is not negative; keeps errno. Returns -EBADF, to be assigned. */
int fd_close(int fd);

static inline void fd_closep(int *fd)
{
	fd_close(*fd);
}
#define _cleanup_close_ _cleanup_(fd_closep)

/* Moves an fd out of a cleanup variable. */
#define STEAL_FD(fd)                  \
	({                            \
		int _steal_fd = (fd); \
		(fd) = -EBADF;        \
		_steal_fd;            \
	})

/*
 * Reads a whole regular file of at most `max` bytes below dirfd. *text is NUL-terminated and the
 * caller's. -EFBIG: larger than max; -EIO, -ENOENT, … from the kernel.
 */
int file_read_at(int dirfd, const char *path, size_t max, char **text, size_t *size);

/*
 * Replaces a file durably: temporary name, fsync, rename, fsync of the directory. The old content
 * or the new one is there afterwards, never a part. Mode 0600. -errno: the old one is.
 */
int file_write_atomic_at(int dirfd, const char *name, const char *text, size_t size);

/*
 * Sends a datagram with at most one fd (-EBADF: none) by SCM_RIGHTS. The fd stays the caller's.
 * -EAGAIN when the socket is non-blocking or its SO_SNDTIMEO ran out; never SIGPIPE.
 */
int socket_send_fd_borrow(int sock, const void *data, size_t size, int fd);
