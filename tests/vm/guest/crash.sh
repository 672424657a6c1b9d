# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# For the tests in which vfiod dies: the daemon with fault points in place of the shipped one, a
# client that does not give up, and the outside checker after each start. For scripts that have
# read lib.sh. What is asked often is asked by a client that lives (`judge`, root's): a process for
# each question would be most of the time under emulation.
# shellcheck disable=SC2154  # said, from there

here=${BASH_SOURCE[0]%/*}
faults=/run/vfiod/faults
manager=(/org/vfiod1 org.vfiod1.Manager)

use_daemon() {
	mkdir -p /run/systemd/system/vfiod.service.d
	printf '%s\n' '[Service]' 'ExecStart=' "ExecStart=$1" 'RestartSec=100ms' \
		>/run/systemd/system/vfiod.service.d/50-faults.conf
	systemctl daemon-reload
	systemctl restart vfiod
}
use_faulty_daemon() {
	use_daemon /usr/libexec/vfiod-faults
	mkdir -p $faults
}
use_shipped_daemon() {
	rm -rf $faults /run/systemd/system/vfiod.service.d/50-faults.conf
	systemctl daemon-reload
	systemctl restart vfiod
}

judge() {
	[ -n "${client_pid[judge]:-}" ] || client judge root
	tell judge "$@"
}
# The first line of what it heard
first_heard() { echo "${heard%%$'\n'*}"; }

# Whether the bus has an answer, and it is the daemon's own
daemon_answers() { judge call "${manager[@]}" FindGroup u 1 || [[ $said == *NoSuchGroup* ]]; }
main_pid() { systemctl show -P MainPID vfiod; }
# The bus starts the daemon where the service manager has not yet.
daemon_up() {
	local until=$((SECONDS + 30))
	while ! daemon_answers; do
		[ $SECONDS -lt $until ] || return 1
		sleep 0.1
	done
}

# Of the lease: path, or nothing; in $found
find_lease() {
	found=
	if judge call "${manager[@]}" FindLease s "$1"; then found=$(first_heard); fi
}
lease_named() { find_lease "$1" && echo "$found"; }
# The daemon says that there is none: one that is dead does not.
lease_is_gone() {
	find_lease "$1"
	[[ $said == *NoSuchLease* ]]
}
# of_lease PATH PROPERTY: its value, in $value
of_lease() {
	value=
	if judge call "$1" org.freedesktop.DBus.Properties Get ss org.vfiod1.Lease "$2"; then value=$(first_heard); fi
}
of_device() {
	value=
	if judge call "$(device_path "$1")" org.freedesktop.DBus.Properties Get ss org.vfiod1.Device "$2"; then value=$(first_heard); fi
}
as_root() { judge call "$path" org.vfiod1.Lease "$@"; }

# ensure_leased CLIENT NAME WORD…: asks until the lease is there; its path is in $path then
ensure_leased() {
	local client=$1 name=$2 until=$((SECONDS + 60))
	shift 2
	path=
	while [ $SECONDS -lt $until ]; do
		find_lease "$name"
		path=$found
		if [ -n "$path" ]; then
			of_lease "$path" State
			case $value in
			leased) return 0 ;;
			failed) as_root Restore || : ;;
			esac
		elif [[ $said == *NoSuchLease* ]]; then
			tell "$client" acquire h "name=$name" "$@" || :
			[[ $said != ok* ]] || continue
		fi
		sleep 0.05
	done
	echo "no lease: $said"
	return 1
}

# ensure_taken CLIENT DEVICE: the fds of $path are the client's
ensure_taken() {
	local client=$1 until=$((SECONDS + 60)) slot
	while [ $SECONDS -lt $until ]; do
		# What a handoff that was cut short has brought: not the lifeline.
		for slot in "device:$2" iommufd:- container:- "group:$(group_of "$2")"; do
			tell "$client" close "$slot" || :
		done
		if tell "$client" getfds h "$path" && tell "$client" take h; then return 0; fi
		sleep 0.05
	done
	return 1
}

# ensure_home NAME: releases until it is home; what failed is restored
ensure_home() {
	local name=$1 until=$((SECONDS + 90))
	while [ $SECONDS -lt $until ]; do
		if lease_is_gone "$name"; then return 0; fi
		path=$found
		if [ -n "$path" ]; then
			of_lease "$path" State
			case $value in
			leased) as_root Release || : ;;
			failed) as_root Restore || : ;;
			esac
		fi
		sleep 0.05
	done
	echo "$name is not home: $value"
	return 1
}

# After a crash: the daemon is there again, and the checker finds nothing. inspect [USER]: somebody
# else tries to get something, too.
baseline=$VM_STATE/baseline
inspect() {
	local out i
	daemon_up || { echo "the daemon does not come back"; return 1; }
	[ -e "$baseline" ] || : >"$baseline"
	# What is being done at this very moment: once more.
	for i in 1 2 3 4; do
		out=$("$here/checker" --baseline "$baseline" "$@" 2>&1) && return 0
		sleep "0.$((i * 2))"
		daemon_up || :
	done
	echo "$out"
	return 1
}
