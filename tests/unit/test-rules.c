/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whether subjects and devices match a rule, key by key, and the words of the language. */

#include "policy/rules.h"

#include <check.h>
#include <stdio.h>

/* A NULL-terminated vector that lives as long as the block. */
#define V(...) ((char **)(const char *[]){ __VA_ARGS__, NULL })

static struct device nic(void)
{
	return (struct device){
		.name = (char *)"0000:3b:02.1",
		.subsystem = (char *)"pci",
		.vendor = 0x8086,
		.product = 0x10d3,
		.subvendor = 0x1af4,
		.subproduct = 0x0001,
		.class_code = 0x020000,
		.driver = (char *)"vfio-pci",
		.slot = (char *)"3-1",
		.physical_function = (char *)"0000:3b:00.0",
		.group_id = 17,
		.iommu_name = (char *)"dmar0",
	};
}

static const struct {
	enum device_key key;
	const char *value;
	bool matches;
} keys[] = {
	{ DEVICE_KEY_ADDRESS, "0000:3b:02.1", true },
	{ DEVICE_KEY_ADDRESS, "*", true },
	{ DEVICE_KEY_ADDRESS, "0000:3b:0[2-5].*", true },
	{ DEVICE_KEY_ADDRESS, "0000:3B:02.?", true },
	{ DEVICE_KEY_ADDRESS, "0000:3b:02", false },
	{ DEVICE_KEY_ADDRESS, "3b:02.1", false },
	{ DEVICE_KEY_ADDRESS, "0000:3b:0[3-5].*", false },
	{ DEVICE_KEY_VENDOR, "8086", true },
	{ DEVICE_KEY_VENDOR, "0x8086", true },
	{ DEVICE_KEY_VENDOR, "*", true },
	{ DEVICE_KEY_VENDOR, "10d3", false },
	{ DEVICE_KEY_VENDOR, "808", false },
	{ DEVICE_KEY_VENDOR, "80861", false },
	{ DEVICE_KEY_VENDOR, "0x", false },
	{ DEVICE_KEY_VENDOR, "8086x", false },
	{ DEVICE_KEY_PRODUCT, "10D3", true },
	{ DEVICE_KEY_PRODUCT, "8086", false },
	{ DEVICE_KEY_SUBSYSTEM_VENDOR, "1af4", true },
	{ DEVICE_KEY_SUBSYSTEM_VENDOR, "8086", false },
	{ DEVICE_KEY_SUBSYSTEM_PRODUCT, "0001", true },
	{ DEVICE_KEY_SUBSYSTEM_PRODUCT, "1000", false },
	{ DEVICE_KEY_CLASS, "02", true },
	{ DEVICE_KEY_CLASS, "0200", true },
	{ DEVICE_KEY_CLASS, "0x020000", true },
	{ DEVICE_KEY_CLASS, "03", false },
	{ DEVICE_KEY_CLASS, "0201", false },
	{ DEVICE_KEY_CLASS, "020001", false },
	{ DEVICE_KEY_CLASS, "00", false },
	{ DEVICE_KEY_CLASS, "", false },
	{ DEVICE_KEY_CLASS, "02000000", false },
	{ DEVICE_KEY_DRIVER, "e1000e", true }, /* the host's, not the bound one */
	{ DEVICE_KEY_DRIVER, "e1000*", true },
	{ DEVICE_KEY_DRIVER, "E1000E", false },
	{ DEVICE_KEY_DRIVER, "vfio-pci", false },
	{ DEVICE_KEY_SUBSYSTEM, "pci", true },
	{ DEVICE_KEY_SUBSYSTEM, "platform", false },
	{ DEVICE_KEY_GROUP, "17", true },
	{ DEVICE_KEY_GROUP, "1", false },
	{ DEVICE_KEY_GROUP, "170", false },
	{ DEVICE_KEY_IOMMU, "dmar0", true },
	{ DEVICE_KEY_IOMMU, "dmar?", true },
	{ DEVICE_KEY_IOMMU, "ivhd*", false },
	{ DEVICE_KEY_SLOT, "3-1", true },
	{ DEVICE_KEY_SLOT, "3", false },
	{ DEVICE_KEY_PHYSICAL_FUNCTION, "0000:3b:00.0", true },
	{ DEVICE_KEY_PHYSICAL_FUNCTION, "0000:3B:*", true },
	{ DEVICE_KEY_PHYSICAL_FUNCTION, "0000:3c:*", false },
	{ DEVICE_KEY_POOL, "nowhere", false },
};

