/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of health.h. */

#include "policy/health.h"

#include <ctype.h>
#include <stdio.h>

#define COUNTERS_MAX 128

static const char *const health_table[HEALTH_MAX] = {
	[HEALTH_OK] = "ok",
	[HEALTH_RECOVERING] = "recovering",
	[HEALTH_FAILED] = "failed",
};
DEFINE_STRING_TABLE(health, enum health)

static const char *const recovery_table[RECOVERY_MAX] = {
	[RECOVERY_BEGIN] = "begin-recovery",
	[RECOVERY_SUCCESS] = "successful-recovery",
	[RECOVERY_FAILED] = "failed-recovery",
};
DEFINE_STRING_TABLE(recovery, enum recovery)

static const char *const severity_table[SEVERITY_MAX] = {
	[SEVERITY_CORRECTABLE] = "correctable",
	[SEVERITY_NONFATAL] = "nonfatal",
	[SEVERITY_FATAL] = "fatal",
};
DEFINE_STRING_TABLE(severity, enum severity)

static const char *const eeh_state_table[EEH_MAX] = {
	[EEH_NORMAL] = "normal",	   [EEH_FROZEN] = "frozen",
	[EEH_RECOVERING] = "recovering",   [EEH_RESET] = "reset",
	[EEH_UNAVAILABLE] = "unavailable", [EEH_UNSUPPORTED] = "unsupported",
	[EEH_REMOVED] = "removed",	   [EEH_UNKNOWN] = "unknown",
};
DEFINE_STRING_TABLE(eeh_state, enum eeh_state)

int recovery_from_uevent(const char *error_event)
{
	static const char *const words[RECOVERY_MAX] = {
		[RECOVERY_BEGIN] = "BEGIN_RECOVERY",
		[RECOVERY_SUCCESS] = "SUCCESSFUL_RECOVERY",
		[RECOVERY_FAILED] = "FAILED_RECOVERY",
	};

	for (int i = 0; error_event && i < RECOVERY_MAX; i++)
		if (streq(words[i], error_event))
			return i;
	return -EINVAL;
}

enum health health_after(enum health now, enum recovery event)
{
	if (now == HEALTH_FAILED)
		return HEALTH_FAILED;
	switch (event) {
	case RECOVERY_BEGIN:
		return HEALTH_RECOVERING;
	case RECOVERY_SUCCESS:
		return HEALTH_OK;
	case RECOVERY_FAILED:
		return HEALTH_FAILED;
	case RECOVERY_MAX:
	case RECOVERY_INVALID:
		break;
	}
	return now;
}

const char *severity_attribute(enum severity severity)
{
	static const char *const names[SEVERITY_MAX] = {
		[SEVERITY_CORRECTABLE] = "aer_dev_correctable",
		[SEVERITY_NONFATAL] = "aer_dev_nonfatal",
		[SEVERITY_FATAL] = "aer_dev_fatal",
	};

	return names[severity];
}

/* ---- counters */

static void drop(struct error_counters *counters, enum severity severity)
{
	for (size_t i = 0; i < counters->of[severity].n; i++)
		free(counters->of[severity].items[i].name);
	free(counters->of[severity].items);
	counters->of[severity].items = NULL;
	counters->of[severity].n = 0;
	counters->of[severity].present = false;
}

void error_counters_done(struct error_counters *counters)
{
	for (int i = 0; i < SEVERITY_MAX; i++)
		drop(counters, (enum severity)i);
}

/* Letters, digits, and what a bit without a name is called: "dev_cor_errs_bit[3]". */
static bool is_counter_name(const char *name, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("_-[]", name[i]))
			return false;
	return n > 0 && n < 64;
}

