/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The child that asks, and the query that waits for it. It reports each name by itself, so what
 * arrives is whole or not there; whatever else it does (hang, crash, say nonsense), the query ends
 * with an error.
 */

#include "daemon/names.h"
#include "daemon/caps.h"
#include "daemon/name-find.h"
#include "daemon/util/child.h"

#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

/* What the child says of one name. */
struct answer {
	uint32_t index; /* users first, then groups */
	int32_t status; /* 0, -ENOENT, or another -errno */
	uint32_t id;
};

struct name_query {
	struct policy_name *names; /* users first, then groups */
	char **strings;		   /* what they point to */
	size_t n_users, n_names, n_answers;
	int error;
	name_done_fn done;
	void *userdata;
	struct child *child;
	sd_event_source *timer;
	sd_event_source *nothing; /* defers the answer to a query without names */
};

/* In the child. */
static int query_main(int sock, void *userdata)
{
	struct name_query *query = userdata;

	/* Modules of name services are loaded here, and read what a network says. */
	if (caps_forget() < 0)
		return EXIT_FAILURE;
	/* A name service that hangs does not look at the socket. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; i < query->n_names; i++) {
		struct answer answer = { .index = (uint32_t)i };

		if (i < query->n_users)
			answer.status = name_find_user(query->names[i].name, &answer.id);
		else
			answer.status = name_find_group(query->names[i].name, &answer.id);
		if (send(sock, &answer, sizeof(answer), MSG_NOSIGNAL) != sizeof(answer))
			return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

/* Tells the end. The query may be gone afterwards. */
static void query_finish(struct name_query *query, int error)
{
	name_done_fn done = query->done;

	if (!done)
		return;
	query->done = NULL;
	query->timer = sd_event_source_disable_unref(query->timer);
	query->nothing = sd_event_source_disable_unref(query->nothing);
	if (query->child)
		child_kill(query->child, SIGKILL);
	query->child = child_free(query->child);
	done(query, error, query->names, query->n_users, query->names + query->n_users,
	     query->n_names - query->n_users, query->userdata);
}

static void query_message(struct child *child, const void *data, size_t size, void *userdata)
{
	struct name_query *query = userdata;
	struct policy_name *name;
	struct answer answer;

	if (size != sizeof(answer) || query->error)
		return;
	memcpy(&answer, data, sizeof(answer));
	if (answer.index != query->n_answers || answer.index >= query->n_names)
		return;
	if (answer.status < 0 && answer.status != -ENOENT) {
		query->error = answer.status;
		return;
	}
	name = &query->names[query->n_answers++];
	name->found = answer.status == 0;
	name->id = name->found ? answer.id : 0;
}

static void query_exited(struct child *child, int status, void *userdata)
{
	struct name_query *query = userdata;

	if (!query->error && (status != EXIT_SUCCESS || query->n_answers != query->n_names))
		query->error = -EIO;
	query_finish(query, query->error);
}

static int query_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
	query_finish(userdata, -ETIMEDOUT);
	return 0;
}

static int query_nothing(sd_event_source *source, void *userdata)
{
	query_finish(userdata, 0);
	return 0;
}

static int query_copy(struct name_query *query, char *const *users, char *const *groups)
{
	char *const *vectors[] = { users, groups };
	size_t n = 0;

	query->n_users = strv_length(users);
	query->n_names = query->n_users + strv_length(groups);
	query->names = calloc(query->n_names + 1, sizeof(*query->names));
	query->strings = calloc(query->n_names + 1, sizeof(*query->strings));
	if (!query->names || !query->strings)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		STRV_FOREACH (name, vectors[i]) {
			query->strings[n] = strdup(*name);
			if (!query->strings[n])
				return -ENOMEM;
			query->names[n].name = query->strings[n];
			n++;
		}
	}
	return 0;
}

static int query_spawn(struct name_query *query, sd_event *event, uint64_t timeout_usec)
{
	static const struct child_ops ops = {
		.name = "vfiod-names",
		.main = query_main,
		.message = query_message,
		.exited = query_exited,
	};
	int r;

	if (query->n_names == 0)
		return sd_event_add_defer(event, &query->nothing, query_nothing, query);
	r = sd_event_add_time_relative(event, &query->timer, CLOCK_MONOTONIC, timeout_usec, 0,
				       query_timeout, query);
	return r < 0 ? r : child_spawn(event, &ops, NULL, 0, query, &query->child);
}

int name_query_start(sd_event *event, char *const *users, char *const *groups,
		     uint64_t timeout_usec, name_done_fn done, void *userdata,
		     struct name_query **ret)
{
	_cleanup_(name_query_freep) struct name_query *query = calloc(1, sizeof(*query));
	int r;

	if (!query)
		return -ENOMEM;
	query->done = done;
	query->userdata = userdata;
	r = query_copy(query, users, groups);
	if (r >= 0)
		r = query_spawn(query, event, timeout_usec);
	if (r < 0)
		return r;
	*ret = STEAL(query);
	return 0;
}

struct name_query *name_query_free(struct name_query *query)
{
	if (!query)
		return NULL;
	sd_event_source_disable_unref(query->timer);
	sd_event_source_disable_unref(query->nothing);
	if (query->child)
		child_kill(query->child, SIGKILL);
	child_free(query->child);
	strv_free(query->strings);
	free(query->names);
	free(query);
	return NULL;
}

static int find_all(int (*find)(const char *, uint32_t *), char *const *names,
		    struct policy_name **ret, size_t *n, struct policy_error *error)
{
	*ret = calloc(strv_length(names) + 1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	STRV_FOREACH (name, names) {
		struct policy_name *answer = &(*ret)[(*n)++];
		int r = find(*name, &answer->id);

		if (r < 0 && r != -ENOENT) {
			if (r != -ENOMEM &&
			    free_and_asprintf(&error->message,
					      "cannot ask the name service for \"%s\": %s", *name,
					      strerror(-r)) < 0)
				return -ENOMEM;
			return r;
		}
		answer->name = *name;
		answer->found = r == 0;
	}
	return 0;
}

int policy_resolve_now(struct policy *policy, struct policy_error *error)
{
	_cleanup_strv_ char **users = NULL, **groups = NULL;
	_cleanup_free_ struct policy_name *found_users = NULL, *found_groups = NULL;
	size_t n_users = 0, n_groups = 0;
	int r;

	r = policy_names(policy, &users, &groups);
	if (r >= 0)
		r = find_all(name_find_user, users, &found_users, &n_users, error);
	if (r >= 0)
		r = find_all(name_find_group, groups, &found_groups, &n_groups, error);
	if (r < 0)
		return r;
	return policy_resolve(policy, found_users, n_users, found_groups, n_groups, error);
}
