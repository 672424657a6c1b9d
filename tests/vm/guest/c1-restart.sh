#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A QEMU with a device keeps running through restarts, kills and upgrades of vfiod, a worker stuck in the kernel too.
# kernels: hotplug
# limit: 600 s
# shellcheck disable=SC2016  # what is in single quotes is jq's
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"
# shellcheck source=tests/vm/guest/crash.sh
. "${BASH_SOURCE[0]%/*}/crash.sh"

nic=$(behind 09.0)
other=$(behind 0b.0)
g=$(group_of "$nic")
chmod 1777 "$VM_STATE"
sock=$VM_STATE/monitor
everyday_policy
"${BASH_SOURCE[0]%/*}/checker" --picture >"$baseline"

hmp() { (echo "$1"; sleep 1) | timeout 10 socat - "UNIX-CONNECT:$sock" | tr -d '\r'; }
qemu_up() { [ -S "$sock" ] && hmp 'info status' | grep -q VM; }

# What somebody sees who watches all the time.
vfiodctl --json=short monitor >"$VM_STATE/signals" 2>&1 &
watcher=$!
sleep 1
seen() { jq -c "$@" <"$VM_STATE/signals"; }
# What somebody sees who looks, all of it: the same before and after. How often the policy was read is
# counted from each start.
bus_picture() {
	busctl --system --json=short call org.vfiod1 /org/vfiod1 org.freedesktop.DBus.ObjectManager GetManagedObjects |
		jq -S '.data[0] | walk(if type == "object" then del(.PolicySerial) else . end)'
}

become alice vfiodctl run --qemu --name vm1 "$nic" -- qemu-system-x86_64 -M q35 -accel tcg -m 64M \
	-display none -nodefaults -S -monitor "unix:$sock,server,nowait" >"$VM_STATE/qemu.log" 2>&1 &
