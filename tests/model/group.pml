/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The life of one IOMMU group in vfiod, for spin: two owners, one process from before the first
 * claim, two devices (A, B) and a slot (C) into which a third is hot-plugged. What a transition
 * stands for, and what is left out, is in docs/model.md. Run by tests/model/run.
 *
 * Budgets bound the state space; -DMUT_… breaks one rule each, and must make spin find an error.
 */

#ifndef CLAIMS
#define CLAIMS 2 /* leases, one after the other */
#endif
#ifndef CRASHES
#define CRASHES 1 /* kill -9 of the daemon */
#endif
#ifndef FAULTS
#define FAULTS 1 /* a step fails, a worker is killed, a journal cannot be written */
#endif
#ifndef ADDS
#define ADDS 1
#endif
#ifndef REMOVALS
#define REMOVALS 0
#endif

/* ---------------------------------------------------------------- the kernel's state */

#define A 0
#define B 1
#define C 2

/* drivers, and what driver_override names */
#define NONE 0 /* no driver; override "none" */
#define HOST 1 /* the host's own; override: of its name, or not set (both let it bind) */
#define VFIO 2

byte drv[3], ovr[3];
bool pend[3];  /* an unbind has taken the driver link away and waits for the last fd */
bool present;  /* C is plugged in */

/* Who has fds. A device fd: bits by holder. The group fd: one open at a time. */
#define OWNER_0 0
#define OWNER_1 1
#define EARLIER 2 /* opened before the first claim, through a node that was open */
#define CHILD	3 /* the handoff child */
#define NOBODY	7
#define BIT(h)	(1 << (h))
byte dfd[2];
byte gfd = NOBODY; /* an orphaned group fd is ENODEV for ever: it is nobody's */
byte acl = NOBODY; /* node mode: whose entry the nodes have */

#define ON_VFIO(d)   (drv[d] == VFIO || pend[d])
#define HOLDS(h)     ((dfd[A] & BIT(h)) || (dfd[B] & BIT(h)) || gfd == (h))
#define OTHER(o)     (1 - (o))
#define NO_FD	     (dfd[A] == 0 && dfd[B] == 0 && gfd == NOBODY)

/* ---------------------------------------------------------------- the daemon's state */

#define HOME	  0 /* no lease */
#define PREPARING 1
#define LEASED	  2
#define DRAINING  3
#define RESTORING 4
#define FAILED	  5

/* of C in the lease; A and B are granted or withheld by the mode */
#define STRANGER 0
#define WITHHELD 1
#define FENCED	 2

#define CDEV  0 /* A granted by its cdev; B withheld on VFIO */
#define GROUP 1 /* A and B granted by the group's fd */
#define PARK  2 /* A granted by the group's fd; B withheld on no driver */
#define NODE  3 /* as PARK, by an ACL instead of fds */

/* on disk, and kept by a crash */
byte dstate;  /* state of the lease */
byte dentry;  /* C's entry */
byte own;     /* the rest is written once, with the first record */
byte mode;
byte saved_drv[3], saved_ovr[3];

/* in memory */
bool up = true;
byte mstate;
byte mentry;
bool gone;	/* C was removed since */
bool clean;	/* the short way is open for A and B */
bool locking;	/* recovery waits for the lock of a worker of the daemon before */
bool abandoned;
#define IDLE	   0
#define DO_CLAIM   1
#define DO_END	   2 /* end handoffs, then drain */
#define WAIT_CHILD 3
#define WAIT_FENCE_DRAIN   4
#define WAIT_FENCE_RESTORE 5
byte todo;

/* the worker: one at a time, by the lease's lock */
#define NOTHING 0
#define CLAIM	1
#define DRAIN	2
#define RESTORE 3
byte job;	/* it lives, and holds the lock, while this is not NOTHING */
bool stop;	/* its socket has hung up */
bool orphan;	/* the daemon that started it is gone */
byte wentry;	/* C's entry when the plan was made */
#define RUNNING 0
#define GOOD	1
#define BAD	2
byte last;	/* what it was for */
byte result;	/* what the daemon learns when it has ended */

