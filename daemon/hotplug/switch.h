/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The processes of broker-driven probing, as the loop starts them: the one that switches, the
 * keeper (net.h), and the watch that tells when somebody else writes to drivers_autoprobe.
 */

#include "daemon/sysfs/host.h"
#include "policy/ledger.h"

#include <systemd/sd-event.h>

/* ---- switching */

enum switch_to {
	SWITCH_TAKE,	  /* file, then 0; then as LOOK */
	SWITCH_GIVE_BACK, /* net_run() */
	SWITCH_LOOK,	  /* says who waits */
};

struct switch_request {
	enum switch_to to;
	const struct host *host;
	int dir;
	int lock; /* the process holds it too: it may live longer than the daemon */
	const struct ledger *ledger;
	bool blind;
};

struct switcher_ops {
	/* A device that waits for its first probe. */
	void (*waits)(const char *device, void *userdata);
	/* Once, at the end. prior: what drivers_autoprobe is to be again. */
	void (*done)(int result, bool prior, void *userdata);
};

struct switcher;
int switcher_start(sd_event *event, const struct switch_request *request,
		   const struct switcher_ops *ops, void *userdata, struct switcher **switcher);
struct switcher *switcher_free(struct switcher *switcher);

/* ---- the keeper */

struct keeper;
/* died: it ended, though nobody dismissed it. */
int keeper_start(sd_event *event, const struct host *host, int dir, int journal_dir,
		 void (*died)(void *userdata), void *userdata, struct keeper **keeper);
/* It is not needed any more: it goes, and does nothing. */
struct keeper *keeper_dismiss(struct keeper *keeper);
/* As if the daemon had ended: it acts. */
struct keeper *keeper_free(struct keeper *keeper);

/* ---- the watch */

struct autoprobe_watch;
int autoprobe_watch_new(sd_event *event, const struct host *host, void (*written)(void *userdata),
			void *userdata, struct autoprobe_watch **watch);
struct autoprobe_watch *autoprobe_watch_free(struct autoprobe_watch *watch);
