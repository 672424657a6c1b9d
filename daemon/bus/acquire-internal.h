/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What Acquire and AddDevices share: the way from a request through the decision, polkit and
 * modules to a claim is the same, and in acquire.c.
 */

#include "daemon/bus/call.h"
#include "daemon/bus/judge.h"
#include "daemon/bus/modules.h"
#include "daemon/bus/polkit.h"
#include "daemon/bus/request.h"

struct acquire {
	struct bus_request *request;
	struct request ask;
	struct judge *judge;
	struct decision *asked; /* the decision that the user was asked about */
	struct polkit_query *polkit;
	struct modules_load *modules;
	struct engine *engine;
	struct lease *claiming; /* in the engine's hands, its outcome is due */
	bool lifeline_is_process;
	bool modules_loaded;

	/* AddDevices */
	char *lease_id; /* that is to have them; NULL: Acquire */
	struct call *call;
	bool adding;			     /* in the engine's hands */
	char **added;			     /* the devices to be granted */
	uint32_t groups[REQUEST_GROUPS_MAX]; /* new ones among theirs */
	size_t n_groups;
};

/* What the method does: reads the request, and has begin() called with a struct acquire. */
int acquire_start(sd_bus_message *m, void *userdata, enum request_for request_for,
		  void (*begin_call)(struct call *call), sd_bus_error *error);
/* Cancels what is under way. */
void acquire_free(void *acquire);
/* False (and the call is answered) when the user has too many handoffs. */
bool acquire_handoff_possible(struct call *call);
/* The first step; call->data is a struct acquire whose question is filled in. */
void acquire_judge(struct call *call);
