/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The strict reader of the policy language: text in, struct policy out, no file is opened here.
 * Errors carry file, line and column.
 */

#include "policy/rules.h"

struct policy_file {
	const char *path;
	const char *text; /* not NUL-terminated */
	size_t size;
};

/* Where and why. The message is complete: "/etc/vfiod/policy.d/10-a.json:3:14: …". */
struct policy_error {
	char *message;
};
void policy_error_done(struct policy_error *error);

/* A file larger than this is refused. */
#define POLICY_FILE_SIZE_MAX (1024 * 1024)

/*
 * Parses files, in their order, into one policy. All or nothing: any error in any of them refuses
 * the set. User and group names are left unresolved (policy_names(), policy_resolve()); numbers
 * are resolved here. Empty files are skipped (they mask).
 *
 * Returns 0 and a policy of the caller, -EBADMSG with *error set, or -ENOMEM.
 */
int policy_parse(const struct policy_file *files, size_t n, struct policy **policy,
		 struct policy_error *error);

/* The names that need the name service: sorted, each once. Vectors of the caller. 0 or -ENOMEM. */
int policy_names(const struct policy *policy, char ***users, char ***groups);

/* The name service's answer for one name. */
struct policy_name {
	const char *name;
	bool found;
	uint32_t id;
};

/*
 * Puts the answers in, once for each policy. A name that is not found, or not among the answers, is
 * an error in a deny rule (-EBADMSG, *error set), and elsewhere a warning in policy->warnings. 0 or
 * -ENOMEM else.
 */
int policy_resolve(struct policy *policy, const struct policy_name *users, size_t n_users,
		   const struct policy_name *groups, size_t n_groups, struct policy_error *error);
