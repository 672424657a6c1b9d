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
typedef void (*survey_changed_fn)(const char *device, void *userdata);

/* changed: the uses of a device, in the topology already, are others now. -errno. */
int survey_new(sd_event *event, const struct host *host, struct topology *topology,
	       survey_changed_fn changed, void *userdata, struct survey **survey);
struct survey *survey_free(struct survey *survey);
DEFINE_CLEANUP(struct survey *, survey_free)

/* Something changed: looks soon, at most every other second. */
void survey_poke(struct survey *survey);
