/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Between the files of the manager. */

#include "daemon/manager.h"
#include "daemon/survey.h"

void manager_events_init(struct manager *manager);
extern const struct monitor_ops manager_monitor_ops;
extern const struct survey_ops manager_survey_ops;
void manager_on_surveyed(const char *device, void *userdata);
void manager_policy_done(struct manager *manager);
void manager_maybe_ready(struct manager *manager);
/* One line for systemctl status. */
void manager_status(struct manager *manager);