/* the fence of C: NOTHING, then its steps, then what the daemon learns */
#define F_OVERRIDE 1
#define F_UNBIND   2
#define F_VERIFY   3
#define F_SHUT	   4
#define F_GONE	   5
#define F_FAILED   6
#define F_TIMER	   7
byte fence;
byte stale; /* a fence whose device went: its child comes to its end */
/* the guard: puts a device of the lease right that somebody else has bound */
#define G_WORKS 1
#define G_GOOD	2
#define G_BAD	3
byte guard;
bool guard_c; /* C is its business: in the lease, and no fence has it */
/* what a fence child of a dead daemon was in the middle of */
byte stray;

/* the handoff child */
#define H_FORKED 1
#define H_CHECKED 2
#define H_OPENED  3
byte handoff;
byte handoff_of;   /* the owner that it serves */
bool handoff_old;  /* the lease that it serves has gone home */
bool handoff_lost; /* of a daemon that is gone */
bool handoff_kill;

/* the kernel's uevents of C */
#define ADD    1
#define REMOVE 2
#define BIND   3
chan uevents = [6] of { byte };

byte claims = CLAIMS, crashes = CRASHES, faults = FAULTS, adds = ADDS, removals = REMOVALS;

/* ---------------------------------------------------------------- shorthands */

#define B_TARGET       (mode == PARK || mode == NODE -> NONE : VFIO)
#define TARGET(d)      ((d) == A -> VFIO : ((d) == B -> B_TARGET : NONE))
#ifndef MUT_NO_FENCE
#define MUST_FENCE     (mstate == PREPARING || mstate == LEASED || mstate == DRAINING)
#else
#define MUST_FENCE     (mstate == LEASED && false)
#endif
#define BEING_FENCED   (len(uevents) > 0 || fence != NOTHING || guard != NOTHING)
#define IS_MEMBER(d, e) ((d) != C || ((e) != STRANGER && present))

/* A fence that failed is tried again until the group is on its way home. */
#ifndef MUT_FENCE_GIVES_UP
#define TRIES_AGAIN MUST_FENCE
#define FENCES_STOP || fence == F_TIMER
#else
#define TRIES_AGAIN (mstate == PREPARING || mstate == LEASED)
#define FENCES_STOP
#endif

/* What was shut off and is bound again (fence_if_bound()). */
#ifndef MUT_FENCED_TRUSTED
#define BOUND_AGAIN (mentry == FENCED && drv[C] == HOST)
#else
#define BOUND_AGAIN false
#endif

/* What is true when a lease begins, and when a device goes back to the host (I5). */
inline nothing_left()
{
	assert(NO_FD)
}

/* In node mode the owner may have been quicker than the reply. */
inline nothing_but_own()
{
	assert(NO_FD || mode == NODE);
	assert(!HOLDS(OTHER(own)) && !HOLDS(EARLIER) && !HOLDS(CHILD))
}

inline uevent(what)
{
	if
	:: up -> assert(nfull(uevents)); uevents!what
	:: else
	fi
}

/* The last fd of a device is gone, and it leaves VFIO: with the last of the group, the group's
 * fd is an orphan. */
inline unbind_over(d)
{
	pend[d] = false;
	if
	:: !ON_VFIO(A) && !ON_VFIO(B) && !ON_VFIO(C) -> gfd = NOBODY
	:: else
	fi
}

/* The driver link is gone at once; the write returns when the last fd is. */
inline unbind(d)
{
	atomic {
		if
		:: drv[d] == VFIO -> drv[d] = NONE; pend[d] = true
		:: drv[d] == HOST -> drv[d] = NONE
		:: drv[d] == NONE
		fi
	};
#ifdef MUT_RESTORE_EARLY
	skip /* takes the missing driver link for the end of the unbind */
#else
	!pend[d]
#endif
}

/* drivers_probe: binds what the override lets bind. */
inline probe(d)
{
	if
	:: drv[d] != NONE || ovr[d] == NONE
	:: drv[d] == NONE && ovr[d] == VFIO -> drv[d] = VFIO
	:: drv[d] == NONE && ovr[d] == HOST -> nothing_left(); drv[d] = HOST
	fi
}

/* ---------------------------------------------------------------- the kernel */

inline plug()
{
	atomic {
		!present && adds > 0 ->
		adds--;
		present = true;
		drv[C] = NONE;
		ovr[C] = HOST;
		uevent(ADD)
	}
}

