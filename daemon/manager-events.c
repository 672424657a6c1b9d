/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Device events: what changed in sysfs goes into the topology, and from there to the bus. */

#include "daemon/bus/bus.h"
#include "daemon/hotplug/probing.h"
#include "daemon/manager-health.h"
#include "daemon/manager-internal.h"
#include "daemon/survey.h"
#include "daemon/sysfs/attr.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"
#include "daemon/vfio/features.h"
#include "daemon/vfio/node.h"

#include <stdio.h>

static void device_changed(struct manager *manager, const char *name, enum topology_change change)
{
	const struct device *device = topology_device(&manager->topology, name);

	if (change == TOPOLOGY_ADDED || change == TOPOLOGY_REPLACED) {
		manager_health_appeared(manager, name);
		sriov_device_came(&manager->sriov, name);
	}
	/* The first walk is over before there is anything to be probed. */
	if (manager->probing && device && streq(device->subsystem, "pci") &&
	    (change == TOPOLOGY_ADDED || change == TOPOLOGY_REPLACED))
		probing_device_came(manager->probing, name);
}

static void on_changed(enum topology_object object, const char *name, uint32_t group,
		       enum topology_change change, void *userdata)
{
	struct manager *manager = userdata;
	/* What is removed and added again before anybody was told is another one. */
	bool replaced = change == TOPOLOGY_REPLACED || change == TOPOLOGY_REMOVED;

	if (change == TOPOLOGY_SAME)
		return;
	switch (object) {
	case OBJECT_IOMMU:
		bus_announce_iommu(manager->bus, name);
		return;
	case OBJECT_GROUP:
		bus_announce_group(manager->bus, group, replaced);
		bus_announce_iommus(manager->bus);
		return;
	case OBJECT_DEVICE:
		device_changed(manager, name, change);
		bus_announce_device(manager->bus, name, replaced);
		bus_announce_group(manager->bus, group, false);
		if (change != TOPOLOGY_CHANGED)
			bus_announce_iommus(manager->bus);
		survey_poke(manager->survey);
		return;
	}
}

/*
 * While a probe is tried the driver's link is there (really_probe(), driver_sysfs_add()), and when
 * it fails no event says that the link has gone. What was read then is read again, and what a
 * survey saw with that driver is forgotten.
 */
static struct device *read_again(struct manager *manager, const char *subsystem, const char *name)
{
	struct device *device;
	int r = scan_one(&manager->scanner, subsystem, name);

	if (r < 0)
		log_warning("reading %s: %s", name, strerror(-r));
	device = topology_device(&manager->topology, name);
	if (device && !device->driver && device->uses.n > 0) {
		use_list_done(&device->uses);
		manager_on_surveyed(name, manager);
	}
	return device;
}

/*
 * The functions' events come before their first probe, which the VF fence refuses. Also those whose
 * events were lost, or were before their links.
 */
static void on_sriov_settled(const char *device, void *userdata)
{
	struct manager *manager = userdata;
	const struct device *physical = read_again(manager, "pci", device);
	/* A copy: reading them may put others in the topology's place. */
	_cleanup_strv_ char **names = physical ? strv_copy(physical->virtual_functions) : NULL;

	STRV_FOREACH (name, names) {
		struct device *function = read_again(manager, "pci", *name);

		if (!function || !manager->probing)
			continue;
		function->unprobed = true;
		probing_function_made(manager->probing, *name);
	}
	survey_poke(manager->survey);
}

void manager_events_init(struct manager *manager)
{
	manager->scanner = (struct scanner){
		.host = &manager->host,
		.hwdb = manager->hwdb,
		.topology = &manager->topology,
		.changed = on_changed,
		.userdata = manager,
	};
	manager->sriov = (struct sriov_changes){
		.event = manager->event,
		.host = &manager->host,
		.topology = &manager->topology,
		.settled = on_sriov_settled,
		.userdata = manager,
	};
}

