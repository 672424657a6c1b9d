#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Resets of a function, a slot and a bus: done where the lease has all of it, by vfiod and by the VMM, else refused.
# kernels: hotplug
# limit: 600 s
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

nic=$(behind 09.0)
mapfile -t two < <(behind 0a.0)
mapfile -t pair < <(behind 08.0)
pf=$(behind 0c.0 | head -1)
policy <<'END'
{ "version": 1,
  "rules": [ { "id": "all", "subjects": [ { "users": ["alice", "bob"] } ],
    "devices": [ { "subsystem": "pci" } ],
    "allow": ["acquire", "withhold", "reset", "persist"], "modes": ["cdev", "group", "node"],
    "consent": { "drivers": ["e1000", "e1000e", "nvme", "shpchp"] } } ] }
END

# ---- what is reached, from topology alone
domain() { busctl --system --json=short call org.vfiod1 "$(device_path "$1")" org.vfiod1.Device GetResetDomain | jq -r '.data[0][][0]' | sed 's|.*/||' | paste -sd' '; }
paths() { local d out=(); for d; do out+=("$(basename "$(device_path "$d")")"); done; echo "${out[*]}"; }
is "the domain of a NIC alone" "$(domain "$nic")" "$(paths "$nic")"
is "of one of two functions" "$(domain "${two[1]}")" "$(paths "${two[@]}")"
bridge=${pair[0]}
mapfile -t nics < <(cd "$pci/$bridge" && printf '%s\n' 0000:*)
is "of one of two NICs behind a bridge" "$(domain "${nics[0]}")" "$(paths "${nics[@]}")"
is "of the bridge" "$(domain "$bridge")" "$(paths "$bridge" "${nics[@]}")"
is "of the PF" "$(domain "$pf")" "$(paths "$pf")"

# ---- how a function is reset is root's to choose
# QEMU's e1000e has no FLR, and its power management puts nothing back: alone on its bus, it has the
# method "bus" too.
like "the NIC's methods" "$(cat "$pci/$nic/reset_method")" '(^| )bus( |$)'
is "the bus tells the same" "$(property "$(device_path "$nic")" Device ResetMethods | jq -r 'join(" ")')" "$(cat "$pci/$nic/reset_method")"
echo bus >"$pci/$nic/reset_method"
check "read anew" vfiodctl rescan
is "root has chosen another, and it is told" "$(property "$(device_path "$nic")" Device ResetMethods)" '["bus"]'

# ---- done: a register that a reset puts back says so
tipg=0x410
mark() { tell "$1" bar0 "device:$2" $tipg 0x00000001 && tell "$1" bar0 "device:$2" $tipg && [ "$said" = "ok 0x1" ]; }
was_reset() { tell "$1" bar0 "device:$2" $tipg && [ "$said" != "ok 0x1" ]; }
reset_of() { tell "$1" call "$2" org.vfiod1.Lease Reset As "$3" "$4"; }

# ---- pciehp would take it for a removal
check "pciehp watches the NIC's slot" eval "[ -e $pciehp/0000:00:09.0:pcie* ]"
if [ "$VM_KERNEL" = iommufd ]; then
	client alice alice
	tells "alice has the NIC" alice acquire h mode=group "$nic"
	path=$(lease)
	for kind in slot bus; do
		refused "no reset of kind $kind" ModeUnsupported pciehp alice call "$path" org.vfiod1.Lease Reset As "$nic" "$kind"
	done
	check "a function's has nothing to do with it" reset_of alice "$path" "$nic" function
	check "the NIC has its driver" has_driver "$nic" vfio-pci
	tells "released" alice release "$path"
	check "home" within 20 at_home "$nic" e1000e
	like "explain says so" "$(as alice vfiodctl explain --mode=group "$nic")" "$nic +bus +vmm .*pciehp"
	dismiss alice
	unwatch 09.0 0a.0 0c.0
fi

