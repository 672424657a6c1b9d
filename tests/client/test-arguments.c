/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What vfiodctl does to names and commands: device names as they are typed, sizes, the patterns in
 * a command's arguments, QEMU's options, object paths.
 */

#include "client/ctl/names.h"
#include "client/ctl/qemu.h"
#include "client/internal.h"

#include <check.h>
#include <stdio.h>

/* iommufd 5, container 6, group 9 → 7, devices → 20 and 21 */
static int lookup(void *userdata, const char *kind, const char *name)
{
	if (streq(kind, "iommufd"))
		return 5;
	if (streq(kind, "container"))
		return 6;
	if (streq(kind, "group") && (!name || streq(name, "9")))
		return 7;
	if (streq(kind, "device") && streq0(name, "0000:03:00.0"))
		return 20;
	if (streq(kind, "device") && streq0(name, "0000:03:00.1"))
		return 21;
	return -ENOENT;
}

/* A new vector of the words of a text; "" is none. */
static char **words(const char *text)
{
	_cleanup_free_ char *copy = strdup(text);
	char **v = NULL, *rest = NULL;

	for (char *w = strtok_r(copy, " ", &rest); w; w = strtok_r(NULL, " ", &rest))
		ck_assert_int_eq(strv_extend(&v, w), 0);
	return v;
}

START_TEST(test_replace)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "{iommufd}", "5" },
		{ "a{iommufd}b{container}c", "a5b6c" },
		{ "fd={fd:0000:03:00.0},x={fd:0000:03:00.1}", "fd=20,x=21" },
		{ "{fd:03:00.0}", "20" },
		{ "{group:9}", "7" },
		{ "{\"driver\":\"qcow2\"}", "{\"driver\":\"qcow2\"}" },
		{ "{{iommufd}}", "{5}" },
		{ "{iommufd", "{iommufd" },
		{ "iommufd}", "iommufd}" },
		{ "{}", "{}" },
		{ "{Iommufd}{ iommufd}{iommufd }", "{Iommufd}{ iommufd}{iommufd }" },
		{ "{", "{" },
	};
	_cleanup_free_ char *result = NULL, *missing = NULL;

	ck_assert_int_eq(replace_argument(cases[_i].in, lookup, NULL, &result, &missing), 0);
	ck_assert_str_eq(result, cases[_i].out);
	ck_assert_ptr_null(missing);
}
END_TEST

START_TEST(test_replace_missing)
{
	static const char *const cases[] = { "{group:10}", "{fd:0000:04:00.0}", "{fd:}",
					     "{group:}" };
	_cleanup_free_ char *result = NULL, *missing = NULL, *argument = NULL;

	ck_assert_int_gt(asprintf(&argument, "a{iommufd}%sb", cases[_i]), 0);
	ck_assert_int_eq(replace_argument(argument, lookup, NULL, &result, &missing), -ENOENT);
	ck_assert_str_eq(missing, cases[_i]);
	ck_assert_ptr_null(result);
}
END_TEST

START_TEST(test_replace_command)
{
	_cleanup_strv_ char **command = words("vmm --fd {fd:03:00.1} {iommufd}");
	_cleanup_strv_ char **result = NULL;
	_cleanup_free_ char *joined = NULL, *missing = NULL;

	ck_assert_int_eq(replace_arguments(command, lookup, NULL, &result, &missing), 0);
	joined = strv_join(result, " ");
	ck_assert_str_eq(joined, "vmm --fd 21 5");
}
END_TEST

START_TEST(test_qemu_cdev)
{
	_cleanup_strv_ char **devices = words("0000:03:00.0 0000:03:00.1");
	_cleanup_strv_ char **command = NULL;
	_cleanup_free_ char *joined = NULL;
	_cleanup_strv_ char **places = words("00:1e.0 00:1d.0");
	const char *wrong = NULL;

	ck_assert_int_eq(strv_extend(&command, "qemu"), 0);
	ck_assert_int_eq(qemu_arguments("cdev", devices, places, lookup, NULL, &command, &wrong),
			 0);
	joined = strv_join(command, " ");
	ck_assert_str_eq(joined, "qemu -object iommufd,id=vfiod,fd=5"
				 " -device vfio-pci,id=vfiod0,iommufd=vfiod,fd=20,addr=1e.0"
				 " -device vfio-pci,id=vfiod1,iommufd=vfiod,fd=21,addr=1d.0");
}
END_TEST

