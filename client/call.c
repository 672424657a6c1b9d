/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One blocking call on a bus connection. sd_bus_call() of libsystemd 252 gives up with EINTR when a
 * signal handler runs while it waits, and the reply is lost: with it, for Acquire, the lease. To
 * start again would ask twice. So the call is made on a thread of its own in which all signals are
 * blocked: the caller's handlers run where they always do, and a signal that kills still kills.
 */

#include "client/internal.h"

#include <pthread.h>
#include <signal.h>

struct call {
	sd_bus *bus;
	sd_bus_message *message;
	sd_bus_message **reply;
	sd_bus_error error;
	int r;
};

static void *call_main(void *userdata)
{
	struct call *call = userdata;

	call->r = sd_bus_call(call->bus, call->message, VFIOD_WAIT_FOREVER, &call->error,
			      call->reply);
	return NULL;
}

/* The new thread inherits the mask, so that not even its first instruction can be interrupted. */
static int start(pthread_t *thread, struct call *call)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	r = pthread_sigmask(SIG_SETMASK, &all, &old);
	if (r != 0)
		return -r;
	r = pthread_create(thread, NULL, call_main, call);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -r;
}

int client_call(sd_bus *bus, sd_bus_message *message, sd_bus_message **reply,
		struct vfiod_error **error)
{
	struct call call = {
		.bus = bus,
		.message = message,
		.reply = reply,
		.error = SD_BUS_ERROR_NULL,
	};
	pthread_t thread;
	int r;

	r = start(&thread, &call);
	if (r < 0)
		return error_set(error, VFIOD_ERROR_OTHER, -r,
				 "Cannot start a thread for the call to vfiod: %s.", strerror(-r));
	pthread_join(thread, NULL);
	r = call.r < 0 ? error_set_bus(error, &call.error, call.r) : 0;
	sd_bus_error_free(&call.error);
	return r;
}
