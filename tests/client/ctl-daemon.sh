#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# vfiodctl and libvfiod against the real daemon on the mocked host of tests/bus/usual-host.h, as ordinary
# users. Started by test-ctl-daemon, which keeps bus and daemon alive and says in BED where they are.
set -euo pipefail

src=${top_srcdir:?} build=${top_builddir:?} bed=${BED:?}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C.UTF-8
unset NO_COLOR COLUMNS

# Where every user can run it: the build's directory may be somebody's home.
chmod 755 "$work"
"$build/libtool" --mode=install install "$build/libvfiod.la" "$work/libvfiod.la" >"$work/log" 2>&1
cp "$build/.libs/vfiodctl" "$work/vfiodctl"
export LD_LIBRARY_PATH=$work
ctl=$work/vfiodctl
# shellcheck source=tests/client/lib.sh
. "$src/tests/client/lib.sh"

# as_user UID COMMAND…: a program, for timeout(1)
as_user=$work/as-user
cat >"$as_user" <<'SH'
#!/bin/bash
uid=$1
shift
exec setpriv --reuid "$uid" --regid "$uid" --clear-groups "$@"
SH
chmod 755 "$as_user"

# Users that every system has: dbus-daemon has no time for a uid without a name.
vmm=65534 node_only=4 stranger=5 asked=2
cat >"$bed/host/policy.d/50-test.json" <<JSON
{ "version": 1,
  "pools": { "pair": { "devices": [ { "group": [2] } ] } },
  "rules": [
    { "id": "vmm", "subjects": [ { "users": [$vmm] } ], "devices": [ { "address": "*" } ],
      "allow": ["acquire", "withhold", "persist"],
      "consent": { "drivers": ["e1000*", "nvme", "shpchp"] } },
    { "id": "node-only", "subjects": [ { "users": [$node_only] } ],
      "devices": [ { "address": "*" } ], "allow": ["acquire"], "modes": ["node"],
      "consent": { "drivers": ["e1000*"] } },
    { "id": "asked", "subjects": [ { "users": [$asked] } ], "devices": [ { "address": "*" } ],
      "allow": ["acquire"], "consent": { "drivers": ["e1000*"] }, "auth": "polkit" },
    { "id": "root", "subjects": [ { "users": ["root"] } ], "devices": [ { "address": "*" } ],
      "allow": ["acquire", "withhold", "persist", "delegate"],
      "consent": { "drivers": ["*"] } } ] }
JSON

echo "== the policy"
run 0 "$ctl" policy check "$bed/host/policy.d/50-test.json"
out '1 file, 4 rules: good'
run 3 "$as_user" $vmm "$ctl" reload
err 'only root'
run 0 "$ctl" reload
cp "$bed/host/policy.d/50-test.json" "$work/good"
sed -i 's/"allow"/"alow"/' "$bed/host/policy.d/50-test.json"
run 7 "$ctl" policy check "$bed/host/policy.d/50-test.json"
err ':5:[0-9]+: .*alow'
# the daemon says the same of the same file
cp "$work/err" "$work/offline"
run 7 "$ctl" reload
sed 's/^vfiodctl: //' "$work/offline" | grep -qF -f - "$work/err" || fail "daemon and offline check differ"
cp "$work/good" "$bed/host/policy.d/50-test.json"
run 0 "$ctl" reload
run 3 "$as_user" $vmm "$ctl" rescan
run 0 "$ctl" rescan

echo "== what there is"
run 0 "$as_user" $stranger "$ctl" list
out '^0000:03:00.0 +3 +host +e1000e +- +8086:10d3'
run 0 "$as_user" $stranger "$ctl" tree
out '^dmar0  intel-iommu  39-bit addresses$' '^├─ group 2  host$' '^│  └─ 0000:02:02.0  host  e1000'
run 0 "$ctl" list groups
out '^ +5 +host +no .* 0000:00:05.0, 0000:05:01.0$'
run 0 "$ctl" show 04:00.0
out '^ +Uses  .*sda'
run 0 "$as_user" $stranger "$ctl" show 04:00.0
out '^ +Uses  block$'
run 0 "$ctl" --json=short list
json "len(d['devices']) == 15"

echo "== explain"
run 0 "$as_user" $vmm "$ctl" explain 03:00.0
out '^Allowed in mode cdev.$' '^0000:03:00.0 +vmm +grant +e1000e$'
run 3 "$as_user" $stranger "$ctl" explain 03:00.0
out 'no-rule' '^0000:03:00.0 +vmm +the subject does not match$'
run 0 "$ctl" explain --user "$(id -nu $vmm)" 03:00.0
out '^0000:03:00.0 +vmm +grant'
run 3 "$ctl" explain --user $stranger 03:00.0
# another user's decision is root's to ask for
run 3 "$as_user" $vmm "$ctl" explain --user root 03:00.0
run 3 "$as_user" $vmm "$ctl" explain 02:01.0
out '0000:02:02.0 .*e1000'
run 0 "$as_user" $vmm "$ctl" explain --withhold=02:02.0 02:01.0
out '^0000:02:02.0 +vmm +park-'
run 4 "$as_user" $vmm "$ctl" explain 04:00.0
out 'in-use'
run 5 "$as_user" $vmm "$ctl" explain 0f:00.0
run 2 "$as_user" $vmm "$ctl" explain --withhold=03:00.0 02:01.0 02:02.0
run 0 "$ctl" list
not_out 'granted|withheld'

