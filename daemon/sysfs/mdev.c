/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of mdev.h. */

#include "daemon/sysfs/mdev.h"

#include "daemon/fault.h"
#include "daemon/sysfs/attr.h"
#include "daemon/sysfs/store.h"
#include "daemon/sysfs/write.h"
#include "daemon/util/fd.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

/* ---- the note: "NAME TYPE\n", the type as a path below /sys */

static int note_write(int note, const char *text)
{
	ssize_t size = (ssize_t)strlen(text), k;

	if (note < 0)
		return 0;
	if (ftruncate(note, 0) < 0)
		return -errno;
	k = pwrite(note, text, (size_t)size, 0);
	if (k != size)
		return k < 0 ? -errno : -ENOSPC;
	return fsync(note) < 0 ? -errno : 0;
}

/* 1: there is none that is whole, so nothing was done after it. */
static int note_read(int note, char **device, char **type)
{
	char text[PATH_MAX + 64];
	ssize_t k = note < 0 ? 0 : pread(note, text, sizeof(text) - 1, 0);
	char *space;

	if (k < 0)
		return -errno;
	if (k == 0)
		return 1;
	text[k] = 0;
	space = strchr(text, ' ');
	if (!space || text[k - 1] != '\n')
		return 1;
	*space = text[k - 1] = 0;
	*device = strdup(text);
	*type = strdup(space + 1);
	return *device && *type ? 0 : -ENOMEM;
}

/* ---- going and coming */

/* Where the bus has a link to it, and the type's own link from there. */
static int read_type(const struct host *host, const char *device, char **type)
{
	_cleanup_free_ char *entry = NULL, *path = NULL, *link = NULL;
	int r;

	if (asprintf(&entry, "bus/mdev/devices/%s", device) < 0) {
		entry = NULL;
		return -ENOMEM;
	}
	r = attr_read_link_path(host->sys, entry, ".", &path);
	if (r == 0 && asprintf(&link, "%s/mdev_type", path + strlen("./")) < 0) {
		link = NULL;
		return -ENOMEM;
	}
	if (r == 0)
		r = attr_read_link_path(host->sys, link, ".", type);
	return r > 0 ? (r == ATTR_MISSING ? -ENOENT : -EIO) : r;
}

static bool is_there(const struct host *host, const char *device)
{
	char path[288];

	return snprintf(path, sizeof(path), "bus/mdev/devices/%s", device) < (int)sizeof(path) &&
	       faccessat(host->sys, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Whoever was faster has made it, of whatever type. */
static int create(const struct host *host, const char *device, const char *type, int note)
{
	int r = store_mdev_create(host, type, device);

	if (!is_there(host, device))
		return r < 0 ? r : -EIO;
	return note_write(note, "");
}

static bool has_type(const struct host *host, const char *type)
{
	_cleanup_close_ int dir = attr_open_dir(host->sys, type);

	return dir >= 0;
}

static int make_anew(const struct host *host, const char *device, int note)
{
	_cleanup_free_ char *type = NULL, *text = NULL;
	int r = read_type(host, device, &type);

	if (r < 0)
		return r;
	if (asprintf(&text, "%s %s\n", device, type) < 0) {
		text = NULL;
		return -ENOMEM;
	}
	r = note_write(note, text);
	if (r < 0)
		return r;
	r = store_device(host, "mdev", device, "remove", "1\n");
	if (r < 0) {
		note_write(note, "");
		return r;
	}
	fault_point(MDEV_REMOVED);
	return create(host, device, type, note);
}

int mdev_probe(const struct host *host, const char *device, int note)
{
	_cleanup_free_ char *driver = NULL;
	int r;

	if (!attr_name_valid(device))
		return -EINVAL;
	r = sysfs_get_driver(host, "mdev", device, &driver);
	return r < 0 || driver ? r : make_anew(host, device, note);
}

int mdev_mend(const struct host *host, int note)
{
	_cleanup_free_ char *device = NULL, *type = NULL;
	int r = note_read(note, &device, &type);

	if (r != 0)
		return r < 0 ? r : 0;
	if (!attr_name_valid(device))
		return -EBADMSG;
	/* Its parent may be gone: there is nothing then that it could be made of. */
	if (is_there(host, device) || !has_type(host, type))
		return note_write(note, "");
	return create(host, device, type, note);
}

bool mdev_is_due(int note)
{
	_cleanup_free_ char *device = NULL, *type = NULL;

	return note_read(note, &device, &type) <= 0;
}
