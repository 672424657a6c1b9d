/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Every named error, each provoked by a user without privileges (but for what only root may call),
 * and nothing has changed afterwards: not the host, not what the bus shows, no journal.
 */

#include "tests/bus/picture.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>

struct row {
	const char *error;
	const char *text; /* in the message */
	void (*prepare)(void);
	struct ask ask;
	/* Instead of asking: what came of it, "NAME message", of the caller. */
	char *(*provoke)(struct client *alice);
};

static struct client *bob, *root;
static struct claim held; /* bob's */

/* ---- prepared beforehand */

static void amba(void)
{
	mock_device_add(bed.host, "amba", "uart.1", NULL, 50, "dmar0");
}

static void address(void)
{
	mock_net_configure(bed.host, "eth0", "address 192.0.2.7/24\n");
}

static void route(void)
{
	mock_net_configure(bed.host, "eth0", "route default\n");
}

static void no_interface(void)
{
	tree_remove(bed.host->fd, "sys/class/net/eth0");
	tree_remove(bed.host->fd, "sys/devices/pci0000:00/" NIC "/net");
}

static void bob_has_pair(void)
{
	held = acquire(bob, .devices = { NIC_A }, .withhold = { NIC_B });
	ck_claimed(held);
}

static void consent(void);

static void bob_has_vf(void)
{
	consent();
	held = acquire(bob, .devices = { VF_A });
	ck_claimed(held);
}

/* Bob's lease has ended, and somebody still has the device open. */
static void bob_drains(void)
{
	held = acquire(bob, .devices = { NIC });
	ck_claimed(held);
	mock_hold(bed.host, NIC, true);
	ck_assert_str_eq(release(bob, held.lease), "");
	UNTIL(property_is(bob, "/org/vfiod1/group/3", "Group", "State", "draining"));
}

static void reload(void)
{
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Reload", NULL), "");
}

/* Before the usual rules: alice's in words of the row. */
static void rule(const char *text)
{
	_cleanup_free_ char *policy = mock_asprintf(
		"{ \"version\": 1, \"rules\": [ { \"id\": \"first\",\n"
		"\"subjects\": [ { \"users\": [%u] } ], \"devices\": [ { \"address\": \"*\" } ],\n"
		"%s } ] }\n",
		ALICE, text);

	bed_policy("10-first.json", policy);
	reload();
}

static void deny(void)
{
	rule("\"deny\": true");
}

static void no_consent(void)
{
	rule("\"allow\": [\"acquire\"], \"modes\": [\"cdev\"]");
}

static void only_group(void)
{
	rule("\"allow\": [\"acquire\"], \"modes\": [\"group\"]");
}

static void consent(void)
{
	rule("\"allow\": [\"acquire\", \"withhold\"], \"modes\": [\"cdev\", \"group\"],\n"
	     "\"consent\": { \"drivers\": [\"*\"] }, \"waive\": [\"vfs\"],\n"
	     "\"limits\": { \"leases\": 1 }");
}

static void one_lease(void)
{
	struct client *alice = client_new(ALICE);

	consent();
	held = acquire(alice, .devices = { BARE }, .lifeline = pidfd_of(idle_process(ALICE)));
	ck_claimed(held);
	client_free(alice);
}

static void one_device(void)
{
	rule("\"allow\": [\"acquire\"], \"modes\": [\"cdev\"],\n"
	     "\"consent\": { \"drivers\": [\"*\"] }, \"limits\": { \"devices\": 1 }");
}

static void named(void)
{
	struct client *alice = client_new(ALICE);

	held = acquire(alice, .devices = { BARE }, .name = "vm", .persist = true);
	ck_claimed(held);
	client_free(alice);
}

static void no_policy(void)
{
	bed_policy("50-test.json", NULL);
	reload();
}

static void group_only_kernel(void)
{
	mock_features(bed.host, "group");
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Rescan", NULL), "");
}

static void probe_fails(void)
{
	mock_fail(bed.host, "PROBE", NIC, EIO, 1);
}

static void probe_does_nothing(void)
{
	mock_fail(bed.host, "PROBE", NIC, 0, 1);
}

static void node_is_open(void)
{
	struct client *alice = client_new(ALICE);

	/* A site's udev rule does it each time. */
	tree_write(bed.host->fd, "group kvm may read and write", "foreign/vfio!3");
	tree_write(bed.host->fd, "", "sticky/vfio!3");
	client_free(alice);
}

/* ---- provoked otherwise */

