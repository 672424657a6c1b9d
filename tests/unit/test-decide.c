/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * decide() by tables: one host with everything that makes a difference, and rows of policy,
 * leases and request with the answer. Every reason occurs. Then everything crossed with
 * everything, and random worlds, held against the promises of decide-world.c.
 */

#include "tests/unit/decide-world.h"

#include <check.h>
#include <stdio.h>

#define NIC	"8086:10d3:020000"
#define OLD_NIC "8086:100e:020000"

/* 02 a plain NIC; 03 the root disk; 01 two NICs behind a hot-plug bridge; … */
static const struct world_device lab[] = {
	{ "0000:00:02.0", 1, "e1000e", "vfio-pci", NIC },
	{ "0000:00:03.0", 2, "nvme", "vfio-pci", "1b36:0010:010802", "block vda1 is mounted on /" },
	{ "0000:01:00.0", 3, "shpchp", NULL, "1b36:0001:060400", NULL, true },
	{ "0000:01:01.0", 3, "e1000", "vfio-pci", OLD_NIC },
	{ "0000:01:02.0", 3, "e1000", "vfio-pci", OLD_NIC },
	{ "0000:02:00.0", 4, "pcieport", NULL, "1b36:000c:060400", NULL, true },
	{ "0000:02:01.0", 4, "nouveau", "vfio-pci", "10de:1234:030000" },
	{ "0000:02:01.1", 4, NULL, "vfio-pci", "10de:4321:040300" },
	{ "0000:03:00.0", 5, "igb", "vfio-pci", "8086:10c9:020000", NULL, false, NULL,
	  "0000:03:10.0" },
	{ "0000:03:10.0", 6, "igbvf", "vfio-pci", "8086:10ca:020000", NULL, false, "0000:03:00.0" },
	{ "0000:04:00.0", 8, "vfio-pci", "vfio-pci", NIC },
	{ "0000:04:00.1", 8, "pci-stub", "vfio-pci", NIC },
	{ "0000:04:00.2", 8, "vfio-pci", "vfio-pci", NIC },
	{ "0000:05:00.0", 9, "e1000e", "vfio-pci", NIC, NULL, false, NULL, NULL, NULL,
	  GROUP_NOIOMMU },
	{ "serial8250", 10, "serial8250", NULL, NULL, NULL, false, NULL, NULL, "platform" },
	{ "0000:06:00.0", ID_UNKNOWN, "e1000e", "vfio-pci", NIC },
	{ "0000:07:00.0", 11, "odd", NULL, "aaaa:0001:ff0000" },
	{ "0000:08:00.0", 12, "e1000e", "vfio-pci", NIC, "network eth7 has the address 10.0.0.2" },
	{ "0000:09:00.0", 13, "mlx5_core", "mlx5_vfio_pci", "15b3:101e:020000" },
	{ "0000:0a:00.0", 14, "e1000e", "vfio-pci", NIC },
	{ "0000:0a:00.1", 14, NULL, "vfio-pci", "8086:0001:060100" },
	{ "0000:0a:00.2", 14, NULL, NULL, "1b36:0001:060400", NULL, true },
	{ "0000:0a:00.3", 14, NULL, NULL, "8086:0002:0c0500" },
	{ "0000:0b:00.0", 15, "e1000e", "vfio-pci", NIC },
	{ "0000:0b:00.1", 15, NULL, "vfio-pci", "10de:1111:030000", "console it is the console" },
	{ "0000:0c:00.0", 16, "e1000e", "vfio-pci", NIC },
	{ "sensor.1", 16, NULL, NULL, NULL, NULL, false, NULL, NULL, "platform" },
	{ "0000:0d:00.0", 17, "vfio-pci", "vfio-pci", NIC, "network stale", false, NULL, NULL },
	{ "0000:0e:00.0", 18, "vfio-pci", "vfio-pci", NIC, NULL, false, NULL, "0000:0e:10.0" },
	{ "0000:10:00.0", 19, "xhci_hcd", "vfio-pci", "1b36:000d:0c0330" },
};

#define ALICE 1000
#define BOB   1001
#define CAROL 1002

#define EVERYTHING                                                                \
	"\"devices\":[{\"address\":\"*\"}],\"allow\":[\"acquire\",\"withhold\"]," \
	"\"consent\":{\"drivers\":[\"*\"]}"

static const char open_policy[] =
	"{\"version\":1,\"pools\":{"
	"\"nics\":{\"devices\":[{\"address\":\"0000:00:02.0\"},{\"address\":\"0000:01:0?.0\"},"
	"{\"address\":\"0000:09:00.0\"}]},"
	"\"pair\":{\"devices\":[{\"address\":\"0000:01:0[12].0\"}]},"
	"\"trio\":{\"devices\":[{\"address\":\"0000:04:00.*\"}]},"
	"\"gpus\":{\"devices\":[{\"vendor\":\"10de\",\"product\":\"1234\"}]},"
	"\"none\":{\"devices\":[{\"vendor\":\"ffff\"}]}},"
	"\"rules\":[{\"id\":\"all\",\"subjects\":[{\"users\":[\"*\"]}]," EVERYTHING "}]}";

static const char careful_policy[] =
	"{\"version\":1,\"pools\":{\"nics\":{\"devices\":[{\"class\":\"02\"}]}},\"rules\":["
	"{\"id\":\"no-disks\",\"deny\":true,\"subjects\":[{\"users\":[\"*\"]}],"
	"\"devices\":[{\"class\":\"01\"}]},"
	"{\"id\":\"unit-only\",\"subjects\":[{\"users\":[1002],\"units\":[\"vm-*.service\"]}],"
	"\"devices\":[{\"class\":\"02\"}],\"allow\":[\"acquire\"],"
	"\"consent\":{\"drivers\":[\"e1000e\"]}},"
	"{\"id\":\"not-from-units\",\"deny\":true,\"subjects\":[{\"units\":[\"bad-*.service\"]}],"
	"\"devices\":[{\"class\":\"03\"}]},"
	"{\"id\":\"alice-nics\",\"subjects\":[{\"users\":[1000]},{\"groups\":[36]}],"
	"\"devices\":[{\"address\":\"0000:0[0-9a-f]:*\",\"class\":\"02\"}],"
	"\"allow\":[\"acquire\",\"withhold\",\"persist\"],\"modes\":[\"cdev\",\"node\"],"
	"\"consent\":{\"drivers\":[\"e1000e\"]},\"waive\":[\"network\"],\"memlock\":\"1G\","
	"\"limits\":{\"leases\":1,\"devices\":2}},"
	"{\"id\":\"alice-gpus\",\"subjects\":[{\"users\":[1000]}],"
	"\"devices\":[{\"vendor\":\"10de\"}],\"allow\":[\"acquire\",\"delegate\"],"
	"\"modes\":[\"group\",\"cdev\"],\"consent\":{\"drivers\":[\"nouveau\"]},"
	"\"auth\":\"polkit\",\"park\":\"none\",\"revoke\":\"kill\",\"memlock\":\"2G\"}],"
	"\"limits\":{\"leases-per-user\":2}}";

