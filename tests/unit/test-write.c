/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What vfiod does through sysfs, on a mocked driver core: read back, refused, blocked, vanished.
 */

#include "daemon/sysfs/write.h"
#include "policy/topology.h"
#include "tests/mock/mock-host.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#define NIC "0000:03:00.0"

static struct mock_host *mock;
static struct host host;
static int held = -EBADF; /* by the VMM, not by the children */

static void setup(void)
{
	mock = mock_host_new();
	mock_drivers_add_usual(mock);
	mock_driver_add(mock, "pci", "e1000e", "id 8086:10d3\n");
	mock_pci_add(mock, NIC, .vendor = 0x8086, .device = 0x10d3, .subvendor = 0x1028, .group = 9,
		     .driver = "e1000e", .numa_node = -1);
	mock_net_add(mock, NIC, "eth0", 2);
	mock_pci_add(mock, "0000:00:1c.0", .vendor = 0x8086, .device = 1, .class_code = 0x060400,
		     .group = 9, .numa_node = -1);
	mock_host_open(mock, &host);
}

static void teardown(void)
{
	host_close(&host);
	mock = mock_host_free(mock);
}

static void expect_driver(const char *device, const char *want)
{
	_cleanup_free_ char *driver = NULL;

	ck_assert_int_eq(sysfs_get_driver(&host, "pci", device, &driver), 0);
	ck_assert_pstr_eq(driver, want);
}

static void expect_override(const char *want)
{
	_cleanup_free_ char *override = NULL;

	ck_assert_int_eq(sysfs_get_override(&host, "pci", NIC, &override), 0);
	ck_assert_pstr_eq(override, want);
}

START_TEST(override)
{
	expect_override(NULL);
	ck_assert_int_eq(sysfs_set_override(&host, "pci", NIC, "vfio-pci"), 0);
	expect_override("vfio-pci");
	ck_assert_int_eq(sysfs_set_override(&host, "pci", NIC, OVERRIDE_NONE), 0);
	expect_override("none");
	ck_assert_int_eq(sysfs_set_override(&host, "pci", NIC, NULL), 0);
	expect_override(NULL);
	/* Success that changes nothing is found out. */
	mock_fail(mock, "OVERRIDE", NIC, 0, 1);
	ck_assert_int_eq(sysfs_set_override(&host, "pci", NIC, "none"), -EIO);
	mock_fail(mock, "OVERRIDE", NIC, ENODEV, 1);
	ck_assert_int_eq(sysfs_set_override(&host, "pci", NIC, "none"), -ENODEV);
	ck_assert_int_eq(sysfs_set_override(&host, "pci", NIC, "none"), 0);
}
END_TEST

START_TEST(bad_names)
{
	static const char *const names[] = {
		"", ".", "..", "../0000:03:00.0", "a/b", "x\n", "a b"
	};
	_cleanup_free_ char *text = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		ck_assert_int_eq(sysfs_set_override(&host, "pci", names[i], "none"), -EINVAL);
		ck_assert_int_eq(sysfs_set_override(&host, names[i], NIC, "none"), -EINVAL);
		ck_assert_int_eq(sysfs_set_override(&host, "pci", NIC, names[i]), -EINVAL);
		ck_assert_int_eq(sysfs_unbind(&host, "pci", names[i]), -EINVAL);
		ck_assert_int_eq(sysfs_probe(&host, "pci", names[i]), -EINVAL);
		ck_assert_int_eq(sysfs_probe(&host, names[i], NIC), -EINVAL);
		ck_assert_int_eq(sysfs_get_driver(&host, "pci", names[i], &text), -EINVAL);
		ck_assert_int_eq(sysfs_clear_bus_master(&host, names[i]), -EINVAL);
	}
	expect_override(NULL);
}
END_TEST

START_TEST(gone)
{
	uint32_t ids[4];
	char *text;
	bool on;

	mock_device_remove(mock, "pci", NIC);
	ck_assert_int_eq(sysfs_set_override(&host, "pci", NIC, "none"), -ENOENT);
	ck_assert_int_eq(sysfs_get_override(&host, "pci", NIC, &text), -ENOENT);
	ck_assert_int_eq(sysfs_get_driver(&host, "pci", NIC, &text), -ENOENT);
	ck_assert_int_eq(sysfs_unbind(&host, "pci", NIC), -ENOENT);
	ck_assert_int_eq(sysfs_probe(&host, "pci", NIC), -ENODEV);
	ck_assert_int_eq(sysfs_get_identity(&host, "pci", NIC, ids), -ENOENT);
	ck_assert_int_eq(sysfs_get_bus_master(&host, NIC, &on), -ENOENT);
	ck_assert_int_eq(sysfs_wait_unbound(&host, "pci", NIC, NULL), -ENOENT);
}
END_TEST