static char *outcome(sd_bus_message *m)
{
	char *text = mock_asprintf("%s %s", error_of(m), message_of(m));

	sd_bus_message_unref(m);
	return text;
}

static char *find_group(struct client *alice)
{
	return outcome(call(alice, VFIOD_ROOT, "Manager", "FindGroup", "u", 99));
}

static char *find_lease(struct client *alice)
{
	return outcome(call(alice, VFIOD_ROOT, "Manager", "FindLease", "s", "none"));
}

static char *find_device(struct client *alice)
{
	return outcome(call(alice, VFIOD_ROOT, "Manager", "FindDevice", "s", "0000:ff:00.0"));
}

static char *policy_invalid(struct client *alice)
{
	char *text;

	bed_policy("20-broken.json", "{ \"version\": 1,\n  \"rulez\": [] }\n");
	text = outcome(call(root, VFIOD_ROOT, "Manager", "Reload", NULL));
	bed_policy("20-broken.json", NULL);
	return text;
}

static char *reload_by_alice(struct client *alice)
{
	return outcome(call(alice, VFIOD_ROOT, "Manager", "Reload", NULL));
}

static char *rescan_by_alice(struct client *alice)
{
	return outcome(call(alice, VFIOD_ROOT, "Manager", "Rescan", NULL));
}

static char *release_of_bobs(struct client *alice)
{
	return outcome(call(alice, held.lease, "Lease", "Release", NULL));
}

static char *fds_of_bobs(struct client *alice)
{
	return outcome(call(alice, held.lease, "Lease", "GetFds", NULL));
}

static char *restore_by_alice(struct client *alice)
{
	return outcome(call(alice, held.lease, "Lease", "Restore", NULL));
}

static char *restore_of_healthy(struct client *alice)
{
	return outcome(call(root, held.lease, "Lease", "Restore", NULL));
}

static char *wrong_type(struct client *alice)
{
	return outcome(call(alice, VFIOD_ROOT, "Manager", "Acquire", "s", NIC));
}

/* What is told over the handoff; the lease is released. */
static char *over_handoff(struct client *alice, const struct ask *ask)
{
	_cleanup_claim_ struct claim claim = acquire_ask(alice, ask);
	_cleanup_taken_ struct taken taken = { 0 };
	char *text;

	ck_claimed(claim);
	take(claim.handoff, &taken);
	ck_assert_uint_eq(taken.n, 0);
	ck_assert_msg(strncmp(taken.last, "error ", 6) == 0, "%s", taken.last);
	text = mock_asprintf("%s", taken.last + 6);
	/* The lease stands. */
	ck_property(alice, claim.lease, "Lease", "State", "leased");
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(alice, claim.lease));
	return text;
}

static char *unsafe_interrupts(struct client *alice)
{
	mock_fail(bed.host, "SET_IOMMU", "container", EPERM, 0);
	return over_handoff(
		alice, &(struct ask){ .devices = { NIC }, .mode = "group", .device_fds = true });
}

static char *no_common_iommu(struct client *alice)
{
	mock_fail(bed.host, "SET_IOMMU", "container", ENODEV, 0);
	return over_handoff(
		alice, &(struct ask){ .devices = { NIC }, .mode = "group", .device_fds = true });
}

static char *vf_token(struct client *alice)
{
	mock_fail(bed.host, "GET_DEVICE", NIC, EACCES, 0);
	return over_handoff(
		alice, &(struct ask){ .devices = { NIC }, .mode = "group", .device_fds = true });
}

static char *attach_refused(struct client *alice)
{
	mock_fail(bed.host, "ATTACH", "group-3", EPERM, 0);
	return over_handoff(alice, &(struct ask){ .devices = { NIC }, .mode = "group" });
}

static char *group_open(struct client *alice)
{
	mock_fail(bed.host, "OPEN", "group-3", EBUSY, 0);
	return over_handoff(alice, &(struct ask){ .devices = { NIC }, .mode = "group" });
}

static char *accounting(struct client *alice)
{
	mock_fail(bed.host, "RLIMIT", "iommufd", EPERM, 0);
	return over_handoff(alice, &(struct ask){ .devices = { NIC }, .mode = "cdev" });
}

static char *other_version(struct client *alice)
{
	mock_fail(bed.host, "VERSION", "container", 0, 0);
	return over_handoff(alice, &(struct ask){ .devices = { NIC }, .mode = "group" });
}

