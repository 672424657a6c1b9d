/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The points at which a crash could matter: the one list that the fault harness goes through. A
 * build without VFIOD_FAULT_POINTS (configure --enable-fault-points, off by default) has none of
 * it. What is written before what is in docs/crash-matrix.md.
 *
 * With it, the directory of $VFIOD_FAULTS (default /run/vfiod/faults) says what happens where:
 *
 *   POINT   "daemon", "worker" or an errno's name, and how many times the point is passed before
 *           that ("ENOSPC 2"; default 0). Acted on once, and removed before.
 *   trace   if it is there: each point that is passed is appended, a line each, with " worker"
 *           where that was in a child, " daemon" else
 *
 * "daemon" kills the daemon (from a child: the daemon that forked it, and the child goes on until
 * it finds out), "worker" the child that passes the point.
 *
 * A step of a child is a point of each plan that has it: claim.STEP_PROBE_BEGIN is not
 * restore.STEP_PROBE_BEGIN, and STEP_PROBE_BEGIN alone is whichever comes first.
 */

#include "daemon/lease/step.h"

/* Passed in the daemon itself. */
#define FAULT_DAEMON_POINTS(X)                                                        \
	X(CLAIM_LOCKED)	      /* the lease's lock is held, nothing is written */      \
	X(CLAIM_JOURNALED)    /* preparing is on disk */                              \
	X(CLAIM_STORED)	      /* the lifeline is on its way to the service manager */ \
	X(CLAIM_WORKING)      /* the worker has begun */                              \
	X(CLAIM_SWAPPED)      /* the worker is done */                                \
	X(CLAIM_LEASED)	      /* leased is on disk, nobody was told */                \
	X(CLAIM_REPLIED)      /* the reply is with the bus library */                 \
	X(ROLLBACK_JOURNALED) /* a claim failed: restoring is on disk */              \
	X(HANDOFF_STARTED)    /* the byte came, the child is forked */                \
	X(END_JOURNALED)      /* draining is on disk, nobody was told */              \
	X(DRAIN_STARTED)      /* the worker of the barrier has begun */               \
	X(DRAIN_DONE)	      /* every unbind has returned */                         \
	X(RESTORE_JOURNALED)  /* restoring is on disk */                              \
	X(RESTORE_STARTED)                                                            \
	X(RESTORE_DONE)	  /* everything is home, the journal says restoring */        \
	X(HOME_FORGOTTEN) /* no journal any more, nobody was told */                  \
	X(HOME_TOLD)                                                                  \
	X(GROW_CLAIMED) /* a part is claimed, and joins nobody yet */                 \
	X(GROW_JOINED)	/* the lease's journal has it, the part's is there still */   \
	X(GROW_MARKED)	/* a device of the lease's own is to be granted */            \
	X(GROW_SWAPPED)                                                               \
	X(GROW_GRANTED) /* it is, on disk */                                          \
	X(SHRINK_PARTS) /* the parts are on disk, the lease has them still */         \
	X(SHRINK_JOURNALED)                                                           \
	X(PARK_DONE) /* shut off, the journal does not know */                        \
	X(PARK_JOURNALED)                                                             \
	X(REVOKE_JOURNALED) /* asked is on disk, nobody was told */                   \
	X(REVOKE_DEADLINE)  /* it has passed */                                       \
	X(REVOKE_KILLED)                                                              \
	X(FENCE_ASKED)	 /* the fence worker has its device */                        \
	X(FENCE_ENTERED) /* the lease has an entry for it */                          \
	X(FENCE_DONE)	 /* it is shut off, the journal does not know */              \
	X(FENCE_JOURNALED)                                                            \
	X(JOURNAL_BEGIN)     /* any write of a journal */                             \
	X(JOURNAL_TEMPORARY) /* the new file has not its name yet */                  \
	X(JOURNAL_WRITTEN)                                                            \
	X(JOURNAL_REMOVE)                                                             \
	X(JOURNAL_REMOVED)  /* its lock file is there still */                        \
	X(RECOVER_READ)	    /* the journals are read */                               \
	X(RECOVER_ENTERED)  /* a lease is in the ledger again */                      \
	X(RECOVER_LOCKED)   /* no worker of an earlier daemon has it */               \
	X(RECOVER_ADOPTED)  /* lifelines are back from the service manager */         \
	X(RECOVER_STRIPPED) /* ACLs that no lease explains are gone */

/* Passed in a child that hands over. */
#define FAULT_HANDOFF_POINTS(X) \
	X(HANDOFF_BEGIN)        \
	X(HANDOFF_SENT)

/* Passed in a child, between two writes that belong together. */
#define FAULT_CHILD_POINTS(X)                                     \
	X(MDEV_REMOVED) /* the one before has gone */             \
	X(VFS_FENCED)	/* no VF of it gets a driver */           \
	X(VFS_GONE)	/* those of before have gone */           \
	X(VFS_MADE)	/* those that were asked for are there */ \
	X(VFS_UNFENCED) /* the file says otherwise still */

/* Passed in a child that carries a plan out: STEP_KINDS, before and after each. */
#define FAULT_STEP_POINTS(X) STEP_KINDS(X)

enum fault_point {
#define X(name) FAULT_##name,
	FAULT_DAEMON_POINTS(X) FAULT_HANDOFF_POINTS(X) FAULT_CHILD_POINTS(X)
#undef X
#define X(name) FAULT_STEP_##name##_BEGIN, FAULT_STEP_##name##_DONE,
		FAULT_STEP_POINTS(X)
#undef X
			FAULT_POINT_MAX,
	FAULT_POINT_INVALID = -1,
};
DECLARE_STRING_TABLE(fault_point, enum fault_point)

/* Where those of the steps begin, two for each kind. */
#define FAULT_STEPS (FAULT_POINT_MAX - 2 * STEP_KIND_MAX)

#ifdef VFIOD_FAULT_POINTS
/* Weak: a unit test that links a file with points in it, but not this, has none. */
int fault_reached(const char *plan, enum fault_point point) __attribute__((weak));
#define fault_point(name) ((void)(fault_reached && fault_reached(NULL, FAULT_##name)))
#define fault_step(plan, kind, done) \
	((void)(fault_reached && fault_reached(plan, FAULT_STEPS + 2 * (kind) + (done))))
/* The same, and 0 or the -errno that is to happen here. */
#define fault_error(name) (fault_reached ? fault_reached(NULL, FAULT_##name) : 0)
/* Call once in the daemon: the process that "daemon" means. */
void fault_init(void);
/* Prints them all, a line each. */
void fault_list(void);
#else
#define fault_point(name)	     ((void)0)
#define fault_step(plan, kind, done) ((void)0)
#define fault_error(name)	     0
#define fault_init()		     ((void)0)
#endif