static const char node_policy[] =
	"{\"version\":1,\"rules\":["
	"{\"id\":\"cdev-02\",\"subjects\":[{\"users\":[\"*\"]}],\"modes\":[\"cdev\"],"
	"\"devices\":[{\"address\":\"0000:00:02.0\"}],\"allow\":[\"acquire\"],"
	"\"consent\":{\"drivers\":[\"*\"]},\"park\":\"vfio\"},"
	"{\"id\":\"node-09\",\"subjects\":[{\"users\":[\"*\"]}],\"modes\":[\"node\"],"
	"\"devices\":[{\"address\":\"0000:09:00.0\"}],\"allow\":[\"acquire\"],"
	"\"consent\":{\"drivers\":[\"*\"]}},"
	"{\"id\":\"group-0a\",\"subjects\":[{\"users\":[\"*\"]}],\"modes\":[\"group\"],"
	"\"devices\":[{\"address\":\"0000:0a:00.0\"}],\"allow\":[\"acquire\"],"
	"\"consent\":{\"drivers\":[\"*\"]}}]}";

static const char vfs_policy[] = "{\"version\":1,\"rules\":[{\"id\":\"all\",\"subjects\":"
				 "[{\"users\":[\"*\"]}]," EVERYTHING ",\"waive\":[\"vfs\"]}]}";

#define LEASED_02                                                 \
	{                                                         \
		"00000000000000a1", BOB, "bobs", LEASE_LEASED, 1, \
			"0000:00:02.0/granted/all/e1000e"         \
	}
#define LEASES_MAX 3

struct row {
	const char *what;
	const char *policy;
	const char *devices; /* separated by blanks */
	const char *withhold;
	struct world_lease leases[LEASES_MAX];
	uid_t uid;   /* 0: ALICE */
	uid_t owner; /* 0: uid */
	bool root;
	gid_t gid;
	bool no_process;
	const char *unit;
	enum mode mode; /* of the request, if has_mode; else auto */
	bool has_mode;
	const char *kernel; /* NULL: all; else of "group", "iommufd", "cdev" */
	bool draining;
	const char *name;
	bool persist;
	uint64_t memlock;
	const char *expect; /* "device vendor:product" */
	int park_vfio;	    /* 1 + number of a rule that the parser would not let say so */

	enum reason reason;
	const char *plan;  /* "device action", separated by commas; where allowed */
	const char *says;  /* in the message */
	const char *says2; /* this too */
	enum mode granted;
};

#define MODE(m) .has_mode = true, .mode = (m)

