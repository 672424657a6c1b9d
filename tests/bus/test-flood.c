/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Clients that ask too much, too fast, for too long, or nonsense: each has its limit, is told so,
 * and takes nothing from anybody else. Nothing is left of it: no fd, no lease, no process.
 */

#include "tests/bus/picture.h"

#include <fcntl.h>
#include <stdio.h>

static struct client *alice, *bob, *root;
static char *before;
static size_t fds_before;

static size_t daemon_fds(void)
{
	_cleanup_free_ char *path = mock_asprintf("/proc/%d/fd", (int)bed.daemon);
	_cleanup_strv_ char **fds = tree_list(AT_FDCWD, "%s", path);

	return strv_length(fds);
}

static void ck_served(void);

static void set_up(void)
{
	bed_start();
	alice = client_new(ALICE);
	bob = client_new(BOB);
	root = client_new(0);
	before = host_picture();
	/* The first survey is over. */
	UNTIL(property_is(root, DEVICE_PATH "pci_0000_04_00_0", "Device", "Uses", "[block]"));
	/* What the daemon opens with its first lease, it keeps. */
	ck_served();
	bed_sleep(50000);
	fds_before = daemon_fds();
}

static bool all_home(void)
{
	_cleanup_strv_ char **journals = host_journals();

	return !*journals;
}

static void tear_down(void)
{
	_cleanup_free_ char *now = NULL;

	client_free(alice);
	client_free(bob);
	UNTIL(all_home());
	now = host_picture();
	ck_same(before, now);
	UNTIL(daemon_fds() <= fds_before);
	client_free(root);
	free(before);
	bed_stop();
}

/* Bob's whole job, while somebody is at it: in seconds, not in turns of the others. */
static void ck_served(void)
{
	uint64_t begin = bed_now();
	_cleanup_claim_ struct claim claim = acquire(bob, .devices = { ADMIN }, .mode = "cdev");
	_cleanup_taken_ struct taken taken = { 0 };

	ck_claimed(claim);
	take(claim.handoff, &taken);
	ck_assert_str_eq(taken.last, "end 2");
	taken_done(&taken);
	ck_assert_str_eq(release(bob, claim.lease), "");
	UNTIL(lease_gone(bob, claim.lease));
	ck_assert_uint_lt(bed_now() - begin, 10000000);
}

/* ---- too many at once */

static void ck_error_is(struct pending *pending, const char *one, const char *other, size_t *ones)
{
	sd_bus_message *m = call_wait(pending);

	ck_assert_msg(streq(error_of(m), one) || streq(error_of(m), other), "%s: %s", error_of(m),
		      message_of(m));
	*ones += streq(error_of(m), one);
	sd_bus_message_unref(m);
}

/* Calls that wait for the bus to say who calls: 16 of a connection. */
START_TEST(pending_calls)
{
	struct pending *pending[300];
	size_t answered = 0, refused;

	for (size_t i = 0; i < ARRAY_SIZE(pending); i++)
		pending[i] = call_start(alice, VFIOD_ROOT, "Manager", "FindLease", "s", "none");
	ck_served();
	for (size_t i = 0; i < ARRAY_SIZE(pending); i++)
		ck_error_is(pending[i], "NoSuchLease", "DBus.LimitsExceeded", &answered);
	/* Every one has an answer, and some could be had. */
	refused = ARRAY_SIZE(pending) - answered;
	ck_assert_uint_ge(answered, 16);
	ck_assert_msg(refused > 0, "none was refused");
	/* It was for that moment. */
	UNTIL(streq(call_error(alice, VFIOD_ROOT, "Manager", "FindLease", "s", "none"),
		    "NoSuchLease"));
}
END_TEST

