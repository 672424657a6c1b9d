/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The table of verbs.
 */

#include "client/ctl/ctl.h"

enum verb_help { HELP_PLAIN, HELP_REQUEST };

struct verb {
	const char *name;
	const char *arguments;
	const char *summary;
	const char *options; /* its own, for its --help */
	enum verb_help help; /* whether it takes the options of a request */
	verb_fn run;
};

/* NULL for no such verb. */
const struct verb *find_verb(const char *name);
/* The help of vfiodctl as a whole. That of one verb is usage_verb(). */
void usage(FILE *out);
