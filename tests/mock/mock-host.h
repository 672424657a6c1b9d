/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A vocabulary to build a host in a temporary directory: /sys, /dev and /proc with IOMMUs, groups,
 * devices, drivers, and what they make. What the kernel does on it is in mock-kernel.h, with the
 * files by which a test makes something fail, wait or be in use.
 */

#include "daemon/sysfs/host.h"
#include "tests/mock/mock-kernel.h"
#include "tests/mock/tree.h"

struct mock_host {
	char *root;
	int fd;
	bool keep; /* the directory stays */
};

/* A new host in a new directory, with empty buses and no IOMMU; features: all three. */
struct mock_host *mock_host_new(void);
/* The host that is at a path already, or is made there. Its directory stays. */
struct mock_host *mock_host_at(const char *path);
struct mock_host *mock_host_free(struct mock_host *mock);
DEFINE_CLEANUP(struct mock_host *, mock_host_free)

/* The directories, as the daemon has them; host_close() them. */
void mock_host_open(struct mock_host *mock, struct host *host);

/* Words: "group iommufd cdev". */
void mock_features(struct mock_host *mock, const char *features);
/* The daemon gets the real /proc: where clients' processes matter. */
void mock_real_proc(struct mock_host *mock);

/* attributes: "intel-iommu", "amd-iommu", or NULL for none. */
void mock_iommu_add(struct mock_host *mock, const char *name, const char *attributes);
/* type: "DMA-FQ", …; reserved: lines, or NULL. A group comes by itself with its first device. */
void mock_group_set(struct mock_host *mock, unsigned int group, const char *type,
		    const char *reserved, const char *name);

struct mock_pci {
	unsigned int vendor, device, subvendor, subdevice;
	unsigned int class_code; /* 0x020000; 0: a plain "system peripheral" */
	int group;		 /* 0: none; groups count from 1 here */
	const char *iommu;	 /* NULL: none */
	const char *driver;	 /* bound at once */
	const char *override;
	const char *parent; /* path below sys/devices; NULL: "pci0000:00" */
	const char *reset;  /* "flr bus" */
	const char *slot;   /* physical slot's name */
	const char *physfn; /* it is a VF of this */
	int numa_node;	    /* as it is: give -1 for none */
	int boot_vga;	    /* 0: no such attribute, 1, or -1 for a 0 */
};

/* Adds a PCI device, with its "add" event. */
void mock_pci_add_full(struct mock_host *mock, const char *name, const struct mock_pci *pci);
#define mock_pci_add(mock, name, ...) \
	mock_pci_add_full(mock, name, &(struct mock_pci){ __VA_ARGS__ })
/*
 * What a write to sriov_numvfs does: functions of the PF's group + 100, + 101, …, with a driver
 * that takes them if sriov_drivers_autoprobe says so. 0 or -errno; FAULT/NUMVFS as in
 * mock-kernel.h.
 */
int mock_set_num_vfs(struct mock_host *mock, const char *pf, unsigned int n);
/* Makes a device a PF: with the attributes of one, and no VF. */
void mock_pf(struct mock_host *mock, const char *name, unsigned int total);
/* A device of another bus, with group 0 for none. */
void mock_device_add(struct mock_host *mock, const char *bus, const char *name, const char *parent,
		     int group, const char *iommu);
/*
 * A mediated device, which comes with its driver: of a type ("mtty-1") of a parent, below
 * sys/devices. What a write to the type's `create` does.
 */
void mock_mdev_add(struct mock_host *mock, const char *name, const char *parent, const char *type);
/* Removes a device, its children, and its group if it was the last; "remove" event. */
void mock_device_remove(struct mock_host *mock, const char *bus, const char *name);
/* Moves a device to another group: what a new boot or a replug does. */
void mock_device_regroup(struct mock_host *mock, const char *bus, const char *name, int group);

/*
 * A driver; table: lines as in mk_driver_has(): "id 8086:10d3\nclass 0200\n", "vfio\n" for one of
 * VFIO's, "managed-dma\n" for one that the kernel does not count.
 */
void mock_driver_add(struct mock_host *mock, const char *bus, const char *name, const char *table);
/* vfio-pci, pcieport, pci-stub. */
void mock_drivers_add_usual(struct mock_host *mock);

/*
 * What a host driver made below a device: it goes when the driver goes and comes back with it.
 * path: below the device: "net/eth0", "ata1/host0/block/sda". dev: "8:0" (a file in /dev comes
 * too), or NULL. Returns the path from the root, "sys/devices/…/net/eth0", of the caller.
 */
char *mock_child_add(struct mock_host *mock, const char *bus, const char *device,
		     const char *subsystem, const char *path, const char *dev);
void mock_net_add(struct mock_host *mock, const char *device, const char *ifname,
		  unsigned int ifindex);
/* lines: "address 10.0.0.2/24\nroute default via 10.0.0.1\n" */
void mock_net_configure(struct mock_host *mock, const char *ifname, const char *lines);
void mock_block_add(struct mock_host *mock, const char *device, const char *name, const char *dev);
void mock_partition_add(struct mock_host *mock, const char *device, const char *disk,
			const char *name, const char *dev);
/* A mount, in the mount table of process 1. */
void mock_mount_add(struct mock_host *mock, const char *dev, const char *source,
		    const char *target);
/* Somebody has the block device open exclusively. */
void mock_block_busy(struct mock_host *mock, const char *name, bool busy);

/* An alias of the running kernel's modules: "vfio_pci:v000015B3d…", "mlx5_vfio_pci". */
void mock_alias_add(struct mock_host *mock, const char *pattern, const char *module);

/* errno 0: "ignore"; count 0: for ever. */
void mock_fail(struct mock_host *mock, const char *op, const char *name, int error, int count);
/* Once, but for the first `after` times. */
void mock_fail_after(struct mock_host *mock, const char *op, const char *name, int error,
		     int after);
/* The process that does OP is killed instead, once, but for the first `after` times. */
void mock_kill_after(struct mock_host *mock, const char *op, const char *name, int after);
void mock_hold(struct mock_host *mock, const char *device, bool held);
