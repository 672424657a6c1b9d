/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * decide() in random worlds: small hosts, policies, leases and requests thrown together. Every
 * decision keeps the promises of decide-world.c, does not depend on the order of the request, and
 * draws from a pool what could have been named. VFIOD_TEST_SEED replays a run, VFIOD_TEST_ROUNDS
 * makes it longer.
 */

#include "tests/unit/decide-world.h"

#include <check.h>
#include <stdio.h>

#define DEVICES	      12
#define GROUPS	      6
#define RULES	      5
#define PREFIX	      "0000:00:"
#define ARRAY_PICK(a) ((a)[dice(ARRAY_SIZE(a))])

static struct world world;
static uint64_t state;

/* xorshift64*: the same numbers everywhere. */
static uint32_t dice(size_t sides)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t)((state * 2685821657736338717ULL) >> 33) % (uint32_t)sides;
}

static void random_device(int i)
{
	static const char *const drivers[] = { NULL,	   NULL,	  "e1000",    "e1000",
					       "nvme",	   "vfio-pci",	  "pci-stub", "pcieport",
					       "vfio-pci", "odd_vfio_pci" };
	static const char *const uses[] = { "block sda is mounted", "network eth0 is up",
					    "console it is", "nodes open", "vfs there are" };
	static const char *const ids[] = { "8086:10d3:020000", "8086:100e:020000",
					   "144d:a808:010802", "8086:1234:060100" };
	char name[32], pf[32], vf[32];
	struct world_device device = { .name = name };

	snprintf(name, sizeof(name), PREFIX "%02x.0", i);
	snprintf(pf, sizeof(pf), PREFIX "%02x.0", dice(DEVICES));
	snprintf(vf, sizeof(vf), PREFIX "%02x.0", dice(DEVICES));
	device.group = dice(20) ? 1 + dice(GROUPS) : ID_UNKNOWN;
	device.kind = device.group == GROUPS && dice(2) ? GROUP_NOIOMMU : GROUP_IOMMU;
	device.driver = ARRAY_PICK(drivers);
	device.vfio_driver = dice(10) ? "vfio-pci" : NULL;
	device.ids = ARRAY_PICK(ids);
	device.use = dice(8) ? NULL : ARRAY_PICK(uses);
	device.bridge = dice(10) == 0;
	device.node = (int)dice(4);
	device.subsystem = dice(25) ? "pci" : "platform";
	if (dice(10) == 0 && !streq(pf, name))
		device.pf = pf;
	else if (dice(20) == 0 && !streq(vf, name))
		device.vf = vf;
	world_add_device(&world, &device);
}

/* A comma-separated JSON list of some of the words, at least one. */
static const char *some(char *out, size_t size, const char *const *words, size_t n, size_t chance)
{
	size_t at = dice(n), used = 0;

	used += (size_t)snprintf(out, size, "\"%s\"", words[at]);
	for (size_t i = 0; i < n; i++)
		if (i != at && dice(chance) != 0)
			used += (size_t)snprintf(out + used, size - used, ",\"%s\"", words[i]);
	return out;
}

static void random_match(FILE *f)
{
	switch (dice(6)) {
	case 0:
		fprintf(f, "{\"address\":\"" PREFIX "0[%x-%x].0\"}", dice(5), 5 + dice(5));
		break;
	case 1:
		fputs("{\"class\":\"02\"}", f);
		break;
	case 2:
		fputs("{\"vendor\":\"8086\",\"product\":\"10d3\"}", f);
		break;
	case 3:
		fprintf(f, "{\"group\":\"%u\"}", 1 + dice(GROUPS));
		break;
	case 4:
		fputs("{\"driver\":\"e*\"}", f);
		break;
	default:
		fputs("{\"address\":\"*\"}", f);
	}
}

