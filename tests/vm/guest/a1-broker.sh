#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Broker-driven probing: no host driver touches what comes to a leased group; however vfiod goes, the kernel probes again.
# limit: 600 s
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

bridge=$(behind 08.0)
mapfile -t nics < <(behind "08.0/$bridge")
one=${nics[0]} two=${nics[1]}
new=${one%:*}:03.0
before=$(driver_of "$bridge" || :)
with=$two${before:+,$bridge}
autoprobe=/sys/bus/pci/drivers_autoprobe
old_kernel_id=5d1f7c0a5b0f4e5f9e2b6a4c8f7d3e12
back_id=31b9e0d6c7f24a8a8d5c72f0e94b16a3
fenced_id=bd4b03e57c844665b946e0959515f85b
units=/usr/lib/systemd/system cgroup=/sys/fs/cgroup/system.slice/vfiod.service

autoprobe_is() { [ "$(cat $autoprobe)" = "$1" ]; }
records() { journalctl -q -b -o json "MESSAGE_ID=$1" | wc -l; }
outcome() { journalctl -q -b -o json "MESSAGE_ID=$fenced_id" "VFIOD_DEVICE=$new" | tail -1 | jq -r .VFIOD_OUTCOME; }
is_shut() { [ -e "$pci/$new" ] && [ ! -e "$pci/$new/driver" ] && [ "$(override_of "$new")" = none ]; }
is_fenced() { is_shut && [ "$(device_state "$new")" = fenced ]; }
main_pid() { systemctl show -P MainPID vfiod; }
features() { busctl --system get-property org.vfiod1 /org/vfiod1 org.vfiod1.Manager Features; }
broker_policy() {
	policy <<'END'
{ "version": 1, "hotplug": { "probe": "broker" },
  "rules": [
    { "id": "nics", "subjects": [ { "users": ["alice"] } ],
      "devices": [ { "subsystem": "pci", "class": "02" }, { "class": "0604" } ],
      "allow": ["acquire", "withhold", "persist"], "modes": ["cdev", "group", "node"],
      "consent": { "drivers": ["e1000", "e1000e", "shpchp"] }, "memlock": "4G" } ] }
END
}
mark() { echo "vmtest: $1" >/dev/kmsg; }
# What the kernel has said of a device since a mark, but for what it says of every one that comes
said_since() { dmesg | sed -n "/vmtest: $1\$/,\$p" | grep -F "$2" | grep -vE '\] pci ' || :; }
appeared() { other=$(behind 0e.0) && [ -n "$other" ]; }
# An earlier test may have left it in its slot, unseen: it appears when the kernel looks again.
plug() {
	qmp device_add "$1" >"$check_output" || grep -q Duplicate "$check_output" ||
		{ not_ok "plugging $1"; detail <"$check_output"; }
}

honoured=$([ "$(printf '%s\n' 6.19 "$(uname -r)" | sort -V | sed -n 1p)" = 6.19 ] && echo yes || echo no)
echo "# Linux $(uname -r): honoured: $honoured"
client alice alice
broker_policy

if [ "$honoured" = no ]; then
	unlike "the features do not promise it" "$(features)" fence-probing
	vfiodctl reload
	check "it is said" within 5 eval "[ \$(records $old_kernel_id) -gt 0 ]"
	tells "acquire" alice acquire h "withhold=$with" "$one"
	path=$(lease)
	is "the switch is as it was" "$(cat $autoprobe)" 1
	plug '{"driver":"e1000","id":"hot0","bus":"br1","addr":"3","romfile":""}'
	echo 1 >"$pci/$one/rescan"
	check "the reactive fence does the work" within 10 is_fenced
	like "with an outcome of its own" "$(outcome)" '^(evicted|fenced-unbound|refused-by-kernel)$'
	plug '{"driver":"e1000e","id":"hot2","bus":"rp7","romfile":""}'
	check "a device elsewhere appears" within 30 appeared
	check "and has its driver" within 30 has_driver "$other" e1000e
	tells "release" alice release "$path"
	check "home" within 20 at_home "$one" e1000
	check "and what came" within 20 has_driver "$new" e1000
	# What the broker hears of on newer kernels; modules are on this one alone.
	if modinfo 8139too >/dev/null 2>&1; then
		udevadm monitor --kernel --subsystem-match=drivers >"$VM_STATE/drivers" 2>&1 &
		monitor=$!
		within 5 grep -q KERNEL "$VM_STATE/drivers" || :
		sleep 1
		modprobe 8139too
		check "the kernel tells of a driver that registers" within 10 \
			grep -qE 'add +/bus/pci/drivers/8139too ' "$VM_STATE/drivers"
		kill $monitor
		modprobe -r 8139too
	fi
	is "it was said once" "$(journalctl -q -b -o json "MESSAGE_ID=$old_kernel_id" _PID="$(main_pid)" | wc -l)" 1