inline unplug()
{
	atomic {
		present && removals > 0 && !pend[C] ->
		removals--;
		present = false;
		drv[C] = NONE;
		ovr[C] = NONE;
		uevent(REMOVE)
	}
}

/* The first probe of a device that came, or a later one: its module was loaded. */
inline host_probe_c()
{
	atomic {
		present && drv[C] == NONE && ovr[C] == HOST && !pend[C] ->
		drv[C] = HOST;
		uevent(BIND)
	}
}

/* A host driver's module is loaded: it takes what has no driver and no override. */
inline host_probe(d)
{
	atomic { drv[d] == NONE && ovr[d] == HOST && !pend[d] -> nothing_left(); drv[d] = HOST }
}

proctype Kernel()
{
end:
	do
	:: plug()
	:: unplug()
	:: host_probe_c()
	:: host_probe(A)
	:: host_probe(B)
	:: atomic { pend[A] && dfd[A] == 0 -> unbind_over(A) }
	:: atomic { pend[B] && dfd[B] == 0 -> unbind_over(B) }
	od
}

/* ---------------------------------------------------------------- holders of fds */

/* Whoever has it may open every device of the group that is on VFIO. */
inline open_by_group(h, d)
{
	atomic { gfd == h && !(dfd[d] & BIT(h)) && drv[d] == VFIO -> dfd[d] = dfd[d] | BIT(h) }
}

inline close_device(h, d)
{
	atomic { dfd[d] & BIT(h) -> dfd[d] = dfd[d] & ~BIT(h) }
}

/* A device's fd pins the group's. */
inline close_group(h)
{
	atomic {
		gfd == h && !(dfd[A] & BIT(h)) && !(dfd[B] & BIT(h)) -> gfd = NOBODY
	}
}

inline open_by_node(h)
{
	atomic { acl == h && gfd == NOBODY && drv[A] == VFIO -> gfd = h }
}

proctype Holder(byte h)
{
end:
	do
	:: open_by_group(h, A)
	:: open_by_group(h, B)
	:: close_device(h, A)
	:: close_device(h, B)
	:: close_group(h)
	:: open_by_node(h)
	od
}

/* ---------------------------------------------------------------- the worker */

/* Before a step: does anybody listen still? May it fail, or be killed? */
inline gate()
{
	if
	:: atomic { stop -> goto bad }
	:: atomic { !stop && faults > 0 -> faults--; goto bad }
	:: !stop
	fi
}

/* The same in a plan that keeps going: the rest of this device is skipped. */
inline gate_device(over)
{
	if
	:: atomic { stop -> goto bad }
	:: atomic { !stop && faults > 0 -> faults--; w_bad = true; over = true }
	:: atomic { !stop -> over = false }
	fi
}

inline exit_worker(how)
{
	atomic {
		result = (orphan -> RUNNING : how);
		last = (orphan -> NOTHING : job);
		job = NOTHING;
		stop = false;
		orphan = false;
		w_d = 0;
		w_bad = false;
		w_over = false
	}
}

/* CHECK, OVERRIDE none, UNBIND */
inline take(d)
{
	if
	:: IS_MEMBER(d, wentry) ->
		gate();
		if
		:: drv[d] != saved_drv[d] || ovr[d] != saved_ovr[d] -> goto bad
		:: else
		fi;
		gate();
		if
		:: (d) != C || present -> ovr[d] = NONE
		:: else -> goto bad
		fi;
		gate();
		unbind(d)
	:: else
	fi
}

/* OVERRIDE target, PROBE, VERIFY; or VERIFY alone */
inline settle(d)
{
	if
	:: TARGET(d) == VFIO ->
		gate();
		ovr[d] = VFIO;
		gate();
		atomic { probe(d) };
		gate();
		if
		:: drv[d] != VFIO -> goto bad
		:: else
		fi
	:: else ->
		gate();
		if
		:: drv[d] != NONE -> goto bad
		:: else
		fi
	fi
}

/* NODE_REVOKE is before; UNBIND_VFIO */
inline drain_device(d)
{
	gate_device(w_over);
	if
	:: !w_over && drv[d] == VFIO ->
		ovr[d] = NONE;
		unbind(d)
	:: else
	fi
}

