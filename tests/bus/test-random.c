/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Random operations of several clients, hot-plug, faults, killed workers and restarts against the
 * daemon on a mocked host, held after each one against a reference model of the ledger: which
 * lease there is, which groups are its, and which of them drain because somebody has fds open.
 *
 *   VFIOD_TEST_SEED=N   replays a run; each prints its seed
 *   VFIOD_TEST_OPS=N    how many operations (default 6000), in all processes together
 *   VFIOD_TEST_JOBS=N   how many processes
 */

#include "tests/bus/crash.h"
#include "tests/bus/parallel.h"
#include "tests/bus/picture.h"

#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#define NEWCOMER "0000:02:03.0"
#define SLOTS	 6
#define CLIENTS	 4
#define ROOT	 CLIENTS       /* who asks: root */
#define NOBODY	 (CLIENTS + 1) /* whose lease it is: its connection is gone */

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
	bool there;
	int client;
	bool persist;
	bool revoked; /* in an hour: nothing is added meanwhile */
	int lifeline; /* the end that is closed to end it; -1: none */
	const char *mode;
	char *path;
} slots[SLOTS];

static struct target {
	enum { HOST, LEASED, DRAINING } state;
	int slot;	  /* LEASED: whose it is */
	unsigned int set; /* DRAINING: the groups of one lease wait for each other */
	int fds[4];
	int n_fds; /* of its devices, open */
} groups[TARGETS];

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

static struct client *client_of(int client)
{
	return client == ROOT ? root : clients[client];
}

/* Groups of which nobody has fds go home; those that drain together go together. */
static void model_settle(unsigned int set)
{
	int fds = 0;

	for (int t = 0; t < TARGETS; t++)
		fds += groups[t].state == DRAINING && groups[t].set == set ? groups[t].n_fds : 0;
	for (int t = 0; t < TARGETS && !fds; t++)
		if (groups[t].state == DRAINING && groups[t].set == set)
			groups[t].state = HOST;
}

static unsigned int n_sets;

static void model_leave(int t, unsigned int set)
{
	groups[t].state = DRAINING;
	groups[t].set = set;
}

static void model_end(int i)
{
	unsigned int set = ++n_sets;

	for (int t = 0; t < TARGETS; t++)
		if (groups[t].state == LEASED && groups[t].slot == i)
			model_leave(t, set);
	model_settle(set);
	if (slots[i].lifeline >= 0)
		close(slots[i].lifeline);
	slots[i] = (struct slot){ .lifeline = -1, .path = slots[i].path };
}

static int groups_of(int i)
{
	int n = 0;

	for (int t = 0; t < TARGETS; t++)
		n += groups[t].state == LEASED && groups[t].slot == i;
	return n;
}

static bool newcomer_is_in(int t)
{
	return newcomer && t == 0;
}

/* ---- the same of the daemon and its host */

static const char *const states[] = { "host", "leased", "draining" };

/* The value of a line "PATH INTERFACE PROPERTY = VALUE" of the picture. */
static bool shows(const char *picture, const char *path, const char *interface,
		  const char *property, const char *value)
{
	_cleanup_free_ char *line =
		mock_asprintf("%s org.vfiod1.%s %s = %s\n", path, interface, property, value);

	return strstr(picture, line);
}

static bool group_is_right(const char *picture, int t)
{
	_cleanup_free_ char *path = mock_asprintf("/org/vfiod1/group/%u", targets[t].group);
	const struct target *g = &groups[t];

	if (!shows(picture, path, "Group", "State", states[g->state]))
		return false;
	if (g->state == LEASED && !shows(picture, path, "Group", "Lease", slots[g->slot].path))
		return false;
	for (size_t k = 0; targets[t].devices[k]; k++) {
		_cleanup_free_ char *driver = host_driver(targets[t].devices[k]);

		if (g->state == HOST ? !streq(driver, targets[t].driver)
				     : *driver && !streq(driver, "vfio-pci"))
			return false;
	}
	return true;
}

