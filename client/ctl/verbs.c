/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of verbs, and the help that is made from it.
 */

#include "client/ctl/verbs.h"

static const char request_help[] =
	"  --mode=auto|cdev|group|node  what to be given (default: auto)\n"
	"  --name=LABEL                 a label for the lease, such as the VM's name\n"
	"  --withhold=DEV[,DEV…]        devices of the same groups to be kept shut\n"
	"  --expect=DEV=VENDOR:PRODUCT  refuse if DEV is other hardware by now\n"
	"  --owner=USER                 lease for another user\n"
	"  --shared                     any process of the owner may control the lease\n"
	"  --no-attach                  mode group: leave attaching to the VMM\n"
	"  --device-fds                 mode group: have the devices opened too\n"
	"  --numa-node=N                what pools give is to be near this node\n"
	"  --memlock=SIZE|none          raise RLIMIT_MEMLOCK to SIZE (4G, 512M)\n"
	"  --no-ask-password            do not let polkit ask\n";

static const struct verb verbs[] = {
	{ "list", "[devices|groups|iommus|leases]", "Show devices, or the rest, in a table", "",
	  HELP_PLAIN, verb_list },
	{ "tree", "", "Show IOMMUs, their groups, and the devices in them", "", HELP_PLAIN,
	  verb_tree },
	{ "graph", "", "Write all that as a graph, for dot -Tsvg", "", HELP_PLAIN, verb_graph },
	{ "show", "DEV|GROUP|IOMMU|LEASE…", "Show everything that is known of one", "", HELP_PLAIN,
	  verb_show },
	{ "leases", "", "Show who has what", "", HELP_PLAIN, verb_leases },
	{ "pools", "", "Show what the pools have, by NUMA node", "", HELP_PLAIN, verb_pools },
	{ "explain", "[OPTION…] DEV…", "Show what acquire would be answered, and why",
	  "  -u, --user=USER              the decision for another user (root)\n"
	  "  --unit=UNIT                  … in this system unit (root)\n",
	  HELP_REQUEST, verb_explain },
	{ "acquire", "[OPTION…] DEV…", "Take devices, hold them until a signal comes",
	  "  --persist                    leave the lease behind and return\n", HELP_REQUEST,
	  verb_acquire },
	{ "run", "[OPTION…] DEV… -- COMMAND…", "Take devices and become COMMAND with them",
	  "  --qemu                       append QEMU's options for the devices\n"
	  "In COMMAND, {iommufd} {container} {fd:DEV} {group:N} become descriptor numbers.\n",
	  HELP_REQUEST, verb_run },
	{ "release", "[--no-wait] LEASE…", "End leases, wait until their groups are home",
	  "  --no-wait                    return when the end is durable\n", HELP_PLAIN,
	  verb_release },
	{ "restore", "[--no-wait] LEASE…", "Try again what failed on the way home (root)",
	  "  --no-wait                    return at once\n", HELP_PLAIN, verb_restore },
	{ "add", "[OPTION…] LEASE DEV…", "Have more devices in a lease",
	  "  --withhold=DEV[,DEV…]        devices of the same groups to be kept shut\n"
	  "  --expect=DEV=VENDOR:PRODUCT  refuse if DEV is other hardware by now\n"
	  "  --no-ask-password            do not let polkit ask\n",
	  HELP_PLAIN, verb_add },
	{ "remove", "LEASE DEV…", "Give devices of a lease back", "", HELP_PLAIN, verb_remove },
	{ "reset", "[--kind=KIND] LEASE DEV…", "Have devices of a lease reset",
	  "  --kind=function|slot|bus|auto  what is reset (default: auto, the least there is)\n",
	  HELP_PLAIN, verb_reset },
	{ "revoke", "[OPTION…] LEASE…", "Ask for leases back, then end them (root)",
	  "  --grace=SECONDS              how long the owner has (default: 60)\n"
	  "  --reason=TEXT                what the owner is told\n"
	  "  --no-wait                    return when the owner has been told\n",
	  HELP_PLAIN, verb_revoke },
	{ "drain", "[OPTION…]", "Give no new leases, revoke all, wait (root)",
	  "  --grace=SECONDS              how long the owners have (default: 60)\n"
	  "  --reason=TEXT                what they are told (default: maintenance)\n"
	  "  --no-wait                    return when they have been told\n"
	  "  --off                        give leases again\n",
	  HELP_PLAIN, verb_drain },
	{ "vfs", "DEV NUMBER", "Have a device make virtual functions", "", HELP_PLAIN, verb_vfs },
	{ "clear", "DEV…", "Have devices that broke given away again (root)", "", HELP_PLAIN,
	  verb_clear },
	{ "monitor", "", "Show what changes, as it changes", "", HELP_PLAIN, verb_monitor },
	{ "policy", "check FILE…", "Check policy files, without the daemon", "", HELP_PLAIN,
	  verb_policy },
	{ "reload", "", "Have the daemon read its policy again (root)", "", HELP_PLAIN,
	  verb_reload },
	{ "rescan", "", "Have the daemon read sysfs again (root)", "", HELP_PLAIN, verb_rescan },
};

const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (streq(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

void usage_verb(FILE *out, const char *name)
{
	const struct verb *verb = find_verb(name);

	if (!verb)
		return;
	fprintf(out, "Usage: vfiodctl %s %s\n%s.\n", verb->name, verb->arguments, verb->summary);
	if (out != stdout)
		return;
	fprintf(out, "\n%s%s", verb->help == HELP_REQUEST ? request_help : "", verb->options);
	fprintf(out, "  --json=short|pretty|off      JSON instead of text\n"
		     "  --help                       this text\n"
		     "\nSee vfiodctl(1).\n");
}

void usage(FILE *out)
{
	fprintf(out, "Usage: vfiodctl [--json=short|pretty|off] VERB …\n"
		     "The command line of vfiod, the broker of VFIO devices.\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		fprintf(out, "  %-9s %s\n", verbs[i].name, verbs[i].summary);
	fprintf(out, "\n  --help     this text; after a verb, that verb's options\n"
		     "  --version  the version\n"
		     "\nSee vfiodctl(1).\n");
}
