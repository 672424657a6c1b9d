/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Pools and places by the whole daemon: clients who race for the last device of a pool, devices
 * near a NUMA node, pinned ones; and the guest's bus of a lease, over releases, crashes and files
 * that make no sense.
 */

#include "daemon/lease/places-names.h"
#include "daemon/lease/places.h"
#include "daemon/util/clock.h"

#include "tests/bus/client.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SSDS 6

static struct client *alice, *root;

static void ssd_name(char name[16], int i)
{
	snprintf(name, 16, "0000:2%d:00.0", i);
}

static void set_policy(const char *pin)
{
	_cleanup_free_ char *text = NULL;

	ck_assert_int_ge(
		asprintf(
			&text,
			"{ \"version\": 1, \"pools\": { \"ssds\": { \"devices\": [ { \"address\": "
			"\"0000:2?:00.0\"%s } ] }, \"nics\": { \"devices\": [ { \"address\": \"" NIC
			"\" } ] } }, \"rules\": [ { \"id\": \"all\", \"subjects\": "
			"[ { \"users\": [\"*\"] } ], \"devices\": [ { \"address\": \"*\" } ], "
			"\"allow\": [\"acquire\", \"withhold\", \"persist\"], \"consent\": { "
			"\"drivers\": [\"*\"] } } ] }",
			pin),
		0);
	bed_policy("10-places.json", text);
}

static void setup(void)
{
	char name[16];

	bed_make();
	for (int i = 0; i < SSDS; i++) {
		ssd_name(name, i);
		mock_pci_add(bed.host, name, .vendor = 0x144d, .device = 0xa808,
			     .class_code = 0x010802, .group = 20 + i, .iommu = "dmar0",
			     .driver = "nvme", .numa_node = i % 2);
	}
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "0000:0c:00.%d", i);
		mock_pci_add(bed.host, name, .vendor = 0x8086, .device = 0x10d3,
			     .class_code = 0x088000, .group = 40, .iommu = "dmar0",
			     .driver = "e1000e", .numa_node = -1);
	}
	set_policy("");
	bus_start();
	daemon_start();
	alice = client_new(ALICE);
	root = client_new(0);
}

static void teardown(void)
{
	client_free(alice);
	client_free(root);
	bed_stop();
}

/* To a daemon that was started anew. */
static void reconnect(void)
{
	client_free(root);
	client_free(alice);
	root = client_new(0);
	alice = client_new(ALICE);
}

/* "0000:21:00.0", static: the lease's devices are one. */
static const char *device_of(const char *lease)
{
	static char name[64];
	_cleanup_free_ char *text = property(root, lease, "Lease", "Devices");
	unsigned int domain, bus_nr, slot, function;

	ck_assert_ptr_nonnull(text);
	ck_assert_msg(sscanf(strstr(text, "pci_"), "pci_%x_%x_%x_%x", &domain, &bus_nr, &slot,
			     &function) == 4,
		      "%s", text);
	snprintf(name, sizeof(name), "%04x:%02x:%02x.%x", domain, bus_nr, slot, function);
	return name;
}

static void ck_like(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part), "\"%s\" has no \"%s\"", text, part);
}

static sd_bus_message *place(struct client *client, const char *lease, const char *device,
			     const char *address)
{
	sd_bus_message *m = call_new(client, lease, "Lease", "PlaceDevices");

	ck_assert_int_ge(device ? sd_bus_message_append(m, "a{sv}", 1, device, "s", address)
				: sd_bus_message_append(m, "a{sv}", 0),
			 0);
	return call_wait(call_send(client, m));
}

/* "0000:03:00.0=00:1e.0 …" or the error, static. */
static const char *places(struct client *client, const char *lease, const char *device,
			  const char *address)
{
	static char text[1024];
	sd_bus_message *reply = place(client, lease, device, address);
	const char *name, *at;
	size_t used = 0;

	text[0] = 0;
	if (*error_of(reply)) {
		snprintf(text, sizeof(text), "%s: %s", error_of(reply), message_of(reply));
		sd_bus_message_unref(reply);
		return text;
	}
	ck_assert_int_ge(sd_bus_message_enter_container(reply, 'a', "(ss)"), 0);
	while (sd_bus_message_read(reply, "(ss)", &name, &at) > 0)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s=%s",
					 used ? " " : "", name, at);
	sd_bus_message_unref(reply);
	return text;
}

static const char *reserve(struct client *client, const char *lease, const char *a, const char *b)
{
	return call_error(client, lease, "Lease", "ReserveGuestAddresses", "as", b ? 2 : 1, a, b);
}

/* ---- pools */

/*
 * Four clients take from the pool until it is empty, all at once: every claim that is answered has
 * a device that nobody else has, and the pool is empty only when all are given. Then all go home,
 * and the same again.
 */