echo "== run"
# shellcheck disable=SC2016 # for the inner shell
run 0 "$as_user" $vmm "$ctl" run --name=vm1 03:00.0 -- bash -c '
    for fd in "$@"; do readlink "/proc/$$/fd/$fd"; done
    "$0" leases; "$0" tree' "$ctl" '{iommufd}' '{fd:03:00.0}'
out '/dev/iommu$' '/dev/vfio/devices/vfio[0-9]+$' ' vm1 +cdev +leased ' \
    "group 3  leased  $(id -nu $vmm): vm1" '0000:03:00.0  granted  vfio-pci \(was e1000e\)'
settle
run 0 "$ctl" list
out '^0000:03:00.0 +3 +host +e1000e '
# shellcheck disable=SC2016 # for the inner shell
run 0 "$as_user" $vmm "$ctl" run --mode=group --device-fds 03:00.0 -- \
    bash -c 'for fd; do readlink "/proc/$$/fd/$fd"; done' sh '{container}' '{group:3}' '{fd:03:00.0}'
out '/dev/vfio/vfio$' '/dev/vfio/3$'
settle
run 0 "$as_user" $vmm "$ctl" run --qemu --memlock=none 03:00.0 -- echo qemu
out '^qemu -object iommufd,id=vfiod,fd=[0-9]+ -device vfio-pci,id=vfiod0,iommufd=vfiod,fd=[0-9]+,addr=1e.0$'
settle
# a rule that leaves node alone: found out by asking, and taken
run 0 "$as_user" $node_only "$ctl" run --qemu --memlock=none 03:00.0 -- echo qemu
out '^qemu -device vfio-pci,host=0000:03:00.0,id=vfiod0,addr=1e.0$'
settle
run 3 "$as_user" $node_only "$ctl" run --qemu --memlock=none --mode=cdev 03:00.0 -- true
err '\[NotPermitted\]'
run 0 "$as_user" $vmm "$ctl" run 'pool:pair' --withhold=02:02.0 -- echo '{fd:02:01.0}'
out '^[0-9]+$'
settle
run 4 "$as_user" $vmm "$ctl" run --memlock=1G 03:00.0 -- true
err '\[QuotaExceeded\]'
run 5 "$as_user" $vmm "$ctl" run --expect=0f:00.0=8086:10d3 0f:00.0 -- true
run 4 "$as_user" $vmm "$ctl" run --expect=03:00.0=8086:1234 03:00.0 -- true
err '\[GroupChanged\]'
run 0 "$as_user" $vmm "$ctl" run --expect=03:00.0=8086:10d3 03:00.0 -- true
settle

echo "== pools"
run 0 "$ctl" pools
out '^pair +- +2 +0 +0 +0$'
run 0 "$as_user" $vmm "$ctl" explain 'pool:pair*2'
out '^pair +0000:02:01.0 +with 1 other of its group; of 2 in the pool$' \
    '^pair +0000:02:02.0 +no other device has to be shut off for it; of 2 in the pool'
# shellcheck disable=SC2016 # for the inner shell
run 0 "$as_user" $vmm "$ctl" run 'pool:pair*2' -- bash -c '"$0" pools; echo "$@"' "$ctl" '{fd:02:01.0}' '{fd:02:02.0}'
out '^pair +- +0 +2 +0 +0$' '^[0-9]+ [0-9]+$'
settle
run 4 "$as_user" $vmm "$ctl" run 'pool:pair*3' -- true
err 'The pool "pair" has no device left' '\[GroupBusy\]'

echo "== the guest's bus"
# the same label, the same addresses, in whatever order; functions and slots that are QEMU's are seen
run 0 "$as_user" $vmm "$ctl" run --qemu --memlock=none --name=vm7 02:01.0 02:02.0 -- echo qemu
out 'fd=[0-9]+,addr=1e.0 .*fd=[0-9]+,addr=1d.0$'
settle
run 0 "$as_user" $vmm "$ctl" run --qemu --memlock=none --name=vm7 03:00.0 02:02.0 02:01.0 -- \
    echo qemu -device edu,addr=1c
out 'fd=[0-9]+,addr=1e.0 .*fd=[0-9]+,addr=1d.0 .*fd=[0-9]+,addr=1b.0$'
settle
run 4 "$as_user" $vmm "$ctl" run --qemu --memlock=none --name=vm7 02:01.0 02:02.0 -- \
    echo qemu -device edu,addr=1d.1
err '0000:02:02.0 cannot have the guest address 00:1d.0, which it had before: its slot is that of an emulated device' \
    '\[AddressTaken\]'
settle

