/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Devices that leave and come while a lease has their group, at every moment of its life: who is
 * who is not a question of addresses and numbers, which are used again. Others who write to sysfs
 * are in test-interfere.c; that what comes is shut off at all is in test-fence.c.
 */

#include "tests/bus/comer.h"

#include <signal.h>
#include <stdio.h>

#define GROUP(n)   "/org/vfiod1/group/" #n
#define NIC_A_PATH DEVICE_PATH "pci_0000_02_01_0"
#define NIC_B_PATH DEVICE_PATH "pci_0000_02_02_0"
#define NIC_PATH   DEVICE_PATH "pci_0000_03_00_0"
#define ELSE	   "0000:0c:00.0"
#define ELSE_PATH  DEVICE_PATH "pci_0000_0c_00_0"

static struct claim claim_pair(const char *mode, bool persist)
{
	const struct ask ask = {
		.devices = { NIC_A },
		.withhold = { NIC_B },
		.mode = mode,
		.persist = persist,
	};

	return acquire_ask(alice, &ask);
}

static void ck_home(const char *device, const char *driver)
{
	_cleanup_free_ char *d = host_driver(device), *o = host_override(device);

	ck_assert_msg(streq(d, driver) && !*o, "%s is on \"%s\" with \"%s\", not on \"%s\"", device,
		      d, o, driver);
}

/* What the handoff of a lease brings, and how it ends: of the caller. */
static char *fds_of(const char *lease)
{
	_cleanup_taken_ struct taken taken = { 0 };
	int fd = -EBADF;
	const char *error = get_fds(alice, lease, &fd);
	char *text;

	if (*error)
		return strdup(error);
	take(fd, &taken);
	text = taken_text(&taken);
	close(fd);
	return text;
}

/* ---- another appearance at the address of a device of the lease */

static const struct replacement {
	const char *device, *path;
	unsigned int product;
	const char *driver; /* that was faster */
	const char *home;   /* where it is in the end */
} replacements[] = {
	/* The same card again, as after "remove" and "rescan" by an administrator. */
	{ NIC_A, NIC_A_PATH, 0x100e, "e1000", "e1000" },
	{ NIC_A, NIC_A_PATH, 0x100e, NULL, "e1000" },
	{ NIC_B, NIC_B_PATH, 0x100e, "e1000", "e1000" },
	/* Another one. */
	{ NIC_A, NIC_A_PATH, 0x10c9, "igb", "igb" },
	{ NIC_B, NIC_B_PATH, 0x10c9, NULL, "igb" },
	/* One that comes as if it had been there all the time. */
	{ NIC_A, NIC_A_PATH, 0x100e, "vfio-pci", "e1000" },
	{ NIC_B, NIC_B_PATH, 0x10c9, "vfio-pci", "igb" },
};
static const char *const modes[] = { "cdev", "group", "node" };

static void replace(const struct replacement *r)
{
	go(r->device);
	come_as(r->device, 2, r->product, r->driver);
}

/* Nothing of what it had is its, nobody can open it, and it goes to its own driver in the end. */
START_TEST(replaced_while_leased)
{
	const struct replacement *r = &replacements[_i % (int)ARRAY_SIZE(replacements)];
	const char *mode = modes[_i / (int)ARRAY_SIZE(replacements)];
	_cleanup_claim_ struct claim claim = claim_pair(mode, false);
	bool granted = streq(r->device, NIC_A);

	ck_claimed(claim);
	replace(r);
	UNTIL(n_fenced() == 1);
	ck_assert(is_shut(r->device));
	ck_property(alice, r->path, "Device", "State", "fenced");
	ck_property(alice, r->path, "Device", "SavedDriver", "");
	ck_property(alice, claim.lease, "Lease", "State", "leased");
	ck_property(alice, claim.lease, "Lease", "Devices", granted ? "[]" : "[" NIC_A_PATH "]");
	ck_property(alice, claim.lease, "Lease", "Withheld", granted ? "[" NIC_B_PATH "]" : "[]");
	{
		_cleanup_free_ char *fenced = mock_asprintf("[%s]", r->path);
		_cleanup_free_ char *fds = fds_of(claim.lease);

		ck_property(alice, claim.lease, "Lease", "Fenced", fenced);
		ck_assert_msg(!strstr(fds, r->device), "%s", fds);
		if (granted)
			ck_assert_msg(strstr(fds, "NoSuchDevice"), "%s", fds);
		else
			ck_assert_msg(strstr(fds, "end "), "%s", fds);
	}
	ck_assert_msg(!daemon_said("Somebody else changed"), "what came is nobody's interference");
	/* And again: the third of its name. */
	replace(r);
	UNTIL(n_fenced() == 2);
	ck_assert(is_shut(r->device));
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(alice, claim.lease));
	ck_home(r->device, r->home);
	ck_home(granted ? NIC_B : NIC_A, "e1000");
	ck_property(alice, r->path, "Device", "State", "host");
}
END_TEST

