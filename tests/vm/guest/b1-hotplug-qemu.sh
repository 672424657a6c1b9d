#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Hot-plug into a QEMU that runs, over QMP with the fds of AddDevices, and out of it again; a fenced device too.
# kernels: stock hotplug
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

nic=$(behind 09.0)
other=$(behind 0b.0)
bridge=$(behind 08.0)
mapfile -t nics < <(behind "08.0/$bridge")
one=${nics[0]} two=${nics[1]}
g=$(group_of "$one")
new=${one%:*}:03.0
shpc=$(driver_of "$bridge" || :)
with=$two${shpc:+,$bridge}
mac=$(mac_of "$other")
mode=node
if has_iommufd; then mode=cdev; fi
chmod 1777 "$VM_STATE"
sock=$VM_STATE/qmp

# hot_policy VERBS: alice's NICs and what they need, with these verbs
hot_policy() {
	policy <<-END
		{ "version": 1, "rules": [
		  { "id": "hot", "subjects": [ { "users": ["alice", "bob"] } ],
		    "devices": [ { "subsystem": "pci", "class": "02" } ],
		    "allow": [$1], "modes": ["cdev", "node"],
		    "consent": { "drivers": ["e1000", "e1000e"] }, "memlock": "4G" },
		  { "id": "bridge", "subjects": [ { "users": ["alice"] } ],
		    "devices": [ { "subsystem": "pci", "class": "0604" } ],
		    "allow": ["withhold"], "modes": ["cdev", "node"],
		    "consent": { "drivers": ["shpchp"] }, "memlock": "4G" } ] }
	END
}

