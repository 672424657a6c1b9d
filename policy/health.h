/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What broke: the kernel's words about errors of a device (recovery events, AER counters, the EEH
 * state), as values. Nothing here reads sysfs or hears a uevent.
 */

#include "policy/base.h"

/* Whether a device may be given away. The names are those of Device.Health. */
enum health {
	HEALTH_OK,
	HEALTH_RECOVERING, /* the kernel's recovery has begun, and not ended */
	HEALTH_FAILED,	   /* it could not recover: stays so until a reset or an administrator */
	HEALTH_MAX,
	HEALTH_INVALID = -1,
};
DECLARE_STRING_TABLE(health, enum health)

/* A recovery event. The names are those of the signal Lease.DeviceError. */
enum recovery {
	RECOVERY_BEGIN,
	RECOVERY_SUCCESS,
	RECOVERY_FAILED,
	RECOVERY_MAX,
	RECOVERY_INVALID = -1,
};
DECLARE_STRING_TABLE(recovery, enum recovery)

/*
 * The value of ERROR_EVENT in a `change` uevent: an enum recovery, or -EINVAL for a word that is
 * not known (pci_uevent_ers() in drivers/pci/pci-driver.c; AER, DPC, EEH and s390 all use it).
 */
int recovery_from_uevent(const char *error_event);

/*
 * What an event makes of a device. One that failed stays failed: that a later recovery went well
 * says nothing about what the first one left behind.
 */
enum health health_after(enum health now, enum recovery event);

enum severity {
	SEVERITY_CORRECTABLE,
	SEVERITY_NONFATAL,
	SEVERITY_FATAL,
	SEVERITY_MAX,
	SEVERITY_INVALID = -1,
};
DECLARE_STRING_TABLE(severity, enum severity)

/* The attribute of sysfs with the counters of a severity: "aer_dev_fatal". */
const char *severity_attribute(enum severity severity);

struct error_counter {
	char *name; /* the kernel's word, "BadTLP"; the sum is "total" */
	uint64_t count;
};

/* Of a device without AER: present is false. What was never counted is left out, but for the sum.
 */
struct error_counters {
	struct {
		struct error_counter *items; /* in the kernel's order, "total" last */
		size_t n;
		bool present;
	} of[SEVERITY_MAX];
};

/*
 * Reads the text of one attribute: lines "NAME COUNT", the sum as TOTAL_ERR_COR, TOTAL_ERR_NONFATAL
 * or TOTAL_ERR_FATAL (aer_stats_dev_attr() in drivers/pci/pcie/aer.c). Replaces what was there of
 * that severity. 0; -EBADMSG for anything else, -ENOMEM: then nothing of it is present.
 */
int error_counters_parse(struct error_counters *counters, enum severity severity, const char *text);
void error_counters_done(struct error_counters *counters);
bool error_counters_equal(const struct error_counters *a, const struct error_counters *b);
bool error_counters_present(const struct error_counters *counters);

/* The state of a device's partitionable endpoint, where the platform has EEH (POWER). */
enum eeh_state {
	EEH_NORMAL,
	EEH_FROZEN, /* I/O or DMA is stopped, or it is isolated */
	EEH_RECOVERING,
	EEH_RESET, /* its reset is asserted */
	EEH_UNAVAILABLE,
	EEH_UNSUPPORTED,
	EEH_REMOVED, /* for good */
	EEH_UNKNOWN, /* the firmware did not answer */
	EEH_MAX,
	EEH_INVALID = -1,
};
DECLARE_STRING_TABLE(eeh_state, enum eeh_state)

/*
 * Reads `eeh_pe_state`: "0xFIRMWARE 0xFLAGS" (eeh_pe_state_show() in
 * arch/powerpc/kernel/eeh_sysfs.c, the bits in arch/powerpc/include/asm/eeh.h). An enum eeh_state,
 * or -EBADMSG.
 */
int eeh_state_parse(const char *text);
