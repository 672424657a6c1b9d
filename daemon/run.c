/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of run.h: signals, watchdog, loop. */

#include "daemon/run.h"

#include "daemon/fault.h"
#include "daemon/util/log.h"

#include <systemd/sd-daemon.h>

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
	manager_reload(userdata, NULL, NULL);
	return 0;
}

static int set_up(sd_event *event, struct manager *manager)
{
	sigset_t mask;
	int r;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	/* A stop leaves the leases as they are: VMMs go on, and the next start takes them up. */
	r = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(event, NULL, SIGINT, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(event, NULL, SIGHUP, on_hangup, manager);
	if (r >= 0)
		r = sd_event_set_watchdog(event, 1);
	return r;
}

int daemon_run(const struct manager_paths *paths)
{
	_cleanup_(manager_freep) struct manager *manager = NULL;
	sd_event *event = NULL;
	int r;

	fault_init();
	r = sd_event_default(&event);
	if (r >= 0)
		r = manager_new(event, &manager);
	if (r >= 0)
		r = set_up(event, manager);
	if (r < 0)
		log_error("starting: %s", strerror(-r));
	else
		r = manager_start(manager, paths);
	if (r >= 0)
		r = sd_event_loop(event);
	sd_notify(0, "STOPPING=1");
	manager = manager_free(manager);
	sd_event_unref(event);
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
