/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What broke: an error reaches the owner of the device and nobody else, a device that failed is
 * given to nobody until that is cleared, whatever happens to the daemon meanwhile, and the counters
 * are what sysfs says.
 */

#include "tests/bus/picture.h"

#include <stdio.h>

#define NIC_PATH DEVICE_PATH "pci_0000_03_00_0"

static struct client *alice, *bob, *root;

/* What each connection has heard: "EVENT DEVICE online health state source" a line. */
struct ear {
	struct client *client;
	sd_bus_slot *slot;
	char **heard;
};
static struct ear ears[4];

static char *detail(sd_bus_message *m, const char *wanted)
{
	const char *key;
	char *text = NULL;

	ck_assert_int_ge(sd_bus_message_rewind(m, 1), 0);
	ck_assert_int_ge(sd_bus_message_skip(m, "os"), 0);
	ck_assert_int_ge(sd_bus_message_enter_container(m, 'a', "{sv}"), 0);
	while (!text && sd_bus_message_enter_container(m, 'e', "sv") > 0) {
		const char *contents;

		ck_assert_int_ge(sd_bus_message_read(m, "s", &key), 0);
		ck_assert_int_ge(sd_bus_message_peek_type(m, NULL, &contents), 0);
		ck_assert_int_ge(sd_bus_message_enter_container(m, 'v', contents), 0);
		if (streq(key, wanted))
			text = value_text(m);
		else
			ck_assert_int_ge(sd_bus_message_skip(m, contents), 0);
		sd_bus_message_exit_container(m);
		sd_bus_message_exit_container(m);
	}
	return text;
}

static int on_error(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	_cleanup_free_ char *online = detail(m, "online"), *health = detail(m, "health");
	_cleanup_free_ char *state = detail(m, "state"), *source = detail(m, "source");
	struct ear *ear = userdata;
	const char *device, *event;

	ck_assert_int_ge(sd_bus_message_rewind(m, 1), 0);
	ck_assert_int_ge(sd_bus_message_read(m, "os", &device, &event), 0);
	ck_assert_int_ge(strv_extendf(&ear->heard, "%s %s %s %s %s %s", event,
				      device + strlen(DEVICE_PATH), online, health, state,
				      source ? source + strlen(DEVICE_PATH) : "-"),
			 0);
	return 0;
}

static struct ear *listen(struct client *client)
{
	struct ear *ear = ears;

	while (ear->client)
		ear++;
	ear->client = client;
	ck_assert_int_ge(sd_bus_add_match(client->bus, &ear->slot,
					  "type='signal',interface='org.vfiod1.Lease',"
					  "member='DeviceError'",
					  on_error, ear),
			 0);
	return ear;
}

static void start(void)
{
	bed_start();
	alice = client_new(ALICE);
	bob = client_new(BOB);
	root = client_new(0);
}

static void stop(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(ears); i++) {
		sd_bus_slot_unref(ears[i].slot);
		strv_free(ears[i].heard);
	}
	memset(ears, 0, sizeof(ears));
	alice = client_free(alice);
	bob = client_free(bob);
	root = client_free(root);
	bed_stop();
}

static void breaks(const char *device, const char *event)
{
	mk_error_event(bed.host->fd, device, event, streq(event, "SUCCESSFUL_RECOVERY"));
}

static bool health_is(const char *health)
{
	return property_is(root, NIC_PATH, "Device", "Health", health);
}

/* A round trip of each: what was sent before has come. */
static void all_heard(void)
{
	struct client *clients[] = { alice, bob, root };

	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		if (clients[i])
			ck_assert_str_eq(call_error(clients[i], VFIOD_ROOT,
						    "org.freedesktop.DBus.Peer", "Ping", ""),
					 "");
}

START_TEST(test_the_owner_hears_of_it_and_nobody_else)
{
	struct ear *owner = listen(alice), *other = listen(bob), *admin = listen(root);
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });

	ck_claimed(claim);
	breaks(NIC, "BEGIN_RECOVERY");
	UNTIL(strv_length(owner->heard) == 1);
	ck_assert_str_eq(owner->heard[0],
			 "begin-recovery pci_0000_03_00_0 false recovering granted -");
	ck_assert(health_is("recovering"));
	breaks(NIC, "SUCCESSFUL_RECOVERY");
	UNTIL(strv_length(owner->heard) == 2);
	ck_assert_str_eq(owner->heard[1], "successful-recovery pci_0000_03_00_0 true ok granted -");
	ck_assert(health_is("ok"));
	/* What is in no lease is told to nobody. */
	breaks(ADMIN, "BEGIN_RECOVERY");
	breaks(ADMIN, "SUCCESSFUL_RECOVERY");
	ck_assert(daemon_said("begin-recovery, of lease"));
	all_heard();
	ck_assert_uint_eq(strv_length(owner->heard), 2);
	ck_assert_uint_eq(strv_length(other->heard), 0);
	ck_assert_uint_eq(strv_length(admin->heard), 0);
}
END_TEST