echo "== the picture"
command -v dot >/dev/null || { echo "dot is not here: install graphviz" >&2; exit 1; }
run 2 "$ctl" graph --json=short
# shellcheck disable=SC2016 # for the inner shell
run 0 "$as_user" $vmm "$ctl" run --qemu --memlock=none --name=vm7 02:01.0 02:02.0 -- bash -c \
    '"$0" graph; "$0" tree >&2' "$ctl"
cp "$work/out" "$work/graph" && cp "$work/err" "$work/tree"
dot -Tplain "$work/graph" >"$work/out" || fail "dot does not take the graph"
for device in 0000:02:01.0 0000:03:00.0 0000:08:10.2 gpu.0; do
    [ "$(grep -c "^node .*$device" "$work/out")" = 1 ] || fail "$device is not drawn once"
done
out "^node .*\"$(id -nu $vmm): vm7\\\\ncdev\\\\nleased\"" \
    '^edge "/org/vfiod1/device/pci_0000_02_01_0" "/org/vfiod1/lease/.* "00:1e.0" ' \
    '^edge "/org/vfiod1/device/pci_0000_00_05_0" "/org/vfiod1/device/pci_0000_05_01_0" '
cp "$work/tree" "$work/out"
out '0000:02:01.0  granted  vfio-pci \(was e1000\)  guest 00:1e.0' \
    '0000:08:00.0  host  igb  2 of 8 VFs' '0000:08:10.2  host  igbvf  VF of 0000:08:00.0'
settle

echo "== polkit: not on this bus, but its agent is started where a rule asks and somebody can answer"
mkdir "$work/bin"
cat >"$work/bin/pkttyagent" <<'SH'
#!/bin/bash
echo "$*" >>"$AGENT_LOG"
trap 'echo ended >>"$AGENT_LOG"; kill $!; exit' TERM
fd=0
while [ $# -gt 0 ]; do [ "$1" = --notify-fd ] && fd=$2; shift; done
eval "exec $fd>&-"
sleep 30 &
wait
SH
chmod 755 "$work/bin" "$work/bin/pkttyagent"
export AGENT_LOG=$work/agent.log
touch "$AGENT_LOG"
chmod 666 "$AGENT_LOG"
run 0 "$as_user" $asked "$ctl" explain 03:00.0
out '^Allowed in mode cdev, once polkit is answered.$'
run 3 "$as_user" $asked "$ctl" run 03:00.0 -- true
[ ! -s "$AGENT_LOG" ] || fail "an agent without a terminal: $(cat "$AGENT_LOG")"
run 3 "$as_user" $asked env PATH="$work/bin:$PATH" script -qec "$ctl run 03:00.0 -- true" /dev/null
grep -Eq '^--process [0-9]+ --notify-fd [0-9]+ --fallback$' "$AGENT_LOG" || fail "no agent: $(cat "$AGENT_LOG")"
grep -qx ended "$AGENT_LOG" || fail "the agent was not ended"
: >"$AGENT_LOG"
run 3 "$as_user" $asked env PATH="$work/bin:$PATH" \
    script -qec "$ctl run --no-ask-password 03:00.0 -- true" /dev/null
run 0 "$as_user" $vmm env PATH="$work/bin:$PATH" script -qec "$ctl run 03:00.0 -- true" /dev/null
[ ! -s "$AGENT_LOG" ] || fail "an agent that nobody wants: $(cat "$AGENT_LOG")"
settle

echo "== acquire, release, control"
run 0 "$as_user" $vmm "$ctl" acquire --persist --name=kept 02:01.0 --withhold=02:02.0
run 0 "$as_user" $stranger "$ctl" --json=short show kept
json "d['State'] == 'leased' and d['Mode'] == 'cdev' and len(d['Withheld']) == 1"
run 4 "$as_user" $vmm "$ctl" run 02:02.0 -- true
err '\[GroupBusy\]'
run 5 "$as_user" $stranger "$ctl" release kept
run 3 "$as_user" $stranger "$ctl" release "$("$ctl" --json=short leases |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["leases"][0]["Id"])')"
run 0 "$ctl" release kept
settle
run 0 "$ctl" list
out '^0000:02:01.0 +2 +host +e1000 ' '^0000:02:02.0 +2 +host +e1000 '
run 0 "$as_user" $vmm "$ctl" acquire --persist --shared --name=kept 03:00.0
run 0 "$as_user" $vmm "$ctl" release kept
settle
run 0 "$ctl" acquire --persist --owner="$(id -nu $vmm)" --shared --name=given 03:00.0
run 0 "$as_user" $vmm "$ctl" release given
settle
run 3 "$as_user" $vmm "$ctl" acquire --owner=root 03:00.0
# the first signal ends the lease and waits for its way home
hold "$as_user" $vmm "$ctl" acquire --name=held 03:00.0
kill -TERM $holder
ended 0
run 0 "$ctl" leases
out '^No leases'
# one that is killed leaves nothing behind either: its connection is its lifeline
hold "$as_user" $vmm "$ctl" acquire --name=held 03:00.0
run 0 "$ctl" leases
out ' held '
pkill -KILL -P $holder
ended 137
settle

finish
