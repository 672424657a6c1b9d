/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What IOMMUs say of themselves, from trees of sysfs (tests/data/iommu/) through the scan to the
 * decoded values; and how many leases use one, through every way in which a lease changes.
 */

#include "daemon/sysfs/scan.h"
#include "policy/iommu-use.h"
#include "tests/mock/mock-host.h"

#include <check.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>

static struct mock_host *mock;
static struct host host;
static struct topology topology;
static struct ledger ledger;
static struct scanner scanner;

static void setup(void)
{
	mock = mock_host_new();
	mock_host_open(mock, &host);
	topology_init(&topology);
	ledger_init(&ledger);
	scanner = (struct scanner){ .host = &host, .topology = &topology };
}

static void teardown(void)
{
	scanner_done(&scanner);
	ledger_done(&ledger);
	topology_done(&topology);
	host_close(&host);
	mock_host_free(mock);
}

/* ---- trees */

static char *trees_dir(void)
{
	const char *top = getenv("top_srcdir");

	return mock_asprintf("%s/tests/data/iommu", top ? top : ".");
}

static int is_tree(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);

	return n > 5 && streq(entry->d_name + n - 5, ".tree");
}

static char *join_bits(uint64_t bits, bool sizes)
{
	_cleanup_strv_ char **v = NULL;

	for (unsigned int i = 0; i < 64; i++)
		if (bits & UINT64_C(1) << i)
			ck_assert_int_eq(strv_extendf(&v, "%" PRIu64,
						      sizes ? UINT64_C(1) << i : (uint64_t)i),
					 0);
	return strv_join(v, ",");
}

static char *value_text(const struct iommu_cap *cap)
{
	switch (cap->type) {
	case IOMMU_CAP_FLAG:
		return strdup(cap->value ? "yes" : "no");
	case IOMMU_CAP_NUMBER:
	case IOMMU_CAP_LONG:
		return mock_asprintf("%" PRIu64, cap->value);
	case IOMMU_CAP_SIZES:
		return join_bits(cap->value, true);
	case IOMMU_CAP_SET:
		return join_bits(cap->value, false);
	case IOMMU_CAP_TEXT:
		return strdup(cap->text);
	case IOMMU_CAP_UNKNOWN:
		return mock_asprintf("0x%" PRIx64, cap->value);
	case IOMMU_CAP_TYPE_MAX:
	case IOMMU_CAP_TYPE_INVALID:
		break;
	}
	return strdup("?");
}

static const struct iommu_cap *cap_of(const struct iommu *iommu, const char *key, bool unknown)
{
	for (size_t i = 0; i < iommu->caps.n; i++) {
		const struct iommu_cap *cap = &iommu->caps.items[i];

		if (streq(cap->key, key) && (cap->type == IOMMU_CAP_UNKNOWN) == unknown)
			return cap;
	}
	return NULL;
}

static void plant_hex(const char *path, const char *hex)
{
	_cleanup_free_ char *real = mock_asprintf("sys/%s", path);
	unsigned char bytes[256];
	size_t n = 0;

	for (; hex[0] && hex[0] != '-'; hex += 2) {
		unsigned int byte;

		ck_assert_int_eq(sscanf(hex, "%2x", &byte), 1);
		bytes[n++] = (unsigned char)byte;
	}
	tree_write_bytes(mock->fd, bytes, n, real);
}

static void plant(const char *what, const char *path, const char *value)
{
	_cleanup_free_ char *text = mock_asprintf("%s\n", value);

	if (streq(what, "file")) {
		tree_write(mock->fd, text, "sys/%s", path);
	} else if (streq(what, "hex")) {
		plant_hex(path, value);
	} else if (streq(what, "link")) {
		_cleanup_free_ char *target = mock_asprintf("sys/%s", value);

		tree_mkdir(mock->fd, "%s", target);
		tree_link(mock->fd, target, "sys/%s", path);
	}
}

