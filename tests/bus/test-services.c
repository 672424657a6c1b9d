/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Others on the bus that the daemon asks: polkit, for the user's leave, and the service manager,
 * for kernel modules. They answer well, badly, late, or never, and the world moves on meanwhile.
 */

#include "tests/bus/change.h"
#include "tests/bus/picture.h"

#include <fcntl.h>
#include <stdio.h>

static struct client *alice, *bob, *root;
static char *before;

/* ---- the stand-in: one connection with both names, turned by the bed's loop */

static struct {
	struct client *client;
	sd_bus_message *asked; /* CheckAuthorization, unanswered */
	char *question;	       /* its arguments as text */
	char *cancelled;       /* the id of CancelCheckAuthorization */
	int questions;
	char **units;		  /* StartUnit */
	sd_bus_message *starting; /* unanswered */
	bool at_once;		  /* a unit is started as it is asked for */
} fake;

static int on_check(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (int i = 0; i < 5; i++) {
		_cleanup_free_ char *value = value_text(m);

		fprintf(f, "%s\n", value);
	}
	fclose(f);
	free(fake.question);
	fake.question = text;
	sd_bus_message_unref(fake.asked);
	fake.asked = sd_bus_message_ref(m);
	fake.questions++;
	return 1;
}

static int on_cancel(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	free(fake.cancelled);
	fake.cancelled = value_text(m);
	return sd_bus_reply_method_return(m, NULL);
}

/* Not by a vtable: that would let no wrong answer through. */
static int on_polkit(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	if (sd_bus_message_is_method_call(m, NULL, "CheckAuthorization"))
		return on_check(m, userdata, error);
	if (sd_bus_message_is_method_call(m, NULL, "CancelCheckAuthorization"))
		return on_cancel(m, userdata, error);
	return 0;
}

static void start_unit(sd_bus_message *m, const char *unit, const char *result)
{
	static unsigned int jobs;
	_cleanup_free_ char *job = mock_asprintf("/org/freedesktop/systemd1/job/%u", ++jobs);

	/* Its end may come before the reply to its beginning. */
	if (jobs % 2)
		sd_bus_reply_method_return(m, "o", job);
	sd_bus_emit_signal(fake.client->bus, "/org/freedesktop/systemd1",
			   "org.freedesktop.systemd1.Manager", "JobRemoved", "uoss", jobs, job,
			   unit, result);
	if (jobs % 2 == 0)
		sd_bus_reply_method_return(m, "o", job);
}

static int on_start_unit(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *unit, *mode;

	ck_assert_int_ge(sd_bus_message_read(m, "ss", &unit, &mode), 0);
	strv_extend(&fake.units, unit);
	if (fake.at_once) {
		if (streq(unit, "modprobe@vfio_pci.service"))
			mock_driver_add(bed.host, "pci", "vfio-pci", "vfio\n");
		if (streq(unit, "modprobe@vfio_iommu_type1.service"))
			tree_mkdir(bed.host->fd, "sys/module/vfio_iommu_type1");
		start_unit(m, unit, "done");
	} else {
		sd_bus_message_unref(fake.starting);
		fake.starting = sd_bus_message_ref(m);
	}
	return 1;
}