/* Requests of one user that are being worked on, over any number of connections. */
START_TEST(pending_requests)
{
	static const char *const devices[] = { NIC, BARE, VF_A, VF_B };
	struct client *clients[4];
	struct pending *pending[20];
	size_t refused = 0, allowed = 0;

	for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
		tree_write(bed.host->fd, "500", "slow/OVERRIDE/%s", devices[i]);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		clients[i] = client_new(ALICE);
	for (size_t i = 0; i < ARRAY_SIZE(pending); i++)
		pending[i] = acquire_start(clients[i % 4],
					   &(struct ask){ .devices = { devices[i / 4 % 4] } });
	ck_served();
	for (size_t i = 0; i < ARRAY_SIZE(pending); i++) {
		_cleanup_claim_ struct claim claim = acquire_wait(pending[i]);

		allowed += !*claim.error;
		refused += streq(claim.error, "QuotaExceeded");
		ck_assert_msg(!*claim.error || streq(claim.error, "QuotaExceeded") ||
				      streq(claim.error, "GroupBusy"),
			      "%s: %s", claim.error, claim.message);
	}
	ck_assert_uint_ge(refused, 12);
	ck_assert_uint_ge(allowed, 1);
	tree_remove(bed.host->fd, "slow");
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		client_free(clients[i]);
}
END_TEST

/* Who may have nothing asks a thousand times. */
START_TEST(refused_a_thousand_times)
{
	struct client *carol = client_new(CAROL);
	size_t refused = 0;

	for (int round = 0; round < 20; round++) {
		struct pending *pending[50];

		for (size_t i = 0; i < ARRAY_SIZE(pending); i++)
			pending[i] = acquire_start(carol, &(struct ask){ .devices = { NIC } });
		if (round % 10 == 0)
			ck_served();
		for (size_t i = 0; i < ARRAY_SIZE(pending); i++) {
			_cleanup_claim_ struct claim claim = acquire_wait(pending[i]);

			ck_assert_msg(streq(claim.error, "NotPermitted") ||
					      streq(claim.error, "QuotaExceeded") ||
					      streq(claim.error, "DBus.LimitsExceeded"),
				      "%s: %s", claim.error, claim.message);
			refused += streq(claim.error, "NotPermitted");
		}
	}
	ck_assert_uint_ge(refused, 20);
	client_free(carol);
}
END_TEST

/* The whole picture, ten thousand times. */
START_TEST(whole_picture)
{
	struct client *carol = client_new(CAROL);
	struct pending *pending[3000];

	for (size_t i = 0; i < ARRAY_SIZE(pending); i++)
		pending[i] = call_start(carol, VFIOD_ROOT, "org.freedesktop.DBus.ObjectManager",
					"GetManagedObjects", NULL);
	ck_served();
	for (size_t i = 0; i < ARRAY_SIZE(pending); i++) {
		if (i % 2) {
			call_drop(pending[i]);
			continue;
		}
		sd_bus_message_unref(call_wait(pending[i]));
	}
	client_free(carol);
}
END_TEST

/* Connections that come, ask and go, and some that ask and never read. */
START_TEST(come_and_go)
{
	struct client *deaf[10];

	for (size_t i = 0; i < ARRAY_SIZE(deaf); i++) {
		deaf[i] = client_new(CAROL);
		ck_assert_int_ge(sd_bus_get_unique_name(deaf[i]->bus, &(const char *){ NULL }), 0);
		sd_bus_detach_event(deaf[i]->bus);
		for (int k = 0; k < 20; k++)
			call_drop(call_start(deaf[i], VFIOD_ROOT,
					     "org.freedesktop.DBus.ObjectManager",
					     "GetManagedObjects", NULL));
		sd_bus_flush(deaf[i]->bus);
	}
	for (int i = 0; i < 150; i++) {
		struct client *c = client_new(ALICE);

		ck_assert_int_ge(sd_bus_get_unique_name(c->bus, &(const char *){ NULL }), 0);
		call_drop(acquire_start(c, &(struct ask){ .devices = { NIC } }));
		if (i % 3 == 0)
			sd_bus_flush(c->bus);
		client_free(c);
	}
	ck_served();
	for (size_t i = 0; i < ARRAY_SIZE(deaf); i++)
		client_free(deaf[i]);
}
END_TEST

/* ---- nonsense */

static sd_bus_message *request(const char *device)
{
	sd_bus_message *m = call_new(alice, VFIOD_ROOT, "Manager", "Acquire");

	ck_assert_int_ge(sd_bus_message_append(m, "as", 1, device), 0);
	return m;
}

