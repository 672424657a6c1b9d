/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of revoke.h. */

#include "daemon/lease/revoke.h"

#include "daemon/fault.h"
#include "daemon/lease/lifeline.h"
#include "daemon/lease/run.h"
#include "daemon/util/clock.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"

#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* What the ladder has come to, in the log, with those who are known to have fds. */
static void record(const struct lease *lease, const char *step, const char *note)
{
	_cleanup_strv_ char **holders = NULL;

	for (size_t i = 0; i < lease->n_holders; i++)
		if (strv_extendf(&holders, "%d %s", (int)lease->holders[i].pid,
				 lease->holders[i].command) < 0)
			break;
	log_record(MESSAGE_REVOKED, LOG_NOTICE,
		   LOG_FIELDS({ FIELD_LEASE, lease->id }, { FIELD_OWNER, LOG_NUMBER(lease->owner) },
			      { FIELD_STEP, step }, { FIELD_REASON, lease->revoke_reason },
			      { FIELD_OUTCOME, note }, { FIELD_HOLDER, .values = holders }),
		   "Lease %s is revoked (%s): %s%s%s", lease->id,
		   lease->revoke_reason ? lease->revoke_reason : "no reason given", step,
		   note ? ", " : "", note ? note : "");
}

/* A rung: on disk where that can be, in the log, on the bus. */
static void step_to(struct lease_run *run, enum revocation rung, const char *note)
{
	struct lease *lease = run->lease;
	int r;

	lease->revocation = rung;
	free_and_strdup(&lease->revoke_note, note);
	r = journal_write(&run->engine->journal, lease);
	if (r < 0)
		log_error("journal of lease %s: %s", lease->id, strerror(-r));
	record(lease, revocation_to_string(rung), note);
	run_changed(run);
}

static int arm(struct lease_run *run, uint64_t usec, sd_event_time_handler_t handler)
{
	run->revoke_timer = sd_event_source_disable_unref(run->revoke_timer);
	return sd_event_add_time_relative(run->engine->event, &run->revoke_timer, CLOCK_BOOTTIME,
					  usec, 0, handler, run);
}

/* ---- the last rung */

static bool over(const struct lease_run *run)
{
	return run->lease->state != LEASE_DRAINING;
}

/* NULL: killed; else why not. A literal. */
static const char *kill_process(struct lease_run *run, int pidfd, struct lifeline_info *info)
{
	int r = lifeline_inspect(run->engine->host, pidfd, run->lease->owner, false, info);

	if (r == LIFELINE_DEAD)
		return "it has ended already";
	if (r == LIFELINE_FOREIGN)
		return "it is no process of the owner's uid";
	if (r == LIFELINE_BAD_KIND || (r == 0 && info->kind != LIFELINE_PIDFD))
		return "it is no pidfd";
	if (r < 0)
		return "it cannot be looked at";
	/* The pidfd means this process and no other: its pid is not used again meanwhile. */
	if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0)
		return NULL;
	return errno == ESRCH ? "it has ended already" : "the kernel refused the signal";
}

static void try_to_kill(struct lease_run *run, const char *what, int pidfd)
{
	struct lifeline_info info = { .pid = 0 };
	const char *why = kill_process(run, pidfd, &info);
	char note[160];

	if (why)
		snprintf(note, sizeof(note), "%s: %s", what, why);
	else
		snprintf(note, sizeof(note), "process %d of uid %u, by %s", (int)info.pid, info.uid,
			 what);
	step_to(run, why ? REVOCATION_NOT_POSSIBLE : REVOCATION_KILLED, note);
	fault_point(REVOKE_KILLED);
}

static void drop_vouch(struct lease_run *run)
{
	if (run->vouch)
		run->vouch_free(run->vouch);
	run->vouch = NULL;
}

void engine_vouched(struct engine *engine, const char *id, int pidfd, const char *why)
{
	struct lease *lease = ledger_lease(engine->ledger, id);
	struct lease_run *run = lease ? lease_run(lease) : NULL;
	char note[160];

	if (!run)
		return;
	drop_vouch(run);
	if (over(run))
		return;
	if (pidfd >= 0) {
		try_to_kill(run, "the process that the bus vouches for", pidfd);
		return;
	}
	snprintf(note, sizeof(note), "the bus vouches for no process: %s", why);
	step_to(run, REVOCATION_NOT_POSSIBLE, note);
}

static void ask_the_bus(struct lease_run *run)
{
	const struct engine *engine = run->engine;
	int r = -ENXIO;

	drop_vouch(run);
	if (run->lease->connection && engine->ops->vouch)
		r = engine->ops->vouch(run->lease, &run->vouch, &run->vouch_free, engine->userdata);
	if (r < 0)
		step_to(run, REVOCATION_NOT_POSSIBLE,
			"there is no pidfd lifeline, and no connection on this bus to vouch for");
}

static int lifeline_of(const struct lease_run *run)
{
	return run->kill_fd >= 0 ? run->kill_fd : run->lifeline;
}

/* Of a part of a lease, that lease's: it had no other while it was one with it. */
static int find_lifeline(const struct lease_run *run)
{
	const char *part_of = run->lease->part_of;
	const struct lease *whole = part_of ? ledger_lease(run->engine->ledger, part_of) : NULL;
	int fd = lifeline_of(run);

	return fd < 0 && whole && lease_run(whole) ? lifeline_of(lease_run(whole)) : fd;
}