START_TEST(test_who_controls_may_subscribe)
{
	struct client *sibling = client_new(ALICE);
	struct ear *owner = listen(alice), *second = listen(sibling), *other = listen(bob);
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC }, .persist = true, .shared = true);

	ck_claimed(claim);
	ck_assert_str_eq(call_error(bob, claim.lease, "Lease", "Subscribe", ""),
			 "DBus.AccessDenied");
	ck_assert_str_eq(call_error(sibling, claim.lease, "Lease", "Subscribe", ""), "");
	/* Twice is once. */
	ck_assert_str_eq(call_error(sibling, claim.lease, "Lease", "Subscribe", ""), "");
	ck_assert_str_eq(call_error(alice, claim.lease, "Lease", "Subscribe", ""), "");
	breaks(NIC, "BEGIN_RECOVERY");
	UNTIL(strv_length(owner->heard) == 1 && strv_length(second->heard) == 1);
	/* The one that acquired it goes: the other one hears on. */
	sd_bus_slot_unref(owner->slot);
	owner->slot = NULL;
	alice = client_free(alice);
	breaks(NIC, "SUCCESSFUL_RECOVERY");
	UNTIL(strv_length(second->heard) == 2);
	ck_assert_uint_eq(strv_length(other->heard), 0);
	sd_bus_slot_unref(second->slot);
	second->slot = NULL;
	client_free(sibling);
}
END_TEST

START_TEST(test_subscriptions_are_bounded)
{
	struct client *many[9];
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC }, .shared = true);

	ck_claimed(claim);
	for (int i = 0; i < 9; i++) {
		many[i] = client_new(ALICE);
		ck_assert_str_eq(call_error(many[i], claim.lease, "Lease", "Subscribe", ""),
				 i < 8 ? "" : "QuotaExceeded");
	}
	/* One goes, and there is room. */
	many[0] = client_free(many[0]);
	UNTIL(streq(call_error(many[8], claim.lease, "Lease", "Subscribe", ""), ""));
	for (int i = 1; i < 9; i++)
		client_free(many[i]);
}
END_TEST

static void ck_nobody_gets_it(void)
{
	_cleanup_claim_ struct claim claim = acquire(bob, .devices = { NIC });
	_cleanup_claim_ struct claim admin = acquire(root, .devices = { NIC });

	ck_refused(claim, "DeviceFailed");
	ck_assert(strstr(claim.message, "vfiodctl clear"));
	ck_refused(admin, "DeviceFailed");
}

START_TEST(test_what_failed_is_given_to_nobody)
{
	struct ear *owner = listen(alice);
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });

	ck_claimed(claim);
	breaks(NIC, "BEGIN_RECOVERY");
	breaks(NIC, "FAILED_RECOVERY");
	UNTIL(strv_length(owner->heard) == 2);
	ck_assert_str_eq(owner->heard[1],
			 "failed-recovery pci_0000_03_00_0 false failed granted -");
	/* Who has it keeps it: it is theirs to shut down. */
	ck_property(root, claim.lease, "Lease", "State", "leased");
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(lease_gone(root, claim.lease));
	ck_nobody_gets_it();
	/* A later error that went well does not make it well. */
	breaks(NIC, "BEGIN_RECOVERY");
	breaks(NIC, "SUCCESSFUL_RECOVERY");
	ck_nobody_gets_it();
	/* Neither does a restart of the daemon, at whatever instruction it ends. */
	daemon_kill();
	daemon_start();
	ck_assert(health_is("failed"));
	ck_nobody_gets_it();
	ck_assert_int_eq(daemon_stop(), 0);
	daemon_start();
	ck_nobody_gets_it();
	/* Nor that somebody removes it and looks for it again. */
	ck_assert_str_eq(call_error(alice, NIC_PATH, "Device", "ClearError", ""),
			 "DBus.AccessDenied");
	ck_nobody_gets_it();
	ck_assert_str_eq(call_error(root, NIC_PATH, "Device", "ClearError", ""), "");
	ck_assert(health_is("ok"));
	{
		_cleanup_claim_ struct claim again = acquire(bob, .devices = { NIC });

		ck_claimed(again);
	}
	daemon_kill();
	daemon_start();
	ck_assert(health_is("ok"));
}
END_TEST

static void replug(unsigned int device)
{
	mock_device_remove(bed.host, "pci", NIC);
	mock_pci_add(bed.host, NIC, .vendor = 0x8086, .device = device, .class_code = 0x020000,
		     .group = 3, .iommu = "dmar0", .numa_node = -1);
}

