/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of explain.h. */

#include "daemon/bus/explain.h"

#include "daemon/bus/call.h"
#include "daemon/bus/judge.h"
#include "daemon/bus/object.h"
#include "daemon/bus/request.h"
#include "daemon/bus/reset.h"
#include "policy/reset-prospect.h"

struct explain {
	struct bus_request *request;
	struct request ask;
	struct judge *judge;
};

static void explain_free(void *data)
{
	struct explain *explain = data;

	if (!explain)
		return;
	judge_free(explain->judge);
	bus_request_free(explain->request);
	free(explain);
}

static int append_text(sd_bus_message *m, const char *key, const char *text)
{
	int r = sd_bus_message_open_container(m, 'e', "sv");

	if (r >= 0)
		r = sd_bus_message_append_basic(m, 's', key);
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', "s");
	if (r >= 0)
		r = append_string(m, text);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

/* An entry of the dictionary whose value is an array that `fill` appends to. */
static int append_array(struct manager *manager, sd_bus_message *m, const char *key,
			const char *element, const struct decision *decision,
			int (*fill)(struct manager *, sd_bus_message *, const struct decision *))
{
	_cleanup_free_ char *array = NULL;
	int r;

	if (asprintf(&array, "a%s", element) < 0)
		return -ENOMEM;
	r = sd_bus_message_open_container(m, 'e', "sv");
	if (r >= 0)
		r = sd_bus_message_append_basic(m, 's', key);
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', array);
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', element);
	if (r >= 0)
		r = fill(manager, m, decision);
	for (int i = 0; r >= 0 && i < 3; i++)
		r = sd_bus_message_close_container(m);
	return r;
}

static int fill_rules(struct manager *manager, sd_bus_message *m, const struct decision *decision)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < decision->n_verdicts; i++) {
		const struct verdict *v = &decision->verdicts[i];

		if (!v->rule)
			continue;
		r = sd_bus_message_open_container(m, 'r', "os");
		if (r >= 0)
			r = append_path_device(manager, m, v->device);
		if (r >= 0)
			r = append_string(m, v->rule);
		if (r >= 0)
			r = sd_bus_message_close_container(m);
	}
	return r;
}

static int fill_plan(struct manager *manager, sd_bus_message *m, const struct decision *decision)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < decision->n_verdicts; i++) {
		const struct verdict *v = &decision->verdicts[i];

		r = sd_bus_message_open_container(m, 'r', "oss");
		if (r >= 0)
			r = append_path_device(manager, m, v->device);
		if (r >= 0)
			r = append_string(m, action_to_string(v->action));
		if (r >= 0)
			r = append_string(m, v->host_driver);
		if (r >= 0)
			r = sd_bus_message_close_container(m);
	}
	return r;
}

static int fill_passed(struct manager *manager, sd_bus_message *m, const struct decision *decision)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < decision->n_passed; i++) {
		const struct passed_over *p = &decision->passed[i];

		r = sd_bus_message_open_container(m, 'r', "sss");
		if (r >= 0)
			r = append_string(m, p->device);
		if (r >= 0)
			r = append_string(m, p->rule);
		if (r >= 0)
			r = append_string(m, p->why);
		if (r >= 0)
			r = sd_bus_message_close_container(m);
	}
	return r;
}

static int fill_drawn(struct manager *manager, sd_bus_message *m, const struct decision *decision)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < decision->n_drawn; i++) {
		const struct drawn *d = &decision->drawn[i];

		r = sd_bus_message_open_container(m, 'r', "sos");
		if (r >= 0)
			r = append_string(m, d->pool);
		if (r >= 0)
			r = append_path_device(manager, m, d->device);
		if (r >= 0)
			r = append_string(m, d->why);
		if (r >= 0)
			r = sd_bus_message_close_container(m);
	}
	return r;
}