START_TEST(test_qemu_multifunction)
{
	_cleanup_strv_ char **devices = words("0000:03:00.0 0000:03:00.1 0000:04:00.0");
	_cleanup_strv_ char **places = words("00:1e.0 00:1e.1 00:1d.0");
	_cleanup_strv_ char **command = NULL;
	_cleanup_free_ char *joined = NULL;
	const char *wrong = NULL;

	ck_assert_int_eq(qemu_arguments("node", devices, places, lookup, NULL, &command, &wrong),
			 0);
	joined = strv_join(command, " ");
	ck_assert_str_eq(joined,
			 "-device vfio-pci,host=0000:03:00.0,id=vfiod0,addr=1e.0,multifunction=on"
			 " -device vfio-pci,host=0000:03:00.1,id=vfiod1,addr=1e.1,multifunction=on"
			 " -device vfio-pci,host=0000:04:00.0,id=vfiod2,addr=1d.0");
}
END_TEST

START_TEST(test_qemu_addresses)
{
	static const struct {
		const char *command, *addresses;
	} rows[] = {
		{ "qemu -device edu,addr=5", "00:05.0" },
		{ "qemu -device edu,addr=05.1 --device edu,addr=0x1f.0x2", "00:05.1 00:1f.2" },
		{ "qemu -device edu,addr=5,bus=pcie.0 -device edu,bus=pci.0,addr=6",
		  "00:05.0 00:06.0" },
		{ "qemu -device edu,addr=5,bus=rp1 -device edu,id=x", "" },
		{ "qemu -device edu,id=a,,addr=5", "" },
		{ "qemu -device edu,addr=20 -device edu,addr=5.8 -device edu,addr=x", "" },
		{ "qemu -drive addr=5 -device", "" },
		{ "qemu -device {\"driver\":\"edu\",\"addr\":\"7.1\"}", "00:07.1" },
		{ "qemu -device {\"driver\":\"edu\",\"addr\":\"7\",\"bus\":\"rp1\"}", "" },
		{ "qemu -device {\"driver\":\"edu\",\"bus\":\"pcie.0\",\"addr\":\"7\"}",
		  "00:07.0" },
		{ "qemu -device {\"driver\":\"edu\",\"addr\":57}", "00:07.1" },
		{ "qemu -device {\"driver\":\"edu\",\"addr\":-1}", "" },
		{ "qemu -device {\"driver\":\"edu\",\"addr\":256}", "" },
		{ "qemu -device {nonsense", "" },
		{ "qemu -nic user,model=e1000e,addr=6 -net nic,addr=7", "00:06.0 00:07.0" },
		{ "qemu -device pc-dimm,memdev=m,addr=0x100000005", "" },
		{ "qemu -M q35 -usb", "00:1d.0 00:1d.1 00:1d.2 00:1d.7" },
		{ "qemu --usb -device edu,addr=5 --machine accel=tcg,type=pc-q35-9.0",
		  "00:1d.0 00:1d.1 00:1d.2 00:1d.7 00:05.0" },
		{ "qemu -machine q35,usb=on", "00:1d.0 00:1d.1 00:1d.2 00:1d.7" },
		{ "qemu -machine q35 -usbdevice tablet", "00:1d.0 00:1d.1 00:1d.2 00:1d.7" },
		{ "qemu -machine q35,usb=off", "" },
		{ "qemu -M pc -usb", "" },
		{ "qemu -usb -M", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_strv_ char **command = words(rows[i].command), **addresses = NULL;
		_cleanup_free_ char *joined = NULL;

		ck_assert_int_eq(qemu_addresses(command, &addresses), 0);
		joined = strv_join(addresses, " ");
		ck_assert_msg(streq(joined ? joined : "", rows[i].addresses), "%s: %s",
			      rows[i].command, joined);
	}
}
END_TEST

START_TEST(test_qemu_node)
{
	_cleanup_strv_ char **devices = words("0000:03:00.0");
	_cleanup_strv_ char **command = NULL;
	_cleanup_free_ char *joined = NULL;
	const char *wrong = NULL;

	ck_assert_int_eq(qemu_arguments("node", devices, NULL, lookup, NULL, &command, &wrong), 0);
	joined = strv_join(command, " ");
	ck_assert_str_eq(joined, "-device vfio-pci,host=0000:03:00.0,id=vfiod0");
}
END_TEST

START_TEST(test_qemu_refused)
{
	_cleanup_strv_ char **platform = words("0000:03:00.0 fec00000.ethernet");
	_cleanup_strv_ char **absent = words("0000:05:00.0");
	_cleanup_strv_ char **command = NULL;
	const char *wrong = NULL;

	ck_assert_int_eq(qemu_arguments("cdev", platform, NULL, lookup, NULL, &command, &wrong),
			 -EINVAL);
	ck_assert_str_eq(wrong, "fec00000.ethernet");
	ck_assert_int_eq(qemu_arguments("cdev", absent, NULL, lookup, NULL, &command, &wrong),
			 -EINVAL);
	ck_assert_str_eq(wrong, "0000:05:00.0");
	ck_assert_int_eq(qemu_arguments("group", absent, NULL, lookup, NULL, &command, &wrong),
			 -EOPNOTSUPP);
}
END_TEST

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

START_TEST(test_qemu_memory)
{
	static const struct {
		const char *option;
		uint64_t bytes;
	} cases[] = {
		{ NULL, 128 * MIB },
		{ "2G", 2 * GIB },
		{ "512", 512 * MIB },
		{ "512M", 512 * MIB },
		{ "2g", 2 * GIB },
		{ "size=1G", GIB },
		{ "1G,slots=2,maxmem=8G", 8 * GIB },
		{ "size=4G,maxmem=4G", 4 * GIB },
		{ "1048576K", GIB },
	};
	_cleanup_strv_ char **command = words(cases[_i].option ? "qemu -nographic -m" : "qemu");
	uint64_t bytes;

	if (cases[_i].option)
		ck_assert_int_eq(strv_extend(&command, cases[_i].option), 0);
	ck_assert_int_eq(qemu_memory(command, &bytes), 0);
	ck_assert_uint_eq(bytes, cases[_i].bytes);
}
END_TEST

START_TEST(test_qemu_memory_garbled)
{
	static const char *const cases[] = { "two", "2Q", "-1", "99999999999999999999G", "size=" };
	_cleanup_strv_ char **command = words("qemu -m");
	uint64_t bytes;

	ck_assert_int_eq(strv_extend(&command, cases[_i]), 0);
	ck_assert_int_eq(qemu_memory(command, &bytes), -EINVAL);
}
END_TEST

START_TEST(test_device_argument)
{
	static const struct {
		const char *typed, *name;
	} cases[] = {
		{ "0000:03:00.0", "0000:03:00.0" },
		{ "03:00.0", "0000:03:00.0" },
		{ "3B:0A.7", "0000:3b:0a.7" },
		{ "0000:3B:0A.7", "0000:3b:0a.7" },
		{ "10000:03:00.0", "10000:03:00.0" },
		{ "pool:NICs", "pool:NICs" },
		{ "03:00.8", "03:00.8" },
		{ "Fec00000.Ethernet", "Fec00000.Ethernet" },
		{ "/org/vfiod1/device/pci_0000_03_00_0", "/org/vfiod1/device/pci_0000_03_00_0" },
		{ "", "" },
	};
	_cleanup_free_ char *name = device_argument(cases[_i].typed);

	ck_assert_str_eq(name, cases[_i].name);
}
END_TEST

START_TEST(test_is_pci_address)
{
	ck_assert(is_pci_address("0000:03:00.0"));
	ck_assert(is_pci_address("10000:ff:1f.7"));
	ck_assert(!is_pci_address("03:00.0"));
	ck_assert(!is_pci_address("0000:03:00.8"));
	ck_assert(!is_pci_address("0000:03:00.0 "));
	ck_assert(!is_pci_address("000g:03:00.0"));
	ck_assert(!is_pci_address("123456789:03:00.0"));
	ck_assert(!is_pci_address("usb1"));
}
END_TEST

START_TEST(test_size)
{
	uint64_t bytes;

	ck_assert_int_eq(size_parse("4096", &bytes), 0);
	ck_assert_uint_eq(bytes, 4096);
	ck_assert_int_eq(size_parse("64G", &bytes), 0);
	ck_assert_uint_eq(bytes, 64 * GIB);
	ck_assert_int_eq(size_parse("1p", &bytes), 0);
	ck_assert_uint_eq(bytes, UINT64_C(1) << 50);
	ck_assert_int_eq(size_parse("16383P", &bytes), 0);
	ck_assert_int_eq(size_parse("16384P", &bytes), -ERANGE);
	ck_assert_int_eq(size_parse("99999999999999999999", &bytes), -ERANGE);
	ck_assert_int_eq(size_parse("", &bytes), -EINVAL);
	ck_assert_int_eq(size_parse("G", &bytes), -EINVAL);
	ck_assert_int_eq(size_parse("-1", &bytes), -EINVAL);
	ck_assert_int_eq(size_parse(" 1", &bytes), -EINVAL);
	ck_assert_int_eq(size_parse("1GB", &bytes), -EINVAL);
	ck_assert_int_eq(size_parse("1.5G", &bytes), -EINVAL);
}
END_TEST

START_TEST(test_device_path)
{
	static const struct {
		const char *path, *name; /* NULL: not a device's path */
	} cases[] = {
		{ "/org/vfiod1/device/pci_0000_02_01_0", "0000:02:01.0" },
		{ "/org/vfiod1/device/pci_10000_ff_1f_7", "10000:ff:1f.7" },
		{ "/org/vfiod1/device/pci_0000_02_01_8", NULL },
		{ "/org/vfiod1/device/pci_000_02_01_0", NULL },
		{ "/org/vfiod1/device/pci_0000_02_01_00", NULL },
		{ "/org/vfiod1/device/pci_", NULL },
		{ "/org/vfiod1/device/fec00000_2eethernet", "fec00000.ethernet" },
		{ "/org/vfiod1/device/pci_5fx", NULL },
		{ "/org/vfiod1/device", NULL },
		{ "/org/vfiod1/device/", NULL },
		{ "/org/vfiod1/group/1", NULL },
		{ "/", NULL },
	};
	_cleanup_free_ char *name = NULL;
	int r = device_name_from_path(cases[_i].path, &name);

	if (!cases[_i].name) {
		ck_assert_int_lt(r, 0);
		return;
	}
	ck_assert_int_eq(r, 0);
	ck_assert_str_eq(name, cases[_i].name);
}
END_TEST

START_TEST(test_group_path)
{
	uint32_t id;

	ck_assert_int_eq(group_id_from_path("/org/vfiod1/group/0", &id), 0);
	ck_assert_uint_eq(id, 0);
	ck_assert_int_eq(group_id_from_path("/org/vfiod1/group/4294967295", &id), 0);
	ck_assert_uint_eq(id, UINT32_MAX);
	ck_assert_int_lt(group_id_from_path("/org/vfiod1/group/4294967296", &id), 0);
	ck_assert_int_lt(group_id_from_path("/org/vfiod1/group/", &id), 0);
	ck_assert_int_lt(group_id_from_path("/org/vfiod1/group/-1", &id), 0);
	ck_assert_int_lt(group_id_from_path("/org/vfiod1/group/1x", &id), 0);
	ck_assert_int_lt(group_id_from_path("/org/vfiod1/lease/1", &id), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("arguments");
	TCase *tc = tcase_create("arguments");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, test_replace, 0, 14);
	tcase_add_loop_test(tc, test_replace_missing, 0, 4);
	tcase_add_test(tc, test_replace_command);
	tcase_add_test(tc, test_qemu_cdev);
	tcase_add_test(tc, test_qemu_node);
	tcase_add_test(tc, test_qemu_multifunction);
	tcase_add_test(tc, test_qemu_addresses);
	tcase_add_test(tc, test_qemu_refused);
	tcase_add_loop_test(tc, test_qemu_memory, 0, 9);
	tcase_add_loop_test(tc, test_qemu_memory_garbled, 0, 5);
	tcase_add_loop_test(tc, test_device_argument, 0, 10);
	tcase_add_test(tc, test_is_pci_address);
	tcase_add_test(tc, test_size);
	tcase_add_loop_test(tc, test_device_path, 0, 12);
	tcase_add_test(tc, test_group_path);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
