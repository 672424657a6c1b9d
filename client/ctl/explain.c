/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vfiodctl explain: the decision on a request, with the rule that decides and the ones that were
 * passed over.
 */

#include "client/ctl/names.h"
#include "client/ctl/request.h"
#include "client/ctl/table.h"

enum { OPT_USER = OPT_VERB, OPT_UNIT };

static const struct table_column plan_columns[] = {
	{ "DEVICE" }, { "RULE", .cut = true }, { "ACTION" }, { "HOST DRIVER" }
};
static const struct table_column passed_columns[] = { { "DEVICE" },
						      { "PASSED OVER", .cut = true },
						      { "WHY", .cut = true } };

static const struct table_column drawn_columns[] = { { "POOL", .cut = true },
						     { "DEVICE" },
						     { "WHY", .cut = true } };

static const char *rule_of(const struct vfiod_decision *d, const char *device)
{
	const char *other, *rule;

	for (size_t i = 0; vfiod_decision_rule(d, i, &other, &rule) == 0; i++)
		if (streq(other, device))
			return rule;
	return "";
}

static int print_plan(const struct ctl *ctl, const struct vfiod_decision *d)
{
	_cleanup_(table_done) struct table table;
	const char *device, *action, *driver, *rule;
	bool planned = false;

	table_init(&table, plan_columns, ARRAY_SIZE(plan_columns));
	for (size_t i = 0; vfiod_decision_plan(d, i, &device, &action, &driver) == 0; i++) {
		planned = true;
		table_add(&table, STYLE_PLAIN, "%s", device);
		table_add(&table, STYLE_PLAIN, "%s", rule_of(d, device));
		table_add(&table, STYLE_PLAIN, "%s", action);
		table_add(&table, STYLE_PLAIN, "%s", driver);
	}
	/* A refusal may have rules and no plan. */
	for (size_t i = 0; !planned && vfiod_decision_rule(d, i, &device, &rule) == 0; i++) {
		table_add(&table, STYLE_PLAIN, "%s", device);
		table_add(&table, STYLE_PLAIN, "%s", rule);
		table_add(&table, STYLE_PLAIN, "%s", "");
		table_add(&table, STYLE_PLAIN, "%s", "");
	}
	if (table.failed == 0 && table_rows(&table) == 0)
		return 0;
	putchar('\n');
	return table_print(ctl, &table);
}

static int print_passed(const struct ctl *ctl, const struct vfiod_decision *d)
{
	_cleanup_(table_done) struct table table;
	const char *device, *rule, *why;

	table_init(&table, passed_columns, ARRAY_SIZE(passed_columns));
	for (size_t i = 0; vfiod_decision_passed(d, i, &device, &rule, &why) == 0; i++) {
		table_add(&table, STYLE_PLAIN, "%s", device);
		table_add(&table, STYLE_PLAIN, "%s", rule);
		table_add(&table, STYLE_PLAIN, "%s", why);
	}
	if (table.failed == 0 && table_rows(&table) == 0)
		return 0;
	putchar('\n');
	return table_print(ctl, &table);
}

static const struct table_column resets_columns[] = {
	{ "DEVICE" }, { "RESET" }, { "BY" }, { "EXCEPT", .cut = true }
};

/* What could be reset once one has them, and by whom. */
static int print_resets(const struct ctl *ctl, const struct vfiod_decision *d)
{
	_cleanup_(table_done) struct table table;
	const char *device, *kind, *by, *why;

	table_init(&table, resets_columns, ARRAY_SIZE(resets_columns));
	for (size_t i = 0; vfiod_decision_reset(d, i, &device, &kind, &by, &why) == 0; i++) {
		table_add(&table, STYLE_PLAIN, "%s", device);
		table_add(&table, STYLE_PLAIN, "%s", kind);
		table_add(&table, streq(by, "nobody") ? STYLE_RED : STYLE_PLAIN, "%s", by);
		table_add(&table, STYLE_PLAIN, "%s", why);
	}
	if (table.failed == 0 && table_rows(&table) == 0)
		return 0;
	putchar('\n');
	return table_print(ctl, &table);
}

