# shellcheck shell=bash
# shellcheck disable=SC2034  # used by those who source this
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The vocabulary of the tests inside the virtual host. What a test says about the host comes from
# sysfs, /dev/vfio and the bus, never from the daemon's own files. A script ends with `end`.

pci=/sys/bus/pci/devices
bin=/usr/lib/vmtest/bin

# ---- saying what was seen ----------------------------------------------------------------------

ok() { printf 'ok %s\n' "$*"; }
not_ok() { printf 'not ok %s\n' "$*"; }
detail() { sed 's/^/    /'; }
end() { echo '#end'; }

# What the last command of a check printed. Not a command substitution: what a command remembers (the
# answer of a client) has to stay.
check_output=$VM_STATE.out

# check NAME COMMAND…: the command succeeds.
check() {
	local name=$1 status=0
	shift
	"$@" >"$check_output" 2>&1 || status=$?
	if [ $status = 0 ]; then ok "$name"; else
		not_ok "$name"
		(echo "status $status of: $*"; cat "$check_output") | detail
	fi
}

# check_not NAME COMMAND…: the command fails.
check_not() {
	local name=$1
	shift
	if ! "$@" >"$check_output" 2>&1; then ok "$name"; else
		not_ok "$name"
		(echo "succeeded: $*"; cat "$check_output") | detail
	fi
}

# is NAME GOT WANTED
is() {
	if [ "$2" = "$3" ]; then ok "$1"; else
		not_ok "$1"
		printf '%s\n' "got:    $2" "wanted: $3" | detail
	fi
}

# like NAME GOT REGEX…: every extended regular expression is found
like() {
	local name=$1 got=$2 r
	shift 2
	for r; do
		grep -qE -- "$r" <<<"$got" || {
			not_ok "$name"
			printf '%s\n' "got:    $got" "wanted: $r" | detail
			return 0
		}
	done
	ok "$name"
}

unlike() {
	if grep -qE -- "$3" <<<"$2"; then
		not_ok "$1"
		printf '%s\n' "got:      $2" "unwanted: $3" | detail
	else ok "$1"; fi
}

# within SECONDS COMMAND…: tries until the command succeeds. Seconds of a machine of one's own; here
# others may run beside it, and only what fails takes longer.
within() {
	local until=$((SECONDS + 3 * $1))
	shift
	while :; do
		"$@" >/dev/null 2>&1 && return 0
		[ $SECONDS -lt $until ] || break
		sleep 0.2
	done
	"$@"
}

# ---- the host, as seen from outside --------------------------------------------------------------

# behind SLOT: the devices on the bus below root port 0000:00:SLOT, one per line
behind() { (cd "$pci/0000:00:$1" && ls) | grep -E '^0000:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]$' || :; }
driver_of() { local d; d=$(readlink "$pci/$1/driver") && basename "$d"; }
has_driver() { [ "$(driver_of "$1")" = "$2" ]; }
override_of() { cat "$pci/$1/driver_override"; }
group_of() { basename "$(readlink "$pci/$1/iommu_group")"; }
members_of() { (cd "/sys/kernel/iommu_groups/$1/devices" && printf '%s\n' *); }
mac_of() { cat "$pci/$1"/net/*/address 2>/dev/null; }
nic_of() { (cd "$pci/$1/net" 2>/dev/null && printf '%s\n' *) | head -1; }
cdev_of() { (cd "$pci/$1/vfio-dev" 2>/dev/null && printf '%s\n' *) | head -1; }
has_iommufd() { [ -e /dev/iommu ]; }
# unwatch 09.0…: pciehp lets go of these ports, until watch_again. Before Linux 7.1 it takes the reset of a bus for a
# removal, and vfiod has none done where it watches.
pciehp=/sys/bus/pci_express/drivers/pciehp
unwatched=()
unwatch() {
	local port service
	for port; do
		for service in "$pciehp/0000:00:$port":pcie*; do
			echo "${service##*/}" >$pciehp/unbind
			unwatched+=("${service##*/}")
		done
	done
}
watch_again() {
	local service
	for service in "${unwatched[@]}"; do echo "$service" >$pciehp/bind; done
	unwatched=()
}

# The picture of the host that has to be the same before and after every test.
host_picture() {
	local d
	for d in "$pci"/*; do
		printf '%s driver=%s override=%s group=%s nic=%s\n' "${d##*/}" "$(driver_of "${d##*/}")" \
			"$(cat "$d/driver_override")" "$(group_of "${d##*/}")" "$(mac_of "${d##*/}")"
	done
	cat /sys/bus/pci/drivers_autoprobe
	find /dev/vfio -type c ! -path /dev/vfio/vfio -printf '%p %u:%g %m\n' 2>/dev/null | sort
	! systemctl -q is-active vfiod || bus_leases
}

