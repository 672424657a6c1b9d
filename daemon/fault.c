/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of fault.h: in no build that is not for the fault harness. */

#include "daemon/fault.h"

#include "daemon/util/fd.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

static const char *const fault_point_table[FAULT_POINT_MAX] = {
#define X(name) [FAULT_##name] = #name,
	FAULT_DAEMON_POINTS(X) FAULT_HANDOFF_POINTS(X) FAULT_CHILD_POINTS(X)
#undef X
#define X(name)                                               \
	[FAULT_STEP_##name##_BEGIN] = "STEP_" #name "_BEGIN", \
	[FAULT_STEP_##name##_DONE] = "STEP_" #name "_DONE",
		FAULT_STEP_POINTS(X)
#undef X
};
DEFINE_STRING_TABLE(fault_point, enum fault_point)

#ifdef VFIOD_FAULT_POINTS

static pid_t the_daemon;

void fault_init(void)
{
	the_daemon = getpid();
}

void fault_list(void)
{
	for (enum fault_point i = 0; i < FAULT_POINT_MAX; i++)
		puts(fault_point_table[i]);
}

static int open_faults(void)
{
	return open(getenv("VFIOD_FAULTS") ?: RUNSTATEDIR "/faults",
		    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void trace(int dir, const char *name)
{
	_cleanup_close_ int fd = openat(dir, "trace", O_WRONLY | O_APPEND | O_CLOEXEC);
	char line[128];
	int k = snprintf(line, sizeof(line), "%s %s\n", name,
			 getpid() == the_daemon ? "daemon" : "worker");

	if (fd >= 0 && k > 0)
		(void)!write(fd, line, (size_t)k);
}

/* What is to happen here and now, of the caller; NULL: nothing. */
static char *take(int dir, const char *name)
{
	_cleanup_free_ char *text = NULL;
	char later[128];
	size_t word;
	int passes;

	if (file_read_at(dir, name, sizeof(later) - 1, &text, NULL) < 0)
		return NULL;
	word = strcspn(text, " \n");
	passes = text[word] == ' ' ? atoi(text + word + 1) : 0;
	text[word] = 0;
	if (passes <= 0) {
		unlinkat(dir, name, 0);
		return STEAL(text);
	}
	snprintf(later, sizeof(later), "%s %d\n", text, passes - 1);
	file_write_atomic_at(dir, name, later, strlen(later));
	return NULL;
}

static int errno_of(const char *name)
{
	for (int e = 1; e < 134; e++)
		if (streq0(strerrorname_np(e), name))
			return e;
	return 0;
}

int fault_reached(const char *plan, enum fault_point point)
{
	static bool within; /* what is done here passes points itself */
	const char *name = fault_point_to_string(point);
	_cleanup_close_ int dir = -EBADF;
	char full[64];
	_cleanup_free_ char *what = NULL;

	if (within)
		return 0;
	dir = open_faults();
	if (dir < 0)
		return 0;
	within = true;
	snprintf(full, sizeof(full), "%s%s%s", plan ? plan : "", plan ? "." : "", name);
	trace(dir, full);
	what = take(dir, full);
	if (!what && plan)
		what = take(dir, name);
	within = false;
	if (!what)
		return 0;
	if (streq(what, "worker") && getpid() != the_daemon)
		kill(getpid(), SIGKILL);
	/* A child whose daemon is gone already finds another parent. */
	if (streq(what, "daemon") && (getpid() == the_daemon || getppid() == the_daemon))
		kill(the_daemon, SIGKILL);
	return -errno_of(what);
}

#endif