START_TEST(one_key)
{
	struct device device = nic();
	struct device_match match = { 0 };

	match.values[keys[_i].key] = V(keys[_i].value);
	ck_assert_msg(device_match_matches(NULL, &match, &device, "e1000e") == keys[_i].matches,
		      "%s %s", device_key_to_string(keys[_i].key), keys[_i].value);
	/* Values are a disjunction: one that matches is enough, wherever it stands. */
	match.values[keys[_i].key] = V("zz", keys[_i].value, "yy");
	ck_assert(device_match_matches(NULL, &match, &device, "e1000e") == keys[_i].matches);
}
END_TEST

START_TEST(keys_are_a_conjunction)
{
	struct device device = nic();
	struct device_match match = { 0 };

	match.values[DEVICE_KEY_VENDOR] = V("8086");
	match.values[DEVICE_KEY_CLASS] = V("02");
	ck_assert(device_match_matches(NULL, &match, &device, NULL));
	match.values[DEVICE_KEY_PRODUCT] = V("1533");
	ck_assert(!device_match_matches(NULL, &match, &device, NULL));
}
END_TEST

START_TEST(no_key_is_no_match)
{
	struct device device = nic();
	struct device_match match = { 0 };

	ck_assert(!device_match_matches(NULL, &match, &device, "e1000e"));
}
END_TEST

/* What a device does not have matches nothing, not even "*". */
START_TEST(absent_is_no_match)
{
	static const enum device_key absent[] = {
		DEVICE_KEY_VENDOR,
		DEVICE_KEY_PRODUCT,
		DEVICE_KEY_SUBSYSTEM_VENDOR,
		DEVICE_KEY_CLASS,
		DEVICE_KEY_DRIVER,
		DEVICE_KEY_SUBSYSTEM_PRODUCT,
		DEVICE_KEY_GROUP,
		DEVICE_KEY_IOMMU,
		DEVICE_KEY_SLOT,
		DEVICE_KEY_PHYSICAL_FUNCTION,
	};
	struct device device = { .name = (char *)"uart.0",
				 .subsystem = (char *)"platform",
				 .vendor = ID_UNKNOWN,
				 .product = ID_UNKNOWN,
				 .subvendor = ID_UNKNOWN,
				 .subproduct = ID_UNKNOWN,
				 .class_code = ID_UNKNOWN,
				 .group_id = ID_UNKNOWN };

	for (size_t i = 0; i < ARRAY_SIZE(absent); i++) {
		struct device_match match = { 0 };
		struct rule rule = { .devices = &match, .n_devices = 1 };

		match.values[absent[i]] = V("*", "ffffffff", "4294967295");
		for (int deny = 0; deny <= 1; deny++) {
			rule.deny = deny;
			ck_assert_msg(!rule_matches_device(NULL, &rule, &device, NULL), "%s",
				      device_key_to_string(absent[i]));
		}
	}
}
END_TEST

/* A PCI device whose numbers could not be read escapes no deny rule, and meets no other. */
START_TEST(unknown_is_denied)
{
	struct device device = nic();
	struct device_match match = { 0 };
	struct rule rule = { .devices = &match, .n_devices = 1 };

	device.vendor = ID_UNKNOWN;
	device.class_code = ID_UNKNOWN;
	match.values[DEVICE_KEY_VENDOR] = V("10de");
	match.values[DEVICE_KEY_CLASS] = V("03");
	ck_assert(!rule_matches_device(NULL, &rule, &device, NULL));
	rule.deny = true;
	ck_assert(rule_matches_device(NULL, &rule, &device, NULL));
	match.values[DEVICE_KEY_PRODUCT] = V("1b80");
	ck_assert(!rule_matches_device(NULL, &rule, &device, NULL));
}
END_TEST

/* Other buses' names differ by the case of their letters. */
START_TEST(case_of_other_buses)
{
	struct device device = { .name = (char *)"INT33D1:00", .subsystem = (char *)"platform" };
	struct device_match match = { 0 };

	match.values[DEVICE_KEY_ADDRESS] = V("int33d1:00");
	ck_assert(!device_match_matches(NULL, &match, &device, NULL));
	match.values[DEVICE_KEY_ADDRESS] = V("INT33D1:*");
	ck_assert(device_match_matches(NULL, &match, &device, NULL));
}
END_TEST