static const struct row rows[] = {
	/* What is asked for. */
	{ .what = "a plain NIC",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .plan = "0000:00:02.0 grant vfio-pci" },
	{ .what = "nothing", .policy = open_policy, .devices = "", .reason = REASON_NO_DEVICES },
	{ .what = "only something to withhold",
	  .policy = open_policy,
	  .devices = "",
	  .withhold = "0000:01:00.0",
	  .reason = REASON_NO_DEVICES },
	{ .what = "a name that is none",
	  .policy = open_policy,
	  .devices = "0000:00:02.0 eth0",
	  .reason = REASON_NO_SUCH_DEVICE,
	  .says = "\"eth0\"" },
	{ .what = "a name that hurts",
	  .policy = open_policy,
	  .devices = "\033[31m\xff-0123456789012345678901234567890123456789012345678901234567890",
	  .reason = REASON_NO_SUCH_DEVICE,
	  .says = "\"?[31m?-0123" },
	{ .what = "an empty pool name",
	  .policy = open_policy,
	  .devices = "pool:",
	  .reason = REASON_NO_SUCH_POOL },
	{ .what = "no such pool",
	  .policy = open_policy,
	  .devices = "0000:00:02.0 pool:x",
	  .reason = REASON_NO_SUCH_POOL,
	  .says = "\"x\"" },
	{ .what = "a pool is nothing to withhold",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .withhold = "pool:nics",
	  .reason = REASON_NO_SUCH_DEVICE },
	{ .what = "twice",
	  .policy = open_policy,
	  .devices = "0000:00:02.0 0000:00:02.0",
	  .reason = REASON_DUPLICATE,
	  .says = "0000:00:02.0" },
	{ .what = "granted and withheld",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .withhold = "0000:00:02.0",
	  .reason = REASON_DUPLICATE },
	{ .what = "a stranger withheld twice",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .withhold = "0000:09:00.0 0000:09:00.0",
	  .reason = REASON_DUPLICATE },
	{ .what = "withheld in another group",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .withhold = "0000:09:00.0",
	  .reason = REASON_WITHHOLD_OUTSIDE,
	  .says = "0000:09:00.0" },
	{ .what = "withheld in no group",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .withhold = "0000:06:00.0",
	  .reason = REASON_WITHHOLD_OUTSIDE },
	{ .what = "in no group",
	  .policy = open_policy,
	  .devices = "0000:06:00.0",
	  .reason = REASON_NO_GROUP },
	{ .what = "noiommu",
	  .policy = open_policy,
	  .devices = "0000:05:00.0",
	  .reason = REASON_NOT_ISOLATED,
	  .says = "noiommu" },
	{ .what = "not PCI",
	  .policy = open_policy,
	  .devices = "serial8250",
	  .reason = REASON_UNSUPPORTED_BUS,
	  .says = "platform" },
	{ .what = "a sibling that is not PCI",
	  .policy = open_policy,
	  .devices = "0000:0c:00.0",
	  .reason = REASON_UNSUPPORTED_BUS,
	  .says = "sensor.1" },
	{ .what = "a bridge",
	  .policy = open_policy,
	  .devices = "0000:01:00.0",
	  .withhold = "0000:01:01.0 0000:01:02.0",
	  .reason = REASON_BRIDGE,
	  .says = "withhold" },
	{ .what = "no VFIO driver",
	  .policy = open_policy,
	  .devices = "0000:07:00.0",
	  .reason = REASON_NO_VFIO_DRIVER },
	{ .what = "a variant driver",
	  .policy = open_policy,
	  .devices = "0000:09:00.0",
	  .plan = "0000:09:00.0 grant mlx5_vfio_pci" },
	{ .what = "as expected",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .expect = "0000:00:02.0 8086:10d3",
	  .plan = "0000:00:02.0 grant vfio-pci" },
	{ .what = "another vendor",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .expect = "0000:00:02.0 8087:10d3",
	  .reason = REASON_WRONG_DEVICE,
	  .says = "8086:10d3 and not 8087:10d3" },
	{ .what = "another product",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .expect = "0000:00:02.0 8086:10d4",
	  .reason = REASON_WRONG_DEVICE },
	{ .what = "another sibling",
	  .policy = open_policy,
	  .devices = "0000:0a:00.0",
	  .expect = "0000:0a:00.1 8086:10d4",
	  .reason = REASON_WRONG_DEVICE },
	{ .what = "an expectation of something else",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .expect = "0000:09:00.0 15b3:101e",
	  .reason = REASON_WRONG_DEVICE,
	  .says = "0000:09:00.0" },

	/* Which rule, and what it says. */
	{ .what = "no policy",
	  .devices = "0000:00:02.0",
	  .reason = REASON_NO_RULE,
	  .says = "No policy" },
	{ .what = "no policy, root",
	  .devices = "0000:00:02.0",
	  .root = true,
	  .reason = REASON_NO_RULE },
	{ .what = "no policy, pool", .devices = "pool:nics", .reason = REASON_NO_SUCH_POOL },
	{ .what = "not this user",
	  .policy = careful_policy,
	  .devices = "0000:00:02.0",
	  .uid = BOB,
	  .reason = REASON_NO_RULE,
	  .says = "uid 1001" },
	{ .what = "not this user, root either",
	  .policy = careful_policy,
	  .root = true,
	  .devices = "0000:00:02.0",
	  .reason = REASON_NO_RULE },
	{ .what = "not this device",
	  .policy = careful_policy,
	  .devices = "0000:10:00.0",
	  .reason = REASON_NO_RULE },
	{ .what = "by group",
	  .policy = careful_policy,
	  .devices = "0000:00:02.0",
	  .uid = BOB,
	  .gid = 36,
	  .plan = "0000:00:02.0 grant vfio-pci",
	  .granted = MODE_CDEV },
	{ .what = "denied",
	  .policy = careful_policy,
	  .devices = "0000:00:03.0",
	  .reason = REASON_DENY_RULE,
	  .says = "\"no-disks\"" },
	{ .what = "denied, not merely unruled",
	  .policy = careful_policy,
	  .uid = BOB,
	  .devices = "0000:00:03.0",
	  .reason = REASON_DENY_RULE },
	{ .what = "in the unit",
	  .policy = careful_policy,
	  .devices = "0000:00:02.0",
	  .uid = CAROL,
	  .unit = "vm-1.service",
	  .plan = "0000:00:02.0 grant vfio-pci" },
	{ .what = "in another unit",
	  .policy = careful_policy,
	  .devices = "0000:00:02.0",
	  .uid = CAROL,
	  .unit = "cron.service",
	  .reason = REASON_NO_RULE },
	{ .what = "in no unit",
	  .policy = careful_policy,
	  .devices = "0000:00:02.0",
	  .uid = CAROL,
	  .reason = REASON_NO_RULE },
	{ .what = "the unit is not known",
	  .policy = careful_policy,
	  .devices = "0000:00:02.0",
	  .uid = CAROL,
	  .no_process = true,
	  .reason = REASON_NO_PROCESS,
	  .says = "\"unit-only\"" },
	{ .what = "the unit is not known, and would not help",
	  .policy = careful_policy,
	  .devices = "0000:00:02.0",
	  .uid = BOB,
	  .no_process = true,
	  .reason = REASON_NO_RULE },
	{ .what = "the unit is not known, and a deny rule asks for it",
	  .policy = careful_policy,
	  .devices = "0000:02:01.0",
	  .no_process = true,
	  .reason = REASON_DENY_RULE,
	  .says = "system unit is not known" },
	{ .what = "the unit is known and not denied",
	  .policy = careful_policy,
	  .devices = "0000:02:01.0",
	  .plan = "0000:02:00.0 none,0000:02:01.0 grant vfio-pci,"
		  "0000:02:01.1 park-none" },
	{ .what = "may not withhold",
	  .policy = careful_policy,
	  .devices = "0000:02:01.0",
	  .withhold = "0000:02:01.1",
	  .reason = REASON_VERB,
	  .says = "withhold" },
	{ .what = "may not persist",
	  .policy = careful_policy,
	  .devices = "0000:02:01.0",
	  .persist = true,
	  .reason = REASON_VERB,
	  .says = "persist" },
	{ .what = "may persist",
	  .policy = careful_policy,
	  .devices = "0000:00:02.0",
	  .persist = true,
	  .plan = "0000:00:02.0 grant vfio-pci" },
	{ .what = "may persist only the one",
	  .policy = careful_policy,
	  .devices = "0000:00:02.0 0000:02:01.0",
	  .persist = true,
	  .reason = REASON_VERB,
	  .says = "\"alice-gpus\"" },
	{ .what = "may not lease for another",
	  .policy = careful_policy,
	  .devices = "0000:00:02.0",
	  .owner = BOB,
	  .reason = REASON_VERB,
	  .says = "delegate" },
	{ .what = "may lease for another",
	  .policy = careful_policy,
	  .devices = "0000:02:01.0",
	  .owner = BOB,
	  .plan = "0000:02:00.0 none,0000:02:01.0 grant vfio-pci,"
		  "0000:02:01.1 park-none" },
	{ .what = "root leases for anybody",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .root = true,
	  .owner = BOB,
	  .plan = "0000:00:02.0 grant vfio-pci" },
	{ .what = "nobody else does",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .owner = BOB,
	  .reason = REASON_VERB },

	/* Modes and parking. */
	{ .what = "auto is cdev",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .plan = "0000:00:02.0 grant vfio-pci",
	  .granted = MODE_CDEV },
	{ .what = "auto without cdev",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .kernel = "group iommufd",
	  .plan = "0000:00:02.0 grant vfio-pci",
	  .granted = MODE_GROUP },
	{ .what = "auto without iommufd",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .kernel = "group cdev",
	  .plan = "0000:00:02.0 grant vfio-pci",
	  .granted = MODE_GROUP },
	{ .what = "auto without anything",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .kernel = "",
	  .reason = REASON_MODE_KERNEL },
	{ .what = "auto where the rule has no cdev",
	  .policy = node_policy,
	  .devices = "0000:0a:00.0",
	  .granted = MODE_GROUP,
	  .plan = "0000:0a:00.0 grant vfio-pci,0000:0a:00.1 park-none,0000:0a:00.2 park-none,"
		  "0000:0a:00.3 park-none" },
	{ .what = "auto never opens nodes",
	  .policy = node_policy,
	  .devices = "0000:09:00.0",
	  .reason = REASON_MODE,
	  .says = "allows node of the modes, not cdev and group" },
	{ .what = "node",
	  .policy = node_policy,
	  .devices = "0000:09:00.0",
	  MODE(MODE_NODE),
	  .plan = "0000:09:00.0 grant mlx5_vfio_pci",
	  .granted = MODE_NODE },
	{ .what = "node on a kernel with groups only",
	  .policy = node_policy,
	  .kernel = "group",
	  .devices = "0000:09:00.0",
	  MODE(MODE_NODE),
	  .granted = MODE_NODE,
	  .plan = "0000:09:00.0 grant mlx5_vfio_pci" },
	{ .what = "node on a kernel with cdev only",
	  .policy = node_policy,
	  .granted = MODE_NODE,
	  .kernel = "iommufd cdev",
	  .devices = "0000:09:00.0",
	  MODE(MODE_NODE),
	  .plan = "0000:09:00.0 grant mlx5_vfio_pci" },
	{ .what = "node on no kernel",
	  .policy = node_policy,
	  .devices = "0000:09:00.0",
	  .kernel = "cdev",
	  MODE(MODE_NODE),
	  .reason = REASON_MODE_KERNEL },
	{ .what = "group where the rule has none",
	  .policy = careful_policy,
	  MODE(MODE_GROUP),
	  .devices = "0000:00:02.0",
	  .reason = REASON_MODE,
	  .says = "cdev and node" },
	{ .what = "rules with no mode in common",
	  .policy = node_policy,
	  .devices = "0000:00:02.0 0000:0a:00.0",
	  .reason = REASON_MODE,
	  .says = "in common none" },
	{ .what = "auto in the intersection",
	  .policy = careful_policy,
	  .kernel = "group",
	  .devices = "0000:02:01.0 0000:00:02.0",
	  .reason = REASON_MODE_KERNEL,
	  .says = "cdev" },
	{ .what = "cdev on an old kernel",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .kernel = "group",
	  MODE(MODE_CDEV),
	  .reason = REASON_MODE_KERNEL },
	{ .what = "group on a kernel without",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .kernel = "iommufd cdev",
	  MODE(MODE_GROUP),
	  .reason = REASON_MODE_KERNEL },
	{ .what = "park vfio in cdev",
	  .policy = node_policy,
	  .devices = "0000:00:02.0",
	  .plan = "0000:00:02.0 grant vfio-pci" },
	{ .what = "park vfio in group",
	  .policy = open_policy,
	  .devices = "0000:0a:00.0",
	  .park_vfio = 1,
	  MODE(MODE_GROUP),
	  .reason = REASON_PARK,
	  .says = "\"all\"" },
	{ .what = "park vfio in node",
	  .policy = open_policy,
	  .devices = "0000:0a:00.0",
	  .park_vfio = 1,
	  MODE(MODE_NODE),
	  .reason = REASON_PARK },
	{ .what = "parking in cdev: no bridge, of no class, without a driver, on vfio-pci",
	  .policy = open_policy,
	  .devices = "0000:0a:00.0",
	  .plan = "0000:0a:00.0 grant vfio-pci,0000:0a:00.1 park-none,0000:0a:00.2 park-none,"
		  "0000:0a:00.3 park-none" },
	{ .what = "parking in cdev",
	  .policy = open_policy,
	  .devices = "0000:02:01.0",
	  .plan = "0000:02:00.0 none,0000:02:01.0 grant vfio-pci,0000:02:01.1 park-vfio vfio-pci" },
	{ .what = "parking in group",
	  .policy = open_policy,
	  .devices = "0000:02:01.0",
	  MODE(MODE_GROUP),
	  .granted = MODE_GROUP,
	  .plan = "0000:02:00.0 none,0000:02:01.0 grant vfio-pci,0000:02:01.1 park-none" },
	{ .what = "parking in node",
	  .policy = open_policy,
	  .devices = "0000:02:01.0",
	  MODE(MODE_NODE),
	  .granted = MODE_NODE,
	  .plan = "0000:02:00.0 none,0000:02:01.0 grant vfio-pci,0000:02:01.1 park-none" },

	/* Consent, one by one. */
	{ .what = "one behind the bridge",
	  .policy = open_policy,
	  .devices = "0000:01:01.0",
	  .reason = REASON_CONSENT_NAME,
	  .says = "0000:01:02.0 of group 3 has the driver e1000",
	  .says2 = "0000:01:00.0 of group 3 has the driver shpchp and is not named by the "
		   "request; it is a bridge, to be named under \"withhold\", and while it is "
		   "withheld native hot-plug below it stops" },
	{ .what = "but for the bridge",
	  .policy = open_policy,
	  .reason = REASON_CONSENT_NAME,
	  .devices = "0000:01:01.0 0000:01:02.0",
	  .says = "shpchp" },
	{ .what = "but for the other",
	  .policy = open_policy,
	  .devices = "0000:01:01.0",
	  .withhold = "0000:01:00.0",
	  .reason = REASON_CONSENT_NAME,
	  .says = "0000:01:02.0" },
	{ .what = "all named",
	  .policy = open_policy,
	  .devices = "0000:01:01.0",
	  .withhold = "0000:01:00.0 0000:01:02.0",
	  .plan = "0000:01:00.0 park-none,0000:01:01.0 grant vfio-pci,"
		  "0000:01:02.0 park-vfio vfio-pci" },
	{ .what = "both granted",
	  .policy = open_policy,
	  .devices = "0000:01:02.0 0000:01:01.0",
	  .withhold = "0000:01:00.0",
	  MODE(MODE_NODE),
	  .granted = MODE_NODE,
	  .plan = "0000:01:00.0 park-none,0000:01:01.0 grant vfio-pci,"
		  "0000:01:02.0 grant vfio-pci" },
	{ .what = "a port that is named stays all the same",
	  .policy = open_policy,
	  .devices = "0000:02:01.0",
	  .withhold = "0000:02:00.0",
	  .plan = "0000:02:00.0 none,0000:02:01.0 grant vfio-pci,0000:02:01.1 park-vfio vfio-pci" },
	{ .what = "no consent to the driver",
	  .policy = careful_policy,
	  .devices = "0000:09:00.0",
	  .reason = REASON_CONSENT_DRIVER,
	  .says = "mlx5_core",
	  .says2 = "\"alice-nics\"" },
	{ .what = "no consent to a sibling's driver",
	  .policy = careful_policy,
	  .devices = "0000:01:01.0",
	  .withhold = "0000:01:02.0",
	  .reason = REASON_CONSENT_NAME,
	  .says = "0000:01:00.0 of group 3 has the driver shpchp",
	  .says2 = "does not consent to taking 0000:01:02.0 from its driver e1000" },
	{ .what = "siblings on vfio-pci and pci-stub",
	  .policy = open_policy,
	  .devices = "0000:04:00.0",
	  .reason = REASON_SIBLING_ON_VFIO,
	  .says = "0000:04:00.1 of group 8 is on pci-stub",
	  .says2 = "0000:04:00.2 of group 8 is on vfio-pci" },
	{ .what = "they need no consent when named",
	  .policy = careful_policy,
	  .devices = "0000:04:00.0",
	  .withhold = "0000:04:00.1 0000:04:00.2",
	  .reason = REASON_LIMIT_RULE_DEVICES,
	  .says = "the 2 that it allows" },
	{ .what = "siblings on vfio-pci named",
	  .policy = open_policy,
	  .devices = "0000:04:00.1",
	  .withhold = "0000:04:00.0 0000:04:00.2",
	  .plan = "0000:04:00.0 park-vfio vfio-pci,0000:04:00.1 grant vfio-pci,"
		  "0000:04:00.2 park-vfio vfio-pci" },
	{ .what = "siblings on vfio-pci named, in group mode",
	  .policy = open_policy,
	  .devices = "0000:04:00.1",
	  .withhold = "0000:04:00.0 0000:04:00.2",
	  MODE(MODE_GROUP),
	  .granted = MODE_GROUP,
	  .plan = "0000:04:00.0 park-none,0000:04:00.1 grant vfio-pci,0000:04:00.2 park-none" },

	/* What the host needs. */
	{ .what = "the root disk",
	  .policy = open_policy,
	  .devices = "0000:00:03.0",
	  .reason = REASON_IN_USE,
	  .says = "0000:00:03.0: vda1 is mounted on / (block)" },
	{ .what = "a NIC with an address",
	  .policy = open_policy,
	  .devices = "0000:08:00.0",
	  .reason = REASON_IN_USE,
	  .says = "eth7 has the address 10.0.0.2 (network)" },
	{ .what = "a NIC with an address, waived",
	  .policy = careful_policy,
	  .devices = "0000:08:00.0",
	  .plan = "0000:08:00.0 grant vfio-pci" },
	{ .what = "both",
	  .policy = open_policy,
	  .devices = "0000:00:03.0 0000:08:00.0",
	  .reason = REASON_IN_USE,
	  .says = "0000:00:03.0",
	  .says2 = "0000:08:00.0" },
	{ .what = "a sibling that is the console",
	  .policy = open_policy,
	  .devices = "0000:0b:00.0",
	  .reason = REASON_IN_USE,
	  .says = "The host uses 0000:0b:00.1: console." },
	{ .what = "a sibling that is the console, for root",
	  .policy = open_policy,
	  .root = true,
	  .devices = "0000:0b:00.0",
	  .reason = REASON_IN_USE,
	  .says = "it is the console" },
	{ .what = "a stale use of what is on vfio-pci",
	  .policy = open_policy,
	  .devices = "0000:0d:00.0",
	  .plan = "0000:0d:00.0 grant vfio-pci" },
	{ .what = "a PF with VFs",
	  .policy = open_policy,
	  .devices = "0000:03:00.0",
	  .reason = REASON_IN_USE,
	  .says = "virtual functions" },
	{ .what = "a PF with VFs on vfio-pci",
	  .policy = open_policy,
	  .devices = "0000:0e:00.0",
	  .reason = REASON_IN_USE,
	  .says = "virtual functions" },
	{ .what = "a PF with VFs, waived",
	  .policy = vfs_policy,
	  .devices = "0000:03:00.0",
	  .plan = "0000:03:00.0 grant vfio-pci" },
	{ .what = "a VF",
	  .policy = open_policy,
	  .devices = "0000:03:10.0",
	  .plan = "0000:03:10.0 grant vfio-pci" },

	/* What others have. */
	{ .what = "leased",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .leases = { LEASED_02 },
	  .reason = REASON_GROUP_LEASED,
	  .says = "lease 00000000000000a1 of uid 1001." },
	{ .what = "leased by oneself",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .uid = BOB,
	  .leases = { LEASED_02 },
	  .reason = REASON_GROUP_LEASED,
	  .says = "\"bobs\" of uid 1001" },
	{ .what = "being prepared",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .leases = { { "a1", BOB, NULL, LEASE_PREPARING, 1 } },
	  .reason = REASON_GROUP_LEASED },
	{ .what = "a sibling of what is leased",
	  .policy = open_policy,
	  .devices = "0000:01:02.0",
	  .leases = { { "a1", BOB, NULL, LEASE_LEASED, 3,
			"0000:01:00.0/withheld/all/shpchp 0000:01:01.0/granted/all/e1000 "
			"0000:01:02.0/withheld/all/e1000" } },
	  .reason = REASON_GROUP_LEASED,
	  .says = "The group 3 of 0000:01:02.0 belongs to" },
	{ .what = "draining",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .leases = { { "a1", BOB, NULL, LEASE_DRAINING, 1, NULL, "qemu" } },
	  .reason = REASON_GROUP_DRAINING,
	  .says = "draining",
	  .says2 = "pid 4242 (qemu)" },
	{ .what = "draining, for its old owner",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .uid = BOB,
	  .leases = { { "a1", BOB, NULL, LEASE_DRAINING, 1 } },
	  .reason = REASON_GROUP_DRAINING },
	{ .what = "restoring",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .leases = { { "a1", BOB, NULL, LEASE_RESTORING, 1 } },
	  .reason = REASON_GROUP_DRAINING },
	{ .what = "failed",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .leases = { { "a1", BOB, NULL, LEASE_FAILED, 1 } },
	  .reason = REASON_GROUP_DRAINING,
	  .says = "vfiodctl restore a1" },
	{ .what = "one of two is leased",
	  .policy = open_policy,
	  .devices = "0000:09:00.0 0000:00:02.0",
	  .leases = { LEASED_02 },
	  .reason = REASON_GROUP_LEASED },
	{ .what = "leased, and no rule either: no news for the curious",
	  .policy = careful_policy,
	  .devices = "0000:00:02.0",
	  .uid = CAROL,
	  .leases = { LEASED_02 },
	  .reason = REASON_NO_RULE },
	{ .what = "a VF of another's PF",
	  .policy = open_policy,
	  .devices = "0000:03:10.0",
	  .leases = { { "a1", BOB, NULL, LEASE_LEASED, 5, "0000:03:00.0/granted/all/igb" } },
	  .reason = REASON_PF_VF,
	  .says = "physical function 0000:03:00.0" },
	{ .what = "a VF of one's own PF",
	  .policy = open_policy,
	  .devices = "0000:03:10.0",
	  .leases = { { "a1", ALICE, NULL, LEASE_LEASED, 5, "0000:03:00.0/granted/all/igb" } },
	  .plan = "0000:03:10.0 grant vfio-pci" },
	{ .what = "the PF of another's VF",
	  .policy = vfs_policy,
	  .devices = "0000:03:00.0",
	  .leases = { { "a1", BOB, NULL, LEASE_LEASED, 6, "0000:03:10.0/granted/all/igbvf" } },
	  .reason = REASON_PF_VF,
	  .says = "virtual function 0000:03:10.0" },
	{ .what = "the PF of one's own VF: it would vanish",
	  .policy = vfs_policy,
	  .devices = "0000:03:00.0",
	  .leases = { { "a1", ALICE, NULL, LEASE_LEASED, 6, "0000:03:10.0/granted/all/igbvf" } },
	  .reason = REASON_PF_VF },
	{ .what = "the PF and its VF at once",
	  .policy = vfs_policy,
	  .devices = "0000:03:00.0 0000:03:10.0",
	  .reason = REASON_PF_VF,
	  .says = "vanish" },

	/* Limits at their edge. */
	{ .what = "memory within the bound",
	  .policy = careful_policy,
	  .devices = "0000:00:02.0",
	  .memlock = 1024 * 1024 * 1024,
	  .plan = "0000:00:02.0 grant vfio-pci" },
	{ .what = "memory beyond the bound",
	  .policy = careful_policy,
	  .devices = "0000:00:02.0",
	  .memlock = 1024 * 1024 * 1024 + 1,
	  .reason = REASON_MEMLOCK,
	  .says = "\"alice-nics\"" },
	{ .what = "memory beyond the smaller bound",
	  .policy = careful_policy,
	  .devices = "0000:02:01.0 0000:00:02.0",
	  .memlock = 1536ULL << 20,
	  .reason = REASON_MEMLOCK },
	{ .what = "memory where no rule gives any",
	  .policy = open_policy,
	  .memlock = 1,
	  .devices = "0000:00:02.0",
	  .reason = REASON_MEMLOCK },
	{ .what = "one lease of two",
	  .policy = careful_policy,
	  .devices = "0000:02:01.0",
	  .leases = { { "a1", ALICE, NULL, LEASE_LEASED, 13 } },
	  .plan = "0000:02:00.0 none,0000:02:01.0 grant vfio-pci,0000:02:01.1 park-none" },
	{ .what = "two leases of two",
	  .policy = careful_policy,
	  .devices = "0000:02:01.0",
	  .leases = { { "a1", ALICE, NULL, LEASE_LEASED, 13 },
		      { "a2", ALICE, NULL, LEASE_DRAINING, 14 } },
	  .reason = REASON_LIMIT_USER,
	  .says = "has 2 leases" },
	{ .what = "two leases of another",
	  .policy = careful_policy,
	  .devices = "0000:02:01.0",
	  .leases = { { "a1", BOB, NULL, LEASE_LEASED, 13 },
		      { "a2", BOB, NULL, LEASE_LEASED, 14 } },
	  .plan = "0000:02:00.0 none,0000:02:01.0 grant vfio-pci,0000:02:01.1 park-none" },
	{ .what = "the limit is the owner's",
	  .policy = careful_policy,
	  .devices = "0000:02:01.0",
	  .owner = BOB,
	  .leases = { { "a1", BOB, NULL, LEASE_LEASED, 13 },
		      { "a2", BOB, NULL, LEASE_LEASED, 14 } },
	  .reason = REASON_LIMIT_USER,
	  .says = "uid 1001" },
	{ .what = "the rule's lease",
	  .policy = careful_policy,
	  .devices = "0000:00:02.0",
	  .leases = { { "a1", ALICE, NULL, LEASE_LEASED, 13,
			"0000:09:00.0/granted/alice-nics/mlx5_core" } },
	  .reason = REASON_LIMIT_RULE_LEASES },
	{ .what = "the rule's lease, of another rule",
	  .policy = careful_policy,
	  .devices = "0000:00:02.0",
	  .leases = { { "a1", ALICE, NULL, LEASE_LEASED, 13, "0000:09:00.0/granted/x/mlx5_core" } },
	  .plan = "0000:00:02.0 grant vfio-pci" },
	{ .what = "two devices of two",
	  .policy = careful_policy,
	  .devices = "0000:00:02.0 0000:08:00.0",
	  .plan = "0000:00:02.0 grant vfio-pci,0000:08:00.0 grant vfio-pci" },
	{ .what = "three devices of two",
	  .policy = careful_policy,
	  .devices = "0000:00:02.0 0000:08:00.0 0000:0d:00.0",
	  .reason = REASON_LIMIT_RULE_DEVICES },
	{ .what = "a name",
	  .policy = open_policy,
	  .devices = "0000:09:00.0",
	  .name = "bobs",
	  .leases = { LEASED_02 },
	  .plan = "0000:09:00.0 grant mlx5_vfio_pci" },
	{ .what = "a name twice",
	  .policy = open_policy,
	  .devices = "0000:09:00.0",
	  .name = "bobs",
	  .uid = BOB,
	  .leases = { LEASED_02 },
	  .reason = REASON_NAME_TAKEN,
	  .says = "\"bobs\"" },
	{ .what = "a name twice for the owner",
	  .policy = open_policy,
	  .devices = "0000:09:00.0",
	  .name = "bobs",
	  .root = true,
	  .owner = BOB,
	  .leases = { LEASED_02 },
	  .reason = REASON_NAME_TAKEN },
	{ .what = "the daemon drains",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .draining = true,
	  .reason = REASON_DRAINING },
	{ .what = "the daemon drains, root",
	  .policy = open_policy,
	  .devices = "0000:00:02.0",
	  .draining = true,
	  .root = true,
	  .reason = REASON_DRAINING },

	/* Pools. */
	{ .what = "the first of the pool",
	  .policy = open_policy,
	  .devices = "pool:nics",
	  .plan = "0000:00:02.0 grant vfio-pci" },
	{ .what = "two different ones",
	  .policy = open_policy,
	  .devices = "pool:nics pool:nics",
	  .plan = "0000:00:02.0 grant vfio-pci,0000:09:00.0 grant mlx5_vfio_pci" },
	{ .what = "not one that is named",
	  .policy = open_policy,
	  .devices = "pool:nics 0000:00:02.0",
	  .plan = "0000:00:02.0 grant vfio-pci,0000:09:00.0 grant mlx5_vfio_pci" },
	{ .what = "not one that is leased",
	  .policy = open_policy,
	  .devices = "pool:nics",
	  .leases = { LEASED_02 },
	  .plan = "0000:09:00.0 grant mlx5_vfio_pci" },
	{ .what = "three are too many: their group needs more to be named",
	  .policy = open_policy,
	  .devices = "pool:nics pool:nics pool:nics",
	  .reason = REASON_POOL_EMPTY,
	  .says = "it has 5 (2 named already, 1 bridge, 2 consent-name)" },
	{ .what = "unless the rest of their group is named",
	  .policy = open_policy,
	  .devices = "pool:nics",
	  .withhold = "0000:01:00.0 0000:01:02.0",
	  .plan = "0000:01:00.0 park-none,0000:01:01.0 grant vfio-pci,"
		  "0000:01:02.0 park-vfio vfio-pci" },
	{ .what = "two that complete each other's group",
	  .policy = open_policy,
	  .devices = "pool:pair pool:pair",
	  .withhold = "0000:01:00.0",
	  .plan = "0000:01:00.0 park-none,0000:01:01.0 grant vfio-pci,"
		  "0000:01:02.0 grant vfio-pci" },
	{ .what = "one that completes a named one's group",
	  .policy = open_policy,
	  .devices = "0000:01:02.0 pool:pair",
	  .withhold = "0000:01:00.0",
	  .plan = "0000:01:00.0 park-none,0000:01:01.0 grant vfio-pci,"
		  "0000:01:02.0 grant vfio-pci" },
	{ .what = "three of three on vfio-pci",
	  .policy = open_policy,
	  .devices = "pool:trio pool:trio pool:trio",
	  .plan = "0000:04:00.0 grant vfio-pci,0000:04:00.1 grant vfio-pci,"
		  "0000:04:00.2 grant vfio-pci" },
	{ .what = "two of three on vfio-pci",
	  .policy = open_policy,
	  .devices = "pool:trio pool:trio",
	  .reason = REASON_POOL_EMPTY },
	{ .what = "two pools",
	  .policy = open_policy,
	  .devices = "pool:gpus pool:nics",
	  .plan = "0000:00:02.0 grant vfio-pci,0000:02:00.0 none,0000:02:01.0 grant vfio-pci,"
		  "0000:02:01.1 park-vfio vfio-pci" },
	{ .what = "a pool of nothing",
	  .policy = open_policy,
	  .devices = "pool:none",
	  .reason = REASON_POOL_EMPTY,
	  .says = "matches no device" },
	{ .what = "a pool that the subject has no rule for",
	  .policy = careful_policy,
	  .uid = CAROL,
	  .devices = "pool:nics",
	  .reason = REASON_POOL_EMPTY,
	  .says = "no-rule" },
	{ .what = "a pool whose devices do not fit the mode",
	  .policy = careful_policy,
	  .devices = "pool:nics",
	  MODE(MODE_GROUP),
	  .reason = REASON_POOL_EMPTY,
	  .says = "mode" },
	{ .what = "what is named is refused: no pool is tried",
	  .policy = open_policy,
	  .devices = "pool:nics 0000:00:03.0",
	  .reason = REASON_IN_USE },
	{ .what = "what is named is refused, and something is for the pool's group",
	  .policy = open_policy,
	  .devices = "pool:pair 0000:00:03.0",
	  .withhold = "0000:01:00.0",
	  .reason = REASON_IN_USE },
};

