# shellcheck shell=bash
# shellcheck disable=SC2154  # from tests/lib/common.sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The root file system of the virtual host: Debian, made once and kept as a tar file, and an ext4
# image of it with the project installed, made anew when the build tree has changed.

image_suite=trixie

# To be counted up when base_ready comes to make something else of the same inputs.
base_recipe=1

base_key() {
	{
		cat "$top/tests/vm/packages" "$top/tests/vm/base-hook"
		echo "$image_suite $base_recipe"
	} | short_hash
}
base_path() { printf '%s\n' "$cache/base-$(base_key).tar"; }

base_ready() {
	local out start=$SECONDS
	out=$(base_path)
	mkdir -p "$cache"
	(
		flock 9
		[ ! -e "$out" ] || exit 0
		say "root file system: fetching Debian $image_suite with $(read_list "$top/tests/vm/packages" | wc -l) packages"
		as_root mmdebstrap --quiet --mode=root --variant=minbase --format=tar \
			--keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
			--include="$(read_list "$top/tests/vm/packages" | paste -sd,)" \
			--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
			--dpkgopt='path-exclude=/usr/share/locale/*' \
			--customize-hook="$top/tests/vm/base-hook \"\$1\"" \
			"$image_suite" "$out.new" "deb $(mirror_uri) $image_suite main"
		as_root chown "$(id -u):$(id -g)" "$out.new"
		find "$cache" -maxdepth 1 -name 'base-*.tar' -delete
		mv "$out.new" "$out"
		say "root file system: ready after $((SECONDS - start)) s"
	) 9>"$cache/base.lock"
}

# image_ready BUILD OUT: the image OUT, with what `make install` in BUILD gives, and the stock kernel
# beside it (OUT.vmlinuz, OUT.initrd).
image_ready() {
	local build=$1 out=$2 dir
	base_ready
	dir=$(mktemp -d "${TMPDIR:-/tmp}/vfiod-image.XXXXXX")
	say "root image: installing the build of $build into Debian $image_suite"
	mkdir "$dir/stage"
	# One at a time: it makes what is missing in the build tree.
	(
		flock 9
		"$top/tests/vm/stage" "$build" "$dir/stage"
	) 9>"$build/stage.lock"
	# shellcheck disable=SC2016  # expanded by the inner shell
	as_root bash -euc '
		top=$1 base=$2 dir=$3 out=$4
		trap "rm -rf \"$dir\"" EXIT
		mkdir "$dir/root"
		tar -xf "$base" -C "$dir/root" --numeric-owner
		"$top/tests/vm/install-project" "$dir/stage" "$dir/root"
		cp -L "$dir/root/vmlinuz" "$out.vmlinuz.new"
		cp -L "$dir/root/initrd.img" "$out.initrd.new"
		rm -f "$out.new"
		mke2fs -q -q -t ext4 -m 0 -O ^has_journal -L root -d "$dir/root" "$out.new" 3G >/dev/null
		chown "$5" "$out.new" "$out.vmlinuz.new" "$out.initrd.new"
		chmod 644 "$out.new" "$out.vmlinuz.new" "$out.initrd.new"
		for f in "$out.vmlinuz" "$out.initrd" "$out"; do mv "$f.new" "$f"; done
	' image "$top" "$(base_path)" "$dir" "$out" "$(id -u):$(id -g)"
}
