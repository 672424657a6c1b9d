#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Virtual functions that are made and unmade while their PF, or one of them, is leased: no host driver
# gets one, nobody else gets one of a leased PF, and nobody is stuck while a VMM keeps one.
# kernels: hotplug
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

pf=$(behind 0c.0 | sed -n 1p)
alone=$(behind 09.0)
enable=/sys/module/vfio_pci/parameters/enable_sriov

make_vfs() { echo "$1" >"$pci/$pf/sriov_numvfs"; }
vf() { basename "$(readlink "$pci/$pf/virtfn$1")"; }
no_vfs() { [ ! -e "$pci/$pf/virtfn0" ]; }
known() { [ "$(property "$(device_path "$1")" Device PhysicalFunction)" = "\"$(device_path "$pf")\"" ]; }
unknown() { ! property "$(device_path "$1")" Device Driver; }
switch_is() { [ "$(cat "$pci/$pf/sriov_drivers_autoprobe")" = "$1" ]; }
without_driver() { [ -e "$pci/$1" ] && [ ! -e "$pci/$1/driver" ]; }
is_fenced() { [ "$(device_state "$1")" = fenced ] && without_driver "$1" && [ "$(override_of "$1")" = none ]; }
groups_are() { [ "$(property "$1" Lease Groups)" = "$2" ]; }

everyday_policy
client alice alice
client bob bob

# ---- VFs of a leased PF
modprobe vfio-pci 2>/dev/null || :
for mode in $(fd_modes); do
	for when in before after; do
		name="$mode, $when its VMM has it"
		tells "$name: alice has the PF" alice acquire h "mode=$mode" "$pf"
		path=$(lease)
		if [ $when = after ]; then
			tells "$name: takes it" alice take h
			check "$name: uses it" use alice "$mode" "$pf"
		fi
		check "$name: the switch of its VFs is off" switch_is 0
		echo N >$enable
		check_not "$name: the kernel lets nobody make VFs of a PF of VFIO's by default" make_vfs 2
		echo Y >$enable
		check "$name: somebody makes VFs all the same" make_vfs 2
		vf0=$(vf 0) vf1=$(vf 1)
		for v in "$vf0" "$vf1"; do
			check "$name: $v is known" within 10 known "$v"
			# VFIO itself claims the VFs of a PF that it has, by their override.
			like "$name: $v has no driver of the host's" "$(driver_of "$v" || :) $(override_of "$v")" '^(vfio-pci)? vfio-pci$'
			refused "$name: bob does not get $v" '(GroupBusy|DeviceInUse)' . bob acquire x "$v"
		done
		is "$name: the PF is alice's" "$(device_state "$pf") $(driver_of "$pf") $(lease_state "$path")" 'granted vfio-pci leased'
		tells "$name: she lets go" alice close-all
		tells "$name: and releases" alice release "$path"
		check "$name: the PF is home" within 30 at_home "$pf" nvme
		check "$name: without VFs" within 10 no_vfs
		check "$name: which the daemon does not know any more" within 10 unknown "$vf1"
		check "$name: and with the switch on" within 10 switch_is 1
	done
done
echo N >$enable

# ---- VFs beside a leased one
echo 0 >"$pci/$pf/sriov_drivers_autoprobe"
make_vfs 2
echo 1 >"$pci/$pf/sriov_drivers_autoprobe"
vf0=$(vf 0) vf1=$(vf 1)
check "two VFs are made" within 10 known "$vf1"
g=$(group_of "$vf0")
tells "alice has one" alice acquire h "$vf0"
path=$(lease)
check "the switch is off" switch_is 0
make_vfs 0
check "all are unmade: her lease has no group" within 10 groups_are "$path" '[]'
make_vfs 4
vf0=$(vf 0) vf1=$(vf 1)
check "four are made" within 10 known "$(vf 3)"
for i in 0 1 2 3; do
	v=$(vf $i)
	check "$v has no driver" without_driver "$v"
	if [ "$i" = 0 ] && [ "$(group_of "$v")" = "$g" ]; then
		check "$v has the place of alice's: it is shut off" within 10 is_fenced "$v"
	elif [ "$(group_of "$v")" != "$g" ]; then
		is "$v is the host's" "$(device_state "$v") $(override_of "$v")" 'host (null)'
	fi
done
is "alice has none of them" "$(property "$path" Lease Devices)" '[]'
tells "she asks for fds" alice getfds h2 "$path"
tells "takes what there is" alice take h2
like "which is nothing" "$heard" '^error NoSuchDevice '
mode=$(fd_modes | awk '{ print $1 }')
tells "bob can have one" bob acquire h "mode=$mode" "$vf1"
bobs=$(lease)
tells "takes it" bob take h
check "uses it" use bob "$mode" "$vf1"
refused "alice does not get that" GroupBusy . alice acquire x "$vf1"

# ---- unmade while a VMM has one: the kernel waits, and nobody else
make_vfs 0 &
unmaking=$!
sleep 1
check "VFs are unmade while a VMM has one: that waits for it" kill -0 $unmaking
quickly "alice is answered" tell alice release "$path"
check "hers is over" within 20 eval "[ \"\$(bus_leases | wc -l)\" = 1 ]"
quickly "and can have something else" tell alice acquire h "$alone"
path=$(lease)
quickly "and give it back" tell alice release "$path"
check "which is home" within 20 at_home "$alone" e1000e
is "bob has his" "$(lease_state "$bobs")" leased
tells "he lets go" bob close-all
check "then the VFs go" within 20 eval "! kill -0 $unmaking"
check "all" no_vfs
check "his lease has no group" within 10 groups_are "$bobs" '[]'
tells "release" bob release "$bobs"
check "nothing stays" within 20 no_leases
check "the switch is on again" within 10 switch_is 1
tells "alice can have the PF" alice acquire h "$pf"
tells "and give it back" alice release "$(lease)"
check "it is home" within 20 at_home "$pf" nvme
dismiss alice
dismiss bob
no_policy
end
