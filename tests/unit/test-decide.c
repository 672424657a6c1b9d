/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * decide() by tables: one host with everything that makes a difference, and rows of policy,
 * leases and request with the answer. Every reason occurs. Then everything crossed with
 * everything, and random worlds, held against the promises of decide-world.c.
 */

#include "tests/unit/decide-table.h"

#include <check.h>
#include <stdio.h>

static struct world world;

/* Node 2 is nearer to node 0 than node 1 is. */
static void set_distances(void)
{
	static const unsigned char table[] = { 10, 32, 16, 32, 10, 16, 16, 16, 10 };
	unsigned char *copy = malloc(sizeof(table));

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, table, sizeof(table));
	topology_take_numa(&world.topology, copy, 3);
}

static void setup(void)
{
	world_init(&world);
	for (size_t i = 0; i < n_lab; i++)
		world_add_device(&world, &lab[i]);
	set_distances();
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
	if (row->why)
		ck_assert_msg(decision->n_drawn > 0 && strstr(decision->drawn[0].why, row->why),
			      "%s: %s", row->what,
			      decision->n_drawn > 0 ? decision->drawn[0].why : "nothing was drawn");
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

static void try_row(const struct row *row)
{
	_cleanup_strv_ char **devices = split(row->devices);
	_cleanup_strv_ char **withhold = split(row->withhold);
	struct request request = {
		.devices = devices,
		.withhold = withhold,
		.mode = row->has_mode ? row->mode : MODE_AUTO,
		.name = row->name,
		.persist = row->persist,
		.memlock = row->memlock,
		.lease = row->grows,
		.has_numa_node = row->node > 0,
		.numa_node = row->node - 1,
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

START_TEST(test_row)
{
	try_row(&rows[_i]);
}
END_TEST

START_TEST(test_grow_row)
{
	try_row(&grow_rows[_i]);
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

	for (size_t i = 0; i < n_rows; i++)
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
	_cleanup_(decision_freep) struct decision *none = NULL;

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

	/* Where no rule decides, nothing is granted, memory neither. */
	none = ask("0000:10:00.0", NULL, MODE_AUTO);
	ck_assert_uint_eq(none->memlock_max, 0);
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
	_cleanup_(decision_freep) struct decision *unit = NULL;
	_cleanup_strv_ char **devices = NULL;
	struct request request = { .subject.uid = ALICE, .owner = ALICE, .mode = MODE_AUTO };

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

	/* The unit is not known; and a rule with several device matches. */
	devices = split("0000:10:00.0");
	request.devices = devices;
	world_set_policy(
		&world,
		"{\"version\":1,\"rules\":[{\"id\":\"u\",\"subjects\":[{\"units\":[\"a*\"]}],"
		"\"devices\":[{\"class\":\"02\"}],\"allow\":[\"acquire\"]},{\"id\":\"v\","
		"\"subjects\":[{\"users\":[\"*\"]}],\"devices\":[{\"class\":\"02\"},"
		"{\"class\":\"03\"}],\"allow\":[\"acquire\"]}]}");
	unit = world_decide(&world, &request);
	ck_assert_uint_eq(unit->n_passed, 2);
	ck_assert_str_eq(unit->passed[0].why,
			 "it asks for the system unit, which is not known of this caller");
	ck_assert_str_eq(unit->passed[1].why, "none of its device matches fits");
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

/* Each field by itself. */
START_TEST(test_equal_fields)
{
	_cleanup_(decision_freep) struct decision *first = NULL;

	world_set_policy(&world, open_policy);
	first = ask("0000:02:01.0", NULL, MODE_AUTO);
#define DIFFERS(change)                                                       \
	do {                                                                  \
		struct verdict verdicts[3];                                   \
		struct decision other = *first;                               \
		uint32_t groups[1] = { first->groups[0] };                    \
		struct verdict *v = verdicts;                                 \
		ck_assert_uint_eq(first->n_verdicts, ARRAY_SIZE(verdicts));   \
		ck_assert_uint_eq(first->n_groups, ARRAY_SIZE(groups));       \
		memcpy(verdicts, first->verdicts, sizeof(verdicts));          \
		other.verdicts = verdicts;                                    \
		other.groups = groups;                                        \
		ck_assert(decision_equal(first, &other));                     \
		v++;                                                          \
		change;                                                       \
		ck_assert_msg(!decision_equal(first, &other), "%s", #change); \
		ck_assert_msg(!decision_equal(&other, first), "%s", #change); \
	} while (0)
	DIFFERS(other.allowed = false);
	DIFFERS(other.reason = REASON_IN_USE);
	DIFFERS(other.mode = MODE_NODE);
	DIFFERS(other.auth = AUTH_POLKIT);
	DIFFERS(other.park = PARK_NONE);
	DIFFERS(other.revoke = REVOKE_KILL);
	DIFFERS(other.memlock_max = 1);
	DIFFERS(other.n_verdicts--);
	DIFFERS(other.n_groups--);
	DIFFERS(groups[0]++);
	DIFFERS(v->device = (char *)"x");
	DIFFERS(v->identity++);
	DIFFERS(v->group++);
	DIFFERS(v->named = false);
	DIFFERS(v->withhold = true);
	DIFFERS(v->reason = REASON_IN_USE);
	DIFFERS(v->rule = NULL);
	DIFFERS(v->action = ACTION_PARK_NONE);
	DIFFERS(v->host_driver = (char *)"x");
	DIFFERS(v->target_driver = NULL);
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
	check_blockers(10, "serial8250: devices of its bus cannot be leased");
	check_blockers(11, "0000:07:00.0: this kernel has no VFIO driver for it");
	check_blockers(15, "0000:0b:00.1: it is the host's console");
	check_blockers(16, "sensor.1: devices of its bus cannot be leased");
	check_blockers(17, "");
	check_blockers(20, "0000:0f:00.0: it is a bridge, which VFIO does not take");
}
END_TEST

/* Every policy, every lease of the rows, every request, on every kernel, for every user. */
START_TEST(test_crossed)
{
	static const char *const policies[] = { NULL,	     open_policy, careful_policy,
						node_policy, vfs_policy,  pin_policy };
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
	tcase_add_loop_test(tc, test_row, 0, (int)n_rows);
	tcase_add_loop_test(tc, test_grow_row, 0, (int)n_grow_rows);
	tcase_add_test(tc, test_too_many);
	tcase_add_test(tc, test_every_reason);
	tcase_add_test(tc, test_terms);
	tcase_add_test(tc, test_passed_over);
	tcase_add_test(tc, test_equal);
	tcase_add_test(tc, test_equal_fields);
	tcase_add_test(tc, test_blockers);
	tcase_add_loop_test(tc, test_crossed, 0, (int)n_rows);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