/* A recovery whose end nobody heard: what may have failed is given to nobody. */
START_TEST(test_an_end_that_nobody_heard)
{
	breaks(NIC, "BEGIN_RECOVERY");
	UNTIL(health_is("recovering"));
	daemon_kill();
	daemon_start();
	ck_assert(health_is("failed"));
	ck_nobody_gets_it();
	/* It was not over: now it is. */
	breaks(NIC, "SUCCESSFUL_RECOVERY");
	UNTIL(health_is("ok"));
	/* The same with events that were lost. */
	breaks(NIC, "BEGIN_RECOVERY");
	UNTIL(health_is("recovering"));
	tree_write(bed.host->fd, "", "uevent-drops");
	kill(bed.daemon, SIGSTOP);
	for (int i = 0; i < 64; i++)
		mk_event(bed.host->fd, "change", "pci", DISK, "devices/x", NULL, NULL);
	breaks(NIC, "FAILED_RECOVERY");
	kill(bed.daemon, SIGCONT);
	ck_assert(tree_exists(bed.host->fd, "uevent-dropped"));
	mk_event_lost(bed.host->fd);
	UNTIL(health_is("failed"));
	ck_nobody_gets_it();
	ck_assert_str_eq(call_error(root, NIC_PATH, "Device", "ClearError", ""), "");
	daemon_kill();
	daemon_start();
	ck_assert(health_is("ok"));
}
END_TEST

/* It goes in the middle, and what comes is set up from the beginning; what has failed stays so. */
START_TEST(test_gone_in_the_middle)
{
	breaks(NIC, "BEGIN_RECOVERY");
	UNTIL(health_is("recovering"));
	replug(0x10d3);
	UNTIL(health_is("ok"));
	breaks(NIC, "BEGIN_RECOVERY");
	breaks(NIC, "FAILED_RECOVERY");
	UNTIL(health_is("failed"));
	replug(0x10d3);
	UNTIL(health_is("failed"));
}
END_TEST

/* It breaks after the decision, and before anybody has a descriptor of it. */
START_TEST(test_it_breaks_under_the_request)
{
	const struct ask ask = { .devices = { NIC } };
	struct claim claim;
	struct pending *claiming;

	tree_write(bed.host->fd, "1000\n", "slow/PROBE/" NIC);
	claiming = acquire_start(alice, &ask);
	UNTIL(host_did("UNBIND " NIC));
	breaks(NIC, "FAILED_RECOVERY");
	claim = acquire_wait(claiming);
	ck_refused(claim, "DeviceFailed");
	claim_done(&claim);
	ck_assert(health_is("failed"));
	ck_driver(NIC, "e1000e");
}
END_TEST

/* Thousands of errors: others are answered, and the last word counts. */
START_TEST(test_a_flood_of_errors)
{
	struct ear *owner = listen(alice), *other = listen(bob);
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });

	ck_claimed(claim);
	for (int i = 0; i < 1000; i++) {
		breaks(NIC, "BEGIN_RECOVERY");
		if (i % 100 == 0)
			ck_property(bob, DEVICE_PATH "pci_0000_04_00_0", "Device", "State", "host");
		breaks(NIC, "SUCCESSFUL_RECOVERY");
	}
	UNTIL(strv_length(owner->heard) == 2000);
	ck_assert(health_is("ok"));
	breaks(NIC, "FAILED_RECOVERY");
	UNTIL(strv_length(owner->heard) == 2001);
	all_heard();
	ck_assert_uint_eq(strv_length(other->heard), 0);
}
END_TEST

START_TEST(test_what_failed_may_be_kept_shut)
{
	_cleanup_claim_ struct claim claim = { .handoff = -EBADF };

	breaks(NIC_B, "FAILED_RECOVERY");
	UNTIL(property_is(root, DEVICE_PATH "pci_0000_02_02_0", "Device", "Health", "failed"));
	claim = acquire(alice, .devices = { NIC_A }, .withhold = { NIC_B });
	ck_claimed(claim);
	ck_assert_str_eq(
		call_error(alice, claim.lease, "Lease", "AddDevices", "asa{sv}", 1, NIC_B, 0),
		"DeviceFailed");
}
END_TEST

START_TEST(test_the_same_hardware_again_has_failed_still)
{
	breaks(NIC, "FAILED_RECOVERY");
	UNTIL(health_is("failed"));
	replug(0x10d3);
	UNTIL(health_is("failed"));
	replug(0x10d4);
	UNTIL(health_is("ok"));
	replug(0x10d3);
	UNTIL(property_is(root, NIC_PATH, "Device", "Product", "0x10d3"));
	ck_assert(health_is("ok"));
}
END_TEST