static const sd_bus_vtable manager_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("StartUnit", "ss", "o", on_start_unit, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

static void fake_start(const char *name)
{
	if (!fake.client) {
		fake.client = client_new(0);
		ck_assert_int_ge(sd_bus_add_object(fake.client->bus, NULL,
						   "/org/freedesktop/PolicyKit1/Authority",
						   on_polkit, NULL),
				 0);
		ck_assert_int_ge(sd_bus_add_object_vtable(
					 fake.client->bus, NULL, "/org/freedesktop/systemd1",
					 "org.freedesktop.systemd1.Manager", manager_vtable, NULL),
				 0);
	}
	ck_assert_int_ge(sd_bus_request_name(fake.client->bus, name, 0), 0);
}

static void fake_stop(void)
{
	sd_bus_message_unref(fake.asked);
	sd_bus_message_unref(fake.starting);
	free(fake.question);
	free(fake.cancelled);
	strv_free(fake.units);
	client_free(fake.client);
	memset(&fake, 0, sizeof(fake));
}

static void polkit_says(int authorized, int challenge)
{
	UNTIL(fake.asked);
	ck_assert_int_ge(
		sd_bus_reply_method_return(fake.asked, "(bba{ss})", authorized, challenge, 0), 0);
	fake.asked = sd_bus_message_unref(fake.asked);
}

/* ---- the bed */

/* One rule for alice and one for bob, which ask. */
static void asking_policy(const char *id)
{
	_cleanup_free_ char *text = mock_asprintf(
		"{ \"version\": 1, \"rules\": [ { \"id\": \"%s\", \"subjects\": [ { \"users\": "
		"[%u] } ], \"devices\": [ { \"address\": \"*\" } ],\n"
		"\"allow\": [\"acquire\", \"withhold\"], \"modes\": [\"cdev\", \"group\"],\n"
		"\"consent\": { \"drivers\": [\"*\"] }, \"auth\": \"polkit\" } ] }\n",
		id, ALICE);

	bed_policy("10-asking.json", text);
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Reload", NULL), "");
}

static void set_up(void)
{
	bed_start();
	alice = client_new(ALICE);
	bob = client_new(BOB);
	root = client_new(0);
	before = host_picture();
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
	client_free(root);
	fake_stop();
	now = host_picture();
	ck_same(before, now);
	free(before);
	bed_stop();
}

static void set_up_polkit(void)
{
	set_up();
	fake_start("org.freedesktop.PolicyKit1");
	asking_policy("asks");
}

/* ---- polkit */

START_TEST(yes)
{
	struct pending *pending =
		acquire_start(alice, &(struct ask){ .devices = { NIC_A }, .withhold = { NIC_B } });
	_cleanup_claim_ struct claim claim = { 0 };
	_cleanup_free_ char *subject = NULL;
	const char *name;

	UNTIL(fake.asked);
	/* Who, what, by which rule; and no dialog that nobody asked for. */
	sd_bus_get_unique_name(alice->bus, &name);
	subject = mock_asprintf("(system-bus-name, [name: %s])", name);
	ck_assert_ptr_nonnull(strstr(fake.question, subject));
	ck_assert_ptr_nonnull(strstr(fake.question, "org.vfiod1.acquire"));
	ck_assert_ptr_nonnull(strstr(fake.question, NIC_A));
	ck_assert_ptr_nonnull(strstr(fake.question, "rule: asks"));
	ck_assert_ptr_nonnull(strstr(fake.question, "\n0\n"));
	/* Nothing is done before the answer. */
	bed_sleep(50000);
	ck_driver(NIC_A, "e1000");
	ck_property(root, "/org/vfiod1/group/2", "Group", "State", "host");
	polkit_says(1, 0);
	claim = acquire_wait(pending);
	ck_claimed(claim);
	ck_assert_int_eq(fake.questions, 1);
	ck_assert_ptr_null(fake.cancelled);
}
END_TEST

START_TEST(interactive)
{
	struct pending *pending =
		acquire_start(alice, &(struct ask){ .devices = { NIC }, .interactive = true });
	_cleanup_claim_ struct claim claim = { 0 };

	UNTIL(fake.asked);
	ck_assert_ptr_nonnull(strstr(fake.question, "\n1\n"));
	polkit_says(1, 0);
	claim = acquire_wait(pending);
	ck_claimed(claim);
}
END_TEST

static const struct {
	int authorized, challenge;
	bool interactive;
	const char *text;
} no_answers[] = {
	{ 0, 0, false, "did not authorize" },
	{ 0, 0, true, "did not authorize" },
	{ 0, 1, false, "interactive" },
	{ 0, 1, true, "agent" },
};

START_TEST(no)
{
	struct pending *pending =
		acquire_start(alice, &(struct ask){ .devices = { NIC },
						    .interactive = no_answers[_i].interactive });
	_cleanup_claim_ struct claim claim = { 0 };

	polkit_says(no_answers[_i].authorized, no_answers[_i].challenge);
	claim = acquire_wait(pending);
	ck_refused(claim, "DBus.AccessDenied");
	ck_assert_msg(strstr(claim.message, no_answers[_i].text), "%s", claim.message);
	ck_driver(NIC, "e1000e");
}
END_TEST

/* Not there, gone in the middle, with an error, with nonsense. */
START_TEST(polkit_is_bad)
{
	struct pending *pending;
	_cleanup_claim_ struct claim claim = { 0 };

	if (_i == 0)
		sd_bus_release_name(fake.client->bus, "org.freedesktop.PolicyKit1");
	pending = acquire_start(alice, &(struct ask){ .devices = { NIC } });
	if (_i > 0)
		UNTIL(fake.asked);
	if (_i == 1)
		fake_stop();
	else if (_i == 2)
		sd_bus_reply_method_errorf(fake.asked, "org.freedesktop.PolicyKit1.Error.Failed",
					   "no");
	else if (_i == 3)
		ck_assert_int_ge(sd_bus_reply_method_return(fake.asked, "s", "yes"), 0);
	claim = acquire_wait(pending);
	ck_refused(claim, "DBus.AccessDenied");
	ck_driver(NIC, "e1000e");
}
END_TEST

/* Nobody else can be polkit. */
START_TEST(forged_answer)
{
	struct pending *pending = acquire_start(alice, &(struct ask){ .devices = { NIC } });
	_cleanup_claim_ struct claim claim = { 0 };

	UNTIL(fake.asked);
	ck_assert_int_lt(sd_bus_request_name(alice->bus, "org.freedesktop.PolicyKit1",
					     SD_BUS_NAME_REPLACE_EXISTING),
			 0);
	bed_sleep(100000);
	ck_assert_ptr_null(pending->reply);
	polkit_says(0, 0);
	claim = acquire_wait(pending);
	ck_refused(claim, "DBus.AccessDenied");
}
END_TEST

/* The dialog goes with its caller. */
START_TEST(caller_goes)
{
	struct pending *pending =
		acquire_start(alice, &(struct ask){ .devices = { NIC }, .interactive = true });
	_cleanup_free_ char *id = NULL;

	UNTIL(fake.asked);
	call_drop(pending);
	alice = client_free(alice);
	UNTIL(fake.cancelled);
	id = mock_asprintf("\n%s\n", fake.cancelled);
	ck_assert_ptr_nonnull(strstr(fake.question, id));
	/* Too late. */
	polkit_says(1, 0);
	bed_sleep(50000);
	ck_driver(NIC, "e1000e");
	ck_assert(all_home());
}
END_TEST

/*
 * More for a lease is asked about as a claim is: the lease that it is for, its groups, and the
 * policy may have changed when the answer comes.
 */
START_TEST(add_devices)
{
	struct pending *pending =
		acquire_start(alice, &(struct ask){ .devices = { NIC_A }, .withhold = { NIC_B } });
	_cleanup_claim_ struct claim claim = { 0 }, his = { .handoff = -EBADF };
	const char *device = _i % 2 ? NIC_B : NIC, *error = "";
	int fd;

	polkit_says(1, 0);
	claim = acquire_wait(pending);
	ck_claimed(claim);
	pending = add_start(alice, claim.lease, LIST(device), NULL);
	UNTIL(fake.asked);
	ck_assert_ptr_nonnull(strstr(fake.question, device));
	ck_assert_ptr_nonnull(strstr(fake.question, "rule: asks"));
	bed_sleep(50000);
	ck_assert(state_is(root, device, _i % 2 ? "withheld" : "host"));
	if (_i == 2) {
		his = acquire(bob, .devices = { NIC });
		ck_claimed(his);
		error = "GroupBusy";
	} else if (_i == 3 || _i == 4) {
		ck_assert_str_eq(release(alice, claim.lease), "");
		UNTIL(lease_gone(root, claim.lease));
		error = "NoSuchLease";
	} else if (_i == 5 || _i == 6) {
		asking_policy("asks-too");
		error = "GroupChanged";
	} else if (_i == 7) {
		mock_device_remove(bed.host, "pci", NIC_B);
		mock_pci_add(bed.host, NIC_B, .vendor = 0x8086, .device = 0x100e,
			     .class_code = 0x020000, .group = 2, .iommu = "dmar0", .numa_node = -1);
		mock_net_add(bed.host, NIC_B, "eth2", 4);
		UNTIL(state_is(root, NIC_B, "fenced"));
		error = "NotPermitted";
	} else if (_i == 8) {
		ck_assert_str_eq(revoke_lease(root, claim.lease, 600 * 1000000ULL), "");
		error = "NotPermitted";
	} else if (_i == 9) {
		ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Drain", "b", 1), "");
		error = "NotPermitted";
	} else if (_i == 10) {
		error = "DBus.AccessDenied";
	}
	polkit_says(_i != 10, 0);
	ck_assert_str_eq(add_wait(pending, &fd), error);
	fd_close(fd);
	if (!*error)
		ck_assert(state_is(root, device, "granted"));
	else if (_i != 2 && _i != 7)
		ck_assert(state_is(root, device, _i % 2 && _i != 3 ? "withheld" : "host"));
	if (_i == 9)
		ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Drain", "b", 0), "");
}
END_TEST

/* Nothing is reserved for who is being asked. */
START_TEST(taken_meanwhile)
{
	struct pending *pending = acquire_start(alice, &(struct ask){ .devices = { NIC } });
	_cleanup_claim_ struct claim his = { 0 }, hers = { 0 };

	UNTIL(fake.asked);
	his = acquire(bob, .devices = { NIC });
	ck_claimed(his);
	polkit_says(1, 0);
	hers = acquire_wait(pending);
	ck_refused(hers, "GroupBusy");
	ck_property(bob, his.lease, "Lease", "State", "leased");
}
END_TEST

/* What the user said yes to is not what would be done now. */
START_TEST(decision_changes)
{
	struct pending *pending =
		acquire_start(alice, &(struct ask){ .devices = { NIC_A }, .withhold = { NIC_B } });
	_cleanup_claim_ struct claim claim = { 0 };
	const char *error = "GroupChanged";

	UNTIL(fake.asked);
	if (_i == 0) {
		/* By another rule. */
		asking_policy("asks-too");
	} else if (_i == 1) {
		/* From another driver. */
		mk_unbind(bed.host->fd, "pci", "e1000", NIC_B);
		UNTIL(property_is(root, DEVICE_PATH "pci_0000_02_02_0", "Device", "Driver", ""));
	} else if (_i == 2) {
		/* Another device. */
		mock_device_remove(bed.host, "pci", NIC_B);
		mock_pci_add(bed.host, NIC_B, .vendor = 0x8086, .device = 0x100e,
			     .class_code = 0x020000, .group = 2, .iommu = "dmar0",
			     .driver = "e1000", .numa_node = -1);
		mock_net_add(bed.host, NIC_B, "eth2", 4);
		UNTIL(property_is(root, DEVICE_PATH "pci_0000_02_02_0", "Device", "Driver",
				  "e1000"));
	} else if (_i == 3) {
		/* In use by now. */
		mock_net_configure(bed.host, "eth2", "address 192.0.2.1/24\n");
		error = "DeviceInUse";
	} else {
		/* Not allowed any more. */
		bed_policy("10-asking.json", NULL);
		bed_policy("50-test.json", NULL);
		ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Reload", NULL), "");
		error = "NotPermitted";
	}
	polkit_says(1, 0);
	claim = acquire_wait(pending);
	ck_refused(claim, error);
	ck_driver(NIC_A, "e1000");
	ck_assert(all_home());
	ck_assert_int_eq(fake.questions, 1);
	tree_remove(bed.host->fd, "network");
	mk_probe(bed.host->fd, "pci", NIC_B);
}
END_TEST

/* A question asks nobody. */
START_TEST(explain)
{
	sd_bus_message *m = call(alice, VFIOD_ROOT, "Manager", "Explain", "asa{sv}", 1, NIC, 0);

	ck_assert_str_eq(error_of(m), "");
	sd_bus_message_unref(m);
	ck_assert_int_eq(fake.questions, 0);
}
END_TEST

/* Many dialogs: a user has so many, and others go on. */
START_TEST(many_dialogs)
{
	struct pending *pending[12];
	_cleanup_claim_ struct claim his = { 0 };
	size_t refused = 0;

	for (size_t i = 0; i < ARRAY_SIZE(pending); i++)
		pending[i] = acquire_start(
			alice, &(struct ask){ .devices = { NIC }, .interactive = true });
	UNTIL(fake.questions == 8);
	his = acquire(bob, .devices = { ADMIN });
	ck_claimed(his);
	for (size_t i = 0; i < ARRAY_SIZE(pending); i++)
		if (pending[i]->reply) {
			_cleanup_claim_ struct claim claim = acquire_wait(pending[i]);

			ck_refused(claim, "QuotaExceeded");
			refused++;
		} else {
			call_drop(pending[i]);
		}
	ck_assert_uint_eq(refused, 4);
}
END_TEST

/* ---- modules */

static void set_up_modules(void)
{
	set_up();
	fake_start("org.freedesktop.systemd1");
	/* No device was ever on it here. */
	for (int i = 0; i < 2; i++)
		mk_unbind(bed.host->fd, "pci", "vfio-pci", i ? VFIO_B : VFIO_A);
	tree_remove(bed.host->fd, "sys/bus/pci/drivers/vfio-pci");
	tree_remove(bed.host->fd, "sys/module/vfio_iommu_type1");
	UNTIL(property_is(root, DEVICE_PATH "pci_0000_06_00_1", "Device", "Driver", ""));
	free(before);
	before = host_picture();
}

START_TEST(loads)
{
	_cleanup_claim_ struct claim claim = { 0 };
	_cleanup_free_ char *units = NULL;

	fake.at_once = true;
	claim = acquire(alice, .devices = { NIC }, .mode = _i ? "group" : "cdev");
	ck_claimed(claim);
	strv_sort(fake.units);
	units = strv_join(fake.units, " ");
	ck_assert_str_eq(units, _i ? "modprobe@vfio_iommu_type1.service modprobe@vfio_pci.service"
				   : "modprobe@vfio_pci.service");
	ck_driver(NIC, "vfio-pci");
}
END_TEST

/* A device of a variant driver: by its module's alias. */
START_TEST(variant)
{
	_cleanup_claim_ struct claim claim = { 0 };
	_cleanup_free_ char *alias =
		mock_asprintf("vfio_pci:v%08Xd%08Xsv*sd*bc*sc*i*", 0x8086, 0x10d3);

	mock_alias_add(bed.host, alias, "e1000_vfio_pci");
	mock_driver_add(bed.host, "pci", "vfio-pci", "vfio\n");
	/* The table of aliases is read at the start. */
	ck_assert_int_eq(daemon_stop(), 0);
	daemon_start();
	fake.at_once = false;
	{
		struct pending *pending =
			acquire_start(alice, &(struct ask){ .devices = { NIC }, .mode = "cdev" });

		UNTIL(fake.starting);
		ck_assert_str_eq(fake.units[0], "modprobe@e1000_vfio_pci.service");
		mock_driver_add(bed.host, "pci", "e1000_vfio_pci", "vfio\n");
		start_unit(fake.starting, fake.units[0], "done");
		claim = acquire_wait(pending);
	}
	ck_claimed(claim);
	ck_driver(NIC, "e1000_vfio_pci");
	ck_override(NIC, "e1000_vfio_pci");
}
END_TEST

/* Not there, refuses, the job fails, goes away; and a module that is loaded and has no driver. */
START_TEST(does_not_load)
{
	struct pending *pending;
	_cleanup_claim_ struct claim claim = { 0 };

	if (_i == 0)
		sd_bus_release_name(fake.client->bus, "org.freedesktop.systemd1");
	pending = acquire_start(alice, &(struct ask){ .devices = { NIC }, .mode = "cdev" });
	if (_i > 0)
		UNTIL(fake.starting);
	if (_i == 1)
		sd_bus_reply_method_errorf(fake.starting, "org.freedesktop.systemd1.NoSuchUnit",
					   "no such unit");
	else if (_i == 2)
		start_unit(fake.starting, fake.units[0], "failed");
	else if (_i == 3)
		start_unit(fake.starting, fake.units[0], "skipped");
	else if (_i == 4)
		fake_stop();
	else if (_i == 5)
		start_unit(fake.starting, fake.units[0], "done");
	claim = acquire_wait(pending);
	ck_refused(claim, "DriverFailed");
	ck_assert_msg(_i == 5 || strstr(claim.message, "vfio"), "%s", claim.message);
	ck_driver(NIC, "e1000e");
	ck_override(NIC, "");
}
END_TEST

/* Loading takes its time: others go on, and who leaves leaves nothing. */
START_TEST(loads_slowly)
{
	struct pending *pending =
		acquire_start(alice, &(struct ask){ .devices = { NIC }, .mode = "cdev" });

	UNTIL(fake.starting);
	ck_assert_str_eq(call_error(bob, VFIOD_ROOT, "Manager", "FindGroup", "u", 3), "");
	call_drop(pending);
	alice = client_free(alice);
	mock_driver_add(bed.host, "pci", "vfio-pci", "vfio\n");
	start_unit(fake.starting, fake.units[0], "done");
	bed_sleep(100000);
	ck_driver(NIC, "e1000e");
	ck_assert(all_home());
}
END_TEST

/* Two that wait for the same module, and must not both have what they wait for. */
START_TEST(race_over_modules)
{
	static const char everybody[] =
		"{ \"version\": 1, \"rules\": [ { \"id\": \"all\", \"subjects\": [ { \"users\": "
		"[\"*\"] } ], \"devices\": [ { \"address\": \"*\" } ], \"allow\": [\"acquire\"],\n"
		"\"modes\": [\"cdev\"], \"consent\": { \"drivers\": [\"*\"] }, \"waive\": "
		"[\"vfs\"], \"limits\": { \"leases\": 1 } } ] }\n";
	const char *const firsts[] = { VF_A, NIC }, *const seconds[] = { PF, BARE };
	struct pending *first, *second;
	_cleanup_claim_ struct claim one = { 0 }, two = { 0 };
	sd_bus_message *job;

	bed_policy("10-all.json", everybody);
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Reload", NULL), "");
	first = acquire_start(alice, &(struct ask){ .devices = { firsts[_i] } });
	UNTIL(fake.starting);
	job = STEAL(fake.starting);
	/* A PF by another user than its VF; or a second lease of a user who may have one. */
	second = acquire_start(_i ? alice : bob, &(struct ask){ .devices = { seconds[_i] } });
	UNTIL(fake.starting);
	mock_driver_add(bed.host, "pci", "vfio-pci", "vfio\n");
	start_unit(job, "modprobe@vfio_pci.service", "done");
	start_unit(fake.starting, "modprobe@vfio_pci.service", "done");
	sd_bus_message_unref(job);
	one = acquire_wait(first);
	two = acquire_wait(second);
	ck_assert_msg(!*one.error != !*two.error, "\"%s\" and \"%s\"", one.error, two.error);
	if (*one.error)
		ck_refused(one, _i ? "QuotaExceeded" : "GroupBusy");
	else
		ck_refused(two, _i ? "QuotaExceeded" : "GroupBusy");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("services");

	bed_test(suite, set_up_polkit, tear_down, yes, 1);
	bed_test(suite, set_up_polkit, tear_down, interactive, 1);
	bed_test(suite, set_up_polkit, tear_down, no, ARRAY_SIZE(no_answers));
	bed_test(suite, set_up_polkit, tear_down, polkit_is_bad, 4);
	bed_test(suite, set_up_polkit, tear_down, forged_answer, 1);
	bed_test(suite, set_up_polkit, tear_down, caller_goes, 1);
	bed_test(suite, set_up_polkit, tear_down, add_devices, 11);
	bed_test(suite, set_up_polkit, tear_down, taken_meanwhile, 1);
	bed_test(suite, set_up_polkit, tear_down, decision_changes, 5);
	bed_test(suite, set_up_polkit, tear_down, explain, 1);
	bed_test(suite, set_up_polkit, tear_down, many_dialogs, 1);
	bed_test(suite, set_up_modules, tear_down, loads, 2);
	bed_test(suite, set_up_modules, tear_down, variant, 1);
	bed_test(suite, set_up_modules, tear_down, does_not_load, 6);
	bed_test(suite, set_up_modules, tear_down, loads_slowly, 1);
	bed_test(suite, set_up_modules, tear_down, race_over_modules, 2);
	return bed_main(suite, true);
}
