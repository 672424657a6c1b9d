#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Guest addresses that stay over restarts, by QEMU's own word; a pool that four clients race for; pins.
# kernels: stock
# limit: 900 s
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

nic1=$(behind 09.0) nic2=$(behind 0b.0)
mapfile -t pair < <(behind 0a.0)
chmod 1777 "$VM_STATE"
sock=$VM_STATE/monitor
kept=/var/lib/vfiod/guest-addresses/$(id -u alice).json
rm -f "$kept"
systemctl restart vfiod

# pin OBJECT: Alice, Bob and vmm may have NICs, by the pool too, whose hardware is pinned so.
pools_policy() {
	policy <<END
{ "version": 1,
  "pools": { "nics": { "devices": [ { "address": ["$nic1", "$nic2"]$1 } ] } },
  "rules": [
    { "id": "nics", "subjects": [ { "users": ["alice", "bob", "vmm"] } ], "devices": [ { "pool": "nics" } ],
      "allow": ["acquire", "withhold", "persist"], "consent": { "drivers": ["e1000e"] }, "memlock": "4G" },
    { "id": "disks", "subjects": [ { "users": ["alice"] } ], "devices": [ { "class": "01" } ],
      "allow": ["acquire", "withhold"], "consent": { "drivers": ["nvme"] }, "memlock": "4G" }
  ] }
END
}

hmp() { (echo "$1"; sleep 1) | timeout 10 socat - "UNIX-CONNECT:$sock" | tr -d '\r'; }
qemu_up() { [ -S "$sock" ] && hmp 'info status' | grep -q VM; }
qemu_pid() { pgrep -u alice -f 'qemu-system-x86_6[4].*monitor'; }

# What the guest has, as QEMU says: "1e.0 8086:10d3", sorted.
guest_sees() {
	hmp 'info pci' | awk '/^ *Bus +0, device/ { gsub(",", ""); slot = sprintf("%02x.%x", $4, $6) }
		match($0, /PCI device [0-9a-f]+:[0-9a-f]+/) && slot != "" {
			print slot, substr($0, RSTART + 11, RLENGTH - 11); slot = "" }' | sort
}

# Which device QEMU has where, by the very node that each descriptor is: "DEVICE ADDRESS", sorted.
placed() {
	local pid=$1 word fd addr node dev
	tr '\0' '\n' <"/proc/$pid/cmdline" | grep '^vfio-pci,' | while read -r word; do
		addr=$(sed -n 's/.*,addr=\([^,]*\).*/\1/p' <<<"$word")
		dev=$(sed -n 's/.*,host=\([^,]*\).*/\1/p' <<<"$word")
		if [ -z "$dev" ]; then
			fd=$(sed -n 's/.*,fd=\([0-9]*\).*/\1/p' <<<"$word")
			node=$(basename "$(readlink "/proc/$pid/fd/$fd")")
			for dev in "$nic1" "$nic2" "${pair[@]}"; do
				[ "$(cdev_of "$dev")" != "$node" ] || break
			done
		fi
		echo "$dev $addr"
	done | sort
}

