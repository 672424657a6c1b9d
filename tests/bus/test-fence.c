/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What comes to a leased group is shut off, in each state of the lease, whoever is faster and
 * however often; what others do to a leased device behind the daemon is put right.
 */

#include "tests/bus/comer.h"

#include <signal.h>
#include <stdio.h>

/* ---- in each state */

struct moment {
	const char *mode, *driver, *outcome;
	bool handed_over;
};

static const struct moment moments[] = {
	{ "cdev", NULL, "fenced-unbound", false },    { "cdev", "e1000", "evicted", false },
	{ "cdev", NULL, "fenced-unbound", true },     { "cdev", "e1000", "evicted", true },
	{ "group", NULL, "fenced-unbound", false },   { "group", "e1000", "evicted", false },
	{ "group", NULL, "refused-by-kernel", true }, { "node", NULL, "fenced-unbound", false },
	{ "node", "e1000", "evicted", true },
};

START_TEST(leased)
{
	const struct moment *moment = &moments[_i];
	_cleanup_free_ char *wanted = mock_asprintf("pci_0000_02_03_0 2 %s", moment->outcome);
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B }, .mode = moment->mode);
	_cleanup_taken_ struct taken taken = { 0 }, again = { 0 };
	int fd;

	ck_claimed(claim);
	if (moment->handed_over)
		take(claim.handoff, &taken);
	come(moment->driver);
	UNTIL(n_fenced() == 1);
	ck_assert_str_eq(fence_record(0), wanted);
	ck_assert(is_shut(COMER));
	ck_property(alice, COMER_PATH, "Device", "State", "fenced");
	ck_property(alice, claim.lease, "Lease", "Fenced", "[" COMER_PATH "]");
	ck_assert(daemon_said("us after its event"));
	/* The owner has what it had, and gets it again. */
	ck_driver(NIC_A, "vfio-pci");
	taken_done(&taken);
	ck_assert_str_eq(get_fds(alice, claim.lease, &fd), "");
	take(fd, &again);
	ck_assert_msg(strncmp(again.last, "end", 3) == 0, "%s", again.last);
	fd_close(fd);
	taken_done(&again);
	/* And it is the host's when the lease ends. */
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(alice, claim.lease));
	ck_assert(is_on(COMER, "e1000", ""));
	ck_assert(is_on(NIC_A, "e1000", ""));
	ck_property(alice, COMER_PATH, "Device", "State", "host");
	ck_assert_uint_eq(n_fenced(), 1);
}
END_TEST

/* The kernel says that it has probed it, and no driver has it: once, or however often. */
START_TEST(no_driver_at_home)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B });

	ck_claimed(claim);
	come("e1000");
	UNTIL(n_fenced() == 1);
	watch_settled(comers.watch);
	comers.watch = watch_free(comers.watch);
	/* It is in the journal whose driver was faster. */
	kill_daemon();
	daemon_start();
	tree_write(bed.host->fd, _i ? "ignore 99\n" : "ignore 1\n", "fail/PROBE/%s", COMER);
	release_by_root(claim.lease);
	ck_assert(is_on(COMER, _i ? "" : "e1000", ""));
	ck_assert(is_on(NIC_A, "e1000", ""));
	ck_assert(daemon_said(
			  "goes to the host without a driver: no driver takes it; e1000 had it") ==
		  (bool)_i);
}
END_TEST

START_TEST(preparing)
{
	struct pending *pending;

	tree_write(bed.host->fd, "500\n", "slow/UNBIND/%s", NIC_B);
	pending =
		acquire_start(alice, &(struct ask){ .devices = { NIC_A }, .withhold = { NIC_B } });
	UNTIL(host_did("UNBIND " NIC_A) || host_did("OVERRIDE " NIC_B));
	come(_i ? "e1000" : NULL);
	{
		_cleanup_claim_ struct claim claim = acquire_wait(pending);

		/* Nobody has decided about it: everything is undone, and the host has it. */
		ck_refused(claim, "GroupChanged");
	}
	UNTIL(is_on(COMER, "e1000", "") || (!_i && is_on(COMER, "", "")));
	UNTIL(is_on(NIC_A, "e1000", "") && is_on(NIC_B, "e1000", ""));
}
END_TEST

START_TEST(draining)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B });

	ck_claimed(claim);
	mock_hold(bed.host, NIC_A, true);
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(host_did("UNBIND " NIC_A " vfio-pci"));
	come("e1000");
	UNTIL(n_fenced() == 1);
	ck_assert(is_shut(COMER));
	mock_hold(bed.host, NIC_A, false);
	UNTIL(lease_gone(alice, claim.lease));
	ck_assert(is_on(COMER, "e1000", ""));
	ck_assert(is_on(NIC_A, "e1000", ""));
}
END_TEST

