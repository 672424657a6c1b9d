/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Broker-driven probing: while a lease exists no new PCI device is probed but by the daemon, and
 * however that goes, the kernel probes again as before, after what waits in a leased group has been
 * shut off. On a kernel that does not honour it: that is said, once.
 */

#include "tests/bus/client.h"

#include "daemon/util/fd.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMER	  "0000:02:03.0" /* in group 2 */
#define ELSEWHERE "0000:20:00.0" /* in group 20 */
#define ANOTHER	  "0000:21:00.0" /* in group 21 */
#define NEW	  "7.2.0-1-amd64"
#define OLD	  "6.12.94+deb13-amd64"

static const char broker[] = "{ \"version\": 1, \"hotplug\": { \"probe\": \"broker\" } }\n";

static struct client *alice, *root;

static void start_on(const char *release, const char *autoprobe)
{
	bed_make();
	tree_write(bed.host->fd, release, "release");
	tree_write(bed.host->fd, autoprobe, "sys/bus/pci/drivers_autoprobe");
	bed_policy("60-hotplug.json", broker);
	bus_start();
	daemon_start();
	alice = client_new(ALICE);
	root = client_new(geteuid());
}

static void start(void)
{
	start_on(NEW, "1\n");
}

static void start_old(void)
{
	start_on(OLD, "1\n");
}

static void start_off(void)
{
	start_on(NEW, "0\n");
}

static bool autoprobe_is(const char *value)
{
	_cleanup_free_ char *now = tree_read(bed.host->fd, "sys/bus/pci/drivers_autoprobe");

	return streq0(now, value);
}

static bool file_is_there(void)
{
	return tree_exists(bed.host->fd, "run/probing");
}

/* A process of this bed's daemon, or of one before, by its name; 0: none. */
static pid_t process_named(const char *name)
{
	int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_strv_ char **pids = tree_list(proc, ".");
	pid_t found = 0;

	STRV_FOREACH (pid, pids) {
		_cleanup_free_ char *comm = NULL, *mine = NULL, *text = NULL;
		size_t size = 0;

		if ((*pid)[0] < '0' || (*pid)[0] > '9' ||
		    !(comm = tree_read(proc, "%s/comm", *pid)) || !streq(comm, name))
			continue;
		mine = mock_asprintf("%s/environ", *pid);
		if (file_read_at(proc, mine, 1 << 20, &text, &size) == 0 &&
		    memmem(text, size, bed.host->root, strlen(bed.host->root)))
			found = (pid_t)atoi(*pid);
	}
	close(proc);
	return found;
}

static bool keeper_is_there(void)
{
	return process_named("vfiod-keeper") > 0;
}

static void stop(void)
{
	client_free(alice);
	client_free(root);
	ck_assert(!daemon_said("Sanitizer"));
	if (bed.daemon > 0)
		ck_assert_int_eq(daemon_stop(), 0);
	/* Whatever the test was about: this is how it ends. */
	UNTIL(!file_is_there() && !keeper_is_there());
	bed_stop();
}

static void hot_add(const char *name, int group, unsigned int device)
{
	mock_pci_add(bed.host, name, .vendor = 0x8086, .device = device, .class_code = 0x020000,
		     .group = group, .iommu = "dmar0", .numa_node = -1);
	mk_first_probe(bed.host->fd, "pci", name);
}

static bool is_on(const char *device, const char *driver, const char *override)
{
	_cleanup_free_ char *d = host_driver(device), *o = host_override(device);

	return streq(d, driver) && streq(o, override);
}

/* Where in the mocked kernel's log a line begins so: 0: nowhere. */
static size_t place_of(const char *line)
{
	_cleanup_free_ char *log = tree_read(bed.host->fd, "log");

	for (const char *l = log; l && *l; l = strchrnul(l, '\n'), l += *l == '\n')
		if (strncmp(l, line, strlen(line)) == 0)
			return (size_t)(l - log) + 1;
	return 0;
}

static size_t count_of(const char *line)
{
	_cleanup_free_ char *log = tree_read(bed.host->fd, "log");
	size_t n = 0;

	for (const char *l = log; l && *l; l = strchrnul(l, '\n'), l += *l == '\n')
		n += strncmp(l, line, strlen(line)) == 0;
	return n;
}

