/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Watches from outside: the lifeline of a lease, and the holders of one that drains. */

#include "daemon/lease/holders.h"
#include "daemon/lease/lifeline.h"
#include "daemon/lease/run.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#define BARRIER_USEC	   (30 * 1000 * 1000ULL)
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
		else if (run->swapped || run->waits)
			claim_stored(run);
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
 * What is stored is a socket that has the lifeline in its queue. The service manager drops an fd
 * that it has already, under whatever name (service_add_fd_store(), as of systemd 257): two leases
 * of one pidfd would find only one of them again.
 */
static int wrap_lifeline(int lifeline)
{
	_cleanup_close_ int in = -EBADF, out = -EBADF;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	in = pair[0];
	out = pair[1];
	r = socket_send_fd_borrow(in, "", 1, lifeline);
	return r < 0 ? r : STEAL_FD(out);
}

/* The lifeline of a stored socket, which keeps it: an fd of the caller. */
static int unwrap_lifeline(int sock)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	int fd;

	if (recvmsg(sock, &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
		return -errno;
	c = CMSG_FIRSTHDR(&message);
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
	    c->cmsg_len != CMSG_LEN(sizeof(int)))
		return -EBADMSG;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static void barrier_over(struct lease_run *run)
{
	run->barrier_source = sd_event_source_disable_unref(run->barrier_source);
	run->barrier_timer = sd_event_source_disable_unref(run->barrier_timer);
}

static int on_barrier(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct lease_run *run = userdata;

	barrier_over(run);
	claim_stored(run);
	return 0;
}

static int on_barrier_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct lease_run *run = userdata;

	failure_set(&run->failure, "TimedOut",
		    "the service manager did not take the lifeline within %llu s; see its log, and "
		    "ask again",
		    BARRIER_USEC / 1000000);
	barrier_over(run);
	claim_stored(run);
	return 0;
}

/*
 * sd_notify_barrier(), but for the waiting: the service manager closes the fd when it has done all
 * that was asked before.
 */
static int send_barrier(struct lease_run *run)
{
	_cleanup_close_ int ours = -EBADF, theirs = -EBADF;
	int pipefd[2], r;

	if (pipe2(pipefd, O_CLOEXEC) < 0)
		return -errno;
	ours = pipefd[0];
	theirs = pipefd[1];
	r = sd_pid_notify_with_fds(0, 0, "BARRIER=1", &theirs, 1);
	if (r < 0)
		return r;
	/* EPOLLHUP is reported whatever is asked for. */
	r = sd_event_add_io(run->engine->event, &run->barrier_source, ours, 0, on_barrier, run);
	if (r >= 0)
		r = sd_event_source_set_io_fd_own(run->barrier_source, 1);
	if (r < 0)
		return r;
	STEAL_FD(ours);
	return sd_event_add_time_relative(run->engine->event, &run->barrier_timer, CLOCK_MONOTONIC,
					  BARRIER_USEC, 0, on_barrier_timeout, run);
}

/*
 * A copy goes to the service manager, so that a restarted daemon has it again. FDPOLL=0: a
 * lifeline that hangs up stays stored until we have seen it ourselves. Without a service manager
 * this does nothing, and a restart finds the holder gone.
 */
int watch_store_lifeline(struct lease_run *run)
{
	_cleanup_free_ char *state = NULL;
	_cleanup_close_ int wrapped = -EBADF;
	int r;

	if (run->lifeline < 0)
		return 0;
	if (asprintf(&state, "FDSTORE=1\nFDNAME=lease-%s\nFDPOLL=0", run->lease->id) < 0) {
		state = NULL;
		return -ENOMEM;
	}
	wrapped = wrap_lifeline(run->lifeline);
	if (wrapped < 0)
		return wrapped;
	r = sd_pid_notify_with_fds(0, 0, state, &wrapped, 1);
	if (r <= 0)
		return r;
	r = send_barrier(run);
	return r < 0 ? r : 1;
}

void watch_unstore(const char *name)
{
	sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

void watch_unstore_lifeline(const struct lease_run *run)
{
	char name[64];

	if (!run->lease->has_lifeline)
		return;
	snprintf(name, sizeof(name), "lease-%s", run->lease->id);
	watch_unstore(name);
}

bool lease_has_live_lifeline(const struct lease *lease)
{
	const struct lease_run *run = lease_run(lease);

	return run && run->lifeline >= 0;
}

static int adopt(struct lease_run *run, int sock)
{
	int lifeline = unwrap_lifeline(sock), r;

	if (lifeline < 0)
		return lifeline;
	run->lifeline_source = sd_event_source_disable_unref(run->lifeline_source);
	fd_close(run->lifeline);
	run->lifeline = lifeline;
	r = watch_lifeline(run);
	/* One that is not watched counts for nothing: the holder is gone. */
	if (r < 0)
		run->lifeline = fd_close(run->lifeline);
	return r;
}

void engine_adopt_lifeline(struct engine *engine, const char *name, int fd)
{
	_cleanup_close_ int sock = fd;
	struct lease *lease =
		strncmp(name, "lease-", 6) == 0 ? ledger_lease(engine->ledger, name + 6) : NULL;
	int r;

	/* Of a claim that was not begun, or of a lease that went home, when the daemon ended. */
	if (!lease || !lease->has_lifeline) {
		watch_unstore(name);
		return;
	}
	/* Whom a revocation may have to kill yet. */
	if (lease->state == LEASE_DRAINING && lease->revoke == REVOKE_KILL)
		lease_run(lease)->kill_fd = unwrap_lifeline(sock);
	if (lease->state != LEASE_LEASED)
		return;
	r = adopt(lease_run(lease), sock);
	if (r < 0)
		log_error("lease %s: its lifeline cannot be watched: %s", lease->id, strerror(-r));
}

/* ---- holders: a child looks through /proc and sends one message, "PID COMMAND" a line */

static int holders_main(int sock, void *userdata)
{
	struct lease_run *run = userdata;
	struct lease_holder *holders = NULL;
	const char *part_of = run->lease->part_of;
	char text[8192];
	size_t n = 0, used = 0;

	if (holders_find(run->engine->host, run->lease,
			 part_of ? ledger_lease(run->engine->ledger, part_of) : NULL, &holders,
			 &n) < 0)
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
