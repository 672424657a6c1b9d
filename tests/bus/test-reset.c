/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Lease.Reset: done by the kernel's means, only to what the lease has or nobody has, with
 * everything that is reached reserved meanwhile; and what Device and Explain say of resets
 * beforehand.
 *
 *   PORT   a root port with FN_A and FN_B, one group
 *   PORT2  a root port with APART_A and APART_B, a group each
 */

#include "tests/bus/picture.h"

#include <fcntl.h>
#include <stdio.h>

#define PORT	"0000:00:1c.0"
#define FN_A	"0000:1c:00.0"
#define FN_B	"0000:1c:00.1"
#define PORT2	"0000:00:1d.0"
#define APART_A "0000:1d:00.0"
#define APART_B "0000:1d:00.1"

#define DID_FUNCTION "STORE " FN_A "/reset 1"
#define DID_BUS	     "STORE " PORT "/reset_subordinate 1"
#define DID_BUS2     "STORE " PORT2 "/reset_subordinate 1"

#define PATH(name) DEVICE_PATH "pci_0000_" name
#define GROUP(id)  "/org/vfiod1/group/" id

static struct client *alice, *bob, *root;
static char *before;

static void add(const char *name, const char *parent, int group, const char *reset)
{
	_cleanup_free_ char *above = parent ? mock_asprintf("pci0000:00/%s", parent) : NULL;
	_cleanup_free_ char *path = NULL;

	if (parent)
		mock_pci_add(bed.host, name, .vendor = 0x8086, .device = 0x10d3,
			     .class_code = 0x120000, .group = group, .iommu = "dmar0",
			     .driver = "e1000e", .numa_node = -1, .parent = above, .reset = reset);
	else
		mock_pci_add(bed.host, name, .vendor = 0x8086, .device = 0x1234,
			     .class_code = 0x060400, .group = group, .iommu = "dmar0",
			     .driver = "pcieport", .numa_node = -1);
	path = mk_device_path(bed.host->fd, "pci", name);
	if (parent && reset)
		tree_write(bed.host->fd, "", "%s/reset", path);
	if (!parent)
		tree_write(bed.host->fd, "", "%s/reset_subordinate", path);
}

static void policy(const char *verbs)
{
	_cleanup_free_ char *text =
		mock_asprintf("{ \"version\": 1, \"rules\": [ { \"id\": \"first\",\n"
			      "\"subjects\": [ { \"users\": [%u, %u] } ], \"devices\": [ { "
			      "\"address\": \"*\" } ],"
			      "\"modes\": [\"cdev\", \"group\", \"node\"], \"consent\": { "
			      "\"drivers\": [\"*\"] },\n"
			      "\"allow\": [%s] } ] }\n",
			      ALICE, BOB, verbs);

	bed_policy("10-first.json", text);
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Reload", NULL), "");
}

static void setup(void)
{
	bed_start();
	add(PORT, NULL, 60, NULL);
	add(FN_A, PORT, 61, "flr");
	add(FN_B, PORT, 61, NULL);
	add(PORT2, NULL, 62, NULL);
	add(APART_A, PORT2, 63, "flr");
	add(APART_B, PORT2, 64, NULL);
	alice = client_new(ALICE);
	bob = client_new(BOB);
	root = client_new(0);
	policy("\"acquire\", \"withhold\", \"persist\", \"reset\"");
	UNTIL(property_is(root, DEVICE_PATH "pci_0000_1d_00_1", "Device", "Driver", "e1000e"));
	before = host_picture();
}

static void teardown(void)
{
	client_free(alice);
	client_free(bob);
	client_free(root);
	free(before);
	bed_stop();
}

static bool is_home(void)
{
	_cleanup_free_ char *now = host_picture();

	return streq(before, now);
}

/* ---- calls */

static struct pending *reset_start(struct client *client, const char *lease, const char *a,
				   const char *b, const char *kind)
{
	const char *devices[] = { a, b, NULL };
	sd_bus_message *m = call_new(client, lease, "Lease", "Reset");

	ck_assert_int_ge(sd_bus_message_append_strv(m, (char **)devices), 0);
	ck_assert_int_ge(sd_bus_message_append(m, "s", kind), 0);
	return call_send(client, m);
}

static char message[1024];

