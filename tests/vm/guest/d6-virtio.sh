#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An IOMMU of virtio: described by what was negotiated, and its devices can be leased.
# kernels: iommufd
# machine: virtio
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"
# shellcheck source=tests/vm/guest/iommu.sh
. "${BASH_SOURCE[0]%/*}/iommu.sh"

path=$(iommu_path)
name=$(property "$path" Iommu Name | tr -d '"')
is "its driver" "$(property "$path" Iommu Driver)" '"virtio_iommu"'

# ---- what QEMU made: virtio_iommu_device_realize() in hw/virtio/virtio-iommu.c, and the options of every
# virtio device
capability_is() { is "$1" "$(capability "$path" "$2")" "$3"; }
capability_is "it takes requests" translation '"requests"'
capability_is "a range of addresses" input-range true
capability_is "a range of domains" domain-range true
capability_is "mapping" map-unmap true
capability_is "reserved ranges can be asked for" probe true
capability_is "MMIO mappings" mmio true
capability_is "bypass is a setting" bypass-config true
capability_is "and not the old way" bypass false
capability_is "virtio 1" version-1 true
capability_is "event indices, whatever the option says" event-index true
capability_is "a packed ring" packed-ring "$(flag packed off)"
capability_is "indirect requests" indirect-requests true
capability_is "no tables are walked" table-levels null
capability_is "of page sizes sysfs tells nothing" page-sizes null
capability_is "nor of PASIDs" pasid null
capability_is "the features are there too" features "\"$(cat "/sys/class/iommu/$name/device/features")\""

# ---- use: no interrupts are remapped here, and the kernel wants to be told that this is accepted
for module in vfio_iommu_type1 iommufd; do
	f=/sys/module/$module/parameters/allow_unsafe_interrupts
	[ ! -e "$f" ] || echo Y >"$f"
done
check_lease_behind "$path"
for module in vfio_iommu_type1 iommufd; do
	f=/sys/module/$module/parameters/allow_unsafe_interrupts
	[ ! -e "$f" ] || echo N >"$f"
done
end
