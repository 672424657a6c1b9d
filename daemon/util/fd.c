/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of fd.h. */

#include "daemon/util/fd.h"

#include "daemon/fault.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

int fd_close(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
	return -EBADF;
}

int file_read_at(int dirfd, const char *path, size_t max, char **text, size_t *size)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	_cleanup_free_ char *buffer = NULL;
	struct stat st;
	size_t n = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	buffer = malloc(max + 2);
	if (!buffer)
		return -ENOMEM;
	for (;;) {
		ssize_t k = read(fd, buffer + n, max + 1 - n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (k == 0)
			break;
		n += (size_t)k;
		if (n > max)
			return -EFBIG;
	}
	buffer[n] = 0;
	*text = STEAL(buffer);
	if (size)
		*size = n;
	return 0;
}

static int write_all(int fd, const char *text, size_t size)
{
	while (size) {
		ssize_t k = write(fd, text, size);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		text += k;
		size -= (size_t)k;
	}
	return 0;
}

static int write_temporary(int dirfd, const char *name, const char *text, size_t size)
{
	_cleanup_close_ int fd =
		openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r;

	if (fd < 0)
		return -errno;
	r = write_all(fd, text, size);
	if (r < 0)
		return r;
	return fsync(fd) < 0 ? -errno : 0;
}

int file_write_atomic_at(int dirfd, const char *name, const char *text, size_t size)
{
	_cleanup_free_ char *temporary = NULL;
	int r;

	if (asprintf(&temporary, ".%s.tmp", name) < 0)
		return -ENOMEM;
	r = write_temporary(dirfd, temporary, text, size);
	if (r >= 0)
		r = fault_error(JOURNAL_TEMPORARY);
	if (r >= 0 && renameat(dirfd, temporary, dirfd, name) < 0)
		r = -errno;
	if (r < 0) {
		unlinkat(dirfd, temporary, 0);
		return r;
	}
	/*
	 * The name is changed for every process to come, and that cannot be taken back: what fails
	 * now is no reason to say that it was not written. Not even the machine's end is outlived
	 * below /run, where this has nothing to do.
	 */
	(void)fsync(dirfd);
	return 0;
}

int socket_send_fd_borrow(int sock, const void *data, size_t size, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)data, .iov_len = size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t k;

	if (fd >= 0) {
		struct cmsghdr *c = &control.header;

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	do
		k = sendmsg(sock, &message, MSG_NOSIGNAL);
	while (k < 0 && errno == EINTR);
	return k < 0 ? -errno : 0;
}
