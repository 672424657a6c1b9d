/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* vfiod: options, capabilities, and into the loop. */

#include "daemon/caps.h"
#include "daemon/fault.h"
#include "daemon/hotplug/net.h"
#include "daemon/policy-load.h"
#include "daemon/run.h"
#include "daemon/util/log.h"

#include <getopt.h>
#include <stdio.h>
#include <sys/stat.h>

static void help(void)
{
	puts("vfiod [OPTION]\n"
	     "Brokers VFIO devices between this host and its virtual machine monitors. Started by\n"
	     "the service manager (vfiod.service); see vfiod(8).\n\n"
	     "  -h --help     this text\n"
	     "     --version  the version\n"
	     "     --unfence  where no vfiod runs: has the kernel probe new PCI devices again, if\n"
	     "                one that ended had switched that off (ExecStopPost= of its unit)");
}

/* 1: to be run; 2: to be unfenced. */
static int parse_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ "unfence", no_argument, NULL, 'U' },
#ifdef VFIOD_FAULT_POINTS
		{ "fault-points", no_argument, NULL, 'F' },
#endif
		{ NULL, 0, NULL, 0 },
	};
	int c = getopt_long(argc, argv, "h", options, NULL);

	if (c == 'h') {
		help();
		return 0;
	}
	if (c == 'V') {
		puts("vfiod " PACKAGE_VERSION);
		return 0;
	}
#ifdef VFIOD_FAULT_POINTS
	if (c == 'F') {
		fault_list();
		return 0;
	}
#endif
	if (c != -1 && c != 'U')
		return -EINVAL;
	if (optind < argc) {
		fprintf(stderr, "vfiod: takes no arguments\n");
		return -EINVAL;
	}
	return c == 'U' ? 2 : 1;
}

int main(int argc, char **argv)
{
	const struct manager_paths paths = {
		.journal = RUNSTATEDIR "/leases",
		.places = STATEDIR "/guest-addresses",
		.policy_dirs = policy_dirs,
		.policy_owner = 0,
	};
	int r = parse_options(argc, argv);

	if (r <= 0)
		return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	umask(077);
	log_init();
	if (caps_drop(r == 2 ? CAPS_NONE : CAPS_DAEMON) < 0)
		return EXIT_FAILURE;
	return r == 2 ? net_unfence(paths.journal) : daemon_run(&paths);
}
