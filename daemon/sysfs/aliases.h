/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which module drives a device for VFIO. Variant drivers (mlx5_vfio_pci, …) say in their
 * modalias, with the prefix "vfio_pci:" instead of "pci:", which devices they are for
 * (Linux 5.16, PCI_ID_F_VFIO_DRIVER_OVERRIDE).
 */

#include "policy/base.h"

struct vfio_aliases;

/*
 * Reads modules.alias and modules.builtin.modinfo below the modules directory (an fd that is not
 * open: none). What is not there or not understood gives no alias. -ENOMEM, -EMFILE, ….
 */
int vfio_aliases_read(int modules, struct vfio_aliases **aliases);
struct vfio_aliases *vfio_aliases_free(struct vfio_aliases *aliases);
DEFINE_CLEANUP(struct vfio_aliases *, vfio_aliases_free)

/* The driver with the fewest wildcards in its pattern for "pci:v…", of `aliases`; or NULL. */
const char *vfio_aliases_match(const struct vfio_aliases *aliases, const char *modalias);
