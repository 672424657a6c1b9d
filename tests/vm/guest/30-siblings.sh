#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Two NICs behind one bridge: nothing is taken that was not named, the withheld stays shut.
# kernels: iommufd
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

bridge=$(behind 08.0)
mapfile -t nics < <(behind "08.0/$bridge")
one=${nics[0]} two=${nics[1]}
g=$(group_of "$one")
mac1=$(mac_of "$one") mac2=$(mac_of "$two")
before=$(driver_of "$bridge" || :)
echo "# the bridge's driver is: ${before:-none}"
with=$two
[ -z "$before" ] || with=$two,$bridge
everyday_policy
client alice alice
client bob bob

refused "one alone needs consent for the other" ConsentRequired "$two" alice acquire h "$one"
like "the other's driver is named" "$said" '\be1000\b'
if [ -n "$before" ]; then
	like "the bridge and its driver are named" "$said" "$bridge" "$before"
	refused "naming the sibling but not the bridge is not enough" ConsentRequired "$bridge" alice acquire h "withhold=$two" "$one"
	unlike "which says nothing of the sibling then" "$said" "$two"
fi
is "nothing was touched" "$(driver_of "$one") $(driver_of "$two") $(driver_of "$bridge" || :)" "e1000 e1000 $before"

for mode in $(fd_modes) node; do
	tells "$mode: acquire with withhold" alice acquire h "mode=$mode" "withhold=$with" "$one"
	path=$(lease)
	tells "$mode: take" alice take h
	is "$mode: one is granted, the other withheld" "$(device_state "$one") $(device_state "$two")" 'granted withheld'
	is "$mode: no host driver is left in the group" "$(for d in $(members_of "$g"); do driver_of "$d" || :; done | sort -u)" vfio-pci
	is "$mode: both interfaces are gone" "$(mac_of "$one")$(mac_of "$two")" ''
	if [ "$mode" != cdev ]; then
		is "$mode: the withheld one is parked on no driver" "$(driver_of "$two" || :) $(override_of "$two")" ' none'
	fi
	case $mode in
	cdev)
		tells "cdev: the granted one works" alice bind "device:$one" iommufd:-
		tells "cdev: an address space" alice ioas iommufd:-
		tells "cdev: attach" alice attach "device:$one" "${said#ok }"
		tells "cdev: read its ids" alice ids "device:$one"
		is "cdev: they are the NIC's" "$said" 'ok 8086:100e'
		refused "cdev: the withheld one's node cannot be opened" EACCES vfio alice open x "/dev/vfio/devices/$(cdev_of "$two")"
		refused "cdev: nor the group's" EACCES vfio alice open x "/dev/vfio/$g"
		;;
	group)
		tells "group: choose the type" alice set-iommu container:-
		tells "group: the granted one opens" alice get-device dev "group:$g" "$one"
		tells "group: read its ids" alice ids dev
		is "group: they are the NIC's" "$said" 'ok 8086:100e'
		check_not "group: the withheld one does not open" tell alice get-device x "group:$g" "$two"
		;;
	node)
		tells "node: alice opens the group" alice open "group:$g" "/dev/vfio/$g"
		tells "node: a container" alice open c /dev/vfio/vfio
		tells "node: attach" alice set-container "group:$g" c
		tells "node: type" alice set-iommu c
		tells "node: the granted one opens" alice get-device dev "group:$g" "$one"
		check_not "node: the withheld one does not" tell alice get-device x "group:$g" "$two"
		! has_iommufd || refused "node: nor by its own node" 'E[A-Z]+' vfio alice open x "/dev/vfio/devices/$(cdev_of "$two" || :)"
		;;
	esac
	refused "$mode: bob asking for the sibling is told that the group is leased" GroupBusy "$g|$two" bob acquire h "withhold=$one" "$two"
	refused "$mode: bob cannot end the lease" 'AccessDenied|NotPermitted' '.' bob release "$path"
	tells "$mode: let go" alice close-all
	tells "$mode: release" alice release "$path"
	check "$mode: one is home" within 20 at_home "$one" e1000
	check "$mode: two is home" within 20 at_home "$two" e1000
	is "$mode: the bridge has its driver again" "$(driver_of "$bridge" || :)" "$before"
	check "$mode: with their interfaces" within 10 test "$(mac_of "$one") $(mac_of "$two")" = "$mac1 $mac2"
done

tells "both can be had together" alice acquire h "$one" "$two" ${before:+"withhold=$bridge"}
tells "take" alice take h
is "both granted" "$(device_state "$one") $(device_state "$two")" 'granted granted'
slay alice
check "alice is killed: one is home" within 20 at_home "$one" e1000
check "alice is killed: two is home" within 20 at_home "$two" e1000
dismiss bob
no_policy
end