/* Older kernels say of the bridge alone that what is below it was not recovered. */
START_TEST(test_a_bridge_fails_for_what_is_below_it)
{
	struct ear *owner = listen(alice), *other = listen(bob);
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { BEHIND }, .withhold = { BRIDGE });

	ck_claimed(claim);
	breaks(BEHIND, "BEGIN_RECOVERY");
	breaks(BRIDGE, "FAILED_RECOVERY");
	UNTIL(strv_length(owner->heard) == 3);
	ck_assert(strstr(owner->heard[1], "failed-recovery"));
	ck_assert_msg(strstr(owner->heard[2], "failed-recovery") &&
			      strstr(owner->heard[2], " false failed granted pci_"),
		      "%s", owner->heard[2]);
	/* Newer ones say it of both: that is no second failure. */
	breaks(BEHIND, "FAILED_RECOVERY");
	all_heard();
	UNTIL(daemon_said("failed-recovery"));
	all_heard();
	ck_assert_uint_eq(strv_length(owner->heard), 3);
	ck_assert_uint_eq(strv_length(other->heard), 0);
}
END_TEST

static void write_counters(const char *correctable)
{
	_cleanup_free_ char *path = mk_device_path(bed.host->fd, "pci", NIC);

	tree_write(bed.host->fd, correctable, "%s/aer_dev_correctable", path);
	tree_write(bed.host->fd, "DLP 0\nTOTAL_ERR_NONFATAL 0\n", "%s/aer_dev_nonfatal", path);
	tree_write(bed.host->fd, "DLP 1\nTOTAL_ERR_FATAL 1\n", "%s/aer_dev_fatal", path);
}

START_TEST(test_counters_are_what_sysfs_says_now)
{
	_cleanup_free_ char *text = NULL, *none = NULL;

	none = property(root, NIC_PATH, "Device", "ErrorCounters");
	ck_assert_str_eq(none, "[]");
	write_counters("RxErr 2\nTOTAL_ERR_COR 2\n");
	breaks(NIC, "BEGIN_RECOVERY");
	UNTIL(health_is("recovering"));
	text = property(root, NIC_PATH, "Device", "ErrorCounters");
	ck_assert_msg(strstr(text, "RxErr") && strstr(text, "DLP") && strstr(text, "total"), "%s",
		      text);
	/* Without an event. */
	write_counters("RxErr 2\nBadTLP 77\nTOTAL_ERR_COR 79\n");
	free(text);
	text = property(root, NIC_PATH, "Device", "ErrorCounters");
	ck_assert_msg(strstr(text, "BadTLP") && strstr(text, "77"), "%s", text);
}
END_TEST

START_TEST(test_the_state_that_eeh_has)
{
	_cleanup_free_ char *path = mk_device_path(bed.host->fd, "pci", NIC);

	ck_property(root, NIC_PATH, "Device", "EehState", "");
	tree_write(bed.host->fd, "0x00000018 0x00000000\n", "%s/eeh_pe_state", path);
	breaks(NIC, "SUCCESSFUL_RECOVERY");
	UNTIL(property_is(root, NIC_PATH, "Device", "EehState", "normal"));
	tree_write(bed.host->fd, "0x00000000 0x00000001\n", "%s/eeh_pe_state", path);
	breaks(NIC, "BEGIN_RECOVERY");
	UNTIL(property_is(root, NIC_PATH, "Device", "EehState", "frozen"));
}
END_TEST

START_TEST(test_words_that_nobody_knows)
{
	struct ear *owner = listen(alice);
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });

	ck_claimed(claim);
	breaks(NIC, "SOMETHING_ELSE");
	UNTIL(daemon_said("SOMETHING_ELSE"));
	ck_assert(health_is("ok"));
	all_heard();
	ck_assert_uint_eq(strv_length(owner->heard), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("health");

	bed_test(suite, start, stop, test_the_owner_hears_of_it_and_nobody_else, 1);
	bed_test(suite, start, stop, test_who_controls_may_subscribe, 1);
	bed_test(suite, start, stop, test_subscriptions_are_bounded, 1);
	bed_test(suite, start, stop, test_what_failed_is_given_to_nobody, 1);
	bed_test(suite, start, stop, test_an_end_that_nobody_heard, 1);
	bed_test(suite, start, stop, test_gone_in_the_middle, 1);
	bed_test(suite, start, stop, test_it_breaks_under_the_request, 1);
	bed_test(suite, start, stop, test_a_flood_of_errors, 1);
	bed_test(suite, start, stop, test_what_failed_may_be_kept_shut, 1);
	bed_test(suite, start, stop, test_the_same_hardware_again_has_failed_still, 1);
	bed_test(suite, start, stop, test_a_bridge_fails_for_what_is_below_it, 1);
	bed_test(suite, start, stop, test_counters_are_what_sysfs_says_now, 1);
	bed_test(suite, start, stop, test_the_state_that_eeh_has, 1);
	bed_test(suite, start, stop, test_words_that_nobody_knows, 1);
	return bed_main(suite, true);
}
