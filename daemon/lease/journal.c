/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The files of the journal; what is in them is lease-json.c's. */

#include "daemon/lease/journal.h"

#include "daemon/fault.h"
#include "daemon/sysfs/attr.h"
#include "daemon/util/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#define FILE_MAX (4 * 1024 * 1024)
#define SUFFIX	 ".json"

static bool only_ours(const struct stat *st)
{
	return st->st_uid == geteuid() && (st->st_mode & 022) == 0;
}

int journal_open(struct journal *journal, const char *path)
{
	_cleanup_close_ int dir = -EBADF;
	struct stat st;

	*journal = (struct journal){ .dir = -EBADF };
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 || fstat(dir, &st) < 0)
		return -errno;
	if (!only_ours(&st))
		return -EPERM;
	journal->dir = STEAL_FD(dir);
	return 0;
}

void journal_close(struct journal *journal)
{
	journal->dir = fd_close(journal->dir);
	journal->doomed = strv_free(journal->doomed);
}

/* It is not to be removed (any more). */
static void undoom(const struct journal *journal, const char *id)
{
	char **p = journal->doomed;

	while (p && *p && !streq(*p, id))
		p++;
	if (!p || !*p)
		return;
	free(*p);
	for (; *p; p++)
		p[0] = p[1];
}

int journal_write(const struct journal *journal, const struct lease *lease)
{
	_cleanup_(lease_freep) struct lease *again = NULL;
	_cleanup_free_ char *text = NULL, *why = NULL, *name = NULL;
	int r;

	r = lease_to_json(lease, &text);
	if (r < 0)
		return r;
	/* What could not be read again after a crash would be a lease that nobody gives back. */
	r = lease_from_json(text, strlen(text), &again, &why);
	if (r < 0)
		return r == -EBADMSG ? -EINVAL : r;
	if (strlen(text) > FILE_MAX)
		return -EFBIG;
	if (asprintf(&name, "%s" SUFFIX, lease->id) < 0)
		return -ENOMEM;
	undoom(journal, lease->id);
	r = fault_error(JOURNAL_BEGIN);
	if (r >= 0)
		r = file_write_atomic_at(journal->dir, name, text, strlen(text));
	fault_point(JOURNAL_WRITTEN);
	return r;
}