# start NAME DEVICE… -- QEMU-OPTION…: a VM of alice's; leaves what it got in $now and $sees
start() {
	local name=$1 devices=()
	shift
	while [ "$1" != -- ]; do devices+=("$1"); shift; done
	shift
	become alice vfiodctl run --qemu --name "$name" "${devices[@]}" -- qemu-system-x86_64 -M q35 -accel tcg \
		-m 64M -display none -nodefaults -S -monitor "unix:$sock,server,nowait" "$@" >"$VM_STATE/qemu.log" 2>&1 &
	runner=$!
	within 90 qemu_up || { detail <"$VM_STATE/qemu.log"; now='' sees=''; return; }
	now=$(placed "$(qemu_pid)")
	sees=$(guest_sees)
}
stop() {
	kill "$(qemu_pid)" || :
	wait "$runner" || :
	rm -f "$sock"
	within 30 no_leases || :
}
# seen DEVICE IDS: the guest sees these ids at the device's address
seen() { like "QEMU's info pci has $1 there" "$sees" "^$(sed -n "s/^$1 //p" <<<"$now") $2\$"; }

# ---- places

pools_policy ''
start vm1 "$nic1" "$nic2" "${pair[@]}" -- -device pci-testdev,addr=1d
first=$now
echo "# $(tr '\n' ';' <<<"$now")"
is "QEMU has all four devices" "$(wc -l <<<"$now")" 4
seen "$nic1" 8086:10d3
seen "$nic2" 8086:10d3
for f in "${pair[@]}"; do seen "$f" 1b36:0010; done
like "the emulated device is where it was put" "$sees" '^1d.0 1b36:0005$'
is "nobody shares an address" "$(cut -d' ' -f1 <<<"$sees" | uniq -d)" ''
a=$(sed -n "s/^${pair[0]} //p" <<<"$now") b=$(sed -n "s/^${pair[1]} //p" <<<"$now")
is "two functions share a slot, with their own numbers" "$a $b" "${a%.*}.0 ${a%.*}.1"
like "the lease says the same" "$(property "$(bus_leases | head -1)" Lease GuestAddresses)" \
	"\"$nic1\",\"00:$(sed -n "s/^$nic1 //p" <<<"$now")\"" '"","00:1d.0"'
like "so does the tree" "$(vfiodctl tree)" "$nic1 .*guest 00:$(sed -n "s/^$nic1 //p" <<<"$now")"
graph=$(vfiodctl graph)
like "and the graph, with the reset that reaches both functions" "$graph" '^digraph' 'octagon' \
	"label=\"00:$(sed -n "s/^$nic1 //p" <<<"$now")\""
for dev in /sys/bus/pci/devices/*; do
	[ "$(grep -c "label=\"${dev##*/}" <<<"$graph")" = 1 ] || not_ok "${dev##*/} is not in the graph once"
done
like "the tree says what a reset reaches" "$(vfiodctl tree)" "${pair[0]} .*reset reaches ${pair[1]}"

# Neither another user nor another process of hers has a say in it; a daemon that was killed knows it.
lease=$(bus_leases | head -1)
for user in bob alice; do
	check_not "$user elsewhere does not place its devices" \
		as $user busctl call org.vfiod1 "$lease" org.vfiod1.Lease PlaceDevices 'a{sv}' 0
	like "and is told so" "$(cat "$check_output")" 'Access denied'
done
before=$(property "$lease" Lease GuestAddresses)
systemctl kill -s KILL vfiod
answers() { busctl call org.vfiod1 /org/vfiod1 org.freedesktop.DBus.Peer Ping >/dev/null 2>&1; }
within 30 answers || :
is "after kill -9 it is what it was" "$(property "$lease" Lease GuestAddresses)" "$before"
stop
check "what is kept is root's alone" test "$(stat -c '%U %a' "$kept" "${kept%/*}" /var/lib/vfiod | sort -u | tr '\n' ' ')" = "root 600 root 700 "

start vm1 "${pair[@]}" "$nic2" "$nic1" -- -device pci-testdev,addr=1d
is "in another order everything is where it was" "$now" "$first"
seen "$nic2" 8086:10d3
stop
systemctl restart vfiod
start vm1 "$nic2" --
is "alone, and after a restart of vfiod: where it was" "$now" "$(grep "^$nic2 " <<<"$first")"
seen "$nic2" 8086:10d3
stop
systemctl stop vfiod
rm -rf /run/vfiod/leases
systemctl start vfiod
start vm1 "$nic1" "$nic2" "${pair[@]}" --
is "after all of /run is gone: where they were" "$now" "$first"
stop
start vm2 "$nic2" --
is "another VM is another bus" "$(wc -l <<<"$now")" 1
stop

# The machine's own USB controllers are in slot 1d, where somebody would be placed.
start vm4 "$nic1" "$nic2" -- -usb
is "beside -usb QEMU has both devices" "$(wc -l <<<"$now")" 2
like "and the USB controllers where it puts them" "$sees" '^1d\.7 8086:'
seen "$nic1" 8086:10d3
seen "$nic2" 8086:10d3
stop

where=$(sed -n "s/^$nic1 //p" <<<"$first")
check_not "a VM with an emulated device there is not started" as alice vfiodctl run --qemu --name vm1 "$nic1" -- \
	true -device "pci-testdev,addr=$where"
like "and both are named" "$(cat "$check_output")" "$nic1 cannot have the guest address 00:$where" 'an emulated device' AddressTaken
within 20 no_leases || :

systemctl stop vfiod
echo '{ "version": 1, "leases": { "vm1": 7 } }' >"$kept"
systemctl start vfiod
start vm1 "$nic1" --
is "a file that makes no sense keeps nobody from starting" "$(wc -l <<<"$now")" 1
stop
check "it is put aside" test -e "$kept.bad"
like "and recorded" "$(journalctl -b -u vfiod -o cat)" 'Guest addresses [0-9]+\.json: .*vm1'
rm -f "$kept.bad"

# A disk that is full keeps nobody from starting; when there is room, the next start is kept.
systemctl stop vfiod
mount -t tmpfs -o size=8k,mode=700 none "${kept%/*}"
cat /dev/zero >"${kept%/*}/fill" 2>/dev/null || :
systemctl start vfiod
start vm3 "$nic1" --
is "with a full disk it is placed" "$(wc -l <<<"$now")" 1
stop
like "and that is recorded" "$(journalctl -b -u vfiod -o cat)" "Guest addresses ${kept##*/}: No space left"
check_not "no half of a file is left" grep -q . "$kept"
rm "${kept%/*}/fill"
start vm3 "$nic1" --
stop
like "with room again it is kept" "$(cat "$kept")" vm3 "$nic1"
systemctl stop vfiod
umount "${kept%/*}"
systemctl start vfiod

