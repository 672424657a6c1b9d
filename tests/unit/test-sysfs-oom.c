/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Every allocation of a scan, and of a look at what uses a device, fails once: the answer is
 * -ENOMEM and never another picture, the next scan is right, and nothing leaks (with
 * --enable-asan). The linker puts the functions below in front of libc's.
 */

#include "daemon/sysfs/block-open.h"
#include "daemon/sysfs/netlink.h"
#include "daemon/sysfs/scan.h"
#include "daemon/sysfs/uses.h"
#include "tests/mock/mock-host.h"

#include <check.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

/* Allocations until one fails; negative: none does. */
static long countdown = -1;
static bool failed;

static bool fails(void)
{
	if (countdown < 0 || countdown-- > 0)
		return false;
	countdown = -1;
	failed = true;
	errno = ENOMEM;
	return true;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__real_strdup(const char *s);
char *__wrap_strdup(const char *s);
int __real_vasprintf(char **p, const char *format, va_list ap) _printf_(2, 0);
int __wrap_vasprintf(char **p, const char *format, va_list ap) _printf_(2, 0);
int __wrap_asprintf(char **p, const char *format, ...) _printf_(2, 3);
void *__real_tsearch(const void *key, void **root, int (*compare)(const void *, const void *));
void *__wrap_tsearch(const void *key, void **root, int (*compare)(const void *, const void *));

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return fails() ? NULL : __real_reallocarray(p, n, size);
}

char *__wrap_strdup(const char *s)
{
	return fails() ? NULL : __real_strdup(s);
}

int __wrap_vasprintf(char **p, const char *format, va_list ap)
{
	return fails() ? -1 : __real_vasprintf(p, format, ap);
}

int __wrap_asprintf(char **p, const char *format, ...)
{
	va_list ap;
	int r;

	if (fails())
		return -1;
	va_start(ap, format);
	r = __real_vasprintf(p, format, ap);
	va_end(ap);
	return r;
}

void *__wrap_tsearch(const void *key, void **root, int (*compare)(const void *, const void *))
{
	return fails() ? NULL : __real_tsearch(key, root, compare);
}

static struct mock_host *mock;
static struct host host;
static struct topology topology;
static struct scanner scanner;

static void setup(void)
{
	mock = mock_host_new();
	mock_drivers_add_usual(mock);
	mock_driver_add(mock, "pci", "igb", "id 8086:10c9\n");
	mock_alias_add(mock, "vfio_pci:v00008086d000010CAsv*sd*bc*sc*i*", "igbvf_vfio_pci");
	mock_iommu_add(mock, "dmar0", "intel-iommu");
	mock_pci_add(mock, "0000:03:00.0", .vendor = 0x8086, .device = 0x10c9, .group = 1,
		     .class_code = 0x020000, .iommu = "dmar0", .driver = "igb", .slot = "5",
		     .reset = "flr bus");
	mock_net_add(mock, "0000:03:00.0", "eth0", 2);
	mock_block_add(mock, "0000:03:00.0", "sda", "8:0");
	mock_partition_add(mock, "0000:03:00.0", "sda", "sda1", "8:1");
	mock_mount_add(mock, "8:1", "/dev/sda1", "/");
	mock_pci_add(mock, "0000:03:10.0", .vendor = 0x8086, .device = 0x10ca, .group = 2,
		     .iommu = "dmar0", .physfn = "0000:03:00.0", .driver = "vfio-pci");
	mock_device_add(mock, "mdev", "83b8f4f2", "pci0000:00/0000:03:00.0", 3, NULL);
	mock_group_set(mock, 3, "unmanaged", "", "vfio-noiommu");
	mock_host_open(mock, &host);
	topology_init(&topology);
	scanner = (struct scanner){ .host = &host, .topology = &topology };
}

static void teardown(void)
{
	scanner_done(&scanner);
	topology_done(&topology);
	host_close(&host);
	mock = mock_host_free(mock);
}

