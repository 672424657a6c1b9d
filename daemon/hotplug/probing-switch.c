/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Who probes new PCI devices, and the way from one to the other: the states of probing.h, the
 * keeper, and what is done when somebody else writes drivers_autoprobe.
 */

#include "daemon/hotplug/net.h"
#include "daemon/hotplug/probing-internal.h"
#include "daemon/util/clock.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"

#define RETRY_USEC	 (5 * 1000 * 1000ULL)
#define LOCK_RETRY_USEC	 (100 * 1000ULL)
#define PEACE_USEC	 (60 * 1000 * 1000ULL)
#define INTERFERENCE_MAX 5

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct probing *probing = userdata;

	probing->retry = sd_event_source_disable_unref(probing->retry);
	probing_update(probing);
	return 0;
}

static void retry_later(struct probing *probing, uint64_t usec)
{
	probing->retry = sd_event_source_disable_unref(probing->retry);
	if (sd_event_add_time_relative(probing->event, &probing->retry, CLOCK_MONOTONIC, usec, 0,
				       on_retry, probing) < 0)
		log_error("no timer for the PCI bus' probing");
}

bool probing_is_wanted(const struct probing *probing)
{
	return probing->broker && probing->honoured &&
	       (probing->engine->ledger->leases || probing->engine->blind);
}

/* ---- somebody else writes it */

/*
 * What they wrote is what it is to be in the end: an administrator who wants new devices probed
 * gets that, as soon as nobody's devices are at stake.
 */
static void on_written(void *userdata)
{
	struct probing *probing = userdata;
	uint64_t now = monotonic_usec();
	bool on = false;
	int r = autoprobe_get(probing->host, &on);

	if (probing->state != BY_BROKER || r < 0 || !on)
		return;
	if (now - probing->interfered_since > PEACE_USEC) {
		probing->interfered_since = now;
		probing->n_interfered = 0;
	}
	probing->n_interfered++;
	log_record(MESSAGE_PROBING_INTERFERED, LOG_WARNING, LOG_FIELDS({ NULL, NULL }),
		   "Somebody else wrote 1 to drivers_autoprobe of the PCI bus while devices are "
		   "leased: %s; the policy's \"hotplug\" says who probes",
		   probing->n_interfered > INTERFERENCE_MAX
			   ? "again and again, so it stays for a minute, and what comes to a "
			     "leased group is unbound"
			   : "put right");
	if (!probing->prior)
		r = autoprobe_note_prior(probing->dir, true);
	if (r < 0)
		log_error("/run/vfiod/" AUTOPROBE_FILE ": %s", strerror(-r));
	probing->state = BY_KERNEL;
	probing->left = true;
	if (probing->n_interfered > INTERFERENCE_MAX)
		retry_later(probing, PEACE_USEC);
	else
		probing_update(probing);
}

/* ---- the keeper */

static void on_keeper_died(void *userdata)
{
	struct probing *probing = userdata;

	probing->keeper = keeper_free(probing->keeper);
	if (probing->state == BY_KERNEL)
		return;
	log_warning("The process that would give the PCI bus' probing back after a crash is gone; "
		    "starting another");
	retry_later(probing, LOCK_RETRY_USEC);
}

static int need_keeper(struct probing *probing)
{
	if (probing->keeper)
		return 0;
	return keeper_start(probing->event, probing->host, probing->dir,
			    probing->engine->journal.dir, on_keeper_died, probing,
			    &probing->keeper);
}

/* ---- switching */

static void give_up(struct probing *probing, int error)
{
	probing->failed = error;
	log_record(MESSAGE_PROBING_FAILED, LOG_ERR, LOG_FIELDS({ FIELD_REASON, strerror(-error) }),
		   "The probing of new PCI devices could not be taken over: %s; what comes to a "
		   "leased group is shut off when its event comes, and new leases are refused",
		   strerror(-error));
	probing->state = BY_KERNEL;
	probing->left = true;
	retry_later(probing, RETRY_USEC);
}

static void on_waits(const char *device, void *userdata)
{
	struct probing *probing = userdata;
	const struct device *known = topology_device(probing->engine->topology, device);

	if (!probing_is_being_made(probing, device) && !(known && known->unprobed))
		arrivals_found(probing->arrivals, device);
}

