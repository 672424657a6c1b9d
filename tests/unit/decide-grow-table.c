/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * More rows of test-decide.c: a lease that exists is to have more (request.lease). Group 3 of the
 * host is a bridge and two NICs, of which the lease has one; groups 1 and 13 have a NIC each.
 */

#include "tests/unit/decide-table.h"

/* Rules by user: alice may take what came too, bob may not, carol may only keep shut. */
static const char grow_policy[] =
	"{\"version\":1,\"pools\":{\"nics\":{\"devices\":[{\"address\":\"0000:01:0[12].0\"},"
	"{\"address\":\"0000:09:00.0\"}]}},\"rules\":["
	"{\"id\":\"few\",\"subjects\":[{\"users\":[1000]}],"
	"\"devices\":[{\"address\":\"0000:09:00.0\"}],\"allow\":[\"acquire\"],"
	"\"modes\":[\"group\"],\"consent\":{\"drivers\":[\"*\"]},"
	"\"limits\":{\"leases\":1,\"devices\":1}},"
	"{\"id\":\"all\",\"subjects\":[{\"users\":[1000]}],\"devices\":[{\"address\":\"*\"}],"
	"\"allow\":[\"acquire\",\"withhold\",\"fenced\"],"
	"\"consent\":{\"drivers\":[\"e1000*\",\"shpchp\",\"nvme\"]},"
	"\"limits\":{\"leases\":1,\"devices\":4}},"
	"{\"id\":\"no-fenced\",\"subjects\":[{\"users\":[1001]}],\"devices\":[{\"address\":\"*\"}],"
	"\"allow\":[\"acquire\",\"withhold\"],\"consent\":{\"drivers\":[\"e1000e\"]}},"
	"{\"id\":\"shut\",\"subjects\":[{\"users\":[1002]}],\"devices\":[{\"address\":\"*\"}],"
	"\"allow\":[\"withhold\"],\"consent\":{\"drivers\":[\"*\"]}}],"
	"\"limits\":{\"leases-per-user\":1}}";

#define MINE "00000000000000b1"
/* Of group 3: the first NIC; the second one is in the state that is given. */
#define HAS(owner, state, second)                                        \
	.grows = MINE, .leases = { { MINE, owner, "vm", state, 3,        \
				     "0000:01:00.0/withheld/all/shpchp " \
				     "0000:01:01.0/granted/all/e1000 0000:01:02.0/" second } }
#define BRIDGE_AND_FIRST "0000:01:00.0 none,0000:01:01.0 none,"