static int print_drawn(const struct ctl *ctl, const struct vfiod_decision *d)
{
	_cleanup_(table_done) struct table table;
	const char *pool, *device, *why;

	table_init(&table, drawn_columns, ARRAY_SIZE(drawn_columns));
	for (size_t i = 0; vfiod_decision_drawn(d, i, &pool, &device, &why) == 0; i++) {
		table_add(&table, STYLE_PLAIN, "%s", pool);
		table_add(&table, STYLE_PLAIN, "%s", device);
		table_add(&table, STYLE_PLAIN, "%s", why);
	}
	if (table.failed == 0 && table_rows(&table) == 0)
		return 0;
	putchar('\n');
	return table_print(ctl, &table);
}

static int print_decision(const struct ctl *ctl, const struct vfiod_decision *d)
{
	_cleanup_(line_done) struct line line = {};
	_cleanup_free_ char *message = NULL;
	int r;

	if (vfiod_decision_allowed(d)) {
		line_add(&line, STYLE_GREEN, "Allowed");
		line_add(&line, STYLE_PLAIN, " in mode %s%s.", vfiod_decision_mode(d),
			 streq(vfiod_decision_auth(d), "polkit") ? ", once polkit is answered"
								 : "");
		r = line_print(ctl, &line);
	} else {
		/* The sentence says what to do next: it is not cut. */
		message = term_clean(vfiod_decision_message(d));
		line_add(&line, STYLE_RED, "Refused");
		line_add(&line, STYLE_PLAIN, " (%s).", vfiod_decision_reason(d));
		r = line_print(ctl, &line);
		if (!str_empty(message))
			puts(message);
	}
	if (r >= 0)
		r = print_plan(ctl, d);
	if (r >= 0)
		r = print_drawn(ctl, d);
	if (r >= 0)
		r = print_resets(ctl, d);
	return r < 0 ? r : print_passed(ctl, d);
}

static int add_string(json_object *object, const char *key, const char *value)
{
	json_object *s = json_object_new_string(value);

	return !s || json_object_object_add(object, key, s) < 0 ? -ENOMEM : 0;
}

/* Row i of one of the lists, its cells in NULL-terminated order; -ENOENT past the last. */
static int row_cells(const struct vfiod_decision *d, int list, size_t i, const char *cells[4])
{
	if (list == 0)
		return vfiod_decision_rule(d, i, &cells[0], &cells[1]);
	if (list == 1)
		return vfiod_decision_plan(d, i, &cells[0], &cells[1], &cells[2]);
	if (list == 2)
		return vfiod_decision_passed(d, i, &cells[0], &cells[1], &cells[2]);
	if (list == 3)
		return vfiod_decision_drawn(d, i, &cells[0], &cells[1], &cells[2]);
	return vfiod_decision_reset(d, i, &cells[0], &cells[1], &cells[2], &cells[3]);
}

static int add_rows(json_object *object, const struct vfiod_decision *d, int list)
{
	static const char *const lists[] = { "rules", "plan", "passed", "drawn", "resets" };
	static const char *const keys[][4] = { { "device", "rule" },
					       { "device", "action", "driver" },
					       { "device", "rule", "why" },
					       { "pool", "device", "why" },
					       { "device", "kind", "by", "why" } };
	json_object *array = json_object_new_array();
	const char *cells[4] = {};
	int r = 0;

	if (!array || json_object_object_add(object, lists[list], array) < 0)
		return -ENOMEM;
	for (size_t i = 0; r >= 0 && row_cells(d, list, i, cells) == 0; i++) {
		json_object *row = json_object_new_object();

		if (!row || json_object_array_add(array, row) < 0)
			return -ENOMEM;
		for (size_t j = 0; r >= 0 && j < 4 && keys[list][j]; j++)
			r = add_string(row, keys[list][j], cells[j]);
	}
	return r;
}

