/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Receives the descriptors of a lease over its handoff socket: one byte goes out, then one message
 * per descriptor comes in, "KIND NAME" with exactly that descriptor in SCM_RIGHTS, and last
 * "end N" or "error NAME MESSAGE". Nothing of what comes in is trusted to be well-formed: the
 * peer is root, but a wrong descriptor in the wrong place is a VM with somebody else's device.
 */

#include "client/internal.h"

#include <limits.h>
#include <sys/socket.h>

/* Room for more than the one descriptor, so that too many are seen, and closed, by us. */
#define CONTROL_FDS 8
#define KIND_MAX    32
#define NAME_BYTES  255

struct packet {
	char text[HANDOFF_MESSAGE_MAX + 1];
	size_t size;
	int fds[CONTROL_FDS];
	size_t n_fds;
	bool truncated;
	bool eof;
};

static void packet_done(struct packet *p)
{
	for (size_t i = 0; i < p->n_fds; i++)
		close_fdp(&p->fds[i]);
	p->n_fds = 0;
}

static void packet_take_fds(struct packet *p, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (p->n_fds < CONTROL_FDS)
				p->fds[p->n_fds++] = fd;
			else
				close(fd);
		}
	}
}

static int packet_receive(int socket, struct packet *p)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * CONTROL_FDS)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = p->text, .iov_len = HANDOFF_MESSAGE_MAX };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int resets = 0;
	ssize_t n;

	*p = (struct packet){};
	/* A peer that closed with our byte unread leaves ECONNRESET in front of what it had sent:
	 * the error is reported once, then the packets come, and the end of the stream after them.
	 */
	do
		n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && (errno == EINTR || (errno == ECONNRESET && !resets++)));
	if (n < 0)
		return -errno;
	packet_take_fds(p, &msg);
	p->size = (size_t)n;
	p->text[p->size] = '\0';
	/* With MSG_CTRUNC the kernel has dropped descriptors, or this process has no room for them.
	 */
	p->truncated = msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC);
	/* An empty packet looks like the end of the stream, and is no better than that. */
	p->eof = n == 0;
	return 0;
}

/* Splits "WORD REST" in place. NULL if there is no REST. */
static char *split_word(char *text)
{
	char *space = strchr(text, ' ');

	if (!space)
		return NULL;
	*space = '\0';
	return space + 1;
}

static bool word_valid(const char *s, size_t max)
{
	size_t n = strlen(s);

	if (n == 0 || n > max)
		return false;
	for (size_t i = 0; i < n; i++)
		if (s[i] <= ' ' || s[i] >= 0x7f)
			return false;
	return true;
}

/* Moves the packet's one descriptor into the list. */
static int handoff_add(struct handoff *handoff, const char *kind, const char *name,
		       struct packet *p)
{
	struct handoff_fd *fds;
	struct handoff_fd entry = { .fd = -1 };

	fds = reallocarray(handoff->fds, handoff->n + 1, sizeof(*fds));
	if (!fds)
		return -ENOMEM;
	handoff->fds = fds;
	entry.kind = strdup(kind);
	entry.name = strdup(name);
	if (!entry.kind || !entry.name) {
		free(entry.kind);
		free(entry.name);
		return -ENOMEM;
	}
	entry.fd = p->fds[0];
	p->n_fds = 0;
	fds[handoff->n++] = entry;
	return 0;
}

static int broken(struct vfiod_error **error, const char *what)
{
	return error_set(error, VFIOD_ERROR_HANDOFF, EPROTO,
			 "The descriptors of the lease did not arrive: %s. "
			 "See the journal of vfiod.service.",
			 what);
}

/* One message that is neither "end" nor "error". */
static int take_descriptor(struct handoff *handoff, struct packet *p, const char *name,
			   struct vfiod_error **error)
{
	const char *kind = p->text;

	if (!word_valid(kind, KIND_MAX) || !name || !word_valid(name, NAME_BYTES))
		return broken(error, "vfiod sent a message that is not \"KIND NAME\"");
	if (p->n_fds != 1)
		return broken(error, p->n_fds == 0 ? "vfiod sent a message without its descriptor"
						   : "vfiod sent more than one in a message");
	if (handoff->n >= HANDOFF_FDS_MAX)
		return broken(error, "vfiod sent too many");
	if (handoff_find(handoff, kind, name))
		return broken(error, "vfiod sent one twice");
	return handoff_add(handoff, kind, name, p);
}