START_TEST(four_race)
{
	struct client *clients[4];
	static const size_t per_round[] = { 4, 4, 4 };

	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		clients[i] = client_new(bed_uid(i % 3));
	for (size_t round = 0; round < ARRAY_SIZE(per_round); round++) {
		struct claim got[SSDS] = {};
		size_t n = 0, empty = 0;

		while (empty < ARRAY_SIZE(clients)) {
			struct pending *pending[4];

			empty = 0;
			for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
				pending[i] = acquire_start(clients[i],
							   &(struct ask){
								   .devices = { "pool:ssds" },
								   .persist = true,
							   });
			for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
				struct claim claim = acquire_wait(pending[i]);

				if (*claim.error) {
					ck_refused(claim, "GroupBusy");
					ck_assert_ptr_nonnull(
						strstr(claim.message, "pool \"ssds\""));
					claim_done(&claim);
					empty++;
					continue;
				}
				ck_assert_uint_lt(n, SSDS);
				got[n++] = claim;
			}
		}
		ck_assert_uint_eq(n, SSDS);
		for (size_t i = 0; i < n; i++) {
			_cleanup_free_ char *one = strdup(device_of(got[i].lease));

			for (size_t j = i + 1; j < n; j++)
				ck_assert_str_ne(one, device_of(got[j].lease));
		}
		for (size_t i = 0; i < n; i++) {
			ck_assert_str_eq(release(root, got[i].lease), "");
			UNTIL(lease_gone(root, got[i].lease));
			claim_done(&got[i]);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		client_free(clients[i]);
}
END_TEST

static struct claim acquire_near(struct client *client, const char *device, int node)
{
	sd_bus_message *m = call_new(client, VFIOD_ROOT, "Manager", "Acquire");

	ck_assert_int_ge(sd_bus_message_append(m, "as", 1, device), 0);
	ck_assert_int_ge(sd_bus_message_append(m, "a{sv}", 1, "numa-node", "i", node), 0);
	return acquire_wait(call_send(client, m));
}

START_TEST(near)
{
	static const char *const order[] = { "0000:21:00.0", "0000:23:00.0", "0000:25:00.0",
					     "0000:20:00.0" };
	struct claim claims[4];

	for (size_t i = 0; i < 4; i++) {
		claims[i] = acquire_near(alice, "pool:ssds", 1);
		ck_claimed(claims[i]);
		ck_assert_str_eq(device_of(claims[i].lease), order[i]);
	}
	for (size_t i = 0; i < 4; i++)
		claim_done(&claims[i]);
	claims[0] = acquire_near(alice, "pool:ssds", -1);
	ck_refused(claims[0], "BadOption");
	claim_done(&claims[0]);
}
END_TEST

START_TEST(three_at_once)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { "pool:ssds*3" });
	_cleanup_claim_ struct claim more = acquire(alice, .devices = { "pool:ssds*4" });
	_cleanup_free_ char *devices = NULL;

	ck_claimed(claim);
	devices = property(root, claim.lease, "Lease", "Devices");
	ck_assert_ptr_nonnull(strstr(devices, "pci_0000_20_00_0"));
	ck_assert_ptr_nonnull(strstr(devices, "pci_0000_22_00_0"));
	ck_assert_ptr_null(strstr(devices, "pci_0000_23_00_0"));
	ck_refused(more, "GroupBusy");
}
END_TEST

/* Into a lease that is there, too; a place is known for what comes, and what stays keeps its own.
 */
START_TEST(more_of_a_pool)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { "pool:ssds" });
	_cleanup_free_ char *devices = NULL;

	ck_claimed(claim);
	ck_assert_str_eq(places(alice, claim.lease, NULL, NULL), "0000:20:00.0=00:1e.0");
	ck_assert_str_eq(call_error(alice, claim.lease, "Lease", "AddDevices", "asa{sv}", 1,
				    "pool:ssds*2", 0),
			 "");
	devices = property(root, claim.lease, "Lease", "Devices");
	ck_like(devices, "pci_0000_21_00_0");
	ck_like(devices, "pci_0000_22_00_0");
	ck_assert_str_eq(places(alice, claim.lease, NULL, NULL),
			 "0000:22:00.0=00:1c.0 0000:21:00.0=00:1d.0 0000:20:00.0=00:1e.0");
	/* Who is given back is on the bus no more, and its slot is free. */
	ck_assert_str_eq(
		call_error(alice, claim.lease, "Lease", "RemoveDevices", "as", 1, "0000:21:00.0"),
		"");
	ck_assert_str_eq(reserve(alice, claim.lease, "1d", NULL), "");
	ck_property(root, claim.lease, "Lease", "GuestAddresses",
		    "[(0000:22:00.0, 00:1c.0), (, 00:1d.0), (0000:20:00.0, 00:1e.0)]");
}
END_TEST

/* The numbers of a pool and node: free, leased, failed, held. */
static void ck_pool(const char *name, int node, const uint32_t expected[4])
{
	sd_bus_message *reply = call(alice, VFIOD_ROOT, "Manager", "GetPools", NULL);
	const char *pool;
	bool found = false;

	ck_assert_str_eq(error_of(reply), "");
	ck_assert_int_ge(sd_bus_message_enter_container(reply, 'a', "(sa(iuuuu))"), 0);
	while (sd_bus_message_enter_container(reply, 'r', "sa(iuuuu)") > 0) {
		int32_t row;
		uint32_t n[4];

		ck_assert_int_ge(sd_bus_message_read(reply, "s", &pool), 0);
		ck_assert_int_ge(sd_bus_message_enter_container(reply, 'a', "(iuuuu)"), 0);
		while (sd_bus_message_read(reply, "(iuuuu)", &row, &n[0], &n[1], &n[2], &n[3]) >
		       0) {
			if (!streq(pool, name) || row != node)
				continue;
			found = true;
			for (int i = 0; i < 4; i++)
				ck_assert_uint_eq(n[i], expected[i]);
		}
		ck_assert_int_ge(sd_bus_message_exit_container(reply), 0);
		ck_assert_int_ge(sd_bus_message_exit_container(reply), 0);
	}
	ck_assert(found);
	sd_bus_message_unref(reply);
}

