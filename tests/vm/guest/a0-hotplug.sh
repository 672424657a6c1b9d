#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What is hot-added to a leased group is shut off, from host and owner; elsewhere it is the host's.
# kernels: iommufd hotplug
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

bridge=$(behind 08.0)
mapfile -t nics < <(behind "08.0/$bridge")
one=${nics[0]} two=${nics[1]}
g=$(group_of "$one")
new=${one%:*}:03.0
before=$(driver_of "$bridge" || :)
with=$two${before:+,$bridge}
fenced_id=bd4b03e57c844665b946e0959515f85b
interfered_id=7f9216171f9c40a3b69a09a872e41f92

everyday_policy
client alice alice
busctl --system --json=short --match="type='signal',interface='org.vfiod1.Manager',member='DeviceFenced'" \
	monitor >"$VM_STATE/signals" 2>"$VM_STATE/monitor" &
monitor=$!
sleep 1

# The device is plugged once, over the machine's monitor. The bridge's own driver is away while the
# group is leased, so the kernel is told to look; for the next cases it is removed and looked for again.
rescan() { echo 1 >"$pci/$one/rescan"; }
unplug() { echo 1 >"$pci/$new/remove"; }
is_shut() { [ ! -e "$pci/$new/driver" ] && [ "$(override_of "$new")" = none ]; }
is_fenced() { [ "$(device_state "$new")" = fenced ] && is_shut; }
signals() { grep -c '"member":"DeviceFenced"' "$VM_STATE/signals" || :; }
outcome() { grep '"member":"DeviceFenced"' "$VM_STATE/signals" | tail -1 | jq -r '.payload.data[2]'; }
records() { journalctl -q -b -o json "MESSAGE_ID=$1" "VFIOD_DEVICE=$2"; }
last_usec() { records "$fenced_id" "$new" | tail -1 | jq -r .VFIOD_USEC; }

# comes NAME REGEX: what came is fenced, and everybody was told, with an outcome that matches
comes() {
	local name=$1 n
	n=$(signals)
	rescan
	check "$name: it is fenced" within 10 is_fenced
	check "$name: there was a signal" within 10 eval "[ \$(signals) -gt $n ]"
	like "$name: with its outcome" "$(outcome)" "^($2)\$"
	like "$name: a record says how long it took" "$(last_usec)" '^[0-9]+$'
	echo "# $name: $(outcome), $(last_usec) us"
	is "$name: no interface of the host's" "$(mac_of "$new")" ''
	is "$name: the group is leased as before" "$(group_state "$g") $(driver_of "$one")" 'leased vfio-pci'
}

# attach MODE: what its VMM does with what it got; in mode node it opens everything by itself. The
# device is in the slot dev then.
attach() {
	if [ "$1" != node ]; then
		use alice "$1" "$one" || return
		dev=device:$one
		return
	fi
	dev=dev
	tell alice open "group:$g" "/dev/vfio/$g" && tell alice open c /dev/vfio/vfio &&
		tell alice set-container "group:$g" c && tell alice set-iommu c &&
		tell alice get-device dev "group:$g" "$one"
}

qmp device_add "{\"driver\":\"e1000\",\"id\":\"hot0\",\"bus\":\"br1\",\"addr\":\"3\",\"romfile\":\"\"}" >"$check_output" ||
	grep -q Duplicate "$check_output" || { not_ok "plugging the device"; detail <"$check_output"; }

