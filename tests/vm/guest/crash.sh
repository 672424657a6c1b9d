# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# For the tests in which vfiod dies: the daemon with fault points in place of the shipped one, a
# client that does not give up, and the outside checker after each start. For scripts that have
# read lib.sh.
# shellcheck disable=SC2154  # said, from there

here=${BASH_SOURCE[0]%/*}
faults=/run/vfiod/faults
manager=(busctl --system --json=short call org.vfiod1 /org/vfiod1 org.vfiod1.Manager)

use_faulty_daemon() {
	mkdir -p /run/systemd/system/vfiod.service.d
	printf '%s\n' '[Service]' 'ExecStart=' 'ExecStart=/usr/libexec/vfiod-faults' 'RestartSec=100ms' \
		>/run/systemd/system/vfiod.service.d/50-faults.conf
	systemctl daemon-reload
	systemctl restart vfiod
	mkdir -p $faults
}
use_shipped_daemon() {
	rm -rf $faults /run/systemd/system/vfiod.service.d/50-faults.conf
	systemctl daemon-reload
	systemctl restart vfiod
}

# Whether the bus has an answer, and it is the daemon's own
daemon_answers() { "${manager[@]}" FindGroup u 1 >/dev/null 2>&1; }
main_pid() { systemctl show -P MainPID vfiod; }
restarts() { systemctl show -P NRestarts vfiod; }
# The bus starts the daemon where the service manager has not yet.
daemon_up() { within 30 daemon_answers; }

find_lease() { "${manager[@]}" FindLease s "$1" 2>&1; }
lease_named() { find_lease "$1" | jq -r '.data[0]' 2>/dev/null || :; }
# The daemon says that there is none: one that is dead does not.
lease_is_gone() { [[ $(find_lease "$1" || :) == *"no lease"* ]]; }

# ensure_leased CLIENT NAME WORD…: asks until the lease is there; its path is in $path then
ensure_leased() {
	local client=$1 name=$2 until=$((SECONDS + 60))
	shift 2
	path=
	while [ $SECONDS -lt $until ]; do
		path=$(lease_named "$name")
		if [ -n "$path" ]; then
			case $(lease_state "$path" 2>/dev/null) in
			leased) return 0 ;;
			failed) busctl --system call org.vfiod1 "$path" org.vfiod1.Lease Restore >/dev/null 2>&1 || : ;;
			esac
		else
			tell "$client" acquire h "name=$name" "$@" || :
		fi
		sleep 0.1
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
		sleep 0.1
	done
	return 1
}

# ensure_home NAME: releases until it is home; what failed is restored
ensure_home() {
	local name=$1 until=$((SECONDS + 90)) p
	while [ $SECONDS -lt $until ]; do
		! lease_is_gone "$name" || return 0
		p=$(lease_named "$name")
		if [ -n "$p" ]; then
			case $(lease_state "$p" 2>/dev/null) in
			leased) busctl --system call org.vfiod1 "$p" org.vfiod1.Lease Release >/dev/null 2>&1 || : ;;
			failed) busctl --system call org.vfiod1 "$p" org.vfiod1.Lease Restore >/dev/null 2>&1 || : ;;
			esac
		fi
		sleep 0.1
	done
	return 1
}

# After a crash: the daemon is there again, and the checker finds nothing.
inspect() {
	local out
	daemon_up || { echo "the daemon does not come back"; return 1; }
	out=$("$here/checker" 2>&1) && return 0
	# What is being done at this very moment: once more.
	sleep 0.5
	out=$("$here/checker" 2>&1) && return 0
	echo "$out"
	return 1
}
