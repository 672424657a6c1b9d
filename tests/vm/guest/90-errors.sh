#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Every named error, from an unprivileged client; afterwards all is as before.
# kernels: stock
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

nic=$(behind 09.0)
other=$(behind 0b.0)
bridge=$(behind 08.0)
mapfile -t nics < <(behind "08.0/$bridge")
pf=$(behind 0c.0 | sed -n 1p)
manager="/org/vfiod1 org.vfiod1.Manager"
policy <<'END'
{ "version": 1,
  "rules": [
    { "id": "one-at-a-time", "subjects": [ { "users": ["bob"] } ],
      "devices": [ { "class": "02" } ], "allow": ["acquire"], "modes": ["cdev", "group", "node"],
      "consent": { "drivers": ["e1000e"] }, "limits": { "leases": 1 }, "memlock": "64M" },
    { "id": "never", "subjects": [ { "users": ["alice"] } ], "devices": [ { "address": "0000:00:05.0" } ], "deny": true },
    { "id": "group-only", "subjects": [ { "users": ["alice"] } ],
      "devices": [ { "driver": "e1000" } ], "allow": ["acquire", "withhold"], "modes": ["group"],
      "consent": { "drivers": ["e1000"] } },
    { "id": "nics", "subjects": [ { "users": ["alice"] } ],
      "devices": [ { "class": "02" } ], "allow": ["acquire"], "modes": ["cdev", "group", "node"],
      "consent": { "drivers": ["e1000e"] } },
    { "id": "no-consent", "subjects": [ { "users": ["alice"] } ],
      "devices": [ { "class": "01" } ], "allow": ["acquire"], "modes": ["cdev", "group", "node"] }
  ] }
END
client alice alice
client bob bob
client vmm vmm

refused "NoSuchDevice: no such address" NoSuchDevice 0000:ff:1f.7 alice acquire h 0000:ff:1f.7
refused "NoSuchDevice: not an address at all" '(NoSuchDevice|BadOption|InvalidArgs)' . alice acquire h ../../etc/passwd
refused "NoSuchDevice: by FindDevice" NoSuchDevice nothing alice call $manager FindDevice s nothing
refused "NoSuchGroup" NoSuchGroup 4242 alice call $manager FindGroup u 4242
refused "NoSuchLease" NoSuchLease nothing alice call $manager FindLease s nothing
refused "NotPermitted: no rule" NotPermitted "$nic" vmm acquire h "$nic"
refused "NotPermitted: a rule that denies" NotPermitted never alice acquire h 0000:00:05.0
refused "NotPermitted: a verb that the rule lacks" NotPermitted persist alice acquire h persist=1 "$nic"
refused "NotPermitted: lease for another user" '(NotPermitted|AccessDenied)' 'delegate|owner|another' alice acquire h owner=1002 "$nic"
refused "ConsentRequired: a driver that the rule does not name" ConsentRequired nvme alice acquire h "$pf"
refused "ConsentRequired: a sibling that is not named" ConsentRequired "${nics[1]}" alice acquire h mode=group "${nics[0]}"
refused "ModeUnsupported: a mode that the rule lacks" '(ModeUnsupported|NotPermitted)' 'node' alice acquire h mode=node "${nics[@]}"
refused "BadOption: an unknown key" BadOption junk alice acquire h junk=1 "$nic"
refused "BadOption: an unknown mode" BadOption 'mode|sideways' alice acquire h mode=sideways "$nic"
refused "BadOption: no device" '(BadOption|InvalidArgs|NoSuchDevice)' . alice acquire h mode=auto
refused "BadOption: device-fds without group mode" '(BadOption|ModeUnsupported)' 'device-fds' alice acquire h mode=node device-fds=1 "$nic"
refused "QuotaExceeded: more memory than the rule allows" '(QuotaExceeded|BadOption|NotPermitted)' 'one-at-a-time|memory|memlock' bob acquire h memlock=1073741824 "$nic"
refused "GroupChanged: something else is at the address" '(GroupChanged|NoSuchDevice)' '8086:10d3|dead:beef' alice acquire h "expect=$nic=dead:beef" "$nic"
refused "AccessDenied: reload" '(AccessDenied|NotPermitted)' . alice call $manager Reload
refused "AccessDenied: rescan" '(AccessDenied|NotPermitted)' . alice call $manager Rescan
refused "AccessDenied: explain for somebody else" '(AccessDenied|NotPermitted)' . alice explain uid=1002 "$nic"
refused "UnknownMethod" UnknownMethod . alice call $manager Sesame
refused "InvalidArgs" '(InvalidArgs|UnknownMethod)' . alice call $manager FindGroup s five

