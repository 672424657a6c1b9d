/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The implementation of places.h: the files, and the child that writes them. What is in a file is
 * places-names.c's.
 */

#include "daemon/lease/places.h"

#include "daemon/lease/places-names.h"
#include "daemon/sysfs/attr.h"
#include "daemon/util/child.h"
#include "daemon/util/clock.h"
#include "daemon/util/fd.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"
#include "policy/topology.h"
#include "policy/utf8.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#define FILE_MAX (4 * 1024 * 1024)
#define SUFFIX	 ".json"

/* So long does somebody wait for the disk. */
#define LATE_USEC (5 * 1000000)

struct owner {
	uid_t uid;
	struct places_names names;
	bool dirty;   /* differs from the file */
	bool writing; /* the child has it */
	UT_hash_handle hh;
};

struct waiter {
	uid_t uid;
	bool written; /* the child that runs has what it waits for */
	places_done_fn done;
	void *userdata;
};

struct places {
	sd_event *event;
	places_in_use_fn in_use;
	void *userdata; /* its */
	int dir;
	struct owner *owners; /* uthash by uid */
	struct child *child;
	sd_event_source *timer; /* of the child */
	bool late;		/* the child has not come to its end in time */
	struct waiter *waiters;
	size_t n_waiters;
};

/* ---- names of an owner */

static struct owner *find_owner(const struct places *places, uid_t uid)
{
	struct owner *owner;

	HASH_FIND(hh, places->owners, &uid, sizeof(uid), owner);
	return owner;
}

/* Somebody who came and went makes room: uids are used up, files are not to be. */
static bool make_room(struct places *places, uint64_t now_usec)
{
	struct owner *oldest = NULL;

	HASH_FOREACH (owner, places->owners) {
		if (owner->names.n == 0 || places->in_use(owner->uid, NULL, places->userdata))
			continue;
		if (!oldest || places_names_used(&owner->names) < places_names_used(&oldest->names))
			oldest = owner;
	}
	if (!oldest || places_names_used(&oldest->names) > now_usec ||
	    now_usec - places_names_used(&oldest->names) < PLACES_STALE_USEC)
		return false;
	places_names_done(&oldest->names);
	oldest->dirty = true;
	return true;
}

static size_t count_owners(const struct places *places)
{
	size_t n = 0;

	HASH_FOREACH (owner, places->owners)
		n += owner->names.n > 0;
	return n;
}

static int make_owner(struct places *places, uid_t uid, uint64_t now_usec, struct owner **ret)
{
	struct owner *owner = find_owner(places, uid);

	if ((!owner || owner->names.n == 0) && count_owners(places) >= PLACES_OWNERS_MAX &&
	    !make_room(places, now_usec))
		return -EDQUOT;
	if (!owner) {
		owner = calloc(1, sizeof(*owner));
		if (!owner)
			return -ENOMEM;
		owner->uid = uid;
		HASH_ADD(hh, places->owners, uid, sizeof(owner->uid), owner);
		if (!owner->hh.tbl) {
			free(owner);
			return -ENOMEM;
		}
	}
	*ret = owner;
	return 0;
}

/* What a lease has now is in use now, though it was placed long ago. */
static void touch(const struct places *places, struct owner *owner, uint64_t now_usec)
{
	for (size_t i = 0; i < owner->names.n; i++)
		if (places->in_use(owner->uid, owner->names.items[i].name, places->userdata))
			owner->names.items[i].used_usec = now_usec;
}

const struct guest_bus *places_find(const struct places *places, uid_t uid, const char *name)
{
	const struct owner *owner = places ? find_owner(places, uid) : NULL;
	const struct places_name *entry =
		owner && name ? places_names_find(&owner->names, name) : NULL;

	return entry ? &entry->bus : NULL;
}

/* ---- the child that writes: all that is dirty, one after the other */

static void record_bad(const char *file, const char *why)
{
	log_record(MESSAGE_PLACES_BAD, LOG_ERR, LOG_FIELDS({ FIELD_FILE, file }),
		   "Guest addresses %s: %s; devices may get others in a guest than before", file,
		   why);
}

static int write_owner(const struct places *places, const struct owner *owner)
{
	_cleanup_free_ char *text = places_to_json(&owner->names), *name = NULL;

	if (!text || asprintf(&name, "%u" SUFFIX, (unsigned int)owner->uid) < 0)
		return -ENOMEM;
	if (owner->names.n == 0)
		return unlinkat(places->dir, name, 0) < 0 && errno != ENOENT ? -errno : 0;
	if (strlen(text) > FILE_MAX)
		return -EFBIG;
	return file_write_atomic_at(places->dir, name, text, strlen(text));
}

/* A message for each owner: its uid and what came of it. */
struct written {
	uid_t uid;
	int r;
};

