/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Whether somebody may have devices, and what would be done to each: decide(), a pure function of
 * the topology, the policy, the ledger, the kernel's features and the request. Acquire carries
 * its answer out; Explain shows it and does nothing.
 */

#include "policy/ledger.h"
#include "policy/rules.h"
#include "policy/topology.h"

/*
 * The one reason of a decision, and of each device's verdict. Their order is the order in which
 * they count: of several that apply, the first is the answer. What the things are comes before
 * what the rules say, so that a slip of the pen is called that; and the rules come before what the
 * host and others need, so that who has no rule for a device learns nothing else about it.
 */
enum reason {
	REASON_ALLOWED,
	REASON_NO_DEVICES,	 /* the request names none */
	REASON_TOO_MANY_DEVICES, /* more than a request may name */
	REASON_NO_SUCH_DEVICE,
	REASON_NO_SUCH_POOL,
	REASON_POOL_EMPTY,	 /* no free device in it that this subject may have */
	REASON_DUPLICATE,	 /* named twice, or both to be granted and withheld */
	REASON_WITHHOLD_OUTSIDE, /* withhold names a device of another group */
	REASON_NO_GROUP,	 /* the device is in no IOMMU group */
	REASON_NOT_ISOLATED,	 /* a noiommu group */
	REASON_UNSUPPORTED_BUS,	 /* neither PCI, platform nor mediated */
	REASON_BRIDGE,		 /* VFIO takes no bridge: it can only be withheld */
	REASON_NO_VFIO_DRIVER,	 /* nothing can drive it for VFIO */
	REASON_WRONG_DEVICE,	 /* "expect" names another vendor:product */
	REASON_NO_RULE,		 /* no rule matches: the default */
	REASON_DENY_RULE,
	REASON_PIN,		/* it is not what the rule or the pool has pinned */
	REASON_VERB,		/* the deciding rule lacks a verb that is needed */
	REASON_MODE,		/* the rules allow no such mode */
	REASON_MODE_KERNEL,	/* the kernel has no such mode */
	REASON_PARK,		/* the rules' park does not fit the mode */
	REASON_CONSENT_NAME,	/* a sibling on a driver that counts is not named */
	REASON_CONSENT_DRIVER,	/* the rule does not consent to the device's driver */
	REASON_SIBLING_ON_VFIO, /* a sibling on a VFIO driver or pci-stub is not named */
	REASON_IN_USE,		/* the host needs it */
	REASON_GROUP_LEASED,
	REASON_GROUP_DRAINING, /* draining, restoring or failed */
	REASON_PF_VF,	       /* its PF or VFs are in other hands */
	REASON_DEVICE_FAILED,  /* it broke, and neither a reset nor an administrator cleared that */
	REASON_MEMLOCK,	       /* more than the rules' bound */
	REASON_LIMIT_USER,
	REASON_LIMIT_RULE_LEASES,
	REASON_LIMIT_RULE_DEVICES,
	REASON_NAME_TAKEN,
	REASON_DRAINING,   /* the daemon gives no new leases */
	REASON_NO_PROCESS, /* a rule needs the caller's unit and the bus does not know it */
	REASON_MAX,
	REASON_INVALID = -1,
};
DECLARE_STRING_TABLE(reason, enum reason)

/*
 * The bus error's short name (as in "org.vfiod1.Error.NotPermitted") for a reason; NULL for
 * REASON_ALLOWED. Where api.md has no error of that very name: what the request itself has wrong
 * is BadOption (a bridge to be granted too: it can be named under "withhold"), too many of
 * something QuotaExceeded, an empty pool and a PF or VF in other hands GroupBusy (try later),
 * no group NoSuchGroup, what VFIO cannot have GroupNotViable, another device than was expected
 * GroupChanged, and a daemon that drains NotPermitted, as nobody may have a lease now.
 */
const char *reason_to_error(enum reason reason);

/* What would be done to a device. */
enum action {
	ACTION_NONE,	  /* stays as it is: nothing to do (pcieport, …) */
	ACTION_GRANT,	  /* to its VFIO driver, opened for the owner */
	ACTION_PARK_VFIO, /* to its VFIO driver, node stays root's */
	ACTION_PARK_NONE, /* to no driver */
	ACTION_MAX,
	ACTION_INVALID = -1,
};
DECLARE_STRING_TABLE(action, enum action)

/* What the running kernel can do. */
struct host_features {
	bool group;   /* /dev/vfio/vfio and groups (CONFIG_VFIO_GROUP) */
	bool iommufd; /* /dev/iommu */
	bool cdev;    /* /dev/vfio/devices/ (CONFIG_VFIO_DEVICE_CDEV) */
};

