/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of record.h. */

#include "daemon/bus/record.h"

#include "daemon/bus/refusals.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"

#include <time.h>

int decision_rules(const struct decision *decision, char ***rules)
{
	for (size_t i = 0; i < decision->n_verdicts; i++) {
		const char *rule = decision->verdicts[i].rule;
		int r;

		if (!rule || strv_contains(*rules, rule))
			continue;
		r = strv_extend(rules, rule);
		if (r < 0)
			return r;
	}
	return 0;
}

static int named_devices(const struct decision *decision, char ***devices)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < decision->n_verdicts; i++)
		if (decision->verdicts[i].named)
			r = strv_extend(devices, decision->verdicts[i].device);
	return r;
}

/* One shape for everything that a client asked for and that was decided. */
static void record_decision(const struct call *call, const struct decision *decision,
			    const char *id, int priority, const char *error, const char *word,
			    const char *why)
{
	const struct creds *creds = call->creds;
	_cleanup_strv_ char **devices = NULL, **rules = NULL;
	_cleanup_free_ char *text = NULL;

	if (named_devices(decision, &devices) < 0 || decision_rules(decision, &rules) < 0)
		return;
	text = strv_join(devices, " ");
	log_record(id, priority,
		   LOG_FIELDS({ FIELD_UID, LOG_NUMBER(creds->uid) },
			      { FIELD_PID, LOG_NUMBER(creds->pid) }, { FIELD_UNIT, creds->unit },
			      { FIELD_SENDER, creds->name },
			      { FIELD_METHOD, sd_bus_message_get_member(call->message) },
			      { FIELD_MODE,
				decision->allowed ? mode_to_string(decision->mode) : NULL },
			      { FIELD_ERROR, error },
			      { FIELD_REASON, reason_to_string(decision->reason) },
			      { FIELD_DEVICE, .values = devices }, { FIELD_RULE, .values = rules }),
		   "User %u %s %s: %s", creds->uid, word, text ? text : "", why);
}

void record_allowed(const struct call *call, const struct decision *decision)
{
	record_decision(call, decision, MESSAGE_ALLOWED, LOG_INFO, NULL, "may have",
			mode_to_string(decision->mode));
}

bool may_record_refusal(const struct call *call)
{
	uid_t uid = call->creds->uid;
	uint64_t now = 0, missed;

	sd_event_now(call->manager->event, CLOCK_MONOTONIC, &now);
	if (!refusals_note(&call->manager->refusals, uid, now, &missed))
		return false;
	if (missed)
		log_notice("%llu refusals of user %u were not recorded: too many in a short time",
			   (unsigned long long)missed, uid);
	return true;
}

void record_refused(const struct call *call, const struct decision *decision)
{
	if (!may_record_refusal(call))
		return;
	record_decision(call, decision, MESSAGE_REFUSED, LOG_NOTICE,
			reason_to_error(decision->reason), "was refused",
			decision->message ? decision->message : "");
}

void record_denied(const struct call *call, const struct decision *decision, const char *reason)
{
	if (!may_record_refusal(call))
		return;
	record_decision(call, decision, MESSAGE_REFUSED, LOG_NOTICE, "AccessDenied", "was refused",
			reason ? reason : "polkit");
}

static int lease_names(const struct lease *lease, enum device_state state, char ***names)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < lease->n_devices; i++)
		if (lease->devices[i].state == state)
			r = strv_extend(names, lease->devices[i].name);
	return r;
}

static int lease_numbers(const struct lease *lease, char ***groups)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < lease->n_groups; i++)
		r = strv_extendf(groups, "%u", lease->groups[i].id);
	return r;
}

void record_leased(const struct call *call, const struct lease *lease)
{
	const struct creds *creds = call->creds;
	_cleanup_strv_ char **granted = NULL, **withheld = NULL, **groups = NULL;
	_cleanup_free_ char *text = NULL;

	if (lease_names(lease, DEVICE_GRANTED, &granted) < 0 ||
	    lease_names(lease, DEVICE_WITHHELD, &withheld) < 0 || lease_numbers(lease, &groups) < 0)
		return;
	text = strv_join(granted, " ");
	log_record(MESSAGE_LEASED, LOG_INFO,
		   LOG_FIELDS({ FIELD_LEASE, lease->id }, { FIELD_NAME, lease->name },
			      { FIELD_MODE, mode_to_string(lease->mode) },
			      { FIELD_OWNER, LOG_NUMBER(lease->owner) },
			      { FIELD_UID, LOG_NUMBER(creds->uid) },
			      { FIELD_PID, LOG_NUMBER(creds->pid) }, { FIELD_UNIT, creds->unit },
			      { FIELD_DEVICE, .values = granted },
			      { FIELD_WITHHELD, .values = withheld },
			      { FIELD_GROUP, .values = groups }),
		   "Lease %s: user %u has %s in mode %s", lease->id, lease->owner, text ? text : "",
		   mode_to_string(lease->mode));
}

void record_claim_failed(const struct call *call, const struct lease *lease,
			 const struct failure *failure)
{
	log_record(MESSAGE_CLAIM_FAILED, LOG_ERR,
		   LOG_FIELDS({ FIELD_LEASE, lease->id },
			      { FIELD_UID, LOG_NUMBER(call->creds->uid) },
			      { FIELD_ERROR, failure->error }, { FIELD_REASON, failure->message }),
		   "Lease %s could not be made: %s", lease->id,
		   failure->message ? failure->message : failure->error);
}

void record_control(const struct call *call, const struct lease *lease, const char *error)
{
	const struct creds *creds = call->creds;
	const char *method = sd_bus_message_get_member(call->message);

	if (error && !may_record_refusal(call))
		return;
	log_record(MESSAGE_CONTROLLED, error ? LOG_NOTICE : LOG_INFO,
		   LOG_FIELDS({ FIELD_LEASE, lease->id }, { FIELD_OWNER, LOG_NUMBER(lease->owner) },
			      { FIELD_UID, LOG_NUMBER(creds->uid) },
			      { FIELD_PID, LOG_NUMBER(creds->pid) }, { FIELD_UNIT, creds->unit },
			      { FIELD_SENDER, creds->name }, { FIELD_METHOD, method },
			      { FIELD_ERROR, error }),
		   "Lease %s: user %u %s %s", lease->id, creds->uid,
		   error ? "was refused" : "calls", method);
}
