/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmclient's VFIO commands: what a VMM does with the fds it was given, in both of the kernel's
 * interfaces, each call by itself, so that a test can stop between any two.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/vfio-uapi.h"
#include "vmclient.h"

static void ids(int fd)
{
	struct vfio_region_info info = { .argsz = sizeof(info),
					 .index = VFIO_PCI_CONFIG_REGION_INDEX };
	uint16_t id[2];

	if (ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, &info) < 0)
		answer_errno("VFIO_DEVICE_GET_REGION_INFO");
	else if (pread(fd, id, sizeof(id), (off_t)info.offset) != sizeof(id))
		answer_errno("pread");
	else
		answer_ok("%04x:%04x", id[0], id[1]);
}

/* A register in the first BAR: its value, or (words of four) its new value. */
static void bar0(int fd, const char *offset, const char *value)
{
	struct vfio_region_info info = { .argsz = sizeof(info),
					 .index = VFIO_PCI_BAR0_REGION_INDEX };
	struct vfio_region_info config = { .argsz = sizeof(config),
					   .index = VFIO_PCI_CONFIG_REGION_INDEX };
	uint32_t v = value ? (uint32_t)strtoul(value, NULL, 0) : 0;
	uint16_t command;
	ssize_t k;
	off_t at;

	if (ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, &info) < 0 ||
	    ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, &config) < 0) {
		answer_errno("VFIO_DEVICE_GET_REGION_INFO");
		return;
	}
	/* Memory space has to be on (PCI command register, bit 1). */
	at = (off_t)config.offset + 4;
	if (pread(fd, &command, sizeof(command), at) == sizeof(command)) {
		command |= 2;
		k = pwrite(fd, &command, sizeof(command), at);
	} else {
		k = -1;
	}
	at = (off_t)(info.offset + strtoul(offset, NULL, 0));
	if (k > 0)
		k = value ? pwrite(fd, &v, sizeof(v), at) : pread(fd, &v, sizeof(v), at);
	if (k < 0)
		answer_errno("BAR 0");
	else
		answer_ok("%#x", v);
}

/* group fds, or none: then by the iommufd that the device is bound to */
static void hot_reset(int fd, char **groups, size_t n)
{
	struct vfio_pci_hot_reset *reset = calloc(1, sizeof(*reset) + n * sizeof(int32_t));

	if (!reset)
		abort();
	reset->argsz = (uint32_t)(sizeof(*reset) + n * sizeof(int32_t));
	reset->count = (uint32_t)n;
	for (size_t i = 0; i < n; i++)
		reset->group_fds[i] = slot_get(groups[i]);
	if (ioctl(fd, VFIO_DEVICE_PCI_HOT_RESET, reset) < 0)
		answer_errno("VFIO_DEVICE_PCI_HOT_RESET");
	else
		answer_ok("hot reset");
	free(reset);
}

static void *memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void map_container(int container, size_t size)
{
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map),
						.flags = VFIO_DMA_MAP_FLAG_READ |
							 VFIO_DMA_MAP_FLAG_WRITE,
						.iova = 1 << 20,
						.size = size };

	map.vaddr = (uintptr_t)memory(size);
	if (ioctl(container, VFIO_IOMMU_MAP_DMA, &map) < 0)
		answer_errno("VFIO_IOMMU_MAP_DMA");
	else
		answer_ok("mapped %zu", size);
}

static void get_device(const char *slot, int group, const char *device)
{
	int fd = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, device);

	if (fd < 0) {
		answer_errno("VFIO_GROUP_GET_DEVICE_FD");
		return;
	}
	slot_set(slot, fd);
	answer_ok("%s", device);
}

static void simple(int fd, unsigned long request, void *arg, const char *what)
{
	int r = ioctl(fd, request, arg);

	if (r < 0)
		answer_errno(what);
	else
		answer_ok("%s %d", what, r);
}

