/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The walk below a device, and the virtual functions; the other kinds of uses have a file each. */

#include "daemon/sysfs/uses.h"

#include "daemon/sysfs/attr.h"
#include "daemon/sysfs/uses-read.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

void held_fds_done(struct held_fds *held)
{
	for (size_t i = 0; i < held->n; i++)
		fd_close(held->fds[i]);
	free(held->fds);
	*held = (struct held_fds){ 0 };
}

static void run_done(struct uses_run *run)
{
	for (size_t i = 0; i < run->n_below; i++) {
		free(run->below[i].path);
		free(run->below[i].subsystem);
		free(run->below[i].name);
	}
	free(run->below);
}

int below_open(const struct uses_run *run, const struct below *below)
{
	return attr_open_dir(run->host->sys, below->path);
}

int below_read(const struct uses_run *run, const struct below *below, const char *attr,
	       char *buffer, size_t size)
{
	_cleanup_close_ int dir = below_open(run, below);

	buffer[0] = 0;
	if (dir < 0)
		return dir == -ENOENT ? ATTR_MISSING : dir;
	return attr_read(dir, attr, buffer, size);
}

int below_read_dev(const struct uses_run *run, const struct below *below, dev_t *number)
{
	_cleanup_close_ int dir = below_open(run, below);

	if (dir < 0)
		return dir == -ENOENT ? ATTR_MISSING : dir;
	return attr_read_dev(dir, "dev", number);
}

/*
 * Devices behind a bridge keep their drivers when the bridge loses its own: they are asked about
 * by themselves. Not so behind any other device: VMD's driver takes its disks along.
 */
static bool is_bridge(const struct uses_query *query)
{
	uint32_t class_code = query->class_code >> 8;

	return query->class_code != ID_UNKNOWN && (class_code == 0x0604 || class_code == 0x0607);
}

static int add_below(struct uses_run *run, const char *path, const char *subsystem)
{
	struct below *below;

	if (run->n_below >= USES_BELOW_MAX)
		return -E2BIG;
	if (ARRAY_RESERVE_ONE(run->below, run->n_below) < 0)
		return -ENOMEM;
	below = &run->below[run->n_below++];
	below->path = strdup(path);
	below->subsystem = strdup(subsystem);
	below->name = strdup(strrchr(path, '/') + 1);
	return below->path && below->subsystem && below->name ? 0 : -ENOMEM;
}

/* The subsystems that the readers look for. */
static bool is_of_interest(const char *subsystem)
{
	static const char *const names[] = {
		"block", "net", "tty", "drm", "sound", "watchdog", "graphics", "mdev",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (streq(subsystem, names[i]))
			return true;
	return false;
}

static int walk_dir(struct uses_run *run, const char *path, unsigned int depth);

/* What is no device (power/, queues/, …) may have devices in it: net/eth0. */
static int walk_child(struct uses_run *run, const char *path, unsigned int depth)
{
	_cleanup_free_ char *link = NULL, *subsystem = NULL;
	int r;

	if (asprintf(&link, "%s/subsystem", path) < 0)
		return -ENOMEM;
	r = attr_read_link(run->host->sys, link, &subsystem);
	if (r < 0)
		return r;
	if (subsystem && streq(subsystem, "pci") && is_bridge(run->query))
		return 0;
	if (subsystem && is_of_interest(subsystem)) {
		r = add_below(run, path, subsystem);
		if (r < 0)
			return r;
	}
	/* Below an interface are its queues, which can be many. */
	if (subsystem && streq(subsystem, "net"))
		return 0;
	return walk_dir(run, path, depth + 1);
}

static int open_list(const struct uses_run *run, const char *path, DIR **dir)
{
	_cleanup_close_ int beneath = attr_open_dir(run->host->sys, path), fd = -EBADF;

	*dir = NULL;
	if (beneath < 0)
		return beneath == -ENOENT ? 0 : beneath;
	fd = openat(beneath, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	*dir = fdopendir(fd);
	if (!*dir)
		return -errno;
	STEAL_FD(fd);
	return 0;
}

/* sysfs says the type of each entry; only real directories are gone into, no links. */
static bool is_directory(DIR *dir, const struct dirent *entry)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	return fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISDIR(st.st_mode);
}

static int walk_entries(struct uses_run *run, const char *path, DIR *dir, unsigned int depth)
{
	for (;;) {
		_cleanup_free_ char *child = NULL;
		struct dirent *entry;
		int r;

		errno = 0;
		entry = readdir(dir);
		if (!entry)
			return errno && errno != ENOENT ? -errno : 0;
		if (streq(entry->d_name, ".") || streq(entry->d_name, "..") ||
		    !is_directory(dir, entry))
			continue;
		if (asprintf(&child, "%s/%s", path, entry->d_name) < 0)
			return -ENOMEM;
		r = walk_child(run, child, depth);
		if (r < 0)
			return r;
	}
}

static int walk_dir(struct uses_run *run, const char *path, unsigned int depth)
{
	DIR *dir;
	int r;

	if (depth > USES_DEPTH_MAX)
		return -ELOOP;
	r = open_list(run, path, &dir);
	if (r < 0 || !dir)
		return r;
	r = walk_entries(run, path, dir, depth);
	closedir(dir);
	return r;
}

int uses_walk(struct uses_run *run)
{
	const char *path = run->query->syspath;
	_cleanup_close_ int dir = -EBADF;

	if (strncmp(path, "/sys/", 5) != 0)
		return -EINVAL;
	/* A device that is not there has no use; one that cannot be looked at is not known. */
	dir = attr_open_dir(run->host->sys, path + 5);
	if (dir < 0)
		return dir;
	return walk_dir(run, path + 5, 0);
}

/* A PF's virtual functions, and the mediated devices that its driver made. */
static int read_functions(struct uses_run *run)
{
	_cleanup_strv_ char **names = NULL;
	size_t functions = 0, mediated = 0;
	int r = attr_list(run->host->sys, run->query->syspath + 5, &names);

	if (r == ATTR_MISSING)
		return -ENODEV;
	if (r != 0)
		return r < 0 ? r : -EIO;
	STRV_FOREACH (name, names)
		functions += strncmp(*name, "virtfn", 6) == 0;
	for (size_t i = 0; i < run->n_below; i++)
		mediated += streq(run->below[i].subsystem, "mdev");
	if (functions)
		r = use_list_add(run->uses, USE_VFS, "%zu virtual function%s enabled", functions,
				 functions == 1 ? " is" : "s are");
	if (r >= 0 && mediated)
		r = use_list_add(run->uses, USE_VFS, "it has %zu mediated device%s", mediated,
				 mediated == 1 ? "" : "s");
	return r;
}

int uses_read(const struct host *host, const struct uses_query *query, struct held_fds *held,
	      struct use_list *uses)
{
	struct uses_run run = { .host = host, .query = query, .held = held, .uses = uses };
	int r;

	if (query->exclusive && !held)
		return -EINVAL;
	r = uses_walk(&run);
	if (r >= 0)
		r = uses_read_block(&run);
	if (r >= 0)
		r = uses_read_network(&run);
	if (r >= 0)
		r = uses_read_console(&run);
	if (r >= 0)
		r = uses_read_nodes(&run);
	if (r >= 0)
		r = read_functions(&run);
	run_done(&run);
	return r;
}