/* A lease is there exactly while the model has it, or (by what is left of it) while it drains. */
static bool slot_is_right(const char *picture, const struct slot *slot)
{
	_cleanup_free_ char *owner = NULL;

	if (!slot->there)
		return true;
	owner = mock_asprintf("%u", uid_of(slot->client));
	return shows(picture, slot->path, "Lease", "State", "leased") &&
	       (slot->client == NOBODY || shows(picture, slot->path, "Lease", "Owner", owner));
}

static bool newcomer_is_right(void)
{
	_cleanup_free_ char *driver = NULL, *override = NULL;

	if (!newcomer)
		return true;
	driver = host_driver(NEWCOMER);
	override = host_override(NEWCOMER);
	if (groups[0].state == HOST)
		return streq(driver, "e1000") && streq(override, "");
	/* Draining, it waits behind the fds of another one, or was taken off already. */
	if (newcomer_asked_for)
		return groups[0].state == LEASED ? streq(driver, "vfio-pci")
						 : !streq(driver, "e1000");
	return streq(driver, "") && streq(override, "none");
}

static char *model_text(void)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (int t = 0; t < TARGETS; t++)
		fprintf(f, "group %u %s, %s, %d fds\n", targets[t].group, states[groups[t].state],
			groups[t].state == LEASED ? slots[groups[t].slot].path : "-",
			groups[t].n_fds);
	fclose(f);
	return text;
}

static bool is_right(const char *picture)
{
	size_t leases = 0, wanted = 0;

	for (int t = 0; t < TARGETS; t++)
		if (!group_is_right(picture, t))
			return false;
	for (int i = 0; i < SLOTS; i++)
		if (!slot_is_right(picture, &slots[i]))
			return false;
	/* None that the model has not: what drains is not in sight here but by its group. */
	for (const char *p = picture; (p = strstr(p, " org.vfiod1.Lease State = leased\n")); p++)
		leases++;
	for (int i = 0; i < SLOTS; i++)
		wanted += slots[i].there;
	return leases == wanted && newcomer_is_right();
}

