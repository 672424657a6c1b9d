/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The steps for VFIO's nodes: that they are root's alone before anything is handed out, and in
 * node mode the owner's entry in their ACLs.
 */

#include "daemon/lease/step-run.h"

#include "daemon/sysfs/attr.h"
#include "daemon/sysfs/write.h"
#include "daemon/vfio/open.h"
#include "policy/topology.h"

#include <stdio.h>

#define SETTLE_USEC (30 * 1000 * 1000ULL)

/* The nodes that a device may have, below /dev: its group's, and its cdev where there is one. */
static int device_nodes(const struct step_run *run, const struct lease_device *d, char ***nodes)
{
	_cleanup_free_ char *cdev = NULL;
	int r;

	r = strv_extendf(nodes, "vfio/%u", d->group);
	if (r < 0)
		return r;
	r = vfio_device_node(run->host, d->name, &cdev);
	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : strv_extendf(nodes, "vfio/devices/%s", cdev);
}

/* ---- clean */

/* A member of the group that the lease has on a VFIO driver, each once; NULL at the end. */
static const struct lease_device *next_member(const struct plan *plan, uint32_t group, size_t *at)
{
	while (*at < plan->n) {
		const struct step *step = &plan->steps[(*at)++];
		const struct lease_device *d = step->lease_device;

		if (step->kind == STEP_NODE_CLEAN && d && d->group == group && d->target_driver)
			return d;
	}
	return NULL;
}

/*
 * A complete unbind of the whole group: an fd that somebody got through the open node is dead then,
 * a group's too, for no member is on a VFIO driver for a moment.
 */
