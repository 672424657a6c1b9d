#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Revocation, rung by rung: a holder that ignores it is named, nobody is stuck, and it is killed where policy says so.
# kernels: stock
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

nic=$(behind 09.0)
other=$(behind 0b.0)
g=$(group_of "$nic")
revoked_id=b3a1c86f2f624d5c9e07f5d8a2c4e631
revocation() { property "$1" Lease Revocation; }
revocation_is() { revocation "$1" | grep -q "\"$2\""; }
mode=$(fd_modes | cut -d' ' -f1)
kill_policy() {
	policy <<'END'
{ "version": 1, "rules": [
  { "id": "nics", "subjects": [ { "users": ["alice", "bob", "root"] } ],
    "devices": [ { "subsystem": "pci", "class": "02" } ],
    "allow": ["acquire", "withhold", "delegate"], "modes": ["cdev", "group"],
    "consent": { "drivers": ["e1000", "e1000e"] }, "revoke": "kill" } ] }
END
}
# A group's descriptor alone holds nothing up: who is to be waited for has the device's.
hold=(--mode="$mode")
if [ "$mode" = group ]; then hold+=(--device-fds); fi
# What the log says of the ladder, a rung a line: "STEP OUTCOME"
ladder() {
	journalctl -q -b -o json "MESSAGE_ID=$revoked_id" "VFIOD_LEASE=${1##*/}" |
		jq -r '"\(.VFIOD_STEP) \(.VFIOD_OUTCOME // "-")"'
}
ladder_has() { ladder "$1" | grep -q "$2"; }
leased() { group_is "$g" leased; }
lease_on() { property "/org/vfiod1/group/$g" Group Lease | tr -d '"'; }
named() { property "$path" Lease Holders | grep -q "$1"; }

# ---- asked, and ignored
everyday_policy
client alice alice
client bob bob
tells "alice has the NIC" alice acquire h "mode=$mode" "$nic"
path=$(lease)
tells "take" alice take h
check "use it" use alice "$mode" "$nic"
check_not "alice cannot revoke" as alice vfiodctl revoke --no-wait "${path##*/}"
busctl --system --json=short --match="type='signal',interface='org.vfiod1.Lease',member='RevokeRequested'" \
	monitor >"$VM_STATE/signals" 2>/dev/null &
monitor=$!
sleep 1
check "root asks" vfiodctl revoke --no-wait --grace=10 --reason=maintenance "${path##*/}"
check "the owner has until the deadline" revocation_is "$path" asked
check "and is told" within 5 grep -q '"maintenance"' "$VM_STATE/signals"
kill $monitor
is "and has the NIC meanwhile" "$(lease_state "$path")" leased
refused "but no more" NotPermitted maintenance alice add x "$path" "$other"
check "after the deadline the group drains" within 40 group_is "$g" draining
check "the holder is named" within 15 named "${client_pid[alice]},\"vmclient"
quickly "nobody else is stuck" tell bob acquire h2 "$other"
tells "and gives it back" bob release "$(lease)"
kill -9 "$(systemctl show -P MainPID vfiod)"
check "the daemon is killed meanwhile: it drains as before" within 30 group_is "$g" draining
check "the holder is named again" within 20 named "${client_pid[alice]},\"vmclient"
check "and the rung is known" revocation_is "$path" unbinding
refused "bob does not get it" GroupDraining "${client_pid[alice]}" bob acquire h "$nic"
sleep 7
check "who is only asked is not killed" kill -0 "${client_pid[alice]}"
is "and nothing says that access has ended" "$(group_state "$g") $(ladder "$path" | grep -c ended || :)" 'draining 0'
tells "alice lets go" alice close-all
check "the group goes home" within 20 at_home "$nic" e1000e
check "the other too" within 20 at_home "$other" e1000e
check "each rung is in the log, and the end when the unbinds have returned" within 5 \
	ladder_has "$path" '^ended every unbind has returned'
is "in their order" "$(ladder "$path" | cut -d' ' -f1 | tr '\n' ' ')" 'asked unbinding ended '

