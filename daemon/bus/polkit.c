/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of polkit.h: org.freedesktop.PolicyKit1.Authority.CheckAuthorization. */

#include "daemon/bus/polkit.h"

#include <inttypes.h>
#include <stdio.h>

#define POLKIT_NAME  "org.freedesktop.PolicyKit1"
#define POLKIT_PATH  "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_IFACE "org.freedesktop.PolicyKit1.Authority"

#define POLKIT_FLAG_INTERACTIVE 1U

/* Without a dialog the answer is polkit's own, and it has no reason to take long. */
#define POLKIT_SILENT_TIMEOUT_USEC (30 * UINT64_C(1000000))

static const char *const polkit_outcome_table[] = {
	[POLKIT_AUTHORIZED] = "authorized",
	[POLKIT_DENIED] = "denied",
	[POLKIT_CHALLENGE] = "challenge",
	[POLKIT_ABSENT] = "absent",
};
DEFINE_STRING_TABLE(polkit_outcome, enum polkit_outcome)

static const char *const outcome_reasons[] = {
	[POLKIT_DENIED] = "polkit did not authorize it",
	[POLKIT_CHALLENGE] = "polkit would have to ask for authentication, and the client did not "
			     "set the option interactive",
	[POLKIT_ABSENT] = "polkit is not there",
};

struct polkit_query {
	sd_bus *bus;
	sd_bus_slot *slot;
	bool pending;
	bool interactive;
	char cancellation[32]; /* unique among ours: polkit knows it together with our bus name */
	polkit_fn callback;
	void *userdata;
};

/* The bus or the service manager cannot produce a polkit. */
static bool is_absent(sd_bus_message *m)
{
	const sd_bus_error *e = sd_bus_message_get_error(m);

	return e && e->name &&
	       (streq(e->name, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
		streq(e->name, SD_BUS_ERROR_NAME_HAS_NO_OWNER) ||
		strncmp(e->name, "org.freedesktop.DBus.Error.Spawn.", 33) == 0 ||
		strncmp(e->name, "org.freedesktop.systemd1.", 25) == 0);
}

/* (bba{ss}): authorized, would be after a challenge, details. */
static int read_outcome(sd_bus_message *m, enum polkit_outcome *outcome)
{
	int authorized, challenge, r;

	if (is_absent(m)) {
		*outcome = POLKIT_ABSENT;
		return 0;
	}
	if (sd_bus_message_is_method_error(m, NULL)) {
		r = -sd_bus_message_get_errno(m);
		return r < 0 ? r : -EIO;
	}
	r = sd_bus_message_enter_container(m, 'r', "bba{ss}");
	if (r >= 0)
		r = sd_bus_message_read(m, "bb", &authorized, &challenge);
	if (r < 0)
		return -EBADMSG;
	*outcome = authorized ? POLKIT_AUTHORIZED : challenge ? POLKIT_CHALLENGE : POLKIT_DENIED;
	return 0;
}

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct polkit_query *query = userdata;
	enum polkit_outcome outcome = POLKIT_OUTCOME_INVALID;
	char text[128];
	const char *reason = text;
	int r;

	/* After our own time-out the dialog is still there: freeing the query takes it away. */
	query->pending = sd_bus_message_is_method_error(m, SD_BUS_ERROR_NO_REPLY);
	r = read_outcome(m, &outcome);
	if (r == -ETIMEDOUT)
		snprintf(text, sizeof(text), "polkit did not answer in time");
	else if (r < 0)
		snprintf(text, sizeof(text), "the question to polkit failed: %s", strerror(-r));
	else if (outcome == POLKIT_CHALLENGE && query->interactive)
		reason = "polkit has nobody to ask: no authentication agent runs for the client";
	else
		reason = outcome_reasons[outcome == POLKIT_AUTHORIZED ? POLKIT_DENIED : outcome];
	query->callback(query, r, outcome, r == 0 && outcome == POLKIT_AUTHORIZED ? NULL : reason,
			query->userdata);
	return 0;
}

static int append_question(sd_bus_message *m, const struct polkit_query *query,
			   const char *unique_name, const char *action, const char *const *details,
			   bool interactive)
{
	int r;

	r = sd_bus_message_append(m, "(sa{sv})s", "system-bus-name", 1, "name", "s", unique_name,
				  action);
	if (r < 0)
		return r;
	r = sd_bus_message_open_container(m, 'a', "{ss}");
	if (r < 0)
		return r;
	for (size_t i = 0; details && details[i]; i += 2) {
		r = sd_bus_message_append(m, "{ss}", details[i], details[i + 1]);
		if (r < 0)
			return r;
	}
	r = sd_bus_message_close_container(m);
	if (r < 0)
		return r;
	return sd_bus_message_append(m, "us", interactive ? POLKIT_FLAG_INTERACTIVE : 0,
				     query->cancellation);
}

int polkit_query(sd_bus *bus, const char *unique_name, const char *action,
		 const char *const *details, bool interactive, polkit_fn callback, void *userdata,
		 struct polkit_query **ret)
{
	static uint64_t serial;
	_cleanup_(polkit_query_freep) struct polkit_query *query = NULL;
	sd_bus_message *m = NULL;
	int r;

	query = calloc(1, sizeof(*query));
	if (!query)
		return -ENOMEM;
	query->bus = sd_bus_ref(bus);
	query->callback = callback;
	query->userdata = userdata;
	query->interactive = interactive;
	snprintf(query->cancellation, sizeof(query->cancellation), "vfiod-%" PRIu64, ++serial);
	r = sd_bus_message_new_method_call(bus, &m, POLKIT_NAME, POLKIT_PATH, POLKIT_IFACE,
					   "CheckAuthorization");
	if (r >= 0)
		r = append_question(m, query, unique_name, action, details, interactive);
	if (r >= 0)
		r = sd_bus_call_async(bus, &query->slot, m, on_reply, query,
				      interactive ? POLKIT_TIMEOUT_USEC
						  : POLKIT_SILENT_TIMEOUT_USEC);
	sd_bus_message_unref(m);
	if (r < 0)
		return r;
	query->pending = true;
	*ret = STEAL(query);
	return 0;
}

/* Sent without a reply wanted: there is nothing to do about a failure. */
static void cancel(const struct polkit_query *query)
{
	sd_bus_message *m = NULL;
	int r;

	r = sd_bus_message_new_method_call(query->bus, &m, POLKIT_NAME, POLKIT_PATH, POLKIT_IFACE,
					   "CancelCheckAuthorization");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", query->cancellation);
	if (r >= 0)
		r = sd_bus_message_set_expect_reply(m, 0);
	if (r >= 0)
		sd_bus_send(query->bus, m, NULL);
	sd_bus_message_unref(m);
}

struct polkit_query *polkit_query_free(struct polkit_query *query)
{
	if (!query)
		return NULL;
	if (query->pending && sd_bus_is_open(query->bus) > 0)
		cancel(query);
	sd_bus_slot_unref(query->slot);
	sd_bus_unref(query->bus);
	free(query);
	return NULL;
}