for mode in $(fd_modes); do
	client alice alice
	tells "$mode: alice has the NIC" alice acquire h "mode=$mode" "$nic"
	path=$(lease)
	tells "$mode: takes it" alice take h
	check "$mode: uses it" use alice "$mode" "$nic"
	for kind in function slot bus auto; do
		check "$mode: $kind: a register is changed" mark alice "$nic"
		check "$mode: $kind: reset by vfiod" reset_of alice "$path" "$nic" "$kind"
		check "$mode: $kind: the register is as before" was_reset alice "$nic"
	done
	tells "$mode: the device reads" alice ids "device:$nic"
	# The VMM's own, with the same descriptors.
	check "$mode: a register is changed" mark alice "$nic"
	tells "$mode: reset by the VMM" alice reset "device:$nic"
	check "$mode: the register is as before" was_reset alice "$nic"
	check "$mode: a register is changed" mark alice "$nic"
	groups=''
	[ "$mode" = cdev ] || groups="group:$(group_of "$nic")"
	# shellcheck disable=SC2086  # no word, or one
	tells "$mode: hot reset by the VMM" alice hot-reset "device:$nic" $groups
	check "$mode: the register is as before" was_reset alice "$nic"
	refused "$mode: nobody resets what he has not" NoSuchDevice "${two[0]}" alice call "$path" org.vfiod1.Lease Reset As "${two[0]}" function
	client bob bob
	refused "$mode: nor what another has" '.*AccessDenied' . bob call "$path" org.vfiod1.Lease Reset As "$nic" function
	dismiss bob
	tells "$mode: released" alice release "$path"
	tell alice close-all
	check "$mode: home" within 20 at_home "$nic" e1000e

	# Two functions of one slot
	tells "$mode: alice has both functions" alice acquire h "mode=$mode" "${two[@]}"
	path=$(lease)
	tells "$mode: takes them" alice take h
	check "$mode: uses the first" use alice "$mode" "${two[0]}"
	if [ "$mode" = cdev ]; then
		tells "$mode: hot reset by the VMM, with one of them bound" alice hot-reset "device:${two[0]}"
		tells "$mode: and the second" alice bind "device:${two[1]}" iommufd:-
		groups=''
	else
		groups="group:$(group_of "${two[0]}")"
	fi
	for kind in slot bus; do
		check "$mode: $kind: of both" reset_of alice "$path" "${two[0]}" "$kind"
	done
	# shellcheck disable=SC2086
	tells "$mode: hot reset of both by the VMM" alice hot-reset "device:${two[0]}" $groups
	tells "$mode: it reads" alice ids "device:${two[0]}"
	tells "$mode: released" alice release "$path"
	tell alice close-all
	check "$mode: home" within 20 at_home "${two[0]}" nvme
	dismiss alice
done

# ---- vfiodctl, and what it says beforehand
client alice alice
like "explain: all of it" "$(as alice vfiodctl explain --mode=group "${two[@]}")" "${two[0]} +bus +both"
like "explain: a sibling that is shut off" "$(as alice vfiodctl explain --mode=group --withhold="${two[1]}" "${two[0]}")" \
	"${two[0]} +bus +vfiod .*${two[1]}.* no VFIO driver"
tells "shared, one function of two" alice acquire h mode=group shared=1 "withhold=${two[1]}" "${two[0]}"
path=$(lease)
check_not "somebody else cannot" as bob vfiodctl reset "${path##*/}" "${two[0]}"
check "vfiodctl reset" as alice vfiodctl reset "${path##*/}" "${two[0]}"
check "of the bus: the sibling is the lease's" as alice vfiodctl reset --kind=bus "${path##*/}" "${two[0]}"
is "which is shut still" "$(driver_of "${two[1]}" || :)" ''
tells "takes it" alice take h
check "uses it" use alice group "${two[0]}"
check_not "the VMM cannot, for the sibling is on no driver" tell alice hot-reset "device:${two[0]}" "group:$(group_of "${two[0]}")"
like "as was said" "$said" EINVAL
tells "released" alice release "$path"
tell alice close-all
check "home" within 20 at_home "${two[0]}" nvme

