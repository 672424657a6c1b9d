/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How long a lease lives, and who may end it: connections, lifelines, persist, shared, owner. */

#include "tests/bus/picture.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define GROUP_3 "/org/vfiod1/group/3"

static struct client *alice, *bob, *root;
static struct watch *watch;
static char *before;

static void set_up(void)
{
	bed_start();
	alice = client_new(ALICE);
	bob = client_new(BOB);
	root = client_new(0);
	watch = watch_new(CAROL);
	before = host_picture();
}

static bool all_home(void)
{
	_cleanup_strv_ char **journals = host_journals();

	return !*journals;
}

/* Home, in the end, whatever the test did. */
static void tear_down(void)
{
	_cleanup_free_ char *now = NULL;

	alice = client_free(alice);
	bob = client_free(bob);
	UNTIL(all_home());
	watch_settled(watch);
	watch = watch_free(watch);
	root = client_free(root);
	now = host_picture();
	ck_same(before, now);
	free(before);
	bed_stop();
}

static bool home(void)
{
	return property_is(root, GROUP_3, "Group", "State", "host");
}

static void ck_stays(const struct claim *claim)
{
	bed_sleep(100000);
	ck_property(root, claim->lease, "Lease", "State", "leased");
}

static void ck_ended(const struct claim *claim, const char *reason)
{
	_cleanup_free_ char *line = mock_asprintf("ended %s: %s", claim->lease, reason);

	UNTIL(watch_count(watch, "ended"));
	ck_assert_msg(watch_count(watch, line) == 1, "%s", watch_lines(watch)[0]);
	ck_assert(home());
}

/* ---- the connection */

START_TEST(connection_closes)
{
	struct client *other = client_new(ALICE);
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });

	ck_claimed(claim);
	/* Another connection of the same user is nothing to it. */
	client_free(other);
	ck_stays(&claim);
	alice = client_free(alice);
	ck_ended(&claim, "connection closed");
}
END_TEST

/* While drivers are being swapped. */
START_TEST(connection_closes_in_preparing)
{
	struct pending *pending;

	tree_write(bed.host->fd, "300", "slow/PROBE/" NIC);
	pending = acquire_start(alice, &(struct ask){ .devices = { NIC } });
	UNTIL(property_is(root, GROUP_3, "Group", "State", "preparing"));
	call_drop(pending);
	alice = client_free(alice);
	UNTIL(home() && watch_count(watch, "ended") == 1);
	ck_assert_uint_eq(watch_count(watch, "added"), 1);
}
END_TEST

/* Before the daemon has read the call. */
START_TEST(connection_closes_at_once)
{
	for (int i = 0; i < 20; i++) {
		struct client *c = client_new(ALICE);
		struct pending *pending;

		/* It must be somebody on the bus before it can ask. */
		ck_assert_int_ge(sd_bus_get_unique_name(c->bus, &(const char *){ NULL }), 0);
		pending = acquire_start(c, &(struct ask){ .devices = { NIC } });
		sd_bus_flush(c->bus);
		if (i % 2)
			bed_sleep((uint64_t)i * 2000);
		call_drop(pending);
		client_free(c);
		UNTIL(home() && all_home());
	}
}
END_TEST

/* Two leases of one connection, one of which has a life of its own. */
START_TEST(connection_closes_with_lifeline)
{
	int ends[2];
	_cleanup_claim_ struct claim own = { 0 }, lifeline = { 0 };

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	own = acquire(alice, .devices = { NIC });
	lifeline = acquire(alice, .devices = { BARE }, .lifeline = ends[0]);
	ck_claimed(own);
	ck_claimed(lifeline);
	alice = client_free(alice);
	ck_ended(&own, "connection closed");
	ck_stays(&lifeline);
	close(ends[1]);
	UNTIL(lease_gone(root, lifeline.lease));
	close(ends[0]);
}
END_TEST

/* Somebody says that the bus says that a connection is gone. */
START_TEST(forged_signal)
{
	_cleanup_claim_ struct claim claim = acquire(bob, .devices = { NIC });
	const char *name;

	ck_claimed(claim);
	sd_bus_get_unique_name(bob->bus, &name);
	for (int i = 0; i < 2; i++) {
		sd_bus_message *m = NULL;

		ck_assert_int_ge(sd_bus_message_new_signal(alice->bus, &m, "/org/freedesktop/DBus",
							   "org.freedesktop.DBus",
							   "NameOwnerChanged"),
				 0);
		ck_assert_int_ge(sd_bus_message_append(m, "sss", name, name, ""), 0);
		if (i)
			ck_assert_int_ge(sd_bus_message_set_destination(m, VFIOD_NAME), 0);
		ck_assert_int_ge(sd_bus_send(alice->bus, m, NULL), 0);
		sd_bus_message_unref(m);
	}
	ck_stays(&claim);
}
END_TEST