/* No byte within 10 s. */
static char *no_byte(struct client *alice)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC }, .mode = "cdev");
	struct pollfd p = { .fd = claim.handoff, .events = POLLIN };
	_cleanup_taken_ struct taken taken = { 0 };
	uint64_t begin = bed_now();
	char *text;
	int fd;

	ck_claimed(claim);
	UNTIL(poll(&p, 1, 0) > 0);
	ck_assert_uint_gt(bed_now() - begin, 9500000);
	take(claim.handoff, &taken);
	ck_assert_msg(strncmp(taken.last, "error ", 6) == 0, "%s", taken.last);
	text = mock_asprintf("%s", taken.last + 6);
	/* The lease stays, and there is another handoff. */
	ck_property(alice, claim.lease, "Lease", "State", "leased");
	ck_assert_str_eq(get_fds(alice, claim.lease, &fd), "");
	taken_done(&taken);
	take(fd, &taken);
	ck_assert_str_eq(taken.last, "end 2");
	fd_close(fd);
	taken_done(&taken);
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(alice, claim.lease));
	return text;
}

static char *too_many_handoffs(struct client *alice)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC }, .mode = "cdev");
	int fds[7];
	char *text;

	ck_claimed(claim);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		ck_assert_str_eq(get_fds(alice, claim.lease, &fds[i]), "");
	text = outcome(call(alice, claim.lease, "Lease", "GetFds", NULL));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fd_close(fds[i]);
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(alice, claim.lease));
	return text;
}

#define D0 "0000:00:00."
/* More names than a request may have, none of them there. */
#define TEN(a)                                                                                    \
	D0 a "0", D0 a "1", D0 a "2", D0 a "3", D0 a "4", D0 a "5", D0 a "6", D0 a "7", D0 a "8", \
		D0 a "9"

