#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Revocation: a holder that ignores it is named while its group drains, and nobody is stuck; with
# "revoke": "kill" it is gone and the group is home.
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

nic=$(behind 09.0)
other=$(behind 0b.0)
g=$(group_of "$nic")
revocation() { property "$1" Lease Revocation; }
revocation_is() { revocation "$1" | grep -q "\"$2\""; }
mode=$(fd_modes | cut -d' ' -f1)
kill_policy() {
	policy <<'END'
{ "version": 1, "rules": [
  { "id": "nics", "subjects": [ { "users": ["alice", "bob"] } ],
    "devices": [ { "subsystem": "pci", "class": "02" } ],
    "allow": ["acquire", "withhold"], "modes": ["cdev", "group"],
    "consent": { "drivers": ["e1000", "e1000e"] }, "revoke": "kill" } ] }
END
}

# asked, and ignored
everyday_policy
client alice alice
client bob bob
tells "alice has the NIC" alice acquire h "mode=$mode" "$nic"
path=$(lease)
tells "take" alice take h
check "use it" use alice "$mode" "$nic"
check_not "alice cannot revoke" as alice vfiodctl revoke --no-wait "${path##*/}"
check "root asks" vfiodctl revoke --no-wait --grace=2 --reason=maintenance "${path##*/}"
check "the owner has until the deadline" revocation_is "$path" asked
is "and has the NIC meanwhile" "$(lease_state "$path")" leased
check "after the deadline the group drains" within 10 group_is "$g" draining
named() { property "$path" Lease Holders | grep -q "${client_pid[alice]},\"vmclient"; }
check "the holder is named" within 10 named
quickly "nobody else is stuck" tell bob acquire h2 "$other"
tells "and gives it back" bob release "$(lease)"
sleep 7
check "who is only asked is not killed" kill -0 "${client_pid[alice]}"
is "and nothing says that access has ended" "$(group_state "$g")" draining
tells "alice lets go" alice close-all
check "the group goes home" within 20 at_home "$nic" e1000e
check "the other too" within 20 at_home "$other" e1000e
dismiss alice

# killed: vfiodctl run gives its own pidfd as lifeline
kill_policy
become alice vfiodctl run --mode="$mode" "$nic" -- sh -c 'trap "" TERM HUP; while :; do sleep 1; done' &
holder=$!
leased() { group_is "$g" leased; }
check "a process holds the NIC" within 30 leased
path=$(property "/org/vfiod1/group/$g" Group Lease | tr -d '"')
check "revoked" vfiodctl revoke --grace=1 "${path##*/}"
wait "$holder" && status=0 || status=$?
is "the holder is killed" "$status" 137
check "the group is home" within 20 at_home "$nic" e1000e

# drain
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