static void random_rule(FILE *f, int i)
{
	static const char *const subjects[] = {
		"{\"users\":[\"*\"]}", "{\"users\":[\"*\"]}",
		"{\"users\":[1000]}",  "{\"users\":[1001,0]}",
		"{\"groups\":[36]}",   "{\"users\":[\"*\"],\"units\":[\"vm-*\"]}",
	};
	static const char *const verbs[] = { "acquire", "withhold", "persist", "delegate" };
	static const char *const modes[] = { "cdev", "group", "node" };
	static const char *const drivers[] = { "e1000", "*", "nvme" };
	static const char *const waive[] = { "block", "network", "console", "nodes", "vfs" };
	static const char *const limits[] = { "0", "1", "2", "100" };
	char list[256];

	fprintf(f, "%s{\"id\":\"r%d\",\"subjects\":[%s],\"devices\":[", i ? "," : "", i,
		ARRAY_PICK(subjects));
	random_match(f);
	if (dice(2)) {
		fputc(',', f);
		random_match(f);
	}
	if (dice(8) == 0) {
		fputs("],\"deny\":true}", f);
		return;
	}
	fprintf(f, "],\"allow\":[%s]", some(list, sizeof(list), verbs, ARRAY_SIZE(verbs), 8));
	if (dice(3) == 0)
		fprintf(f, ",\"modes\":[%s]", some(list, sizeof(list), modes, 3, 2));
	if (dice(4))
		fprintf(f, ",\"consent\":{\"drivers\":[%s]}",
			some(list, sizeof(list), drivers, 3, 3));
	if (dice(3))
		fprintf(f, ",\"waive\":[%s]", some(list, sizeof(list), waive, 5, 3));
	if (dice(4) == 0)
		fputs(",\"park\":\"none\"", f);
	if (dice(4) == 0)
		fputs(",\"auth\":\"polkit\"", f);
	if (dice(2) == 0)
		fputs(",\"memlock\":\"1G\"", f);
	if (dice(4) == 0)
		fprintf(f, ",\"limits\":{\"leases\":%s,\"devices\":%s}", ARRAY_PICK(limits),
			ARRAY_PICK(limits));
	fputc('}', f);
}

static void random_policy(void)
{
	_cleanup_free_ char *json = NULL;
	size_t size;
	FILE *f = open_memstream(&json, &size);
	int n = 1 + (int)dice(RULES);

	fputs("{\"version\":1,\"pools\":{\"a\":{\"devices\":[", f);
	random_match(f);
	fputs("]},\"b\":{\"devices\":[", f);
	random_match(f);
	fputs("]}},\"rules\":[", f);
	for (int i = 0; i < n; i++)
		random_rule(f, i);
	fputs("]}", f);
	fclose(f);
	world_set_policy(&world, json);
}

static void random_leases(void)
{
	for (uint32_t group = 1; group <= GROUPS; group++) {
		const struct group *there = topology_group(&world.topology, group);
		char id[8], devices[64], name[8];
		struct world_lease lease = { .id = id, .group = group, .devices = devices };

		if (!there || dice(5))
			continue;
		snprintf(id, sizeof(id), "l%u", group);
		snprintf(name, sizeof(name), "n%u", group);
		snprintf(devices, sizeof(devices), "%s/granted/r%u/e1000", there->devices[0]->name,
			 dice(RULES));
		lease.owner = 1000 + dice(2);
		lease.name = dice(2) ? name : NULL;
		lease.state = (enum lease_state)dice(LEASE_STATE_MAX);
		world_add_lease(&world, &lease);
	}
}

struct random_request {
	struct request request;
	char names[8][32];
	char *devices[8], *withhold[8];
	gid_t gid;
};

static void random_names(struct random_request *r, char **list, size_t first, size_t n, bool pools)
{
	for (size_t i = 0; i < n; i++) {
		char *name = r->names[first + i];

		if (pools && dice(4) == 0)
			snprintf(name, 32, dice(5) ? "pool:%c" : "pool:%c*%u", "ab"[dice(2)],
				 1 + dice(3));
		else
			snprintf(name, 32, PREFIX "%02x.0", dice(DEVICES + (dice(8) == 0)));
		list[i] = name;
	}
	list[n] = NULL;
}

/* Mostly names the rest of the group too: what is refused for want of that says little. */
static void complete(struct random_request *r)
{
	size_t n = strv_length(r->withhold), used = 4 + n;

	STRV_FOREACH (name, r->devices) {
		const struct device *device = topology_device(&world.topology, *name);

		for (size_t i = 0; device && device->group && i < device->group->n_devices; i++) {
			const struct device *other = device->group->devices[i];

			if (!other->driver || strv_contains(r->devices, other->name) ||
			    strv_contains(r->withhold, other->name) || used >= 8 || n >= 4)
				continue;
			snprintf(r->names[used], 32, "%s", other->name);
			r->withhold[n++] = r->names[used++];
			r->withhold[n] = NULL;
		}
	}
}

