/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The whole daemon over a mocked host (tests/mock/): only what touches the real one is another.
 * $VFIOD_MOCK_ROOT is the mocked host; journals and policy are below it, in run/ and policy.d/.
 */

#include "daemon/hotplug/net.h"
#include "daemon/run.h"
#include "daemon/util/log.h"

#include <stdio.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
	const char *root = getenv("VFIOD_MOCK_ROOT");
	char journal[512], places[512], run[512], policy[512];
	const char *const policy_dirs[] = { policy, NULL };
	const struct manager_paths paths = {
		.journal = journal,
		.places = places,
		.policy_dirs = policy_dirs,
		.policy_owner = getuid(),
	};

	if (!root) {
		fputs("vfiod-mock: VFIOD_MOCK_ROOT is not set\n", stderr);
		return EXIT_FAILURE;
	}
	snprintf(run, sizeof(run), "%s/run", root);
	snprintf(journal, sizeof(journal), "%s/run/leases", root);
	snprintf(places, sizeof(places), "%s/guest-addresses", root);
	snprintf(policy, sizeof(policy), "%s/policy.d", root);
	mkdir(run, 0700);
	umask(077);
	log_init();
	if (argc > 1 && streq(argv[1], "--unfence"))
		return net_unfence(journal);
	return daemon_run(&paths);
}
