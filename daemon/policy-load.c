/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The policy's files. The daemon reads them as root, so what it opens is looked at first: no
 * fifo, no device node and nothing that another user could have written gets to the parser.
 */

#include "daemon/policy-load.h"
#include "daemon/util/fd.h"
#include "daemon/util/trusted.h"
#include "policy/utf8.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

const char *const policy_dirs[] = {
	SYSCONFDIR "/vfiod/policy.d",
	RUNSTATEDIR "/policy.d",
	POLICYDIR,
	NULL,
};

/* A file that was read. */
struct loaded {
	char *path;
	char *text;
	size_t size;
};

/* A name in a directory. */
struct entry {
	char *name;
	size_t dir; /* index */
};

struct load {
	const char *const *dirs;
	int *fds; /* of dirs; -EBADF: not there */
	size_t n_dirs;
	uid_t owner;
	struct entry *entries;
	size_t n_entries;
	struct loaded *files;
	size_t n_files;
	struct policy_error *error;
};

static int _printf_(3, 4) fail(struct policy_error *error, int r, const char *format, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(&text, format, ap);
	va_end(ap);
	if (n < 0)
		return -ENOMEM;
	free(error->message);
	error->message = text;
	return r;
}

static int fail_errno(struct policy_error *error, int r, const char *path)
{
	return fail(error, r, "cannot read %s: %s", path, strerror(-r));
}

/* Turns the result of trusted_*() into an error: why is NULL if the kernel refused. */
static int fail_trusted(struct policy_error *error, int r, const char *path, char *why)
{
	if (r == -ENOMEM)
		return r;
	return why ? fail(error, r, "%s", why) : fail_errno(error, r, path);
}

/* Reads to the end, which is not where fstat() saw it if somebody writes meanwhile. */
static int read_all(int fd, char **ret, size_t *size)
{
	_cleanup_free_ char *text = NULL;
	size_t n = 0, room = 0;

	for (;;) {
		ssize_t k;

		if (n == room) {
			char *grown;

			if (n > POLICY_FILE_SIZE_MAX)
				return -EFBIG;
			room = room ? room * 2 : 4096;
			grown = realloc(text, room);
			if (!grown)
				return -ENOMEM;
			text = grown;
		}
		k = read(fd, text + n, room - n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (k == 0)
			break;
		n += (size_t)k;
	}
	if (n > POLICY_FILE_SIZE_MAX)
		return -EFBIG;
	*ret = STEAL(text);
	*size = n;
	return 0;
}

/* Reads an open file into the list. */
static int load_fd(struct load *load, int fd, const char *path)
{
	struct loaded *file;
	int r;

	if (ARRAY_RESERVE_ONE(load->files, load->n_files) < 0)
		return -ENOMEM;
	file = &load->files[load->n_files];
	file->path = strdup(path);
	if (!file->path)
		return -ENOMEM;
	load->n_files++;
	r = read_all(fd, &file->text, &file->size);
	if (r == -EFBIG)
		return fail(load->error, r, "%s has more than %d bytes: refused", path,
			    POLICY_FILE_SIZE_MAX);
	return r < 0 && r != -ENOMEM ? fail_errno(load->error, r, path) : r;
}

/* A symbolic link: fine if it masks. */
static int check_link(struct load *load, int dir, const char *name, const char *path)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);

	if (n < 0)
		return fail_errno(load->error, -errno, path);
	target[n] = 0;
	if (streq(target, "/dev/null"))
		return 0;
	return fail(load->error, -EPERM,
		    "%s is a symbolic link: refused; only one to /dev/null, which masks, is taken",
		    path);
}

static int load_regular(struct load *load, int dir, const char *name, const char *path)
{
	_cleanup_close_ int fd = -EBADF;
	_cleanup_free_ char *why = NULL;
	struct stat st;
	int r;

	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno(load->error, -errno, path);
	if (!S_ISREG(st.st_mode))
		return fail(load->error, -EPERM, "%s is no regular file: refused", path);
	r = trusted_check(path, &st, load->owner, false, &why);
	return r < 0 ? fail_trusted(load->error, r, path, why) : load_fd(load, fd, path);
}

