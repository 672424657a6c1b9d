/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The policy: all or nothing. A broken one is told with file, line and column, and the old one
 * stays; none at all is no. By method and by SIGHUP, one or many at once, under claims.
 */

#include "tests/bus/picture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

static struct client *alice, *root;
static struct watch *watch;

static void set_up(void)
{
	bed_start();
	alice = client_new(ALICE);
	root = client_new(0);
	watch = watch_new(CAROL);
}

static void tear_down(void)
{
	client_free(alice);
	client_free(root);
	watch_settled(watch);
	watch_free(watch);
	bed_stop();
}

static bool serial_is(const char *serial)
{
	return property_is(root, VFIOD_ROOT, "Manager", "PolicySerial", serial);
}

static const char *reload(void)
{
	return call_error(root, VFIOD_ROOT, "Manager", "Reload", NULL);
}

/* Whether alice may have a device, and by which rule; does not take it. */
static bool alice_may(const char *device)
{
	sd_bus_message *m = call(alice, VFIOD_ROOT, "Manager", "Explain", "asa{sv}", 1, device, 0);
	_cleanup_free_ char *text = value_text(m);
	bool yes = strstr(text, "allowed: true");

	ck_assert_str_eq(error_of(m), "");
	sd_bus_message_unref(m);
	return yes;
}

/* One rule for alice. */
static char *policy(const char *id, const char *devices)
{
	return mock_asprintf("{ \"version\": 1, \"rules\": [ { \"id\": \"%s\", \"subjects\": [ { "
			     "\"users\": [%u] } ], \"devices\": [ { \"address\": \"%s\" } ],\n"
			     "\"allow\": [\"acquire\"], \"modes\": [\"cdev\"], \"consent\": { "
			     "\"drivers\": [\"*\"] } } ] }\n",
			     id, ALICE, devices);
}

START_TEST(good)
{
	_cleanup_free_ char *text = policy("only", NIC);

	ck_assert(alice_may(NIC) && alice_may(ADMIN));
	watch_settled(watch);
	watch_clear(watch);
	bed_policy("50-test.json", text);
	/* Not before it is said. */
	ck_assert(alice_may(ADMIN));
	ck_assert_str_eq(reload(), "");
	ck_assert(alice_may(NIC) && !alice_may(ADMIN));
	ck_assert(serial_is("2"));
	watch_settled(watch);
	ck_assert_uint_eq(watch_count(watch, "changed " VFIOD_ROOT ": "), 1);
}
END_TEST

START_TEST(hangup)
{
	_cleanup_free_ char *text = policy("only", NIC);

	bed_policy("50-test.json", text);
	kill(bed.daemon, SIGHUP);
	UNTIL(serial_is("2"));
	ck_assert(alice_may(NIC) && !alice_may(ADMIN));
	bed_policy("50-test.json", "{");
	kill(bed.daemon, SIGHUP);
	UNTIL(daemon_said("The policy was not taken"));
	ck_assert(alice_may(NIC) && !alice_may(ADMIN));
	ck_assert(serial_is("2"));
}
END_TEST

static const struct {
	const char *text, *place;
} broken[] = {
	{ "", NULL }, /* an empty file masks: no error */
	{ "{", "60-broken.json:1:" },
	{ "{ \"version\": 1,\n  \"rules\": [ { \"id\": 1 } ] }", "60-broken.json:2:22:" },
	{ "{ \"version\": 1,\n\n \"rule\": [] }", "60-broken.json:3:2:" },
	{ "{ \"version\": 2 }", "60-broken.json:1:14:" },
	{ "{ \"version\": 1, \"version\": 1 }", "60-broken.json:1:17:" },
	{ "{ \"version\": 1, \"rules\": [] } x", "60-broken.json:1:31:" },
	{ "[]", "60-broken.json:1:1:" },
	{ "\xff", "60-broken.json:1:1:" },
	{ "{ \"version\": 1, \"rules\": [ { \"id\": \"alice\", \"subjects\": [ { \"users\": "
	  "[\"*\"] } "
	  "],\n \"devices\": [ { \"address\": \"*\" } ], \"deny\": true } ] }",
	  "60-broken.json" }, /* the id is another file's too */
	{ "{ \"version\": 1, \"rules\": [ { \"id\": \"d\", \"subjects\": [ { \"users\": "
	  "[\"no such user\"] } ],\n \"devices\": [ { \"address\": \"*\" } ], \"deny\": true } ] }",
	  "60-broken.json:1:" },
};