static int write_main(int sock, void *userdata)
{
	struct places *places = userdata;

	/*
	 * The child of a daemon that was killed may be at it still: two must not write to the same
	 * temporary file. The lock is that of the daemon's own fd, for all its children.
	 */
	while (flock(places->dir, LOCK_EX) < 0 && errno == EINTR)
		;
	HASH_FOREACH (owner, places->owners) {
		struct written written = { owner->uid, 0 };

		if (!owner->writing)
			continue;
		written.r = write_owner(places, owner);
		if (socket_send_fd_borrow(sock, &written, sizeof(written), -EBADF) < 0)
			return 1;
	}
	(void)flock(places->dir, LOCK_UN);
	return 0;
}

static void tell(struct places *places, uid_t uid, int r)
{
	for (size_t i = 0; i < places->n_waiters; i++) {
		struct waiter waiter = places->waiters[i];

		if (waiter.uid != uid || !waiter.written)
			continue;
		places->n_waiters--;
		memmove(places->waiters + i, places->waiters + i + 1,
			(places->n_waiters - i) * sizeof(*places->waiters));
		/* It may have the list changed: from the start again. */
		waiter.done(r, waiter.userdata);
		i = (size_t)-1;
	}
}

static void record_owner(uid_t uid, int r)
{
	char file[32];

	snprintf(file, sizeof(file), "%u" SUFFIX, (unsigned int)uid);
	record_bad(file, r == -ETIMEDOUT ? "the disk does not answer"
			 : r == -EDQUOT	 ? "there are files of as many owners as may be"
					 : strerror(-r));
}

static void finish_owner(struct places *places, struct owner *owner, int r)
{
	owner->writing = false;
	if (r < 0) {
		/* The next change tries again. */
		owner->dirty = true;
		record_owner(owner->uid, r);
	}
	tell(places, owner->uid, r);
	/* Who made room is forgotten, unless they have come back. */
	if (owner->names.n == 0 && !owner->dirty) {
		HASH_DEL(places->owners, owner);
		free(owner);
	}
}

/* Whoever waits goes on without; the child is left to itself. */
static int on_late(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct places *places = userdata;

	places->late = true;
	HASH_FOREACH (owner, places->owners)
		if (owner->writing)
			record_owner(owner->uid, -ETIMEDOUT);
	while (places->n_waiters > 0) {
		struct waiter waiter = places->waiters[--places->n_waiters];

		waiter.done(-ETIMEDOUT, waiter.userdata);
	}
	return 0;
}

static void on_message(struct child *child, const void *data, size_t size, void *userdata)
{
	struct places *places = userdata;
	struct written written;
	struct owner *owner;

	if (size != sizeof(written))
		return;
	memcpy(&written, data, sizeof(written));
	owner = find_owner(places, written.uid);
	if (owner && owner->writing)
		finish_owner(places, owner, written.r);
}

static void write_dirty(struct places *places, bool all);

static void on_exited(struct child *child, int status, void *userdata)
{
	struct places *places = userdata;

	bool late = places->late;

	places->child = child_free(places->child);
	places->timer = sd_event_source_disable_unref(places->timer);
	places->late = false;
	HASH_FOREACH (owner, places->owners)
		if (owner->writing)
			finish_owner(places, owner, -EIO);
	/* Those who did not wait for a disk that was away. */
	write_dirty(places, late);
}

static const struct child_ops ops = {
	.name = "vfiod-places",
	.main = write_main,
	.message = on_message,
	.exited = on_exited,
};

/* What somebody waits for. What could not be written waits for the next change. */
static bool is_waited_for(const struct places *places, uid_t uid)
{
	for (size_t i = 0; i < places->n_waiters; i++)
		if (places->waiters[i].uid == uid)
			return true;
	return false;
}

static void write_dirty(struct places *places, bool all)
{
	const int keep[] = { places->dir };
	bool any = false;
	int r;

	if (places->child)
		return;
	HASH_FOREACH (owner, places->owners) {
		owner->writing = owner->dirty &&
				 (all || owner->names.n == 0 || is_waited_for(places, owner->uid));
		any = any || owner->writing;
		if (owner->writing)
			owner->dirty = false;
	}
	if (!any)
		return;
	for (size_t i = 0; i < places->n_waiters; i++)
		places->waiters[i].written = true;
	r = sd_event_add_time_relative(places->event, &places->timer, CLOCK_MONOTONIC, LATE_USEC, 0,
				       on_late, places);
	if (r >= 0)
		r = child_spawn(places->event, &ops, keep, ARRAY_SIZE(keep), places,
				&places->child);
	if (r >= 0)
		return;
	places->timer = sd_event_source_disable_unref(places->timer);
	HASH_FOREACH (owner, places->owners)
		if (owner->writing)
			finish_owner(places, owner, r);
}

/* ---- keeping */

