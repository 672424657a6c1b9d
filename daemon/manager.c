/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of manager.h: start and end, and who is told what. The policy's reload is in
 * manager-policy.c, device events are in manager-events.c. */

#include "daemon/manager.h"

#include "daemon/bus/bus.h"
#include "daemon/bus/refusals.h"
#include "daemon/bus/revoke.h"
#include "daemon/fault.h"
#include "daemon/hotplug/autoprobe.h"
#include "daemon/hotplug/probing.h"
#include "daemon/lease/places.h"
#include "daemon/manager-health.h"
#include "daemon/manager-internal.h"
#include "daemon/survey.h"
#include "daemon/sysfs/reset.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"
#include "daemon/vfio/features.h"
#include "daemon/vfio/node.h"
#include "policy/iommu-use.h"

#include <fcntl.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#define STATUS_USEC (1000 * 1000ULL)

/* ---- leases, as the engine tells */

static void on_use_flipped(const struct iommu *iommu, void *userdata)
{
	struct manager *manager = userdata;

	bus_announce_iommu(manager->bus, iommu->name);
}

void manager_count_uses(struct manager *manager)
{
	int r = iommu_use_update(&manager->topology, &manager->ledger, on_use_flipped, manager);

	if (r < 0)
		log_error("counting who uses the IOMMUs: %s", strerror(-r));
}

static void on_lease_changed(struct lease *lease, void *userdata)
{
	struct manager *manager = userdata;

	manager_count_uses(manager);
	bus_announce_lease(manager->bus, lease);
	probing_poke(manager->probing);
	manager_status(manager);
}

static int on_may_begin(struct lease *lease, void *userdata)
{
	struct manager *manager = userdata;

	return probing_ready(manager->probing, lease);
}

static void on_claims_go_on(void *userdata)
{
	struct manager *manager = userdata;

	engine_claims_go_on(&manager->engine);
}

static const struct probing_ops probing_ops = { .go_on = on_claims_go_on };

static void on_lease_removed(struct lease *lease, void *userdata)
{
	struct manager *manager = userdata;

	manager_count_uses(manager);
	/* Its signal needs the object gone, and the groups home, on the bus. */
	bus_announce_lease(manager->bus, lease);
	bus_lease_ended(manager->bus, lease);
	survey_poke(manager->survey);
	probing_poke(manager->probing);
	manager_status(manager);
}

static void on_fenced(struct lease *lease, const char *device, const char *outcome, void *userdata)
{
	struct manager *manager = userdata;
	const struct lease_device *d = lease_device(lease, device);

	bus_device_fenced(manager->bus, device, d ? d->group : ID_UNKNOWN, outcome);
}

static void on_group_changed(uint32_t group, void *userdata)
{
	struct manager *manager = userdata;
	int r = scan_group(&manager->scanner, group);

	if (r < 0)
		log_warning("reading group %u: %s", group, strerror(-r));
}

static void on_revoke_requested(struct lease *lease, void *userdata)
{
	struct manager *manager = userdata;

	bus_revoke_requested(manager->bus, lease);
}

static int on_vouch(struct lease *lease, void **query, void (**query_free)(void *), void *userdata)
{
	return bus_vouch(userdata, lease, query, query_free);
}

static const struct engine_ops engine_ops = {
	.changed = on_lease_changed,
	.may_begin = on_may_begin,
	.fenced = on_fenced,
	.group_changed = on_group_changed,
	.removed = on_lease_removed,
	.revoke_requested = on_revoke_requested,
	.vouch = on_vouch,
};

void manager_connection_gone(struct manager *manager, const char *name)
{
	HASH_FOREACH (lease, manager->ledger.leases)
		if (streq0(lease->connection, name) &&
		    streq0(lease->bus_id, bus_id(manager->bus)) && !lease->persist &&
		    !lease->has_lifeline)
			engine_end(&manager->engine, lease, "connection closed", true);
}

/* ---- leases of an earlier run: is who held them still there? */

static void on_name_checked(const char *name, bool present, void *userdata)
{
	if (!present)
		manager_connection_gone(userdata, name);
}

static void check_holder(struct manager *manager, struct lease *lease)
{
	if (lease->state != LEASE_LEASED || lease->persist || lease_has_live_lifeline(lease))
		return;
	if (lease->has_lifeline || !lease->connection ||
	    !streq0(lease->bus_id, bus_id(manager->bus)))
		engine_end(&manager->engine, lease, "holder gone", true);
	else if (bus_check_name(manager->bus, lease->connection, on_name_checked, manager) < 0)
		engine_end(&manager->engine, lease, "holder not known", true);
}