static void forget_log(void)
{
	tree_write(bed.host->fd, "", "log");
}

static size_t said(const char *text)
{
	_cleanup_free_ char *path = mock_asprintf("%s/log", bed.dir), *log = NULL;
	size_t n = 0;

	if (file_read_at(AT_FDCWD, path, 1 << 26, &log, NULL) < 0)
		return 0;
	for (const char *p = log; (p = strstr(p, text)); p++)
		n++;
	return n;
}

static struct claim claim_pair(bool persist)
{
	struct ask ask = {
		.devices = { NIC_A }, .withhold = { NIC_B }, .persist = persist, .name = "pair"
	};
	struct claim claim = acquire_ask(alice, &ask);

	ck_claimed(claim);
	ck_assert(autoprobe_is("0"));
	return claim;
}

static void end_lease(const struct claim *claim)
{
	ck_assert_str_eq(release(root, claim->lease), "");
	UNTIL(lease_gone(root, claim->lease));
}

static void let_go(const struct claim *claim)
{
	end_lease(claim);
	UNTIL(!file_is_there() && !keeper_is_there());
	ck_assert(autoprobe_is("1"));
}

/* kill -9, and the bus has noticed. */
static void kill_daemon(void)
{
	sd_bus_creds *creds = NULL;

	daemon_kill();
	while (sd_bus_get_name_creds(alice->bus, VFIOD_NAME, 0, &creds) >= 0) {
		creds = sd_bus_creds_unref(creds);
		bed_turn();
	}
}