/* ---- lifelines that end a lease */

struct lifeline {
	int fd;	   /* given to the daemon */
	int other; /* -EBADF */
	pid_t pid;
};

static struct lifeline make_process(void)
{
	pid_t pid = idle_process(ALICE);

	return (struct lifeline){ .fd = pidfd_of(pid), .other = -EBADF, .pid = pid };
}

static struct lifeline make_pipe(void)
{
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	return (struct lifeline){ .fd = ends[0], .other = ends[1] };
}

static struct lifeline make_socket(void)
{
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	return (struct lifeline){ .fd = ends[0], .other = ends[1] };
}

static void end_by_kill(struct lifeline *l)
{
	process_kill(l->pid);
}

static void end_by_close(struct lifeline *l)
{
	l->other = fd_close(l->other);
}

static void end_by_byte(struct lifeline *l)
{
	ck_assert_int_eq(write(l->other, "x", 1), 1);
}

static void end_by_shutdown(struct lifeline *l)
{
	ck_assert_int_eq(shutdown(l->other, SHUT_WR), 0);
}

static const struct {
	struct lifeline (*make)(void);
	void (*end)(struct lifeline *);
	bool byte;
} lifelines[] = {
	{ make_process, end_by_kill, false }, { make_pipe, end_by_close, false },
	{ make_pipe, end_by_byte, true },     { make_socket, end_by_close, false },
	{ make_socket, end_by_byte, true },   { make_socket, end_by_shutdown, false },
};

START_TEST(lifeline_ends)
{
	struct lifeline l = lifelines[_i].make();
	_cleanup_claim_ struct claim claim = { 0 };
	char byte;

	claim = acquire(alice, .devices = { NIC }, .lifeline = l.fd);
	ck_claimed(claim);
	/* Not the connection's. */
	alice = client_free(alice);
	ck_stays(&claim);
	lifelines[_i].end(&l);
	ck_ended(&claim, "lifeline");
	/* It was never read from. */
	if (lifelines[_i].byte)
		ck_assert_int_eq(read(l.fd, &byte, 1), 1);
	fd_close(l.fd);
	fd_close(l.other);
}
END_TEST

START_TEST(lifeline_ends_in_preparing)
{
	struct lifeline l = lifelines[_i].make();
	struct pending *pending;
	_cleanup_claim_ struct claim claim = { 0 };

	tree_write(bed.host->fd, "200", "slow/PROBE/" NIC);
	pending = acquire_start(alice, &(struct ask){ .devices = { NIC }, .lifeline = l.fd });
	UNTIL(property_is(root, GROUP_3, "Group", "State", "preparing"));
	lifelines[_i].end(&l);
	claim = acquire_wait(pending);
	ck_refused(claim, "BadOption");
	ck_assert_ptr_nonnull(strstr(claim.message, "lifeline"));
	UNTIL(home());
	fd_close(l.fd);
	fd_close(l.other);
}
END_TEST

/* Over before it is given. */
START_TEST(lifeline_dead)
{
	struct lifeline l = lifelines[_i].make();
	_cleanup_claim_ struct claim claim = { 0 };

	lifelines[_i].end(&l);
	claim = acquire(alice, .devices = { NIC }, .lifeline = l.fd);
	ck_refused(claim, "BadOption");
	ck_assert_ptr_nonnull(strstr(claim.message, "over already"));
	fd_close(l.fd);
	fd_close(l.other);
}
END_TEST

/* ---- no lifelines */

static int a_file(void)
{
	return memfd_create("file", MFD_CLOEXEC);
}

