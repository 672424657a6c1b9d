/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The implementation of holders.h. A group's node and a cdev are told by their paths. A device file
 * that came from a group, and a cdev whose device is being unbound (its node is gone by then), have
 * no name of their own; kernels from 6.18 on say in fdinfo which device it is. Elsewhere such a
 * file counts only for a process of the owner that is not seen to hold another lease's group; the
 * lease that this one is a part of is no other one.
 */

#include "daemon/lease/holders.h"

#include "daemon/sysfs/attr.h"
#include "daemon/util/clock.h"
#include "daemon/vfio/open.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#define HOLDERS_MAX 64
#define SEARCH_USEC (5 * 1000 * 1000ULL)
#define FDINFO_MAX  16384
#define COMMAND_MAX 64
#define DELETED	    " (deleted)"

enum match {
	MATCH_NOT,
	MATCH_OTHER, /* of another group */
	MATCH_MAYBE, /* a VFIO device, and no telling which */
	MATCH_SURELY,
};

struct search {
	const struct host *host;
	const struct lease *lease;
	const struct lease *whole; /* or NULL: holding this too speaks neither for nor against */
	char **cdevs;		   /* "vfio3": of the lease's devices, as far as they are bound */
	char **whole_cdevs;
	uint64_t end; /* when to stop, CLOCK_MONOTONIC */
	struct lease_holder *sure, *maybe;
	size_t n_sure, n_maybe;
};

void holders_free(struct lease_holder *holders, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(holders[i].command);
	free(holders);
}

static void search_done(struct search *search)
{
	strv_free(search->cdevs);
	strv_free(search->whole_cdevs);
	holders_free(search->sure, search->n_sure);
	holders_free(search->maybe, search->n_maybe);
}

/* ---- one fd */

/* Which device a VFIO device file is of, by what its fdinfo says. */
static enum match match_fdinfo(const struct search *search, int process, const char *fd)
{
	static const char key[] = "vfio-device-syspath:";
	_cleanup_free_ char *path = NULL, *text = NULL;
	const char *at;

	if (asprintf(&path, "fdinfo/%s", fd) < 0) {
		path = NULL;
		return MATCH_NOT;
	}
	if (file_read_at(process, path, FDINFO_MAX, &text, NULL) < 0)
		return MATCH_NOT;
	at = strstr(text, key);
	if (!at)
		return MATCH_MAYBE;
	at += sizeof(key) - 1;
	at += strspn(at, " \t");
	for (size_t i = 0; i < search->lease->n_devices; i++) {
		const char *syspath = search->lease->devices[i].syspath;
		size_t n = syspath ? strlen(syspath) : 0;

		if (n && strncmp(at, syspath, n) == 0 && (at[n] == '\n' || !at[n]))
			return MATCH_SURELY;
	}
	return MATCH_OTHER;
}

/*
 * Whether an open file is a node. Its path alone says nothing: in a directory, or a mount
 * namespace, of his own anybody can have a file of that name open.
 */
static bool is_node(const struct search *search, int fds, const char *fd, const char *node)
{
	_cleanup_close_ int path = vfio_node_path(search->host, node);
	struct stat a, b;

	if (path < 0 || fstat(path, &a) < 0 || fstatat(fds, fd, &b, 0) < 0)
		return false;
	/* In a container the node of the same device can be another file. */
	if (S_ISCHR(a.st_mode))
		return S_ISCHR(b.st_mode) && a.st_rdev == b.st_rdev;
	return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static enum match match_group(const struct search *search, int fds, const char *fd,
			      const char *number)
{
	char node[32];
	uint64_t id;

	if (parse_uint(number, UINT32_MAX, &id) < 0)
		return MATCH_NOT;
	snprintf(node, sizeof(node), "vfio/%u", (uint32_t)id);
	if (!is_node(search, fds, fd, node))
		return MATCH_NOT;
	if (lease_has_group(search->lease, (uint32_t)id))
		return MATCH_SURELY;
	return search->whole && lease_has_group(search->whole, (uint32_t)id) ? MATCH_NOT
									     : MATCH_OTHER;
}

static enum match match_cdev(const struct search *search, int fds, const char *fd, const char *name)
{
	char node[64];

	if (snprintf(node, sizeof(node), "vfio/devices/%s", name) >= (int)sizeof(node) ||
	    !attr_name_valid(name) || !is_node(search, fds, fd, node))
		return MATCH_NOT;
	if (strv_contains(search->cdevs, name))
		return MATCH_SURELY;
	return strv_contains(search->whole_cdevs, name) ? MATCH_NOT : MATCH_OTHER;
}

/* target: where the fd's link leads. */
static enum match match_link(const struct search *search, int process, int fds, const char *fd,
			     const char *target, bool deleted)
{
	const char *vfio;

	if (streq(target, "anon_inode:[vfio-device]"))
		return match_fdinfo(search, process, fd);
	if (*target != '/')
		return MATCH_NOT;
	/* In a container /dev may lie elsewhere, or be cut off. */
	vfio = strstr(target, "/vfio/devices/");
	if (vfio) {
		if (deleted)
			return match_fdinfo(search, process, fd);
		return match_cdev(search, fds, fd, vfio + 14);
	}
	vfio = strstr(target, "/vfio/");
	return vfio ? match_group(search, fds, fd, vfio + 6) : MATCH_NOT;
}

static enum match match_fd(const struct search *search, int process, int fds, const char *fd)
{
	char target[PATH_MAX];
	ssize_t k = readlinkat(fds, fd, target, sizeof(target) - 1);
	bool deleted = false;
	size_t n;

	if (k <= 0)
		return MATCH_NOT;
	target[k] = 0;
	n = (size_t)k;
	if (n > strlen(DELETED) && streq(target + n - strlen(DELETED), DELETED)) {
		deleted = true;
		target[n - strlen(DELETED)] = 0;
	}
	return match_link(search, process, fds, fd, target, deleted);
}

/* ---- one process */

static bool is_owners(const struct search *search, int process)
{
	struct stat st;

	/* The directory's owner is the process's effective uid, or root where it is not dumpable:
	 * an undumpable VMM is then not suspected, only seen when it is sure. */
	return fstat(process, &st) == 0 && st.st_uid == search->lease->owner;
}

static enum match match_process(const struct search *search, int process)
{
	bool surely = false, maybe = false, other = false;
	struct dirent *entry;
	int fd = openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		fd_close(fd);
		return MATCH_NOT;
	}
	while (!surely && (entry = readdir(dir)) && monotonic_usec() < search->end) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		switch (match_fd(search, process, dirfd(dir), entry->d_name)) {
		case MATCH_SURELY:
			surely = true;
			break;
		case MATCH_MAYBE:
			maybe = true;
			break;
		case MATCH_OTHER:
			other = true;
			break;
		case MATCH_NOT:
			break;
		}
	}
	closedir(dir);
	if (surely)
		return MATCH_SURELY;
	/* While it is leased, the kernel itself refuses a group whose device file is open. */
	if (search->lease->state == LEASE_LEASED || other || !maybe)
		return MATCH_NOT;
	return is_owners(search, process) ? MATCH_MAYBE : MATCH_NOT;
}

