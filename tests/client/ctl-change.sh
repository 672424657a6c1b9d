#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# vfiodctl add, remove, revoke and drain, and the same calls of libvfiod, against the real daemon on the
# mocked host of tests/bus/usual-host.h. Started by test-ctl-daemon, as ctl-daemon.sh.
set -euo pipefail

src=${top_srcdir:?} build=${top_builddir:?} bed=${BED:?}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C.UTF-8
unset NO_COLOR COLUMNS
chmod 755 "$work"
"$build/libtool" --mode=install install "$build/libvfiod.la" "$work/libvfiod.la" >"$work/log" 2>&1
cp "$build/.libs/vfiodctl" "$work/vfiodctl"
"$build/libtool" --mode=install install "$build/tests/client/use-change" "$work/use-change" >>"$work/log" 2>&1
export LD_LIBRARY_PATH=$work
ctl=$work/vfiodctl
# shellcheck source=tests/client/lib.sh
. "$src/tests/client/lib.sh"

as_user=$work/as-user
cat >"$as_user" <<'SH'
#!/bin/bash
uid=$1
shift
exec setpriv --reuid "$uid" --regid "$uid" --clear-groups "$@"
SH
chmod 755 "$as_user"

vmm=65534 stranger=5
cat >"$bed/host/policy.d/50-test.json" <<JSON
{ "version": 1,
  "rules": [
    { "id": "vmm", "subjects": [ { "users": [$vmm] } ], "devices": [ { "address": "*" } ],
      "allow": ["acquire", "withhold", "persist"], "consent": { "drivers": ["e1000*", "nvme"] } },
    { "id": "root", "subjects": [ { "users": ["root"] } ], "devices": [ { "address": "*" } ],
      "allow": ["acquire", "withhold", "persist", "delegate"],
      "consent": { "drivers": ["*"] } } ] }
JSON
run 0 "$ctl" reload
mkdir -p "$bed/host/held"
# Somebody has a device open, as the mocked kernel sees it.
hold_open() { touch "$bed/host/held/$1"; }
let_go() { rm "$bed/host/held/$1"; }
state_of() { "$ctl" --json=short show "$1" | python3 -c 'import json,sys; print(json.load(sys.stdin)["State"])'; }
# until_is NAME STATE
until_is()
{
    for _ in {1..200}; do
        [ "$(state_of "$1")" != "$2" ] || return 0
        sleep 0.05
    done
    fail "$1 is not $2 but $(state_of "$1")"
}

echo "== the command line"
for verb in add remove; do
    run 2 "$ctl" $verb
    err "^Usage: vfiodctl $verb "
    run 2 "$ctl" $verb kept
    run 2 "$ctl" $verb --nonsense kept 03:00.0
    run 5 "$ctl" $verb no-such-lease 03:00.0
    err '\[NoSuchLease\]'
    run 0 "$ctl" $verb --help
    out "^Usage: vfiodctl $verb .*LEASE DEV"
done
for word in --mode=cdev --name=x --persist --owner=root --memlock=1G --shared; do
    run 2 "$ctl" add $word kept 03:00.0
done
run 0 "$ctl" add --help
out '--withhold' '--expect' '--no-ask-password'
not_out '--mode'
run 2 "$ctl" revoke
for grace in '' x -1 1.5 1s 99999999999 ' '; do
    run 2 "$ctl" revoke --grace="$grace" kept
    err 'is no number of seconds'
    run 2 "$ctl" drain --grace="$grace"
done
run 5 "$ctl" revoke no-such-lease
run 0 "$ctl" revoke --help
out '--grace' '--reason' '--no-wait'
run 2 "$ctl" drain kept
run 2 "$ctl" drain --nonsense
run 0 "$ctl" drain --help
out '--off' '--grace'

echo "== add and remove"
run 0 "$as_user" $vmm "$ctl" acquire --persist --shared --name=kept 02:01.0 --withhold=02:02.0
run 3 "$as_user" $stranger "$ctl" add "$("$ctl" --json=short show kept |
    python3 -c 'import json,sys; print(json.load(sys.stdin)["Id"])')" 03:00.0