static struct world world;

static void setup(void)
{
	world_init(&world);
	for (size_t i = 0; i < ARRAY_SIZE(lab); i++)
		world_add_device(&world, &lab[i]);
}

static void teardown(void)
{
	world_done(&world);
}

static char **split(const char *s)
{
	_cleanup_free_ char *copy = strdup(s ? s : "");
	char **v = NULL, *save = NULL;

	for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
		ck_assert_int_eq(strv_extend(&v, word), 0);
	return v;
}

/* What would be done, as the rows write it. */
static char *plan_of(const struct decision *decision)
{
	_cleanup_strv_ char **parts = NULL;

	for (size_t i = 0; i < decision->n_verdicts; i++) {
		const struct verdict *v = &decision->verdicts[i];

		ck_assert_int_eq(strv_extendf(&parts, "%s %s%s%s", v->device,
					      action_to_string(v->action),
					      v->target_driver ? " " : "",
					      v->target_driver ? v->target_driver : ""),
				 0);
	}
	return strv_join(parts, ",");
}

static void set_kernel(const char *kernel)
{
	world.features.group = !kernel || strstr(kernel, "group");
	world.features.iommufd = !kernel || strstr(kernel, "iommufd");
	world.features.cdev = !kernel || strstr(kernel, "cdev");
}

