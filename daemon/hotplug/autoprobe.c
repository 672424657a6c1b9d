/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The implementation of autoprobe.h. The file is lines of words, so that one can be appended while
 * a device waits:
 *
 *	vfiod-probing 1
 *	prior 1
 *	known 0000:03:00.0 8041
 *
 * Of several lines about the same the last one counts, and a last line without its end does not.
 */

#include "daemon/hotplug/autoprobe.h"

#include "daemon/fault.h"
#include "daemon/sysfs/attr.h"
#include "daemon/sysfs/store.h"
#include "daemon/sysfs/write.h"
#include "policy/topology.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#define HEADER	      "vfiod-probing 1"
#define ATTRIBUTE     "bus/pci/drivers_autoprobe"
#define STATE_MAX     (4 * 1024 * 1024)
#define STATE_LONG    (1024 * 1024)
#define FIRST_VERSION 6
#define FIRST_MINOR   19

struct known_device {
	char *name;
	uint64_t inode;
	UT_hash_handle hh;
};

/* ---- the attribute */

int autoprobe_get(const struct host *host, bool *on)
{
	char text[8];
	int r = attr_read(host->sys, ATTRIBUTE, text, sizeof(text));

	if (r < 0)
		return r;
	if (r != 0 || (!streq(text, "0") && !streq(text, "1")))
		return r == ATTR_MISSING ? -ENOENT : -EIO;
	*on = streq(text, "1");
	return 0;
}

int autoprobe_set(const struct host *host, bool on)
{
	bool now = !on;
	int r;

	r = store_bus(host, "pci", "drivers_autoprobe", on ? "1\n" : "0\n");
	if (r >= 0)
		r = autoprobe_get(host, &now);
	if (r < 0)
		return r;
	return now == on ? 0 : -EIO;
}

bool autoprobe_release_honours(const char *release)
{
	unsigned int version, minor;

	if (!release || sscanf(release, "%u.%u", &version, &minor) != 2)
		return false;
	return version > FIRST_VERSION || (version == FIRST_VERSION && minor >= FIRST_MINOR);
}

/* ---- the file */

static int know(struct autoprobe_state *state, const char *name, uint64_t inode)
{
	struct known_device *known;

	HASH_FIND_STR(state->known, name, known);
	if (known) {
		known->inode = inode;
		return 0;
	}
	known = calloc(1, sizeof(*known));
	if (!known || !(known->name = strdup(name))) {
		free(known);
		return -ENOMEM;
	}
	known->inode = inode;
	HASH_ADD_KEYPTR(hh, state->known, known->name, strlen(known->name), known);
	if (known->hh.tbl)
		return 0;
	free(known->name);
	free(known);
	return -ENOMEM;
}

void autoprobe_state_done(struct autoprobe_state *state)
{
	struct known_device *known, *next;

	HASH_ITER(hh, state->known, known, next)
	{
		HASH_DEL(state->known, known);
		free(known->name);
		free(known);
	}
	*state = (struct autoprobe_state){ 0 };
}

/* 0, -ENOMEM, or 1: it makes no sense. */
static int take_line(struct autoprobe_state *state, const char *line)
{
	uint64_t inode;
	char name[64];
	int end = -1;

	if (streq(line, "prior 0") || streq(line, "prior 1")) {
		state->prior = line[6] == '1';
		return 0;
	}
	if (sscanf(line, "known %63s %" SCNu64 "%n", name, &inode, &end) != 2 || line[end] ||
	    !attr_name_valid(name))
		return 1;
	return know(state, name, inode);
}

static int parse(struct autoprobe_state *state, char *text)
{
	char *save = NULL, *end = strrchr(text, '\n'), *line;
	bool prior = false;

	/* What was being appended when somebody was killed. */
	if (end && end[1]) {
		end[1] = 0;
		state->cut_off = true;
	}
	line = strtok_r(text, "\n", &save);
	if (!end || !line || !streq(line, HEADER))
		return 1;
	while ((line = strtok_r(NULL, "\n", &save))) {
		int r = take_line(state, line);

		if (r != 0)
			return r;
		prior |= strncmp(line, "prior ", 6) == 0;
	}
	return prior ? 0 : 1;
}

int autoprobe_state_read(int dir, struct autoprobe_state *state)
{
	_cleanup_free_ char *text = NULL;
	int r;

	*state = (struct autoprobe_state){ 0 };
	r = file_read_at(dir, AUTOPROBE_FILE, STATE_MAX, &text, NULL);
	if (r == -ENOENT)
		return 0;
	state->there = true;
	state->prior = true;
	if (r == -ENOMEM)
		return r;
	r = r < 0 ? 1 : parse(state, text);
	if (r < 0) {
		autoprobe_state_done(state);
		return r;
	}
	if (r > 0) {
		state->prior = true;
		state->bad = true;
	}
	return 0;
}

