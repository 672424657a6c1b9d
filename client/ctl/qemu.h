/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * QEMU's options for passed devices, for vfiodctl run --qemu.
 */

#include "client/ctl/replace.h"

#include <stdint.h>

/*
 * addresses: of each device on the guest's root bus, "00:1e.0"; NULL: QEMU chooses.
 *
 * Appends the options for these PCI devices to a command. In mode cdev (QEMU 9 or later):
 * -object iommufd with the passed iommufd, and -device vfio-pci with each device's descriptor. In
 * mode node: -device vfio-pci,host=ADDRESS,id=vfiodN. QEMU takes no legacy group descriptors: any
 * other mode is -EOPNOTSUPP. -EINVAL, with *wrong pointing to the name, for a device that is not on
 * the PCI bus or has no descriptor.
 */
int qemu_arguments(const char *mode, char *const *devices, char *const *addresses,
		   replace_lookup lookup, void *userdata, char ***command, const char **wrong);

/*
 * The addresses on the root bus that the command gives to emulated devices: of each -device, -nic
 * or -net with an addr and no other bus than pcie.0 or pci.0, as QEMU's options or as JSON; and
 * those of a q35's USB controllers. Appends them. 0, or -ENOMEM; what cannot be read is QEMU's to
 * refuse.
 */
int qemu_addresses(char *const *command, char ***addresses);

/*
 * The guest's memory by the command's -m option, the larger of size and maxmem; QEMU's default
 * where there is none. 0, or -EINVAL for one that cannot be read.
 */
int qemu_memory(char *const *command, uint64_t *bytes);
