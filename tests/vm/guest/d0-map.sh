#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The IOMMU describes itself, and says when it comes into use and when it is used no more.
# kernels: hotplug
# limit: 600 s
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"
# shellcheck source=tests/vm/guest/iommu.sh
. "${BASH_SOURCE[0]%/*}/iommu.sh"
# shellcheck source=tests/vm/guest/intel.sh
. "${BASH_SOURCE[0]%/*}/intel.sh"

check_intel_iommu
path=$(iommu_path)

# ---- groups
nic=$(behind 09.0)
g=$(group_of "$nic")
is "the domain's type" "$(property "/org/vfiod1/group/$g" Group Type)" "\"$(cat "/sys/kernel/iommu_groups/$g/type")\""
is "which is not identity" "$(property "/org/vfiod1/group/$g" Group Identity)" false
wanted=$(while read -r a b t; do echo "[$((a)),$((b)),\"$t\"]"; done <"/sys/kernel/iommu_groups/$g/reserved_regions" | paste -sd,)
is "reserved ranges" "$(property "/org/vfiod1/group/$g" Group ReservedRegions)" "[$wanted]"
like "there are some" "$wanted" '\[4276092928,4277141503,"msi"\]'

# ---- use: 50 leases, 30 of them alone
policy <<'END'
{ "version": 1,
  "rules": [ { "id": "all", "subjects": [ { "users": ["alice"] } ],
    "devices": [ { "subsystem": "pci" } ],
    "allow": ["acquire", "withhold"], "modes": ["cdev", "group", "node"],
    "consent": { "drivers": ["e1000e"] } } ] }
END
edu=$(for d in "$pci"/*; do if [ "$(cat "$d/vendor" "$d/device" | tr '\n' ' ')" = '0x1234 0x11e8 ' ]; then basename "$d"; fi; done)
log=$VM_STATE/signals
busctl --system --json=short --match="type='signal',interface='org.freedesktop.DBus.Properties',path='$path'" monitor >"$log" 2>/dev/null &
monitor=$!
signals() { grep -c '"member":"PropertiesChanged"' "$log" || :; }
in_use() { grep -c '"InUse"' "$log" || :; }
signals_are() { [ "$(signals)" = "$1" ]; }
gone() { ! busctl --system get-property org.vfiod1 "$1" org.vfiod1.Lease State; }
# The monitor listens when it hears something.
listens() { rm -f "$VM_STATE/tick"; busctl --system emit "$path" org.freedesktop.DBus.Properties PropertiesChanged 'sa{sv}as' test 0 0; sleep 0.2; [ -s "$log" ]; }
check "somebody listens" within 20 listens
own=$(signals)
client alice alice
cycles() {
	local i lease
	for ((i = 0; i < $1; i++)); do
		tell alice acquire h "mode=group" "$2" || return 1
		lease=$(lease)
		tell alice close h || :
		tell alice release "$lease" || return 1
		within 20 gone "$lease" || return 1
	done
}
is "in use at first" "$(property "$path" Iommu InUse)" false
check "30 leases, one after the other" cycles 30 "$edu"
check "60 signals" within 20 signals_are $((own + 60))
tells "one that stays" alice acquire n "mode=group" "$nic"
held=$(lease)
is "one lease" "$(property "$path" Iommu Leases)" 1
check "19 leases meanwhile" cycles 19 "$edu"
tells "its end" alice release "$held"
tell alice close n || :
check "which comes" within 20 gone "$held"
check "2 signals more" within 20 signals_are $((own + 62))
sleep 1
is "and no other, of 50 leases" "$(signals)" $((own + 62))
is "all of them of InUse" "$(in_use)" 62
unlike "none of the number of leases" "$(grep InUse "$log")" '"Leases"'
is "nobody any more" "$(property "$path" Iommu Leases)" 0
is "not in use" "$(property "$path" Iommu InUse)" false
kill "$monitor"
dismiss alice
no_policy
end
