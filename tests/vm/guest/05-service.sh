#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The service: started by the bus, few privileges, the sandbox holds, reload, restart, journal.
# kernels: stock iommufd
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

unit=vfiod.service
main_pid() { systemctl show -P MainPID $unit; }
status_of() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$(main_pid)/status"; }
get() { busctl --system get-property org.vfiod1 /org/vfiod1 org.vfiod1.Manager "$1"; }
# inside COMMAND…: in the mount namespace of the service
inside() { nsenter -t "$(main_pid)" -m -- "$@"; }
# confined COMMAND…: with the unit's own sandbox and device list, as another unit
confined() {
	local p props=()
	while read -r p; do props+=(-p "$p"); done < <(
		grep -E '^(Capability|NoNew|Device|Protect|ReadWrite|Private|BindRead|Restrict|IPAddress|Lock|Memory|Keyring|SystemCall)' \
			/usr/lib/systemd/system/$unit
	)
	systemd-run -q --wait --pipe --collect "${props[@]}" -- "$@"
}

systemctl stop $unit
check "a call starts it" busctl --system introspect org.vfiod1 /org/vfiod1
is "it is active" "$(systemctl is-active $unit)" active
like "its status is a sentence" "$(systemctl show -P StatusText $unit)" '[0-9]+ devices in [0-9]+ groups'
is "the watchdog is on" "$(systemctl show -P WatchdogUSec $unit)" 1min

# CAP_DAC_READ_SEARCH (2), CAP_KILL (5), CAP_SYS_PTRACE (19), CAP_SYS_RESOURCE (24)
want=0000000001080024
for set in CapEff CapPrm CapBnd; do is "$set is what the table says" "$(status_of $set)" $want; done
for set in CapInh CapAmb; do is "$set is empty" "$(status_of $set)" 0000000000000000; done
is "no new privileges" "$(status_of NoNewPrivs)" 1
is "system calls are filtered" "$(status_of Seccomp)" 2
check "systemd-analyze security says at most 2.0" systemd-analyze security --no-pager --threshold=20 $unit
is "the unit has no fault that systemd sees" "$(systemd-analyze verify --man=no $unit 2>&1 || :)" ""

check_not "its /etc is read-only" inside touch /etc/vfiod/policy.d/x
check_not "its /proc/sys is read-only" inside sh -c 'echo 1 >/proc/sys/kernel/printk'
check "its /sys/devices is not" inside sh -c "echo >$pci/0000:00:05.0/driver_override"
is "modules' files are hidden" "$(inside ls -A /usr/lib/modules 2>/dev/null)" ""
if [ -e "/usr/lib/modules/$(uname -r)/modules.alias" ]; then
	check "modules.alias can be read" inside test -s /run/vfiod/modules/modules.alias
fi
check "every process can be seen" inside test -e /proc/1/cgroup
check "the device list lets VFIO's container be opened" confined sh -c ': <>/dev/vfio/vfio'
if has_iommufd; then check "and iommufd" confined sh -c ': <>/dev/iommu'; fi
check "and block devices be read" confined dd if=/dev/vda of=/dev/null count=1
check_not "but not written" confined dd if=/dev/zero of=/dev/nvme0n1 count=1
check_not "nor memory" confined dd if=/dev/mem of=/dev/null count=1
check_not "nor the console" confined sh -c ': <>/dev/ttyS0'
check_not "nor a socket of the network" confined bash -c ': </dev/tcp/127.0.0.1/9'
check "names are resolved" confined getent passwd alice
group=$(group_of "$(behind 09.0)")

# ---- reload
serial=$(get PolicySerial)
check "a reload" systemctl reload $unit
unlike "has a new policy in force" "$(get PolicySerial)" "^$serial\$"
serial=$(get PolicySerial)
echo '{ "version": 1, "rules": [ { "id": 7 } ] }' >/etc/vfiod/policy.d/50-broken.json
check_not "a reload of a broken policy fails" systemctl reload $unit
like "the journal says where" "$(journalctl -q --no-pager -u $unit --since -1min -o cat)" '50-broken\.json:1:[0-9]+'
is "the old one is in force" "$(get PolicySerial)" "$serial"
rm /etc/vfiod/policy.d/50-broken.json
like "the refusal has its record" \
	"$(journalctl -q --no-pager MESSAGE_ID=82fa523e41e145bb924eff7598c06a5e -o verbose --since -1min)" \
	'VFIOD_REASON=.*50-broken' 'PRIORITY=3'
