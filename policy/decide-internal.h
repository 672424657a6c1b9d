/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the parts of decide() share while one request is looked at. A claim borrows everything
 * that decide() was given; only its arrays are its own.
 *
 *   decide-resolve.c  names and pools to devices, devices to the members of their groups
 *   decide-pool.c     which devices of a pool
 *   decide-rule.c     which rule decides a device, and what the rules of a request have in common
 *   decide-judge.c    the checks, member by member and for the request
 *   explain.c         the sentences
 *   decide.c          the order of these, and the decision as a value
 */

#include "policy/decide.h"

/* How a rule's subjects fit the one who asks. */
enum fit {
	FIT_NO,
	FIT_YES,
	FIT_UNIT, /* all but the unit fits, and the unit is not known */
};

/* An entry of the request, and the device that it became. */
struct target {
	const char *text;	     /* as written */
	const char *pool;	     /* what follows "pool:"; or NULL */
	const struct device *device; /* NULL: none (yet) */
	const struct rule *rule;     /* the device's deciding rule */
	bool withhold;
	enum reason reason; /* why there is no device; REASON_ALLOWED: a pool not drawn from yet */
	/* Of a device that was drawn from a pool: why this one. */
	struct {
		unsigned int far; /* from the NUMA node that was asked for, as the firmware says */
		unsigned int others; /* of its group that have to be shut off, or were named */
		size_t size;	     /* of the pool */
		size_t refused[REASON_MAX]; /* that come before it */
	} draw;
};

/* A device that the request touches, or an entry that is none. */
struct member {
	const char *name;
	const struct device *device; /* NULL: an entry that became no device */
	const struct target *target; /* NULL: a sibling that was not named */
	const struct rule *rule;
	const struct lease *lease; /* that has its group */
	const char *host_driver;
	bool duplicate;
	bool outside; /* withheld, and in no group of a granted device */
	enum reason reason;
	enum action action;
};

struct claim {
	const struct topology *topology;
	const struct policy *policy;
	const struct ledger *ledger;
	const struct host_features *features;
	const struct request *request;
	bool draining;
	const struct lease *lease; /* that is to have more; NULL: a new one is asked for */

	enum fit *fits;		/* of each rule of the policy */
	struct target *targets; /* as in the request: devices, then withhold */
	size_t n_targets;
	size_t n_undrawn; /* pools not drawn from yet */

	struct member *members; /* by name */
	size_t n_members;
	uint32_t *groups; /* by id */
	size_t n_groups;

	/* What the deciding rules have in common. */
	unsigned int modes;
	enum auth auth;
	enum park rule_park;
	enum revoke revoke;
	uint64_t memlock_max;
	/* What is made of it. */
	enum mode mode;
	enum park park;

	/* Refusals of the request as a whole, with the rule and the expectation they came from. */
	bool refused[REASON_MAX];
	const struct rule *refused_rule[REASON_MAX];
	const struct expect *unmet;

	/* Why the pool that was drawn from last gave nothing. */
	size_t pool_size;
	size_t pool_refused[REASON_MAX];
	const struct device *pool_pinned; /* the first that is not what is pinned, if any is not */
	char **pool_unsure;		  /* or may be: see decision */
};

/* decide-resolve.c: 0 or -ENOMEM. */
int claim_resolve(struct claim *claim);
int claim_gather(struct claim *claim);
/* Finds the members anew, and judges them. */
int claim_judge_anew(struct claim *claim);
void target_set_device(const struct claim *claim, struct target *target,
		       const struct device *device);
struct member *claim_member(const struct claim *claim, const char *name);

/* decide-pool.c */
/* "pool:NAME" and "pool:NAME*3": what follows "pool:", and how many; NULL for a device's name. */
const char *pool_of_request(const char *text, size_t *count);
/* The pool of what follows "pool:", with the number or without; NULL: none. */
const struct pool *policy_pool_of_request(const struct policy *policy, const char *text);
/* How many devices a request asks for, to be granted and withheld. */
size_t request_count(const struct request *request);
/* Draws from all pools. 0 or -ENOMEM; a target that got nothing has REASON_POOL_EMPTY. */
int claim_draw_pools(struct claim *claim);
/* Why a target's device was drawn; a new string or NULL. */
char *claim_why_drawn(const struct claim *claim, const struct target *target);

/* decide-rule.c */
int claim_fit_rules(struct claim *claim);
const struct rule *claim_rule_of(const struct claim *claim, const struct device *device);
bool claim_rule_wants_unit(const struct claim *claim, const struct device *device,
			   const struct rule **rule);
unsigned int claim_verbs(const struct claim *claim, bool withhold);
/* The modes that would do for what was asked for: bits per enum mode. */
unsigned int claim_wanted_modes(const struct claim *claim);
void claim_find_terms(struct claim *claim);
/* Why a rule that comes before the deciding one does not decide; a new string or NULL. */
char *claim_why_passed(const struct claim *claim, size_t rule, const struct device *device);

/* decide-judge.c */
bool mode_in_kernel(const struct host_features *features, enum mode mode);
/* The kinds of use (bit per enum use_kind) that stand against taking a device from the host. */
unsigned int device_uses(const struct device *device);
/*
 * A mediated device that the driver of this one makes, and that is leased; NULL: none. It would
 * vanish, whatever the rules waive, and the kernel waits there for whoever has it open.
 */
const struct lease_device *claim_mediated_below(const struct claim *claim,
						const struct device *device);
/* Whether a device stays as it is when its group is leased and it is not to be granted. */
bool device_stays(const struct device *device);
enum reason judge_member(const struct claim *claim, const struct member *member);
/* The pin that a named member is not, of its pool or its rule; NULL: none. */
const struct device_match *member_broken_pin(const struct claim *claim,
					     const struct member *member);
/* The verbs that the rule of a named member must have. */
unsigned int member_verbs(const struct claim *claim, const struct member *member);
void claim_judge(struct claim *claim);
/* The reason that counts most, REASON_ALLOWED for none. */
enum reason claim_refusal(const struct claim *claim);
/* Forgives the members that nothing stands against yet but pools that were never drawn from. */
void claim_settle(struct claim *claim);

/* explain.c: new strings; 0 or -ENOMEM. */
int explain_claim(const struct claim *claim, enum reason reason, char **message);
int explain_member(const struct claim *claim, const struct member *member, char **message);
