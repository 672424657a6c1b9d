/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who can open VFIO's nodes: they are to be root's alone (0600, no ACL), whatever udev rules a
 * site has, and in node mode an ACL entry is added for the owner and taken away again.
 */

#include "daemon/sysfs/host.h"

enum {
	NODE_FOREIGN = 1, /* owner, mode or an ACL entry that lets somebody else than root in */
};

/*
 * node: path below /dev: "vfio/9", "vfio/devices/vfio3", "iommu". allowed: uids whose ACL entries
 * are right (node mode). *why (of the caller, may be NULL) says what is foreign: "group kvm may
 * read and write". 0: fine; NODE_FOREIGN; -ENOENT, -ENODEV (not the node that sysfs says),
 * -errno. What a mask shuts off at the moment counts, for the mask may widen. /dev/iommu may have
 * the mode 0660 that the kernel gives it.
 */
int node_check(const struct host *host, const char *node, const uid_t *allowed, size_t n_allowed,
	       char **why);
/* Makes it root's, 0600, without an ACL. */
int node_reset(const struct host *host, const char *node);
/*
 * Gives and takes an ACL entry (read and write) for a uid. Idempotent. Nobody else's rights change
 * by it: what the mask shut off stays off. -EOPNOTSUPP: /dev has no ACLs.
 */
int node_grant(const struct host *host, const char *node, uid_t uid);
int node_revoke(const struct host *host, const char *node, uid_t uid);
/*
 * Takes every ACL entry off every VFIO node and /dev/iommu: at start, for what no lease explains.
 * `keep(node, uid)` says which are explained; entries for groups never are. Goes on after an
 * error and returns the first; a node that vanishes meanwhile is none.
 */
int node_strip_all(const struct host *host,
		   bool (*keep)(const char *node, uid_t uid, void *userdata), void *userdata);

/*
 * Listens to udev from before a node is made, to know when its event has been worked off, its
 * rules' programs included. udev's database alone cannot tell a new node from an earlier one of
 * the same number.
 */
struct node_watch;
int node_watch_new(const struct host *host, struct node_watch **watch);
struct node_watch *node_watch_free(struct node_watch *watch);
DEFINE_CLEANUP(struct node_watch *, node_watch_free)
/* Nodes that are not there now are made after this: call it before a device is probed. */
int node_watch_mark(struct node_watch *watch);

/*
 * Waits until udev has processed the event of a VFIO node, at most timeout_usec: the event that
 * made it, where the watch (may be NULL) has a mark and the node was not there then, else any:
 * its database has the device. Without a udev daemon there is nothing to wait for. Blocks:
 * children only. -ETIMEDOUT.
 */
int node_settle(const struct host *host, struct node_watch *watch, const char *node,
		uint64_t timeout_usec);
