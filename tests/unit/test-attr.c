/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Attributes that are missing, empty, too big, garbage or denied: a known outcome, never a value.
 */

#include "daemon/sysfs/attr.h"
#include "tests/mock/mock-host.h"

#include <check.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static struct mock_host *mock;
static int dir;

static void setup(void)
{
	mock = mock_host_new();
	tree_mkdir(mock->fd, "d");
	dir = openat(mock->fd, "d", O_PATH | O_DIRECTORY);
	ck_assert_int_ge(dir, 0);
}

static void teardown(void)
{
	close(dir);
	mock = mock_host_free(mock);
}

static void put(const char *name, const char *text)
{
	tree_write(mock->fd, text, "d/%s", name);
}

static void check_text(const char *content, int outcome, const char *value)
{
	char buffer[16];

	put("a", content);
	memset(buffer, 'x', sizeof(buffer));
	ck_assert_int_eq(attr_read(dir, "a", buffer, sizeof(buffer)), outcome);
	ck_assert_str_eq(buffer, value);
}

START_TEST(texts)
{
	check_text("hello\n", 0, "hello");
	check_text("hello", 0, "hello");
	check_text("two lines\nx\n\n", 0, "two lines\nx");
	check_text(" lead\n", 0, " lead");
	check_text("", ATTR_EMPTY, "");
	check_text("\n", ATTR_EMPTY, "");
	check_text(" \n \n", ATTR_EMPTY, "");
	check_text("123456789012345", 0, "123456789012345");
	check_text("1234567890123456", ATTR_OVERSIZED, "");
	check_text("12345678901234567", ATTR_OVERSIZED, "");
	check_text("a\001b", ATTR_GARBAGE, "");
	check_text("a\033[0m", ATTR_GARBAGE, "");
	check_text("\xff\xfe", ATTR_GARBAGE, "");
	check_text("\xc3\xa4\n", 0, "\xc3\xa4");
	check_text("\xc0\xaf", ATTR_GARBAGE, "");
}
END_TEST

START_TEST(nul_inside)
{
	char buffer[16];

	tree_write_bytes(mock->fd, "ab\0cd\n", 6, "d/a");
	ck_assert_int_eq(attr_read(dir, "a", buffer, sizeof(buffer)), ATTR_GARBAGE);
	ck_assert_str_eq(buffer, "");
}
END_TEST

START_TEST(not_a_file)
{
	char buffer[16], *value;

	ck_assert_int_eq(attr_read(dir, "a", buffer, sizeof(buffer)), ATTR_MISSING);
	tree_mkdir(mock->fd, "d/sub");
	ck_assert_int_eq(attr_read(dir, "sub", buffer, sizeof(buffer)), ATTR_GARBAGE);
	put("real", "secret\n");
	ck_assert_int_eq(symlinkat("real", dir, "link"), 0);
	ck_assert_int_eq(attr_read(dir, "link", buffer, sizeof(buffer)), ATTR_GARBAGE);
	ck_assert_int_eq(symlinkat("loop", dir, "loop"), 0);
	ck_assert_int_eq(attr_read(dir, "loop", buffer, sizeof(buffer)), ATTR_GARBAGE);
	/* A FIFO without a writer must not make us wait. */
	ck_assert_int_eq(mkfifoat(mock->fd, "d/fifo", 0600), 0);
	ck_assert_int_eq(attr_read(dir, "fifo", buffer, sizeof(buffer)), ATTR_GARBAGE);
	ck_assert_int_eq(attr_read_string(dir, "fifo", &value), ATTR_GARBAGE);
	ck_assert_ptr_null(value);
	ck_assert_ptr_null(attr_fopen(dir, "fifo"));
	/* Our own mistake is not "missing". */
	ck_assert_int_eq(attr_read(-1, "a", buffer, sizeof(buffer)), -EBADF);
}
END_TEST

START_TEST(denied)
{
	char buffer[16];

	put("a", "x\n");
	ck_assert_int_eq(fchmodat(mock->fd, "d/a", 0, 0), 0);
	/* Root reads everything. */
	ck_assert_int_eq(attr_read(dir, "a", buffer, sizeof(buffer)),
			 geteuid() == 0 ? 0 : ATTR_DENIED);
}
END_TEST

