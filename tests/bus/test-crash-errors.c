/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Every system call that can fail while a lease comes and goes does: writes to sysfs and to nodes,
 * and the journal. The invariants hold meanwhile, nothing is given that should not be, and
 * everything comes home when the fault is gone; also when the daemon is killed in between.
 */

#include "tests/bus/crash.h"

#include <stdio.h>

struct failing {
	const char *op; /* of mock-kernel.h; or a point of the journal, by fault.h */
	const char *name;
};

static const struct failing places[] = {
	{ "OVERRIDE", NIC_A },	    { "UNBIND", NIC_A },       { "PROBE", NIC_A },
	{ "OVERRIDE", NIC_B },	    { "UNBIND", NIC_B },       { "PROBE", NIC_B },
	{ "RESET", "vfio!2" },	    { "GRANT", "vfio!2" },     { "SETTLE", "vfio!2" },
	{ "VANISH", NIC_A },	    { "JOURNAL_BEGIN", NULL }, { "JOURNAL_TEMPORARY", NULL },
	{ "JOURNAL_REMOVE", NULL },
};
static const char *const errors[] = { "ENOSPC", "EIO", "EBUSY", "ENOENT", "ignore" };

/* before the claim, before the release; the daemon killed after, or not */
#define VARIANTS 4

static char *vanished;

static void set_fault(const struct failing *place, const char *error)
{
	_cleanup_free_ char *path = mk_device_path(bed.host->fd, "pci", NIC_A);

	if (streq(place->op, "VANISH")) {
		vanished = tree_read(bed.host->fd, "%s/driver_override", path);
		tree_remove(bed.host->fd, "%s/driver_override", path);
	} else if (place->name) {
		tree_write(bed.host->fd, error, "fail/%s/%s", place->op, place->name);
	} else {
		fault_at(place->op, error, 0);
	}
}

static void clear_fault(const struct failing *place)
{
	_cleanup_free_ char *path = mk_device_path(bed.host->fd, "pci", NIC_A);

	tree_remove(bed.host->fd, "fail");
	fault_forget(place->op);
	if (vanished)
		tree_write(bed.host->fd, vanished, "%s/driver_override", path);
	free(vanished);
	vanished = NULL;
}

static const struct ask both = { .devices = { NIC_A, NIC_B }, .mode = "node", .name = "two" };

static void kill_daemon(void)
{
	kill(bed.daemon, SIGKILL);
	EVENTUALLY(crashes);
	EVENTUALLY(bed.ready);
}

START_TEST(call_fails)
{
	const struct failing *place = &places[_i / VARIANTS / (int)ARRAY_SIZE(errors)];
	const char *error = errors[_i / VARIANTS % (int)ARRAY_SIZE(errors)];
	bool at_release = _i & 1, crash = _i & 2;
	_cleanup_free_ char *before = host_picture(), *after = NULL, *path = NULL;
	_cleanup_claim_ struct claim claim = { .handoff = -EBADF };
	struct pending *pending;
	uint64_t end;

	if (!at_release)
		set_fault(place, error);
	pending = acquire_start(alice, &both);
	/* Its reply waits for the end of the way back, and that for the fault to go. */
	if (at_release) {
		claim = acquire_wait(pending);
		ck_claimed(claim);
		set_fault(place, error);
		release(alice, claim.lease);
	}
	bed_sleep(200000);
	if (crash)
		kill_daemon();
	check_invariants();
	clear_fault(place);
	if (!at_release)
		claim = acquire_wait(pending);
	check_invariants();
	path = lease_of_name(alice, "two");
	if (path)
		ensure_home(alice, path);
	for (end = bed_now() + 15000000; bed_now() < end;) {
		free(after);
		after = host_picture();
		if (streq(before, after))
			break;
		supervise();
		bed_turn();
	}
	ck_same(before, after);
	printf("%s %s %s, %s%s: everything home\n", place->op, place->name ? place->name : "-",
	       error, at_release ? "release" : "claim", crash ? ", daemon killed" : "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("crash-errors");
	TCase *tcase = tcase_create("errors");

	tcase_add_checked_fixture(tcase, crash_start, crash_stop);
	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, call_fails, 0,
			    (int)(ARRAY_SIZE(places) * ARRAY_SIZE(errors) * VARIANTS));
	suite_add_tcase(suite, tcase);
	return bed_main(suite, false);
}