else
	like "the features say so" "$(features)" fence-probing
	is "without a lease the kernel probes" "$(cat $autoprobe)" 1
	tells "acquire" alice acquire h persist=1 "withhold=$with" "$one"
	path=$(lease)
	[[ $path = /org/* ]] || exit 1
	is "with one it does not" "$(cat $autoprobe)" 0
	like "the keeper is there" "$(ps -eo comm)" '^vfiod-keeper$'

	mark come
	plug '{"driver":"e1000","id":"hot0","bus":"br1","addr":"3","romfile":""}'
	echo 1 >"$pci/$one/rescan"
	check "what comes to the leased group is fenced" within 10 is_fenced
	is "it was never probed" "$(outcome)" never-probed
	is "no driver has said a word about it" "$(said_since come "$new")" ''
	tells "fds" alice getfds h2 "$path"
	tells "take" alice take h2
	check "the VMM's own attach works" use alice "$(fd_modes | awk '{ print $1 }')" "$one"

	plug '{"driver":"e1000e","id":"hot2","bus":"rp7","romfile":""}'
	check "a device elsewhere appears" within 30 appeared
	check "it has its driver as usual" within 30 has_driver "$other" e1000e
	check "and its interface" within 20 mac_of "$other"
	is "still nobody has touched the other" "$(said_since come "$new")" ''

	# ---- somebody writes 1
	echo 1 >$autoprobe
	check "somebody writes 1: it is put right" within 5 autoprobe_is 0

	# ---- however vfiod goes. Started again only when all has been looked at.
	mkdir -p /run/systemd/system/vfiod.service.d
	printf '[Service]\nRestart=no\n' >/run/systemd/system/vfiod.service.d/50-test.conf
	systemctl daemon-reload

	# Nobody sees them come: the daemon sleeps.
	both_come() {
		kill -STOP "$(main_pid)"
		for d in "$new" "$other"; do echo 1 >"$pci/$d/remove"; done
		mark "$1"
		echo 1 >/sys/bus/pci/rescan
		udevadm settle --timeout=20
		is "$1: both wait" "$(driver_of "$new" || :) $(driver_of "$other" || :)" ' '
		n_back=$(records $back_id)
	}
	both_are_right() {
		check "$1: the kernel probes again" within 20 autoprobe_is 1
		check "$1: what waited in the leased group is shut off" within 10 is_shut
		check "$1: the other has its driver" within 10 has_driver "$other" e1000e
		check "$1: and its interface" within 20 mac_of "$other"
		is "$1: no driver has touched the first" "$(said_since "$1" "$new")" ''
		check "$1: the record says so" within 10 eval "[ \$(records $back_id) -gt $n_back ]"
		check "$1: no keeper is left" within 20 eval '! pgrep -x vfiod-keeper'
	}
	starts_again() {
		check "$1: vfiod starts again" systemctl start vfiod
		check "$1: the lease is there" within 20 eval "[ \"\$(lease_state $path)\" = leased ]"
		check "$1: and the daemon probes" within 20 autoprobe_is 0
		check "$1: what waited is fenced" within 20 is_fenced
	}

	both_come kill-9
	kill -KILL "$(main_pid)"
	both_are_right kill-9
	starts_again kill-9

	both_come stop
	check "stop" systemctl stop vfiod
	both_are_right stop
	starts_again stop

	both_come kill-all
	systemctl kill --kill-whom=all -s KILL vfiod
	both_are_right kill-all
	like "kill-all: the unit of last resort was started" "$(journalctl -b -o cat -u vfiod-unfence)" 'The Kernel Probes'
	is "kill-all: no net misses a capability" "$(journalctl -b -o cat -u vfiod -u vfiod-unfence | grep 'is missing:' || :)" ''
	starts_again kill-all

	# ExecStopPost= is all that is left then
	both_come keeper-first
	pkill -KILL -x vfiod-keeper
	kill -KILL "$(main_pid)"
	both_are_right keeper-first
	starts_again keeper-first

	both_come stop-without-keeper
	pkill -KILL -x vfiod-keeper
	check "stop-without-keeper" systemctl stop vfiod
	both_are_right stop-without-keeper
	starts_again stop-without-keeper

	# The kernel's choice is the daemon, and whoever else it takes for the memory that it wants.
	both_come out-of-memory
	pid=$(main_pid)
	echo 1000 >"/proc/$pid/oom_score_adj"
	memory=$(cat "$cgroup/memory.current")
	while [ "$(main_pid)" = "$pid" ] && [ "$memory" -gt 0 ]; do
		memory=$((memory > 65536 ? memory - 65536 : 0))
		echo "$memory" >"$cgroup/memory.max" || break
	done
	[ ! -e "$cgroup/memory.max" ] || echo max >"$cgroup/memory.max" || :
	like "out-of-memory: the kernel has killed it" "$(dmesg)" "out of memory: Killed process $pid \(vfiod\)"
	both_are_right out-of-memory
	starts_again out-of-memory

	# What a package leaves behind that is removed under a daemon that runs
	gone() {
		mkdir "$VM_STATE/gone"
		mv $units/vfiod*.service "$VM_STATE/gone"
		systemctl daemon-reload
	}
	back() {
		mv "$VM_STATE/gone"/*.service $units
		rmdir "$VM_STATE/gone"
		systemctl daemon-reload
	}
	both_come unit-removed
	gone
	kill -KILL "$(main_pid)"
	both_are_right unit-removed
	back
	starts_again unit-removed

	both_come removed-and-stopped
	gone
	mv /usr/libexec/vfiod "$VM_STATE/vfiod"
	check "removed-and-stopped" systemctl stop vfiod
	both_are_right removed-and-stopped
	mv "$VM_STATE/vfiod" /usr/libexec/vfiod
	back
	starts_again removed-and-stopped

	both_come disabled
	systemctl is-enabled -q vfiod && enabled=yes || enabled=no
	check "disabled" systemctl disable --now vfiod
	gone
	both_are_right disabled
	back
	[ "$enabled" = no ] || systemctl enable -q vfiod
	starts_again disabled

	rm -r /run/systemd/system/vfiod.service.d
	systemctl daemon-reload
	# As in life: it is up again at once, and nobody notices
	kill -KILL "$(main_pid)"
	check "started again by the service manager" within 20 eval "[ \"\$(lease_state $path)\" = leased ]"
	check "and the daemon probes" within 20 autoprobe_is 0

	# ---- home
	tells "let go" alice close-all
	vfiodctl release "${path##*/}" >"$check_output" 2>&1 || { not_ok "release"; detail <"$check_output"; }
	check "what was leased is home" within 20 at_home "$one" e1000
	check "what came has the host's driver" within 20 has_driver "$new" e1000
	check "and the kernel probes" within 10 autoprobe_is 1
fi
for d in "$new" "$other"; do echo 1 >"$pci/$d/remove"; done
qmp device_del '{"id":"hot2"}' >/dev/null || :
dismiss alice
no_policy
end