static int a_directory(void)
{
	return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int the_null_device(void)
{
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static int an_eventfd(void)
{
	return eventfd(0, EFD_CLOEXEC);
}

static int an_epoll(void)
{
	return epoll_create1(EPOLL_CLOEXEC);
}

static int a_path(void)
{
	_cleanup_free_ char *path = mock_asprintf("%s/fifo", bed.dir);

	mkfifo(path, 0600);
	return open(path, O_PATH | O_CLOEXEC);
}

static int a_write_end(void)
{
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	return ends[1];
}

/* It would keep itself alive. */
static int both_ends(void)
{
	_cleanup_free_ char *path = mock_asprintf("%s/fifo", bed.dir);

	mkfifo(path, 0600);
	return open(path, O_RDWR | O_CLOEXEC);
}

static int bobs_process(void)
{
	return pidfd_of(idle_process(BOB));
}

static int roots_process(void)
{
	return pidfd_of(getpid());
}

static int process_1(void)
{
	return pidfd_of(1);
}

static int (*const bad_lifelines[])(void) = {
	a_file,	     a_directory, the_null_device, an_eventfd,	  an_epoll,  a_path,
	a_write_end, both_ends,	  bobs_process,	   roots_process, process_1,
};

START_TEST(lifeline_bad)
{
	int fd = bad_lifelines[_i]();
	_cleanup_claim_ struct claim claim = { 0 };

	ck_assert_int_ge(fd, 0);
	claim = acquire(alice, .devices = { NIC }, .lifeline = fd);
	ck_refused(claim, "BadOption");
	ck_assert_ptr_nonnull(strstr(claim.message, "lifeline"));
	ck_assert(home());
	close(fd);
}
END_TEST

/* Root may give any process'. */
START_TEST(lifeline_of_root)
{
	pid_t pid = idle_process(BOB);
	int fd = pidfd_of(pid);
	_cleanup_claim_ struct claim claim =
		acquire(root, .devices = { NIC }, .lifeline = fd, .owner = ALICE);

	ck_claimed(claim);
	process_kill(pid);
	ck_ended(&claim, "lifeline");
	close(fd);
}
END_TEST

/* ---- persist, shared, owner */

START_TEST(persist)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC }, .persist = true, .name = "vm");
	struct client *again;
	int fd;

	ck_claimed(claim);
	alice = client_free(alice);
	ck_stays(&claim);
	/* It is not shared: who comes later is somebody else, but for finding it. */
	again = client_new(ALICE);
	ck_assert_str_eq(call_error(again, VFIOD_ROOT, "Manager", "FindLease", "s", "vm"), "");
	ck_assert_str_eq(release(again, claim.lease), "DBus.AccessDenied");
	ck_assert_str_eq(get_fds(again, claim.lease, &fd), "DBus.AccessDenied");
	ck_stays(&claim);
	ck_assert_str_eq(release(root, claim.lease), "");
	ck_ended(&claim, "released");
	client_free(again);
}
END_TEST

START_TEST(not_shared)
{
	struct client *sibling = client_new(ALICE);
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });
	int fd;

	ck_claimed(claim);
	ck_assert_str_eq(release(sibling, claim.lease), "DBus.AccessDenied");
	ck_assert_str_eq(get_fds(sibling, claim.lease, &fd), "DBus.AccessDenied");
	ck_assert_str_eq(release(bob, claim.lease), "DBus.AccessDenied");
	ck_assert_str_eq(get_fds(bob, claim.lease, &fd), "DBus.AccessDenied");
	ck_stays(&claim);
	ck_assert_str_eq(get_fds(root, claim.lease, &fd), "");
	fd_close(fd);
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(home());
	client_free(sibling);
}
END_TEST

START_TEST(shared)
{
	struct client *sibling = client_new(ALICE);
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC }, .shared = true, .persist = true);
	_cleanup_taken_ struct taken taken = { 0 };
	int fd;

	ck_claimed(claim);
	ck_assert_str_eq(release(bob, claim.lease), "DBus.AccessDenied");
	ck_assert_str_eq(get_fds(bob, claim.lease, &fd), "DBus.AccessDenied");
	alice = client_free(alice);
	ck_assert_str_eq(get_fds(sibling, claim.lease, &fd), "");
	take(fd, &taken);
	ck_assert_str_eq(taken.last, "end 2");
	fd_close(fd);
	taken_done(&taken);
	ck_assert_str_eq(release(sibling, claim.lease), "");
	UNTIL(home());
	client_free(sibling);
}
END_TEST