static int unfence(void)
{
	const char *build = getenv("top_builddir") ?: ".";
	_cleanup_free_ char *program = mock_asprintf("%s/tests/bus/vfiod-mock", build);
	_cleanup_free_ char *log = mock_asprintf("%s/log", bed.dir);
	int status = -1;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		int fd = open(log, O_WRONLY | O_APPEND);

		dup2(fd, 1);
		dup2(fd, 2);
		setenv("VFIOD_MOCK_ROOT", bed.host->root, 1);
		unsetenv("JOURNAL_STREAM");
		execl(program, "vfiod-mock", "--unfence", NULL);
		_exit(127);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* ---- while all is well */

START_TEST(switched_before_the_swap)
{
	_cleanup_claim_ struct claim claim = { 0 };

	ck_assert(!keeper_is_there());
	claim = claim_pair(false);
	ck_assert(file_is_there());
	/* Its name comes a moment after it. */
	UNTIL(keeper_is_there());
	ck_assert_uint_gt(place_of("STORE pci/drivers_autoprobe 0 0"), 0);
	ck_assert_uint_lt(place_of("STORE pci/drivers_autoprobe 0 0"), place_of("OVERRIDE"));
	let_go(&claim);
	ck_assert_uint_lt(place_of("OVERRIDE " NIC_B), place_of("STORE pci/drivers_autoprobe 1 0"));
	ck_assert(is_on(NIC_A, "e1000", "") && is_on(NIC_B, "e1000", ""));
	ck_assert_uint_eq(count_of("PROBE " BARE), 0);
}
END_TEST

START_TEST(several_leases)
{
	_cleanup_claim_ struct claim one = claim_pair(false), two = { 0 };

	two = acquire(alice, .devices = { NIC });
	ck_claimed(two);
	ck_assert_uint_eq(count_of("STORE pci/drivers_autoprobe"), 1);
	end_lease(&one);
	bed_sleep(200000);
	ck_assert(autoprobe_is("0"));
	let_go(&two);
	/* Again and again, one right behind the other. */
	for (int i = 0; i < 10; i++) {
		_cleanup_claim_ struct claim claim = claim_pair(false);

		end_lease(&claim);
	}
	UNTIL(autoprobe_is("1"));
}
END_TEST

START_TEST(leased_group)
{
	_cleanup_claim_ struct claim claim = claim_pair(false);

	hot_add(COMER, 2, 0x100e);
	UNTIL(daemon_said(COMER " came to a group of lease"));
	ck_assert(daemon_said("never-probed"));
	ck_assert(is_on(COMER, "", "none"));
	bed_sleep(500000);
	ck_assert(is_on(COMER, "", "none"));
	ck_assert_uint_eq(count_of("UNBIND " COMER), 0);
	let_go(&claim);
	UNTIL(is_on(COMER, "e1000", ""));
}
END_TEST

START_TEST(elsewhere)
{
	_cleanup_claim_ struct claim claim = claim_pair(false);

	hot_add(ELSEWHERE, 20, 0x100e);
	UNTIL(is_on(ELSEWHERE, "e1000", ""));
	ck_assert_uint_gt(place_of("PROBE " ELSEWHERE), 0);
	UNTIL(process_named("vfiod-probe") == 0);
	/* Removed, and another one at its address. */
	mock_device_remove(bed.host, "pci", ELSEWHERE);
	hot_add(ELSEWHERE, 20, 0x10c9);
	UNTIL(is_on(ELSEWHERE, "igb", ""));
	/* One that no driver knows waits for nothing. */
	hot_add(ANOTHER, 21, 0x7777);
	UNTIL(count_of("PROBE " ANOTHER) > 0);
	let_go(&claim);
	ck_assert(is_on(ANOTHER, "", ""));
}
END_TEST

START_TEST(claimed_while_it_waits)
{
	_cleanup_claim_ struct claim claim = claim_pair(false), other = { 0 };

	/* It comes when no udev is there to load its module, and is taken before its probe. */
	tree_rename(bed.host->fd, "uevent", "uevent.away");
	hot_add(ELSEWHERE, 20, 0x100e);
	tree_rename(bed.host->fd, "uevent.away", "uevent");
	{
		_cleanup_free_ char *path = mk_device_path(bed.host->fd, "pci", ELSEWHERE);
		_cleanup_free_ char *line =
			mock_asprintf("kernel add pci " ELSEWHERE " /%s - - 90000", path);

		mk_event_line(bed.host->fd, line);
	}
	UNTIL(streq(call_error(root, VFIOD_ROOT, "Manager", "FindDevice", "s", ELSEWHERE), ""));
	other = acquire(alice, .devices = { ELSEWHERE });
	ck_claimed(other);
	ck_assert(is_on(ELSEWHERE, "vfio-pci", "vfio-pci"));
	end_lease(&other);
	/* It had no driver, and had not had its chance either. */
	UNTIL(is_on(ELSEWHERE, "e1000", ""));
	let_go(&claim);
}
END_TEST

START_TEST(a_probe_hangs)
{
	_cleanup_claim_ struct claim claim = claim_pair(false), other = { 0 };

	tree_write(bed.host->fd, "6000\n", "slow/PROBE/" ELSEWHERE);
	hot_add(ELSEWHERE, 20, 0x100e);
	UNTIL(process_named("vfiod-probe") > 0);
	hot_add(ANOTHER, 21, 0x100e);
	UNTIL(is_on(ANOTHER, "e1000", ""));
	other = acquire(alice, .devices = { NIC });
	ck_claimed(other);
	ck_assert(is_on(ELSEWHERE, "", ""));
	end_lease(&other);
	/* Not even the way back waits for it. */
	let_go(&claim);
	ck_assert(is_on(ELSEWHERE, "", ""));
	UNTIL(is_on(ELSEWHERE, "e1000", ""));
}
END_TEST

START_TEST(a_driver_is_registered)
{
	_cleanup_claim_ struct claim claim = claim_pair(false);
	_cleanup_free_ char *path = mk_device_path(bed.host->fd, "pci", NIC);

	/* Somebody has unbound this one, and wants it so. */
	ck_assert_int_eq(mk_unbind(bed.host->fd, "pci", "e1000e", NIC), 0);
	hot_add(ELSEWHERE, 20, 0x7777);
	hot_add(ANOTHER, 21, 0x7777);
	ck_assert_int_eq(mk_override(bed.host->fd, "pci", ANOTHER, "theirs"), 0);
	hot_add(COMER, 2, 0x7777);
	UNTIL(is_on(COMER, "", "none"));
	mock_driver_add(bed.host, "pci", "late", "id 8086:7777\nid 1af4:1050\n");
	mk_driver_registered(bed.host->fd, "pci", "late");
	UNTIL(is_on(ELSEWHERE, "late", "") && is_on(BARE, "late", ""));
	bed_sleep(1500000);
	ck_assert(is_on(ANOTHER, "", "theirs"));
	ck_assert(is_on(COMER, "", "none"));
	ck_assert(is_on(NIC, "", ""));
	ck_assert_uint_eq(count_of("BIND " COMER), 0);
	/* "udevadm trigger": nothing has come. */
	mk_event(bed.host->fd, "add", "pci", NIC, path, NULL, NULL);
	bed_sleep(500000);
	ck_assert(is_on(NIC, "", ""));
	let_go(&claim);
	ck_assert(is_on(NIC, "", ""));
	UNTIL(is_on(COMER, "late", ""));
}
END_TEST

START_TEST(off_by_will)
{
	_cleanup_claim_ struct claim claim = claim_pair(false);

	hot_add(ELSEWHERE, 20, 0x100e);
	hot_add(COMER, 2, 0x100e);
	UNTIL(is_on(COMER, "", "none"));
	bed_sleep(500000);
	ck_assert(is_on(ELSEWHERE, "", ""));
	if (_i == 0) {
		end_lease(&claim);
		UNTIL(!file_is_there());
		ck_assert(autoprobe_is("0"));
		ck_assert(is_on(ELSEWHERE, "", ""));
		return;
	}
	/* Their will is another now: it counts when the lease is home. */
	mk_store_bus(bed.host->fd, "pci", "drivers_autoprobe", "1");
	UNTIL(daemon_said("Somebody else wrote 1"));
	UNTIL(autoprobe_is("0"));
	let_go(&claim);
}
END_TEST

START_TEST(others_switch_it)
{
	_cleanup_claim_ struct claim claim = claim_pair(false);

	mk_store_bus(bed.host->fd, "pci", "drivers_autoprobe", "1");
	UNTIL(daemon_said("Somebody else wrote 1"));
	UNTIL(autoprobe_is("0"));
	hot_add(COMER, 2, 0x100e);
	UNTIL(is_on(COMER, "", "none"));
	/* Again and again: they win, for a while, and it is said. */
	for (int i = 0; i < 20 && !daemon_said("again and again"); i++) {
		mk_store_bus(bed.host->fd, "pci", "drivers_autoprobe", "1");
		UNTIL(autoprobe_is("0") || daemon_said("again and again"));
	}
	ck_assert(daemon_said("again and again"));
	/* A claim asks for it, and gets it. */
	{
		_cleanup_claim_ struct claim other = acquire(alice, .devices = { NIC });

		ck_claimed(other);
		ck_assert(autoprobe_is("0"));
		end_lease(&other);
	}
	let_go(&claim);
}
END_TEST

static void reload(void)
{
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Reload", NULL), "");
}

START_TEST(another_policy)
{
	_cleanup_claim_ struct claim claim = claim_pair(false);

	hot_add(COMER, 2, 0x100e);
	UNTIL(is_on(COMER, "", "none"));
	bed_policy("60-hotplug.json", NULL);
	reload();
	UNTIL(autoprobe_is("1") && !file_is_there() && !keeper_is_there());
	ck_assert(is_on(COMER, "", "none"));
	bed_policy("60-hotplug.json", broker);
	reload();
	UNTIL(autoprobe_is("0"));
	/* A broken one leaves the old one in force. */
	bed_policy("60-hotplug.json", "{ \"version\": 1, \"hotplug\": { \"probe\": \"me\" } }");
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Reload", NULL), "PolicyInvalid");
	bed_sleep(200000);
	ck_assert(autoprobe_is("0"));
	let_go(&claim);
}
END_TEST

START_TEST(old_kernel)
{
	_cleanup_free_ char *features = property(root, VFIOD_ROOT, "Manager", "Features");
	struct claim claim = acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B });

	ck_assert_ptr_nonnull(strstr(features, "fence-reaction"));
	ck_assert_ptr_null(strstr(features, "fence-probing"));
	ck_claimed(claim);
	reload();
	reload();
	ck_assert_uint_eq(said("this kernel probes them"), 1);
	ck_assert_uint_eq(count_of("STORE pci/drivers_autoprobe"), 0);
	ck_assert(autoprobe_is("1") && !keeper_is_there() && !file_is_there());
	/* The driver is faster, or not: it does not keep it. */
	hot_add(COMER, 2, 0x100e);
	UNTIL(is_on(COMER, "", "none"));
	hot_add(ELSEWHERE, 20, 0x100e);
	ck_assert(is_on(ELSEWHERE, "e1000", ""));
	let_go(&claim);
	claim_done(&claim);
}
END_TEST

