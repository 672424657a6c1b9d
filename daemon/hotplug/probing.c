/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of probing.h. */

#include "daemon/hotplug/probing.h"

#include "daemon/hotplug/arrivals.h"
#include "daemon/hotplug/net.h"
#include "daemon/hotplug/switch.h"
#include "daemon/sysfs/attr.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#define RETRY_USEC	 (5 * 1000 * 1000ULL)
#define LOCK_RETRY_USEC	 (100 * 1000ULL)
#define PEACE_USEC	 (60 * 1000 * 1000ULL)
#define LATE_USEC	 (2 * 1000 * 1000ULL)
#define INTERFERENCE_MAX 5

enum probing_state { BY_KERNEL, TAKING, BY_BROKER, GIVING_BACK };

struct probing {
	sd_event *event;
	const struct host *host;
	struct engine *engine;
	const struct probing_ops *ops;
	void *userdata;

	int dir;  /* /run/vfiod */
	int lock; /* of net.h; -EBADF: another has it yet */
	enum probing_state state;
	bool policy_known, broker, honoured, told_old;
	bool left;  /* the file may be there, though it is not by the broker */
	bool prior; /* what it was; good from BY_BROKER on */
	int failed; /* -errno, for the claims that wait */

	struct switcher *switcher;
	struct keeper *keeper;
	struct arrivals *arrivals;
	struct autoprobe_watch *watch;
	unsigned int n_interfered;
	uint64_t interfered_since;
	uint64_t given_back_usec;
	sd_event_source *retry;
	sd_event_source *poke;
	bool poked; /* its turn is under way */
};

static void update(struct probing *probing);

static uint64_t now_usec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct probing *probing = userdata;

	probing->retry = sd_event_source_disable_unref(probing->retry);
	update(probing);
	return 0;
}

static void retry_later(struct probing *probing, uint64_t usec)
{
	probing->retry = sd_event_source_disable_unref(probing->retry);
	if (sd_event_add_time_relative(probing->event, &probing->retry, CLOCK_MONOTONIC, usec, 0,
				       on_retry, probing) < 0)
		log_error("no timer for the PCI bus' probing");
}

void probing_poke(struct probing *probing)
{
	if (!probing->poked)
		sd_event_source_set_enabled(probing->poke, SD_EVENT_ONESHOT);
}

static int on_poke(sd_event_source *source, void *userdata)
{
	struct probing *probing = userdata;

	probing->poked = true;
	/* With the last attempt's failure, if it failed: who waited for that is told. */
	probing->ops->go_on(probing->userdata);
	probing->failed = 0;
	probing->poked = false;
	update(probing);
	arrivals_turn(probing->arrivals);
	return 0;
}

static bool is_wanted(const struct probing *probing)
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
	uint64_t now = now_usec();
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
		update(probing);
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

/* It waits for no probe, for whoever comes after this daemon too. */
static void note_known(struct probing *probing, const char *device)
{
	int r;

	if (probing->state == BY_KERNEL)
		return;
	r = autoprobe_note_known(probing->dir, probing->host, device);
	if (r < 0)
		log_error("/run/vfiod/" AUTOPROBE_FILE ": %s; %s may be probed once more",
			  strerror(-r), device);
}

/*
 * A virtual function that is being made: the VF fence is on, and it is to have no host driver. The
 * topology may not know yet whose it is: the kernel makes the links after the "add" event.
 */
static bool is_being_made(const struct probing *probing, const char *name)
{
	const struct topology *topology = probing->engine->topology;
	const struct device *device = topology_device(topology, name), *physical;
	_cleanup_free_ char *path = NULL, *function = NULL;

	if (asprintf(&path, "bus/pci/devices/%s/physfn", name) < 0) {
		path = NULL;
		return true;
	}
	/* Not there: the topology's word, if it has one. */
	if (attr_read_link(probing->host->sys, path, &function) != 0 && device &&
	    device->physical_function)
		function = strdup(device->physical_function);
	physical = function ? topology_device(topology, function) : NULL;
	return physical && physical->sriov_busy;
}

