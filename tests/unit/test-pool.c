/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The census of pools, the pins of devices, and the serial numbers that these are held against. */

#include "tests/unit/decide-world.h"

#include "daemon/sysfs/serial.h"
#include "daemon/util/fd.h"
#include "policy/pool.h"

#include "tests/mock/mock-host.h"
#include "tests/mock/tree.h"

#include <check.h>
#include <stdio.h>

static struct world world;

static void setup(void)
{
	static const struct world_device devices[] = {
		{ "0000:01:00.0", 1, "nvme", "vfio-pci", "144d:a808:010802", .node = 1 },
		{ "0000:02:00.0", 2, "nvme", "vfio-pci", "144d:a808:010802", .node = 1 },
		{ "0000:03:00.0", 3, "nvme", "vfio-pci", "144d:a808:010802", .node = 1,
		  .use = "block sda is mounted" },
		{ "0000:04:00.0", 4, "vfio-pci", "vfio-pci", "144d:a808:010802", .node = 2,
		  .use = "network stale" },
		{ "0000:05:00.0", 5, "nvme", "vfio-pci", "144d:a808:010802", .node = 2 },
		{ "0000:06:00.0", 6, "nvme", NULL, "144d:a808:010802", .node = 2 },
		{ "0000:07:00.0", 7, NULL, "vfio-pci", "8086:a808:010802" },
		{ "0000:08:00.0", ID_UNKNOWN, NULL, "vfio-pci", "144d:a808:010802" },
		{ "0000:09:00.0", 9, NULL, "vfio-pci", "144d:a808:010802" },
		{ "0000:0a:00.0", 10, NULL, "vfio-pci", "144d:a808:010802" },
	};
	static const struct world_lease leases[] = {
		{ "a1", 7, NULL, LEASE_LEASED, 2, "0000:02:00.0/granted/all/nvme" },
		{ "a2", 7, NULL, LEASE_FAILED, 5, "0000:05:00.0/granted/all/nvme" },
		{ "a3", 7, NULL, LEASE_DRAINING, 9, "0000:09:00.0/granted/all" },
	};

	world_init(&world);
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
		world_add_device(&world, &devices[i]);
	for (size_t i = 0; i < ARRAY_SIZE(leases); i++)
		world_add_lease(&world, &leases[i]);
	topology_device(&world.topology, "0000:0a:00.0")->health = HEALTH_FAILED;
	world_set_policy(
		&world,
		"{\"version\":1,\"pools\":{"
		"\"ssds\":{\"devices\":[{\"class\":\"0108\",\"pin\":{\"vendor\":\"144d\"}}]},"
		"\"none\":{\"devices\":[{\"vendor\":\"ffff\"}]}}}");
}

static void teardown(void)
{
	world_done(&world);
}

static char *census_text(const char *name)
{
	struct pool_census census;
	_cleanup_strv_ char **rows = NULL;

	ck_assert_int_eq(pool_count(&world.topology, world.policy, &world.ledger,
				    policy_pool(world.policy, name), &census),
			 0);
	for (size_t i = 0; i < census.n_rows; i++) {
		const struct pool_row *row = &census.rows[i];

		strv_extendf(&rows, "%d: %u %u %u %u", row->numa_node, row->count[POOL_FREE],
			     row->count[POOL_LEASED], row->count[POOL_FAILED],
			     row->count[POOL_HELD]);
	}
	pool_census_done(&census);
	return strv_join(rows, ", ");
}

START_TEST(test_census)
{
	_cleanup_free_ char *ssds = census_text("ssds"), *none = census_text("none");

	/* Without a node: pinned away, in no group, draining, broken. */
	ck_assert_str_eq(ssds, "-1: 0 1 1 2, 0: 1 1 0 1, 1: 1 0 1 1");
	ck_assert_str_eq(none, "");
	for (int i = 0; i < POOL_STATE_MAX; i++)
		ck_assert_int_eq(pool_state_from_string(pool_state_to_string((enum pool_state)i)),
				 i);
}
END_TEST

/* ---- serial numbers */

static const uint8_t expected[8] = { 0x00, 0x1b, 0x21, 0xff, 0xff, 0xa0, 0x36, 0x9f };
#define EXPECTED "00-1b-21-ff-ff-a0-36-9f"

static void put_capability(uint8_t *config, size_t at, unsigned int id, size_t next)
{
	uint32_t header = id | 1U << 16 | (uint32_t)next << 20;

	for (int i = 0; i < 4; i++)
		config[at + (size_t)i] = (uint8_t)(header >> (8 * i));
	if (id == 3) /* the lower dword first, each of them little-endian */
		for (int i = 0; i < 8; i++)
			config[at + 4 + (size_t)i] = expected[7 - i];
}