static int command_group(char **w, size_t n)
{
	if (!strcmp(w[0], "set-container") && n == 3) {
		int container = slot_get(w[2]);

		simple(slot_get(w[1]), VFIO_GROUP_SET_CONTAINER, &container, w[0]);
	} else if (!strcmp(w[0], "unset-container") && n == 2) {
		simple(slot_get(w[1]), VFIO_GROUP_UNSET_CONTAINER, NULL, w[0]);
	} else if (!strcmp(w[0], "group-status") && n == 2) {
		struct vfio_group_status s = { .argsz = sizeof(s) };

		if (ioctl(slot_get(w[1]), VFIO_GROUP_GET_STATUS, &s) < 0)
			answer_errno(w[0]);
		else
			answer_ok("viable=%d container=%d", !!(s.flags & VFIO_GROUP_FLAGS_VIABLE),
				  !!(s.flags & VFIO_GROUP_FLAGS_CONTAINER_SET));
	} else if (!strcmp(w[0], "set-iommu") && n == 2) {
		simple(slot_get(w[1]), VFIO_SET_IOMMU, (void *)(uintptr_t)VFIO_TYPE1v2_IOMMU, w[0]);
	} else if (!strcmp(w[0], "map-container") && n == 3) {
		map_container(slot_get(w[1]), strtoul(w[2], NULL, 0));
	} else if (!strcmp(w[0], "get-device") && n == 4) {
		get_device(w[1], slot_get(w[2]), w[3]);
	} else {
		return 0;
	}
	return 1;
}

static void map_ioas(int iommufd, uint32_t ioas, size_t size)
{
	struct iommu_ioas_map map = { .size = sizeof(map),
				      .flags = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE,
				      .ioas_id = ioas,
				      .length = size };

	map.user_va = (uintptr_t)memory(size);
	if (ioctl(iommufd, IOMMU_IOAS_MAP, &map) < 0)
		answer_errno("IOMMU_IOAS_MAP");
	else
		answer_ok("mapped %zu", size);
}

static int command_cdev(char **w, size_t n)
{
	if (!strcmp(w[0], "bind") && n == 3) {
		struct vfio_device_bind_iommufd b = { .argsz = sizeof(b),
						      .iommufd = slot_get(w[2]) };

		simple(slot_get(w[1]), VFIO_DEVICE_BIND_IOMMUFD, &b, w[0]);
	} else if (!strcmp(w[0], "ioas") && n == 2) {
		struct iommu_ioas_alloc a = { .size = sizeof(a) };

		if (ioctl(slot_get(w[1]), IOMMU_IOAS_ALLOC, &a) < 0)
			answer_errno("IOMMU_IOAS_ALLOC");
		else
			answer_ok("%u", a.out_ioas_id);
	} else if (!strcmp(w[0], "attach") && n == 3) {
		struct vfio_device_attach_iommufd_pt a = { .argsz = sizeof(a),
							   .pt_id = (uint32_t)atoi(w[2]) };

		simple(slot_get(w[1]), VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a, w[0]);
	} else if (!strcmp(w[0], "map-ioas") && n == 4) {
		map_ioas(slot_get(w[1]), (uint32_t)atoi(w[2]), strtoul(w[3], NULL, 0));
	} else if (!strcmp(w[0], "rlimit-mode") && n == 2) {
		struct iommu_option o = { .size = sizeof(o),
					  .option_id = IOMMU_OPTION_RLIMIT_MODE,
					  .op = IOMMU_OPTION_OP_GET };

		if (ioctl(slot_get(w[1]), IOMMU_OPTION, &o) < 0)
			answer_errno("IOMMU_OPTION");
		else
			answer_ok("%llu", (unsigned long long)o.val64);
	} else {
		return 0;
	}
	return 1;
}

int command_vfio(char **words, size_t n)
{
	if (!strcmp(words[0], "ids") && n == 2)
		ids(slot_get(words[1]));
	else if (!strcmp(words[0], "reset") && n == 2)
		simple(slot_get(words[1]), VFIO_DEVICE_RESET, NULL, words[0]);
	else if (!strcmp(words[0], "bar0") && (n == 3 || n == 4))
		bar0(slot_get(words[1]), words[2], words[3]);
	else if (!strcmp(words[0], "hot-reset") && n >= 2)
		hot_reset(slot_get(words[1]), words + 2, n - 2);
	else
		return command_group(words, n) || command_cdev(words, n);
	return 1;
}
