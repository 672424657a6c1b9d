#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A process that keeps a device fd after the release: its group drains, nobody else waits.
# kernels: iommufd
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

nic=$(behind 09.0)
other=$(behind 0b.0)
g=$(group_of "$nic")
everyday_policy

for mode in $(fd_modes); do
	client alice alice
	client bob bob
	tells "$mode: alice has the NIC" alice acquire h "mode=$mode" "$nic"
	path=$(lease)
	tells "$mode: take" alice take h
	check "$mode: use it" use alice "$mode" "$nic"
	from=$SECONDS
	tells "$mode: release" alice release "$path"
	check "$mode: which answers at once" test $((SECONDS - from)) -le 3
	check "$mode: the group is draining" within 5 group_is "$g" draining
	holders() { property "$path" Lease Holders; }
	named() { holders | grep -q "${client_pid[alice]},\"vmclient"; }
	check "$mode: the holder is named, by pid and command" within 10 named
	refused "$mode: bob does not get it" GroupDraining "${client_pid[alice]}|vmclient" bob acquire h "$nic"
	refused "$mode: nor does alice" GroupDraining . alice acquire h "$nic"
	for i in 1 2 3; do
		quickly "$mode: meanwhile bob gets something else ($i)" tell bob acquire h2 "$other"
		tells "$mode: and gives it back ($i)" bob release "$(lease)"
		check "$mode: home ($i)" within 20 at_home "$other" e1000e
	done
	quickly "$mode: explain answers" as bob vfiodctl explain "$other"
	quickly "$mode: list answers" vfiodctl list
	quickly "$mode: rescan answers" busctl --system call org.vfiod1 /org/vfiod1 org.vfiod1.Manager Rescan
	is "$mode: it is still draining" "$(group_state "$g")" draining
	sleep 12
	is "$mode: and after 12 s" "$(group_state "$g")" draining
	tells "$mode: alice closes the fds" alice close-all
	check "$mode: the group goes home" within 20 at_home "$nic" e1000e
	tells "$mode: and bob gets it" bob acquire h "$nic"
	tells "$mode: gives it back" bob release "$(lease)"
	check "$mode: home" within 20 at_home "$nic" e1000e

	tells "$mode: alice has it again" alice acquire h "mode=$mode" "$nic"
	path=$(lease)
	tells "$mode: take" alice take h
	check "$mode: use it" use alice "$mode" "$nic"
	tells "$mode: release" alice release "$path"
	check "$mode: draining" within 5 group_is "$g" draining
	slay alice
	check "$mode: killing the holder sends the group home" within 20 at_home "$nic" e1000e
	dismiss bob
done
no_policy
end