static char *group_lines(char *picture)
{
	char *text = NULL, *save = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (char *l = strtok_r(picture, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		if (strstr(l, ".Group State") || strstr(l, ".Group Lease") ||
		    strstr(l, ".Lease State") || strstr(l, ".Lease Groups"))
			fprintf(f, "%s\n", l);
	fclose(f);
	return text;
}

static void show_difference(char *picture)
{
	_cleanup_free_ char *model = model_text(), *lines = group_lines(picture);

	/* All of it: check has room for some kilobytes. */
	fprintf(stderr, "operation %u: %s\nmodel:\n%sdaemon:\n%s", n_op, what, model, lines);
	ck_abort_msg("operation %u: %s: not what the model says", n_op, what);
}

/* The daemon comes to be what the model says, and not something else. */
static void compare(void)
{
	uint64_t end = bed_now() + BED_TIMEOUT_USEC;

	for (;;) {
		_cleanup_free_ char *picture = NULL;

		supervise();
		picture = bus_picture(root);
		if (is_right(picture))
			break;
		if (bed_now() >= end)
			show_difference(picture);
		bed_turn();
	}
	tree_remove(bed.host->fd, "fail");
}

/* ---- operations */

#define say(...) snprintf(what, sizeof(what), __VA_ARGS__)

#define ck_error(error, wanted)                                                                 \
	ck_assert_msg(streq(error, wanted), "operation %u: %s: \"%s\", not \"%s\"", n_op, what, \
		      error, wanted)

static int some_slot(void)
{
	int from = (int)pick(SLOTS);

	for (int k = 0; k < SLOTS; k++)
		if (slots[(from + k) % SLOTS].there)
			return (from + k) % SLOTS;
	return -1;
}

static int free_slot(void)
{
	for (int i = 0; i < SLOTS; i++)
		if (!slots[i].there)
			return i;
	return -1;
}

/* Takes what comes, and keeps the fds of devices: what else there is blocks no unbind. */
static void hold(int handoff)
{
	struct taken taken = { 0 };

	take(handoff, &taken);
	ck_assert_msg(strncmp(taken.last, "end ", 4) == 0, "operation %u: %s: %s", n_op, what,
		      taken.last);
	for (int t = 0; t < TARGETS; t++)
		for (size_t k = 0; k < taken.n; k++) {
			bool its = newcomer_is_in(t) && strstr(taken.names[k], NEWCOMER);

			for (size_t d = 0; targets[t].devices[d]; d++)
				its |= strstr(taken.names[k], targets[t].devices[d]) != NULL;
			if (its && strncmp(taken.names[k], "device ", 7) == 0)
				groups[t].fds[groups[t].n_fds++] = dup(taken.fds[k]);
		}
	taken_done(&taken);
}

/* Of the next worker that comes to it: killed, or its write fails. */
static bool stage_fault(int t)
{
	static const char *const ops[] = { "OVERRIDE", "UNBIND", "PROBE" };
	const char *op = ops[pick(3)], *device = targets[t].devices[0];

	switch (pick(8)) {
	case 0:
		mock_kill_after(bed.host, op, device, (int)pick(3));
		return true;
	case 1:
		mock_fail_after(bed.host, op, device, EIO, (int)pick(3));
		return true;
	}
	return false;
}

/* After so many writes of journals, for each: another lease may have something to write, too. */
static void fill_disk(int after)
{
	_cleanup_free_ char *text = mock_asprintf("ENOSPC 1000000 %d\n", after);

	tree_write(bed.host->fd, text, "fail/CREATE/journal");
}

/* The daemon may be asked for something while it does something else: that is no answer. */
static const char *busy_is_no_answer(const char *error, uint64_t end)
{
	if (!streq(error, "GroupBusy") || bed_now() >= end)
		return NULL;
	bed_sleep(5000);
	return error;
}

static const char *wanted_of(int t)
{
	return groups[t].state == HOST	   ? ""
	       : groups[t].state == LEASED ? "GroupBusy"
					   : "GroupDraining";
}

static void own(int i, int t)
{
	groups[t].state = LEASED;
	groups[t].slot = i;
	if (t == 0)
		newcomer_asked_for = newcomer;
}

static void ask_for(struct ask *ask, int t)
{
	size_t n = 0;

	for (size_t k = 0; targets[t].devices[k]; k++)
		ask->devices[n++] = targets[t].devices[k];
	if (newcomer_is_in(t))
		ask->devices[n] = NEWCOMER;
}

static bool one_of(const char *error, const char *const *errors)
{
	for (; *errors; errors++)
		if (streq(error, *errors))
			return true;
	return false;
}

static void op_acquire(void)
{
	static const char *const modes[] = { "cdev", "group", "node" };
	static const char *const failures[] = { "DBus.IOError", "DriverFailed", "DeviceInUse",
						"GroupChanged", NULL };
	int i = free_slot(), c = (int)pick(CLIENTS), t = (int)pick((unsigned int)TARGETS);
	bool disk_full = groups[t].state == HOST && pick(8) == 0, holds = pick(2), failing;
	struct ask ask = { .mode = modes[pick(3)], .persist = pick(4) == 0 };
	const char *wanted = wanted_of(t);
	int ends[2] = { -1, -1 };
	_cleanup_claim_ struct claim claim = { 0 };

	if (i < 0)
		return;
	ask_for(&ask, t);
	if (!ask.persist && pick(3) == 0) {
		ck_assert_int_eq(pipe(ends), 0);
		ask.lifeline = ends[0];
	}
	if (disk_full)
		fill_disk((int)pick(2));
	failing = !disk_full && groups[t].state == HOST && stage_fault(t);
	say("client %d acquires group %u, %s%s%s%s%s", c, targets[t].group, ask.mode,
	    ask.persist ? ", persist" : "", ends[0] >= 0 ? ", lifeline" : "",
	    disk_full ? ", disk full" : "", failing ? ", with a fault" : "");
	claim = acquire_ask(clients[c], &ask);
	tree_remove(bed.host->fd, "fail/CREATE/journal");
	if (ends[0] >= 0)
		close(ends[0]);
	if (disk_full || (failing && *claim.error))
		ck_assert_msg(one_of(claim.error, failures), "operation %u: %s: \"%s\" (%s)", n_op,
			      what, claim.error, claim.message);
	else
		ck_error(claim.error, wanted);
	if (*claim.error) {
		if (ends[1] >= 0)
			close(ends[1]);
		mend_group(targets[t].group);
		return;
	}
	free(slots[i].path);
	slots[i] = (struct slot){ .there = true,
				  .client = c,
				  .persist = ask.persist,
				  .mode = ask.mode,
				  .lifeline = ends[1],
				  .path = strdup(claim.lease) };
	own(i, t);
	if (holds && streq(ask.mode, "cdev"))
		hold(claim.handoff);
}

/* Who may: the lease's client, and root. */
static bool may(int i, int c)
{
	return c == ROOT || c == slots[i].client;
}

static const char *call_devices(struct client *client, const char *lease, const char *member,
				const struct ask *ask, int *handoff)
{
	static char error[128];
	sd_bus_message *m = call_new(client, lease, "Lease", member), *reply;
	int fd;

	ck_assert_int_ge(sd_bus_message_append_strv(m, (char **)ask->devices), 0);
	if (handoff)
		ck_assert_int_ge(sd_bus_message_append(m, "a{sv}", 0), 0);
	reply = call_wait(call_send(client, m));
	snprintf(error, sizeof(error), "%s", error_of(reply));
	if (!*error && handoff) {
		ck_assert_int_ge(sd_bus_message_read(reply, "h", &fd), 0);
		*handoff = dup(fd);
	}
	sd_bus_message_unref(reply);
	return error;
}

static void op_add(void)
{
	int i = some_slot(), t = (int)pick((unsigned int)TARGETS), c = (int)pick(CLIENTS + 1);
	uint64_t end = bed_now() + 5000000;
	struct ask ask = { .mode = NULL };
	int handoff = -EBADF;
	const char *error, *wanted = wanted_of(t);

	if (i < 0 || (groups[t].state == LEASED && groups[t].slot == i))
		return;
	ask_for(&ask, t);
	/* Root is no user of the policy's here. */
	if (c == ROOT && slots[i].client < CLIENTS)
		c = slots[i].client;
	say("%d adds group %u to %s (%s)", c, targets[t].group, slots[i].path, slots[i].mode);
	do
		error = call_devices(client_of(c), slots[i].path, "AddDevices", &ask, &handoff);
	while (may(i, c) && groups[t].state == HOST && busy_is_no_answer(error, end));
	if (!may(i, c)) {
		ck_assert_msg(*error, "operation %u: %s: allowed", n_op, what);
		return;
	}
	ck_error(error, slots[i].revoked ? "NotPermitted" : wanted);
	if (*error)
		return;
	own(i, t);
	if (pick(2) && streq(slots[i].mode, "cdev"))
		hold(handoff);
	else
		close(handoff);
}

static void op_remove(void)
{
	int i = some_slot(), c = (int)pick(CLIENTS + 1), t = (int)pick((unsigned int)TARGETS);
	uint64_t end = bed_now() + 5000000;
	struct ask ask = { .mode = NULL };
	const char *error;

	if (i < 0 || groups[t].state != LEASED || groups[t].slot != i)
		return;
	ask_for(&ask, t);
	/* A fenced one is not the lease's to give up; it goes with the group. */
	if (newcomer_is_in(t) && !newcomer_asked_for)
		ask.devices[2] = NULL;
	say("%d removes group %u from %s", c, targets[t].group, slots[i].path);
	do
		error = call_devices(client_of(c), slots[i].path, "RemoveDevices", &ask, NULL);
	while (may(i, c) && busy_is_no_answer(error, end));
	if (!may(i, c)) {
		ck_assert_msg(*error, "operation %u: %s: allowed", n_op, what);
		return;
	}
	ck_error(error, groups_of(i) == 1 ? "BadOption" : "");
	if (*error)
		return;
	model_leave(t, ++n_sets);
	model_settle(n_sets);
}

static void op_release(void)
{
	int i = some_slot(), c = (int)pick(CLIENTS + 1);
	const char *error;

	if (i < 0)
		return;
	for (int t = 0; t < TARGETS; t++)
		if (groups[t].state == LEASED && groups[t].slot == i && pick(2))
			mock_kill_after(bed.host, pick(2) ? "UNBIND" : "PROBE",
					targets[t].devices[0], (int)pick(2));
	say("%d releases %s", c, slots[i].path);
	error = release(client_of(c), slots[i].path);
	if (may(i, c)) {
		ck_error(error, "");
		model_end(i);
	} else {
		ck_assert_msg(*error, "operation %u: %s: allowed", n_op, what);
	}
}

static void op_revoke(void)
{
	int i = some_slot(), c = pick(4) ? ROOT : (int)pick(CLIENTS);
	bool now = pick(2);
	const char *error;

	if (i < 0)
		return;
	say("%d revokes %s %s", c, slots[i].path, now ? "at once" : "in an hour");
	error = call_error(client_of(c), slots[i].path, "Lease", "Revoke", "ts",
			   now ? (uint64_t)0 : (uint64_t)3600 * 1000000, "random");
	ck_error(error, c == ROOT ? "" : "DBus.AccessDenied");
	if (c == ROOT && now)
		model_end(i);
	else if (c == ROOT)
		slots[i].revoked = true;
}

static void op_close_fds(void)
{
	int t = (int)pick((unsigned int)TARGETS);

	say("the fds of group %u are closed", targets[t].group);
	while (groups[t].n_fds > 0)
		close(groups[t].fds[--groups[t].n_fds]);
	if (groups[t].state == DRAINING)
		model_settle(groups[t].set);
}

static void op_lifeline(void)
{
	int i = some_slot();

	if (i < 0 || slots[i].lifeline < 0)
		return;
	say("the lifeline of %s ends", slots[i].path);
	model_end(i);
}

static void op_disconnect(void)
{
	int c = (int)pick(CLIENTS);

	say("client %d disconnects", c);
	client_free(clients[c]);
	clients[c] = client_new(uid_of(c));
	for (int i = 0; i < SLOTS; i++) {
		if (!slots[i].there || slots[i].client != c)
			continue;
		if (slots[i].persist || slots[i].lifeline >= 0)
			slots[i].client = NOBODY;
		else
			model_end(i);
	}
}

static void op_restart(void)
{
	say("the daemon is killed");
	daemon_kill();
	daemon_start_only();
	EVENTUALLY(bed.ready);
}

/* At any instruction of a release: it has ended, or it has not, and then it does. */
static void op_restart_in_release(void)
{
	int i = some_slot();
	struct pending *pending;

	if (i < 0)
		return;
	say("the daemon is killed while %s is released", slots[i].path);
	pending = call_start(root, slots[i].path, "Lease", "Release", NULL);
	usleep(pick(3000));
	op_restart();
	call_drop(pending);
	EVENTUALLY(({
		release(root, slots[i].path);
		!property_is(root, slots[i].path, "Lease", "State", "leased");
	}));
	model_end(i);
}

static void op_plug(void)
{
	/* What comes to a group on its way home may be fenced, or not: that is not modelled. */
	if (groups[0].state == DRAINING)
		return;
	say("%s is %s", NEWCOMER, newcomer ? "removed" : "added");
	if (newcomer) {
		/* Its fds are dead with it, and the mocked kernel waits for nobody. */
		if (newcomer_asked_for && groups[0].n_fds)
			return;
		mock_device_remove(bed.host, "pci", NEWCOMER);
	} else {
		mock_pci_add(bed.host, NEWCOMER, .vendor = 0x8086, .device = 0x100e,
			     .class_code = 0xff0000, .group = 2, .iommu = "dmar0",
			     .driver = "e1000", .numa_node = -1);
	}
	newcomer = !newcomer;
	newcomer_asked_for = false;
}

static void random_operation(void)
{
	static void (*const ops[])(void) = {
		op_acquire, op_acquire, op_acquire,  op_acquire,   op_add,	  op_add,
		op_add,	    op_remove,	op_remove,   op_release,   op_release,	  op_close_fds,
		op_plug,    op_revoke,	op_lifeline, op_close_fds, op_disconnect,
	};

	switch (pick(40)) {
	case 0:
		op_restart();
		return;
	case 1:
		op_restart_in_release();
		return;
	}
	ops[pick(ARRAY_SIZE(ops))]();
}

static void allow_all(void)
{
	_cleanup_free_ char *policy =
		mock_asprintf("{ \"version\": 1, \"rules\": [ { \"id\": \"all\",\n"
			      "\"subjects\": [ { \"users\": [%u, %u, 0] } ],\n"
			      "\"devices\": [ { \"address\": \"*\" } ],\n"
			      "\"modes\": [\"cdev\", \"group\", \"node\"],\n"
			      "\"consent\": { \"drivers\": [\"*\"] },\n"
			      "\"allow\": [\"acquire\", \"withhold\", \"persist\"] } ] }\n",
			      ALICE, BOB);

	bed_policy("10-first.json", policy);
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Reload", NULL), "");
}

static void end_all(void)
{
	for (int t = 0; t < TARGETS; t++)
		while (groups[t].n_fds > 0)
			close(groups[t].fds[--groups[t].n_fds]);
	for (int i = 0; i < SLOTS; i++) {
		if (slots[i].there)
			ensure_home(root, slots[i].path);
		if (slots[i].lifeline >= 0)
			close(slots[i].lifeline);
		free(slots[i].path);
	}
	if (newcomer)
		mock_device_remove(bed.host, "pci", NEWCOMER);
}

static unsigned int first_seed, n_ops;

START_TEST(random_operations)
{
	unsigned int seed = first_seed + (unsigned int)parallel_row(_i);
	_cleanup_free_ char *before = host_picture(), *after = NULL;

	state = seed;
	printf("seed %u: VFIOD_TEST_JOBS=1 VFIOD_TEST_OPS=%u VFIOD_TEST_SEED=%u replays it\n", seed,
	       n_ops, seed);
	fflush(stdout);
	allow_all();
	for (int i = 0; i < SLOTS; i++)
		slots[i].lifeline = -1;
	for (int i = 0; i < CLIENTS; i++)
		clients[i] = client_new(uid_of(i));
	for (n_op = 0; n_op < n_ops; n_op++) {
		random_operation();
		if (getenv("VFIOD_TEST_SHOW"))
			fprintf(stderr, "%u: %s\n", n_op, what);
		compare();
	}
	end_all();
	EVENTUALLY((free(after), after = host_picture(), streq(before, after)));
	for (int i = 0; i < CLIENTS; i++)
		client_free(clients[i]);
	printf("%u operations, seed %u: as the model says\n", n_ops, seed);
}
END_TEST

static Suite *suite(int n)
{
	Suite *suite = suite_create("random");
	TCase *tcase = tcase_create("random");

	tcase_add_checked_fixture(tcase, crash_start, crash_stop);
	/* Far more than a slow machine takes: it is for what hangs. */
	tcase_set_timeout(tcase, 240 + n_ops / 2);
	tcase_add_loop_test(tcase, random_operations, 0, n);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	const char *seed = getenv("VFIOD_TEST_SEED"), *count = getenv("VFIOD_TEST_OPS");
	const char *jobs = getenv("VFIOD_TEST_JOBS");
	int n = jobs ? atoi(jobs) : 12;

	if (seed)
		first_seed = (unsigned int)strtoul(seed, NULL, 10);
	else if (getrandom(&first_seed, sizeof(first_seed), 0) != sizeof(first_seed))
		return EXIT_FAILURE;
	else
		first_seed %= 1000000;
	n_ops = (count ? (unsigned int)atoi(count) : 6000) / (unsigned int)(n > 0 ? n : 1);
	return parallel_main(suite, n > 0 ? n : 1);
}
