#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An ordinary user's QEMU has the e1000e, started by `vfiodctl run --qemu`.
# kernels: stock iommufd
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

nic=$(behind 09.0)
g=$(group_of "$nic")
mac=$(mac_of "$nic")
chmod 1777 "$VM_STATE"
sock=$VM_STATE/monitor
everyday_policy

hmp() { (echo "$1"; sleep 1) | timeout 10 socat - "UNIX-CONNECT:$sock" | tr -d '\r'; }
qemu_up() { [ -S "$sock" ] && hmp 'info status' | grep -q VM; }
qemu_pid() { pgrep -u alice -f 'qemu-system-x86_6[4].*monitor'; }

become alice vfiodctl run --qemu --name vm1 "$nic" -- qemu-system-x86_64 -M q35 -accel tcg -m 64M \
	-display none -nodefaults -S -monitor "unix:$sock,server,nowait" >"$VM_STATE/qemu.log" 2>&1 &
runner=$!
check "alice's QEMU runs" within 60 qemu_up
like "its guest has the NIC" "$(hmp 'info pci')" 8086:10d3
pid=$(qemu_pid || echo none)
is "vfiodctl has become QEMU: one process, which is alice's" "$pid $(stat -c %U "/proc/$pid" 2>/dev/null)" "$runner alice"
is "the NIC is on vfio-pci" "$(driver_of "$nic")" vfio-pci
is "the host's interface is gone" "$(mac_of "$nic")" ''
is "the group is leased" "$(group_state "$g")" leased
is "the device is granted" "$(device_state "$nic")" granted
line=$(tr '\0' ' ' <"/proc/$pid/cmdline")
held=$(readlink /proc/"$pid"/fd/* || :)
if has_iommufd; then
	like "QEMU got the fds on its command line" "$line" 'iommufd,id=[^ ]*,fd=[0-9]+' 'vfio-pci,[^ ]*fd=[0-9]+'
	like "it holds /dev/iommu and the device" "$held" '^/dev/iommu$' "^/dev/vfio/devices/$(cdev_of "$nic")\$"
	is "the nodes stay root's" "$(stat -c '%U %a' "/dev/vfio/devices/$(cdev_of "$nic")" "/dev/vfio/$g" | sort -u)" 'root 600'
else
	like "QEMU opens the node by itself" "$line" "vfio-pci,host=$nic"
	like "it holds the group" "$held" "^/dev/vfio/$g\$"
	like "alice's uid is in the node's ACL" "$(getfacl -p "/dev/vfio/$g" 2>&1)" '^user:alice:rw-'
fi
unlike "nobody else is in the ACL" "$(getfacl -p "/dev/vfio/$g" 2>&1 | grep -v alice)" '^user:[a-z]|^other::.*[rwx]'

out=$(as bob vfiodctl acquire "$nic" 2>&1) && not_ok "bob is refused" || ok "bob is refused"
like "and told that the group is leased" "$out" "$g|$nic" '[Ll]ease'
check_not "bob cannot open the group" as bob sh -c "exec 3<>/dev/vfio/$g"

kill "$pid"
wait "$runner" || :
check "when QEMU ends, the NIC goes home" within 30 at_home "$nic" e1000e
check "with its interface" within 10 test "$(mac_of "$nic")" = "$mac"
check "and without a lease" within 10 no_leases
cat "$VM_STATE/qemu.log"
no_policy
end