/* The same while the daemon is down: the journal knows one appearance from the next. */
START_TEST(replaced_while_down)
{
	const struct replacement *r = &replacements[_i];
	_cleanup_claim_ struct claim claim = claim_pair("cdev", true);
	bool granted = streq(r->device, NIC_A);

	ck_claimed(claim);
	watch_settled(comers.watch);
	comers.watch = watch_free(comers.watch);
	kill_daemon();
	replace(r);
	daemon_start();
	UNTIL(is_shut(r->device));
	UNTIL(property_is(alice, r->path, "Device", "State", "fenced"));
	ck_property(alice, claim.lease, "Lease", "Devices", granted ? "[]" : "[" NIC_A_PATH "]");
	ck_assert(!daemon_said("Somebody else changed"));
	ck_assert(is_on(granted ? NIC_B : NIC_A, "vfio-pci", "vfio-pci"));
	release_by_root(claim.lease);
	ck_home(r->device, r->home);
	ck_home(granted ? NIC_B : NIC_A, "e1000");
}
END_TEST

/* One that did not leave is what it was, however often the daemon starts. */
START_TEST(stayed_while_down)
{
	_cleanup_claim_ struct claim claim = claim_pair("cdev", true);

	ck_claimed(claim);
	watch_settled(comers.watch);
	comers.watch = watch_free(comers.watch);
	for (int i = 0; i < 3; i++) {
		kill_daemon();
		daemon_start();
	}
	ck_property(alice, NIC_A_PATH, "Device", "State", "granted");
	ck_property(alice, NIC_B_PATH, "Device", "State", "withheld");
	bed_sleep(200000);
	ck_assert_uint_eq(n_fenced(), 0);
	release_by_root(claim.lease);
	ck_home(NIC_A, "e1000");
	ck_home(NIC_B, "e1000");
}
END_TEST

/* Somebody says that it went, and that it came: "udevadm trigger". */
START_TEST(only_said_to_go)
{
	_cleanup_claim_ struct claim claim = claim_pair("cdev", false);
	_cleanup_free_ char *path = mk_device_path(bed.host->fd, "pci", NIC_A), *fds = NULL;

	ck_claimed(claim);
	for (int i = 0; i < 3; i++) {
		mk_event(bed.host->fd, "remove", "pci", NIC_A, path, NULL, NULL);
		mk_event(bed.host->fd, "add", "pci", NIC_A, path, NULL, NULL);
	}
	bed_sleep(300000);
	ck_assert_uint_eq(n_fenced(), 0);
	ck_assert(is_on(NIC_A, "vfio-pci", "vfio-pci"));
	ck_property(alice, NIC_A_PATH, "Device", "State", "granted");
	fds = fds_of(claim.lease);
	ck_assert_msg(strstr(fds, "device " NIC_A), "%s", fds);
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(alice, claim.lease));
}
END_TEST

/* ---- in the middle of a swap */

static const char *const slow_ops[] = { "OVERRIDE", "UNBIND", "PROBE" };

static void make_slow(const char *device, const char *op, int ms)
{
	_cleanup_free_ char *text = mock_asprintf("%d\n", ms);

	tree_write(bed.host->fd, text, "slow/%s/%s", op, device);
}

/*
 * A device of a claim goes, and another has its address, while the worker is at one of its writes;
 * half of the rounds at that very device. Whatever the worker did, nobody has anything in the end.
 */
