/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The engine of leases: carries a lease from claim to home. It owns what a running lease needs
 * (worker, handoffs, lifeline), writes the journal before each step, and tells its owner through
 * engine_ops what changed. It knows no bus.
 *
 *   engine-events.c  what comes to leased groups, and goes
 *   claim.c     preparing → leased, and the way back
 *   release.c   draining → restoring → home or failed
 *   grow.c      more devices for a lease that is leased
 *   shrink.c    fewer of them
 *   reset.c     resets of its devices
 *   revoke.c    the ladder that ends a lease against its owner's will
 *   vf-switch.c the VFs of physical functions that are leased, or whose VF is
 *   fence.c     what comes to a leased group
 *   fence-guard.c  what others do to a leased device behind the daemon
 *   watch.c     lifelines, and who holds a draining lease
 *   recover.c   what the journals say at start
 */

#include "daemon/lease/handoff.h"
#include "daemon/lease/journal.h"
#include "daemon/lease/worker.h"
#include "policy/ledger.h"
#include "policy/topology.h"

/* An error for a client: a short bus error name and a message. */
struct failure {
	const char *error; /* literal: "DriverFailed", …; NULL: none */
	char *message;
};
void failure_done(struct failure *failure);
/* Sets it unless it is set: the first failure is the one to be told. */
void failure_set(struct failure *failure, const char *error, const char *format, ...)
	_printf_(3, 4);

struct engine_ops {
	/* State, holders or devices of the lease changed, or it is new. */
	void (*changed)(struct lease *lease, void *userdata);
	/* A device that came to a group of the lease is shut off; how: see fence.c. */
	void (*fenced)(struct lease *lease, const char *device, const char *outcome,
		       void *userdata);
	/*
	 * Whether the worker of a claim may begin: 1; 0: not yet, engine_claims_go_on() comes;
	 * -errno: never. NULL: always.
	 */
	int (*may_begin)(struct lease *lease, void *userdata);
	/* Its owner is to be told of a revocation (lease->revoke_deadline_usec, revoke_reason). */
	void (*revoke_requested)(struct lease *lease, void *userdata);
	/*
	 * Has the bus asked whose process the lease's connection is; engine_vouched() comes later.
	 * *query is freed by *query_free when nobody waits any more. -errno: it cannot be asked.
	 */
	int (*vouch)(struct lease *lease, void **query, void (**query_free)(void *query),
		     void *userdata);
	/* Something of a leased group itself, for which there is no event, is other than before. */
	void (*group_changed)(uint32_t group, void *userdata);
	/* Its last group is home; the lease is freed after this. */
	void (*removed)(struct lease *lease, void *userdata);
};

/* A device whose last cycle was the daemon's own, so that no fd of it can be left. */
struct clean_device {
	char *name;
	uint64_t identity;
	char *driver;
	char *override;
	uint64_t seqnum; /* of the kernel's last uevent when the cycle was over */
	UT_hash_handle hh;
};

struct engine {
	sd_event *event;
	const struct host *host;
	struct topology *topology;
	struct ledger *ledger;
	struct journal journal;
	struct handoffs handoffs;
	struct clean_device *clean;
	struct fences *fences;
	struct attr_watches *watches; /* of all guards; NULL: none yet */
	bool blind;		 /* a journal cannot be read: which groups are owned is not known */
	bool autoprobe_honoured; /* the kernel asks drivers_autoprobe before a first probe */
	const struct engine_ops *ops;
	void *userdata;
};

/* journal_path: directory of the journals. The rest is borrowed for the engine's life. */
int engine_init(struct engine *engine, sd_event *event, const struct host *host,
		struct topology *topology, struct ledger *ledger, const char *journal_path,
		const struct engine_ops *ops, void *userdata);
/* Frees what leases have running (workers stop before their next step); not the ledger. */
void engine_done(struct engine *engine);

/*
 * Claims: takes the lease (in state preparing, filled in) into the ledger, the journal and,
 * unless the short way is open, through a worker. waive: per device of the lease, bits of use
 * kinds. lifeline: taken in every case, or -EBADF.
 *
 * Returns 0 when it is on its way: `done` comes once, maybe before this returns, with failure
 * NULL when the lease is leased and durable, or else with the reason, after everything has been
 * put back (or the lease is failed and stays visible). Returns a LEDGER_ outcome or -errno when
 * nothing was begun: the lease is the caller's still.
 */
typedef void (*claim_done_fn)(struct lease *lease, const struct failure *failure, void *userdata);
int engine_claim(struct engine *engine, struct lease *lease, const unsigned int *waive,
		 int lifeline, claim_done_fn done, void *userdata);

/* Asks engine_ops.may_begin() again for the claims that wait. */
void engine_claims_go_on(struct engine *engine);

/* Nobody waits for the claim any more: done() will not be called, and the claim is undone. */
void engine_abandon_claim(struct engine *engine, struct lease *lease);

/*
 * Ends a lease that is leased: durable when this returns 0. force: goes on even if the journal
 * cannot be written (the holder is gone, and it must end). -errno: nothing changed. 0 for one
 * that has ended already.
 */
int engine_end(struct engine *engine, struct lease *lease, const char *reason, bool force);

/* Tries again what failed. -EINVAL: the lease is not failed. */
int engine_restore(struct engine *engine, struct lease *lease);

/*
 * Reads the journals and takes every lease up where it was. Call once, after the first scan. A
 * journal that cannot be understood blocks the groups that its text names: they become a lease of
 * root's, which ends by Release alone. If it names none, engine->blind is set.
 */
int engine_recover(struct engine *engine);

/*
 * What the service manager's fd store has under a name, "lease-ID". Takes the fd. Removes from the
 * store what no lease explains.
 */
void engine_adopt_lifeline(struct engine *engine, const char *name, int fd);

/*
 * A device appeared in a group, or was bound there: shuts it off if the group is not the host's and
 * the device not the lease's. The first thing to be done on the kernel's uevent; usec: when that
 * was read, CLOCK_MONOTONIC.
 */
void engine_device_came(struct engine *engine, const char *device, uint32_t group, uint64_t usec);
/* A device has lost its driver, maybe by somebody else's doing. */
void engine_device_unbound(struct engine *engine, const char *device);
/* The kernel removed a device: what comes to its name is another one. */
void engine_device_went(struct engine *engine, const char *device);
/* What was read of a device since: the entry of a fenced one gets it, so that it can be let go. */
void engine_know_fenced(struct engine *engine, const struct device *device);
/* The same from the topology, after events were lost and at start. */
void engine_fence_strangers(struct engine *engine);

/* Whether a lifeline of the lease is watched. */
bool lease_has_live_lifeline(const struct lease *lease);

/* The record of a clean device, or NULL: what it had when its last cycle was over. */
const struct clean_device *engine_clean(const struct engine *engine, const char *device,
					uint64_t identity);
/*
 * A device was bound, unbound, removed, or its node changed, by the uevent of this number: the
 * short way is shut for it, unless the event is of its last cycle itself.
 */
void engine_forget_clean(struct engine *engine, const char *device, uint64_t seqnum);
