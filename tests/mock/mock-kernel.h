/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The mocked kernel: what the driver core and VFIO do to a mocked host's tree when somebody writes
 * to sysfs. Rules as of Linux 6.12: drivers/base/bus.c, dd.c, drivers/vfio. Both the mocked
 * store.c of the daemon and mock-host.c drive it; all state is in files, so they can be in
 * different processes.
 *
 * Beside sys/, dev/ and proc/ the root of a mocked host has
 *
 *   fail/OP/DEVICE   "ERRNO [COUNT [AFTER]]": OP fails so, COUNT times (0: always), but for its
 *                    first AFTER times; "ignore": it does nothing and says 0; "kill": who
 *                    does it is killed before it does anything
 *                    OP: OVERRIDE, UNBIND, PROBE, BIND, RESET, NUMVFS; REMOVE
 *                    and CREATE of a mediated device; STORE (of an attribute); GROUP (of a
 *                    group); OPEN, ATTACH, SETTLE, GRANT for others
 *   fail-at          "ERRNO N": of all that the daemon does, counted from 0 in `calls` while this
 *                    is there, the Nth fails so; `failed` is there then, and says which it was
 *   slow/OP/DEVICE   milliseconds before OP
 *   stall/OP/DEVICE  OP waits while this is there
 *   held/DEVICE      an unbind from VFIO waits while this is there
 *   open/NAME        FIFO of a VFIO node; an unbind waits while it has readers
 *   owned/GROUP      DMA ownership of the group is taken: host drivers are refused
 *   old-kernel       driver_override takes the device lock (before 6.12.91)
 *   physfn/DEVICE    the PF of a VF
 *   busy/NAME        a block device is open exclusively
 *   foreign/NODE     who else may open a node, in words
 *   acl/NODE/UID     an ACL entry
 *   network/IFNAME   "address A" and "route R" lines
 *   features         words: group, iommufd, cdev
 *   real-proc        the daemon uses the real /proc
 *   release          of the kernel; 6.12 if it is not there
 *   log              what was written, a line each, with what came of it
 *   uevent-drops     events for which its buffer has no room are dropped: mk_event_lost() is next
 *   uevent           socket on which the daemon hears of events
 */

#include "policy/base.h"

#include <sys/types.h>

enum {
	MK_IGNORE = 1, /* a fault that does nothing */
};

/* The directory of a device, "sys/devices/…", of the caller; NULL: there is none. */
char *mk_device_path(int root, const char *bus, const char *device);

/* The three writes; 0 or -errno. `value` without newline, "" clears. */
int mk_override(int root, const char *bus, const char *device, const char *value);
int mk_unbind(int root, const char *bus, const char *driver, const char *device);
int mk_probe(int root, const char *bus, const char *device);

/* Binds without a match, for setting up. 0 or -errno of the driver. */
int mk_bind(int root, const char *bus, const char *device, const char *driver);
/* What `bind` does: -ENODEV where the driver does not match, -EBUSY where there is one. */
int mk_bind_by_hand(int root, const char *bus, const char *device, const char *driver);
/* An attribute of a bus ("drivers_autoprobe"), without newline; in one write, as sysfs does it. */
int mk_store_bus(int root, const char *bus, const char *attr, const char *value);
/*
 * The first probe of a device that has been added: at any rate before Linux 6.19 (file "release"),
 * and as drivers_autoprobe says since.
 */
void mk_first_probe(int root, const char *bus, const char *device);
/* A driver is registered: its event; bound to what it matches if drivers_autoprobe says so. */
void mk_driver_registered(int root, const char *bus, const char *driver);

/* A driver's table: lines "id VVVV:PPPP", "class CCCC", "vfio", "managed-dma". */
bool mk_driver_has(int root, const char *bus, const char *driver, const char *line);

/*
 * What fail/OP/NAME or fail-at says: 0, MK_IGNORE or -errno. Counts down, and waits for
 * slow/OP/NAME.
 */
int mk_fault(int root, const char *op, const char *name);

/* Whether somebody has the node's FIFO open, or held/NAME is there. */
bool mk_is_held(int root, const char *name);
/* Opens the FIFO as VFIO's nodes would be: an fd of the caller or -errno. */
int mk_open(int root, const char *name);

/* Tells the daemon, as kernel and as udev; path below "sys". Nobody listens: that is fine. */
void mk_event(int root, const char *action, const char *subsystem, const char *name,
	      const char *path, const char *driver, const char *devnode);

/* A `change` of a PCI device with the ERROR_EVENT: "FAILED_RECOVERY", … */
void mk_error_event(int root, const char *device, const char *error_event, bool online);

/* The same, as tests/mock/monitor-mock.c has it: "kernel add pci NAME /PATH - - SEQNUM". */
void mk_event_line(int root, const char *line);

/* The next read of the socket says that events were dropped (ENOBUFS), if any were. */
void mk_event_lost(int root);

void mk_log(int root, const char *format, ...) _printf_(2, 3);
uint64_t mk_next(int root, const char *counter);