START_TEST(pools)
{
	struct device device = nic(), other = nic();
	struct device_match in[2] = { 0 }, match = { 0 }, nested = { 0 };
	struct pool list[] = {
		{ .name = (char *)"nics", .devices = in, .n_devices = 2 },
		{ .name = (char *)"loop", .devices = &nested, .n_devices = 1 },
	};
	struct policy policy = { .pools = list, .n_pools = 2 };
	struct rule rule = { .devices = &match, .n_devices = 1 };

	other.vendor = 0x1af4;
	in[0].values[DEVICE_KEY_DRIVER] = V("igb");
	in[1].values[DEVICE_KEY_VENDOR] = V("8086");
	match.values[DEVICE_KEY_POOL] = V("nics");
	ck_assert(rule_matches_device(&policy, &rule, &device, NULL));
	ck_assert(!rule_matches_device(&policy, &rule, &other, NULL));
	ck_assert(rule_matches_device(&policy, &rule, &other, "igb"));
	ck_assert(pool_matches_device(&policy, &list[0], &device, NULL));
	ck_assert(!pool_matches_device(&policy, &list[0], &other, NULL));
	/* Pool and another key: both. */
	match.values[DEVICE_KEY_CLASS] = V("03");
	ck_assert(!rule_matches_device(&policy, &rule, &device, NULL));
	/* A pool in a pool cannot be written; it ends, and matches nothing. */
	nested.values[DEVICE_KEY_POOL] = V("loop");
	match.values[DEVICE_KEY_CLASS] = NULL;
	match.values[DEVICE_KEY_POOL] = V("loop");
	ck_assert(!rule_matches_device(&policy, &rule, &device, NULL));
	ck_assert(!pool_matches_device(&policy, &list[1], &device, NULL));
}
END_TEST

START_TEST(devices_are_a_disjunction)
{
	struct device device = nic();
	struct device_match match[2] = { 0 };
	struct rule rule = { .devices = match, .n_devices = 2 };

	match[0].values[DEVICE_KEY_VENDOR] = V("10de");
	match[1].values[DEVICE_KEY_VENDOR] = V("8086");
	ck_assert(rule_matches_device(NULL, &rule, &device, NULL));
	rule.n_devices = 1;
	ck_assert(!rule_matches_device(NULL, &rule, &device, NULL));
	rule.n_devices = 0;
	ck_assert(!rule_matches_device(NULL, &rule, &device, NULL));
}
END_TEST

static const struct {
	const char *name;
	struct subject_match match;
	bool deny, matches;
	bool matches_unknown; /* when the unit is not known */
} subjects[] = {
	{ "everybody", { .users = V("*") }, false, true, true },
	{ "uid",
	  { .users = V("5", "1000"), .uids = (uid_t[]){ 5, 1000 }, .n_uids = 2 },
	  false,
	  true,
	  true },
	{ "another uid",
	  { .users = V("5"), .uids = (uid_t[]){ 5 }, .n_uids = 1 },
	  false,
	  false,
	  false },
	{ "a name that did not resolve", { .users = V("ghost") }, false, false, false },
	{ "primary gid",
	  { .groups = V("1000"), .gids = (gid_t[]){ 1000 }, .n_gids = 1 },
	  false,
	  true,
	  true },
	{ "another gid",
	  { .groups = V("a", "b"), .gids = (gid_t[]){ 7, 36 }, .n_gids = 2 },
	  false,
	  true,
	  true },
	{ "gid that it has not",
	  { .groups = V("x"), .gids = (gid_t[]){ 0 }, .n_gids = 1 },
	  false,
	  false,
	  false },
	{ "unit", { .units = V("vm-1.service") }, false, true, false },
	{ "unit glob", { .units = V("x.service", "vm-*") }, false, true, false },
	{ "another unit", { .units = V("vm-2.service") }, false, false, false },
	{ "any unit", { .units = V("*") }, false, true, false },
	{ "a backslash is itself", { .units = V("vm\\-1.service") }, false, false, false },
	{ "deny by unit", { .units = V("vm-1.service") }, true, true, true },
	{ "deny by another unit", { .units = V("vm-2.service") }, true, false, true },
	{ "deny by unit, and another uid",
	  { .users = V("5"), .uids = (uid_t[]){ 5 }, .n_uids = 1, .units = V("vm-2.service") },
	  true,
	  false,
	  false },
	{ "all three",
	  { .users = V("*"),
	    .groups = V("kvm"),
	    .gids = (gid_t[]){ 36 },
	    .n_gids = 1,
	    .units = V("vm-1.*") },
	  false,
	  true,
	  false },
	{ "right user, wrong group",
	  { .users = V("*"), .groups = V("x"), .gids = (gid_t[]){ 9 }, .n_gids = 1 },
	  false,
	  false,
	  false },
	{ "no key", { .users = NULL }, false, false, false },
	{ "no key, deny", { .users = NULL }, true, false, false },
};

