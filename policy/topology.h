/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the host has: IOMMUs, groups and devices, as values. daemon/sysfs/ reads them from the
 * kernel and puts them in here; decide() and the bus read them. Nothing here opens a file.
 *
 * Pointers into a topology are good until it is changed the next time. Whoever needs a device
 * for longer keeps its name and its identity.
 */

#include "policy/base.h"
#include "policy/health.h"
#include "policy/iommu-caps.h"

/*
 * Everybody includes uthash through here: running out of memory is an error like any other, not
 * an exit (an element that could not be added has hh.tbl == NULL), and the hash function is one
 * that compilers do not complain about.
 */
#define HASH_NONFATAL_OOM		  1
#define HASH_FUNCTION(key, length, value) HASH_OAT(key, length, value)
#include <uthash.h>

/* Why the host needs a device now. The names are those of the policy's "waive". */
enum use_kind {
	USE_BLOCK,   /* a block device below it cannot be opened O_EXCL */
	USE_NETWORK, /* an interface with an address, a route or something above it */
	USE_CONSOLE, /* the console's display or serial port */
	USE_NODES,   /* an open device node: DRM, sound, tty, watchdog */
	USE_VFS,     /* a physical function with virtual functions enabled */
	USE_MAX,
	USE_INVALID = -1,
};
DECLARE_STRING_TABLE(use_kind, enum use_kind)

struct use {
	enum use_kind kind;
	char *text; /* for people: "sda1 is mounted on /", "eth0 has the address 10.0.0.2" */
};

struct use_list {
	struct use *items;
	size_t n;
};

/* Appends a use with a formatted text. Returns 0 or -ENOMEM. */
int use_list_add(struct use_list *list, enum use_kind kind, const char *format, ...) _printf_(3, 4);
void use_list_done(struct use_list *list);
bool use_list_equal(const struct use_list *a, const struct use_list *b);

/* A number that was not there, or not a number: no device has this as id. */
#define ID_UNKNOWN UINT32_MAX

struct iommu {
	char *name;   /* directory of /sys/class/iommu: dmar0, ivhd0, smmu3.… */
	char *driver; /* intel-iommu, amd-iommu, arm-smmu-v3, virtio_iommu; "" if unknown */
	struct iommu_caps caps;
	uint32_t leases; /* how many have a group behind it: iommu_use_update() alone sets it */
	UT_hash_handle hh;
};

enum group_kind {
	GROUP_IOMMU,	/* isolated by an IOMMU */
	GROUP_EMULATED, /* a mediated device's: isolated by its parent driver */
	GROUP_NOIOMMU,	/* no isolation at all: never handed out */
	GROUP_KIND_MAX,
	GROUP_KIND_INVALID = -1,
};
DECLARE_STRING_TABLE(group_kind, enum group_kind)

/* /sys/kernel/iommu_groups/N/reserved_regions, one line. Bounds are inclusive, as there. */
struct reserved_region {
	uint64_t start;
	uint64_t end;
	char *type; /* direct, msi, reserved, direct-relaxable */
};

struct device;

struct group {
	uint32_t id;
	uint64_t generation; /* differs each time the kernel makes a group of this id */
	uint64_t appearance; /* inode of its directory in sysfs, as a device's; 0: not known */
	enum group_kind kind;
	char *type;		 /* the kernel's domain type: DMA, DMA-FQ, identity, …; or "" */
	struct device **devices; /* by name */
	size_t n_devices;
	struct reserved_region *regions;
	size_t n_regions;
	UT_hash_handle hh;
};

struct device {
	char *name;	 /* sysfs name, unique in the topology: 0000:03:00.0 */
	char *subsystem; /* pci, platform, mdev, … */
	char *syspath;	 /* real path: /sys/devices/pci0000:00/… */
	/*
	 * Differs for each appearance: a device that goes and another that comes to the same
	 * address have two identities. Never 0.
	 */
	uint64_t identity;
	/*
	 * The inode of its directory in sysfs, which the kernel never uses twice in a boot: proof,
	 * also to the next daemon, that a device is the one that was there. 0: not known.
	 */
	uint64_t appearance;

	uint32_t vendor, product, subvendor, subproduct; /* 16 bits, or ID_UNKNOWN */
	uint32_t class_code;				 /* 24 bits, or ID_UNKNOWN */
	char *driver;					 /* bound driver; NULL for none */
	char *model;					 /* from the hardware database; or NULL */
	/*
	 * The PCI device serial number, "00-1b-21-ff-ff-a0-36-9f"; "": it has none; NULL: not
	 * known. As of the last survey, like the uses.
	 */
	char *serial;
	char *slot;	   /* physical slot's name; or NULL */
	char *vfio_node;   /* cdev name, "vfio3"; or NULL */
	char *vfio_driver; /* the driver for a grant: vfio-pci or its variant; NULL: cannot be */
	int numa_node;	   /* -1 for none */
	char **reset_methods;
	char *physical_function;  /* of a VF: the PF's name; or NULL */
	char **virtual_functions; /* of a PF: names of the enabled VFs */
	unsigned int total_vfs;	  /* of a PF: how many VFs it can have; 0: it is none */
	bool sriov_busy;	  /* its virtual functions are being changed; kept over changes */
	bool unprobed;		  /* a VF made with the VF fence on: is to stay so; kept as well */
	struct error_counters errors;
	enum health health;	     /* kept over changes, as uses are */
	enum recovery last_recovery; /* the event before, if it is recovering or failed */
	bool has_eeh;		     /* the platform has EEH, and says the device's state */
	enum eeh_state eeh;	     /* as of the last survey; EEH_INVALID: not known yet */
	struct use_list uses;	     /* as of the last survey */
	bool bridge;		     /* PCI header type 1 or 2: VFIO cannot take it */

