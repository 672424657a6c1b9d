#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An error of a device reaches its owner and nobody else; one that failed is given to nobody until that is cleared.
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

nic=$(behind 09.0 | head -1)
port=0000:00:09.0
other=$(behind 0b.0 | head -1)
error_id=16c6fb21a7ec4606a7ed61109f34e050

inject() { qmp human-monitor-command "{\"command-line\":\"pcie_aer_inject_error $*\"}"; }
health() { property "$(device_path "$1")" Device Health | tr -d '"'; }
health_is() { [ "$(health "$1")" = "$2" ]; }
counter() { property "$(device_path "$1")" Device ErrorCounters | jq -r ".$2.$3 // 0"; }
counts() { [ "$(counter "$1" "$2" "$3")" -ge "$4" ]; }
records() { journalctl -q -b -o json "MESSAGE_ID=$error_id" "VFIOD_DEVICE=$1" | jq -r .VFIOD_EVENT; }
recorded() { [ "$(records "$1" | grep -c "^$2\$")" -ge "$3" ]; }
# All that the client was told of devices, since the last time, in one line
told() { tell "$1" signals && grep -v '^ok' <<<"$heard" | tr '\n' ';'; }
hears() { said_so+=$(told "$1"); [[ $said_so == *$2* ]]; }

everyday_policy
client alice alice
client bob bob
client admin root
for c in bob admin; do tells "$c is on the bus" "$c" bus; done
is "the NIC is well" "$(health "$nic")" ok

# ---- an error at the port: the kernel resets what is below it, and it recovers
for mode in $(fd_modes); do
	tells "$mode: acquire" alice acquire h "mode=$mode" "$nic"
	path=$(lease)
	tells "$mode: take" alice take h
	check "$mode: the VMM uses it" use alice "$mode" "$nic"
	before=$(records "$nic" | grep -c successful || :)
	inject rp2 DLP >"$check_output" || { not_ok "$mode: injecting an error"; detail <"$check_output"; }
	said_so=''
	check "$mode: its owner is told that it began" within 30 hears alice "begin-recovery $(device_path "$nic")"
	check "$mode: and that it went well" within 60 hears alice "successful-recovery $(device_path "$nic")"
	check "$mode: the journal has it" within 10 recorded "$nic" successful-recovery $((before + 1))
	is "$mode: bob was told nothing" "$(told bob)" ''
	is "$mode: root neither" "$(told admin)" ''
	is "$mode: it is well again" "$(health "$nic")" ok
	is "$mode: and leased" "$(lease_state "$path")" leased
	check "$mode: the port has counted it" within 5 counts "$port" fatal DLP 1
	tells "$mode: the device reads" alice ids "device:$nic"
	is "$mode: as what it is" "$said" 'ok 8086:10d3'
	if [ "$mode" = "$(fd_modes | awk '{ print $1 }')" ]; then
		# ---- one of the device itself
		inject nic2 MALF_TLP >"$check_output" || { not_ok "injecting another"; detail <"$check_output"; }
		said_so=''
		check "an error of the device itself: it recovers" within 60 hears alice "successful-recovery $(device_path "$nic")"
		check "its counters say which" within 5 eval "property \"$(device_path "$nic")\" Device ErrorCounters | jq -e '.fatal.total + .nonfatal.total >= 1'"
		echo "# $(property "$(device_path "$nic")" Device ErrorCounters)"
		inject nic2 BAD_TLP >"$check_output" || { not_ok "injecting a correctable one"; detail <"$check_output"; }
		check "one that was corrected is counted" within 10 counts "$nic" correctable BadTLP 1
		is "and nobody has to be told" "$(told bob)$(told admin)" ''
	fi
	tells "$mode: let go" alice close-all
	tells "$mode: release" alice release "$path"
	check "$mode: it is home" within 30 at_home "$nic" e1000e
done

# ---- a driver that knows no errors: recovery fails
modprobe -q pci-stub || :
tells "before: the other NIC can be had" alice acquire h "$other"
tells "and given back" alice release "$(lease)"
check "it is home" within 20 at_home "$other" e1000e
echo pci-stub >"$pci/$other/driver_override"
echo "$other" >/sys/bus/pci/drivers/e1000e/unbind
echo "$other" >/sys/bus/pci/drivers_probe
check "it is on pci-stub" has_driver "$other" pci-stub
inject rp4 DLP >"$check_output" || { not_ok "injecting an error"; detail <"$check_output"; }
check "recovery fails" within 60 health_is "$other" failed
like "the journal has it" "$(records "$other")" '^failed-recovery$'
like "vfiodctl shows it" "$(vfiodctl list devices)" "$other .*failed"
refused "alice is refused it" DeviceFailed 'vfiodctl clear' alice acquire h "$other"
refused "root is too" DeviceFailed 'vfiodctl clear' admin acquire h "$other"
kill -9 "$(systemctl show -P MainPID vfiod)"
check "after kill -9 it is failed still" within 20 health_is "$other" failed
# The kernel has given it up: only a new device at the same place can be used.
echo 1 >"$pci/$other/remove"
echo 1 >/sys/bus/pci/rescan
check "removed and found again" within 30 has_driver "$other" e1000e
check "the same hardware has failed still" within 10 health_is "$other" failed
refused "and is refused" DeviceFailed "$other" alice acquire h "$other"
check_not "alice cannot clear it" as alice vfiodctl clear "$other"
check "root can" vfiodctl clear "$other"
is "it is well" "$(health "$other")" ok
tells "and can be had" alice acquire h "$other"
tells "and given back" alice release "$(lease)"
check "it is home" within 20 at_home "$other" e1000e
for c in alice bob admin; do dismiss $c; done
no_policy
end
