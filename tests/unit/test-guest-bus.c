/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The guest's bus: addresses as text, a table of placements with what comes of them, and random
 * lives of a VM whose devices come and go in any order, held against the promises of guest-bus.h.
 * VFIOD_TEST_SEED replays a run, VFIOD_TEST_ROUNDS makes it longer.
 */

#include "policy/guest-bus.h"

#include <check.h>
#include <stdio.h>

/* ---- addresses */

START_TEST(test_addresses)
{
	static const struct {
		const char *text, *same;
	} good[] = {
		{ "5", "00:05.0" },
		{ "05", "00:05.0" },
		{ "1f", "00:1f.0" },
		{ "1F.7", "00:1f.7" },
		{ "05.0", "00:05.0" },
		{ "00:05.1", "00:05.1" },
		{ "0000:00:1e.3", "00:1e.3" },
		{ "0", "00:00.0" },
	};
	static const char *const bad[] = { "",	 "x",	"20",	   "5.8",	   "5.",
					   ".1", "005", "5.00x",   "01:05.0",	   "5.0 ",
					   " 5", "-1",	"00:05:0", "0001:00:05.0", "5.0.0",
					   "00:" };
	struct guest_address address;
	char text[GUEST_ADDRESS_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		ck_assert_msg(guest_address_parse(good[i].text, &address) == 0, "%s", good[i].text);
		ck_assert_str_eq(guest_address_format(address, text), good[i].same);
		ck_assert_int_eq(guest_address_parse(text, &address), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ck_assert_msg(guest_address_parse(bad[i], &address) == -EINVAL, "%s", bad[i]);
}
END_TEST

/* ---- a table */

/* Devices are written "NAME", "NAME=ADDRESS" (wanted) or "-NAME" (in the lease, not to be placed).
 */
struct row {
	const char *what;
	const char *reserved; /* first */
	const char *memory;   /* "NAME=ADDRESS …" */
	const char *before;   /* on the bus already */
	const char *devices;
	int outcome;
	const char *bus;   /* "NAME=ADDRESS …", emulated ones as "-"; NULL: as before */
	const char *clash; /* "DEVICE OTHER ADDRESS [HAS]" */
};

#define A0 "0000:03:00.0"
#define A1 "0000:03:00.1"
#define A2 "0000:03:00.2"
#define B0 "0000:04:00.0"
#define C0 "0000:05:00.0"
#define VF "v0000:06:10.1" /* a "v" in front: a VF, which is by itself */

static const struct row rows[] = {
	{ "one", NULL, NULL, NULL, A0, 0, A0 "=00:1e.0" },
	{ "none", NULL, NULL, NULL, "", 0, "" },
	{ "two devices", NULL, NULL, NULL, B0 " " A0, 0, B0 "=00:1d.0 " A0 "=00:1e.0" },
	{ "two functions", NULL, NULL, NULL, A1 " " A0, 0, A0 "=00:1e.0 " A1 "=00:1e.1" },
	{ "functions and another", NULL, NULL, NULL, A2 " " B0 " " A0, 0,
	  B0 "=00:1d.0 " A0 "=00:1e.0 " A2 "=00:1e.2" },
	{ "without function 0", NULL, NULL, NULL, A2 " " A1, 0, A1 "=00:1e.0 " A2 "=00:1e.2" },
	{ "only one function, which is not 0", NULL, NULL, NULL, A2, 0, A2 "=00:1e.0" },
	{ "with one function go the others", NULL, NULL, NULL, A1 " -" A0 " -" B0, 0,
	  A0 "=00:1e.0 " A1 "=00:1e.1" },
	{ "a function that comes later", NULL, NULL, A0 "=00:1c.0", A1 " -" A0, 0,
	  A0 "=00:1c.0 " A1 "=00:1c.1" },
	{ "function 0 comes later, its number is taken", NULL, NULL, A1 "=00:1c.0", A0 " -" A1, 0,
	  A1 "=00:1c.0 " A0 "=00:1e.0" },
	{ "VFs are by themselves", NULL, NULL, NULL, "v0000:06:10.0 " VF, 0,
	  "v0000:06:10.1=00:1d.0 v0000:06:10.0=00:1e.0" },
	{ "not where something is emulated", "1e.0 1d", NULL, NULL, A0, 0,
	  A0 "=00:1c.0 -=00:1d.0 -=00:1e.0" },
	{ "not beside something emulated", "1e.3", NULL, NULL, A0, 0, A0 "=00:1d.0 -=00:1e.3" },
	{ "where it was", NULL, A0 "=00:07.0", NULL, A0, 0, A0 "=00:07.0" },
	{ "where they were, in another order", NULL, A0 "=00:1d.0 " B0 "=00:1e.0", NULL, A0 " " B0,
	  0, A0 "=00:1d.0 " B0 "=00:1e.0" },
	{ "not where another one was", NULL, A0 "=00:1e.0", NULL, B0, 0, B0 "=00:1d.0" },
	{ "both", NULL, A0 "=00:1e.0", NULL, B0 " " A0, 0, B0 "=00:1d.0 " A0 "=00:1e.0" },
	{ "beside what was there before", NULL, A1 "=00:1e.0", NULL, A0 " " A1, 0,
	  A0 "=00:1d.0 " A1 "=00:1e.0" },
	{ "a new function beside the one that was", NULL, A0 "=00:09.0", NULL, A0 " " A1, 0,
	  A0 "=00:09.0 " A1 "=00:09.1" },
	{ "function 0 is away: another one stands in", NULL,
	  A0 "=00:09.0 " A1 "=00:09.1 " A2 "=00:09.2", NULL, A2 " " A1, 0,
	  A1 "=00:09.0 " A2 "=00:09.2" },
	{ "function 0 is away, and something new comes", NULL, A0 "=00:09.0 " A2 "=00:09.2", NULL,
	  A2 " " A1, 0, A2 "=00:09.0 " A1 "=00:1e.0" },
	{ "at the address that is wanted", NULL, A0 "=00:1e.0", NULL, A0 "=00:05.0", 0,
	  A0 "=00:05.0" },
	{ "wanted comes before remembered", NULL, A0 "=00:1e.0", NULL, A0 " " B0 "=00:1e.0",
	  GUEST_TAKEN, NULL, A0 " " B0 " 00:1e.0 remembered" },
	{ "wanted twice", NULL, NULL, NULL, A0 "=00:05.0 " B0 "=00:05.0", GUEST_TAKEN, NULL,
	  B0 " " A0 " 00:05.0" },
	{ "wanted beside another device", NULL, NULL, B0 "=00:05.0", A0 "=00:05.1 -" B0,
	  GUEST_TAKEN, NULL, A0 " " B0 " 00:05.1" },
	{ "wanted beside its own function", NULL, NULL, A0 "=00:05.0", A1 "=00:05.3 -" A0, 0,
	  A0 "=00:05.0 " A1 "=00:05.3" },
	{ "wanted where something is emulated", "5", NULL, NULL, A0 "=00:05.0", GUEST_TAKEN, NULL,
	  A0 " - 00:05.0" },
	{ "remembered where something is emulated now", "7.1", A0 "=00:07.0", NULL, A0, GUEST_TAKEN,
	  NULL, A0 " - 00:07.0 remembered" },
	{ "it is there already", NULL, A0 "=00:07.0", A0 "=00:08.0", A0, 0, A0 "=00:08.0" },
	{ "it is there already, as wanted", NULL, NULL, A0 "=00:08.0", A0 "=00:08.0", 0,
	  A0 "=00:08.0" },
	{ "it is elsewhere", NULL, NULL, A0 "=00:08.0", A0 "=00:09.0", GUEST_MOVED, NULL,
	  A0 " - 00:09.0 00:08.0" },
	{ "the chipset's slots are nobody's, unless they are wanted", NULL, NULL, NULL,
	  A0 "=00:01.0 " B0 "=00:1f.0", 0, A0 "=00:01.0 " B0 "=00:1f.0" },
	{ "function 0 comes back, and another one stands in", NULL, A0 "=00:09.0 " A1 "=00:09.1",
	  A1 "=00:09.0", A0 " -" A1, 0, A1 "=00:09.0 " A0 "=00:1e.0" },
	{ "beside one that stands in, with its number", NULL, A0 "=00:09.0 " A1 "=00:09.1",
	  A2 "=00:09.0", A1 " -" A2, 0, A2 "=00:09.0 " A1 "=00:09.1" },
	{ "function 0 was given back: not in a slot that the guest does not look at", NULL, NULL,
	  A1 "=00:09.1", A2 " -" A1, 0, A1 "=00:09.1 " A2 "=00:1e.0" },
	{ "wanted where the guest does not look", NULL, NULL, NULL, A1 "=00:05.3", GUEST_UNSEEN,
	  NULL, A1 " - 00:05.3" },
	{ "function 0 is wanted with it", NULL, NULL, NULL, A1 "=00:05.3 " A0 "=00:05.0", 0,
	  A0 "=00:05.0 " A1 "=00:05.3" },
	{ "function 0 goes with it", NULL, NULL, NULL, A1 "=00:05.3 -" A0, 0,
	  A0 "=00:05.0 " A1 "=00:05.3" },
	{ "function 0 is elsewhere", NULL, NULL, A0 "=00:06.0", A1 "=00:05.3 -" A0, GUEST_UNSEEN,
	  NULL, A1 " - 00:05.3" },
	{ "all or nothing", NULL, NULL, B0 "=00:08.0", A0 " " C0 "=00:08.0 -" B0, GUEST_TAKEN, NULL,
	  C0 " " B0 " 00:08.0" },
};

static struct guest_address address_of(const char *text)
{
	struct guest_address address = {};

	ck_assert_msg(guest_address_parse(text, &address) == 0, "%s", text);
	return address;
}

static void fill_bus(struct guest_bus *bus, const char *text)
{
	_cleanup_free_ char *copy = strdup(text ? text : "");
	char *save = NULL;

	for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		char *equals = strchr(word, '=');

		*equals = 0;
		ck_assert_int_eq(guest_bus_put(bus, word, address_of(equals + 1)), 0);
	}
}

static char *bus_text(const struct guest_bus *bus)
{
	_cleanup_strv_ char **words = NULL;
	char text[GUEST_ADDRESS_SIZE];

	for (size_t i = 0; i < bus->n; i++)
		strv_extendf(&words, "%s=%s", bus->items[i].device ? bus->items[i].device : "-",
			     guest_address_format(bus->items[i].address, text));
	return strv_join(words, " ");
}

/* Names and devices share a lifetime: the caller frees both. */
struct list {
	char **names;
	char physical[16][16];
	struct guest_device devices[16];
	size_t n;
};

static void fill_list(struct list *list, const char *text)
{
	_cleanup_free_ char *copy = strdup(text);
	char *save = NULL;

	*list = (struct list){};
	for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		bool place = *word != '-';
		char *equals = strchr(word, '='), *name = word + !place;

		if (equals)
			*equals = 0;
		ck_assert_int_eq(strv_extend(&list->names, name), 0);
		snprintf(list->physical[list->n], 16, "%.*s", (int)strcspn(name, "."), name);
		list->devices[list->n] = (struct guest_device){
			.physical = *name == 'v' ? NULL : list->physical[list->n],
			.function = (uint8_t)(name[strlen(name) - 1] - '0'),
			.place = place,
			.wants = equals,
			.wanted = equals ? address_of(equals + 1) : (struct guest_address){},
		};
		list->n++;
	}
	for (size_t i = 0; i < list->n; i++)
		list->devices[i].name = list->names[i];
}

