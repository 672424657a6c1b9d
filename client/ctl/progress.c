/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Progress of a call that blocks. The library's call has the main thread; another one asks vfiod,
 * over a connection of its own, what state the groups are in, and tells the person who waits.
 */

#include "client/ctl/progress.h"
#include "client/ctl/names.h"
#include "client/ctl/term.h"

#include <pthread.h>
#include <stdarg.h>
#include <time.h>

#define FIRST_SECONDS	 2  /* what is quicker needs no words */
#define REPEAT_SECONDS	 30 /* where lines cannot be rewritten */
#define QUERY_TIMEOUT_US 2000000

struct progress {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t stopped;
	bool stop;
	char **devices;
};

void progress_show(const char *format, ...)
{
	_cleanup_free_ char *clean = NULL, *cut = NULL;
	va_list args;

	va_start(args, format);
	clean = term_clean_format(format, args);
	va_end(args);
	/* A line that wraps cannot be rewritten. */
	if (clean && term_stderr_width() > 0)
		cut = term_cut(&(struct ctl){}, clean, term_stderr_width() - 1);
	if (!clean)
		return;
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K%s", cut ? cut : clean);
	else
		fprintf(stderr, "vfiodctl: %s\n", clean);
	fflush(stderr);
}

void progress_clear(void)
{
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}

/* The reply's one object path or string. New; NULL on any failure: progress is a courtesy. */
static char *query(sd_bus *bus, const char *path, const char *interface, const char *property,
		   const char *type)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
	const char *s;

	if (sd_bus_message_new_method_call(bus, &call, "org.vfiod1", path,
					   "org.freedesktop.DBus.Properties", "Get") < 0 ||
	    sd_bus_message_append(call, "ss", interface, property) < 0 ||
	    sd_bus_call(bus, call, QUERY_TIMEOUT_US, NULL, &reply) < 0 ||
	    sd_bus_message_read(reply, "v", type, &s) < 0)
		return NULL;
	return strdup(s);
}

static char *find_device(sd_bus *bus, const char *name)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
	const char *s;

	if (sd_bus_message_new_method_call(bus, &call, "org.vfiod1", "/org/vfiod1",
					   "org.vfiod1.Manager", "FindDevice") < 0 ||
	    sd_bus_message_append(call, "s", name) < 0 ||
	    sd_bus_call(bus, call, QUERY_TIMEOUT_US, NULL, &reply) < 0 ||
	    sd_bus_message_read(reply, "o", &s) < 0)
		return NULL;
	return strdup(s);
}

/* The state of the first device's group that is not at rest, else of the first that is known. */
static char *survey(sd_bus *bus, char *const *devices, const char **device)
{
	char *state = NULL;

	STRV_FOREACH (name, devices) {
		_cleanup_free_ char *path = find_device(bus, *name);
		_cleanup_free_ char *group =
			path ? query(bus, path, "org.vfiod1.Device", "Group", "o") : NULL;
		char *s = group ? query(bus, group, "org.vfiod1.Group", "State", "s") : NULL;

		if (!s)
			continue;
		if (!state || !streq(s, "host")) {
			free(state);
			state = s;
			*device = *name;
			if (!streq(s, "host"))
				break;
		} else {
			free(s);
		}
	}
	return state;
}

static void show_state(sd_bus *bus, char *const *devices, unsigned int seconds)
{
	const char *device = devices ? devices[0] : "";
	_cleanup_free_ char *state = bus ? survey(bus, devices, &device) : NULL;

	if (!state)
		progress_show("Waiting for vfiod (%u s).", seconds);
	else if (streq(state, "preparing"))
		progress_show("%s: its driver is being swapped (%u s).", device, seconds);
	else if (streq(state, "host"))
		progress_show("%s: vfiod waits for authorization or a kernel module (%u s).",
			      device, seconds);
	else
		progress_show("%s: its group is %s (%u s).", device, state, seconds);
}

/* Waits a second, or until the call is over. True: over. */
static bool wait_second(struct progress *p)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	pthread_mutex_lock(&p->lock);
	while (!p->stop && r == 0)
		r = pthread_cond_timedwait(&p->stopped, &p->lock, &until);
	r = p->stop;
	pthread_mutex_unlock(&p->lock);
	return r;
}

static void *progress_main(void *userdata)
{
	_cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
	struct progress *p = userdata;
	bool rewritten = isatty(STDERR_FILENO);

	for (unsigned int seconds = 1; !wait_second(p); seconds++) {
		if (seconds < FIRST_SECONDS)
			continue;
		if (!rewritten && seconds != FIRST_SECONDS && seconds % REPEAT_SECONDS != 0)
			continue;
		if (!bus && sd_bus_open_system(&bus) < 0)
			bus = NULL;
		show_state(bus, p->devices, seconds);
	}
	return NULL;
}

struct progress *progress_start(char *const *devices)
{
	struct progress *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->stopped, NULL);
	p->devices = strv_copy(devices);
	if (!p->devices || pthread_create(&p->thread, NULL, progress_main, p) != 0) {
		strv_free(p->devices);
		free(p);
		return NULL;
	}
	return p;
}

struct progress *progress_stop(struct progress *progress)
{
	if (!progress)
		return NULL;
	pthread_mutex_lock(&progress->lock);
	progress->stop = true;
	pthread_cond_signal(&progress->stopped);
	pthread_mutex_unlock(&progress->lock);
	pthread_join(progress->thread, NULL);
	progress_clear();
	pthread_cond_destroy(&progress->stopped);
	pthread_mutex_destroy(&progress->lock);
	strv_free(progress->devices);
	free(progress);
	return NULL;
}
