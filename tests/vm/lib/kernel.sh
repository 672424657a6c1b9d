# shellcheck shell=bash
# shellcheck disable=SC2154  # from tests/lib/common.sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The kernels of the virtual host: which there are (tests/vm/kernels), and how one is built from
# Debian's kernel source with a fragment. Each result is cached by the hash of what it is made from.

kernel_names() { read_list "$top/tests/vm/kernels" | awk '{ print $1 }'; }

# kernel_field NAME COLUMN
kernel_field() {
	local v
	v=$(read_list "$top/tests/vm/kernels" | awk -v n="$1" -v c="$2" '$1 == n { print $c }')
	[ -n "$v" ] || die "there is no kernel '$1'; known: $(kernel_names | tr '\n' ' ')"
	printf '%s\n' "$v"
}

# To be counted up when kernel_build comes to make something else of the same source.
kernel_recipe=1

kernel_key() {
	{
		kernel_field "$1" 2
		kernel_field "$1" 3
		cat "$top/tests/vm/$(kernel_field "$1" 4)"
		echo "$kernel_recipe"
	} | short_hash
}

# Prints the path of a built kernel; kernel_ready makes it exist.
kernel_path() { printf '%s\n' "$cache/kernel-$1-$(kernel_key "$1").bzImage"; }

kernel_ready() {
	local name=$1 out
	[ "$(kernel_field "$name" 4)" != image ] || return 0
	out=$(kernel_path "$name")
	mkdir -p "$cache"
	(
		flock 9
		[ -e "$out" ] || kernel_build "$name" "$out"
	) 9>"$cache/kernel-$name.lock"
}

kernel_build() {
	local name=$1 out=$2 package config dir start=$SECONDS
	package=$(kernel_field "$name" 3)
	config=$top/tests/vm/$(kernel_field "$name" 4)
	dir=$(mktemp -d "$cache/build-kernel.XXXXXX")
	# shellcheck disable=SC2064  # this directory
	trap "rm -rf '$dir'" EXIT
	say "kernel $name: fetching $package"
	fetch_deb "$(kernel_field "$name" 2)" "$package" "$dir"
	say "kernel $name: unpacking"
	dpkg-deb --fsys-tarfile "$dir/$package"_*.deb |
		tar -xO "./usr/src/$package.tar.xz" | tar -xJ -C "$dir"
	cd "$dir/$package" || exit
	say "kernel $name: configuring"
	{
		make -s allnoconfig
		scripts/kconfig/merge_config.sh -m .config "$config"
		make -s olddefconfig
	} >"$dir/log" 2>&1 || { tail -30 "$dir/log" >&2; die "kernel $name: cannot be configured"; }
	kernel_check_config "$name" "$config"
	say "kernel $name: compiling with $jobs jobs (10 minutes on two cores; a line every minute)"
	make -j"$jobs" KBUILD_BUILD_TIMESTAMP=@0 KBUILD_BUILD_USER=vfiod KBUILD_BUILD_HOST=test bzImage \
		>"$dir/log" 2>&1 &
	kernel_progress $! "$name" "$dir/log" ||
		{ tail -30 "$dir/log" >&2; die "kernel $name: does not compile"; }
	cp arch/x86/boot/bzImage "$out.new"
	find "$cache" -maxdepth 1 -name "kernel-$name-*.bzImage" -delete
	mv "$out.new" "$out"
	cd "$top" || exit
	rm -rf "$dir"
	trap - EXIT
	say "kernel $name: ready after $((SECONDS - start)) s"
}

# A line a minute, so that nobody takes a long compilation for a hang.
kernel_progress() {
	local pid=$1 name=$2 log=$3 last=$SECONDS
	while kill -0 "$pid" 2>/dev/null; do
		sleep 1
		[ $((SECONDS - last)) -ge 60 ] || continue
		last=$SECONDS
		note "kernel $name: $(grep -c '^  CC ' "$log") files compiled"
	done
	wait "$pid"
}

# An option that silently fell out of the configuration would make the tests prove something else.
kernel_check_config() {
	local name=$1 config=$2 lost
	lost=$(comm -23 <(grep -E '^CONFIG_' "$config" | sort) <(sort .config))
	[ -n "$lost" ] || return 0
	note "kernel $name: not known to this version: $(echo "$lost" | tr '\n' ' ')"
	! grep -qE 'VFIO|IOMMU|HOTPLUG|VIRTIO|SECCOMP|CGROUP' <<<"$lost" ||
		die "kernel $name: an option that the tests rest on is not in the result"
}
