/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The policy as a value: its life, its words, and whether a rule's subjects and devices match.
 * Which rule decides, and what follows from that, is in decide.c; how a policy is read, in
 * parse.c.
 */

#include "policy/rules.h"

#include <ctype.h>
#include <fnmatch.h>

static const char *const verb_table[VERB_MAX] = {
	[VERB_ACQUIRE] = "acquire",   [VERB_WITHHOLD] = "withhold", [VERB_PERSIST] = "persist",
	[VERB_DELEGATE] = "delegate", [VERB_RESET] = "reset",	    [VERB_SRIOV] = "sriov",
	[VERB_FENCED] = "fenced",
};
DEFINE_STRING_TABLE(verb, enum verb)

static const char *const mode_table[MODE_MAX] = {
	[MODE_CDEV] = "cdev",
	[MODE_GROUP] = "group",
	[MODE_NODE] = "node",
	[MODE_AUTO] = "auto",
};
DEFINE_STRING_TABLE(mode, enum mode)

static const char *const park_table[PARK_MAX] = {
	[PARK_AUTO] = "auto",
	[PARK_VFIO] = "vfio",
	[PARK_NONE] = "none",
};
DEFINE_STRING_TABLE(park, enum park)

static const char *const auth_table[AUTH_MAX] = {
	[AUTH_NONE] = "none",
	[AUTH_POLKIT] = "polkit",
};
DEFINE_STRING_TABLE(auth, enum auth)

static const char *const revoke_table[REVOKE_MAX] = {
	[REVOKE_ASK] = "ask",
	[REVOKE_KILL] = "kill",
};
DEFINE_STRING_TABLE(revoke, enum revoke)

static const char *const probe_table[PROBE_MAX] = {
	[PROBE_KERNEL] = "kernel",
	[PROBE_BROKER] = "broker",
};
DEFINE_STRING_TABLE(probe, enum probe)

static const char *const device_key_table[DEVICE_KEY_MAX] = {
	[DEVICE_KEY_ADDRESS] = "address",
	[DEVICE_KEY_VENDOR] = "vendor",
	[DEVICE_KEY_PRODUCT] = "product",
	[DEVICE_KEY_SUBSYSTEM_VENDOR] = "subsystem-vendor",
	[DEVICE_KEY_SUBSYSTEM_PRODUCT] = "subsystem-product",
	[DEVICE_KEY_CLASS] = "class",
	[DEVICE_KEY_DRIVER] = "driver",
	[DEVICE_KEY_SUBSYSTEM] = "subsystem",
	[DEVICE_KEY_GROUP] = "group",
	[DEVICE_KEY_IOMMU] = "iommu",
	[DEVICE_KEY_SLOT] = "slot",
	[DEVICE_KEY_PHYSICAL_FUNCTION] = "physical-function",
	[DEVICE_KEY_POOL] = "pool",
};
DEFINE_STRING_TABLE(device_key, enum device_key)

#define LIMIT_LEASES_PER_USER_DEFAULT 64

struct policy *policy_new(void)
{
	struct policy *policy = calloc(1, sizeof(*policy));

	if (!policy)
		return NULL;
	policy->probe = PROBE_KERNEL;
	policy->limit_leases_per_user = LIMIT_LEASES_PER_USER_DEFAULT;
	return policy;
}

static void device_match_done(struct device_match *match)
{
	for (int i = 0; i < DEVICE_KEY_MAX; i++)
		strv_free(match->values[i]);
	for (int i = 0; i < PIN_KEY_MAX; i++)
		free(match->pin[i]);
}

static void subject_match_done(struct subject_match *match)
{
	strv_free(match->users);
	strv_free(match->user_sources);
	free(match->uids);
	strv_free(match->groups);
	strv_free(match->group_sources);
	free(match->gids);
	strv_free(match->units);
}

static void pool_done(struct pool *pool)
{
	free(pool->name);
	for (size_t i = 0; i < pool->n_devices; i++)
		device_match_done(&pool->devices[i]);
	free(pool->devices);
}

