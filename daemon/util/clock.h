/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What time it is, in microseconds. The pure core in policy/ has no clock: it is told. */

#include <stdint.h>
#include <time.h>

/* Cannot fail: both clocks are always there, and a struct of ours is always writable. */
static inline uint64_t clock_usec(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* CLOCK_MONOTONIC, which sd-event's timers and the times of events have too: for durations. */
static inline uint64_t monotonic_usec(void)
{
	return clock_usec(CLOCK_MONOTONIC);
}

/* CLOCK_REALTIME, which the administrator may set: for what is shown, and outlives the daemon. */
static inline uint64_t realtime_usec(void)
{
	return clock_usec(CLOCK_REALTIME);
}