static void ck_nonsense(sd_bus_message *m, const char *error)
{
	sd_bus_message *reply = call_wait(call_send(alice, m));

	ck_assert_msg(streq(error_of(reply), error), "%s: %s, not %s", error_of(reply),
		      message_of(reply), error);
	/* No megabytes come back. */
	ck_assert_uint_lt(strlen(message_of(reply)), 4096);
	sd_bus_message_unref(reply);
}

START_TEST(option_types)
{
	static const char *const keys[] = { "mode",    "name",	     "withhold", "lifeline",
					    "owner",   "persist",    "shared",	 "attach",
					    "memlock", "device-fds", "expect",	 "interactive",
					    "uid",     "",	     "Mode",	 "mode " };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		sd_bus_message *m = request(NIC);

		/* An empty array of dictionaries is none of their types. */
		ck_assert_int_ge(sd_bus_message_append(m, "a{sv}", 1, keys[i], "aa{sv}", 0), 0);
		ck_nonsense(m, "BadOption");
		m = request(NIC);
		ck_assert_int_ge(
			sd_bus_message_append(m, "a{sv}", 1, keys[i], "v", "v", "v", "y", 1), 0);
		ck_nonsense(m, "BadOption");
	}
}
END_TEST

START_TEST(options_twice)
{
	sd_bus_message *m = request(NIC);

	ck_assert_int_ge(
		sd_bus_message_append(m, "a{sv}", 2, "mode", "s", "cdev", "mode", "s", "group"), 0);
	ck_nonsense(m, "BadOption");
	m = request(NIC);
	ck_assert_int_ge(sd_bus_message_append(m, "a{sv}", 2, "persist", "b", 0, "persist", "b", 0),
			 0);
	ck_nonsense(m, "BadOption");
}
END_TEST

static char *long_string(size_t n)
{
	char *s = malloc(n + 1);

	memset(s, 'a', n);
	s[n] = 0;
	return s;
}

START_TEST(giant_strings)
{
	_cleanup_free_ char *big = long_string(4 << 20);
	_cleanup_free_ char *path = mock_asprintf(DEVICE_PATH "%s", big);
	sd_bus_message *m;

	ck_assert_int_ge(sd_bus_message_append((m = request(big)), "a{sv}", 0), 0);
	ck_nonsense(m, "BadOption");
	ck_assert_int_ge(sd_bus_message_append((m = request(path)), "a{sv}", 0), 0);
	ck_nonsense(m, "BadOption");
	ck_assert_int_ge(sd_bus_message_append((m = request(NIC)), "a{sv}", 1, "name", "s", big),
			 0);
	ck_nonsense(m, "BadOption");
	ck_assert_int_ge(sd_bus_message_append((m = request(NIC)), "a{sv}", 1, "mode", "s", big),
			 0);
	ck_nonsense(m, "BadOption");
	ck_assert_int_ge(sd_bus_message_append((m = request(NIC)), "a{sv}", 1, big, "s", "x"), 0);
	ck_nonsense(m, "BadOption");
	ck_assert_int_ge(
		sd_bus_message_append((m = request(NIC)), "a{sv}", 1, "withhold", "as", 1, big), 0);
	ck_nonsense(m, "BadOption");
	ck_assert_int_ge(sd_bus_message_append((m = request(NIC)), "a{sv}", 1, "expect", "a{ss}", 1,
					       NIC, big),
			 0);
	ck_nonsense(m, "BadOption");
	ck_assert_str_eq(call_error(alice, VFIOD_ROOT, "Manager", "FindDevice", "s", big),
			 "NoSuchDevice");
	ck_assert_str_eq(call_error(alice, VFIOD_ROOT, "Manager", "FindLease", "s", big),
			 "NoSuchLease");
	ck_served();
}
END_TEST

static void append_many(sd_bus_message *m, size_t n)
{
	ck_assert_int_ge(sd_bus_message_open_container(m, 'a', "s"), 0);
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *name =
			mock_asprintf("0000:%02zx:%02zx.0", i / 32 % 256, i % 32);

		ck_assert_int_ge(sd_bus_message_append(m, "s", name), 0);
	}
	ck_assert_int_ge(sd_bus_message_close_container(m), 0);
}

