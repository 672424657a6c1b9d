/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of probing.h: what others ask and tell. */

#include "daemon/hotplug/net.h"
#include "daemon/hotplug/probing-internal.h"
#include "daemon/sysfs/attr.h"
#include "daemon/util/clock.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"

#include <fcntl.h>
#include <sys/stat.h>

#define LATE_USEC (2 * 1000 * 1000ULL)

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
	probing_update(probing);
	arrivals_turn(probing->arrivals);
	return 0;
}

/* It waits for no probe, for whoever comes after this daemon too. */
static void note_known(struct probing *probing, const char *device)
{
	int r;

	/* The file is no more, or about to go, and it has a driver, or nothing would take it. */
	if (probing->state == BY_KERNEL || probing->state == GIVING_BACK)
		return;
	r = autoprobe_note_known(probing->dir, probing->host, device);
	if (r < 0)
		log_error("/run/vfiod/" AUTOPROBE_FILE ": %s; %s may be probed once more",
			  strerror(-r), device);
}

/* The topology may not know yet whose it is: the kernel makes the links after the "add" event. */
bool probing_is_being_made(const struct probing *probing, const char *name)
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
	if (!probing_is_wanted(probing) || (probing->state == BY_BROKER && !probing->switcher))
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
	    probing_is_being_made(probing, device))
		return true;
	return group != ID_UNKNOWN && ledger_group(probing->engine->ledger, group);
}

/* A driver may have been registered just before it was given back, and its event come after. */
static bool was_by_broker(const struct probing *probing)
{
	return probing->state != BY_KERNEL ||
	       (probing->given_back_usec &&
		monotonic_usec() - probing->given_back_usec < LATE_USEC);
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
	if (probing_is_being_made(probing, device))
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
	if (probing_start_look(probing) < 0)
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
