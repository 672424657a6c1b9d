/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Fuzzes the parser of the policy language, and what is done with a policy that it takes. A byte
 * 0x1e, which no JSON has, separates files. Run under libFuzzer, see HACKING.md; `make check`
 * replays the corpus.
 */

#include "policy/parse.h"
#include "policy/utf8.h"

#include <stdio.h>

#define FILES_MAX 4
#define SEPARATOR 0x1e

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(expression)                                             \
	do {                                                          \
		if (!(expression)) {                                  \
			fprintf(stderr, "not so: %s\n", #expression); \
			abort();                                      \
		}                                                     \
	} while (0)

/* Each file in memory of exactly its size, so that a read beyond it is seen. */
static size_t split(const uint8_t *data, size_t size, struct policy_file *files)
{
	static const char *const paths[FILES_MAX] = { "/f/1", "/f/2", "/f/3", "/f/4" };
	size_t n = 0;

	while (n < FILES_MAX) {
		const uint8_t *end = size ? memchr(data, SEPARATOR, size) : NULL;
		size_t k = end && n + 1 < FILES_MAX ? (size_t)(end - data) : size;
		char *text = malloc(k ? k : 1);

		CHECK(text);
		if (k)
			memcpy(text, data, k);
		files[n] = (struct policy_file){ paths[n], text, k };
		n++;
		if (k == size)
			break;
		data += k + 1;
		size -= k + 1;
	}
	return n;
}

static void check_error(const char *message)
{
	static const char differently[] = "the JSON library";
	unsigned int line, column, file;
	int at = 0;

	CHECK(message);
	CHECK(utf8_is_printable(message));
	CHECK(sscanf(message, "/f/%u:%u:%u: %n", &file, &line, &column, &at) == 3);
	CHECK(at > 0 && message[at]);
	CHECK(file >= 1 && file <= FILES_MAX && line >= 1 && column >= 1);
	/* The two readers of the JSON must agree on everything that the stricter one takes. */
	CHECK(strncmp(message + at, differently, strlen(differently)) != 0);
}

static void use(struct policy *policy)
{
	struct device device = { .name = (char *)"0000:03:00.0",
				 .subsystem = (char *)"pci",
				 .vendor = 0x8086,
				 .product = 0x10d3,
				 .subvendor = ID_UNKNOWN,
				 .subproduct = ID_UNKNOWN,
				 .class_code = 0x020000 };
	const gid_t gid = 1000;
	struct subject subject = { .uid = 1000, .gids = &gid, .n_gids = 1, .unit_known = true };
	_cleanup_strv_ char **users = NULL, **groups = NULL;
	_cleanup_(policy_error_done) struct policy_error error = { 0 };
	int r;

	CHECK(policy_names(policy, &users, &groups) == 0);
	r = policy_resolve(policy, NULL, 0, NULL, 0, &error);
	CHECK(r == 0 || r == -EBADMSG);
	if (r < 0)
		check_error(error.message);
	for (size_t i = 0; i < policy->n_rules; i++) {
		const struct rule *rule = &policy->rules[i];

		CHECK(rule->id && rule->source && rule->n_subjects && rule->n_devices);
		CHECK(rule->deny || rule->verbs);
		CHECK(rule->modes);
		CHECK(rule->park != PARK_VFIO || rule->modes == 1u << MODE_CDEV);
		rule_matches_subject(rule, &subject);
		rule_matches_device(policy, rule, &device, "e1000e");
		rule_consents(rule, "e1000e");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(policy_error_done) struct policy_error error = { 0 };
	_cleanup_(policy_freep) struct policy *policy = NULL;
	struct policy_file files[FILES_MAX];
	size_t n = split(data, size, files);
	int r = policy_parse(files, n, &policy, &error);

	CHECK(r == 0 || r == -EBADMSG);
	if (r < 0) {
		CHECK(!policy);
		check_error(error.message);
	} else {
		CHECK(!error.message);
		use(policy);
	}
	for (size_t i = 0; i < n; i++)
		free((char *)files[i].text);
	return 0;
}