static void check_clash(const struct row *row, int outcome, const struct guest_clash *clash)
{
	_cleanup_free_ char *text = NULL;
	char address[GUEST_ADDRESS_SIZE], has[GUEST_ADDRESS_SIZE];

	ck_assert_int_ge(
		asprintf(&text, "%s %s %s%s%s%s", clash->device ? clash->device : "-",
			 clash->other ? clash->other : "-",
			 guest_address_format(clash->address, address),
			 outcome == GUEST_MOVED ? " " : "",
			 outcome == GUEST_MOVED ? guest_address_format(clash->has, has) : "",
			 clash->remembered ? " remembered" : ""),
		0);
	ck_assert_msg(streq(text, row->clash), "%s: %s", row->what, text);
}

START_TEST(test_row)
{
	const struct row *row = &rows[_i];
	struct guest_bus bus = {}, memory = {};
	_cleanup_free_ char *reserved = strdup(row->reserved ? row->reserved : "");
	_cleanup_free_ char *before = NULL, *after = NULL;
	struct guest_clash clash = {};
	struct list list;
	char *save = NULL;
	int r;

	fill_bus(&bus, row->before);
	fill_bus(&memory, row->memory);
	for (char *word = strtok_r(reserved, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		struct guest_address address = address_of(word);

		/* Twice is as good as once. */
		ck_assert_int_eq(guest_bus_reserve(&bus, &address, 1, &clash), 0);
		ck_assert_int_eq(guest_bus_reserve(&bus, &address, 1, &clash), 0);
	}
	before = bus_text(&bus);
	fill_list(&list, row->devices);
	r = guest_bus_place(&bus, &memory, list.devices, list.n, &clash);
	ck_assert_msg(r == row->outcome, "%s: %d", row->what, r);
	after = bus_text(&bus);
	ck_assert_msg(streq(after, row->bus ? row->bus : before), "%s: %s", row->what, after);
	if (r > 0)
		check_clash(row, r, &clash);
	guest_bus_done(&bus);
	guest_bus_done(&memory);
	strv_free(list.names);
}
END_TEST

START_TEST(test_reserve)
{
	const struct guest_address many[] = { { 3, 0 }, { 4, 0 }, { 8, 1 } };
	struct guest_bus bus = {};
	struct guest_clash clash = {};
	_cleanup_free_ char *text = NULL;

	fill_bus(&bus, A0 "=00:08.0");
	ck_assert_int_eq(guest_bus_reserve(&bus, many, 3, &clash), GUEST_TAKEN);
	ck_assert_ptr_null(clash.device);
	ck_assert_str_eq(clash.other, A0);
	ck_assert_int_eq(clash.address.slot, 8);
	ck_assert_uint_eq(bus.n, 1);
	ck_assert_int_eq(guest_bus_reserve(&bus, many, 2, &clash), 0);
	text = bus_text(&bus);
	ck_assert_str_eq(text, "-=00:03.0 -=00:04.0 " A0 "=00:08.0");
	guest_bus_done(&bus);
}
END_TEST

START_TEST(test_remember)
{
	struct guest_bus bus = {}, memory = {};
	_cleanup_free_ char *text = NULL;

	fill_bus(&memory, A0 "=00:08.0 " A1 "=00:08.1 " B0 "=00:09.0 " C0 "=00:0a.0");
	/* A1 stands in, B0 was moved to C0's slot, something is emulated. */
	fill_bus(&bus, A1 "=00:08.0 " B0 "=00:0a.0");
	ck_assert_int_eq(guest_bus_put(&bus, NULL, (struct guest_address){ 9, 0 }), 0);
	ck_assert_int_eq(guest_bus_remember(&memory, &bus), 0);
	text = bus_text(&memory);
	ck_assert_str_eq(text, A0 "=00:08.0 " A1 "=00:08.1 " B0 "=00:0a.0");
	guest_bus_done(&bus);
	guest_bus_done(&memory);
}
END_TEST

START_TEST(test_full)
{
	struct guest_bus bus = {}, memory = {};
	struct guest_clash clash = {};
	struct guest_device device = { .name = "x", .place = true };
	char name[8];

	/* What is remembered of others is used when nothing else is left. */
	fill_bus(&memory, "other=00:10.0");
	for (int i = 0; i < 29; i++) {
		snprintf(name, sizeof(name), "d%02d", i);
		device.name = name;
		ck_assert_int_eq(guest_bus_place(&bus, &memory, &device, 1, &clash), 0);
		ck_assert_int_eq(guest_bus_at(&bus, (struct guest_address){ 0x10, 0 }) != NULL,
				 i == 28);
	}
	device.name = "x";
	ck_assert_int_eq(guest_bus_place(&bus, &memory, &device, 1, &clash), GUEST_FULL);
	ck_assert_str_eq(clash.device, "x");
	ck_assert_uint_eq(bus.n, 29);
	guest_bus_done(&bus);
	guest_bus_done(&memory);
}
END_TEST

/* ---- random lives */

static uint64_t state;

static uint32_t dice(size_t sides)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t)((state * 2685821657736338717ULL) >> 33) % (uint32_t)sides;
}

