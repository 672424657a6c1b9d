/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The bed that a test of the whole daemon lies in: a mocked host, a private system bus with the
 * shipped bus policy, and vfiod-mock on both. The test is the service manager too: it hears
 * READY=1 and keeps the fds that the daemon stores. One per process; everything that was started
 * dies with the process.
 */

#include "tests/bus/usual-host.h"
#include "tests/mock/mock-host.h"

#include <check.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

/* How long a test waits for anything: $VFIOD_TEST_SECONDS, or a minute. */
uint64_t bed_timeout(void);
#define BED_TIMEOUT_USEC bed_timeout()

/* Users with a rule each, and one without: dbus-daemon refuses those that are not in passwd, so the
 * first ones there. All are the caller where it is not root. */
#define BED_USERS 6
#define ALICE	  bed_uid(0)
#define BOB	  bed_uid(1)
#define CAROL	  bed_uid(2)

struct stored_fd {
	char *name;
	int fd;
};

struct bed {
	char *dir; /* has bus, log and host/ */
	char *address;
	struct mock_host *host;
	sd_event *event;
	pid_t bus;
	pid_t daemon;
	int notify;
	bool ready;
	char *status; /* the last STATUS= */
	struct stored_fd *stored;
	size_t n_stored;
};
extern struct bed bed;

/* Runs a suite's tests; the exit status of the program. root: skips everything for others. */
int bed_main(Suite *suite, bool needs_root);

/* Adds a test as a case of its own, so that $CK_RUN_CASE can choose it; it runs n times. */
#define bed_test(suite, set_up, tear_down, test, n) \
	bed_add(suite, #test, test, set_up, tear_down, n)
void bed_add(Suite *suite, const char *name, const TTest *test, void (*set_up)(void),
	     void (*tear_down)(void), int n);

uid_t bed_uid(size_t i);

/* Everything: the usual host, the usual policy, bus and daemon. For checked fixtures. */
void bed_start(void);
/* Ends the daemon, which must exit well, and the rest. */
void bed_stop(void);

/* The same in parts. */
void bed_make(void); /* host and policy, but no daemon */
void bus_start(void);
void bus_kill(void);
void daemon_start(void);		  /* waits until it is ready */
void daemon_start_only(void);		  /* does not */
void daemon_kill(void);			  /* at this instruction */
int daemon_stop(void);			  /* SIGTERM; its wait status */
void daemon_gone(void);			  /* it ended by itself: waits, takes its status */
bool daemon_kill_child(const char *name); /* the first one; whether there was one */
int daemon_wait(void);

/* A policy file of the bed; NULL takes it away. Not in force before a reload. */
void bed_policy(const char *name, const char *text);

/* Turns the loop for a moment. */
void bed_turn(void);
uint64_t bed_now(void);
/* Turns the loop until something is so; fails after a minute. */
#define UNTIL(condition)                                                               \
	do {                                                                           \
		uint64_t until_end = bed_now() + BED_TIMEOUT_USEC;                     \
		while (!(condition)) {                                                 \
			ck_assert_msg(bed_now() < until_end, "never: %s", #condition); \
			bed_turn();                                                    \
		}                                                                      \
	} while (0)
void bed_sleep(uint64_t usec);

/* Whether a line of the mocked kernel's log begins so. */
bool host_did(const char *line);
/* Drivers, overrides, bus mastering, interfaces, ACLs, journals: of the caller. */
char *host_picture(void);
/* Fails with the first lines that are not in both. */
void ck_same(const char *before, const char *now);
/* "" for none, of the caller */
char *host_driver(const char *device);
char *host_override(const char *device);
#define ck_driver(device, driver)                                        \
	do {                                                             \
		_cleanup_free_ char *ck_driver_is = host_driver(device); \
		ck_assert_str_eq(ck_driver_is, driver);                  \
	} while (0)
#define ck_override(device, value)                                           \
	do {                                                                 \
		_cleanup_free_ char *ck_override_is = host_override(device); \
		ck_assert_str_eq(ck_override_is, value);                     \
	} while (0)
/* What the daemon has said. */
bool daemon_said(const char *text);
/* Names of journals of leases, of the caller. */
char **host_journals(void);

/* Makes this process, a child of the test, a user's for good. */
void become(uid_t uid);
/* A process of a user that does nothing until it is killed or the test ends. */
pid_t idle_process(uid_t uid);
int pidfd_of(pid_t pid);
void process_kill(pid_t pid);