START_TEST(not_its_business)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC }, .mode = "cdev");
	_cleanup_free_ char *path = mk_device_path(bed.host->fd, "pci", NIC);

	ck_claimed(claim);
	/* Elsewhere: the host's. */
	come("e1000");
	/* "udevadm trigger": the same device as ever. */
	for (int i = 0; i < 3; i++) {
		mk_event(bed.host->fd, "add", "pci", NIC, path, NULL, NULL);
		mk_event(bed.host->fd, "change", "pci", NIC, path, NULL, NULL);
		mk_event(bed.host->fd, "bind", "pci", NIC, path, "vfio-pci", NULL);
	}
	bed_sleep(500000);
	ck_assert_uint_eq(n_fenced(), 0);
	ck_assert(is_on(NIC, "vfio-pci", "vfio-pci"));
	ck_assert(is_on(COMER, "e1000", ""));
	ck_assert(!daemon_said("Somebody else"));
}
END_TEST

/* ---- going and coming */

START_TEST(another_at_the_address)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B });

	ck_claimed(claim);
	/* The withheld one goes; another product comes to its slot. */
	go(NIC_B);
	come_as(NIC_B, 2, 0x10c9, "igb");
	UNTIL(n_fenced() == 1);
	ck_assert(is_shut(NIC_B));
	ck_property(alice, DEVICE_PATH "pci_0000_02_02_0", "Device", "State", "fenced");
	/* So does the granted one: it is nobody's. */
	go(NIC_A);
	come_as(NIC_A, 2, 0x10c9, NULL);
	UNTIL(n_fenced() == 2);
	ck_assert(is_shut(NIC_A));
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(alice, claim.lease));
	/* Never the driver of what was there before. */
	ck_assert(is_on(NIC_B, "igb", ""));
	ck_assert(is_on(NIC_A, "igb", ""));
}
END_TEST

START_TEST(burst)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B });

	ck_claimed(claim);
	for (int i = 0; i < 200; i++) {
		_cleanup_free_ char *name = mock_asprintf("0000:02:%02x.%d", 4 + i / 8 % 8, i % 8);

		if (i >= 64)
			go(name);
		come_as(name, 2, i % 2 ? 0x100e : 0x10c9, i % 3 ? NULL : i % 2 ? "e1000" : "igb");
		/* The daemon's status and signals come to us: who does not read holds it up. */
		bed_sleep(10000);
	}
	for (int i = 0; i < 64; i++) {
		_cleanup_free_ char *name = mock_asprintf("0000:02:%02x.%d", 4 + i / 8 % 8, i % 8);

		UNTIL(is_shut(name));
	}
	for (int i = 0; i < 63; i++) {
		_cleanup_free_ char *name = mock_asprintf("0000:02:%02x.%d", 4 + i / 8 % 8, i % 8);

		go(name);
		bed_sleep(10000);
	}
	ck_driver(NIC_A, "vfio-pci");
	/* What has gone leaves no entry. */
	UNTIL(property_is(alice, claim.lease, "Lease", "Fenced",
			  "[" DEVICE_PATH "pci_0000_02_0b_7]"));
	bed_sleep(500000);
	ck_assert(is_shut("0000:02:0b.7"));
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(alice, claim.lease));
	ck_assert(is_on(NIC_A, "e1000", "") && is_on(NIC_B, "e1000", ""));
}
END_TEST

START_TEST(lost_events)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B });

	ck_claimed(claim);
	tree_rename(bed.host->fd, "uevent", "uevent.lost");
	mock_pci_add(bed.host, COMER, .vendor = 0x8086, .device = 0x100e, .class_code = 0x020000,
		     .group = 2, .iommu = "dmar0", .driver = "e1000", .numa_node = -1);
	go(NIC_B);
	mock_pci_add(bed.host, NIC_B, .vendor = 0x8086, .device = 0x10c9, .class_code = 0x020000,
		     .group = 2, .iommu = "dmar0", .driver = "igb", .numa_node = -1);
	tree_rename(bed.host->fd, "uevent.lost", "uevent");
	bed_sleep(200000);
	ck_assert_uint_eq(n_fenced(), 0);
	{
		sd_bus_message *m;
		struct client *root = client_new(0);

		/* What a loss does by itself. */
		m = call(root, VFIOD_ROOT, "Manager", "Rescan", NULL);
		ck_assert_str_eq(error_of(m), "");
		sd_bus_message_unref(m);
		client_free(root);
	}
	UNTIL(n_fenced() == 2);
	ck_assert(is_shut(COMER) && is_shut(NIC_B));
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(alice, claim.lease));
	ck_assert(is_on(COMER, "e1000", "") && is_on(NIC_B, "igb", ""));
}
END_TEST