/* Root acquires for alice. */
START_TEST(owner)
{
	_cleanup_claim_ struct claim claim =
		acquire(root, .devices = { NIC }, .owner = ALICE, .name = "vm", .shared = true);
	_cleanup_free_ char *uid = mock_asprintf("%u", ALICE);

	ck_claimed(claim);
	ck_property(bob, claim.lease, "Lease", "Owner", uid);
	ck_assert_str_eq(call_error(alice, VFIOD_ROOT, "Manager", "FindLease", "s", "vm"), "");
	ck_assert_str_eq(call_error(bob, VFIOD_ROOT, "Manager", "FindLease", "s", "vm"),
			 "NoSuchLease");
	ck_assert_str_eq(release(bob, claim.lease), "DBus.AccessDenied");
	ck_assert_str_eq(release(alice, claim.lease), "");
	ck_ended(&claim, "released");
}
END_TEST

/* A rule with the verb delegate: alice for bob, whose process the lifeline has to be. */
START_TEST(delegate)
{
	_cleanup_free_ char *policy = mock_asprintf(
		"{ \"version\": 1, \"rules\": [ { \"id\": \"manager\",\n"
		"\"subjects\": [ { \"users\": [%u] } ], \"devices\": [ { \"address\": \"*\" } ],\n"
		"\"allow\": [\"acquire\", \"delegate\"], \"modes\": [\"cdev\", \"node\"],\n"
		"\"consent\": { \"drivers\": [\"*\"] } } ] }\n",
		ALICE);
	pid_t hers = idle_process(ALICE), his = idle_process(BOB);
	int her_fd = pidfd_of(hers), his_fd = pidfd_of(his), fd;
	_cleanup_claim_ struct claim bad = { 0 }, claim = { 0 };

	bed_policy("10-manager.json", policy);
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Reload", NULL), "");
	bad = acquire(alice, .devices = { NIC }, .owner = BOB, .lifeline = her_fd);
	ck_refused(bad, "BadOption");
	claim = acquire(alice, .devices = { NIC }, .owner = BOB, .lifeline = his_fd,
			.mode = "node");
	ck_claimed(claim);
	/* The ACL is the owner's; who acquired it controls it, and its owner does not. */
	ck_assert(tree_exists(bed.host->fd, "acl/vfio!3/%u", BOB));
	ck_assert(!tree_exists(bed.host->fd, "acl/vfio!3/%u", ALICE));
	ck_assert_str_eq(release(bob, claim.lease), "DBus.AccessDenied");
	ck_assert_str_eq(get_fds(alice, claim.lease, &fd), "");
	fd_close(fd);
	process_kill(his);
	ck_ended(&claim, "lifeline");
	process_kill(hers);
	close(her_fd);
	close(his_fd);
}
END_TEST

/* ---- in the middle */

/* Its own client, by the path that the announcement has, or root, before the claim is done. */
START_TEST(release_in_preparing)
{
	struct pending *pending;
	_cleanup_claim_ struct claim claim = { 0 };
	_cleanup_free_ char *lease = NULL;
	int fd;

	tree_write(bed.host->fd, "200", "slow/PROBE/" NIC);
	pending = acquire_start(alice, &(struct ask){ .devices = { NIC } });
	UNTIL(watch_count(watch, "added"));
	lease = property(root, GROUP_3, "Group", "Lease");
	ck_assert_str_eq(get_fds(alice, lease, &fd), "GroupBusy");
	ck_assert_str_eq(release(bob, lease), "DBus.AccessDenied");
	ck_assert_str_eq(release(_i ? root : alice, lease), "");
	ck_assert_str_eq(release(_i ? root : alice, lease), "");
	/* Whoever waits for it is told. */
	claim = acquire_wait(pending);
	ck_refused(claim, "NoSuchLease");
	UNTIL(home() && watch_count(watch, "ended") == 1);
}
END_TEST

/* Ended once, whoever says it how often. */
START_TEST(release_twice)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });
	int fd;

	ck_claimed(claim);
	mock_hold(bed.host, NIC, true);
	ck_assert_str_eq(release(alice, claim.lease), "");
	ck_assert_str_eq(release(alice, claim.lease), "");
	ck_assert_str_eq(release(root, claim.lease), "");
	ck_assert_str_eq(get_fds(alice, claim.lease, &fd), "NoSuchLease");
	ck_assert_str_eq(call_error(root, claim.lease, "Lease", "Restore", NULL),
			 "DBus.InvalidArgs");
	alice = client_free(alice);
	bed_sleep(50000);
	mock_hold(bed.host, NIC, false);
	ck_ended(&claim, "released");
	ck_assert_uint_eq(watch_count(watch, "ended"), 1);
}
END_TEST

