/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Block devices. Whether one is in use the kernel says by refusing O_EXCL; who uses it is found
 * out from mount tables and holders, as well as can be, for people.
 */

#include "daemon/sysfs/uses-read.h"

#include "daemon/sysfs/attr.h"
#include "daemon/sysfs/block-open.h"
#include "daemon/sysfs/mounts.h"

#include <stdio.h>
#include <sys/stat.h>

/* dm on md on dm on …; and how many mounts of one device are named. */
#define CHAIN_MAX 8
#define NAMED_MAX 4

struct block {
	char *path; /* below /sys */
	char *name;
	dev_t number;
};

static void block_done(struct block *block)
{
	free(block->path);
	free(block->name);
}

struct block_run {
	struct uses_run *uses;
	struct mounts mounts;
	bool mounts_read;
	char **loops;  /* "loop0 sda1": backed by a block device */
	char **opened; /* disks that were looked at */
};

static int need_tables(struct block_run *run);

static int add_use(struct block_run *run, const char *subject, const char *what)
{
	return use_list_add(run->uses->uses, USE_BLOCK, "%s%s", subject, what);
}

/* Reads number and name of a block device at a path below /sys. 0, > 0: it is gone, -errno. */
static int block_read(struct block_run *run, const char *path, struct block *block)
{
	_cleanup_close_ int dir = attr_open_dir(run->uses->host->sys, path);
	int r;

	if (dir < 0)
		return dir == -ENOENT ? 1 : dir;
	r = attr_read_dev(dir, "dev", &block->number);
	if (r != 0)
		return r;
	block->path = strdup(path);
	block->name = strdup(strrchr(path, '/') + 1);
	return block->path && block->name ? 0 : -ENOMEM;
}

/* ---- who */

static int name_block(struct block_run *run, const struct block *block, const char *subject,
		      unsigned int depth, size_t *named);

static int name_mounts(struct block_run *run, const struct block *block, const char *subject,
		       size_t *named)
{
	size_t n = 0;

	for (size_t i = 0; i < run->mounts.n && n < NAMED_MAX; i++) {
		const struct mount *mount = &run->mounts.items[i];
		int r;

		if (!mount_is_on(run->uses->host, mount, block->name, block->number))
			continue;
		r = use_list_add(run->uses->uses, USE_BLOCK, "%s%s%s", subject,
				 mount->target ? "mounted on " : "swap space", mount->target ?: "");
		if (r < 0)
			return r;
		n++;
	}
	*named += n;
	return 0;
}

/* "dm-0 (vg-root)" */
static char *display_name(struct block_run *run, const struct block *block)
{
	_cleanup_close_ int dir = attr_open_dir(run->uses->host->sys, block->path);
	_cleanup_close_ int dm = dir < 0 ? -EBADF : attr_open_dir(dir, "dm");
	char name[256], *text;

	if (dm >= 0 && attr_read(dm, "name", name, sizeof(name)) == 0)
		return asprintf(&text, "%s (%s)", block->name, name) < 0 ? NULL : text;
	return strdup(block->name);
}

/* What stands on a block device, by the kernel's links: dm, md, bcache. */
static int name_holder(struct block_run *run, const char *link, const char *subject,
		       unsigned int depth, size_t *named)
{
	_cleanup_(block_done) struct block holder = { 0 };
	_cleanup_free_ char *path = NULL, *below = NULL, *display = NULL, *text = NULL;
	size_t above = 0;
	int r = attr_read_link_path(run->uses->host->sys, link, "", &path);

	if (r != 0)
		return r < 0 ? r : 0;
	r = block_read(run, path + 1, &holder);
	if (r != 0)
		return r < 0 ? r : 0;
	display = display_name(run, &holder);
	if (!display || asprintf(&below, "%sbelow %s, which is ", subject, display) < 0 ||
	    asprintf(&text, "below %s", display) < 0)
		return -ENOMEM;
	r = name_block(run, &holder, below, depth + 1, &above);
	if (r >= 0 && !above)
		r = add_use(run, subject, text);
	*named += 1;
	return r;
}

