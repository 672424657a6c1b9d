# shellcheck shell=bash
# shellcheck disable=SC2154  # said is from lib.sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# For the tests of IOMMUs: what the machine's was made with (tests/vm/lib/machine.sh puts the argument of
# QEMU on the kernel's command line), and what vfiod says of it.

iommu_args=$(sed -n 's/.*\bvmtest\.iommu=\([^ ]*\).*/\1/p' /proc/cmdline)

# option NAME DEFAULT: of that argument
option() {
	local o
	for o in ${iommu_args//,/ }; do
		if [ "${o%%=*}" = "$1" ]; then echo "${o#*=}"; return; fi
	done
	echo "$2"
}
# The same as on the bus: true or false
flag() { if [ "$(option "$1" "$2")" = on ]; then echo true; else echo false; fi; }

iommu_paths() { busctl --system --list tree org.vfiod1 | grep '^/org/vfiod1/iommu/'; }
# The first one with a device behind it
iommu_path() {
	local p
	for p in $(iommu_paths); do
		if [ "$(property "$p" Iommu Devices)" != '[]' ]; then echo "$p"; return; fi
	done
	echo "/none"
}
# capability PATH KEY: its value as JSON; null: it is not told
capability() { property "$1" Iommu Capabilities | jq -c --arg k "$2" '.[$k].data'; }

# A device behind it, leased and used as a VMM uses it: the kernel is content with this IOMMU, and it
# is in use as long as that lasts.
check_lease_behind() {
	local path=$1 nic mode lease
	nic=$(behind 09.0)
	is "the NIC is behind it" "$(property "$(device_path "$nic")" Device Iommu)" "\"$path\""
	is "its group's domain type" "$(property "/org/vfiod1/group/$(group_of "$nic")" Group Type)" \
		"\"$(cat "/sys/kernel/iommu_groups/$(group_of "$nic")/type")\""
	everyday_policy
	client alice alice
	for mode in $(fd_modes); do
		is "$mode: not in use" "$(property "$path" Iommu InUse)" false
		tells "$mode: alice has the NIC" alice acquire h "mode=$mode" "$nic"
		lease=$(lease)
		tells "$mode: takes it" alice take h
		check "$mode: uses it" use alice "$mode" "$nic"
		tells "$mode: reads its ids" alice ids "device:$nic"
		is "$mode: the ids are the NIC's" "$said" 'ok 8086:10d3'
		is "$mode: in use" "$(property "$path" Iommu InUse) $(property "$path" Iommu Leases)" 'true 1'
		tells "$mode: let go" alice close-all
		tells "$mode: released" alice release "$lease"
		check "$mode: home" within 20 at_home "$nic" e1000e
	done
	is "not in use any more" "$(property "$path" Iommu InUse) $(property "$path" Iommu Leases)" 'false 0'
	dismiss alice
	no_policy
}