START_TEST(replaced_in_claim)
{
	const struct replacement *r = &replacements[_i % (int)ARRAY_SIZE(replacements)];
	const char *op = slow_ops[_i / (int)ARRAY_SIZE(replacements) % 3];
	bool itself = _i / (int)ARRAY_SIZE(replacements) / 3;
	bool granted = streq(r->device, NIC_A);
	const char *at = itself == granted ? NIC_A : NIC_B;
	struct pending *pending;

	make_slow(at, op, 150);
	pending =
		acquire_start(alice, &(struct ask){ .devices = { NIC_A }, .withhold = { NIC_B } });
	/* The withheld one is parked on no driver: nothing probes it. */
	bed_sleep(60000);
	tree_remove(bed.host->fd, "slow");
	replace(r);
	{
		_cleanup_claim_ struct claim claim = acquire_wait(pending);

		if (!*claim.error) {
			/* It was done by then: the newcomer came to a lease. */
			UNTIL(is_shut(r->device));
			ck_assert_str_eq(release(alice, claim.lease), "");
			UNTIL(lease_gone(alice, claim.lease));
		} else {
			ck_assert_msg(streq(claim.error, "GroupChanged") ||
					      streq(claim.error, "DriverFailed"),
				      "%s: %s", claim.error, claim.message);
		}
	}
	UNTIL(property_is(alice, GROUP(2), "Group", "State", "host"));
	/* One that no fence was in time for is the host's as it came. */
	if (r->driver && streq(r->driver, "vfio-pci"))
		ck_assert(is_on(r->device, "vfio-pci", "") || is_on(r->device, r->home, ""));
	else if (r->driver)
		ck_home(r->device, r->home);
	else
		ck_assert(is_on(r->device, "", "") || is_on(r->device, r->home, ""));
	ck_home(granted ? NIC_B : NIC_A, "e1000");
}
END_TEST

/* The same on the way home. Draining what comes is shut off; restoring it is the host's. */
START_TEST(replaced_in_release)
{
	const struct replacement *r = &replacements[_i % (int)ARRAY_SIZE(replacements)];
	const char *op = slow_ops[_i / (int)ARRAY_SIZE(replacements) % 3];
	bool itself = _i / (int)ARRAY_SIZE(replacements) / 3;
	bool granted = streq(r->device, NIC_A);
	const char *at = itself == granted ? NIC_A : NIC_B;
	_cleanup_claim_ struct claim claim = claim_pair("cdev", false);

	ck_claimed(claim);
	make_slow(at, op, 150);
	ck_assert_str_eq(release(alice, claim.lease), "");
	bed_sleep(60000);
	tree_remove(bed.host->fd, "slow");
	if (lease_gone(alice, claim.lease))
		return;
	replace(r);
	UNTIL(lease_gone(alice, claim.lease));
	if (r->driver && streq(r->driver, "vfio-pci"))
		ck_assert(is_on(r->device, "vfio-pci", "") || is_on(r->device, r->home, ""));
	else if (r->driver)
		ck_home(r->device, r->home);
	else
		ck_assert(is_on(r->device, "", "") || is_on(r->device, r->home, ""));
	ck_home(granted ? NIC_B : NIC_A, "e1000");
}
END_TEST

/* The same without anything that comes in its place: the others go where they belong. */
START_TEST(removed_in_swap)
{
	const char *op = slow_ops[_i % 3];
	bool itself = _i / 3 % 2, granted = _i / 6 % 2, releasing = _i / 12 % 2;
	/* While they are looked at, at the first step, later. */
	const unsigned int delay = (unsigned int[]){ 0, 15000, 60000 }[_i / 24];
	const char *device = granted ? NIC_A : NIC_B, *other = granted ? NIC_B : NIC_A;
	const char *at = itself ? device : other;
	_cleanup_claim_ struct claim claim = { 0 };

	if (releasing) {
		claim = claim_pair("cdev", false);
		ck_claimed(claim);
		make_slow(at, op, 150);
		ck_assert_str_eq(release(alice, claim.lease), "");
		bed_sleep(delay);
		go(device);
	} else {
		struct pending *pending;

		make_slow(at, op, 150);
		pending = acquire_start(
			alice, &(struct ask){ .devices = { NIC_A }, .withhold = { NIC_B } });
		bed_sleep(delay);
		go(device);
		claim = acquire_wait(pending);
		if (*claim.error) {
			/* NoSuchDevice: it went before the request was read. */
			ck_assert_msg(streq(claim.error, "GroupChanged") ||
					      (granted && streq(claim.error, "NoSuchDevice")) ||
					      streq(claim.error, "DriverFailed") ||
					      (streq(claim.error, "NoSuchDevice") && !delay),
				      "%s: %s", claim.error, claim.message);
		} else {
			/* It was done by then. */
			UNTIL(property_is(alice, claim.lease, "Lease",
					  granted ? "Devices" : "Withheld", "[]"));
			ck_assert_str_eq(release(alice, claim.lease), "");
		}
	}
	tree_remove(bed.host->fd, "slow");
	if (claim.lease)
		UNTIL(lease_gone(alice, claim.lease));
	UNTIL(property_is(alice, GROUP(2), "Group", "State", "host"));
	ck_home(other, "e1000");
	ck_assert_uint_eq(n_fenced(), 0);
	/* And it can be had. */
	{
		_cleanup_claim_ struct claim again = acquire(alice, .devices = { other });

		ck_claimed(again);
		ck_assert_str_eq(release(alice, again.lease), "");
		UNTIL(lease_gone(alice, again.lease));
	}
}
END_TEST

