/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Directories and files that only root (or one given user) can have changed: checked on the
 * opened fd, and from the root directory down, since who may write to a directory may put another
 * one in the place of what is below it.
 */

#include "policy/base.h"

#include <sys/stat.h>
#include <sys/types.h>

/*
 * Whether nobody but root and `owner` can change the file with this status: it belongs to one of
 * the two, and neither its group nor others may write. An ACL that lets somebody write shows in
 * the group's bits. With `sticky`, a directory that all may write to is fine when it is sticky:
 * what is in it stays its owner's. Returns 0, -EPERM with *why set, or -ENOMEM.
 */
int trusted_check(const char *path, const struct stat *st, uid_t owner, bool sticky, char **why);

/*
 * Opens a directory for reading. Symbolic links on the way are followed, each one checked like
 * what it leads to. Returns 0 and an fd of the caller; -EPERM with *why set; -ENOENT, -ENOTDIR,
 * -ELOOP, -EACCES, … from the kernel.
 */
int trusted_open_dir(const char *path, uid_t owner, int *fd, char **why);
