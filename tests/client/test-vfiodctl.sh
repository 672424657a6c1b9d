#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# vfiodctl and libvfiod against a stand-in for the daemon on a private bus: every verb, every exit code
# that needs no real device, the descriptors that a command inherits, lifelines, and output for people
# and programs. Run by "make check"; by hand: top_srcdir=. top_builddir=. tests/client/test-vfiodctl.sh
set -euo pipefail

src=${top_srcdir:?} build=${top_builddir:?}
ctl=$build/vfiodctl
work=$(mktemp -d)
pids=()
# shellcheck source=tests/client/lib.sh
. "$src/tests/client/lib.sh"

# shellcheck disable=SC2317 # called by the trap
cleanup()
{
    local pid
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap cleanup EXIT

start_fake()
{
    local fifo=$work/ready
    rm -f "$fifo"
    mkfifo "$fifo"
    env "$@" "$build/tests/client/fake-vfiod" >"$fifo" 2>"$work/fake.log" &
    fake=$!
    pids+=("$fake")
    read -r _ <"$fifo" || { cat "$work/fake.log" >&2; exit 1; }
}

stop_fake()
{
    kill "$fake"
    wait "$fake" 2>/dev/null || true
}

unset NO_COLOR COLUMNS DBUS_SESSION_BUS_ADDRESS
export LC_ALL=C.UTF-8
export DBUS_SYSTEM_BUS_ADDRESS=unix:path=$work/none

echo "== without a bus, without the daemon"
run 6 "$ctl" list
err 'Cannot connect to the system bus'
dbus-daemon --config-file="$src/tests/client/bus.conf" --nofork --print-address=3 \
    3>"$work/address" 2>"$work/bus.log" &
pids+=($!)
for _ in {1..100}; do
    [ -s "$work/address" ] && break
    sleep 0.1
done
DBUS_SYSTEM_BUS_ADDRESS=$(cat "$work/address")
for verb in list tree pools graph leases "show 1" "explain 03:00.0" "acquire 03:00.0" "release 1" reload rescan \
    "run 03:00.0 -- true" "add 1 03:00.0" "remove 1 03:00.0" "revoke 1" drain; do
    # shellcheck disable=SC2086 # the verb's arguments
    run 6 "$ctl" $verb
    err 'vfiod does not answer on the system bus .*systemctl status'
done

start_fake

echo "== the command line"
run 2 "$ctl"
run 2 "$ctl" nonsense
err 'no verb "nonsense"'
run 2 "$ctl" list --nonsense
run 2 "$ctl" --json=nonsense list
run 2 "$ctl" list nonsense
run 2 "$ctl" tree nonsense
run 2 "$ctl" run 03:00.0
run 2 "$ctl" run 03:00.0 --
run 2 "$ctl" run -- true
run 2 "$ctl" acquire
run 2 "$ctl" acquire --mode=nonsense 03:00.0
run 2 "$ctl" acquire --memlock=many 03:00.0
run 2 "$ctl" acquire --owner=no-such-user 03:00.0
run 2 "$ctl" acquire --expect=8086:10d3 03:00.0
run 2 "$ctl" run --persist 03:00.0 -- true
run 2 "$ctl" run --qemu --mode=group 03:00.0 -- true
run 0 "$ctl" --help
out '^  list ' '^  run '
run 0 "$ctl" run --help
out '--qemu' '--withhold' '\{iommufd\}'
run 0 "$ctl" help list
run 0 "$ctl" --version
out '^vfiodctl [0-9]'

echo "== what there is"
run 0 "$ctl" list
out '^DEVICE +GROUP +STATE +DRIVER +OWNER +ID +MODEL$' '^0000:03:00.0 +3 +host +e1000e +- +8086:10d3 '
out '^10000:04:00.1 +12 +host +- ' '^uart.0 +12 +host +- +- +- +-$'
not_out $'\033'
run 0 env COLUMNS=60 "$ctl" list
[ "$(wc -L <"$work/out")" -le 60 ] || fail "lines are longer than the terminal"
run 0 "$ctl" list groups
out '^ +2 +host +no +DMA-FQ +dmar0 +- +0000:01:00.0, 0000:02:01.0, 0000:02:02.0$'
run 0 "$ctl" list iommus
out '^dmar0 +intel-iommu +3 +7 +0$'
run 0 "$ctl" leases
out '^No leases'
run 0 "$ctl" tree
out '^dmar0  intel-iommu$' '^├─ group 2  host$' '^│  └─ 0000:02:02.0  host  e1000 '
out '^groups whose IOMMU sysfs does not name$' 'no driver'
out '0000:02:01.0 .*  reset reaches 0000:02:02.0  ' '0000:02:02.0 .*  reset reaches 0000:02:01.0  '
[ "$(grep -c 'reset reaches' "$work/out")" = 2 ] || fail "resets that reach nobody else are shown"
run 0 env LC_ALL=C "$ctl" tree
out '^\|- group 2' '^\|  `- 0000:02:02.0'
run 0 "$ctl" show 03:00.0
out '^ +Vendor  8086$' '^ +Product  10d3$' '^ +Group  3$' '^ +ResetDomains  function 0000:03:00\.0$'
run 0 "$ctl" show 12 dmar0
out '^ +ReservedRegions  0xfee00000  0xfeefffff  msi$' '^ +Driver  intel-iommu$'
run 0 "$ctl" show 00:1f.2
out '^ +Uses  mount / \(sda1\)$'
run 5 "$ctl" show 09:00.0
err 'no device, group, IOMMU or lease "09:00.0"'

echo "== colour"
if command -v script >/dev/null; then
    run 0 script -qec "$ctl tree" /dev/null
    out $'\033\\[1mgroup 2'
    run 0 env NO_COLOR=1 script -qec "$ctl tree" /dev/null
    not_out $'\033\\['
    run 0 env NO_COLOR= TERM=dumb script -qec "$ctl tree" /dev/null
    not_out $'\033\\[1m'
else
    fail "script(1) is not here: install bsdutils"
fi

echo "== JSON"
run 0 "$ctl" --json=short list
json "len(d['devices']) == 7 and d['devices'][4]['Vendor'] == 0x8086"
json "d['devices'][4]['Path'] == '/org/vfiod1/device/pci_0000_03_00_0'"
[ "$(wc -l <"$work/out")" = 1 ] || fail "the short form has more than one line"
run 0 "$ctl" list --json=pretty groups
json "[g['Id'] for g in d['groups']] == [1, 2, 3, 12]"
json "d['groups'][0]['ReservedRegions'] == [[0xfee00000, 0xfeefffff, 'msi']]"
[ "$(wc -l <"$work/out")" -gt 10 ] || fail "the pretty form has one line"
run 0 "$ctl" --json=short tree
json "d['iommus'][0]['Groups'][1]['Devices'][2]['Name'] == '0000:02:02.0'"
json "d['groups'][0]['Id'] == 12"
run 0 "$ctl" --json=short leases
json "d == {'leases': []}"
run 0 "$ctl" --json=short show 12
json "d['Id'] == 12"

echo "== explain"
run 0 "$ctl" explain 03:00.0
out '^Allowed in mode cdev.$' '^0000:03:00.0 +vm-nics +grant +e1000e$' '^0000:03:00.0 +gpus '
run 4 "$ctl" explain 00:1f.2
out '^Refused \(in-use\).$' '0000:00:1f.2 is in use: mount'
run 3 "$ctl" explain 02:01.0
out 'name it too'
run 5 "$ctl" explain 09:00.0
run 0 "$ctl" --json=short explain --user root 03:00.0
json "d['allowed'] and d['plan'] == [{'device': '0000:03:00.0', 'action': 'grant', 'driver': 'e1000e'}]"
run 4 "$ctl" --json=short explain 00:1f.2
json "not d['allowed'] and d['error'] == 'DeviceInUse'"
run 0 "$ctl" list
not_out granted

run 0 "$ctl" explain 03:00.0
out '^nics +0000:03:00.0 +on NUMA node 0$'
run 0 "$ctl" --json=short explain --numa-node=1 03:00.0
json "d['drawn'] == [{'pool': 'nics', 'device': '0000:03:00.0', 'why': 'on NUMA node 0'}]"
run 2 "$ctl" explain --numa-node=-1 03:00.0
run 2 "$ctl" explain --numa-node=x 03:00.0

echo "== pools"
run 0 "$ctl" pools
out '^POOL +NODE +FREE +LEASED +FAILED +HELD$' '^nics +- +1 +0 +0 +2$' '^nics +0 +3 +1 +1 +0$' '^empty +- +0 +0'
run 0 "$ctl" --json=short pools
json "d['pools'][0]['nodes'][1] == {'node': 0, 'free': 3, 'leased': 1, 'failed': 1, 'held': 0}"
json "d['pools'][1] == {'name': 'empty', 'nodes': []}"
run 2 "$ctl" pools nics

echo "== run"
# shellcheck disable=SC2016 # for the inner shell
run 0 "$ctl" run 03:00.0 --name=vm1 -- bash -c '
    echo "$1 $2 $3 $VFIOD_MODE"
    for fd in $2 $3; do [ "$(readlink /proc/$$/fd/$fd)" = /dev/null ] && echo open; done
    for fd in /proc/$$/fd/*; do readlink "$fd"; done | grep -c socket
    "$0" leases' "$ctl" '{"x":"{y}"}' '{iommufd}' '{fd:0000:03:00.0}'
out '^\{"x":"\{y\}"\} [0-9]+ [0-9]+ cdev$' '^open$' '^[0-9]+ +root +vm1 +cdev +leased'
# neither the bus nor the handoff is left open in the command
out '^0$'
[ "$(grep -c '^open$' "$work/out")" = 2 ] || fail "the descriptors are not what was sent"
settle
run 0 "$ctl" run --mode=group --device-fds 03:00.0 -- echo '{container}' '{group:3}' '{fd:03:00.0}'
out '^[0-9]+ [0-9]+ [0-9]+$'
settle
run 0 "$ctl" run --qemu 03:00.0 -- echo qemu -m 1G
out '^qemu -m 1G -object iommufd,id=vfiod,fd=[0-9]+ -device vfio-pci,id=vfiod0,iommufd=vfiod,fd=[0-9]+,addr=1d.0$'
settle
run 0 "$ctl" run --qemu --mode=node 03:00.0 -- echo qemu
out '^qemu -device vfio-pci,host=0000:03:00.0,id=vfiod0,addr=1d.0$'
settle
run 4 "$ctl" run --qemu 03:00.0 -- echo qemu -device edu,addr=1e
err '00:1e.0 is the address of 0000:03:00.0. \[AddressTaken\]'
settle
run 0 "$ctl" run --qemu 03:00.0 -- echo qemu -device edu,addr=1e,bus=other
settle
run 7 "$ctl" run 03:00.0 -- sh -c 'exit 7'
settle
run 2 "$ctl" run 03:00.0 -- echo '{container}'
err 'asks for \{container\}, but a lease in mode cdev'
settle
run 127 "$ctl" run 03:00.0 -- /nonexistent
settle
touch "$work/plain"
run 126 "$ctl" run 03:00.0 -- "$work/plain"
settle
run 4 "$ctl" run 00:1f.2 -- true
err 'mount / .*\[DeviceInUse\]'
run 3 "$ctl" run 02:01.0 -- true
err '\[ConsentRequired\]'
run 5 "$ctl" run 09:00.0 -- true
run 3 "$ctl" run --name=ask 03:00.0 -- true
run 0 "$ctl" run --name=slow-3 03:00.0 -- echo started
err 'its driver is being swapped \(2 s\)'
out '^started$'
settle

echo "== a handoff that breaks: the lease is given back"
for kind in error hangup count; do
    case $kind in error) code=3 ;; *) code=1 ;; esac
    run $code "$ctl" run --name=handoff-$kind 03:00.0 -- echo started
    not_out started
    settle
done

echo "== the library"
run 0 "$build/tests/client/use-library"
out '^all good, with [1-9][0-9]+ signals$'
settle

echo "== acquire and release"
hold "$ctl" acquire --name=held 03:00.0
run 0 "$ctl" leases
out ' held +cdev +leased '
run 4 "$ctl" acquire 03:00.0
err '\[GroupBusy\]'
kill -INT $holder
ended 0
settle
run 0 "$ctl" --json=short acquire --persist --name=kept 03:00.0
json "d['mode'] == 'cdev' and d['devices'] == ['0000:03:00.0'] and d['groups'] == [3]"
settle
hold "$ctl" acquire --name=drain-3 03:00.0
run 0 "$ctl" release drain-3
err 'Lease [0-9]+ is draining: still open in 4711 qemu\?\[2J'
ended 10
grep -q 'ended by somebody else' "$work/held.err" || fail "acquire did not say why it left"
settle
run 5 "$ctl" release 999
err '\[NoSuchLease\]'
hold "$ctl" acquire --name=fail 03:00.0
run 9 "$ctl" release fail
err 'did not come back to the host.*vfiodctl restore' '0000:03:00.0: no driver took it'
ended 10
run 0 "$ctl" list
out '^0000:03:00.0 +3 +failed '
run 0 "$ctl" restore fail
settle

echo "== monitor"
"$ctl" --json=short monitor >"$work/events" &
watcher=$!
pids+=("$watcher")
"$ctl" monitor >"$work/lines" &
pids+=($!)
sleep 1
run 0 "$ctl" run 03:00.0 -- true
settle
run 0 "$ctl" reload
sleep 0.5
grep -Eq '^[0-9:]{8} group 3 State=leased$' "$work/lines" || { cp "$work/lines" "$work/out"; fail "no change of the group"; }
grep -Eq 'device 0000:03:00.0 State=granted$' "$work/lines" || fail "no change of the device"
grep -Eq 'lease [0-9]+ appeared$' "$work/lines" || fail "no new lease"
grep -Eq 'lease [0-9]+ Ended released$' "$work/lines" || fail "no end of the lease"
grep -Eq 'lease [0-9]+ is gone$' "$work/lines" || fail "no removal of the lease"
python3 - "$work/events" <<'PY' || fail "the events are not JSON records"
import json, sys
events = [json.loads(line) for line in open(sys.argv[1])]
assert any(e["event"] == "InterfacesAdded" for e in events)
assert any(e["event"] == "Ended" and e["body"] == ["released"] for e in events)
assert all(e["path"].startswith("/org/vfiod1") for e in events)
PY
kill $watcher

echo "== the daemon's errors"
stop_fake
start_fake FAKE_NO_CDEV=1
run 8 "$ctl" run --mode=cdev 03:00.0 -- true
err '\[ModeUnsupported\]'
run 0 "$ctl" run --qemu 03:00.0 -- echo qemu
out 'vfio-pci,host=0000:03:00.0'
stop_fake
start_fake FAKE_DENY_CDEV=1 FAKE_BAD_POLICY=1
run 0 "$ctl" run --qemu 03:00.0 -- echo qemu
out 'vfio-pci,host=0000:03:00.0'
settle
run 3 "$ctl" run --qemu --mode=cdev 03:00.0 -- echo qemu
run 7 "$ctl" reload
err '10-a.json:3:14: unknown key "x" \[PolicyInvalid\]'
stop_fake
# Too much at once: it asks again. One answer is that of a whole bus.
start_fake FAKE_LIMITS=2 FAKE_NO_DOMAIN=02_02_0
run 0 "$ctl" tree
out '0000:02:01.0 .*  reset reaches 0000:02:02.0  ' '0000:02:02.0 .*  reset reaches 0000:02:01.0  '
stop_fake
# A picture that is not whole is none.
start_fake FAKE_NO_DOMAIN=03_00_0
run 1 "$ctl" tree
err 'no idea'
run 1 "$ctl" graph
err 'no idea'
stop_fake
run 6 "$ctl" list

echo "== policy check, offline"
cat >"$work/good.json" <<'JSON'
{ "version": 1, "rules": [ { "id": "r", "subjects": [ { "users": ["root"] } ],
  "devices": [ { "address": "*" } ], "allow": ["acquire"] } ] }
JSON
run 0 "$ctl" policy check "$work/good.json"
out '1 file, 1 rule: good'
run 0 "$ctl" --json=short policy check "$work/good.json"
json "d['valid'] and d['rules'] == 1"
sed 's/"id"/"idd"/' "$work/good.json" >"$work/bad.json"
run 7 "$ctl" policy check "$work/bad.json"
err 'bad.json:1:[0-9]+: .*idd'
run 7 "$ctl" --json=short policy check "$work/bad.json"
json "not d['valid'] and 'idd' in d['error']"
run 7 "$ctl" policy check "$work/good.json" "$work/bad.json"
sed 's/"root"/"no-such-user"/' "$work/good.json" >"$work/warn.json"
run 0 "$ctl" policy check "$work/warn.json"
err 'Warning: .*no-such-user'
run 1 "$ctl" policy check "$work/absent.json"
err 'absent.json: No such file'
run 1 "$ctl" policy check "$work"
run 2 "$ctl" policy check
run 2 "$ctl" policy

finish
