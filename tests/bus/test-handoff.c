/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The handoff under clients that do not do what they should: replies that nobody reads, bytes that
 * never come, sockets that nobody empties, ends in the middle. Everybody else is served as before.
 */

#include "tests/bus/picture.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#define GROUP_3 "/org/vfiod1/group/3"

static struct client *alice, *bob, *root;
static char *before;

static void set_up(void)
{
	bed_start();
	alice = client_new(ALICE);
	bob = client_new(BOB);
	root = client_new(0);
	before = host_picture();
}

static bool all_home(void)
{
	_cleanup_strv_ char **journals = host_journals();

	return !*journals;
}

static void tear_down(void)
{
	_cleanup_free_ char *now = NULL;

	client_free(alice);
	client_free(bob);
	UNTIL(all_home());
	client_free(root);
	now = host_picture();
	ck_same(before, now);
	free(before);
	bed_stop();
}

static bool home(void)
{
	return property_is(root, GROUP_3, "Group", "State", "host");
}

/* Somebody else gets what is asked for, and soon. */
static void ck_served(struct client *client)
{
	uint64_t begin = bed_now();
	_cleanup_claim_ struct claim claim = acquire(client, .devices = { ADMIN });
	_cleanup_taken_ struct taken taken = { 0 };

	ck_claimed(claim);
	take(claim.handoff, &taken);
	ck_assert_str_eq(taken.last, "end 2");
	taken_done(&taken);
	ck_assert_str_eq(release(client, claim.lease), "");
	UNTIL(lease_gone(client, claim.lease));
	ck_assert_uint_lt(bed_now() - begin, 8000000);
}

/* A connection that is written to and never read from: n calls of GetFds. */
static struct client *deaf_client(uid_t uid, const char *lease, int n)
{
	struct client *deaf = client_new(uid);

	ck_assert_int_ge(sd_bus_get_unique_name(deaf->bus, &(const char *){ NULL }), 0);
	sd_bus_detach_event(deaf->bus);
	for (int i = 0; i < n; i++) {
		sd_bus_message *m = call_new(deaf, lease, "Lease", "GetFds");
		uint64_t cookie;

		/* Who asks for its number wants a reply. */
		ck_assert_int_ge(sd_bus_send(deaf->bus, m, &cookie), 0);
		sd_bus_message_unref(m);
	}
	sd_bus_flush(deaf->bus);
	return deaf;
}

/* ---- limits */

START_TEST(unread_replies)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC }, .shared = true, .persist = true);
	struct client *deaf;
	int fd;

	ck_claimed(claim);
	claim.handoff = fd_close(claim.handoff);
	deaf = deaf_client(ALICE, claim.lease, 40);
	bed_sleep(200000);
	/* Its own user waits; nobody else does. */
	ck_assert_str_eq(get_fds(alice, claim.lease, &fd), "QuotaExceeded");
	ck_served(bob);
	ck_assert_str_eq(get_fds(root, claim.lease, &fd), "");
	fd_close(fd);
	/* A lease is no way around it. */
	{
		_cleanup_claim_ struct claim more = acquire(alice, .devices = { BARE });

		ck_refused(more, "QuotaExceeded");
		ck_driver(BARE, "");
	}
	/* When it goes, so do its handoffs. */
	client_free(deaf);
	UNTIL(streq(get_fds(alice, claim.lease, &fd), ""));
	fd_close(fd);
	ck_assert_str_eq(release(alice, claim.lease), "");
}
END_TEST

/* Time does not set an unread reply free: its fd is still under way in the bus. */
START_TEST(unread_replies_wait)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC }, .shared = true, .persist = true);
	struct client *deaf;
	int fd;

	ck_claimed(claim);
	claim.handoff = fd_close(claim.handoff);
	deaf = deaf_client(ALICE, claim.lease, 8);
	bed_sleep(11000000);
	ck_assert_str_eq(get_fds(alice, claim.lease, &fd), "QuotaExceeded");
	ck_served(bob);
	client_free(deaf);
	UNTIL(streq(get_fds(alice, claim.lease, &fd), ""));
	fd_close(fd);
	ck_assert_str_eq(release(root, claim.lease), "");
}
END_TEST

/* The limit of all together is reached by four users; a fifth is told so, and root is one of them.
 */