static void adopt_lifelines(struct manager *manager)
{
	_cleanup_strv_ char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names);

	for (int i = 0; i < n; i++) {
		int fd = SD_LISTEN_FDS_START + i;

		fcntl(fd, F_SETFD, FD_CLOEXEC);
		engine_adopt_lifeline(&manager->engine, names[i], fd);
	}
}

/* Whether a lease in node mode lets its owner into a node: that of another lease it does not. */
static bool lease_opens(const struct manager *manager, const struct lease *lease, const char *node)
{
	if (streq(node, "iommu"))
		return true;
	for (size_t i = 0; i < lease->n_devices; i++) {
		const struct lease_device *d = &lease->devices[i];
		const struct device *now = topology_device(&manager->topology, d->name);
		char group[32], cdev[64];

		if (d->state != DEVICE_GRANTED || d->gone)
			continue;
		snprintf(group, sizeof(group), "vfio/%u", d->group);
		snprintf(cdev, sizeof(cdev), "vfio/devices/%s",
			 now && now->vfio_node ? now->vfio_node : "");
		if (streq(node, group) || streq(node, cdev))
			return true;
	}
	return false;
}

static bool acl_explained(const char *node, uid_t uid, void *userdata)
{
	struct manager *manager = userdata;

	HASH_FOREACH (lease, manager->ledger.leases)
		if (lease->mode == MODE_NODE && lease->state == LEASE_LEASED &&
		    lease->owner == uid && lease_opens(manager, lease, node))
			return true;
	return false;
}

static int recover(struct manager *manager)
{
	int r;

	manager_drain_recover(manager);
	manager_health_recover(manager);
	manager->sriov.dir = manager->engine.journal.dir;
	sriov_recover(&manager->sriov);
	r = engine_recover(&manager->engine);
	if (r < 0)
		return r;
	engine_fence_strangers(&manager->engine);
	adopt_lifelines(manager);
	fault_point(RECOVER_ADOPTED);
	r = node_strip_all(&manager->host, acl_explained, manager);
	if (r < 0)
		log_warning("ACLs of VFIO nodes: %s", strerror(-r));
	fault_point(RECOVER_STRIPPED);
	return 0;
}

/* ---- the bus */

static void notify(struct manager *manager, const char *first)
{
	sd_notifyf(0, "%sSTATUS=%u devices in %u groups, %u leases%s", first,
		   HASH_COUNT(manager->topology.devices), HASH_COUNT(manager->topology.groups),
		   HASH_COUNT(manager->ledger.leases),
		   manager->policy ? "" : "; no policy is in force, every claim is refused");
}

static int on_status(sd_event_source *source, uint64_t usec, void *userdata)
{
	notify(userdata, "");
	return 0;
}

/* At most once a second: telling the service manager waits for it, and events come in bursts. */
void manager_status(struct manager *manager)
{
	int on = SD_EVENT_OFF;

	if (!manager->status_timer) {
		sd_event_add_time_relative(manager->event, &manager->status_timer, CLOCK_MONOTONIC,
					   STATUS_USEC, STATUS_USEC, on_status, manager);
		return;
	}
	sd_event_source_get_enabled(manager->status_timer, &on);
	if (on != SD_EVENT_OFF)
		return;
	sd_event_source_set_time_relative(manager->status_timer, STATUS_USEC);
	sd_event_source_set_enabled(manager->status_timer, SD_EVENT_ONESHOT);
}

void manager_maybe_ready(struct manager *manager)
{
	if (manager->told_ready || !manager->bus_ready || !manager->policy_read)
		return;
	manager->told_ready = true;
	log_record(MESSAGE_STARTED, LOG_INFO, LOG_FIELDS({ NULL, NULL }),
		   "vfiod " PACKAGE_VERSION ": %u devices in %u groups, %u leases",
		   HASH_COUNT(manager->topology.devices), HASH_COUNT(manager->topology.groups),
		   HASH_COUNT(manager->ledger.leases));
	notify(manager, "READY=1\n");
}

static void on_bus_ready(void *userdata)
{
	struct manager *manager = userdata;

	manager->bus_ready = true;
	HASH_FOREACH (lease, manager->ledger.leases)
		check_holder(manager, lease);
	manager_maybe_ready(manager);
}

static void on_bus_features(bool process_fd, void *userdata)
{
	struct manager *manager = userdata;

	if (manager->process_fd == process_fd)
		return;
	manager->process_fd = process_fd;
	bus_announce_manager(manager->bus);
}

