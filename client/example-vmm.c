/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The smallest program that drives a device as a VMM does, for authors to start from: it asks vfiod
 * for one device, takes the descriptors in whichever mode was granted, gives the device memory to
 * reach, reads vendor and device id from its config space, and gives everything back.
 *
 *	cc example-vmm.c $(pkg-config --cflags --libs libvfiod)
 *	./a.out [--mode=cdev|group|node] [--device-fds] 0000:03:00.0
 */

#include "vfio-uapi.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vfiod.h>

#define GUEST_MEMORY  (2 * 1024 * 1024)
#define GUEST_ADDRESS 0x100000

static void *guest_memory(void)
{
	void *memory = mmap(NULL, GUEST_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);

	if (memory == MAP_FAILED)
		err(1, "no memory for the guest");
	return memory;
}

/* Mode cdev: bind the device to the iommufd, make an address space, attach, map. */
static int open_cdev(struct vfiod_lease *lease, const char *name)
{
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	struct iommu_ioas_alloc ioas = { .size = sizeof(ioas) };
	struct iommu_ioas_map map = { .size = sizeof(map) };
	int device = vfiod_lease_fd(lease, "device", name);
	int iommufd = vfiod_lease_fd(lease, "iommufd", NULL);

	if (device < 0 || iommufd < 0)
		errx(1, "the lease has no descriptors for %s", name);
	bind.iommufd = iommufd;
	if (ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, &bind) < 0)
		err(1, "cannot bind %s to the iommufd", name);
	if (ioctl(iommufd, IOMMU_IOAS_ALLOC, &ioas) < 0)
		err(1, "cannot make an I/O address space");
	attach.pt_id = ioas.out_ioas_id;
	if (ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach) < 0)
		err(1, "cannot attach %s to the I/O address space", name);
	map.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE;
	map.ioas_id = ioas.out_ioas_id;
	map.user_va = (uintptr_t)guest_memory();
	map.length = GUEST_MEMORY;
	map.iova = GUEST_ADDRESS;
	if (ioctl(iommufd, IOMMU_IOAS_MAP, &map) < 0)
		err(1, "cannot map the guest's memory (is RLIMIT_MEMLOCK high enough?)");
	return device;
}

/* The second half of the legacy interface: container and group are connected. */
static int open_in_container(int container, int group, int device, const char *name)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.iova = GUEST_ADDRESS,
		.size = GUEST_MEMORY,
	};

	/* With the option device-fds vfiod has done these two. */
	if (device < 0) {
		if (ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) < 0)
			err(1, "cannot set the IOMMU type");
		device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, name);
		if (device < 0)
			err(1, "cannot open %s in its group", name);
	}
	map.vaddr = (uintptr_t)guest_memory();
	if (ioctl(container, VFIO_IOMMU_MAP_DMA, &map) < 0)
		err(1, "cannot map the guest's memory (is RLIMIT_MEMLOCK high enough?)");
	return device;
}

/* Mode group: vfiod has attached the group to the container already. */
static int open_group(struct vfiod_lease *lease, const char *name)
{
	int container = vfiod_lease_fd(lease, "container", NULL);
	int group = vfiod_lease_fd(lease, "group", NULL);

	if (container < 0 || group < 0)
		errx(1, "the lease has no container and group");
	return open_in_container(container, group, vfiod_lease_fd(lease, "device", name), name);
}

/* Mode node: no descriptors came, but the nodes are open to this user for the lease's life. */
static int open_node(struct vfiod_lease *lease, const char *name)
{
	char path[64];
	int container, group;

	snprintf(path, sizeof(path), "/dev/vfio/%" PRId64, vfiod_lease_group(lease, 0));
	container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (container < 0)
		err(1, "cannot open /dev/vfio/vfio");
	group = open(path, O_RDWR | O_CLOEXEC);
	if (group < 0)
		err(1, "cannot open %s", path);
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) < 0)
		err(1, "cannot attach %s to the container", path);
	return open_in_container(container, group, -1, name);
}

static int open_device(struct vfiod_lease *lease, const char *name)
{
	if (strcmp(vfiod_lease_mode(lease), "cdev") == 0)
		return open_cdev(lease, name);
	if (strcmp(vfiod_lease_mode(lease), "group") == 0)
		return open_group(lease, name);
	return open_node(lease, name);
}

static void print_ids(int device, const char *name)
{
	struct vfio_region_info config = {
		.argsz = sizeof(config),
		.index = VFIO_PCI_CONFIG_REGION_INDEX,
	};
	uint8_t ids[4];

	if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &config) < 0)
		err(1, "%s has no config region", name);
	if (pread(device, ids, sizeof(ids), (off_t)config.offset) != sizeof(ids))
		err(1, "cannot read the config region of %s", name);
	printf("%s %02x%02x:%02x%02x\n", name, ids[1], ids[0], ids[3], ids[2]);
}

static void fail(struct vfiod_error *error)
{
	errx(1, "%s: %s", vfiod_error_name(error), vfiod_error_message(error));
}

int main(int argc, char *argv[])
{
	static const struct option options[] = {
		{ "mode", required_argument, NULL, 'm' },
		{ "device-fds", no_argument, NULL, 'd' },
		{},
	};
	struct vfiod_client *client;
	struct vfiod_request *request;
	struct vfiod_lease *lease;
	struct vfiod_error *error = NULL;
	const char *name;
	int r, c;

	r = vfiod_request_new(&request);
	while (r >= 0 && (c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (c == 'm')
			r = vfiod_request_set_mode(request, optarg);
		else if (c == 'd')
			r = vfiod_request_set_device_fds(request, true);
		else
			return 2;
	}
	if (optind != argc - 1)
		errx(2, "usage: %s [--mode=MODE] [--device-fds] DEVICE", argv[0]);
	if (r >= 0)
		r = vfiod_request_add_device(request, argv[optind]);
	if (r < 0)
		errx(1, "cannot make the request: %s", strerror(-r));

	r = vfiod_client_new(&client);
	if (r < 0)
		errx(1, "cannot connect to the system bus: %s", strerror(-r));
	if (vfiod_acquire(client, request, &lease, &error) < 0)
		fail(error);

	/* The request may have named a pool: the lease knows which device it is. */
	name = vfiod_lease_device(lease, 0);
	if (!name)
		errx(1, "the lease grants no device");
	printf("lease %s, mode %s\n", vfiod_lease_id(lease), vfiod_lease_mode(lease));
	print_ids(open_device(lease, name), name);

	/* The descriptors that the lease does not hold itself close with the process. */
	if (vfiod_lease_release(lease, &error) < 0)
		fail(error);
	vfiod_lease_free(lease);
	vfiod_request_free(request);
	vfiod_client_free(client);
	return 0;
}