const struct row grow_rows[] = {
	{ .what = "what it keeps shut",
	  .policy = grow_policy,
	  .devices = "0000:01:02.0",
	  HAS(ALICE, LEASE_LEASED, "withheld/all/e1000"),
	  .plan = BRIDGE_AND_FIRST "0000:01:02.0 grant vfio-pci" },
	{ .what = "what came to it",
	  .policy = grow_policy,
	  .devices = "0000:01:02.0",
	  HAS(ALICE, LEASE_LEASED, "fenced"),
	  .plan = BRIDGE_AND_FIRST "0000:01:02.0 grant vfio-pci" },
	{ .what = "what came to it, without the verb",
	  .policy = grow_policy,
	  .devices = "0000:01:02.0",
	  .uid = BOB,
	  HAS(BOB, LEASE_LEASED, "fenced"),
	  .reason = REASON_VERB,
	  .says = "fenced" },
	{ .what = "what came once and is kept shut by now, without the verb",
	  .policy = grow_policy,
	  .devices = "0000:01:02.0",
	  .uid = BOB,
	  HAS(BOB, LEASE_LEASED, "+withheld/all"),
	  .reason = REASON_VERB,
	  .says = "fenced" },
	{ .what = "what it keeps shut, without consent to the driver that it had",
	  .policy = grow_policy,
	  .devices = "0000:01:02.0",
	  .uid = BOB,
	  HAS(BOB, LEASE_LEASED, "withheld/all/e1000"),
	  .reason = REASON_CONSENT_DRIVER,
	  .says = "e1000" },
	{ .what = "to be allowed to keep it shut is not to be allowed to have it",
	  .policy = grow_policy,
	  .devices = "0000:01:02.0",
	  .uid = CAROL,
	  HAS(CAROL, LEASE_LEASED, "withheld/all/e1000"),
	  .reason = REASON_VERB,
	  .says = "acquire" },
	{ .what = "what it has",
	  .policy = grow_policy,
	  .devices = "0000:01:01.0",
	  HAS(ALICE, LEASE_LEASED, "withheld/all/e1000"),
	  .reason = REASON_GROUP_LEASED },
	{ .what = "what is on its way out of it",
	  .policy = grow_policy,
	  .devices = "0000:01:02.0",
	  HAS(ALICE, LEASE_LEASED, "*withheld/all/e1000"),
	  .reason = REASON_GROUP_DRAINING },
	{ .what = "what has gone, and what has its address now",
	  .policy = grow_policy,
	  .devices = "0000:01:02.0",
	  HAS(ALICE, LEASE_LEASED, "!withheld/all/e1000"),
	  .reason = REASON_GROUP_LEASED },
	{ .what = "to shut off what it has shut off",
	  .policy = grow_policy,
	  .devices = "0000:00:02.0",
	  .withhold = "0000:01:02.0",
	  HAS(ALICE, LEASE_LEASED, "withheld/all/e1000"),
	  .reason = REASON_WITHHOLD_OUTSIDE },
	{ .what = "its bridge",
	  .policy = grow_policy,
	  .devices = "0000:01:00.0",
	  HAS(ALICE, LEASE_LEASED, "withheld/all/e1000"),
	  .reason = REASON_BRIDGE },
	{ .what = "a lease that has ended has no more",
	  .policy = grow_policy,
	  .devices = "0000:01:02.0",
	  HAS(ALICE, LEASE_DRAINING, "withheld/all/e1000"),
	  .reason = REASON_GROUP_DRAINING },
	{ .what = "without a lease to grow, the same is another's",
	  .policy = grow_policy,
	  .devices = "0000:01:02.0",
	  .uid = BOB,
	  .leases = { { MINE, ALICE, NULL, LEASE_LEASED, 3,
			"0000:01:00.0/withheld/all/shpchp 0000:01:01.0/granted/all/e1000 "
			"0000:01:02.0/withheld/all/e1000" } },
	  .reason = REASON_GROUP_LEASED },
	{ .what = "another lease's, of the same owner",
	  .policy = grow_policy,
	  .devices = "0000:00:02.0",
	  .grows = MINE,
	  .leases = { { MINE, ALICE, "vm", LEASE_LEASED, 3,
			"0000:01:00.0/withheld/all/shpchp 0000:01:01.0/granted/all/e1000 "
			"0000:01:02.0/withheld/all/e1000" },
		      { "00000000000000b2", ALICE, "vm2", LEASE_LEASED, 1,
			"0000:00:02.0/withheld/all/e1000e" } },
	  .reason = REASON_GROUP_LEASED },

	/* Groups besides its own: as for a claim, but that it is no further lease. */
	{ .what = "another group, at the limit of leases",
	  .policy = grow_policy,
	  .devices = "0000:00:02.0",
	  HAS(ALICE, LEASE_LEASED, "withheld/all/e1000"),
	  .plan = "0000:00:02.0 grant vfio-pci" },
	{ .what = "a new lease at that limit",
	  .policy = grow_policy,
	  .devices = "0000:00:02.0",
	  .leases = { { MINE, ALICE, NULL, LEASE_LEASED, 13 } },
	  .reason = REASON_LIMIT_USER },
	{ .what = "beyond the rule's devices",
	  .policy = grow_policy,
	  .devices = "0000:00:02.0 0000:0d:00.0",
	  HAS(ALICE, LEASE_LEASED, "withheld/all/e1000"),
	  .reason = REASON_LIMIT_RULE_DEVICES },
	{ .what = "what it keeps shut counts already, what comes besides it does not",
	  .policy = grow_policy,
	  .devices = "0000:01:02.0 0000:00:02.0",
	  HAS(ALICE, LEASE_LEASED, "withheld/all/e1000"),
	  .plan = "0000:00:02.0 grant vfio-pci," BRIDGE_AND_FIRST "0000:01:02.0 grant vfio-pci" },
	{ .what = "of another rule, in another mode than the lease's",
	  .policy = grow_policy,
	  .devices = "0000:09:00.0",
	  MODE(MODE_CDEV),
	  HAS(ALICE, LEASE_LEASED, "withheld/all/e1000"),
	  .reason = REASON_MODE },
	{ .what = "and in the lease's",
	  .policy = grow_policy,
	  .devices = "0000:09:00.0",
	  MODE(MODE_GROUP),
	  HAS(ALICE, LEASE_LEASED, "withheld/all/e1000"),
	  .plan = "0000:09:00.0 grant mlx5_vfio_pci",
	  .granted = MODE_GROUP },
	{ .what = "in use",
	  .policy = grow_policy,
	  .devices = "0000:00:03.0",
	  HAS(ALICE, LEASE_LEASED, "withheld/all/e1000"),
	  .reason = REASON_IN_USE },
	{ .what = "siblings on a driver are to be named here too",
	  .policy = grow_policy,
	  .devices = "0000:04:00.0",
	  HAS(ALICE, LEASE_LEASED, "withheld/all/e1000"),
	  .reason = REASON_SIBLING_ON_VFIO },
	{ .what = "from a pool: what is free, not what it has",
	  .policy = grow_policy,
	  .devices = "pool:nics",
	  MODE(MODE_GROUP),
	  HAS(ALICE, LEASE_LEASED, "*withheld/all/e1000"),
	  .plan = "0000:09:00.0 grant mlx5_vfio_pci",
	  .granted = MODE_GROUP },
	{ .what = "the daemon drains",
	  .policy = grow_policy,
	  .devices = "0000:01:02.0",
	  .draining = true,
	  HAS(ALICE, LEASE_LEASED, "withheld/all/e1000"),
	  .reason = REASON_DRAINING },
	{ .what = "no rule",
	  .policy = grow_policy,
	  .devices = "0000:01:02.0",
	  .uid = 1003,
	  HAS(1003, LEASE_LEASED, "withheld/all/e1000"),
	  .reason = REASON_NO_RULE },
	{ .what = "no policy",
	  .devices = "0000:01:02.0",
	  HAS(ALICE, LEASE_LEASED, "fenced"),
	  .reason = REASON_NO_RULE },
};
const size_t n_grow_rows = ARRAY_SIZE(grow_rows);