/* An administrator's own override is given to the device that had it, and to no other. */
START_TEST(override_of_another)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { ADMIN });

	ck_claimed(claim);
	make_slow(ADMIN, _i ? "PROBE" : "UNBIND", 200);
	ck_assert_str_eq(release(alice, claim.lease), "");
	bed_sleep(80000);
	tree_remove(bed.host->fd, "slow");
	if (lease_gone(alice, claim.lease))
		return;
	/* Of the same kind, at the same place: told apart by its appearance alone. */
	go(ADMIN);
	come_as(ADMIN, 7, 0x10d3, "e1000e");
	UNTIL(lease_gone(alice, claim.lease));
	ck_home(ADMIN, "e1000e");
}
END_TEST

/* ---- groups that end, and numbers that are used again */

/* All of a group goes, and its number comes back as that of another: which is the host's. */
START_TEST(number_is_used_again)
{
	const char *mode = modes[_i];
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC }, .mode = mode),
				     other = { 0 };
	struct client *bob = client_new(BOB);
	_cleanup_taken_ struct taken taken = { 0 };
	_cleanup_free_ char *fds = NULL;

	ck_claimed(claim);
	go(NIC);
	come_as(ELSE, 3, 0x10d3, "e1000e");
	UNTIL(property_is(alice, ELSE_PATH, "Device", "Driver", "e1000e"));
	ck_property(alice, ELSE_PATH, "Device", "State", "host");
	ck_property(alice, GROUP(3), "Group", "State", "host");
	ck_property(alice, GROUP(3), "Group", "Lease", "/");
	ck_property(alice, claim.lease, "Lease", "Groups", "[]");
	ck_property(alice, claim.lease, "Lease", "Devices", "[]");
	/* Its owner has nothing of it. */
	fds = fds_of(claim.lease);
	ck_assert_msg(strstr(fds, "NoSuchDevice"), "%s", fds);
	/* And it can be had by whoever asks for it. */
	mock_net_add(bed.host, ELSE, "eth20", 20);
	other = acquire(bob, .devices = { ELSE }, .mode = mode);
	ck_claimed(other);
	take(other.handoff, &taken);
	ck_assert_msg(strncmp(taken.last, "end", 3) == 0, "%s", taken.last);
	ck_property(alice, GROUP(3), "Group", "Lease", other.lease);
	fds = (free(fds), fds_of(claim.lease));
	ck_assert_msg(strstr(fds, "NoSuchDevice"), "%s", fds);
	/* The end of the one is nothing to the other. */
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(alice, claim.lease));
	ck_assert(is_on(ELSE, "vfio-pci", "vfio-pci"));
	ck_property(alice, GROUP(3), "Group", "Lease", other.lease);
	if (streq(mode, "node"))
		ck_assert(tree_exists(bed.host->fd, "acl/vfio!3/%u", BOB));
	taken_done(&taken);
	ck_assert_str_eq(release(bob, other.lease), "");
	UNTIL(lease_gone(bob, other.lease));
	ck_home(ELSE, "e1000e");
	ck_assert_uint_eq(n_fenced(), 0);
	client_free(bob);
}
END_TEST

/* The same, while nobody looks: with the daemon dead, and with its events lost. */
START_TEST(number_is_used_again_unseen)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC }, .persist = true, .mode = "cdev");

	ck_claimed(claim);
	watch_settled(comers.watch);
	comers.watch = watch_free(comers.watch);
	if (_i) {
		kill_daemon();
	} else {
		tree_write(bed.host->fd, "", "uevent-drops");
		kill(bed.daemon, SIGSTOP);
		for (int i = 0; i < 64; i++)
			mk_event(bed.host->fd, "change", "pci", DISK, "devices/x", NULL, NULL);
	}
	go(NIC);
	come_as(ELSE, 3, 0x10d3, "e1000e");
	if (_i) {
		daemon_start();
	} else {
		kill(bed.daemon, SIGCONT);
		ck_assert(tree_exists(bed.host->fd, "uevent-dropped"));
		mk_event_lost(bed.host->fd);
		UNTIL(daemon_said("were lost"));
	}
	UNTIL(property_is(alice, ELSE_PATH, "Device", "State", "host"));
	bed_sleep(200000);
	ck_home(ELSE, "e1000e");
	ck_property(alice, GROUP(3), "Group", "State", "host");
	ck_property(alice, claim.lease, "Lease", "Groups", "[]");
	release_by_root(claim.lease);
	ck_home(ELSE, "e1000e");
}
END_TEST

