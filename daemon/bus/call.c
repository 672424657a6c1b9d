/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of call.h. */

#include "daemon/bus/call.h"

#include "daemon/bus/bus.h"

#include <stdarg.h>
#include <stdio.h>

#define CREDS_TIMEOUT_USEC (20 * 1000 * 1000ULL)

static void call_free(struct call *call)
{
	struct call **p = bus_calls(call->manager->bus);

	while (*p && *p != call)
		p = &(*p)->next;
	if (*p)
		*p = call->next;
	creds_query_free(call->query);
	if (call->data_free)
		call->data_free(call->data);
	creds_free(call->creds);
	sd_bus_message_unref(call->message);
	free(call);
}

static void on_creds(struct creds_query *query, int r, struct creds *creds, void *userdata)
{
	struct call *call = userdata;

	call->query = creds_query_free(call->query);
	if (r < 0) {
		call_error(call, "AccessDenied",
			   "the bus does not say who is calling (%s); call again", strerror(-r));
		return;
	}
	call->creds = creds;
	call->fn(call);
}

static bool too_many(struct manager *manager, const char *sender)
{
	size_t all = 0, own = 0;

	for (const struct call *c = *bus_calls(manager->bus); c; c = c->next) {
		all++;
		own += streq0(sd_bus_message_get_sender(c->message), sender);
	}
	return all >= CALLS_MAX || own >= CALLS_PER_CONNECTION;
}

int call_start_with(struct manager *manager, sd_bus_message *message, call_fn fn, void *data,
		    void (*data_free)(void *data), sd_bus_error *error)
{
	const char *sender = sd_bus_message_get_sender(message);
	struct call *call;
	int r;

	call = too_many(manager, sender) ? NULL : calloc(1, sizeof(*call));
	if (!call) {
		if (data_free)
			data_free(data);
		return bus_error_set(error, "LimitsExceeded",
				     "too many calls of this connection are under way; wait for "
				     "their replies");
	}
	call->manager = manager;
	call->message = sd_bus_message_ref(message);
	call->fn = fn;
	call->data = data;
	call->data_free = data_free;
	call->next = *bus_calls(manager->bus);
	*bus_calls(manager->bus) = call;
	r = creds_query(bus_connection(manager->bus), &manager->host, sender, CREDS_TIMEOUT_USEC,
			on_creds, call, &call->query);
	if (r < 0) {
		call_free(call);
		return bus_error_set_errno(error, r, "asking the bus who calls");
	}
	return 1;
}

int call_start(struct manager *manager, sd_bus_message *message, call_fn fn, sd_bus_error *error)
{
	return call_start_with(manager, message, fn, NULL, NULL, error);
}

bool call_go_slow(struct call *call)
{
	size_t n = 0;

	for (const struct call *c = *bus_calls(call->manager->bus); c; c = c->next)
		n += c->slow && c->creds && c->creds->uid == call->creds->uid;
	if (n >= SLOW_CALLS_PER_USER) {
		call_error(call, "QuotaExceeded",
			   "uid %u has %zu requests under way; wait until one is answered",
			   call->creds->uid, n);
		return false;
	}
	call->slow = true;
	return true;
}

bool call_require_root(struct call *call)
{
	if (call->creds->uid == 0)
		return true;
	call_error(call, "AccessDenied", "only root may call %s; use sudo",
		   sd_bus_message_get_member(call->message));
	return false;
}

void call_error(struct call *call, const char *name, const char *format, ...)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0)
		text = NULL;
	va_end(ap);
	bus_error_set(&error, name, "%s", text ? text : "out of memory");
	sd_bus_reply_method_error(call->message, &error);
	call_free(call);
}

void call_errno(struct call *call, int r, const char *what)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

	bus_error_set_errno(&error, r, "%s", what);
	sd_bus_reply_method_error(call->message, &error);
	call_free(call);
}

void call_done(struct call *call)
{
	sd_bus_reply_method_return(call->message, NULL);
	call_free(call);
}

int call_new_reply(struct call *call, sd_bus_message **reply)
{
	return sd_bus_message_new_method_return(call->message, reply);
}

int call_reply(struct call *call, sd_bus_message *reply)
{
	int r = sd_bus_send(bus_connection(call->manager->bus), reply, NULL);

	sd_bus_message_unref(reply);
	call_free(call);
	return r;
}

void calls_connection_gone(struct manager *manager, const char *name)
{
	for (struct call *c = *bus_calls(manager->bus), *next; c; c = next) {
		next = c->next;
		if (streq0(sd_bus_message_get_sender(c->message), name))
			call_free(c);
	}
}

void calls_drop_all(struct manager *manager)
{
	while (*bus_calls(manager->bus))
		call_free(*bus_calls(manager->bus));
}
