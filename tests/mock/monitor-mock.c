/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * In place of daemon/sysfs/monitor.c: events are lines on a datagram socket in the root of the
 * mocked host (VFIOD_MOCK_ROOT/uevent):
 *
 *   SOURCE ACTION SUBSYSTEM NAME SYSPATH DRIVER DEVNODE SEQNUM [ERROR_EVENT DEVICE_ONLINE]
 *
 * SOURCE is kernel, udev, or both (first the one, then the other); "-" is none. "lost" alone, or
 * with a source before it, is an ENOBUFS.
 */

#include "daemon/sysfs/monitor.h"

#include "daemon/util/fd.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define EVENTS_PER_TURN 64
#define WORDS		10

struct monitor {
	const struct monitor_ops *ops;
	void *userdata;
	sd_event_source *source;
	int sock;
	bool in_callback, freed;
};

static const char *word(char **words, size_t n, size_t i)
{
	return i < n && !streq(words[i], "-") ? words[i] : NULL;
}

static void deliver(struct monitor *monitor, char *line)
{
	char *words[WORDS] = { 0 }, *save = NULL;
	struct uevent event = { 0 };
	struct timespec ts;
	size_t n = 0;

	for (char *w = strtok_r(line, " \n", &save); w && n < WORDS;
	     w = strtok_r(NULL, " \n", &save))
		words[n++] = w;
	if (n && streq(words[n - 1], "lost")) {
		if (n < 2 || !streq(words[0], "udev"))
			monitor->ops->lost(false, monitor->userdata);
		if (!monitor->freed && (n < 2 || !streq(words[0], "kernel")))
			monitor->ops->lost(true, monitor->userdata);
		return;
	}
	if (n < 5)
		return;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	event = (struct uevent){
		.action = words[1],
		.subsystem = words[2],
		.name = words[3],
		.syspath = words[4],
		.driver = word(words, n, 5),
		.devnode = word(words, n, 6),
		.seqnum = n > 7 ? strtoull(words[7], NULL, 10) : 0,
		.error_event = word(words, n, 8),
		.online = streq0(word(words, n, 9), "1"),
		.usec = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000,
	};
	if (!streq(words[0], "udev"))
		monitor->ops->event(&event, monitor->userdata);
	event.udev = true;
	if (!monitor->freed && !streq(words[0], "kernel"))
		monitor->ops->event(&event, monitor->userdata);
}

static struct monitor *monitor_destroy(struct monitor *monitor)
{
	sd_event_source_disable_unref(monitor->source);
	fd_close(monitor->sock);
	free(monitor);
	return NULL;
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct monitor *monitor = userdata;

	monitor->in_callback = true;
	for (int i = 0; i < EVENTS_PER_TURN && !monitor->freed; i++) {
		char line[8192];
		ssize_t k = recv(fd, line, sizeof(line) - 1, MSG_DONTWAIT);

		if (k < 0)
			break;
		line[k] = 0;
		deliver(monitor, line);
	}
	monitor->in_callback = false;
	if (monitor->freed)
		monitor_destroy(monitor);
	return 0;
}

int monitor_new(sd_event *event, const struct monitor_ops *ops, void *userdata,
		struct monitor **ret)
{
	_cleanup_(monitor_freep) struct monitor *monitor = calloc(1, sizeof(*monitor));
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *root = getenv("VFIOD_MOCK_ROOT");
	int r;

	if (!monitor)
		return -ENOMEM;
	monitor->sock = -EBADF;
	if (!root)
		return -ENOENT;
	monitor->ops = ops;
	monitor->userdata = userdata;
	monitor->sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (monitor->sock < 0)
		return -errno;
	if ((size_t)snprintf(address.sun_path, sizeof(address.sun_path), "%s/uevent", root) >=
	    sizeof(address.sun_path))
		return -ENAMETOOLONG;
	unlink(address.sun_path);
	if (bind(monitor->sock, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	r = sd_event_add_io(event, &monitor->source, monitor->sock, EPOLLIN, on_readable, monitor);
	if (r < 0)
		return r;
	*ret = STEAL(monitor);
	return 0;
}

struct monitor *monitor_free(struct monitor *monitor)
{
	if (!monitor)
		return NULL;
	if (monitor->in_callback) {
		monitor->freed = true;
		return NULL;
	}
	return monitor_destroy(monitor);
}