/* Returns how much was compared. */
static size_t expect(const char *file, const char *what, const char *key, const char *value,
		     const struct iommu *iommu)
{
	bool unknown = streq(what, "unknown");
	const struct iommu_cap *cap = cap_of(iommu, key, unknown);
	_cleanup_free_ char *is = cap ? value_text(cap) : NULL;

	if (streq(what, "driver")) {
		ck_assert_msg(streq(iommu->driver, streq(key, "-") ? "" : key),
			      "%s: driver \"%s\", not \"%s\"", file, iommu->driver, key);
		return 1;
	}
	if (streq(what, "absent")) {
		ck_assert_msg(!cap, "%s: %s is \"%s\", it should not be told", file, key, is);
		return 1;
	}
	if (!unknown && !streq(what, "cap"))
		return 0;
	ck_assert_msg(is && streq(is, value), "%s: %s is \"%s\", not \"%s\"", file, key,
		      is ? is : "(none)", value);
	return 1;
}

/* A line: three words, the last of them the rest. false: a comment. */
static bool split(char *line, char *words[3])
{
	char *save = NULL;

	line[strcspn(line, "\n")] = 0;
	if (!*line || *line == '#')
		return false;
	words[0] = strtok_r(line, " ", &save);
	words[1] = strtok_r(NULL, " ", &save);
	words[2] = strtok_r(NULL, "", &save);
	words[2] = words[2] ? words[2] : (char *)"";
	return words[1] != NULL;
}

static char **tree_lines(const char *dir, const char *file)
{
	_cleanup_free_ char *path = mock_asprintf("%s/%s", dir, file);
	char **lines = NULL, *line = NULL;
	size_t size = 0;
	FILE *f = fopen(path, "re");

	ck_assert_ptr_nonnull(f);
	while (getline(&line, &size, f) >= 0)
		ck_assert_int_eq(strv_extend(&lines, line), 0);
	free(line);
	fclose(f);
	return lines;
}

static size_t check_tree(const char *dir, const char *file)
{
	_cleanup_strv_ char **lines = tree_lines(dir, file), **again = strv_copy(lines);
	_cleanup_free_ char *name = NULL;
	const struct iommu *iommu;
	size_t compared = 0, unknown = 0, wanted = 0;
	char *words[3];

	STRV_FOREACH (line, lines) {
		if (!split(*line, words))
			continue;
		if (streq(words[0], "iommu")) {
			name = strdup(words[1]);
			tree_mkdir(mock->fd, "sys/class/iommu/%s", name);
		}
		plant(words[0], words[1], words[2]);
	}
	ck_assert_int_eq(scan_one(&scanner, "iommu", name), 0);
	iommu = topology_iommu(&topology, name);
	ck_assert_msg(iommu != NULL, "%s: %s was not found", file, name);
	STRV_FOREACH (line, again) {
		if (!split(*line, words))
			continue;
		compared += expect(file, words[0], words[1], words[2], iommu);
		wanted += streq(words[0], "unknown");
	}
	/* What is not decoded is said, and nothing else is. */
	for (size_t i = 0; i < iommu->caps.n; i++)
		unknown += iommu->caps.items[i].type == IOMMU_CAP_UNKNOWN;
	ck_assert_msg(wanted == 0 || unknown == wanted, "%s: %zu registers with unknown bits", file,
		      unknown);
	return compared;
}

