/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which groups are not the host's: the part of net.h that reads the journals of a dead daemon. */

#include "daemon/hotplug/net.h"

#include "daemon/lease/journal.h"
#include "daemon/sysfs/attr.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"

#define JOURNAL_MAX (4 * 1024 * 1024)
#define SUFFIX	    ".json"

int owned_groups_add(struct owned_groups *owned, uint32_t id)
{
	int r = ARRAY_RESERVE_ONE(owned->ids, owned->n);

	if (r >= 0)
		owned->ids[owned->n++] = id;
	return r;
}

bool owned_groups_has(const struct owned_groups *owned, uint32_t id)
{
	for (size_t i = 0; i < owned->n; i++)
		if (owned->ids[i] == id)
			return id != ID_UNKNOWN;
	return false;
}

void owned_groups_done(struct owned_groups *owned)
{
	free(owned->ids);
	*owned = (struct owned_groups){ 0 };
}

static int add_lease(struct owned_groups *owned, const struct lease *lease)
{
	int r = 0;

	/* A lease that is on its way home has no fd out: the host may have what comes. */
	if (!lease_keeps_host_out(lease))
		return 0;
	for (size_t i = 0; i < lease->n_groups && r >= 0; i++)
		if (!lease->groups[i].gone)
			r = owned_groups_add(owned, lease->groups[i].id);
	return r;
}

/* Whatever its state is: its groups are kept from the host. */
static int add_bad(struct owned_groups *owned, const char *file, const char *text, const char *why)
{
	_cleanup_(lease_freep) struct lease *lease = lease_new("");
	int r = lease ? 0 : -ENOMEM;

	if (r >= 0)
		r = text ? journal_read_groups(text, lease) : -EBADMSG;
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		owned->unknown = true;
	log_record(MESSAGE_JOURNAL_BAD, LOG_ERR,
		   LOG_FIELDS({ FIELD_FILE, file }, { FIELD_REASON, why }),
		   "Journal %s cannot be understood (%s): %s is shut off", file, why,
		   r < 0 ? "every device that waits for its first probe"
			 : "what waits in the groups that it names");
	for (size_t i = 0; r >= 0 && i < lease->n_groups; i++)
		r = owned_groups_add(owned, lease->groups[i].id);
	return r == -ENOMEM ? r : 0;
}

static int read_one(int dir, const char *file, struct owned_groups *owned)
{
	_cleanup_(lease_freep) struct lease *lease = NULL;
	_cleanup_free_ char *text = NULL, *why = NULL;
	size_t size = 0;
	int r;

	r = file_read_at(dir, file, JOURNAL_MAX, &text, &size);
	/* A daemon that is up again may have brought it home. */
	if (r == -ENOENT || r == -ENOMEM)
		return r == -ENOENT ? 0 : r;
	if (r >= 0)
		r = lease_from_json(text, size, &lease, &why);
	if (r == -ENOMEM)
		return r;
	return r < 0 ? add_bad(owned, file, text, why ? why : strerror(-r))
		     : add_lease(owned, lease);
}

/* Not journal_read_all(): that removes what a write has left, which may be another daemon's now. */
int owned_groups_read(int journal_dir, struct owned_groups *owned)
{
	_cleanup_strv_ char **files = NULL;
	int r = attr_list(journal_dir, ".", &files);

	if (r != 0)
		return r > 0 ? -EIO : r;
	STRV_FOREACH (file, files) {
		size_t n = strlen(*file), k = strlen(SUFFIX);

		if ((*file)[0] == '.' || n < k || !streq(*file + n - k, SUFFIX))
			continue;
		r = read_one(journal_dir, *file, owned);
		if (r < 0)
			return r;
	}
	return 0;
}