/* SETTLE: the device lock is had only when no unbind is pending */
inline settle_device(d)
{
	if
	:: IS_MEMBER(d, wentry) ->
		gate_device(w_over);
		if
		:: !w_over && drv[d] == VFIO -> w_bad = true
		:: !w_over && drv[d] == NONE ->
			atomic {
				if
				:: (d) != C || present -> ovr[d] = NONE
				:: else
				fi
			};
			!pend[d]
		:: else
		fi
	:: else
	fi
}

#define HERE(d) ((d) != C || present)

/* IDENTITY, then OVERRIDE saved driver, PROBE, VERIFY, OVERRIDE saved; one that was fenced is let
 * go. A device that is gone is skipped. */
inline give_back(d)
{
	if
	:: IS_MEMBER(d, wentry) ->
		gate_device(w_over);
		if
		:: !w_over && (d) == C && wentry == FENCED ->
			atomic { if :: HERE(d) -> ovr[d] = HOST :: else fi };
			gate_device(w_over);
			atomic { if :: !w_over && HERE(d) -> probe(d) :: else fi }
		:: !w_over && !((d) == C && wentry == FENCED) && saved_drv[d] != NONE ->
			atomic { if :: HERE(d) -> ovr[d] = saved_drv[d] :: else fi };
			gate_device(w_over);
			atomic { if :: !w_over && HERE(d) -> probe(d) :: else fi }
		:: else
		fi;
		if
		:: w_over || ((d) == C && wentry == FENCED) || !HERE(d)
		:: else ->
			gate_device(w_over);
			if
			:: w_over
			:: !w_over && HERE(d) && drv[d] != saved_drv[d] -> w_bad = true
			:: !w_over && HERE(d) && drv[d] == saved_drv[d] ->
				atomic { if :: HERE(d) -> ovr[d] = saved_ovr[d] :: else fi }
			:: !w_over && !HERE(d)
			fi
		fi
	:: else
	fi
}

proctype Worker()
{
	bool w_bad, w_over;
	byte w_d;

end:
	do
	:: job == CLAIM ->
#ifndef MUT_ONE_BY_ONE
		take(A);
		take(B);
		take(C);
		nothing_left();
		settle(A);
		settle(B);
#else
		take(A);
		settle(A);
		take(B);
		settle(B);
		take(C);
#endif
		if
		:: IS_MEMBER(C, wentry) -> settle(C)
		:: else
		fi;
		if
		:: mode == NODE -> gate(); acl = own
		:: else
		fi;
		exit_worker(GOOD)
	:: job == DRAIN ->
		if
		:: mode == NODE -> gate_device(w_over); acl = NOBODY
		:: else
		fi;
		drain_device(A);
#ifndef MUT_DRAIN_SKIPS_PARKED
		drain_device(B);
#else
		if
		:: mode == CDEV
		:: else -> drain_device(B)
		fi;
#endif
#ifndef MUT_RESTORE_EARLY
		settle_device(A);
#ifdef MUT_DRAIN_SKIPS_PARKED
		if
		:: mode == CDEV
		:: else -> settle_device(B)
		fi;
#else
		settle_device(B);
#endif
		settle_device(C);
#endif
		exit_worker((w_bad -> BAD : GOOD))
	:: job == RESTORE ->
		give_back(A);
		give_back(B);
		give_back(C);
		exit_worker((w_bad -> BAD : GOOD))
	:: false ->
bad:
		exit_worker(BAD)
	od
}

/* ---------------------------------------------------------------- the fence's child */

/* What a step does to whatever device has the address now. */
inline shut(step)
{
	if
	:: !present
	:: present && step == F_OVERRIDE -> ovr[C] = NONE
	:: present && step == F_UNBIND -> drv[C] = NONE
	:: else
	fi
}

/* One step of the child, whose place in its plan is `at`. */
inline fence_step(at)
{
	if
	:: at == F_OVERRIDE && present -> shut(F_OVERRIDE); at = F_UNBIND
	:: at == F_UNBIND && present -> shut(F_UNBIND); at = F_VERIFY
	:: at == F_VERIFY && present -> at = (drv[C] == NONE -> F_SHUT : F_FAILED)
	:: !present -> at = F_GONE
	:: faults > 0 -> faults--; at = F_FAILED
	fi
}