static int on_kill(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct lease_run *run = userdata;
	int lifeline;

	run->revoke_timer = sd_event_source_disable_unref(run->revoke_timer);
	if (over(run))
		return 0;
	lifeline = find_lifeline(run);
	/* A pipe or a socket means no process. A pidfd means one, and nobody in its place. */
	if (lifeline >= 0 && lifeline_is_pidfd(lifeline))
		try_to_kill(run, "the lifeline", lifeline);
	else
		ask_the_bus(run);
	return 0;
}

/* ---- the deadline */

static void unbind(struct lease_run *run)
{
	struct lease *lease = run->lease;
	_cleanup_free_ char *reason = NULL;

	lease->revocation = REVOCATION_UNBINDING;
	fault_point(REVOKE_DEADLINE);
	if (asprintf(&reason, "revoked%s%s", lease->revoke_reason ? ": " : "",
		     lease->revoke_reason ? lease->revoke_reason : "") < 0)
		reason = NULL;
	if (lease->state == LEASE_LEASED)
		engine_end(run->engine, lease, reason ? reason : "revoked", true);
}

static void unbind_or_go_on(struct lease_run *run)
{
	struct engine *engine = run->engine;
	const char *note = run->lease->state == LEASE_LEASED
				   ? "the owner has not given it back"
				   : "the owner has given it back, and fds of it are open";
	_cleanup_free_ char *id = strdup(run->lease->id);
	struct lease *lease;
	int r;

	unbind(run);
	/* The drain may have been the lease's last act. */
	lease = id ? ledger_lease(engine->ledger, id) : NULL;
	if (!lease || over(lease_run(lease)))
		return;
	run = lease_run(lease);
	step_to(run, REVOCATION_UNBINDING, note);
	if (lease->revoke != REVOKE_KILL)
		return;
	r = arm(run, REVOKE_KILL_USEC, on_kill);
	if (r < 0)
		log_error("lease %s: no timer to kill its holder: %s", lease->id, strerror(-r));
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct lease_run *run = userdata;

	run->revoke_timer = sd_event_source_disable_unref(run->revoke_timer);
	unbind_or_go_on(run);
	return 0;
}

/* ---- the beginning, and the end */

int engine_revoke(struct engine *engine, struct lease *lease, uint64_t grace_usec,
		  const char *reason)
{
	struct lease_run *run = lease_run(lease);
	enum revocation rung_before = lease->revocation;
	uint64_t deadline_before = lease->revoke_deadline_usec;
	char *reason_before = lease->revoke_reason;
	int r;

	if (lease->state != LEASE_LEASED && lease->state != LEASE_DRAINING)
		return -EINVAL;
	if (grace_usec > REVOKE_GRACE_MAX)
		return -ERANGE;
	lease->revoke_reason = *reason ? strdup(reason) : NULL;
	if (*reason && !lease->revoke_reason) {
		lease->revoke_reason = reason_before;
		return -ENOMEM;
	}
	lease->revocation = REVOCATION_ASKED;
	lease->revoke_deadline_usec = realtime_usec() + grace_usec;
	r = journal_write(&engine->journal, lease);
	if (r >= 0)
		r = arm(run, grace_usec, on_deadline);
	if (r < 0) {
		free(lease->revoke_reason);
		lease->revoke_reason = reason_before;
		lease->revocation = rung_before;
		lease->revoke_deadline_usec = deadline_before;
		/* One that was under way goes on. */
		revoke_recover(run);
		return r;
	}
	free(reason_before);
	fault_point(REVOKE_JOURNALED);
	step_to(run, REVOCATION_ASKED, NULL);
	engine->ops->revoke_requested(lease, engine->userdata);
	return 0;
}

/* The lease ended before its deadline: what is left is the barrier, as for every other. */
void revoke_over(struct lease_run *run)
{
	if (run->lease->revocation != REVOCATION_ASKED)
		return;
	run->revoke_timer = sd_event_source_disable_unref(run->revoke_timer);
	record(run->lease, "ended", "the lease ended before the deadline");
	run->lease->revocation = REVOCATION_NONE;
	run->lease->revoke_deadline_usec = 0;
	/* For the state's sake, not for safety's: a deadline that is found later has nothing to do.
	 */
	if (journal_write(&run->engine->journal, run->lease) < 0)
		log_warning("lease %s: the end of its revocation is not in its journal",
			    run->lease->id);
}

void revoke_done(struct lease_run *run)
{
	run->revoke_timer = sd_event_source_disable_unref(run->revoke_timer);
	drop_vouch(run);
	if (run->lease->revocation != REVOCATION_NONE)
		record(run->lease, "ended", "every unbind has returned");
}

void revoke_recover(struct lease_run *run)
{
	const struct lease *lease = run->lease;
	uint64_t now = realtime_usec(), left = 0;
	int r = 0;

	if (lease->revocation == REVOCATION_ASKED) {
		if (lease->revoke_deadline_usec > now)
			left = lease->revoke_deadline_usec - now;
		/* A clock that was set back must not make it longer than it can be. */
		if (left > REVOKE_GRACE_MAX)
			left = REVOKE_GRACE_MAX;
		r = arm(run, left, on_deadline);
	} else if (lease->revocation == REVOCATION_UNBINDING && lease->revoke == REVOKE_KILL) {
		r = arm(run, REVOKE_KILL_USEC, on_kill);
	}
	if (r < 0)
		log_error("lease %s: no timer for its revocation: %s", lease->id, strerror(-r));
}
