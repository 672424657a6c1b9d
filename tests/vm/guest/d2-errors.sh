#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An error of a device reaches its owner and nobody else; one that failed is given to nobody until that is cleared.
# kernels: iommufd
# limit: 600 s
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
told() { tell "$1" signals && sed '/^ok/d;/^$/d' <<<"$heard" | tr '\n' ';'; }
hears() { said_so+=$(told "$1"); [[ $said_so == *$2* ]]; }

everyday_policy
client alice alice
client bob bob
client admin root
for c in bob admin; do tells "$c listens to whatever there is" "$c" overhear; done
is "the NIC is well" "$(health "$nic")" ok

# ---- an error at the port: the kernel resets what is below it, and it recovers. QEMU's endpoints
# cannot report one themselves: their device control has no bits for it.
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
	tells "$mode: let go" alice close-all
	tells "$mode: release" alice release "$path"
	check "$mode: it is home" within 30 at_home "$nic" e1000e
done

# ---- an event that somebody makes up: the kernel marks it as such, and users cannot even do that
uuid=11111111-1111-1111-1111-111111111111
check_not "alice cannot send events" as alice sh -c "echo 'change $uuid ERROR_EVENT=FAILED_RECOVERY' >$pci/$nic/uevent"
check_not "nor can root: such a name is none" sh -c "echo 'change $uuid ERROR_EVENT=FAILED_RECOVERY' >$pci/$nic/uevent"
echo "change $uuid ERROREVENT=FAILEDRECOVERY" >"$pci/$nic/uevent"
vfiodctl rescan
is "what root sends by hand is no word of the kernel's" "$(health "$nic")" ok

# ---- more errors than anybody can handle one by one
tells "flood: acquire" alice acquire h "$nic"
path=$(lease)
tells "flood: take" alice take h
check "flood: the VMM uses it" use alice "$(fd_modes | awk '{ print $1 }')" "$nic"
told alice >/dev/null
for _ in {1..20}; do
	inject rp2 DLP
done >"$check_output"
quickly "flood: bob is answered" as bob vfiodctl list devices
well() { [ "$(health "$nic")" = ok ] && said_so+=$(told alice) && [ "$(grep -o begin-recovery <<<"$said_so" | wc -l)" = "$(grep -o successful-recovery <<<"$said_so" | wc -l)" ]; }
said_so=''
check "flood: all recoveries come to their end" within 90 well
like "flood: its owner heard of them" "$said_so" "begin-recovery $(device_path "$nic");successful-recovery $(device_path "$nic")"
is "flood: bob heard nothing" "$(told bob)" ''
is "flood: the lease is as it was" "$(lease_state "$path")" leased
tells "flood: the device reads" alice ids "device:$nic"
is "flood: as what it is" "$said" 'ok 8086:10d3'
tells "flood: let go" alice close-all
tells "flood: release" alice release "$path"
check "flood: it is home" within 30 at_home "$nic" e1000e

# ---- a device that fails while it is leased: one of two functions, whose sibling no driver has.
# Linux 6.16 and later let nobody use such a one until it is removed and found again, and these two
# would then be in groups of their own.
fails_while_leased() {
	local two path config=$VM_STATE/config
	mapfile -t two < <(behind 0a.0)
	cat "$pci/${two[1]}/config" >"$config"
	tells "alice has one of two functions" alice acquire h mode=group "withhold=${two[1]}" "${two[0]}"
	path=$(lease)
	tells "takes it" alice take h
	check "uses it" use alice group "${two[0]}"
	told alice >/dev/null
	inject rp3 DLP >"$check_output"
	said_so=''
	check "alice is told that it failed" within 60 hears alice "failed-recovery $(device_path "${two[0]}")"
	is "she has it still" "$(lease_state "$path") $(health "${two[0]}")" 'leased failed'
	is "and nobody else was told" "$(told bob)$(told admin)" ''
	refused "bob cannot reset it" '.*AccessDenied' . bob call "$path" org.vfiod1.Lease Reset As "${two[0]}" function
	is "nor has he" "$(health "${two[0]}")" failed
	check_not "nor can alice say that it is well" as alice vfiodctl clear "${two[0]}"
	tells "alice lets go" alice close-all
	tells "and has it reset" alice call "$path" org.vfiod1.Lease Reset As "${two[0]}" function
	is "a reset by its owner makes it well" "$(health "${two[0]}")" ok
	is "and only it" "$(health "${two[1]}")" failed
	tells "she releases" alice release "$path"
	# The kernel's reset of the link took the sibling's configuration away, and nobody had saved that.
	check "the sibling does not come home" within 30 eval "[ \"\$(lease_state $path)\" = failed ]"
	cat "$config" >"$pci/${two[1]}/config"
	check "an administrator mends that" vfiodctl restore "${path##*/}"
	check "then they are home" within 30 no_leases
	refused "what failed is refused" DeviceFailed "${two[1]}" bob acquire h "${two[@]}"
	check "until root clears it" vfiodctl clear "${two[1]}"
	tells "then bob can have both" bob acquire h "${two[@]}"
	tells "and gives them back" bob release "$(lease)"
	check "they are home" within 30 no_leases
}
policy <<'END'
{ "version": 1,
  "rules": [ { "id": "all", "subjects": [ { "users": ["alice", "bob"] } ],
    "devices": [ { "subsystem": "pci" } ],
    "allow": ["acquire", "withhold", "reset"], "modes": ["cdev", "group"],
    "consent": { "drivers": ["e1000e", "nvme"] } } ] }
END
[ "$VM_KERNEL" = hotplug ] || fails_while_leased
everyday_policy

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
# Its own bus is looked at: elsewhere, what another test took off the bus would come too.
bus=$(dirname "$(realpath "$pci/$other")")/pci_bus/${other%:*}
echo 1 >"$pci/$other/remove"
echo 1 >"$bus/rescan"
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
