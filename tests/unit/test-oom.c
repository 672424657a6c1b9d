/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Every allocation of the core fails once: the answer is -ENOMEM, what there was is still whole,
 * and nothing leaks (with --enable-asan). The linker puts the functions below in front of libc's.
 */

#include "tests/unit/decide-world.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>

/* Allocations until one fails; negative: none does. */
static long countdown = -1;
static bool failed;

static bool fails(void)
{
	if (countdown < 0 || countdown-- > 0)
		return false;
	countdown = -1;
	failed = true;
	return true;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__real_strdup(const char *s);
char *__wrap_strdup(const char *s);
int __real_vasprintf(char **p, const char *format, va_list ap) _printf_(2, 0);
int __wrap_vasprintf(char **p, const char *format, va_list ap) _printf_(2, 0);
int __wrap_asprintf(char **p, const char *format, ...) _printf_(2, 3);
FILE *__real_open_memstream(char **p, size_t *size);
FILE *__wrap_open_memstream(char **p, size_t *size);

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return fails() ? NULL : __real_reallocarray(p, n, size);
}

char *__wrap_strdup(const char *s)
{
	return fails() ? NULL : __real_strdup(s);
}

int __wrap_vasprintf(char **p, const char *format, va_list ap)
{
	return fails() ? -1 : __real_vasprintf(p, format, ap);
}

int __wrap_asprintf(char **p, const char *format, ...)
{
	va_list ap;
	int r;

	if (fails())
		return -1;
	va_start(ap, format);
	r = __real_vasprintf(p, format, ap);
	va_end(ap);
	return r;
}

FILE *__wrap_open_memstream(char **p, size_t *size)
{
	return fails() ? NULL : __real_open_memstream(p, size);
}

static void arm(long n)
{
	failed = false;
	countdown = n;
}

/* Whether the armed failure came. */
static bool disarm(void)
{
	countdown = -1;
	return failed;
}

static struct world world;

static void setup(void)
{
	static const struct world_device devices[] = {
		{ "0000:00:02.0", 1, "e1000e", "vfio-pci", "8086:10d3:020000" },
		{ "0000:00:03.0", 2, "e1000e", "vfio-pci", "8086:10d3:020000",
		  "network eth0 has an address" },
		{ "0000:00:03.1", 2, NULL, "vfio-pci", "8086:10d3:020000" },
		{ "0000:00:04.0", 3, "e1000e", "vfio-pci", "8086:10d3:020000" },
	};
	static const struct world_lease lease = {
		"a1", 7, "x", LEASE_LEASED, 1, "0000:00:02.0/granted/all/e1000e"
	};

	world_init(&world);
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
		world_add_device(&world, &devices[i]);
	world_set_policy(&world, "{\"version\":1,"
				 "\"pools\":{\"nics\":{\"devices\":[{\"class\":\"02\"}]},"
				 "\"odd\":{\"devices\":[{\"class\":\"02\",\"pin\":{\"serial\":"
				 "\"00-00-00-00-00-00-00-01\"}}]}},\"rules\":["
				 "{\"id\":\"no\",\"subjects\":[{\"users\":[1]}],"
				 "\"devices\":[{\"class\":\"01\"}],\"deny\":true},"
				 "{\"id\":\"other\",\"subjects\":[{\"users\":[\"*\"]}],"
				 "\"devices\":[{\"class\":\"01\"}],\"allow\":[\"acquire\"]},"
				 "{\"id\":\"all\",\"subjects\":[{\"users\":[\"*\"]}],"
				 "\"devices\":[{\"address\":\"*\"}],\"allow\":[\"acquire\"],"
				 "\"consent\":{\"drivers\":[\"*\"]}}]}");
	world_add_lease(&world, &lease);
}

static void teardown(void)
{
	world_done(&world);
}

static const char *const requests[] = { "pool:nics",	"pool:nics*3",	"pool:odd", "0000:00:02.0",
					"0000:00:03.0", "0000:00:04.0", "none" };

START_TEST(test_decide)
{
	char *devices[] = { (char *)requests[_i], NULL };
	struct request request = {
		.subject.uid = 1000, .owner = 1000, .devices = devices, .mode = MODE_AUTO
	};
	_cleanup_(decision_freep) struct decision *whole = world_decide(&world, &request);
	bool more = true;
	long n;

	for (n = 0; more; n++) {
		_cleanup_(decision_freep) struct decision *decision = NULL;
		int r;

		arm(n);
		r = decide(&world.topology, world.policy, &world.ledger, &world.features, false,
			   &request, &decision);
		more = disarm();
		ck_assert_int_eq(r, more ? -ENOMEM : 0);
		ck_assert(!decision == more);
		if (!more)
			ck_assert(decision_equal(decision, whole));
	}
	/* It did fail in several places. */
	ck_assert_int_gt(n, 5);
}
END_TEST

static struct device *fresh(const char *name, uint32_t group, uint32_t product)
{
	struct device *device = device_new(name, "pci");

	ck_assert_ptr_nonnull(device);
	device->group_id = group;
	device->product = product;
	return device;
}