START_TEST(bad)
{
	sd_bus_message *m;

	watch_settled(watch);
	watch_clear(watch);
	bed_policy("60-broken.json", broken[_i].text);
	for (int i = 0; i < 3; i++) {
		m = call(root, VFIOD_ROOT, "Manager", "Reload", NULL);
		ck_assert_str_eq(error_of(m), broken[_i].place ? "PolicyInvalid" : "");
		if (broken[_i].place)
			ck_assert_msg(strstr(message_of(m), broken[_i].place),
				      "%s is not in \"%s\"", broken[_i].place, message_of(m));
		sd_bus_message_unref(m);
	}
	/* The old one stays in force. */
	ck_assert(alice_may(NIC));
	if (broken[_i].place) {
		ck_assert(serial_is("1"));
		watch_settled(watch);
		ck_assert_uint_eq(watch_count(watch, "changed " VFIOD_ROOT ":"), 0);
	}
	/* And it can be mended. */
	bed_policy("60-broken.json", NULL);
	ck_assert_str_eq(reload(), "");
}
END_TEST

/* Files that somebody else could write are not read. */
START_TEST(untrusted)
{
	_cleanup_free_ char *path = mock_asprintf("%s/host/policy.d/60-more.json", bed.dir);
	_cleanup_free_ char *dir = mock_asprintf("%s/host/policy.d", bed.dir);
	_cleanup_free_ char *text = policy("more", NIC);

	bed_policy("60-more.json", text);
	ck_assert_str_eq(reload(), "");
	chmod(path, 0666);
	ck_assert_str_eq(reload(), "PolicyInvalid");
	chmod(path, 0644);
	ck_assert_int_eq(chown(path, ALICE, (gid_t)-1), 0);
	ck_assert_str_eq(reload(), "PolicyInvalid");
	ck_assert_int_eq(chown(path, 0, (gid_t)-1), 0);
	chmod(dir, 0777);
	ck_assert_str_eq(reload(), "PolicyInvalid");
	chmod(dir, 0755);
	ck_assert_str_eq(reload(), "");
	unlink(path);
	/* No fifo holds the daemon up. */
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_str_eq(reload(), "PolicyInvalid");
	unlink(path);
	ck_assert_int_eq(symlink("/dev/null", path), 0);
	ck_assert_str_eq(reload(), "");
	ck_assert(alice_may(NIC));
}
END_TEST

START_TEST(none)
{
	_cleanup_claim_ struct claim before = acquire(alice, .devices = { BARE }), after = { 0 };

	ck_claimed(before);
	bed_policy("50-test.json", NULL);
	ck_assert_str_eq(reload(), "");
	after = acquire(alice, .devices = { NIC });
	ck_refused(after, "NotPermitted");
	ck_property(root, VFIOD_ROOT, "Manager", "PolicyFiles", "[]");
	/* What was given stays given. */
	ck_property(alice, before.lease, "Lease", "State", "leased");
	ck_assert_str_eq(release(alice, before.lease), "");
	UNTIL(lease_gone(alice, before.lease));
}
END_TEST

/* A broken one from the start: nobody gets anything, and the daemon runs. */
START_TEST(broken_from_the_start)
{
	bed_make();
	bed_policy("60-broken.json", "{ \"version\": 1 ");
	bus_start();
	daemon_start();
	alice = client_new(ALICE);
	root = client_new(0);
	{
		_cleanup_claim_ struct claim claim = acquire(root, .devices = { NIC });

		ck_refused(claim, "NotPermitted");
	}
	ck_assert(!alice_may(NIC));
	ck_assert(serial_is("0"));
	ck_assert(daemon_said("60-broken.json:1:"));
	UNTIL(bed.status && strstr(bed.status, "no policy is in force"));
	bed_policy("60-broken.json", NULL);
	ck_assert_str_eq(reload(), "");
	ck_assert(alice_may(NIC));
	client_free(alice);
	client_free(root);
	bed_stop();
}
END_TEST