static int decision_json(const struct ctl *ctl, const struct vfiod_decision *d)
{
	_cleanup_json_ json_object *object = json_object_new_object();
	json_object *allowed = json_object_new_boolean(vfiod_decision_allowed(d));
	int r;

	if (!object || !allowed || json_object_object_add(object, "allowed", allowed) < 0)
		return ctl_fail(NULL, -ENOMEM);
	r = add_string(object, "reason", vfiod_decision_reason(d));
	if (r >= 0)
		r = add_string(object, "error", vfiod_decision_error(d));
	if (r >= 0)
		r = add_string(object, "message", vfiod_decision_message(d));
	if (r >= 0)
		r = add_string(object, "mode", vfiod_decision_mode(d));
	if (r >= 0)
		r = add_string(object, "auth", vfiod_decision_auth(d));
	for (int list = 0; r >= 0 && list < 5; list++)
		r = add_rows(object, d, list);
	return r < 0 ? ctl_fail(NULL, r) : ctl_print_json(ctl, object);
}

/* The decision for somebody else: uid, the groups of the user database, and the unit. */
static int set_subject(struct request_options *o, const char *user, const char *unit)
{
	_cleanup_free_ gid_t *gids = NULL;
	size_t n = 0;
	uid_t uid = geteuid();
	int r;

	if (user && user_parse(user, &uid) < 0)
		return ctl_say(EXIT_USAGE, "There is no user \"%s\".", user);
	r = user_groups(uid, &gids, &n);
	if (r == -ENOENT) /* a uid of no one: no groups */
		r = 0;
	if (r >= 0)
		r = vfiod_request_set_subject(o->request, uid, gids, n, unit);
	return r < 0 ? ctl_fail(NULL, r) : EXIT_OK;
}

static int explain(struct ctl *ctl, const struct request_options *o)
{
	_cleanup_(vfiod_decision_freep) struct vfiod_decision *decision = NULL;
	_cleanup_(vfiod_error_freep) struct vfiod_error *error = NULL;
	int r;

	r = ctl_connect(ctl);
	if (r != EXIT_OK)
		return r;
	r = vfiod_explain(ctl->client, o->request, &decision, &error);
	if (r < 0)
		return ctl_fail(error, r);
	if (ctl->json != JSON_OFF) {
		r = decision_json(ctl, decision);
	} else {
		r = print_decision(ctl, decision);
		r = r < 0 ? ctl_fail(NULL, r) : EXIT_OK;
	}
	if (r != EXIT_OK || vfiod_decision_allowed(decision))
		return r;
	r = exit_code_for(vfiod_error_code_from_name(vfiod_decision_error(decision)));
	return r == EXIT_FAILED ? EXIT_REFUSED : r;
}

int verb_explain(struct ctl *ctl, int argc, char *argv[])
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		REQUEST_OPTIONS,
		{ "user", required_argument, NULL, OPT_USER },
		{ "unit", required_argument, NULL, OPT_UNIT },
		{},
	};
	_cleanup_(request_options_done) struct request_options o;
	const char *user = NULL, *unit = NULL;
	int c, r;

	r = request_options_init(&o);
	if (r < 0)
		return ctl_fail(NULL, r);
	while ((c = getopt_long(argc, argv, "u:", options, NULL)) >= 0) {
		if (c == OPT_USER || c == 'u') {
			user = optarg;
			continue;
		}
		if (c == OPT_UNIT) {
			unit = optarg;
			continue;
		}
		r = request_or_common_option(ctl, &o, c, argv[0]);
		if (r >= 0)
			return r;
	}
	if (optind == argc) {
		usage_verb(stderr, argv[0]);
		return EXIT_USAGE;
	}
	if (user || unit) {
		r = set_subject(&o, user, unit);
		if (r != EXIT_OK)
			return r;
	}
	r = request_devices(&o, argv + optind, (size_t)(argc - optind));
	return r == EXIT_OK ? explain(ctl, &o) : r;
}