START_TEST(page)
{
	char big[10001];
	char *value;

	memset(big, 'z', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	put("a", big);
	ck_assert_int_eq(attr_read_string(dir, "a", &value), ATTR_OVERSIZED);
	ck_assert_ptr_null(value);
	big[ATTR_SIZE] = 0;
	put("a", big);
	ck_assert_int_eq(attr_read_string(dir, "a", &value), 0);
	ck_assert_uint_eq(strlen(value), ATTR_SIZE);
	free(value);
}
END_TEST

static void check_hex(const char *text, unsigned int bits, int outcome, uint32_t want)
{
	uint32_t value = 0xdeadbeef;

	put("a", text);
	ck_assert_msg(attr_read_hex(dir, "a", bits, &value) == outcome, "'%s'", text);
	ck_assert_uint_eq(value, outcome == 0 ? want : 0xdeadbeef);
}

START_TEST(hex)
{
	check_hex("0x8086\n", 16, 0, 0x8086);
	check_hex("8086", 16, 0, 0x8086);
	check_hex("0X80eF", 16, 0, 0x80ef);
	check_hex("0xffff", 16, 0, 0xffff);
	check_hex("0x10000", 16, ATTR_GARBAGE, 0);
	check_hex("0x000010000", 16, ATTR_GARBAGE, 0);
	check_hex("0x020000", 24, 0, 0x020000);
	check_hex("0x1000000", 24, ATTR_GARBAGE, 0);
	check_hex("0x", 16, ATTR_GARBAGE, 0);
	check_hex("0x12 34", 16, ATTR_GARBAGE, 0);
	check_hex("-1", 16, ATTR_GARBAGE, 0);
	check_hex("+1", 16, ATTR_GARBAGE, 0);
	check_hex("0x80g6", 16, ATTR_GARBAGE, 0);
	check_hex("0xffffffff", 32, 0, 0xffffffff);
	check_hex("0x1ffffffff", 32, ATTR_GARBAGE, 0);
	check_hex("fffffffffffffffffffffffffffff", 32, ATTR_GARBAGE, 0);
	check_hex("0x00000000000000000000000000000000000000000000000001", 32, ATTR_OVERSIZED, 0);
	check_hex("", 16, ATTR_EMPTY, 0);
}
END_TEST

static void check_int(const char *text, int64_t min, int64_t max, int outcome, int64_t want)
{
	int64_t value = 4711;

	put("a", text);
	ck_assert_msg(attr_read_int(dir, "a", min, max, &value) == outcome, "'%s'", text);
	ck_assert_int_eq(value, outcome == 0 ? want : 4711);
}

START_TEST(integer)
{
	check_int("-1\n", -1, 100, 0, -1);
	check_int("0", -1, 100, 0, 0);
	check_int("100", -1, 100, 0, 100);
	check_int("101", -1, 100, ATTR_GARBAGE, 0);
	check_int("-2", -1, 100, ATTR_GARBAGE, 0);
	check_int("--1", -9, 9, ATTR_GARBAGE, 0);
	check_int("-", -9, 9, ATTR_GARBAGE, 0);
	check_int("1.5", -9, 9, ATTR_GARBAGE, 0);
	check_int("0x1", -9, 9, ATTR_GARBAGE, 0);
	check_int("1 ", -9, 9, 0, 1);
	check_int(" 1", -9, 9, ATTR_GARBAGE, 0);
	check_int("9223372036854775807", 0, INT64_MAX, 0, INT64_MAX);
	check_int("9223372036854775808", 0, INT64_MAX, ATTR_GARBAGE, 0);
	check_int("18446744073709551617", 0, INT64_MAX, ATTR_GARBAGE, 0);
	check_int("99999999999999999999999999", 0, INT64_MAX, ATTR_GARBAGE, 0);
}
END_TEST

static void check_dev(const char *text, int outcome, dev_t want)
{
	dev_t value = 1;

	put("a", text);
	ck_assert_msg(attr_read_dev(dir, "a", &value) == outcome, "'%s'", text);
	if (outcome == 0)
		ck_assert(value == want);
}

START_TEST(device_number)
{
	check_dev("8:1\n", 0, makedev(8, 1));
	check_dev("259:1048575\n", 0, makedev(259, 1048575));
	check_dev("259:1048576\n", ATTR_GARBAGE, 0);
	check_dev("4096:0", ATTR_GARBAGE, 0);
	check_dev("8", ATTR_GARBAGE, 0);
	check_dev(":", ATTR_GARBAGE, 0);
	check_dev("8:", ATTR_GARBAGE, 0);
	check_dev("8:1:2", ATTR_GARBAGE, 0);
	check_dev("-8:1", ATTR_GARBAGE, 0);
}
END_TEST

START_TEST(links)
{
	char *value;

	tree_link(mock->fd, "sys/bus/pci/drivers/e1000e", "d/driver");
	ck_assert_int_eq(attr_read_link(dir, "driver", &value), 0);
	ck_assert_str_eq(value, "e1000e");
	free(value);
	ck_assert_int_eq(attr_read_link(dir, "none", &value), ATTR_MISSING);
	ck_assert_ptr_null(value);
	put("file", "x");
	ck_assert_int_eq(attr_read_link(dir, "file", &value), ATTR_GARBAGE);
	symlinkat("a/..", dir, "up");
	ck_assert_int_eq(attr_read_link(dir, "up", &value), ATTR_GARBAGE);
	symlinkat("a/", dir, "slash");
	ck_assert_int_eq(attr_read_link(dir, "slash", &value), ATTR_GARBAGE);
	symlinkat("a/b\nc", dir, "line");
	ck_assert_int_eq(attr_read_link(dir, "line", &value), ATTR_GARBAGE);
}
END_TEST

static void check_path(const char *target, const char *at, int outcome, const char *want)
{
	_cleanup_free_ char *value = NULL;

	unlinkat(dir, at, 0);
	ck_assert_int_eq(symlinkat(target, dir, at), 0);
	ck_assert_msg(attr_read_link_path(dir, at, "/sys", &value) == outcome, "'%s'", target);
	ck_assert_pstr_eq(value, want);
}

START_TEST(link_paths)
{
	tree_mkdir(mock->fd, "d/bus/pci/devices");
	tree_mkdir(mock->fd, "d/devices/x/holders");
	check_path("../../../devices/pci0000:00/0000:00:01.0", "bus/pci/devices/a", 0,
		   "/sys/devices/pci0000:00/0000:00:01.0");
	/* The kernel's links go up no further than they must. */
	check_path("../../virtual/block/dm-0", "devices/x/holders/dm-0", 0,
		   "/sys/devices/virtual/block/dm-0");
	check_path("b", "bus/a", 0, "/sys/bus/b");
	check_path("b", "a", 0, "/sys/b");
	check_path("../b", "a", ATTR_GARBAGE, NULL);
	check_path("../../b", "bus/a", ATTR_GARBAGE, NULL);
	check_path("../../../../b", "bus/pci/devices/a", ATTR_GARBAGE, NULL);
	check_path("../../../devices/../../etc", "bus/pci/devices/a", ATTR_GARBAGE, NULL);
	check_path("../../../devices/..", "bus/pci/devices/a", ATTR_GARBAGE, NULL);
	check_path("/etc/passwd", "bus/a", ATTR_GARBAGE, NULL);
	check_path("..", "bus/pci/devices/a", ATTR_GARBAGE, NULL);
	check_path("../x\ny", "bus/pci/devices/a", ATTR_GARBAGE, NULL);
	check_path("../x..y/a..", "bus/pci/devices/a", 0, "/sys/bus/pci/x..y/a..");
	check_path("../x\033y", "bus/pci/devices/a", ATTR_GARBAGE, NULL);
}
END_TEST

START_TEST(directories)
{
	char **names;
	int fd;

	tree_mkdir(mock->fd, "d/x/y");
	fd = attr_open_dir(dir, "x/y");
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(attr_open_dir(dir, "x/z"), -ENOENT);
	ck_assert_int_eq(attr_open_dir(dir, "../sys"), -EXDEV);
	ck_assert_int_eq(attr_open_dir(dir, "/"), -EXDEV);
	symlinkat("../../sys", dir, "x/out");
	symlinkat("x/out", dir, "out");
	ck_assert_int_lt(attr_open_dir(dir, "out"), 0);
	symlinkat("b", dir, "c");
	symlinkat("c", dir, "b");
	ck_assert_int_eq(attr_open_dir(dir, "b"), -ELOOP);
	ck_assert_int_eq(attr_list(dir, "b", &names), ATTR_GARBAGE);
	put("x/y/2", "");
	put("x/y/1", "");
	put("x/y/bad name", "");
	put("x/y/bad\nname", "");
	ck_assert_int_eq(attr_list(dir, "x/y", &names), 0);
	ck_assert_uint_eq(strv_length(names), 2);
	ck_assert_str_eq(names[0], "1");
	ck_assert_str_eq(names[1], "2");
	strv_free(names);
	ck_assert_int_eq(attr_list(dir, "nowhere", &names), ATTR_MISSING);
	ck_assert_ptr_null(names);
	put("file", "");
	ck_assert_int_eq(attr_list(dir, "file", &names), ATTR_MISSING);
}
END_TEST

START_TEST(buses)
{
	tree_mkdir(mock->fd, "d/bus/pci/devices/odd");
	ck_assert_str_eq(attr_bus_of(dir, "0000:03:00.0"), "pci");
	ck_assert_str_eq(attr_bus_of(dir, "10000:e1:00.0"), "pci");
	ck_assert_str_eq(attr_bus_of(dir, "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"), "mdev");
	ck_assert_str_eq(attr_bus_of(dir, "e0000000.dma"), "platform");
	ck_assert_str_eq(attr_bus_of(dir, "odd"), "pci");
	ck_assert_str_eq(attr_bus_of(dir, ".."), "platform");
	ck_assert_str_eq(attr_bus_of(dir, "../devices/odd"), "platform");
	ck_assert_str_eq(attr_bus_of(dir, ""), "platform");
}
END_TEST

START_TEST(names)
{
	char longest[257];

	memset(longest, 'a', 256);
	longest[256] = 0;
	ck_assert(attr_name_valid("0000:00:01.0"));
	ck_assert(attr_name_valid("..."));
	ck_assert(!attr_name_valid(""));
	ck_assert(!attr_name_valid("."));
	ck_assert(!attr_name_valid(".."));
	ck_assert(!attr_name_valid("a/b"));
	ck_assert(!attr_name_valid("a b"));
	ck_assert(!attr_name_valid("a\n"));
	ck_assert(!attr_name_valid("\xc3\xa4"));
	ck_assert(!attr_name_valid(longest));
	longest[255] = 0;
	ck_assert(attr_name_valid(longest));
}
END_TEST

START_TEST(clean)
{
	char text[] = "a\033[1m\xff\xc3\xa4\x7f\n";

	ck_assert_str_eq(text_clean(text), "a?[1m?\xc3\xa4??");
}
END_TEST

START_TEST(outcomes)
{
	for (int i = ATTR_MISSING; i < ATTR_OUTCOME_MAX; i++) {
		const char *s = attr_outcome_to_string((enum attr_outcome)i);

		ck_assert_ptr_nonnull(s);
		ck_assert_int_eq(attr_outcome_from_string(s), i);
	}
	ck_assert_int_eq(attr_outcome_from_string("fine"), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("attr");
	TCase *tc = tcase_create("attr");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, texts);
	tcase_add_test(tc, nul_inside);
	tcase_add_test(tc, not_a_file);
	tcase_add_test(tc, denied);
	tcase_add_test(tc, page);
	tcase_add_test(tc, hex);
	tcase_add_test(tc, integer);
	tcase_add_test(tc, device_number);
	tcase_add_test(tc, links);
	tcase_add_test(tc, link_paths);
	tcase_add_test(tc, directories);
	tcase_add_test(tc, buses);
	tcase_add_test(tc, names);
	tcase_add_test(tc, clean);
	tcase_add_test(tc, outcomes);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
