/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of survey.h. */

#include "daemon/survey.h"

#include "daemon/sysfs/attr.h"
#include "daemon/sysfs/serial.h"
#include "daemon/sysfs/uses.h"
#include "daemon/sysfs/write.h"
#include "daemon/util/child.h"
#include "daemon/util/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define SETTLE_USEC  (300 * 1000ULL)	   /* events come in bursts */
#define AGAIN_USEC   (2 * 1000 * 1000ULL)  /* between one survey and the next */
#define LAST_USEC    (30 * 1000 * 1000ULL) /* a probe that was under way may have failed by then */
#define TIMEOUT_USEC (60 * 1000 * 1000ULL) /* one that hangs is left to itself */

struct survey {
	sd_event *event;
	const struct host *host;
	struct topology *topology;
	const struct survey_ops *ops;
	void *userdata;
	struct child *child;
	sd_event_source *timer;
	sd_event_source *timeout;
	sd_event_source *mounts;
	int mountinfo;
	bool again;
	bool last; /* the one that is scheduled, or was the last, is that after LAST_USEC */
};

/*
 * ---- the child: a message for each device, "name identity" and then "kind\ttext" lines: by the
 * time it is read, its address may be another device's
 */

#define SERIAL	    "serial" /* no kind of use */
#define EEH_WORD    "eeh"    /* nor this */
#define DRIVER_WORD "driver" /* nor this: it is another one than the topology has */

/* Asks the firmware, which may take its time (eeh_pe_state_show()). */
static int read_eeh(const struct host *host, const struct device *device)
{
	_cleanup_free_ char *link = NULL;
	_cleanup_close_ int dir = -EBADF;
	char text[64];

	if (!device->has_eeh || asprintf(&link, "bus/pci/devices/%s", device->name) < 0)
		return EEH_INVALID;
	dir = attr_open_dir(host->sys, link);
	if (dir < 0 || attr_read(dir, "eeh_pe_state", text, sizeof(text)) != 0)
		return EEH_INVALID;
	return eeh_state_parse(text);
}

static int report(int sock, const struct device *device, const struct use_list *uses,
		  const char *serial, int eeh)
{
	char message[8192];
	size_t used = (size_t)snprintf(message, sizeof(message), "%s %" PRIu64 "\n", device->name,
				       device->identity);

	if (eeh >= 0)
		used += (size_t)snprintf(message + used, sizeof(message) - used, EEH_WORD "\t%s\n",
					 eeh_state_to_string((enum eeh_state)eeh));
	if (serial)
		used += (size_t)snprintf(message + used, sizeof(message) - used, SERIAL "\t%s\n",
					 serial);
	for (size_t i = 0; i < uses->n; i++) {
		int k = snprintf(message + used, sizeof(message) - used, "%s\t%.512s\n",
				 use_kind_to_string(uses->items[i].kind), uses->items[i].text);

		if (k < 0 || (size_t)k >= sizeof(message) - used)
			break;
		used += (size_t)k;
	}
	message[used] = 0;
	return socket_send_fd_borrow(sock, message, used + 1, -EBADF);
}

static int report_one(const struct survey *survey, int sock, const struct device *device,
		      const struct use_list *uses)
{
	char serial[SERIAL_SIZE];
	bool known = false;

	/* It does not change while the device is there. */
	if (!device->serial && streq(device->subsystem, "pci"))
		known = serial_find(survey->host, device->name, serial);
	return report(sock, device, uses, known ? serial : NULL, read_eeh(survey->host, device));
}

/* Its uses would be looked for as those of a driver that it has not. */
static int report_other_driver(int sock, const struct device *device)
{
	char message[512];
	int k = snprintf(message, sizeof(message), "%s %" PRIu64 "\n" DRIVER_WORD "\t\n",
			 device->name, device->identity);

	if (k < 0 || (size_t)k >= sizeof(message))
		return -EMSGSIZE;
	return socket_send_fd_borrow(sock, message, (size_t)k + 1, -EBADF);
}

static int survey_one(const struct survey *survey, int sock, const struct device *device)
{
	const struct uses_query query = {
		.name = device->name,
		.syspath = device->syspath,
		.driver = device->driver,
		.class_code = device->class_code,
	};
	struct use_list uses = { 0 };
	int r;

	/* A probe that failed was under way when it was read, and no event said so. */
	if (sysfs_has_other_driver(survey->host, device->subsystem, device->name, device->driver))
		return report_other_driver(sock, device);
	r = uses_read(survey->host, &query, NULL, &uses);
	/* What cannot be seen now keeps what was seen before. */
	if (r >= 0)
		r = report_one(survey, sock, device, &uses);
	use_list_done(&uses);
	return r;
}

static int survey_main(int sock, void *userdata)
{
	struct survey *survey = userdata;

	HASH_FOREACH (device, survey->topology->devices) {
		int r = survey_one(survey, sock, device);

		if (r == -EPIPE || r == -ECONNRESET)
			return 1;
	}
	return 0;
}

/* ---- the parent */

/* What one message says. */
struct finding {
	struct use_list uses;
	const char *serial; /* or NULL; in the message */
	int eeh;	    /* EEH_INVALID: not known */
	bool stale;
};

