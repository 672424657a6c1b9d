/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Watches from outside: the lifeline of a lease, and the holders of one that drains. */

#include "daemon/lease/holders.h"
#include "daemon/lease/lifeline.h"
#include "daemon/lease/run.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"

#include <stdio.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#define HOLDERS_FIRST_USEC (500 * 1000ULL)
#define HOLDERS_AGAIN_USEC (5 * 1000 * 1000ULL)
#define HOLDERS_MAX	   64

/* ---- the lifeline */

static int on_lifeline(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct lease_run *run = userdata;

	run->lifeline_over = true;
	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	if (run->lease->state == LEASE_PREPARING) {
		if (run->worker)
			worker_stop(run->worker);
		return 0;
	}
	engine_end(run->engine, run->lease, "lifeline", true);
	return 0;
}

int watch_lifeline(struct lease_run *run)
{
	if (run->lifeline < 0)
		return 0;
	run->lease->has_lifeline = true;
	return sd_event_add_io(run->engine->event, &run->lifeline_source, run->lifeline, EPOLLIN,
			       on_lifeline, run);
}

/*
 * A copy goes to the service manager, so that a restarted daemon has it again. FDPOLL=0: a
 * lifeline that hangs up stays stored until we have seen it ourselves. Without a service manager
 * (tests) this does nothing, and a restart finds the holder gone.
 */
void watch_store_lifeline(struct lease_run *run)
{
	_cleanup_free_ char *state = NULL;
	int r;

	if (run->lifeline < 0)
		return;
	if (asprintf(&state, "FDSTORE=1\nFDNAME=lease-%s\nFDPOLL=0", run->lease->id) < 0)
		return;
	r = sd_pid_notify_with_fds(0, 0, state, &run->lifeline, 1);
	if (r < 0)
		log_warning("lease %s: its lifeline cannot be stored: %s; a restart will end it",
			    run->lease->id, strerror(-r));
}

void watch_unstore_lifeline(const struct lease_run *run)
{
	if (run->lease->has_lifeline)
		sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=lease-%s", run->lease->id);
}

bool lease_has_live_lifeline(const struct lease *lease)
{
	const struct lease_run *run = lease_run(lease);

	return run && run->lifeline >= 0;
}

int engine_adopt_lifeline(struct engine *engine, struct lease *lease, int fd)
{
	struct lease_run *run = lease_run(lease);

	run->lifeline_source = sd_event_source_disable_unref(run->lifeline_source);
	fd_close(run->lifeline);
	run->lifeline = fd;
	return watch_lifeline(run);
}

/* ---- holders: a child looks through /proc and sends one message, "PID COMMAND" a line */

static int holders_main(int sock, void *userdata)
{
	struct lease_run *run = userdata;
	struct lease_holder *holders = NULL;
	char text[8192];
	size_t n = 0, used = 0;

	if (holders_find(run->engine->host, run->lease, &holders, &n) < 0)
		return 1;
	for (size_t i = 0; i < n && i < HOLDERS_MAX; i++) {
		int k = snprintf(text + used, sizeof(text) - used, "%d %s\n", (int)holders[i].pid,
				 holders[i].command ? holders[i].command : "?");

		if (k < 0 || (size_t)k >= sizeof(text) - used)
			break;
		used += (size_t)k;
	}
	text[used] = 0;
	holders_free(holders, n);
	return socket_send_fd_borrow(sock, text, used + 1, -EBADF) < 0;
}

static bool holders_equal(const struct lease *lease, const struct lease_holder *holders, size_t n)
{
	if (lease->n_holders != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (holders[i].pid != lease->holders[i].pid ||
		    !streq0(holders[i].command, lease->holders[i].command))
			return false;
	return true;
}

static int parse_holders(char *text, struct lease_holder **holders, size_t *n)
{
	char *state = NULL;

	for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
		char *end = NULL;
		long pid = strtol(line, &end, 10);
		int r;

		if (pid <= 0 || *end != ' ')
			continue;
		r = ARRAY_RESERVE_ONE(*holders, *n);
		if (r < 0)
			return r;
		(*holders)[*n].pid = (pid_t)pid;
		(*holders)[*n].command = strdup(end + 1);
		if (!(*holders)[(*n)++].command)
			return -ENOMEM;
	}
	return 0;
}

static void log_holders(const struct lease *lease)
{
	_cleanup_strv_ char **text = NULL;
	_cleanup_free_ char *joined = NULL;

	for (size_t i = 0; i < lease->n_holders; i++)
		if (strv_extendf(&text, "%d %s", (int)lease->holders[i].pid,
				 lease->holders[i].command) < 0)
			return;
	joined = text ? strv_join(text, ", ") : NULL;
	log_record(MESSAGE_DRAINING, LOG_NOTICE,
		   LOG_FIELDS({ FIELD_LEASE, lease->id }, { FIELD_HOLDER, .values = text }),
		   "Lease %s drains: open fds are held by %s", lease->id,
		   joined ? joined : "nobody that can be seen");
}

static void on_holders(struct child *child, const void *data, size_t size, void *userdata)
{
	struct lease_run *run = userdata;
	struct lease_holder *holders = NULL;
	_cleanup_free_ char *text = strndup(data, size);
	size_t n = 0;

	if (!text || parse_holders(text, &holders, &n) < 0) {
		holders_free(holders, n);
		return;
	}
	if (run->lease->state != LEASE_DRAINING || holders_equal(run->lease, holders, n)) {
		holders_free(holders, n);
		return;
	}
	lease_clear_holders(run->lease);
	run->lease->holders = holders;
	run->lease->n_holders = n;
	log_holders(run->lease);
	run_changed(run);
}

static void on_holders_exited(struct child *child, int status, void *userdata)
{
	struct lease_run *run = userdata;

	run->holders_child = child_free(run->holders_child);
}

static const struct child_ops holders_ops = {
	.name = "vfiod-holders",
	.main = holders_main,
	.message = on_holders,
	.exited = on_holders_exited,
};

static int on_holders_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct lease_run *run = userdata;
	const struct host *host = run->engine->host;
	const int keep[] = { host->sys, host->dev, host->proc };
	int r;

	if (!run->holders_child) {
		r = child_spawn(run->engine->event, &holders_ops, keep, ARRAY_SIZE(keep), run,
				&run->holders_child);
		if (r < 0)
			log_warning("lease %s: cannot look for holders: %s", run->lease->id,
				    strerror(-r));
	}
	sd_event_source_set_time_relative(source, HOLDERS_AGAIN_USEC);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

void watch_holders_start(struct lease_run *run)
{
	int r;

	if (run->holders_timer)
		return;
	r = sd_event_add_time_relative(run->engine->event, &run->holders_timer, CLOCK_MONOTONIC,
				       HOLDERS_FIRST_USEC, 0, on_holders_timer, run);
	if (r < 0)
		log_warning("lease %s: no timer to look for holders: %s", run->lease->id,
			    strerror(-r));
}

void watch_holders_stop(struct lease_run *run)
{
	run->holders_timer = sd_event_source_disable_unref(run->holders_timer);
	if (run->holders_child)
		child_kill(run->holders_child, SIGKILL);
	run->holders_child = child_free(run->holders_child);
}