ip addr add 192.0.2.1/24 dev "$(nic_of "$nic")"
refused "DeviceInUse" DeviceInUse "$nic" alice acquire h "$nic"
ip addr flush dev "$(nic_of "$nic")"

tells "(bob has a lease)" bob acquire h name=mine "$nic"
path=$(lease)
refused "GroupBusy" GroupBusy '[Ll]ease' alice acquire h "$nic"
refused "QuotaExceeded: leases of a rule" QuotaExceeded 'one-at-a-time|1' bob acquire h2 "$other"
refused "AccessDenied: another's lease" '(AccessDenied|NotPermitted)' . alice release "$path"
refused "AccessDenied: restore" '(AccessDenied|NotPermitted)' . bob call "$path" org.vfiod1.Lease Restore
tells "(bob takes)" bob take h
if has_iommufd; then check "(and uses it)" use bob cdev "$nic"; else check "(and uses it)" use bob group "$nic"; fi
tell bob getfds h3 "$path" && tell bob take h3 || :
like "GroupBusy: fresh fds while the old ones are in use" "$heard" 'GroupBusy'
tells "(bob releases, with the device open)" bob release "$path"
check "(draining)" within 5 group_is "$(group_of "$nic")" draining
named() { property "$path" Lease Holders | grep -q "${client_pid[bob]},"; }
check "(its holder is known)" within 10 named
refused "GroupDraining" GroupDraining "${client_pid[bob]}|vmclient" alice acquire h "$nic"
tells "(bob closes)" bob close-all
check "(home)" within 20 at_home "$nic" e1000e
tells "(alice has a lease with a name)" alice acquire h name=vm "$nic"
path=$(lease)
refused "NameTaken" NameTaken vm alice acquire h2 name=vm "$other"
tells "(release)" alice release "$path"
check "(home)" within 20 at_home "$nic" e1000e

echo '{ "version": 1, "rules": [ { "id": "x", "bogus": 1 } ] }' >/etc/vfiod/policy.d/60-broken.json
out=$(vfiodctl reload 2>&1) && not_ok "PolicyInvalid" || like "PolicyInvalid: file, line and column" "$out" '60-broken.json:1:[0-9]+' bogus
like "PolicyInvalid: by its name on the bus" "$(busctl --system call org.vfiod1 /org/vfiod1 org.vfiod1.Manager Reload 2>&1; dbus-send --system --print-reply --dest=org.vfiod1 /org/vfiod1 org.vfiod1.Manager.Reload 2>&1)" 'PolicyInvalid|bogus'
tells "PolicyInvalid: the old policy is in force" alice acquire h "$nic"
tells "(release)" alice release "$(lease)"
check "(home)" within 20 at_home "$nic" e1000e
rm /etc/vfiod/policy.d/60-broken.json
install -o alice -m 644 /dev/null /etc/vfiod/policy.d/70-alice.json
out=$(vfiodctl reload 2>&1) && not_ok "a policy of alice's is refused" || like "a policy of alice's is refused" "$out" '70-alice.json'
rm /etc/vfiod/policy.d/70-alice.json

is "not viable: a group with host drivers says so" "$(property "/org/vfiod1/group/$(group_of "$bridge")" Group Viable)" false
ip addr add 192.0.2.1/24 dev "$(nic_of "$nic")"
busctl --system call org.vfiod1 /org/vfiod1 org.vfiod1.Manager Rescan >/dev/null
blocked() { property "/org/vfiod1/group/$(group_of "$nic")" Group Blockers | grep -q "$(device_path "$nic")"; }
check "blockers: a device in use is one" within 10 blocked
ip addr flush dev "$(nic_of "$nic")"

check "(nothing is left)" no_leases
dismiss alice
dismiss bob
dismiss vmm
no_policy
end
