#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Leased devices under the hands of others: removed and looked for again, as another one and in another
# group, written to behind the daemon, and with more events than it can hear. Nobody gets what is
# another's, and in the end everything is where it was.
# kernels: stock hotplug
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

bridge=$(behind 08.0)
mapfile -t nics < <(behind "08.0/$bridge" | grep -v ':03\.0$')
one=${nics[0]} two=${nics[1]} new=${nics[0]%:*}:03.0
alone=$(behind 09.0)
before=$(driver_of "$bridge" || :)
with=$two${before:+,$bridge}
mode=$(fd_modes | awk '{ print $1 }')
interfered_id=7f9216171f9c40a3b69a09a872e41f92
lost_id=0f2a325244b84216bbccce544148f574

everyday_policy
client alice alice
client bob bob

remove() { echo 1 >"$pci/$1/remove"; }
# What an earlier test has plugged into the bridge is no part of this one.
unplug_new() { [ ! -e "$pci/$new" ] || remove "$new"; }
# The kernel looks at the bus behind the port.
rescan() {
	echo 1 | tee "$pci/0000:00:$1"/pci_bus/*/rescan >/dev/null
	unplug_new
}
is_shut() { [ -e "$pci/$1" ] && [ ! -e "$pci/$1/driver" ] && [ "$(override_of "$1")" = none ]; }
is_fenced() { [ "$(device_state "$1")" = fenced ] && is_shut "$1"; }
all_fenced() {
	local d
	for d; do is_fenced "$d" || return; done
}
records() { journalctl -q -b -o json "MESSAGE_ID=$1" | wc -l; }
told() { [ "$(records "$interfered_id")" -gt "$1" ]; }
masters() { [ $((0x$(setpci -s "$1" COMMAND) & 4)) != 0 ]; }
is_quiet() { ! masters "$1"; }
override_is() { [ "$(override_of "$1")" = "$2" ]; }
type_of() { cat "/sys/kernel/iommu_groups/$1/type"; }
type_is() { [ "$(type_of "$1")" = "$2" ]; }
lease_is_there() { busctl --system get-property org.vfiod1 "$1" org.vfiod1.Lease State >/dev/null 2>&1; }
gone() { [ ! -e "$pci/$1" ]; }
# home NAME: everything of the group is the host's again
home() {
	check "$1: the first NIC is home" within 30 at_home "$one" e1000
	check "$1: and the second" within 30 at_home "$two" e1000
	check "$1: and the bridge" within 30 eval "[ \"\$(driver_of $bridge || :)\" = '$before' ] && override_is $bridge '(null)'"
}

# ---- written to behind the daemon
tells "acquire in group mode: the second is on no driver" alice acquire h mode=group "withhold=$with" "$one"
path=$(lease)
check "it masters no bus" is_quiet "$two"
n=$(records "$interfered_id")
setpci -s "$two" COMMAND=4:4
check "somebody switches bus mastering on: it is switched off" within 10 is_quiet "$two"
check "and told" within 10 told "$n"
for to in e1000e vfio-pci; do
	echo 8086 100e >"/sys/bus/pci/drivers/$to/new_id"
	sleep 0.5
	is "new_id of $to gives it nothing" "$(driver_of "$two" || :) $(driver_of "$one")" ' vfio-pci'
	echo 8086 100e >"/sys/bus/pci/drivers/$to/remove_id"
done
n=$(records "$interfered_id")
echo >"$pci/$two/driver_override"
echo "$two" >/sys/bus/pci/drivers/e1000/bind 2>/dev/null || :
check "somebody binds the withheld one: it is shut off again" within 10 is_shut "$two"
check "and told, too" within 10 told "$n"
check "it masters no bus then" within 10 is_quiet "$two"
is "the lease stays" "$(lease_state "$path")" leased
tells "release" alice release "$path"
home "after that"

# ---- the domain type
ga=$(group_of "$alone") was=$(type_of "$(group_of "$alone")")
tells "acquire the one that is alone" alice acquire h "$alone"
path=$(lease)
n=$(records "$interfered_id")
if echo identity >"/sys/kernel/iommu_groups/$ga/type" 2>/dev/null && [ "$(type_of "$ga")" = identity ]; then
	check "somebody changes the domain type: it is put right, or the lease ends" within 10 \
		eval "type_is $ga $was || ! lease_is_there $path"
	check "and told" within 10 told "$n"
else
	echo "# the kernel does not let the domain type of a group be changed while vfio-pci has its device"
	is "the type is as it was" "$(type_of "$ga")" "$was"
fi
if lease_is_there "$path"; then
	is "the lease stays, with the type that it had" "$(lease_state "$path") $(type_of "$ga")" "leased $was"
else
	journalctl -q -b -o cat -g "domain type of group $ga stays" | tail -1 | sed 's/^/# /'
	check "it has ended, and the device is home" within 20 at_home "$alone" e1000e
	tells "acquire it anew" alice acquire h "$alone"
	path=$(lease)
fi

# ---- gone, and back
remove "$alone"
check "removed while leased: the lease has no group" within 10 eval "[ \"\$(property $path Lease Groups)\" = '[]' ]"
tells "its owner asks for fds" alice getfds h2 "$path"
tells "takes what there is" alice take h2
like "which is nothing" "$heard" '^error NoSuchDevice '
rescan 09.0
back() { [ -e "$pci/$alone/iommu_group" ]; }
check "an administrator looks for it again" within 10 back
if [ "$(group_of "$alone")" = "$ga" ]; then
	check "it is shut off: it is none that the owner has asked for" within 10 is_fenced "$alone"
	is "and its owner has no device" "$(property "$path" Lease Devices)" '[]'
	n=$(records "$interfered_id")
	# Of the group that was there before, somebody has changed the type; nobody that of this one.
	sleep 0.5
	is "its domain type, $(type_of "$ga"), is as the kernel chose it" "$(records "$interfered_id")" "$n"
else
	echo "# it came as group $(group_of "$alone"), not $ga"
	check "in another group it is the host's" within 20 has_driver "$alone" e1000e
fi
tells "release" alice release "$path"
check "it is home" within 30 at_home "$alone" e1000e
check "with its interface" within 20 mac_of "$alone"

# ---- the number of a group is used again
tells "acquire it again" alice acquire h "$alone"
path=$(lease) ga=$(group_of "$alone")
remove "$alone"
qmp device_add '{"driver":"e1000e","id":"hot2","bus":"rp6","romfile":""}' >"$check_output" ||
	{ not_ok "plugging another device"; detail <"$check_output"; }
appeared() { other=$(behind 0d.0) && [ -n "$other" ] && [ -e "$pci/$other/iommu_group" ]; }
check "another one is plugged elsewhere" within 30 appeared
echo "# $alone was group $ga, $other is group $(group_of "$other")"
check "it is the host's, whatever its number" within 30 has_driver "$other" e1000e
check "and has its interface" within 20 mac_of "$other"
is "and is told to be" "$(device_state "$other") $(group_state "$(group_of "$other")")" 'host host'
tells "the owner of the old one asks for fds" alice getfds h2 "$path"
tells "takes what there is of that" alice take h2
like "which is nothing, too" "$heard" '^error NoSuchDevice '
tells "somebody else can have the new one" bob acquire h "mode=$mode" "$other"
bobs=$(lease)
tells "and takes it" bob take h
check "and uses it" use bob "$mode" "$other"
tells "the old lease ends" alice release "$path"
check "quite" within 20 eval "! lease_is_there $path"
tells "which is nothing to the new one" bob ids "device:$other"
tells "let go" bob close-all
tells "release" bob release "$bobs"
check "home" within 30 at_home "$other" e1000e
remove "$other"
qmp device_del '{"id":"hot2"}' >/dev/null || :
rescan 09.0
check "the first one is back" within 30 has_driver "$alone" e1000e
check "with its interface" within 20 mac_of "$alone"

# ---- a subtree
tells "acquire behind the bridge" alice acquire h "withhold=$with" "$one"
path=$(lease)
remove "$bridge"
check "the bridge is removed with all that is behind it" within 10 gone "$one"
rescan 08.0
check "it comes back with it, at once: all of that is shut off" within 20 all_fenced "$bridge" "$one" "$two"
is "no interface of the host's" "$(mac_of "$one")$(mac_of "$two")" ''
is "the group is leased" "$(group_state "$(group_of "$one")")" leased
tells "release" alice release "$path"
home "after the subtree"

# ---- removed and looked for in the middle
for delay in 0 0.1 0.3; do
	tell_async alice acquire h "withhold=$with" "$one"
	sleep $delay
	remove "$two"
	rescan 08.0
	if hear alice; then
		path=$(lease)
		tells "claimed before that ($delay s): release" alice release "$path"
		tell alice close-all
	else
		like "refused ($delay s)" "$said" '(GroupChanged|DriverFailed|NoSuchDevice|DeviceInUse)'
	fi
	check "removed in a claim ($delay s): nothing stays" within 30 no_leases
	echo "$two" >/sys/bus/pci/drivers_probe || :
	check "removed in a claim ($delay s): the NICs are home" within 30 eval "at_home $one e1000 && at_home $two e1000"
done
for delay in 0 0.05 0.15; do
	tells "acquire" alice acquire h "withhold=$with" "$one"
	path=$(lease)
	tell_async alice release "$path"
	sleep $delay
	remove "$two"
	rescan 08.0
	check "removed in a release ($delay s): it is heard" hear alice
	tell alice close-all
	check "removed in a release ($delay s): nothing stays" within 30 no_leases
	echo "$two" >/sys/bus/pci/drivers_probe || :
	check "removed in a release ($delay s): the NICs are home" within 30 eval "at_home $one e1000 && at_home $two e1000"
done
check "and the bridge" within 30 eval "[ \"\$(driver_of $bridge || :)\" = '$before' ] && override_is $bridge '(null)'"

# ---- more than can be heard
tells "acquire" alice acquire h "withhold=$with" "$one"
path=$(lease)
lost=$(records "$lost_id")
pid=$(systemctl show -P MainPID vfiod)
# Of the daemon's own sockets, by their inodes
drops() {
	find "/proc/$pid/fd" -lname 'socket:*' -printf '%l\n' | tr -dc '0-9\n' |
		awk 'NR == FNR { its[$1] = 1; next } $10 in its { n += $9 } END { print n + 0 }' - /proc/net/netlink
}
dropped=$(drops) until=$((SECONDS + 30)) big=$(head -c 1500 /dev/zero | tr '\0' x) sent=0
kill -STOP "$pid"
# As big as they can be, and such as udev has nothing to do for, until the kernel drops some; the
# watchdog would end a stop of a minute.
exec {uevent}>/sys/bus/pci/uevent
while [ "$(drops)" = "$dropped" ] && [ $SECONDS -lt $until ]; do
	for _ in {1..200}; do echo "remove fe4d7c9d-b8c6-4a70-9ef1-3d8a58d18eed A=$big" >&"$uevent"; done
	sent=$((sent + 200))
done
exec {uevent}>&-
echo "# $(($(drops) - dropped)) events were dropped of $sent"
remove "$two"
rescan 08.0
kill -CONT "$pid"
check "more events than it can hear: it says so" within 60 eval "[ \"\$(records $lost_id)\" -gt $lost ]"
check "and has missed nothing: what came meanwhile is shut off" within 60 is_fenced "$two"
is "and what stayed is the owner's" "$(device_state "$one") $(driver_of "$one")" 'granted vfio-pci'
udevadm settle --timeout=60
tells "release" alice release "$path"
home "after the losses"

dismiss alice
dismiss bob
no_policy
end