static void watch(struct probing *probing)
{
	int r = probing->watch ? 0
			       : autoprobe_watch_new(probing->event, probing->host, on_written,
						     probing, &probing->watch);

	if (r < 0)
		log_warning("drivers_autoprobe cannot be watched: %s", strerror(-r));
}

static void taken(struct probing *probing, int result, bool prior)
{
	if (result < 0) {
		give_up(probing, result);
		return;
	}
	probing->state = BY_BROKER;
	probing->left = false;
	probing->prior = prior;
	watch(probing);
	/* Somebody may have written before the watch, or between the child's write and its end. */
	on_written(probing);
}

/*
 * It said why, or was killed, before or after its write: the attribute says which. Where the kernel
 * probes already, a claim that comes before the next try has it taken again.
 */
static void not_given_back(struct probing *probing)
{
	bool on = false;

	/* First: what others write from now on is theirs. */
	watch(probing);
	probing->left = autoprobe_get(probing->host, &on) >= 0 && on;
	probing->state = probing->left ? BY_KERNEL : BY_BROKER;
	if (probing->left)
		probing->given_back_usec = monotonic_usec();
	retry_later(probing, RETRY_USEC);
}

static void given_back(struct probing *probing, int result)
{
	if (result < 0) {
		not_given_back(probing);
		return;
	}
	probing->state = BY_KERNEL;
	probing->left = false;
	probing->given_back_usec = monotonic_usec();
	probing->keeper = keeper_dismiss(probing->keeper);
}

static void on_switched(int result, bool prior, void *userdata)
{
	struct probing *probing = userdata;

	probing->switcher = switcher_free(probing->switcher);
	if (probing->state == TAKING)
		taken(probing, result, prior);
	else if (probing->state == GIVING_BACK)
		given_back(probing, result);
	probing_poke(probing);
}

static int start_switch(struct probing *probing, enum switch_to to)
{
	static const struct switcher_ops ops = { .waits = on_waits, .done = on_switched };
	const struct switch_request request = {
		.to = to,
		.host = probing->host,
		.dir = probing->dir,
		.lock = probing->lock,
		.ledger = probing->engine->ledger,
		.blind = probing->engine->blind,
	};

	return switcher_start(probing->event, &request, &ops, probing, &probing->switcher);
}

static void take(struct probing *probing)
{
	int r = need_keeper(probing);

	probing->state = TAKING;
	if (r >= 0)
		r = start_switch(probing, SWITCH_TAKE);
	if (r >= 0)
		return;
	give_up(probing, r);
	probing_poke(probing);
}

static void begin_to_give_back(struct probing *probing)
{
	int r;

	/* It is the daemon's own write that comes now. */
	probing->watch = autoprobe_watch_free(probing->watch);
	probing->state = GIVING_BACK;
	r = start_switch(probing, SWITCH_GIVE_BACK);
	if (r >= 0)
		return;
	log_error("The PCI bus' probing cannot be given back: %s; trying again", strerror(-r));
	given_back(probing, r);
}

int probing_start_look(struct probing *probing)
{
	return start_switch(probing, SWITCH_LOOK);
}

/* A net of the daemon before may be at work yet. */
static bool have_lock(struct probing *probing)
{
	if (probing->lock < 0)
		probing->lock = net_lock(probing->dir, true);
	if (probing->lock >= 0)
		return true;
	if (probing->lock == -EWOULDBLOCK) {
		retry_later(probing, LOCK_RETRY_USEC);
	} else {
		give_up(probing, probing->lock);
		probing_poke(probing);
	}
	return false;
}

void probing_update(struct probing *probing)
{
	bool wanted = probing_is_wanted(probing);

	if (!probing->policy_known || probing->switcher || probing->retry)
		return;
	if (!wanted && probing->state == BY_KERNEL && !probing->left)
		return;
	if (!have_lock(probing))
		return;
	if (wanted && probing->state == BY_KERNEL)
		take(probing);
	else if (!wanted)
		begin_to_give_back(probing);
	else if (need_keeper(probing) < 0)
		retry_later(probing, RETRY_USEC);
}
