#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Removed while a VMM has it, another one at its address, what comes to a group that drains, and a
# burst of 200 adds and removes: in the end the daemon's picture is the kernel's.
# kernels: iommufd
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

bridge=$(behind 08.0)
mapfile -t nics < <(behind "08.0/$bridge" | grep -v ':03\.0$')
one=${nics[0]} two=${nics[1]} new=${nics[0]%:*}:03.0
alone=$(behind 09.0)
pf=$(behind 0c.0 | sed -n 1p)
before=$(driver_of "$bridge" || :)
with=$two${before:+,$bridge}
mode=$(fd_modes | awk '{ print $1 }')

remove() { echo 1 >"$pci/$1/remove"; }
rescan() { echo 1 >"$pci/$bridge/rescan"; }
gone() { [ ! -e "$pci/$1" ]; }
is_shut() { [ -e "$pci/$1" ] && [ ! -e "$pci/$1/driver" ] && [ "$(override_of "$1")" = none ]; }
is_fenced() { [ "$(device_state "$1")" = fenced ] && is_shut "$1"; }
home() {
	check "$1: the first NIC is home" within 30 at_home "$one" e1000
	check "$1: and the second" within 30 at_home "$two" e1000
	check "$1: and what came" within 30 at_home "$new" e1000
	check "$1: and the bridge" within 30 eval "[ \"\$(driver_of $bridge || :)\" = '$before' ] && [ \"\$(override_of $bridge)\" = '(null)' ]"
}
# What there is, with driver and group: as the kernel has it, and as the daemon says
kernels_picture() {
	local d
	for d in "$pci"/*; do
		d=${d##*/}
		echo "$(device_path "$d") $(driver_of "$d" || :) $(group_of "$d")"
	done | sort
}
daemons_picture() {
	busctl --system --json=short call org.vfiod1 /org/vfiod1 org.freedesktop.DBus.ObjectManager GetManagedObjects |
		jq -r '.data[0] | to_entries[] | select(.value["org.vfiod1.Device"]) |
			select(.key | startswith("/org/vfiod1/device/pci_")) |
			"\(.key) \(.value["org.vfiod1.Device"].Driver.data) \(.value["org.vfiod1.Device"].Group.data | split("/") | last)"' | sort
}
same_picture() { diff <(kernels_picture) <(daemons_picture); }

everyday_policy
client alice alice
client bob bob
qmp device_add '{"driver":"e1000","id":"hot0","bus":"br1","addr":"3","romfile":""}' >"$check_output" ||
	grep -q Duplicate "$check_output" || { not_ok "plugging the device"; detail <"$check_output"; }

# ---- removed while a VMM has it: the kernel waits for that, and nobody else does
tells "acquire" alice acquire h "mode=$mode" "withhold=$with" "$one"
path=$(lease)
tells "take" alice take h
check "the VMM has it" use alice "$mode" "$one"
remove "$one" &
removing=$!
sleep 1
check "somebody removes it: that waits for the VMM" kill -0 $removing
quickly "others are answered" tell bob acquire h "$alone"
bobs=$(lease)
quickly "and again" tell bob release "$bobs"
check "theirs is home" within 20 at_home "$alone" e1000e
is "the lease is as it was" "$(lease_state "$path") $(group_state "$(group_of "$two")")" 'leased leased'
tells "the VMM lets go" alice close-all
check "then it is gone" within 20 gone "$one"
wait $removing || :
check "the lease has no device" within 10 eval "[ \"\$(property $path Lease Devices)\" = '[]' ]"
rescan
check "it is looked for, and shut off" within 20 is_fenced "$one"
check "and what comes with it" within 20 is_fenced "$new"
tells "release" alice release "$path"
home "after that"

# ---- the same while its lease drains, and one more that comes then
remove "$new"
tells "acquire to drain" alice acquire h "mode=$mode" "withhold=$with" "$one"
path=$(lease) g=$(group_of "$one")
tells "take" alice take h
check "the VMM has it" use alice "$mode" "$one"
tells "release, which the VMM does not hear" alice release "$path"
check "it drains" within 10 group_is "$g" draining
rescan
check "what comes is shut off" within 20 is_shut "$new"
remove "$two"
rescan
check "the withheld one, removed and back, too" within 20 is_shut "$two"
remove "$new"
rescan
check "and what came, once more" within 20 is_shut "$new"
refused "nobody gets what comes" GroupDraining . bob acquire x "mode=$mode" "$new"
is "it drains still" "$(group_state "$g")" draining
tells "the VMM lets go" alice close-all
home "drained"