START_TEST(census)
{
	_cleanup_claim_ struct claim claim = { .handoff = -EBADF };

	ck_pool("ssds", 0, (uint32_t[]){ 3, 0, 0, 0 });
	claim = acquire_near(alice, "pool:ssds*2", 0);
	ck_claimed(claim);
	ck_pool("ssds", 0, (uint32_t[]){ 1, 2, 0, 0 });
	ck_pool("ssds", 1, (uint32_t[]){ 3, 0, 0, 0 });
}
END_TEST

/*
 * An address that went sends no event: whoever asks the pool has its devices looked at anew, as
 * whoever asks for one by its name.
 */
START_TEST(idle_by_now)
{
	_cleanup_claim_ struct claim claim = { .handoff = -EBADF };

	mock_net_configure(bed.host, "eth0", "address 192.0.2.7/24\n");
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Rescan", NULL), "");
	UNTIL(property_is(root, DEVICE_PATH "pci_0000_03_00_0", "Device", "Uses", "[network]"));
	claim = acquire(alice, .devices = { "pool:nics" });
	ck_refused(claim, "GroupBusy");
	ck_assert_msg(strstr(claim.message, "1 in-use"), "%s", claim.message);
	claim_done(&claim);
	mock_net_configure(bed.host, "eth0", "");
	claim = acquire(alice, .devices = { "pool:ssds", "pool:nics" });
	ck_claimed(claim);
}
END_TEST

#define SERIAL "00-11-22-33-44-55-66-77"

static bool drawn(struct claim *claim)
{
	claim_done(claim);
	*claim = acquire(alice, .devices = { "pool:ssds" });
	if (!*claim->error)
		return true;
	ck_refused(*claim, "GroupBusy");
	return false;
}

/*
 * Who asks before the first survey is over, such as whoever has the bus start the daemon, has the
 * serial number read.
 */
START_TEST(pinned_at_once)
{
	_cleanup_claim_ struct claim claim = { .handoff = -EBADF };

	ck_assert_int_eq(daemon_stop(), 0);
	tree_write(bed.host->fd, SERIAL "\n", "sys/devices/pci0000:00/0000:23:00.0/serial_number");
	tree_write(bed.host->fd, "00-00-00-00-00-00-00-01\n",
		   "sys/devices/pci0000:00/0000:22:00.0/serial_number");
	set_policy(", \"pin\": { \"vendor\": \"144d\", \"serial\": \"" SERIAL "\" }");
	if (_i == 1)
		bed_policy(
			"10-places.json",
			"{ \"version\": 1, \"rules\": [ { \"id\": \"all\", \"subjects\": [ { "
			"\"users\": [\"*\"] } ], \"devices\": [ { \"address\": \"*\", \"pin\": { "
			"\"serial\": \"" SERIAL "\" } } ], \"allow\": [\"acquire\"], "
			"\"consent\": { \"drivers\": [\"*\"] } } ] }");
	daemon_start();
	reconnect();
	if (_i == 1) {
		claim = acquire(alice, .devices = { "0000:22:00.0" });
		ck_refused(claim, "NotPermitted");
		ck_like(claim.message, "serial number 00-00-00-00-00-00-00-01, not " SERIAL);
		claim_done(&claim);
	}
	claim = acquire(alice, .devices = { _i == 0 ? "pool:ssds" : "0000:23:00.0" });
	ck_claimed(claim);
	ck_assert_str_eq(device_of(claim.lease), "0000:23:00.0");
}
END_TEST

START_TEST(pinned)
{
	_cleanup_claim_ struct claim claim = { .handoff = -EBADF };
	_cleanup_claim_ struct claim other = { .handoff = -EBADF };

	tree_write(bed.host->fd, SERIAL "\n", "sys/devices/pci0000:00/0000:23:00.0/serial_number");
	set_policy(", \"pin\": { \"vendor\": \"144d\", \"serial\": \"" SERIAL "\" }");
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Reload", NULL), "");
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Rescan", NULL), "");
	ck_assert(drawn(&claim));
	ck_assert_str_eq(device_of(claim.lease), "0000:23:00.0");
	other = acquire(alice, .devices = { "pool:ssds" });
	ck_refused(other, "GroupBusy");
	ck_assert_msg(strstr(other.message, "5 pin"), "%s", other.message);
	/* Named outright, under the rule that pins nothing: fine. */
	claim_done(&other);
	other = acquire(alice, .devices = { "0000:24:00.0" });
	ck_claimed(other);
}
END_TEST

/* ---- the guest's bus */

#define F0 "0000:0c:00.0"
#define F1 "0000:0c:00.1"
#define F2 "0000:0c:00.2"

