/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vfiodctl: the command line of vfiod. The options before the verb, and the way to the verb.
 */

#include "client/ctl/term.h"
#include "client/ctl/verbs.h"

#include <locale.h>

enum { OPT_VERSION = OPT_OWN };

/* The options before the verb. Negative: go on at optind. */
static int parse_global(struct ctl *ctl, int argc, char *argv[])
{
	static const struct option options[] = { COMMON_OPTIONS,
						 { "version", no_argument, NULL, OPT_VERSION },
						 {} };
	int c, r;

	while ((c = getopt_long(argc, argv, "+", options, NULL)) >= 0) {
		if (c == OPT_HELP) {
			usage(stdout);
			return EXIT_OK;
		}
		if (c == OPT_VERSION) {
			puts("vfiodctl " PACKAGE_VERSION);
			return EXIT_OK;
		}
		r = ctl_common_option(ctl, c, "");
		if (r >= 0)
			return r;
	}
	return -1;
}

static int run_verb(struct ctl *ctl, int argc, char *argv[])
{
	const struct verb *verb;
	int r;

	r = parse_global(ctl, argc, argv);
	if (r >= 0)
		return r;
	if (optind == argc) {
		usage(stderr);
		return EXIT_USAGE;
	}
	argc -= optind;
	argv += optind;
	optind = 0; /* getopt starts afresh */
	if (streq(argv[0], "help")) {
		if (argc > 1 && find_verb(argv[1]))
			usage_verb(stdout, argv[1]);
		else
			usage(stdout);
		return EXIT_OK;
	}
	verb = find_verb(argv[0]);
	if (!verb)
		return ctl_say(EXIT_USAGE,
			       "There is no verb \"%s\": \"vfiodctl --help\" lists them.", argv[0]);
	return verb->run(ctl, argc, argv);
}

int main(int argc, char *argv[])
{
	struct ctl ctl = {};
	int r;

	setlocale(LC_ALL, "");
	term_init(&ctl);
	r = run_verb(&ctl, argc, argv);
	vfiod_client_free(ctl.client);
	if (fflush(stdout) != 0 && r == EXIT_OK)
		r = ctl_say(EXIT_FAILED, "Cannot write the answer: %s.", strerror(errno));
	return r;
}