START_TEST(all_handoffs)
{
	struct client *users[BED_USERS];
	struct claim claims[BED_USERS] = { 0 };
	static const char *const devices[] = { NIC, BARE, ADMIN, VF_A, VF_B };
	static const char everybody[] =
		"{ \"version\": 1, \"rules\": [ { \"id\": \"all\", \"subjects\": [ { \"users\": "
		"[\"*\"] } ], \"devices\": [ { \"address\": \"*\" } ], \"allow\": [\"acquire\"],\n"
		"\"modes\": [\"cdev\"], \"consent\": { \"drivers\": [\"*\"] } } ] }\n";
	int fds[40];
	size_t n = 0;

	bed_policy("10-all.json", everybody);
	ck_assert_str_eq(call_error(root, VFIOD_ROOT, "Manager", "Reload", NULL), "");
	for (size_t i = 0; i < 5; i++) {
		users[i] = client_new(bed_uid(i));
		claims[i] = acquire(users[i], .devices = { devices[i] });
		ck_claimed(claims[i]);
		claims[i].handoff = fd_close(claims[i].handoff);
	}
	for (size_t i = 0; i < 4; i++)
		for (int k = 0; k < 8; k++)
			ck_assert_str_eq(get_fds(users[i], claims[i].lease, &fds[n++]), "");
	ck_assert_str_eq(get_fds(users[0], claims[0].lease, &fds[n]), "QuotaExceeded");
	ck_assert_str_eq(get_fds(users[4], claims[4].lease, &fds[n]), "QuotaExceeded");
	/* One goes, one comes. */
	fds[0] = fd_close(fds[0]);
	UNTIL(streq(get_fds(users[4], claims[4].lease, &fds[0]), ""));
	for (size_t i = 0; i < n; i++)
		fd_close(fds[i]);
	for (size_t i = 0; i < 5; i++) {
		client_free(users[i]);
		claim_done(&claims[i]);
	}
}
END_TEST

/* ---- bytes */

static void ck_ends_with(int handoff, const char *text)
{
	_cleanup_taken_ struct taken taken = { 0 };

	take(handoff, &taken);
	ck_assert_msg(strncmp(taken.last, text, strlen(text)) == 0, "\"%s\"", taken.last);
}

/* A big one, an fd with it, one after the other: it is a byte that says "ready". */
START_TEST(odd_bytes)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });
	_cleanup_taken_ struct taken taken = { 0 };
	static char big[60000];
	int fd, pipefd[2];

	ck_claimed(claim);
	ck_assert_int_eq(send(claim.handoff, big, sizeof(big), 0), sizeof(big));
	take(claim.handoff, &taken);
	ck_assert_str_eq(taken.last, "end 2");
	taken_done(&taken);
	ck_assert_str_eq(get_fds(alice, claim.lease, &fd), "");
	ck_assert_int_eq(pipe2(pipefd, O_CLOEXEC), 0);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(socket_send_fd_borrow(fd, "x", 1, pipefd[1]), 0);
	close(pipefd[1]);
	take(fd, &taken);
	ck_assert_str_eq(taken.last, "end 2");
	fd_close(fd);
	/* Nobody keeps what was sent along. */
	{
		struct pollfd p = { .fd = pipefd[0] };

		UNTIL(poll(&p, 1, 0) > 0 && p.revents & POLLHUP);
	}
	close(pipefd[0]);
}
END_TEST

/* No byte at all: an empty datagram is a hang-up. */
START_TEST(hang_up)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });
	int fd;

	ck_claimed(claim);
	for (int i = 0; i < 50; i++) {
		/* One that was closed counts until that is seen. */
		UNTIL(streq(get_fds(alice, claim.lease, &fd), ""));
		if (i % 3 == 1)
			shutdown(fd, SHUT_WR);
		if (i % 3 == 2)
			ck_assert_int_eq(send(fd, "x", 1, 0), 1);
		fd_close(fd);
	}
	/* The lease stands, and nothing is left of them. */
	UNTIL(!mk_is_held(bed.host->fd, NIC));
	ck_ends_with(claim.handoff, "end 2");
	ck_property(alice, claim.lease, "Lease", "State", "leased");
}
END_TEST

/* ---- ends in the middle */

START_TEST(release_before_byte)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });

	ck_claimed(claim);
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(home());
	ck_ends_with(claim.handoff, "error NoSuchLease ");
}
END_TEST

/* The child that opens is in the middle of it. */
START_TEST(release_while_sending)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });

	ck_claimed(claim);
	tree_write(bed.host->fd, "3000", "slow/OPEN/" NIC);
	ck_assert_int_eq(send(claim.handoff, "x", 1, 0), 1);
	bed_sleep((uint64_t)_i * 100000);
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(home());
	/* No fd of it is left, or comes. */
	ck_assert(!mk_is_held(bed.host->fd, NIC));
	{
		_cleanup_taken_ struct taken taken = { 0 };

		take(claim.handoff, &taken);
		ck_assert_uint_eq(taken.n, 0);
		ck_assert(strncmp(taken.last, "end", 3) != 0);
	}
}
END_TEST

/* Sent, and not taken: they are open all the same, so the group drains until they are gone. */
START_TEST(release_with_fds_in_flight)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });

	ck_claimed(claim);
	ck_assert_int_eq(send(claim.handoff, "x", 1, 0), 1);
	UNTIL(mk_is_held(bed.host->fd, NIC));
	bed_sleep(50000);
	ck_assert_str_eq(release(alice, claim.lease), "");
	bed_sleep(200000);
	ck_property(root, GROUP_3, "Group", "State", "draining");
	ck_served(bob);
	ck_property(root, GROUP_3, "Group", "State", "draining");
	claim.handoff = fd_close(claim.handoff);
	UNTIL(home());
}
END_TEST