START_TEST(test_serial)
{
	uint8_t config[4096] = {};
	char serial[SERIAL_SIZE];

	/* Cut at what everybody may read; a device of conventional PCI; one without capabilities.
	 */
	ck_assert_int_eq(serial_from_config(config, 64, serial), SERIAL_UNREADABLE);
	ck_assert_int_eq(serial_from_config(config, 256, serial), 0);
	ck_assert_str_eq(serial, "");
	ck_assert_int_eq(serial_from_config(config, 4096, serial), 0);
	ck_assert_str_eq(serial, "");
	/* The first; behind another; behind one that is the last; in a list that is a circle. */
	put_capability(config, 0x100, 3, 0);
	ck_assert_int_eq(serial_from_config(config, 4096, serial), 0);
	ck_assert_str_eq(serial, EXPECTED);
	memset(config, 0, sizeof(config));
	put_capability(config, 0x100, 1, 0xff4);
	put_capability(config, 0xff4, 3, 0);
	ck_assert_int_eq(serial_from_config(config, 4096, serial), 0);
	ck_assert_str_eq(serial, EXPECTED);
	put_capability(config, 0x100, 1, 0);
	ck_assert_int_eq(serial_from_config(config, 4096, serial), 0);
	ck_assert_str_eq(serial, "");
	put_capability(config, 0x100, 1, 0x140);
	put_capability(config, 0x140, 2, 0x100);
	ck_assert_int_eq(serial_from_config(config, 4096, serial), 0);
	ck_assert_str_eq(serial, "");
	/* A device that went away between its header and its number. */
	memset(config, 0xff, sizeof(config));
	put_capability(config, 0x100, 1, 0x140);
	put_capability(config, 0x140, 3, 0);
	memset(config + 0x144, 0xff, 8);
	ck_assert_int_eq(serial_from_config(config, 4096, serial), SERIAL_UNREADABLE);
	ck_assert_str_eq(serial, "");
	memset(config, 0, sizeof(config));
	put_capability(config, 0x100, 1, 0x140);
	/* Too near to the end to be whole; a device that does not answer. */
	put_capability(config, 0x140, 3, 0xffc);
	put_capability(config, 0x140, 1, 0xff8);
	config[0xff8] = 3;
	ck_assert_int_eq(serial_from_config(config, 4096, serial), 0);
	ck_assert_str_eq(serial, "");
	memset(config, 0xff, sizeof(config));
	ck_assert_int_eq(serial_from_config(config, 4096, serial), SERIAL_UNREADABLE);
}
END_TEST

/* ---- pins */

static void check_difference(const char *pin, const char *device, const char *expected_text)
{
	_cleanup_free_ char *json = NULL, *text = NULL;
	const struct device *d = topology_device(&world.topology, device);
	const struct device_match *broken;
	size_t size;
	FILE *f;

	ck_assert_int_ge(
		asprintf(&json,
			 "{\"version\":1,\"rules\":[{\"id\":\"r\",\"subjects\":[{"
			 "\"users\":\"*\"}],\"devices\":[{\"address\":\"*\",\"pin\":{%s}}],"
			 "\"allow\":[\"acquire\"]}]}",
			 pin),
		0);
	world_set_policy(&world, json);
	broken = rule_broken_pin(world.policy, &world.policy->rules[0], d, d->driver);
	if (!expected_text) {
		ck_assert_ptr_null(broken);
		return;
	}
	ck_assert_ptr_nonnull(broken);
	f = open_memstream(&text, &size);
	pin_put_difference(f, broken, d);
	fclose(f);
	ck_assert_str_eq(text, expected_text);
}