/*
 * The card of the owner's is another one, and nobody has heard of the removal: that one is shut off
 * before the journal is touched (I6), which hangs here; and a daemon that dies there, with a
 * journal that has the first card, does the same again. 0: by an event of its own; 1: by a rescan.
 */
START_TEST(shut_off_before_the_journal)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A, NIC_B }, .persist = true);

	ck_claimed(claim);
	watch_settled(comers.watch);
	comers.watch = watch_free(comers.watch);
	tree_write(bed.host->fd, "600000\n", "slow/FSYNC/journal");
	tree_rename(bed.host->fd, "uevent", "uevent.lost");
	go(NIC_B);
	mock_pci_add(bed.host, NIC_B, .vendor = 0x8086, .device = 0x100e, .class_code = 0x020000,
		     .group = 2, .iommu = "dmar0", .driver = "e1000", .numa_node = -1);
	tree_rename(bed.host->fd, "uevent.lost", "uevent");
	ck_assert(!is_shut(NIC_B));
	if (_i)
		mk_event_line(bed.host->fd, "lost");
	else
		mk_event(bed.host->fd, "change", "pci", NIC_B, "devices/x", NULL, NULL);
	UNTIL(is_shut(NIC_B));
	kill_daemon();
	tree_remove(bed.host->fd, "slow/FSYNC/journal");
	daemon_start();
	UNTIL(property_is(alice, DEVICE_PATH "pci_0000_02_02_0", "Device", "State", "fenced"));
	UNTIL(is_shut(NIC_B));
	ck_property(alice, claim.lease, "Lease", "State", "leased");
	ck_driver(NIC_A, "vfio-pci");
	release_by_root(claim.lease);
	ck_home(NIC_B, "e1000");
}
END_TEST

/* What comes back to its address, as a group of the number that it had, is shut off. */
START_TEST(alone_and_back)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC }, .mode = modes[_i]);
	_cleanup_free_ char *fds = NULL;

	ck_claimed(claim);
	go(NIC);
	UNTIL(property_is(alice, claim.lease, "Lease", "Groups", "[]"));
	come_as(NIC, 3, 0x10d3, "e1000e");
	UNTIL(n_fenced() == 1);
	ck_assert(is_shut(NIC));
	ck_property(alice, NIC_PATH, "Device", "State", "fenced");
	ck_property(alice, GROUP(3), "Group", "Lease", claim.lease);
	ck_property(alice, claim.lease, "Lease", "Groups", "[" GROUP(3) "]");
	/* So is what comes beside it. */
	come_as("0000:03:00.1", 3, 0x100e, "e1000");
	UNTIL(n_fenced() == 2);
	fds = fds_of(claim.lease);
	ck_assert_msg(strstr(fds, "NoSuchDevice"), "%s", fds);
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(alice, claim.lease));
	ck_home(NIC, "e1000e");
	ck_home("0000:03:00.1", "e1000");
}
END_TEST

static void rescan(void)
{
	struct client *root = client_new(0);

	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Rescan", NULL), "");
	client_free(root);
}

/* Which domain type a group had is nothing to the next one of its number. */
START_TEST(type_of_another)
{
	static const char type[] = "sys/kernel/iommu_groups/3/type";
	_cleanup_claim_ struct claim claim = { 0 };
	_cleanup_free_ char *now = NULL;

	tree_write(bed.host->fd, "identity\n", type);
	rescan();
	UNTIL(property_is(alice, GROUP(3), "Group", "Type", "identity"));
	claim = acquire(alice, .devices = { NIC }, .mode = modes[_i], .persist = true);
	ck_claimed(claim);
	watch_settled(comers.watch);
	comers.watch = watch_free(comers.watch);
	go(NIC);
	UNTIL(property_is(alice, claim.lease, "Lease", "Groups", "[]"));
	come_as(NIC, 3, 0x10d3, "e1000e");
	UNTIL(n_fenced() == 1);
	UNTIL(property_is(alice, GROUP(3), "Group", "Type", "DMA-FQ"));
	/* All is looked at once more, by this daemon and by the next one. */
	rescan();
	bed_sleep(200000);
	kill_daemon();
	daemon_start();
	bed_sleep(200000);
	ck_assert(!daemon_said("changed the domain type"));
	ck_property(alice, claim.lease, "Lease", "State", "leased");
	/* From now on it is nobody's to change. */
	tree_write(bed.host->fd, "identity\n", type);
	UNTIL(daemon_said("changed the domain type of group 3"));
	UNTIL((free(now), now = tree_read(bed.host->fd, type)) && streq(now, "DMA-FQ"));
	release_by_root(claim.lease);
	ck_home(NIC, "e1000e");
}
END_TEST

