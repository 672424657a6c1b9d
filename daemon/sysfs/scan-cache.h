/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a scanner keeps between scans: model names (the hardware database is slow), the aliases of
 * VFIO's variant drivers, the names of physical slots, and which sysfs directory each device was.
 */

#include "daemon/sysfs/scan.h"

struct scan_cache *scan_cache_new(void);
struct scan_cache *scan_cache_free(struct scan_cache *cache);
DEFINE_CLEANUP(struct scan_cache *, scan_cache_free)

/* Model of a modalias: 0 and a string of the cache, or NULL for an unknown one. -ENOMEM. */
int scan_cache_model(struct scanner *scanner, const char *modalias, const char **model);

/*
 * The driver to grant a PCI device of this modalias with: the most specific alias of the prefix
 * "vfio_pci:" that the running kernel's modules have, which is the one with the fewest wildcards;
 * else "vfio-pci". A string of the cache. -ENOMEM.
 */
int scan_cache_vfio_driver(struct scanner *scanner, const char *modalias, const char **driver);

/* Reads the physical slots again if there are others than before. 0 or -errno. */
int scan_cache_read_slots(struct scanner *scanner);
/* Name of the slot that a PCI device is in, of the cache; or NULL. */
const char *scan_cache_slot(const struct scanner *scanner, const char *device);

/*
 * The inode of a sysfs directory is never used twice (kernfs ids are 64 bits, counted up; 32 on
 * 32-bit machines): another inode at the same name is another appearance of a device, also when
 * both events were lost. `round` marks what a walk has met.
 */
struct scan_seen {
	char *name;
	uint64_t inode;
	uint64_t round;
};
/* Finds or makes the entry of a name. NULL: out of memory (or with make false: there is none). */
struct scan_seen *scan_cache_seen(struct scan_cache *cache, const char *name, bool make);
void scan_cache_forget(struct scan_cache *cache, const char *name);
uint64_t scan_cache_next_round(struct scan_cache *cache);
uint64_t scan_cache_round(const struct scan_cache *cache);
