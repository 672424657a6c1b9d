/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Owner, mode and ACL of VFIO's nodes. All is done on an O_PATH fd of the checked node, through
 * its link in /proc, so that no name is looked up twice. Waiting for udev is in settle.c.
 */

#include "daemon/vfio/node.h"

#include "daemon/sysfs/attr.h"
#include "daemon/vfio/open.h"

#include <acl/libacl.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/acl.h>
#include <sys/stat.h>

/* What is read and changed of a node. */
struct node {
	int fd;
	char link[FD_LINK_MAX];
	struct stat st;
	acl_t acl; /* minimal, of the mode, where the file system has none */
};

static void node_done(struct node *node)
{
	fd_close(node->fd);
	if (node->acl)
		acl_free(node->acl);
}

static int node_open(const struct host *host, const char *name, struct node *node)
{
	node->fd = vfio_node_path(host, name);
	if (node->fd < 0)
		return node->fd;
	fd_link(node->fd, node->link);
	if (fstat(node->fd, &node->st) < 0)
		return -errno;
	node->acl = acl_get_file(node->link, ACL_TYPE_ACCESS);
	if (!node->acl && errno == EOPNOTSUPP)
		node->acl = acl_from_mode(node->st.st_mode);
	return node->acl ? 0 : -errno;
}

/* One entry, unpacked. */
struct entry {
	acl_entry_t entry;
	acl_tag_t tag;
	id_t id; /* of a named user or group */
	mode_t perms;
};

static int entry_read(acl_entry_t from, struct entry *entry)
{
	acl_permset_t set;

	*entry = (struct entry){ .entry = from };
	if (acl_get_tag_type(from, &entry->tag) < 0 || acl_get_permset(from, &set) < 0)
		return -errno;
	if (entry->tag == ACL_USER || entry->tag == ACL_GROUP) {
		id_t *id = acl_get_qualifier(from);

		if (!id)
			return -errno;
		entry->id = *id;
		acl_free(id);
	}
	entry->perms = (mode_t)((acl_get_perm(set, ACL_READ) > 0 ? 4 : 0) |
				(acl_get_perm(set, ACL_WRITE) > 0 ? 2 : 0) |
				(acl_get_perm(set, ACL_EXECUTE) > 0 ? 1 : 0));
	return 0;
}

static int entry_set_perms(struct entry *entry, mode_t perms)
{
	acl_permset_t set;

	if (acl_get_permset(entry->entry, &set) < 0 || acl_clear_perms(set) < 0)
		return -errno;
	if (((perms & 4) && acl_add_perm(set, ACL_READ) < 0) ||
	    ((perms & 2) && acl_add_perm(set, ACL_WRITE) < 0) ||
	    ((perms & 1) && acl_add_perm(set, ACL_EXECUTE) < 0))
		return -errno;
	entry->perms = perms;
	return 0;
}

/* Steps through an ACL: 1 and an entry, 0 at the end, -errno. */
static int next_entry(acl_t acl, bool *begun, struct entry *entry)
{
	acl_entry_t at;
	int r = acl_get_entry(acl, *begun ? ACL_NEXT_ENTRY : ACL_FIRST_ENTRY, &at);

	*begun = true;
	if (r <= 0)
		return r < 0 ? -errno : 0;
	r = entry_read(at, entry);
	return r < 0 ? r : 1;
}

/* ---- who */

/*
 * Names from the local files alone: this also runs in the event loop, where a name service that
 * hangs must hold up nobody.
 */
static char *user_name(id_t uid)
{
	_cleanup_fclose_ FILE *file = fopen("/etc/passwd", "re");
	struct passwd *pw;
	char *name = NULL;

	while (file && (pw = fgetpwent(file)))
		if (pw->pw_uid == uid)
			return asprintf(&name, "user %s", pw->pw_name) < 0 ? NULL : name;
	return asprintf(&name, "user %u", (unsigned int)uid) < 0 ? NULL : name;
}

static char *group_name(id_t gid)
{
	_cleanup_fclose_ FILE *file = fopen("/etc/group", "re");
	struct group *gr;
	char *name = NULL;

	while (file && (gr = fgetgrent(file)))
		if (gr->gr_gid == gid)
			return asprintf(&name, "group %s", gr->gr_name) < 0 ? NULL : name;
	return asprintf(&name, "group %u", (unsigned int)gid) < 0 ? NULL : name;
}

static const char *perms_text(mode_t perms)
{
	switch (perms & 6) {
	case 6:
		return "may read and write";
	case 4:
		return "may read";
	case 2:
		return "may write";
	default:
		return "may execute";
	}
}

/* Says why; takes `who`. */
static int foreign(char **why, char *who, const char *what)
{
	int r = NODE_FOREIGN;

	if (!who)
		return -ENOMEM;
	if (why && asprintf(why, "%s %s", who, what) < 0) {
		*why = NULL;
		r = -ENOMEM;
	}
	free(who);
	return r;
}

