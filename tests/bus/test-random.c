/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Random operations of several clients, hot-plug, faults and restarts against the daemon on a
 * mocked host, held after each one against a reference model of the ledger: a few lines that say
 * which lease there is, whose groups it has, and whether it drains.
 *
 *   VFIOD_TEST_SEED=N   replays a run; each prints its seed
 *   VFIOD_TEST_OPS=N    how many operations (default 2000)
 */

#include "tests/bus/crash.h"
#include "tests/bus/picture.h"

#include <stdio.h>
#include <sys/random.h>

#define NEWCOMER "0000:02:03.0"
#define SLOTS	 6
#define CLIENTS	 4

/* What can be asked for: a whole group of the usual host each. */
static const struct {
	unsigned int group;
	const char *devices[3];
	const char *driver;
} targets[] = {
	{ 2, { NIC_A, NIC_B }, "e1000" }, { 3, { NIC }, "e1000e" }, { 7, { ADMIN }, "e1000e" },
	{ 9, { VF_A }, "igbvf" },	  { 11, { BARE }, "" },
};
#define TARGETS (int)ARRAY_SIZE(targets)

/* ---- the model */

static struct slot {
	enum { NONE, LEASED, DRAINING } state;
	int client, target;
	bool persist;
	bool held; /* its fds are open */
	struct taken taken;
	char *path;
} slots[SLOTS];

static struct client *clients[CLIENTS];
static bool newcomer;
static bool newcomer_asked_for; /* by the lease that has its group */
static unsigned int state;
static unsigned int n_op;
static char what[256];

static unsigned int pick(unsigned int n)
{
	return (unsigned int)rand_r(&state) % n;
}

static uid_t uid_of(int client)
{
	return client % 2 ? BOB : ALICE;
}

static struct slot *slot_of_target(int target)
{
	for (int i = 0; i < SLOTS; i++)
		if (slots[i].state != NONE && slots[i].target == target)
			return &slots[i];
	return NULL;
}

/* The lease ends: at home at once, unless somebody has its fds. */
static void model_end(struct slot *slot)
{
	slot->state = slot->held ? DRAINING : NONE;
}

static char *model_text(void)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (int i = 0; i < SLOTS; i++)
		if (slots[i].state != NONE)
			fprintf(f, "%s %s group %u uid %u\n", slots[i].path,
				slots[i].state == LEASED ? "leased" : "draining",
				targets[slots[i].target].group, uid_of(slots[i].client));
	for (int i = 0; i < TARGETS; i++) {
		const struct slot *slot = slot_of_target(i);

		fprintf(f, "group %u %s\n", targets[i].group,
			!slot			? "host"
			: slot->state == LEASED ? "leased"
						: "draining");
		for (size_t k = 0; !slot && targets[i].devices[k]; k++)
			fprintf(f, "%s on \"%s\"\n", targets[i].devices[k], targets[i].driver);
	}
	fclose(f);
	return text;
}

/* ---- the same of the daemon and its host */

static char *real_text(void)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (int i = 0; i < SLOTS; i++) {
		_cleanup_free_ char *is = NULL, *owner = NULL, *groups = NULL;

		if (!slots[i].path)
			continue;
		is = property(root, slots[i].path, "Lease", "State");
		owner = property(root, slots[i].path, "Lease", "Owner");
		groups = property(root, slots[i].path, "Lease", "Groups");
		if (is && owner && groups)
			fprintf(f, "%s %s group %s uid %s\n", slots[i].path, is,
				strrchr(groups, '/') ? strtok(strrchr(groups, '/') + 1, "\"]")
						     : "?",
				owner);
	}
	for (int i = 0; i < TARGETS; i++) {
		_cleanup_free_ char *path = mock_asprintf("/org/vfiod1/group/%u", targets[i].group);
		_cleanup_free_ char *is = property(root, path, "Group", "State");

		fprintf(f, "group %u %s\n", targets[i].group, is ?: "?");
		for (size_t k = 0; is && streq(is, "host") && targets[i].devices[k]; k++) {
			_cleanup_free_ char *driver = host_driver(targets[i].devices[k]);

			fprintf(f, "%s on \"%s\"\n", targets[i].devices[k], driver);
		}
	}
	fclose(f);
	return text;
}