/* ---- trouble */

START_TEST(a_fence_hangs)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B });

	ck_claimed(claim);
	/* An unbind that does not come back. */
	tree_write(bed.host->fd, "4000\n", "slow/UNBIND/%s", COMER);
	come("e1000");
	UNTIL(is_on(COMER, "e1000", "none"));
	{
		_cleanup_claim_ struct claim other = acquire(alice, .devices = { NIC });
		uint64_t before = bed_now();

		/* Others are served, and what comes is fenced. */
		ck_claimed(other);
		come_as("0000:02:04.0", 2, 0x100e, "e1000");
		UNTIL(is_shut("0000:02:04.0"));
		ck_assert_str_eq(release(alice, other.lease), "");
		UNTIL(lease_gone(alice, other.lease));
		ck_assert_uint_lt(bed_now() - before, 3500000);
	}
	ck_assert(is_on(COMER, "e1000", "none"));
	/* A release waits for it: two writers to one device would leave it to chance. */
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(alice, claim.lease));
	ck_assert(is_on(COMER, "e1000", "") && is_on("0000:02:04.0", "e1000", ""));
	ck_assert(is_on(NIC_A, "e1000", "") && is_on(NIC_B, "e1000", ""));
}
END_TEST

START_TEST(a_fence_fails)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B });
	_cleanup_taken_ struct taken taken = { 0 };

	ck_claimed(claim);
	mock_fail(bed.host, "UNBIND", COMER, EIO, 2);
	come("e1000");
	UNTIL(daemon_said("could not be shut off"));
	/* The kernel would refuse the attach: the owner is told instead. */
	take(claim.handoff, &taken);
	ck_assert_msg(strncmp(taken.last, "error GroupNotViable", 20) == 0, "%s", taken.last);
	UNTIL(n_fenced() == 1);
	ck_assert(is_shut(COMER));
}
END_TEST

START_TEST(a_restart)
{
	struct ask ask = { .devices = { NIC_A }, .withhold = { NIC_B }, .persist = true };
	_cleanup_claim_ struct claim claim = acquire_ask(alice, &ask);

	ck_claimed(claim);
	watch_settled(comers.watch);
	comers.watch = watch_free(comers.watch);
	if (_i == 0) {
		/* One is shut off already, the other comes while nobody looks. */
		come(NULL);
		UNTIL(n_fenced() == 1);
	}
	kill_daemon();
	come_as("0000:02:04.0", 2, 0x100e, "e1000");
	daemon_start();
	UNTIL(is_shut("0000:02:04.0"));
	if (_i == 0)
		ck_assert(is_shut(COMER));
	UNTIL(property_is(alice, claim.lease, "Lease", "Fenced",
			  _i == 0 ? "[" COMER_PATH ", " DEVICE_PATH "pci_0000_02_04_0]"
				  : "[" DEVICE_PATH "pci_0000_02_04_0]"));
	{
		struct client *root = client_new(0);

		ck_assert_str_eq(release(root, claim.lease), "");
		UNTIL(lease_gone(root, claim.lease));
		client_free(root);
	}
	ck_assert(is_on("0000:02:04.0", "e1000", ""));
	ck_assert(is_on(NIC_A, "e1000", ""));
	if (_i == 0)
		ck_assert(is_on(COMER, "e1000", ""));
}
END_TEST

/* ---- others write to sysfs */

static const struct interference {
	const char *what;
	const char *device;
	const char *override; /* NULL: left as it is */
	const char *driver;   /* bound then; NULL: none; "": left as it is */
	const char *mode;
} interferences[] = {
	{ "rebinds the granted one", NIC_A, "e1000", "e1000", "cdev" },
	{ "rebinds it in group mode", NIC_A, "", "e1000", "group" },
	{ "rebinds it in node mode", NIC_A, "", "e1000", "node" },
	{ "takes its driver away", NIC_A, NULL, NULL, "cdev" },
	{ "rebinds the withheld one", NIC_B, "", "e1000", "group" },
	{ "clears an override", NIC_A, "", "", "cdev" },
	{ "clears the override of a parked one", NIC_B, "", "", "group" },
	{ "sets another", NIC_A, "e1000", "", "cdev" },
};