static const struct row rows[] = {
	{ "NoSuchDevice", "0000:ff:00.0", .ask = { .devices = { "0000:ff:00.0" } } },
	{ "NoSuchDevice", "nope", .ask = { .devices = { "pool:nope" } } },
	{ "NoSuchDevice", "", .ask = { .devices = { DEVICE_PATH "pci_0000_ff_00_0" } } },
	{ "NoSuchDevice", "no device's path", .ask = { .devices = { "/org/vfiod1/group/3" } } },
	{ "NoSuchDevice", "0000:ff:00.0",
	  .ask = { .devices = { NIC }, .withhold = { "0000:ff:00.0" } } },
	{ "NoSuchDevice", "vfiodctl list", .provoke = find_device },
	{ "NoSuchGroup", "99", .provoke = find_group },
	{ "NoSuchGroup", ALONE, .ask = { .devices = { ALONE } } },
	{ "NoSuchLease", "none", .provoke = find_lease },
	{ "NotPermitted", "No rule", no_policy, { .devices = { NIC } } },
	{ "NotPermitted", "first", deny, { .devices = { NIC } } },
	{ "NotPermitted", "persist", no_consent, { .devices = { BARE }, .persist = true } },
	{ "NotPermitted", "withhold", no_consent, { .devices = { NIC_A }, .withhold = { NIC_B } } },
	{ "NotPermitted", "cdev", only_group, { .devices = { BARE }, .mode = "cdev" } },
	{ "NotPermitted", "delegate", NULL, { .devices = { BARE }, .owner = 12345 } },
	{ "ConsentRequired", NIC_B, NULL, { .devices = { NIC_A } } },
	{ "ConsentRequired", "e1000", NULL, { .devices = { NIC_A } } },
	{ "ConsentRequired", BRIDGE, NULL, { .devices = { BEHIND } } },
	{ "ConsentRequired", "hot-plug", NULL, { .devices = { BEHIND } } },
	{ "ConsentRequired", "e1000e", no_consent, { .devices = { NIC } } },
	{ "ConsentRequired", VFIO_B, NULL, { .devices = { VFIO_A } } },
	{ "DeviceInUse", "sda", NULL, { .devices = { DISK } } },
	{ "DeviceInUse", "eth0", address, { .devices = { NIC } } },
	{ "DeviceInUse", "route", route, { .devices = { NIC } } },
	{ "DeviceInUse", "interface", no_interface, { .devices = { NIC } } },
	{ "DeviceInUse", "virtual functions", NULL, { .devices = { PF } } },
	{ "GroupBusy", "lease", bob_has_pair, { .devices = { NIC_B }, .withhold = { NIC_A } } },
	{ "GroupBusy", "", bob_has_pair, { .devices = { NIC_A, NIC_B } } },
	{ "GroupBusy", "", bob_has_pair, { .devices = { "pool:pair" } } },
	{ "GroupBusy", PF, bob_has_vf, { .devices = { PF } } },
	{ "GroupBusy", "matches no device", NULL, { .devices = { "pool:none" } } },
	{ "GroupBusy", "group 3", .provoke = group_open },
	{ "GroupDraining", "", bob_drains, { .devices = { NIC } } },
	{ "GroupNotViable", "uart.1", amba, { .devices = { "uart.1" } } },
	{ "GroupNotViable", "group 3", .provoke = attach_refused },
	{ "GroupChanged",
	  "8086:10d3",
	  NULL,
	  { .devices = { NIC }, .expect = { NIC, "10de:1eb8" } } },
	{ "ModeUnsupported", "cdev", group_only_kernel, { .devices = { NIC }, .mode = "cdev" } },
	{ "ModeUnsupported", "version", .provoke = other_version },
	{ "ModeUnsupported", "one container", .provoke = no_common_iommu },
	{ "ModeUnsupported", "VF token", .provoke = vf_token },
	{ "UnsafeInterrupts", "allow_unsafe_interrupts", .provoke = unsafe_interrupts },
	{ "QuotaExceeded", "", one_lease, { .devices = { NIC } } },
	{ "QuotaExceeded", "", one_device, { .devices = { NIC_A, NIC_B } } },
	{ "QuotaExceeded",
	  "64",
	  NULL,
	  { .devices = { TEN("0"), TEN("1"), TEN("2"), TEN("3"), TEN("4"), TEN("5"), TEN("6") } } },
	{ "QuotaExceeded",
	  "memlock",
	  NULL,
	  { .devices = { NIC }, .memlock = 2ULL << 30, .lifeline = -1 } },
	{ "QuotaExceeded", "handoff", .provoke = too_many_handoffs },
	{ "NameTaken", "vm", named, { .devices = { NIC }, .name = "vm" } },
	{ "BadOption", "mode", NULL, { .devices = { NIC }, .mode = "vfio" } },
	{ "BadOption", "name", NULL, { .devices = { NIC }, .name = "a/b" } },
	{ "BadOption", "more than once", NULL, { .devices = { NIC, NIC } } },
	{ "BadOption", "", NULL, { .devices = { NULL } } },
	{ "BadOption", NIC_A, NULL, { .devices = { NIC }, .withhold = { NIC_A } } },
	{ "BadOption", BRIDGE, NULL, { .devices = { BRIDGE, BEHIND } } },
	{ "BadOption",
	  "device-fds",
	  NULL,
	  { .devices = { NIC }, .mode = "cdev", .device_fds = true } },
	{ "BadOption",
	  "attach",
	  NULL,
	  { .devices = { NIC }, .mode = "group", .device_fds = true, .no_attach = true } },
	{ "BadOption", "expect", NULL, { .devices = { NIC }, .expect = { NIC, "8086" } } },
	{ "BadOption",
	  "contradict",
	  NULL,
	  { .devices = { NIC }, .lifeline = -1, .persist = true } },
	{ "PolicyInvalid", "20-broken.json:2:", .provoke = policy_invalid },
	{ "DriverFailed", NIC, probe_fails, { .devices = { NIC } } },
	{ "DriverFailed", "should be on vfio-pci", probe_does_nothing, { .devices = { NIC } } },
	{ "DriverFailed", "group kvm", node_is_open, { .devices = { NIC } } },
	{ "DriverFailed", "CAP_SYS_RESOURCE", .provoke = accounting },
	{ "TimedOut", "GetFds", .provoke = no_byte },
	{ "DBus.AccessDenied", "root", .provoke = reload_by_alice },
	{ "DBus.AccessDenied", "root", .provoke = rescan_by_alice },
	{ "DBus.AccessDenied", "not yours", bob_has_pair, .provoke = release_of_bobs },
	{ "DBus.AccessDenied", "not yours", bob_has_pair, .provoke = fds_of_bobs },
	{ "DBus.AccessDenied", "root", bob_has_pair, .provoke = restore_by_alice },
	{ "DBus.InvalidArgs", "not failed", bob_has_pair, .provoke = restore_of_healthy },
	{ "DBus.InvalidArgs", "", .provoke = wrong_type },
};