/* There and back: driver, interface, nodes. */
START_TEST(swap)
{
	expect_driver(NIC, "e1000e");
	ck_assert_int_eq(sysfs_set_override(&host, "pci", NIC, "vfio-pci"), 0);
	ck_assert_int_eq(sysfs_unbind(&host, "pci", NIC), 0);
	expect_driver(NIC, NULL);
	ck_assert(!tree_exists(mock->fd, "sys/class/net/eth0"));
	ck_assert_int_eq(sysfs_probe(&host, "pci", NIC), 0);
	expect_driver(NIC, "vfio-pci");
	ck_assert(tree_exists(mock->fd, "dev/vfio/9"));
	ck_assert(tree_exists(mock->fd, "dev/vfio/devices/vfio0"));
	ck_assert_int_eq(sysfs_unbind(&host, "pci", NIC), 0);
	ck_assert(!tree_exists(mock->fd, "dev/vfio/9"));
	ck_assert_int_eq(sysfs_set_override(&host, "pci", NIC, NULL), 0);
	ck_assert_int_eq(sysfs_probe(&host, "pci", NIC), 0);
	expect_driver(NIC, "e1000e");
	ck_assert(tree_exists(mock->fd, "sys/class/net/eth0"));
	/* An unbound device is fine. */
	ck_assert_int_eq(sysfs_unbind(&host, "pci", "0000:00:1c.0"), 0);
}
END_TEST

/* drivers_probe says success and nothing is bound; or EINVAL. */
START_TEST(probe)
{
	ck_assert_int_eq(sysfs_unbind(&host, "pci", NIC), 0);
	ck_assert_int_eq(sysfs_set_override(&host, "pci", NIC, "none"), 0);
	ck_assert_int_eq(sysfs_probe(&host, "pci", NIC), 0);
	expect_driver(NIC, NULL);
	ck_assert_int_eq(sysfs_wait_unbound(&host, "pci", NIC, NULL), 0);
	ck_assert_int_eq(sysfs_set_override(&host, "pci", NIC, NULL), 0);
	ck_assert_int_eq(sysfs_wait_unbound(&host, "pci", NIC, NULL), -EPERM);
	expect_driver(NIC, NULL);
	/* Its group's DMA belongs to somebody. */
	tree_write(mock->fd, "", "owned/9");
	ck_assert_int_eq(sysfs_probe(&host, "pci", NIC), -EINVAL);
	expect_driver(NIC, NULL);
	tree_remove(mock->fd, "owned/9");
	ck_assert_int_eq(sysfs_probe(&host, "pci", NIC), 0);
	expect_driver(NIC, "e1000e");
	/* VFIO takes no bridge. */
	ck_assert_int_eq(sysfs_set_override(&host, "pci", "0000:00:1c.0", "vfio-pci"), 0);
	ck_assert_int_eq(sysfs_probe(&host, "pci", "0000:00:1c.0"), 0);
	expect_driver("0000:00:1c.0", NULL);
}
END_TEST

static void bind_vfio(void)
{
	ck_assert_int_eq(sysfs_set_override(&host, "pci", NIC, "vfio-pci"), 0);
	ck_assert_int_eq(sysfs_unbind(&host, "pci", NIC), 0);
	ck_assert_int_eq(sysfs_probe(&host, "pci", NIC), 0);
	expect_driver(NIC, "vfio-pci");
}

static pid_t in_child(int (*fn)(void))
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		fd_close(held);
	if (pid == 0)
		_exit(fn() == 0 ? 0 : 1);
	return pid;
}

static int child_unbind(void)
{
	return sysfs_unbind(&host, "pci", NIC);
}

static int child_wait(void)
{
	return sysfs_wait_unbound(&host, "pci", NIC, NULL);
}

static bool ended(pid_t pid, int *status)
{
	return waitpid(pid, status, WNOHANG) == pid;
}

