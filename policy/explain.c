/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The sentences of a decision: for each reason what it is about, why, and what to do next. This
 * puts them together; what is said is in explain-request.c, explain-rule.c and explain-host.c, one
 * small function per reason. Nothing is decided here.
 */

#include "policy/explain.h"
#include "policy/utf8.h"

void explain_put(FILE *f, const char *s)
{
	size_t n = utf8_cut(s, UTF8_QUOTE_MAX), left = strlen(s);
	bool cut = n < left;

	while (n > 0) {
		uint32_t c;
		size_t k = utf8_read(s, n, &c);

		if (k == 0 || utf8_is_control(c))
			fputc('?', f);
		else
			fwrite(s, 1, k, f);
		s += k ? k : 1;
		n -= k ? k : 1;
	}
	if (cut)
		fputs("...", f);
}

void explain_put_quoted(FILE *f, const char *s)
{
	fputc('"', f);
	explain_put(f, s);
	fputc('"', f);
}

void explain_put_rule(FILE *f, const struct rule *rule)
{
	fputs("rule ", f);
	explain_put_quoted(f, rule->id);
}

void explain_put_bits(FILE *f, unsigned int bits, int max, const char *(*name)(int value))
{
	for (int i = 0; i < max; i++) {
		if (!(bits & 1U << i))
			continue;
		fputs(name(i), f);
		bits &= ~(1U << i);
		if (bits >> (i + 1))
			fputs((bits & (bits - 1)) ? ", " : " and ", f);
	}
}

void explain_put_lease(FILE *f, const struct claim *claim, const struct lease *lease)
{
	fprintf(f, "lease %s", lease->id);
	if (lease->name &&
	    (claim->request->subject.uid == lease->owner || claim->request->subject.uid == 0)) {
		fputc(' ', f);
		explain_put_quoted(f, lease->name);
	}
	fprintf(f, " of uid %u", (unsigned int)lease->owner);
}

static const struct explanation *find_explanation(enum reason reason)
{
	static const struct explanation *const tables[] = { explanations_of_request,
							    explanations_of_rule,
							    explanations_of_host };

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		if (tables[i][reason].member || tables[i][reason].claim)
			return &tables[i][reason];
	return NULL;
}

static bool any_named(const struct claim *claim, enum reason reason)
{
	for (size_t i = 0; i < claim->n_members; i++)
		if (claim->members[i].reason == reason && claim->members[i].target)
			return true;
	return false;
}

/* Says a reason of every member that has it, and of the request; nothing if nobody has it. */
static void say(FILE *f, const struct claim *claim, enum reason reason, const char *separator)
{
	const struct explanation *explanation = find_explanation(reason);
	bool named = explanation->of_group && any_named(claim, reason);
	bool said = false;

	for (size_t i = 0; explanation->member && i < claim->n_members; i++) {
		const struct member *member = &claim->members[i];

		if (member->reason != reason || (named && !member->target))
			continue;
		fputs(said ? " " : separator, f);
		explanation->member(f, claim, member);
		said = true;
	}
	if (explanation->claim && (claim->refused[reason] || reason == REASON_ALLOWED) &&
	    !(said && reason == REASON_MODE)) {
		fputs(said ? " " : separator, f);
		explanation->claim(f, claim);
		said = true;
	}
	if (said && explanation->next)
		fprintf(f, " %s", explanation->next);
}

static int finish(FILE *f, char **text, char **message)
{
	bool failed = ferror(f);

	if (fclose(f) != 0 || failed) {
		free(*text);
		return -ENOMEM;
	}
	*message = *text;
	return 0;
}

/* Who has to name or be allowed one thing more wants to hear of all of it at once. */
static bool is_consent(enum reason reason)
{
	return reason == REASON_CONSENT_NAME || reason == REASON_CONSENT_DRIVER ||
	       reason == REASON_SIBLING_ON_VFIO;
}

int explain_claim(const struct claim *claim, enum reason reason, char **message)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return -ENOMEM;
	say(f, claim, reason, "");
	for (int i = 0; is_consent(reason) && i < REASON_MAX; i++)
		if (i != (int)reason && is_consent((enum reason)i))
			say(f, claim, (enum reason)i, " ");
	return finish(f, &text, message);
}

int explain_member(const struct claim *claim, const struct member *member, char **message)
{
	const struct explanation *explanation = find_explanation(member->reason);
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return -ENOMEM;
	if (explanation->member)
		explanation->member(f, claim, member);
	if (explanation->next)
		fprintf(f, " %s", explanation->next);
	return finish(f, &text, message);
}
