/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Devices that come, go and are interfered with under a lease, and what is told of them: for the
 * tests of the fences and of the guard. The mocked kernel binds no driver to what comes by itself:
 * a test that wants one to have been faster says so.
 */

#include "tests/bus/picture.h"

#define COMER	   "0000:02:03.0"
#define COMER_PATH DEVICE_PATH "pci_0000_02_03_0"

/* A client of alice's that hears DeviceFenced, and a watch. */
struct comers {
	struct client *alice;
	struct watch *watch;
	sd_bus_slot *slot;
	char **fenced; /* "DEVICE GROUP OUTCOME" of each DeviceFenced */
};
extern struct comers comers;
#define alice comers.alice

/* Fixtures: bed_start() and bed_stop(), with the rest. At the end the watch is settled. */
void comers_start(void);
void comers_stop(void);

size_t n_fenced(void);
/* The signal of that number, or NULL. */
const char *fence_record(size_t i);

/* driver: it was faster, and has bound the device before anybody hears of it. NULL: none. */
void come_with(const char *name, const struct mock_pci *pci, const char *driver);
void come_as(const char *name, int group, unsigned int device, const char *driver);
/* An e1000 at COMER, in group 2. */
void come(const char *driver);
void go(const char *name);

/* On no driver, with the override "none". */
bool is_shut(const char *device);
/* "" for none, both */
bool is_on(const char *device, const char *driver, const char *override);

/* kill -9, and the bus has noticed. */
void kill_daemon(void);
/* Releases by root, and waits until it is home. */
void release_by_root(const char *lease);

/* What setpci does, with bit 2 of the command register. */
void set_bus_master(const char *device, bool on);
bool is_bus_master(const char *device);