static const char *reset_wait(struct pending *pending)
{
	static char name[128];
	sd_bus_message *reply = call_wait(pending);

	snprintf(name, sizeof(name), "%s", error_of(reply));
	snprintf(message, sizeof(message), "%s", message_of(reply) ? message_of(reply) : "");
	sd_bus_message_unref(reply);
	return name;
}

static const char *reset(struct client *client, const char *lease, const char *device,
			 const char *kind)
{
	return reset_wait(reset_start(client, lease, device, NULL, kind));
}

#define ck_message(part) \
	ck_assert_msg(strstr(message, part) != NULL, "no \"%s\" in: %s", part, message)

static size_t times_done(const char *line)
{
	_cleanup_free_ char *log = tree_read(bed.host->fd, "log");
	size_t n = 0;

	for (const char *at = log; at && (at = strstr(at, line)); at++)
		n++;
	return n;
}

/* What would be answered to alice. */
static char *explained(const struct ask *ask)
{
	sd_bus_message *reply = call_wait(call_send(alice, ask_message(alice, "Explain", ask)));
	char *text;

	ck_assert_str_eq(error_of(reply), "");
	text = value_text(reply);
	sd_bus_message_unref(reply);
	return text;
}

/* ---- done */

START_TEST(kinds)
{
	static const char *const modes[] = { "cdev", "group", "node" };
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { FN_A, FN_B }, .mode = modes[_i]);

	ck_claimed(claim);
	ck_assert_str_eq(reset(alice, claim.lease, FN_A, "function"), "");
	ck_assert_uint_eq(times_done(DID_FUNCTION), 1);
	ck_assert_uint_eq(times_done(DID_BUS), 0);
	ck_assert_str_eq(reset(alice, claim.lease, FN_A, "slot"), "");
	ck_assert_uint_eq(times_done(DID_BUS), 1);
	ck_assert_str_eq(reset(alice, claim.lease, FN_B, "bus"), "");
	ck_assert_uint_eq(times_done(DID_BUS), 2);
	/* The least that there is. */
	ck_assert_str_eq(reset(alice, claim.lease, FN_A, "auto"), "");
	ck_assert_uint_eq(times_done(DID_FUNCTION), 2);
	ck_assert_str_eq(reset(alice, claim.lease, FN_B, "auto"), "");
	ck_assert_uint_eq(times_done(DID_BUS), 3);
	/* Both functions of one bus: once. */
	ck_assert_str_eq(reset_wait(reset_start(alice, claim.lease, FN_A, FN_B, "bus")), "");
	ck_assert_uint_eq(times_done(DID_BUS), 4);
	ck_assert_uint_eq(times_done(DID_FUNCTION), 2);
	ck_property(root, claim.lease, "Lease", "State", "leased");
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	ck_assert(is_home());
}
END_TEST

/* Root may reset what another has, and needs no verb. */
START_TEST(by_root)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { FN_A, FN_B });

	ck_claimed(claim);
	policy("\"acquire\", \"withhold\"");
	if (geteuid() == 0) {
		ck_assert_str_eq(reset(alice, claim.lease, FN_A, "function"), "NotPermitted");
		ck_message("first");
	}
	ck_assert_str_eq(reset(root, claim.lease, FN_A, "bus"), "");
	ck_assert_uint_eq(times_done(DID_BUS), 1);
}
END_TEST

/* A sibling that is kept shut belongs to the lease; it stays shut. */
START_TEST(with_withheld)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { FN_A }, .withhold = { FN_B }, .mode = "group");

	ck_claimed(claim);
	ck_assert_str_eq(reset(alice, claim.lease, FN_A, "bus"), "");
	ck_assert_uint_eq(times_done(DID_BUS), 1);
	ck_driver(FN_B, "");
	ck_assert_str_eq(reset(alice, claim.lease, FN_B, "bus"), "NoSuchDevice");
}
END_TEST

/* ---- refused */