START_TEST(trees)
{
	_cleanup_free_ char *dir = trees_dir();
	struct dirent **entries = NULL;
	int n = scandir(dir, &entries, is_tree, alphasort);
	size_t compared = 0;

	ck_assert_msg(n >= 16, "only %d trees in %s", n, dir);
	for (int i = 0; i < n; i++) {
		compared += check_tree(dir, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	ck_assert_uint_gt(compared, 150);
}
END_TEST

/* ---- every bit of every register is said once: decoded, or kept as unknown */

static void decode_with(const char *driver, const char *const names[2], const uint64_t values[2],
			struct iommu_caps *caps)
{
	struct iommu_attr attrs[2];
	char text[2][24];

	for (int i = 0; i < 2; i++) {
		const char *name = names[i], *first = "";

		/* AMD's second register stands behind the first one. */
		if (streq(name, "amd-iommu/features2")) {
			name = "amd-iommu/features";
			first = "0:";
		}
		snprintf(text[i], sizeof(text[i]), "%s%" PRIx64, first, values[i]);
		attrs[i] = (struct iommu_attr){ name, text[i], strlen(text[i]) };
	}
	ck_assert_int_eq(iommu_caps_decode(driver, "x0", attrs, 2, caps), 0);
	for (size_t a = 0; a < caps->n; a++)
		for (size_t b = 0; b < a; b++)
			ck_assert_msg(!streq(caps->items[a].key, caps->items[b].key) ||
					      caps->items[a].type != caps->items[b].type,
				      "%s is said twice", caps->items[a].key);
}

/* Whether anything but the text of the registers differs. */
static bool decoded_differs(struct iommu_caps *a, struct iommu_caps *b)
{
	struct iommu_caps *both[] = { a, b };

	for (int i = 0; i < 2; i++)
		for (size_t k = 0; k < both[i]->n; k++)
			if (both[i]->items[k].type == IOMMU_CAP_TEXT)
				ck_assert_int_eq(free_and_strdup(&both[i]->items[k].text, ""), 0);
	return !iommu_caps_equal(a, b);
}

START_TEST(every_bit)
{
	static const struct {
		const char *driver;
		const char *const names[2];
		uint64_t values[2]; /* all of the bits */
		uint64_t silent[2]; /* offsets of registers, and the PCI capability's own */
	} kinds[] = {
		{ "intel-iommu",
		  { "intel-iommu/cap", "intel-iommu/ecap" },
		  { UINT64_MAX, UINT64_MAX },
		  { UINT64_C(0x3ff000000), 0x3ff00 } },
		{ "amd-iommu",
		  { "amd-iommu/cap", "amd-iommu/features" },
		  { UINT32_MAX, UINT64_MAX },
		  { 0xffff, 0 } },
		{ "amd-iommu",
		  { "amd-iommu/cap", "amd-iommu/features2" },
		  { UINT32_MAX, UINT64_MAX },
		  { 0xffff, 0 } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		for (unsigned int bit = 0; bit < 128; bit++) {
			uint64_t mask = UINT64_C(1) << bit % 64, values[2];
			struct iommu_caps with, without;
			bool differs;

			memcpy(values, kinds[i].values, sizeof(values));
			if (!(values[bit / 64] & mask))
				continue;
			decode_with(kinds[i].driver, kinds[i].names, values, &with);
			values[bit / 64] &= ~mask;
			decode_with(kinds[i].driver, kinds[i].names, values, &without);
			differs = decoded_differs(&with, &without);
			ck_assert_msg(differs == !(kinds[i].silent[bit / 64] & mask),
				      "%s: bit %u is %ssaid", kinds[i].names[bit / 64], bit % 64,
				      differs ? "" : "not ");
			iommu_caps_done(&with);
			iommu_caps_done(&without);
		}
}
END_TEST

START_TEST(caps_in_the_topology)
{
	struct iommu_caps caps;
	const struct iommu_attr attr = { "intel-iommu/cap", "2", 1 };

	ck_assert_int_eq(iommu_caps_decode("intel-iommu", "dmar0", &attr, 1, &caps), 0);
	ck_assert_ptr_nonnull(iommu_caps_find(&caps, "domains", IOMMU_CAP_NUMBER));
	ck_assert_ptr_null(iommu_caps_find(&caps, "domains", IOMMU_CAP_FLAG));
	ck_assert_int_eq(topology_set_iommu_caps(&topology, "dmar0", &caps), -ENOENT);
	ck_assert_int_eq(topology_put_iommu(&topology, "dmar0", "intel-iommu"), TOPOLOGY_ADDED);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(iommu_caps_decode("intel-iommu", "dmar0", &attr, 1, &caps), 0);
		ck_assert_int_eq(topology_set_iommu_caps(&topology, "dmar0", &caps),
				 i ? TOPOLOGY_SAME : TOPOLOGY_CHANGED);
		ck_assert_uint_eq(caps.n, 0);
	}
}
END_TEST

/* ---- use */

static size_t flips;

static void on_flip(const struct iommu *iommu, void *userdata)
{
	ck_assert_ptr_eq(userdata, &flips);
	flips++;
}

static void put(const char *name, uint32_t group, const char *iommu)
{
	struct device *device = device_new(name, "pci");

	device->group_id = group;
	ck_assert_int_eq(free_and_strdup(&device->iommu_name, iommu), 0);
	ck_assert_int_ge(topology_put_device(&topology, device), 0);
}

static struct lease *lease(const char *id, const char *part_of, uint32_t a, uint32_t b)
{
	struct lease *l = lease_new(id);

	ck_assert_int_eq(free_and_strdup(&l->part_of, part_of), 0);
	if (a)
		ck_assert_int_eq(lease_add_group(l, a, 1), 0);
	if (b)
		ck_assert_int_eq(lease_add_group(l, b, 1), 0);
	ck_assert_int_eq(ledger_add(&ledger, l), 0);
	return l;
}

/* The counts of both IOMMUs, and how many of them flipped. */
static void uses(uint32_t zero, uint32_t one, size_t flipped)
{
	flips = 0;
	ck_assert_int_eq(iommu_use_update(&topology, &ledger, on_flip, &flips), 0);
	ck_assert_uint_eq(topology_iommu(&topology, "dmar0")->leases, zero);
	ck_assert_uint_eq(topology_iommu(&topology, "dmar1")->leases, one);
	ck_assert_uint_eq(flips, flipped);
}

START_TEST(use_counts)
{
	struct lease *a, *b, *part;

	ck_assert_int_ge(topology_put_iommu(&topology, "dmar0", "intel-iommu"), 0);
	ck_assert_int_ge(topology_put_iommu(&topology, "dmar1", "intel-iommu"), 0);
	put("0000:01:00.0", 1, "dmar0");
	put("0000:02:00.0", 2, "dmar0");
	put("0000:03:00.0", 3, "dmar1");
	put("0000:04:00.0", 4, NULL);
	uses(0, 0, 0);
	/* Two groups of one lease are one use; a group behind none is no use. */
	a = lease("a", NULL, 1, 2);
	uses(1, 0, 1);
	uses(1, 0, 0);
	b = lease("b", NULL, 3, 4);
	uses(1, 1, 1);
	/* States change nothing: it is in use until it is home. */
	a->state = LEASE_FAILED;
	uses(1, 1, 0);
	/* Shrinking: a part takes a group, and is the lease it is a part of. */
	part = lease("p", "a", 0, 0);
	ck_assert_int_eq(lease_move_group(a, part, 2), 0);
	uses(1, 1, 0);
	/* The lease goes before its part does. */
	lease_free(ledger_remove(&ledger, a));
	uses(1, 1, 0);
	lease_free(ledger_remove(&ledger, part));
	uses(0, 1, 1);
	/* Growing, over to the other one: a part that is prepared, and joins. */
	part = lease("p", "b", 1, 0);
	uses(1, 1, 1);
	ck_assert_int_eq(lease_move_group(part, b, 1), 0);
	lease_free(ledger_remove(&ledger, part));
	uses(1, 1, 0);
	/* Another device comes to be behind the IOMMU, by hot-plug alone. */
	put("0000:03:00.1", 1, "dmar1");
	uses(1, 1, 0);
	ck_assert_int_ge(topology_remove_device(&topology, "0000:01:00.0"), 0);
	uses(0, 1, 1);
	lease_free(ledger_remove(&ledger, b));
	uses(0, 0, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("iommu");
	TCase *tcase = tcase_create("iommu");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, trees);
	tcase_add_test(tcase, every_bit);
	tcase_add_test(tcase, caps_in_the_topology);
	tcase_add_test(tcase, use_counts);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
