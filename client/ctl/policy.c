/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vfiodctl policy check, reload and rescan. The check is offline: the daemon's own parser on files
 * that need not be in their place yet.
 */

#include "client/ctl/ctl.h"
#include "client/ctl/names.h"
#include "policy/parse.h"

#include <fcntl.h>

static int read_all(int fd, char *buffer, size_t size, size_t *n)
{
	*n = 0;
	while (*n < size) {
		ssize_t got = read(fd, buffer + *n, size - *n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		*n += (size_t)got;
	}
	return 0;
}

/* The file's text; one byte more than the parser takes is enough for it to refuse the file. */
static int read_file(const char *path, struct policy_file *file)
{
	char *text = malloc(POLICY_FILE_SIZE_MAX + 1);
	int fd, r;

	if (!text)
		return -ENOMEM;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		r = -errno;
		free(text);
		return r;
	}
	r = read_all(fd, text, POLICY_FILE_SIZE_MAX + 1, &file->size);
	close(fd);
	if (r < 0) {
		free(text);
		return r;
	}
	file->path = path;
	file->text = text;
	return 0;
}

/* Asks this host's name service, as the daemon would. A new array, of n answers. */
static struct policy_name *resolve_names(char **names, bool groups, size_t *n)
{
	struct policy_name *answers = calloc(strv_length(names) + 1, sizeof(*answers));

	*n = strv_length(names);
	for (size_t i = 0; answers && i < *n; i++) {
		int r = groups ? group_parse(names[i], &answers[i].id)
			       : user_parse(names[i], &answers[i].id);

		answers[i].name = names[i];
		answers[i].found = r == 0;
	}
	return answers;
}

static int resolve(struct policy *policy, struct policy_error *error)
{
	_cleanup_strv_ char **users = NULL, **groups = NULL;
	_cleanup_free_ struct policy_name *user_ids = NULL, *group_ids = NULL;
	size_t n_users = 0, n_groups = 0;
	int r;

	r = policy_names(policy, &users, &groups);
	if (r < 0)
		return r;
	user_ids = resolve_names(users, false, &n_users);
	group_ids = resolve_names(groups, true, &n_groups);
	if (!user_ids || !group_ids)
		return -ENOMEM;
	return policy_resolve(policy, user_ids, n_users, group_ids, n_groups, error);
}

static int print_check_json(const struct ctl *ctl, const struct policy *policy, const char *problem)
{
	_cleanup_json_ json_object *object = json_object_new_object();
	json_object *warnings = json_object_new_array();

	if (!object || !warnings)
		return ctl_fail(NULL, -ENOMEM);
	json_object_object_add(object, "valid", json_object_new_boolean(!problem));
	json_object_object_add(object, "warnings", warnings);
	if (problem)
		json_object_object_add(object, "error", json_object_new_string(problem));
	else
		json_object_object_add(object, "rules",
				       json_object_new_int64((int64_t)policy->n_rules));
	if (policy)
		STRV_FOREACH (warning, policy->warnings)
			json_object_array_add(warnings, json_object_new_string(*warning));
	return ctl_print_json(ctl, object);
}

static int print_check(const struct ctl *ctl, const struct policy *policy, size_t n_files)
{
	if (ctl->json != JSON_OFF)
		return print_check_json(ctl, policy, NULL);
	STRV_FOREACH (warning, policy->warnings)
		ctl_say(EXIT_OK, "Warning: %s", *warning);
	printf("%zu %s, %zu %s: good.\n", n_files, n_files == 1 ? "file" : "files", policy->n_rules,
	       policy->n_rules == 1 ? "rule" : "rules");
	return EXIT_OK;
}

static int check(const struct ctl *ctl, const struct policy_file *files, size_t n)
{
	struct policy *policy = NULL;
	struct policy_error error = {};
	int r;

	r = policy_parse(files, n, &policy, &error);
	if (r >= 0)
		r = resolve(policy, &error);
	if (r >= 0) {
		r = print_check(ctl, policy, n);
	} else if (r != -EBADMSG) {
		r = ctl_fail(NULL, r);
	} else {
		r = ctl->json != JSON_OFF ? print_check_json(ctl, NULL, error.message) : EXIT_OK;
		if (ctl->json == JSON_OFF)
			ctl_say(EXIT_POLICY_INVALID, "%s", error.message);
		if (r == EXIT_OK)
			r = EXIT_POLICY_INVALID;
	}
	policy_free(policy);
	policy_error_done(&error);
	return r;
}

static int check_files(struct ctl *ctl, char *paths[], size_t n)
{
	_cleanup_free_ struct policy_file *files = calloc(n, sizeof(*files));
	int r = files ? EXIT_OK : ctl_fail(NULL, -ENOMEM);

	for (size_t i = 0; r == EXIT_OK && i < n; i++) {
		int e = read_file(paths[i], &files[i]);

		if (e < 0)
			r = ctl_say(EXIT_FAILED, "Cannot read %s: %s.", paths[i], strerror(-e));
	}
	if (r == EXIT_OK)
		r = check(ctl, files, n);
	for (size_t i = 0; files && i < n; i++)
		free((char *)files[i].text);
	return r;
}

int verb_policy(struct ctl *ctl, int argc, char *argv[])
{
	int r = ctl_common_options(ctl, argc, argv);

	if (r >= 0)
		return r;
	if (argc - optind < 2 || !streq(argv[optind], "check")) {
		usage_verb(stderr, argv[0]);
		return EXIT_USAGE;
	}
	return check_files(ctl, argv + optind + 1, (size_t)(argc - optind - 1));
}

static int manager_verb(struct ctl *ctl, int argc, char *argv[], const char *method)
{
	int r = ctl_common_options(ctl, argc, argv);

	if (r >= 0)
		return r;
	if (optind != argc) {
		usage_verb(stderr, argv[0]);
		return EXIT_USAGE;
	}
	return ctl_manager_call(ctl, method);
}

int verb_reload(struct ctl *ctl, int argc, char *argv[])
{
	return manager_verb(ctl, argc, argv, "Reload");
}

int verb_rescan(struct ctl *ctl, int argc, char *argv[])
{
	return manager_verb(ctl, argc, argv, "Rescan");
}