START_TEST(features)
{
	_cleanup_free_ char *f = property(root, VFIOD_ROOT, "Manager", "Features");

	ck_assert_ptr_nonnull(strstr(f, "fence-probing"));
	ck_assert_ptr_nonnull(strstr(f, "fence-vf-switch"));
}
END_TEST

/* ---- what fails */

START_TEST(cannot_switch)
{
	_cleanup_free_ char *before = host_picture(), *after = NULL;
	_cleanup_claim_ struct claim claim = { 0 }, again = { 0 };

	if (_i == 0)
		mock_fail(bed.host, "STORE", "drivers_autoprobe", EIO, 1);
	else if (_i == 1)
		mock_fail(bed.host, "STORE", "drivers_autoprobe", 0, 1);
	else
		tree_mkdir(bed.host->fd, "run/.probing.tmp");
	claim = acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B });
	ck_refused(claim, "DriverFailed");
	ck_assert(daemon_said("could not be taken over"));
	UNTIL(autoprobe_is("1"));
	tree_remove(bed.host->fd, "run/.probing.tmp");
	again = claim_pair(false);
	let_go(&again);
	after = host_picture();
	ck_same(before, after);
}
END_TEST

START_TEST(cannot_give_back)
{
	_cleanup_claim_ struct claim claim = claim_pair(false);

	hot_add(ELSEWHERE, 20, 0x100e);
	UNTIL(is_on(ELSEWHERE, "e1000", ""));
	mock_fail(bed.host, "STORE", "drivers_autoprobe", EIO, 1);
	end_lease(&claim);
	UNTIL(daemon_said("could not be put back"));
	ck_assert(autoprobe_is("0") && file_is_there() && keeper_is_there());
	/* What comes meanwhile is the daemon's still. */
	hot_add(ANOTHER, 21, 0x100e);
	UNTIL(is_on(ANOTHER, "e1000", ""));
	if (_i == 1) {
		_cleanup_claim_ struct claim again = claim_pair(false);

		/* And who else writes is noticed as before. */
		mk_store_bus(bed.host->fd, "pci", "drivers_autoprobe", "1");
		UNTIL(daemon_said("Somebody else wrote 1"));
		UNTIL(autoprobe_is("0"));
		end_lease(&again);
	}
	UNTIL(autoprobe_is("1"));
}
END_TEST