#define PHYSICAL 5
#define ALL	 (PHYSICAL * 3)

struct life {
	char names[ALL][16];
	char physical[ALL][16];
	struct guest_bus memory;
};

static void check_memory(const struct guest_bus *memory)
{
	ck_assert_uint_le(memory->n, GUEST_ENTRIES_MAX);
	for (size_t i = 1; i < memory->n; i++) {
		const struct guest_entry *a = &memory->items[i - 1], *b = &memory->items[i];

		ck_assert(a->address.slot != b->address.slot ||
			  a->address.function != b->address.function);
		ck_assert(a->address.slot != b->address.slot ||
			  strncmp(a->device, b->device, 10) == 0);
	}
}

static void check_bus(const struct life *life, const struct guest_bus *bus)
{
	for (size_t i = 0; i < bus->n; i++) {
		const struct guest_entry *a = &bus->items[i];
		bool zero = false;

		for (size_t j = 0; j < bus->n; j++) {
			const struct guest_entry *b = &bus->items[j];

			if (b->address.slot != a->address.slot)
				continue;
			zero = zero || b->address.function == 0;
			if (i == j)
				continue;
			ck_assert_int_ne(a->address.function, b->address.function);
			/* A shared slot is of one physical device, or of emulated ones. */
			ck_assert_int_eq(!a->device, !b->device);
			if (a->device)
				ck_assert(strncmp(a->device, b->device, 10) == 0);
		}
		ck_assert(zero || !a->device);
		ck_assert_int_ge(a->address.slot, 2);
		ck_assert_int_le(a->address.slot, 0x1e);
	}
	(void)life;
}

