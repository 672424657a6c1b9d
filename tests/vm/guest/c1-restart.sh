#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A QEMU with a device keeps running through restarts and kills of vfiod, a worker stuck in the kernel too.
# kernels: iommufd hotplug
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

hmp() { (echo "$1"; sleep 1) | timeout 10 socat - "UNIX-CONNECT:$sock" | tr -d '\r'; }
qemu_up() { [ -S "$sock" ] && hmp 'info status' | grep -q VM; }

become alice vfiodctl run --qemu --name vm1 "$nic" -- qemu-system-x86_64 -M q35 -accel tcg -m 64M \
	-display none -nodefaults -S -monitor "unix:$sock,server,nowait" >"$VM_STATE/qemu.log" 2>&1 &
runner=$!
check "alice's QEMU runs" within 60 qemu_up
path=$(lease_named vm1)
held=$(readlink /proc/"$runner"/fd/* | grep -c vfio || :)
client alice alice
tells "a lease of a connection's, too" alice acquire h name=by-connection "$other"

survives() {
	check "$1: the daemon is there again" daemon_up
	is "$1: QEMU's lease is what it was" "$(lease_named vm1) $(lease_state "$path")" "$path leased"
	is "$1: so is that of a connection that lives" "$(lease_state "$(lease_named by-connection)")" leased
	is "$1: QEMU runs, with the same fds" "$(readlink /proc/"$runner"/fd/* | grep -c vfio || :)" "$held"
	like "$1: and answers" "$(hmp 'info pci')" 8086:10d3
	check "$1: the checker finds nothing" inspect
}

pid=$(main_pid)
systemctl restart vfiod
check_not "restart: it is another process" test "$(main_pid)" = "$pid"
survives restart
pid=$(main_pid)
kill -KILL "$pid"
check "kill -9: another process comes" within 20 sh -c "[ \$(systemctl show -P MainPID vfiod) != $pid ] && [ \$(systemctl show -P MainPID vfiod) != 0 ]"
survives "kill -9"

# Its unbind waits in the kernel for QEMU's last fd; the daemon that began it goes.
busctl --system call org.vfiod1 "$path" org.vfiod1.Lease Release
check "released: the group drains" within 20 group_is "$g" draining
sleep 1
kill -KILL "$(main_pid)"
check "worker stuck: the daemon is there again" daemon_up
is "worker stuck: the group drains still" "$(group_state "$g")" draining
check "worker stuck: QEMU runs" kill -0 "$runner"
check "worker stuck: the checker finds nothing" inspect
quickly "worker stuck: others are answered" vfiodctl list
systemctl restart vfiod
check "worker stuck: after an orderly restart too" daemon_up
is "worker stuck: it drains" "$(group_state "$g")" draining
kill -KILL "$runner"
wait "$runner" 2>/dev/null || :
check "QEMU gone: the device is home" within 40 at_home "$nic" e1000e

# Holders that go while the daemon is down
tells "a lease that a pipe keeps: made" alice pipe life
tells "a lease that a pipe keeps: acquired" alice acquire h name=by-pipe lifeline=life "$nic"
tells "another one of the same pipe" alice release "$(lease_named by-connection)"
check "the other group is home" within 20 at_home "$other" e1000e
tells "another one of the same pipe: acquired" alice acquire h name=by-pipe-too lifeline=life "$other"
kill -KILL "$(main_pid)"
check "the daemon is there again" daemon_up
is "both leases of one lifeline stay" "$(lease_state "$(lease_named by-pipe)") $(lease_state "$(lease_named by-pipe-too)")" 'leased leased'
systemctl stop vfiod.service vfiod.socket 2>/dev/null || systemctl stop vfiod
tell alice close life.w || :
tell alice disconnect || :
systemctl start vfiod
check "a holder that died while the daemon was down: home" within 30 at_home "$nic" e1000e
check "and the other" within 30 at_home "$other" e1000e
dismiss alice
no_policy
end
