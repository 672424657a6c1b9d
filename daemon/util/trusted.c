/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The walk from the root directory, one component at a time. The kernel is never asked to follow
 * a link by itself, so nothing is passed through that has not been looked at.
 */

#include "daemon/util/trusted.h"
#include "daemon/util/fd.h"
#include "policy/utf8.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

/* As many as the kernel follows in a path (MAXSYMLINKS in include/linux/namei.h). */
#define LINKS_MAX 40

struct walk {
	int fd;		     /* O_PATH, where we are */
	char at[PATH_MAX];   /* its path, for messages; "" is the root */
	char todo[PATH_MAX]; /* what is left to go */
	unsigned int links;
	uid_t owner;
};

static const char *shown(const char *path)
{
	return utf8_is_printable(path) ? path : "(a name that is no text)";
}

int trusted_check(const char *path, const struct stat *st, uid_t owner, bool sticky, char **why)
{
	int r;

	if (st->st_uid != 0 && st->st_uid != owner) {
		r = free_and_asprintf(why, "%s belongs to uid %u and not to %s: refused",
				      shown(path), st->st_uid,
				      owner ? "the daemon's user" : "root");
		return r < 0 ? r : -EPERM;
	}
	if (S_ISLNK(st->st_mode) || !(st->st_mode & 0022))
		return 0;
	if (sticky && S_ISDIR(st->st_mode) && (st->st_mode & S_ISVTX))
		return 0;
	r = free_and_asprintf(why,
			      "%s can be written by others (mode %04o): refused, it wants "
			      "\"chmod go-w\"",
			      shown(path), st->st_mode & 07777);
	return r < 0 ? r : -EPERM;
}

/* Takes the next component off what is left. Returns false when there is none. */
static bool next_component(struct walk *walk, char *name)
{
	char *start = walk->todo + strspn(walk->todo, "/");
	size_t n = strcspn(start, "/");

	if (n == 0)
		return false;
	memcpy(name, start, n);
	name[n] = 0;
	memmove(walk->todo, start + n, strlen(start + n) + 1);
	return true;
}

static int enter_root(struct walk *walk, char **why)
{
	struct stat st;

	walk->fd = fd_close(walk->fd);
	walk->at[0] = 0;
	walk->fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (walk->fd < 0 || fstat(walk->fd, &st) < 0)
		return -errno;
	return trusted_check("/", &st, walk->owner, true, why);
}

/* Puts the target of a link in front of what is left to go. */
static int follow(struct walk *walk, int link, char **why)
{
	char target[PATH_MAX], rest[PATH_MAX];
	ssize_t n;

	if (++walk->links > LINKS_MAX)
		return -ELOOP;
	n = readlinkat(link, "", target, sizeof(target));
	if (n < 0)
		return -errno;
	if ((size_t)n >= sizeof(target) - 1)
		return -ENAMETOOLONG;
	target[n] = 0;
	memcpy(rest, walk->todo, sizeof(rest));
	if ((size_t)snprintf(walk->todo, sizeof(walk->todo), "%s/%s", target, rest) >=
	    sizeof(walk->todo))
		return -ENAMETOOLONG;
	return target[0] == '/' ? enter_root(walk, why) : 0;
}

/* The path of a component, for messages. No link is in walk->at, so ".." is what it looks like. */
static int path_to(const struct walk *walk, const char *name, char path[PATH_MAX])
{
	char *slash;

	if (streq(name, ".") || streq(name, "..")) {
		memcpy(path, walk->at, PATH_MAX);
		slash = name[1] ? strrchr(path, '/') : NULL;
		if (slash)
			*slash = 0;
		return 0;
	}
	if ((size_t)snprintf(path, PATH_MAX, "%s/%s", walk->at, name) >= PATH_MAX)
		return -ENAMETOOLONG;
	return 0;
}

static int step(struct walk *walk, const char *name, char **why)
{
	_cleanup_close_ int fd = openat(walk->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char path[PATH_MAX];
	struct stat st;
	bool last;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	r = path_to(walk, name, path);
	if (r < 0)
		return r;
	last = walk->todo[strspn(walk->todo, "/")] == 0;
	r = trusted_check(path, &st, walk->owner, !last, why);
	if (r < 0)
		return r;
	if (S_ISLNK(st.st_mode))
		return follow(walk, fd, why);
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	memcpy(walk->at, path, sizeof(path));
	fd_close(walk->fd);
	walk->fd = STEAL_FD(fd);
	return 0;
}

static int walk_all(struct walk *walk, char **why)
{
	char name[PATH_MAX];
	int r;

	r = enter_root(walk, why);
	while (r >= 0 && next_component(walk, name))
		r = step(walk, name, why);
	return r;
}

int trusted_open_dir(const char *path, uid_t owner, int *fd, char **why)
{
	struct walk walk = { .fd = -EBADF, .owner = owner };
	int r;

	if (path[0] != '/')
		return -EINVAL;
	if (strlen(path) >= sizeof(walk.todo))
		return -ENAMETOOLONG;
	strcpy(walk.todo, path);
	r = walk_all(&walk, why);
	if (r >= 0) {
		*fd = openat(walk.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = *fd < 0 ? -errno : 0;
	}
	fd_close(walk.fd);
	return r;
}