bus_leases() {
	busctl --system --list tree org.vfiod1 2>/dev/null | grep '^/org/vfiod1/lease/' || :
}
no_leases() { [ -z "$(bus_leases)" ]; }

# Waits until what a test has ended is over.
settle_host() {
	! systemctl -q is-active vfiod || within 20 no_leases || :
	udevadm settle --timeout=20
}

# After a failed test: as fresh as it can be made without a new boot.
reset_host() {
	local d
	pkill -KILL -u alice,bob,vmm || :
	pkill -KILL vmclient || :
	rm -f /etc/vfiod/policy.d/*.json
	timeout 20 systemctl restart vfiod 2>/dev/null || :
	for d in "$pci"/*; do
		if [[ $(driver_of "${d##*/}") = vfio-pci ]]; then
			timeout 5 sh -c "echo ${d##*/} >/sys/bus/pci/drivers/vfio-pci/unbind"
		fi
		case $(cat "$d/driver_override") in
		'(null)') ;;
		*) echo >"$d/driver_override" ;;
		esac
		[ -e "$d/driver" ] || echo "${d##*/}" >/sys/bus/pci/drivers_probe
	done
	udevadm settle --timeout=20
}

# ---- the machine's monitor -----------------------------------------------------------------------

# qmp COMMAND [ARGUMENTS-AS-JSON]: runs one monitor command, prints its answer
qmp() {
	local line id=$$-$RANDOM
	exec 8<>/dev/virtio-ports/org.vfiod.qmp
	printf '%s\n' '{"execute":"qmp_capabilities"}' >&8
	printf '{"execute":"%s","arguments":%s,"id":"%s"}\n' "$1" "${2:-{\}}" "$id" >&8
	while read -r -t 10 line <&8; do
		[[ $line == *"$id"* ]] || continue
		exec 8>&-
		printf '%s\n' "$line"
		[[ $line != *'"error"'* ]]
		return
	done
	exec 8>&-
	echo "no answer from the monitor"
	return 1
}

# ---- policies -------------------------------------------------------------------------------------

# policy: what is on standard input becomes the site's policy; without input, nothing is left.
policy() {
	local tmp=/etc/vfiod/policy.d/.new
	mkdir -p /etc/vfiod/policy.d
	cat >$tmp
	mv $tmp /etc/vfiod/policy.d/50-test.json
	vfiodctl reload
}
no_policy() {
	rm -f /etc/vfiod/policy.d/50-test.json
	vfiodctl reload
}

# Alice and Bob may have NICs and the nvme of two functions, whole groups of them, in every mode.
everyday_policy() {
	policy <<'END'
{ "version": 1,
  "rules": [
    { "id": "nics", "subjects": [ { "users": ["alice", "bob", "vmm"] } ],
      "devices": [ { "subsystem": "pci", "class": "02" } ],
      "allow": ["acquire", "withhold", "persist"], "modes": ["cdev", "group", "node"],
      "consent": { "drivers": ["e1000", "e1000e"] }, "memlock": "4G" },
    { "id": "bridges", "subjects": [ { "users": ["alice", "bob"] } ],
      "devices": [ { "subsystem": "pci", "class": "0604" } ],
      "allow": ["withhold"], "modes": ["cdev", "group", "node"],
      "consent": { "drivers": ["shpchp"] }, "memlock": "4G" },
    { "id": "disks", "subjects": [ { "users": ["alice", "bob"] } ],
      "devices": [ { "subsystem": "pci", "class": "01" } ],
      "allow": ["acquire", "withhold"], "modes": ["cdev", "group", "node"],
      "consent": { "drivers": ["nvme", "virtio-pci", "vfio-pci"] }, "memlock": "4G" }
  ] }
END
}

# ---- people ---------------------------------------------------------------------------------------

# as USER COMMAND…: with that user's ids and nothing of root's. become is the same for a background
# job, whose process is then the command itself.
as() { (become "$@"); }
#
# It lives in the user's session, as after a login, or in the system unit of $in_unit: this test's own
# unit would make everybody each other's controller.
in_unit=
become() {
	local user=$1 where
	shift
	where=/sys/fs/cgroup/user.slice/user-$(id -u "$user").slice/session-1.scope
	[ -z "$in_unit" ] || where=/sys/fs/cgroup/system.slice/$in_unit
	mkdir -p "$where"
	echo "$BASHPID" >"$where/cgroup.procs"
	exec setpriv --reuid="$user" --regid="$user" --init-groups --no-new-privs --inh-caps=-all \
		env HOME="/home/$user" USER="$user" "$@"
}