# ---- another one at its address
plug() {
	qmp device_add "{\"driver\":\"$1\",\"id\":\"hot2\",\"bus\":\"rp6\",\"romfile\":\"\"}"
}
appeared() { other=$(behind 0d.0) && [ -n "$other" ] && [ -e "$pci/$other/iommu_group" ]; }
# The slot's own events come late: the kernel is told to look.
comes() { echo 1 >"$pci/0000:00:0d.0/rescan"; appeared; }
product() { cat "$pci/$other/device"; }
check "an e1000e is plugged" within 30 plug e1000e
check "it appears" within 30 appeared
check "it has its driver" within 30 has_driver "$other" e1000e
udevadm settle --timeout=20
tells "alice has it" alice acquire h "mode=$mode" "$other"
path=$(lease) g=$(group_of "$other") was=$other
tells "and takes it" alice take h
check "and uses it" use alice "$mode" "$other"
tells "and lets go" alice close-all
remove "$other"
qmp device_del '{"id":"hot2"}' >/dev/null || :
check "an e1000 is plugged in its place" within 40 plug e1000
check "it appears, too" within 30 comes
is "at the same address, as another product" "$other $(product)" "$was 0x100e"
tells "alice asks for fds" alice getfds h2 "$path"
tells "takes what there is" alice take h2
like "which is nothing" "$heard" '^error NoSuchDevice '
if [ "$(group_of "$other")" = "$g" ]; then
	check "it is shut off" within 10 is_fenced "$other"
	is "it has nothing of what was there" "$(property "$(device_path "$other")" Device SavedDriver)" '""'
else
	echo "# it came as group $(group_of "$other"), not $g"
	check "in another group it is the host's" within 20 has_driver "$other" e1000
fi
tells "release" alice release "$path"
check "it has its own driver, not that of what was there" within 30 at_home "$other" e1000
remove "$other"
qmp device_del '{"id":"hot2"}' >/dev/null || :

# ---- 100 adds and 100 removes, most of them in a leased group that is in use
remove "$new"
tells "acquire" alice acquire h "mode=$mode" "withhold=$with" "$one"
path=$(lease)
tells "take" alice take h
check "the VMM has it" use alice "$mode" "$one"
autoprobe=$(cat "$pci/$pf/sriov_drivers_autoprobe")
echo 0 >"$pci/$pf/sriov_drivers_autoprobe"
rescan
from=$(date +%s%N)
vfs() {
	for _ in {1..10}; do
		echo 4 >"$pci/$pf/sriov_numvfs"
		echo 0 >"$pci/$pf/sriov_numvfs"
	done
}
vfs &
for _ in {1..30}; do
	remove "$new"
	remove "$two"
	rescan
done
echo "# 60 in the group in $((($(date +%s%N) - from) / 1000000)) ms"
check "40 VFs came and went meanwhile" wait $!
echo "# all in $((($(date +%s%N) - from) / 1000000)) ms"
quickly "bob is answered" tell bob acquire h "$alone"
bobs=$(lease)
check "what stayed is shut off" within 30 is_fenced "$new"
check "both of it" within 30 is_fenced "$two"
check "the picture is the kernel's" within 30 same_picture
is "the VMM's is the VMM's" "$(device_state "$one") $(driver_of "$one")" 'granted vfio-pci'
tells "and works" alice ids "device:$one"
is "as what it is" "$said" 'ok 8086:100e'
is "the lease stays" "$(lease_state "$path")" leased
tells "bob's, too" bob release "$bobs"
tells "let go" alice close-all
tells "release" alice release "$path"
home "after the burst"
echo "$autoprobe" >"$pci/$pf/sriov_drivers_autoprobe"
check "the picture is the kernel's, again" within 30 same_picture

remove "$new"
dismiss alice
dismiss bob
no_policy
end