	uint32_t group_id;   /* ID_UNKNOWN for a device in no group */
	char *iommu_name;    /* or NULL */
	struct group *group; /* set by the topology; NULL for none */
	UT_hash_handle hh;
};

struct topology {
	struct iommu *iommus;	/* uthash by name */
	struct group *groups;	/* uthash by id */
	struct device *devices; /* uthash by name */
	uint64_t last_identity;
	uint64_t last_generation;
	unsigned char *numa; /* distances, row by row; NULL: not known */
	size_t n_numa;
};

/*
 * The distances of NUMA nodes, n times n, as /sys/devices/system/node/nodeN/distance has them (the
 * firmware's table: 10 is the node itself). Takes the array (malloc'ed).
 */
void topology_take_numa(struct topology *t, unsigned char *distances, size_t n);
/* Between two nodes; where it is not known, 10 for the same and 20 for another. */
unsigned int topology_numa_distance(const struct topology *t, int from, int to);

/* What topology_put_*() and _remove_*() did; the caller turns it into announcements. */
enum topology_change {
	TOPOLOGY_SAME,
	TOPOLOGY_ADDED,
	TOPOLOGY_CHANGED,
	TOPOLOGY_REMOVED,
	TOPOLOGY_REPLACED, /* another device at the same name: a new identity */
};

void topology_init(struct topology *t);
void topology_done(struct topology *t);

struct device *device_new(const char *name, const char *subsystem);
struct device *device_free(struct device *device);
DEFINE_CLEANUP(struct device *, device_free)

/* Lookups: NULL if there is none. */
struct iommu *topology_iommu(const struct topology *t, const char *name);
struct group *topology_group(const struct topology *t, uint32_t id);
struct device *topology_device(const struct topology *t, const char *name);

/*
 * Puts what was read of a device: adds it, or updates the one of its name. Takes ownership of
 * `device` in every case. Its group is made when it is the first of it; the group that it left
 * is removed with its last device. Identity and uses of an unchanged device are kept; vendor,
 * product, subsystem vendor and product, subsystem or syspath that differ make it another device
 * (TOPOLOGY_REPLACED). Returns an enum topology_change, or -ENOMEM.
 */
int topology_put_device(struct topology *t, struct device *device);

/* The bridge (or other device) that a device is right below, by its path; NULL: none that is known.
 */
const struct device *topology_parent(const struct topology *t, const struct device *device);

/* Removes a device, and its group if it was the last. TOPOLOGY_REMOVED or TOPOLOGY_SAME. */
int topology_remove_device(struct topology *t, const char *name);

/*
 * Sets what was read of a group that exists: takes `regions` (malloc'ed, with types) in every
 * case, copies `type`. Returns TOPOLOGY_SAME, TOPOLOGY_CHANGED or -ENOMEM; -ENOENT for a group
 * without a device.
 */
int topology_set_group(struct topology *t, uint32_t id, enum group_kind kind, const char *type,
		       struct reserved_region *regions, size_t n_regions);
void reserved_regions_free(struct reserved_region *regions, size_t n);
/*
 * The group's directory has this inode: another one than before is another group of the same id,
 * and has another generation. TOPOLOGY_SAME or _REPLACED.
 */
int topology_note_group(struct topology *t, uint32_t id, uint64_t appearance);

/* TOPOLOGY_SAME, _ADDED, _CHANGED or -ENOMEM. */
int topology_put_iommu(struct topology *t, const char *name, const char *driver);
/* Sets what it can do; takes over what caps has. TOPOLOGY_SAME, _CHANGED, or -ENOENT. */
int topology_set_iommu_caps(struct topology *t, const char *name, struct iommu_caps *caps);
int topology_remove_iommu(struct topology *t, const char *name);

/* Sets the serial number of a device. TOPOLOGY_SAME, _CHANGED or -ENOMEM. */
int device_set_serial(struct device *device, const char *serial);
/* Replaces the uses of a device; takes over the list's items. TOPOLOGY_SAME or _CHANGED. */
int device_take_uses(struct device *device, struct use_list *uses);

/*
 * Whether the kernel counts a driver as a user of DMA through the host: while a device of a
 * group is bound to one that counts, the group is not viable. NULL (no driver) does not count.
 * Since Linux 5.19 these do not count: the VFIO drivers, pcieport, pci-stub
 * (drivers/vfio/group.c and driver_managed_dma in the drivers).
 */
bool driver_counts(const struct device *device);
/* Whether the device is on a VFIO driver: vfio-pci, its variant, vfio-platform, … */
bool device_on_vfio(const struct device *device);
bool driver_is_vfio(const char *driver, const char *vfio_driver);
/*
 * The bus of a device that can be leased, by its name alone, for who has no more: an address is
 * "pci", a UUID is "mdev" (mdev_device_create() takes no other name), the rest is "platform".
 */
const char *device_bus_of_name(const char *name);
/* Whether devices of a bus can be leased, and have a driver_override: all but mediated ones. */
bool bus_can_be_leased(const char *subsystem);
bool bus_has_override(const char *subsystem);

/* Sorted iteration helpers for those who list: a new array of pointers, *n of them; or NULL. */
struct device **topology_devices_sorted(const struct topology *t, size_t *n);

#define HASH_FOREACH(item, head)                                                                  \
	for (__typeof__(&*(head)) item = (head), item##_next = item ? item->hh.next : NULL; item; \
	     item = item##_next, item##_next = item ? item->hh.next : NULL)
