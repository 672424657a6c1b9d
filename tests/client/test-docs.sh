#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What is promised on paper is what there is: every member of the bus interface is in org.vfiod1(5),
# every symbol of libvfiod in its map, its header and libvfiod(3), every verb, option and exit code of
# vfiodctl in vfiodctl(1), and the manual pages are free of errors.
set -euo pipefail

src=${top_srcdir:?} build=${top_builddir:?}
failures=0

fail()
{
    echo "FAIL: $*" >&2
    failures=$((failures + 1))
}

# The manual page as plain text in one line, so that what is broken over lines is found.
plain() { mandoc -T utf8 "$1" | col -bx | tr -s ' \n' ' '; }

command -v mandoc >/dev/null || { echo "mandoc is not here: install mandoc" >&2; exit 1; }

echo "== org.vfiod1(5)"
page=$src/man/org.vfiod1.5
members=$(sed -nE 's/.*<(method|signal) name="([A-Za-z]+)".*/Fn \2/p; s/.*<property name="([A-Za-z]+)" type="([^"]+)".*/Va \1 \2/p' \
    "$src/dbus/org.vfiod1.xml")
[ "$(wc -l <<<"$members")" -gt 60 ] || fail "the interface has few members: $members"
while read -r member; do
    # "Fn Release", "Va State s", also in a list: ".It Va Vendor q , Va Product q"
    grep -Eq "(^\.It | , )${member//[\(\)\{\}]/.}( |$)" "$page" || fail "$member is not in org.vfiod1(5)"
done <<<"$members"
errors=$(sed -nE 's/^\t\{ "([A-Z][A-Za-z]+)", E.*/\1/p' "$src/daemon/bus/error.c")
[ "$(wc -l <<<"$errors")" -gt 10 ] || fail "the daemon has few errors: $errors"
text=$(plain "$page")
for error in $errors; do
    grep -qw "$error" <<<"$text" || fail "the error $error is not in org.vfiod1(5)"
    grep -q "VFIOD_ERROR_PREFIX \"$error\"" "$src/client/error.c" || fail "libvfiod does not know $error"
done

echo "== libvfiod"
symbols=$(sed -nE 's/^\t(vfiod_[a-z_]+);$/\1/p' "$src/client/libvfiod.sym")
[ "$(wc -l <<<"$symbols")" -gt 50 ] || fail "the map has few symbols: $symbols"
exported=$(nm -D --defined-only "$build/.libs/libvfiod.so" | sed -nE 's/.* T ([a-z_]+)@@?LIBVFIOD_[0-9]+$/\1/p' | sort)
[ "$exported" = "$(sort <<<"$symbols")" ] || fail "the library exports other symbols than its map: \
$(diff <(echo "$exported") <(sort <<<"$symbols"))"
declared=$(grep -oE '\bvfiod_[a-z_]+\(' "$src/client/vfiod.h" | tr -d '(' | sort -u)
text=$(plain "$src/man/libvfiod.3")
for symbol in $symbols; do
    grep -qx "$symbol" <<<"$declared" || fail "$symbol is not in vfiod.h"
    grep -qw "$symbol" <<<"$text" || fail "$symbol is not in libvfiod(3)"
done
# a program that needs more than libc and libsystemd could not be linked by a VMM that has no more
needed=$(objdump -p "$build/.libs/libvfiod.so" | awk '/NEEDED/ { print $2 }' | grep -vE '^(libc|libsystemd|libasan|libubsan|ld-linux.*)\.so' || true)
[ -z "$needed" ] || fail "libvfiod needs more than libsystemd: $needed"
printf '#include <vfiod.h>\nint main(void) { return vfiod_error_errno(0) == 0; }\n' |
    ${CXX:-c++} -x c++ -Wall -Wextra -Werror -I"$src/client" -fsyntax-only - || fail "vfiod.h is not C++"

echo "== vfiodctl(1)"
page=$src/man/vfiodctl.1
text=$(plain "$page")
verbs=$("$build/vfiodctl" --help | sed -nE 's/^  ([a-z]+) .*/\1/p')
[ "$(wc -l <<<"$verbs")" -ge 12 ] || fail "vfiodctl has few verbs: $verbs"
for verb in $verbs; do
    grep -Eq "^\.It Cm $verb\b" "$page" || fail "$verb is not in vfiodctl(1)"
    for option in $("$build/vfiodctl" "$verb" --help | grep -oE '^ +(-[a-z], )?--[a-z-]+' | grep -oE -- '--[a-z-]+'); do
        grep -q -- "$option" <<<"$text" || fail "$option of $verb is not in vfiodctl(1)"
    done
done
while read -r code; do
    grep -q "^\.It $code$" "$page" || fail "exit code $code is not in vfiodctl(1)"
done < <(sed -nE 's/^\tEXIT_[A-Z_]+ = ([0-9]+),.*/\1/p' "$src/client/ctl/ctl.h")

echo "== the pages"
for page in "$src"/man/*.[1-9]; do
    # Other pages need not be installed where the build is.
    lint=$(mandoc -T lint "$page" 2>&1 | grep -vE 'referenced manual not found|outdated mandoc.db' || true)
    [ -z "$lint" ] || fail "$lint"
done

[ $failures = 0 ] || exit 1
echo "all good"