/* The kernel probes already, and that is not over: a claim before the next try has it taken. */
START_TEST(half_given_back)
{
	_cleanup_claim_ struct claim claim = claim_pair(false), again = { 0 };
	int fd = bed.host->fd;

	tree_write(fd, "2000\n", "slow/STORE/drivers_autoprobe");
	end_lease(&claim);
	UNTIL(process_named("vfiod-switch") > 0);
	/* What cannot be removed. */
	tree_mkdir(fd, "run/aside");
	ck_assert_int_eq(renameat2(fd, "run/aside", fd, "run/probing", RENAME_EXCHANGE), 0);
	UNTIL(daemon_said("could not be put back"));
	ck_assert(autoprobe_is("1"));
	ck_assert_int_eq(renameat2(fd, "run/aside", fd, "run/probing", RENAME_EXCHANGE), 0);
	tree_remove(fd, "run/aside");
	tree_remove(fd, "slow");
	again = claim_pair(false);
	let_go(&again);
}
END_TEST

/* ---- however the daemon goes */

/* A device waits in a leased group, and one elsewhere, when nobody is there to see. */
static void two_come(void)
{
	forget_log();
	hot_add(COMER, 2, 0x100e);
	hot_add(ELSEWHERE, 20, 0x100e);
	ck_assert(is_on(COMER, "", "") && is_on(ELSEWHERE, "", ""));
}

static void ck_put_right(void)
{
	ck_assert(autoprobe_is("1"));
	ck_assert(is_on(COMER, "", "none"));
	ck_assert(is_on(ELSEWHERE, "e1000", ""));
	ck_assert_uint_lt(place_of("OVERRIDE " COMER " none"), place_of("PROBE " ELSEWHERE));
	ck_assert_uint_lt(place_of("PROBE " ELSEWHERE), place_of("STORE pci/drivers_autoprobe 1"));
	/* Nobody else was touched. */
	ck_assert_uint_eq(count_of("OVERRIDE"), 1);
	ck_assert_uint_eq(count_of("PROBE"), 1);
}