START_TEST(subject)
{
	const gid_t gids[] = { 1000, 36 };
	struct subject who = {
		.uid = 1000, .gids = gids, .n_gids = 2, .unit = "vm-1.service", .unit_known = true
	};
	struct subject_match match = subjects[_i].match;
	struct rule rule = { .deny = subjects[_i].deny, .subjects = &match, .n_subjects = 1 };

	ck_assert_msg(rule_matches_subject(&rule, &who) == subjects[_i].matches, "%s",
		      subjects[_i].name);
	who.unit = NULL;
	who.unit_known = false;
	ck_assert_msg(rule_matches_subject(&rule, &who) == subjects[_i].matches_unknown, "%s",
		      subjects[_i].name);
}
END_TEST

/* In no system unit, and known to be in none: then no unit matches, and no deny rule either. */
START_TEST(subject_without_unit)
{
	struct subject who = { .uid = 1000, .unit = NULL, .unit_known = true };
	struct subject_match match = { .units = V("*") };
	struct rule rule = { .subjects = &match, .n_subjects = 1 };

	ck_assert(!rule_matches_subject(&rule, &who));
	rule.deny = true;
	ck_assert(!rule_matches_subject(&rule, &who));
}
END_TEST

START_TEST(subjects_are_a_disjunction)
{
	struct subject who = { .uid = 1000, .unit_known = true };
	struct subject_match match[] = {
		{ .users = V("5"), .uids = (uid_t[]){ 5 }, .n_uids = 1 },
		{ .users = V("1000"), .uids = (uid_t[]){ 1000 }, .n_uids = 1 },
	};
	struct rule rule = { .subjects = match, .n_subjects = 2 };

	ck_assert(rule_matches_subject(&rule, &who));
	rule.n_subjects = 1;
	ck_assert(!rule_matches_subject(&rule, &who));
}
END_TEST

START_TEST(consent)
{
	struct rule rule = { .consent_drivers = V("e1000e", "snd_*") };

	ck_assert(rule_consents(&rule, "e1000e"));
	ck_assert(rule_consents(&rule, "snd_hda_intel"));
	ck_assert(!rule_consents(&rule, "e1000"));
	ck_assert(!rule_consents(&rule, "nvme"));
	ck_assert(!rule_consents(&rule, NULL));
	rule.consent_drivers = NULL;
	ck_assert(!rule_consents(&rule, "e1000e"));
	rule.consent_drivers = V("*");
	ck_assert(rule_consents(&rule, "nvme"));
}
END_TEST

#define ROUND_TRIP(name, type, max)                                                         \
	do {                                                                                \
		for (int i = 0; i < (max); i++) {                                           \
			ck_assert_ptr_nonnull(name##_to_string((type)i));                   \
			ck_assert_int_eq(name##_from_string(name##_to_string((type)i)), i); \
		}                                                                           \
		ck_assert_ptr_null(name##_to_string((type)(max)));                          \
		ck_assert_ptr_null(name##_to_string((type)-1));                             \
		ck_assert_int_eq(name##_from_string("nonsense"), -EINVAL);                  \
		ck_assert_int_eq(name##_from_string(NULL), -EINVAL);                        \
	} while (0)

START_TEST(words)
{
	ROUND_TRIP(verb, enum verb, VERB_MAX);
	ROUND_TRIP(mode, enum mode, MODE_MAX);
	ROUND_TRIP(park, enum park, PARK_MAX);
	ROUND_TRIP(auth, enum auth, AUTH_MAX);
	ROUND_TRIP(revoke, enum revoke, REVOKE_MAX);
	ROUND_TRIP(probe, enum probe, PROBE_MAX);
	ROUND_TRIP(device_key, enum device_key, DEVICE_KEY_MAX);
}
END_TEST

START_TEST(life)
{
	struct policy *policy = policy_new();

	ck_assert_ptr_nonnull(policy);
	ck_assert_uint_eq(policy->limit_leases_per_user, 64);
	ck_assert_ptr_null(policy_pool(policy, "x"));
	ck_assert_ptr_null(policy_pool(NULL, "x"));
	ck_assert_ptr_null(policy_free(policy));
	ck_assert_ptr_null(policy_free(NULL));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rules");
	TCase *tests = tcase_create("rules");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tests, one_key, 0, ARRAY_SIZE(keys));
	tcase_add_test(tests, keys_are_a_conjunction);
	tcase_add_test(tests, no_key_is_no_match);
	tcase_add_test(tests, absent_is_no_match);
	tcase_add_test(tests, unknown_is_denied);
	tcase_add_test(tests, case_of_other_buses);
	tcase_add_test(tests, pools);
	tcase_add_test(tests, devices_are_a_disjunction);
	tcase_add_loop_test(tests, subject, 0, ARRAY_SIZE(subjects));
	tcase_add_test(tests, subject_without_unit);
	tcase_add_test(tests, subjects_are_a_disjunction);
	tcase_add_test(tests, consent);
	tcase_add_test(tests, words);
	tcase_add_test(tests, life);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
