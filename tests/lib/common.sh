# shellcheck shell=bash
# shellcheck disable=SC2034  # used by those who source this
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What every script of the tests shares: where things are, how a script speaks, how it becomes root,
# how it installs Debian packages that are missing. Nothing about virtual machines lives here.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${VFIOD_CACHE:-$top/.cache}
jobs=${VFIOD_JOBS:-$(nproc)}
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
# An ordinary user's path lacks the places of mke2fs and ldconfig.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() { printf '%s\n' "==> $*"; }
note() { printf '%s\n' "    $*"; }
die() {
	printf '%s\n' "error: $*" >&2
	exit 1
}

# Runs a command as root. A question is asked only of a human: never in CI, never without a terminal.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif [ -n "${CI:-}" ] || [ ! -t 0 ]; then
		sudo -n -E -- "$@"
	else
		sudo -E -- "$@"
	fi
}

# Installs what is missing of the named packages, and says so.
need_packages() {
	local missing=() p
	for p in "$@"; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] ||
			missing+=("$p")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	say "installing ${#missing[@]} Debian packages: ${missing[*]}"
	mkdir -p "$cache"
	(
		flock 9
		as_root apt-get -q -q update
		as_root apt-get -q -q -y --no-install-recommends -o Dpkg::Use-Pty=0 \
			-o DPkg::Lock::Timeout=300 install "${missing[@]}" </dev/null
	) 9>"$cache/apt.lock"
}

# The lines of a list file without comments and blank lines.
read_list() { sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' "$1"; }

# A short hash of everything on standard input.
short_hash() { sha256sum | cut -c1-16; }

packages_build=(autoconf automake libtool make gcc libc6-dev pkg-config libsystemd-dev libudev-dev
	libcap-ng-dev libacl1-dev libjson-c-dev uthash-dev check libumockdev-dev umockdev dbus systemd
	rsync xz-utils spin graphviz procps)
packages_lint=(clang clang-format libxml2-utils git libclang-rt-14-dev shellcheck man-db groff mandoc valgrind)
packages_vm=(mmdebstrap qemu-system-x86 qemu-utils socat e2fsprogs pciutils xz-utils bc bison flex libelf-dev
	libssl-dev cpio kmod gcc make pkg-config libsystemd-dev debian-archive-keyring)