static int load_entry(struct load *load, const struct entry *entry)
{
	int dir = load->fds[entry->dir];
	_cleanup_free_ char *path = NULL;
	_cleanup_free_ char *why = NULL;
	struct stat st;
	int r;

	if (asprintf(&path, "%s/%s", load->dirs[entry->dir], entry->name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	/* Before it is opened: opening a device node may already do something. */
	if (fstatat(dir, entry->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno(load->error, -errno, path);
	r = trusted_check(path, &st, load->owner, false, &why);
	if (r < 0)
		return fail_trusted(load->error, r, path, why);
	if (S_ISLNK(st.st_mode))
		return check_link(load, dir, entry->name, path);
	if (!S_ISREG(st.st_mode))
		return fail(load->error, -EPERM, "%s is no regular file: refused", path);
	return load_regular(load, dir, entry->name, path);
}

static bool is_policy_name(const char *name)
{
	size_t n = strlen(name);

	return name[0] != '.' && n > 5 && streq(name + n - 5, ".json");
}

static int add_entry(struct load *load, const char *name, size_t dir)
{
	struct entry *entry;

	/* Paths come back in messages over D-Bus and on terminals. */
	if (!utf8_is_printable(name))
		return fail(load->error, -EPERM,
			    "a file in %s has a name that is not printable UTF-8: refused",
			    load->dirs[dir]);
	if (load->n_entries == POLICY_FILES_MAX)
		return fail(load->error, -E2BIG, "there are more than %d policy files: refused",
			    POLICY_FILES_MAX);
	if (ARRAY_RESERVE_ONE(load->entries, load->n_entries) < 0)
		return -ENOMEM;
	entry = &load->entries[load->n_entries];
	entry->name = strdup(name);
	if (!entry->name)
		return -ENOMEM;
	entry->dir = dir;
	load->n_entries++;
	return 0;
}

static int list_dir(struct load *load, size_t index)
{
	int fd = fcntl(load->fds[index], F_DUPFD_CLOEXEC, 3), r = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		r = -errno;
		fd_close(fd);
		return fail_errno(load->error, r, load->dirs[index]);
	}
	while (r >= 0) {
		struct dirent *d;

		errno = 0;
		d = readdir(dir);
		if (!d) {
			if (errno)
				r = fail_errno(load->error, -errno, load->dirs[index]);
			break;
		}
		if (is_policy_name(d->d_name))
			r = add_entry(load, d->d_name, index);
	}
	closedir(dir);
	return r;
}

static int open_dir(struct load *load, size_t index)
{
	_cleanup_free_ char *why = NULL;
	int r;

	r = trusted_open_dir(load->dirs[index], load->owner, &load->fds[index], &why);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return fail_trusted(load->error, r, load->dirs[index], why);
	return list_dir(load, index);
}

/* By name, and those of one name by their directory. */
static int entry_compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	return r ? r : (x->dir > y->dir) - (x->dir < y->dir);
}

static int parse_loaded(struct load *load, struct policy **ret)
{
	_cleanup_free_ struct policy_file *files = calloc(load->n_files + 1, sizeof(*files));

	if (!files)
		return -ENOMEM;
	for (size_t i = 0; i < load->n_files; i++)
		files[i] = (struct policy_file){ .path = load->files[i].path,
						 .text = load->files[i].text,
						 .size = load->files[i].size };
	return policy_parse(files, load->n_files, ret, load->error);
}

static int load_dirs(struct load *load, struct policy **ret)
{
	_cleanup_(policy_freep) struct policy *policy = NULL;
	int r;

	for (size_t i = 0; i < load->n_dirs; i++) {
		r = open_dir(load, i);
		if (r < 0)
			return r;
	}
	if (load->n_entries > 0)
		qsort(load->entries, load->n_entries, sizeof(*load->entries), entry_compare);
	for (size_t i = 0; i < load->n_entries; i++) {
		if (i > 0 && streq(load->entries[i - 1].name, load->entries[i].name))
			continue;
		r = load_entry(load, &load->entries[i]);
		if (r < 0)
			return r;
	}
	r = parse_loaded(load, &policy);
	if (r < 0)
		return r;
	if (!policy->files && strv_extend(&policy->warnings, "there is no policy file, so nobody "
							     "may have any device") < 0)
		return -ENOMEM;
	*ret = STEAL(policy);
	return 0;
}

static void load_done(struct load *load)
{
	for (size_t i = 0; load->fds && i < load->n_dirs; i++)
		fd_close(load->fds[i]);
	free(load->fds);
	for (size_t i = 0; i < load->n_entries; i++)
		free(load->entries[i].name);
	free(load->entries);
	for (size_t i = 0; i < load->n_files; i++) {
		free(load->files[i].path);
		free(load->files[i].text);
	}
	free(load->files);
}

int policy_load(const char *const *dirs, uid_t owner, struct policy **ret,
		struct policy_error *error)
{
	_cleanup_(load_done) struct load load = { .dirs = dirs, .owner = owner, .error = error };

	while (dirs[load.n_dirs])
		load.n_dirs++;
	load.fds = calloc(load.n_dirs + 1, sizeof(*load.fds));
	if (!load.fds)
		return -ENOMEM;
	for (size_t i = 0; i < load.n_dirs; i++)
		load.fds[i] = -EBADF;
	return load_dirs(&load, ret);
}

int policy_load_files(const char *const *paths, size_t n, struct policy **ret,
		      struct policy_error *error)
{
	_cleanup_(load_done) struct load load = { .error = error };

	for (size_t i = 0; i < n; i++) {
		_cleanup_close_ int fd = open(paths[i], O_RDONLY | O_NOCTTY | O_CLOEXEC);
		int r;

		if (fd < 0)
			return fail_errno(error, -errno, paths[i]);
		r = load_fd(&load, fd, paths[i]);
		if (r < 0)
			return r;
	}
	return parse_loaded(&load, ret);
}
