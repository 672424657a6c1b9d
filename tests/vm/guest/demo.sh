#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The account that `./demo` gives. Every line with a mark is looked up in sysfs, /dev/vfio or the VMM.
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

title() { printf '\n--- %s\n\n' "$*"; }
tale() { printf '%s\n' "$*"; }
run_as() { printf '%s$ %s\n' "$1" "${*:2}"; }
indent() { sed 's/^/      /'; }
# fact TEXT COMMAND…: told only if it is true
fact() {
	local text=$1 out
	shift
	if out=$("$@" 2>&1); then ok "$text"; else
		not_ok "$text"
		printf '%s\n' "$out" | indent
	fi
}

nic=$(behind 09.0)
g=$(group_of "$nic")
mac=$(mac_of "$nic")
bridge=$(behind 08.0)
mapfile -t nics < <(behind "08.0/$bridge")
one=${nics[0]} two=${nics[1]} sg=$(group_of "${nics[0]}")
shpc=$(driver_of "$bridge" || :)
chmod 1777 "$VM_STATE"
sock=$VM_STATE/monitor
hmp() { (echo "$1"; sleep 1) | timeout 10 socat - "UNIX-CONNECT:$sock" | tr -d '\r'; }
qemu_up() { [ -S "$sock" ] && hmp 'info status' | grep -q VM; }
guest_has() { hmp 'info pci' | grep -q "$1"; }
no_nic() { [ -z "$(mac_of "$1")" ]; }
open_as() { as "$1" sh -c "exec 3<>$2"; }
cannot_open() { ! open_as "$@" 2>/dev/null; }

title "A host with an IOMMU"
everyday_policy
tale "The policy lets alice and bob have network cards, whole groups of them. The host's IOMMU, and the groups behind it that this is about:"
vfiodctl tree | awk -v from="group $sg " 'NR == 1 || found || (found = index($0, from)) > 0' | indent

title "An ordinary user's QEMU gets a network card"
cmd="vfiodctl run --qemu --name web $nic -- qemu-system-x86_64 -M q35 -m 64M -S …"
run_as alice "$cmd"
become alice vfiodctl run --qemu --name web "$nic" -- qemu-system-x86_64 -M q35 -accel tcg -m 64M \
	-display none -nodefaults -S -monitor "unix:$sock,server,nowait" >"$VM_STATE/qemu.log" 2>&1 &
pid=$!
within 90 qemu_up >/dev/null 2>&1 || cat "$VM_STATE/qemu.log"
tale "Inside her virtual machine, \`info pci\`:"
hmp 'info pci' | grep -B1 -A3 8086:10d3 | indent || :
fact "the virtual machine has the card (8086:10d3)" guest_has 8086:10d3
fact "QEMU runs as alice, and vfiodctl has become it" test "$(stat -c %U "/proc/$pid"):$(cat "/proc/$pid/comm")" = "alice:qemu-system-x86"
fact "the host's driver has let go: $nic is on vfio-pci" has_driver "$nic" vfio-pci
fact "its nodes are root's alone: alice has them only as passed descriptors" cannot_open alice "/dev/vfio/devices/$(cdev_of "$nic")"
vfiodctl leases | indent

title "A second user asks for the same card"
run_as bob "vfiodctl acquire $nic"
bob_status=0
as bob vfiodctl acquire "$nic" >"$VM_STATE/bob" 2>&1 || bob_status=$?
indent <"$VM_STATE/bob"
fact "bob is refused, and told why" test "$bob_status" = 4
fact "bob cannot open the group by himself either" cannot_open bob "/dev/vfio/$g"

title "Two cards behind one bridge are one group"
run_as bob "vfiodctl acquire $one"
bob_status=0
as bob vfiodctl acquire "$one" >"$VM_STATE/bob" 2>&1 || bob_status=$?
indent <"$VM_STATE/bob"
fact "nothing is taken that was not named: bob has to say what becomes of the rest" test "$bob_status" = 3
fact "the host still has both cards" test "$(driver_of "$one") $(driver_of "$two")" = 'e1000 e1000'
with=$two${shpc:+,$bridge}
run_as bob "vfiodctl acquire --mode=group --withhold=$with $one"
become bob vfiodctl acquire --mode=group --name db "--withhold=$with" "$one" >"$VM_STATE/bob" 2>&1 &
bob=$!
within 60 group_is "$sg" leased || indent <"$VM_STATE/bob"
vfiodctl tree | grep -A4 -E "group +$sg\b|$bridge" | indent || :
fact "now bob has the first" test "$(device_state "$one")" = granted
fact "the second is withheld: neither the host's nor bob's" test "$(device_state "$two") $(driver_of "$two" || echo none)" = 'withheld none'

title "Giving back"
tale "alice switches her virtual machine off, bob ends his command."
kill "$pid" "$bob"
wait "$pid" "$bob" 2>/dev/null || :
fact "alice's card is the host's again: driver e1000e" within 30 at_home "$nic" e1000e
same_mac() { [ "$(mac_of "$nic")" = "$mac" ]; }
fact "and so is its network interface" within 20 same_mac
fact "bob's two cards are back" within 30 at_home "$one" e1000
fact "the withheld one as well" within 30 at_home "$two" e1000
if [ -n "$shpc" ]; then fact "the bridge has its driver, $shpc" within 20 has_driver "$bridge" "$shpc"; fi
fact "nothing is leased" within 20 no_leases
journalctl -q --no-pager -o cat -u vfiod -t vfiod | tail -12 | indent

title "A card is hot-plugged into a leased group"
tale "bob takes the first of the two cards again. Then a third card is plugged into the bridge behind which they are."
become bob vfiodctl acquire --mode=group --name db "--withhold=$with" "$one" >"$VM_STATE/bob" 2>&1 &
bob=$!
within 60 group_is "$sg" leased || indent <"$VM_STATE/bob"
new=${one%:*}:03.0
is_fenced() { [ "$(device_state "$new")" = fenced ] && [ ! -e "$pci/$new/driver" ]; }
run_as machine "device_add e1000,bus=br1,addr=3"
qmp device_add '{"driver":"e1000","id":"hot0","bus":"br1","addr":"3","romfile":""}' >/dev/null
echo 1 >"$pci/$one/rescan"
fact "the card is fenced: no driver of the host has it" within 20 is_fenced
fact "and none will: its driver_override is \"none\"" test "$(override_of "$new")" = none
fact "it has no network interface, and bob's card is as it was" test "$(mac_of "$new") $(driver_of "$one")" = ' vfio-pci'
vfiodctl tree | grep -A5 -E "group +$sg\b" | indent || :
journalctl -q -b --no-pager -o cat MESSAGE_ID=bd4b03e57c844665b946e0959515f85b | tail -1 | indent
tale "bob ends his command."
kill "$bob"
wait "$bob" 2>/dev/null || :
fact "the new card is the host's now, with its driver" within 30 at_home "$new" e1000
fact "and bob's is back" within 20 at_home "$one" e1000
echo 1 >"$pci/$new/remove"
no_policy >/dev/null
end