static void check_picture(void)
{
	const struct device *pf = topology_device(&topology, "0000:03:00.0");
	const struct device *vf = topology_device(&topology, "0000:03:10.0");

	ck_assert_uint_eq(HASH_COUNT(topology.devices), 3);
	ck_assert_uint_eq(HASH_COUNT(topology.groups), 3);
	ck_assert_uint_eq(HASH_COUNT(topology.iommus), 1);
	ck_assert_str_eq(pf->driver, "igb");
	ck_assert_str_eq(pf->slot, "5");
	ck_assert_str_eq(pf->vfio_driver, "vfio-pci");
	ck_assert_uint_eq(strv_length(pf->reset_methods), 2);
	ck_assert_uint_eq(strv_length(pf->virtual_functions), 1);
	ck_assert_str_eq(vf->physical_function, "0000:03:00.0");
	ck_assert_str_eq(vf->vfio_driver, "igbvf_vfio_pci");
	ck_assert_str_eq(vf->vfio_node, "vfio0");
	ck_assert_int_eq(topology_group(&topology, 3)->kind, GROUP_EMULATED);
	ck_assert_uint_eq(topology_group(&topology, 1)->n_regions, 1);
}

START_TEST(scan)
{
	long n = 0;
	int r;

	do {
		scanner_done(&scanner);
		topology_done(&topology);
		failed = false;
		countdown = n++;
		r = scan_all(&scanner);
		countdown = -1;
		ck_assert_int_eq(r, failed ? -ENOMEM : 0);
		/* What is half there is made whole. */
		ck_assert_int_eq(scan_all(&scanner), 0);
		check_picture();
	} while (failed);
	ck_assert_int_gt(n, 100);
	printf("scan: each of %ld allocations failed once\n", n - 1);
}
END_TEST

START_TEST(one)
{
	long n = 0;
	int r;

	ck_assert_int_eq(scan_all(&scanner), 0);
	do {
		failed = false;
		countdown = n++;
		r = scan_removed(&scanner, "pci", "0000:03:10.0");
		countdown = -1;
		ck_assert_int_eq(r, failed ? -ENOMEM : 0);
		ck_assert_int_eq(scan_all(&scanner), 0);
		check_picture();
	} while (failed);
	ck_assert_int_gt(n, 50);
}
END_TEST

/* In place of the real ones, and of the mocked ones, which end the program. */
int block_open_exclusive(const struct host *h, const char *name, dev_t number)
{
	return fails() ? -ENOMEM : open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int netlink_read_interface(const struct host *h, const char *name, unsigned int ifindex,
			   char ***text)
{
	return strv_extend(text, "has the address 10.0.0.1");
}

static void check_uses(bool exclusive)
{
	const struct uses_query query = {
		.name = "0000:03:00.0",
		.syspath = "/sys/devices/pci0000:00/0000:03:00.0",
		.driver = "igb",
		.class_code = 0x020000,
		.exclusive = exclusive,
	};
	long n = 0;

	do {
		struct held_fds held = { 0 };
		struct use_list uses = { 0 };
		int r;

		failed = false;
		countdown = n++;
		r = uses_read(&host, &query, &held, &uses);
		countdown = -1;
		/* Either it is not known, or all of it is. */
		ck_assert_int_eq(r, failed ? -ENOMEM : 0);
		if (!failed)
			ck_assert_uint_eq(uses.n, 4);
		use_list_done(&uses);
		held_fds_done(&held);
	} while (failed);
	ck_assert_int_gt(n, 50);
	printf("uses: each of %ld allocations failed once\n", n - 1);
}

START_TEST(uses)
{
	check_uses(false);
	check_uses(true);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sysfs-oom");
	TCase *tc = tcase_create("sysfs-oom");
	SRunner *runner;
	int n_failed;

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, scan);
	tcase_add_test(tc, one);
	tcase_add_test(tc, uses);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
