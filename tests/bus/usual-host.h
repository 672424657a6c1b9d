/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The host that most tests of the whole daemon run on, and its devices' names.
 *
 *   group  device
 *     2    NIC_A, NIC_B   e1000, eth1 and eth2: two behind one bridge
 *     3    NIC            e1000e, eth0
 *     4    DISK           nvme, busy
 *     5    BRIDGE, BEHIND shpchp and e1000: a bridge on a driver that counts
 *     6    VFIO_A, VFIO_B vfio-pci from the start
 *     7    ADMIN          e1000e, with an administrator's driver_override
 *     8    PF             igb, with VF_A (group 9) and VF_B (group 10) on igbvf
 *    11    BARE           no driver
 *    12    PLATFORM       of the platform bus
 *     -    ALONE          in no group
 */

#define NIC_A	 "0000:02:01.0"
#define NIC_B	 "0000:02:02.0"
#define NIC	 "0000:03:00.0"
#define DISK	 "0000:04:00.0"
#define BRIDGE	 "0000:00:05.0"
#define BEHIND	 "0000:05:01.0"
#define VFIO_A	 "0000:06:00.0"
#define VFIO_B	 "0000:06:00.1"
#define ADMIN	 "0000:07:00.0"
#define PF	 "0000:08:00.0"
#define VF_A	 "0000:08:10.0"
#define VF_B	 "0000:08:10.2"
#define BARE	 "0000:0b:00.0"
#define PLATFORM "gpu.0"
#define ALONE	 "0000:0a:00.0"

struct mock_host;

void usual_host(struct mock_host *host);
/* Rules alice, bob and root, of the caller. */
char *usual_policy(void);