static bool is_allowed(uid_t uid, const uid_t *allowed, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (allowed[i] == uid)
			return true;
	return uid == 0;
}

/* Whether an entry lets somebody in. Not what it can do under the mask now: masks change. */
static int check_entry(const struct node *node, const struct entry *entry, bool group_is_fine,
		       const uid_t *allowed, size_t n_allowed, char **why)
{
	const char *what = perms_text(entry->perms);

	if (entry->perms == 0)
		return 0;
	switch (entry->tag) {
	case ACL_USER:
		if (is_allowed(entry->id, allowed, n_allowed))
			return 0;
		return foreign(why, user_name(entry->id), what);
	case ACL_GROUP:
		return foreign(why, group_name(entry->id), what);
	case ACL_GROUP_OBJ:
		if (group_is_fine)
			return 0;
		return foreign(why, group_name(node->st.st_gid), what);
	case ACL_OTHER:
		return foreign(why, strdup("everybody"), what);
	default: /* the owner is root; a mask by itself gives nothing */
		return 0;
	}
}

int node_check(const struct host *host, const char *name, const uid_t *allowed, size_t n_allowed,
	       char **why)
{
	_cleanup_(node_done) struct node node = { .fd = -EBADF };
	bool begun = false, group_is_fine;
	struct entry entry;
	int r;

	if (why)
		*why = NULL;
	r = node_open(host, name, &node);
	if (r < 0)
		return r;
	if (node.st.st_uid != 0)
		return foreign(why, user_name(node.st.st_uid), "owns it");
	/* An iommufd without a device reaches nothing, and the kernel's own mode for it is 0660
	 * (drivers/iommu/iommufd/main.c). */
	group_is_fine = streq(name, "iommu") && node.st.st_gid == 0;
	while ((r = next_entry(node.acl, &begun, &entry)) > 0) {
		r = check_entry(&node, &entry, group_is_fine, allowed, n_allowed, why);
		if (r != 0)
			return r;
	}
	return r;
}

int node_reset(const struct host *host, const char *name)
{
	_cleanup_(node_done) struct node node = { .fd = -EBADF };
	acl_t minimal;
	int r;

	r = node_open(host, name, &node);
	if (r < 0)
		return r;
	/* Giving it back to root would take CAP_CHOWN. Another group has nothing of mode 0600. */
	if (node.st.st_uid != 0)
		return -EPERM;
	minimal = acl_from_mode(0600);
	if (!minimal)
		return -errno;
	r = acl_set_file(node.link, ACL_TYPE_ACCESS, minimal) < 0 ? -errno : 0;
	acl_free(minimal);
	if (r < 0 && r != -EOPNOTSUPP)
		return r;
	return chmod(node.link, 0600) < 0 ? -errno : 0;
}

/* ---- changing single entries */

static int find_mask(acl_t acl, mode_t *mask)
{
	bool begun = false;
	struct entry entry;
	int r;

	*mask = 7;
	while ((r = next_entry(acl, &begun, &entry)) > 0)
		if (entry.tag == ACL_MASK)
			*mask = entry.perms;
	return r;
}

/* Writes into each entry what it can do under the mask, so that a new mask gives nobody more. */
static int apply_mask(acl_t acl)
{
	bool begun = false;
	struct entry entry;
	mode_t mask;
	int r;

	r = find_mask(acl, &mask);
	if (r < 0)
		return r;
	while ((r = next_entry(acl, &begun, &entry)) > 0) {
		if (entry.tag != ACL_USER && entry.tag != ACL_GROUP && entry.tag != ACL_GROUP_OBJ)
			continue;
		r = entry_set_perms(&entry, entry.perms & mask);
		if (r < 0)
			return r;
	}
	return r;
}

/* 1 and the entry of a user, 0: has none. */
static int find_user(acl_t acl, uid_t uid, struct entry *entry)
{
	bool begun = false;
	int r;

	while ((r = next_entry(acl, &begun, entry)) > 0)
		if (entry->tag == ACL_USER && entry->id == uid)
			return 1;
	return r;
}

/* Makes the mask right (none where no entry needs one), checks and writes the ACL. */
static int write_acl(const struct node *node, acl_t *acl)
{
	bool begun = false, named = false;
	acl_entry_t mask = NULL;
	struct entry entry;
	int r;

	while ((r = next_entry(*acl, &begun, &entry)) > 0) {
		named = named || entry.tag == ACL_USER || entry.tag == ACL_GROUP;
		if (entry.tag == ACL_MASK)
			mask = entry.entry;
	}
	if (r < 0)
		return r;
	if (named) {
		if (acl_calc_mask(acl) < 0)
			return -errno;
	} else if (mask && acl_delete_entry(*acl, mask) < 0) {
		return -errno;
	}
	if (acl_valid(*acl) < 0)
		return -errno;
	return acl_set_file(node->link, ACL_TYPE_ACCESS, *acl) < 0 ? -errno : 0;
}

