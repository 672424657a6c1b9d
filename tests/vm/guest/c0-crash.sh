#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Any crash, same answer: the daemon, and its children, killed at each point of daemon/fault.h.
# limit: 5000 s
# kernels: iommufd hotplug
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"
# shellcheck source=tests/vm/guest/crash.sh
. "${BASH_SOURCE[0]%/*}/crash.sh"

nic=$(behind 09.0)
bridge=$(behind 08.0)
function=$(behind 0c.0 | sed -n 1p)
mapfile -t pair < <(behind "08.0/$bridge")
auto=$(fd_modes | awk '{ print $1 }')
everyday_policy
sed -i 's/"id": "nics",/& "revoke": "kill",/; s/"persist"\]/"persist", "reset"]/' /etc/vfiod/policy.d/50-test.json
sed -i 's/"acquire", "withhold"\]/"acquire", "withhold", "sriov"]/; s/"rules": \[/&\n    { "id": "serial", "subjects": [ { "users": ["alice", "bob"] } ], "devices": [ { "subsystem": "mdev" } ], "allow": ["acquire"], "modes": ["cdev", "group", "node"] },/' /etc/vfiod/policy.d/50-test.json
# Where the kernel honours it, new devices are the daemon's to probe, and the kernel's again whenever it dies.
[ "$VM_KERNEL" != hotplug ] || sed -i 's/"version": 1,/& "hotplug": { "probe": "broker" },/' /etc/vfiod/policy.d/50-test.json
use_faulty_daemon
check "the daemon with fault points runs" daemon_up
check "under the policy of this test" as alice vfiodctl explain "--mode=$auto" "$nic"

# It is plugged once (an earlier test may have done it); the bridge's own driver is away while the group
# is leased, so it comes and goes by what an administrator writes.
newcomer=${pair[0]%.*}
newcomer=${newcomer%:*}:03.0
# Not waited for where its slot is taken; one that comes when nobody looks for it any more spoils a story.
! qmp device_add '{"driver":"e1000","bus":"br1","addr":"3","id":"newcomer","romfile":""}' >/dev/null ||
	within 15 test -e "$pci/$newcomer" || :
remove_newcomer() { [ ! -e "$pci/$newcomer" ] || echo 1 >"$pci/$newcomer/remove"; }
remove_newcomer
add_newcomer() {
	echo 1 >"$pci/${pair[0]}/rescan"
	within 15 test -e "$pci/$newcomer" || { echo "the newcomer does not come"; return 1; }
}
newcomer_is_fenced() { [ -z "$(driver_of "$newcomer" || :)" ] && [ "$(override_of "$newcomer")" = none ]; }
"${BASH_SOURCE[0]%/*}/checker" --picture >"$baseline"

# Withheld words for the bridge, where a driver has it that counts
with_bridge=()
case $(driver_of "$bridge" || :) in
'' | pcieport) ;;
*) with_bridge=("withhold=$bridge") ;;
esac

# ---- the stories: each ends with everything home, whatever dies on the way

