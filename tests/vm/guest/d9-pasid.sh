#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An Intel IOMMU in scalable mode, with PASIDs, is described as what it is, and its devices can be leased.
# kernels: iommufd
# machine: pasid
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"
# shellcheck source=tests/vm/guest/iommu.sh
. "${BASH_SOURCE[0]%/*}/iommu.sh"
# shellcheck source=tests/vm/guest/intel.sh
. "${BASH_SOURCE[0]%/*}/intel.sh"

check_intel_iommu
check_lease_behind "$(iommu_path)"
end
