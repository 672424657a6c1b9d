#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Any crash, same answer: the daemon, and the worker, killed at the points of daemon/fault.h.
# limit: 1500 s
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"
# shellcheck source=tests/vm/guest/crash.sh
. "${BASH_SOURCE[0]%/*}/crash.sh"

nic=$(behind 09.0)
bridge=$(behind 08.0)
mapfile -t pair < <(behind "08.0/$bridge")
everyday_policy
sed -i 's/"id": "nics",/& "revoke": "kill",/' /etc/vfiod/policy.d/50-test.json
use_faulty_daemon
check "the daemon with fault points runs" daemon_up
mapfile -t points < <(/usr/libexec/vfiod-faults --fault-points)
auto=$(fd_modes | awk '{ print $1 }')

withhold_bridge() { [ -z "$(driver_of "$bridge" || :)" ] || [ "$(driver_of "$bridge")" = pcieport ] || echo "withhold=$bridge"; }

newcomer=${pair[0]%.*}
newcomer=${newcomer%:*}:03.0
# It is plugged once (an earlier test may have done it); the bridge's own driver is away while the group
# is leased, so it comes and goes by what an administrator writes.
add_newcomer() {
	[ -n "$plugged" ] || qmp device_add '{"driver":"e1000","bus":"br1","addr":"3","id":"newcomer","romfile":""}' >/dev/null || :
	plugged=1
	echo 1 >"$pci/${pair[0]}/rescan"
	within 15 test -e "$pci/$newcomer" || { echo "the newcomer does not come"; return 1; }
}
plugged=
newcomer_is_fenced() { [ -z "$(driver_of "$newcomer" || :)" ] && [ "$(override_of "$newcomer")" = none ]; }
remove_newcomer() { [ ! -e "$pci/$newcomer" ] || echo 1 >"$pci/$newcomer/remove"; }

# The stories: each ends with everything home, whatever dies on the way. A point is killed in the
# shortest one that passes it.
plain_story() {
	tell alice pipe life && ensure_leased alice crash "mode=$1" lifeline=life "$nic" || return
	[ "$1" = node ] || ensure_taken alice "$nic" || return
	inspect || return
	tell alice close-all || :
	ensure_home crash
}
# The daemon dies once more, while it takes up the lease.
restart_story() {
	tell alice pipe life && ensure_leased alice crash "mode=$auto" lifeline=life "$nic" || return
	ensure_taken alice "$nic" || return
	systemctl kill -s KILL vfiod
	sleep 0.3
	inspect || return
	[ "$(lease_state "$path")" = leased ] || { echo "the lease did not survive"; return 1; }
	tell alice close-all || :
	ensure_home crash
}
# A claim that fails when its journal should say leased
failing_story() {
	echo "ENOSPC 1" >$faults/JOURNAL_BEGIN
	tell alice acquire h name=crash "mode=$auto" "$nic" && { echo "the claim did not fail"; return 1; }
	inspect || return
	ensure_home crash
}
fence_story() {
	local status=0 words
	read -r -a words < <(withhold_bridge) || :
	ensure_leased alice crash "mode=$auto" "${pair[@]}" "${words[@]}" || return
	add_newcomer || return
	within 20 newcomer_is_fenced || { echo "the newcomer is not fenced"; status=1; }
	inspect || status=1
	ensure_home crash || status=1
	within 10 has_driver "$newcomer" e1000 || { echo "the newcomer has no driver at the end"; status=1; }
	remove_newcomer || status=1
	return $status
}

