# shellcheck shell=bash
# shellcheck disable=SC2154  # from tests/lib/common.sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Debian packages of another release than the build machine's, from the mirror that its apt is
# configured for. No host name is written down anywhere: apt is asked.

# Prints the URI of the Debian archive that this machine's apt uses.
mirror_uri() {
	local uri
	# shellcheck disable=SC2016  # apt's own variables
	uri=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' \
		'Component: main' | awk '$1 == "Debian" { print $2; exit }')
	# Without downloaded lists apt knows no labels yet: the first entry that is not a special archive.
	# shellcheck disable=SC2016
	[ -n "$uri" ] || uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
		'Component: main' | awk '!/security|backports/ { print; exit }')
	[ -n "$uri" ] || die "apt knows no Debian archive; is /etc/apt/sources.list.d empty?"
	printf '%s\n' "$uri"
}

# fetch_deb SUITE PACKAGE DIR: downloads one package into DIR with an apt of its own.
fetch_deb() {
	local suite=$1 package=$2 dir=$3 root
	root=$(mktemp -d "${TMPDIR:-/tmp}/vfiod-apt.XXXXXX")
	mkdir -p "$root"/etc/{apt.conf.d,preferences.d,sources.list.d} "$root"/state/lists/partial \
		"$root"/cache/archives/partial "$dir"
	: >"$root/status"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror_uri) $suite main" \
		>"$root/etc/sources.list"
	local opts=(-q -q -o "Dir::Etc::SourceList=$root/etc/sources.list"
		-o "Dir::Etc::SourceParts=$root/etc/sources.list.d"
		-o "Dir::Etc::PreferencesParts=$root/etc/preferences.d"
		-o "Dir::State=$root/state" -o "Dir::State::status=$root/status"
		-o "Dir::Cache=$root/cache" -o APT::Sandbox::User=root
		-o "APT::Architecture=$(dpkg --print-architecture)" -o Acquire::Languages=none)
	apt-get "${opts[@]}" update
	(cd "$dir" && apt-get "${opts[@]}" download "$package")
	rm -rf "$root"
}
