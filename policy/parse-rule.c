/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One object of "rules". */

#include "policy/parse-internal.h"

static int rule_id(struct parser *p, struct json_object *value, void *target)
{
	struct rule *rule = target;
	const char *s;
	int r;

	r = parse_string(p, value, &s);
	if (r < 0)
		return r;
	r = parse_check_name(p, value, false, s);
	if (r < 0)
		return r;
	r = parse_remember(p, &p->rules, s, &json_node_of(value)->place);
	return r < 0 ? r : free_and_strdup(&rule->id, s);
}

static int rule_deny(struct parser *p, struct json_object *value, void *target)
{
	struct rule *rule = target;

	return parse_boolean(p, value, &rule->deny);
}

static int rule_subjects(struct parser *p, struct json_object *value, void *target)
{
	return parse_subjects(p, value, target);
}

static int rule_devices(struct parser *p, struct json_object *value, void *target)
{
	struct rule *rule = target;

	return parse_devices(p, value, false, &rule->devices, &rule->n_devices);
}

static int rule_allow(struct parser *p, struct json_object *value, void *target)
{
	PARSE_WORDS(words, verb, enum verb, VERB_MAX);
	struct rule *rule = target;
	int r;

	r = parse_word_set(p, value, false, words, VERB_MAX, &rule->verbs);
	if (r >= 0 && !rule->verbs)
		return parse_fail(p, value, "\"allow\" is empty; to refuse, write \"deny\": true");
	return r;
}

static int rule_modes(struct parser *p, struct json_object *value, void *target)
{
	PARSE_WORDS(words, mode, enum mode, MODE_AUTO);
	struct rule *rule = target;
	int r;

	r = parse_word_set(p, value, false, words, MODE_AUTO, &rule->modes);
	if (r >= 0 && !rule->modes)
		return parse_fail(p, value, "\"modes\" is empty; leave it out to allow all");
	return r;
}

static int consent_drivers(struct parser *p, struct json_object *value, void *target)
{
	struct rule *rule = target;
	int r;

	r = parse_expect(p, value, JSON_NODE_ARRAY, "an array of strings");
	if (r < 0 || json_object_array_length(value) == 0)
		return r;
	return parse_list(p, value, parse_item_string, &rule->consent_drivers, NULL);
}

static int rule_consent(struct parser *p, struct json_object *value, void *target)
{
	static const struct parse_key keys[] = { { "drivers", consent_drivers, true } };

	return parse_object(p, value, keys, ARRAY_SIZE(keys), target);
}

static int rule_waive(struct parser *p, struct json_object *value, void *target)
{
	PARSE_WORDS(words, use_kind, enum use_kind, USE_MAX);
	struct rule *rule = target;

	return parse_word_set(p, value, true, words, USE_MAX, &rule->waive);
}

static int rule_park(struct parser *p, struct json_object *value, void *target)
{
	PARSE_WORDS(words, park, enum park, PARK_MAX);
	struct rule *rule = target;
	int word, r;

	r = parse_word(p, value, words, PARK_MAX, &word);
	if (r < 0)
		return r;
	rule->park = (enum park)word;
	return 0;
}

static int rule_auth(struct parser *p, struct json_object *value, void *target)
{
	PARSE_WORDS(words, auth, enum auth, AUTH_MAX);
	struct rule *rule = target;
	int word, r;

	r = parse_word(p, value, words, AUTH_MAX, &word);
	if (r < 0)
		return r;
	rule->auth = (enum auth)word;
	return 0;
}

static int rule_revoke(struct parser *p, struct json_object *value, void *target)
{
	PARSE_WORDS(words, revoke, enum revoke, REVOKE_MAX);
	struct rule *rule = target;
	int word, r;

	r = parse_word(p, value, words, REVOKE_MAX, &word);
	if (r < 0)
		return r;
	rule->revoke = (enum revoke)word;
	return 0;
}

static int rule_memlock(struct parser *p, struct json_object *value, void *target)
{
	struct rule *rule = target;

	return parse_bytes(p, value, &rule->memlock);
}

/* UINT32_MAX is kept for "no limit". */
static int parse_limit(struct parser *p, struct json_object *value, uint32_t *ret)
{
	uint64_t number;
	int r;

	r = parse_integer(p, value, 0, UINT32_MAX - 1, &number);
	if (r < 0)
		return r;
	*ret = (uint32_t)number;
	return 0;
}

static int limits_leases(struct parser *p, struct json_object *value, void *target)
{
	struct rule *rule = target;

	return parse_limit(p, value, &rule->limit_leases);
}

static int limits_devices(struct parser *p, struct json_object *value, void *target)
{
	struct rule *rule = target;

	return parse_limit(p, value, &rule->limit_devices);
}

static int rule_limits(struct parser *p, struct json_object *value, void *target)
{
	static const struct parse_key keys[] = {
		{ "leases", limits_leases, false },
		{ "devices", limits_devices, false },
	};

	return parse_object(p, value, keys, ARRAY_SIZE(keys), target);
}

static const struct parse_key rule_keys[] = {
	{ "id", rule_id, true },
	{ "subjects", rule_subjects, true },
	{ "devices", rule_devices, true },
	{ "deny", rule_deny, false },
	{ "allow", rule_allow, false },
	{ "modes", rule_modes, false },
	{ "consent", rule_consent, false },
	{ "waive", rule_waive, false },
	{ "park", rule_park, false },
	{ "auth", rule_auth, false },
	{ "memlock", rule_memlock, false },
	{ "revoke", rule_revoke, false },
	{ "limits", rule_limits, false },
};

/* What no single key can tell. */
static int check_rule(struct parser *p, struct json_object *object, const struct rule *rule)
{
	struct json_object *park;

	if (!rule->deny && !rule->verbs)
		return parse_fail(p, object,
				  "the rule allows nothing: it wants \"allow\", or \"deny\": true");
	for (size_t i = 0; rule->deny && i < rule->n_devices; i++)
		for (int key = 0; key < PIN_KEY_MAX; key++)
			if (rule->devices[i].pin[key])
				return parse_fail(
					p, object,
					"a \"pin\" is for rules that allow: a device that "
					"is another one is denied anyway");
	/* The group's own node would open a device that is parked on a VFIO driver. */
	if (rule->park == PARK_VFIO && rule->modes != 1u << MODE_CDEV &&
	    json_object_object_get_ex(object, "park", &park))
		return parse_fail(p, park,
				  "\"park\": \"vfio\" does not go with the modes \"group\" and "
				  "\"node\": it wants \"modes\": [\"cdev\"]");
	return 0;
}

int parse_rule(struct parser *p, struct json_object *value)
{
	struct policy *policy = p->policy;
	struct rule *rule;
	int r;

	r = parse_expect(p, value, JSON_NODE_OBJECT, "an array of objects");
	if (r < 0)
		return r;
	if (ARRAY_RESERVE_ONE(policy->rules, policy->n_rules) < 0)
		return -ENOMEM;
	rule = &policy->rules[policy->n_rules++];
	rule->modes = 1u << MODE_CDEV | 1u << MODE_GROUP | 1u << MODE_NODE;
	rule->limit_leases = UINT32_MAX;
	rule->limit_devices = UINT32_MAX;
	if (free_and_asprintf(&rule->source, "%s:%u", p->path, json_node_of(value)->place.line) < 0)
		return -ENOMEM;
	r = parse_object(p, value, rule_keys, ARRAY_SIZE(rule_keys), rule);
	return r < 0 ? r : check_rule(p, value, rule);
}
