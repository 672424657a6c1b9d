#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Virtual functions made by whom the policy lets, leased to two users, while the PF is refused to both.
# kernels: hotplug
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

pf=$(behind 0c.0 | head -1)
path=$(device_path "$pf")
policy <<'END'
{ "version": 1,
  "rules": [
    { "id": "sriov", "subjects": [ { "users": ["alice"] } ],
      "devices": [ { "subsystem": "pci", "class": "01" } ],
      "allow": ["acquire", "sriov"], "modes": ["cdev", "group", "node"],
      "consent": { "drivers": ["nvme"] }, "memlock": "4G" },
    { "id": "disks", "subjects": [ { "users": ["bob"] } ],
      "devices": [ { "subsystem": "pci", "class": "01" } ],
      "allow": ["acquire"], "modes": ["cdev", "group", "node"],
      "consent": { "drivers": ["nvme"] }, "memlock": "4G" }
  ] }
END
client alice alice
client bob bob
num_vfs() { property "$path" Device NumVfs; }
autoprobe() { cat "$pci/$pf/sriov_drivers_autoprobe"; }
vf() { basename "$(readlink "$pci/$pf/virtfn$1")"; }
is_gone() { ! bus_leases | grep -q "$1\$"; }
set_vfs() { tell "$1" call "$path" org.vfiod1.Device SetNumVfs u "$2"; }

is "the PF can have four" "$(property "$path" Device TotalVfs)" 4
is "and has none" "$(num_vfs)" 0
refused "bob may not make any" NotPermitted sriov bob call "$path" org.vfiod1.Device SetNumVfs u 2
refused "nobody may make more than there can be" BadOption 4 alice call "$path" org.vfiod1.Device SetNumVfs u 5
is "the kernel has none" "$(cat "$pci/$pf/sriov_numvfs")" 0
before=$(autoprobe)
check "alice makes two" set_vfs alice 2
is "they are there when the call returns" "$(num_vfs)" 2
is "in the kernel too" "$(cat "$pci/$pf/sriov_numvfs")" 2
vf0=$(vf 0) vf1=$(vf 1)
echo "# PF $pf in group $(group_of "$pf"), VFs $vf0 in $(group_of "$vf0"), $vf1 in $(group_of "$vf1")"
is "no host driver has got one" "$(driver_of "$vf0" || :)$(driver_of "$vf1" || :)" ''
is "the fence is as it was" "$(autoprobe)" "$before"
is "the PF is the host's, on its driver" "$(device_state "$pf") $(driver_of "$pf")" 'host nvme'
if [ "$(group_of "$vf0")" = "$(group_of "$vf1")" ] || [ "$(group_of "$vf0")" = "$(group_of "$pf")" ]; then
	not_ok "the VFs have groups of their own"
fi

for mode in $(fd_modes); do
	tells "$mode: alice has one" alice acquire h "mode=$mode" "$vf0"
	one=$(lease)
	tells "$mode: bob has the other one" bob acquire h "mode=$mode" "$vf1"
	two=$(lease)
	tells "$mode: alice takes hers" alice take h
	tells "$mode: bob takes his" bob take h
	check "$mode: alice uses it" use alice "$mode" "$vf0"
	check "$mode: bob uses it" use bob "$mode" "$vf1"
	refused "$mode: the PF is refused to alice" '(DeviceInUse|GroupBusy)' "$pf" alice acquire h2 "$pf"
	refused "$mode: and to bob" '(DeviceInUse|GroupBusy)' "$pf" bob acquire h2 "$pf"
	refused "$mode: the VFs cannot be taken away" GroupBusy vanish alice call "$path" org.vfiod1.Device SetNumVfs u 0
	refused "$mode: nor can there be others" GroupBusy vanish alice call "$path" org.vfiod1.Device SetNumVfs u 3
	tells "$mode: alice lets go" alice close-all
	tells "$mode: and releases" alice release "$one"
	check "$mode: hers is home" within 20 is_gone "$one"
	refused "$mode: bob has his still" GroupBusy "$vf1" alice call "$path" org.vfiod1.Device SetNumVfs u 0
	tells "$mode: bob releases, and holds on" bob release "$two"
	refused "$mode: it drains" GroupBusy "$vf1" alice call "$path" org.vfiod1.Device SetNumVfs u 0
	tells "$mode: bob lets go" bob close-all
	check "$mode: both are home" within 20 no_leases
	is "$mode: without a driver, as before" "$(driver_of "$vf0" || :) $(override_of "$vf0") $(driver_of "$vf1" || :) $(override_of "$vf1")" ' (null)  (null)'
done
check "then there can be three" set_vfs alice 3
is "and are" "$(num_vfs) $(cat "$pci/$pf/sriov_numvfs")" '3 3'
check "and none" set_vfs alice 0
is "none is left" "$(num_vfs) $(cat "$pci/$pf/sriov_numvfs")" '0 0'
is "the fence is as it was" "$(autoprobe)" "$before"
# ---- a claim and a change at the same time: one of them, and never both
for n in {1..6}; do
	check "race $n: there are two" set_vfs alice 2
	check "race $n: known" within 10 property "$(device_path "$vf0")" Device PhysicalFunction
	if ((n % 2)); then
		tell_async alice call "$path" org.vfiod1.Device SetNumVfs u 0
		tell_async bob acquire h "$vf0"
	else
		tell_async bob acquire h "$vf0"
		sleep "0.$n"
		tell_async alice call "$path" org.vfiod1.Device SetNumVfs u 0
	fi
	got='' gone=''
	if hear bob; then got=$(lease); fi
	if hear alice; then gone=1; else like "race $n: refused for the claim" "$said" '(GroupBusy|DeviceInUse)'; fi
	if [ "$got" ]; then
		is "race $n: bob has it, and it is there" "${gone:-no} $(vf 0)" "no $vf0"
		tells "race $n: he can take it" bob take h
		check "race $n: and use it" use bob "$(fd_modes | awk '{ print $1 }')" "$vf0"
		tells "race $n: lets go" bob close-all
		tells "race $n: releases" bob release "$got"
		check "race $n: home" within 20 no_leases
		check "race $n: then they can go" set_vfs alice 0
	else
		is "race $n: they are gone" "$gone $(num_vfs)" '1 0'
	fi
done
is "the fence is as it was" "$(autoprobe)" "$before"

tells "then the PF can be had" alice acquire h "$pf"
one=$(lease)
refused "its driver makes none" DriverFailed enable_sriov alice call "$path" org.vfiod1.Device SetNumVfs u 1
tells "and given back" alice release "$one"
check "it is home" within 20 at_home "$pf" nvme
is "vfiodctl: root needs no rule of its own here" "$(vfiodctl vfs "$pf" 1 2>&1)" ''
is "there is one" "$(num_vfs)" 1
check "and none" vfiodctl vfs "$pf" 0
dismiss alice
dismiss bob
no_policy
end
