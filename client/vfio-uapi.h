/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel's VFIO and iommufd interface, complete also where the system's kernel headers are
 * those of Linux 6.1, which know neither iommufd (6.2) nor the VFIO character devices (6.6). What
 * the headers have is taken from them; only what they lack is defined here, from the kernel's
 * stable ABI. Whether the running kernel knows a call is found out by making it. Nothing else lives
 * here.
 */
#ifndef VFIOD_VFIO_UAPI_H
#define VFIOD_VFIO_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>
#include <linux/vfio.h>

#if defined(__has_include)
#if __has_include(<linux/iommufd.h>)
#include <linux/iommufd.h>
#endif
#endif

/* include/uapi/linux/vfio.h, Linux 6.6: only on fds of /dev/vfio/devices/vfioN. */
#ifndef VFIO_DEVICE_BIND_IOMMUFD

/* Bind the device to an iommufd; before that every other call on the fd is EINVAL. */
struct vfio_device_bind_iommufd {
	__u32 argsz;
	__u32 flags; /* 0 */
	__s32 iommufd;
	__u32 out_devid; /* the device's id within the iommufd */
};
#define VFIO_DEVICE_BIND_IOMMUFD _IO(VFIO_TYPE, VFIO_BASE + 18)

/* Attach the bound device to an I/O address space (or hardware page table) of its iommufd. */
struct vfio_device_attach_iommufd_pt {
	__u32 argsz;
	__u32 flags; /* 0 */
	__u32 pt_id; /* in: the ioas or hwpt; out: the hwpt that was attached */
};
#define VFIO_DEVICE_ATTACH_IOMMUFD_PT _IO(VFIO_TYPE, VFIO_BASE + 19)

/* Undo the attachment: all DMA of the device is blocked again. */
struct vfio_device_detach_iommufd_pt {
	__u32 argsz;
	__u32 flags; /* 0 */
};
#define VFIO_DEVICE_DETACH_IOMMUFD_PT _IO(VFIO_TYPE, VFIO_BASE + 20)

#endif /* VFIO_DEVICE_BIND_IOMMUFD */

/* include/uapi/linux/iommufd.h, Linux 6.2: on fds of /dev/iommu. */
#ifndef IOMMUFD_TYPE
#define IOMMUFD_TYPE (';')

enum {
	IOMMUFD_CMD_BASE = 0x80,
	IOMMUFD_CMD_DESTROY = IOMMUFD_CMD_BASE,
	IOMMUFD_CMD_IOAS_ALLOC,
	IOMMUFD_CMD_IOAS_ALLOW_IOVAS,
	IOMMUFD_CMD_IOAS_COPY,
	IOMMUFD_CMD_IOAS_IOVA_RANGES,
	IOMMUFD_CMD_IOAS_MAP,
	IOMMUFD_CMD_IOAS_UNMAP,
	IOMMUFD_CMD_OPTION,
	IOMMUFD_CMD_VFIO_IOAS,
};

/* Destroy any object of the iommufd by its id. */
struct iommu_destroy {
	__u32 size;
	__u32 id;
};
#define IOMMU_DESTROY _IO(IOMMUFD_TYPE, IOMMUFD_CMD_DESTROY)

/* Make an I/O address space. */
struct iommu_ioas_alloc {
	__u32 size;
	__u32 flags; /* 0 */
	__u32 out_ioas_id;
};
#define IOMMU_IOAS_ALLOC _IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_ALLOC)

enum iommufd_ioas_map_flags {
	IOMMU_IOAS_MAP_FIXED_IOVA = 1 << 0,
	IOMMU_IOAS_MAP_WRITEABLE = 1 << 1,
	IOMMU_IOAS_MAP_READABLE = 1 << 2,
};

/* Map memory of this process; without MAP_FIXED_IOVA the kernel picks and returns the iova. */
struct iommu_ioas_map {
	__u32 size;
	__u32 flags; /* enum iommufd_ioas_map_flags */
	__u32 ioas_id;
	__u32 __reserved;
	__aligned_u64 user_va;
	__aligned_u64 length;
	__aligned_u64 iova;
};
#define IOMMU_IOAS_MAP _IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_MAP)

/* Unmap whole mappings; 0 to UINT64_MAX unmaps everything. */
struct iommu_ioas_unmap {
	__u32 size;
	__u32 ioas_id;
	__aligned_u64 iova;
	__aligned_u64 length; /* out: the bytes that were unmapped */
};
#define IOMMU_IOAS_UNMAP _IO(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_UNMAP)

enum iommufd_option {
	/* 1: locked memory counts per process, not per user. Needs CAP_SYS_RESOURCE and an
	 * iommufd in which nothing was made yet. */
	IOMMU_OPTION_RLIMIT_MODE = 0,
	IOMMU_OPTION_HUGE_PAGES = 1,
};

enum iommufd_option_ops {
	IOMMU_OPTION_OP_SET = 0,
	IOMMU_OPTION_OP_GET = 1,
};

/* Set or read one option of the iommufd, or of one of its objects. */
struct iommu_option {
	__u32 size;
	__u32 option_id; /* enum iommufd_option */
	__u16 op;	 /* enum iommufd_option_ops */
	__u16 __reserved;
	__u32 object_id; /* 0 for the iommufd itself */
	__aligned_u64 val64;
};
#define IOMMU_OPTION _IO(IOMMUFD_TYPE, IOMMUFD_CMD_OPTION)

#endif /* IOMMUFD_TYPE */

#endif /* VFIOD_VFIO_UAPI_H */