static int add(struct error_counters *counters, enum severity severity, const char *name, size_t n,
	       uint64_t count)
{
	bool total = n > 10 && strncmp(name, "TOTAL_ERR_", 10) == 0;
	struct error_counter *counter;
	int r;

	if (count == 0 && !total)
		return 0;
	if (counters->of[severity].n >= COUNTERS_MAX)
		return -EBADMSG;
	r = ARRAY_RESERVE_ONE(counters->of[severity].items, counters->of[severity].n);
	if (r < 0)
		return r;
	counter = &counters->of[severity].items[counters->of[severity].n];
	counter->name = total ? strdup("total") : strndup(name, n);
	if (!counter->name)
		return -ENOMEM;
	counter->count = count;
	counters->of[severity].n++;
	return 0;
}

/* One line, up to its end. */
static int parse_line(struct error_counters *counters, enum severity severity, const char *line,
		      size_t size)
{
	const char *space = memchr(line, ' ', size);
	uint64_t count = 0;

	if (!space || !is_counter_name(line, (size_t)(space - line)) || space + 1 == line + size)
		return -EBADMSG;
	for (const char *p = space + 1; p < line + size; p++) {
		if (!isdigit((unsigned char)*p) ||
		    __builtin_mul_overflow(count, (uint64_t)10, &count) ||
		    __builtin_add_overflow(count, (uint64_t)(*p - '0'), &count))
			return -EBADMSG;
	}
	return add(counters, severity, line, (size_t)(space - line), count);
}

int error_counters_parse(struct error_counters *counters, enum severity severity, const char *text)
{
	int r = 0;

	drop(counters, severity);
	while (r >= 0 && *text) {
		size_t size = strcspn(text, "\n");

		r = parse_line(counters, severity, text, size);
		text += size + (text[size] == '\n');
	}
	if (r >= 0 && counters->of[severity].n == 0)
		r = -EBADMSG;
	if (r < 0)
		drop(counters, severity);
	else
		counters->of[severity].present = true;
	return r;
}

bool error_counters_present(const struct error_counters *counters)
{
	for (int i = 0; i < SEVERITY_MAX; i++)
		if (counters->of[i].present)
			return true;
	return false;
}

bool error_counters_equal(const struct error_counters *a, const struct error_counters *b)
{
	for (int s = 0; s < SEVERITY_MAX; s++) {
		if (a->of[s].present != b->of[s].present || a->of[s].n != b->of[s].n)
			return false;
		for (size_t i = 0; i < a->of[s].n; i++)
			if (a->of[s].items[i].count != b->of[s].items[i].count ||
			    !streq(a->of[s].items[i].name, b->of[s].items[i].name))
				return false;
	}
	return true;
}

/* ---- EEH */

/* What the firmware says (EEH_STATE_*), and what the kernel knows of the endpoint (EEH_PE_*). */
enum {
	STATE_UNAVAILABLE = 1 << 0,
	STATE_NOT_SUPPORT = 1 << 1,
	STATE_RESET_ACTIVE = 1 << 2,
	STATE_MMIO_ACTIVE = 1 << 3,
	STATE_DMA_ACTIVE = 1 << 4,
	PE_ISOLATED = 1 << 0,
	PE_RECOVERING = 1 << 1,
	PE_RESET = 1 << 3,
	PE_REMOVED = 1 << 10,
};

int eeh_state_parse(const char *text)
{
	const uint32_t active = STATE_MMIO_ACTIVE | STATE_DMA_ACTIVE;
	uint32_t firmware, flags;
	int end = 0;

	if (sscanf(text, "0x%8x 0x%8x%n", &firmware, &flags, &end) != 2 || text[end])
		return -EBADMSG;
	if (flags & PE_REMOVED)
		return EEH_REMOVED;
	if (flags & PE_RECOVERING)
		return EEH_RECOVERING;
	/* A negative errno of the firmware's. */
	if (firmware & 0x80000000)
		return EEH_UNKNOWN;
	if (firmware & STATE_NOT_SUPPORT)
		return EEH_UNSUPPORTED;
	if (firmware & STATE_UNAVAILABLE)
		return EEH_UNAVAILABLE;
	if (firmware & STATE_RESET_ACTIVE || flags & PE_RESET)
		return EEH_RESET;
	if (flags & PE_ISOLATED || (firmware & active) != active)
		return EEH_FROZEN;
	return EEH_NORMAL;
}
