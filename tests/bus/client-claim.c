/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Claims and handoffs of client.h. */

#include "tests/bus/client.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

/* ---- Acquire */

static void append_strv(sd_bus_message *m, const char *key, const char *const *v)
{
	if (!*v)
		return;
	ck_assert_int_ge(sd_bus_message_open_container(m, 'e', "sv"), 0);
	ck_assert_int_ge(sd_bus_message_append(m, "s", key), 0);
	ck_assert_int_ge(sd_bus_message_open_container(m, 'v', "as"), 0);
	ck_assert_int_ge(sd_bus_message_append_strv(m, (char **)v), 0);
	ck_assert_int_ge(sd_bus_message_close_container(m), 0);
	ck_assert_int_ge(sd_bus_message_close_container(m), 0);
}

static void append_expect(sd_bus_message *m, const char *const *v)
{
	if (!*v)
		return;
	ck_assert_int_ge(sd_bus_message_open_container(m, 'e', "sv"), 0);
	ck_assert_int_ge(sd_bus_message_append(m, "s", "expect"), 0);
	ck_assert_int_ge(sd_bus_message_open_container(m, 'v', "a{ss}"), 0);
	ck_assert_int_ge(sd_bus_message_open_container(m, 'a', "{ss}"), 0);
	for (; *v; v += 2)
		ck_assert_int_ge(sd_bus_message_append(m, "{ss}", v[0], v[1]), 0);
	ck_assert_int_ge(sd_bus_message_close_container(m), 0);
	ck_assert_int_ge(sd_bus_message_close_container(m), 0);
	ck_assert_int_ge(sd_bus_message_close_container(m), 0);
}

static void append_flag(sd_bus_message *m, const char *key, bool set, bool value)
{
	if (set)
		ck_assert_int_ge(sd_bus_message_append(m, "{sv}", key, "b", value), 0);
}

sd_bus_message *ask_message(struct client *client, const char *member, const struct ask *ask)
{
	sd_bus_message *m = call_new(client, VFIOD_ROOT, "Manager", member);

	ck_assert_int_ge(sd_bus_message_append_strv(m, (char **)ask->devices), 0);
	ck_assert_int_ge(sd_bus_message_open_container(m, 'a', "{sv}"), 0);
	if (ask->mode)
		ck_assert_int_ge(sd_bus_message_append(m, "{sv}", "mode", "s", ask->mode), 0);
	if (ask->name)
		ck_assert_int_ge(sd_bus_message_append(m, "{sv}", "name", "s", ask->name), 0);
	append_strv(m, "withhold", ask->withhold);
	append_expect(m, ask->expect);
	if (ask->lifeline > 0)
		ck_assert_int_ge(sd_bus_message_append(m, "{sv}", "lifeline", "h", ask->lifeline),
				 0);
	append_flag(m, "persist", ask->persist, true);
	append_flag(m, "shared", ask->shared, true);
	append_flag(m, "attach", ask->no_attach, false);
	append_flag(m, "device-fds", ask->device_fds, true);
	append_flag(m, "interactive", ask->interactive, true);
	if (ask->owner)
		ck_assert_int_ge(sd_bus_message_append(m, "{sv}", "owner", "u", ask->owner), 0);
	if (ask->memlock)
		ck_assert_int_ge(sd_bus_message_append(m, "{sv}", "memlock", "t", ask->memlock), 0);
	ck_assert_int_ge(sd_bus_message_close_container(m), 0);
	return m;
}

struct pending *acquire_start(struct client *client, const struct ask *ask)
{
	return call_send(client, ask_message(client, "Acquire", ask));
}

struct claim acquire_wait(struct pending *pending)
{
	sd_bus_message *reply = call_wait(pending);
	struct claim claim = { .handoff = -EBADF };
	const char *lease;
	int fd;

	claim.error = strdup(error_of(reply));
	claim.message = strdup(message_of(reply));
	if (!*claim.error) {
		ck_assert_int_ge(sd_bus_message_read(reply, "oh", &lease, &fd), 0);
		claim.lease = strdup(lease);
		claim.handoff = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		ck_assert_int_ge(claim.handoff, 0);
	}
	sd_bus_message_unref(reply);
	return claim;
}

struct claim acquire_ask(struct client *client, const struct ask *ask)
{
	return acquire_wait(acquire_start(client, ask));
}

void claim_done(struct claim *claim)
{
	free(claim->error);
	free(claim->message);
	free(claim->lease);
	fd_close(claim->handoff);
	*claim = (struct claim){ .handoff = -EBADF };
}

/* ---- leases */

const char *release(struct client *client, const char *lease)
{
	return call_error(client, lease, "Lease", "Release", NULL);
}

bool lease_gone(struct client *client, const char *lease)
{
	_cleanup_free_ char *state = property(client, lease, "Lease", "State");

	return !state;
}

const char *get_fds(struct client *client, const char *lease, int *fd)
{
	static char name[128];
	sd_bus_message *reply = call(client, lease, "Lease", "GetFds", NULL);
	int borrowed;

	*fd = -EBADF;
	snprintf(name, sizeof(name), "%s", error_of(reply));
	if (!*name) {
		ck_assert_int_ge(sd_bus_message_read(reply, "h", &borrowed), 0);
		*fd = fcntl(borrowed, F_DUPFD_CLOEXEC, 3);
	}
	sd_bus_message_unref(reply);
	return name;
}

/* ---- handoffs */

/* One message: its text, of the caller ("" for a hang-up), and its fd. */
static char *receive(int sock, int *fd)
{
	char text[4096], control[CMSG_SPACE(4 * sizeof(int))];
	struct iovec iov = { .iov_base = text, .iov_len = sizeof(text) - 1 };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct pollfd p = { .fd = sock, .events = POLLIN };
	struct cmsghdr *c;
	ssize_t k;

	UNTIL(poll(&p, 1, 0) > 0);
	k = recvmsg(sock, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	*fd = -EBADF;
	if (k <= 0)
		return strdup("");
	text[k] = 0;
	c = CMSG_FIRSTHDR(&message);
	if (c && c->cmsg_type == SCM_RIGHTS) {
		/* Exactly one. */
		ck_assert_uint_eq(c->cmsg_len, CMSG_LEN(sizeof(int)));
		memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	}
	return strdup(text);
}

void take(int handoff, struct taken *taken)
{
	*taken = (struct taken){ 0 };
	(void)!send(handoff, "", 1, MSG_NOSIGNAL);
	for (;;) {
		int fd;
		char *text = receive(handoff, &fd);

		if (fd < 0) {
			taken->last = text;
			break;
		}
		ck_assert_uint_lt(taken->n, TAKEN_MAX);
		taken->names[taken->n] = text;
		taken->fds[taken->n++] = fd;
	}
	/* Nothing comes after the end but the end. */
	if (*taken->last) {
		int fd;
		_cleanup_free_ char *text = receive(handoff, &fd);

		ck_assert_str_eq(text, "");
	}
}

void taken_done(struct taken *taken)
{
	for (size_t i = 0; i < taken->n; i++) {
		free(taken->names[i]);
		fd_close(taken->fds[i]);
	}
	free(taken->last);
	*taken = (struct taken){ 0 };
}

char *taken_text(const struct taken *taken)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (size_t i = 0; i < taken->n; i++)
		fprintf(f, "%s%s", i ? ", " : "", taken->names[i]);
	fprintf(f, "%s%s", taken->n ? ": " : "", taken->last);
	fclose(f);
	return text;
}