static int take_end(const struct handoff *handoff, const struct packet *p, const char *count,
		    struct vfiod_error **error)
{
	unsigned long n;
	char *end;

	if (p->n_fds > 0 || !count || count[0] < '0' || count[0] > '9')
		return broken(error, "vfiod's last message is garbled");
	errno = 0;
	n = strtoul(count, &end, 10);
	if (errno || *end)
		return broken(error, "vfiod's last message is garbled");
	if (n != handoff->n)
		return broken(error, "their number is not the one that vfiod sent");
	return 0;
}

/* The daemon's own error: a bus error's name, with or without the common prefix, and its text. */
static int take_error(const struct packet *p, char *rest, struct vfiod_error **error)
{
	char full[sizeof(VFIOD_ERROR_PREFIX) + NAME_BYTES];
	char *message;

	if (p->n_fds > 0 || !rest)
		return broken(error, "vfiod's error message is garbled");
	message = split_word(rest);
	if (!word_valid(rest, NAME_BYTES))
		return broken(error, "vfiod's error message is garbled");
	if (strchr(rest, '.'))
		return error_set_named(error, rest, message);
	strcpy(full, VFIOD_ERROR_PREFIX);
	strcat(full, rest);
	return error_set_named(error, full, message);
}

/* 1: go on. 0: the end. Negative: failed. */
static int receive_one(int socket, struct handoff *handoff, struct vfiod_error **error)
{
	_cleanup_(packet_done) struct packet p;
	char *rest;
	int r;

	r = packet_receive(socket, &p);
	if (r < 0)
		return error_set(error, VFIOD_ERROR_HANDOFF, -r,
				 "The descriptors of the lease did not arrive: %s. Call "
				 "GetFds for others, or release the lease.",
				 strerror(-r));
	if (p.eof)
		return error_set(error, VFIOD_ERROR_HANDOFF, ECONNRESET,
				 "vfiod hung up before all descriptors of the lease had arrived. "
				 "See the journal of vfiod.service.");
	if (p.truncated)
		return broken(error, "a message came cut off; this process may be at its limit "
				     "of open files");
	if (strlen(p.text) != p.size)
		return broken(error, "vfiod sent a message with a NUL byte in it");

	rest = split_word(p.text);
	if (streq(p.text, "end"))
		return take_end(handoff, &p, rest, error);
	if (streq(p.text, "error"))
		return take_error(&p, rest, error);
	r = take_descriptor(handoff, &p, rest, error);
	return r < 0 ? r : 1;
}

int handoff_receive(int socket, struct handoff *handoff, struct vfiod_error **error)
{
	int type, r;
	socklen_t size = sizeof(type);

	if (getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET)
		return broken(error, "what vfiod sent is not a handoff socket");
	if (send(socket, "+", 1, MSG_NOSIGNAL) != 1)
		return error_set(error, VFIOD_ERROR_HANDOFF, errno,
				 "vfiod hung up before the descriptors of the lease were asked "
				 "for (%s). See the journal of vfiod.service.",
				 strerror(errno));
	do
		r = receive_one(socket, handoff, error);
	while (r > 0);
	if (r < 0)
		handoff_done(handoff);
	return r;
}

void handoff_done(struct handoff *handoff)
{
	for (size_t i = 0; i < handoff->n; i++) {
		free(handoff->fds[i].kind);
		free(handoff->fds[i].name);
		close_fdp(&handoff->fds[i].fd);
	}
	free(handoff->fds);
	*handoff = (struct handoff){};
}

struct handoff_fd *handoff_find(const struct handoff *handoff, const char *kind, const char *name)
{
	for (size_t i = 0; i < handoff->n; i++) {
		struct handoff_fd *f = &handoff->fds[i];

		if (f->fd >= 0 && streq(f->kind, kind) && (!name || streq(f->name, name)))
			return f;
	}
	return NULL;
}
