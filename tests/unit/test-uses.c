/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Why the host needs a device: each kind of use, said by name, on a mocked host. */

#include "daemon/sysfs/attr.h"
#include "daemon/sysfs/uses.h"
#include "tests/mock/mock-host.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define DEV "0000:03:00.0"
#define DIR "sys/devices/pci0000:00/" DEV

static struct mock_host *mock;
static struct host host;
static struct use_list uses;
static struct held_fds held;
static struct uses_query query;

static void setup(void)
{
	mock = mock_host_new();
	mock_drivers_add_usual(mock);
	mock_driver_add(mock, "pci", "driver", "");
	mock_pci_add(mock, DEV, .vendor = 0x8086, .device = 1, .group = 9, .numa_node = -1,
		     .driver = "driver");
	mock_host_open(mock, &host);
	uses = (struct use_list){ 0 };
	held = (struct held_fds){ 0 };
	query = (struct uses_query){
		.name = DEV,
		.syspath = "/" DIR,
		.driver = "driver",
		.class_code = 0x088000,
	};
}

static void teardown(void)
{
	use_list_done(&uses);
	held_fds_done(&held);
	host_close(&host);
	mock = mock_host_free(mock);
}

/* "KIND: text | KIND: text" of what is read now. */
static void expect(const char *want)
{
	_cleanup_strv_ char **lines = NULL;
	_cleanup_free_ char *got = NULL;

	use_list_done(&uses);
	uses = (struct use_list){ 0 };
	held_fds_done(&held);
	ck_assert_int_eq(uses_read(&host, &query, &held, &uses), 0);
	for (size_t i = 0; i < uses.n; i++)
		ck_assert_int_eq(strv_extendf(&lines, "%s: %s",
					      use_kind_to_string(uses.items[i].kind),
					      uses.items[i].text),
				 0);
	got = strv_join(lines, " | ");
	ck_assert_str_eq(got, want);
}

static void expect_error(int error)
{
	use_list_done(&uses);
	uses = (struct use_list){ 0 };
	held_fds_done(&held);
	ck_assert_int_eq(uses_read(&host, &query, &held, &uses), error);
}

START_TEST(idle)
{
	expect("");
	query.exclusive = true;
	expect("");
	ck_assert_int_eq(uses_read(&host, &query, NULL, &uses), -EINVAL);
	query.syspath = "/etc";
	expect_error(-EINVAL);
	query.syspath = "/sys/devices/pci0000:00/0000:04:00.0";
	expect_error(-ENOENT);
	query.syspath = "/sys/../dev";
	expect_error(-EXDEV);
}
END_TEST

/* ---- block */

START_TEST(mounted)
{
	mock_block_add(mock, DEV, "sda", "8:0");
	mock_partition_add(mock, DEV, "sda", "sda1", "8:1");
	mock_partition_add(mock, DEV, "sda", "sda2", "8:2");
	expect("");
	mock_mount_add(mock, "8:1", "/dev/root", "/");
	mock_mount_add(mock, "0:30", "/dev/sda2", "/srv/a\\040b\\134\\033");
	mock_mount_add(mock, "0:31", "/dev/sda22", "/other");
	mock_mount_add(mock, "8:17", "/dev/sda1", "/other");
	mock_mount_add(mock, "0:4", "proc", "/proc");
	expect("block: sda1 is mounted on / | block: sda2 is mounted on /srv/a b\\?");
	query.exclusive = true;
	mock_block_busy(mock, "sda", true);
	expect("block: sda1 is mounted on / | block: sda2 is mounted on /srv/a b\\?");
	ck_assert_uint_eq(held.n, 0);
}
END_TEST

START_TEST(exclusive)
{
	mock_block_add(mock, DEV, "sda", "8:0");
	mock_partition_add(mock, DEV, "sda", "sda1", "8:1");
	query.exclusive = true;
	expect("");
	/* The disk alone is held: that keeps everybody off its partitions. */
	ck_assert_uint_eq(held.n, 1);
	held_fds_done(&held);
	mock_block_busy(mock, "sda", true);
	expect("block: sda is open exclusively");
	mock_block_busy(mock, "sda1", true);
	expect("block: sda1 is open exclusively");
	ck_assert_uint_eq(held.n, 0);
	/* Not knowing is not "idle". */
	mock_block_busy(mock, "sda", false);
	mock_fail(mock, "BLOCK", "sda", EIO, 0);
	expect_error(-EIO);
	mock_fail(mock, "BLOCK", "sda", ENOMEDIUM, 0);
	expect("");
	ck_assert_uint_eq(held.n, 0);
	tree_remove(mock->fd, "fail");
	tree_remove(mock->fd, "dev/sda");
	expect_error(-ENOENT);
	query.exclusive = false;
	expect("");
}
END_TEST

