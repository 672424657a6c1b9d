/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which kernels honour drivers_autoprobe, the file that says what it was, who waits for a first
 * probe, and which groups the journals keep from the host.
 */

#include "daemon/hotplug/net.h"
#include "daemon/lease/journal.h"
#include "tests/mock/mock-host.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static struct mock_host *mock;
static struct host host = { -EBADF, -EBADF, -EBADF, -EBADF };
static int dir, leases;

static void start(void)
{
	mock = mock_host_new();
	mock_host_open(mock, &host);
	mock_drivers_add_usual(mock);
	mock_driver_add(mock, "pci", "e1000", "id 8086:100e\n");
	mock_iommu_add(mock, "dmar0", NULL);
	mock_pci_add(mock, "0000:00:01.0", .vendor = 0x8086, .device = 0x100e, .group = 1,
		     .iommu = "dmar0", .driver = "e1000", .numa_node = -1);
	mock_pci_add(mock, "0000:00:02.0", .vendor = 0x8086, .device = 0x1, .group = 2,
		     .iommu = "dmar0", .numa_node = -1);
	tree_mkdir(mock->fd, "run/leases");
	dir = openat(mock->fd, "run", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	leases = openat(dir, "leases", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(leases, 0);
}

static void stop(void)
{
	host_close(&host);
	close(dir);
	close(leases);
	mock = mock_host_free(mock);
}

static void add(const char *name, int group)
{
	mock_pci_add(mock, name, .vendor = 0x8086, .device = 0x100e, .group = group,
		     .iommu = "dmar0", .numa_node = -1);
}

static char *waiting(void)
{
	_cleanup_(autoprobe_state_done) struct autoprobe_state state = { 0 };
	_cleanup_strv_ char **names = NULL;

	ck_assert_int_eq(autoprobe_state_read(dir, &state), 0);
	ck_assert_int_eq(autoprobe_waiting(&host, &state, &names), 0);
	return strv_join(names, " ");
}

static void ck_waiting(const char *names)
{
	_cleanup_free_ char *now = waiting();

	ck_assert_str_eq(now, names);
}

static bool is_on(void)
{
	bool on = false;

	ck_assert_int_eq(autoprobe_get(&host, &on), 0);
	return on;
}

/* ---- the kernel's release */

START_TEST(releases)
{
	static const struct {
		const char *release;
		bool honours;
	} table[] = {
		{ "6.19.0", true },
		{ "6.19", true },
		{ "6.20.1-foo", true },
		{ "7.0-rc1", true },
		{ "7.2.0-1-amd64", true },
		{ "10.0.0", true },
		{ "6.18.99", false },
		{ "6.12.94+deb13-amd64", false },
		{ "6.1.0-44-amd64", false },
		{ "5.19.0", false },
		{ "6", false },
		{ "", false },
		{ "what", false },
		{ NULL, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		ck_assert_msg(autoprobe_release_honours(table[i].release) == table[i].honours, "%s",
			      table[i].release);
}
END_TEST

/* ---- the file */

START_TEST(taken)
{
	_cleanup_(autoprobe_state_done) struct autoprobe_state state = { 0 };

	ck_assert_int_eq(autoprobe_state_read(dir, &state), 0);
	ck_assert(!state.there);
	ck_assert_int_eq(autoprobe_take(&host, dir), 0);
	ck_assert(!is_on());
	ck_assert_int_eq(autoprobe_state_read(dir, &state), 0);
	ck_assert(state.there && state.prior && !state.bad);
	ck_waiting("");
	/* Once more: what was is not what it is now. */
	ck_assert_int_eq(autoprobe_take(&host, dir), 0);
	autoprobe_state_done(&state);
	ck_assert_int_eq(autoprobe_state_read(dir, &state), 0);
	ck_assert(state.prior);
	ck_assert_int_eq(autoprobe_note_prior(dir, false), 0);
	autoprobe_state_done(&state);
	ck_assert_int_eq(autoprobe_state_read(dir, &state), 0);
	ck_assert(!state.prior && !state.bad);
	ck_assert_int_eq(autoprobe_forget(dir), 0);
	ck_assert_int_eq(autoprobe_forget(dir), 0);
}
END_TEST

START_TEST(who_waits)
{
	ck_assert_int_eq(autoprobe_take(&host, dir), 0);
	add("0000:00:03.0", 3);
	add("0000:00:04.0", 4);
	ck_waiting("0000:00:03.0 0000:00:04.0");
	ck_assert_int_eq(mk_bind(mock->fd, "pci", "0000:00:03.0", "e1000"), 0);
	ck_waiting("0000:00:04.0");
	ck_assert_int_eq(autoprobe_note_known(dir, &host, "0000:00:04.0"), 0);
	ck_waiting("");
	/* Somebody unbinds what was there before: it waits for nothing. */
	ck_assert_int_eq(mk_unbind(mock->fd, "pci", "e1000", "0000:00:01.0"), 0);
	ck_waiting("");
	/* Another device at an address that is known. */
	mock_device_remove(mock, "pci", "0000:00:04.0");
	ck_waiting("");
	add("0000:00:04.0", 4);
	ck_waiting("0000:00:04.0");
	/* What is not there cannot be known. */
	ck_assert_int_eq(autoprobe_note_known(dir, &host, "0000:00:1f.7"), 0);
	ck_waiting("0000:00:04.0");
}
END_TEST

START_TEST(cut_off)
{
	_cleanup_(autoprobe_state_done) struct autoprobe_state state = { 0 };
	_cleanup_free_ char *text = NULL, *cut = NULL;

	ck_assert_int_eq(autoprobe_take(&host, dir), 0);
	add("0000:00:03.0", 3);
	/* What was being appended when somebody was killed. */
	ck_assert_int_eq(file_read_at(dir, AUTOPROBE_FILE, 1 << 20, &text, NULL), 0);
	cut = mock_asprintf("%sknown 0000:00:03.0 12", text);
	tree_write(mock->fd, cut, "run/" AUTOPROBE_FILE);
	ck_assert_int_eq(autoprobe_state_read(dir, &state), 0);
	ck_assert(!state.bad && state.cut_off);
	ck_waiting("0000:00:03.0");
	/* Whoever goes on with it takes that away, so that the next line is not spoilt. */
	ck_assert_int_eq(autoprobe_take(&host, dir), 0);
	ck_assert_int_eq(autoprobe_note_known(dir, &host, "0000:00:03.0"), 0);
	autoprobe_state_done(&state);
	ck_assert_int_eq(autoprobe_state_read(dir, &state), 0);
	ck_assert(!state.bad && !state.cut_off && state.prior);
	ck_waiting("");
}
END_TEST

/* A lease that lasts while many devices come and go. */
START_TEST(shortened)
{
	_cleanup_free_ char *text = NULL, *more = NULL, *now = NULL;
	_cleanup_(autoprobe_state_done) struct autoprobe_state state = { 0 };
	size_t n = 0;

	ck_assert_int_eq(autoprobe_take(&host, dir), 0);
	ck_assert_int_eq(autoprobe_note_prior(dir, false), 0);
	add("0000:00:03.0", 3);
	add("0000:00:04.0", 4);
	ck_assert_int_eq(file_read_at(dir, AUTOPROBE_FILE, 1 << 20, &text, NULL), 0);
	more = malloc(2 << 20);
	ck_assert_ptr_nonnull(more);
	n = (size_t)sprintf(more, "%s", text);
	for (int i = 1; n < 1 << 20; i++)
		n += (size_t)sprintf(more + n, "known 0000:07:%02x.%d %d\n", i / 8 % 32, i % 8, i);
	tree_write(mock->fd, more, "run/" AUTOPROBE_FILE);
	ck_assert_int_eq(autoprobe_note_known(dir, &host, "0000:00:03.0"), 0);
	ck_assert_int_eq(file_read_at(dir, AUTOPROBE_FILE, 1 << 20, &now, NULL), 0);
	ck_assert_uint_lt(strlen(now), 1000);
	ck_assert_int_eq(autoprobe_state_read(dir, &state), 0);
	ck_assert(state.there && !state.bad && !state.prior);
	ck_waiting("0000:00:04.0");
}
END_TEST

START_TEST(makes_no_sense)
{
	static const char *const texts[] = {
		"",
		"\n",
		"vfiod-probing 2\nprior 1\n",
		"vfiod-probing 1\n",
		"vfiod-probing 1\nprior 2\n",
		"vfiod-probing 1\nprior 1\nknown\n",
		"vfiod-probing 1\nprior 1\nknown a/b 1\n",
		"vfiod-probing 1\nprior 1\nknown 0000:00:01.0 x\n",
		"vfiod-probing 1\nprior 1\nknown 0000:00:01.0 1 1\n",
		"vfiod-probing 1\nprior 1",
	};
	_cleanup_(autoprobe_state_done) struct autoprobe_state state = { 0 };

	tree_write(mock->fd, texts[_i], "run/" AUTOPROBE_FILE);
	ck_assert_int_eq(autoprobe_state_read(dir, &state), 0);
	ck_assert(state.there && state.prior);
	/* The last one lacks only its end: that line does not count, and then there is no "prior".
	 */
	ck_assert(state.bad);
	/* The 0 that is there may be our own: it is not taken for what was. */
	ck_assert_int_eq(autoprobe_set(&host, false), 0);
	ck_assert_int_eq(autoprobe_take(&host, dir), 0);
	autoprobe_state_done(&state);
	ck_assert_int_eq(autoprobe_state_read(dir, &state), 0);
	ck_assert(state.prior && !state.bad);
}
END_TEST

START_TEST(switch_fails)
{
	mock_fail(mock, "STORE", "drivers_autoprobe", EIO, 1);
	ck_assert_int_eq(autoprobe_take(&host, dir), -EIO);
	ck_assert(is_on());
	ck_assert(!tree_exists(mock->fd, "run/" AUTOPROBE_FILE));
	/* It says that it did, and did not. */
	mock_fail(mock, "STORE", "drivers_autoprobe", 0, 1);
	ck_assert_int_eq(autoprobe_take(&host, dir), -EIO);
	ck_assert(!tree_exists(mock->fd, "run/" AUTOPROBE_FILE));
	/* Nor can it be undone: the file stays. */
	mock_fail(mock, "STORE", "drivers_autoprobe", EIO, 2);
	ck_assert_int_eq(autoprobe_take(&host, dir), -EIO);
	ck_assert(tree_exists(mock->fd, "run/" AUTOPROBE_FILE));
	/* The file cannot be written: nothing is switched. */
	ck_assert_int_eq(autoprobe_forget(dir), 0);
	tree_mkdir(mock->fd, "run/." AUTOPROBE_FILE ".tmp");
	ck_assert_int_lt(autoprobe_take(&host, dir), 0);
	ck_assert(is_on());
}
END_TEST

/* ---- which groups */

static void write_lease(const char *id, enum lease_state state, uint32_t group)
{
	_cleanup_(lease_freep) struct lease *lease = lease_new(id);
	struct journal journal = { .dir = leases };

	lease->mode = MODE_CDEV;
	lease->state = state;
	ck_assert_int_eq(lease_add_group(lease, group, 1), 0);
	ck_assert_int_eq(journal_write(&journal, lease), 0);
}

START_TEST(journals)
{
	_cleanup_(owned_groups_done) struct owned_groups owned = { 0 };

	write_lease("00000000000000a1", LEASE_PREPARING, 1);
	write_lease("00000000000000a2", LEASE_LEASED, 2);
	write_lease("00000000000000a3", LEASE_DRAINING, 3);
	write_lease("00000000000000a4", LEASE_RESTORING, 4);
	write_lease("00000000000000a5", LEASE_FAILED, 5);
	tree_write(mock->fd, "", "run/leases/00000000000000a1.lock");
	tree_write(mock->fd, "half", "run/leases/.00000000000000a6.json.tmp");
	ck_assert_int_eq(owned_groups_read(leases, &owned), 0);
	for (uint32_t id = 0; id < 8; id++)
		ck_assert_msg(owned_groups_has(&owned, id) == (id >= 1 && id <= 3), "group %u", id);
	ck_assert(!owned_groups_has(&owned, ID_UNKNOWN));
	ck_assert(!owned.unknown);
	/* Another daemon's write is left alone. */
	ck_assert(tree_exists(mock->fd, "run/leases/.00000000000000a6.json.tmp"));
	owned_groups_done(&owned);
	/* One whose text names its groups, and one that does not. */
	tree_write(mock->fd, "{ \"groups\" : [ {\"id\":6}, { \"id\": 7 } ], oops",
		   "run/leases/00000000000000b1.json");
	ck_assert_int_eq(owned_groups_read(leases, &owned), 0);
	ck_assert(owned_groups_has(&owned, 6) && owned_groups_has(&owned, 7) && !owned.unknown);
	owned_groups_done(&owned);
	tree_write(mock->fd, "{ \"groups\" : [ {\"id\":6}, ", "run/leases/00000000000000b2.json");
	ck_assert_int_eq(owned_groups_read(leases, &owned), 0);
	ck_assert(owned.unknown && owned_groups_has(&owned, 2));
}
END_TEST

START_TEST(given_back)
{
	_cleanup_(owned_groups_done) struct owned_groups owned = { 0 };
	_cleanup_free_ char *three = NULL, *four = NULL;

	ck_assert_int_eq(autoprobe_take(&host, dir), 0);
	add("0000:00:03.0", 3);
	add("0000:00:04.0", 4);
	ck_assert_int_eq(owned_groups_add(&owned, 3), 0);
	mock_fail(mock, "STORE", "drivers_autoprobe", EIO, 1);
	ck_assert_int_eq(net_run(&host, dir, &owned, -EBADF), -EIO);
	ck_assert(tree_exists(mock->fd, "run/" AUTOPROBE_FILE));
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(net_run(&host, dir, &owned, -EBADF), 0);
	ck_assert(is_on());
	ck_assert(!tree_exists(mock->fd, "run/" AUTOPROBE_FILE));
	three = tree_read(mock->fd, "sys/bus/pci/devices/0000:00:03.0/driver_override");
	ck_assert_str_eq(three, "none");
	four = tree_link_name(mock->fd, "sys/bus/pci/devices/0000:00:04.0/driver");
	ck_assert_str_eq(four, "e1000");
	ck_assert(!tree_exists(mock->fd, "sys/bus/pci/devices/0000:00:02.0/driver"));
}
END_TEST

START_TEST(lock)
{
	int one = net_lock(dir, true), two;

	ck_assert_int_ge(one, 0);
	ck_assert_int_eq(net_lock(dir, false), -EWOULDBLOCK);
	/* The process that has it lives: it is left to that. */
	ck_assert_int_eq(net_act(&host, dir, leases), 1);
	close(one);
	two = net_lock(dir, false);
	ck_assert_int_ge(two, 0);
	close(two);
	ck_assert_int_eq(net_act(&host, dir, leases), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("probing");
	TCase *tcase = tcase_create("probing");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, start, stop);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, releases);
	tcase_add_test(tcase, taken);
	tcase_add_test(tcase, who_waits);
	tcase_add_test(tcase, cut_off);
	tcase_add_test(tcase, shortened);
	tcase_add_loop_test(tcase, makes_no_sense, 0, 10);
	tcase_add_test(tcase, switch_fails);
	tcase_add_test(tcase, journals);
	tcase_add_test(tcase, given_back);
	tcase_add_test(tcase, lock);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