# as_root METHOD SIGNATURE WORD…: asks of the lease at $path, as root
as_root() { busctl --system call org.vfiod1 "$path" org.vfiod1.Lease "$@"; }
device_is() { [ "$(device_state "$1" 2>/dev/null)" = "$2" ]; }
# until DEVICE STATE METHOD…: asks until the device is so
until_is() {
	local device=$1 wanted=$2 until=$((SECONDS + 60))
	shift 2
	while ! device_is "$device" "$wanted"; do
		[ $SECONDS -lt $until ] || { echo "$device is not $wanted"; return 1; }
		as_root "$@" >/dev/null 2>&1 || :
		sleep 0.5
	done
}
# A device of the lease's own that was kept shut is granted and shut again; another group comes and goes.
change_story() {
	local with
	with=$(withhold_bridge)
	ensure_leased alice crash "mode=$auto" "withhold=${pair[1]}${with:+,${with#*=}}" "${pair[0]}" || return
	until_is "${pair[1]}" granted AddDevices 'asa{sv}' 1 "${pair[1]}" 0 || return
	until_is "$nic" granted AddDevices 'asa{sv}' 1 "$nic" 0 || return
	inspect || return
	until_is "${pair[1]}" withheld RemoveDevices as 1 "${pair[1]}" || return
	until_is "$nic" host RemoveDevices as 1 "$nic" || return
	inspect || return
	ensure_home crash
}
# The owner keeps its fds until the process that it named is killed.
revoke_story() {
	local holder revoked until=$((SECONDS + 60))
	become alice sleep 300 &
	holder=$!
	sleep 0.5
	tell alice pidfd life $holder && ensure_leased alice crash "mode=$auto" lifeline=life "$nic" || return
	ensure_taken alice "$nic" || return
	while kill -0 $holder 2>/dev/null; do
		[ $SECONDS -lt $until ] || { echo "the holder was not killed"; break; }
		revoked=$(property "$path" Lease Revocation 2>/dev/null || :)
		[[ $revoked == *asked* || $revoked == *unbinding* || $revoked == *killed* ]] ||
			as_root Revoke ts 0 test >/dev/null 2>&1 || :
		sleep 0.2
	done
	inspect || return
	kill $holder 2>/dev/null || :
	tell alice close-all || :
	ensure_home crash
}

story_of() {
	case $1 in
	GROW_* | SHRINK_* | PARK_*) echo change_story ;;
	REVOKE_*) echo revoke_story ;;
	ROLLBACK_*) echo failing_story ;;
	FENCE_* | STEP_QUIET_*) echo fence_story ;;
	RECOVER_*) echo restart_story ;;
	STEP_NODE_GRANT_* | STEP_NODE_REVOKE_*) echo "plain_story node" ;;
	*) echo "plain_story $auto" ;;
	esac
}

# crash_at POINT VICTIM: one row of the matrix
crash_at() {
	local point=$1 victim=$2 out=$VM_STATE/out status=0 before=$SECONDS story
	rm -f $faults/*
	systemctl reset-failed vfiod 2>/dev/null || :
	client alice alice
	echo "$victim" >"$faults/$point"
	read -r -a story < <(story_of "$point")
	"${story[@]}" >"$out" 2>&1 || status=$?
	[ ! -e "$faults/$point" ] || { echo "the point was not passed" >>"$out"; status=1; }
	dismiss alice
	inspect >>"$out" 2>&1 || status=1
	has_driver "$nic" e1000e || within 10 has_driver "$nic" e1000e || { echo "$nic is not home" >>"$out"; status=1; }
	if [ $status = 0 ]; then ok "$point: the $victim killed, everything home ($((SECONDS - before)) s)"; else
		not_ok "$point: the $victim killed"
		detail <"$out"
		ensure_home crash || :
	fi
}

# Here a sample: each fifth row, others on another kernel. All of it with --all.
step=5 offset=$((${#VM_KERNEL} % 5))
if [ -n "${VM_ALL:-}" ]; then step=1 offset=0; fi
row=0
for line in "${points[@]}"; do
	read -r point child <<<"$line"
	for victim in daemon $child; do
		[ $((row++ % step)) = "$offset" ] || continue
		if [[ $point =~ ${VM_ALL:-.} ]]; then crash_at "$point" "$victim"; fi
	done
done
use_shipped_daemon
check "the shipped daemon runs again" daemon_up
no_policy
end
