/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Faults, locks, events and counters of the mocked kernel; the driver core is in mock-driver.c. */

#include "tests/mock/mock-kernel.h"

#include "daemon/util/fd.h"
#include "tests/mock/tree.h"

#include <err.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

void mk_log(int root, const char *format, ...)
{
	_cleanup_close_ int fd =
		openat(root, "log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	char line[512];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (fd < 0 || write(fd, line, (size_t)n) != n)
		err(1, "mock: log");
}

/* A number that each caller gets another of, also across processes. */
uint64_t mk_next(int root, const char *counter)
{
	_cleanup_close_ int fd = openat(root, counter, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	char text[32] = "";
	uint64_t n;

	if (fd < 0 || flock(fd, LOCK_EX) < 0 || pread(fd, text, sizeof(text) - 1, 0) < 0)
		err(1, "mock: %s", counter);
	n = strtoull(text, NULL, 10);
	snprintf(text, sizeof(text), "%llu\n", (unsigned long long)n + 1);
	if (pwrite(fd, text, strlen(text), 0) < 0)
		err(1, "mock: %s", counter);
	return n;
}

static int parse_errno(const char *text)
{
	for (int e = 1; e < 134; e++)
		if (streq0(strerrorname_np(e), text))
			return -e;
	return -atoi(text);
}

/* The operation that is counted now is the one that is to fail. */
static int fault_by_number(int root, const char *op, const char *name)
{
	_cleanup_free_ char *fail = tree_read(root, "fail-at"), *which = NULL;
	unsigned int number;
	char what[32];

	/* Of the daemon and its children: what the test does itself is another's doing. */
	if (!getenv("VFIOD_MOCK_ROOT") || !fail || sscanf(fail, "%31s %u", what, &number) != 2 ||
	    mk_next(root, "calls") != number)
		return 0;
	which = mock_asprintf("%s %s\n", op, name);
	tree_write(root, which, "failed");
	mk_log(root, "FAILED %s %s %s\n", op, name, what);
	/* What says that it did and did not: sysfs, not an ACL. */
	if (streq(what, "ignore"))
		return streq(op, "REVOKE") ? -EIO : MK_IGNORE;
	return parse_errno(what);
}

int mk_fault(int root, const char *op, const char *name)
{
	int r = fault_by_number(root, op, name);
	_cleanup_free_ char *slow = tree_read(root, "slow/%s/%s", op, name);
	_cleanup_free_ char *fail = tree_read(root, "fail/%s/%s", op, name), *left = NULL;
	int count = 0, after = 0;
	char what[32];

	if (r != 0)
		return r;
	if (slow)
		usleep((useconds_t)atoi(slow) * 1000);
	while (tree_exists(root, "stall/%s/%s", op, name))
		usleep(2000);
	if (!fail || sscanf(fail, "%31s %d %d", what, &count, &after) < 1)
		return 0;
	left = after > 0 ? mock_asprintf("%s %d %d\n", what, count, after - 1)
			 : mock_asprintf("%s %d\n", what, count - 1);
	if (after > 0 || count > 1)
		tree_write(root, left, "fail/%s/%s", op, name);
	else if (count == 1)
		tree_remove(root, "fail/%s/%s", op, name);
	if (after > 0)
		return 0;
	if (streq(what, "kill"))
		raise(SIGKILL);
	return streq(what, "ignore") ? MK_IGNORE : parse_errno(what);
}

int mk_store_bus(int root, const char *bus, const char *attr, const char *value)
{
	_cleanup_free_ char *path = mock_asprintf("sys/bus/%s/%s", bus, attr);
	_cleanup_free_ char *line = mock_asprintf("%s\n", value);
	int r = mk_fault(root, "STORE", attr);
	_cleanup_close_ int fd = -EBADF;

	mk_log(root, "STORE %s/%s %s %d\n", bus, attr, value, r);
	if (r != 0)
		return r < 0 ? r : 0;
	fd = openat(root, path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, line, strlen(line)) != (ssize_t)strlen(line))
		err(1, "mock: %s", path);
	return 0;
}

/* O_WRONLY|O_NONBLOCK on a FIFO is ENXIO exactly when nobody has it open for reading. */
static bool fifo_has_readers(int root, const char *name)
{
	_cleanup_free_ char *path = mock_asprintf("open/%s", name);
	_cleanup_close_ int fd = openat(root, path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	return fd >= 0;
}

bool mk_is_held(int root, const char *name)
{
	return tree_exists(root, "held/%s", name) || fifo_has_readers(root, name);
}

int mk_open(int root, const char *name)
{
	_cleanup_free_ char *path = mock_asprintf("open/%s", name);
	int fd;

	tree_mkdir(root, "open");
	if (mkfifoat(root, path, 0600) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(root, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The socket's path may be longer than an address takes: by way of the root's fd. */
static bool uevent_address(int root, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/uevent", root);
	return faccessat(root, "uevent", F_OK, 0) == 0;
}

static void send_line(int root, const char *line, int n)
{
	_cleanup_close_ int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct timeval timeout = { .tv_sec = 2 };
	bool drops = tree_exists(root, "uevent-drops");
	struct sockaddr_un address;

	if (sock < 0)
		err(1, "mock: socket");
	setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (!uevent_address(root, &address))
		return;
	if (sendto(sock, line, (size_t)n, drops ? MSG_DONTWAIT : 0, (struct sockaddr *)&address,
		   sizeof(address)) < 0 &&
	    drops && errno == EAGAIN)
		tree_write(root, "1\n", "uevent-dropped");
}

void mk_event_line(int root, const char *line)
{
	send_line(root, line, (int)strlen(line));
}

void mk_event_lost(int root)
{
	if (!tree_exists(root, "uevent-dropped"))
		return;
	tree_remove(root, "uevent-dropped");
	tree_remove(root, "uevent-drops");
	send_line(root, "lost", 4);
}

static void send_event(int root, const char *action, const char *subsystem, const char *name,
		       const char *path, const char *driver, const char *devnode, const char *more)
{
	char line[PATH_MAX + 512];
	uint64_t seqnum = mk_next(root, "seqnum") + 1;
	int n = snprintf(line, sizeof(line), "both %s %s %s /%s %s %s %llu%s", action, subsystem,
			 name, path, driver ?: "-", devnode ?: "-", (unsigned long long)seqnum,
			 more);

	send_line(root, line, n);
	snprintf(line, sizeof(line), "%llu\n", (unsigned long long)seqnum);
	tree_write(root, line, "sys/kernel/uevent_seqnum");
}

void mk_event(int root, const char *action, const char *subsystem, const char *name,
	      const char *path, const char *driver, const char *devnode)
{
	send_event(root, action, subsystem, name, path, driver, devnode, "");
}

void mk_error_event(int root, const char *device, const char *error_event, bool online)
{
	_cleanup_free_ char *path = mk_device_path(root, "pci", device);
	_cleanup_free_ char *driver = tree_link_name(root, "%s/driver", path);
	_cleanup_free_ char *more = mock_asprintf(" %s %d", error_event, online);

	send_event(root, "change", "pci", device, path, driver, NULL, more);
}