/* Nobody would have the handoff: nothing is done. */
START_TEST(no_reply_wanted)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { BARE });
	_cleanup_free_ char *log = NULL, *now = NULL;
	sd_bus_message *m;

	ck_claimed(claim);
	log = tree_read(bed.host->fd, "log");
	m = call_new(alice, VFIOD_ROOT, "Manager", "Acquire");
	ck_assert_int_ge(sd_bus_message_append(m, "asa{sv}", 1, NIC, 0), 0);
	sd_bus_message_set_expect_reply(m, 0);
	ck_assert_int_ge(sd_bus_send(alice->bus, m, NULL), 0);
	sd_bus_message_unref(m);
	for (int i = 0; i < 20; i++) {
		m = call_new(alice, claim.lease, "Lease", "GetFds");
		sd_bus_message_set_expect_reply(m, 0);
		ck_assert_int_ge(sd_bus_send(alice->bus, m, NULL), 0);
		sd_bus_message_unref(m);
	}
	ck_stays(&claim);
	ck_assert(home());
	now = tree_read(bed.host->fd, "log");
	ck_assert_str_eq(log, now);
	/* None of them counts. */
	for (int i = 0, fd; i < 7; i++)
		ck_assert_str_eq(get_fds(alice, claim.lease, &fd), "");
}
END_TEST

/* The limit is for the lifeline's process; this bus does not say which one the caller is. */
START_TEST(memlock)
{
	struct rlimit limit, now;
	_cleanup_claim_ struct claim nobody = { 0 }, claim = { 0 };
	pid_t pid;
	int fd;

	/* Room to raise it in, also where nobody may raise the hard one. */
	ck_assert_int_eq(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
	if (limit.rlim_max > 1 << 20)
		limit.rlim_max = 1 << 20;
	limit.rlim_cur = limit.rlim_max / 4;
	ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	pid = idle_process(ALICE);
	fd = pidfd_of(pid);
	nobody = acquire(alice, .devices = { NIC }, .memlock = limit.rlim_max / 2);
	ck_refused(nobody, "BadOption");
	ck_assert_ptr_nonnull(strstr(nobody.message, "memlock"));
	claim = acquire(alice, .devices = { NIC }, .memlock = limit.rlim_max / 2, .lifeline = fd);
	/* A container's root may have no CAP_SYS_RESOURCE: then this is what the daemon says. */
	if (prlimit(pid, RLIMIT_MEMLOCK, NULL, &now) < 0) {
		puts("memlock: no CAP_SYS_RESOURCE here, only the refusal is seen");
		ck_refused(claim, "BadOption");
		ck_assert_ptr_nonnull(strstr(claim.message, "not permitted"));
		process_kill(pid);
		close(fd);
		return;
	}
	ck_claimed(claim);
	ck_assert_uint_eq(now.rlim_cur, limit.rlim_max / 2);
	process_kill(pid);
	ck_ended(&claim, "lifeline");
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lifetime");

	bed_test(suite, set_up, tear_down, connection_closes, 1);
	bed_test(suite, set_up, tear_down, connection_closes_in_preparing, 1);
	bed_test(suite, set_up, tear_down, connection_closes_at_once, 1);
	bed_test(suite, set_up, tear_down, connection_closes_with_lifeline, 1);
	bed_test(suite, set_up, tear_down, forged_signal, 1);
	bed_test(suite, set_up, tear_down, lifeline_ends, ARRAY_SIZE(lifelines));
	bed_test(suite, set_up, tear_down, lifeline_ends_in_preparing, ARRAY_SIZE(lifelines));
	bed_test(suite, set_up, tear_down, lifeline_dead, ARRAY_SIZE(lifelines));
	bed_test(suite, set_up, tear_down, lifeline_bad, ARRAY_SIZE(bad_lifelines));
	bed_test(suite, set_up, tear_down, lifeline_of_root, 1);
	bed_test(suite, set_up, tear_down, persist, 1);
	bed_test(suite, set_up, tear_down, not_shared, 1);
	bed_test(suite, set_up, tear_down, shared, 1);
	bed_test(suite, set_up, tear_down, owner, 1);
	bed_test(suite, set_up, tear_down, delegate, 1);
	bed_test(suite, set_up, tear_down, release_in_preparing, 2);
	bed_test(suite, set_up, tear_down, release_twice, 1);
	bed_test(suite, set_up, tear_down, no_reply_wanted, 1);
	bed_test(suite, set_up, tear_down, memlock, 1);
	return bed_main(suite, true);
}
