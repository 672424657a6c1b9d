/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of switch.h. */

#include "daemon/hotplug/switch.h"

#include "daemon/hotplug/net.h"
#include "daemon/util/child.h"
#include "daemon/util/log.h"

#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/socket.h>

/* ---- switching */

/* What the process says: a device that waits, or (name "") the end. */
struct switch_report {
	char name[64];
	int32_t result;
	uint8_t prior;
};

struct switcher {
	struct switch_request request;
	const struct switcher_ops *ops;
	void *userdata;
	struct child *child;
	bool reported, prior;
	int result;
};

static int report(int sock, const char *name, int result, bool prior)
{
	struct switch_report report = { .result = result, .prior = prior };

	snprintf(report.name, sizeof(report.name), "%s", name);
	return send(sock, &report, sizeof(report), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int look(const struct switch_request *request, int sock, bool *prior)
{
	_cleanup_(autoprobe_state_done) struct autoprobe_state state = { 0 };
	_cleanup_strv_ char **names = NULL;
	int r;

	r = autoprobe_state_read(request->dir, &state);
	*prior = state.prior;
	if (r >= 0 && state.there && !state.bad)
		r = autoprobe_waiting(request->host, &state, &names);
	STRV_FOREACH (name, names)
		if (r >= 0)
			r = report(sock, *name, 0, false);
	return r;
}

/* The daemon's own memory is what the journals say, and nobody writes them under us. */
static int give_back(const struct switch_request *request)
{
	_cleanup_(owned_groups_done) struct owned_groups owned = { .unknown = request->blind };
	int r = 0;

	log_init();
	HASH_FOREACH (lease, request->ledger->leases)
		for (size_t i = 0; lease_keeps_host_out(lease) && i < lease->n_groups; i++)
			if (r >= 0 && !lease->groups[i].gone)
				r = owned_groups_add(&owned, lease->groups[i].id);
	return r < 0 ? r : net_run(request->host, request->dir, &owned, request->lock);
}

static int switch_main(int sock, void *userdata)
{
	const struct switcher *switcher = userdata;
	const struct switch_request *request = &switcher->request;
	bool prior = true;
	int r = 0;

	switch (request->to) {
	case SWITCH_TAKE:
		r = autoprobe_take(request->host, request->dir);
		if (r >= 0)
			r = look(request, sock, &prior);
		break;
	case SWITCH_GIVE_BACK:
		r = give_back(request);
		break;
	case SWITCH_LOOK:
		r = look(request, sock, &prior);
		break;
	}
	return report(sock, "", r, prior) < 0;
}

static void on_report(struct child *child, const void *data, size_t size, void *userdata)
{
	struct switcher *switcher = userdata;
	struct switch_report report;

	if (size != sizeof(report))
		return;
	memcpy(&report, data, sizeof(report));
	report.name[sizeof(report.name) - 1] = 0;
	if (report.name[0]) {
		switcher->ops->waits(report.name, switcher->userdata);
		return;
	}
	switcher->reported = true;
	switcher->result = report.result;
	switcher->prior = report.prior;
}

static void on_switched(struct child *child, int status, void *userdata)
{
	struct switcher *switcher = userdata;

	switcher->ops->done(switcher->reported ? switcher->result : -ECANCELED, switcher->prior,
			    switcher->userdata);
}

static const struct child_ops switch_ops = {
	.name = "vfiod-switch",
	.main = switch_main,
	.message = on_report,
	.exited = on_switched,
};

int switcher_start(sd_event *event, const struct switch_request *request,
		   const struct switcher_ops *ops, void *userdata, struct switcher **ret)
{
	const int keep[] = { request->host->sys, request->dir, request->lock };
	struct switcher *switcher = calloc(1, sizeof(*switcher));
	int r;

	if (!switcher)
		return -ENOMEM;
	switcher->request = *request;
	switcher->ops = ops;
	switcher->userdata = userdata;
	r = child_spawn(event, &switch_ops, keep, ARRAY_SIZE(keep), switcher, &switcher->child);
	if (r < 0) {
		free(switcher);
		return r;
	}
	*ret = switcher;
	return 0;
}

struct switcher *switcher_free(struct switcher *switcher)
{
	if (!switcher)
		return NULL;
	child_free(switcher->child);
	free(switcher);
	return NULL;
}

/* ---- the keeper */

struct keeper {
	const struct host *host;
	int dir, journal_dir;
	void (*died)(void *userdata);
	void *userdata;
	struct child *child;
};

static int keeper_main(int sock, void *userdata)
{
	const struct keeper *keeper = userdata;
	char byte;
	ssize_t k;

	/* A unit that is stopped without its KillMode= gets these, and has a moment then. */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	do
		k = recv(sock, &byte, 1, 0);
	while (k < 0 && errno == EINTR);
	if (k > 0)
		return 0;
	log_init();
	return net_act(keeper->host, keeper->dir, keeper->journal_dir) < 0;
}

static void on_keeper_exited(struct child *child, int status, void *userdata)
{
	struct keeper *keeper = userdata;

	keeper->died(keeper->userdata);
}

static const struct child_ops keeper_ops = {
	.name = "vfiod-keeper",
	.main = keeper_main,
	.exited = on_keeper_exited,
};

int keeper_start(sd_event *event, const struct host *host, int dir, int journal_dir,
		 void (*died)(void *userdata), void *userdata, struct keeper **ret)
{
	const int keep[] = { host->sys, dir, journal_dir };
	struct keeper *keeper = calloc(1, sizeof(*keeper));
	int r;

	if (!keeper)
		return -ENOMEM;
	keeper->host = host;
	keeper->dir = dir;
	keeper->journal_dir = journal_dir;
	keeper->died = died;
	keeper->userdata = userdata;
	r = child_spawn(event, &keeper_ops, keep, ARRAY_SIZE(keep), keeper, &keeper->child);
	if (r < 0) {
		free(keeper);
		return r;
	}
	*ret = keeper;
	return 0;
}

struct keeper *keeper_dismiss(struct keeper *keeper)
{
	/* One that does not hear it takes the lock's word, or the file's, for it. */
	if (keeper)
		(void)child_send(keeper->child, "", 1);
	return keeper_free(keeper);
}

struct keeper *keeper_free(struct keeper *keeper)
{
	if (!keeper)
		return NULL;
	child_free(keeper->child);
	free(keeper);
	return NULL;
}

/* ---- the watch */

struct autoprobe_watch {
	int inotify;
	sd_event_source *source;
	void (*written)(void *userdata);
	void *userdata;
};

static int on_inotify(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct autoprobe_watch *watch = userdata;
	char events[4096];
	ssize_t k;

	do
		k = read(fd, events, sizeof(events));
	while (k > 0);
	watch->written(watch->userdata);
	return 0;
}

int autoprobe_watch_new(sd_event *event, const struct host *host, void (*written)(void *userdata),
			void *userdata, struct autoprobe_watch **ret)
{
	struct autoprobe_watch *watch = calloc(1, sizeof(*watch));
	char path[64];
	int r = 0;

	if (!watch)
		return -ENOMEM;
	watch->written = written;
	watch->userdata = userdata;
	watch->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	snprintf(path, sizeof(path), "/proc/self/fd/%d/bus/pci/drivers_autoprobe", host->sys);
	if (watch->inotify < 0 || inotify_add_watch(watch->inotify, path, IN_MODIFY) < 0)
		r = -errno;
	if (r >= 0)
		r = sd_event_add_io(event, &watch->source, watch->inotify, EPOLLIN, on_inotify,
				    watch);
	if (r < 0) {
		autoprobe_watch_free(watch);
		return r;
	}
	*ret = watch;
	return 0;
}

struct autoprobe_watch *autoprobe_watch_free(struct autoprobe_watch *watch)
{
	if (!watch)
		return NULL;
	sd_event_source_disable_unref(watch->source);
	fd_close(watch->inotify);
	free(watch);
	return NULL;
}