static bool newcomer_is_right(void)
{
	const struct slot *slot = newcomer ? slot_of_target(0) : NULL;
	_cleanup_free_ char *driver = NULL, *override = NULL;

	if (!newcomer)
		return true;
	driver = host_driver(NEWCOMER);
	override = host_override(NEWCOMER);
	/* Draining, it waits behind the fds of another one, or was taken off already. */
	if (slot && newcomer_asked_for)
		return slot->state == LEASED ? streq(driver, "vfio-pci") : !streq(driver, "e1000");
	if (slot)
		return streq(driver, "") && streq(override, "none");
	return streq(driver, "e1000") && streq(override, "");
}

/* The daemon comes to be what the model says, and not something else. */
static void compare(void)
{
	uint64_t end = bed_now() + 30000000;

	for (;;) {
		_cleanup_free_ char *model = model_text(), *real = NULL;

		supervise();
		real = real_text();
		if (streq(model, real) && newcomer_is_right())
			break;
		if (bed_now() >= end) {
			_cleanup_free_ char *driver = newcomer ? host_driver(NEWCOMER) : NULL;
			_cleanup_free_ char *override = newcomer ? host_override(NEWCOMER) : NULL;

			ck_abort_msg("operation %u: %s\nnewcomer %s: on \"%s\", override \"%s\"\n"
				     "model:\n%sdaemon:\n%s",
				     n_op, what, newcomer_asked_for ? "asked for" : "fenced",
				     driver ?: "-", override ?: "-", model, real);
		}
		bed_turn();
	}
	for (int i = 0; i < SLOTS; i++)
		if (slots[i].state == NONE)
			free_and_strdup(&slots[i].path, NULL);
}

/* ---- operations */

#define say(...) snprintf(what, sizeof(what), __VA_ARGS__)

static void op_acquire(void)
{
	static const char *const modes[] = { "cdev", "group", "node" };
	int i = (int)pick(SLOTS), c = (int)pick(CLIENTS), t = (int)pick((unsigned int)TARGETS);
	struct slot *slot = &slots[i];
	const struct slot *has = slot_of_target(t);
	bool persist = pick(3) == 0, disk_full = pick(8) == 0, hold = pick(2);
	struct ask ask = { .mode = modes[pick(3)], .persist = persist };
	const char *wanted = !has ? "" : has->state == LEASED ? "GroupBusy" : "GroupDraining";
	_cleanup_claim_ struct claim claim = { 0 };

	if (slot->state != NONE)
		return;
	for (size_t k = 0; targets[t].devices[k]; k++)
		ask.devices[k] = targets[t].devices[k];
	if (newcomer && t == 0)
		ask.devices[2] = NEWCOMER;
	if (disk_full && !has) {
		fault_at("JOURNAL_BEGIN", "ENOSPC", (int)pick(2));
		wanted = "?";
	}
	say("client %d acquires group %u, %s%s%s", c, targets[t].group, ask.mode,
	    persist ? ", persist" : "", disk_full ? ", disk full" : "");
	claim = acquire_ask(clients[c], &ask);
	if (streq(wanted, "?"))
		ck_assert_msg(streq(claim.error, "DBus.IOError") || streq(claim.error, "IOError") ||
				      streq(claim.error, "DriverFailed"),
			      "%s: \"%s\" (%s)", what, claim.error, claim.message);
	else
		ck_assert_msg(streq(claim.error, wanted),
			      "operation %u: %s: \"%s\" (%s), not \"%s\"", n_op, what, claim.error,
			      claim.message, wanted);
	fault_forget("JOURNAL_BEGIN");
	if (*claim.error)
		return;
	*slot = (struct slot){ .state = LEASED, .client = c, .target = t, .persist = persist };
	slot->path = strdup(claim.lease);
	if (t == 0)
		newcomer_asked_for = newcomer;
	if (!hold || streq(ask.mode, "node"))
		return;
	take(claim.handoff, &slot->taken);
	ck_assert_int_eq(strncmp(slot->taken.last, "end ", 4), 0);
	/* The group's fd alone blocks no unbind (kernel-facts). */
	slot->held = streq(ask.mode, "cdev");
	if (!slot->held)
		taken_done(&slot->taken);
}

static struct slot *some_slot(int wanted)
{
	unsigned int from = pick(SLOTS);

	for (unsigned int i = 0; i < SLOTS; i++)
		if ((int)slots[(from + i) % SLOTS].state == wanted)
			return &slots[(from + i) % SLOTS];
	return NULL;
}

