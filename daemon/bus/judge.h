/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A decision with fresh eyes: decide(), and where that allows, a look at the devices by a worker
 * (are they in use? what do they have?), and decide() again with what it saw. Acquire does this
 * before a claim, Explain instead of one.
 */

#include "daemon/lease/inspect.h"
#include "daemon/manager.h"

struct judge;

/* r: 0: judge_decision() is there; 1: the topology moved under it; -errno. */
typedef void (*judge_fn)(struct judge *judge, int r, void *userdata);

/*
 * Starts. ask is borrowed until the judge is freed. Returns 0: done() comes from the event loop;
 * 1: it is decided already, without a look (refused, or nothing to look at), and done() will not
 * be called; -errno.
 */
int judge_start(struct manager *manager, const struct request *ask, judge_fn done, void *userdata,
		struct judge **judge);
const struct decision *judge_decision(const struct judge *judge);
/* What the worker saw of a device; NULL: it was not looked at (it is clean, or stays as it is). */
const struct inspected *judge_found(const struct judge *judge, const char *device);
struct judge *judge_free(struct judge *judge);
DEFINE_CLEANUP(struct judge *, judge_free)
