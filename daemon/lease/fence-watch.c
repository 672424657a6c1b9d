/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of fence-watch.h. */

#include "daemon/lease/fence-watch.h"

#include "daemon/util/fd.h"
#include "daemon/util/log.h"

#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

struct attr_watches {
	int inotify;
	sd_event_source *source;
	struct attr_watch *list;
};

/* ---- the instance */

static bool has_wd(const struct attr_watch *watch, int wd)
{
	for (size_t i = 0; i < watch->n; i++)
		if (watch->wds[i] == wd)
			return true;
	return false;
}

static void note(struct attr_watches *watches, const struct inotify_event *event)
{
	/* After an overflow nobody knows whose files they were. */
	for (struct attr_watch *watch = watches->list; watch; watch = watch->next)
		if (event->mask & IN_Q_OVERFLOW ||
		    (event->mask & IN_MODIFY && has_wd(watch, event->wd)))
			watch->hit = true;
}

static int on_inotify(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct attr_watches *watches = userdata;
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t k;

	/* What is left comes in the next turn. */
	k = read(fd, buffer, sizeof(buffer));
	for (char *p = buffer; k > 0 && p < buffer + k;) {
		const struct inotify_event *event = (const struct inotify_event *)p;

		note(watches, event);
		p += sizeof(*event) + event->len;
	}
	/* Which file it was does not matter: the guard looks at all. */
	for (struct attr_watch *watch = watches->list, *next; watch; watch = next) {
		next = watch->next;
		if (!watch->hit)
			continue;
		watch->hit = false;
		watch->written(watch->run);
	}
	return 0;
}

static int watches_get(struct engine *engine, struct attr_watches **ret)
{
	struct attr_watches *watches = engine->watches;
	int r;

	*ret = watches;
	if (watches)
		return 0;
	watches = calloc(1, sizeof(*watches));
	if (!watches)
		return -ENOMEM;
	watches->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	r = watches->inotify < 0 ? -errno
				 : sd_event_add_io(engine->event, &watches->source,
						   watches->inotify, EPOLLIN, on_inotify, watches);
	if (r < 0) {
		attr_watches_free(watches);
		return r;
	}
	*ret = engine->watches = watches;
	return 0;
}

void attr_watches_free(struct attr_watches *watches)
{
	if (!watches)
		return;
	sd_event_source_disable_unref(watches->source);
	fd_close(watches->inotify);
	free(watches);
}

/* ---- what of a lease is watched */

static int add(struct attr_watch *watch, const char *path)
{
	const struct engine *engine = watch->run->engine;
	char whole[320];
	int r = ARRAY_RESERVE_ONE(watch->wds, watch->n);

	if (r < 0)
		return r;
	snprintf(whole, sizeof(whole), "/proc/self/fd/%d/%.256s", engine->host->sys, path);
	r = inotify_add_watch(engine->watches->inotify, whole, IN_MODIFY);
	if (r < 0)
		return errno == ENOENT ? 0 : -errno;
	watch->wds[watch->n++] = r;
	return 0;
}

static bool is_watched(const struct lease_device *d)
{
	return !d->left && !d->gone;
}

static int add_device(struct attr_watch *watch, const struct lease_device *d)
{
	char path[256];
	int r;

	snprintf(path, sizeof(path), "bus/pci/devices/%.64s/driver_override", d->name);
	r = add(watch, path);
	/* A VMM that has a device writes to its config space by way of VFIO, not of this file. */
	if (r < 0 || d->target_driver || d->bridge)
		return r;
	snprintf(path, sizeof(path), "bus/pci/devices/%.64s/config", d->name);
	return add(watch, path);
}

static int add_all(struct attr_watch *watch)
{
	const struct lease *lease = watch->run->lease;
	int r = 0;

	for (size_t i = 0; r >= 0 && i < lease->n_devices; i++)
		if (is_watched(&lease->devices[i]))
			r = add_device(watch, &lease->devices[i]);
	for (size_t i = 0; r >= 0 && i < lease->n_groups; i++) {
		char path[64];

		if (lease->groups[i].gone)
			continue;
		snprintf(path, sizeof(path), "kernel/iommu_groups/%u/type", lease->groups[i].id);
		r = add(watch, path);
	}
	return r;
}

static uint64_t hash(uint64_t h, const void *data, size_t size)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < size; i++)
		h = (h ^ p[i]) * 0x100000001b3; /* FNV-1a */
	return h;
}

/* Another device at the same name has other files. */
static uint64_t hash_of(const struct lease *lease)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < lease->n_devices; i++) {
		const struct lease_device *d = &lease->devices[i];
		const bool flags[] = { is_watched(d), d->target_driver != NULL };

		h = hash(h, d->name, strlen(d->name) + 1);
		h = hash(h, &d->appearance, sizeof(d->appearance));
		h = hash(h, flags, sizeof(flags));
	}
	for (size_t i = 0; i < lease->n_groups; i++) {
		h = hash(h, &lease->groups[i].id, sizeof(lease->groups[i].id));
		h = hash(h, &lease->groups[i].appearance, sizeof(lease->groups[i].appearance));
		h = hash(h, &lease->groups[i].gone, sizeof(lease->groups[i].gone));
	}
	return h;
}

static int join(struct attr_watch *watch)
{
	struct attr_watches *watches;
	int r = watch->joined ? 0 : watches_get(watch->run->engine, &watches);

	if (r < 0 || watch->joined)
		return r;
	watch->next = watches->list;
	watches->list = watch;
	watch->joined = true;
	return 0;
}

/* Of a file that has gone the kernel has taken the watch away itself. */
static void drop(struct attr_watch *watch, int *wds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!has_wd(watch, wds[i]))
			inotify_rm_watch(watch->run->engine->watches->inotify, wds[i]);
	free(wds);
}

void attr_watch_follow(struct attr_watch *watch, struct lease_run *run,
		       void (*written)(struct lease_run *run))
{
	uint64_t now = hash_of(run->lease);
	size_t n = watch->n;
	int *wds = watch->wds, r;

	if (watch->run && watch->what == now)
		return;
	watch->run = run;
	watch->written = written;
	watch->what = now;
	watch->wds = NULL;
	watch->n = 0;
	r = join(watch);
	if (r >= 0)
		r = add_all(watch);
	/* Afterwards: a watch that stays loses nothing. */
	drop(watch, wds, n);
	if (r < 0)
		log_warning("lease %s: writes to its devices' attributes cannot be watched: %s",
			    run->lease->id, strerror(-r));
}

void attr_watch_done(struct attr_watch *watch)
{
	struct attr_watch **p = watch->joined ? &watch->run->engine->watches->list : NULL;
	int *wds = watch->wds;
	size_t n = watch->n;

	while (p && *p != watch)
		p = &(*p)->next;
	if (p)
		*p = watch->next;
	watch->wds = NULL;
	watch->n = 0;
	drop(watch, wds, n);
	*watch = (struct attr_watch){ 0 };
}