static void op_release(void)
{
	struct slot *slot = some_slot(LEASED);
	int c = (int)pick(CLIENTS + 1);
	struct client *client = c == CLIENTS ? root : clients[c];
	bool may;
	const char *error;

	if (!slot)
		return;
	may = geteuid() != 0 || c == CLIENTS || c == slot->client;
	/* Where all are one user, all are root's equals or nobody is: only the sure cases. */
	if (geteuid() != 0)
		client = clients[slot->client];
	say("%s %d releases %s", may ? "controller" : "stranger", c, slot->path);
	error = release(client, slot->path);
	if (may) {
		ck_assert_msg(streq(error, ""), "operation %u: %s: %s", n_op, what, error);
		model_end(slot);
	} else {
		ck_assert_msg(!streq(error, ""), "operation %u: %s: allowed", n_op, what);
	}
}

static void op_close_fds(void)
{
	struct slot *slot = &slots[pick(SLOTS)];

	if (slot->state == NONE || !slot->held)
		return;
	say("the fds of %s are closed", slot->path);
	taken_done(&slot->taken);
	slot->held = false;
	if (slot->state == DRAINING)
		slot->state = NONE;
}

static void op_disconnect(void)
{
	int c = (int)pick(CLIENTS);

	say("client %d disconnects", c);
	client_free(clients[c]);
	clients[c] = client_new(uid_of(c));
	for (int i = 0; i < SLOTS; i++) {
		if (slots[i].state != LEASED || slots[i].client != c)
			continue;
		if (!slots[i].persist)
			model_end(&slots[i]);
		else
			/* It is nobody's connection's now; the same uid is what is left of it. */
			slots[i].client = c + CLIENTS * 2;
	}
}

static void op_restart(void)
{
	say("the daemon is killed");
	daemon_kill();
	daemon_start_only();
	EVENTUALLY(bed.ready);
}

static void op_plug(void)
{
	const struct slot *slot = slot_of_target(0);

	/* What comes to a group on its way home may be fenced, or not: that is not modelled. */
	if (slot && slot->state != LEASED)
		return;
	say("%s is %s", NEWCOMER, newcomer ? "removed" : "added");
	if (newcomer)
		mock_device_remove(bed.host, "pci", NEWCOMER);
	else
		mock_pci_add(bed.host, NEWCOMER, .vendor = 0x8086, .device = 0x100e,
			     .class_code = 0xff0000, .group = 2, .iommu = "dmar0",
			     .driver = "e1000", .numa_node = -1);
	newcomer = !newcomer;
	newcomer_asked_for = false;
}

static void random_operation(void)
{
	static void (*const ops[])(void) = {
		op_acquire, op_acquire,	  op_acquire,	op_acquire,    op_release, op_release,
		op_release, op_close_fds, op_close_fds, op_disconnect, op_plug,
	};

	if (pick(25) == 0)
		op_restart();
	else
		ops[pick(ARRAY_SIZE(ops))]();
}

START_TEST(random_operations)
{
	const char *seed = getenv("VFIOD_TEST_SEED"), *count = getenv("VFIOD_TEST_OPS");
	unsigned int n = count ? (unsigned int)atoi(count) : 2000, first;
	_cleanup_free_ char *before = host_picture(), *after = NULL;

	if (seed)
		state = (unsigned int)strtoul(seed, NULL, 10);
	else
		ck_assert_int_eq(getrandom(&state, sizeof(state), 0), sizeof(state));
	first = state;
	printf("seed %u: VFIOD_TEST_SEED=%u replays it\n", first, first);
	fflush(stdout);
	for (int i = 0; i < CLIENTS; i++)
		clients[i] = client_new(uid_of(i));
	for (n_op = 0; n_op < n; n_op++) {
		random_operation();
		compare();
	}
	if (newcomer && !slot_of_target(0))
		op_plug();
	for (int i = 0; i < SLOTS; i++) {
		if (slots[i].state == LEASED)
			release(root, slots[i].path);
		taken_done(&slots[i].taken);
		if (slots[i].path)
			ensure_home(root, slots[i].path);
		slots[i].state = NONE;
	}
	if (newcomer)
		op_plug();
	EVENTUALLY((free(after), after = host_picture(), streq(before, after)));
	for (int i = 0; i < CLIENTS; i++)
		client_free(clients[i]);
	printf("%u operations, seed %u\n", n, first);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("random");
	TCase *tcase = tcase_create("random");

	tcase_add_checked_fixture(tcase, crash_start, crash_stop);
	tcase_set_timeout(tcase, 3600);
	tcase_add_test(tcase, random_operations);
	suite_add_tcase(suite, tcase);
	/* Controllers and strangers are different users. */
	return bed_main(suite, false);
}
