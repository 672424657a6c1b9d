/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmclient's bus commands: calls to org.vfiod1 made by hand with sd-bus, the handoff socket spoken
 * byte by byte, and what a hostile client does: calls whose replies nobody reads, floods, calls
 * that want no reply.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>
#include <unistd.h>
#include <fcntl.h>

#include "vmclient.h"

#define NAME	   "org.vfiod1"
#define ROOT	   "/org/vfiod1"
#define MANAGER	   "org.vfiod1.Manager"
#define LEASE	   "org.vfiod1.Lease"
#define CALL_USEC  (120ULL * 1000 * 1000)
#define HANDOFF_MS 30000

static sd_bus *bus;

/* Signals of leases that reached this connection, in words. */
#define SIGNALS_MAX 4096
static char *signals[SIGNALS_MAX];
static size_t n_signals;

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *device, *event;

	(void)userdata;
	(void)error;
	if (!sd_bus_message_is_signal(m, LEASE, "DeviceError") || n_signals == SIGNALS_MAX)
		return 0;
	if (sd_bus_message_read(m, "os", &device, &event) >= 0 &&
	    asprintf(&signals[n_signals], "%s %s", event, device) >= 0)
		n_signals++;
	return 0;
}

static int connected(void)
{
	int r;

	if (bus)
		return 1;
	r = sd_bus_open_system(&bus);
	if (r < 0) {
		answer_error("connect %s", strerrorname_np(-r));
		return 0;
	}
	sd_bus_set_method_call_timeout(bus, CALL_USEC);
	sd_bus_add_filter(bus, NULL, on_message, NULL);
	return 1;
}

static sd_bus_message *method(const char *path, const char *interface, const char *member)
{
	sd_bus_message *m = NULL;

	if (sd_bus_message_new_method_call(bus, &m, NAME, path, interface, member) < 0)
		abort();
	return m;
}

/* Calls, answers an error itself; the reply is the caller's. */
static sd_bus_message *call(sd_bus_message *m)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *reply = NULL;
	int r = sd_bus_call(bus, m, 0, &error, &reply);

	sd_bus_message_unref(m);
	if (r < 0)
		answer_error("%s %s", error.name ? error.name : strerrorname_np(-r),
			     error.message ? error.message : "");
	sd_bus_error_free(&error);
	return r < 0 ? NULL : reply;
}

static void append_strv(sd_bus_message *m, char *list)
{
	sd_bus_message_open_container(m, 'v', "as");
	sd_bus_message_open_container(m, 'a', "s");
	for (char *s = strtok(list, ","); s; s = strtok(NULL, ","))
		sd_bus_message_append(m, "s", s);
	sd_bus_message_close_container(m);
	sd_bus_message_close_container(m);
}

/* expect=DEVICE=vendor:product,… */
static void append_expect(sd_bus_message *m, char *list)
{
	sd_bus_message_open_container(m, 'v', "a{ss}");
	sd_bus_message_open_container(m, 'a', "{ss}");
	for (char *s = strtok(list, ","); s; s = strtok(NULL, ",")) {
		char *v = strchr(s, '=');

		if (v) {
			*v++ = '\0';
			sd_bus_message_append(m, "{ss}", s, v);
		}
	}
	sd_bus_message_close_container(m);
	sd_bus_message_close_container(m);
}

static void append_option(sd_bus_message *m, char *word)
{
	static const char *const flags[] = { "persist",	   "shared",	  "attach",
					     "device-fds", "interactive", "junk" };
	char *value = strchr(word, '=');

	*value++ = '\0';
	sd_bus_message_open_container(m, 'e', "sv");
	sd_bus_message_append(m, "s", word);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (!strcmp(word, flags[i]))
			sd_bus_message_append(m, "v", "b", atoi(value));
	if (!strcmp(word, "mode") || !strcmp(word, "name") || !strcmp(word, "unit"))
		sd_bus_message_append(m, "v", "s", value);
	else if (!strcmp(word, "withhold"))
		append_strv(m, value);
	else if (!strcmp(word, "expect"))
		append_expect(m, value);
	else if (!strcmp(word, "lifeline"))
		sd_bus_message_append(m, "v", "h", slot_get(value));
	else if (!strcmp(word, "owner") || !strcmp(word, "uid"))
		sd_bus_message_append(m, "v", "u", (unsigned)strtoul(value, NULL, 0));
	else if (!strcmp(word, "memlock"))
		sd_bus_message_append(m, "v", "t", strtoull(value, NULL, 0));
	sd_bus_message_close_container(m);
}

