/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The two questions that only a real kernel answers: whether a block device is open exclusively
 * (on a loop device), and what addresses and routes an interface has (in a network namespace).
 * Where the machine does not allow one of them, the program says so and counts as skipped.
 */

#include "daemon/sysfs/block-open.h"
#include "daemon/sysfs/netlink.h"
#include "tests/mock/tree.h"

#include <check.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#define SKIPPED 77

/* ---- a loop device of one's own, with nodes in a directory of one's own */

struct loop {
	char dir[64];
	int root; /* of dir */
	int fd;
	int n;
};

static int loop_attach(struct loop *loop)
{
	struct loop_config config = { .info.lo_flags = LO_FLAGS_AUTOCLEAR };
	_cleanup_close_ int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	_cleanup_close_ int image = -EBADF;
	char node[32];

	if (control < 0)
		return -errno;
	tree_write(loop->root, "", "image");
	image = openat(loop->root, "image", O_RDWR | O_CLOEXEC);
	if (image < 0 || ftruncate(image, 1 << 20) < 0)
		return -errno;
	/* Others may take the free one meanwhile. */
	for (int i = 0; i < 32; i++) {
		loop->n = ioctl(control, LOOP_CTL_GET_FREE);
		if (loop->n < 0)
			return -errno;
		snprintf(node, sizeof(node), "loop%d", loop->n);
		if (mknodat(loop->root, node, S_IFBLK | 0600, makedev(7, (unsigned)loop->n)) < 0)
			return -errno;
		loop->fd = openat(loop->root, node, O_RDWR | O_CLOEXEC);
		config.fd = (uint32_t)image;
		if (loop->fd >= 0 && ioctl(loop->fd, LOOP_CONFIGURE, &config) == 0)
			return 0;
		if (loop->fd < 0 || errno != EBUSY)
			return -errno;
		loop->fd = fd_close(loop->fd);
		tree_remove(loop->root, "%s", node);
	}
	return -EBUSY;
}

static int loop_open(struct loop *loop)
{
	*loop = (struct loop){ .fd = -EBADF, .dir = "/tmp/vfiod-loop.XXXXXX" };
	if (!mkdtemp(loop->dir))
		return -errno;
	loop->root = open(loop->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return loop->root < 0 ? -errno : loop_attach(loop);
}

static void loop_close(struct loop *loop)
{
	_cleanup_strv_ char **names = tree_list(loop->root, ".");

	fd_close(loop->fd);
	STRV_FOREACH (name, names)
		tree_remove(loop->root, "%s", *name);
	fd_close(loop->root);
	rmdir(loop->dir);
}

static bool may_loop(void)
{
	struct loop loop;
	int r = loop_open(&loop);

	loop_close(&loop);
	return r == 0;
}

START_TEST(exclusive)
{
	_cleanup_free_ char *name = NULL, *linked = NULL;
	struct host host = { -EBADF, -EBADF, -EBADF, -EBADF };
	struct loop loop;
	int fd, again, r;
	dev_t number;

	ck_assert_int_eq(loop_open(&loop), 0);
	host.dev = loop.root;
	name = mock_asprintf("loop%d", loop.n);
	number = makedev(7, (unsigned)loop.n);
	/* Somebody who has it open without O_EXCL does not count: the test itself. */
	fd = block_open_exclusive(&host, name, number);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(block_open_exclusive(&host, name, number), -EBUSY);
	close(fd);
	again = block_open_exclusive(&host, name, number);
	ck_assert_int_ge(again, 0);
	close(again);

	/* The wrong device, a link to the right one, no device. */
	ck_assert_int_eq(block_open_exclusive(&host, name, makedev(7, 999)), -ENODEV);
	linked = mock_asprintf("link-%s", name);
	ck_assert_int_eq(symlinkat(name, loop.root, linked), 0);
	ck_assert_int_eq(block_open_exclusive(&host, linked, number), -ENODEV);
	ck_assert_int_eq(block_open_exclusive(&host, "image", number), -ENODEV);
	ck_assert_int_eq(block_open_exclusive(&host, "none", number), -ENOENT);
	r = mknodat(loop.root, "char", S_IFCHR | 0600, number);
	ck_assert_int_eq(r, 0);
	ck_assert_int_eq(block_open_exclusive(&host, "char", number), -ENODEV);
	/* A name with a directory in it is written with '!'. */
	ck_assert_int_eq(mkdirat(loop.root, "sub", 0700), 0);
	ck_assert_int_eq(mknodat(loop.root, "sub/disk", S_IFBLK | 0600, number), 0);
	fd = block_open_exclusive(&host, "sub!disk", number);
	ck_assert_int_ge(fd, 0);
	close(fd);
	loop_close(&loop);
}
END_TEST

/* ---- interfaces */

static int enter_network(void)
{
	uid_t uid = geteuid();

	if (unshare(CLONE_NEWNET | (uid ? CLONE_NEWUSER : 0)) < 0)
		return -errno;
	return 0;
}

static bool may_configure(void)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(enter_network() == 0 &&
				      system("ip link add dev test0 type veth peer name test1 "
					     ">/dev/null 2>&1") == 0
			      ? 0
			      : 1);
	waitpid(pid, &status, 0);
	return status == 0;
}