proctype Fence()
{
end:
	do
	:: atomic { fence >= F_OVERRIDE && fence <= F_VERIFY -> fence_step(fence) }
	:: atomic { stale >= F_OVERRIDE && stale <= F_VERIFY -> fence_step(stale) }
	/* the guard's child, in as many steps */
	:: atomic { guard == G_WORKS && guard_c && present && ovr[C] != NONE -> shut(F_OVERRIDE) }
	:: atomic { guard == G_WORKS && guard_c && present && ovr[C] == NONE && drv[C] != NONE ->
		shut(F_UNBIND) }
	:: atomic { guard == G_WORKS && (!guard_c || !present || (ovr[C] == NONE && drv[C] == NONE)) ->
		guard = G_GOOD }
	:: atomic { guard == G_WORKS && faults > 0 -> faults--; guard = G_BAD }
#ifdef STRAY
	/* the one step that a child of a dead daemon was in */
	:: atomic { stray != NOTHING -> shut(stray); stray = NOTHING }
#endif
	od
}

/* ---------------------------------------------------------------- the handoff's child */

inline handoff_ends()
{
	handoff = NOTHING;
	handoff_kill = false;
	handoff_lost = false;
	handoff_old = false;
	dfd[A] = dfd[A] & ~BIT(CHILD);
	dfd[B] = dfd[B] & ~BIT(CHILD);
	gfd = (gfd == CHILD -> NOBODY : gfd)
}

inline pass_device(d)
{
	dfd[d] = (dfd[d] & BIT(CHILD) -> ((dfd[d] & ~BIT(CHILD)) | BIT(handoff_of)) : dfd[d])
}

proctype Handoff()
{
end:
	do
	/* refuse_if_held(), refuse_if_changed() */
	:: atomic { handoff == H_FORKED && !handoff_kill ->
		if
		:: HOLDS(handoff_of) || drv[A] != VFIO || drv[B] != B_TARGET ||
			   (present && drv[C] == HOST) ->
			handoff_ends()
		:: else -> handoff = H_CHECKED
		fi }
	:: atomic { handoff == H_CHECKED && !handoff_kill ->
		if
		:: mode == CDEV && drv[A] == VFIO ->
			dfd[A] = dfd[A] | BIT(CHILD);
			handoff = H_OPENED
		:: (mode == GROUP || mode == PARK) && gfd == NOBODY && drv[A] == VFIO &&
			   drv[B] != HOST && drv[C] != HOST ->
			gfd = CHILD;
			handoff = H_OPENED
		:: else -> handoff_ends()
		fi }
	:: atomic { handoff == H_OPENED && !handoff_kill ->
		pass_device(A);
		gfd = (gfd == CHILD -> handoff_of : gfd);
		handoff_ends() }
	:: atomic { handoff != NOTHING && handoff_kill -> handoff_ends() }
	od
}

/* ---------------------------------------------------------------- the daemon */

/* An event loop: each handler is atomic. Uevents come before the ends of children, whose sources
 * have the lower priority (watch() in child.c). */

/* The record of the lease, whole, as it is in memory now. */
inline journal_write()
{
	dstate = mstate;
	dentry = mentry
}

inline run_worker(what)
{
	assert(job == NOTHING);
	job = what;
	wentry = mentry;
	result = RUNNING;
	todo = IDLE
}

inline release_rollback()
{
	mstate = RESTORING;
	journal_write();
	todo = DO_END
}

#define AS_DECIDED                                                                                 \
	(drv[A] == VFIO && drv[B] == B_TARGET && !(mentry == FENCED && !gone) &&                   \
	 (!present || (mentry != STRANGER && drv[C] == NONE)))

inline become_leased()
{
	if
#ifndef MUT_NO_READBACK
	:: !AS_DECIDED -> release_rollback()
	:: AS_DECIDED && faults > 0 -> faults--; release_rollback() /* the journal */
	:: AS_DECIDED ->
#else
	:: true ->
#endif
		nothing_but_own();
		mstate = LEASED;
		journal_write();
		todo = IDLE
	fi
}

