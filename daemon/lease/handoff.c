/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of handoff.h. What is sent is in vfio/grant.c. */

#include "daemon/lease/handoff.h"

#include "daemon/fault.h"
#include "daemon/lease/holders.h"
#include "daemon/lease/readback.h"
#include "daemon/lease/run.h"
#include "daemon/util/child.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"
#include "daemon/vfio/grant.h"
#include "policy/decide.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

enum handoff_state {
	HANDOFF_WAITING, /* for the client's byte */
	HANDOFF_SENDING, /* a child opens and sends */
	HANDOFF_OVER,	 /* only its client's end is still open somewhere */
};

struct handoff {
	struct handoffs *owner;
	struct handoff *next;
	const struct lease *lease; /* NULL once it is over */
	uid_t uid;
	bool fresh;
	enum handoff_state state;
	int sock;
	sd_event_source *io;
	sd_event_source *timer;
	struct child *child;
	void (*gone)(void *userdata);
	void *gone_userdata;
	char lease_id[17];
	bool interrupted;
	/* of a part of the lease */
	char **only; /* devices; NULL: all */
	uint32_t *groups;
	size_t n_groups;
};

void handoffs_init(struct handoffs *handoffs, sd_event *event, const struct host *host)
{
	*handoffs = (struct handoffs){ .event = event, .host = host };
}

/* Closing with something unread would be an ECONNRESET to a client that wrote more than its byte,
 * before all that was sent to it. */
static void read_out(int sock)
{
	char byte;

	for (int i = 0; i < 64 && recv(sock, &byte, 1, MSG_DONTWAIT) > 0; i++)
		;
}

static void handoff_free(struct handoff *handoff)
{
	struct handoff **p = &handoff->owner->list;

	while (*p && *p != handoff)
		p = &(*p)->next;
	if (*p)
		*p = handoff->next;
	sd_event_source_disable_unref(handoff->io);
	sd_event_source_disable_unref(handoff->timer);
	child_free(handoff->child);
	read_out(handoff->sock);
	fd_close(handoff->sock);
	strv_free(handoff->only);
	free(handoff->groups);
	free(handoff);
}

void handoffs_done(struct handoffs *handoffs)
{
	while (handoffs->list) {
		if (handoffs->list->child)
			child_kill(handoffs->list->child, SIGKILL);
		handoff_free(handoffs->list);
	}
}

/* It gives nothing any more, but counts until the other end is closed. */
static void handoff_over(struct handoff *handoff)
{
	handoff->state = HANDOFF_OVER;
	handoff->lease = NULL;
	handoff->timer = sd_event_source_disable_unref(handoff->timer);
	handoff->child = child_free(handoff->child);
	/* EPOLLHUP is reported whatever is asked for. */
	if (sd_event_source_set_io_events(handoff->io, 0) < 0 ||
	    sd_event_source_set_enabled(handoff->io, SD_EVENT_ON) < 0)
		handoff_free(handoff);
}