/* An unbind from VFIO returns when the last fd is gone; the link is gone long before. */
START_TEST(unbind_waits)
{
	int status = -1, other = -1;
	pid_t unbind, wait;

	bind_vfio();
	held = mk_open(mock->fd, NIC);
	ck_assert_int_ge(held, 0);
	unbind = in_child(child_unbind);
	for (int i = 0; i < 1000 && tree_exists(mock->fd, "dev/vfio/devices/vfio0"); i++)
		usleep(2000);
	expect_driver(NIC, NULL);
	usleep(50000);
	ck_assert(!ended(unbind, &status));
	/* "No driver" is not the end: this is. */
	ck_assert_int_eq(sysfs_set_override(&host, "pci", NIC, "none"), 0);
	wait = in_child(child_wait);
	usleep(50000);
	ck_assert(!ended(wait, &other));
	held = fd_close(held);
	ck_assert_int_eq(waitpid(unbind, &status, 0), unbind);
	ck_assert_int_eq(waitpid(wait, &other, 0), wait);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(other, 0);
}
END_TEST

/* Somebody else's unbind is under way, and this waits for it. */
static pid_t wait_for_other(pid_t *unbind)
{
	pid_t wait;

	bind_vfio();
	held = mk_open(mock->fd, NIC);
	ck_assert_int_ge(held, 0);
	*unbind = in_child(child_unbind);
	for (int i = 0; i < 1000 && tree_exists(mock->fd, "dev/vfio/devices/vfio0"); i++)
		usleep(2000);
	expect_driver(NIC, NULL);
	ck_assert_int_eq(sysfs_set_override(&host, "pci", NIC, "none"), 0);
	wait = in_child(child_wait);
	usleep(50000);
	return wait;
}

/* Meanwhile the override was cleared: nothing is asked for a driver then. */
START_TEST(override_cleared_meanwhile)
{
	int status = -1;
	pid_t unbind, wait = wait_for_other(&unbind);

	ck_assert_int_eq(sysfs_set_override(&host, "pci", NIC, NULL), 0);
	held = fd_close(held);
	ck_assert_int_eq(waitpid(unbind, &status, 0), unbind);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(waitpid(wait, &status, 0), wait);
	ck_assert_int_ne(status, 0);
	expect_driver(NIC, NULL);
}
END_TEST

#define UUID "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"

static int child_wait_mediated(void)
{
	return sysfs_wait_unbound(&host, "mdev", UUID, "mtty");
}

/*
 * A mediated device that is being unbound has its group and no driver. One with a driver is not
 * being unbound; and one that is made anew meanwhile, under the same name, is not waited for.
 */
