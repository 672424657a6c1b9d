# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What vfiod says of an Intel IOMMU of QEMU's, held against what QEMU was told to make. What has no
# option is what hw/i386/intel_iommu.c has always: 64 K domains, 2 MiB and 1 GiB pages, queues.

check_intel_iommu() {
	local path bits levels
	path=$(iommu_path)
	bits=$(option aw-bits 39)
	levels='[3]'
	[ "$bits" = 39 ] || levels='[3,4]'
	is "its driver" "$(property "$path" Iommu Driver)" '"intel-iommu"'
	is "address width" "$(capability "$path" address-bits)" "$bits"
	is "levels of its tables" "$(capability "$path" table-levels)" "$levels"
	is "page sizes" "$(capability "$path" page-sizes)" '[4096,2097152,1073741824]'
	is "interrupt remapping" "$(capability "$path" interrupt-remapping)" "$(flag intremap off)"
	is "caching mode" "$(capability "$path" caching-mode)" "$(flag caching-mode off)"
	is "device TLB" "$(capability "$path" device-tlb)" "$(flag device-iotlb off)"
	is "snoop control" "$(capability "$path" snoop-control)" "$(flag snoop-control off)"
	is "pass-through" "$(capability "$path" pass-through)" "$(flag pt on)"
	is "scalable mode" "$(capability "$path" scalable)" "$(flag x-scalable-mode off)"
	is "queued invalidation" "$(capability "$path" queued-invalidation)" true
	is "domains" "$(capability "$path" domains)" 65536
	is "draining of writes" "$(capability "$path" write-drain)" "$(flag dma-drain on)"
	is "PASIDs" "$(capability "$path" pasid)" "$(flag x-pasid-mode off)"
	is "the second stage" "$(capability "$path" second-stage)" true
	is "no first stage" "$(capability "$path" first-stage)" false
	is "requests for supervisors" "$(capability "$path" supervisor-requests)" "$(flag x-scalable-mode off)"
	# QEMU 7.2 leaves the size 0, which is one bit
	[ "$(flag x-pasid-mode off)" = false ] ||
		is "bits of a PASID" "$(capability "$path" pasid-bits)" $(((0x$(cat /sys/class/iommu/dmar0/intel-iommu/ecap) >> 35 & 31) + 1))
	is "page requests" "$(capability "$path" pri)" false
	is "nested translation" "$(capability "$path" nested)" false
	is "coherent walks" "$(capability "$path" coherent)" false
	is "the register is there too" "$(capability "$path" cap)" "\"$(cat /sys/class/iommu/dmar0/intel-iommu/cap)\""
	is "no bit of it is a riddle" "$(capability "$path" unknown)" null
}