struct expect {
	const char *device;
	uint32_t vendor, product;
};

#define REQUEST_DEVICES_MAX 64
/* A request touches at most this many groups: each named device is in one. */
#define REQUEST_GROUPS_MAX REQUEST_DEVICES_MAX

struct request {
	struct subject subject; /* who asks */
	uid_t owner;		/* for whom; the subject's uid unless delegated */
	char *const *devices;	/* sysfs names, "pool:NAME" or "pool:NAME*3" */
	char *const *withhold;	/* sysfs names */
	enum mode mode;	  /* auto: cdev, else group; never node, which opens paths to a whole uid */
	const char *name; /* label or NULL */
	/*
	 * Id of a lease that is to have the devices besides its own: its groups are not busy for
	 * it, and what it keeps shut in them (withheld, fenced) may be granted. NULL: a new lease.
	 */
	const char *lease;
	bool persist;
	uint64_t memlock; /* bytes, 0: not asked for */
	const struct expect *expect;
	size_t n_expect;
	bool has_numa_node;
	int numa_node; /* pools are drawn from near it */
};

struct verdict {
	char *device;
	uint64_t identity;
	uint32_t group;
	bool named;
	bool withhold; /* named under "withhold" */
	enum reason reason;
	char *rule; /* deciding rule's id; NULL: none matched or none was needed */
	enum action action;
	char *host_driver;   /* the driver that it has now; NULL: none */
	char *target_driver; /* ACTION_GRANT and _PARK_VFIO */
	char *message;	     /* for a reason other than allowed */
};

struct passed_over {
	char *device;
	char *rule;
	char *why;
};

/* A device that a pool gave. */
struct drawn {
	char *pool;
	char *device;
	char *why;
};

struct decision {
	bool allowed;
	enum reason reason; /* the first, in the order of the enum, of the verdicts and the whole */
	char *message;	    /* sentences: each thing that has the reason, and the next step */
	enum mode mode;	    /* resolved; never auto */
	enum auth auth;
	enum park park; /* resolved: vfio or none */
	enum revoke revoke;
	uint64_t memlock_max;
	/*
	 * Every member of every group touched, by name, and what was named besides. A refusal may
	 * be of the request as a whole (a limit, a mode): then the verdicts may all be "allowed".
	 */
	struct verdict *verdicts;
	size_t n_verdicts;
	uint32_t *groups; /* by id */
	size_t n_groups;
	struct passed_over *passed; /* rules passed over, for explain */
	size_t n_passed;
	struct drawn *drawn; /* in the order of the request, for explain */
	size_t n_drawn;
	/*
	 * Of a pool that gave nothing: devices that a survey saw in use, with others of their
	 * groups, and pinned ones whose serial number is not known. Who looks at them again may
	 * find that the pool has something.
	 */
	char **pool_unsure;
};

struct decision *decision_free(struct decision *decision);
DEFINE_CLEANUP(struct decision *, decision_free)

/*
 * Decides. Returns 0 and a decision of the caller, or -ENOMEM. draining: the daemon gives no new
 * leases. policy may be NULL: nobody may have anything (I9).
 *
 * "pool:NAME" becomes the first device of the pool with which the request would be allowed, in this
 * order: near the NUMA node that was asked for; with the fewest other devices of its group that
 * have to be shut off or were named for it; by name. Pools are drawn from in the order of the
 * request. Where that leaves nothing for a later one, earlier draws are given up, so often as is
 * bounded in decide-pool.c. Where the rest of a group is not named, it counts as named if pools
 * that are still to be drawn from can give it.
 *
 * The time that it takes grows with the members of the groups that are touched times the leases,
 * and for each pool with the devices of the host; a request has at most REQUEST_DEVICES_MAX.
 */
int decide(const struct topology *topology, const struct policy *policy,
	   const struct ledger *ledger, const struct host_features *features, bool draining,
	   const struct request *request, struct decision **decision);

/* Whether two decisions ask for the same to be done to the same devices under the same rules. */
bool decision_equal(const struct decision *a, const struct decision *b);

/*
 * What keeps the host from giving a group away, device by device, whoever asks: for the bus'
 * Group.Viable and Group.Blockers. Appends "device" and "reason" pairs; 0 or -ENOMEM.
 */
struct blocker {
	const struct device *device;
	char *reason;
};
int group_blockers(const struct group *group, struct blocker **blockers, size_t *n);
void blockers_free(struct blocker *blockers, size_t n);