story_plain() {
	ensure_leased alice crash "mode=$auto" "$nic" || return
	inspect bob || return
	ensure_home crash
}
# It lives by a pipe, in the mode that hands out no fd.
story_node() {
	tell alice pipe life && ensure_leased alice crash mode=node lifeline=life "$nic" || return
	inspect bob || return
	tell alice close life.w || :
	within 60 lease_is_gone crash
}
# A physical function: the kernel gives its VFs no driver meanwhile.
switch_is() { [ "$(<"$pci/$function/sriov_drivers_autoprobe")" = "$1" ]; }
story_function() {
	ensure_leased alice crash "mode=$auto" "$function" || return
	switch_is 0 || { echo "the switch of its VFs is on"; return 1; }
	inspect bob || return
	ensure_home crash || return
	within 10 switch_is 1 || { echo "the switch of its VFs is off"; return 1; }
}
[ "$VM_KERNEL" = hotplug ] || unwatch 09.0
# The function is reset, and then all that is below its port.
story_reset() {
	local kind until=$((SECONDS + 60))
	ensure_leased alice crash "mode=$auto" "$nic" || return
	for kind in function bus; do
		until tell alice call "$path" org.vfiod1.Lease Reset As "$nic" "$kind"; do
			[ $SECONDS -lt $until ] || { echo "no reset of kind $kind: $said"; return 1; }
			sleep 0.1
		done
	done
	inspect bob || return
	ensure_home crash
}
# Virtual functions are made, others in their place, one is leased, and all are taken away.
has_functions() {
	local until=$((SECONDS + 60))
	until tell alice call "$(device_path "$function")" org.vfiod1.Device SetNumVfs u "$1"; do
		[ $SECONDS -lt $until ] || { echo "there are not $1 functions: $said"; return 1; }
		sleep 0.1
	done
	[ "$(<"$pci/$function/sriov_numvfs")" = "$1" ] || { echo "there should be $1 functions"; return 1; }
	within 10 switch_is 1 || { echo "the switch of its VFs is off"; return 1; }
}
story_functions() {
	local vf
	has_functions 2 && has_functions 1 || return
	vf=$(basename "$(readlink "$pci/$function/virtfn0")")
	[ -z "$(driver_of "$vf" || :)" ] || { echo "$vf has a driver"; return 1; }
	ensure_leased alice crash "mode=$auto" "$vf" || return
	inspect bob || return
	ensure_home crash || return
	has_functions 0
}
# It is removed and made anew each time that it is bound.
uuid=83b8f4f2-509f-382f-3c1e-e6bfe0fa1001
mdev=/sys/bus/mdev/devices/$uuid
mdev_is_bound() { [ -e $mdev/driver ]; }
story_mediated() {
	[ -e $mdev ] || echo $uuid >/sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-1/create || return
	ensure_leased alice crash "mode=$auto" $uuid || return
	mdev_is_bound || { echo "$uuid has no driver"; return 1; }
	inspect bob || return
	ensure_home crash || return
	within 10 mdev_is_bound || { echo "$uuid is not there, or has no driver"; return 1; }
	timeout 20 sh -c "echo 1 >$mdev/remove"
}
# Its fds are open while the daemon dies once more, and when it is released.
story_held() {
	tell alice pipe life && ensure_leased alice crash "mode=$auto" lifeline=life "$nic" || return
	ensure_taken alice "$nic" || return
	systemctl kill -s KILL vfiod
	inspect bob || return
	of_lease "$path" State
	[ "$value" = leased ] || { echo "the lease did not survive: $value"; return 1; }
	as_root Release || :
	inspect bob || return
	[ "$(driver_of "$nic" || :)" != e1000e ] || { echo "the host has $nic, whose fd is open"; return 1; }
	tell alice close-all || :
	ensure_home crash
}
# A claim that fails when its journal should say leased
story_failing() {
	echo "ENOSPC 1" >$faults/JOURNAL_BEGIN
	tell alice acquire h name=crash "mode=$auto" "$nic" && { echo "the claim did not fail"; return 1; }
	[[ $said != *NotPermitted* ]] || { echo "$said"; return 1; }
	inspect || return
	ensure_home crash
}
# A device comes to the group.
story_newcomer() {
	local status=0
	ensure_leased alice crash "mode=$auto" "${pair[@]}" "${with_bridge[@]}" || return
	add_newcomer || return
	within 30 newcomer_is_fenced || { echo "the newcomer is not fenced"; status=1; }
	inspect bob || status=1
	ensure_home crash || status=1
	within 10 has_driver "$newcomer" e1000 || { echo "the newcomer has no driver at the end"; status=1; }
	remove_newcomer || status=1
	return $status
}
# Somebody writes to sysfs behind the daemon.
story_interfered() {
	ensure_leased alice crash "mode=$auto" "$nic" || return
	echo e1000e >"$pci/$nic/driver_override"
	echo "$nic" >"$pci/$nic/driver/unbind"
	echo "$nic" >/sys/bus/pci/drivers_probe || :
	within 30 has_driver "$nic" vfio-pci || { echo "$nic is not put right"; return 1; }
	inspect bob || return
	of_lease "$path" State
	[ "$value" = leased ] || { echo "the lease has ended: $value"; return 1; }
	ensure_home crash
}
# until DEVICE STATE ADD-OR-REMOVE…: asks until the device is so
until_is() {
	local device=$1 wanted=$2 until=$((SECONDS + 60))
	shift 2
	while of_device "$device" State && [ "$value" != "$wanted" ]; do
		[ $SECONDS -lt $until ] || { echo "$device is $value, not $wanted: $said"; return 1; }
		judge "$@" || :
		judge close h || :
		sleep 0.1
	done
}
# A device of the lease's own that was kept shut is granted and shut again; another group comes and goes.
story_changed() {
	ensure_leased alice crash "mode=$1" "withhold=${pair[1]}${with_bridge[*]:+,$bridge}" "${pair[0]}" || return
	until_is "${pair[1]}" granted add h "$path" "${pair[1]}" || return
	until_is "$nic" granted add h "$path" "$nic" || return
	inspect bob || return
	until_is "${pair[1]}" withheld remove "$path" "${pair[1]}" || return
	until_is "$nic" host remove "$path" "$nic" || return
	ensure_home crash
}
story_changed_fds() { story_changed "$auto"; }
story_changed_node() { story_changed node; }
# The owner keeps its fds until the process that it named is killed.
story_revoked() {
	local holder until=$((SECONDS + 60))
	become alice sleep 300 &
	holder=$!
	until [ "$(stat -c %u /proc/$holder)" != 0 ]; do sleep 0.05; done
	tell alice pidfd life $holder && ensure_leased alice crash "mode=$auto" lifeline=life "$nic" || return
	ensure_taken alice "$nic" || return
	while kill -0 $holder 2>/dev/null; do
		[ $SECONDS -lt $until ] || { echo "the holder was not killed: $value"; break; }
		of_lease "$path" Revocation
		[[ $said != ok* || $heard == *asked* || $heard == *unbinding* || $heard == *killed* ]] ||
			as_root Revoke ts 0 test || :
		sleep 0.1
	done
	inspect bob || return
	kill $holder 2>/dev/null || :
	tell alice close-all || :
	ensure_home crash
}
# Cheapest first: a point is killed in the first story that passes it.
stories=(plain failing node function reset functions mediated held changed_fds changed_node interfered newcomer revoked)