START_TEST(swap_space)
{
	mock_block_add(mock, DEV, "vda", "254:0");
	mock_partition_add(mock, DEV, "vda", "vda5", "254:5");
	tree_write(mock->fd,
		   "Filename\tType\tSize\tUsed\tPriority\n"
		   "/dev/vda5   partition\t974844\t0\t-2\n/swapfile file 1 0 -3\n",
		   "proc/swaps");
	expect("block: vda5 is swap space");
}
END_TEST

static void add_virtual_block(const char *name, const char *dev, const char *on)
{
	_cleanup_free_ char *dir = mock_asprintf("sys/devices/virtual/block/%s", name);
	_cleanup_free_ char *text = mock_asprintf("%s\n", dev);

	tree_write(mock->fd, text, "%s/dev", dir);
	tree_mkdir(mock->fd, "%s/holders", dir);
	tree_link(mock->fd, dir, "sys/class/block/%s", name);
	if (on)
		tree_link(mock->fd, dir, "%s/holders/%s", on, name);
}

#define DISK DIR "/host0/target0:0:0/0:0:0:0/block/sda"

START_TEST(chains)
{
	mock_block_add(mock, DEV, "sda", "8:0");
	mock_partition_add(mock, DEV, "sda", "sda1", "8:1");
	add_virtual_block("md0", "9:0", DISK "/sda1");
	expect("block: sda1 is below md0");
	add_virtual_block("dm-3", "253:3", "sys/devices/virtual/block/md0");
	tree_write(mock->fd, "vg-root\n", "sys/devices/virtual/block/dm-3/dm/name");
	expect("block: sda1 is below md0, which is below dm-3 (vg-root)");
	mock_mount_add(mock, "253:3", "/dev/mapper/vg-root", "/home");
	expect("block: sda1 is below md0, which is below dm-3 (vg-root), which is mounted on "
	       "/home");
	/* A circle of holders ends. */
	tree_link(mock->fd, "sys/devices/virtual/block/md0",
		  "sys/devices/virtual/block/dm-3/holders/md0");
	use_list_done(&uses);
	uses = (struct use_list){ 0 };
	ck_assert_int_eq(uses_read(&host, &query, &held, &uses), 0);
	ck_assert_uint_gt(uses.n, 0);
	ck_assert_uint_lt(uses.n, 20);
}
END_TEST

START_TEST(loops)
{
	mock_block_add(mock, DEV, "sda", "8:0");
	add_virtual_block("loop0", "7:0", NULL);
	tree_write(mock->fd, "/dev/sda\n", "sys/devices/virtual/block/loop0/loop/backing_file");
	add_virtual_block("loop1", "7:1", NULL);
	tree_write(mock->fd, "/srv/image\n", "sys/devices/virtual/block/loop1/loop/backing_file");
	expect("block: sda is what loop0 is on");
}
END_TEST

/* With multipath the disk is not below the controller: its head is somewhere else. */
START_TEST(nvme_multipath)
{
	_cleanup_free_ char *path =
		mock_child_add(mock, "pci", DEV, "block", "nvme/nvme0/nvme0c1n2", NULL);

	tree_write(mock->fd, "1\n", "%s/hidden", path);
	expect_error(-ENODEV);
	tree_write(mock->fd, "259:7\n",
		   "sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n2/dev");
	tree_link(mock->fd, "sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n2",
		  "sys/class/block/nvme0n2");
	tree_write(mock->fd, "", "dev/nvme0n2");
	expect("");
	tree_write(mock->fd, "1\n",
		   "sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n2/nvme0n2p1/partition");
	tree_write(mock->fd, "259:8\n",
		   "sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n2/nvme0n2p1/dev");
	mock_mount_add(mock, "259:8", "/dev/nvme0n2p1", "/");
	expect("block: nvme0n2p1 is mounted on /");
	query.exclusive = true;
	mock_block_busy(mock, "nvme0n2", true);
	expect("block: nvme0n2p1 is mounted on /");
	tree_write(mock->fd, "", "proc/1/mountinfo");
	expect("block: nvme0n2 is open exclusively");
}
END_TEST

