/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The survey: a child that looks, without touching anything, why the host needs each device. For
 * lists and pictures; a claim looks by itself, and harder.
 */

#include "daemon/sysfs/host.h"
#include "policy/topology.h"

#include <systemd/sd-event.h>

struct survey;

struct survey_ops {
	/* The uses of a device, in the topology already, are others now. */
	void (*changed)(const char *device, void *userdata);
	/* Its driver is another one than the topology has: it is to be read again. */
	void (*stale)(const char *device, void *userdata);
};

/* ops: borrowed for as long as the survey lives. -errno. */
int survey_new(sd_event *event, const struct host *host, struct topology *topology,
	       const struct survey_ops *ops, void *userdata, struct survey **survey);
struct survey *survey_free(struct survey *survey);
DEFINE_CLEANUP(struct survey *, survey_free)

/* Something changed: looks soon, at most every other second. */
void survey_poke(struct survey *survey);
