/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The readers of attr.h; the text parsers are in attr-text.c. */

#include "daemon/sysfs/attr.h"

#include "daemon/util/fd.h"
#include "policy/topology.h"
#include "policy/utf8.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static const char *const attr_outcome_table[ATTR_OUTCOME_MAX] = {
	[ATTR_MISSING] = "missing", [ATTR_EMPTY] = "empty",   [ATTR_OVERSIZED] = "oversized",
	[ATTR_GARBAGE] = "garbage", [ATTR_DENIED] = "denied", [ATTR_FAILED] = "failed",
};
DEFINE_STRING_TABLE(attr_outcome, enum attr_outcome)

int attr_outcome_of_errno(int error)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
	case ENODEV: /* kernfs: the device went after the open */
	case ENXIO:
	case ESTALE:
		return ATTR_MISSING;
	case EACCES:
	case EPERM:
		return ATTR_DENIED;
	case ELOOP: /* a link where a file should be */
	case EISDIR:
	case EXDEV:
		return ATTR_GARBAGE;
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case EAGAIN:
	case ENOSYS:
	case EBADF: /* of ours, not of the device's: not to be taken for one that went */
		return -error;
	default:
		return ATTR_FAILED;
	}
}

/*
 * For a seccomp filter without openat2(), such as systemd's RestrictSUIDSGID=: the links of sysfs
 * are the kernel's own, and what leads out of the file system is not followed here either.
 */
static int open_dir_plainly(int dirfd, const char *path)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat from, to;

	if (fd < 0 || fstat(dirfd, &from) < 0 || fstat(fd, &to) < 0)
		return -errno;
	return path[0] != '/' && from.st_dev == to.st_dev ? STEAL_FD(fd) : -EXDEV;
}

int attr_open_dir(int dirfd, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	/* EAGAIN: something was renamed or mounted meanwhile, anywhere (openat2(2), "..", scoped).
	 */
	for (int tries = 0; tries < 1000; tries++) {
		fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
		if (fd >= 0)
			return (int)fd;
		if (errno != EAGAIN && errno != EINTR)
			break;
	}
	return errno == ENOSYS ? open_dir_plainly(dirfd, path) : -errno;
}

const char *attr_bus_of(int sys, const char *device)
{
	const char *bus = device_bus_of_name(device);
	char path[288];

	if (!streq(bus, "platform") || !attr_name_valid(device) ||
	    snprintf(path, sizeof(path), "bus/pci/devices/%s", device) >= (int)sizeof(path))
		return bus;
	return faccessat(sys, path, F_OK, 0) == 0 ? "pci" : bus;
}

/* Opens a regular file; an attribute that is a pipe or a device must not make us wait. */
static int open_file(int dirfd, const char *name)
{
	_cleanup_close_ int fd =
		openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EISDIR;
	return STEAL_FD(fd);
}

FILE *attr_fopen(int dirfd, const char *name)
{
	int fd = open_file(dirfd, name);
	FILE *file;

	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	file = fdopen(fd, "re");
	if (!file)
		fd_close(fd);
	return file;
}

/* Reads until the end or until the buffer is full. */
static int read_full(int fd, char *buffer, size_t size, size_t *n)
{
	*n = 0;
	while (*n < size) {
		ssize_t k = read(fd, buffer + *n, size - *n);

		if (k < 0 && errno == EINTR)
			continue;
		/* What an attribute itself answers is no shortage of ours. */
		if (k < 0)
			return errno == EAGAIN ? ATTR_FAILED : attr_outcome_of_errno(errno);
		if (k == 0)
			break;
		*n += (size_t)k;
	}
	return 0;
}

static bool is_blank(char c)
{
	return c == '\n' || c == ' ' || c == '\t';
}

int attr_read(int dirfd, const char *name, char *buffer, size_t size)
{
	_cleanup_close_ int fd = open_file(dirfd, name);
	size_t n = 0;
	int r;

	buffer[0] = 0;
	if (fd < 0)
		return attr_outcome_of_errno(-fd);
	r = read_full(fd, buffer, size, &n);
	if (r == 0 && n == size)
		r = ATTR_OVERSIZED;
	if (r != 0) {
		buffer[0] = 0;
		return r;
	}
	while (n && is_blank(buffer[n - 1]))
		n--;
	buffer[n] = 0;
	if (n == 0)
		return ATTR_EMPTY;
	if (memchr(buffer, 0, n) || !text_is_clean(buffer)) {
		buffer[0] = 0;
		return ATTR_GARBAGE;
	}
	return 0;
}

int attr_read_string(int dirfd, const char *name, char **value)
{
	char buffer[ATTR_SIZE + 1];
	int r = attr_read(dirfd, name, buffer, sizeof(buffer));

	*value = NULL;
	if (r != 0)
		return r;
	*value = strdup(buffer);
	return *value ? 0 : -ENOMEM;
}