/* A put that fails changes nothing; the same put works then. */
static void check_put(const char *name, uint32_t group, uint32_t product, int expected)
{
	struct topology *t = &world.topology;
	const struct device *old = topology_device(t, name);
	uint64_t identity = old ? old->identity : 0;
	uint32_t old_group = old ? old->group_id : ID_UNKNOWN;
	size_t n = HASH_COUNT(t->devices), groups = HASH_COUNT(t->groups);
	int r = -ENOMEM;

	for (long i = 0; r == -ENOMEM; i++) {
		struct device *device = fresh(name, group, product);

		arm(i);
		r = topology_put_device(t, device);
		if (!disarm())
			break;
		ck_assert_int_eq(r, -ENOMEM);
		ck_assert_uint_eq(HASH_COUNT(t->devices), n);
		ck_assert_uint_eq(HASH_COUNT(t->groups), groups);
		old = topology_device(t, name);
		ck_assert_uint_eq(old ? old->identity : 0, identity);
		ck_assert_uint_eq(old ? old->group_id : ID_UNKNOWN, old_group);
	}
	ck_assert_int_eq(r, expected);
	ck_assert_uint_eq(topology_device(t, name)->group_id, group);
}

START_TEST(test_topology)
{
	struct topology empty;

	check_put("0000:00:05.0", 9, 1, TOPOLOGY_ADDED);
	check_put("0000:00:05.0", 10, 1, TOPOLOGY_CHANGED);
	check_put("0000:00:05.0", 10, 2, TOPOLOGY_REPLACED);
	check_put("0000:00:05.0", 11, 3, TOPOLOGY_REPLACED);
	check_put("0000:00:06.0", 11, 3, TOPOLOGY_ADDED);
	check_put("0000:00:07.0", 11, 3, TOPOLOGY_ADDED);

	/* The first of everything: also the tables themselves are not there yet. */
	topology_init(&empty);
	for (long i = 0;; i++) {
		int r;

		arm(i);
		r = topology_put_iommu(&empty, "dmar0", "intel-iommu");
		if (!disarm()) {
			ck_assert_int_eq(r, TOPOLOGY_ADDED);
			break;
		}
		ck_assert_int_eq(r, -ENOMEM);
		ck_assert_ptr_null(topology_iommu(&empty, "dmar0"));
	}
	for (long i = 0;; i++) {
		struct device *device = fresh("a", 1, 1);
		int r;

		arm(i);
		r = topology_put_device(&empty, device);
		if (!disarm()) {
			ck_assert_int_eq(r, TOPOLOGY_ADDED);
			break;
		}
		ck_assert_int_eq(r, -ENOMEM);
		ck_assert_ptr_null(empty.devices);
		ck_assert_ptr_null(empty.groups);
	}
	topology_done(&empty);
}
END_TEST

START_TEST(test_lease)
{
	struct ledger empty;
	struct lease *lease = NULL;
	bool more;

	ledger_init(&empty);
	for (long i = 0; !lease; i++) {
		arm(i);
		lease = lease_new("b2");
		more = disarm();
		ck_assert(more == !lease);
	}
	for (long i = 0; lease->n_devices < 9; i++) {
		size_t n = lease->n_devices;
		const struct lease_device *there;
		char name[16];

		snprintf(name, sizeof(name), "d%zu", n);
		arm(i % 3);
		there = lease_add_device(lease, name);
		more = disarm();
		ck_assert(more == !there);
		ck_assert_uint_eq(lease->n_devices, there ? n + 1 : n);
	}
	for (long i = 0; lease->n_groups < 9; i++) {
		size_t n = lease->n_groups;
		int r;

		arm(i % 2);
		r = lease_add_group(lease, 100 + (uint32_t)n, 1);
		more = disarm();
		ck_assert_int_eq(r, more ? -ENOMEM : 0);
		ck_assert_uint_eq(lease->n_groups, n + (r == 0));
	}
	for (long i = 0; !ledger_lease(&empty, "b2"); i++) {
		int r;

		arm(i);
		r = ledger_add(&empty, lease);
		more = disarm();
		ck_assert_int_eq(r, more ? -ENOMEM : 0);
	}
	ledger_done(&empty);
}
END_TEST

START_TEST(test_blockers)
{
	const struct group *group = topology_group(&world.topology, 2);

	for (long i = 0;; i++) {
		struct blocker *blockers = NULL;
		size_t n = 0;
		bool more;
		int r;

		arm(i);
		r = group_blockers(group, &blockers, &n);
		more = disarm();
		ck_assert_int_eq(r, more ? -ENOMEM : 0);
		blockers_free(blockers, n);
		if (!more)
			break;
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("oom");
	TCase *tc = tcase_create("oom");
	SRunner *runner = srunner_create(suite);
	int n;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, test_decide, 0, ARRAY_SIZE(requests));
	tcase_add_test(tc, test_topology);
	tcase_add_test(tc, test_lease);
	tcase_add_test(tc, test_blockers);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	n = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n ? EXIT_FAILURE : EXIT_SUCCESS;
}