START_TEST(placed)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { F0, F1, NIC }, .withhold = { F2 }, .name = "vm1");
	struct client *carol = client_new(CAROL);

	ck_claimed(claim);
	ck_property(root, claim.lease, "Lease", "GuestAddresses", "[]");
	ck_assert_str_eq(reserve(alice, claim.lease, "1e", "1d.3"), "");
	ck_assert_str_eq(reserve(alice, claim.lease, "00:1e.0", NULL), "");
	ck_assert_str_eq(places(alice, claim.lease, NULL, NULL),
			 F0 "=00:1b.0 " F1 "=00:1b.1 " NIC "=00:1c.0");
	/* Again is the same; somewhere else is refused; what is another's is refused, by name. */
	ck_assert_str_eq(places(alice, claim.lease, NIC, ""),
			 F0 "=00:1b.0 " F1 "=00:1b.1 " NIC "=00:1c.0");
	ck_like(places(alice, claim.lease, NIC, "1a"),
		"AddressTaken: " NIC " has the guest address 00:1c.0 already and cannot have "
		"00:1a.0");
	ck_assert_str_eq(reserve(alice, claim.lease, "1a", "1b"), "AddressTaken");
	ck_assert_str_eq(reserve(alice, claim.lease, "1a", "20"), "BadOption");
	/* Only what was granted, by who controls the lease. */
	ck_like(places(alice, claim.lease, F2, ""), "BadOption: ");
	ck_like(places(alice, claim.lease, DISK, ""), "BadOption: ");
	ck_like(places(alice, claim.lease, NIC, "x"), "BadOption: ");
	ck_like(places(carol, claim.lease, NULL, NULL), "AccessDenied: ");
	ck_assert_str_eq(reserve(carol, claim.lease, "5", NULL), "DBus.AccessDenied");
	client_free(carol);
}
END_TEST

START_TEST(collision)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC, "0000:20:00.0" });

	ck_claimed(claim);
	ck_assert_str_eq(reserve(alice, claim.lease, "7", NULL), "");
	ck_like(places(alice, claim.lease, NIC, "07.0"),
		"AddressTaken: " NIC " cannot have the guest address 00:07.0: its slot is that of "
		"an emulated device");
	ck_assert_str_eq(places(alice, claim.lease, NIC, "08.0"), NIC "=00:08.0");
	ck_like(places(alice, claim.lease, "0000:20:00.0", "8.1"),
		"0000:20:00.0 cannot have the guest address 00:08.1: its slot is that of " NIC);
	/* The host bridge's is nobody's; nor is what the guest would not look at. */
	ck_like(places(alice, claim.lease, "0000:20:00.0", "00:00.1"),
		"AddressTaken: 0000:20:00.0 cannot have the guest address 00:00.1");
	ck_like(places(alice, claim.lease, "0000:20:00.0", "9.2"),
		"BadOption: 0000:20:00.0 would not be seen by the guest at 00:09.2");
	/* By its object path too. */
	ck_assert_str_eq(places(alice, claim.lease, DEVICE_PATH "pci_0000_20_00_0", "9"),
			 NIC "=00:08.0 0000:20:00.0=00:09.0");
}
END_TEST

static struct claim lease_of(const char *name, const char *a, const char *b)
{
	struct claim claim = acquire(alice, .devices = { a, b }, .name = name, .persist = true);

	ck_claimed(claim);
	return claim;
}

static void end_lease(struct claim *claim)
{
	ck_assert_str_eq(release(root, claim->lease), "");
	UNTIL(lease_gone(root, claim->lease));
	claim_done(claim);
}

/* The same label, the same addresses: over releases, a crash, and a new start. */
START_TEST(remembered)
{
	struct claim claim = lease_of("vm1", "0000:20:00.0", "0000:21:00.0");

	ck_assert_str_eq(places(alice, claim.lease, "0000:21:00.0", ""), "0000:21:00.0=00:1e.0");
	ck_assert_str_eq(places(alice, claim.lease, NULL, NULL),
			 "0000:20:00.0=00:1d.0 0000:21:00.0=00:1e.0");
	end_lease(&claim);

	/* Another label is another guest. */
	claim = lease_of("vm2", "0000:20:00.0", NULL);
	ck_assert_str_eq(places(alice, claim.lease, NULL, NULL), "0000:20:00.0=00:1e.0");
	end_lease(&claim);

	claim = lease_of("vm1", "0000:20:00.0", "0000:22:00.0");
	ck_assert_str_eq(places(alice, claim.lease, NULL, NULL),
			 "0000:22:00.0=00:1c.0 0000:20:00.0=00:1d.0");
	/* The lease has them in its own journal. */
	daemon_kill();
	daemon_start();
	reconnect();
	ck_property(root, claim.lease, "Lease", "GuestAddresses",
		    "[(0000:22:00.0, 00:1c.0), (0000:20:00.0, 00:1d.0)]");
	end_lease(&claim);

	/* And the label's are on the disk. */
	ck_assert_int_eq(daemon_stop(), 0);
	daemon_start();
	reconnect();
	claim = lease_of("vm1", "0000:21:00.0", "0000:22:00.0");
	ck_assert_str_eq(reserve(alice, claim.lease, "1d", NULL), "");
	ck_assert_str_eq(places(alice, claim.lease, NULL, NULL),
			 "0000:22:00.0=00:1c.0 0000:21:00.0=00:1e.0");
	end_lease(&claim);

	/* What it had is an emulated device's now: both are named. */
	claim = lease_of("vm1", "0000:21:00.0", NULL);
	ck_assert_str_eq(reserve(alice, claim.lease, "1e", NULL), "");
	ck_like(places(alice, claim.lease, NULL, NULL),
		"0000:21:00.0 cannot have the guest address 00:1e.0, which it had before: its slot "
		"is that of an emulated device");
	end_lease(&claim);
}
END_TEST

/* Takes a lease of the label, places its device and ends it. */
static void ck_placed_as(const char *name, const char *address)
{
	struct claim claim = lease_of(name, "0000:20:00.0", NULL);
	char expected[32];

	snprintf(expected, sizeof(expected), "0000:20:00.0=%s", address);
	ck_assert_str_eq(places(alice, claim.lease, NULL, NULL), expected);
	end_lease(&claim);
}