static void check_row(const struct row *row, const struct request *request)
{
	_cleanup_(decision_freep) struct decision *decision = world_decide(&world, request);
	_cleanup_(decision_freep) struct decision *again = world_decide(&world, request);
	_cleanup_free_ char *plan = plan_of(decision);

	world_check_promises(&world, request, decision);
	ck_assert_msg(decision->reason == row->reason, "%s: %s: %s", row->what,
		      reason_to_string(decision->reason), decision->message);
	ck_assert_int_eq(decision->allowed, row->reason == REASON_ALLOWED);
	if (decision->allowed) {
		ck_assert_msg(streq0(plan, row->plan), "%s: %s", row->what, plan);
		ck_assert_msg(decision->mode == row->granted, "%s: mode %s", row->what,
			      mode_to_string(decision->mode));
	}
	ck_assert_msg(!row->says || strstr(decision->message, row->says), "%s: %s", row->what,
		      decision->message);
	ck_assert_msg(!row->says2 || strstr(decision->message, row->says2), "%s: %s", row->what,
		      decision->message);
	ck_assert(decision_equal(decision, again));
	ck_assert_str_eq(decision->message, again->message);
}

static void fill_subject(struct request *request, const struct row *row)
{
	request->subject.uid = row->root ? 0 : row->uid ? row->uid : ALICE;
	request->subject.gids = &row->gid;
	request->subject.n_gids = row->gid ? 1 : 0;
	request->subject.unit = row->unit;
	request->subject.unit_known = !row->no_process;
	request->owner = row->owner ? row->owner : request->subject.uid;
}