static int remove_file(const struct journal *journal, const char *id, const char *suffix)
{
	_cleanup_free_ char *name = NULL;

	if (asprintf(&name, "%s%s", id, suffix) < 0)
		return -ENOMEM;
	return unlinkat(journal->dir, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static int remove_now(const struct journal *journal, const char *id)
{
	int r = fault_error(JOURNAL_REMOVE);

	if (r >= 0)
		r = remove_file(journal, id, SUFFIX);
	if (r < 0)
		return r;
	(void)fsync(journal->dir);
	fault_point(JOURNAL_REMOVED);
	/* The lock last: until the lease is off the disk, somebody may hold it. One that stays is
	 * in nobody's way. */
	(void)remove_file(journal, id, ".lock");
	return 0;
}

/* In their order: a part's before that of the lease which makes it void. */
static int remove_doomed(struct journal *journal)
{
	while (journal->doomed && *journal->doomed) {
		int r = remove_now(journal, *journal->doomed);

		if (r < 0)
			return r;
		undoom(journal, *journal->doomed);
	}
	return 0;
}

int journal_remove(struct journal *journal, const char *id)
{
	int r;

	if (!strv_contains(journal->doomed, id)) {
		r = strv_extend(&journal->doomed, id);
		if (r < 0)
			return r;
	}
	return remove_doomed(journal);
}

/* ---- reading */

struct reading {
	const struct journal *journal;
	struct lease **leases;
	size_t n;
	void (*bad)(const char *file, const char *why, void *userdata);
	void *userdata;
};

static void reading_done(struct reading *reading)
{
	for (size_t i = 0; i < reading->n; i++)
		lease_free(reading->leases[i]);
	free(reading->leases);
}

static void refuse(const struct reading *reading, const char *file, const char *why)
{
	if (reading->bad)
		reading->bad(file, why, reading->userdata);
}

/* NULL: fine. */
static const char *check_file(const struct journal *journal, const char *file)
{
	struct stat st;

	if (fstatat(journal->dir, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "it is not a regular file";
	if (!only_ours(&st))
		return "others own it or may write to it";
	return NULL;
}

static bool is_name_of(const char *file, const struct lease *lease)
{
	size_t n = strlen(lease->id);

	return strncmp(file, lease->id, n) == 0 && streq(file + n, SUFFIX);
}

/* 0 (also for a file that is refused), or -ENOMEM. */
static int read_one(struct reading *reading, const char *file)
{
	_cleanup_(lease_freep) struct lease *lease = NULL;
	_cleanup_free_ char *text = NULL, *why = NULL;
	const char *wrong = check_file(reading->journal, file);
	size_t size;
	int r;

	if (wrong) {
		refuse(reading, file, wrong);
		return 0;
	}
	r = file_read_at(reading->journal->dir, file, FILE_MAX, &text, &size);
	if (r >= 0)
		r = lease_from_json(text, size, &lease, &why);
	if (r == -ENOMEM)
		return r;
	if (r >= 0 && !is_name_of(file, lease)) {
		refuse(reading, file, "the id in it is another");
		return 0;
	}
	if (r < 0) {
		refuse(reading, file, why ? why : strerror(-r));
		return 0;
	}
	r = ARRAY_RESERVE_ONE(reading->leases, reading->n);
	if (r < 0)
		return r;
	reading->leases[reading->n++] = STEAL(lease);
	return 0;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && streq(s + n - k, end);
}

static int read_file(struct reading *reading, const char *file)
{
	/* What a write left that did not come to its end: never the truth. */
	if (file[0] == '.' && ends_with(file, ".tmp"))
		return unlinkat(reading->journal->dir, file, 0) < 0 && errno != ENOENT ? -errno : 0;
	if (ends_with(file, ".lock"))
		return 0;
	if (!ends_with(file, SUFFIX)) {
		refuse(reading, file, "it is no lease's file");
		return 0;
	}
	return read_one(reading, file);
}

int journal_read_all(const struct journal *journal, struct lease ***leases, size_t *n,
		     void (*bad)(const char *file, const char *why, void *userdata), void *userdata)
{
	_cleanup_(reading_done) struct reading reading = {
		.journal = journal,
		.bad = bad,
		.userdata = userdata,
	};
	_cleanup_strv_ char **files = NULL;
	int r;

	*leases = NULL;
	*n = 0;
	r = attr_list(journal->dir, ".", &files);
	if (r != 0)
		return r > 0 ? -EIO : r;
	STRV_FOREACH (file, files) {
		r = read_file(&reading, *file);
		if (r < 0)
			return r;
	}
	*leases = STEAL(reading.leases);
	*n = reading.n;
	reading.n = 0;
	return 0;
}

/* ---- locks */

/* Whether the lock file that is open is the one that has its name still. */
static bool is_current(const struct journal *journal, const char *name, int fd)
{
	struct stat ours, there;

	return fstat(fd, &ours) == 0 &&
	       fstatat(journal->dir, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
}

int journal_lock(const struct journal *journal, const char *id)
{
	_cleanup_free_ char *name = NULL;

	if (asprintf(&name, "%s.lock", id) < 0)
		return -ENOMEM;
	for (;;) {
		_cleanup_close_ int fd =
			openat(journal->dir, name,
			       O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600);

		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB) < 0)
			return errno == EINTR ? -EAGAIN : -errno;
		/* It may have been removed between the two. */
		if (is_current(journal, name, fd))
			return STEAL_FD(fd);
	}
}