static char *ask(struct client *alice, const struct row *row)
{
	struct ask question = row->ask;
	_cleanup_claim_ struct claim claim = { 0 };

	/* -1: alice's own process. */
	if (question.lifeline < 0)
		question.lifeline = pidfd_of(idle_process(ALICE));
	claim = acquire_ask(alice, &question);
	return mock_asprintf("%s %s", claim.error, claim.message);
}

/* Explain says the same as Acquire will, word for word; of what only doing it can show it knows
 * nothing. */
static void check_explained(struct client *alice, const struct row *row, const char *acquired)
{
	struct ask question = row->ask;
	_cleanup_free_ char *text = NULL;
	sd_bus_message *m;

	/* Which it does not take. */
	if (question.lifeline && question.persist)
		return;
	question.lifeline = 0;
	m = call_wait(call_send(alice, ask_message(alice, "Explain", &question)));
	text = *error_of(m) ? mock_asprintf("%s %s", error_of(m), message_of(m)) : value_text(m);
	sd_bus_message_unref(m);
	if (streq(row->error, "DriverFailed")) {
		ck_assert_msg(strstr(text, "allowed: true"), "%s", text);
	} else if (*text == '[') {
		_cleanup_free_ char *error = mock_asprintf("error: %s,", row->error);

		ck_assert_msg(strstr(text, "allowed: false"), "%s", text);
		ck_assert_msg(strstr(text, error), "%s does not say %s", text, error);
		ck_assert_msg(strstr(text, strchr(acquired, ' ') + 1), "%s does not say %s", text,
			      acquired);
	} else {
		ck_assert_str_eq(text, acquired);
	}
}

/* But for uses, which are seen anew by whoever asks. */
static void check_as_before(struct watch *watch, const char *host, const char *there)
{
	uint64_t end = bed_now() + 10 * 1000 * 1000;
	_cleanup_free_ char *now = NULL, *host_now = NULL;

	do {
		bed_turn();
		free(now);
		free(host_now);
		now = bus_picture(watch_client(watch));
		picture_forget_uses(now);
		host_now = host_picture();
	} while ((!streq(now, there) || !streq(host, host_now)) && bed_now() < end);
	ck_same(host, host_now);
	ck_same(there, now);
	watch_settled(watch);
}

START_TEST(named_error)
{
	const struct row *row = &rows[_i];
	struct client *alice = client_new(ALICE);
	_cleanup_free_ char *host = NULL, *there = NULL, *text = NULL;
	struct watch *watch;
	size_t n = strlen(row->error);

	bob = client_new(BOB);
	root = client_new(0);
	if (row->prepare)
		row->prepare();
	watch = watch_new(CAROL);
	watch_settled(watch);
	host = host_picture();
	there = bus_picture(alice);
	picture_forget_uses(there);
	text = row->provoke ? row->provoke(alice) : ask(alice, row);
	ck_assert_msg(strncmp(text, row->error, n) == 0 && text[n] == ' ', "not %s: %s", row->error,
		      text);
	ck_assert_msg(strstr(text + n, row->text), "%s does not say \"%s\"", text, row->text);
	if (!row->provoke)
		check_explained(alice, row, text);
	/* A sentence that says what to do. */
	ck_assert_msg(strlen(text + n) > 20 || strncmp(text, "DBus.", 5) == 0, "%s", text);
	check_as_before(watch, host, there);
	mock_hold(bed.host, NIC, false);
	claim_done(&held);
	client_free(alice);
	client_free(bob);
	client_free(root);
	watch_free(watch);
}
END_TEST

/* The names of api.md, each of them above. */
START_TEST(all_names)
{
	static const char *const names[] = {
		"NoSuchDevice",	   "NoSuchGroup",  "NoSuchLease",	"NotPermitted",
		"ConsentRequired", "DeviceInUse",  "GroupBusy",		"GroupDraining",
		"GroupNotViable",  "GroupChanged", "ModeUnsupported",	"UnsafeInterrupts",
		"QuotaExceeded",   "NameTaken",	   "BadOption",		"PolicyInvalid",
		"DriverFailed",	   "TimedOut",	   "DBus.AccessDenied", "DBus.InvalidArgs",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		bool found = false;

		for (size_t j = 0; j < ARRAY_SIZE(rows); j++)
			found = found || streq(rows[j].error, names[i]);
		ck_assert_msg(found, "%s is not provoked", names[i]);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("errors");

	bed_test(suite, bed_start, bed_stop, named_error, ARRAY_SIZE(rows));
	bed_test(suite, NULL, NULL, all_names, 1);
	return bed_main(suite, true);
}
