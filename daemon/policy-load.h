/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * From the drop-in directories to a policy: which files count, whether they can be trusted, and
 * handing their text to the parser. What the language means is in policy/parse.h; who the users
 * in it are is asked afterwards, by names.h.
 */

#include "policy/parse.h"

#include <sys/types.h>

/* The directories of this build, the first first; ends with NULL. */
extern const char *const policy_dirs[];

/* More files than this in all directories together are refused. */
#define POLICY_FILES_MAX 1024

/*
 * Reads the `*.json` of the directories (absolute paths, ending with NULL; one that is not there
 * is skipped). A name in an earlier directory hides the same name in later ones; an empty file or
 * a link to /dev/null masks it. They are parsed in the order of their names.
 *
 * Every file, every directory and everything above must belong to root or `owner` and be writable
 * by nobody else. Other links than to /dev/null are refused: what they lead to is not in these
 * directories, so neither the order nor the masking that people see there would be the truth, and
 * it would have to be trusted too.
 *
 * Returns 0 and a policy of the caller with its names unresolved; -EBADMSG when the text is wrong,
 * -EPERM when a file or directory cannot be trusted, another -errno from the kernel, all with
 * *error set; or -ENOMEM.
 */
int policy_load(const char *const *dirs, uid_t owner, struct policy **ret,
		struct policy_error *error);

/*
 * Reads the files given, in the order given, for checking them: whoever owns them, wherever they
 * are, pipes too. The same parser, the same bound of size. Returns as policy_load().
 */
int policy_load_files(const char *const *paths, size_t n, struct policy **ret,
		      struct policy_error *error);