static void on_waits(const char *device, void *userdata)
{
	struct probing *probing = userdata;
	const struct device *known = topology_device(probing->engine->topology, device);

	if (is_being_made(probing, device) || (known && known->unprobed))
		return;
	arrivals_came(probing->arrivals, device);
	arrivals_settled(probing->arrivals, device);
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
	if (probing->watch)
		return;
	result = autoprobe_watch_new(probing->event, probing->host, on_written, probing,
				     &probing->watch);
	if (result < 0)
		log_warning("drivers_autoprobe cannot be watched: %s", strerror(-result));
}

static void given_back(struct probing *probing, int result)
{
	if (result < 0) {
		/* It said why. */
		probing->state = BY_BROKER;
		retry_later(probing, RETRY_USEC);
		return;
	}
	probing->state = BY_KERNEL;
	probing->left = false;
	probing->given_back_usec = now_usec();
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

/* Goes where it should be, unless it is on a way, or waits before it tries again. */
static void update(struct probing *probing)
{
	bool wanted = is_wanted(probing);

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

/* ---- what others ask and tell */

static bool is_busy(const struct probing *probing, const struct lease *lease)
{
	for (size_t i = 0; i < lease->n_devices; i++)
		if (arrivals_busy_with(probing->arrivals, lease->devices[i].name))
			return true;
	return false;
}

int probing_ready(struct probing *probing, const struct lease *lease)
{
	if (is_busy(probing, lease))
		return 0;
	if (!is_wanted(probing) || (probing->state == BY_BROKER && !probing->switcher))
		return 1;
	if (probing->failed)
		return probing->failed;
	/* Somebody asks: now, and not when it would have been tried again. */
	if (!probing->switcher && probing->lock >= 0)
		probing->retry = sd_event_source_disable_unref(probing->retry);
	probing_poke(probing);
	return 0;
}

void probing_set_policy(struct probing *probing, bool broker, bool honoured)
{
	probing->policy_known = true;
	probing->broker = broker;
	probing->honoured = honoured;
	if (broker && !honoured && !probing->told_old) {
		probing->told_old = true;
		log_record(MESSAGE_PROBING_OLD_KERNEL, LOG_WARNING, LOG_FIELDS({ NULL, NULL }),
			   "The policy has vfiod probe new devices, and this kernel probes them "
			   "whatever drivers_autoprobe says (Linux 6.19 and later do not): what "
			   "comes to a leased group is shut off when its event comes");
	}
	probing_poke(probing);
}

static bool is_of_pci(const struct uevent *event)
{
	static const char drivers[] = "/sys/bus/pci/drivers/";

	return streq(event->subsystem, "drivers") &&
	       strncmp(event->syspath, drivers, strlen(drivers)) == 0;
}

static bool is_owned(const char *device, void *userdata)
{
	struct probing *probing = userdata;
	uint32_t group = net_group_of(probing->host, device);

	if (probing->engine->blind || ledger_device(probing->engine->ledger, device) ||
	    is_being_made(probing, device))
		return true;
	return group != ID_UNKNOWN && ledger_group(probing->engine->ledger, group);
}

/* A driver may have been registered just before it was given back, and its event come after. */
static bool was_by_broker(const struct probing *probing)
{
	return probing->state != BY_KERNEL ||
	       (probing->given_back_usec && now_usec() - probing->given_back_usec < LATE_USEC);
}

/* The kernel has bound it to nothing: that is done here, and to this driver alone. */
static void on_driver(struct probing *probing, const char *driver)
{
	if (!was_by_broker(probing) || !probing->prior)
		return;
	HASH_FOREACH (device, probing->engine->topology->devices)
		if (streq(device->subsystem, "pci") && !device->driver &&
		    !is_owned(device->name, probing))
			arrivals_driver(probing->arrivals, driver, device->name);
	arrivals_turn(probing->arrivals);
}

/* Who is here while the kernel probes matters only if the switch may come. */
static bool is_of_interest(const struct probing *probing)
{
	return was_by_broker(probing) || (probing->broker && probing->honoured);
}

void probing_device_came(struct probing *probing, const char *device)
{
	if (!is_of_interest(probing))
		return;
	if (is_being_made(probing, device))
		probing_function_made(probing, device);
	else
		arrivals_came(probing->arrivals, device);
}

void probing_function_made(struct probing *probing, const char *device)
{
	arrivals_went(probing->arrivals, device);
	note_known(probing, device);
}

void probing_kernel_event(struct probing *probing, const struct uevent *event)
{
	if (!is_of_interest(probing))
		return;
	if (is_of_pci(event) && streq(event->action, "add"))
		on_driver(probing, event->name);
	if (!streq(event->subsystem, "pci"))
		return;
	if (streq(event->action, "remove"))
		arrivals_went(probing->arrivals, event->name);
	/* What a lease does with a device of its own decides nothing about the host's driver. */
	else if ((streq(event->action, "bind") || streq(event->action, "unbind")) &&
		 !is_owned(event->name, probing))
		arrivals_decided(probing->arrivals, event->name);
}

void probing_udev_event(struct probing *probing, const struct uevent *event)
{
	if (streq(event->subsystem, "pci") && streq(event->action, "add"))
		arrivals_settled(probing->arrivals, event->name);
}

void probing_look(struct probing *probing)
{
	if (probing->state != BY_BROKER || probing->switcher)
		return;
	if (start_switch(probing, SWITCH_LOOK) < 0)
		log_error("no process to look for devices that wait for their first probe");
}

/* ---- arrivals */

static bool may_probe(void *userdata)
{
	const struct probing *probing = userdata;

	/* Where an administrator had it at 0, nothing new is to be probed. */
	return probing->state == BY_BROKER && probing->prior;
}

static void on_probed(const char *device, void *userdata)
{
	note_known(userdata, device);
}

static void on_idle(void *userdata)
{
	probing_poke(userdata);
}

static const struct arrivals_ops arrivals_ops = {
	.may_probe = may_probe,
	.is_owned = is_owned,
	.probed = on_probed,
	.idle = on_idle,
};

/* ---- life */

static int open_dir(struct probing *probing)
{
	struct stat st;

	probing->dir =
		openat(probing->engine->journal.dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (probing->dir < 0)
		return -errno;
	probing->left = fstatat(probing->dir, AUTOPROBE_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0;
	return 0;
}

int probing_new(sd_event *event, const struct host *host, struct engine *engine,
		const struct probing_ops *ops, void *userdata, struct probing **ret)
{
	_cleanup_(probing_freep) struct probing *probing = calloc(1, sizeof(*probing));
	int r;

	if (!probing)
		return -ENOMEM;
	probing->event = event;
	probing->host = host;
	probing->engine = engine;
	probing->ops = ops;
	probing->userdata = userdata;
	probing->dir = probing->lock = -EBADF;
	r = open_dir(probing);
	if (r >= 0)
		r = arrivals_new(event, host, &arrivals_ops, probing, &probing->arrivals);
	if (r >= 0)
		r = sd_event_add_defer(event, &probing->poke, on_poke, probing);
	if (r >= 0)
		r = sd_event_source_set_enabled(probing->poke, SD_EVENT_OFF);
	if (r < 0)
		return r;
	/* Early: the nets of the daemon before see that they are not needed. */
	probing->lock = net_lock(probing->dir, true);
	*ret = STEAL(probing);
	return 0;
}

struct probing *probing_free(struct probing *probing)
{
	if (!probing)
		return NULL;
	arrivals_free(probing->arrivals);
	autoprobe_watch_free(probing->watch);
	switcher_free(probing->switcher);
	sd_event_source_disable_unref(probing->retry);
	sd_event_source_disable_unref(probing->poke);
	keeper_free(probing->keeper);
	fd_close(probing->lock);
	fd_close(probing->dir);
	free(probing);
	return NULL;
}