static void send_error(int sock, const char *error, const char *text)
{
	char message[512];
	int k = snprintf(message, sizeof(message), "error %s %s", error, text);

	if (k > 0)
		(void)send(sock, message,
			   (size_t)k < sizeof(message) ? (size_t)k : sizeof(message) - 1,
			   MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* In the child. True: somebody has fds of the lease, and the client was told. */
static bool refuse_if_held(const struct handoff *handoff, int sock)
{
	struct lease_holder *holders = NULL;
	char text[256];
	size_t n = 0;

	if (!handoff->fresh || handoff->lease->mode == MODE_NODE)
		return false;
	if (holders_find(handoff->owner->host, handoff->lease, NULL, &holders, &n) < 0 || n == 0)
		return false;
	snprintf(text, sizeof(text),
		 "process %d (%s) still has the lease's fds open; end it, or let it close them, "
		 "and ask again",
		 (int)holders[0].pid, holders[0].command ? holders[0].command : "?");
	send_error(sock, "GroupBusy", text);
	holders_free(holders, n);
	return true;
}

/* In the child: what came to the group since the claim, and has a host driver. */
static bool refuse_if_changed(const struct handoff *handoff, int sock)
{
	_cleanup_free_ char *why = NULL;
	char text[256];
	int r = lease_read_back(handoff->owner->host, handoff->lease, false, &why);

	if (r == 0)
		return false;
	snprintf(text, sizeof(text),
		 "%s; nothing of the group is handed out until that is put right: see the "
		 "group's devices, then call GetFds",
		 why ? why : strerror(-r));
	send_error(sock, "GroupNotViable", text);
	return true;
}

static bool is_new_group(const struct handoff *handoff, uint32_t group)
{
	for (size_t i = 0; i < handoff->n_groups; i++)
		if (handoff->groups[i] == group)
			return true;
	return false;
}

static int grant_main(int sock, void *userdata)
{
	struct handoff *handoff = userdata;
	const struct lease *lease = handoff->lease;
	uint32_t groups[REQUEST_GROUPS_MAX];
	_cleanup_free_ char **devices = calloc(lease->n_devices + 1, sizeof(char *));
	struct grant grant = {
		.mode = lease->mode,
		.attach = lease->attach,
		.device_fds = lease->device_fds,
		.groups = groups,
		.devices = devices,
	};
	struct pollfd parent = { .fd = sock, .events = POLLRDHUP };
	size_t n = 0;
	int r;

	/*
	 * It ends with the daemon: the next one would not know of it, and take the groups home, and
	 * give them to somebody else, before this opens what it sends to the owner of now (I5).
	 */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || poll(&parent, 1, 0) != 0)
		return 1;
	if (!devices)
		return 1;
	grant.more = handoff->only;
	for (size_t i = 0; i < lease->n_groups && i < REQUEST_GROUPS_MAX; i++)
		if (!lease->groups[i].gone &&
		    (!handoff->only || is_new_group(handoff, lease->groups[i].id)))
			groups[grant.n_groups++] = lease->groups[i].id;
	for (size_t i = 0; i < lease->n_devices; i++)
		if (lease->devices[i].state == DEVICE_GRANTED && !lease->devices[i].parking &&
		    !lease->devices[i].gone &&
		    (!handoff->only || strv_contains(handoff->only, lease->devices[i].name)))
			devices[n++] = lease->devices[i].name;
	if (n == 0) {
		send_error(handoff->sock, "NoSuchDevice",
			   "what was granted has been removed from the host; release the lease, or "
			   "have devices added to it");
		return 1;
	}
	if (refuse_if_held(handoff, handoff->sock) || refuse_if_changed(handoff, handoff->sock))
		return 1;
	fault_point(HANDOFF_BEGIN);
	r = grant_send(handoff->owner->host, &grant, handoff->sock, HANDOFF_SEND_USEC);
	fault_point(HANDOFF_SENT);
	return r < 0;
}

static void on_child_exited(struct child *child, int status, void *userdata)
{
	struct handoff *handoff = userdata;
	void (*gone)(void *) = handoff->gone;
	void *gone_userdata = handoff->gone_userdata;
	struct handoffs *owner = handoff->owner;
	const struct lease *lease = handoff->lease;

	if (handoff->interrupted)
		send_error(handoff->sock, "GroupChanged",
			   "the lease changed while it was handed over; call GetFds");
	if (status != 0 && !gone)
		log_warning("the handoff of lease %s ended without handing everything over",
			    lease ? lease->id : "?");
	if (status == 0 && lease) {
		lease_run(lease)->handed_over = true;
		log_record(MESSAGE_HANDED_OVER, LOG_INFO,
			   LOG_FIELDS({ FIELD_LEASE, lease->id },
				      { FIELD_UID, LOG_NUMBER(handoff->uid) },
				      { FIELD_MODE, mode_to_string(lease->mode) }),
			   "Lease %s: everything was handed over", lease->id);
	}
	handoff_free(handoff);
	if (!gone)
		return;
	for (struct handoff *h = owner->list; h; h = h->next)
		if (h->lease == lease && h->child)
			return;
	gone(gone_userdata);
}

static const struct child_ops grant_child_ops = {
	.name = "vfiod-handoff",
	.main = grant_main,
	.exited = on_child_exited,
};

static void start_sending(struct handoff *handoff)
{
	const struct host *host = handoff->owner->host;
	const int keep[] = { host->sys, host->dev, host->proc, handoff->sock };
	int r;

	handoff->timer = sd_event_source_disable_unref(handoff->timer);
	sd_event_source_set_enabled(handoff->io, SD_EVENT_OFF);
	/* It has ended, but waits yet for the lock that a worker of an earlier daemon has. */
	if (!handoff->lease || handoff->lease->state != LEASE_LEASED) {
		send_error(handoff->sock, "NoSuchLease", "the lease has ended");
		handoff_free(handoff);
		return;
	}
	r = child_spawn(handoff->owner->event, &grant_child_ops, keep, ARRAY_SIZE(keep), handoff,
			&handoff->child);
	if (r < 0) {
		send_error(
			handoff->sock, "DriverFailed",
			"the daemon could not start a process for the handoff; try GetFds later");
		handoff_free(handoff);
		return;
	}
	handoff->state = HANDOFF_SENDING;
	fault_point(HANDOFF_STARTED);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct handoff *handoff = userdata;
	char byte;
	ssize_t k;

	if (handoff->state == HANDOFF_OVER || !(revents & EPOLLIN)) {
		handoff_free(handoff);
		return 0;
	}
	k = recv(fd, &byte, 1, MSG_DONTWAIT);
	if (k < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (k <= 0)
		handoff_free(handoff);
	else
		start_sending(handoff);
	return 0;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct handoff *handoff = userdata;

	send_error(handoff->sock, "TimedOut",
		   "no byte came within 10 s; the lease stands: call GetFds for another handoff");
	/* Its client reads the end; both ways shut would be a hang-up to ourselves. */
	shutdown(handoff->sock, SHUT_WR);
	handoff_over(handoff);
	return 0;
}

bool handoffs_full(const struct handoffs *handoffs, uid_t uid)
{
	size_t all = 0, own = 0;

	for (const struct handoff *h = handoffs->list; h; h = h->next) {
		all++;
		own += h->uid == uid;
	}
	return all >= HANDOFFS_MAX || own >= HANDOFFS_PER_UID;
}

static int handoff_watch(struct handoff *handoff)
{
	sd_event *event = handoff->owner->event;
	int r = sd_event_add_io(event, &handoff->io, handoff->sock, EPOLLIN, on_io, handoff);

	if (r < 0)
		return r;
	return sd_event_add_time_relative(event, &handoff->timer, CLOCK_MONOTONIC,
					  HANDOFF_WAIT_USEC, 100 * 1000, on_timeout, handoff);
}

int handoff_new(struct handoffs *handoffs, const struct lease *lease, uid_t uid, bool fresh,
		int *client)
{
	struct handoff *handoff;
	int pair[2], r;

	if (handoffs_full(handoffs, uid))
		return HANDOFF_QUOTA;
	handoff = calloc(1, sizeof(*handoff));
	if (!handoff)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		r = -errno;
		free(handoff);
		return r;
	}
	handoff->owner = handoffs;
	handoff->lease = lease;
	snprintf(handoff->lease_id, sizeof(handoff->lease_id), "%s", lease->id);
	handoff->uid = uid;
	handoff->fresh = fresh;
	handoff->sock = pair[0];
	handoff->next = handoffs->list;
	handoffs->list = handoff;
	r = handoff_watch(handoff);
	if (r < 0) {
		handoff_free(handoff);
		fd_close(pair[1]);
		return r;
	}
	*client = pair[1];
	return 0;
}

int handoff_new_part(struct handoffs *handoffs, const struct lease *lease, uid_t uid,
		     char *const *devices, const uint32_t *groups, size_t n_groups, int *client)
{
	_cleanup_strv_ char **only = NULL;
	_cleanup_free_ uint32_t *copy = calloc(n_groups + 1, sizeof(*copy));
	int r = copy ? 0 : -ENOMEM;

	STRV_FOREACH (device, devices)
		if (r >= 0)
			r = strv_extend(&only, *device);
	if (r >= 0)
		r = handoff_new(handoffs, lease, uid, false, client);
	if (r != 0)
		return r;
	if (n_groups)
		memcpy(copy, groups, n_groups * sizeof(*copy));
	/* The newest is the first. */
	handoffs->list->only = STEAL(only);
	handoffs->list->groups = STEAL(copy);
	handoffs->list->n_groups = n_groups;
	return 0;
}

void handoffs_interrupt(struct handoffs *handoffs, const struct lease *lease)
{
	for (struct handoff *h = handoffs->list; h; h = h->next)
		if (h->lease == lease && h->child) {
			h->interrupted = true;
			child_kill(h->child, SIGKILL);
		}
}

bool handoffs_interrupted(const struct handoffs *handoffs, const char *lease_id)
{
	for (const struct handoff *h = handoffs->list; h; h = h->next)
		if (h->interrupted && h->child && streq(h->lease_id, lease_id))
			return true;
	return false;
}

void handoffs_end(struct handoffs *handoffs, const struct lease *lease,
		  void (*gone)(void *userdata), void *userdata)
{
	bool wait = false;

	for (struct handoff *h = handoffs->list, *next; h; h = next) {
		next = h->next;
		if (h->lease != lease)
			continue;
		if (h->child) {
			h->gone = gone;
			h->gone_userdata = userdata;
			child_kill(h->child, SIGKILL);
			wait = true;
		} else {
			send_error(h->sock, "NoSuchLease", "the lease has ended");
			shutdown(h->sock, SHUT_WR);
			handoff_over(h);
		}
	}
	if (!wait)
		gone(userdata);
}

void handoffs_forget(struct handoffs *handoffs, const struct lease *lease)
{
	for (struct handoff *h = handoffs->list; h; h = h->next)
		if (h->lease == lease) {
			h->lease = NULL;
			h->gone = NULL;
		}
}