static void expect(const char *ifname, const char *want)
{
	struct host host = { -EBADF, -EBADF, -EBADF, -EBADF };
	_cleanup_strv_ char **text = NULL;
	_cleanup_free_ char *got = NULL;

	ck_assert_int_eq(netlink_read_interface(&host, ifname, if_nametoindex(ifname), &text), 0);
	got = strv_join(text, ", ");
	ck_assert_str_eq(got, want);
}

#define IP(command) ck_assert_int_eq(system("ip " command), 0)

START_TEST(interface)
{
	ck_assert_int_eq(enter_network(), 0);
	IP("link add dev test0 type veth peer name test1");
	expect("test0", "");
	/* Up, with a link-local address of its own: still idle. */
	IP("link set test0 up");
	IP("link set test1 up");
	sleep(3);
	expect("test0", "");
	IP("address add 10.7.0.2/24 dev test0");
	IP("address add 2001:db8::2/64 dev test0 nodad");
	expect("test0", "has the address 10.7.0.2, has the address 2001:db8::2");
	expect("test1", "");
	IP("route add 10.9.0.0/16 via 10.7.0.1 dev test0");
	IP("route add default via 10.7.0.1");
	expect("test0", "has the address 10.7.0.2, has the address 2001:db8::2, has the default "
			"route, has the route to 10.9.0.0/16");
	IP("address flush dev test0");
	expect("test0", "");
	/* Routes alone: one of its own, and one of several ways. */
	IP("route add 192.0.2.1/32 dev test1");
	IP("-6 route add 2001:db8:1::/48 dev test1");
	expect("test1", "has the route to 192.0.2.1/32, has the route to 2001:db8:1::/48");
	IP("route flush dev test1");
	IP("-6 route del 2001:db8:1::/48 dev test1");
	IP("route add 198.51.100.0/24 nexthop dev test0 nexthop dev test1");
	expect("test0", "has the route to 198.51.100.0/24");
	expect("test1", "has the route to 198.51.100.0/24");
	/* Another table counts too. */
	IP("route del 198.51.100.0/24");
	IP("route add 203.0.113.0/24 dev test1 table 100");
	expect("test1", "has the route to 203.0.113.0/24");
}
END_TEST

/* Many addresses take many messages; what is said of them is bounded. */
START_TEST(many)
{
	struct host host = { -EBADF, -EBADF, -EBADF, -EBADF };
	_cleanup_strv_ char **text = NULL;

	ck_assert_int_eq(enter_network(), 0);
	IP("link add dev test0 type veth peer name test1");
	ck_assert_int_eq(system("for i in $(seq 1 2000); do echo address add "
				"10.1.$((i / 250)).$((i % 250))/32 dev test0; done | ip -batch -"),
			 0);
	ck_assert_int_eq(netlink_read_interface(&host, "test0", if_nametoindex("test0"), &text), 0);
	ck_assert_uint_gt(strv_length(text), 0);
	ck_assert_uint_le(strv_length(text), 16);
	expect("test1", "");
}
END_TEST

int main(void)
{
	bool block = may_loop(), network = may_configure();
	Suite *suite = suite_create("host-uses");
	TCase *tc = tcase_create("host-uses");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 60);
	if (block)
		tcase_add_test(tc, exclusive);
	if (network) {
		tcase_add_test(tc, interface);
		tcase_add_test(tc, many);
	}
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	if (!block)
		printf("SKIPPED: exclusive, for there are no loop devices here\n");
	if (!network)
		printf("SKIPPED: interfaces, for there is no network namespace or no ip here\n");
	if (failed)
		return EXIT_FAILURE;
	return block && network ? EXIT_SUCCESS : SKIPPED;
}