int attr_read_hex(int dirfd, const char *name, unsigned int bits, uint32_t *value)
{
	char buffer[32];
	uint64_t number;
	int r = attr_read(dirfd, name, buffer, sizeof(buffer));

	if (r != 0)
		return r;
	if (parse_hex(buffer, bits, &number) < 0)
		return ATTR_GARBAGE;
	*value = (uint32_t)number;
	return 0;
}

int attr_read_int(int dirfd, const char *name, int64_t min, int64_t max, int64_t *value)
{
	char buffer[32];
	int r = attr_read(dirfd, name, buffer, sizeof(buffer));

	if (r != 0)
		return r;
	return parse_int(buffer, min, max, value) < 0 ? ATTR_GARBAGE : 0;
}

int attr_read_dev(int dirfd, const char *name, dev_t *value)
{
	char buffer[32];
	int r = attr_read(dirfd, name, buffer, sizeof(buffer));

	if (r != 0)
		return r;
	return parse_dev(buffer, value) < 0 ? ATTR_GARBAGE : 0;
}

/* EINVAL of readlink() is its word for "not a link". */
static int read_link(int dirfd, const char *name, char *buffer, size_t size)
{
	ssize_t k = readlinkat(dirfd, name, buffer, size);

	if (k < 0)
		return errno == EINVAL ? ATTR_GARBAGE : attr_outcome_of_errno(errno);
	if ((size_t)k == size)
		return ATTR_OVERSIZED;
	buffer[k] = 0;
	return k == 0 ? ATTR_EMPTY : 0;
}

int attr_read_link(int dirfd, const char *name, char **value)
{
	char buffer[PATH_MAX];
	const char *base;
	int r = read_link(dirfd, name, buffer, sizeof(buffer));

	*value = NULL;
	if (r != 0)
		return r;
	base = strrchr(buffer, '/');
	base = base ? base + 1 : buffer;
	if (!attr_name_valid(base))
		return ATTR_GARBAGE;
	*value = strdup(base);
	return *value ? 0 : -ENOMEM;
}

/* The directory of a path, that many levels up; its length, or -1 for above the top. */
static ssize_t directory_length(const char *path, size_t levels)
{
	const char *end = strrchr(path, '/');

	if (!end)
		return levels ? -1 : 0;
	for (; levels; levels--) {
		if (end == path)
			return -1;
		do
			end--;
		while (end > path && *end != '/');
	}
	return end - path;
}

/* Whether a component is "..". */
static bool has_parent(const char *path)
{
	for (const char *p = path; (p = strstr(p, "..")); p += 2)
		if ((p == path || p[-1] == '/') && (p[2] == 0 || p[2] == '/'))
			return true;
	return false;
}

int attr_read_link_path(int root, const char *path, const char *prefix, char **value)
{
	char buffer[PATH_MAX];
	const char *target = buffer;
	size_t levels = 0;
	ssize_t keep;
	int r = read_link(root, path, buffer, sizeof(buffer));

	*value = NULL;
	if (r != 0)
		return r;
	for (; strncmp(target, "../", 3) == 0; target += 3)
		levels++;
	keep = directory_length(path, levels);
	if (keep < 0 || !*target || *target == '/' || has_parent(target) ||
	    !utf8_is_printable(target))
		return ATTR_GARBAGE;
	return asprintf(value, "%s%s%.*s/%s", prefix, keep ? "/" : "", (int)keep, path, target) < 0
		       ? -ENOMEM
		       : 0;
}

static int list_names(DIR *dir, char ***names)
{
	size_t n = 0, room = 0;

	for (;;) {
		struct dirent *entry;

		errno = 0;
		entry = readdir(dir);
		if (!entry)
			return errno ? attr_outcome_of_errno(errno) : 0;
		if (!attr_name_valid(entry->d_name))
			continue;
		if (n == ATTR_LIST_MAX)
			return ATTR_OVERSIZED;
		if (n + 1 >= room) {
			char **grown = reallocarray(*names, room ? room * 2 : 16, sizeof(char *));

			if (!grown)
				return -ENOMEM;
			*names = grown;
			room = room ? room * 2 : 16;
		}
		(*names)[n] = strdup(entry->d_name);
		(*names)[n + 1] = NULL;
		if (!(*names)[n++])
			return -ENOMEM;
	}
}

int attr_list(int dirfd, const char *path, char ***ret)
{
	_cleanup_close_ int beneath = attr_open_dir(dirfd, path);
	_cleanup_strv_ char **names = calloc(1, sizeof(char *));
	DIR *dir;
	int fd, r;

	*ret = NULL;
	if (!names)
		return -ENOMEM;
	if (beneath < 0)
		return attr_outcome_of_errno(-beneath);
	fd = openat(beneath, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return attr_outcome_of_errno(errno);
	dir = fdopendir(fd);
	if (!dir) {
		r = -errno;
		fd_close(fd);
		return r;
	}
	r = list_names(dir, &names);
	closedir(dir);
	if (r != 0)
		return r;
	strv_sort(names);
	*ret = STEAL(names);
	return 0;
}
