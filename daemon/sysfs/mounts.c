/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of mounts.h. */

#include "daemon/sysfs/mounts.h"

#include "daemon/sysfs/attr.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define MOUNTS_MAX 262144

void mounts_done(struct mounts *mounts)
{
	for (size_t i = 0; i < mounts->n; i++) {
		free(mounts->items[i].source);
		free(mounts->items[i].target);
	}
	free(mounts->items);
	*mounts = (struct mounts){ 0 };
}

/* "\040" is a space, and so on, in place. */
static char *decode(char *s)
{
	char *out = s;

	for (const char *in = s; *in;) {
		if (in[0] == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] >= '0' && in[2] <= '7' &&
		    in[3] >= '0' && in[3] <= '7') {
			*out++ = (char)((in[1] - '0') << 6 | (in[2] - '0') << 3 | (in[3] - '0'));
			in += 4;
		} else {
			*out++ = *in++;
		}
	}
	*out = 0;
	return s;
}

static int add(struct mounts *mounts, dev_t number, char *source, char *target)
{
	struct mount *mount;

	for (size_t i = 0; i < mounts->n; i++)
		if (mounts->items[i].number == number && streq(mounts->items[i].source, source) &&
		    streq0(mounts->items[i].target, target))
			return 0;
	if (mounts->n >= MOUNTS_MAX)
		return -E2BIG;
	if (ARRAY_RESERVE_ONE(mounts->items, mounts->n) < 0)
		return -ENOMEM;
	mount = &mounts->items[mounts->n++];
	mount->number = number;
	mount->source = strdup(source);
	mount->target = target ? strdup(target) : NULL;
	return mount->source && (mount->target || !target) ? 0 : -ENOMEM;
}

/* "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue" */
static int parse_mount(struct mounts *mounts, char *line)
{
	char *save = NULL, *word = strtok_r(line, " \n", &save), *target = NULL, *source = NULL;
	dev_t number = 0;

	for (int i = 0; word; i++, word = strtok_r(NULL, " \n", &save)) {
		if (i == 2 && parse_dev(word, &number) < 0)
			return 0;
		if (i == 4)
			target = word;
		if (i > 5 && streq(word, "-")) {
			strtok_r(NULL, " \n", &save);
			source = strtok_r(NULL, " \n", &save);
			break;
		}
	}
	if (!target || !source)
		return 0;
	return add(mounts, number, decode(source), text_clean(decode(target)));
}

/* "/dev/sda3  partition  8388604  0  -2", after a line of titles */
static int parse_swap(struct mounts *mounts, char *line)
{
	char *save = NULL, *source = strtok_r(line, " \t\n", &save);

	if (!source || *source != '/')
		return 0;
	return add(mounts, makedev(0, 0), decode(source), NULL);
}

static int read_table(const struct host *host, const char *path,
		      int (*parse)(struct mounts *mounts, char *line), struct mounts *mounts)
{
	_cleanup_fclose_ FILE *file = NULL;
	_cleanup_free_ char *line = NULL;
	size_t room = 0;
	int fd, r;

	/* /proc/self is a link; files of /proc are regular. */
	fd = openat(host->proc, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	file = fdopen(fd, "re");
	if (!file) {
		r = -errno;
		fd_close(fd);
		return r;
	}
	errno = 0;
	while (getline(&line, &room, file) >= 0) {
		r = parse(mounts, line);
		if (r < 0)
			return r;
		errno = 0;
	}
	return ferror(file) ? (errno ? -errno : -EIO) : 0;
}

/*
 * The host's own mounts are those of process 1: this one has more, of its sandbox, which mean
 * nothing to people. A host without process 1 is a test's.
 */
int mounts_read(const struct host *host, struct mounts *mounts)
{
	int r = read_table(host, "1/mountinfo", parse_mount, mounts);

	if (r == -ENOENT)
		r = read_table(host, "self/mountinfo", parse_mount, mounts);
	if (r < 0)
		return r;
	/* A kernel without swap has no such file. */
	r = read_table(host, "swaps", parse_swap, mounts);
	return r == -ENOENT ? 0 : r;
}

/*
 * The source of a FUSE mount is what its user likes it to be, and a path that leads into it would
 * make us wait for him: nothing but /dev itself is looked at, with the links in it (mapper/).
 */
static bool node_is(int dev, const char *node, dev_t number)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};
	_cleanup_close_ int fd = (int)syscall(SYS_openat2, dev, node, &how, sizeof(how));
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == number;
}

bool mount_is_on(const struct host *host, const struct mount *mount, const char *name, dev_t number)
{
	if (major(mount->number))
		return mount->number == number;
	/* btrfs and the like have a number of no device, and swap has none: by the source. */
	if (strncmp(mount->source, "/dev/", 5) != 0)
		return false;
	if (streq(mount->source + 5, name))
		return true;
	return node_is(host->dev, mount->source + 5, number);
}
