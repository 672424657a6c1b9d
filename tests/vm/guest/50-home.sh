#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What is given back is what was there: driver, interface, an administrator's driver_override.
# kernels: stock
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

nic=$(behind 09.0)
mac=$(mac_of "$nic")
bridge=$(behind 08.0)
mapfile -t nics < <(behind "08.0/$bridge")
edu=0000:00:05.0
policy <<'END'
{ "version": 1, "rules": [ { "id": "all", "subjects": [ { "users": ["alice"] } ],
  "devices": [ { "subsystem": "pci" } ], "allow": ["acquire", "withhold", "persist"],
  "modes": ["cdev", "group", "node"], "consent": { "drivers": ["*"] } } ] }
END
client alice alice

echo e1000e >"$pci/$nic/driver_override"
tells "acquire a device with an override of the administrator's" alice acquire h "$nic"
tells "take" alice take h
like "the override is the broker's meanwhile" "$(override_of "$nic")" '^vfio-pci$'
tells "let go" alice close-all
tells "release" alice release "$(property "/org/vfiod1/group/$(group_of "$nic")" Group Lease | tr -d '"')"
check "the driver is back" within 20 has_driver "$nic" e1000e
within 10 no_leases
is "the administrator's override is back" "$(override_of "$nic")" e1000e
check "the interface is back" within 10 test "$(mac_of "$nic")" = "$mac"
echo >"$pci/$nic/driver_override"

tells "a device that had no driver" alice acquire h "$edu"
path=$(lease)
is "is on vfio-pci while leased" "$(driver_of $edu)" vfio-pci
tells "release" alice release "$path"
within 20 no_leases
is "and has no driver again" "$(driver_of $edu || :) $(override_of $edu)" ' (null)'

echo none >"$pci/${nics[1]}/driver_override"
echo "${nics[1]}" >/sys/bus/pci/drivers/e1000/unbind
tells "a sibling without a driver needs no naming" alice acquire h "${nics[0]}" \
	"$([ -z "$(driver_of "$bridge" || :)" ] || echo "withhold=$bridge")"
path=$(lease)
is "it is withheld" "$(device_state "${nics[1]}")" withheld
tells "release" alice release "$path"
within 20 no_leases
is "it is as the administrator left it" "$(driver_of "${nics[1]}" || :) $(override_of "${nics[1]}")" ' none'
echo >"$pci/${nics[1]}/driver_override"
echo "${nics[1]}" >/sys/bus/pci/drivers_probe
within 10 has_driver "${nics[1]}" e1000

echo vfio-pci >"$pci/$nic/driver_override"
echo "$nic" >/sys/bus/pci/drivers/e1000e/unbind
modprobe vfio-pci 2>/dev/null || :
echo "$nic" >/sys/bus/pci/drivers_probe
is "a device that the administrator reserved at boot" "$(driver_of "$nic")" vfio-pci
tells "is leased" alice acquire h "$nic"
path=$(lease)
tells "take" alice take h
tells "let go" alice close-all
tells "release" alice release "$path"
within 20 no_leases
is "and is on vfio-pci again, with its override" "$(driver_of "$nic") $(override_of "$nic")" 'vfio-pci vfio-pci'
echo >"$pci/$nic/driver_override"
echo "$nic" >/sys/bus/pci/drivers/vfio-pci/unbind
echo "$nic" >/sys/bus/pci/drivers_probe
check "the administrator takes it back" within 10 has_driver "$nic" e1000e

client held alice
tells "persist: acquire" held acquire h persist=1 name=keeper "$nic"
path=$(lease)
slay held
sleep 2
is "persist: the lease outlives its client" "$(lease_state "$path")" leased
tells "persist: another process of alice's cannot end it" alice pid
refused "persist: it is told so" 'AccessDenied|NotPermitted' . alice release "$path"
check "persist: root ends it" busctl --system call org.vfiod1 "$path" org.vfiod1.Lease Release
check "persist: home" within 20 at_home "$nic" e1000e

# A pipe, and a process of alice's: what a manager gives that does not want to stay itself.
for kind in pipe pidfd; do
	if [ $kind = pipe ]; then
		tells "lifeline $kind: made" alice pipe life
	else
		become alice sleep 120 >/dev/null 2>&1 &
		holder=$!
		within 5 grep -q sleep "/proc/$holder/comm"
		tells "lifeline $kind: made" alice pidfd life "$holder"
	fi
	tells "lifeline $kind: acquire" alice acquire h lifeline=life "$nic"
	path=$(lease)
	tells "lifeline $kind: the bus connection goes" alice disconnect
	sleep 1
	is "lifeline $kind: the lease stays" "$(lease_state "$path")" leased
	if [ $kind = pipe ]; then tell alice close life.w; else kill "$holder"; fi
	check "lifeline $kind: it ends with it" within 20 at_home "$nic" e1000e
	tell alice close-all
done
dismiss alice
no_policy
end