START_TEST(test_row)
{
	const struct row *row = &rows[_i];
	_cleanup_strv_ char **devices = split(row->devices);
	_cleanup_strv_ char **withhold = split(row->withhold);
	struct request request = {
		.devices = devices,
		.withhold = withhold,
		.mode = row->has_mode ? row->mode : MODE_AUTO,
		.name = row->name,
		.persist = row->persist,
		.memlock = row->memlock,
	};
	struct expect expect;
	char expected[64];

	fill_subject(&request, row);
	if (row->expect) {
		ck_assert_int_eq(sscanf(row->expect, "%63s %x:%x", expected, &expect.vendor,
					&expect.product),
				 3);
		expect.device = expected;
		request.expect = &expect;
		request.n_expect = 1;
	}
	world_set_policy(&world, row->policy);
	if (row->park_vfio)
		world.policy->rules[row->park_vfio - 1].park = PARK_VFIO;
	for (size_t i = 0; i < LEASES_MAX && row->leases[i].id; i++)
		world_add_lease(&world, &row->leases[i]);
	set_kernel(row->kernel);
	world.draining = row->draining;
	check_row(row, &request);
}
END_TEST

START_TEST(test_too_many)
{
	_cleanup_strv_ char **devices = NULL;
	struct expect expect[REQUEST_DEVICES_MAX + 1];
	struct request request = { .subject.uid = ALICE, .owner = ALICE, .mode = MODE_AUTO };

	world_set_policy(&world, open_policy);
	for (int i = 0; i <= REQUEST_DEVICES_MAX; i++) {
		_cleanup_(decision_freep) struct decision *decision = NULL;

		ck_assert_int_eq(strv_extendf(&devices, "d%d", i), 0);
		request.devices = devices;
		decision = world_decide(&world, &request);
		world_check_promises(&world, &request, decision);
		ck_assert_int_eq(decision->reason, i < REQUEST_DEVICES_MAX
							   ? REASON_NO_SUCH_DEVICE
							   : REASON_TOO_MANY_DEVICES);
	}
	for (int i = 0; i <= REQUEST_DEVICES_MAX; i++) {
		_cleanup_(decision_freep) struct decision *decision = NULL;
		char *const one[] = { (char *)"0000:00:02.0", NULL };

		expect[i] = (struct expect){ "0000:00:02.0", 0x8086, 0x10d3 };
		request.devices = one;
		request.expect = expect;
		request.n_expect = (size_t)i + 1;
		decision = world_decide(&world, &request);
		ck_assert_int_eq(decision->reason, i < REQUEST_DEVICES_MAX
							   ? REASON_ALLOWED
							   : REASON_TOO_MANY_DEVICES);
	}
}
END_TEST