/* Labels are the clients' words: each is kept as it is, and none spoils the file of the others. */
START_TEST(odd_labels)
{
	static const char *const labels[] = {
		"a\"b\\c", "{\"version\": 2}", "gr\xc3\xbc\xc3\x9f", "\\u0000", "0", "..", "a:b,c",
	};
	struct claim claim;

	for (size_t i = 0; i < ARRAY_SIZE(labels); i++) {
		char at[4];

		snprintf(at, sizeof(at), "%x", (unsigned int)i + 2);
		claim = lease_of(labels[i], "0000:20:00.0", NULL);
		ck_like(places(alice, claim.lease, "0000:20:00.0", at), "0000:20:00.0=00:0");
		end_lease(&claim);
	}
	ck_assert_int_eq(daemon_stop(), 0);
	daemon_start();
	reconnect();
	ck_assert(!daemon_said("Guest addresses"));
	for (size_t i = 0; i < ARRAY_SIZE(labels); i++) {
		char address[12];

		snprintf(address, sizeof(address), "00:%02x.0", (unsigned int)i + 2);
		ck_placed_as(labels[i], address);
	}
}
END_TEST

/* Somebody else's label of the same name is another one. */
START_TEST(owners_apart)
{
	struct client *bob = client_new(BOB);
	struct claim claim = lease_of("vm1", "0000:20:00.0", NULL);

	ck_assert_str_eq(places(alice, claim.lease, "0000:20:00.0", ""), "0000:20:00.0=00:1e.0");
	end_lease(&claim);
	claim = acquire(bob, .devices = { "0000:21:00.0" }, .name = "vm1", .persist = true);
	ck_claimed(claim);
	ck_assert_str_eq(places(bob, claim.lease, NULL, NULL), "0000:21:00.0=00:1e.0");
	end_lease(&claim);
	client_free(bob);
}
END_TEST

static void write_places(uid_t owner, const char *text)
{
	tree_write(bed.host->fd, text, "guest-addresses/%u.json", (unsigned int)owner);
}

/* A file that makes no sense is recorded and put aside; the daemon starts, and keeps what comes. */
START_TEST(corrupted)
{
	static const char *const texts[] = {
		"",
		"{",
		"{ \"version\": 2, \"leases\": {} }",
		"{ \"version\": 1 }",
		"{ \"version\": 1, \"leases\": { \"vm1\": { \"used\": \"x\", \"devices\": {} } } }",
		"{ \"version\": 1, \"leases\": { \"vm1\": { \"used\": \"1\", \"devices\": { "
		"\"0000:20:00.0\": \"99\" } } } }",
		"{ \"version\": 1, \"leases\": { \"vm1\": { \"used\": \"1\", \"devices\": { "
		"\"a/b\": \"5\" } } } }",
		"{ \"version\": 1, \"leases\": { \"vm1\": { \"used\": \"1\", \"devices\": { \"a\": "
		"\"5\", \"b\": \"05.0\" } } } }",
	};
	const char *text = texts[_i];
	struct claim claim;
	struct stat st;
	char bad[64];

	ck_assert_int_eq(daemon_stop(), 0);
	write_places(ALICE, text);
	daemon_start();
	reconnect();
	UNTIL(daemon_said("Guest addresses"));
	snprintf(bad, sizeof(bad), "guest-addresses/%u.json.bad", (unsigned int)ALICE);
	ck_assert_int_eq(fstatat(bed.host->fd, bad, &st, 0), 0);
	claim = lease_of("vm1", "0000:20:00.0", NULL);
	ck_assert_str_eq(places(alice, claim.lease, NULL, NULL), "0000:20:00.0=00:1e.0");
	end_lease(&claim);
	bad[strlen(bad) - 4] = 0;
	ck_assert_int_eq(fstatat(bed.host->fd, bad, &st, 0), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
}
END_TEST

#define OLDEST	      PLACES_NAMES_MAX - 1
#define SECOND_OLDEST PLACES_NAMES_MAX - 2

static const char *vm(int i)
{
	static char name[8];

	snprintf(name, sizeof(name), "vm%d", i);
	return name;
}

/* As many labels as are kept, of which the last was used the longest time ago. */
static void restart_with_many(void)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	fputs("{ \"version\": 1, \"leases\": {", f);
	for (int i = 0; i < PLACES_NAMES_MAX; i++)
		fprintf(f,
			"%s \"%s\": { \"used\": \"%d\", \"devices\": { \"0000:20:00.0\": "
			"\"00:05.0\" } }",
			i ? "," : "", vm(i), 1000 - i);
	fputs(" } }", f);
	fclose(f);
	ck_assert_int_eq(daemon_stop(), 0);
	write_places(ALICE, text);
	daemon_start();
	reconnect();
}

/* Of many labels those are kept that were used last. */
START_TEST(bounded)
{
	restart_with_many();
	ck_placed_as("another", "00:1e.0");
	/* The oldest made room for it. */
	ck_placed_as(vm(SECOND_OLDEST), "00:05.0");
	ck_placed_as(vm(OLDEST), "00:1e.0");
}
END_TEST

/* That nothing has changed for a label is no reason to forget that it was used. */
START_TEST(used_unchanged)
{
	restart_with_many();
	ck_placed_as(vm(OLDEST), "00:05.0");
	ck_assert_int_eq(daemon_stop(), 0);
	daemon_start();
	reconnect();
	ck_placed_as("another", "00:1e.0");
	ck_placed_as(vm(OLDEST), "00:05.0");
	ck_placed_as(vm(SECOND_OLDEST), "00:1e.0");
}
END_TEST