/* What could be reset afterwards: device, kind, by whom, what stands against the others. */
static int fill_resets(struct manager *manager, sd_bus_message *m, const struct decision *decision)
{
	struct reset_prospects prospects;
	int r;

	r = reset_prospects(&manager->topology, manager->policy, &manager->ledger, decision,
			    reset_bar, manager, &prospects);
	for (size_t i = 0; r >= 0 && i < prospects.n; i++) {
		const struct reset_prospect *p = &prospects.items[i];

		r = sd_bus_message_open_container(m, 'r', "osss");
		if (r >= 0)
			r = append_path_device(manager, m, p->device);
		if (r >= 0)
			r = append_string(m, reset_kind_to_string(p->kind));
		if (r >= 0)
			r = append_string(m, p->vmm	 ? p->broker ? "both" : "vmm"
					     : p->broker ? "vfiod"
							 : "nobody");
		if (r >= 0)
			r = append_string(m, p->why);
		if (r >= 0)
			r = sd_bus_message_close_container(m);
	}
	reset_prospects_done(&prospects);
	return r;
}

static int append_decision(struct manager *manager, sd_bus_message *m,
			   const struct decision *decision)
{
	bool allowed = decision->allowed;
	int r;

	r = sd_bus_message_open_container(m, 'a', "{sv}");
	if (r >= 0)
		r = sd_bus_message_append(m, "{sv}", "allowed", "b", allowed);
	if (r >= 0)
		r = append_text(m, "reason", reason_to_string(decision->reason));
	if (r >= 0)
		r = append_text(m, "error", allowed ? "" : reason_to_error(decision->reason));
	if (r >= 0)
		r = append_text(m, "message", decision->message);
	if (r >= 0)
		r = append_text(m, "mode", allowed ? mode_to_string(decision->mode) : "");
	if (r >= 0)
		r = append_text(m, "auth", allowed ? auth_to_string(decision->auth) : "");
	if (r >= 0)
		r = append_array(manager, m, "rules", "(os)", decision, fill_rules);
	if (r >= 0)
		r = append_array(manager, m, "plan", "(oss)", decision, fill_plan);
	if (r >= 0)
		r = append_array(manager, m, "passed", "(sss)", decision, fill_passed);
	if (r >= 0)
		r = append_array(manager, m, "drawn", "(sos)", decision, fill_drawn);
	if (r >= 0)
		r = append_array(manager, m, "resets", "(osss)", decision, fill_resets);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static void on_judged(struct judge *judge, int r, void *userdata)
{
	struct call *call = userdata;
	sd_bus_message *reply = NULL;

	if (r > 0) {
		call_error(call, "GroupChanged",
			   "the devices changed while they were looked at; ask again");
		return;
	}
	if (r >= 0)
		r = call_new_reply(call, &reply);
	if (r >= 0)
		r = append_decision(call->manager, reply, judge_decision(judge));
	if (r >= 0) {
		call_reply(call, reply);
		return;
	}
	sd_bus_message_unref(reply);
	call_errno(call, r, "explaining");
}

static void begin(struct call *call)
{
	struct explain *explain = call->data;
	int r;

	if (explain->request->subject_given && call->creds->uid != 0) {
		call_error(call, "AccessDenied",
			   "only root may ask for another user; leave out uid, gids and unit");
		return;
	}
	if (!call_go_slow(call))
		return;
	explain->ask = bus_request_ask(explain->request, call->creds);
	r = judge_start(call->manager, &explain->ask, on_judged, call, &explain->judge);
	if (r < 0)
		call_errno(call, r, "deciding");
	else if (r > 0)
		on_judged(explain->judge, 0, call);
}

int method_explain(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct explain *explain = calloc(1, sizeof(*explain));
	int r;

	if (!explain)
		return -ENOMEM;
	r = bus_request_read(m, REQUEST_FOR_EXPLAIN, &explain->request, error);
	if (r >= 0 && (explain->request->gids || explain->request->unit) &&
	    !explain->request->subject_given)
		r = bus_error_set(error, "BadOption", "gids and unit go with uid; give it too");
	if (r < 0) {
		explain_free(explain);
		return r;
	}
	return call_start_with(userdata, m, begin, explain, explain_free, error);
}
