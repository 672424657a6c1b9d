#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The virtual host itself: the groups that the other tests rest on.
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

check "systemd is up" test -d /run/systemd/system
check "the bus answers" busctl --system status --no-pager
is "there is an IOMMU" "$(ls /sys/class/iommu)" dmar0
check "interrupts are remapped" grep -qE 'DMAR-IR: Enabled IRQ remapping' <(dmesg)

bridge=$(behind 08.0)
mapfile -t bridged < <(behind "08.0/$bridge")
is "there is one bridge below the first root port" "$(wc -l <<<"$bridge")" 1
is "two NICs are behind it" "${#bridged[@]}" 2
g=$(group_of "$bridge")
is "the bridge and its NICs share a group" "$(members_of "$g" | sort | xargs)" "$(printf '%s\n' "$bridge" "${bridged[@]}" | sort | xargs)"
is "the e1000e is alone in its group" "$(members_of "$(group_of "$(behind 09.0)")")" "$(behind 09.0)"
is "the two nvme functions share a group" "$(behind 0a.0 | while read -r d; do group_of "$d"; done | sort -u | wc -l)" 1
is "the host has a driver on each NIC" "$(driver_of "${bridged[0]}") $(driver_of "${bridged[1]}") $(driver_of "$(behind 09.0)")" "e1000 e1000 e1000e"
is "edu has no driver" "$(driver_of 0000:00:05.0 || :)" ""
if [ "$VM_KERNEL" = stock ]; then
	check_not "the stock kernel has no iommufd" has_iommufd
else
	check "this kernel has iommufd" has_iommufd
fi

arrived() { [ -n "$(behind 0d.0)" ] && [ -e "$pci/$(behind 0d.0)/iommu_group" ]; }
gone() { [ -z "$(behind 0d.0)" ]; }
check "a device can be hot-plugged from inside" qmp device_add '{"driver":"e1000e","id":"hot0","bus":"rp6","romfile":""}'
check "it arrives with a group" within 20 arrived
check "the host gets it" within 20 has_driver "$(behind 0d.0)" e1000e
check "and can be unplugged" qmp device_del '{"id":"hot0"}'
check "it leaves" within 30 gone
end