/* A guest that runs for long is not forgotten because others come and go. */
START_TEST(used_now)
{
	struct claim claim;

	restart_with_many();
	claim = lease_of(vm(OLDEST), "0000:21:00.0", NULL);
	ck_placed_as("another", "00:1e.0");
	end_lease(&claim);
	ck_placed_as(vm(OLDEST), "00:05.0");
	ck_placed_as(vm(SECOND_OLDEST), "00:1e.0");
}
END_TEST

#define STRANGER(i) (200000 + (i))

/* As many owners as have a file: all used theirs now, but the third, who did so then. */
static void restart_with_owners(uint64_t then_usec)
{
	ck_assert_int_eq(daemon_stop(), 0);
	for (int i = 0; i < PLACES_OWNERS_MAX; i++) {
		uint64_t used = i == 3 ? then_usec : realtime_usec();
		_cleanup_free_ char *text = mock_asprintf(
			"{ \"version\": 1, \"leases\": { \"vm1\": { \"used\": \"%" PRIu64
			"\", \"devices\": { \"0000:20:00.0\": \"00:05.0\" } } } }",
			used);

		write_places(STRANGER(i), text);
	}
	daemon_start();
	reconnect();
}

static bool has_file(uid_t owner)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "guest-addresses/%u.json", (unsigned int)owner);
	return fstatat(bed.host->fd, path, &st, 0) == 0;
}

/*
 * Uids come and go. One that has not been seen for a month makes room; while there is none, a new
 * one's places are not kept, that is recorded, and the lease has them all the same.
 */
START_TEST(many_owners)
{
	restart_with_owners(realtime_usec() - PLACES_STALE_USEC + 3600 * UINT64_C(1000000));
	ck_placed_as("vm1", "00:1e.0");
	UNTIL(daemon_said("as many owners as may be"));
	ck_assert(!has_file(ALICE));
	ck_assert(has_file(STRANGER(3)));
	restart_with_owners(realtime_usec() - PLACES_STALE_USEC - 1);
	ck_placed_as("vm1", "00:1e.0");
	UNTIL(!has_file(STRANGER(3)));
	ck_assert(has_file(ALICE));
	ck_assert(has_file(STRANGER(2)));
	ck_assert(has_file(STRANGER(4)));
}
END_TEST

/* What cannot be kept holds in this lease, and is recorded. */
START_TEST(not_kept)
{
	struct claim claim = lease_of("vm1", "0000:20:00.0", NULL);

	if (geteuid() != 0)
		return;
	tree_remove(bed.host->fd, "guest-addresses");
	ck_assert_str_eq(places(alice, claim.lease, NULL, NULL), "0000:20:00.0=00:1e.0");
	UNTIL(daemon_said("Guest addresses"));
	end_lease(&claim);
}
END_TEST

/* ---- attacks */

static struct pending *place_start(struct client *client, const char *lease, const char *device,
				   const char *address)
{
	sd_bus_message *m = call_new(client, lease, "Lease", "PlaceDevices");

	ck_assert_int_ge(device ? sd_bus_message_append(m, "a{sv}", 1, device, "s", address)
				: sd_bus_message_append(m, "a{sv}", 0),
			 0);
	return call_send(client, m);
}

static char *file_text(void)
{
	_cleanup_free_ char *path = NULL;

	ck_assert_int_ge(asprintf(&path, "guest-addresses/%u.json", (unsigned int)ALICE), 0);
	return tree_read(bed.host->fd, "%s", path);
}

/* "[(0000:22:00.0, 00:1c.0), …]": no address twice, none but those of the lease. */
static void ck_apart(const char *text)
{
	const char *at[32];
	size_t n = 0;

	for (const char *s = text; (s = strstr(s, ", 00:")); s++) {
		ck_assert_uint_lt(n, ARRAY_SIZE(at));
		at[n++] = s;
	}
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++)
			ck_assert_msg(strncmp(at[i], at[j], 8) != 0, "%s", text);
}

/*
 * Six who control a lease place and reserve at once, and want the same: one gets it, the others are
 * told who has it; what all were told at the end is what is kept.
 */