START_TEST(not_owned)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { APART_A });

	ck_claimed(claim);
	ck_assert_str_eq(reset(alice, claim.lease, APART_A, "bus"), "ResetNotOwned");
	ck_message(APART_B " (group 64: the host has it, on e1000e)");
	ck_assert(!strstr(message, APART_A " (group"));
	ck_assert_str_eq(reset(alice, claim.lease, APART_A, "slot"), "ResetNotOwned");
	/* What reaches no further can be had. */
	ck_assert_str_eq(reset(alice, claim.lease, APART_A, "function"), "");
	ck_assert_str_eq(reset(alice, claim.lease, APART_A, "auto"), "");
	{
		_cleanup_claim_ struct claim other =
			acquire(bob, .devices = { APART_B }, .name = "vm2");

		ck_claimed(other);
		ck_assert_str_eq(reset(alice, claim.lease, APART_A, "bus"), "ResetNotOwned");
		ck_message(APART_B " (group 64: lease vm2 of user ");
		/* It has no method of its own, so the least is the bus. */
		ck_assert_str_eq(reset(bob, other.lease, APART_B, "auto"), "ResetNotOwned");
		ck_message(APART_A " (group 63: lease ");
		mock_hold(bed.host, APART_B, true);
		ck_assert_str_eq(release(bob, other.lease), "");
		UNTIL(property_is(root, other.lease, "Lease", "State", "draining"));
		ck_assert_str_eq(reset(alice, claim.lease, APART_A, "bus"), "ResetNotOwned");
		ck_message("draining");
		mock_hold(bed.host, APART_B, false);
		UNTIL(lease_gone(root, other.lease));
	}
	ck_assert_uint_eq(times_done(DID_BUS2), 0);
	/* Driverless and unowned: nobody minds. */
	ck_assert_int_eq(mk_unbind(bed.host->fd, "pci", "e1000e", APART_B), 0);
	UNTIL(property_is(root, DEVICE_PATH "pci_0000_1d_00_1", "Device", "Driver", ""));
	ck_assert_str_eq(reset(alice, claim.lease, APART_A, "bus"), "");
	ck_assert_uint_eq(times_done(DID_BUS2), 1);
}
END_TEST

START_TEST(unsupported)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { FN_A, FN_B, NIC });
	_cleanup_free_ char *path = mk_device_path(bed.host->fd, "pci", PORT), *text = NULL;

	ck_claimed(claim);
	/* No method; a root bus; an older kernel. */
	ck_assert_str_eq(reset(alice, claim.lease, FN_B, "function"), "ModeUnsupported");
	ck_assert_str_eq(reset(alice, claim.lease, NIC, "bus"), "ModeUnsupported");
	ck_message("root bus");
	tree_remove(bed.host->fd, "%s/reset_subordinate", path);
	ck_assert_str_eq(reset(alice, claim.lease, FN_A, "slot"), "ModeUnsupported");
	ck_message("reset_subordinate");
	ck_message("ask for another kind");
	ck_assert_str_eq(reset(alice, claim.lease, FN_B, "auto"), "ModeUnsupported");
	ck_assert_str_eq(reset(alice, claim.lease, FN_A, "auto"), "");
	ck_assert_uint_eq(times_done(DID_BUS), 0);
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	/* Which is said beforehand. */
	text = explained(&(struct ask){ .devices = { FN_A, FN_B } });
	ck_assert_msg(strstr(text, PATH("1c_00_0") ", function, both, )") != NULL, "%s", text);
	ck_assert_msg(strstr(text, PATH("1c_00_0") ", bus, vmm, not by vfiod: this kernel") != NULL,
		      "%s", text);
}
END_TEST

/* pciehp watches the port from now on: a service of it, as the kernel makes them. */
static void watch_slot(const char *port, bool on)
{
	_cleanup_free_ char *path = mk_device_path(bed.host->fd, "pci", port);

	if (on)
		tree_link(bed.host->fd, "../../../../bus/pci_express/drivers/pciehp",
			  "%s/%s:pcie404/driver", path, port);
	else
		tree_remove(bed.host->fd, "%s/%s:pcie404/driver", path, port);
}

/*
 * Before Linux 7.1 pciehp would take the reset of a bus for a removal, and remove what a VMM has
 * open, with the rescan lock held.
 */