check "the catalog is well-formed" journalctl --update-catalog
like "and explains it" \
	"$(journalctl --no-pager -x MESSAGE_ID=82fa523e41e145bb924eff7598c06a5e --since -1min)" 'One error refuses the whole set'

# ---- modules, by the service manager
if modprobe -r vfio_pci vfio_iommu_type1 2>/dev/null; then
	check "with its modules unloaded, a claim works" \
		timeout 60 vfiodctl acquire --persist --mode=group --name=modules "$(behind 09.0)"
	check "they were loaded" test -d /sys/module/vfio_pci -a -d /sys/module/vfio_iommu_type1
	like "by systemd" "$(journalctl -q --no-pager -o cat --since -1min -u modprobe@vfio_pci.service)" 'Load Kernel Module vfio_pci'
	check "and it ends" timeout 60 vfiodctl release modules
fi

# ---- udev rules of the site, with no capability to change an owner
rule() { echo "SUBSYSTEM==\"vfio\", $1" >/run/udev/rules.d/99-site.rules && udevadm control --reload; }
node_of() { stat -c '%U:%G %a' "/dev/vfio/$group"; }
mkdir -p /run/udev/rules.d
rule 'GROUP="users", MODE="0660"'
vfiodctl acquire --persist --name=site --mode=group "$(behind 09.0)" >"$VM_STATE/site" 2>&1 || :
if [ -n "$(bus_leases)" ]; then
	is "a node that a rule opened to a group is root's again" "$(node_of)" "root:root 600"
	check "and the lease ends" timeout 60 vfiodctl release site
else
	like "a node that a rule opens to a group each time: the claim says so" "$(cat "$VM_STATE/site")" 'group users'
fi
rule 'OWNER="bob"'
like "a node that a rule gives to a user: the claim is refused" \
	"$(vfiodctl acquire --persist --name=site --mode=group "$(behind 09.0)" 2>&1 || :)" "/dev/vfio/$group: user bob owns it"
check "and nothing is left of it" within 30 no_leases
rm /run/udev/rules.d/99-site.rules
udevadm control --reload

# ---- what others say on the bus is not believed
vfiodctl acquire --name=forged "$(behind 09.0)" >/dev/null 2>&1 &
client=$!
leased() { [ "$(busctl --system get-property org.vfiod1 "$(bus_leases)" org.vfiod1.Lease State)" = 's "leased"' ]; }
check "a lease that lives as long as its connection" within 30 leased
name=$(busctl --system list --no-legend | awk -v pid=$client '$2 == pid && $1 ~ /^:/ { print $1; exit }')
like "that connection has a name" "$name" '^:1\.[0-9]+$'
check "another user can say that it has gone" runuser -u bob -- dbus-send --system --type=signal \
	--dest=org.vfiod1 /org/freedesktop/DBus org.freedesktop.DBus.NameOwnerChanged \
	"string:$name" "string:$name" string:
sleep 2
check "and the lease stays" leased
kill $client
check "until it really goes" within 30 no_leases

# ---- restart
before=$(main_pid)
kill -9 "$before"
back() { [ "$(main_pid)" != 0 ] && [ "$(main_pid)" != "$before" ] && get Version; }
check "killed, it is back" within 15 back
for _ in 1 2 3 4 5 6 7 8; do systemctl restart $unit; done
check "there is no limit on starts" get Version
like "the group is in the picture" "$(busctl --system --list tree org.vfiod1)" "^/org/vfiod1/group/$group\$"
check_not "nothing of it goes to stderr as a warning of systemd" \
	grep -E 'Unknown key|Failed to' <(journalctl -q -b --no-pager -o cat -u $unit _PID=1)
end
