#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An unprivileged C client takes fds from the bus in each mode, maps memory, reads the device's ids.
# kernels: stock hotplug
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

nic=$(behind 09.0)
g=$(group_of "$nic")
everyday_policy
client alice alice

tells "group: acquire" alice acquire h mode=group "$nic"
path=$(lease)
tells "group: take" alice take h
like "group: a container, the group, and the count" "$heard" '^container -$' "^group $g\$" '^end 2$'
tells "group: it is attached already" alice group-status "group:$g"
is "group: viable, and with its container" "$said" 'ok viable=1 container=1'
tells "group: choose the IOMMU type" alice set-iommu container:-
tells "group: map memory" alice map-container container:- 0x100000
tells "group: open the device" alice get-device dev "group:$g" "$nic"
tells "group: read from its config region" alice ids dev
is "group: the ids are the NIC's" "$said" 'ok 8086:10d3'
is "group: the lease is alice's" "$(property "$path" Lease Owner) $(property "$path" Lease Mode)" '1001 "group"'
tells "group: let go of everything" alice close-all
tells "group: release" alice release "$path"
check "group: home again" within 20 at_home "$nic" e1000e

tells "device-fds: acquire" alice acquire h mode=group device-fds=1 "$nic"
path=$(lease)
tells "device-fds: take" alice take h
like "device-fds: three fds" "$heard" '^container -$' "^group $g\$" "^device $nic\$" '^end 3$'
tells "device-fds: the device works at once" alice ids "device:$nic"
is "device-fds: the ids are the NIC's" "$said" 'ok 8086:10d3'
tells "device-fds: memory can be mapped" alice map-container container:- 0x100000
tells "device-fds: let go" alice close-all
tells "device-fds: release" alice release "$path"
check "device-fds: home again" within 20 at_home "$nic" e1000e

tells "bare: acquire without attaching" alice acquire h mode=group attach=0 "$nic"
path=$(lease)
tells "bare: take" alice take h
tells "bare: the group" alice group-status "group:$g"
is "bare: it has no container yet" "$said" 'ok viable=1 container=0'
tells "bare: attach it" alice set-container "group:$g" container:-
tells "bare: choose the type" alice set-iommu container:-
tells "bare: let go" alice close-all
tells "bare: release" alice release "$path"
check "bare: home again" within 20 at_home "$nic" e1000e

if has_iommufd; then
	tells "cdev: acquire" alice acquire h mode=cdev memlock=268435456 "$nic"
	path=$(lease)
	tells "cdev: take" alice take h
	like "cdev: an iommufd and the device" "$heard" '^iommufd -$' "^device $nic\$" '^end 2$'
	tells "cdev: memory is accounted per process" alice rlimit-mode iommufd:-
	is "cdev: that is mode 1" "$said" 'ok 1'
	tells "cdev: bind" alice bind "device:$nic" iommufd:-
	tells "cdev: an address space" alice ioas iommufd:-
	ioas=${said#ok }
	tells "cdev: attach" alice attach "device:$nic" "$ioas"
	tells "cdev: the memory limit was raised" alice memlock
	is "cdev: to what was asked for" "$said" 'ok 268435456'
	tells "cdev: 64 MiB can be mapped" alice map-ioas iommufd:- "$ioas" 0x4000000
	tells "cdev: read from the config region" alice ids "device:$nic"
	is "cdev: the ids are the NIC's" "$said" 'ok 8086:10d3'
	tells "cdev: let go" alice close-all
	tells "cdev: release" alice release "$path"
	check "cdev: home again" within 20 at_home "$nic" e1000e
	tells "auto: acquire" alice acquire h "$nic"
	is "auto is cdev here" "$(property "$(lease)" Lease Mode)" '"cdev"'
else
	refused "cdev is refused on this kernel" ModeUnsupported 'cdev|iommufd' alice acquire h mode=cdev "$nic"
	tells "auto: acquire" alice acquire h "$nic"
	is "auto is group here" "$(property "$(lease)" Lease Mode)" '"group"'
fi
dismiss alice
check "a client that goes takes its lease with it" within 20 at_home "$nic" e1000e

client alice alice
tells "node: acquire" alice acquire h mode=node "$nic"
path=$(lease)
tells "node: take" alice take h
like "node: no fd is passed" "$heard" '^end 0$'
tells "node: alice opens the group by herself" alice open "group:$g" "/dev/vfio/$g"
client bob bob
refused "node: bob cannot" EACCES "/dev/vfio/$g" bob open x "/dev/vfio/$g"
dismiss bob
tells "node: close it" alice close-all
tells "node: release" alice release "$path"
check "node: home again" within 20 at_home "$nic" e1000e
dismiss alice

# The example program of libvfiod, in each mode that hands out fds.
example() {
	local name=$1 out
	shift
	out=$(as alice "$bin/example-vmm" "$@" "$nic" 2>&1) || out+=" (status $?)"
	like "example: $name: it reads the NIC's ids" "$out" '8086:10d3'
	unlike "example: $name: it says that all went well" "$out" '\(status'
	check "example: $name: home again" within 20 at_home "$nic" e1000e
}
example auto
example group --mode=group
example device-fds --mode=group --device-fds
no_policy
end