/* It is taken up again, and comes to the usual end. */
static void ck_goes_on(const struct claim *claim)
{
	UNTIL(autoprobe_is("0"));
	UNTIL(property_is(root, claim->lease, "Lease", "State", "leased"));
	UNTIL(daemon_said(COMER " came to a group of lease"));
	ck_assert(is_on(COMER, "", "none") && is_on(NIC_A, "vfio-pci", "vfio-pci"));
	let_go(claim);
	UNTIL(is_on(COMER, "e1000", "") && is_on(NIC_A, "e1000", ""));
}

/* 0: kill -9; 1: stop; 2: it is up again before the keeper gets to act */
START_TEST(the_keeper)
{
	_cleanup_claim_ struct claim claim = claim_pair(true);
	pid_t keeper;

	UNTIL((keeper = process_named("vfiod-keeper")) > 0);
	kill(keeper, SIGSTOP);
	if (_i == 1)
		ck_assert_int_eq(daemon_stop(), 0);
	else
		kill_daemon();
	two_come();
	if (_i == 2) {
		daemon_start();
		UNTIL(is_on(COMER, "", "none") && is_on(ELSEWHERE, "e1000", ""));
		kill(keeper, SIGCONT);
		UNTIL(kill(keeper, 0) < 0 || process_named("vfiod-keeper") != keeper);
		bed_sleep(200000);
		ck_assert(autoprobe_is("0"));
		ck_goes_on(&claim);
		return;
	}
	kill(keeper, SIGCONT);
	UNTIL(!file_is_there() && !keeper_is_there());
	ck_put_right();
	/* The second net finds nothing to do. */
	ck_assert_int_eq(unfence(), 0);
	ck_put_right();
	daemon_start();
	ck_goes_on(&claim);
}
END_TEST

/* Asked to end, as the unit would without its KillMode=, it does its work first. */
START_TEST(the_keeper_is_asked_to_end)
{
	_cleanup_claim_ struct claim claim = claim_pair(true);
	pid_t keeper;

	UNTIL((keeper = process_named("vfiod-keeper")) > 0);
	kill(keeper, SIGTERM);
	kill(keeper, SIGINT);
	kill(keeper, SIGHUP);
	bed_sleep(200000);
	ck_assert_int_eq(process_named("vfiod-keeper"), keeper);
	ck_assert(autoprobe_is("0"));
	kill_daemon();
	kill(keeper, SIGTERM);
	UNTIL(autoprobe_is("1") && !file_is_there());
	daemon_start();
	let_go(&claim);
}
END_TEST

START_TEST(the_keeper_is_killed)
{
	_cleanup_claim_ struct claim claim = claim_pair(true);
	pid_t first, second = 0;

	UNTIL((first = process_named("vfiod-keeper")) > 0);
	kill(first, SIGKILL);
	UNTIL((second = process_named("vfiod-keeper")) > 0 && second != first);
	ck_assert(autoprobe_is("0"));
	kill_daemon();
	UNTIL(autoprobe_is("1") && !file_is_there());
	daemon_start();
	UNTIL(autoprobe_is("0"));
	let_go(&claim);
}
END_TEST

static void kill_all(void)
{
	pid_t keeper;

	UNTIL((keeper = process_named("vfiod-keeper")) > 0);
	/* Not the daemon first: the keeper would act; nor it alone: another would come. */
	kill(bed.daemon, SIGSTOP);
	kill(keeper, SIGKILL);
	kill_daemon();
	UNTIL(!keeper_is_there());
	ck_assert(autoprobe_is("0") && file_is_there());
}

/* 0: ExecStopPost= comes; 1: not even that, but the daemon is started again */
START_TEST(all_are_killed)
{
	_cleanup_claim_ struct claim claim = claim_pair(true);

	kill_all();
	two_come();
	if (_i == 0) {
		ck_assert_int_eq(unfence(), 0);
		ck_put_right();
		ck_assert(!file_is_there());
		ck_assert_int_eq(unfence(), 0);
		ck_put_right();
	}
	daemon_start();
	UNTIL(is_on(ELSEWHERE, "e1000", ""));
	ck_goes_on(&claim);
}
END_TEST

