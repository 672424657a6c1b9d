#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Keys of an earlier lease open nothing of the next owner's.
# kernels: iommufd
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

nic=$(behind 09.0)
mapfile -t nvmes < <(behind 0a.0)
everyday_policy

# useless NAME CLIENT WORD…: fails, whatever the errno
useless() {
	local name=$1
	shift
	if tell "$@"; then
		not_ok "$name"
		printf '%s\n' "worked: $*" "$heard" | detail
	else
		like "$name" "$said" '^error E'
	fi
}

# stale LABEL DEVICE…: alice has a lease of a whole group, keeps its fds but no device's, and releases;
# then it is bob's, and what alice has kept is tried on it
stale() {
	local label=$1 g path dev=$2
	shift
	g=$(group_of "$dev")
	client alice alice
	client bob bob
	tells "$label: alice acquires" alice acquire h mode=group attach=0 "$@"
	path=$(lease)
	tells "$label: takes container and group" alice take h
	tells "$label: attaches" alice set-container "group:$g" container:-
	tells "$label: chooses the type" alice set-iommu container:-
	tells "$label: opens a device" alice get-device d "group:$g" "$dev"
	tells "$label: and closes it" alice close d
	tells "$label: releases, keeping the rest" alice release "$path"
	check "$label: a group fd alone delays nobody" within 20 no_leases
	tells "$label: bob acquires" bob acquire h mode=group "$@"
	useless "$label: alice's group fd opens no device" alice get-device x "group:$g" "$dev"
	useless "$label: nor attaches" alice set-container "group:$g" container:-
	tells "$label: bob takes his" bob take h
	check "$label: and they work" use bob group "$dev"
	tells "$label: bob reads the ids" bob ids "device:$dev"
	useless "$label: alice's group fd opens no device now either" alice get-device x "group:$g" "$dev"
	useless "$label: her container maps nothing" alice map-container container:- 0x100000
	refused "$label: she cannot open the group anew" EACCES vfio alice open y "/dev/vfio/$g"
	path=$(property "/org/vfiod1/group/$g" Group Lease | tr -d '"')
	tells "$label: bob lets go" bob close-all
	tells "$label: and releases" bob release "$path"
	check "$label: home" within 20 no_leases
	dismiss alice
	dismiss bob
}

stale "one device" "$nic"
stale "two functions" "${nvmes[@]}"

# Both on vfio-pci before anyone claims: an administrator reserved them at boot. And root has had the
# group open since then.
modprobe vfio-pci 2>/dev/null || :
for d in "${nvmes[@]}"; do
	echo vfio-pci >"$pci/$d/driver_override"
	echo "$d" >/sys/bus/pci/drivers/nvme/unbind
	echo "$d" >/sys/bus/pci/drivers_probe
done
is "both are on vfio-pci" "$(driver_of "${nvmes[0]}") $(driver_of "${nvmes[1]}")" 'vfio-pci vfio-pci'
g=$(group_of "${nvmes[0]}")
client early root
tells "somebody has the group open from before" early open g "/dev/vfio/$g"
client alice alice
tells "alice acquires" alice acquire h mode=group attach=0 "${nvmes[@]}"
path=$(lease)
useless "the early fd opens nothing of hers" early get-device x g "${nvmes[0]}"
tells "the early process opens a container" early open c /dev/vfio/vfio
useless "nor attaches it" early set-container g c
tells "release" alice release "$path"
within 20 no_leases || :
dismiss alice
dismiss early
stale "two that lived on vfio-pci" "${nvmes[@]}"
is "they live there still" "$(driver_of "${nvmes[0]}") $(driver_of "${nvmes[1]}")" 'vfio-pci vfio-pci'
for d in "${nvmes[@]}"; do
	echo >"$pci/$d/driver_override"
	echo "$d" >/sys/bus/pci/drivers/vfio-pci/unbind
	echo "$d" >/sys/bus/pci/drivers_probe
done
check "and back to the host" within 20 has_driver "${nvmes[1]}" nvme

if has_iommufd; then
	client alice alice
	client bob bob
	tells "cdev: alice acquires" alice acquire h mode=cdev "$nic"
	path=$(lease)
	tells "cdev: takes" alice take h
	check "cdev: uses it" use alice cdev "$nic"
	tells "cdev: has memory mapped" alice map-ioas iommufd:- "$ioas" 0x100000
	tells "cdev: closes the device, not the iommufd" alice close "device:$nic"
	tells "cdev: releases" alice release "$path"
	check "cdev: the iommufd alone delays nobody" within 20 no_leases
	tells "cdev: bob acquires" bob acquire h mode=cdev "$nic"
	tells "cdev: takes" bob take h
	refused "cdev: alice cannot open the device" EACCES vfio alice open "device:$nic" "/dev/vfio/devices/$(cdev_of "$nic")"
	check "cdev: bob uses it" use bob cdev "$nic"
	tells "cdev: bob reads the ids" bob ids "device:$nic"
	is "cdev: which are the NIC's" "$said" 'ok 8086:10d3'
	dismiss bob
	check "cdev: home" within 20 at_home "$nic" e1000e

	client bob bob
	tells "stale device fd: alice acquires" alice acquire h mode=cdev "$nic"
	path=$(lease)
	tells "stale device fd: takes, does not bind" alice take h
	tells "stale device fd: releases" alice release "$path"
	check "stale device fd: an open, unbound one keeps the group draining" within 5 group_is "$(group_of "$nic")" draining
	refused "stale device fd: bob waits" GroupDraining . bob acquire h "$nic"
	dismiss alice
	check "stale device fd: home" within 20 at_home "$nic" e1000e
	dismiss bob
fi
no_policy
end