/* Whether another function of the same device is there. */
static bool kin_has(const struct guest_bus *bus, const char *name, struct guest_address address)
{
	const struct guest_entry *there = guest_bus_at(bus, address);

	return there && there->device && !streq(there->device, name) &&
	       strncmp(there->device, name, 10) == 0;
}

/* A VM starts with some of its devices, given in any order and in any portions. */
static void live_once(struct life *life)
{
	struct guest_bus bus = {};
	struct guest_address emulated[] = { { (uint8_t)(2 + dice(4)), 0 },
					    { 6, (uint8_t)dice(8) } };
	struct guest_device devices[ALL];
	struct guest_clash clash = {};
	size_t n = 0;

	ck_assert_int_eq(guest_bus_reserve(&bus, emulated, 2, &clash), 0);
	for (size_t i = 0; i < ALL; i++)
		if (dice(2))
			devices[n++] = (struct guest_device){
				.name = life->names[i],
				.physical = life->physical[i],
				.function = (uint8_t)(i % 3),
			};
	for (size_t i = n; i > 1; i--) {
		size_t j = dice(i);
		struct guest_device d = devices[i - 1];

		devices[i - 1] = devices[j];
		devices[j] = d;
	}
	/* Those behind the i-th may come later: into a lease that grows. */
	for (size_t i = 0; i < n; i++) {
		devices[i].place = true;
		if (dice(2) || i + 1 == n)
			ck_assert_int_eq(guest_bus_place(&bus, &life->memory, devices,
							 dice(3) ? n : i + 1, &clash),
					 0);
	}
	check_bus(life, &bus);
	for (size_t i = 0; i < n; i++) {
		const struct guest_entry *now = guest_bus_device(&bus, devices[i].name);
		const struct guest_entry *then = guest_bus_device(&life->memory, devices[i].name);

		ck_assert_ptr_nonnull(now);
		/*
		 * The same address, but for a stand-in for a function 0 that is away, and for who
		 * came when somebody stood there.
		 */
		if (then)
			ck_assert((now->address.slot == then->address.slot &&
				   (now->address.function == then->address.function ||
				    now->address.function == 0)) ||
				  kin_has(&bus, devices[i].name, then->address));
	}
	ck_assert_int_eq(guest_bus_remember(&life->memory, &bus), 0);
	check_memory(&life->memory);
	guest_bus_done(&bus);
}

START_TEST(test_random)
{
	const char *seed = getenv("VFIOD_TEST_SEED"), *rounds = getenv("VFIOD_TEST_ROUNDS");
	uint64_t start = seed ? strtoull(seed, NULL, 0) : 20250811;
	long n = rounds ? strtol(rounds, NULL, 0) : 500;

	for (long round = 0; round < n; round++) {
		struct life life = {};

		state = (start + (uint64_t)round) * 0x9e3779b97f4a7c15ULL | 1;
		for (size_t i = 0; i < ALL; i++) {
			snprintf(life.physical[i], 16, "0000:%02x:00", (unsigned int)(i / 3));
			snprintf(life.names[i], 16, "0000:%02x:00.%u", (unsigned int)(i / 3),
				 (unsigned int)(i % 3));
		}
		for (int i = 0; i < 10; i++)
			live_once(&life);
		guest_bus_done(&life.memory);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("guest-bus");
	TCase *tc = tcase_create("guest-bus");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, test_addresses);
	tcase_add_loop_test(tc, test_row, 0, (int)ARRAY_SIZE(rows));
	tcase_add_test(tc, test_reserve);
	tcase_add_test(tc, test_remember);
	tcase_add_test(tc, test_full);
	tcase_add_test(tc, test_random);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
