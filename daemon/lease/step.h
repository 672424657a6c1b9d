/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The steps of a worker: the one list of everything that changes the host on behalf of a lease.
 * A plan is an array of steps; a worker carries it out in order and reports each step before and
 * after it. plan_*() are pure: lease in, steps out.
 */

#include "daemon/sysfs/host.h"
#include "daemon/sysfs/serial.h"
#include "policy/ledger.h"

/* X(name): also the list for the fault harness. */
#define STEP_KINDS(X)                                                                              \
	X(INSPECT)     /* read driver, override, bus mastering and uses; changes nothing */        \
	X(CHECK)       /* same driver and override as journaled, not in use; hold block devices */ \
	X(OVERRIDE)    /* driver_override = arg (NULL clears) */                                   \
	X(UNBIND)      /* unbind from whatever driver; blocks until the last fd is gone */         \
	X(UNBIND_VFIO) /* the same, but only from a VFIO driver: another one is left alone */      \
	X(SETTLE)      /* where no driver is bound: override none, and whatever unbinds elsewhere  \
			  are under way are over (sysfs_wait_unbound()); not for another device    \
			  that has come to the address */                                          \
	X(PROBE)       /* drivers_probe; with an arg (the driver it had) once more if none has it; \
			  done too where that does not help, with a word in the report */          \
	X(VERIFY)      /* bound driver is arg (NULL: none) */                                      \
	X(QUIET)       /* bus mastering is off; cleared if not; fails if that does not help */     \
	X(NODE_CLEAN)  /* wait for udev, then node is root's alone; reset and cycle once */        \
	X(NODE_GRANT)  /* ACL for the owner */                                                     \
	X(NODE_REVOKE) /* ACL of the owner goes */                                                 \
	X(IDENTITY)    /* the device is the journaled one still, else its rest is skipped */       \
	X(VFS_OFF)     /* VFs of the physical function arg get no driver by themselves */          \
	X(VFS_BACK)    /* they do again */                                                         \
	X(RESET)       /* reset the function */                                                    \
	X(RESET_BUS)   /* reset everything below the bridge arg */

enum step_kind {
#define X(name) STEP_##name,
	STEP_KINDS(X)
#undef X
		STEP_KIND_MAX,
	STEP_KIND_INVALID = -1,
};
DECLARE_STRING_TABLE(step_kind, enum step_kind)

struct step {
	enum step_kind kind;
	const char *device; /* name; borrowed from the lease, as are the rest; or NULL for NODE_* */
	const struct lease_device *lease_device;
	const char *arg;    /* OVERRIDE, VERIFY, PROBE: driver or NULL; NODE_*: path below /dev, or
			     * NULL: the nodes of the device (cdev, and its group) */
	unsigned int waive; /* CHECK, INSPECT: bits of use kinds that do not refuse */
	bool exclusive;	    /* INSPECT: open block devices O_EXCL */
	bool find_serial;   /* INSPECT: the PCI device serial number too, which is not known yet */
	uid_t uid;	    /* NODE_GRANT, NODE_REVOKE; NODE_CLEAN: whose entry is right, or -1 */
	const struct lease *lease; /* RESET, RESET_BUS: whose */
	bool keep_going;	   /* a failure skips the rest of this device, not of the plan */
};

struct plan {
	struct step *steps;
	size_t n;
	const char *name; /* what it is for, in a word: "claim" */
};
void plan_done(struct plan *plan);

/*
 * Takes every device of the lease away from its driver, and only when all are without one binds
 * the first again: a group fd that somebody opened earlier is dead then (I5). waive: per device
 * of the lease, in its order: bits of use kinds. NULL: none.
 */
int plan_claim(const struct lease *lease, const unsigned int *waive, struct plan *plan);
/* The switches of VFs alone, where nothing else is to be done. */
bool lease_switches_vfs(const struct lease *lease);
int plan_vfs_off(const struct lease *lease, struct plan *plan);
/*
 * Of the devices of the lease that are `parking` alone, while it stays leased.
 * plan_grow(): to their target driver, nodes checked; in node mode opened to the owner.
 * plan_park(): off it again, which waits for whoever has one open, and shut off: on the VFIO driver
 * where plan_parks_on_vfio(), else on none.
 */
bool plan_parks_on_vfio(const struct lease *lease, const struct lease_device *d);
int plan_grow(const struct lease *lease, struct plan *plan);
int plan_park(const struct lease *lease, struct plan *plan);
/*
 * The barrier (I5): for each device that is not `left`, UNBIND_VFIO and SETTLE, after NODE_REVOKE
 * in node mode. Also used to roll a claim back, so devices that no step has touched yet, and that
 * their host driver still has, must be left alone. All steps keep going. The owner's entry on
 * /dev/iommu stays: other leases of the owner may need it; who knows them calls node_revoke().
 */
int plan_drain(const struct lease *lease, struct plan *plan);
/* Give drivers and overrides back, one device after the other; failures do not stop the others. */
int plan_restore(const struct lease *lease, struct plan *plan);

/* A device to be reset, and the bridge above it whose bus is; NULL: the function alone. Borrowed.
 */
struct reset_step {
	const struct lease_device *device;
	const char *bridge;
};
/*
 * Resets them in this order, each bus once, and reads back that every device of the lease is where
 * it was and that what is shut off masters no bus. Stops at the first failure.
 */
int plan_reset(const struct lease *lease, const struct reset_step *steps, size_t n,
	       struct plan *plan);

/* What a worker says of a step: a fixed header, then `text`. */
enum step_event { STEP_BEGIN, STEP_DONE, STEP_FAILED, STEP_SKIPPED };
struct step_report {
	uint32_t index;
	int32_t event; /* enum step_event */
	int32_t error; /* errno, positive; 0: none */
	char device[64];
	/* INSPECT's answer */
	char driver[64];    /* "": none */
	char override[128]; /* "": none */
	uint8_t bus_master;
	uint8_t has_serial;	  /* it could be read: */
	char serial[SERIAL_SIZE]; /* "": the device has none */
	uint32_t uses;		  /* bits of use kinds found and not waived */
	/* Lines: a use each ("block\tsda is mounted on /"), or the failure in words. */
	char text[3072];
};

struct step_context {
	const struct host *host;
	const char *subsystem; /* pci */
	const int *lock;       /* the lease's, for what has to survive (mdev.h); NULL: none */
};

/*
 * Carries a plan out in this process, reporting to sock; stops before the next step when sock
 * hangs up (poll). Returns 0: all done; 1: some step failed (each reported) or was not begun;
 * -errno: the report could not be sent. A device that is gone, or (IDENTITY) another one now, is
 * not a failure of a plan that keeps going: the rest of its steps is STEP_SKIPPED, the first of
 * them with the error ENOENT or ESTALE. Before each step it is seen that the device is the one that
 * the lease has, by its appearance.
 */
int steps_run(const struct step_context *context, const struct plan *plan, int sock);
