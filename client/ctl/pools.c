/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vfiodctl pools: what the pools of the policy have, by NUMA node.
 */

#include "client/ctl/bus-json.h"
#include "client/ctl/table.h"

#include <inttypes.h>

static const struct table_column pool_columns[] = {
	{ "POOL", .cut = true },     { "NODE", .right = true },	  { "FREE", .right = true },
	{ "LEASED", .right = true }, { "FAILED", .right = true }, { "HELD", .right = true },
};
/* The members of a row, in the order of the bus, for programs. */
static const char *const row_keys[] = { "node", "free", "leased", "failed", "held" };
static const enum style row_styles[] = { STYLE_PLAIN, STYLE_GREEN, STYLE_PLAIN, STYLE_RED,
					 STYLE_PLAIN };

static int read_pools(struct ctl *ctl, json_object **pools)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
	_cleanup_(vfiod_error_freep) struct vfiod_error *error = NULL;
	int r;

	r = ctl_connect(ctl);
	if (r != EXIT_OK)
		return r;
	r = sd_bus_message_new_method_call(vfiod_client_bus(ctl->client), &call, "org.vfiod1",
					   "/org/vfiod1", "org.vfiod1.Manager", "GetPools");
	if (r >= 0)
		r = vfiod_client_call(ctl->client, call, &reply, &error);
	if (r >= 0)
		r = bus_json_read(reply, pools);
	if (r == 0 || (r > 0 && !json_object_is_type(*pools, json_type_array)))
		r = -EBADMSG;
	return r < 0 ? ctl_fail(error, r) : EXIT_OK;
}

static int64_t cell(json_object *row, size_t i)
{
	return json_object_get_int64(json_object_array_get_idx(row, i));
}

static void add_pool(struct table *table, json_object *pool)
{
	const char *name = json_object_get_string(json_object_array_get_idx(pool, 0));
	json_object *rows = json_object_array_get_idx(pool, 1);
	size_t n = json_object_array_length(rows);

	for (size_t i = 0; i < n; i++) {
		json_object *row = json_object_array_get_idx(rows, i);

		table_add(table, STYLE_PLAIN, "%s", name);
		for (size_t j = 0; j < ARRAY_SIZE(row_keys); j++)
			if (j == 0 && cell(row, j) < 0)
				table_add(table, STYLE_PLAIN, "-");
			else
				table_add(table, cell(row, j) ? row_styles[j] : STYLE_PLAIN,
					  "%" PRId64, cell(row, j));
	}
	/* A pool that matches nothing is there all the same. */
	for (size_t j = 0; n == 0 && j <= ARRAY_SIZE(row_keys); j++)
		table_add(table, STYLE_PLAIN, "%s", j == 0 ? name : j == 1 ? "-" : "0");
}

static int print_table(const struct ctl *ctl, json_object *pools)
{
	_cleanup_(table_done) struct table table;
	int r;

	table_init(&table, pool_columns, ARRAY_SIZE(pool_columns));
	for (size_t i = 0; i < json_object_array_length(pools); i++)
		add_pool(&table, json_object_array_get_idx(pools, i));
	if (table_rows(&table) == 0) {
		puts("No pools.");
		return EXIT_OK;
	}
	r = table_print(ctl, &table);
	return r < 0 ? ctl_fail(NULL, r) : EXIT_OK;
}

/* A row with its keys. New, or NULL when out of memory. */
static json_object *row_json(json_object *row)
{
	_cleanup_json_ json_object *object = json_object_new_object();

	for (size_t j = 0; object && j < ARRAY_SIZE(row_keys); j++) {
		json_object *value = json_object_new_int64(cell(row, j));

		if (!value || json_object_object_add(object, row_keys[j], value) < 0)
			return NULL;
	}
	return STEAL(object);
}

static json_object *pool_json(json_object *pool)
{
	_cleanup_json_ json_object *object = json_object_new_object();
	json_object *rows = json_object_array_get_idx(pool, 1), *nodes = json_object_new_array();

	if (!object || !nodes || json_object_object_add(object, "nodes", nodes) < 0 ||
	    json_object_object_add(object, "name",
				   json_object_get(json_object_array_get_idx(pool, 0))) < 0)
		return NULL;
	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		json_object *row = row_json(json_object_array_get_idx(rows, i));

		if (!row || json_object_array_add(nodes, row) < 0)
			return NULL;
	}
	return STEAL(object);
}

static int print_json(const struct ctl *ctl, json_object *pools)
{
	_cleanup_json_ json_object *answer = json_object_new_object();
	json_object *array = json_object_new_array();

	if (!answer || !array || json_object_object_add(answer, "pools", array) < 0)
		return ctl_fail(NULL, -ENOMEM);
	for (size_t i = 0; i < json_object_array_length(pools); i++) {
		json_object *pool = pool_json(json_object_array_get_idx(pools, i));

		if (!pool || json_object_array_add(array, pool) < 0)
			return ctl_fail(NULL, -ENOMEM);
	}
	return ctl_print_json(ctl, answer);
}

int verb_pools(struct ctl *ctl, int argc, char *argv[])
{
	static const struct option options[] = { COMMON_OPTIONS, {} };
	_cleanup_json_ json_object *pools = NULL;
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		r = ctl_common_option(ctl, c, argv[0]);
		if (r >= 0)
			return r;
	}
	if (optind != argc) {
		usage_verb(stderr, argv[0]);
		return EXIT_USAGE;
	}
	r = read_pools(ctl, &pools);
	if (r != EXIT_OK)
		return r;
	return ctl->json != JSON_OFF ? print_json(ctl, pools) : print_table(ctl, pools);
}
