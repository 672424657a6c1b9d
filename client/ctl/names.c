/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names and numbers as people type and read them.
 */

#include "client/ctl/names.h"
#include "policy/base.h"

#include <ctype.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <systemd/sd-bus.h>
#include <time.h>

static bool hex_run(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isxdigit((unsigned char)s[i]))
			return false;
	return true;
}

/* "03:00.0" */
static bool is_short_pci(const char *s)
{
	return strlen(s) == 7 && hex_run(s, 2) && s[2] == ':' && hex_run(s + 3, 2) && s[5] == '.' &&
	       s[6] >= '0' && s[6] <= '7';
}

bool is_pci_address(const char *name)
{
	const char *colon = strchr(name, ':');
	size_t n = colon ? (size_t)(colon - name) : 0;

	return n >= 4 && n <= 8 && hex_run(name, n) && is_short_pci(colon + 1);
}

char *device_argument(const char *typed)
{
	char *name;

	if (is_short_pci(typed)) {
		if (asprintf(&name, "0000:%s", typed) < 0)
			return NULL;
	} else {
		name = strdup(typed);
	}
	if (name && is_pci_address(name))
		for (char *c = name; *c; c++)
			*c = (char)tolower((unsigned char)*c);
	return name;
}

char *device_of_path(const char *path)
{
	static const char prefix[] = "/org/vfiod1/device";
	char *name = NULL;
	size_t n;

	if (!path)
		return strdup("");
	if (strncmp(path, prefix, sizeof(prefix) - 1) != 0)
		return strdup(path);
	if (strncmp(path + sizeof(prefix) - 1, "/pci_", 5) != 0)
		return sd_bus_path_decode(path, prefix, &name) > 0 ? name : strdup(path);
	name = strdup(path + sizeof(prefix) - 1 + 5);
	n = name ? strlen(name) : 0;
	if (n >= 12) {
		name[n - 8] = ':';
		name[n - 5] = ':';
		name[n - 2] = '.';
	}
	return name;
}

char *user_name(uid_t uid)
{
	struct passwd *entry = getpwuid(uid);
	char *text;

	if (entry)
		return strdup(entry->pw_name);
	return asprintf(&text, "%u", (unsigned int)uid) < 0 ? NULL : text;
}

int user_parse(const char *s, uid_t *uid)
{
	struct passwd *entry;
	unsigned long value;
	char *end;

	errno = 0;
	entry = getpwnam(s);
	if (entry) {
		*uid = entry->pw_uid;
		return 0;
	}
	if (!isdigit((unsigned char)*s))
		return -ENOENT;
	errno = 0;
	value = strtoul(s, &end, 10);
	if (errno || *end || value >= UINT32_MAX)
		return -ENOENT;
	*uid = (uid_t)value;
	return 0;
}

int group_parse(const char *s, gid_t *gid)
{
	struct group *entry = getgrnam(s);

	if (!entry)
		return -ENOENT;
	*gid = entry->gr_gid;
	return 0;
}

int user_groups(uid_t uid, gid_t **gids, size_t *n)
{
	struct passwd *entry = getpwuid(uid);
	_cleanup_free_ gid_t *list = NULL;
	int count = 64;

	if (!entry)
		return -ENOENT;
	for (int tries = 0; tries < 8; tries++) {
		gid_t *grown = reallocarray(list, (size_t)count, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		list = grown;
		if (getgrouplist(entry->pw_name, entry->pw_gid, list, &count) >= 0) {
			*n = (size_t)count;
			*gids = STEAL(list);
			return 0;
		}
	}
	return -E2BIG;
}

int size_parse(const char *s, uint64_t *bytes)
{
	static const char suffixes[] = "KMGTP";
	const char *suffix;
	unsigned long long value;
	unsigned int shift = 0;
	char *end;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	value = strtoull(s, &end, 10);
	if (errno)
		return -ERANGE;
	if (*end) {
		suffix = strchr(suffixes, toupper((unsigned char)*end));
		if (!suffix || end[1])
			return -EINVAL;
		shift = 10 * (unsigned int)(suffix - suffixes + 1);
	}
	if (value > UINT64_MAX >> shift)
		return -ERANGE;
	*bytes = (uint64_t)value << shift;
	return 0;
}

void format_age(uint64_t usec, char *text, size_t size)
{
	struct timespec now;
	uint64_t seconds;

	clock_gettime(CLOCK_REALTIME, &now);
	seconds = usec / 1000000;
	seconds = (uint64_t)now.tv_sec > seconds ? (uint64_t)now.tv_sec - seconds : 0;
	if (seconds < 120)
		snprintf(text, size, "%" PRIu64 " s", seconds);
	else if (seconds < 2 * 3600)
		snprintf(text, size, "%" PRIu64 " min", seconds / 60);
	else if (seconds < 2 * 86400)
		snprintf(text, size, "%" PRIu64 " h", seconds / 3600);
	else
		snprintf(text, size, "%" PRIu64 " d", seconds / 86400);
}
