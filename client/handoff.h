/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The client's side of the handoff socket: the descriptors of a lease, as they come over it.
 */

#include <stddef.h>

struct vfiod_error;

struct handoff_fd {
	char *kind;
	char *name;
	int fd; /* -1 when it was taken */
};

struct handoff {
	struct handoff_fd *fds;
	size_t n;
};

/* A message's text may be this long; an "error" message carries a sentence for people. */
#define HANDOFF_MESSAGE_MAX 4096
/* More descriptors than this are a broken peer: the daemon's own limits are far lower. */
#define HANDOFF_FDS_MAX 1024

/*
 * Says that this side is ready and receives everything, until the "end" message. The socket stays
 * the caller's. *handoff must be empty; on failure it is empty again and every descriptor that
 * came is closed. 0, or a negative errno with *error set: -EPROTO for a peer that does not keep to
 * the protocol, -ECONNRESET for one that hangs up early, or the errno of the daemon's own error.
 */
int handoff_receive(int socket, struct handoff *handoff, struct vfiod_error **error);
/* Closes and frees everything; *handoff is empty and can be used again. */
void handoff_done(struct handoff *handoff);
/* The entry of this kind and name that still has its descriptor, or NULL. */
struct handoff_fd *handoff_find(const struct handoff *handoff, const char *kind, const char *name);