static void on_bus_lost(const char *why, void *userdata)
{
	struct manager *manager = userdata;

	/* The service manager starts us again; the journals say what there was. */
	log_error("%s: ending, to be started again", why);
	sd_event_exit(manager->event, 1);
}

static const struct bus_ops bus_ops = {
	.ready = on_bus_ready,
	.features = on_bus_features,
	.lost = on_bus_lost,
};

/* ---- decisions */

int manager_decide(struct manager *manager, const struct request *request,
		   struct decision **decision)
{
	return decide(&manager->topology, manager->policy, &manager->ledger, &manager->features,
		      manager->draining || manager->engine.blind, request, decision);
}

/* ---- start and end */

int manager_new(sd_event *event, struct manager **ret)
{
	_cleanup_(manager_freep) struct manager *manager = calloc(1, sizeof(*manager));

	if (!manager)
		return -ENOMEM;
	manager->event = sd_event_ref(event);
	manager->host = (struct host){ -EBADF, -EBADF, -EBADF };
	manager->engine.journal.dir = -EBADF;
	topology_init(&manager->topology);
	ledger_init(&manager->ledger);
	*ret = STEAL(manager);
	return 0;
}

static int open_host(struct manager *manager)
{
	char release[FEATURES_RELEASE_SIZE];
	int r = host_open(&manager->host);

	if (r < 0)
		return r;
	manager->udev = udev_new();
	if (!manager->udev)
		return -ENOMEM;
	/* Without a hardware database there are no model names. */
	manager->hwdb = udev_hwdb_new(manager->udev);
	manager_events_init(manager);
	/* Events first, then the walk: what comes in between is seen twice, not missed. */
	r = monitor_new(manager->event, &manager_monitor_ops, manager, &manager->monitor);
	if (r < 0)
		return r;
	r = scan_all(&manager->scanner);
	if (r < 0)
		return r;
	features_read(&manager->host, &manager->features);
	features_release(&manager->host, release);
	manager->autoprobe_honoured = autoprobe_release_honours(release);
	manager->reset_spares_hotplug = sysfs_reset_spares_hotplug(release);
	return survey_new(manager->event, &manager->host, &manager->topology, &manager_survey_ops,
			  manager, &manager->survey);
}

static bool is_leased_by(uid_t owner, const char *name, void *userdata)
{
	const struct manager *manager = userdata;

	HASH_FOREACH (lease, manager->ledger.leases)
		if (lease->owner == owner && (!name || streq0(lease->name, name)))
			return true;
	return false;
}

int manager_start(struct manager *manager, const struct manager_paths *paths)
{
	int r;

	manager->paths = *paths;
	r = open_host(manager);
	if (r < 0) {
		log_error("reading the host: %s", strerror(-r));
		return r;
	}
	r = engine_init(&manager->engine, manager->event, &manager->host, &manager->topology,
			&manager->ledger, paths->journal, &engine_ops, manager);
	manager->engine.autoprobe_honoured = manager->autoprobe_honoured;
	if (r >= 0)
		r = probing_new(manager->event, &manager->host, &manager->engine, &probing_ops,
				manager, &manager->probing);
	if (r >= 0)
		r = recover(manager);
	if (r < 0) {
		log_error("%s: %s", paths->journal, strerror(-r));
		return r;
	}
	manager_count_uses(manager);
	r = places_new(manager->event, paths->places, is_leased_by, manager, &manager->places);
	if (r < 0)
		log_error("%s: %s; devices may get other guest addresses than before",
			  paths->places, strerror(-r));
	r = bus_new(manager, &bus_ops, manager, &manager->bus);
	if (r < 0) {
		log_error("joining the system bus: %s", strerror(-r));
		return r;
	}
	manager_reload(manager, NULL, NULL);
	return 0;
}

struct manager *manager_free(struct manager *manager)
{
	if (!manager)
		return NULL;
	manager_policy_done(manager);
	manager->bus = bus_free(manager->bus);
	refusals_free(manager->refusals);
	sd_event_source_disable_unref(manager->status_timer);
	sriov_changes_done(&manager->sriov);
	survey_free(manager->survey);
	places_free(manager->places);
	if (manager->engine.event)
		engine_done(&manager->engine);
	probing_free(manager->probing);
	ledger_done(&manager->ledger);
	monitor_free(manager->monitor);
	scanner_done(&manager->scanner);
	manager_health_done(manager);
	topology_done(&manager->topology);
	udev_hwdb_unref(manager->hwdb);
	udev_unref(manager->udev);
	host_close(&manager->host);
	sd_event_unref(manager->event);
	free(manager);
	return NULL;
}