START_TEST(hotplug_port)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { FN_A, FN_B });
	_cleanup_free_ char *path = mk_device_path(bed.host->fd, "pci", PORT), *text = NULL;

	ck_claimed(claim);
	tree_link(bed.host->fd, "../../../../bus/pci_express/drivers/aer", "%s/%s:pcie402/driver",
		  path, PORT);
	ck_assert_str_eq(reset(alice, claim.lease, FN_A, "bus"), "");
	ck_assert_uint_eq(times_done(DID_BUS), 1);
	watch_slot(PORT, true);
	ck_assert_str_eq(reset(alice, claim.lease, FN_A, "bus"), "ModeUnsupported");
	ck_message("pciehp");
	ck_assert_str_eq(reset(root, claim.lease, FN_A, "slot"), "ModeUnsupported");
	ck_assert_str_eq(reset(alice, claim.lease, FN_B, "auto"), "ModeUnsupported");
	ck_assert_uint_eq(times_done(DID_BUS), 1);
	ck_assert_str_eq(reset(alice, claim.lease, FN_A, "auto"), "");
	ck_assert_uint_eq(times_done(DID_FUNCTION), 1);
	/* An administrator takes it away, or has a newer kernel. */
	watch_slot(PORT, false);
	ck_assert_str_eq(reset(alice, claim.lease, FN_A, "slot"), "");
	ck_assert_uint_eq(times_done(DID_BUS), 2);
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	watch_slot(PORT, true);
	text = explained(&(struct ask){ .devices = { FN_A, FN_B } });
	ck_assert_msg(strstr(text, PATH("1c_00_0") ", function, both, )") != NULL, "%s", text);
	ck_assert_msg(strstr(text, PATH("1c_00_0") ", bus, vmm, not by vfiod: pciehp") != NULL,
		      "%s", text);
}
END_TEST

START_TEST(newer_kernel)
{
	_cleanup_claim_ struct claim claim = { .handoff = -EBADF };

	client_free(alice);
	client_free(bob);
	client_free(root);
	daemon_kill();
	tree_write(bed.host->fd, "7.1.0", "release");
	daemon_start();
	alice = client_new(ALICE);
	bob = client_new(BOB);
	root = client_new(0);
	watch_slot(PORT, true);
	claim = acquire(alice, .devices = { FN_A, FN_B });
	ck_claimed(claim);
	ck_assert_str_eq(reset(alice, claim.lease, FN_A, "bus"), "");
	ck_assert_uint_eq(times_done(DID_BUS), 1);
}
END_TEST

START_TEST(bad_calls)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { FN_A, FN_B });

	ck_claimed(claim);
	ck_assert_str_eq(reset(alice, claim.lease, FN_A, "hot"), "BadOption");
	ck_assert_str_eq(reset(alice, claim.lease, FN_A, ""), "BadOption");
	ck_assert_str_eq(reset(alice, claim.lease, NULL, "auto"), "BadOption");
	ck_assert_str_eq(reset_wait(reset_start(alice, claim.lease, FN_A, FN_A, "auto")),
			 "BadOption");
	ck_assert_str_eq(reset(alice, claim.lease, NIC, "function"), "NoSuchDevice");
	ck_assert_str_eq(reset(alice, claim.lease, PORT, "bus"), "NoSuchDevice");
	if (geteuid() == 0)
		ck_assert_str_eq(reset(bob, claim.lease, FN_A, "function"), "DBus.AccessDenied");
	/* One that cannot be had: nothing is reset. */
	ck_assert_str_eq(reset_wait(reset_start(alice, claim.lease, FN_A, NIC, "function")),
			 "NoSuchDevice");
	ck_assert_uint_eq(times_done("/reset"), 0);
	mock_hold(bed.host, FN_A, true);
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(property_is(root, claim.lease, "Lease", "State", "draining"));
	ck_assert_str_eq(reset(root, claim.lease, FN_A, "function"), "NoSuchLease");
	mock_hold(bed.host, FN_A, false);
	UNTIL(lease_gone(root, claim.lease));
}
END_TEST

/* ---- meanwhile */

static void slow(const char *device, const char *msec)
{
	tree_write(bed.host->fd, msec, "slow/RESET/%s", device);
}

static const char *remove_device(const char *lease, const char *device)
{
	static char name[128];
	sd_bus_message *m = call_new(alice, lease, "Lease", "RemoveDevices"), *reply;

	ck_assert_int_ge(sd_bus_message_append(m, "as", 1, device), 0);
	reply = call_wait(call_send(alice, m));
	snprintf(name, sizeof(name), "%s", error_of(reply));
	sd_bus_message_unref(reply);
	return name;
}