START_TEST(at_once)
{
	struct claim claim = acquire(alice, .devices = { "pool:ssds*6" }, .name = "vm1",
				     .persist = true, .shared = true);
	struct client *clients[6];

	ck_claimed(claim);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		clients[i] = client_new(i % 2 ? 0 : ALICE);
	for (unsigned int round = 0; round < 5; round++) {
		struct pending *pending[18];
		size_t n = 0, placed_at_slot = 0;
		_cleanup_free_ char *is = NULL;

		for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
			char device[16], address[8];

			ssd_name(device, (int)i);
			snprintf(address, sizeof(address), "%x", 5 + round);
			/* The first of these gets the slot, if it has no place yet. */
			pending[n++] = place_start(clients[i], claim.lease, device, address);
			pending[n++] = call_start(clients[i], claim.lease, "Lease",
						  "ReserveGuestAddresses", "as", 1, address);
			pending[n++] = place_start(clients[i], claim.lease,
						   round == 4 ? NULL : device, "");
		}
		for (size_t i = 0; i < n; i++) {
			sd_bus_message *reply = call_wait(pending[i]);

			if (*error_of(reply)) {
				ck_assert_str_eq(error_of(reply), "AddressTaken");
				ck_assert_ptr_nonnull(strstr(message_of(reply), "00:"));
			} else if (i % 3 == 0) {
				placed_at_slot++;
			}
			sd_bus_message_unref(reply);
		}
		/* One had none before the first round; later all have theirs. */
		ck_assert_uint_eq(placed_at_slot, round == 0 ? 1 : 0);
		is = property(root, claim.lease, "Lease", "GuestAddresses");
		ck_apart(is);
	}
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		client_free(clients[i]);
	{
		_cleanup_free_ char *before = strdup(places(alice, claim.lease, NULL, NULL));
		_cleanup_free_ char *text = file_text();

		ck_assert_ptr_nonnull(text);
		for (int i = 0; i < SSDS; i++) {
			char device[16], entry[48];
			const char *at;

			ssd_name(device, i);
			at = strstr(before, device);
			ck_assert_ptr_nonnull(at);
			snprintf(entry, sizeof(entry), "\"%s\":\"%.7s\"", device,
				 at + strlen(device) + 1);
			ck_like(text, entry);
		}
		end_lease(&claim);
		claim = acquire(alice, .devices = { "pool:ssds*6" }, .name = "vm1",
				.persist = true);
		ck_claimed(claim);
		ck_assert_str_eq(places(alice, claim.lease, NULL, NULL), before);
		end_lease(&claim);
	}
}
END_TEST

/* What is no address, or is too many of them. */
START_TEST(absurd)
{
	static const char *const texts[] = {
		"-1",	      "20",	 "20.0",     "1.8",
		"005",	      "5.",	 ".0",	     " 5",
		"5 ",	      "0x5",	 "5.0.0",    "0001:00:05.0",
		"01:05.0",    "00:",	 "0000:",    "5:0",
		"00:00:05.0", "05.0\n",	 "\xc3\xa9", "%s%n%s",
		"5.00000",    "1e.0;rm", "../5",     "00:05.0,multifunction=on",
	};
	struct claim claim = lease_of("vm1", "0000:20:00.0", "0000:21:00.0");
	_cleanup_free_ char *lengthy = calloc(1, 100001);
	sd_bus_message *m;

	memset(lengthy, '1', 100000);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		ck_assert_msg(streq(reserve(alice, claim.lease, texts[i], NULL), "BadOption"), "%s",
			      texts[i]);
		ck_like(places(alice, claim.lease, "0000:20:00.0", texts[i]), "BadOption: ");
	}
	ck_assert_str_eq(reserve(alice, claim.lease, "", NULL), "BadOption");
	ck_assert_str_eq(reserve(alice, claim.lease, lengthy, NULL), "BadOption");
	ck_like(places(alice, claim.lease, lengthy, ""), "BadOption: ");
	ck_like(places(alice, claim.lease, "", ""), "BadOption: ");
	ck_like(places(alice, claim.lease, "/", ""), "NoSuchDevice: ");
	ck_like(places(alice, claim.lease, "/org/vfiod1/lease/1", ""), "NoSuchDevice: ");
	ck_like(places(alice, claim.lease, "pool:ssds", ""), "BadOption: ");

	/* Another type than a string; the same device by both its names. */
	ck_assert_str_eq(call_error(alice, claim.lease, "Lease", "PlaceDevices", "a{sv}", 1,
				    "0000:20:00.0", "u", 5),
			 "BadOption");
	ck_assert_str_eq(call_error(alice, claim.lease, "Lease", "PlaceDevices", "a{sv}", 1,
				    "0000:20:00.0", "as", 1, "5"),
			 "BadOption");
	ck_assert_str_eq(call_error(alice, claim.lease, "Lease", "PlaceDevices", "a{sv}", 2,
				    "0000:20:00.0", "s", "5", DEVICE_PATH "pci_0000_20_00_0", "s",
				    "6"),
			 "BadOption");

	/* More than a bus has; then all that it has, and no room for a device. */
	for (unsigned int extra = 0; extra < 2; extra++) {
		m = call_new(alice, claim.lease, "Lease", "ReserveGuestAddresses");
		ck_assert_int_ge(sd_bus_message_open_container(m, 'a', "s"), 0);
		for (unsigned int i = 0; i < 257 - extra; i++) {
			char address[8];

			snprintf(address, sizeof(address), "%02x.%x", i / 8 % 32, i % 8);
			ck_assert_int_ge(sd_bus_message_append(m, "s", address), 0);
		}
		ck_assert_int_ge(sd_bus_message_close_container(m), 0);
		m = call_wait(call_send(alice, m));
		ck_assert_str_eq(error_of(m), extra ? "" : "QuotaExceeded");
		sd_bus_message_unref(m);
		if (!extra)
			ck_property(root, claim.lease, "Lease", "GuestAddresses", "[]");
	}
	ck_like(places(alice, claim.lease, NULL, NULL), "QuotaExceeded: ");
	ck_like(places(alice, claim.lease, "0000:20:00.0", "5"), "AddressTaken: ");
	end_lease(&claim);
}
END_TEST

/*
 * Killed in the middle of placing, again and again: the daemon, or the child that writes. What a
 * client was told, stays; the file always makes sense.
 */