runner=$!
check "alice's QEMU runs" within 60 qemu_up
path=$(lease_named vm1)
held=$(readlink /proc/"$runner"/fd/* | grep -c vfio || :)
client alice alice
tells "a lease of a connection's, too" alice acquire h name=by-connection "$other"
udevadm settle --timeout=20
bus_picture >"$VM_STATE/picture"

survives() {
	check "$1: the daemon is there again" daemon_up
	is "$1: QEMU's lease is what it was" "$(lease_named vm1) $(lease_state "$path")" "$path leased"
	is "$1: so is that of a connection that lives" "$(lease_state "$(lease_named by-connection)")" leased
	is "$1: QEMU runs, with the same fds" "$(readlink /proc/"$runner"/fd/* | grep -c vfio || :)" "$held"
	like "$1: and answers" "$(hmp 'info pci')" 8086:10d3
	check "$1: the checker finds nothing" inspect
	check "$1: who looks sees the same as before" diff "$VM_STATE/picture" <(bus_picture)
}

# another_process PID: the daemon's is another than that
another_process() { [[ $(main_pid) != "$1" && $(main_pid) != 0 ]]; }

# As a package does it: another file in the place of the program, a unit that has changed, perhaps
# another service manager.
upgrade() {
	install -m 755 /usr/libexec/vfiod /usr/libexec/.vfiod-new
	mv -f /usr/libexec/.vfiod-new /usr/libexec/vfiod
	mkdir -p /run/systemd/system/vfiod.service.d
	printf '%s\n' '[Service]' "Environment=UPGRADE=$1" >/run/systemd/system/vfiod.service.d/60-upgrade.conf
	systemctl daemon-reexec
	systemctl daemon-reload
	[[ $(readlink "/proc/$(main_pid)/exe") = *deleted* ]] || { echo "it is the old one no more"; return 1; }
	systemctl restart vfiod
}
runs_the_new() {
	[ "$(stat -L -c %i "/proc/$(main_pid)/exe")" = "$(stat -c %i /usr/libexec/vfiod)" ] &&
		tr '\0' '\n' <"/proc/$(main_pid)/environ" | grep -qx "UPGRADE=$1"
}

pid=$(main_pid)
systemctl restart vfiod
check "restart: it is another process" another_process "$pid"
survives restart
pid=$(main_pid)
kill -KILL "$pid"
check "kill -9: another process comes" within 20 another_process "$pid"
survives "kill -9"
check "upgrade: done" upgrade 1
check "upgrade: the new program runs" runs_the_new 1
survives upgrade

# Nobody who watched was told anything of these leases but how they began.
is "no signal says that one of them was ever anything else than leased" "$(seen --arg p "$path" \
	'select(.path == $p and .event == "PropertiesChanged") | .body[1].State // empty | select(. != "leased" and . != "preparing")')" ""
is "none that one of them went" "$(seen 'select(.event == "InterfacesRemoved" and (.body[0] | test("/lease/"))), select(.event == "Ended")')" ""
is "none that a group changed hands" "$(seen --arg p "/org/vfiod1/group/$g" \
	'select(.path == $p and .event == "PropertiesChanged") | .body[1] | select(.State == "host" or .Lease == "/")')" ""
is "each new daemon was announced, and each that went" \
	"$(seen 'select(.event == "NameOwnerChanged") | .body[0] != ""' | paste -sd' ')" \
	'false true false true false true'

# Its unbind waits in the kernel for QEMU's last fd; the daemon that began it goes.
busctl --system call org.vfiod1 "$path" org.vfiod1.Lease Release
check "released: the group drains" within 20 group_is "$g" draining
# One waits, and it is the one that began to.
worker() { pgrep -x vfiod-worker; }
stuck() { [ "$(worker)" = "$stuck_one" ]; }
drains() {
	is "worker stuck, $1: the group drains still" "$(group_state "$g")" draining
	check "worker stuck, $1: it is the same worker, and no other" stuck
	is "worker stuck, $1: QEMU runs, with the same fds" "$(readlink /proc/"$runner"/fd/* | grep -c vfio || :)" "$held"
	is "worker stuck, $1: the other lease is what it was" "$(lease_state "$(lease_named by-connection)")" leased
	check "worker stuck, $1: the checker finds nothing" inspect
	quickly "worker stuck, $1: others are answered" vfiodctl list
}
check "its worker waits in the kernel" within 20 worker
stuck_one=$(worker || :)
pid=$(main_pid)
kill -KILL "$pid"
check "worker stuck, kill -9: another process comes" within 20 another_process "$pid"
check "worker stuck, kill -9: the daemon is there again" daemon_up
drains "kill -9"
# Less than the time after which the service manager would kill what it waits for.
check "worker stuck: an orderly restart waits for nobody" timeout 14 systemctl restart vfiod
check "worker stuck, restart: the daemon is there again" daemon_up
drains restart
check "worker stuck, upgrade: done" upgrade 2
check "worker stuck, upgrade: the new program runs" runs_the_new 2
check "worker stuck, upgrade: the daemon is there again" daemon_up
drains upgrade
kill -KILL "$runner"
wait "$runner" 2>/dev/null || :
check "QEMU gone: the device is home" within 40 at_home "$nic" e1000e
is "who watched was told of its end once" "$(seen --arg p "$path" 'select(.path == $p and .event == "Ended") | .body')" '["released"]'
is "and that it is gone, once" "$(seen --arg p "$path" 'select(.event == "InterfacesRemoved" and .body[0] == $p) | .event')" '"InterfacesRemoved"'
is "its last word of the group is host" "$(seen --arg p "/org/vfiod1/group/$g" \
	'select(.path == $p and .event == "PropertiesChanged") | .body[1].State // empty' | tail -1)" '"host"'

# A lease that began under one daemon ends as it should under the third after it
tells "the connection's lease is released" alice release "$(lease_named by-connection)"
check "and is home" within 20 at_home "$other" e1000e

# Holders that go while the daemon is down
tells "a lease that a pipe keeps: made" alice pipe life
tells "a lease that a pipe keeps: acquired" alice acquire h name=by-pipe lifeline=life "$nic"
tells "another one of the same pipe: acquired" alice acquire h name=by-pipe-too lifeline=life "$other"
pid=$(main_pid)
kill -KILL "$pid"
check "another process comes" within 20 another_process "$pid"
check "the daemon is there again" daemon_up
is "both leases of one lifeline stay" "$(lease_state "$(lease_named by-pipe)") $(lease_state "$(lease_named by-pipe-too)")" 'leased leased'
systemctl stop vfiod
tell alice close life.w || :
tell alice disconnect || :
systemctl start vfiod
check "a holder that died while the daemon was down: home" within 30 at_home "$nic" e1000e
check "and the other" within 30 at_home "$other" e1000e
kill $watcher
dismiss alice
rm -f /run/systemd/system/vfiod.service.d/60-upgrade.conf
systemctl daemon-reload
systemctl restart vfiod
no_policy
end
