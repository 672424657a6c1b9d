/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Journal records of what clients asked for and got. */

#include "daemon/bus/call.h"

/* False: this user's refusals are not recorded for now. Counts one. */
bool may_record_refusal(const struct call *call);
void record_allowed(const struct call *call, const struct decision *decision);
void record_refused(const struct call *call, const struct decision *decision);
/* Allowed by the rules, denied by polkit. */
void record_denied(const struct call *call, const struct decision *decision, const char *reason);
void record_leased(const struct call *call, const struct lease *lease);
void record_claim_failed(const struct call *call, const struct lease *lease,
			 const struct failure *failure);

/* A lease's method was called by one who controls it (error NULL) or does not. */
void record_control(const struct call *call, const struct lease *lease, const char *error);

/* The ids of the deciding rules, each once: a vector of the caller. 0 or -ENOMEM. */
int decision_rules(const struct decision *decision, char ***rules);
