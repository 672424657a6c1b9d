/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Any crash, same answer (I7), on the mocked host: one story that passes every point of
 * daemon/fault.h, and the same story once for each point and each victim there: it comes to the
 * same end, with the invariants held after each start.
 */

#include "daemon/fault.h"
#include "tests/bus/crash.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define NEWCOMER "0000:02:03.0"

/* Two leases, one with a lifeline, in two modes. */
struct story {
	int lifeline[2];
	char *one, *two;
	struct taken taken;
};

static void claim_both(struct story *story)
{
	ck_assert_int_eq(pipe(story->lifeline), 0);
	story->one = ensure_leased(alice, &(struct ask){ .devices = { NIC },
							 .mode = "node",
							 .name = "one",
							 .lifeline = story->lifeline[0] });
	story->two = ensure_leased(
		alice, &(struct ask){ .devices = { NIC_A, NIC_B }, .mode = "cdev", .name = "two" });
	ensure_taken(alice, story->two, &story->taken);
	ck_assert_uint_eq(story->taken.n, 3);
}

/* A claim whose driver does not come. */
static void fail_to_claim(void)
{
	_cleanup_claim_ struct claim claim = { 0 };
	char *path;

	mock_fail(bed.host, "PROBE", ADMIN, EIO, 1);
	claim = acquire(alice, .devices = { ADMIN }, .mode = "cdev", .name = "three");
	supervise();
	tree_remove(bed.host->fd, "fail");
	path = lease_of_name(alice, "three");
	if (path)
		ensure_home(alice, path);
	free(path);
	ck_override(ADMIN, "e1000e");
}

static bool newcomer_is_fenced(void)
{
	_cleanup_free_ char *driver = host_driver(NEWCOMER), *override = host_override(NEWCOMER);

	return streq(driver, "") && streq(override, "none") &&
	       property_is(alice, DEVICE_PATH "pci_0000_02_03_0", "Device", "State", "fenced");
}

static void add_newcomer(void)
{
	mock_pci_add(bed.host, NEWCOMER, .vendor = 0x8086, .device = 0x100e, .class_code = 0x020000,
		     .group = 2, .iommu = "dmar0", .driver = "e1000", .numa_node = -1);
	EVENTUALLY(newcomer_is_fenced());
	/* All its steps: what is killed next is not its worker's business. */
	EVENTUALLY(daemon_said(NEWCOMER " came to a group of lease"));
}

/* Both leases are what they were, with the same fds. */
static void restart(const struct story *story)
{
	/* Its death by a fault is counted first. */
	bed_sleep(30000);
	supervise();
	daemon_kill();
	daemon_start_only();
	EVENTUALLY(bed.ready);
	EVENTUALLY(property_is(alice, story->one, "Lease", "State", "leased"));
	EVENTUALLY(property_is(alice, story->two, "Lease", "State", "leased"));
	ck_assert(mk_is_held(bed.host->fd, NIC_A));
	EVENTUALLY(newcomer_is_fenced());
}

static bool is_gone(const char *lease)
{
	_cleanup_free_ char *state = property(alice, lease, "Lease", "State");

	if (state && streq(state, "failed"))
		ensure_home(alice, lease);
	return !state && lease_is_gone(alice, lease);
}

/* The holder dies; the other lease ends with its fds open. */
static void end_both(struct story *story)
{
	close(story->lifeline[1]);
	EVENTUALLY(is_gone(story->one));
	ck_driver(NIC, "e1000e");

	ensure_ended(alice, story->two);
	check_invariants();
	bed_sleep(50000);
	supervise();
	{
		_cleanup_free_ char *driver = host_driver(NIC_A);

		/* An fd is open: no host driver, and nobody else (I5). */
		ck_assert_str_ne(driver, "e1000");
	}
	taken_done(&story->taken);
	ensure_home(alice, story->two);
}

/* ---- what happens to a lease in between */

static bool device_is(const char *device, const char *state)
{
	_cleanup_free_ char *path = mock_asprintf(DEVICE_PATH "pci_%s", device);

	for (char *p = path + strlen(DEVICE_PATH); *p; p++)
		if (*p == ':' || *p == '.')
			*p = '_';
	return property_is(root, path, "Device", "State", state);
}

static bool try_to_add(const char *lease, const char *device)
{
	if (device_is(device, "granted"))
		return true;
	call_error(alice, lease, "Lease", "AddDevices", "asa{sv}", 1, device, 0);
	return false;
}

static bool try_to_remove(const char *lease, const char *device, const char *becomes)
{
	if (device_is(device, becomes))
		return true;
	call_error(alice, lease, "Lease", "RemoveDevices", "as", 1, device);
	return false;
}

/* Another group comes and goes, and so does a device of the lease's own that was kept shut. */
static void change(void)
{
	char *lease = ensure_leased(alice, &(struct ask){ .devices = { NIC_A },
							  .withhold = { NIC_B },
							  .mode = "cdev",
							  .name = "four" });

	EVENTUALLY(try_to_add(lease, BARE));
	EVENTUALLY(try_to_add(lease, NIC_B));
	EVENTUALLY(try_to_remove(lease, NIC_B, "withheld"));
	EVENTUALLY(try_to_remove(lease, BARE, "host"));
	ensure_home(alice, lease);
	free(lease);
}