START_TEST(reserved)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { APART_A, NIC });
	_cleanup_claim_ struct claim other = { .handoff = -EBADF };
	struct pending *pending;

	ck_claimed(claim);
	ck_assert_int_eq(mk_unbind(bed.host->fd, "pci", "e1000e", APART_B), 0);
	UNTIL(property_is(root, DEVICE_PATH "pci_0000_1d_00_1", "Device", "Driver", ""));
	slow(PORT2, "4000");
	pending = reset_start(alice, claim.lease, APART_A, NULL, "bus");
	UNTIL(times_done(DID_BUS2) == 1);
	ck_assert(!pending->reply);
	/* Nobody takes what the reset reaches, and nobody resets again or changes the lease. */
	other = acquire(bob, .devices = { APART_B });
	ck_refused(other, "GroupBusy");
	ck_assert_str_eq(reset(alice, claim.lease, NIC, "function"), "GroupBusy");
	ck_assert_str_eq(remove_device(claim.lease, NIC), "GroupBusy");
	/* Others are answered. */
	ck_property(root, claim.lease, "Lease", "State", "leased");
	ck_assert_msg(!pending->reply, "the reset was over too soon for this test");
	ck_assert_str_eq(reset_wait(pending), "");
	claim_done(&other);
	other = acquire(bob, .devices = { APART_B });
	ck_claimed(other);
	ck_assert_str_eq(remove_device(claim.lease, NIC), "");
}
END_TEST

START_TEST(released_meanwhile)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { FN_A, FN_B });
	struct pending *pending;

	ck_claimed(claim);
	slow(PORT, "1500");
	pending = reset_start(alice, claim.lease, FN_A, NULL, "bus");
	UNTIL(times_done(DID_BUS) == 1);
	ck_assert_str_eq(release(alice, claim.lease), "");
	ck_assert_str_eq(reset_wait(pending), "NoSuchLease");
	UNTIL(lease_gone(root, claim.lease));
	ck_assert(is_home());
}
END_TEST

START_TEST(caller_goes)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { FN_A, FN_B }, .persist = true);
	struct pending *pending;

	ck_claimed(claim);
	slow(PORT, "1500");
	pending = reset_start(alice, claim.lease, FN_A, NULL, "bus");
	UNTIL(times_done(DID_BUS) == 1);
	call_drop(pending);
	client_free(alice);
	alice = client_new(ALICE);
	tree_remove(bed.host->fd, "slow/RESET/" PORT);
	/* It is over when another one can be had. */
	UNTIL(streq(reset(root, claim.lease, FN_A, "bus"), ""));
	ck_property(root, claim.lease, "Lease", "State", "leased");
	ck_assert_str_eq(release(root, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	ck_assert(is_home());
}
END_TEST

/* The daemon dies in the middle: the worker ends by itself, and the lease is as it was. */
START_TEST(daemon_dies)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { FN_A, FN_B }, .persist = true);
	struct pending *pending;

	ck_claimed(claim);
	slow(PORT, "1500");
	pending = reset_start(alice, claim.lease, FN_A, NULL, "bus");
	UNTIL(times_done(DID_BUS) == 1);
	call_drop(pending);
	client_free(alice);
	client_free(bob);
	client_free(root);
	daemon_kill();
	daemon_start();
	alice = client_new(ALICE);
	bob = client_new(BOB);
	root = client_new(0);
	tree_remove(bed.host->fd, "slow/RESET/" PORT);
	ck_property(root, claim.lease, "Lease", "State", "leased");
	UNTIL(streq(reset(root, claim.lease, FN_A, "bus"), ""));
	ck_assert_str_eq(release(root, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	ck_assert(is_home());
}
END_TEST

static bool is_known(const char *device)
{
	_cleanup_free_ char *path = mock_asprintf(DEVICE_PATH "%s", device);
	_cleanup_free_ char *name = property(root, path, "Device", "Name");

	return name != NULL;
}

/*
 * Between the leave and the write the host takes what was nobody's: the worker looks again right
 * before each try, and leaves it alone.
 */
START_TEST(host_comes_between)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { APART_A });
	struct pending *pending;
	size_t tries;

	ck_claimed(claim);
	ck_assert_int_eq(mk_unbind(bed.host->fd, "pci", "e1000e", APART_B), 0);
	UNTIL(property_is(root, DEVICE_PATH "pci_0000_1d_00_1", "Device", "Driver", ""));
	/* The kernel finds something locked, again and again. */
	mock_fail(bed.host, "RESET", PORT2, EAGAIN, 0);
	pending = reset_start(alice, claim.lease, APART_A, NULL, "bus");
	UNTIL(times_done(DID_BUS2) >= 2);
	ck_assert_int_eq(mk_bind_by_hand(bed.host->fd, "pci", APART_B, "e1000e"), 0);
	ck_assert_str_eq(reset_wait(pending), "GroupChanged");
	ck_message(APART_B);
	ck_message("e1000e");
	tries = times_done(DID_BUS2);
	tree_remove(bed.host->fd, "fail/RESET/" PORT2);
	/* By now it is known, and refused without a try. */
	UNTIL(property_is(root, DEVICE_PATH "pci_0000_1d_00_1", "Device", "Driver", "e1000e"));
	ck_assert_str_eq(reset(alice, claim.lease, APART_A, "bus"), "ResetNotOwned");
	ck_assert_uint_eq(times_done(DID_BUS2), tries);
	ck_driver(APART_B, "e1000e");
}
END_TEST

