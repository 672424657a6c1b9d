/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The daemon's log: lines for people, and structured records (messages.h) for the journal.
 *
 * With stderr connected to the journal ($JOURNAL_STREAM, as the service manager sets it up) both
 * go there by the journal's native protocol; else to stderr, one line each. Sending never blocks:
 * what a journal that does not read would have held up is dropped, counted, and the count is
 * logged as soon as it reads again.
 *
 * Values that come from clients or from the kernel cannot add fields or lines: in the journal a
 * value has a length, not an end; on stderr control characters are replaced.
 */

#include "policy/base.h"

#include <stdio.h>
#include <syslog.h>

/*
 * Connects to the journal if stderr is. Without it everything goes to stderr. The level is
 * LOG_INFO, or what $VFIOD_LOG_LEVEL says. Cannot fail: a log that cannot be had is stderr.
 */
void log_init(void);
/* For tests: sends to the journal socket at `path` whatever stderr is. 0 or -errno. */
int log_open_journal(const char *path);
void log_done(void);

/* The least urgent priority that is logged, LOG_ERR to LOG_DEBUG. */
void log_set_level(int priority);
/* By name: error, warning, notice, info, debug. -EINVAL for another. */
int log_set_level_name(const char *name);

void log_line(int priority, const char *format, ...) _printf_(2, 3);
#define log_debug(...)	 log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)	 log_line(LOG_INFO, __VA_ARGS__)
#define log_notice(...)	 log_line(LOG_NOTICE, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_error(...)	 log_line(LOG_ERR, __VA_ARGS__)

/*
 * A field of a record: a name of messages.h, and a value or (`values`) a vector of them, each of
 * which becomes a field of its own. A NULL value is left out, so that callers need not ask.
 */
struct log_field {
	const char *name;
	const char *value;
	char *const *values;
};

/*
 * Sends a record: MESSAGE_…, priority, fields up to one without a name, and the sentence for
 * people. At most LOG_FIELDS_MAX fields and LOG_VALUE_MAX bytes a value: the rest is cut off.
 *
 *	log_record(MESSAGE_LEASED, LOG_INFO,
 *		   LOG_FIELDS({ FIELD_LEASE, lease->id }, { FIELD_UID, LOG_NUMBER(uid) },
 *			      { FIELD_DEVICE, .values = devices }),
 *		   "Lease %s: user %u has %s", lease->id, uid, text);
 */
void log_record(const char *message_id, int priority, const struct log_field *fields,
		const char *format, ...) _printf_(4, 5);
#define LOG_FIELDS(...) ((const struct log_field[]){ __VA_ARGS__, { NULL, NULL, NULL } })

#define LOG_FIELDS_MAX 256
#define LOG_VALUE_MAX  2048

/* A number as a field's value; lives as long as the block that it is used in. */
#define LOG_NUMBER(n) log_number((char[24]){ 0 }, 24, (uint64_t)(n))
static inline const char *log_number(char *buffer, size_t size, uint64_t n)
{
	snprintf(buffer, size, "%llu", (unsigned long long)n);
	return buffer;
}