START_TEST(mediated_made_anew)
{
	_cleanup_free_ char *path = NULL;
	int status = -1;
	pid_t wait;

	mock_driver_add(mock, "mdev", "mtty", "vfio\nevery\n");
	mock_mdev_add(mock, UUID, "pci0000:00/" NIC, "mtty-1");
	ck_assert_int_eq(child_wait_mediated(), 0);
	path = mk_device_path(mock->fd, "mdev", UUID);
	tree_remove(mock->fd, "%s/driver", path);
	wait = in_child(child_wait_mediated);
	usleep(100000);
	ck_assert(!ended(wait, &status));
	mock_device_remove(mock, "mdev", UUID);
	mock_mdev_add(mock, UUID, "pci0000:00/" NIC, "mtty-1");
	ck_assert_int_eq(waitpid(wait, &status, 0), wait);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* Which drivers there are cannot be read: that is not "over". */
START_TEST(drivers_unknown)
{
	int fd = mock->fd, status = -1;
	pid_t unbind, wait = wait_for_other(&unbind);

	ck_assert(!ended(wait, &status));
	ck_assert_int_eq(renameat(fd, "sys/bus/pci/drivers", fd, "sys/bus/pci/aside"), 0);
	ck_assert_int_lt(sysfs_wait_unbound(&host, "pci", NIC, NULL), 0);
	ck_assert_int_eq(renameat(fd, "sys/bus/pci/aside", fd, "sys/bus/pci/drivers"), 0);
	held = fd_close(held);
	ck_assert_int_eq(waitpid(unbind, &status, 0), unbind);
	ck_assert_int_eq(waitpid(wait, &status, 0), wait);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(unbind_races)
{
	bind_vfio();
	mock_fail(mock, "UNBIND", NIC, EBUSY, 1);
	ck_assert_int_eq(sysfs_unbind(&host, "pci", NIC), -EBUSY);
	expect_driver(NIC, "vfio-pci");
	/* It left the driver meanwhile: asked again which it has. */
	mock_fail(mock, "UNBIND", NIC, ENODEV, 2);
	ck_assert_int_eq(sysfs_unbind(&host, "pci", NIC), 0);
	expect_driver(NIC, NULL);
	ck_assert_int_eq(sysfs_probe(&host, "pci", NIC), 0);
	mock_fail(mock, "UNBIND", NIC, ENODEV, 0);
	ck_assert_int_eq(sysfs_unbind(&host, "pci", NIC), -ENODEV);
}
END_TEST

START_TEST(identity)
{
	uint32_t ids[4];

	ck_assert_int_eq(sysfs_get_identity(&host, "pci", NIC, ids), 0);
	ck_assert_uint_eq(ids[0], 0x8086);
	ck_assert_uint_eq(ids[1], 0x10d3);
	ck_assert_uint_eq(ids[2], 0x1028);
	ck_assert_uint_eq(ids[3], 0);
	tree_write(mock->fd, "no\n", "sys/devices/pci0000:00/%s/device", NIC);
	tree_remove(mock->fd, "sys/devices/pci0000:00/%s/vendor", NIC);
	ck_assert_int_eq(sysfs_get_identity(&host, "pci", NIC, ids), 0);
	ck_assert_uint_eq(ids[0], ID_UNKNOWN);
	ck_assert_uint_eq(ids[1], ID_UNKNOWN);
}
END_TEST

START_TEST(bus_master)
{
	static const unsigned char ones[64] = { [0 ... 63] = 0xff };
	bool on = false;

	ck_assert_int_eq(sysfs_get_bus_master(&host, NIC, &on), 0);
	ck_assert(on);
	ck_assert_int_eq(sysfs_clear_bus_master(&host, NIC), 0);
	ck_assert_int_eq(sysfs_get_bus_master(&host, NIC, &on), 0);
	ck_assert(!on);
	/* Memory and I/O decoding stay. */
	{
		_cleanup_free_ char *text = NULL;
		size_t n = 0;

		ck_assert_int_eq(
			file_read_at(host.sys, "bus/pci/devices/" NIC "/config", 64, &text, &n), 0);
		ck_assert_uint_eq(n, 64);
		ck_assert_int_eq(text[4], 3);
	}
	ck_assert_int_eq(sysfs_clear_bus_master(&host, NIC), 0);
	/* A device that fell off the bus. */
	tree_write_bytes(mock->fd, ones, 64, "sys/devices/pci0000:00/" NIC "/config");
	ck_assert_int_eq(sysfs_get_bus_master(&host, NIC, &on), -EIO);
	ck_assert_int_eq(sysfs_clear_bus_master(&host, NIC), -EIO);
	tree_write(mock->fd, "abc", "sys/devices/pci0000:00/%s/config", NIC);
	ck_assert_int_eq(sysfs_get_bus_master(&host, NIC, &on), -EIO);
	tree_remove(mock->fd, "sys/devices/pci0000:00/%s/config", NIC);
	ck_assert_int_eq(sysfs_get_bus_master(&host, NIC, &on), -ENOENT);
	symlinkat("/etc/passwd", mock->fd, "sys/devices/pci0000:00/" NIC "/config");
	ck_assert_int_eq(sysfs_get_bus_master(&host, NIC, &on), -ELOOP);
}
END_TEST

/* What is there instead of a name is an error, never a driver. */
START_TEST(garbage)
{
	char *text = NULL;

	tree_write(mock->fd, "\001\002\n", "sys/devices/pci0000:00/%s/driver_override", NIC);
	ck_assert_int_eq(sysfs_get_override(&host, "pci", NIC, &text), -EIO);
	tree_write(mock->fd, "\n", "sys/devices/pci0000:00/%s/driver_override", NIC);
	ck_assert_int_eq(sysfs_get_override(&host, "pci", NIC, &text), 0);
	ck_assert_ptr_null(text);
	tree_remove(mock->fd, "sys/devices/pci0000:00/%s/driver_override", NIC);
	ck_assert_int_eq(sysfs_get_override(&host, "pci", NIC, &text), -ENOENT);
	tree_remove(mock->fd, "sys/devices/pci0000:00/%s/driver", NIC);
	tree_write(mock->fd, "x", "sys/devices/pci0000:00/%s/driver", NIC);
	ck_assert_int_eq(sysfs_get_driver(&host, "pci", NIC, &text), -EIO);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("write");
	TCase *tc = tcase_create("write");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, override);
	tcase_add_test(tc, bad_names);
	tcase_add_test(tc, gone);
	tcase_add_test(tc, swap);
	tcase_add_test(tc, probe);
	tcase_add_test(tc, unbind_waits);
	tcase_add_test(tc, override_cleared_meanwhile);
	tcase_add_test(tc, drivers_unknown);
	tcase_add_test(tc, mediated_made_anew);
	tcase_add_test(tc, unbind_races);
	tcase_add_test(tc, identity);
	tcase_add_test(tc, bus_master);
	tcase_add_test(tc, garbage);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