# The kernel with its driver built in probes at once; a module that is not loaded comes later.
for mode in $(fd_modes) node; do
	[ ! -e "$pci/$new" ] || unplug
	tells "$mode: acquire" alice acquire h "mode=$mode" "withhold=$with" "$one"
	path=$(lease)
	comes "$mode, before anything was handed out" 'fenced-unbound|evicted|never-probed'
	# The first handoff has waited for as long as the checks took, which may be too long for it.
	tells "$mode: fds" alice getfds h2 "$path"
	tells "$mode: take" alice take h2
	check "$mode: the VMM's own attach works" attach "$mode"
	tells "$mode: and the device reads" alice ids "$dev"
	is "$mode: as what it is" "$said" 'ok 8086:100e'
	unplug
	is "$mode: what has gone is no member" "$(property "$path" Lease Fenced)" '[]'
	case $mode in
	group) comes "$mode, after the VMM attached" 'refused-by-kernel' ;;
	*) comes "$mode, after the VMM attached" 'fenced-unbound|never-probed' ;;
	esac
	tells "$mode: the device reads as before" alice ids "$dev"
	is "$mode: the owner's lease names it" "$(property "$path" Lease Fenced)" "[\"$(device_path "$new")\"]"
	if has_iommufd; then is "$mode: it has no node" "$(cdev_of "$new")" ''; fi
	for _ in 1 2 3; do unplug; rescan; done
	check "$mode: removed and added again and again" within 10 is_fenced
	tells "$mode: let go" alice close-all
	tells "$mode: release" alice release "$path"
	check "$mode: what was leased is home" within 20 at_home "$one" e1000
	check "$mode: and what came has the host's driver" within 20 has_driver "$new" e1000
	is "$mode: with no override" "$(override_of "$new")" '(null)'
	check "$mode: and its interface" within 10 mac_of "$new"
done

# ---- elsewhere
unplug
tells "acquire" alice acquire h "withhold=$with" "$one"
path=$(lease)
qmp device_add '{"driver":"e1000e","id":"hot1","bus":"rp6","romfile":""}' >"$check_output" ||
	{ not_ok "plugging the other device"; detail <"$check_output"; }
appeared() { other=$(behind 0d.0) && [ -n "$other" ]; }
check "a device hot-added elsewhere appears" within 30 appeared
check "it gets its driver as usual" within 30 has_driver "$other" e1000e
check "and its interface" within 20 mac_of "$other"
is "it is the host's" "$(device_state "$other")" host
echo 1 >"$pci/$other/remove"
qmp device_del '{"id":"hot1"}' >/dev/null || :

# ---- others write to sysfs
echo >"$pci/$two/driver_override"
wanted=none
if [ "$(driver_of "$two" || :)" = vfio-pci ]; then wanted=vfio-pci; fi
override_is() { [ "$(override_of "$1")" = "$2" ]; }
check "somebody clears an override: it is put right" within 10 override_is "$two" "$wanted"
echo "$one" >"/sys/bus/pci/drivers/vfio-pci/unbind"
echo e1000 >"$pci/$one/driver_override"
echo "$one" >/sys/bus/pci/drivers_probe || :
check "somebody rebinds the leased one: it is put right" within 10 has_driver "$one" vfio-pci
check "with its override" within 10 override_is "$one" vfio-pci
check "both are in the journal" within 5 eval "[ -n \"\$(records $interfered_id $one)\" ] && [ -n \"\$(records $interfered_id $two)\" ]"
is "the lease stays" "$(lease_state "$path")" leased
tells "fds" alice getfds h3 "$path"
tells "take" alice take h3
check "and works" use alice "$(fd_modes | awk '{ print $1 }')" "$one"
tells "let go" alice close-all

# ---- kill -9 in between
comes "for the restart" '.*'
echo >"$pci/$new/driver_override"
echo "$new" >/sys/bus/pci/drivers/e1000/bind 2>/dev/null || :
check "somebody binds what is fenced: it is shut off again" within 10 is_fenced
kill -9 "$(systemctl show -P MainPID vfiod)"
unplug
rescan
check "killed, and something came meanwhile: it is fenced" within 20 is_fenced
dismiss alice
check "its owner is gone: home" within 30 at_home "$one" e1000
check "and what came" within 20 has_driver "$new" e1000
unplug
kill $monitor
no_policy
end