/* To its address, but into a group that the host has by then: the host's. */
START_TEST(back_in_another_group)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });

	ck_claimed(claim);
	go(NIC);
	if (_i)
		come_as(ELSE, 3, 0x100e, "e1000");
	come_as(NIC, _i ? 3 : 30, 0x10d3, "e1000e");
	UNTIL(property_is(alice, NIC_PATH, "Device", "Driver", "e1000e"));
	ck_property(alice, NIC_PATH, "Device", "State", "host");
	ck_assert_uint_eq(n_fenced(), 0);
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(alice, claim.lease));
	ck_home(NIC, "e1000e");
}
END_TEST

/* A device of the lease leaves its group for another: by a replug, or as "change" tells. */
START_TEST(leaves_its_group)
{
	_cleanup_claim_ struct claim claim = claim_pair(_i ? "cdev" : "group", false);

	ck_claimed(claim);
	if (_i) {
		mock_device_regroup(bed.host, "pci", NIC_B, 20);
		mk_override(bed.host->fd, "pci", NIC_B, "");
	} else {
		go(NIC_B);
		come_as(NIC_B, 20, 0x100e, "e1000");
	}
	UNTIL(property_is(alice, NIC_B_PATH, "Device", "State", "host"));
	ck_property(alice, GROUP(20), "Group", "State", "host");
	ck_property(alice, claim.lease, "Lease", "Withheld", "[]");
	ck_property(alice, claim.lease, "Lease", "Groups", "[" GROUP(2) "]");
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(alice, claim.lease));
	ck_home(NIC_B, "e1000");
	ck_home(NIC_A, "e1000");
}
END_TEST

/* A device of the host's comes into a group of a lease. */
START_TEST(joins_the_group)
{
	_cleanup_claim_ struct claim claim = claim_pair("cdev", false);

	ck_claimed(claim);
	if (_i) {
		mock_device_regroup(bed.host, "pci", NIC, 2);
	} else {
		go(NIC);
		come_as(NIC, 2, 0x10d3, "e1000e");
	}
	UNTIL(n_fenced() == 1);
	ck_assert(is_shut(NIC));
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(alice, claim.lease));
	ck_home(NIC, "e1000e");
}
END_TEST

/* ---- subtrees */

static void come_below(const char *name, const char *parent, int group, unsigned int product,
		       const char *driver)
{
	const struct mock_pci pci = {
		.vendor = 0x8086,
		.device = product,
		.class_code = product == 0x244e ? 0x060400 : 0x020000,
		.group = group,
		.iommu = "dmar0",
		.numa_node = -1,
		.parent = parent,
	};

	come_with(name, &pci, driver);
}

#define SWITCH	  "0000:20:00.0"
#define SWITCH_A  "0000:21:00.0"
#define SWITCH_B  "0000:21:01.0"
#define SWITCH_AT "pci0000:00/" SWITCH

static void subtree_comes(int group, int count)
{
	come_below(SWITCH, NULL, group, 0x244e, "shpchp");
	come_below(SWITCH_A, SWITCH_AT, group, 0x100e, "e1000");
	if (count > 1)
		come_below(SWITCH_B, SWITCH_AT, group, 0x10c9, NULL);
}

/* A bridge with what is behind it, at once: below a leased group, and elsewhere. */
START_TEST(subtree)
{
	_cleanup_claim_ struct claim claim = claim_pair(modes[_i % 3], false);

	ck_claimed(claim);
	subtree_comes(_i < 3 ? 2 : 30, 2);
	if (_i < 3) {
		UNTIL(n_fenced() == 3);
		ck_assert(is_shut(SWITCH) && is_shut(SWITCH_A) && is_shut(SWITCH_B));
		/* Bridges forward for what is behind them. */
		ck_assert(is_bus_master(SWITCH) && !is_bus_master(SWITCH_A));
		ck_assert_str_eq(release(alice, claim.lease), "");
		UNTIL(lease_gone(alice, claim.lease));
	} else {
		UNTIL(property_is(alice, DEVICE_PATH "pci_0000_21_01_0", "Device", "State",
				  "host"));
		ck_property(alice, GROUP(30), "Group", "State", "host");
		ck_assert_uint_eq(n_fenced(), 0);
		ck_assert_str_eq(release(alice, claim.lease), "");
		UNTIL(lease_gone(alice, claim.lease));
	}
	ck_home(SWITCH_A, "e1000");
	ck_home(SWITCH_B, _i < 3 ? "igb" : "");
	/* Both match a bridge, as for the kernel's own modules. */
	ck_assert(is_on(SWITCH, "shpchp", "") || is_on(SWITCH, "pcieport", ""));
}
END_TEST

