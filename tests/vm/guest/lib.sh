# shellcheck shell=bash
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

# check NAME COMMAND…: the command succeeds.
check() {
	local name=$1 out
	shift
	if out=$("$@" 2>&1); then ok "$name"; else
		not_ok "$name"
		printf '%s\n' "status $? of: $*" "$out" | detail
		return 0
	fi
}

# check_not NAME COMMAND…: the command fails.
check_not() {
	local name=$1 out
	shift
	if ! out=$("$@" 2>&1); then ok "$name"; else
		not_ok "$name"
		printf '%s\n' "succeeded: $*" "$out" | detail
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

# within SECONDS COMMAND…: tries until the command succeeds.
within() {
	local until=$((SECONDS + $1))
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