static void interfere(const struct interference *x)
{
	_cleanup_free_ char *driver = host_driver(x->device);

	if (x->override)
		ck_assert_int_eq(mk_override(bed.host->fd, "pci", x->device, x->override), 0);
	if (x->driver && !*x->driver)
		return;
	if (*driver)
		ck_assert_int_eq(mk_unbind(bed.host->fd, "pci", driver, x->device), 0);
	if (x->driver)
		ck_assert_int_eq(mk_bind(bed.host->fd, "pci", x->device, x->driver), 0);
}

static size_t n_grants(void)
{
	_cleanup_free_ char *log = tree_read(bed.host->fd, "log");
	size_t n = 0;

	for (const char *l = log; l && (l = strstr(l, "NODE_GRANT vfio/2")); l++)
		n++;
	return n;
}

START_TEST(others_interfere)
{
	const struct interference *x = &interferences[_i];
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B }, .mode = x->mode);
	bool vfio = streq(x->device, NIC_A);
	size_t grants = n_grants();

	ck_claimed(claim);
	watch_settled(comers.watch);
	/* The daemon finds it done: between its steps it could be put right, and done again. */
	kill(bed.daemon, SIGSTOP);
	interfere(x);
	kill(bed.daemon, SIGCONT);
	UNTIL(daemon_said("Somebody else changed"));
	UNTIL(is_on(x->device, vfio ? "vfio-pci" : "", vfio ? "vfio-pci" : "none"));
	bed_sleep(300000);
	ck_assert(is_on(x->device, vfio ? "vfio-pci" : "", vfio ? "vfio-pci" : "none"));
	ck_property(alice, claim.lease, "Lease", "State", "leased");
	/* The owner's entry is on the new node. */
	if (vfio && streq(x->mode, "node"))
		UNTIL(n_grants() > grants);
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(alice, claim.lease));
	ck_assert(is_on(x->device, "e1000", ""));
}
END_TEST

START_TEST(others_win)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC }, .mode = "cdev");

	ck_claimed(claim);
	if (_i == 0) {
		/* It cannot be had back. */
		mock_fail(bed.host, "UNBIND", NIC, EIO, 0);
		tree_remove(bed.host->fd, "fail/UNBIND/%s", NIC);
		interfere(&(struct interference){ NULL, NIC, "e1000e", "e1000e", NULL });
		mock_fail(bed.host, "OVERRIDE", NIC, EIO, 1);
	} else {
		/* Somebody does it again and again. */
		for (int i = 0; i < 20 && !lease_gone(alice, claim.lease); i++) {
			mk_override(bed.host->fd, "pci", NIC, "e1000e");
			bed_sleep(100000);
		}
	}
	if (_i == 1)
		ck_assert(daemon_said("again and again"));
	UNTIL(lease_gone(alice, claim.lease) || is_on(NIC, "vfio-pci", "vfio-pci"));
	UNTIL(_i == 0 || is_on(NIC, "e1000e", ""));
}
END_TEST

START_TEST(interfered_meanwhile)
{
	struct ask ask = { .devices = { NIC }, .persist = true, .mode = "cdev" };
	_cleanup_claim_ struct claim claim = acquire_ask(alice, &ask);

	ck_claimed(claim);
	watch_settled(comers.watch);
	comers.watch = watch_free(comers.watch);
	kill_daemon();
	interfere(&(struct interference){ NULL, NIC, "e1000e", "e1000e", NULL });
	daemon_start();
	UNTIL(daemon_said("Somebody else changed"));
	UNTIL(is_on(NIC, "vfio-pci", "vfio-pci"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fence");
	TCase *tcase = tcase_create("fence");

	tcase_add_checked_fixture(tcase, comers_start, comers_stop);
	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, leased, 0, ARRAY_SIZE(moments));
	tcase_add_loop_test(tcase, no_driver_at_home, 0, 2);
	tcase_add_loop_test(tcase, preparing, 0, 2);
	tcase_add_test(tcase, draining);
	tcase_add_test(tcase, not_its_business);
	tcase_add_test(tcase, another_at_the_address);
	tcase_add_test(tcase, burst);
	tcase_add_test(tcase, lost_events);
	tcase_add_test(tcase, a_fence_hangs);
	tcase_add_test(tcase, a_fence_fails);
	tcase_add_loop_test(tcase, a_restart, 0, 2);
	tcase_add_loop_test(tcase, others_interfere, 0, ARRAY_SIZE(interferences));
	tcase_add_loop_test(tcase, others_win, 0, 2);
	tcase_add_test(tcase, interfered_meanwhile);
	suite_add_tcase(suite, tcase);
	return bed_main(suite, true);
}