static void random_request(struct random_request *r)
{
	static const uid_t uids[] = { 0, 1000, 1000, 1000, 1001 };

	*r = (struct random_request){ .gid = dice(3) ? 100 : 36 };
	random_names(r, r->devices, 0, 1 + dice(3) * dice(2), true);
	random_names(r, r->withhold, 4, dice(4) ? 0 : dice(3), false);
	if (dice(4))
		complete(r);
	r->request = (struct request){
		.subject = { .uid = ARRAY_PICK(uids),
			     .gids = &r->gid,
			     .n_gids = 1,
			     .unit = dice(2) ? "vm-1.service" : NULL,
			     .unit_known = dice(4) },
		.devices = r->devices,
		.withhold = r->withhold,
		.mode = dice(2) ? MODE_AUTO : (enum mode)dice(MODE_MAX),
		.name = dice(8) ? NULL : "n1",
		.persist = dice(6) == 0,
		.memlock = dice(6) ? 0 : 1024,
	};
	r->request.has_numa_node = dice(3) == 0;
	r->request.numa_node = (int)dice(4);
	r->request.owner = dice(10) ? r->request.subject.uid : 1001;
}

static bool has_pool(const struct request *request)
{
	STRV_FOREACH (name, request->devices)
		if (strncmp(*name, "pool:", 5) == 0)
			return true;
	return false;
}

/* The same devices in another order are the same request. */
static void check_order_is_nothing(const struct request *request, const struct decision *decision)
{
	_cleanup_(decision_freep) struct decision *other = NULL;
	size_t n = strv_length(request->devices);
	struct request turned = *request;
	char *devices[8] = {};

	if (has_pool(request))
		return;
	for (size_t i = 0; i < n; i++)
		devices[i] = request->devices[n - 1 - i];
	turned.devices = devices;
	other = world_decide(&world, &turned);
	ck_assert(decision_equal(decision, other));
}

/* A pool that is the only thing asked for, and how many of it; NULL: it is not. */
static const struct pool *only_pool(const struct request *request, size_t *count)
{
	char name[2] = {};

	*count = world_count(request->devices);
	if (strv_length(request->devices) != 1 || !has_pool(request))
		return NULL;
	name[0] = request->devices[0][5];
	return policy_pool(world.policy, name);
}

/*
 * The order, said once more in another way: the distance that was asked for (of a host that tells
 * none: the node itself, another, not known), then the others of the group that would have to go.
 */
static unsigned int rank_of(const struct request *request, const struct device *device)
{
	unsigned int far = 0, others = 0;

	if (request->has_numa_node)
		far = device->numa_node == request->numa_node ? 0 : device->numa_node < 0 ? 2 : 1;
	for (size_t i = 0; device->group && i < device->group->n_devices; i++) {
		const struct device *other = device->group->devices[i];

		others += other != device && !strv_contains(request->withhold, other->name) &&
			  !(other->driver && streq(other->driver, "pcieport"));
	}
	return far * 1000 + others;
}

static const struct request *sorted_for;
static int device_compare(const void *a, const void *b)
{
	const struct device *const *x = a, *const *y = b;
	unsigned int p = rank_of(sorted_for, *x), q = rank_of(sorted_for, *y);

	return p != q ? (p < q ? -1 : 1) : strcmp((*x)->name, (*y)->name);
}

/*
 * A pool that is the only thing asked for gives the first of its devices that could have been
 * had by its name, and is empty only if none could.
 */
static void check_pool(const struct request *request, const struct decision *decision)
{
	_cleanup_free_ struct device **devices = NULL;
	char *one[2] = {};
	struct request by_name = *request;
	size_t n, count;
	const struct pool *pool = only_pool(request, &count);

	if (!pool || count != 1)
		return;
	by_name.devices = one;
	devices = topology_devices_sorted(&world.topology, &n);
	sorted_for = request;
	qsort(devices, n, sizeof(*devices), device_compare);
	for (size_t i = 0; i < n; i++) {
		_cleanup_(decision_freep) struct decision *named = NULL;

		if (!pool_matches_device(world.policy, pool, devices[i],
					 ledger_host_driver(&world.ledger, devices[i])))
			continue;
		one[0] = devices[i]->name;
		named = world_decide(&world, &by_name);
		if (!named->allowed)
			continue;
		ck_assert(decision_equal(decision, named));
		return;
	}
	ck_assert(!decision->allowed);
}