# In mode cdev a sibling is parked on VFIO's driver, which is enough for the VMM.
if has_iommufd; then
	like "explain: a sibling that is parked on VFIO" \
		"$(as alice vfiodctl explain --mode=cdev --withhold="${two[1]}" "${two[0]}")" "${two[0]} +bus +both"
	tells "cdev: one function of two" alice acquire h mode=cdev "withhold=${two[1]}" "${two[0]}"
	path=$(lease)
	is "cdev: the other is parked" "$(driver_of "${two[1]}")" vfio-pci
	tells "cdev: takes it" alice take h
	check "cdev: uses it" use alice cdev "${two[0]}"
	tells "cdev: hot reset by the VMM" alice hot-reset "device:${two[0]}"
	check "cdev: bus reset by vfiod" reset_of alice "$path" "${two[0]}" bus
	tells "cdev: it reads" alice ids "device:${two[0]}"
	tells "cdev: released" alice release "$path"
	tell alice close-all
	check "cdev: home" within 20 at_home "${two[0]}" nvme
fi

# ---- two slots on one bus
tells "one NIC of two behind a bridge" alice acquire h mode=group "withhold=${nics[1]},$bridge" "${nics[0]}"
path=$(lease)
refused "no slot can be reset alone" ModeUnsupported 'other slots' alice call "$path" org.vfiod1.Lease Reset As "${nics[0]}" slot
check "the bus can" reset_of alice "$path" "${nics[0]}" bus
tells "released" alice release "$path"
check "home" within 20 at_home "${nics[0]}" e1000

# ---- not owned: a VF, whose bus has its PF and the other VF
echo 0 >"$pci/$pf/sriov_drivers_autoprobe"
echo 2 >"$pci/$pf/sriov_numvfs"
udevadm settle --timeout=20
vf0=$(basename "$(readlink "$pci/$pf/virtfn0")")
vf1=$(basename "$(readlink "$pci/$pf/virtfn1")")
known() { [ "$(property "$(device_path "$vf1")" Device PhysicalFunction)" = "\"$(device_path "$pf")\"" ]; }
check "the VFs are known" within 10 known
if [ "$(group_of "$vf0")" != "$(group_of "$pf")" ]; then
	is "a VF's domain has its PF" "$(domain "$vf0")" "$(paths "$pf" "$vf0" "$vf1")"
	tells "alice has a VF" alice acquire h mode=group "$vf0"
	path=$(lease)
	client bob bob
	tells "bob has the other" bob acquire h mode=group name=bobs "$vf1"
	other=$(lease)
	refused "the bus is not hers" ResetNotOwned "$pf \(group [0-9]+: the host has it, on nvme\), $vf1 \(group [0-9]+: lease bobs of user" \
		alice call "$path" org.vfiod1.Lease Reset As "$vf0" bus
	refused "nor his" ResetNotOwned "$vf0 \(group" bob call "$other" org.vfiod1.Lease Reset As "$vf1" slot
	check "the function is" reset_of alice "$path" "$vf0" function
	check "the PF has its driver" has_driver "$pf" nvme
	tells "bob releases" bob release "$other"
	tells "alice releases" alice release "$path"
	check "both are home" within 20 no_leases
	dismiss bob
fi
echo 0 >"$pci/$pf/sriov_numvfs"
echo 1 >"$pci/$pf/sriov_drivers_autoprobe"
udevadm settle --timeout=20

echo default >"$pci/$nic/reset_method"
vfiodctl rescan
watch_again

# ---- the daemon has no such capability in effect
pid=$(systemctl show -P MainPID vfiod)
caps=$(awk '/CapEff/ { print $2 }' "/proc/$pid/status")
is "CAP_SYS_ADMIN is not in effect" "$((0x$caps >> 21 & 1))" 0
caps=$(awk '/CapPrm/ { print $2 }' "/proc/$pid/status")
is "but can be put there" "$((0x$caps >> 21 & 1))" 1
dismiss alice
no_policy
end
