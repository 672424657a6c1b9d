/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A method call that cannot be answered at once: first the bus is asked who the caller is, then
 * the method goes on. Pending calls are limited, and are dropped when their caller goes.
 */

#include "daemon/bus/creds.h"
#include "daemon/bus/error.h"
#include "daemon/manager.h"

/* Calls of one connection that wait for the bus to say who it is. */
#define CALLS_PER_CONNECTION 16
/* All calls that wait. */
#define CALLS_MAX 1024
/* Calls of one user that do more than that: look at devices, ask polkit, claim. */
#define SLOW_CALLS_PER_USER 8

struct call;
typedef void (*call_fn)(struct call *call);

struct call {
	struct manager *manager;
	sd_bus_message *message;
	struct creds *creds; /* set when the method's function is called */
	call_fn fn;
	bool slow;
	/* The method's own state, and what undoes and frees it when the call ends in any way. */
	void *data;
	void (*data_free)(void *data);

	struct creds_query *query;
	struct call *next;
};

/*
 * Starts: fn is called from the event loop when it is known who calls. For a method handler:
 * returns 1 (the reply comes later), or an error set for the reply.
 */
int call_start(struct manager *manager, sd_bus_message *message, call_fn fn, sd_bus_error *error);
/* The same for a call with state of its own: taken in every case. */
int call_start_with(struct manager *manager, sd_bus_message *message, call_fn fn, void *data,
		    void (*data_free)(void *data), sd_bus_error *error);

/* The limit on slow calls: false (and the call is answered) when the user has too many. */
bool call_go_slow(struct call *call);
/* False (and the call is answered with AccessDenied) unless the caller is root. */
bool call_require_root(struct call *call);

/* Each answers and ends the call: it is gone afterwards. */
void call_error(struct call *call, const char *error, const char *format, ...) _printf_(3, 4);
void call_errno(struct call *call, int r, const char *what);
void call_done(struct call *call); /* an empty reply */
/* Sends the reply (taken) and ends the call; the result of sending is returned. */
int call_reply(struct call *call, sd_bus_message *reply);
/* A reply to be filled in; -errno. */
int call_new_reply(struct call *call, sd_bus_message **reply);

/* The caller's connection has gone: its calls end unanswered. */
void calls_connection_gone(struct manager *manager, const char *name);
/* All end unanswered: the bus is lost. */
void calls_drop_all(struct manager *manager);
