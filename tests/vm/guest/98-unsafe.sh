#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A host without interrupt remapping: the kernel refuses, and the broker says why.
# boot: intremap=off
# kernels: stock
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

nic=$(behind 09.0)
everyday_policy
client alice alice
check_not "interrupts are not remapped" grep -q 'Enabled IRQ remapping' <(dmesg)
tells "group: acquire with device fds" alice acquire h mode=group device-fds=1 "$nic"
path=$(lease)
tell alice take h || :
like "group: refused by name" "$heard" '^error (org.vfiod1.Error.)?UnsafeInterrupts ' 'allow_unsafe_interrupts'
unlike "group: no fd is passed" "$heard" '^(device|group|container)'
is "group: the lease stands" "$(lease_state "$path")" leased
tells "group: release" alice release "$path"
check "group: home" within 20 at_home "$nic" e1000e
dismiss alice
no_policy
end
