/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reload: all or nothing. The files are read and parsed here; the names in them are asked for by a
 * child; only then the new policy takes the place of the old one.
 */

#include "daemon/bus/bus.h"
#include "daemon/hotplug/probing.h"
#include "daemon/manager-internal.h"
#include "daemon/policy-load.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"

#include <stdio.h>

static void tell_waiters(struct manager *manager, int r, const char *error)
{
	struct reload_waiter *waiters = STEAL(manager->reload_waiters);
	size_t n = manager->n_reload_waiters;

	manager->n_reload_waiters = 0;
	for (size_t i = 0; i < n; i++)
		waiters[i].done(r, error, waiters[i].userdata);
	free(waiters);
}

static void finish(struct manager *manager, int r, const char *error)
{
	manager->policy_read = true;
	if (r < 0)
		log_record(MESSAGE_POLICY_REFUSED, LOG_ERR, LOG_FIELDS({ FIELD_REASON, error }),
			   "The policy was not taken: %s; %s", error,
			   manager->policy ? "the one in force stays"
					   : "none is in force, every claim is refused");
	tell_waiters(manager, r, error);
	probing_set_policy(manager->probing,
			   manager->policy && manager->policy->probe == PROBE_BROKER,
			   manager->autoprobe_honoured);
	manager_status(manager);
	manager_maybe_ready(manager);
}

static void put_in_force(struct manager *manager)
{
	policy_free(manager->policy);
	manager->policy = STEAL(manager->policy_next);
	manager->policy_serial++;
	STRV_FOREACH (warning, manager->policy->warnings)
		log_warning("%s", *warning);
	log_record(MESSAGE_POLICY_LOADED, LOG_INFO,
		   LOG_FIELDS({ FIELD_SERIAL, LOG_NUMBER(manager->policy_serial) },
			      { FIELD_COUNT, LOG_NUMBER(manager->policy->n_rules) },
			      { FIELD_FILE, .values = manager->policy->files }),
		   "Policy %llu is in force: %zu rules", (unsigned long long)manager->policy_serial,
		   manager->policy->n_rules);
	bus_announce_manager(manager->bus);
	finish(manager, 0, NULL);
}

static void on_names(struct name_query *query, int error, const struct policy_name *users,
		     size_t n_users, const struct policy_name *groups, size_t n_groups,
		     void *userdata)
{
	struct manager *manager = userdata;
	struct policy_error why = { 0 };
	char text[128];
	int r = error;

	if (r >= 0)
		r = policy_resolve(manager->policy_next, users, n_users, groups, n_groups, &why);
	manager->names = name_query_free(manager->names);
	if (r >= 0) {
		put_in_force(manager);
		return;
	}
	manager->policy_next = policy_free(manager->policy_next);
	snprintf(text, sizeof(text), "the names in the policy could not be resolved: %s",
		 strerror(-r));
	finish(manager, r, why.message ? why.message : text);
	policy_error_done(&why);
}

static int load(struct manager *manager, struct policy_error *why)
{
	_cleanup_strv_ char **users = NULL, **groups = NULL;
	int r;

	r = policy_load(manager->paths.policy_dirs, manager->paths.policy_owner,
			&manager->policy_next, why);
	if (r >= 0)
		r = policy_names(manager->policy_next, &users, &groups);
	if (r >= 0)
		r = name_query_start(manager->event, users, groups, NAMES_TIMEOUT_USEC, on_names,
				     manager, &manager->names);
	return r;
}

void manager_reload(struct manager *manager, reload_fn done, void *userdata)
{
	struct policy_error why = { 0 };
	int r;

	if (done) {
		r = ARRAY_RESERVE_ONE(manager->reload_waiters, manager->n_reload_waiters);
		if (r < 0) {
			done(r, "out of memory", userdata);
			return;
		}
		manager->reload_waiters[manager->n_reload_waiters++] =
			(struct reload_waiter){ .done = done, .userdata = userdata };
	}
	/* One that is under way may have read older files: begin anew, for all who wait. */
	manager->names = name_query_free(manager->names);
	manager->policy_next = policy_free(manager->policy_next);
	r = load(manager, &why);
	if (r < 0) {
		manager->policy_next = policy_free(manager->policy_next);
		finish(manager, r, why.message ? why.message : strerror(-r));
	}
	policy_error_done(&why);
}

void manager_reload_forget(struct manager *manager, const void *userdata)
{
	for (size_t i = 0; i < manager->n_reload_waiters; i++)
		if (manager->reload_waiters[i].userdata == userdata) {
			manager->n_reload_waiters--;
			memmove(&manager->reload_waiters[i], &manager->reload_waiters[i + 1],
				(manager->n_reload_waiters - i) * sizeof(struct reload_waiter));
			return;
		}
}

void manager_policy_done(struct manager *manager)
{
	name_query_free(manager->names);
	policy_free(manager->policy_next);
	policy_free(manager->policy);
	free(manager->reload_waiters);
}