/* A card that comes into the bus that is to be reset, unknown to whoever allowed it. */
START_TEST(card_comes_between)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { FN_A, FN_B });
	struct pending *pending;

	ck_claimed(claim);
	mock_fail(bed.host, "RESET", PORT, EAGAIN, 0);
	pending = reset_start(alice, claim.lease, FN_A, NULL, "bus");
	UNTIL(times_done(DID_BUS) >= 1);
	add("0000:1c:01.0", PORT, 70, NULL);
	ck_assert_str_eq(reset_wait(pending), "GroupChanged");
	ck_message("0000:1c:01.0");
	ck_property(root, claim.lease, "Lease", "State", "leased");
	mock_device_remove(bed.host, "pci", "0000:1c:01.0");
	tree_remove(bed.host->fd, "fail/RESET/" PORT);
	UNTIL(!is_known("pci_0000_1c_01_0"));
	ck_assert_str_eq(reset(alice, claim.lease, FN_A, "bus"), "");
}
END_TEST

/* What is to be reset goes in the middle, or something that is reset with it. */
START_TEST(device_goes)
{
	const char *goes = _i ? FN_B : FN_A;
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { FN_A, FN_B });
	struct pending *pending;

	ck_claimed(claim);
	slow(PORT, "1500");
	pending = reset_start(alice, claim.lease, FN_A, NULL, "bus");
	UNTIL(times_done(DID_BUS) == 1);
	mock_device_remove(bed.host, "pci", goes);
	ck_assert_str_eq(reset_wait(pending), "NoSuchDevice");
	ck_message(goes);
	tree_remove(bed.host->fd, "slow/RESET/" PORT);
	ck_property(root, claim.lease, "Lease", "State", "leased");
	/* What is left can be reset, and goes home. */
	ck_assert_str_eq(reset(alice, claim.lease, _i ? FN_A : FN_B, "bus"), "");
	ck_assert_str_eq(reset(alice, claim.lease, goes, "bus"), "NoSuchDevice");
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	ck_driver(_i ? FN_A : FN_B, "e1000e");
}
END_TEST

/* Another device at the address: nothing of it is reset. */
START_TEST(device_is_another)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { FN_A, FN_B });
	struct pending *pending;
	size_t before_it;

	ck_claimed(claim);
	mock_fail(bed.host, "RESET", PORT, EAGAIN, 0);
	pending = reset_start(alice, claim.lease, FN_A, NULL, "bus");
	UNTIL(times_done(DID_BUS) >= 1);
	mock_device_remove(bed.host, "pci", FN_B);
	add(FN_B, PORT, 70, NULL);
	{
		const char *error = reset_wait(pending);

		/* Gone or replaced, as the worker came to look. */
		ck_assert_msg(streq(error, "GroupChanged") || streq(error, "NoSuchDevice"),
			      "%s: %s", error, message);
	}
	before_it = times_done(DID_BUS);
	tree_remove(bed.host->fd, "fail/RESET/" PORT);
	UNTIL(streq(reset(alice, claim.lease, FN_A, "bus"), "ResetNotOwned"));
	ck_assert_uint_eq(times_done(DID_BUS), before_it);
}
END_TEST

/* The worker hangs in the kernel: the daemon does not, nor do others, and root can end the lease.
 */
