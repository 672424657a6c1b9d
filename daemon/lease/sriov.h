/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A change of a device's virtual functions, in a child: it goes on when nobody waits for it any
 * more, and no second one begins meanwhile (device->sriov_busy, which decide() looks at). Nor when
 * the daemon is another one: the child holds the lock of /run/vfiod/sriov-DEVICE while it lives,
 * and the file says whether the VF fence that it raised is up still.
 */

#include "daemon/sysfs/sriov.h"
#include "policy/topology.h"

#include <systemd/sd-event.h>

struct sriov_change;

/*
 * r: 0 or -errno of the step; -ECANCELED when the child died. why: in words, or "". Called once,
 * unless it was abandoned; the topology has been asked to be read again by `settled` before.
 */
typedef void (*sriov_done_fn)(struct sriov_change *change, int r, enum sriov_step step,
			      const char *why, void *userdata);

struct sriov_changes {
	sd_event *event;
	const struct host *host;
	int dir; /* the directory of the journals; what runs is on disk in the one above it */
	struct topology *topology;
	/* The device is to be read again, with its virtual functions: the change is over. */
	void (*settled)(const char *device, void *userdata);
	void *userdata;
	struct sriov_change *first;
};

/* waive: kinds of use of those that go that do not refuse (bit per enum use_kind). */
int sriov_start(struct sriov_changes *changes, const struct device *device, unsigned int n,
		unsigned int waive, sriov_done_fn done, void *userdata,
		struct sriov_change **change);
/* A device has come, or one in another's place, while its functions are being changed, maybe. */
void sriov_device_came(struct sriov_changes *changes, const char *device);
/*
 * After the first scan: waits for those of an earlier daemon, and lowers the fences of those that
 * died. The devices are busy meanwhile.
 */
void sriov_recover(struct sriov_changes *changes);
/* Nobody waits any more; it goes on. */
void sriov_abandon(struct sriov_change *change);
/* At the end of the daemon: what runs goes on, and the next one waits for it. */
void sriov_changes_done(struct sriov_changes *changes);