void manager_on_surveyed(const char *device, void *userdata)
{
	struct manager *manager = userdata;
	const struct device *d = topology_device(&manager->topology, device);

	bus_announce_device(manager->bus, device, false);
	if (d)
		bus_announce_group(manager->bus, d->group_id, false);
}

static void on_stale(const char *device, void *userdata)
{
	struct manager *manager = userdata;
	const struct device *d = topology_device(&manager->topology, device);
	_cleanup_free_ char *subsystem = d ? strdup(d->subsystem) : NULL;

	if (subsystem)
		read_again(manager, subsystem, device);
	survey_poke(manager->survey);
}

const struct survey_ops manager_survey_ops = {
	.changed = manager_on_surveyed,
	.stale = on_stale,
};

int manager_rescan(struct manager *manager)
{
	struct host_features before = manager->features;
	int r = scan_all(&manager->scanner);

	engine_fence_strangers(&manager->engine);
	probing_look(manager->probing);
	features_read(&manager->host, &manager->features);
	if (memcmp(&before, &manager->features, sizeof(before)) != 0)
		bus_announce_manager(manager->bus);
	survey_poke(manager->survey);
	manager_count_uses(manager);
	manager_status(manager);
	return r;
}

static bool is_scanned(const char *subsystem)
{
	for (size_t i = 0; scan_subsystems[i]; i++)
		if (streq(scan_subsystems[i], subsystem))
			return true;
	return false;
}

/* ---- nodes: a udev rule may have opened one to others while it is leased */

/* The device above a class device: …/0000:03:00.0/vfio-dev/vfio3. */
static struct lease *lease_above(struct manager *manager, const char *syspath)
{
	HASH_FOREACH (lease, manager->ledger.leases)
		for (size_t i = 0; i < lease->n_devices; i++) {
			const char *above = lease->devices[i].syspath;

			if (above && strncmp(syspath, above, strlen(above)) == 0 &&
			    syspath[strlen(above)] == '/')
				return lease;
		}
	return NULL;
}

static void check_node(struct manager *manager, struct lease *lease, const char *node)
{
	_cleanup_free_ char *why = NULL;
	size_t n_allowed = lease->mode == MODE_NODE ? 1 : 0;
	int r;

	r = node_check(&manager->host, node, &lease->owner, n_allowed, &why);
	if (r != NODE_FOREIGN)
		return;
	r = node_reset(&manager->host, node);
	if (r >= 0 && n_allowed)
		r = node_grant(&manager->host, node, lease->owner);
	log_record(
		MESSAGE_NODE_FOREIGN, LOG_ERR,
		LOG_FIELDS({ FIELD_LEASE, lease->id }, { FIELD_NODE, node }, { FIELD_REASON, why }),
		"/dev/%s of lease %s was opened to others (%s) and %s%s; remove the udev rule "
		"that does this",
		node, lease->id, why ? why : "?",
		r < 0 ? "cannot be shut again: " : "is shut again", r < 0 ? strerror(-r) : "");
	/*
	 * Shut again is enough, and the device is not cycled, which would take it from the owner's
	 * VMM: who opened the node meanwhile can do nothing with it beside the owner. A group is
	 * open once (vfio_group_fops_open(): EBUSY), and of a device's node only one fd is ever
	 * bound to an iommufd (vfio_df_open(): EINVAL); docs/security.md has what is left of it.
	 *
	 * Not shut, somebody else could open what the owner alone is to have (I1).
	 */
	if (r < 0)
		engine_end(&manager->engine, lease, "its node is open to others", true);
}

static void on_node_event(struct manager *manager, const struct uevent *event)
{
	bool cdev = streq(event->subsystem, "vfio-dev");
	struct lease *lease;
	char node[64];

	if (streq(event->action, "remove"))
		return;
	lease = cdev ? lease_above(manager, event->syspath)
		     : ledger_group(&manager->ledger, (uint32_t)strtoul(event->name, NULL, 10));
	if (!lease || lease->state != LEASE_LEASED)
		return;
	snprintf(node, sizeof(node), cdev ? "vfio/devices/%.32s" : "vfio/%.32s", event->name);
	check_node(manager, lease, node);
}

/* ---- events */

