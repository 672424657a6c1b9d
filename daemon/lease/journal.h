/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The journal: one JSON file for each lease below /run/vfiod/leases. Written before what it says
 * is done (I4); durable (fsync of file and directory) before anyone is told.
 */

#include "policy/ledger.h"

struct journal {
	int dir;       /* directory fd of the leases */
	char **doomed; /* ids that could not be removed yet, oldest first */
};

/* Opens (and makes, 0700) the directory. It must be root's and nobody else's to write. */
int journal_open(struct journal *journal, const char *path);
void journal_close(struct journal *journal);
/* Writes the lease's file. -ENOSPC, -EIO, …: the file before is intact. */
int journal_write(const struct journal *journal, const struct lease *lease);
/*
 * Removes it; one that is not there is fine. Also removes its lock file. -errno: it is there still,
 * or one of before is, whose removal failed then: each later call tries that one first, because a
 * start that finds what is over without what came of it would take it for the truth. Fine are
 * errors that leave the name gone: what is to be outlived is the daemon, not the machine.
 */
int journal_remove(struct journal *journal, const char *id);
/*
 * Reads all. Files that cannot be understood are left in place and reported through `bad`; the
 * others become leases of the caller (array and leases).
 */
int journal_read_all(const struct journal *journal, struct lease ***leases, size_t *n,
		     void (*bad)(const char *file, const char *why, void *userdata),
		     void *userdata);
/* ID.lock, opened and flock'ed (LOCK_EX|LOCK_NB): an fd of the caller; -EWOULDBLOCK: a worker of
 * an earlier daemon lives still. */
int journal_lock(const struct journal *journal, const char *id);

/*
 * What the text of a journal that cannot be understood says of groups, read without regard for the
 * rest, into the lease: each `"id": N` in the list of "groups". 0 only if the list has its end, so
 * that none can be missing; else -EBADMSG; -ENOMEM.
 */
int journal_read_groups(const char *text, struct lease *lease);

/* Text form, for tests too. JSON of the caller; and back: -EBADMSG with *why of the caller. */
int lease_to_json(const struct lease *lease, char **text);
int lease_from_json(const char *text, size_t size, struct lease **lease, char **why);
