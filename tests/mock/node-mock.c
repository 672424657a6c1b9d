/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * In place of daemon/vfio/node.c and settle.c: who may open a node stands in files of the mocked
 * host: acl/NODE/UID for an entry, foreign/NODE (in words) for what a site's udev rule did. With
 * sticky/NODE that comes back after a reset.
 */

#include "daemon/vfio/node.h"

#include "tests/mock/mock-kernel.h"
#include "tests/mock/tree.h"

#include <fcntl.h>
#include <stdio.h>

static int open_root(const struct host *host)
{
	int fd = openat(host->sys, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* '/' is '!' in names of files. */
static char *flat(const char *node)
{
	char *s = mock_asprintf("%s", node);

	for (char *p = s; *p; p++)
		if (*p == '/')
			*p = '!';
	return s;
}

static bool is_allowed(const char *entry, const uid_t *allowed, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strtoul(entry, NULL, 10) == allowed[i])
			return true;
	return false;
}

int node_check(const struct host *host, const char *node, const uid_t *allowed, size_t n_allowed,
	       char **why)
{
	_cleanup_close_ int root = open_root(host);
	_cleanup_free_ char *name = flat(node), *foreign = NULL;
	_cleanup_strv_ char **entries = NULL;

	if (root < 0)
		return root;
	if (!tree_exists(root, "dev/%s", node))
		return -ENOENT;
	foreign = tree_read(root, "foreign/%s", name);
	entries = tree_list(root, "acl/%s", name);
	STRV_FOREACH (entry, entries)
		if (!foreign && !is_allowed(*entry, allowed, n_allowed))
			foreign = mock_asprintf("user %s may read and write", *entry);
	if (!foreign)
		return 0;
	if (why)
		*why = STEAL(foreign);
	return NODE_FOREIGN;
}

int node_reset(const struct host *host, const char *node)
{
	_cleanup_close_ int root = open_root(host);
	_cleanup_free_ char *name = flat(node);
	int r;

	if (root < 0)
		return root;
	if (!tree_exists(root, "dev/%s", node))
		return -ENOENT;
	r = mk_fault(root, "RESET", name);
	if (r != 0)
		return r < 0 ? r : 0;
	mk_log(root, "NODE_RESET %s\n", node);
	if (!tree_exists(root, "sticky/%s", name))
		tree_remove(root, "foreign/%s", name);
	tree_remove(root, "acl/%s", name);
	return 0;
}

int node_grant(const struct host *host, const char *node, uid_t uid)
{
	_cleanup_close_ int root = open_root(host);
	_cleanup_free_ char *name = flat(node);
	int r;

	if (root < 0)
		return root;
	if (!tree_exists(root, "dev/%s", node))
		return -ENOENT;
	r = mk_fault(root, "GRANT", name);
	mk_log(root, "NODE_GRANT %s %u %d\n", node, uid, r);
	if (r != 0)
		return r < 0 ? r : 0;
	tree_write(root, "", "acl/%s/%u", name, uid);
	return 0;
}

int node_revoke(const struct host *host, const char *node, uid_t uid)
{
	_cleanup_close_ int root = open_root(host);
	_cleanup_free_ char *name = flat(node);
	int r;

	if (root < 0)
		return root;
	if (!tree_exists(root, "dev/%s", node))
		return -ENOENT;
	r = mk_fault(root, "REVOKE", name);
	mk_log(root, "NODE_REVOKE %s %u %d\n", node, uid, r);
	/* A node that is gone has taken its entries along. */
	if (r != 0 && r != -ENOENT)
		return r < 0 ? r : 0;
	tree_remove(root, "acl/%s/%u", name, uid);
	return r;
}

int node_strip_all(const struct host *host,
		   bool (*keep)(const char *node, uid_t uid, void *userdata), void *userdata)
{
	_cleanup_close_ int root = open_root(host);
	_cleanup_strv_ char **nodes = NULL;

	if (root < 0)
		return root;
	nodes = tree_list(root, "acl");
	STRV_FOREACH (name, nodes) {
		_cleanup_strv_ char **entries = tree_list(root, "acl/%s", *name);
		_cleanup_free_ char *node = mock_asprintf("%s", *name);

		for (char *p = node; *p; p++)
			if (*p == '!')
				*p = '/';
		STRV_FOREACH (entry, entries)
			if (!keep || !keep(node, (uid_t)strtoul(*entry, NULL, 10), userdata))
				tree_remove(root, "acl/%s/%s", *name, *entry);
	}
	return 0;
}

struct node_watch {
	bool marked;
};

int node_watch_new(const struct host *host, struct node_watch **watch)
{
	*watch = calloc(1, sizeof(**watch));
	return *watch ? 0 : -ENOMEM;
}

struct node_watch *node_watch_free(struct node_watch *watch)
{
	free(watch);
	return NULL;
}

int node_watch_mark(struct node_watch *watch)
{
	watch->marked = true;
	return 0;
}

int node_settle(const struct host *host, struct node_watch *watch, const char *node,
		uint64_t timeout_usec)
{
	_cleanup_close_ int root = open_root(host);
	_cleanup_free_ char *name = flat(node);
	int r;

	if (root < 0)
		return root;
	r = mk_fault(root, "SETTLE", name);
	if (r < 0)
		return r;
	return tree_exists(root, "dev/%s", node) ? 0 : -ENOENT;
}
