/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a lease has running, for the files of the engine among themselves. lease->data points to
 * one of these from engine_claim() or engine_recover() until the lease is removed.
 */

#include "daemon/lease/engine.h"
#include "daemon/util/child.h"

struct guard;

struct lease_run {
	struct engine *engine;
	struct lease *lease;
	struct worker *worker;
	int lock;	 /* ID.lock, flock'ed; workers inherit it */
	bool worker_bad; /* a step of the running worker failed */
	bool lost; /* which of its devices are gone is other than the journal and the bus have it */

	/* the claim */
	claim_done_fn claim_done;
	void *claim_userdata;
	struct failure failure;
	bool abandoned;

	struct guard *guard; /* looks after its devices; NULL: not yet */
	bool handed_over;    /* somebody has had its fds, since this daemon runs */

	/* the lifeline */
	int lifeline;
	sd_event_source *lifeline_source;
	bool lifeline_over;
	/* until the service manager says that it has the copy: no journal says leased before */
	sd_event_source *barrier_source;
	sd_event_source *barrier_timer;
	bool swapped;	     /* the claim waits for nothing else */
	bool waits;	     /* its worker may not begin yet: engine_ops.may_begin() */
	unsigned int *waive; /* while it waits, or after */

	/* draining */
	enum { FENCES_DONE, DRAIN_AFTER_FENCES, RESTORE_AFTER_FENCES } after_fences;
	sd_event_source *retry_timer;
	unsigned int n_retries;
	unsigned int n_deaths; /* of workers that put things back */
	unsigned int n_home;   /* tries to remove its journal that failed */
	sd_event_source *holders_timer;
	struct child *holders_child;

	/* a change while leased: grow.c, shrink.c */
	bool changing;	       /* the worker is one that grows or parks, or one of these waits */
	struct growth *growth; /* of devices in the lease's own groups */
	sd_event_source *park_timer;
	void (*park_next)(struct lease_run *run);

	struct lease_reset *reset; /* the worker resets: reset.c */

	/* revocation: revoke.c */
	sd_event_source *revoke_timer;
	int kill_fd; /* the lifeline, after the lease has ended; -EBADF */
	void *vouch; /* the bus is being asked for the holder's process */
	void (*vouch_free)(void *vouch);
};

struct lease_run *run_new(struct engine *engine, struct lease *lease);
/* Frees it and clears lease->data. */
struct lease_run *run_free(struct lease_run *run);

static inline struct lease_run *lease_run(const struct lease *lease)
{
	return lease->data;
}

void run_changed(struct lease_run *run);
/* Takes the step in the state machine, writes the journal. The state is as before on an error. */
int run_set_state(struct lease_run *run, enum lease_state state);
/* The same, and goes on where the journal cannot be written (logged). */
void run_force_state(struct lease_run *run, enum lease_state state);
/* Starts a worker on a plan (taken). */
int run_worker(struct lease_run *run, struct plan *plan, const struct worker_ops *ops);

/* A record in the log of a step that failed. */
void run_log_step(const struct lease_run *run, const struct step *step,
		  const struct step_report *report);

/*
 * No lock yet, so a worker of an earlier daemon may be at work: waits for its end, then goes on
 * from the state that the lease has by then.
 */
void recover_lock(struct lease_run *run);

/*
 * Whether a virtual function of one of its devices (parking: of those alone that are being shut
 * off) is in another lease: unbinding the physical function takes it away, and waits in the kernel,
 * on newer kernels with the rescan lock of the whole machine, for whoever has it. Or whether they
 * are being changed: made after it has gone home, the host's drivers would take them. Asked again
 * and again: it may be over.
 */
bool run_functions_bar(const struct lease_run *run, bool parking);
/* Draining (again): unbinds everything, then goes on to restoring. */
void release_drain(struct lease_run *run);
/* A fence of the lease has ended: what waited for it goes on. run may be NULL. */
void release_fence_over(struct lease_run *run);
/* Restoring (again); the state is restoring already. */
void release_restore(struct lease_run *run);
/* The claim failed: everything goes back. The state is preparing. */
void release_rollback(struct lease_run *run);
/* The lease's end as the claim's caller sees it: calls claim_done once, if anyone waits. */
void claim_finish(struct lease_run *run);
/* The service manager has the lifeline, or (failure is set) will not say so. */
void claim_stored(struct lease_run *run);

/* Watches the lifeline: when it is over, the lease ends. */
int watch_lifeline(struct lease_run *run);
/*
 * Gives a copy of it to the service manager. 1: claim_stored() comes when it is there; 0: there is
 * none to be given, or nobody who takes it; -errno.
 */
int watch_store_lifeline(struct lease_run *run);
/* Takes it back; void by name, for what no lease explains. */
void watch_unstore_lifeline(const struct lease_run *run);
void watch_unstore(const char *name);
/* Looks for holders now and then, while the lease drains. */
void watch_holders_start(struct lease_run *run);
void watch_holders_stop(struct lease_run *run);

/* The deadline's timer, after the daemon came back; and the end of a ladder. */
void revoke_recover(struct lease_run *run);
void revoke_over(struct lease_run *run);
/* Every unbind has returned: access has ended. Says so of a revocation that got so far. */
void revoke_done(struct lease_run *run);
/* What is being prepared for a lease that ends is given up. */
void grow_parent_ends(struct engine *engine, const struct lease *lease);
/* A growth in the lease's own groups is over: tells who waits for it, if anyone. */
void growth_done(struct lease_run *run, const struct failure *failure);
/* A reset is over: tells who waits for it, if anyone. failure NULL: done. */
void run_reset_done(struct lease_run *run, const struct failure *failure);
/*
 * Calls next() when nothing else of ours writes to the lease's devices or opens them: the guard,
 * and handoffs of before.
 */
void park_when_clear(struct lease_run *run, void (*next)(struct lease_run *run));
/* Whether another change of a leased lease is under way, or a fence. */
bool change_is_barred(const struct lease_run *run);
/* Shuts off whatever of the lease is `parking`; the lease is leased. */
void park_start(struct lease_run *run);
/* The lease has ended: true if a worker has its devices yet; release_drain() comes when it is over.
 */
bool park_give_way(struct lease_run *run);

void clean_add(struct engine *engine, const struct lease_device *device, uint64_t identity);
/* Whether the lease may be had without a worker (in node mode somebody must set the ACLs). */
bool clean_lease(const struct engine *engine, const struct lease *lease);
