#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An AMD IOMMU: described as what QEMU made, and as the kernel reads it; its devices can be leased.
# kernels: iommufd
# machine: amd
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"
# shellcheck source=tests/vm/guest/iommu.sh
. "${BASH_SOURCE[0]%/*}/iommu.sh"

path=$(iommu_path)
name=$(property "$path" Iommu Name | tr -d '"')
sysfs=/sys/class/iommu/$name/amd-iommu
is "its driver" "$(property "$path" Iommu Driver)" '"amd-iommu"'

# ---- what QEMU made: hw/i386/amd_iommu.h, AMDVI_CAPAB_FEATURES and AMDVI_EXT_FEATURES, which have no
# options of their own
capability_is() { is "$1" "$(capability "$path" "$2")" "$3"; }
capability_is "device TLB" device-tlb "$(flag device-iotlb on)"
capability_is "caching mode" caching-mode true
capability_is "it has the extended features" extended-features true
capability_is "prefetch" prefetch true
capability_is "page requests" pri true
capability_is "guest tables: a first stage" first-stage true
capability_is "under the host's" nested true
capability_is "PASIDs" pasid true
capability_is "of one bit, as QEMU leaves the field 0" pasid-bits 1
capability_is "the host's tables: a second stage" second-stage true
capability_is "of up to six levels" table-levels '[1,2,3,4,5,6]'
capability_is "which are all bits of an address" address-bits 64
capability_is "page sizes" page-sizes '[4096,2097152,1073741824]'
capability_is "and the powers of two between" any-page-size true
capability_is "an entry of theirs can force snooping" snoop-control true
capability_is "invalidation of all" invalidate-all true
capability_is "invalidations are queued" queued-invalidation true
capability_is "guest APIC" guest-apic true
capability_is "error registers" error-registers true
capability_is "performance counters" performance-monitoring false
capability_is "x2APIC" extended-interrupts false
capability_is "no-execute" no-execute false
capability_is "SNP" snp false
capability_is "no bit of it is a riddle" unknown null
capability_is "the header is there too" cap "\"$(cat "$sysfs/cap")\""
capability_is "and the features" features "\"$(cat "$sysfs/features")\""

# ---- what the kernel made of the same register: its own names, at boot (print_iommu_info())
line=$(dmesg | sed -n 's/.*AMD-Vi: Extended features (\([^)]*\)): */\1|/p' | head -1)
like "the kernel has read the same register" "0x${line%%[,|]*}" "0x(0x)?0*$(sed 's/:.*//' "$sysfs/features")\$"
while read -r word key; do
	says=false
	[[ " ${line#*|} " != *" $word "* ]] || says=true
	capability_is "the kernel says the same of $word" "$key" "$says"
done <<'END'
PreF prefetch
PPR pri
X2APIC extended-interrupts
NX no-execute
GT first-stage
IA invalidate-all
GA guest-apic
HE error-registers
PC performance-monitoring
END

check_lease_behind "$path"
end