START_TEST(giant_arrays)
{
	sd_bus_message *m = call_new(alice, VFIOD_ROOT, "Manager", "Acquire");

	append_many(m, 100000);
	ck_assert_int_ge(sd_bus_message_append(m, "a{sv}", 0), 0);
	ck_nonsense(m, "QuotaExceeded");
	m = request(NIC);
	ck_assert_int_ge(sd_bus_message_open_container(m, 'a', "{sv}"), 0);
	ck_assert_int_ge(sd_bus_message_open_container(m, 'e', "sv"), 0);
	ck_assert_int_ge(sd_bus_message_append(m, "s", "withhold"), 0);
	ck_assert_int_ge(sd_bus_message_open_container(m, 'v', "as"), 0);
	append_many(m, 100000);
	ck_assert_int_ge(sd_bus_message_close_container(m), 0);
	ck_assert_int_ge(sd_bus_message_close_container(m), 0);
	ck_assert_int_ge(sd_bus_message_close_container(m), 0);
	ck_nonsense(m, "QuotaExceeded");
	/* A hundred thousand options. */
	m = request(NIC);
	ck_assert_int_ge(sd_bus_message_open_container(m, 'a', "{sv}"), 0);
	for (int i = 0; i < 100000; i++)
		ck_assert_int_ge(sd_bus_message_append(m, "{sv}", "x", "y", 0), 0);
	ck_assert_int_ge(sd_bus_message_close_container(m), 0);
	ck_nonsense(m, "BadOption");
	/* Root's question for somebody else. */
	m = call_new(root, VFIOD_ROOT, "Manager", "Explain");
	ck_assert_int_ge(sd_bus_message_append(m, "as", 1, NIC), 0);
	ck_assert_int_ge(
		sd_bus_message_append(m, "a{sv}", 2, "uid", "u", 5, "gids", "au", 3, 1, 2, 3), 0);
	m = call_wait(call_send(root, m));
	ck_assert_str_eq(error_of(m), "");
	sd_bus_message_unref(m);
	/* Not alice's. */
	m = call_new(alice, VFIOD_ROOT, "Manager", "Explain");
	ck_assert_int_ge(sd_bus_message_append(m, "asa{sv}", 1, NIC, 1, "uid", "u", 0), 0);
	ck_nonsense(m, "DBus.AccessDenied");
	ck_served();
}
END_TEST

START_TEST(odd_names)
{
	static const char *const names[] = {
		"",
		" ",
		"/",
		"..",
		"../0000:03:00.0",
		"0000:03:00.0/..",
		"*",
		"%s%n",
		"0000:03:00.0\n",
		"\x01",
		"\xc3\xa9",
		"0000:03:00.0 ",
		"pool:",
		"pool:*",
		"POOL:pair",
		"pool:pair*",
		"pool:pair*0",
		"pool:pair*x",
		"pool:pair*-1",
		"pool:nobody*3",
		"/org",
		"/org/vfiod1/device",
		"/org/vfiod1/device/pci_0000_03_00_0/x",
		"/org/vfiod1/device/_",
		"0000:3:0.0",
		"00000000:03:00.0",
		"0000:03:00.00",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_claim_ struct claim claim = acquire(alice, .devices = { names[i] });

		ck_assert_msg(streq(claim.error, "NoSuchDevice") || streq(claim.error, "BadOption"),
			      "\"%s\": \"%s\" %s", names[i], claim.error, claim.message);
		for (const char *p = claim.message; *p; p++)
			ck_assert_msg((unsigned char)*p >= ' ' || *p == '\n' || *p == '\t',
				      "a control character in \"%s\"", claim.message);
	}
}
END_TEST

/* Methods with what they do not take, and signals and replies that nobody asked for. */
START_TEST(odd_messages)
{
	const char *const members[] = { "Acquire", "Explain", "FindDevice", "FindGroup",
					"FindLease" };
	sd_bus_message *m = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		ck_assert_str_eq(call_error(alice, VFIOD_ROOT, "Manager", members[i], NULL),
				 "DBus.InvalidArgs");
		ck_assert_str_eq(call_error(alice, VFIOD_ROOT, "Manager", members[i], "a{sv}", 0),
				 "DBus.InvalidArgs");
	}
	ck_assert_str_eq(call_error(alice, VFIOD_ROOT, "org.freedesktop.DBus.Properties", "Get",
				    "ss", "org.vfiod1.Nothing", "X"),
			 "DBus.UnknownProperty");
	ck_assert_int_ge(sd_bus_message_new_signal(alice->bus, &m, VFIOD_ROOT, "org.vfiod1.Manager",
						   "Acquire"),
			 0);
	ck_assert_int_ge(sd_bus_message_append(m, "asa{sv}", 1, NIC, 0), 0);
	ck_assert_int_ge(sd_bus_message_set_destination(m, VFIOD_NAME), 0);
	ck_assert_int_ge(sd_bus_send(alice->bus, m, NULL), 0);
	sd_bus_message_unref(m);
	ck_served();
}
END_TEST

