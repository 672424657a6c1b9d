#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A reset meets somebody who holds the device in the kernel, a device that goes, and a host driver that comes.
# kernels: hotplug
# limit: 400 s
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

nic=$(behind 09.0)
mapfile -t two < <(behind 0a.0)
pf=$(behind 0c.0 | head -1)
mode=$(fd_modes | awk '{ print $1 }')
policy <<'END'
{ "version": 1,
  "rules": [ { "id": "all", "subjects": [ { "users": ["alice", "bob"] } ],
    "devices": [ { "subsystem": "pci" } ],
    "allow": ["acquire", "withhold", "reset", "persist"], "modes": ["cdev", "group", "node"],
    "consent": { "drivers": ["e1000", "e1000e", "nvme", "shpchp"] } } ] }
END
client alice alice
client bob bob
reset() { tell "$1" call "$2" org.vfiod1.Lease Reset As "$3" "$4"; }
lease_is() { [ "$(lease_state "$1")" = "$2" ]; }
gone() { ! busctl --system get-property org.vfiod1 "$1" org.vfiod1.Lease State; }

# ---- somebody unbinds a device that a VMM has open: the kernel keeps its lock until the VMM lets go
have() {
	tells "alice has the NIC" alice acquire h "mode=$mode" "$nic"
	path=$(lease)
	tells "takes it" alice take h
	check "uses it" use alice "$mode" "$nic"
	(echo "$nic" >/sys/bus/pci/drivers/vfio-pci/unbind) 2>/dev/null &
	unbinder=$!
	check "somebody unbinds it behind everybody's back" within 10 eval "[ ! -e $pci/$nic/driver ]"
}
unbound() { ! kill -0 "$unbinder" 2>/dev/null; }
answered() { ! kill -0 "$caller" 2>/dev/null; }
worker_waits() { pgrep -x vfiod-worker >/dev/null; }

# A reset of the function waits for the lock.
have
busctl --system --timeout=200 call org.vfiod1 "$path" org.vfiod1.Lease Reset ass 1 "$nic" function >"$VM_STATE/answer" 2>&1 &
caller=$!
check "the function: a worker waits" within 10 worker_waits
tells "bob gets another device meanwhile" bob acquire h "mode=$mode" "${two[@]}"
other=$(lease)
tells "and has it reset" bob call "$other" org.vfiod1.Lease Reset As "${two[0]}" bus
quickly "the daemon answers" vfiodctl list
check_not "nothing else of the lease is reset meanwhile" \
	busctl --system call org.vfiod1 "$path" org.vfiod1.Lease Reset ass 1 "$nic" function
like "it is busy" "$(cat "$check_output")" 'another change or reset'
tells "bob releases" bob release "$other"
check "home" within 20 gone "$other"
check "root ends the lease while the worker waits" vfiodctl revoke --no-wait --grace=0 "${path##*/}"
check "it has ended, and waits" within 10 lease_is "$path" draining
check_not "its device is nobody else's" as bob vfiodctl acquire --mode=group "$nic"
check_not "the unbind still waits" unbound
# The VMM lets go: what hung comes to its end.
tell alice close-all
check "the unbind returns" within 20 unbound
check "the reset is answered" within 20 answered
like "the lease has ended by now" "$(cat "$VM_STATE/answer")" 'lease .* has ended'
check "the NIC is home" within 30 at_home "$nic" e1000e
check "the lease is gone" within 20 gone "$path"

# One of the bus only tries it. Then it is looked at what has been done: the lease ends, and its device
# goes nowhere before that unbind is over, though it has no driver to be seen.
if [ -e "$pci/0000:00:09.0/reset_subordinate" ]; then
	have
	refused "the bus: given up after some seconds" TimedOut 'locked' alice call "$path" org.vfiod1.Lease Reset As "$nic" bus
	check "the lease ends, and waits" within 20 lease_is "$path" draining
	sleep 3
	is "it waits still" "$(lease_state "$path")" draining
	check_not "as the unbind does" unbound
	check_not "the device is nobody else's" as bob vfiodctl acquire --mode=group "$nic"
	tell alice close-all
	check "the unbind returns" within 20 unbound
	check "the NIC is home" within 30 at_home "$nic" e1000e
	check "the lease is gone" within 20 gone "$path"
fi

# ---- a device that goes while it is reset
plug() {
	qmp device_add '{"driver":"e1000e","id":"going","bus":"rp6","romfile":""}' >"$check_output" ||
		{ not_ok "plugging a NIC"; detail <"$check_output"; }
}
going() { behind 0d.0; }
there() { [ -n "$(going)" ] && has_driver "$(going)" e1000e && device_state "$(going)" && group_is "$(group_of "$(going)")" host; }
plug
check "a NIC is plugged" within 30 there
card=$(going)
tells "alice has it" alice acquire h mode=group "$card"
path=$(lease)
for _ in {1..10}; do tell_async alice call "$path" org.vfiod1.Lease Reset As "$card" bus; done
qmp device_del '{"id":"going"}' >/dev/null || :
# The slot's button is pressed: the kernel waits five seconds before it removes the device.
ended=''
for _ in {1..10}; do
	hear alice || :
	ended+="$said"$'\n'
done
unlike "each reset is answered" "$ended" 'no answer'
is "each with what became of it" "$(grep -cE '^(ok|error org\.vfiod1\.Error\.(NoSuchDevice|GroupChanged|DriverFailed|NoSuchLease) )' <<<"$ended")" 10
for _ in {1..20}; do
	[ -n "$(going)" ] || break
	reset alice "$path" "$card" bus || :
	[[ $said != *'no answer'* ]] || not_ok "no answer to a reset"
done
check "it is gone" within 20 eval "[ -z \"\$(behind 0d.0)\" ]"
check_not "what is gone is not reset" reset alice "$path" "$card" bus
like "and said to be gone" "$said" 'NoSuchDevice|NoSuchLease'
tell alice release "$path" || :
tell alice close-all
check "no lease is left of it" within 20 gone "$path"
quickly "the daemon is well" vfiodctl list

# ---- what nobody has, and the host takes: a VF without a driver, next to one that is leased
if [ -e "$pci/0000:00:0c.0/reset_subordinate" ]; then
	echo 0 >"$pci/$pf/sriov_drivers_autoprobe"
	echo 2 >"$pci/$pf/sriov_numvfs"
	udevadm settle --timeout=20
	vf0=$(basename "$(readlink "$pci/$pf/virtfn0")")
	vf1=$(basename "$(readlink "$pci/$pf/virtfn1")")
	known() { [ "$(property "$(device_path "$vf1")" Device PhysicalFunction)" = "\"$(device_path "$pf")\"" ]; }
	check "VFs are known" within 10 known
	tells "alice has one" alice acquire h mode=group "$vf0"
	path=$(lease)
	refused "its PF is the host's" ResetNotOwned "$pf \(group" alice call "$path" org.vfiod1.Lease Reset As "$vf0" bus
	unlike "what nobody has is not in the way" "$said" "$vf1"
	tells "released" alice release "$path"
	check "home" within 20 gone "$path"
	echo 0 >"$pci/$pf/sriov_numvfs"
	echo 1 >"$pci/$pf/sriov_drivers_autoprobe"
	udevadm settle --timeout=20
fi
dismiss alice
dismiss bob
no_policy
end