START_TEST(garbage_tables)
{
	mock_block_add(mock, DEV, "sda", "8:0");
	tree_write(mock->fd,
		   "\n\n1 2 3\n36 35 98:0 /mnt1\nx y z / /a rw - ext4 /dev/sda rw\n"
		   "1 2 8:0 / /b rw -\n1 2 8:0 / /b rw - ext4\n1 2 8:0 / \\777\\9 rw - a b c\n"
		   "1 2 8:0 / /ok rw,x shared:1 master:2 - ext4 /dev/x rw\n",
		   "proc/1/mountinfo");
	expect("block: sda is mounted on \\777\\9 | block: sda is mounted on /ok");
	/* Process 1 is the one that counts. */
	tree_write(mock->fd, "1 2 8:0 / /self rw - ext4 /dev/x rw\n", "proc/self/mountinfo");
	tree_write(mock->fd, "1 2 8:0 / /one rw - ext4 /dev/x rw\n", "proc/1/mountinfo");
	expect("block: sda is mounted on /one");
	tree_remove(mock->fd, "proc/1/mountinfo");
	expect("block: sda is mounted on /self");
	tree_remove(mock->fd, "proc/self/mountinfo");
	expect_error(-ENOENT);
	tree_write(mock->fd, "", "proc/1/mountinfo");
	tree_remove(mock->fd, "proc/swaps");
	expect("");
	tree_write(mock->fd, "x\n", DISK "/dev");
	expect_error(-EIO);
}
END_TEST

/* ---- network */

START_TEST(network)
{
	query.class_code = 0x020000;
	expect("network: driver has it and its network interface is not in sight: it may be in "
	       "another network namespace");
	query.driver = "vfio-pci";
	expect("");
	query.driver = NULL;
	expect("");
	query.driver = "driver";
	mock_net_add(mock, DEV, "eth0", 2);
	expect("");
	mock_net_configure(mock, "eth0", "address 10.0.0.2\nroute to 10.1.0.0/16\n");
	expect("network: eth0 has the address 10.0.0.2 | network: eth0 has the route to "
	       "10.1.0.0/16");
	mock_net_configure(mock, "eth0", "");
	tree_link(mock->fd, "sys/devices/virtual/net/br0", DIR "/net/eth0/upper_br0");
	tree_link(mock->fd, "sys/devices/virtual/net/br0", DIR "/net/eth0/master");
	tree_mkdir(mock->fd, DIR "/net/eth0/brport");
	expect("network: eth0 is below br0");
	mock_fail(mock, "NETLINK", "eth0", ENOBUFS, 0);
	expect_error(-ENOBUFS);
	tree_remove(mock->fd, "fail");
	tree_write(mock->fd, "zero\n", DIR "/net/eth0/ifindex");
	expect_error(-EIO);
}
END_TEST

/* ---- console */

static void add_vtconsole(const char *name, const char *text, const char *bind)
{
	tree_write(mock->fd, text, "sys/class/vtconsole/%s/name", name);
	tree_write(mock->fd, bind, "sys/class/vtconsole/%s/bind", name);
}

START_TEST(display)
{
	tree_write(mock->fd, "1\n", DIR "/boot_vga");
	add_vtconsole("vtcon0", "(S) dummy device\n", "1\n");
	expect("");
	add_vtconsole("vtcon1", "(M) frame buffer device\n", "0\n");
	expect("");
	add_vtconsole("vtcon1", "(M) frame buffer device\n", "1\n");
	expect("console: the console is on it (boot display)");
	tree_write(mock->fd, "0\n", DIR "/boot_vga");
	expect("");
	free(mock_child_add(mock, "pci", DEV, "graphics", "graphics/fb1", NULL));
	expect("");
	free(mock_child_add(mock, "pci", DEV, "graphics", "graphics/fb0", NULL));
	expect("console: the console is on its frame buffer fb0");
}
END_TEST

START_TEST(serial)
{
	free(mock_child_add(mock, "pci", DEV, "tty", "tty/ttyS4", "4:68"));
	tree_write(mock->fd, "tty0 ttyS40\n", "sys/class/tty/console/active");
	expect("");
	tree_write(mock->fd, "tty0 ttyS4\n", "sys/class/tty/console/active");
	expect("console: the console is on ttyS4");
	tree_write(mock->fd, "tty0\n", "sys/class/tty/console/active");
	tree_write(mock->fd, "ttyS40 -W- (E) 4:1\nttyS4                -W- (EC p a)    4:68\n",
		   "proc/consoles");
	expect("console: the console is on ttyS4");
}
END_TEST

/* ---- nodes */