/* The owner dies with a handoff under way. */
START_TEST(owner_dies)
{
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC });

	ck_claimed(claim);
	tree_write(bed.host->fd, "200", "slow/OPEN/" NIC);
	if (_i > 0)
		ck_assert_int_eq(send(claim.handoff, "x", 1, 0), 1);
	if (_i > 1)
		bed_sleep(50000);
	claim.handoff = fd_close(claim.handoff);
	alice = client_free(alice);
	UNTIL(home());
	ck_assert(!mk_is_held(bed.host->fd, NIC));
}
END_TEST

/* One that cannot open what was granted says why, gives nothing, and leaves nothing open. */
START_TEST(half_way)
{
	static const struct {
		const char *op, *name, *error;
		int error_number;
	} faults[] = {
		{ "OPEN", "iommufd", "error ModeUnsupported ", ENOENT },
		{ "OPEN", NIC_A, "error DriverFailed ", EIO },
		{ "OPEN", NIC_B, "error GroupBusy ", EBUSY },
		{ "RLIMIT", "iommufd", "error DriverFailed ", EINVAL },
	};
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A, NIC_B }, .mode = "cdev");
	int fd;

	ck_claimed(claim);
	mock_fail(bed.host, faults[_i].op, faults[_i].name, faults[_i].error_number, 1);
	ck_ends_with(claim.handoff, faults[_i].error);
	ck_assert(!mk_is_held(bed.host->fd, NIC_A));
	ck_assert(!mk_is_held(bed.host->fd, NIC_B));
	ck_assert(!mk_is_held(bed.host->fd, "iommufd"));
	ck_property(alice, claim.lease, "Lease", "State", "leased");
	ck_assert_str_eq(get_fds(alice, claim.lease, &fd), "");
	ck_ends_with(fd, "end 3");
	fd_close(fd);
}
END_TEST

/* The same of the group's way. */
START_TEST(half_way_group)
{
	static const struct {
		const char *op, *name, *error;
		int error_number;
	} faults[] = {
		{ "OPEN", "container", "error ModeUnsupported ", ENOENT },
		{ "OPEN", "group-2", "error GroupBusy ", EBUSY },
		{ "STATUS", "group-2", "error GroupNotViable ", 0 },
		{ "STATUS", "group-2", "error DriverFailed ", EIO },
		{ "ATTACH", "group-2", "error GroupNotViable ", EBUSY },
		{ "ATTACH", "group-2", "error DriverFailed ", ENOMEM },
		{ "SET_IOMMU", "container", "error UnsafeInterrupts ", EPERM },
		{ "SET_IOMMU", "container", "error DriverFailed ", EINVAL },
		{ "GET_DEVICE", NIC_B, "error GroupBusy ", EBUSY },
		{ "GET_DEVICE", NIC_B, "error DriverFailed ", ENODEV },
	};
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC_A, NIC_B }, .mode = "group", .device_fds = true);
	int fd;

	ck_claimed(claim);
	mock_fail(bed.host, faults[_i].op, faults[_i].name, faults[_i].error_number, 1);
	ck_ends_with(claim.handoff, faults[_i].error);
	ck_assert(!mk_is_held(bed.host->fd, NIC_A));
	ck_assert(!mk_is_held(bed.host->fd, "group-2"));
	ck_assert(!mk_is_held(bed.host->fd, "container"));
	ck_assert_str_eq(get_fds(alice, claim.lease, &fd), "");
	ck_ends_with(fd, "end 4");
	fd_close(fd);
}
END_TEST

/* A kernel without type 1 v2 has type 1. */
START_TEST(old_iommu_type)
{
	_cleanup_claim_ struct claim claim =
		acquire(alice, .devices = { NIC }, .mode = "group", .device_fds = true);

	ck_claimed(claim);
	mock_fail(bed.host, "EXTENSION", "container", 0, 0);
	ck_ends_with(claim.handoff, "end 3");
	ck_assert(host_did("SET_IOMMU 1 0"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("handoff");

	bed_test(suite, set_up, tear_down, unread_replies, 1);
	bed_test(suite, set_up, tear_down, unread_replies_wait, 1);
	bed_test(suite, set_up, tear_down, all_handoffs, 1);
	bed_test(suite, set_up, tear_down, odd_bytes, 1);
	bed_test(suite, set_up, tear_down, hang_up, 1);
	bed_test(suite, set_up, tear_down, release_before_byte, 1);
	bed_test(suite, set_up, tear_down, release_while_sending, 3);
	bed_test(suite, set_up, tear_down, release_with_fds_in_flight, 1);
	bed_test(suite, set_up, tear_down, owner_dies, 3);
	bed_test(suite, set_up, tear_down, half_way, 4);
	bed_test(suite, set_up, tear_down, half_way_group, 10);
	bed_test(suite, set_up, tear_down, old_iommu_type, 1);
	return bed_main(suite, true);
}
