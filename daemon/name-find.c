/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * getpwnam_r(3) and getgrnam_r(3), with their many ways to say no. Apart from names.c, since the
 * C library and the topology both have a "struct group".
 */

#include "daemon/name-find.h"

#include <grp.h>
#include <pwd.h>

/* A group's entry has all its members in it. */
#define ENTRY_SIZE_START 4096
#define ENTRY_SIZE_MAX	 (16 * 1024 * 1024)

/* What getpwnam_r(3) and getgrnam_r(3) document as "not found". */
static bool means_not_found(int error)
{
	return error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM;
}

/* Asks once with a buffer. Returns a positive errno or 0; *found says whether there is one. */
static int ask(bool group, const char *name, char *buffer, size_t size, bool *found, uint32_t *id)
{
	int error;

	*found = false;
	if (group) {
		struct group entry, *result = NULL;

		error = getgrnam_r(name, &entry, buffer, size, &result);
		if (error || !result)
			return error;
		*id = result->gr_gid;
	} else {
		struct passwd entry, *result = NULL;

		error = getpwnam_r(name, &entry, buffer, size, &result);
		if (error || !result)
			return error;
		*id = result->pw_uid;
	}
	*found = true;
	return 0;
}

static int name_find(bool group, const char *name, uint32_t *id)
{
	size_t size = ENTRY_SIZE_START;

	for (;;) {
		_cleanup_free_ char *buffer = malloc(size);
		bool found;
		int error;

		if (!buffer)
			return -ENOMEM;
		error = ask(group, name, buffer, size, &found, id);
		if (found)
			return 0;
		if (error == EINTR)
			continue;
		if (error == ERANGE && size < ENTRY_SIZE_MAX) {
			size *= 2;
			continue;
		}
		return means_not_found(error) ? -ENOENT : -error;
	}
}

int name_find_user(const char *name, uint32_t *uid)
{
	return name_find(false, name, uid);
}

int name_find_group(const char *name, uint32_t *gid)
{
	return name_find(true, name, gid);
}
