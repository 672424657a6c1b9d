#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A physical function and its virtual functions: never in two hands, never taken from under each other.
# kernels: hotplug
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

pf=$(behind 0c.0 | sed -n 1p)
everyday_policy
client alice alice
client bob bob
echo 0 >"$pci/$pf/sriov_drivers_autoprobe"
echo 2 >"$pci/$pf/sriov_numvfs"
udevadm settle --timeout=20
vf0=$(basename "$(readlink "$pci/$pf/virtfn0")")
vf1=$(basename "$(readlink "$pci/$pf/virtfn1")")
echo "# PF $pf in group $(group_of "$pf"), VFs $vf0 in $(group_of "$vf0"), $vf1 in $(group_of "$vf1")"
known() { [ "$(property "$(device_path "$vf1")" Device PhysicalFunction)" = "\"$(device_path "$pf")\"" ]; }
check "the VFs are known, with their PF" within 10 known

refused "a PF with VFs is in use" DeviceInUse 'virtual function' alice acquire h "$pf"
check "its driver was not touched" has_driver "$pf" nvme
if [ "$(group_of "$vf0")" = "$(group_of "$pf")" ]; then
	refused "a VF in the PF's group is not to be had without the PF" '(ConsentRequired|DeviceInUse)' "$pf" alice acquire h "$vf0"
	refused "nor by withholding the PF, which would take the VF away" '(DeviceInUse|GroupBusy)' 'virtual function|PF|physical' alice acquire h "withhold=$pf,$vf1" "$vf0"
else
	tells "alice has a VF" alice acquire h mode=group "$vf0"
	path=$(lease)
	tells "takes it" alice take h
	check "uses it" use alice group "$vf0"
	is "the switch of the VFs is an administrator's 0, as before" "$(cat "$pci/$pf/sriov_drivers_autoprobe")" 0
	refused "bob cannot have the PF" '(DeviceInUse|GroupBusy)' "$pf" bob acquire h "$pf"
	if [ "$(group_of "$vf0")" != "$(group_of "$vf1")" ]; then
		tells "he can have the other VF" bob acquire h2 "$vf1"
		tells "and give it back" bob release "$(lease)"
	fi
	tells "alice lets go" alice close-all
	tells "and releases" alice release "$path"
	within 20 no_leases || :
	is "the VF has no driver, as before" "$(driver_of "$vf0" || :) $(override_of "$vf0")" ' (null)'
	is "nor has the switch changed" "$(cat "$pci/$pf/sriov_drivers_autoprobe")" 0

	# ---- the switch, where it was on
	one_lease() { [ "$(bus_leases | wc -l)" = 1 ]; }
	switch_is() { [ "$(cat "$pci/$pf/sriov_drivers_autoprobe")" = "$1" ]; }
	echo 1 >"$pci/$pf/sriov_drivers_autoprobe"
	tells "alice has a VF again" alice acquire h "$vf0"
	path=$(lease)
	check "the kernel gives no driver to other VFs meanwhile" switch_is 0
	if [ "$(group_of "$vf0")" != "$(group_of "$vf1")" ]; then
		tells "bob has the other" bob acquire h2 "$vf1"
		other=$(lease)
		tells "alice is first to go" alice release "$path"
		within 20 one_lease || :
		check "bob's lease keeps the switch" switch_is 0
		kill -KILL "$(systemctl show -P MainPID vfiod)"
		within 20 busctl --system introspect org.vfiod1 /org/vfiod1 || :
		check "also across a crash" switch_is 0
		tells "bob goes too" bob release "$other" || :
	else
		tells "alice goes" alice release "$path"
	fi
	within 20 no_leases || :
	check "it is on again" within 10 switch_is 1
	is "and the VFs have no driver, as before" "$(driver_of "$vf0" || :) $(driver_of "$vf1" || :)" ' '
fi
echo 0 >"$pci/$pf/sriov_numvfs"
echo 1 >"$pci/$pf/sriov_drivers_autoprobe"
udevadm settle --timeout=20
idle() { tell alice acquire h "$pf"; }
check "without its VFs the PF can be had" within 10 idle
tells "and given back" alice release "$(lease)"
check "it is home" within 20 at_home "$pf" nvme
dismiss alice
dismiss bob
no_policy
end