/* A reason that nothing above provokes is a reason that nobody has tried. */
START_TEST(test_every_reason)
{
	bool seen[REASON_MAX] = { [REASON_TOO_MANY_DEVICES] = true };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		seen[rows[i].reason] = true;
	for (int i = 0; i < REASON_MAX; i++) {
		const char *name = reason_to_string((enum reason)i);

		ck_assert_ptr_nonnull(name);
		ck_assert_int_eq(reason_from_string(name), i);
		ck_assert_msg(seen[i], "no row for %s", name);
		ck_assert(!reason_to_error((enum reason)i) == (i == REASON_ALLOWED));
	}
	ck_assert_ptr_null(reason_to_error(REASON_MAX));
	for (int i = 0; i < ACTION_MAX; i++)
		ck_assert_int_eq(action_from_string(action_to_string((enum action)i)), i);
}
END_TEST

static struct decision *ask(const char *devices, const char *withhold, enum mode mode)
{
	_cleanup_strv_ char **d = split(devices);
	_cleanup_strv_ char **w = split(withhold);
	struct request request = {
		.subject = { .uid = ALICE, .unit_known = true },
		.owner = ALICE,
		.devices = d,
		.withhold = w,
		.mode = mode,
	};

	return world_decide(&world, &request);
}

/* The terms of several rules: one polkit asks, the strictest park and revoke, the least memory. */
START_TEST(test_terms)
{
	_cleanup_(decision_freep) struct decision *nic = NULL;
	_cleanup_(decision_freep) struct decision *gpu = NULL;
	_cleanup_(decision_freep) struct decision *both = NULL;

	world_set_policy(&world, careful_policy);
	nic = ask("0000:00:02.0", NULL, MODE_AUTO);
	gpu = ask("0000:02:01.0", NULL, MODE_AUTO);
	both = ask("0000:00:02.0 0000:02:01.0", NULL, MODE_AUTO);
	ck_assert(nic->allowed && gpu->allowed && both->allowed);

	ck_assert_int_eq(nic->auth, AUTH_NONE);
	ck_assert_int_eq(nic->park, PARK_VFIO);
	ck_assert_int_eq(nic->revoke, REVOKE_ASK);
	ck_assert_uint_eq(nic->memlock_max, 1ULL << 30);

	ck_assert_int_eq(gpu->auth, AUTH_POLKIT);
	ck_assert_int_eq(gpu->park, PARK_NONE);
	ck_assert_int_eq(gpu->revoke, REVOKE_KILL);
	ck_assert_uint_eq(gpu->memlock_max, 2ULL << 30);

	ck_assert_int_eq(both->auth, AUTH_POLKIT);
	ck_assert_int_eq(both->park, PARK_NONE);
	ck_assert_int_eq(both->revoke, REVOKE_KILL);
	ck_assert_uint_eq(both->memlock_max, 1ULL << 30);
	ck_assert_uint_eq(both->n_groups, 2);
	ck_assert_str_eq(both->verdicts[0].rule, "alice-nics");
	ck_assert_str_eq(both->verdicts[2].rule, "alice-gpus");
	ck_assert_ptr_null(both->verdicts[1].rule);
}
END_TEST

