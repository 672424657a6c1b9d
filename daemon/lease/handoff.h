/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The handoff: the socket that a reply carries instead of fds. It waits for the client's byte, and
 * then a child of its own opens what the lease grants and sends it.
 *
 * A handoff counts against its limits until the client's end is closed, even when its time is
 * over: an unread reply keeps one of the 64 fds that dbus-daemon lets this service have under way.
 */

#include "daemon/sysfs/host.h"
#include "policy/ledger.h"

#include <systemd/sd-event.h>

#define HANDOFFS_PER_UID  8
#define HANDOFFS_MAX	  32
#define HANDOFF_WAIT_USEC (10 * 1000 * 1000ULL) /* for the client's byte */
#define HANDOFF_SEND_USEC (10 * 1000 * 1000ULL) /* for the client to take each fd */

struct handoff;

struct handoffs {
	sd_event *event;
	const struct host *host;
	struct handoff *list;
};

void handoffs_init(struct handoffs *handoffs, sd_event *event, const struct host *host);
void handoffs_done(struct handoffs *handoffs);

enum { HANDOFF_QUOTA = 1 };

/* Whether another one of this user would be over the limits. */
bool handoffs_full(const struct handoffs *handoffs, uid_t uid);

/*
 * Makes one for a lease; *client is the client's end, the caller's. fresh: the client had fds
 * before, so a holder that still has them open is an error (GroupBusy). 0, HANDOFF_QUOTA, -errno.
 */
int handoff_new(struct handoffs *handoffs, const struct lease *lease, uid_t uid, bool fresh,
		int *client);

/*
 * Ends every handoff of a lease: those that wait are closed, children that send are killed. Calls
 * `gone` when the last of its children has ended (maybe at once): from then on no process of vfiod
 * has or will have an fd of the lease.
 */
void handoffs_end(struct handoffs *handoffs, const struct lease *lease,
		  void (*gone)(void *userdata), void *userdata);
/*
 * The lease has changed: children that send what it had are killed, and their clients told to ask
 * again. Those that only wait are left alone: what they will send is the lease of then.
 * _interrupted(): whether one of those children has not ended yet.
 */
void handoffs_interrupt(struct handoffs *handoffs, const struct lease *lease);
bool handoffs_interrupted(const struct handoffs *handoffs, const char *lease_id);

/*
 * One for these devices alone, which were added to a lease whose owner has the rest: in mode cdev
 * without an iommufd, in mode group their groups without a container, and none for a group of
 * which the owner has the fd already (`groups`: those that are new). As handoff_new() otherwise.
 */
int handoff_new_part(struct handoffs *handoffs, const struct lease *lease, uid_t uid,
		     char *const *devices, const uint32_t *groups, size_t n_groups, int *client);
/* The lease's memory goes away: no callback for it any more. */
void handoffs_forget(struct handoffs *handoffs, const struct lease *lease);