# ---- a pool of two, four who race for it

like "the pool has two" "$(vfiodctl pools)" '^nics +-?[0-9-]+ +2 +0 +0 +0$'
for c in a b c d; do
	case $c in a | d) client $c alice ;; b) client $c bob ;; c) client $c vmm ;; esac
done
for round in 1 2 3; do
	for c in a b c d; do tell_async $c acquire h 'pool:nics'; done
	won=0 lost=0 paths=()
	for c in a b c d; do
		if hear $c; then
			won=$((won + 1)) paths+=("$c $(lease)")
		elif grep -q 'GroupBusy.*pool "nics"' <<<"$said"; then
			lost=$((lost + 1))
		else
			not_ok "round $round: $said"
		fi
	done
	is "round $round: two have one, two have none" "$won $lost" "2 2"
	held=$(for p in "${paths[@]}"; do property "${p#* }" Lease Devices; done | sort -u)
	is "round $round: not the same one" "$(wc -l <<<"$held")" 2
	like "round $round: the pool is empty" "$(vfiodctl pools)" '^nics +-?[0-9-]+ +0 +2 +0 +0$'
	for p in "${paths[@]}"; do tell "${p% *}" release "${p#* }" || :; done
	within 30 no_leases || :
done
check "the pool is full again" within 20 eval 'vfiodctl pools | grep -Eq "^nics +-?[0-9-]+ +2 +0 +0 +0$"'

# ---- pins

serial=$(lspci -s "$nic1" -vv 2>/dev/null | sed -n 's/.*Device Serial Number //p')
pools_policy ', "pin": { "vendor": "8086", "product": "1572" }'
refused "another product than is pinned" NotPermitted 'product 10d3, not 1572' a acquire h "$nic1"
pools_policy ", \"pin\": { \"serial\": \"${serial:-00-00-00-00-00-00-00-00}\" }"
like "the NIC has one" "$serial" '^[0-9a-f-]{23}$'
tell a acquire h "$nic1" || :
like "it is read, and is the one that is pinned" "$said" '^ok /'
tell a release "$(lease)" || :
within 20 no_leases || :
pools_policy ", \"pin\": { \"serial\": \"$serial\" }"
systemctl restart vfiod
check "who asks at once after a start has it read" as alice vfiodctl explain "$nic1"
pools_policy ', "pin": { "serial": "00-00-00-00-00-00-00-01" }'
refused "another serial number than is pinned" NotPermitted "serial number $serial, not 00-00-00-00-00-00-00-01" a acquire h "$nic1"
caps=$(sed -n 's/^CapEff:[[:space:]]*//p' "/proc/$(systemctl show -P MainPID vfiod)/status")
is "no CAP_SYS_ADMIN is in effect for that" $((16#$caps >> 21 & 1)) 0
for c in a b c d; do dismiss $c; done
no_policy
rm -f "$kept"
end