inline engine_claim(who)
{
	atomic {
		up && mstate == HOME && todo == IDLE && claims > 0 && drv[A] != NONE ->
		claims--;
		own = who;
		if
		:: mode = CDEV
		:: mode = GROUP
		:: mode = PARK
		:: mode = NODE
		fi;
		saved_drv[A] = drv[A]; saved_ovr[A] = ovr[A];
		saved_drv[B] = drv[B]; saved_ovr[B] = ovr[B];
		saved_drv[C] = drv[C]; saved_ovr[C] = ovr[C];
		mentry = (present -> WITHHELD : STRANGER);
		mstate = PREPARING;
		abandoned = false;
		gone = false;
#ifndef MUT_JOURNAL_LATE
		journal_write();
#endif
		todo = DO_CLAIM
	}
}

inline start_claim()
{
	atomic {
		up && todo == DO_CLAIM ->
		if
		:: clean && B_TARGET == VFIO && mode != NODE && mentry == STRANGER -> become_leased()
		:: else -> run_worker(CLAIM)
		fi
	}
}

inline engine_end()
{
	atomic {
		up && mstate == LEASED && todo == IDLE && !locking ->
		mstate = DRAINING;
		journal_write();
		todo = DO_END
	}
}

inline engine_abandon_claim()
{
	atomic {
		up && mstate == PREPARING && job == CLAIM && !orphan && !abandoned ->
		abandoned = true;
		stop = true
	}
}

inline handoff_new()
{
	atomic {
		up && mstate == LEASED && mode != NODE && handoff == NOTHING ->
		handoff = H_FORKED;
		handoff_of = own
	}
}

/* ---- the way home */

inline handoffs_end()
{
	atomic {
		up && todo == DO_END ->
		if
#ifndef MUT_HANDOFF_FORGOTTEN
		:: handoff != NOTHING && !handoff_lost -> handoff_kill = true; todo = WAIT_CHILD
		:: handoff == NOTHING || handoff_lost -> todo = WAIT_FENCE_DRAIN
#else
		:: todo = WAIT_FENCE_DRAIN
#endif
		fi
	}
}

inline on_handoffs_gone()
{
	atomic {
		up && todo == WAIT_CHILD && (handoff == NOTHING || handoff_lost) ->
		todo = WAIT_FENCE_DRAIN
	}
}

inline release_fence_over()
{
	atomic {
		#ifndef MUT_FENCE_GIVES_UP
		up && todo == WAIT_FENCE_DRAIN && guard == NOTHING ->
#else
		up && todo == WAIT_FENCE_DRAIN && (fence == NOTHING || fence == F_TIMER) &&
			stale == NOTHING && guard == NOTHING ->
		fence = NOTHING; /* fences_stop() */
#endif
		run_worker(DRAIN)
	}
}

inline go_on_to_restoring()
{
	atomic {
		up && todo == WAIT_FENCE_RESTORE && (fence == NOTHING FENCES_STOP) &&
			stale == NOTHING && guard == NOTHING ->
		fence = NOTHING;
		if
		:: mstate == DRAINING -> mstate = RESTORING; journal_write()
		:: else
		fi;
		run_worker(RESTORE)
	}
}

inline go_home()
{
	assert(drv[A] == saved_drv[A] && ovr[A] == saved_ovr[A]);
	assert(drv[B] == saved_drv[B] && ovr[B] == saved_ovr[B]);
	clean = saved_drv[A] == VFIO && saved_drv[B] == VFIO;
	mstate = HOME;
	mentry = STRANGER;
	gone = false;
	journal_write();
	handoff_old = (handoff != NOTHING);
	todo = IDLE
}

inline on_worker_done()
{
	atomic {
		up && job == NOTHING && result != RUNNING && todo == IDLE && empty(uevents) ->
		if
		:: mstate == PREPARING ->
			if
			:: result == GOOD && !abandoned -> become_leased()
			:: else -> release_rollback()
			fi
		:: (mstate == DRAINING || mstate == RESTORING) && last == DRAIN ->
			/* bad: again, after a while */
			todo = (result == GOOD -> WAIT_FENCE_RESTORE : DO_END)
		:: mstate == RESTORING && last == RESTORE && result == GOOD -> go_home()
		:: mstate == RESTORING && last == RESTORE && result == BAD ->
			mstate = FAILED;
			journal_write()
		fi;
		result = RUNNING
	}
}

inline engine_restore()
{
	atomic {
		up && mstate == FAILED && todo == IDLE && !locking ->
		mstate = RESTORING;
		journal_write();
		todo = DO_END
	}
}

