/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vfiod_explain(): the daemon's decision, read into an object that can be asked row by row.
 */

#include "client/internal.h"

struct row {
	char *cells[4];
};

struct rows {
	struct row *items;
	size_t n;
};

struct vfiod_decision {
	bool allowed;
	char *reason;
	char *error;
	char *message;
	char *mode;
	char *auth;
	struct rows rules;
	struct rows plan;
	struct rows passed;
	struct rows drawn;
	struct rows resets;
};

static void rows_done(struct rows *rows)
{
	for (size_t i = 0; i < rows->n; i++)
		for (size_t j = 0; j < ARRAY_SIZE(rows->items[i].cells); j++)
			free(rows->items[i].cells[j]);
	free(rows->items);
}

struct vfiod_decision *vfiod_decision_free(struct vfiod_decision *decision)
{
	if (!decision)
		return NULL;
	free(decision->reason);
	free(decision->error);
	free(decision->message);
	free(decision->mode);
	free(decision->auth);
	rows_done(&decision->rules);
	rows_done(&decision->plan);
	rows_done(&decision->passed);
	rows_done(&decision->drawn);
	rows_done(&decision->resets);
	free(decision);
	return NULL;
}

static int read_string(sd_bus_message *m, char **field)
{
	const char *s;
	int r;

	r = sd_bus_message_read(m, "v", "s", &s);
	if (r < 0)
		return r;
	free(*field);
	*field = strdup(s);
	return *field ? 0 : -ENOMEM;
}

/* A cell that is a device comes as its object path, or by name where it has no object (yet). */
static char *cell_text(const char *s)
{
	char *name = NULL;

	if (s[0] == '/' && device_name_from_path(s, &name) >= 0)
		return name;
	return strdup(s);
}

/* One row's strings, n of them, after its struct was entered. The row counts as soon as it is
 * there, so that rows_done() finds its cells. */