/* Fifteen fds with a call that takes one. */
START_TEST(fds_along)
{
	for (int round = 0; round < 20; round++) {
		sd_bus_message *m = request(NIC);

		ck_assert_int_ge(sd_bus_message_open_container(m, 'a', "{sv}"), 0);
		for (int i = 0; i < 15; i++)
			ck_assert_int_ge(sd_bus_message_append(m, "{sv}", i ? "x" : "lifeline", "h",
							       bed.notify),
					 0);
		ck_assert_int_ge(sd_bus_message_close_container(m), 0);
		ck_nonsense(m, "BadOption");
	}
	UNTIL(daemon_fds() <= fds_before);
}
END_TEST

/* ---- churn */

/* Leases come and go; nothing grows. */
START_TEST(churn)
{
	for (int i = 0; i < 40; i++) {
		_cleanup_claim_ struct claim claim = acquire(
			i % 2 ? alice : bob, .devices = { BARE }, .mode = i % 3 ? "cdev" : "group");

		ck_claimed(claim);
		if (i % 4) {
			_cleanup_taken_ struct taken taken = { 0 };

			take(claim.handoff, &taken);
			ck_assert_str_eq(taken.last, "end 2");
		}
		ck_assert_str_eq(release(i % 2 ? alice : bob, claim.lease), "");
		UNTIL(lease_gone(root, claim.lease));
	}
	{
		_cleanup_strv_ char **left = tree_list(bed.host->fd, "run/leases");

		ck_assert_msg(!*left, "%s is left", *left);
	}
}
END_TEST

/* The same device, by everybody at once: one has it. */
START_TEST(race)
{
	struct client *clients[6];

	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		clients[i] = client_new(i % 2 ? ALICE : BOB);
	for (int round = 0; round < 10; round++) {
		struct pending *pending[ARRAY_SIZE(clients)];
		struct claim claims[ARRAY_SIZE(clients)];
		size_t n = 0;

		for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
			pending[i] = acquire_start(clients[i], &(struct ask){ .devices = { NIC } });
		for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
			claims[i] = acquire_wait(pending[i]);
			n += !*claims[i].error;
			ck_assert_msg(!*claims[i].error ||
					      strncmp(claims[i].error, "Group", 5) == 0,
				      "%s", claims[i].error);
		}
		ck_assert_uint_eq(n, 1);
		for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
			if (!*claims[i].error) {
				ck_assert_str_eq(release(clients[i], claims[i].lease), "");
				UNTIL(lease_gone(root, claims[i].lease));
			}
			claim_done(&claims[i]);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		client_free(clients[i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flood");

	bed_test(suite, set_up, tear_down, pending_calls, 1);
	bed_test(suite, set_up, tear_down, pending_requests, 1);
	bed_test(suite, set_up, tear_down, refused_a_thousand_times, 1);
	bed_test(suite, set_up, tear_down, whole_picture, 1);
	bed_test(suite, set_up, tear_down, come_and_go, 1);
	bed_test(suite, set_up, tear_down, option_types, 1);
	bed_test(suite, set_up, tear_down, options_twice, 1);
	bed_test(suite, set_up, tear_down, giant_strings, 1);
	bed_test(suite, set_up, tear_down, giant_arrays, 1);
	bed_test(suite, set_up, tear_down, odd_names, 1);
	bed_test(suite, set_up, tear_down, odd_messages, 1);
	bed_test(suite, set_up, tear_down, fds_along, 1);
	bed_test(suite, set_up, tear_down, churn, 1);
	bed_test(suite, set_up, tear_down, race, 1);
	return bed_main(suite, true);
}
