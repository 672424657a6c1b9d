/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Users and groups that a policy has by name: which they are, and putting in what the name
 * service said. Asking it is the daemon's business (daemon/names.c): it can take long.
 */

#include "policy/parse.h"

#define WARNINGS_MAX 100

/* "*" is everybody, and digits are a number; both are settled when the policy is parsed. */
static bool is_name(const char *s)
{
	return !streq(s, "*") && s[strspn(s, "0123456789")] != 0;
}

static void strv_unique(char **v)
{
	size_t kept = 0;

	strv_sort(v);
	for (size_t i = 0; v && v[i]; i++) {
		if (kept > 0 && streq(v[kept - 1], v[i]))
			free(v[i]);
		else
			v[kept++] = v[i];
	}
	if (v)
		v[kept] = NULL;
}

struct collection {
	char **names;
	size_t n;
};

static int collect(struct collection *c, char *const *names)
{
	STRV_FOREACH (name, names) {
		if (!is_name(*name))
			continue;
		if (ARRAY_RESERVE_ONE(c->names, c->n) < 0)
			return -ENOMEM;
		c->names[c->n] = strdup(*name);
		if (!c->names[c->n])
			return -ENOMEM;
		c->n++;
	}
	return 0;
}

/* Ends the vector, sorts it and drops what is there twice. */
static int collection_finish(struct collection *c, char ***ret)
{
	char **v = reallocarray(c->names, c->n + 1, sizeof(char *));

	if (!v)
		return -ENOMEM;
	v[c->n] = NULL;
	*c = (struct collection){ 0 };
	strv_unique(v);
	*ret = v;
	return 0;
}

static void collection_done(struct collection *c)
{
	for (size_t i = 0; i < c->n; i++)
		free(c->names[i]);
	free(c->names);
}

int policy_names(const struct policy *policy, char ***users, char ***groups)
{
	_cleanup_(collection_done) struct collection u = { 0 };
	_cleanup_(collection_done) struct collection g = { 0 };
	_cleanup_strv_ char **names = NULL;

	for (size_t i = 0; i < policy->n_rules; i++) {
		const struct rule *rule = &policy->rules[i];

		for (size_t j = 0; j < rule->n_subjects; j++)
			if (collect(&u, rule->subjects[j].users) < 0 ||
			    collect(&g, rule->subjects[j].groups) < 0)
				return -ENOMEM;
	}
	if (collection_finish(&u, &names) < 0 || collection_finish(&g, groups) < 0)
		return -ENOMEM;
	*users = STEAL(names);
	return 0;
}

struct answers {
	const struct policy_name **sorted;
	size_t n;
};

static int answer_compare(const void *a, const void *b)
{
	const struct policy_name *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static int answers_init(struct answers *answers, const struct policy_name *names, size_t n)
{
	answers->n = n;
	answers->sorted = calloc(n + 1, sizeof(*answers->sorted));
	if (!answers->sorted)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		answers->sorted[i] = &names[i];
	qsort(answers->sorted, n, sizeof(*answers->sorted), answer_compare);
	return 0;
}

static void answers_done(struct answers *answers)
{
	free(answers->sorted);
}

/* Returns whether the name is somebody; (uid_t)-1 is nobody. */
static bool answer_for(const struct answers *answers, const char *name, uint32_t *id)
{
	const struct policy_name key = { .name = name }, *k = &key;
	const struct policy_name **found;

	found = bsearch(&k, answers->sorted, answers->n, sizeof(*answers->sorted), answer_compare);
	if (!found || !(*found)->found || (*found)->id == UINT32_MAX)
		return false;
	*id = (*found)->id;
	return true;
}

/* One "users" or "groups" list of a subject. */
struct name_list {
	const char *what;
	char *const *names;
	char *const *sources;
	uint32_t **ids;
	size_t *n_ids;
};

/* A policy full of wrong names does not fill the journal. */
static int warn(struct policy *policy, const struct name_list *list, const char *source, size_t i)
{
	size_t n = strv_length(policy->warnings);

	if (n > WARNINGS_MAX)
		return 0;
	if (n == WARNINGS_MAX)
		return strv_extend(&policy->warnings, "there are more names that do not exist");
	return strv_extendf(&policy->warnings, "%s: there is no %s \"%s\", so it matches nobody",
			    source, list->what, list->names[i]);
}

static int not_found(struct policy *policy, const struct rule *rule, const struct name_list *list,
		     size_t i, struct policy_error *error)
{
	const char *source = list->sources ? list->sources[i] : rule->source;

	if (!rule->deny)
		return warn(policy, list, source, i);
	if (free_and_asprintf(&error->message,
			      "%s: there is no %s \"%s\", and a deny rule must not miss anybody",
			      source, list->what, list->names[i]) < 0)
		return -ENOMEM;
	return -EBADMSG;
}

static int resolve_list(struct policy *policy, const struct rule *rule,
			const struct name_list *list, const struct answers *answers,
			struct policy_error *error)
{
	for (size_t i = 0; list->names && list->names[i]; i++) {
		uint32_t id;
		int r;

		if (!is_name(list->names[i]))
			continue;
		if (!answer_for(answers, list->names[i], &id)) {
			r = not_found(policy, rule, list, i, error);
			if (r < 0)
				return r;
			continue;
		}
		if (ARRAY_RESERVE_ONE(*list->ids, *list->n_ids) < 0)
			return -ENOMEM;
		(*list->ids)[(*list->n_ids)++] = id;
	}
	return 0;
}

static int resolve_rule(struct policy *policy, struct rule *rule, const struct answers *users,
			const struct answers *groups, struct policy_error *error)
{
	for (size_t i = 0; i < rule->n_subjects; i++) {
		struct subject_match *s = &rule->subjects[i];
		struct name_list user_list = { "user", s->users, s->user_sources, &s->uids,
					       &s->n_uids };
		struct name_list group_list = { "group", s->groups, s->group_sources, &s->gids,
						&s->n_gids };
		int r;

		r = resolve_list(policy, rule, &user_list, users, error);
		if (r < 0)
			return r;
		r = resolve_list(policy, rule, &group_list, groups, error);
		if (r < 0)
			return r;
	}
	return 0;
}

int policy_resolve(struct policy *policy, const struct policy_name *users, size_t n_users,
		   const struct policy_name *groups, size_t n_groups, struct policy_error *error)
{
	_cleanup_(answers_done) struct answers u = { 0 };
	_cleanup_(answers_done) struct answers g = { 0 };
	int r = 0;

	if (answers_init(&u, users, n_users) < 0 || answers_init(&g, groups, n_groups) < 0)
		return -ENOMEM;
	for (size_t i = 0; r >= 0 && i < policy->n_rules; i++)
		r = resolve_rule(policy, &policy->rules[i], &u, &g, error);
	return r;
}