/* Words with `=` are options, the others devices. */
static void append_request(sd_bus_message *m, char **words, size_t n)
{
	sd_bus_message_open_container(m, 'a', "s");
	for (size_t i = 0; i < n; i++)
		if (!strchr(words[i], '='))
			sd_bus_message_append(m, "s", words[i]);
	sd_bus_message_close_container(m);
	sd_bus_message_open_container(m, 'a', "{sv}");
	for (size_t i = 0; i < n; i++)
		if (strchr(words[i], '='))
			append_option(m, words[i]);
	sd_bus_message_close_container(m);
}

static void keep_handoff(const char *slot, sd_bus_message *reply)
{
	int fd;

	if (sd_bus_message_read(reply, "h", &fd) >= 0)
		slot_set(slot, fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

static void acquire(char **w, size_t n)
{
	sd_bus_message *m = method(ROOT, MANAGER, "Acquire"), *reply;
	const char *path;

	append_request(m, w + 2, n - 2);
	reply = call(m);
	if (!reply)
		return;
	sd_bus_message_read(reply, "o", &path);
	keep_handoff(w[1], reply);
	answer_ok("%s", path);
	sd_bus_message_unref(reply);
}

/* add SLOT LEASE WORD…: more devices for a lease, as acquire */
static void add_devices(char **w, size_t n)
{
	sd_bus_message *m = method(w[2], LEASE, "AddDevices"), *reply;

	append_request(m, w + 3, n - 3);
	reply = call(m);
	if (!reply)
		return;
	keep_handoff(w[1], reply);
	answer_ok("handoff");
	sd_bus_message_unref(reply);
}

/* remove LEASE DEVICE… */
static void remove_devices(char **w)
{
	sd_bus_message *m = method(w[1], LEASE, "RemoveDevices"), *reply;

	if (sd_bus_message_append_strv(m, w + 2) < 0)
		abort();
	reply = call(m);
	if (!reply)
		return;
	answer_ok("removed");
	sd_bus_message_unref(reply);
}

static void get_fds(char **w)
{
	sd_bus_message *reply = call(method(w[2], LEASE, "GetFds"));

	if (!reply)
		return;
	keep_handoff(w[1], reply);
	answer_ok("handoff");
	sd_bus_message_unref(reply);
}

/* Prints what a reply holds of strings and booleans, a line each: enough for a test to look at. */
static void print_flat(sd_bus_message *m)
{
	char type;
	const char *contents;

	while (sd_bus_message_peek_type(m, &type, &contents) > 0) {
		union {
			const char *s;
			int b;
			uint32_t u;
			uint64_t t;
		} v;

		if (strchr("aver", type)) {
			sd_bus_message_enter_container(m, type, contents);
			print_flat(m);
			sd_bus_message_exit_container(m);
			continue;
		}
		sd_bus_message_read_basic(m, type, &v);
		if (strchr("sog", type))
			printf("%s\n", v.s);
		else if (type == 'b')
			printf("%s\n", v.b ? "true" : "false");
		else if (type == 'u')
			printf("%u\n", v.u);
		else if (type == 't')
			printf("%llu\n", (unsigned long long)v.t);
	}
}

static void explain(char **w, size_t n)
{
	sd_bus_message *m = method(ROOT, MANAGER, "Explain"), *reply;

	append_request(m, w + 1, n - 1);
	reply = call(m);
	if (!reply)
		return;
	print_flat(reply);
	answer_ok("explained");
	sd_bus_message_unref(reply);
}

/* Words with commas between them, as "as" */
static void append_list(sd_bus_message *m, char *list)
{
	sd_bus_message_open_container(m, 'a', "s");
	for (char *save, *s = strtok_r(list, ",", &save); s; s = strtok_r(NULL, ",", &save))
		sd_bus_message_append(m, "s", s);
	sd_bus_message_close_container(m);
}

/* call PATH INTERFACE MEMBER [SIGNATURE WORD…], for signatures of s, u, b, t, and A: a list */
static void call_any(char **w, size_t n)
{
	sd_bus_message *m = method(w[1], w[2], w[3]), *reply;

	for (size_t i = 5; n > 4 && i < n; i++) {
		char type = w[4][i - 5];

		if (type == 's' || type == 'o')
			sd_bus_message_append_basic(m, type, w[i]);
		else if (type == 'u')
			sd_bus_message_append(m, "u", (unsigned)strtoul(w[i], NULL, 0));
		else if (type == 't')
			sd_bus_message_append(m, "t", strtoull(w[i], NULL, 0));
		else if (type == 'b')
			sd_bus_message_append(m, "b", atoi(w[i]));
		else if (type == 'A')
			append_list(m, w[i]);
	}
	reply = call(m);
	if (!reply)
		return;
	print_flat(reply);
	answer_ok("called");
	sd_bus_message_unref(reply);
}

/* One message of the handoff: 1 for an fd, 0 for the last word, -1 when there is nothing. */
static int take_one(int socket)
{
	char text[1024];
	union {
		char buffer[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { text, sizeof(text) - 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buffer,
			      .msg_controllen = sizeof(control.buffer) };
	struct pollfd p = { .fd = socket, .events = POLLIN };
	struct cmsghdr *c;
	ssize_t k;
	int fd;

	if (poll(&p, 1, HANDOFF_MS) <= 0) {
		errno = ETIMEDOUT;
		return -1;
	}
	k = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
	if (k == 0)
		errno = ENOTCONN;
	if (k <= 0)
		return -1;
	text[k] = '\0';
	printf("%s\n", text);
	c = CMSG_FIRSTHDR(&msg);
	if (!c)
		return 0;
	if (c->cmsg_len != CMSG_LEN(sizeof(int)) || msg.msg_flags & MSG_CTRUNC) {
		printf("not exactly one fd\n");
		return 1;
	}
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	/* The slot's name is the text with a colon: device:0000:03:00.0 */
	if (strchr(text, ' '))
		*strchr(text, ' ') = ':';
	slot_set(text, fd);
	return 1;
}

/* take SLOT: says that it is ready and receives all fds, each in the slot KIND:NAME. */
static void take(char **w)
{
	int socket = slot_get(w[1]), r;

	if (send(socket, "", 1, MSG_NOSIGNAL) != 1) {
		answer_errno("send on the handoff");
		return;
	}
	while ((r = take_one(socket)) > 0)
		;
	if (r < 0)
		answer_errno("handoff");
	else
		answer_ok("taken");
	slot_close(w[1]);
}

/* listen SLOT: what the daemon says without having been told to go on. */
static void listen_to(char **w)
{
	if (take_one(slot_get(w[1])) < 0)
		answer_errno("handoff");
	else
		answer_ok("heard");
}

/* Sends n calls of a kind and reads none of the replies. */
static void flood(char **w)
{
	unsigned long n = strtoul(w[1], NULL, 0), sent = 0;

	for (; sent < n; sent++) {
		sd_bus_message *m = method(w[2], w[3], w[4]);
		int r = sd_bus_send(bus, m, NULL);

		sd_bus_message_unref(m);
		if (r < 0)
			break;
	}
	answer_ok("sent %lu", sent);
}

/* Flushes what flood has queued, for as long as the bus takes it, still reading nothing. */
static void push(void)
{
	int r = sd_bus_flush(bus);

	answer_ok("%s", r < 0 ? strerrorname_np(-r) : "flushed");
}

/* Acquire that wants no reply: nothing may be handed over, so nothing may be done. */
static void acquire_unanswered(char **w, size_t n)
{
	sd_bus_message *m = method(ROOT, MANAGER, "Acquire");

	append_request(m, w + 1, n - 1);
	sd_bus_message_set_expect_reply(m, 0);
	sd_bus_send(bus, m, NULL);
	sd_bus_flush(bus);
	sd_bus_message_unref(m);
	answer_ok("sent");
}

/* Acquire whose reply stays unread in the socket. */
static void acquire_unread(char **w, size_t n)
{
	sd_bus_message *m = method(ROOT, MANAGER, "Acquire");
	uint64_t cookie;

	append_request(m, w + 1, n - 1);
	sd_bus_send(bus, m, &cookie);
	sd_bus_flush(bus);
	sd_bus_message_unref(m);
	answer_ok("sent %llu", (unsigned long long)cookie);
}

/* signals: what has come since the last time, a line each, after everything that was sent before.
 */
static void print_signals(void)
{
	sd_bus_message *reply = call(method(ROOT, "org.freedesktop.DBus.Peer", "Ping"));

	if (!reply)
		return;
	sd_bus_message_unref(reply);
	while (sd_bus_process(bus, NULL) > 0)
		;
	for (size_t i = 0; i < n_signals; i++) {
		printf("%s\n", signals[i]);
		free(signals[i]);
	}
	n_signals = 0;
	answer_ok("signals");
}

/* overhear: from now on also what is addressed to nobody. */
static void overhear(void)
{
	int r = sd_bus_match_signal(bus, NULL, NULL, NULL, LEASE, "DeviceError", NULL, NULL);

	if (r < 0)
		answer_error("match %s", strerrorname_np(-r));
	else
		answer_ok("overhears");
}

static void disconnect(void)
{
	bus = sd_bus_flush_close_unref(bus);
	answer_ok("disconnected");
}

int command_bus(char **w, size_t n)
{
	static const char *const mine[] = { "bus",
					    "acquire",
					    "acquire-unanswered",
					    "acquire-unread",
					    "take",
					    "listen",
					    "getfds",
					    "add",
					    "remove",
					    "release",
					    "explain",
					    "call",
					    "flood",
					    "push",
					    "signals",
					    "overhear",
					    "disconnect" };
	const char *unique;
	size_t i;

	for (i = 0; i < sizeof(mine) / sizeof(mine[0]) && strcmp(w[0], mine[i]); i++)
		;
	if (i == sizeof(mine) / sizeof(mine[0]))
		return 0;
	if (!connected())
		return 1;
	if (!strcmp(w[0], "bus") && sd_bus_get_unique_name(bus, &unique) >= 0)
		answer_ok("%s", unique);
	else if (!strcmp(w[0], "acquire") && n > 2)
		acquire(w, n);
	else if (!strcmp(w[0], "acquire-unanswered") && n > 1)
		acquire_unanswered(w, n);
	else if (!strcmp(w[0], "acquire-unread") && n > 1)
		acquire_unread(w, n);
	else if (!strcmp(w[0], "take") && n == 2)
		take(w);
	else if (!strcmp(w[0], "listen") && n == 2)
		listen_to(w);
	else if (!strcmp(w[0], "getfds") && n == 3)
		get_fds(w);
	else if (!strcmp(w[0], "add") && n > 3)
		add_devices(w, n);
	else if (!strcmp(w[0], "remove") && n > 2)
		remove_devices(w);
	else if (!strcmp(w[0], "release") && n == 2)
		call_any((char *[]){ w[0], w[1], (char *)LEASE, (char *)"Release", NULL }, 4);
	else if (!strcmp(w[0], "explain") && n > 1)
		explain(w, n);
	else if (!strcmp(w[0], "call") && n > 3)
		call_any(w, n);
	else if (!strcmp(w[0], "flood") && n == 5)
		flood(w);
	else if (!strcmp(w[0], "signals"))
		print_signals();
	else if (!strcmp(w[0], "overhear"))
		overhear();
	else if (!strcmp(w[0], "push"))
		push();
	else if (!strcmp(w[0], "disconnect"))
		disconnect();
	else
		return 0;
	return 1;
}