/* Many at once, good and bad: each is answered, and the last word is what is there. */
START_TEST(many_at_once)
{
	struct pending *pending[10];
	_cleanup_free_ char *only = policy("only", NIC);

	for (size_t i = 0; i < ARRAY_SIZE(pending); i++) {
		bed_policy("50-test.json", i % 2 ? only : "{ \"version\": 3 }");
		pending[i] = call_start(root, VFIOD_ROOT, "Manager", "Reload", NULL);
		if (i % 3 == 0)
			bed_turn();
		if (i % 4 == 0)
			kill(bed.daemon, SIGHUP);
	}
	for (size_t i = 0; i < ARRAY_SIZE(pending); i++) {
		sd_bus_message *m = call_wait(pending[i]);
		const char *error = error_of(m);

		ck_assert_msg(!*error || streq(error, "PolicyInvalid"), "%s", error);
		sd_bus_message_unref(m);
	}
	ck_assert_str_eq(reload(), "");
	ck_assert(alice_may(NIC) && !alice_may(ADMIN));
	/* Who asks and goes is no harm. */
	for (int i = 0; i < 10; i++) {
		struct client *c = client_new(0);

		ck_assert_int_ge(sd_bus_get_unique_name(c->bus, &(const char *){ NULL }), 0);
		call_drop(call_start(c, VFIOD_ROOT, "Manager", "Reload", NULL));
		sd_bus_flush(c->bus);
		client_free(c);
	}
	ck_assert_str_eq(reload(), "");
}
END_TEST

/* While a claim is being made: decided by the one that was in force. */
START_TEST(under_a_claim)
{
	struct pending *pending;
	_cleanup_claim_ struct claim claim = { 0 }, again = { 0 };
	_cleanup_free_ char *other = policy("other", BARE);

	tree_write(bed.host->fd, "200", "slow/PROBE/" NIC);
	pending = acquire_start(alice, &(struct ask){ .devices = { NIC } });
	UNTIL(property_is(root, "/org/vfiod1/group/3", "Group", "State", "preparing"));
	bed_policy("50-test.json", other);
	ck_assert_str_eq(reload(), "");
	claim = acquire_wait(pending);
	ck_claimed(claim);
	ck_property(alice, claim.lease, "Lease", "Rules",
		    "[(" DEVICE_PATH "pci_0000_03_00_0, alice)]");
	again = acquire(alice, .devices = { ADMIN });
	ck_refused(again, "NotPermitted");
}
END_TEST

/* Names are resolved again. */
START_TEST(names)
{
	bed_policy("50-test.json",
		   "{ \"version\": 1, \"rules\": [ { \"id\": \"n\", \"subjects\": [ { \"users\": "
		   "[\"root\", \"nobody-of-this-name\"] } ], \"devices\": [ { \"address\": \"*\" "
		   "} ], \"allow\": [\"acquire\"], \"modes\": [\"cdev\"], \"consent\": { "
		   "\"drivers\": [\"*\"] } } ] }\n");
	ck_assert_str_eq(reload(), "");
	ck_assert(daemon_said("nobody-of-this-name"));
	ck_assert(!alice_may(NIC));
	{
		_cleanup_claim_ struct claim claim = acquire(root, .devices = { NIC });

		ck_claimed(claim);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reload");

	bed_test(suite, set_up, tear_down, good, 1);
	bed_test(suite, set_up, tear_down, hangup, 1);
	bed_test(suite, set_up, tear_down, bad, ARRAY_SIZE(broken));
	bed_test(suite, set_up, tear_down, untrusted, 1);
	bed_test(suite, set_up, tear_down, none, 1);
	bed_test(suite, NULL, NULL, broken_from_the_start, 1);
	bed_test(suite, set_up, tear_down, many_at_once, 1);
	bed_test(suite, set_up, tear_down, under_a_claim, 1);
	bed_test(suite, set_up, tear_down, names, 1);
	return bed_main(suite, true);
}