static void rule_done(struct rule *rule)
{
	free(rule->id);
	free(rule->source);
	for (size_t i = 0; i < rule->n_subjects; i++)
		subject_match_done(&rule->subjects[i]);
	free(rule->subjects);
	for (size_t i = 0; i < rule->n_devices; i++)
		device_match_done(&rule->devices[i]);
	free(rule->devices);
	strv_free(rule->consent_drivers);
}

struct policy *policy_free(struct policy *policy)
{
	if (!policy)
		return NULL;
	for (size_t i = 0; i < policy->n_pools; i++)
		pool_done(&policy->pools[i]);
	free(policy->pools);
	for (size_t i = 0; i < policy->n_rules; i++)
		rule_done(&policy->rules[i]);
	free(policy->rules);
	strv_free(policy->files);
	strv_free(policy->warnings);
	free(policy);
	return NULL;
}

const struct pool *policy_pool(const struct policy *policy, const char *name)
{
	for (size_t i = 0; policy && i < policy->n_pools; i++)
		if (streq(policy->pools[i].name, name))
			return &policy->pools[i];
	return NULL;
}

/*
 * A backslash is a character like any other: systemd's unit names are full of them, and its own
 * globs work so too. NULL, for a thing that is not there, matches no glob, not even "*".
 */
static bool glob_matches(char *const *globs, const char *s, int flags)
{
	if (!s)
		return false;
	STRV_FOREACH (glob, globs)
		if (fnmatch(*glob, s, flags | FNM_NOESCAPE) == 0)
			return true;
	return false;
}

static bool user_matches(const struct subject_match *match, uid_t uid)
{
	if (strv_contains(match->users, "*"))
		return true;
	for (size_t i = 0; i < match->n_uids; i++)
		if (match->uids[i] == uid)
			return true;
	return false;
}

static bool group_matches(const struct subject_match *match, const struct subject *subject)
{
	for (size_t i = 0; i < match->n_gids; i++)
		for (size_t j = 0; j < subject->n_gids; j++)
			if (match->gids[i] == subject->gids[j])
				return true;
	return false;
}

static bool subject_match_matches(const struct subject_match *match, const struct subject *subject,
				  bool deny)
{
	/* An object without a key cannot be written; should one come about, it is nobody. */
	if (!match->users && !match->groups && !match->units)
		return false;
	if (match->users && !user_matches(match, subject->uid))
		return false;
	if (match->groups && !group_matches(match, subject))
		return false;
	if (!match->units)
		return true;
	if (!subject->unit_known)
		return deny;
	return glob_matches(match->units, subject->unit, 0);
}

bool rule_matches_subject(const struct rule *rule, const struct subject *subject)
{
	for (size_t i = 0; i < rule->n_subjects; i++)
		if (subject_match_matches(&rule->subjects[i], subject, rule->deny))
			return true;
	return false;
}

/* Skips a "0x"; NULL if what follows is not one or more hexadecimal digits. */
static const char *hex_digits(const char *s)
{
	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
		s += 2;
	if (!*s)
		return NULL;
	for (const char *p = s; *p; p++)
		if (!isxdigit((unsigned char)*p))
			return NULL;
	return s;
}

/*
 * Whether one of the values is the number, "*" for any that is known. A PCI device always has its
 * numbers: one that could not be read is treated as the one that a deny rule (deny) is after.
 */
static bool id_matches(char *const *values, uint32_t id, const struct device *device, bool deny)
{
	if (id == ID_UNKNOWN)
		return deny && streq0(device->subsystem, "pci");
	STRV_FOREACH (value, values) {
		const char *digits;

		if (streq(*value, "*"))
			return true;
		digits = hex_digits(*value);
		if (digits && strtoul(digits, NULL, 16) == id)
			return true;
	}
	return false;
}

/* Whether one of the values is a prefix of the 6 digits of the class. */
static bool class_matches(char *const *values, const struct device *device, bool deny)
{
	if (device->class_code == ID_UNKNOWN)
		return deny && streq0(device->subsystem, "pci");
	STRV_FOREACH (value, values) {
		const char *digits = hex_digits(*value);
		size_t n = digits ? strlen(digits) : 0;

		if (n >= 1 && n <= 6 &&
		    strtoul(digits, NULL, 16) == device->class_code >> (24 - 4 * n))
			return true;
	}
	return false;
}