# ---- what they pass without a crash

# tell_story STORY: prints what is wrong
tell_story() {
	local status=0
	client alice alice
	"story_$1" || status=1
	tell alice close-all || :
	dismiss alice
	within 20 has_driver "$nic" e1000e || status=1
	inspect || status=1
	return $status
}

rows=()
for story in "${stories[@]}"; do
	: >$faults/trace
	check "$story: told without a crash" tell_story "$story"
	mv $faults/trace "$VM_STATE/$story.trace"
	ensure_home crash >/dev/null || :
done
# A row for each point and victim: of the first story that has it
mapfile -t rows < <(
	for story in "${stories[@]}"; do sed "s/^/$story /" "$VM_STATE/$story.trace"; done |
		awk '!seen[$2 " daemon"]++ { print $1, $2, "daemon" } $3 == "worker" && !seen[$2 " worker"]++ { print $1, $2, "worker" }'
)
# No point is forgotten: a new one that no story passes fails here.
unpassed() {
	comm -23 <(/usr/libexec/vfiod-faults --fault-points | sort) \
		<(printf '%s\n' "${rows[@]}" | awk '{ sub(/.*\./, "", $2); print $2 }' | sort -u)
}
is "every point of the list is passed" "$(unpassed)" ""

# ---- the matrix

# crash_at STORY POINT VICTIM: one row of it
crash_at() {
	local out=$VM_STATE/out status before=$SECONDS try
	for try in 1 2 3; do
		rm -f $faults/*
		echo "$3" >"$faults/$2"
		status=0
		tell_story "$1" >"$out" 2>&1 || status=1
		# A guard that is quicker than who interferes has less to do: the story is told again.
		if [ $status != 0 ] || [ ! -e "$faults/$2" ]; then break; fi
		echo "# $1, $2: not passed when told for the $try. time"
	done
	[ ! -e "$faults/$2" ] || { echo "the point was not passed" >>"$out"; status=1; }
	if [ $status = 0 ]; then ok "$1, $2: the $3 killed, everything home ($((SECONDS - before)) s)"; else
		not_ok "$1, $2: the $3 killed"
		detail <"$out"
		rm -f $faults/*
		ensure_home crash || :
	fi
	systemctl reset-failed vfiod 2>/dev/null || :
}

# Here a sample; all of it with --all, and what matches with --points.
seed=${VM_SEED:-$((RANDOM * 32768 + RANDOM))}
sample=5
if [ -n "${VM_ALL:-}" ]; then
	printf '%s\n' "${rows[@]}" | grep -E -- "$VM_ALL" >"$VM_STATE/rows" || :
	check "rows are chosen" test -s "$VM_STATE/rows"
else
	echo "# ${#rows[@]} rows, $sample of them by the seed $seed (tests/vm/run --seed $seed c0)"
	printf '%s\n' "${rows[@]}" | awk -v seed="$seed" 'BEGIN { srand(seed) } { print rand(), $0 }' |
		sort -n | sed -n "1,${sample}p" | cut -d' ' -f2- >"$VM_STATE/rows"
fi
while read -r story point victim <&3; do
	crash_at "$story" "$point" "$victim"
done 3<"$VM_STATE/rows"
rm -f $faults/*
dismiss judge
unset 'client_pid[judge]'
use_shipped_daemon
check "the shipped daemon runs again" daemon_up
watch_again
no_policy
end