/* Whether any choice of `left` more devices of the pool, from the i-th on, could be had by name. */
static bool could_be_had(const struct request *request, const struct pool *pool,
			 struct device **devices, size_t n, size_t i, char **names, size_t left)
{
	struct request by_name = *request;
	_cleanup_(decision_freep) struct decision *named = NULL;

	if (left == 0) {
		by_name.devices = names;
		named = world_decide(&world, &by_name);
		return named->allowed;
	}
	for (; i < n; i++) {
		if (!pool_matches_device(world.policy, pool, devices[i],
					 ledger_host_driver(&world.ledger, devices[i])))
			continue;
		names[strv_length(names)] = devices[i]->name;
		if (could_be_had(request, pool, devices, n, i + 1, names, left - 1))
			return true;
		names[strv_length(names) - 1] = NULL;
	}
	return false;
}

/* A pool is only empty for several if there is no choice of so many that could be had by name. */
static void check_pool_is_empty(const struct request *request, const struct decision *decision)
{
	_cleanup_free_ struct device **devices = NULL;
	char *names[8] = {};
	size_t n, count;
	const struct pool *pool = only_pool(request, &count);

	if (!pool || decision->reason != REASON_POOL_EMPTY || count < 2)
		return;
	devices = topology_devices_sorted(&world.topology, &n);
	ck_assert_msg(!could_be_had(request, pool, devices, n, 0, names, count), "%s has %s",
		      request->devices[0], names[0]);
}

/* Nothing is allowed without a policy, and whatever is allowed has a rule that allows it. */
static void check_default_deny(const struct request *request)
{
	struct policy *policy = STEAL(world.policy);
	_cleanup_(decision_freep) struct decision *decision = world_decide(&world, request);

	ck_assert(!decision->allowed);
	world_check_promises(&world, request, decision);
	world.policy = policy;
}

static void random_world(void)
{
	world_init(&world);
	for (int i = 0; i < DEVICES; i++)
		random_device(i);
	random_policy();
	random_leases();
	world.features.group = dice(8);
	world.features.iommufd = dice(4);
	world.features.cdev = dice(8);
	world.draining = dice(20) == 0;
}

static uint64_t running;

static void say_what_replays(void)
{
	if (running)
		fprintf(stderr, "replay with VFIOD_TEST_SEED=%llu VFIOD_TEST_ROUNDS=1\n",
			(unsigned long long)running);
}

START_TEST(test_random)
{
	const char *seed = getenv("VFIOD_TEST_SEED"), *rounds = getenv("VFIOD_TEST_ROUNDS");
	uint64_t start = seed ? strtoull(seed, NULL, 0) : 20240607;
	long n = rounds ? strtol(rounds, NULL, 0) : 2000;
	size_t allowed = 0, drawn = 0, seen[REASON_MAX] = {};

	ck_assert_int_eq(atexit(say_what_replays), 0);
	for (long round = 0; round < n; round++) {
		state = (start + (uint64_t)round) * 0x9e3779b97f4a7c15ULL | 1;
		running = start + (uint64_t)round;
		random_world();
		for (int i = 0; i < 20; i++) {
			_cleanup_(decision_freep) struct decision *decision = NULL;
			struct random_request r;

			random_request(&r);
			decision = world_decide(&world, &r.request);
			world_check_promises(&world, &r.request, decision);
			check_order_is_nothing(&r.request, decision);
			check_pool(&r.request, decision);
			check_pool_is_empty(&r.request, decision);
			check_default_deny(&r.request);
			seen[decision->reason]++;
			allowed += decision->allowed;
			drawn += decision->allowed && has_pool(&r.request);
		}
		world_done(&world);
	}
	running = 0;
	printf("seed %llu: %zu allowed, %zu of these from pools; refused:",
	       (unsigned long long)start, allowed, drawn);
	for (int i = 1; i < REASON_MAX; i++)
		if (seen[i])
			printf(" %s %zu", reason_to_string((enum reason)i), seen[i]);
	printf("\n");
	/* Worlds in which next to nothing is allowed would prove next to nothing. */
	ck_assert_uint_gt(allowed, (size_t)n);
	ck_assert_uint_gt(drawn, (size_t)n / 20);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("decide-random");
	TCase *tc = tcase_create("random");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 600);
	tcase_add_test(tc, test_random);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
