/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a policy is: pools, rules, limits, as an immutable value. parse.c makes it from the JSON
 * of the drop-in files, decide.c reads it. The language is described in vfiod-policy(5).
 */

#include "policy/base.h"
#include "policy/topology.h"

#include <stdio.h>
#include <sys/types.h>

enum verb {
	VERB_ACQUIRE,
	VERB_WITHHOLD,
	VERB_PERSIST,
	VERB_DELEGATE,
	VERB_RESET,
	VERB_SRIOV,
	VERB_FENCED,
	VERB_MAX,
	VERB_INVALID = -1,
};
DECLARE_STRING_TABLE(verb, enum verb)

enum mode {
	MODE_CDEV,
	MODE_GROUP,
	MODE_NODE,
	MODE_AUTO, /* only asked for, never granted */
	MODE_MAX,
	MODE_INVALID = -1,
};
DECLARE_STRING_TABLE(mode, enum mode)

/* In the order of strictness: the largest value of several rules holds. */
enum park { PARK_AUTO, PARK_VFIO, PARK_NONE, PARK_MAX, PARK_INVALID = -1 };
DECLARE_STRING_TABLE(park, enum park)

enum auth { AUTH_NONE, AUTH_POLKIT, AUTH_MAX, AUTH_INVALID = -1 };
DECLARE_STRING_TABLE(auth, enum auth)

enum revoke { REVOKE_ASK, REVOKE_KILL, REVOKE_MAX, REVOKE_INVALID = -1 };
DECLARE_STRING_TABLE(revoke, enum revoke)

enum probe { PROBE_KERNEL, PROBE_BROKER, PROBE_MAX, PROBE_INVALID = -1 };
DECLARE_STRING_TABLE(probe, enum probe)

/* One object of "subjects": keys are a conjunction, the values of a key a disjunction. */
struct subject_match {
	char **users;	     /* as written; NULL: key not given. "*" is everybody */
	char **user_sources; /* "FILE:LINE:COLUMN" of each of them, for messages; or NULL */
	uid_t *uids;	     /* resolved; names that do not resolve are not here */
	size_t n_uids;
	char **groups;
	char **group_sources;
	gid_t *gids;
	size_t n_gids;
	char **units; /* globs on system unit names */
};

/* The keys of one object of "devices". */
enum device_key {
	DEVICE_KEY_ADDRESS,
	DEVICE_KEY_VENDOR,
	DEVICE_KEY_PRODUCT,
	DEVICE_KEY_SUBSYSTEM_VENDOR,
	DEVICE_KEY_SUBSYSTEM_PRODUCT,
	DEVICE_KEY_CLASS,
	DEVICE_KEY_DRIVER,
	DEVICE_KEY_SUBSYSTEM,
	DEVICE_KEY_GROUP,
	DEVICE_KEY_IOMMU,
	DEVICE_KEY_SLOT,
	DEVICE_KEY_PHYSICAL_FUNCTION,
	DEVICE_KEY_POOL,
	DEVICE_KEY_MAX,
	DEVICE_KEY_INVALID = -1,
};
DECLARE_STRING_TABLE(device_key, enum device_key)

/* What the device that an object of "devices" chooses must be: the keys of its "pin". */
enum pin_key { PIN_VENDOR, PIN_PRODUCT, PIN_SERIAL, PIN_KEY_MAX, PIN_KEY_INVALID = -1 };
DECLARE_STRING_TABLE(pin_key, enum pin_key)

struct device_match {
	char **values[DEVICE_KEY_MAX]; /* NULL: key not given. A disjunction */
	char *pin[PIN_KEY_MAX];	       /* NULL: not pinned. They choose nothing */
};

struct pool {
	char *name;
	struct device_match *devices; /* a disjunction */
	size_t n_devices;
};

struct rule {
	char *id;
	char *source; /* "FILE:LINE" for messages */
	bool deny;
	struct subject_match *subjects;
	size_t n_subjects;
	struct device_match *devices;
	size_t n_devices;
	unsigned int verbs;	/* bit per enum verb */
	unsigned int modes;	/* bit per enum mode, cdev, group, node; all if not given */
	char **consent_drivers; /* globs */
	unsigned int waive;	/* bit per enum use_kind: globs of "waive" are expanded */
	enum park park;
	enum auth auth;
	enum revoke revoke;
	uint64_t memlock;      /* bytes; UINT64_MAX: "unlimited"; 0: none given, none granted */
	uint32_t limit_leases; /* UINT32_MAX: none */
	uint32_t limit_devices;
};

struct policy {
	struct pool *pools;
	size_t n_pools;
	struct rule *rules; /* in the order in which they are gone through */
	size_t n_rules;
	enum probe probe;
	uint32_t limit_leases_per_user; /* 64 if no file says */
	char **files;			/* paths that were read, in their order */
	char **warnings;		/* names that do not resolve, … */
};

struct policy *policy_new(void);
struct policy *policy_free(struct policy *policy);
DEFINE_CLEANUP(struct policy *, policy_free)

const struct pool *policy_pool(const struct policy *policy, const char *name);

/* Who asks, from what the bus vouches for. */
struct subject {
	uid_t uid;
	const gid_t *gids; /* every gid that the bus vouched for, the primary one too */
	size_t n_gids;
	const char *unit; /* system unit; NULL: not in one, or not known */
	bool unit_known;  /* false: the bus gave no ProcessFD, so units never match */
};

/*
 * Whether a rule's subjects match. A rule with units never matches a subject whose unit is not
 * known; but a deny rule with units does then (it refuses rather than lets through).
 */
bool rule_matches_subject(const struct rule *rule, const struct subject *subject);

/*
 * Whether one object of "devices" matches. host_driver is the driver that the host had: the saved
 * one while the device is leased, else the bound one; NULL for none.
 */
bool device_match_matches(const struct policy *policy, const struct device_match *match,
			  const struct device *device, const char *host_driver);
/*
 * The same for any object of a rule. In a deny rule the ids and the class of a PCI device that
 * could not be read match: what is not known is refused rather than let through.
 */
bool rule_matches_device(const struct policy *policy, const struct rule *rule,
			 const struct device *device, const char *host_driver);
bool pool_matches_device(const struct policy *policy, const struct pool *pool,
			 const struct device *device, const char *host_driver);
/* Whether the device is what the object's pin says. */
bool pin_holds(const struct device_match *match, const struct device *device);
/*
 * The pin that stands against a device which a rule or a pool chooses: that of the first object
 * that chooses it, if that of none of them holds; NULL: one holds, or there is none. Of an object
 * with pools those of their objects count too.
 */
const struct device_match *rule_broken_pin(const struct policy *policy, const struct rule *rule,
					   const struct device *device, const char *host_driver);
const struct device_match *pool_broken_pin(const struct policy *policy, const struct pool *pool,
					   const struct device *device, const char *host_driver);
/* What differs: "vendor 8086, not 10de; …". */
void pin_put_difference(FILE *f, const struct device_match *match, const struct device *device);
/* Whether consent.drivers names the driver. */
bool rule_consents(const struct rule *rule, const char *driver);