START_TEST(worker_stuck)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { APART_A });
	_cleanup_claim_ struct claim other = { .handoff = -EBADF };
	struct pending *pending;
	sd_bus_message *m, *reply;

	ck_claimed(claim);
	ck_assert_int_eq(mk_unbind(bed.host->fd, "pci", "e1000e", APART_B), 0);
	UNTIL(property_is(root, DEVICE_PATH "pci_0000_1d_00_1", "Device", "Driver", ""));
	slow(PORT2, "600000");
	pending = reset_start(alice, claim.lease, APART_A, NULL, "bus");
	UNTIL(times_done(DID_BUS2) == 1);
	other = acquire(bob, .devices = { FN_A, FN_B });
	ck_claimed(other);
	ck_assert_str_eq(reset(bob, other.lease, FN_A, "bus"), "");
	ck_assert_str_eq(release(bob, other.lease), "");
	UNTIL(lease_gone(root, other.lease));
	m = call_new(root, claim.lease, "Lease", "Revoke");
	ck_assert_int_ge(sd_bus_message_append(m, "ts", (uint64_t)0, "enough"), 0);
	reply = call_wait(call_send(root, m));
	ck_assert_str_eq(error_of(reply), "");
	sd_bus_message_unref(reply);
	UNTIL(property_is(root, claim.lease, "Lease", "State", "draining"));
	/* It is not home, and what the reset reaches is nobody's, as long as that hangs. */
	claim_done(&other);
	other = acquire(bob, .devices = { APART_B });
	ck_refused(other, "GroupDraining");
	claim_done(&other);
	other = acquire(bob, .devices = { APART_A });
	ck_refused(other, "GroupDraining");
	ck_assert(!pending->reply);
	/* Whatever held it lets go: here, it is killed. */
	ck_assert(daemon_kill_child("vfiod-worker"));
	ck_assert_str_eq(reset_wait(pending), "NoSuchLease");
	UNTIL(lease_gone(root, claim.lease));
	claim_done(&other);
	tree_remove(bed.host->fd, "slow/RESET/" PORT2);
	other = acquire(bob, .devices = { APART_B });
	ck_claimed(other);
}
END_TEST

/*
 * The daemon dies while a worker tries, and the next one does not know what was reserved: the
 * worker does nothing more, and whoever gets the sibling is left alone.
 */
START_TEST(daemon_dies_while_it_tries)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { APART_A }, .persist = true);
	_cleanup_claim_ struct claim other = { .handoff = -EBADF };
	size_t tries;
	struct pending *pending;

	ck_claimed(claim);
	ck_assert_int_eq(mk_unbind(bed.host->fd, "pci", "e1000e", APART_B), 0);
	UNTIL(property_is(root, DEVICE_PATH "pci_0000_1d_00_1", "Device", "Driver", ""));
	mock_fail(bed.host, "RESET", PORT2, EAGAIN, 0);
	pending = reset_start(alice, claim.lease, APART_A, NULL, "bus");
	UNTIL(times_done(DID_BUS2) >= 1);
	call_drop(pending);
	client_free(alice);
	client_free(bob);
	client_free(root);
	daemon_kill();
	daemon_start();
	alice = client_new(ALICE);
	bob = client_new(BOB);
	root = client_new(0);
	other = acquire(bob, .devices = { APART_B });
	ck_claimed(other);
	tries = times_done(DID_BUS2);
	tree_remove(bed.host->fd, "fail/RESET/" PORT2);
	UNTIL(streq(reset(root, claim.lease, APART_A, "function"), ""));
	ck_assert_uint_eq(times_done(DID_BUS2), tries);
	ck_assert_str_eq(reset(root, claim.lease, APART_A, "bus"), "ResetNotOwned");
	ck_assert_str_eq(release(bob, other.lease), "");
	ck_assert_str_eq(release(root, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
}
END_TEST

/* ---- faults */

START_TEST(fails)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { FN_A, FN_B });

	ck_claimed(claim);
	mock_fail(bed.host, "RESET", FN_A, EIO, 1);
	ck_assert_str_eq(reset(alice, claim.lease, FN_A, "function"), "DriverFailed");
	mock_fail(bed.host, "RESET", FN_A, ENOTTY, 1);
	ck_assert_str_eq(reset(alice, claim.lease, FN_A, "function"), "ModeUnsupported");
	mock_fail(bed.host, "RESET", PORT, EPERM, 1);
	ck_assert_str_eq(reset(alice, claim.lease, FN_A, "bus"), "ModeUnsupported");
	ck_message("CAP_SYS_ADMIN");
	/* The kernel only tries the locks: so does the worker, again. */
	mock_fail(bed.host, "RESET", PORT, EAGAIN, 3);
	ck_assert_str_eq(reset(alice, claim.lease, FN_A, "bus"), "");
	mock_fail(bed.host, "RESET", PORT, EAGAIN, 0);
	ck_assert_str_eq(reset(alice, claim.lease, FN_A, "bus"), "TimedOut");
	tree_remove(bed.host->fd, "fail/RESET/" PORT);
	/* The worker dies. */
	mock_kill_after(bed.host, "RESET", FN_A, 0);
	ck_assert_str_eq(reset(alice, claim.lease, FN_A, "function"), "DriverFailed");
	ck_assert_str_eq(reset(alice, claim.lease, FN_A, "function"), "");
	ck_property(root, claim.lease, "Lease", "State", "leased");
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	ck_assert(is_home());
}
END_TEST