static int add_waiter(struct places *places, uid_t uid, places_done_fn done, void *userdata)
{
	if (ARRAY_RESERVE_ONE(places->waiters, places->n_waiters) < 0)
		return -ENOMEM;
	places->waiters[places->n_waiters++] =
		(struct waiter){ .uid = uid, .done = done, .userdata = userdata };
	return 0;
}

int places_keep(struct places *places, uid_t uid, const char *name, const struct guest_bus *bus,
		uint64_t now_usec, places_done_fn done, void *userdata)
{
	struct owner *owner;
	int r;

	/* A label that a file cannot have is not kept, like none. */
	if (!places || !name || !utf8_is_printable(name))
		return 1;
	r = make_owner(places, uid, now_usec, &owner);
	if (r == -EDQUOT)
		record_owner(uid, r);
	if (r >= 0 && owner->names.n >= PLACES_NAMES_MAX)
		touch(places, owner, now_usec);
	if (r >= 0)
		r = places_names_keep(&owner->names, name, bus, now_usec);
	if (r < 0 || (r == 1 && !owner->dirty && !owner->writing))
		return r;
	if (places->late) {
		owner->dirty = true;
		record_owner(owner->uid, -ETIMEDOUT);
		return -ETIMEDOUT;
	}
	r = add_waiter(places, uid, done, userdata);
	if (r < 0)
		return r;
	owner->dirty = true;
	write_dirty(places, false);
	return 0;
}

void places_forget(struct places *places, const void *userdata)
{
	for (size_t i = places ? places->n_waiters : 0; i-- > 0;)
		if (places->waiters[i].userdata == userdata) {
			places->n_waiters--;
			memmove(places->waiters + i, places->waiters + i + 1,
				(places->n_waiters - i) * sizeof(*places->waiters));
		}
}

/* ---- start and end */

/* 0, also for a file that is put aside; -ENOMEM. */
static int read_one(struct places *places, const char *file, uid_t uid)
{
	_cleanup_free_ char *text = NULL, *why = NULL, *aside = NULL;
	struct places_names names = {};
	struct owner *owner;
	size_t size;
	int r;

	r = file_read_at(places->dir, file, FILE_MAX, &text, &size);
	if (r >= 0)
		r = places_from_json(text, size, &names, &why);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		record_bad(file, why ? why : strerror(-r));
		if (asprintf(&aside, "%s.bad", file) < 0)
			return -ENOMEM;
		renameat(places->dir, file, places->dir, aside);
		return 0;
	}
	/* Nothing of it is left to be kept. */
	if (names.n == 0)
		return 0;
	r = make_owner(places, uid, realtime_usec(), &owner);
	if (r < 0) {
		places_names_done(&names);
		if (r == -EDQUOT)
			record_owner(uid, r);
		return r == -ENOMEM ? r : 0;
	}
	owner->names = names;
	return 0;
}

static int read_all(struct places *places)
{
	_cleanup_strv_ char **files = NULL;
	int r = attr_list(places->dir, ".", &files);

	if (r != 0)
		return r > 0 ? -EIO : r;
	STRV_FOREACH (file, files) {
		_cleanup_free_ char *number = NULL;
		size_t n = strlen(*file);
		uint64_t uid;

		/* What a write left that did not come to its end. */
		if (**file == '.' && n > 4 && streq(*file + n - 4, ".tmp"))
			unlinkat(places->dir, *file, 0);
		if (n <= strlen(SUFFIX) || !streq(*file + n - strlen(SUFFIX), SUFFIX))
			continue;
		number = strndup(*file, n - strlen(SUFFIX));
		if (!number)
			return -ENOMEM;
		if (parse_uint(number, UINT32_MAX - 1, &uid) < 0)
			continue;
		r = read_one(places, *file, (uid_t)uid);
		if (r < 0)
			return r;
	}
	return 0;
}

int places_new(sd_event *event, const char *path, places_in_use_fn in_use, void *userdata,
	       struct places **ret)
{
	_cleanup_(places_freep) struct places *places = calloc(1, sizeof(*places));
	struct stat st;
	int r;

	if (!places)
		return -ENOMEM;
	places->event = event;
	places->in_use = in_use;
	places->userdata = userdata;
	places->dir = -EBADF;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	places->dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (places->dir < 0 || fstat(places->dir, &st) < 0)
		return -errno;
	/* Somebody else's directory is somebody else's word. */
	if (st.st_uid != geteuid() || (st.st_mode & 022))
		return -EPERM;
	r = read_all(places);
	if (r < 0)
		return r;
	*ret = STEAL(places);
	return 0;
}

struct places *places_free(struct places *places)
{
	if (!places)
		return NULL;
	child_free(places->child);
	sd_event_source_disable_unref(places->timer);
	HASH_FOREACH (owner, places->owners) {
		HASH_DEL(places->owners, owner);
		places_names_done(&owner->names);
		free(owner);
	}
	free(places->waiters);
	fd_close(places->dir);
	free(places);
	return NULL;
}