run 0 "$as_user" $vmm "$ctl" add kept 03:00.0
run 0 "$ctl" --json=short show kept
json "len(d['Devices']) == 2 and len(d['Groups']) == 2 and d['State'] == 'leased'"
json "d['PartOf'] == '/' and d['Revocation'][0] == 'none'"
run 2 "$as_user" $vmm "$ctl" add kept 03:00.0
err 'has 0000:03:00.0 already'
run 5 "$as_user" $vmm "$ctl" add kept 0f:00.0
run 4 "$as_user" $vmm "$ctl" add kept 04:00.0
err '\[DeviceInUse\]'
run 2 "$as_user" $vmm "$ctl" add kept 0b:00.0 02:02.0
run 4 "$as_user" $vmm "$ctl" add --expect=0b:00.0=1234:5678 kept 0b:00.0
err '\[GroupChanged\]'
run 0 "$as_user" $vmm "$ctl" add kept 02:02.0
[ "$(state_of 02:02.0)" = granted ] || fail "02:02.0 is not granted"
run 0 "$as_user" $vmm "$ctl" remove kept 02:02.0
until_is 02:02.0 withheld
run 5 "$as_user" $vmm "$ctl" remove kept 02:02.0
err 'is not granted by lease'
run 2 "$as_user" $vmm "$ctl" remove kept 03:00.0 03:00.0
run 2 "$as_user" $vmm "$ctl" remove kept 03:00.0 02:01.0
err 'Release'
hold_open 0000:03:00.0
run 0 "$as_user" $vmm "$ctl" remove kept 03:00.0
run 0 "$ctl" --json=short list groups
json "[g['State'] for g in d['groups'] if g['Id'] in (2, 3)] == ['leased', 'draining']"
run 4 "$as_user" $vmm "$ctl" add kept 03:00.0
err '\[GroupDraining\]'
run 0 "$ctl" --json=short leases
json "sorted(l['PartOf'] == '/' for l in d['leases']) == [False, True]"
let_go 0000:03:00.0
until_is 03:00.0 host
run 0 "$ctl" list
out '^0000:03:00.0 +3 +host +e1000e '

echo "== revoke"
run 3 "$as_user" $vmm "$ctl" revoke kept
run 2 "$ctl" revoke --reason=$'a\nb' kept
err '\[BadOption\]'
run 0 "$ctl" revoke --no-wait --grace=3600 --reason='new firmware' kept
run 0 "$ctl" --json=short show kept
json "d['Revocation'][0] == 'asked' and d['Revocation'][2] == 'new firmware' and d['State'] == 'leased'"
run 0 "$ctl" show kept
out 'new firmware' 'asked'
run 3 "$as_user" $vmm "$ctl" add kept 03:00.0
err 'new firmware'
hold_open 0000:02:01.0
run 0 "$ctl" revoke --no-wait --grace=0 --reason='now' kept
until_is kept draining
run 0 "$ctl" --json=short show kept
json "d['Revocation'][0] == 'unbinding' and d['Revocation'][3]"
let_go 0000:02:01.0
settle
# Waits by itself, and shows that it does.
run 0 "$as_user" $vmm "$ctl" acquire --persist --shared --name=kept 03:00.0
run 0 "$ctl" revoke --grace=1 kept
run 0 "$ctl" leases
out '^No leases'
# Each is tried, and the first failure is the exit code.
run 0 "$as_user" $vmm "$ctl" acquire --persist --shared --name=kept 03:00.0
run 5 "$ctl" revoke --grace=0 no-such-lease kept
settle

echo "== drain"
run 3 "$as_user" $vmm "$ctl" drain
err 'only root'
run 0 "$as_user" $vmm "$ctl" acquire --persist --shared --name=one 03:00.0
run 0 "$as_user" $vmm "$ctl" acquire --persist --shared --name=two 02:01.0 --withhold=02:02.0
hold_open 0000:03:00.0
"$ctl" drain --grace=0 >"$work/drain.out" 2>"$work/drain.err" &
drain=$!
for _ in {1..200}; do
    [ "$("$ctl" --json=short leases | grep -o '"draining"' | wc -l)" = 1 ] &&
        [ "$(state_of 02:01.0)" = host ] && break
    sleep 0.05
done
run 3 "$as_user" $vmm "$ctl" acquire 02:01.0 --withhold=02:02.0
err '\[NotPermitted\]'
# Interrupted, it says who is left; the daemon goes on.
kill -INT $drain
got=0
wait $drain || got=$?
cp "$work/drain.out" "$work/out"
cp "$work/drain.err" "$work/err"
[ $got = 4 ] || fail "exit code $got, not 4, of a drain that was interrupted"
err '[Ll]ease [0-9a-f]+ of .* draining'
run 0 "$ctl" --json=short show one
json "d['State'] == 'draining' and d['Revocation'][0] == 'unbinding'"
let_go 0000:03:00.0
run 0 "$ctl" drain
settle
run 0 "$ctl" drain --off
run 0 "$as_user" $vmm "$ctl" acquire --persist --shared --name=one 03:00.0
run 0 "$ctl" drain --no-wait --grace=3600
run 0 "$ctl" --json=short show one
json "d['Revocation'][0] == 'asked' and d['Revocation'][2] == 'maintenance'"
run 0 "$ctl" drain --off
run 0 "$ctl" release one
settle

echo "== the library"
run 0 "$as_user" $vmm "$work/use-change"
out '^all good$'
settle
run 0 "$ctl" list
not_out 'granted|withheld|fenced|failed'

finish