/* Once: each time anew it has the whole time to let go. */
static void try_to_revoke(const char *lease)
{
	_cleanup_free_ char *how = property(root, lease, "Lease", "Revocation");

	if (how && !strstr(how, "unbinding") && !strstr(how, "asked") && !strstr(how, "killed"))
		call_error(root, lease, "Lease", "Revoke", "ts", (uint64_t)0, "test");
}

/* One that has to be killed for it to let go. */
static void end_by_force(void)
{
	pid_t holder = idle_process(ALICE);
	int pidfd = pidfd_of(holder);
	char *lease = ensure_leased(alice, &(struct ask){ .devices = { NIC },
							  .mode = "cdev",
							  .name = "five",
							  .lifeline = pidfd });

	mock_hold(bed.host, NIC, true);
	EVENTUALLY((try_to_revoke(lease), waitpid(holder, NULL, WNOHANG) == holder));
	mock_hold(bed.host, NIC, false);
	ensure_home(alice, lease);
	close(pidfd);
	free(lease);
}

static bool all_is_home(const char *before)
{
	_cleanup_free_ char *now = host_picture();

	return streq(now, before);
}

static void everyday(void)
{
	struct story story = { 0 };

	claim_both(&story);
	fail_to_claim();
	add_newcomer();
	restart(&story);
	end_both(&story);
	ck_driver(NEWCOMER, "e1000");
	mock_device_remove(bed.host, "pci", NEWCOMER);
	close(story.lifeline[0]);
	free(story.one);
	free(story.two);
}

/* The shortest that passes the point; all of them pass every point. */
static void tell_story(const char *point)
{
	static const char *const of_change[] = { "GROW_", "SHRINK_", "PARK_" };
	_cleanup_free_ char *before = host_picture(), *after = NULL;
	bool changes = !point, revokes = !point || strncmp(point, "REVOKE_", 7) == 0;
	uint64_t end;

	for (size_t i = 0; point && i < ARRAY_SIZE(of_change); i++)
		changes |= strncmp(point, of_change[i], strlen(of_change[i])) == 0;
	if (changes)
		change();
	if (revokes)
		end_by_force();
	if (!point || (!changes && !revokes))
		everyday();
	for (end = bed_now() + 15000000; !all_is_home(before) && bed_now() < end;) {
		supervise();
		bed_turn();
	}
	after = host_picture();
	ck_same(before, after);
	EVENTUALLY(bed.n_stored == 0);
}

/* No point is forgotten: a new one that the story does not pass fails here. */
START_TEST(every_point_is_passed)
{
	fault_trace();
	tell_story(NULL);
	ck_assert_int_eq(crashes, 0);
	for (enum fault_point i = 0; i < FAULT_POINT_MAX; i++)
		ck_assert_msg(fault_passed(fault_point_to_string(i)), "not passed: %s",
			      fault_point_to_string(i));
}
END_TEST

/* ---- the matrix: in turn for each point of the daemon the daemon, for those of children both */

static enum fault_point point_of(int i)
{
	return i < FAULT_HANDOFF_BEGIN ? i : FAULT_HANDOFF_BEGIN + (i - FAULT_HANDOFF_BEGIN) / 2;
}

static bool kills_worker(int i)
{
	return i >= FAULT_HANDOFF_BEGIN && (i - FAULT_HANDOFF_BEGIN) % 2;
}

#define MATRIX_SIZE (FAULT_HANDOFF_BEGIN + 2 * (FAULT_POINT_MAX - FAULT_HANDOFF_BEGIN))

START_TEST(crash_at_point)
{
	const char *point = fault_point_to_string(point_of(_i));
	bool worker = kills_worker(_i);
	const char *only = getenv("VFIOD_TEST_POINT");

	if (only && !streq(only, point))
		return;
	fault_at(point, worker ? "worker" : "daemon", 0);
	tell_story(point);
	supervise();
	ck_assert_msg(fault_happened(point), "%s was not passed", point);
	ck_assert_msg(crashes == (worker ? 0 : 1), "%s: %d crashes", point, crashes);
	printf("%s: %s killed, everything home\n", point, worker ? "worker" : "daemon");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("crash");
	TCase *points = tcase_create("points"), *matrix = tcase_create("matrix");

	tcase_add_checked_fixture(points, crash_start, crash_stop);
	tcase_set_timeout(points, 120);
	tcase_add_test(points, every_point_is_passed);
	suite_add_tcase(suite, points);
	tcase_add_checked_fixture(matrix, crash_start, crash_stop);
	tcase_set_timeout(matrix, 120);
	tcase_add_loop_test(matrix, crash_at_point, 0, MATRIX_SIZE);
	suite_add_tcase(suite, matrix);
	return bed_main(suite, false);
}