/* ---- what comes and goes */

inline fence_device()
{
	if
	:: fence != NOTHING
	:: else ->
		fence = F_OVERRIDE;
		mentry = FENCED;
		gone = false
	fi
}

inline guard_look()
{
	if
	:: mstate == LEASED && job == NOTHING && guard == NOTHING ->
		guard = G_WORKS;
		guard_c = mentry != STRANGER && !gone && fence == NOTHING && stale == NOTHING
	:: else
	fi
}

inline engine_device_came()
{
	if
	:: !MUST_FENCE
	:: MUST_FENCE && mentry != STRANGER && !gone && !BOUND_AGAIN ->
		if
		:: drv[C] != NONE -> guard_look() /* guard_device_event() */
		:: else
		fi
	:: MUST_FENCE && (mentry == STRANGER || gone || BOUND_AGAIN) -> fence_device()
	fi
}

inline engine_device_went()
{
	gone = (mentry != STRANGER -> true : gone);
	/* fences_device_went() */
	if
	:: fence != NOTHING && fence != F_TIMER -> assert(stale == NOTHING); stale = fence
	:: else
	fi;
	fence = NOTHING
}

inline on_uevent()
{
	atomic {
		up && nempty(uevents) ->
		if
		:: uevents?ADD -> engine_device_came()
		:: uevents?BIND -> engine_device_came()
		:: uevents?REMOVE -> engine_device_went()
		fi
	}
}

inline forget_gone()
{
	if
	:: mentry == FENCED && gone && mstate == LEASED && job == NOTHING && fence == NOTHING &&
		   stale == NOTHING ->
		mentry = STRANGER;
		gone = false;
		journal_write()
	:: else
	fi
}

inline on_fence_exited()
{
	atomic {
		up && fence >= F_SHUT && fence <= F_FAILED && empty(uevents) ->
		if
		:: fence == F_FAILED && TRIES_AGAIN -> fence = F_TIMER
		:: fence == F_SHUT && BOUND_AGAIN && MUST_FENCE -> fence = F_OVERRIDE
		:: fence == F_SHUT && !(BOUND_AGAIN && MUST_FENCE) -> fence = NOTHING; journal_write()
		:: else -> fence = NOTHING; forget_gone()
		fi
	}
}

inline on_stale_exited()
{
	atomic { up && stale >= F_SHUT && stale <= F_FAILED && empty(uevents) -> stale = NOTHING; forget_gone() }
}

inline on_guard_exited()
{
	atomic {
		up && guard >= G_GOOD && empty(uevents) ->
		if
		:: guard == G_BAD && mstate == LEASED ->
			mstate = DRAINING;
			journal_write();
			todo = DO_END
		:: else
		fi;
		guard = NOTHING
	}
}

inline on_fence_timer()
{
	atomic { up && fence == F_TIMER && TRIES_AGAIN ->
		fence = F_OVERRIDE }
}

/* ---- kill -9, and the start after it */

inline crash()
{
	atomic {
		up && crashes > 0 ->
		crashes--;
		up = false;
		mstate = HOME; mentry = STRANGER; gone = false; clean = false; locking = false;
		abandoned = false; todo = IDLE; result = RUNNING;
		stop = job != NOTHING;
		orphan = job != NOTHING;
#ifdef STRAY
		stray = (fence == F_OVERRIDE || fence == F_UNBIND -> fence : NOTHING);
#endif
		fence = NOTHING; stale = NOTHING; guard = NOTHING;
		handoff_lost = handoff != NOTHING;
#ifndef MUT_HANDOFF_LIVES
		handoff_kill = handoff != NOTHING; /* PR_SET_PDEATHSIG */
#endif
		do
		:: uevents?_
		:: empty(uevents) -> break
		od
	}
}

inline go_on()
{
	if
	:: mstate == PREPARING -> release_rollback()
	:: mstate == DRAINING || mstate == RESTORING -> todo = DO_END
	:: else
	fi
}

