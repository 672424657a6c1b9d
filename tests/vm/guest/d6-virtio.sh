#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An IOMMU of virtio: described by what was negotiated, and its devices can be leased.
# machine: virtio
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"
# shellcheck source=tests/vm/guest/iommu.sh
. "${BASH_SOURCE[0]%/*}/iommu.sh"

path=$(iommu_path)
"${BASH_SOURCE[0]%/*}/record" "$(property "$path" Iommu Name | tr -d '"')" 2>/dev/null | detail || :
is "its driver" "$(property "$path" Iommu Driver)" '"virtio_iommu"'
property "$path" Iommu Capabilities | jq -c 'map_values(.data)' | detail
end