static int name_holders(struct block_run *run, const struct block *block, const char *subject,
			unsigned int depth, size_t *named)
{
	_cleanup_strv_ char **names = NULL;
	_cleanup_free_ char *dir = NULL;
	int r;

	if (asprintf(&dir, "%s/holders", block->path) < 0)
		return -ENOMEM;
	r = attr_list(run->uses->host->sys, dir, &names);
	STRV_FOREACH (name, names) {
		_cleanup_free_ char *link = NULL;

		if (asprintf(&link, "%s/%s", dir, *name) < 0)
			return -ENOMEM;
		r = name_holder(run, link, subject, depth, named);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : 0;
}

/* A loop device on a block device holds it by an ordinary open(), which O_EXCL does not see. */
static int name_loops(struct block_run *run, const struct block *block, const char *subject,
		      size_t *named)
{
	STRV_FOREACH (loop, run->loops) {
		_cleanup_free_ char *what = NULL;
		const char *space = strchr(*loop, ' ');
		int r;

		if (!streq(space + 1, block->name))
			continue;
		if (asprintf(&what, "what %.*s is on", (int)(space - *loop), *loop) < 0)
			return -ENOMEM;
		r = add_use(run, subject, what);
		if (r < 0)
			return r;
		*named += 1;
	}
	return 0;
}

/* Adds a use for all that is found on a block device; counts them. subject: "sda1 is ". */
static int name_block(struct block_run *run, const struct block *block, const char *subject,
		      unsigned int depth, size_t *named)
{
	int r;

	if (depth > CHAIN_MAX)
		return 0;
	r = need_tables(run);
	if (r >= 0)
		r = name_mounts(run, block, subject, named);
	if (r >= 0)
		r = name_loops(run, block, subject, named);
	return r < 0 ? r : name_holders(run, block, subject, depth, named);
}

static int name_one(struct block_run *run, const struct block *block, size_t *named)
{
	_cleanup_free_ char *subject = NULL;

	if (asprintf(&subject, "%s is ", block->name) < 0)
		return -ENOMEM;
	return name_block(run, block, subject, 0, named);
}

/* "loop0 sda1" for each loop device that is on a block device. */
static int read_loops(struct block_run *run)
{
	_cleanup_strv_ char **names = NULL;
	int r = attr_list(run->uses->host->sys, "class/block", &names);

	STRV_FOREACH (name, names) {
		_cleanup_free_ char *path = NULL, *file = NULL;

		if (strncmp(*name, "loop", 4) != 0)
			continue;
		if (asprintf(&path, "class/block/%s/loop/backing_file", *name) < 0)
			return -ENOMEM;
		r = attr_read_string(run->uses->host->sys, path, &file);
		if (r == 0 && strncmp(file, "/dev/", 5) == 0)
			r = strv_extendf(&run->loops, "%s %s", *name, file + 5);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : 0;
}

static int need_tables(struct block_run *run)
{
	int r;

	if (run->mounts_read)
		return 0;
	r = mounts_read(run->uses->host, &run->mounts);
	if (r >= 0)
		r = read_loops(run);
	run->mounts_read = r >= 0;
	return r;
}

/* ---- whether */

static bool is_held(const struct held_fds *held, dev_t number)
{
	struct stat st;

	for (size_t i = 0; i < held->n; i++)
		if (fstat(held->fds[i], &st) == 0 && st.st_rdev == number)
			return true;
	return false;
}

/*
 * The whole disk is opened: that fails while anybody has a partition of it, and while it is open
 * nobody gets one. 1: it is in use.
 */
static int open_disk(struct block_run *run, const struct block *disk)
{
	struct held_fds *held = run->uses->held;
	_cleanup_close_ int fd = -EBADF;

	/* Two controllers of one NVMe subsystem have the same disk. */
	if (is_held(held, disk->number))
		return 0;
	if (ARRAY_RESERVE_ONE(held->fds, held->n) < 0)
		return -ENOMEM;
	fd = block_open_exclusive(run->uses->host, disk->name, disk->number);
	if (fd == -EBUSY)
		return 1;
	if (fd == -ENOMEDIUM)
		return 0;
	if (fd < 0)
		return fd;
	held->fds[held->n++] = STEAL_FD(fd);
	return 0;
}

/* Nothing was found that has it: at least which partition it is. */
static int name_exclusive(struct block_run *run, const struct block *disk, char **partitions)
{
	size_t named = 0;
	int r;

	STRV_FOREACH (path, partitions) {
		_cleanup_(block_done) struct block partition = { 0 };
		_cleanup_close_ int fd = -EBADF;

		r = block_read(run, *path, &partition);
		if (r != 0)
			continue;
		fd = block_open_exclusive(run->uses->host, partition.name, partition.number);
		if (fd != -EBUSY)
			continue;
		r = add_use(run, partition.name, " is open exclusively");
		if (r < 0)
			return r;
		named++;
	}
	return named ? 0 : add_use(run, disk->name, " is open exclusively");
}

/* Paths of the partitions below a disk. */
static int list_partitions(struct block_run *run, const char *disk, char ***partitions)
{
	_cleanup_strv_ char **names = NULL;
	int r = attr_list(run->uses->host->sys, disk, &names);

	STRV_FOREACH (name, names) {
		_cleanup_free_ char *mark = NULL;

		if (asprintf(&mark, "%s/%s/partition", disk, *name) < 0)
			return -ENOMEM;
		if (faccessat(run->uses->host->sys, mark, F_OK, 0) < 0)
			continue;
		r = strv_extendf(partitions, "%s/%s", disk, *name);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : 0;
}

static int read_disk(struct block_run *run, const char *path)
{
	_cleanup_(block_done) struct block disk = { 0 };
	_cleanup_strv_ char **partitions = NULL;
	size_t named = 0;
	int r;

	if (strv_contains(run->opened, path))
		return 0;
	r = strv_extend(&run->opened, path);
	if (r >= 0)
		r = block_read(run, path, &disk);
	if (r == 0)
		r = list_partitions(run, path, &partitions);
	if (r != 0)
		return r < 0 ? r : r == 1 ? 0 : -EIO;
	r = name_one(run, &disk, &named);
	STRV_FOREACH (partition_path, partitions) {
		_cleanup_(block_done) struct block partition = { 0 };

		if (r >= 0)
			r = block_read(run, *partition_path, &partition);
		if (r == 0)
			r = name_one(run, &partition, &named);
	}
	if (r < 0 || !run->uses->query->exclusive)
		return r < 0 ? r : 0;
	r = open_disk(run, &disk);
	if (r != 1 || named)
		return r < 0 ? r : 0;
	return name_exclusive(run, &disk, partitions);
}

/*
 * With NVMe multipath, what is below the controller is a hidden path, "nvme0c1n2" (subsystem 0,
 * controller 1, namespace 2), and the disk is its head, "nvme0n2", below virtual/nvme-subsystem.
 * Another path may lead to it; it is in use all the same. The head's path, of the caller.
 */
static int find_head(struct block_run *run, const char *hidden, char **path)
{
	unsigned int subsystem, controller, head;
	char link[64];
	int r, end = 0;

	if (sscanf(hidden, "nvme%uc%un%u%n", &subsystem, &controller, &head, &end) != 3 ||
	    hidden[end])
		return -ENODEV;
	snprintf(link, sizeof(link), "class/block/nvme%un%u", subsystem, head);
	r = attr_read_link_path(run->uses->host->sys, link, "", path);
	if (r != 0)
		return r < 0 ? r : -ENODEV;
	return strstr(*path, "/nvme-subsystem/") ? 0 : -ENODEV;
}

/* 1: it has no number of its own (GENHD_FL_HIDDEN). */
static int is_hidden(struct block_run *run, const struct below *below)
{
	char text[8];
	dev_t number;
	int r = below_read(run->uses, below, "hidden", text, sizeof(text));

	if (r < 0)
		return r;
	if (r == 0 && streq(text, "1"))
		return 1;
	r = below_read_dev(run->uses, below, &number);
	return r < 0 ? r : r == ATTR_MISSING && strncmp(below->name, "nvme", 4) == 0;
}

static int read_one(struct block_run *run, const struct below *below)
{
	_cleanup_free_ char *head = NULL, *mark = NULL;
	int r;

	if (asprintf(&mark, "%s/partition", below->path) < 0)
		return -ENOMEM;
	if (faccessat(run->uses->host->sys, mark, F_OK, 0) == 0)
		return 0; /* with its disk */
	r = is_hidden(run, below);
	if (r == 0)
		return read_disk(run, below->path);
	if (r > 0)
		r = find_head(run, below->name, &head);
	return r < 0 ? r : read_disk(run, head + 1);
}

int uses_read_block(struct uses_run *uses)
{
	struct block_run run = { .uses = uses };
	int r = 0;

	for (size_t i = 0; i < uses->n_below && r >= 0; i++)
		if (streq(uses->below[i].subsystem, "block"))
			r = read_one(&run, &uses->below[i]);
	mounts_done(&run.mounts);
	strv_free(run.loops);
	strv_free(run.opened);
	return r < 0 ? r : 0;
}
