/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Descriptor numbers in a command's arguments: {iommufd}, {container}, {fd:DEVICE}, {group:N}.
 */

/* The descriptor of this kind and name (NULL: the first of its kind), or negative. */
typedef int (*replace_lookup)(void *userdata, const char *kind, const char *name);

/*
 * Replaces every such pattern in an argument by the number of its descriptor. Any other braces stay
 * as they are. *result is the caller's. 0; -ENOENT for a pattern that names no descriptor that
 * there is, with *missing set to the pattern (the caller's); or -ENOMEM.
 */
int replace_argument(const char *argument, replace_lookup lookup, void *userdata, char **result,
		     char **missing);

/* The same for a whole command. A new vector. */
int replace_arguments(char *const *arguments, replace_lookup lookup, void *userdata, char ***result,
		      char **missing);