/* The group of a device by its link alone: nothing else is read before it is shut off. */
static uint32_t read_group(const struct manager *manager, const char *device)
{
	_cleanup_free_ char *path = NULL, *name = NULL;
	uint64_t id;

	if (asprintf(&path, "bus/pci/devices/%s/iommu_group", device) < 0) {
		path = NULL;
		return ID_UNKNOWN;
	}
	if (attr_read_link(manager->host.sys, path, &name) != 0 ||
	    parse_uint(name, UINT32_MAX - 1, &id) < 0)
		return ID_UNKNOWN;
	return (uint32_t)id;
}

/*
 * Before anything else (I6). Not on "add" alone: with some IOMMUs a device has no group before
 * something probes it, and of events that nobody else would need none is too many to look at once.
 */
static void fence_first(struct manager *manager, const struct uevent *event)
{
	uint32_t group;

	if (!manager->ledger.leases || !streq(event->subsystem, "pci") ||
	    !attr_name_valid(event->name))
		return;
	if (streq(event->action, "remove")) {
		engine_device_went(&manager->engine, event->name);
	} else if (streq(event->action, "unbind")) {
		engine_device_unbound(&manager->engine, event->name);
	} else {
		group = read_group(manager, event->name);
		if (group != ID_UNKNOWN)
			engine_device_came(&manager->engine, event->name, group, event->usec);
	}
}

static void know_fenced(struct manager *manager, const char *name)
{
	const struct device *device = topology_device(&manager->topology, name);

	if (device)
		engine_know_fenced(&manager->engine, device);
}

static void on_kernel_event(struct manager *manager, const struct uevent *event)
{
	int r;

	fence_first(manager, event);
	probing_kernel_event(manager->probing, event);
	if (is_scanned(event->subsystem)) {
		engine_forget_clean(&manager->engine, event->name, event->seqnum);
		if (streq(event->action, "remove"))
			r = scan_removed(&manager->scanner, event->subsystem, event->name);
		else
			r = scan_one(&manager->scanner, event->subsystem, event->name);
		if (r < 0)
			log_warning("reading %s: %s", event->name, strerror(-r));
		manager_count_uses(manager);
		know_fenced(manager, event->name);
		if (event->error_event)
			manager_device_error(manager, event);
		if (!streq(event->action, "change"))
			manager_status(manager);
	} else if (streq(event->subsystem, "iommu")) {
		manager_rescan(manager);
	}
}

static void on_udev_event(struct manager *manager, const struct uevent *event)
{
	probing_udev_event(manager->probing, event);
	if (streq(event->subsystem, "vfio") || streq(event->subsystem, "vfio-dev"))
		on_node_event(manager, event);
	else if (!is_scanned(event->subsystem) && !streq(event->subsystem, "drivers"))
		survey_poke(manager->survey); /* net, block, drm, …: who uses what */
}

static void on_event(const struct uevent *event, void *userdata)
{
	if (event->udev)
		on_udev_event(userdata, event);
	else
		on_kernel_event(userdata, event);
}

static void on_lost(bool udev, void *userdata)
{
	struct manager *manager = userdata;
	int r;

	log_record(MESSAGE_EVENTS_LOST, LOG_WARNING, LOG_FIELDS({ NULL, NULL }),
		   "Device events of %s were lost; reading everything again",
		   udev ? "udev" : "the kernel");
	if (!udev)
		manager_health_lost(manager);
	r = manager_rescan(manager);
	if (r < 0)
		log_error("reading sysfs: %s", strerror(-r));
	/* What was lost may have been the change of a node. */
	HASH_FOREACH (lease, manager->ledger.leases)
		for (size_t i = 0; lease->state == LEASE_LEASED && i < lease->n_groups; i++) {
			char node[32];

			if (lease->groups[i].gone)
				continue;
			snprintf(node, sizeof(node), "vfio/%u", lease->groups[i].id);
			check_node(manager, lease, node);
		}
}

const struct monitor_ops manager_monitor_ops = {
	.event = on_event,
	.lost = on_lost,
};
