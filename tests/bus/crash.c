/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of crash.h. */

#include "tests/bus/crash.h"

#include "daemon/util/fd.h"
#include "tests/bus/picture.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct client *alice, *bob, *root;
int crashes;
bool crash_after_failure;

/* ---- faults */

static int bed_dir(void)
{
	int fd = open(bed.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

void crash_start(void)
{
	_cleanup_free_ char *faults = NULL, *policy = NULL;

	bed_make();
	faults = mock_asprintf("%s/faults", bed.dir);
	ck_assert_int_eq(mkdir(faults, 0755), 0);
	ck_assert_int_eq(setenv("VFIOD_FAULTS", faults, 1), 0);
	crashes = 0;
	crash_after_failure = false;
	policy = mock_asprintf(
		"{ \"version\": 1, \"rules\": [ { \"id\": \"first\",\n"
		"\"subjects\": [ { \"users\": [%u] } ], \"devices\": [ { \"address\": \"*\" } ],\n"
		"\"modes\": [\"cdev\", \"group\", \"node\"], \"consent\": { \"drivers\": [\"*\"] "
		"},\n"
		"\"allow\": [\"acquire\", \"withhold\", \"persist\", \"reset\", \"sriov\"],\n"
		"\"revoke\": \"kill\" } ] }\n",
		ALICE);
	bed_policy("10-first.json", policy);
	bus_start();
	daemon_start();
	alice = client_new(ALICE);
	bob = client_new(BOB);
	root = client_new(geteuid());
}

void crash_stop(void)
{
	client_free(alice);
	client_free(bob);
	client_free(root);
	ck_assert(!daemon_said("Sanitizer"));
	bed_stop();
}

void fault_at(const char *point, const char *what, int passes)
{
	_cleanup_free_ char *text = mock_asprintf("%s %d\n", what, passes);
	_cleanup_close_ int dir = bed_dir();

	tree_write(dir, text, "faults/%s", point);
}

bool fault_happened(const char *point)
{
	_cleanup_close_ int dir = bed_dir();

	return !tree_exists(dir, "faults/%s", point);
}

void fault_trace(void)
{
	_cleanup_close_ int dir = bed_dir();

	tree_write(dir, "", "faults/trace");
}

char *fault_traced(void)
{
	_cleanup_close_ int dir = bed_dir();

	return tree_read(dir, "faults/trace");
}

/* ---- the service manager's part */

static bool daemon_died(void)
{
	int status;
	pid_t pid = waitpid(bed.daemon, &status, WNOHANG);

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		return false;
	/* One that comes too early for the bus to have missed the one before ends, to be started
	 * again. */
	ck_assert_msg((WIFSIGNALED(status) &&
		       (WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGVTALRM)) ||
			      (!bed.ready && WIFEXITED(status) && WEXITSTATUS(status) == 1),
		      "the daemon ended by itself: status %#x", (unsigned int)status);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		crashes++;
	/* What it said before is read: it counts. */
	for (int i = 0; i < 3; i++)
		bed_turn();
	return true;
}

static void kill_daemon(int signo)
{
	ck_assert_int_gt(bed.daemon, 1);
	kill(bed.daemon, signo);
	/* Dead, or what comes next takes it for one that lives. */
	waitid(P_PID, (id_t)bed.daemon, NULL, WEXITED | WNOWAIT);
}

void crash_now(void)
{
	/* As deadly, and not a fault's, should one be faster. */
	kill_daemon(SIGVTALRM);
	supervise();
}

void supervise(void)
{
	static bool within;
	uint64_t end = bed_now() + BED_TIMEOUT_USEC;

	if (crash_after_failure && tree_exists(bed.host->fd, "failed")) {
		crash_after_failure = false;
		kill_daemon(SIGKILL);
	}
	if (!daemon_died())
		return;
	for (;;) {
		daemon_start_only();
		while (!bed.ready && bed_now() < end) {
			if (daemon_died())
				break;
			bed_turn();
		}
		if (bed.ready)
			break;
		ck_assert_msg(bed_now() < end, "the daemon does not start again");
	}
	if (within)
		return;
	within = true;
	check_invariants();
	within = false;
}

/* ---- what must hold */

static bool is_one_of(const char *s, const char *const *words)
{
	for (; s && *words; words++)
		if (streq(s, *words))
			return true;
	return false;
}

/* Granted, withheld or fenced, and on no driver but VFIO's (I2). */
static bool member_is_shut(const char *device)
{
	static const char *const states[] = { "granted", "withheld", "fenced", NULL };
	_cleanup_free_ char *path = mock_asprintf(DEVICE_PATH "pci_%s", device), *state = NULL;
	_cleanup_free_ char *driver = host_driver(device);

	for (char *p = path + strlen(DEVICE_PATH); *p; p++)
		if (*p == ':' || *p == '.')
			*p = '_';
	state = property(root, path, "Device", "State");
	return is_one_of(state, states) && (!*driver || streq(driver, "vfio-pci"));
}

static bool group_is_shut(unsigned int group)
{
	_cleanup_strv_ char **members =
		tree_list(bed.host->fd, "sys/kernel/iommu_groups/%u/devices", group);

	STRV_FOREACH (member, members)
		if (!member_is_shut(*member))
			return false;
	return true;
}

/* Nobody else gets anything of a group that is not the host's (I1). */
static void check_stranger(unsigned int group, const char *state)
{
	static const char *const refusals[] = { "GroupBusy", "GroupDraining", NULL };
	static const char *const gone[] = { "DBus.NoReply", "DBus.ServiceUnknown", NULL };
	_cleanup_strv_ char **members =
		tree_list(bed.host->fd, "sys/kernel/iommu_groups/%u/devices", group);
	struct ask ask = { .mode = "group" };
	_cleanup_claim_ struct claim claim = { 0 };
	_cleanup_free_ char *path = mock_asprintf("/org/vfiod1/group/%u", group), *now = NULL;
	size_t n = 0;

	STRV_FOREACH (member, members)
		if (n < ARRAY_SIZE(ask.devices) - 1)
			ask.devices[n++] = *member;
	claim = acquire_ask(bob, &ask);
	if (is_one_of(claim.error, refusals) || is_one_of(claim.error, gone))
		return;
	/* It may have gone home between the two. */
	now = property(root, path, "Group", "State");
	if (*claim.error && streq0(now, "host"))
		return;
	if (*claim.error || !streq0(now, "leased") || streq(state, "leased"))
		ck_abort_msg("group %u is %s, and another user's claim says \"%s\" (%s)", group,
			     state, claim.error, claim.message);
	ensure_home(bob, claim.lease);
}

static void check_group(unsigned int group)
{
	_cleanup_free_ char *path = mock_asprintf("/org/vfiod1/group/%u", group);
	_cleanup_free_ char *lease = property(root, path, "Group", "Lease");
	_cleanup_free_ char *state = property(root, path, "Group", "State");

	/* The daemon may have died again: it is looked at after the next start. */
	if (!state || !lease)
		return;
	/* It may have gone home between the two; nothing comes here meanwhile. */
	if (streq(state, "host"))
		return;
	ck_assert_msg(!streq(lease, "/"), "group %u is %s without a lease", group, state);
	if (streq(state, "leased"))
		EVENTUALLY(group_is_shut(group) ||
			   !property_is(root, path, "Group", "State", state));
	check_stranger(group, state);
}

void check_invariants(void)
{
	static const unsigned int groups[] = { 2, 3, 7 };

	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		check_group(groups[i]);
}

/* ---- clients that do not give up */

/* Whether there was an answer: of the caller, NULL for none of this name. */
static bool find_lease(struct client *client, const char *name, char **path)
{
	sd_bus_message *reply = call(client, VFIOD_ROOT, "Manager", "FindLease", "s", name);
	bool answered = true;
	const char *found;

	*path = NULL;
	if (!*error_of(reply)) {
		ck_assert_int_ge(sd_bus_message_read(reply, "o", &found), 0);
		*path = strdup(found);
	} else {
		answered = streq(error_of(reply), "NoSuchLease");
	}
	sd_bus_message_unref(reply);
	return answered;
}

char *lease_of_name(struct client *client, const char *name)
{
	char *path = NULL;

	EVENTUALLY(find_lease(client, name, &path));
	return path;
}

static bool is_leased(struct client *client, const char *path)
{
	return property_is(client, path, "Lease", "State", "leased");
}

static bool is_there(struct client *client, const char *path)
{
	_cleanup_free_ char *state = property(client, path, "Lease", "State");

	return state;
}

/* What failed can be restored; what persists in failing shows in the time limit. */
static void mend(const char *path)
{
	if (property_is(root, path, "Lease", "State", "failed"))
		call_error(root, path, "Lease", "Restore", NULL);
}

void mend_group(unsigned int group)
{
	_cleanup_free_ char *path = mock_asprintf("/org/vfiod1/group/%u", group);
	_cleanup_free_ char *lease = property(root, path, "Group", "Lease");

	if (lease && !streq(lease, "/"))
		mend(lease);
}

static char *try_to_lease(struct client *client, const struct ask *ask)
{
	_cleanup_free_ char *path = lease_of_name(client, ask->name);
	struct claim claim;

	if (path && is_leased(client, path))
		return STEAL(path);
	if (path) {
		mend(path);
		return NULL;
	}
	claim = acquire_ask(client, ask);
	claim_done(&claim);
	return NULL;
}

char *ensure_leased(struct client *client, const struct ask *ask)
{
	char *path = NULL;

	EVENTUALLY((path = try_to_lease(client, ask)) != NULL);
	return path;
}

static bool try_to_take(struct client *client, const char *lease, struct taken *taken)
{
	_cleanup_close_ int fd = -EBADF;

	if (*get_fds(client, lease, &fd))
		return false;
	take(fd, taken);
	if (strncmp(taken->last, "end ", 4) == 0)
		return true;
	taken_done(taken);
	return false;
}

void ensure_taken(struct client *client, const char *lease, struct taken *taken)
{
	EVENTUALLY(try_to_take(client, lease, taken));
}

bool lease_is_gone(struct client *client, const char *lease)
{
	return streq(call_error(client, VFIOD_ROOT, "Manager", "FindLease", "s",
				strrchr(lease, '/') + 1),
		     "NoSuchLease");
}

static bool has_ended(struct client *client, const char *lease)
{
	_cleanup_free_ char *state = property(client, lease, "Lease", "State");

	/* No such lease; or no daemon, which is no answer. */
	if (!state)
		return lease_is_gone(client, lease);
	return !streq(state, "leased") && !streq(state, "preparing");
}

void ensure_ended(struct client *client, const char *lease)
{
	EVENTUALLY((release(client, lease), has_ended(client, lease)));
}

static bool try_to_go_home(struct client *client, const char *lease)
{
	if (!is_there(client, lease))
		return has_ended(client, lease);
	mend(lease);
	release(client, lease);
	return false;
}

void ensure_home(struct client *client, const char *lease)
{
	EVENTUALLY(try_to_go_home(client, lease));
}