/* All that is leased goes with its bridge, and comes again, as "remove" and "rescan" do. */
START_TEST(subtree_of_the_lease)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { BEHIND }, .withhold = { BRIDGE });
	int rounds = 3;

	ck_claimed(claim);
	for (int i = 0; i < rounds; i++) {
		go(BEHIND);
		go(BRIDGE);
		come_below(BRIDGE, NULL, 5, 0x244e, "shpchp");
		come_below(BEHIND, "pci0000:00/" BRIDGE, 5, 0x100e, "e1000");
		come_below("0000:05:02.0", "pci0000:00/" BRIDGE, 5, 0x10c9, "igb");
		UNTIL(n_fenced() == 3U * (unsigned int)(i + 1));
		ck_assert(is_shut(BRIDGE) && is_shut(BEHIND) && is_shut("0000:05:02.0"));
		if (i < rounds - 1)
			go("0000:05:02.0");
	}
	ck_property(alice, GROUP(5), "Group", "State", "leased");
	ck_property(alice, claim.lease, "Lease", "Devices", "[]");
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(alice, claim.lease));
	ck_home(BEHIND, "e1000");
	ck_home("0000:05:02.0", "igb");
}
END_TEST

/* ---- virtual functions */

#define VF_C	  "0000:08:10.4"
#define VF_C_PATH DEVICE_PATH "pci_0000_08_10_4"

/* The kernel sets the override on VFs of a PF that is on vfio-pci. */
static void vf_comes(int group, const char *override)
{
	const struct mock_pci pci = {
		.vendor = 0x8086,
		.device = 0x10ca,
		.class_code = 0x020000,
		.group = group,
		.iommu = "dmar1",
		.physfn = PF,
		.numa_node = -1,
		.override = override,
	};

	come_with(VF_C, &pci, NULL);
}

START_TEST(vf_of_a_leased_pf)
{
	struct client *bob = client_new(BOB);
	_cleanup_claim_ struct claim claim = { 0 }, other = { 0 };

	go(VF_A);
	go(VF_B);
	UNTIL(property_is(alice, DEVICE_PATH "pci_0000_08_00_0", "Device", "VirtualFunctions",
			  "[]"));
	claim = acquire(alice, .devices = { PF });
	ck_claimed(claim);
	vf_comes(_i ? 8 : 21, "vfio-pci");
	UNTIL(property_is(alice, VF_C_PATH, "Device", "PhysicalFunction",
			  DEVICE_PATH "pci_0000_08_00_0"));
	if (_i) {
		UNTIL(n_fenced() == 1);
		ck_assert(is_shut(VF_C));
	} else {
		ck_property(alice, VF_C_PATH, "Device", "State", "host");
		ck_assert_uint_eq(n_fenced(), 0);
	}
	/* A VF of a PF that another owner has is not given. */
	other = acquire(bob, .devices = { VF_C });
	ck_assert_msg(streq(other.error, "GroupBusy") || streq(other.error, "DeviceInUse"),
		      "%s: %s", other.error, other.message);
	go(VF_C);
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(alice, claim.lease));
	ck_home(PF, "igb");
	client_free(bob);
}
END_TEST

START_TEST(vf_beside_a_leased_one)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { VF_A });

	ck_claimed(claim);
	vf_comes(_i ? 9 : 21, NULL);
	UNTIL(property_is(alice, VF_C_PATH, "Device", "PhysicalFunction",
			  DEVICE_PATH "pci_0000_08_00_0"));
	if (_i) {
		UNTIL(n_fenced() == 1);
		ck_assert(is_shut(VF_C));
	}
	ck_property(alice, VF_C_PATH, "Device", "State", _i ? "fenced" : "host");
	/* All of them go: their PF's driver was asked for none. */
	go(VF_C);
	go(VF_A);
	UNTIL(property_is(alice, claim.lease, "Lease", "Groups", "[]"));
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(alice, claim.lease));
	ck_home(VF_B, "igbvf");
}
END_TEST

/* ---- more than can be heard */