static int read_row(sd_bus_message *m, struct rows *rows, const char *types)
{
	struct row *grown;
	size_t n = strlen(types);

	if (rows->n >= VFIOD_LIST_MAX)
		return -EMSGSIZE;
	grown = reallocarray(rows->items, rows->n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	rows->items = grown;
	grown[rows->n] = (struct row){};
	rows->n++;
	for (size_t i = 0; i < n; i++) {
		const char *s;
		int r = sd_bus_message_read_basic(m, types[i], &s);

		if (r < 0)
			return r;
		grown[rows->n - 1].cells[i] = cell_text(s);
		if (!grown[rows->n - 1].cells[i])
			return -ENOMEM;
	}
	return 0;
}

/* A variant with an array of structs of strings: types are the members', such as "oss". */
static int read_rows(sd_bus_message *m, struct rows *rows, const char *array, const char *types)
{
	int r;

	if (rows->n > 0)
		return -EBADMSG; /* the same key twice */
	r = sd_bus_message_enter_container(m, 'v', array);
	if (r >= 0)
		r = sd_bus_message_enter_container(m, 'a', array + 1);
	if (r < 0)
		return r;
	while ((r = sd_bus_message_enter_container(m, 'r', types)) > 0) {
		r = read_row(m, rows, types);
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
		if (r < 0)
			return r;
	}
	if (r >= 0)
		r = sd_bus_message_exit_container(m);
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_entry(sd_bus_message *m, struct vfiod_decision *d)
{
	const char *key;
	int r, allowed;

	r = sd_bus_message_read_basic(m, 's', &key);
	if (r < 0)
		return r;
	if (streq(key, "allowed")) {
		r = sd_bus_message_read(m, "v", "b", &allowed);
		d->allowed = r >= 0 && allowed;
		return r;
	}
	if (streq(key, "reason"))
		return read_string(m, &d->reason);
	if (streq(key, "error"))
		return read_string(m, &d->error);
	if (streq(key, "message"))
		return read_string(m, &d->message);
	if (streq(key, "mode"))
		return read_string(m, &d->mode);
	if (streq(key, "auth"))
		return read_string(m, &d->auth);
	if (streq(key, "rules"))
		return read_rows(m, &d->rules, "a(os)", "os");
	if (streq(key, "plan"))
		return read_rows(m, &d->plan, "a(oss)", "oss");
	if (streq(key, "passed"))
		return read_rows(m, &d->passed, "a(sss)", "sss");
	if (streq(key, "drawn"))
		return read_rows(m, &d->drawn, "a(sos)", "sos");
	if (streq(key, "resets"))
		return read_rows(m, &d->resets, "a(osss)", "osss");
	return sd_bus_message_skip(m, "v"); /* a newer daemon's */
}

static int read_decision(sd_bus_message *m, struct vfiod_decision *d)
{
	int r;

	r = sd_bus_message_enter_container(m, 'a', "{sv}");
	if (r < 0)
		return r;
	while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		r = read_entry(m, d);
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
		if (r < 0)
			return r;
	}
	return r;
}

int vfiod_explain(struct vfiod_client *client, struct vfiod_request *request,
		  struct vfiod_decision **decision, struct vfiod_error **error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
	_cleanup_(vfiod_decision_freep) struct vfiod_decision *d = NULL;
	int r;

	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	r = sd_bus_message_new_method_call(client->bus, &call, VFIOD_NAME, VFIOD_PATH,
					   VFIOD_MANAGER, "Explain");
	if (r >= 0)
		r = request_append(call, request, REQUEST_EXPLAIN);
	if (r < 0)
		return error_set_bus(error, NULL, r);
	r = client_call(client->bus, call, &reply, error);
	if (r < 0)
		return r;
	r = read_decision(reply, d);
	if (r < 0)
		return error_set_bus(error, NULL, r);
	*decision = STEAL(d);
	return 0;
}

bool vfiod_decision_allowed(const struct vfiod_decision *decision)
{
	return decision->allowed;
}

const char *vfiod_decision_reason(const struct vfiod_decision *decision)
{
	return decision->reason ? decision->reason : "";
}

const char *vfiod_decision_error(const struct vfiod_decision *decision)
{
	return decision->error ? decision->error : "";
}

const char *vfiod_decision_message(const struct vfiod_decision *decision)
{
	return decision->message ? decision->message : "";
}

const char *vfiod_decision_mode(const struct vfiod_decision *decision)
{
	return decision->mode ? decision->mode : "";
}

const char *vfiod_decision_auth(const struct vfiod_decision *decision)
{
	return decision->auth ? decision->auth : "";
}

static int row_get(const struct rows *rows, size_t i, const char **a, const char **b,
		   const char **c)
{
	if (i >= rows->n)
		return -ENOENT;
	if (a)
		*a = rows->items[i].cells[0];
	if (b)
		*b = rows->items[i].cells[1];
	if (c)
		*c = rows->items[i].cells[2];
	return 0;
}

int vfiod_decision_rule(const struct vfiod_decision *decision, size_t i, const char **device,
			const char **rule)
{
	return row_get(&decision->rules, i, device, rule, NULL);
}

int vfiod_decision_plan(const struct vfiod_decision *decision, size_t i, const char **device,
			const char **action, const char **driver)
{
	return row_get(&decision->plan, i, device, action, driver);
}

int vfiod_decision_passed(const struct vfiod_decision *decision, size_t i, const char **device,
			  const char **rule, const char **why)
{
	return row_get(&decision->passed, i, device, rule, why);
}

int vfiod_decision_drawn(const struct vfiod_decision *decision, size_t i, const char **pool,
			 const char **device, const char **why)
{
	return row_get(&decision->drawn, i, pool, device, why);
}

int vfiod_decision_reset(const struct vfiod_decision *decision, size_t i, const char **device,
			 const char **kind, const char **by, const char **why)
{
	int r = row_get(&decision->resets, i, device, kind, by);

	if (r >= 0 && why)
		*why = decision->resets.items[i].cells[3];
	return r;
}
