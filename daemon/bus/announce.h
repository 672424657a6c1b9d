/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Announcements: InterfacesAdded, InterfacesRemoved and PropertiesChanged, coalesced per turn of
 * the event loop. Whoever changes the model says which objects it touched; what really changed is
 * found here, by comparing each property with what was announced last.
 */

#include "daemon/bus/object.h"

struct announcer;

/* bus: borrowed. */
int announcer_new(struct manager *manager, sd_bus *bus, struct announcer **announcer);
struct announcer *announcer_free(struct announcer *announcer);
DEFINE_CLEANUP(struct announcer *, announcer_free)

/*
 * The object at `path` was added, changed or removed: looks at the end of the turn. replaced: what
 * is there now is not what was there before. Cannot fail: without memory an announcement is late
 * until the next one of that object.
 */
void announce(struct announcer *announcer, const struct object_class *class, const char *path,
	      bool replaced);
/* Sends what is due now: before a reply that must come after it. */
void announce_flush(struct announcer *announcer);