static int add_holder(struct lease_holder **holders, size_t *n, int process, pid_t pid)
{
	_cleanup_free_ char *command = NULL;
	size_t size;
	int r;

	if (*n == HOLDERS_MAX)
		return 0;
	r = file_read_at(process, "comm", COMMAND_MAX, &command, NULL);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return 0; /* it has ended */
	/* The last newline is the kernel's; the process chose the rest. */
	size = strlen(command);
	if (size && command[size - 1] == '\n')
		command[size - 1] = 0;
	for (char *p = command; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	r = ARRAY_RESERVE_ONE(*holders, *n);
	if (r < 0)
		return r;
	(*holders)[(*n)++] = (struct lease_holder){ .pid = pid, .command = STEAL(command) };
	return 0;
}

static int look_at(struct search *search, const char *name)
{
	_cleanup_close_ int process = -EBADF;
	uint64_t pid;

	if (parse_uint(name, INT_MAX, &pid) < 0 || (pid_t)pid == getpid())
		return 0;
	process = openat(search->host->proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (process < 0)
		return 0;
	switch (match_process(search, process)) {
	case MATCH_SURELY:
		return add_holder(&search->sure, &search->n_sure, process, (pid_t)pid);
	case MATCH_MAYBE:
		return add_holder(&search->maybe, &search->n_maybe, process, (pid_t)pid);
	case MATCH_OTHER:
	case MATCH_NOT:
		break;
	}
	return 0;
}

static int look_at_all(struct search *search)
{
	int fd = openat(search->host->proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	struct dirent *entry;
	DIR *dir;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		r = -errno;
		fd_close(fd);
		return r;
	}
	while (r >= 0 && (entry = readdir(dir)) && monotonic_usec() < search->end &&
	       search->n_sure < HOLDERS_MAX)
		r = look_at(search, entry->d_name);
	closedir(dir);
	return r;
}

static int list_cdevs(const struct host *host, const struct lease *lease, char ***cdevs)
{
	for (size_t i = 0; lease && i < lease->n_devices; i++) {
		_cleanup_free_ char *cdev = NULL;
		int r = vfio_device_node(host, lease->devices[i].name, &cdev);

		if (r >= 0)
			r = strv_extend(cdevs, cdev);
		if (r == -ENOMEM)
			return r;
	}
	return 0;
}

int holders_find(const struct host *host, const struct lease *lease, const struct lease *whole,
		 struct lease_holder **holders, size_t *n)
{
	_cleanup_(search_done) struct search search = {
		.host = host,
		.lease = lease,
		.whole = whole,
		.end = monotonic_usec() + SEARCH_USEC,
	};
	int r;

	*holders = NULL;
	*n = 0;
	r = list_cdevs(host, lease, &search.cdevs);
	if (r >= 0)
		r = list_cdevs(host, whole, &search.whole_cdevs);
	if (r >= 0)
		r = look_at_all(&search);
	if (r < 0)
		return r;
	/* Those that only may have it are told when nobody surely has. */
	*n = search.n_sure ? search.n_sure : search.n_maybe;
	*holders = search.n_sure ? STEAL(search.sure) : STEAL(search.maybe);
	if (search.sure == NULL)
		search.n_sure = 0;
	if (search.maybe == NULL)
		search.n_maybe = 0;
	return 0;
}