inline recover()
{
	atomic {
		!up ->
		up = true;
		mstate = dstate;
		mentry = dentry;
#ifdef MUT_FORGET_PREPARING
		mstate = (dstate == PREPARING -> HOME : dstate);
		journal_write();
#endif
#ifdef MUT_FORGET_LEASED
		mstate = (dstate == LEASED -> HOME : dstate);
		journal_write();
#endif
		gone = mentry != STRANGER && !present;
#ifndef MUT_RECOVER_FENCES_LATE
		/* what came during the claim may be shut off, and not in the journal */
		if
		:: mstate == PREPARING && present -> engine_device_came()
		:: else
		fi;
#endif
		if
#ifndef MUT_NO_LOCK
		:: mstate != HOME && job != NOTHING -> locking = true
		:: else -> go_on()
#else
		:: go_on()
#endif
		fi;
		/* engine_fence_strangers() */
		if
		:: present -> engine_device_came()
		:: else
		fi;
		guard_look()
	}
}

inline take_up()
{
	atomic { up && locking && job == NOTHING -> locking = false; go_on() }
}

proctype Daemon()
{
end:
	do
	:: engine_claim(OWNER_0)
	:: engine_claim(OWNER_1)
	:: start_claim()
	:: engine_end()
	:: engine_abandon_claim()
	:: handoff_new()
	:: handoffs_end()
	:: on_handoffs_gone()
	:: release_fence_over()
	:: go_on_to_restoring()
	:: on_worker_done()
	:: engine_restore()
	:: on_uevent()
	:: on_fence_exited()
	:: on_fence_timer()
	:: on_stale_exited()
	:: on_guard_exited()
	:: crash()
	:: recover()
	:: take_up()
	od
}

/* ---------------------------------------------------------------- the invariants */

#define LEASED_NOW (dstate == LEASED || mstate == LEASED)

#define I1 (!(HOLDS(OWNER_0) && HOLDS(OWNER_1)) &&                                                 \
	    (!LEASED_NOW || (!HOLDS(OTHER(own)) && !HOLDS(EARLIER) &&                              \
			     (!HOLDS(CHILD) || (!handoff_old && handoff_of == own)))))

/* A withheld device is never the owner's; C is where it should be, or is being dealt with. */
#define I2_WITHHELD (!(dfd[B] & BIT(own)) || mode == GROUP || dstate == HOME)
#define I2_HELD	    (drv[A] == VFIO && drv[B] == B_TARGET)
#define I2_NEWCOMER                                                                                \
	(!present || (drv[C] == NONE && ovr[C] == NONE && mentry != STRANGER) || BEING_FENCED)
#define I2 (!LEASED_NOW || (I2_WITHHELD && I2_HELD && (!up || I2_NEWCOMER)))

#define OWNED (mstate == PREPARING || mstate == LEASED || mstate == DRAINING)
#define I6                                                                                         \
	(!up || !OWNED || !present || drv[C] != HOST || BEING_FENCED ||                       \
	 (mentry == WITHHELD && !gone && mstate == PREPARING))

/* The host has no device that is shut off still. */
#define AT_HOME                                                                                    \
	(!up || mstate != HOME || dstate != HOME || job != NOTHING || stray != NOTHING ||          \
	 (acl == NOBODY && (!present || ovr[C] != NONE)))

proctype Monitor()
{
end:
	if
	:: atomic { !(I1) -> printf("I1\n"); assert(I1) }
	:: atomic { !(I2) -> printf("I2\n"); assert(I2) }
	:: atomic { !(I6) -> printf("I6\n"); assert(I6) }
	:: atomic { !(AT_HOME) -> printf("HOME\n"); assert(AT_HOME) }
	fi
}

/* ---------------------------------------------------------------- the world at first */

init
{
	atomic {
		if
		:: drv[A] = HOST
		:: drv[A] = VFIO
		fi;
		if
		:: drv[B] = HOST
		:: drv[B] = VFIO
		:: drv[B] = NONE
		fi;
		ovr[A] = drv[A];
		ovr[B] = drv[B];
		ovr[C] = NONE;
		/* Whoever could open the node before keeps the group's fd. */
		if
		:: drv[A] == VFIO || drv[B] == VFIO -> gfd = EARLIER
		:: true
		fi;
		run Kernel();
		run Worker();
		run Fence();
		run Handoff();
		run Daemon();
		run Monitor();
		run Holder(OWNER_0);
		run Holder(OWNER_1);
		run Holder(EARLIER)
	}
}