START_TEST(test_passed_over)
{
	static const char *const why[][2] = {
		{ "no-disks", "the device does not match: class" },
		{ "unit-only", "the subject does not match" },
		{ "not-from-units", "the subject does not match" },
		{ "alice-nics", "the device does not match: class" },
	};
	_cleanup_(decision_freep) struct decision *decision = NULL;
	_cleanup_(decision_freep) struct decision *none = NULL;

	world_set_policy(&world, careful_policy);
	/* For the devices that were named, and up to the rule that decides. */
	decision = ask("0000:02:01.0", NULL, MODE_AUTO);
	ck_assert_uint_eq(decision->n_passed, ARRAY_SIZE(why));
	for (size_t i = 0; i < ARRAY_SIZE(why); i++) {
		ck_assert_str_eq(decision->passed[i].device, "0000:02:01.0");
		ck_assert_str_eq(decision->passed[i].rule, why[i][0]);
		ck_assert_str_eq(decision->passed[i].why, why[i][1]);
	}
	none = ask("0000:10:00.0", NULL, MODE_AUTO);
	ck_assert_uint_eq(none->n_passed, world.policy->n_rules);
}
END_TEST

/* What is asked again after the user was asked for a password must be the very same. */
START_TEST(test_equal)
{
	_cleanup_(decision_freep) struct decision *first = NULL;
	struct world_device moved = lab[0];
	struct device *device;

	world_set_policy(&world, open_policy);
	first = ask("0000:00:02.0", NULL, MODE_AUTO);
	ck_assert(first->allowed);
#define DIFFERS(devices, withhold, mode)                                                     \
	do {                                                                                 \
		_cleanup_(decision_freep) struct decision *d = ask(devices, withhold, mode); \
		ck_assert(!decision_equal(first, d));                                        \
		ck_assert(!decision_equal(d, first));                                        \
		ck_assert(decision_equal(d, d));                                             \
	} while (0)
	DIFFERS("0000:09:00.0", NULL, MODE_AUTO);
	DIFFERS("0000:00:02.0 0000:09:00.0", NULL, MODE_AUTO);
	DIFFERS("0000:00:02.0", NULL, MODE_NODE);
	DIFFERS("0000:00:02.0 0000:00:03.0", NULL, MODE_AUTO);

	/* Another driver; another device at the address; another rule. */
	moved.driver = "igb";
	world_add_device(&world, &moved);
	DIFFERS("0000:00:02.0", NULL, MODE_AUTO);
	moved.driver = "e1000e";
	world_add_device(&world, &moved);
	{
		_cleanup_(decision_freep) struct decision *d = ask("0000:00:02.0", NULL, MODE_AUTO);

		ck_assert(decision_equal(first, d));
	}
	topology_remove_device(&world.topology, "0000:00:02.0");
	world_add_device(&world, &moved);
	DIFFERS("0000:00:02.0", NULL, MODE_AUTO);
	device = topology_device(&world.topology, "0000:00:02.0");
	device->identity = first->verdicts[0].identity;
	{
		_cleanup_(decision_freep) struct decision *d = ask("0000:00:02.0", NULL, MODE_AUTO);

		ck_assert(decision_equal(first, d));
	}
	world_set_policy(&world, vfs_policy);
	world.policy->rules[0].id[0] = 'b';
	DIFFERS("0000:00:02.0", NULL, MODE_AUTO);
#undef DIFFERS
}
END_TEST

static void check_blockers(uint32_t id, const char *expected)
{
	_cleanup_strv_ char **parts = NULL;
	_cleanup_free_ char *text = NULL;
	struct blocker *blockers = NULL;
	size_t n = 0;

	ck_assert_int_eq(group_blockers(topology_group(&world.topology, id), &blockers, &n), 0);
	for (size_t i = 0; i < n; i++)
		strv_extendf(&parts, "%s: %s", blockers[i].device->name, blockers[i].reason);
	text = strv_join(parts, "; ");
	ck_assert_str_eq(text, expected);
	blockers_free(blockers, n);
}

START_TEST(test_blockers)
{
	static const struct world_device lone = { "0000:0f:00.0",     20,   "pcieport", NULL,
						  "1b36:000c:060400", NULL, true };

	world_add_device(&world, &lone);
	check_blockers(1, "");
	check_blockers(2, "0000:00:03.0: the host uses a disk on it");
	check_blockers(3, "");
	check_blockers(4, "");
	check_blockers(5, "0000:03:00.0: it has virtual functions enabled");
	check_blockers(9, "0000:05:00.0: the group is a noiommu group, which isolates nothing");
	check_blockers(10, "serial8250: only PCI devices can be leased");
	check_blockers(11, "0000:07:00.0: this kernel has no VFIO driver for it");
	check_blockers(15, "0000:0b:00.1: it is the host's console");
	check_blockers(16, "sensor.1: only PCI devices can be leased");
	check_blockers(17, "");
	check_blockers(20, "0000:0f:00.0: it is a bridge, which VFIO does not take");
}
END_TEST

/* Every policy, every lease of the rows, every request, on every kernel, for every user. */
START_TEST(test_crossed)
{
	static const char *const policies[] = { NULL, open_policy, careful_policy, node_policy,
						vfs_policy };
	static const char *const kernels[] = { NULL, "group", "iommufd cdev", "" };
	static const uid_t uids[] = { 0, ALICE, BOB, CAROL };
	size_t allowed = 0, refused = 0;
	const struct row *row = &rows[_i];
	struct world_lease leases[LEASES_MAX];
	_cleanup_strv_ char **devices = split(row->devices);
	_cleanup_strv_ char **withhold = split(row->withhold);

	memcpy(leases, row->leases, sizeof(leases));
	for (size_t i = 0; i < LEASES_MAX && leases[i].id; i++)
		world_add_lease(&world, &leases[i]);
	for (size_t i = 0;
	     i < ARRAY_SIZE(policies) * ARRAY_SIZE(kernels) * ARRAY_SIZE(uids) * MODE_MAX; i++) {
		_cleanup_(decision_freep) struct decision *decision = NULL;
		struct request request = { .devices = devices, .withhold = withhold };
		size_t n = i;

		request.mode = (enum mode)(n % MODE_MAX);
		n /= MODE_MAX;
		request.subject.uid = uids[n % ARRAY_SIZE(uids)];
		n /= ARRAY_SIZE(uids);
		set_kernel(kernels[n % ARRAY_SIZE(kernels)]);
		if (i % (MODE_MAX * ARRAY_SIZE(uids) * ARRAY_SIZE(kernels)) == 0)
			world_set_policy(&world, policies[n / ARRAY_SIZE(kernels)]);
		/* The rest in strides that meet all of the above. */
		request.subject.unit_known = i % 3;
		request.owner = i % 5 ? request.subject.uid : BOB;
		request.persist = i % 7 == 0;
		world.draining = i % 11 == 0;
		decision = world_decide(&world, &request);
		world_check_promises(&world, &request, decision);
		if (decision->allowed)
			allowed++;
		else
			refused++;
	}
	ck_assert_uint_gt(refused, 0);
	/* A row that is allowed somewhere is allowed somewhere here, or the test says nothing. */
	if (row->reason == REASON_ALLOWED && !row->unit && !row->persist && !row->owner)
		ck_assert_msg(allowed > 0, "%s", row->what);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("decide");
	TCase *tc = tcase_create("table");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, test_row, 0, ARRAY_SIZE(rows));
	tcase_add_test(tc, test_too_many);
	tcase_add_test(tc, test_every_reason);
	tcase_add_test(tc, test_terms);
	tcase_add_test(tc, test_passed_over);
	tcase_add_test(tc, test_equal);
	tcase_add_test(tc, test_blockers);
	tcase_add_loop_test(tc, test_crossed, 0, ARRAY_SIZE(rows));
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
