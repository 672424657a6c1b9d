# shellcheck shell=bash
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
