#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A mediated device: its group looks like a noiommu one, and it is leased to an ordinary user and used.
# kernels: iommufd
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

parent=/sys/devices/virtual/mtty/mtty
type=$parent/mdev_supported_types/mtty-1
uuid=83b8f4f2-509f-382f-3c1e-e6bfe0fa1001
mdev=/sys/bus/mdev/devices/$uuid
if [ ! -d $type ]; then
	# Distributions' kernels are built without the sample that makes them.
	[ "$VM_KERNEL" = stock ] || not_ok "this kernel has no mediated sample device"
	ok "no mediated devices on this kernel"
	end
	exit 0
fi

path=/org/vfiod1/device/_383b8f4f2_2d509f_2d382f_2d3c1e_2de6bfe0fa1001
mgroup() { basename "$(readlink $mdev/iommu_group)"; }
mdriver() { basename "$(readlink $mdev/driver)"; }
mcdev() { (cd $mdev/vfio-dev && printf '%s\n' *); }
state() { property "$path" Device State | tr -d '"'; }
state_is() { [ "$(state)" = "$1" ]; }
policy <<'END'
{ "version": 1,
  "rules": [
    { "id": "serial", "subjects": [ { "users": ["alice", "bob"] } ],
      "devices": [ { "subsystem": "mdev" } ],
      "allow": ["acquire"], "modes": ["cdev", "group", "node"], "memlock": "4G" }
  ] }
END
client alice alice
client bob bob
echo $uuid >$type/create
check "the device is known" within 20 state_is host
driver=$(mdriver)
g=$(mgroup)
echo "# $uuid on $driver in group $g, whose name is $(cat "/sys/kernel/iommu_groups/$g/name")"
is "its group is named as a noiommu one" "$(cat "/sys/kernel/iommu_groups/$g/name")" vfio-noiommu
is "the daemon knows better" "$(property "/org/vfiod1/group/$g" Group Viable)" true
is "and on which bus it is" "$(property "$path" Device Subsystem)" '"mdev"'

# muse MODE: what a VMM does with it; the device says how many regions it has.
muse() {
	if [ "$1" = cdev ]; then
		tell alice bind "device:$uuid" iommufd:- || return
		tell alice ioas iommufd:- || return
		tell alice attach "device:$uuid" "${said#ok }"
	else
		tell alice set-iommu container:- || return
		tell alice get-device "device:$uuid" "group:$(mgroup)" "$uuid"
	fi
}
for mode in $(fd_modes); do
	tells "$mode: acquire" alice acquire h "mode=$mode" $uuid
	lease=$(lease)
	is "$mode: it is granted" "$(state)" granted
	tells "$mode: take" alice take h
	check "$mode: an ordinary user uses it" muse "$mode"
	tells "$mode: its configuration space reads" alice ids "device:$uuid"
	is "$mode: as the sample's" "$said" 'ok 4348:3253'
	refused "$mode: bob cannot have it" GroupBusy "$uuid" bob acquire h $uuid
	check "$mode: everything is read again" vfiodctl rescan
	refused "$mode: nor after that" GroupBusy "$uuid" bob acquire h $uuid
	for node in "/dev/vfio/$(mgroup)" "/dev/vfio/devices/$(mcdev)"; do
		[ ! -e "$node" ] || check_not "$mode: nor open $node" as bob cat "$node"
	done
	tells "$mode: release, holding on" alice release "$lease"
	is "$mode: it drains" "$(lease_state "$lease")" draining
	refused "$mode: bob cannot have it yet" '(GroupDraining|GroupBusy|NoSuchGroup)' "$uuid" bob acquire h $uuid
	tells "$mode: let go" alice close-all
	check "$mode: it is home" within 20 no_leases
	check "$mode: on its driver" within 10 test -e $mdev/driver
	is "$mode: which is what it was" "$(mdriver)" "$driver"
	check "$mode: and the host's" within 10 state_is host
	tells "$mode: now bob can" bob acquire h "mode=$mode" $uuid
	tells "$mode: and gives it back" bob release "$(lease)"
	check "$mode: home again" within 20 no_leases
done
# ---- removed while it is leased and open: the kernel waits for the VMM, and nobody else does
tells "once more" alice acquire h $uuid
lease=$(lease)
tells "taken" alice take h
check "and used" muse "$(fd_modes | awk '{ print $1 }')"
(echo 1 >$mdev/remove) &
remover=$!
sleep 2
quickly "the daemon answers" vfiodctl list
check "the remover waits" kill -0 $remover
refused "bob cannot have it" '(GroupBusy|GroupDraining|NoSuchDevice|NoSuchGroup)' . bob acquire h $uuid
tells "alice lets go" alice close-all
gone() { ! property "$path" Device State >/dev/null 2>&1; }
check "then it goes" within 20 gone
wait $remover || :
# Another one of its name is nobody else's until the lease ends: a lease of a mediated device is of the
# name, for each cycle makes another one.
echo $uuid >$type/create
check "another of its name is known" within 20 property "$path" Device State
refused "bob cannot have that one either" '(GroupBusy|GroupDraining)' . bob acquire h $uuid
tells "the lease of the one before ends" alice release "$lease"
check "no lease is left" within 20 no_leases
tells "bob can have the new one" bob acquire h $uuid
lease=$(lease)
tells "and take it" bob take h
tells "let go" bob close-all
tells "and give it back" bob release "$lease"
check "home" within 20 no_leases
check "the host's" within 10 state_is host
check "it can be removed" timeout 20 sh -c "echo 1 >$mdev/remove"
check "and is forgotten" within 10 gone
dismiss alice
dismiss bob
no_policy
end