START_TEST(test_pins)
{
	struct device *device = topology_device(&world.topology, "0000:01:00.0");

	check_difference("\"vendor\":\"144D\"", device->name, NULL);
	check_difference("\"vendor\":\"0x144d\",\"product\":\"a808\"", device->name, NULL);
	check_difference("\"vendor\":\"8086\"", device->name, "vendor 144d, not 8086");
	check_difference("\"vendor\":\"8086\",\"product\":\"0001\"", device->name,
			 "vendor 144d, not 8086; product a808, not 0001");
	check_difference("\"serial\":\"" EXPECTED "\"", device->name,
			 "serial number not known, not " EXPECTED);
	ck_assert_int_eq(device_set_serial(device, ""), TOPOLOGY_CHANGED);
	check_difference("\"serial\":\"" EXPECTED "\"", device->name,
			 "serial number none, not " EXPECTED);
	ck_assert_int_eq(device_set_serial(device, EXPECTED), TOPOLOGY_CHANGED);
	ck_assert_int_eq(device_set_serial(device, EXPECTED), TOPOLOGY_SAME);
	check_difference("\"serial\":\"00-1B-21-FF-FF-A0-36-9F\"", device->name, NULL);
	check_difference("\"serial\":\"00-1b-21-ff-ff-a0-36-90\"", device->name,
			 "serial number " EXPECTED ", not 00-1b-21-ff-ff-a0-36-90");
	device->vendor = ID_UNKNOWN;
	check_difference("\"vendor\":\"ffff\"", device->name, "vendor unknown, not ffff");
	for (int i = 0; i < PIN_KEY_MAX; i++)
		ck_assert_int_eq(pin_key_from_string(pin_key_to_string((enum pin_key)i)), i);
}
END_TEST

/* A serial number stays with the device, and goes with it. */
START_TEST(test_serial_stays)
{
	struct device *fresh = device_new("0000:01:00.0", "pci");
	struct device *there = topology_device(&world.topology, "0000:01:00.0");

	ck_assert_int_eq(device_set_serial(there, EXPECTED), TOPOLOGY_CHANGED);
	fresh->vendor = 0x144d;
	fresh->product = 0xa808;
	fresh->class_code = 0x010802;
	fresh->group_id = 1;
	ck_assert_int_eq(topology_put_device(&world.topology, fresh), TOPOLOGY_CHANGED);
	ck_assert_str_eq(topology_device(&world.topology, "0000:01:00.0")->serial, EXPECTED);
	fresh = device_new("0000:01:00.0", "pci");
	fresh->vendor = 0x8086;
	fresh->group_id = 1;
	ck_assert_int_eq(topology_put_device(&world.topology, fresh), TOPOLOGY_REPLACED);
	ck_assert_ptr_null(topology_device(&world.topology, "0000:01:00.0")->serial);
}
END_TEST

START_TEST(test_parent)
{
	struct device *below = device_new("0000:11:00.0", "pci");

	ck_assert_int_eq(free_and_strdup(&below->syspath,
					 "/sys/devices/pci0000:00/0000:09:00.0/0000:11:00.0"),
			 0);
	ck_assert_int_eq(topology_put_device(&world.topology, below), TOPOLOGY_ADDED);
	ck_assert_str_eq(topology_parent(&world.topology, below)->name, "0000:09:00.0");
	ck_assert_ptr_null(
		topology_parent(&world.topology, topology_device(&world.topology, "0000:09:00.0")));
}
END_TEST

/* ---- read from sysfs */

START_TEST(test_read)
{
	struct mock_host *mock = mock_host_new();
	_cleanup_close_ int config = -EBADF;
	struct host host;
	char serial[SERIAL_SIZE];

	mock_host_open(mock, &host);
	mock_pci_add(mock, "0000:03:00.0", .vendor = 0x8086, .device = 0x10d3, .numa_node = -1);
	config = serial_open_config(&host, "0000:03:00.0");
	ck_assert_int_ge(config, 0);
	ck_assert_int_eq(serial_open_config(&host, "0000:ff:00.0"), -ENOENT);
	/* The usual mocked device shows what everybody may read. */
	ck_assert_int_eq(serial_read(&host, "0000:03:00.0", config, serial), SERIAL_UNREADABLE);
	tree_write(mock->fd, "00-1B-21-ff-ff-a0-36-9f\n",
		   "sys/devices/pci0000:00/0000:03:00.0/serial_number");
	ck_assert_int_eq(serial_read(&host, "0000:03:00.0", config, serial), 0);
	ck_assert_str_eq(serial, EXPECTED);
	tree_write(mock->fd, "nonsense\n", "sys/devices/pci0000:00/0000:03:00.0/serial_number");
	ck_assert_int_eq(serial_read(&host, "0000:03:00.0", config, serial), SERIAL_UNREADABLE);
	ck_assert_int_eq(serial_read(&host, "0000:ff:00.0", -EBADF, serial), SERIAL_UNREADABLE);
	ck_assert_int_eq(serial_read(&host, "../x", -EBADF, serial), SERIAL_UNREADABLE);
	host_close(&host);
	mock_host_free(mock);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pool");
	TCase *tc = tcase_create("pool");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_census);
	tcase_add_test(tc, test_serial);
	tcase_add_test(tc, test_pins);
	tcase_add_test(tc, test_serial_stays);
	tcase_add_test(tc, test_parent);
	tcase_add_test(tc, test_read);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
