/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The structured records of the journal: what happened (MESSAGE_ID) and the fields that a record
 * can carry. Both are an interface: docs/journal-records.md and systemd/vfiod.catalog describe
 * each, and a test holds the three against one another. An id never changes its meaning.
 */

/* clang-format off */
/* X(NAME, id, when): MESSAGE_NAME in the code and in the docs. */
#define MESSAGES(X) \
	X(STARTED,        "ca4d9e9f31de4ddb94f49c7ab600a4fe", "the daemon is up") \
	X(POLICY_LOADED,  "cd40150b7fdb4da29d674618f992d8d9", "a policy is in force") \
	X(POLICY_REFUSED, "82fa523e41e145bb924eff7598c06a5e", "a policy was not taken") \
	X(ALLOWED,        "f678821f16984653a2f467b0c3250be3", "a claim was decided: yes") \
	X(REFUSED,        "8dd9791d5961413ea4dca1e019c0b305", "a request was decided: no") \
	X(LEASED,         "065b7c8cbaf240089a9534f79b5c04ed", "the claim is done and durable") \
	X(CLAIM_FAILED,   "10be92195bac44a288f28a1ce7d2fa05", "allowed, and could not be done") \
	X(CONTROLLED,     "a892b9b9fac74075bc05b7ca80fb4e37", "somebody asked to change a lease") \
	X(HANDED_OVER,    "5db2add617d84a86b3b5bf47f76f0f58", "the handoff has ended") \
	X(ENDED,          "5cb45d84568d4e0288ec1cec254f8af6", "a lease is over") \
	X(DRAINING,       "6057121707d24b928f611df5f08b37ab", "somebody still has fds open") \
	X(HOME,           "be42cba4bfc845e691b8ffa849e322a8", "the groups are the host's again") \
	X(STEP_FAILED,    "5ea2d54a4a7343a1b17582ff04d3cf91", "a worker's step did not work") \
	X(FAILED,         "c9a58b32489645188d640e45db81eb25", "a device did not come home") \
	X(NODE_FOREIGN,   "e49193d38ee049bda31ddd184b471751", "a node was not root's alone") \
	X(RECOVERED,      "f3086cc9c70a44e0b17efc7b9cfb7cf2", "a lease of an earlier run") \
	X(JOURNAL_BAD,    "f6a6aadd012a4df6b507cb406edb9ac9", "a lease's file makes no sense") \
	X(EVENTS_LOST,    "0f2a325244b84216bbccce544148f574", "uevents were lost; rescan") \
	X(RESET,          "3b7d1c5e8f2a4b60a9c4d7e1f0526b83", "devices of a lease were reset, or not") \
	X(CHANGED,        "7d0f5a6d5a0d4b2f8c1d3e6a94b7c215", "a lease has more or fewer devices") \
	X(REVOKED,        "b3a1c86f2f624d5c9e07f5d8a2c4e631", "a rung of a revocation") \
	X(FENCED,         "bd4b03e57c844665b946e0959515f85b", "what came to a leased group is shut off") \
	X(INTERFERED,     "7f9216171f9c40a3b69a09a872e41f92", "others changed a leased device") \
	X(PROBING_OLD_KERNEL, "5d1f7c0a5b0f4e5f9e2b6a4c8f7d3e12", "no broker-driven probing here") \
	X(PROBING_FAILED, "a7d3b5e94c61407d8f20c19e6b4a83d5", "it could not be taken over") \
	X(PROBING_INTERFERED, "e2c86a1f93b74d0c95d7f48b1a6e30c4", "others wrote drivers_autoprobe") \
	X(PROBING_BACK,   "31b9e0d6c7f24a8a8d5c72f0e94b16a3", "the kernel probes new devices again") \
	X(PLACES_BAD,     "ae5c4b7f2d0943c68b1f7a90d35e62c4", "guest addresses cannot be kept or read") \
	X(DEVICE_ERROR,   "16c6fb21a7ec4606a7ed61109f34e050", "a device broke, or recovered") \
	X(NUM_VFS,        "53d84e4c2e024a1d90995f761437ac6d", "virtual functions of a device") \
	X(DEVICE_CLEARED, "f8785a22baef414a82a958e5e6fd1b46", "a failed device may be given again")
/* clang-format on */

#define MESSAGE_DEFINE(name, id, when) \
	static const char MESSAGE_##name[] __attribute__((unused)) = id;
MESSAGES(MESSAGE_DEFINE)
#undef MESSAGE_DEFINE

/* The fields. Those marked * may occur several times in a record, once for each value. */
#define FIELD_LEASE    "VFIOD_LEASE"	/* id of the lease */
#define FIELD_NAME     "VFIOD_NAME"	/* label that the owner gave it */
#define FIELD_MODE     "VFIOD_MODE"	/* cdev, group, node */
#define FIELD_OWNER    "VFIOD_OWNER"	/* uid that the lease belongs to */
#define FIELD_UID      "VFIOD_UID"	/* who asked: uid, as the bus vouches for it */
#define FIELD_PID      "VFIOD_PID"	/* who asked: pid, as the bus vouches for it */
#define FIELD_UNIT     "VFIOD_UNIT"	/* who asked: system unit, where the bus gives ProcessFD */
#define FIELD_SENDER   "VFIOD_SENDER"	/* who asked: unique bus name */
#define FIELD_METHOD   "VFIOD_METHOD"	/* what was asked for: Acquire, Release, … */
#define FIELD_DEVICE   "VFIOD_DEVICE"	/* * sysfs name */
#define FIELD_WITHHELD "VFIOD_WITHHELD" /* * sysfs name of a device kept shut */
#define FIELD_GROUP    "VFIOD_GROUP"	/* * number of an IOMMU group */
#define FIELD_RULE     "VFIOD_RULE"	/* * id of a deciding rule */
#define FIELD_REASON   "VFIOD_REASON"	/* the one reason, in the words of policy/decide.h */
#define FIELD_ERROR    "VFIOD_ERROR"	/* short name of the bus error */
#define FIELD_STEP     "VFIOD_STEP"	/* step of a worker, in the words of daemon/lease/step.h */
#define FIELD_DRIVER   "VFIOD_DRIVER"	/* * driver that a device had or should have */
#define FIELD_OVERRIDE "VFIOD_OVERRIDE" /* driver_override that a device had */
#define FIELD_HOLDER   "VFIOD_HOLDER"	/* * "PID COMMAND" of a process with fds open */
#define FIELD_NODE     "VFIOD_NODE"	/* path below /dev */
#define FIELD_FILE     "VFIOD_FILE"	/* * a policy or journal file */
#define FIELD_SERIAL   "VFIOD_SERIAL"	/* number of the policy in force */
#define FIELD_COUNT    "VFIOD_COUNT"	/* how many: fds handed over, rules loaded, … */
#define FIELD_OUTCOME  "VFIOD_OUTCOME"	/* what became of a fenced device */
#define FIELD_EVENT    "VFIOD_EVENT"	/* what the kernel said of a device that broke */
#define FIELD_USEC     "VFIOD_USEC"	/* how long it took, in microseconds */