static int cycle_group(struct step_run *run, uint32_t group)
{
	const struct lease_device *d;
	int r;

	for (size_t at = 0; (d = next_member(run->plan, group, &at));) {
		r = device_override(run, d->name, OVERRIDE_NONE);
		if (r >= 0)
			r = device_unbind(run, d->name);
		if (r < 0)
			return r;
	}
	run->marked = false;
	for (size_t at = 0; (d = next_member(run->plan, group, &at));) {
		r = device_verify(run, d->name, NULL);
		if (r < 0)
			return r;
	}
	for (size_t at = 0; (d = next_member(run->plan, group, &at));) {
		r = device_override(run, d->name, d->target_driver);
		if (r >= 0)
			r = device_probe(run, d->name);
		if (r >= 0)
			r = device_verify(run, d->name, d->target_driver);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Foreign nodes are reset at once; *why keeps the last. 0, NODE_FOREIGN, -errno. */
static int clean_node(struct step_run *run, const char *node, uid_t allowed, char **why)
{
	_cleanup_free_ char *this = NULL;
	int r;

	r = node_settle(run->host, run->watch, node, SETTLE_USEC);
	if (r == -ETIMEDOUT)
		return say(run, r,
			   "udev has not worked off the event of /dev/%s within %llu s; see "
			   "systemd-udevd's log",
			   node, SETTLE_USEC / 1000000);
	if (r >= 0)
		r = node_check(run->host, node, &allowed, allowed == (uid_t)-1 ? 0 : 1, &this);
	if (r < 0 && r != -ENOENT)
		return say(run, r, "/dev/%s cannot be checked: %s", node, strerror(-r));
	if (r != NODE_FOREIGN)
		return r;
	free(*why);
	if (asprintf(why, "/dev/%s: %s", node, this) < 0) {
		*why = NULL;
		return -ENOMEM;
	}
	r = node_reset(run->host, node);
	if (r < 0)
		return say(
			run, r,
			"%s, and it cannot be reset: %s; remove the udev rule that gives it away",
			*why, strerror(-r));
	return NODE_FOREIGN;
}

static int clean_device(struct step_run *run, const struct lease_device *d, uid_t allowed,
			char **why)
{
	_cleanup_strv_ char **nodes = NULL;
	bool foreign = false, found = false;
	int r;

	r = device_nodes(run, d, &nodes);
	if (r < 0)
		return r;
	STRV_FOREACH (node, nodes) {
		r = clean_node(run, *node, allowed, why);
		/* A kernel without groups has no group's node. */
		if (r == -ENOENT)
			continue;
		if (r < 0)
			return r;
		found = true;
		foreign = foreign || r == NODE_FOREIGN;
	}
	if (!found)
		return say(run, -ENOENT, "no VFIO node of %s has appeared", d->name);
	return foreign ? NODE_FOREIGN : 0;
}

static int clean_group(struct step_run *run, uint32_t group, uid_t allowed, char **why)
{
	const struct lease_device *d;
	bool foreign = false;

	for (size_t at = 0; (d = next_member(run->plan, group, &at));) {
		int r = clean_device(run, d, allowed, why);

		if (r < 0)
			return r;
		foreign = foreign || r == NODE_FOREIGN;
	}
	return foreign ? NODE_FOREIGN : 0;
}

/* A mediated device that was bound anew may have another group: that is for who decides. */
static int check_group(struct step_run *run, const struct lease_device *d)
{
	_cleanup_free_ char *path = NULL, *group = NULL;
	_cleanup_close_ int dir = -EBADF;
	uint64_t id;

	if (bus_has_override(run->subsystem))
		return 0;
	if (asprintf(&path, "bus/%s/devices/%s", run->subsystem, d->name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	dir = attr_open_dir(run->host->sys, path);
	if (dir < 0)
		return dir;
	if (attr_read_link(dir, "iommu_group", &group) == 0 &&
	    parse_uint(group, UINT32_MAX, &id) == 0 && id == d->group)
		return 0;
	return say(run, -ESTALE, "its group is %s now, it was %u", group ? group : "none",
		   d->group);
}

int step_node_clean(struct step_run *run, const struct step *step)
{
	const struct lease_device *d = step->lease_device;
	_cleanup_free_ char *why = NULL;
	int r;

	r = check_group(run, d);
	if (r < 0)
		return r;
	r = clean_device(run, d, step->uid, &why);
	if (r != NODE_FOREIGN)
		return r;
	r = cycle_group(run, d->group);
	if (r < 0)
		return r;
	/* The cycle made new nodes for all of them, also those that were found clean before. */
	r = clean_group(run, d->group, step->uid, &why);
	if (r != NODE_FOREIGN)
		return r;
	return say(run, -EPERM,
		   "%s, and again after a reset; take away what sets this for the subsystems vfio "
		   "and vfio-dev in /etc/udev/rules.d, /run/udev/rules.d or /usr/lib/udev/rules.d",
		   why);
}

/* ---- the owner's entry */

static int grant_node(struct step_run *run, const char *node, uid_t uid, bool check)
{
	_cleanup_free_ char *why = NULL;
	int r;

	r = node_grant(run->host, node, uid);
	if (r == -ENOENT)
		return r;
	if (r < 0)
		return say(run, r, "no ACL entry can be set on /dev/%s: %s", node, strerror(-r));
	if (!check)
		return 0;
	r = node_check(run->host, node, &uid, 1, &why);
	if (r == NODE_FOREIGN)
		return say(run, -EPERM, "/dev/%s: %s", node, why);
	return r;
}

int step_node_grant(struct step_run *run, const struct step *step)
{
	_cleanup_strv_ char **nodes = NULL;
	bool granted = false, cdev = false;
	int r;

	if (step->arg)
		return grant_node(run, step->arg, step->uid, !streq(step->arg, "iommu"));
	r = device_nodes(run, step->lease_device, &nodes);
	if (r < 0)
		return r;
	STRV_FOREACH (node, nodes) {
		r = grant_node(run, *node, step->uid, true);
		if (r == -ENOENT)
			continue;
		if (r < 0)
			return r;
		granted = true;
		cdev = cdev || strncmp(*node, "vfio/devices/", 13) == 0;
	}
	if (!granted)
		return say(run, -ENOENT, "it has no VFIO node");
	/* A cdev is of use only with an iommufd. Others may have entries there. */
	return cdev ? grant_node(run, "iommu", step->uid, false) : 0;
}

static int revoke_node(struct step_run *run, const char *node, uid_t uid)
{
	int r = node_revoke(run->host, node, uid);

	if (r == -ENOENT)
		return 0;
	return r < 0 ? say(run, r, "the ACL entry on /dev/%s cannot be taken away: %s", node,
			   strerror(-r))
		     : 0;
}

int step_node_revoke(struct step_run *run, const struct step *step)
{
	_cleanup_strv_ char **nodes = NULL;
	int r;

	if (step->arg)
		return revoke_node(run, step->arg, step->uid);
	r = device_nodes(run, step->lease_device, &nodes);
	if (r < 0)
		return r;
	STRV_FOREACH (node, nodes) {
		/* One that leaves alone: the group's node is for its siblings still. */
		if (step->lease_device->parking && strncmp(*node, "vfio/devices/", 13) != 0)
			continue;
		r = revoke_node(run, *node, step->uid);
		if (r < 0)
			return r;
	}
	return 0;
}