/* ---- beforehand */

static char *domain_of(const char *path, const char *member)
{
	sd_bus_message *reply = call(bob, path, "Device", member, NULL);
	char *text;

	ck_assert_str_eq(error_of(reply), "");
	text = value_text(reply);
	sd_bus_message_unref(reply);
	return text;
}

START_TEST(domains)
{
	_cleanup_free_ char *a = domain_of(PATH("1c_00_0"), "GetResetDomain");
	_cleanup_free_ char *b = domain_of(PATH("1d_00_1"), "GetResetDomains");
	_cleanup_free_ char *c = domain_of(PATH("03_00_0"), "GetResetDomain");
	_cleanup_free_ char *d = domain_of(PATH("0a_00_0"), "GetResetDomain");
	_cleanup_free_ char *both = NULL;

	ck_assert_str_eq(a, "[(" PATH("1c_00_0") ", " GROUP("61") "), (" PATH("1c_00_1") ", " GROUP(
				    "61") ")]");
	both = strdup(
		"[(" PATH("1d_00_0") ", " GROUP("63") "), (" PATH("1d_00_1") ", " GROUP("64") ")]");
	ck_assert_ptr_null(strstr(b, "function"));
	ck_assert_ptr_nonnull(strstr(b, both));
	ck_assert_ptr_nonnull(strstr(b, "slot"));
	ck_assert_ptr_nonnull(strstr(b, "bus"));
	ck_assert_str_eq(c, "[(" PATH("03_00_0") ", " GROUP("3") ")]");
	ck_assert_str_eq(d, "[]");
}
END_TEST

START_TEST(explain)
{
	_cleanup_free_ char *whole = explained(&(struct ask){ .devices = { FN_A, FN_B } });
	_cleanup_free_ char *part = explained(&(struct ask){ .devices = { APART_A } });

	ck_assert_msg(strstr(whole, PATH("1c_00_0") ", function, both, )") != NULL, "%s", whole);
	ck_assert_msg(strstr(whole, PATH("1c_00_1") ", bus, both, )") != NULL, "%s", whole);
	ck_assert_msg(!strstr(whole, PATH("1c_00_1") ", function"), "%s", whole);
	ck_assert_msg(strstr(part, PATH("1d_00_0") ", function, both, )") != NULL, "%s", part);
	ck_assert_msg(strstr(part, PATH("1d_00_0") ", bus, nobody, " APART_B
						   " is not in the claim)") != NULL,
		      "%s", part);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reset");
	TCase *tcase = tcase_create("reset");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, kinds, 0, 3);
	tcase_add_test(tcase, by_root);
	tcase_add_test(tcase, with_withheld);
	tcase_add_test(tcase, not_owned);
	tcase_add_test(tcase, unsupported);
	tcase_add_test(tcase, hotplug_port);
	tcase_add_test(tcase, newer_kernel);
	tcase_add_test(tcase, bad_calls);
	tcase_add_test(tcase, reserved);
	tcase_add_test(tcase, released_meanwhile);
	tcase_add_test(tcase, caller_goes);
	tcase_add_test(tcase, daemon_dies);
	tcase_add_test(tcase, host_comes_between);
	tcase_add_test(tcase, card_comes_between);
	tcase_add_loop_test(tcase, device_goes, 0, 2);
	tcase_add_test(tcase, device_is_another);
	tcase_add_test(tcase, worker_stuck);
	tcase_add_test(tcase, daemon_dies_while_it_tries);
	tcase_add_test(tcase, fails);
	tcase_add_test(tcase, domains);
	tcase_add_test(tcase, explain);
	suite_add_tcase(suite, tcase);
	return bed_main(suite, false);
}
