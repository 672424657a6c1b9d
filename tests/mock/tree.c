/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of tree.h. */

#include "tests/mock/tree.h"

#include "daemon/util/fd.h"

#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#define FORMAT_PATH(path, format)                     \
	_cleanup_free_ char *path = NULL;             \
	do {                                          \
		va_list ap;                           \
		va_start(ap, format);                 \
		if (vasprintf(&path, format, ap) < 0) \
			err(1, "mock");               \
		va_end(ap);                           \
	} while (0)

char *mock_asprintf(const char *format, ...)
{
	va_list ap;
	char *s;

	va_start(ap, format);
	if (vasprintf(&s, format, ap) < 0)
		err(1, "mock");
	va_end(ap);
	return s;
}

bool tree_exists(int root, const char *format, ...)
{
	FORMAT_PATH(path, format);
	return faccessat(root, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void make_dirs(int root, const char *path, bool last)
{
	_cleanup_free_ char *copy = mock_asprintf("%s", path);

	for (char *p = strchr(copy, '/');; p = strchr(p + 1, '/')) {
		if (!p && !last)
			return;
		if (p)
			*p = 0;
		if (mkdirat(root, copy, 0755) < 0 && errno != EEXIST)
			err(1, "mock: mkdir %s", copy);
		if (!p)
			return;
		*p = '/';
	}
}

void tree_mkdir(int root, const char *format, ...)
{
	FORMAT_PATH(path, format);
	make_dirs(root, path, true);
}

void tree_write_bytes(int root, const void *data, size_t size, const char *path)
{
	_cleanup_close_ int fd = -EBADF;

	make_dirs(root, path, false);
	fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		err(1, "mock: write %s", path);
}

void tree_write(int root, const char *text, const char *format, ...)
{
	FORMAT_PATH(path, format);
	tree_write_bytes(root, text, strlen(text), path);
}

char *tree_read(int root, const char *format, ...)
{
	FORMAT_PATH(path, format);
	char *text = NULL;
	size_t size = 0;

	if (file_read_at(root, path, 1 << 20, &text, &size) < 0)
		return NULL;
	while (size && text[size - 1] == '\n')
		text[--size] = 0;
	return text;
}

void tree_link(int root, const char *target, const char *format, ...)
{
	FORMAT_PATH(path, format);
	_cleanup_free_ char *text = strdup("");

	make_dirs(root, path, false);
	for (const char *p = strchr(path, '/'); p; p = strchr(p + 1, '/')) {
		_cleanup_free_ char *old = text;

		text = mock_asprintf("../%s", old);
	}
	{
		_cleanup_free_ char *old = text;
		const char *a = path, *b = target;

		/* sysfs' links go up no further than they need to. */
		while (strncmp(old, "../", 3) == 0 && strchr(b, '/') &&
		       strchr(a, '/') - a == strchr(b, '/') - b &&
		       strncmp(a, b, (size_t)(strchr(a, '/') - a)) == 0) {
			memmove(old, old + 3, strlen(old) - 2);
			a = strchr(a, '/') + 1;
			b = strchr(b, '/') + 1;
		}
		text = mock_asprintf("%s%s", old, b);
	}
	unlinkat(root, path, 0);
	if (symlinkat(text, root, path) < 0)
		err(1, "mock: link %s", path);
}

char *tree_link_name(int root, const char *format, ...)
{
	FORMAT_PATH(path, format);
	char target[PATH_MAX];
	ssize_t k = readlinkat(root, path, target, sizeof(target) - 1);
	const char *slash;

	if (k < 0)
		return NULL;
	target[k] = 0;
	slash = strrchr(target, '/');
	return mock_asprintf("%s", slash ? slash + 1 : target);
}

char *tree_link_path(int root, const char *format, ...)
{
	FORMAT_PATH(path, format);
	char target[PATH_MAX], *end, *t = target;
	ssize_t k = readlinkat(root, path, target, sizeof(target) - 1);

	if (k < 0)
		return NULL;
	target[k] = 0;
	end = strrchr(path, '/');
	while (end && strncmp(t, "../", 3) == 0) {
		*end = 0;
		end = strrchr(path, '/');
		t += 3;
	}
	if (!end)
		return mock_asprintf("%s", t);
	*end = 0;
	return mock_asprintf("%s/%s", path, t);
}

static void remove_path(int root, const char *path)
{
	if (unlinkat(root, path, 0) == 0 || errno == ENOENT || errno == ENOTDIR)
		return;
	if (errno != EISDIR && errno != EPERM)
		err(1, "mock: remove %s", path);
	_cleanup_strv_ char **names = tree_list(root, "%s", path);
	STRV_FOREACH (name, names) {
		_cleanup_free_ char *below = mock_asprintf("%s/%s", path, *name);

		remove_path(root, below);
	}
	if (unlinkat(root, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
		err(1, "mock: remove %s", path);
}

void tree_remove(int root, const char *format, ...)
{
	FORMAT_PATH(path, format);
	remove_path(root, path);
}

void tree_rename(int root, const char *from, const char *to)
{
	make_dirs(root, to, false);
	if (renameat(root, from, root, to) < 0)
		err(1, "mock: rename %s to %s", from, to);
}

char **tree_list(int root, const char *format, ...)
{
	FORMAT_PATH(path, format);
	char **names = calloc(1, sizeof(char *));
	int fd = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (!streq(entry->d_name, ".") && !streq(entry->d_name, "..") &&
		    strv_extend(&names, entry->d_name) < 0)
			err(1, "mock");
	if (dir)
		closedir(dir);
	strv_sort(names);
	return names;
}
