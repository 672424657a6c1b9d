/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmclient's QMP commands: a manager's side of the monitor of a QEMU that runs, descriptors
 * included. One monitor at a time; JSON is given without blanks, and answers are printed as they
 * come.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "vmclient.h"

#define WAIT_SECONDS 60
#define EVENTS_MAX   64

static int monitor = -1;
static char input[1 << 18];
static size_t filled;
static char *events[EVENTS_MAX];
static size_t n_events;

static void forget(void)
{
	if (monitor >= 0)
		close(monitor);
	monitor = -1;
	filled = 0;
	while (n_events)
		free(events[--n_events]);
}

/* The next line, the caller's; NULL with errno when none comes before the deadline. */
static char *next_line(time_t deadline)
{
	for (;;) {
		char *end = memchr(input, '\n', filled), *line;
		struct pollfd p = { .fd = monitor, .events = POLLIN };
		ssize_t k;

		if (end) {
			line = strndup(input, (size_t)(end - input));
			filled -= (size_t)(end + 1 - input);
			memmove(input, end + 1, filled);
			return line;
		}
		if (time(NULL) >= deadline || filled == sizeof(input)) {
			errno = filled == sizeof(input) ? EMSGSIZE : ETIMEDOUT;
			return NULL;
		}
		if (poll(&p, 1, 1000) <= 0)
			continue;
		k = recv(monitor, input + filled, sizeof(input) - filled, 0);
		if (k <= 0) {
			errno = k == 0 ? ENOTCONN : errno;
			return NULL;
		}
		filled += (size_t)k;
	}
}

static void keep_event(char *line)
{
	if (n_events == EVENTS_MAX)
		abort();
	events[n_events++] = line;
}

/* The line that is an answer; events that come before it are kept. */
static char *answer(void)
{
	time_t deadline = time(NULL) + WAIT_SECONDS;
	char *line;

	while ((line = next_line(deadline))) {
		if (strncmp(line, "{\"return\"", 9) == 0 || strncmp(line, "{\"error\"", 8) == 0 ||
		    strncmp(line, "{\"QMP\"", 6) == 0)
			return line;
		keep_event(line);
	}
	return NULL;
}

/* With fd >= 0, that goes along by SCM_RIGHTS. */
static int say(const char *text, int fd)
{
	union {
		char buffer[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { (char *)text, strlen(text) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		struct cmsghdr *c;

		msg.msg_control = control.buffer;
		msg.msg_controllen = sizeof(control.buffer);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	return sendmsg(monitor, &msg, MSG_NOSIGNAL) == (ssize_t)strlen(text) ? 0 : -1;
}

static void finish(const char *what)
{
	char *line = answer();

	if (!line) {
		answer_errno(what);
		return;
	}
	line[strcspn(line, "\r")] = '\0';
	if (strncmp(line, "{\"error\"", 8) == 0)
		answer_error("%s", line);
	else
		answer_ok("%s", line);
	free(line);
}

static void attach(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char *greeting;

	forget();
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	monitor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (monitor < 0 || connect(monitor, (struct sockaddr *)&address, sizeof(address)) < 0) {
		answer_errno(path);
		return;
	}
	greeting = answer();
	if (!greeting || say("{\"execute\":\"qmp_capabilities\"}\n", -1) < 0)
		answer_errno(path);
	else
		finish(path);
	free(greeting);
}

static void execute(const char *json, const char *slot)
{
	char *line = NULL;
	int fd = slot ? slot_get(slot) : -1;

	if (slot && fd < 0)
		answer_error("no slot %s", slot);
	else if (asprintf(&line, "%s\n", json) < 0)
		abort();
	else if (say(line, fd) < 0)
		answer_errno("sendmsg");
	else
		finish(json);
	free(line);
}

/* The first event that has all of the words, which is taken off the list. */
static char *take_event(char **words, size_t n)
{
	for (size_t i = 0; i < n_events; i++) {
		char *event = events[i];
		size_t k = 0;

		while (k < n && strstr(event, words[k]))
			k++;
		if (k < n)
			continue;
		memmove(&events[i], &events[i + 1], (--n_events - i) * sizeof(*events));
		return event;
	}
	return NULL;
}

static void wait_event(char **words, size_t n)
{
	time_t deadline = time(NULL) + WAIT_SECONDS;
	char *event;

	while (!(event = take_event(words, n))) {
		char *line = next_line(deadline);

		if (!line) {
			answer_errno(words[0]);
			return;
		}
		keep_event(line);
	}
	event[strcspn(event, "\r")] = '\0';
	answer_ok("%s", event);
	free(event);
}

int command_qmp(char **w, size_t n)
{
	if (!strcmp(w[0], "qmp-connect") && n == 2)
		attach(w[1]);
	else if (!strcmp(w[0], "qmp") && (n == 2 || n == 3))
		execute(w[1], n == 3 ? w[2] : NULL);
	else if (!strcmp(w[0], "qmp-event") && n > 1)
		wait_event(w + 1, n - 1);
	else
		return 0;
	return 1;
}