static int append(int dir, const char *line)
{
	_cleanup_close_ int fd = openat(dir, AUTOPROBE_FILE,
					O_WRONLY | O_APPEND | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
	size_t size = strlen(line);
	off_t end;
	ssize_t k;

	if (fd < 0)
		return -errno;
	end = lseek(fd, 0, SEEK_END);
	if (end < 0)
		return -errno;
	k = write(fd, line, size);
	if (k < 0)
		return -errno;
	if ((size_t)k == size)
		return 0;
	/* Half a line would spoil the one that comes next. */
	return ftruncate(fd, end) < 0 ? -errno : -ENOSPC;
}

int autoprobe_note_prior(int dir, bool prior)
{
	return append(dir, prior ? "prior 1\n" : "prior 0\n");
}

int autoprobe_forget(int dir)
{
	return unlinkat(dir, AUTOPROBE_FILE, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static int list_devices(const struct host *host, char ***names)
{
	int r = attr_list(host->sys, "bus/pci/devices", names);

	return r > 0 ? -EIO : r;
}

static bool is_known(const struct autoprobe_state *state, const char *name, uint64_t inode)
{
	const struct known_device *known;

	HASH_FIND_STR(state->known, name, known);
	return known && known->inode == inode;
}

/* Writes the file anew. The devices that are here are known; with `only`, those that were. */
static int write_state(const struct host *host, int dir, bool prior,
		       const struct autoprobe_state *only)
{
	_cleanup_strv_ char **names = NULL, **lines = NULL;
	_cleanup_free_ char *text = NULL;
	int r;

	r = list_devices(host, &names);
	if (r >= 0)
		r = strv_extendf(&lines, HEADER "\nprior %d", prior);
	STRV_FOREACH (name, names) {
		uint64_t inode = sysfs_get_appearance(host, "pci", *name);

		if (r >= 0 && inode && (!only || is_known(only, *name, inode)))
			r = strv_extendf(&lines, "known %.63s %" PRIu64, *name, inode);
	}
	if (r >= 0)
		r = strv_extend(&lines, "");
	if (r < 0)
		return r;
	text = strv_join(lines, "\n");
	return text ? file_write_atomic_at(dir, AUTOPROBE_FILE, text, strlen(text)) : -ENOMEM;
}

/* Many come and go while one lease lasts: those that have gone are left out. */
static int shorten(int dir, const struct host *host)
{
	_cleanup_(autoprobe_state_done) struct autoprobe_state state = { 0 };
	int r = autoprobe_state_read(dir, &state);

	return r < 0 || !state.there || state.bad ? r : write_state(host, dir, state.prior, &state);
}

int autoprobe_note_known(int dir, const struct host *host, const char *device)
{
	uint64_t inode = sysfs_get_appearance(host, "pci", device);
	struct stat st;
	char line[128];
	int r;

	if (!inode || !attr_name_valid(device))
		return 0;
	snprintf(line, sizeof(line), "known %.63s %" PRIu64 "\n", device, inode);
	r = append(dir, line);
	if (r < 0 || fstatat(dir, AUTOPROBE_FILE, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    st.st_size < STATE_LONG)
		return r;
	return shorten(dir, host);
}

/* Writes the file where there is none of use. 1: it was so; 0; -errno. */
static int begin(const struct host *host, int dir, bool *prior)
{
	_cleanup_(autoprobe_state_done) struct autoprobe_state state = { 0 };
	int r = autoprobe_state_read(dir, &state);

	if (r < 0)
		return r;
	*prior = state.prior;
	if (state.there && !state.bad)
		return state.cut_off ? write_state(host, dir, state.prior, &state) : 0;
	/* Beside a file that makes no sense the 0 is our own. */
	if (!state.bad)
		r = autoprobe_get(host, prior);
	if (r >= 0)
		r = write_state(host, dir, *prior, NULL);
	return r < 0 ? r : 1;
}

int autoprobe_take(const struct host *host, int dir)
{
	bool prior = true;
	int fresh = begin(host, dir, &prior), r;

	if (fresh < 0)
		return fresh;
	r = autoprobe_set(host, false);
	if (r >= 0 || !fresh)
		return r;
	/* As before; what cannot be undone either stays on disk, for the next who tries. */
	if (autoprobe_set(host, prior) >= 0)
		autoprobe_forget(dir);
	return r;
}

/* ---- who waits */

int autoprobe_waiting(const struct host *host, const struct autoprobe_state *state, char ***ret)
{
	_cleanup_strv_ char **names = NULL, **waiting = NULL;
	int r;

	*ret = NULL;
	r = list_devices(host, &names);
	STRV_FOREACH (name, names) {
		_cleanup_free_ char *driver = NULL;

		if (r < 0)
			return r;
		if (is_known(state, *name, sysfs_get_appearance(host, "pci", *name)))
			continue;
		/* One that has gone meanwhile waits for nothing. */
		if (sysfs_get_driver(host, "pci", *name, &driver) < 0 || driver)
			continue;
		r = strv_extend(&waiting, *name);
	}
	if (r < 0)
		return r;
	*ret = STEAL(waiting);
	return 0;
}
