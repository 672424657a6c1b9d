#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What does not work is read back, rolled back, and visible where it cannot be: DriverFailed, `failed`,
# restore; a group that somebody else changed is not handed out.
# kernels: stock
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

nic=$(behind 09.0)
other=$(behind 0b.0)
bridge=$(behind 08.0)
mapfile -t nics < <(behind "08.0/$bridge")
one=${nics[0]} two=${nics[1]}
g=$(group_of "$nic")
with=$two
[ -z "$(driver_of "$bridge" || :)" ] || with=$two,$bridge
everyday_policy
client alice alice
client bob bob

# Success is not evidence: probing "works" and does nothing, because it is a plain file.
: >"$VM_STATE/probe"
mount --bind "$VM_STATE/probe" /sys/bus/pci/drivers_probe
refused "a probe that says yes and does nothing is found out" '(DriverFailed|GroupChanged)' "$nic" alice acquire h "$nic"
is "no host driver was told to take it" "$(driver_of "$nic" || :)" ''
check "the lease that cannot be undone is visible, and failed" within 10 group_is "$g" failed
path=$(bus_leases)
is "by its state too" "$(lease_state "$path")" failed
refused "nobody else gets the group" '(GroupBusy|GroupDraining|GroupNotViable)' . bob acquire h "$nic"
refused "restore is root's" '(AccessDenied|NotPermitted)' . alice call "$path" org.vfiod1.Lease Restore
umount /sys/bus/pci/drivers_probe
tells "others are served" bob acquire h "$other"
tells "as ever" bob release "$(lease)"
check "root restores" timeout 60 vfiodctl restore "${path##*/}"
check "and it is home" within 20 at_home "$nic" e1000e
check "the other too" within 20 at_home "$other" e1000e

# shut off, with no driver
is_off() { [ ! -e "$pci/$1/driver" ] && [ "$(override_of "$1")" = none ]; }

# Somebody gives a withheld device back to a host driver behind the broker's back.
tells "group: acquire with a withheld sibling" alice acquire h mode=group "withhold=$with" "$one"
path=$(lease)
echo >"$pci/$two/driver_override"
# It may be shut off again before this, and then the kernel says no.
echo "$two" >/sys/bus/pci/drivers/e1000/bind || :
tell alice take h || :
# Whichever was faster: fds only with the sibling shut off.
if grep -qE '^(group|container|device)' <<<"$heard"; then
	check "it was shut off again before anything was handed out" is_off "$two"
else
	like "nothing of the group is handed out" "$heard" '^error (org.vfiod1.Error.)?(GroupNotViable|GroupChanged)' "($two|group $(group_of "$two"))"
fi
check "it is shut off again" within 20 is_off "$two"
like "and that is on record" "$(journalctl -q -b --no-pager -o cat -u vfiod VFIOD_DEVICE="$two" | tail -3)" \
	"Somebody else changed $two .* put right"
tell alice close-all || :
tells "put right, another handoff can be had" alice getfds h2 "$path"
tells "which works" alice take h2
tells "let go" alice close-all
tells "release" alice release "$path"
check "one is home" within 20 at_home "$one" e1000
check "two is home" within 20 at_home "$two" e1000

if [ ! -e /sys/module/vfio_pci/initstate ]; then
	echo "# vfio-pci is built into this kernel: no module of it can fail to load"
else
	check "vfio-pci can be unloaded" modprobe -r vfio_pci
	mkdir -p /run/modprobe.d
	echo 'install vfio_pci /bin/false' >/run/modprobe.d/broken.conf
	refused "a module that cannot be loaded is named" DriverFailed 'vfio.pci' alice acquire h "$nic"
	check "and the NIC was not touched" has_driver "$nic" e1000e
	rm /run/modprobe.d/broken.conf
	systemctl reset-failed
	tells "loadable again, it works" alice acquire h "$nic"
	tells "and back" alice release "$(lease)"
	check "home again" within 20 at_home "$nic" e1000e
fi
dismiss alice
dismiss bob
no_policy
end
