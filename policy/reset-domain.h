/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a reset reaches, from topology alone, and whether a lease may have it done: pure. Resets are
 * the kernel's (drivers/pci/pci.c, Linux 6.12):
 *
 *   function  the device itself, by whichever of its reset methods works first. Its VFs go through
 * it with a PF, and mediated devices with their parent. "bus" among the methods means a bus reset
 * of a device that is alone on its bus: the kernel offers it to no other. bus       the secondary
 * bus of the bridge above: everything below that bridge, at any depth. slot      all functions in
 * the device's physical slot, and all that is below them. What resets a slot (pciehp and others)
 * resets the link below a port, on which there is no other slot; on a bus with several slots nobody
 * can reset one alone.
 */

#include "policy/ledger.h"
#include "policy/topology.h"

enum reset_kind {
	RESET_FUNCTION,
	RESET_SLOT,
	RESET_BUS,
	RESET_AUTO, /* the least of them that can be had */
	RESET_KIND_MAX,
	RESET_KIND_INVALID = -1,
};
DECLARE_STRING_TABLE(reset_kind, enum reset_kind)

struct reset_domain {
	const struct device **devices; /* by name; borrowed from the topology */
	size_t n;
	/* The bridge whose secondary bus is reset: below it is all of the domain. NULL: a function.
	 */
	const struct device *bridge;
};
void reset_domain_done(struct reset_domain *domain);
bool reset_domain_has(const struct reset_domain *domain, const struct device *device);

enum {
	RESET_NONE = 1, /* nothing resets this device in that way; *why says so, literally */
};
/*
 * What a reset of a kind (not auto) reaches. 0 and a domain of the caller, with the device in it;
 * RESET_NONE, with what it would reach for a slot that cannot be reset alone, else empty; -ENOMEM.
 */
int reset_domain(const struct topology *topology, const struct device *device, enum reset_kind kind,
		 struct reset_domain *domain, const char **why);

/* Everything that a reset of any kind of this device reaches; empty where there is none. -ENOMEM.
 */
int reset_domain_any(const struct topology *topology, const struct device *device,
		     struct reset_domain *domain);

/* Firmware's frame buffer has no driver on the device; what else uses one has. */
bool reset_hits_console(const struct device *device);

/* A device in the way, and who has it. */
struct reset_missing {
	const struct device *device;
	char *who;
};
struct reset_missing_list {
	struct reset_missing *items;
	size_t n;
};
void reset_missing_done(struct reset_missing_list *list);

/*
 * What of a domain the lease may not have reset: all that is not its own (granted, or kept shut by
 * it) and has a driver, or the console without one, or is in another lease's hands. 0 or -ENOMEM.
 */
int reset_missing(const struct ledger *ledger, const struct lease *lease,
		  const struct reset_domain *domain, struct reset_missing_list *missing);

/*
 * Reserves the groups of the domain that the lease does not have: nobody claims one until
 * reset_unreserve(). 0 or -ENOMEM.
 */
int reset_reserve(struct lease *lease, const struct reset_domain *domain);
void reset_unreserve(struct lease *lease);