qemu_up() { [ -S "$sock" ]; }
guest_has() { tell alice qmp '{"execute":"query-pci"}' && grep -q "\"qdev_id\": *\"$1\"" <<<"$heard"; }
guest_lacks() { tell alice qmp '{"execute":"query-pci"}' && ! grep -q "\"qdev_id\": *\"$1\"" <<<"$heard"; }
# The ids of a device of the guest, as it reads them
ids_in_guest() {
	tell alice qmp '{"execute":"query-pci"}' || return
	jq -r --arg id "$1" '.. | objects | select(.qdev_id? == $id) | .id | "\(.vendor):\(.device)"' \
		<<<"${said#ok }"
}
held_by_qemu() { readlink /proc/"$runner"/fd/* | grep -qx "$1"; }
not_held() { ! held_by_qemu "$1"; }

# plug ID PORT DEVICE [PROPERTIES]: what AddDevices gave goes to QEMU; in mode node QEMU opens it by
# itself
plug() {
	local how
	if [ $mode = cdev ]; then
		tells "$1: its fd comes over the handoff" alice take "$1"
		like "$1: it and nothing else" "$heard" "^device $3\$" '^end 1$'
		tells "$1: and goes to QEMU" alice qmp "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"$1\"}}" "device:$3"
		tells "$1: alice keeps none" alice close "device:$3"
		how="\"iommufd\":\"vfiod\",\"fd\":\"$1\""
	else
		tells "$1: there are no fds in mode node" alice take "$1"
		like "$1: none at all" "$heard" '^end 0$'
		how="\"host\":\"$3\""
	fi
	tells "$1: device_add" alice qmp "{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"vfio-pci\",\"id\":\"$1\",\"bus\":\"$2\",$how${4:+,$4}}}"
	check "$1: the guest has it" guest_has "$1"
	if [ $mode = cdev ]; then
		check "$1: by the fd" held_by_qemu "/dev/vfio/devices/$(cdev_of "$3")"
	else
		check "$1: by the node" held_by_qemu "/dev/vfio/$(group_of "$3")"
	fi
}

# unplug ID
unplug() {
	tells "$1: device_del" alice qmp "{\"execute\":\"device_del\",\"arguments\":{\"id\":\"$1\"}}"
	tells "$1: QEMU says that it is deleted" alice qmp-event DEVICE_DELETED "\"device\": \"$1\""
	check "$1: the guest has it no more" guest_lacks "$1"
}

hot_policy '"acquire", "withhold"'
ports=()
for i in 1 2 3; do ports+=(-device "pcie-root-port,id=p$i,chassis=$i,addr=$((i + 15))"); done
become alice vfiodctl run --qemu --shared --name vm1 --mode=$mode "$nic" -- \
	qemu-system-x86_64 -M q35 -accel tcg -m 64M -display none -nodefaults \
	-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off "${ports[@]}" \
	-qmp "unix:$sock,server=on,wait=off" >"$VM_STATE/qemu.log" 2>&1 &
runner=$!
check "alice's QEMU runs" within 60 qemu_up
path=$(property "/org/vfiod1/group/$(group_of "$nic")" Group Lease | tr -d '"')
client alice alice
client bob bob
tells "alice's manager is at its monitor" alice qmp-connect "$sock"
check "the guest has what QEMU was started with" guest_has vfiod0
tells "and runs" alice qmp '{"execute":"query-status"}'
like "and runs, says QEMU" "$said" '"running": true'

# ---- a group of its own
refused "bob cannot add to alice's lease" AccessDenied . bob add x "$path" "$other"
tells "alice adds a NIC to the lease" alice add hot0 "$path" "$other"
is "it is hers, and no host driver's" "$(device_state "$other") $(driver_of "$other")" 'granted vfio-pci'
plug hot0 p1 "$other"
is "as what it is" "$(ids_in_guest hot0)" "$((0x8086)):$((0x10d3))"
refused "bob does not get it" GroupBusy . bob acquire x "mode=$mode" "$other"
unplug hot0
tells "removed when QEMU has let go" alice remove "$path" "$other"
check "it goes home" within 20 at_home "$other" e1000e
check "with its interface" within 10 test "$(mac_of "$other")" = "$mac"
is "QEMU has the other one" "$(device_state "$nic") $(lease_state "$path")" 'granted leased'
check "in its guest too" guest_has vfiod0

# RemoveDevices first: the kernel asks QEMU, and QEMU unplugs.
tells "alice adds it again" alice add hot1 "$path" "$other"
plug hot1 p1 "$other"
tells "removed while QEMU has it" alice remove "$path" "$other"
tells "the kernel's own request has QEMU unplug it" alice qmp-event DEVICE_DELETED '"hot1"'
check "the guest has it no more" guest_lacks hot1
check "the NIC is home" within 20 at_home "$other" e1000e

# A QEMU that does not hear it.
tells "and again" alice add hot2 "$path" "$other"
plug hot2 p1 "$other" '"x-req":false'
tells "removed while a deaf QEMU has it" alice remove "$path" "$other"
check "the group drains" within 10 group_is "$(group_of "$other")" draining
part=$(property "/org/vfiod1/group/$(group_of "$other")" Group Lease | tr -d '"')
named() { property "$part" Lease Holders | grep -q "$runner,\"qemu"; }
check "QEMU is named as its holder" within 15 named
refused "nobody gets it, its owner neither" GroupDraining "$runner" alice add x "$path" "$other"
quickly "nobody is stuck" tell alice getfds y "$path"
is "the lease is leased" "$(lease_state "$path") $(property "$part" Lease PartOf)" "leased \"$path\""
check "the guest has it meanwhile" guest_has hot2
unplug hot2
check "out of QEMU it goes home" within 20 at_home "$other" e1000e

# ---- one of several in a group, and one that comes to it while QEMU has it
tells "alice adds an e1000, with its siblings withheld" alice add hot3 "$path" "withhold=$with" "$one"
plug hot3 p2 "$one"
is "as what it is" "$(ids_in_guest hot3)" "$((0x8086)):$((0x100e))"
is "its sibling is shut off" "$(device_state "$two")" withheld
is_fenced() { [ "$(device_state "$new")" = fenced ] && [ ! -e "$pci/$new/driver" ]; }
# An earlier test may have plugged it: then the rescan finds it.
qmp device_add '{"driver":"e1000","id":"hot0","bus":"br1","addr":"3","romfile":""}' >"$check_output" ||
	grep -q Duplicate "$check_output" || { not_ok "plugging the device"; detail <"$check_output"; }
echo 1 >"$pci/$one/rescan"
check "an e1000 is hot-added next to it: fenced" within 10 is_fenced
check "the guest has what it had" guest_has hot3
refused "without the verb, alice does not get it" NotPermitted fenced alice add x "$path" "$new"
is "it is fenced as before" "$(device_state "$new") $(override_of "$new")" 'fenced none'
hot_policy '"acquire", "withhold", "fenced"'
refused "nor bob" AccessDenied . bob add x "$path" "$new"
tells "with the verb, its owner gets it" alice add hot4 "$path" "$new"
is "it is granted" "$(device_state "$new") $(driver_of "$new")" 'granted vfio-pci'
plug hot4 p3 "$new"
is "as what it is" "$(ids_in_guest hot4)" "$((0x8086)):$((0x100e))"
check "and the other one" guest_has hot3
unplug hot4
tells "removed" alice remove "$path" "$new"
shut() { [ "$(device_state "$new")" = withheld ] && [ ! -e "$pci/$new/driver" ] && [ "$(override_of "$new")" = none ]; }
check "it is shut off, for its sibling is leased" within 20 shut
check "the guest has that" guest_has hot3
unplug hot3
tells "that one removed too: the last of its group" alice remove "$path" "$one"
check "the group is home" within 20 at_home "$one" e1000
check "all of it" within 20 at_home "$two" e1000
check "and what came has the host's driver" within 20 has_driver "$new" e1000
is "with no override" "$(override_of "$new")" '(null)'
is "the bridge has its driver" "$(driver_of "$bridge" || :)" "$shpc"

# ---- QEMU ends with what it has
tells "once more" alice add hot5 "$path" "$other"
plug hot5 p1 "$other"
kill -KILL "$runner"
wait "$runner" || :
check "QEMU is killed: all is home" within 30 at_home "$nic" e1000e
check "what was added too" within 30 at_home "$other" e1000e
check "and without a lease" within 10 no_leases
dismiss alice
dismiss bob
echo 1 >"$pci/$new/remove"
grep . "$VM_STATE/qemu.log" | detail || :
no_policy
end