static bool group_id_matches(char *const *values, uint32_t id)
{
	if (id == ID_UNKNOWN)
		return false;
	STRV_FOREACH (value, values)
		if (streq(*value, "*") ||
		    (isdigit((unsigned char)**value) && strtoull(*value, NULL, 10) == id))
			return true;
	return false;
}

static bool match_matches(const struct policy *policy, const struct device_match *match,
			  const struct device *device, const char *host_driver, bool deny,
			  bool in_pool);

/* A pool has no pool in it: the parser refuses it, and here it would be nobody's. */
static bool in_pools(const struct policy *policy, char *const *names, const struct device *device,
		     const char *host_driver, bool deny)
{
	STRV_FOREACH (name, names) {
		const struct pool *pool = policy_pool(policy, *name);

		for (size_t i = 0; pool && i < pool->n_devices; i++)
			if (match_matches(policy, &pool->devices[i], device, host_driver, deny,
					  true))
				return true;
	}
	return false;
}

static bool key_matches(const struct policy *policy, enum device_key key, char *const *values,
			const struct device *device, const char *host_driver, bool deny,
			bool in_pool)
{
	/* The kernel writes PCI addresses in small letters; people do not always. */
	int fold = streq0(device->subsystem, "pci") ? FNM_CASEFOLD : 0;

	switch (key) {
	case DEVICE_KEY_ADDRESS:
		return glob_matches(values, device->name, fold);
	case DEVICE_KEY_VENDOR:
		return id_matches(values, device->vendor, device, deny);
	case DEVICE_KEY_PRODUCT:
		return id_matches(values, device->product, device, deny);
	case DEVICE_KEY_SUBSYSTEM_VENDOR:
		return id_matches(values, device->subvendor, device, deny);
	case DEVICE_KEY_SUBSYSTEM_PRODUCT:
		return id_matches(values, device->subproduct, device, deny);
	case DEVICE_KEY_CLASS:
		return class_matches(values, device, deny);
	case DEVICE_KEY_DRIVER:
		return glob_matches(values, host_driver, 0);
	case DEVICE_KEY_SUBSYSTEM:
		return glob_matches(values, device->subsystem, 0);
	case DEVICE_KEY_GROUP:
		return group_id_matches(values, device->group_id);
	case DEVICE_KEY_IOMMU:
		return glob_matches(values, device->iommu_name, 0);
	case DEVICE_KEY_SLOT:
		return glob_matches(values, device->slot, 0);
	case DEVICE_KEY_PHYSICAL_FUNCTION:
		return glob_matches(values, device->physical_function, FNM_CASEFOLD);
	case DEVICE_KEY_POOL:
		return !in_pool && in_pools(policy, values, device, host_driver, deny);
	case DEVICE_KEY_MAX:
	case DEVICE_KEY_INVALID:
		break;
	}
	return false;
}

static bool match_matches(const struct policy *policy, const struct device_match *match,
			  const struct device *device, const char *host_driver, bool deny,
			  bool in_pool)
{
	bool any = false;

	for (int i = 0; i < DEVICE_KEY_MAX; i++) {
		if (!match->values[i])
			continue;
		if (!key_matches(policy, (enum device_key)i, match->values[i], device, host_driver,
				 deny, in_pool))
			return false;
		any = true;
	}
	return any;
}

bool device_match_matches(const struct policy *policy, const struct device_match *match,
			  const struct device *device, const char *host_driver)
{
	return match_matches(policy, match, device, host_driver, false, false);
}

bool rule_matches_device(const struct policy *policy, const struct rule *rule,
			 const struct device *device, const char *host_driver)
{
	for (size_t i = 0; i < rule->n_devices; i++)
		if (match_matches(policy, &rule->devices[i], device, host_driver, rule->deny,
				  false))
			return true;
	return false;
}

bool pool_matches_device(const struct policy *policy, const struct pool *pool,
			 const struct device *device, const char *host_driver)
{
	for (size_t i = 0; i < pool->n_devices; i++)
		if (match_matches(policy, &pool->devices[i], device, host_driver, false, true))
			return true;
	return false;
}

bool rule_consents(const struct rule *rule, const char *driver)
{
	return glob_matches(rule->consent_drivers, driver, 0);
}