# ---- asked, and obeyed
tells "alice has it again" alice acquire h "mode=$mode" "$nic"
path=$(lease)
check "root asks" vfiodctl revoke --no-wait --grace=600 "${path##*/}"
tells "alice gives it back" alice release "$path"
check "the group is home" within 20 at_home "$nic" e1000e
is "which was before the deadline" "$(ladder "$path" | tail -1)" 'ended the lease ended before the deadline'
dismiss alice

# ---- killed: vfiodctl run gives its own pidfd as lifeline
kill_policy
become alice vfiodctl run "${hold[@]}" "$nic" -- sh -c 'trap "" TERM HUP; while :; do sleep 1; done' &
holder=$!
check "a process holds the NIC" within 30 leased
path=$(lease_on)
check "revoked" vfiodctl revoke --grace=1 "${path##*/}"
wait "$holder" && status=0 || status=$?
is "the holder is killed" "$status" 137
check "the group is home" within 20 at_home "$nic" e1000e
check "by its lifeline" ladder_has "$path" "^killed process $holder of uid $(id -u alice), by the lifeline"

# ---- the holder is killed, and has handed on what it had
cat >"$VM_STATE/hand-on" <<'END'
sleep 1000 &
echo $! >"$1"
trap "" TERM
while :; do sleep 1; done
END
touch "$VM_STATE/third"
chown alice "$VM_STATE/third"
become alice vfiodctl run "${hold[@]}" "$nic" -- bash "$VM_STATE/hand-on" "$VM_STATE/third" &
holder=$!
check "a process holds the NIC" within 30 leased
check "and has started another" within 20 test -s "$VM_STATE/third"
third=$(cat "$VM_STATE/third")
path=$(lease_on)
check "revoked" vfiodctl revoke --no-wait --grace=0 "${path##*/}"
wait "$holder" && status=0 || status=$?
is "the holder is killed" "$status" 137
check "the rung says so" within 10 revocation_is "$path" killed
check "the other one is named" within 15 named "$third,\"sleep"
check "and lives: nobody has vouched for it" kill -0 "$third"
is "the group drains" "$(group_state "$g")" draining
quickly "nobody else is stuck" tell bob acquire h2 "$other"
tells "and gives it back" bob release "$(lease)"
kill "$third"
check "when it is gone the group is home" within 20 at_home "$nic" e1000e

# ---- no lifeline: the process that the bus vouches for
client alice alice
tells "alice has the NIC" alice acquire h "mode=$mode" "$nic"
path=$(lease)
tells "take" alice take h
check "use it" use alice "$mode" "$nic"
check "revoked" vfiodctl revoke --grace=0 "${path##*/}"
wait "${client_pid[alice]}" && status=0 || status=$?
is "the client is killed" "$status" 137
check "the group is home" within 20 at_home "$nic" e1000e
check "by what the bus says" ladder_has "$path" '^killed .*by the process that the bus vouches for'
hang_up alice

# ---- a lifeline that is not the owner's process
become bob sleep 1000 &
stranger=$!
client root root
tells "root has a pidfd of bob's process" root pidfd p "$stranger"
tells "and a lease for alice that lives as long" root acquire h "mode=$mode" owner="$(id -u alice)" lifeline=p "$nic"
path=$(lease)
tells "take" root take h
check "use it" use root "$mode" "$nic"
check "revoked" vfiodctl revoke --no-wait --grace=0 "${path##*/}"
check "nobody may be killed" within 15 revocation_is "$path" kill-not-possible
check "and it says why" ladder_has "$path" "^kill-not-possible the lifeline: it is no process of the owner"
check "bob's process lives" kill -0 "$stranger"
check "root's too" kill -0 "${client_pid[root]}"
is "the group drains" "$(group_state "$g")" draining
dismiss root
check "the group is home when the holder lets go" within 20 at_home "$nic" e1000e
kill "$stranger"

# ---- drain
everyday_policy
tells "bob has a NIC" bob acquire h "mode=$mode" "$nic"
check "drain ends it" timeout 60 vfiodctl drain --grace=1
is "and the daemon says so" "$(property /org/vfiod1 Manager Draining)" true
refused "no new leases" NotPermitted . bob acquire h "$nic"
check "off" vfiodctl drain --off
tells "leases again" bob acquire h "mode=$mode" "$nic"
tells "back" bob release "$(lease)"
check "home" within 20 at_home "$nic" e1000e
dismiss bob
no_policy
end