/* 200 adds and removes while the daemon stands still: the kernel drops what has no room. */
START_TEST(burst_with_losses)
{
	_cleanup_claim_ struct claim claim = claim_pair("cdev", false);
	int there = 0;

	ck_claimed(claim);
	watch_settled(comers.watch);
	comers.watch = watch_free(comers.watch);
	tree_write(bed.host->fd, "", "uevent-drops");
	kill(bed.daemon, SIGSTOP);
	for (int i = 0; i < 200; i++) {
		_cleanup_free_ char *name = mock_asprintf("0000:02:%02x.%d", 4 + i / 8 % 8, i % 8);

		if (i >= 64)
			go(name);
		come_as(name, 2, i % 2 ? 0x100e : 0x10c9, i % 3 ? NULL : i % 2 ? "e1000" : "igb");
	}
	/* Withheld and granted one, too, are others by the end. */
	replace(&replacements[_i ? 2 : 0]);
	for (int i = 0; i < 64; i += 2) {
		_cleanup_free_ char *name = mock_asprintf("0000:02:%02x.%d", 4 + i / 8 % 8, i % 8);

		go(name);
	}
	kill(bed.daemon, SIGCONT);
	ck_assert(tree_exists(bed.host->fd, "uevent-dropped"));
	mk_event_lost(bed.host->fd);
	UNTIL(daemon_said("were lost"));
	for (int i = 1; i < 64; i += 2) {
		_cleanup_free_ char *name = mock_asprintf("0000:02:%02x.%d", 4 + i / 8 % 8, i % 8);

		UNTIL(is_shut(name));
		there++;
	}
	UNTIL(is_shut(_i ? NIC_B : NIC_A));
	ck_assert(is_on(_i ? NIC_A : NIC_B, "vfio-pci", "vfio-pci"));
	for (;;) {
		_cleanup_free_ char *fenced = property(alice, claim.lease, "Lease", "Fenced");
		size_t n = 0;

		for (const char *p = fenced; (p = strstr(p, "pci_")); p++)
			n++;
		if ((int)n == there + 1)
			break;
		bed_sleep(20000);
	}
	comers.watch = watch_new(0);
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(alice, claim.lease));
	for (int i = 1; i < 64; i += 2) {
		_cleanup_free_ char *name = mock_asprintf("0000:02:%02x.%d", 4 + i / 8 % 8, i % 8);

		ck_home(name, "e1000");
	}
	ck_home(NIC_A, "e1000");
	ck_home(NIC_B, "e1000");
}
END_TEST

/* ---- what only looks like a device */

START_TEST(odd_names)
{
	static const char *const names[] = {
		"..",
		"../../devices",
		"0000:02:01.0/driver",
		"%s%n%s%n",
		"0000:02:03.0000000000000000000000000000000000000000000000000000000000000000000000",
		"$(reboot)",
		"\x01\x7f\xff",
	};
	_cleanup_claim_ struct claim claim = claim_pair("cdev", false);

	ck_claimed(claim);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		mk_event(bed.host->fd, "add", "pci", names[i], "devices/x", NULL, NULL);
		mk_event(bed.host->fd, "bind", "pci", names[i], "devices/x", "e1000", NULL);
		mk_event(bed.host->fd, "remove", "pci", names[i], "devices/x", NULL, NULL);
	}
	/* What is there, under a name that is no address. */
	come_as("odd", 2, 0x100e, "e1000");
	UNTIL(is_shut("odd"));
	come_as("0000:02:03.0-0123456789-0123456789-0123456789-0123456789-0123456789", 2, 0x100e,
		NULL);
	bed_sleep(200000);
	ck_property(alice, NIC_A_PATH, "Device", "State", "granted");
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(alice, claim.lease));
	ck_home("odd", "e1000");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hotplug");
	const int n = (int)ARRAY_SIZE(replacements);

#define T(test, times) bed_test(suite, comers_start, comers_stop, test, times)
	T(replaced_while_leased, n * (int)ARRAY_SIZE(modes));
	T(replaced_while_down, n);
	T(stayed_while_down, 1);
	T(only_said_to_go, 1);
	T(replaced_in_claim, n * 3 * 2);
	T(replaced_in_release, n * 3 * 2);
	T(removed_in_swap, 3 * 2 * 2 * 2 * 3);
	T(override_of_another, 2);
	T(number_is_used_again, (int)ARRAY_SIZE(modes));
	T(number_is_used_again_unseen, 2);
	T(shut_off_before_the_journal, 2);
	T(alone_and_back, (int)ARRAY_SIZE(modes));
	T(type_of_another, (int)ARRAY_SIZE(modes));
	T(back_in_another_group, 2);
	T(leaves_its_group, 2);
	T(joins_the_group, 2);
	T(subtree, 6);
	T(subtree_of_the_lease, 1);
	T(vf_of_a_leased_pf, 2);
	T(vf_beside_a_leased_one, 2);
	T(burst_with_losses, 2);
	T(odd_names, 1);
	return bed_main(suite, true);
}