static int add_user(acl_t *acl, uid_t uid, struct entry *entry)
{
	if (acl_create_entry(acl, &entry->entry) < 0 ||
	    acl_set_tag_type(entry->entry, ACL_USER) < 0 ||
	    acl_set_qualifier(entry->entry, &uid) < 0)
		return -errno;
	return 0;
}

int node_grant(const struct host *host, const char *name, uid_t uid)
{
	_cleanup_(node_done) struct node node = { .fd = -EBADF };
	struct entry entry;
	mode_t mask;
	int r;

	r = node_open(host, name, &node);
	if (r < 0)
		return r;
	r = find_mask(node.acl, &mask);
	if (r < 0)
		return r;
	r = find_user(node.acl, uid, &entry);
	if (r < 0)
		return r;
	if (r > 0 && entry.perms == 6 && (mask & 6) == 6)
		return 0;
	r = apply_mask(node.acl);
	if (r < 0)
		return r;
	/* Entries may have moved. */
	r = find_user(node.acl, uid, &entry);
	if (r == 0)
		r = add_user(&node.acl, uid, &entry);
	if (r >= 0)
		r = entry_set_perms(&entry, 6);
	return r < 0 ? r : write_acl(&node, &node.acl);
}

int node_revoke(const struct host *host, const char *name, uid_t uid)
{
	_cleanup_(node_done) struct node node = { .fd = -EBADF };
	struct entry entry;
	int r;

	r = node_open(host, name, &node);
	if (r < 0)
		return r;
	r = find_user(node.acl, uid, &entry);
	if (r <= 0)
		return r;
	r = apply_mask(node.acl);
	if (r < 0)
		return r;
	r = find_user(node.acl, uid, &entry);
	if (r <= 0)
		return r < 0 ? r : -EIO;
	if (acl_delete_entry(node.acl, entry.entry) < 0)
		return -errno;
	return write_acl(&node, &node.acl);
}

/* ---- stripping */

struct strip {
	const struct host *host;
	bool (*keep)(const char *node, uid_t uid, void *userdata);
	void *userdata;
	int error; /* the first */
};

/* Deletes the first entry that is not explained. 1: one was, 0: none is left. */
static int strip_one(const struct strip *strip, const char *name, acl_t acl)
{
	bool begun = false;
	struct entry entry;
	int r;

	while ((r = next_entry(acl, &begun, &entry)) > 0) {
		if (entry.tag != ACL_USER && entry.tag != ACL_GROUP)
			continue;
		if (entry.tag == ACL_USER && strip->keep &&
		    strip->keep(name, entry.id, strip->userdata))
			continue;
		return acl_delete_entry(acl, entry.entry) < 0 ? -errno : 1;
	}
	return r;
}

static int strip_acl(const struct strip *strip, const char *name)
{
	_cleanup_(node_done) struct node node = { .fd = -EBADF };
	bool changed = false;
	int r;

	r = node_open(strip->host, name, &node);
	if (r >= 0)
		r = apply_mask(node.acl);
	if (r < 0)
		return r;
	while ((r = strip_one(strip, name, node.acl)) > 0)
		changed = true;
	return r < 0 || !changed ? r : write_acl(&node, &node.acl);
}

static void strip_node(struct strip *strip, const char *name)
{
	int r = strip_acl(strip, name);

	if (r < 0 && r != -ENOENT && strip->error == 0)
		strip->error = r;
}

/* What sysfs says is a VFIO node; what else lies in /dev/vfio is none. */
static void strip_class(struct strip *strip, const char *class, const char *directory)
{
	_cleanup_strv_ char **names = NULL;
	int r = attr_list(strip->host->sys, class, &names);

	if (r != 0 && r != ATTR_MISSING && strip->error == 0)
		strip->error = r < 0 ? r : -EIO;
	STRV_FOREACH (name, names) {
		_cleanup_free_ char *node = NULL;
		char sysfs[VFIO_NODE_SYSFS_MAX];

		if (asprintf(&node, "%s/%s", directory, *name) < 0) {
			node = NULL;
			strip->error = -ENOMEM;
			return;
		}
		/* Not "noiommu-9": vfiod never gave anyone an entry on one. */
		if (vfio_node_sysfs(node, sysfs) == 0)
			strip_node(strip, node);
	}
}

int node_strip_all(const struct host *host,
		   bool (*keep)(const char *node, uid_t uid, void *userdata), void *userdata)
{
	struct strip strip = { .host = host, .keep = keep, .userdata = userdata };

	strip_class(&strip, "class/vfio", "vfio");
	strip_class(&strip, "class/vfio-dev", "vfio/devices");
	strip_node(&strip, "iommu");
	return strip.error;
}