static void add_process(const char *pid, const char *command, const char *fd, const char *target)
{
	_cleanup_free_ char *link = mock_asprintf("proc/%s/fd/%s", pid, fd);
	_cleanup_free_ char *comm = mock_asprintf("%s\n", command);

	tree_write(mock->fd, comm, "proc/%s/comm", pid);
	tree_mkdir(mock->fd, "proc/%s/fd", pid);
	ck_assert_int_eq(symlinkat(target, mock->fd, link), 0);
}

START_TEST(open_nodes)
{
	/* /dev/null stands in for the card's node: any number does. */
	free(mock_child_add(mock, "pci", DEV, "drm", "drm/card0", "1:3"));
	free(mock_child_add(mock, "pci", DEV, "drm", "drm/card0/card0-HDMI-A-1", NULL));
	add_process("100", "bash", "0", "/dev/zero");
	add_process("100", "bash", "1", "pipe:[1]");
	add_process("200", "Xorg\033", "7", "/dev/zero");
	expect("");
	add_process("300", "gnome-shell", "12", "/dev/null");
	expect("nodes: card0 is open in gnome-shell (process 300)");
	tree_write(mock->fd, "", "proc/notapid/fd/x");
	tree_write(mock->fd, "", "proc/400");
	expect_error(-ENOTDIR);
}
END_TEST

START_TEST(watchdog)
{
	_cleanup_free_ char *path =
		mock_child_add(mock, "pci", DEV, "watchdog", "iTCO/watchdog/watchdog0", "245:0");

	tree_write(mock->fd, "inactive\n", "%s/state", path);
	expect("");
	tree_write(mock->fd, "active\n", "%s/state", path);
	expect("nodes: watchdog0 is running");
}
END_TEST

/* ---- functions, and what is below what */

START_TEST(functions)
{
	mock_pci_add(mock, "0000:03:10.0", .vendor = 0x8086, .device = 2, .group = 10,
		     .numa_node = -1, .physfn = DEV);
	expect("vfs: 1 virtual function is enabled");
	mock_pci_add(mock, "0000:03:10.2", .vendor = 0x8086, .device = 2, .group = 11,
		     .numa_node = -1, .physfn = DEV);
	expect("vfs: 2 virtual functions are enabled");
	mock_device_add(mock, "mdev", "83b8f4f2", "pci0000:00/" DEV, 12, NULL);
	expect("vfs: 2 virtual functions are enabled | vfs: it has 1 mediated device");
}
END_TEST

/* What is behind a bridge keeps its drivers; what is behind VMD goes with it. */
START_TEST(behind)
{
	mock_pci_add(mock, "10000:01:00.0", .vendor = 1, .device = 1, .group = 12, .numa_node = -1,
		     .parent = "pci0000:00/" DEV "/pci10000:00");
	mock_block_add(mock, "10000:01:00.0", "sdb", "8:16");
	mock_mount_add(mock, "8:16", "/dev/sdb", "/");
	expect("block: sdb is mounted on /");
	query.class_code = 0x060400;
	expect("");
}
END_TEST

/* Deep and wide trees end in an answer. */
START_TEST(bounded)
{
	_cleanup_free_ char *path = mock_asprintf(DIR);
	int dir = open(mock->root, O_RDONLY | O_DIRECTORY);

	for (int i = 0; i < 40; i++) {
		_cleanup_free_ char *old = path;

		path = mock_asprintf("%s/d", old);
	}
	tree_mkdir(mock->fd, "%s", path);
	expect_error(-ELOOP);
	tree_remove(mock->fd, DIR "/d");
	/* A link back up is not followed. */
	ck_assert_int_eq(symlinkat("..", dir, DIR "/up"), 0);
	expect("");
	for (int i = 0; i < 300; i++)
		tree_link(mock->fd, "sys/class/tty", DIR "/tty/ttyX%d/subsystem", i);
	expect("");
	close(dir);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("uses");
	TCase *tc = tcase_create("uses");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, idle);
	tcase_add_test(tc, mounted);
	tcase_add_test(tc, exclusive);
	tcase_add_test(tc, swap_space);
	tcase_add_test(tc, chains);
	tcase_add_test(tc, loops);
	tcase_add_test(tc, nvme_multipath);
	tcase_add_test(tc, garbage_tables);
	tcase_add_test(tc, network);
	tcase_add_test(tc, display);
	tcase_add_test(tc, serial);
	tcase_add_test(tc, open_nodes);
	tcase_add_test(tc, watchdog);
	tcase_add_test(tc, functions);
	tcase_add_test(tc, behind);
	tcase_add_test(tc, bounded);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
