#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the host needs is refused by name and use; what a rule waives goes.
# kernels: stock
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

disk=0000:00:02.0
nic=$(behind 0b.0)
eth=$(nic_of "$nic")
mapfile -t nvmes < <(behind 0a.0)
everyday_policy
client alice alice

is "the root disk is where this test thinks" "$(driver_of $disk)" virtio-pci
refused "the root disk is refused" DeviceInUse "$disk" alice acquire h "$disk"
like "by its use" "$said" 'vda' 'mount|in use|file system'
is "and still has its driver" "$(driver_of $disk)" virtio-pci

ip addr add 192.0.2.1/24 dev "$eth"
refused "a NIC with an address is refused" DeviceInUse "$nic" alice acquire h "$nic"
like "by name and use" "$said" "$eth" 'address|network|192'
ip addr del 192.0.2.1/24 dev "$eth"
ip link set "$eth" up
ip route add 198.51.100.0/24 dev "$eth"
refused "a NIC with a route is refused" DeviceInUse "$nic" alice acquire h "$nic"
like "the use is a route" "$said" "$eth" 'route|address|network'
ip route flush dev "$eth"
ip link set "$eth" down
ip -6 addr flush dev "$eth" 2>/dev/null || :
tells "without them it goes" alice acquire h "$nic"
tells "and back" alice release "$(lease)"
check "home" within 20 at_home "$nic" e1000e
within 10 test -n "$(nic_of "$nic")" || :
eth=$(nic_of "$nic")

ip link set dev "$eth" netns 1
unshare --net sleep 120 >/dev/null 2>&1 &
elsewhere=$!
sleep 0.5
ip link set "$eth" netns "$elsewhere"
refused "a NIC whose interface is in another namespace is refused" DeviceInUse "$nic" alice acquire h "$nic"
kill "$elsewhere"
wait "$elsewhere" 2>/dev/null || :
back() { [ -n "$(nic_of "$nic")" ]; }
check "it comes back when that namespace ends" within 20 back
eth=$(nic_of "$nic")

ns=$(cd "$pci/${nvmes[0]}/nvme" && ls -d nvme*/nvme*n1 2>/dev/null | head -1 | xargs basename)
if [ -z "$ns" ]; then ns=$(lsblk -dno NAME | grep nvme | head -1); fi
mke2fs -q -F -t ext4 "/dev/$ns"
mkdir -p "$VM_STATE/mnt"
mount "/dev/$ns" "$VM_STATE/mnt"
refused "a disk with a mount is refused" DeviceInUse "$ns|${nvmes[0]}" alice acquire h "${nvmes[@]}"
umount "$VM_STATE/mnt"
unshare --mount sh -c "mount /dev/$ns $VM_STATE/mnt && exec sleep 120" >/dev/null 2>&1 &
elsewhere=$!
within 10 sh -c "grep -q $ns /proc/$elsewhere/mounts"
check_not "(this namespace does not see the mount)" grep -q "/dev/$ns" /proc/self/mounts
refused "a mount in another namespace too" DeviceInUse "$ns|${nvmes[0]}" alice acquire h "${nvmes[@]}"
kill "$elsewhere"
wait "$elsewhere" 2>/dev/null || :
if [ -e /proc/swaps ]; then
	mkswap -q "/dev/$ns"
	swapon "/dev/$ns"
	refused "swap too" DeviceInUse "$ns|${nvmes[0]}" alice acquire h "${nvmes[@]}"
	swapoff "/dev/$ns"
fi
loop=$(losetup -f --show "/dev/$ns")
refused "a loop device on it too" DeviceInUse "$ns|${nvmes[0]}" alice acquire h "${nvmes[@]}"
losetup -d "$loop"
dd if=/dev/zero of="/dev/$ns" bs=4k count=16 status=none
tells "the idle disks go" alice acquire h "${nvmes[@]}"
tells "and back" alice release "$(lease)"
check "the first is home" within 20 at_home "${nvmes[0]}" nvme
check "the second is home" within 20 at_home "${nvmes[1]}" nvme

policy <<END
{ "version": 1, "rules": [ { "id": "waived", "subjects": [ { "users": ["alice"] } ],
  "devices": [ { "address": "$nic" } ], "allow": ["acquire"], "modes": ["cdev", "group", "node"],
  "consent": { "drivers": ["e1000e"] }, "waive": ["network"] } ] }
END
ip addr add 192.0.2.1/24 dev "$eth"
tells "a rule that waives the check lets the NIC go" alice acquire h "$nic"
is "it is leased" "$(device_state "$nic")" granted
tells "and back" alice release "$(lease)"
check "home" within 20 at_home "$nic" e1000e
dismiss alice
no_policy
end