START_TEST(killed)
{
	struct claim claim = acquire(alice, .devices = { "pool:ssds*6" }, .name = "vm1",
				     .persist = true, .shared = true);
	_cleanup_free_ char *last = NULL, *text = NULL;

	ck_claimed(claim);
	for (int i = 0; i < 2 * SSDS; i++) {
		struct pending *pending;
		char device[16];
		const char *now;

		ssd_name(device, i / 2);
		pending = place_start(alice, claim.lease, device, "");
		for (int turns = 0; turns < i % 5; turns++)
			bed_turn();
		if (i % 2) {
			daemon_kill_child("vfiod-places");
			call_drop(pending);
		} else {
			daemon_kill();
			call_drop(pending);
			daemon_start();
			reconnect();
		}
		/* Again, as a client does that got no answer. */
		now = places(alice, claim.lease, device, "");
		ck_like(now, device);
		if (last)
			for (const char *s = last; s; s = strchr(s, ' '), s = s ? s + 1 : NULL) {
				char entry[32];

				snprintf(entry, sizeof(entry), "%.20s", s);
				ck_like(now, entry);
			}
		free(last);
		last = strdup(now);
	}
	ck_assert(!daemon_said("makes no sense"));
	end_lease(&claim);
	daemon_kill();
	daemon_start();
	reconnect();
	text = file_text();
	ck_assert_ptr_nonnull(text);
	claim = acquire(alice, .devices = { "pool:ssds*6" }, .name = "vm1", .persist = true);
	ck_claimed(claim);
	ck_assert_str_eq(places(alice, claim.lease, NULL, NULL), last);
	end_lease(&claim);
}
END_TEST

/* A disk that does not answer: a client waits for seconds, others not at all; later all is kept. */
START_TEST(late)
{
	int dir = openat(bed.host->fd, "guest-addresses", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct claim one = lease_of("vm1", "0000:20:00.0", NULL);
	struct claim two = lease_of("vm2", "0000:21:00.0", NULL);
	_cleanup_free_ char *text = NULL;

	ck_assert_int_ge(dir, 0);
	ck_assert_int_eq(flock(dir, LOCK_EX), 0);
	ck_assert_str_eq(places(alice, one.lease, NULL, NULL), "0000:20:00.0=00:1e.0");
	UNTIL(daemon_said("the disk does not answer"));
	ck_assert_str_eq(places(alice, two.lease, NULL, NULL), "0000:21:00.0=00:1e.0");
	ck_assert_ptr_null(file_text());
	ck_assert_int_eq(flock(dir, LOCK_UN), 0);
	UNTIL((free(text), (text = file_text()) && strstr(text, "vm2")));
	ck_like(text, "\"vm1\"");
	/* And as ever. */
	ck_assert_str_eq(places(alice, two.lease, "0000:21:00.0", ""), "0000:21:00.0=00:1e.0");
	end_lease(&two);
	two = lease_of("vm3", "0000:21:00.0", NULL);
	ck_assert_str_eq(places(alice, two.lease, NULL, NULL), "0000:21:00.0=00:1e.0");
	free(text);
	text = file_text();
	ck_like(text, "\"vm3\"");
	end_lease(&one);
	end_lease(&two);
	close(dir);
}
END_TEST

/* Somebody else's directory, or a link to one, is not read: leases go on without. */
START_TEST(foreign)
{
	struct claim claim;

	ck_assert_int_eq(daemon_stop(), 0);
	tree_remove(bed.host->fd, "guest-addresses");
	if (_i == 0) {
		ck_assert_int_eq(mkdirat(bed.host->fd, "guest-addresses", 0777), 0);
		ck_assert_int_eq(fchownat(bed.host->fd, "guest-addresses", ALICE, (gid_t)-1, 0), 0);
	} else if (_i == 1) {
		ck_assert_int_eq(symlinkat("/tmp", bed.host->fd, "guest-addresses"), 0);
	} else {
		tree_write(bed.host->fd, "x", "guest-addresses");
	}
	daemon_start();
	reconnect();
	UNTIL(daemon_said("devices may get other guest addresses than before"));
	claim = lease_of("vm1", "0000:20:00.0", NULL);
	ck_assert_str_eq(places(alice, claim.lease, NULL, NULL), "0000:20:00.0=00:1e.0");
	end_lease(&claim);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("places");

	bed_test(suite, setup, teardown, four_race, 1);
	bed_test(suite, setup, teardown, near, 1);
	bed_test(suite, setup, teardown, three_at_once, 1);
	bed_test(suite, setup, teardown, more_of_a_pool, 1);
	bed_test(suite, setup, teardown, census, 1);
	bed_test(suite, setup, teardown, idle_by_now, 1);
	bed_test(suite, setup, teardown, pinned, 1);
	bed_test(suite, setup, teardown, pinned_at_once, 2);
	bed_test(suite, setup, teardown, placed, 1);
	bed_test(suite, setup, teardown, collision, 1);
	bed_test(suite, setup, teardown, remembered, 1);
	bed_test(suite, setup, teardown, odd_labels, 1);
	bed_test(suite, setup, teardown, owners_apart, 1);
	bed_test(suite, setup, teardown, corrupted, 8);
	bed_test(suite, setup, teardown, bounded, 1);
	bed_test(suite, setup, teardown, used_unchanged, 1);
	bed_test(suite, setup, teardown, used_now, 1);
	bed_test(suite, setup, teardown, many_owners, 1);
	bed_test(suite, setup, teardown, not_kept, 1);
	bed_test(suite, setup, teardown, at_once, 1);
	bed_test(suite, setup, teardown, absurd, 1);
	bed_test(suite, setup, teardown, killed, 1);
	bed_test(suite, setup, teardown, late, 1);
	bed_test(suite, setup, teardown, foreign, 3);
	return bed_main(suite, true);
}
