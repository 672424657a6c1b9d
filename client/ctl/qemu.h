/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * QEMU's options for passed devices, for vfiodctl run --qemu.
 */

#include "client/ctl/replace.h"

#include <stdint.h>

/*
 * Appends the options for these PCI devices to a command. In mode cdev (QEMU 9 or later):
 * -object iommufd with the passed iommufd, and -device vfio-pci with each device's descriptor. In
 * mode node: -device vfio-pci,host=ADDRESS,id=vfiodN. QEMU takes no legacy group descriptors: any
 * other mode is -EOPNOTSUPP. -EINVAL, with *wrong pointing to the name, for a device that is not on
 * the PCI bus or has no descriptor.
 */
int qemu_arguments(const char *mode, char *const *devices, replace_lookup lookup, void *userdata,
		   char ***command, const char **wrong);

/*
 * The guest's memory by the command's -m option, the larger of size and maxmem; QEMU's default
 * where there is none. 0, or -EINVAL for one that cannot be read.
 */
int qemu_memory(char *const *command, uint64_t *bytes);