static int parse(char *text, struct finding *finding)
{
	char *state = NULL;

	for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
		char *tab = strchr(line, '\t');
		int kind, r;

		if (!tab)
			continue;
		*tab = 0;
		if (streq(line, SERIAL))
			finding->serial = tab + 1;
		if (streq(line, EEH_WORD))
			finding->eeh = eeh_state_from_string(tab + 1);
		if (streq(line, DRIVER_WORD))
			finding->stale = true;
		kind = use_kind_from_string(line);
		if (kind < 0)
			continue;
		r = use_list_add(&finding->uses, (enum use_kind)kind, "%s", tab + 1);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Whether it is news. */
static bool take(struct device *device, struct finding *finding)
{
	bool changed = device_take_uses(device, &finding->uses) == TOPOLOGY_CHANGED;

	if (finding->serial && device_set_serial(device, finding->serial) == TOPOLOGY_CHANGED)
		changed = true;
	if (finding->eeh >= 0 && (int)device->eeh != finding->eeh) {
		device->eeh = (enum eeh_state)finding->eeh;
		changed = true;
	}
	return changed;
}

static void on_message(struct child *child, const void *data, size_t size, void *userdata)
{
	struct survey *survey = userdata;
	_cleanup_free_ char *text = strndup(data, size);
	struct finding finding = { .eeh = EEH_INVALID };
	struct device *device;
	char *end, *identity;

	end = text ? strchr(text, '\n') : NULL;
	if (!end)
		return;
	*end = 0;
	identity = strrchr(text, ' ');
	if (!identity)
		return;
	*identity++ = 0;
	device = topology_device(survey->topology, text);
	if (!device || device->identity != strtoull(identity, NULL, 10) ||
	    parse(end + 1, &finding) < 0) {
		use_list_done(&finding.uses);
		return;
	}
	if (finding.stale)
		survey->ops->stale(text, survey->userdata);
	else if (take(device, &finding))
		survey->ops->changed(text, survey->userdata);
}

static void schedule(struct survey *survey, uint64_t usec)
{
	sd_event_source_set_time_relative(survey->timer, usec);
	sd_event_source_set_enabled(survey->timer, SD_EVENT_ONESHOT);
}

static void finish(struct survey *survey)
{
	survey->child = child_free(survey->child);
	sd_event_source_set_enabled(survey->timeout, SD_EVENT_OFF);
	if (survey->again || !survey->last)
		schedule(survey, survey->again ? AGAIN_USEC : LAST_USEC);
	survey->last = !survey->again;
	survey->again = false;
}

static void on_exited(struct child *child, int status, void *userdata)
{
	finish(userdata);
}

static const struct child_ops child_ops = {
	.name = "vfiod-survey",
	.main = survey_main,
	.message = on_message,
	.exited = on_exited,
};

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct survey *survey = userdata;

	log_warning("looking at the devices' uses hangs in the kernel; lists show older ones");
	child_kill(survey->child, SIGKILL);
	finish(survey);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct survey *survey = userdata;
	const int keep[] = { survey->host->sys, survey->host->dev, survey->host->proc };
	int r;

	r = child_spawn(survey->event, &child_ops, keep, ARRAY_SIZE(keep), survey, &survey->child);
	if (r < 0) {
		log_warning("cannot look at the devices' uses: %s", strerror(-r));
		return 0;
	}
	sd_event_source_set_time_relative(survey->timeout, TIMEOUT_USEC);
	sd_event_source_set_enabled(survey->timeout, SD_EVENT_ONESHOT);
	return 0;
}

void survey_poke(struct survey *survey)
{
	int on = SD_EVENT_OFF;

	if (!survey)
		return;
	if (survey->child) {
		survey->again = true;
		return;
	}
	sd_event_source_get_enabled(survey->timer, &on);
	if (on == SD_EVENT_OFF || survey->last)
		schedule(survey, SETTLE_USEC);
	survey->last = false;
}

/* Mounts have no uevent; the kernel marks this file instead (EPOLLPRI). */
static int on_mounts(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	survey_poke(userdata);
	return 0;
}

static int watch_mounts(struct survey *survey)
{
	survey->mountinfo = openat(survey->host->proc, "self/mountinfo", O_RDONLY | O_CLOEXEC);
	if (survey->mountinfo < 0)
		return errno == ENOENT ? 0 : -errno;
	/* Not every file can be polled (a test's cannot); then mounts are seen with the rest. */
	if (sd_event_add_io(survey->event, &survey->mounts, survey->mountinfo, EPOLLPRI, on_mounts,
			    survey) < 0)
		survey->mounts = NULL;
	return 0;
}

int survey_new(sd_event *event, const struct host *host, struct topology *topology,
	       const struct survey_ops *ops, void *userdata, struct survey **ret)
{
	_cleanup_(survey_freep) struct survey *survey = calloc(1, sizeof(*survey));
	int r;

	if (!survey)
		return -ENOMEM;
	survey->event = event;
	survey->host = host;
	survey->topology = topology;
	survey->ops = ops;
	survey->userdata = userdata;
	survey->mountinfo = -EBADF;
	r = sd_event_add_time_relative(event, &survey->timer, CLOCK_MONOTONIC, SETTLE_USEC,
				       100 * 1000, on_timer, survey);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &survey->timeout, CLOCK_MONOTONIC,
					       TIMEOUT_USEC, 0, on_timeout, survey);
	if (r >= 0)
		r = sd_event_source_set_enabled(survey->timeout, SD_EVENT_OFF);
	if (r >= 0)
		r = watch_mounts(survey);
	if (r < 0)
		return r;
	*ret = STEAL(survey);
	return 0;
}

struct survey *survey_free(struct survey *survey)
{
	if (!survey)
		return NULL;
	if (survey->child)
		child_kill(survey->child, SIGKILL);
	child_free(survey->child);
	sd_event_source_disable_unref(survey->timer);
	sd_event_source_disable_unref(survey->timeout);
	sd_event_source_disable_unref(survey->mounts);
	fd_close(survey->mountinfo);
	free(survey);
	return NULL;
}