# A client that keeps what it has got: `client NAME USER` starts one, `tell NAME WORD…` has it do
# one thing. The answer's last line is in $said, all of it in $heard; tell's status says whether it
# was ok. It ends with `dismiss NAME` (orderly) or `slay NAME` (SIGKILL).
declare -A client_pid client_in client_out
said='' heard=''

client() {
	local in out
	mkfifo "$VM_STATE/$1.in" "$VM_STATE/$1.out"
	become "$2" "$bin/vmclient" <"$VM_STATE/$1.in" >"$VM_STATE/$1.out" &
	client_pid[$1]=$!
	exec {in}>"$VM_STATE/$1.in" {out}<"$VM_STATE/$1.out"
	client_in[$1]=$in client_out[$1]=$out
	rm "$VM_STATE/$1.in" "$VM_STATE/$1.out"
}

tell() {
	local who=$1 line
	shift
	said='' heard=''
	echo "$*" >&"${client_in[$who]}"
	while :; do
		if ! read -r -t 130 line <&"${client_out[$who]}"; then
			said="no answer from $who to: $*"
			return 1
		fi
		[ "$line" != . ] || break
		said=$line heard+=$line$'\n'
	done
	[[ $said == ok* ]]
}

# Says a command without waiting for the answer; `hear` waits for it.
tell_async() {
	local who=$1
	shift
	echo "$*" >&"${client_in[$who]}"
}
hear() {
	local line
	said='' heard=''
	while read -r -t 130 line <&"${client_out[$1]}"; do
		[ "$line" != . ] || break
		said=$line heard+=$line$'\n'
	done
	[[ $said == ok* ]]
}

hang_up() {
	local in=${client_in[$1]} out=${client_out[$1]}
	exec {in}>&- {out}<&-
	wait "${client_pid[$1]}" 2>/dev/null || :
}
dismiss() { tell_async "$1" exit; hang_up "$1"; }
slay() { kill -KILL "${client_pid[$1]}"; hang_up "$1"; }

# tells NAME CLIENT WORD…: the client is told so, and it worked
tells() {
	local name=$1
	shift
	if tell "$@"; then ok "$name"; else
		not_ok "$name"
		printf '%s\n' "told: $*" "heard: $heard" | detail
	fi
}

# refused NAME ERROR REGEX CLIENT WORD…: it did not, with this error, and the message matches
refused() {
	local name=$1 error=$2 regex=$3
	shift 3
	if tell "$@"; then
		not_ok "$name"
		printf '%s\n' "succeeded: $*" "$heard" | detail
	else
		like "$name" "$said" "^error (org\.vfiod1\.Error\.|org\.freedesktop\.DBus\.Error\.)?$error " "$regex"
	fi
}

# The path of the lease that the last Acquire gave
lease() { echo "${said#ok }"; }

# ---- the bus --------------------------------------------------------------------------------------

device_path() { local p=${1//[:.]/_}; echo "/org/vfiod1/device/pci_$p"; }
property() { busctl --system --json=short get-property org.vfiod1 "$1" "org.vfiod1.$2" "$3" | jq -c .data; }
group_state() { property "/org/vfiod1/group/$1" Group State | tr -d '"'; }
group_is() { [ "$(group_state "$1")" = "$2" ]; }
device_state() { property "$(device_path "$1")" Device State | tr -d '"'; }
lease_state() { property "$1" Lease State | tr -d '"'; }

# quickly NAME COMMAND…: succeeds, and takes no more than fifteen seconds, on a machine that others are
# busy on too; what is stuck takes longer (a call of the bus 25, of the client 130)
quickly() {
	local name=$1 from=$SECONDS
	shift
	check "$name" "$@"
	if [ $((SECONDS - from)) -gt 15 ]; then not_ok "$name: it took $((SECONDS - from)) s"; fi
}

# The modes in which fds are passed on this kernel, and the one in which `auto` passes them
fd_modes() { if has_iommufd; then echo cdev group; else echo group; fi; }

# use CLIENT MODE DEVICE: does with the fds that the client took what a VMM does first; leaves the
# address space of cdev mode in $ioas
use() {
	local c=$1 mode=$2 dev=$3 g
	g=$(group_of "$dev")
	if [ "$mode" = cdev ]; then
		tell "$c" bind "device:$dev" iommufd:- || return
		tell "$c" ioas iommufd:- || return
		ioas=${said#ok }
		tell "$c" attach "device:$dev" "$ioas"
	else
		tell "$c" set-iommu container:- || return
		tell "$c" get-device "device:$dev" "group:$g" "$dev"
	fi
}

# at_home DEVICE DRIVER: as if nobody had ever had it
at_home() {
	[ "$(driver_of "$1")" = "$2" ] && [ "$(override_of "$1")" = '(null)' ] &&
		[ ! -e "/dev/vfio/$(group_of "$1")" ] && group_is "$(group_of "$1")" host
}