/* The next daemon's policy is another, or there is none: it gives back what is not its own. */
START_TEST(another_policy_after_a_crash)
{
	_cleanup_claim_ struct claim claim = claim_pair(true);

	kill_all();
	two_come();
	bed_policy("60-hotplug.json", _i == 0 ? NULL : "{");
	daemon_start();
	UNTIL(autoprobe_is("1") && !file_is_there());
	UNTIL(is_on(COMER, "", "none"));
	ck_assert(is_on(ELSEWHERE, "e1000", ""));
	end_lease(&claim);
}
END_TEST

START_TEST(a_daemon_lives)
{
	_cleanup_claim_ struct claim claim = claim_pair(false);

	ck_assert_int_eq(unfence(), 0);
	ck_assert(daemon_said("vfiod is running"));
	ck_assert(autoprobe_is("0") && file_is_there());
	let_go(&claim);
}
END_TEST

/* Journals that make no sense: what they name is shut off, or, if they name nothing, all. */
START_TEST(bad_journals)
{
	_cleanup_claim_ struct claim claim = claim_pair(true);

	kill_all();
	tree_write(bed.host->fd,
		   _i == 0 ? "{ \"groups\": [ { \"id\": 20 } ], what?" : "it was not me",
		   "run/leases/00112233445566aa.json");
	two_come();
	hot_add(ANOTHER, 21, 0x100e);
	ck_assert_int_eq(unfence(), 0);
	ck_assert(daemon_said("cannot be understood"));
	ck_assert(autoprobe_is("1") && !file_is_there());
	ck_assert(is_on(COMER, "", "none") && is_on(ELSEWHERE, "", "none"));
	ck_assert(is_on(ANOTHER, _i == 0 ? "e1000" : "", _i == 0 ? "" : "none"));
	tree_remove(bed.host->fd, "run/leases/00112233445566aa.json");
	daemon_start();
	let_go(&claim);
}
END_TEST

/* Its own file makes no sense: nothing is probed that somebody may have unbound. */
START_TEST(bad_file)
{
	static const char *const texts[] = { "", "vfiod-probing 9\nprior 1\n", "vfiod-probing 1\n",
					     "vfiod-probing 1\nprior 1\nknown ../.. 7\n",
					     "vfiod-probing 1\nprior 2\n" };
	_cleanup_claim_ struct claim claim = claim_pair(true);

	kill_all();
	two_come();
	tree_write(bed.host->fd, texts[_i], "run/probing");
	ck_assert_int_eq(unfence(), 0);
	ck_assert(daemon_said("makes no sense"));
	ck_assert(autoprobe_is("1") && !file_is_there());
	ck_assert(is_on(COMER, "", "none") && is_on(ELSEWHERE, "", ""));
	ck_assert_uint_eq(count_of("PROBE"), 0);
	daemon_start();
	let_go(&claim);
}
END_TEST

/* A probe that hangs does not keep the kernel from probing again, nor the next daemon. */
START_TEST(a_probe_hangs_afterwards)
{
	_cleanup_claim_ struct claim claim = claim_pair(true);

	kill_all();
	two_come();
	tree_write(bed.host->fd, "9000\n", "slow/PROBE/" ELSEWHERE);
	hot_add(ANOTHER, 21, 0x100e);
	ck_assert_int_eq(unfence(), 0);
	ck_assert(autoprobe_is("1") && !file_is_there());
	ck_assert(is_on(COMER, "", "none") && is_on(ANOTHER, "e1000", ""));
	ck_assert(is_on(ELSEWHERE, "", ""));
	tree_remove(bed.host->fd, "slow");
	daemon_start();
	UNTIL(autoprobe_is("0"));
	UNTIL(is_on(ELSEWHERE, "e1000", ""));
	let_go(&claim);
}
END_TEST

/* Killed before and after each write of the switch: the end is the same. */
START_TEST(killed_in_the_middle)
{
	_cleanup_free_ char *before = host_picture(), *after = NULL;
	static const char *const points[] = { "CLAIM_JOURNALED", "CLAIM_WORKING", "CLAIM_SWAPPED",
					      "CLAIM_LEASED", "CLAIM_REPLIED" };
	_cleanup_free_ char *faults = mock_asprintf("%s/faults", bed.dir);
	struct pending *pending;

	ck_assert_int_eq(mkdir(faults, 0755), 0);
	setenv("VFIOD_FAULTS", faults, 1);
	ck_assert_int_eq(daemon_stop(), 0);
	daemon_start();
	{
		int dir = open(bed.dir, O_RDONLY | O_DIRECTORY);

		tree_write(dir, "daemon 0\n", "faults/%s", points[_i]);
		close(dir);
	}
	pending = acquire_start(alice, &(struct ask){ .devices = { NIC } });
	ck_assert(WIFSIGNALED(daemon_wait()));
	pending = call_drop(pending);
	UNTIL(autoprobe_is("1") && !file_is_there() && !keeper_is_there());
	/* If it is leased, nobody holds it. */
	alice = client_free(alice);
	daemon_start();
	UNTIL(is_on(NIC, "e1000e", "") && autoprobe_is("1") && !file_is_there());
	after = host_picture();
	/* Of a lease there may be a file for a moment yet. */
	UNTIL((free(after), after = host_picture(), streq(before, after)));
	unsetenv("VFIOD_FAULTS");
}
END_TEST

/* The daemon dies while its process switches, on the way there (0) or back (1). */
START_TEST(killed_while_it_switches)
{
	_cleanup_free_ char *before = host_picture(), *after = NULL;
	_cleanup_claim_ struct claim claim = { 0 };
	struct pending *pending = NULL;

	if (_i == 1)
		claim = claim_pair(false);
	tree_write(bed.host->fd, "700\n", "slow/STORE/drivers_autoprobe");
	if (_i == 0)
		pending = acquire_start(alice, &(struct ask){ .devices = { NIC } });
	else
		end_lease(&claim);
	UNTIL(process_named("vfiod-switch") > 0);
	kill_daemon();
	pending = call_drop(pending);
	UNTIL(process_named("vfiod-switch") == 0 && !keeper_is_there());
	ck_assert(autoprobe_is("1") && !file_is_there());
	tree_remove(bed.host->fd, "slow");
	daemon_start();
	UNTIL((free(after), after = host_picture(), streq(before, after)));
}
END_TEST

/* The process that switches dies: it is tried again, or the claim is refused. */
START_TEST(the_switching_dies)
{
	_cleanup_claim_ struct claim claim = { 0 }, again = { 0 };

	if (_i == 0) {
		mock_kill_after(bed.host, "STORE", "drivers_autoprobe", 0);
		claim = acquire(alice, .devices = { NIC });
		ck_refused(claim, "DriverFailed");
		UNTIL(is_on(NIC, "e1000e", ""));
	}
	again = claim_pair(false);
	if (_i == 1)
		mock_kill_after(bed.host, "STORE", "drivers_autoprobe", 0);
	let_go(&again);
}
END_TEST

#define CASE(fixture, test, n) bed_test(suite, fixture, stop, test, n)

int main(void)
{
	Suite *suite = suite_create("probing");

	CASE(start, switched_before_the_swap, 1);
	CASE(start, several_leases, 1);
	CASE(start, leased_group, 1);
	CASE(start, elsewhere, 1);
	CASE(start, claimed_while_it_waits, 1);
	CASE(start, a_probe_hangs, 1);
	CASE(start, a_driver_is_registered, 1);
	CASE(start_off, off_by_will, 2);
	CASE(start, others_switch_it, 1);
	CASE(start, another_policy, 1);
	CASE(start_old, old_kernel, 1);
	CASE(start, features, 1);
	CASE(start, cannot_switch, 3);
	CASE(start, cannot_give_back, 2);
	CASE(start, half_given_back, 1);
	CASE(start, the_keeper, 3);
	CASE(start, the_keeper_is_asked_to_end, 1);
	CASE(start, the_keeper_is_killed, 1);
	CASE(start, all_are_killed, 2);
	CASE(start, another_policy_after_a_crash, 2);
	CASE(start, a_daemon_lives, 1);
	CASE(start, bad_journals, 2);
	CASE(start, bad_file, 5);
	CASE(start, a_probe_hangs_afterwards, 1);
	CASE(start, killed_in_the_middle, 5);
	CASE(start, killed_while_it_switches, 2);
	CASE(start, the_switching_dies, 2);
	return bed_main(suite, true);
}
