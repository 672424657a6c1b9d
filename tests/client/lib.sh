# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# What the scripts that test vfiodctl have in common. They set work (a directory) and ctl (vfiodctl)
# and end with finish.

: "${work:?}" "${ctl:?}"
failures=0

fail()
{
    echo "FAIL: $*" >&2
    cat "$work/out" "$work/err" | head -40 | cut -c1-300 | sed 's/^/    | /' >&2
    failures=$((failures + 1))
}

# run CODE COMMAND…: runs it, its output in out and err, and compares the exit code
run()
{
    local want=$1 got=0
    shift
    timeout 30 "$@" >"$work/out" 2>"$work/err" </dev/null || got=$?
    [ "$got" = "$want" ] || fail "exit code $got, not $want: $*"
}

# out|err PATTERN…: every extended regular expression matches a line
out() { local p; for p; do grep -Eq -- "$p" "$work/out" || fail "no \"$p\" in the output"; done; }
err() { local p; for p; do grep -Eq -- "$p" "$work/err" || fail "no \"$p\" in the errors"; done; }
not_out() { local p; for p; do ! grep -Eq -- "$p" "$work/out" || fail "\"$p\" in the output"; done; }

# An expression over the JSON document d in the output.
json() { python3 -c "import json,sys; d=json.load(open('$work/out')); assert $1, d" || fail "$1"; }

# All groups at home again: leases end a moment after their process.
settle()
{
    local i
    for i in {1..100}; do
        "$ctl" leases >"$work/leases"
        grep -q '^No leases' "$work/leases" && return
        sleep 0.1
    done
    fail "leases are left after $i tries: $(cat "$work/leases")"
}

# hold COMMAND…: starts it in the background, as $holder, and waits for its first line in held
hold()
{
    # Away with the last one's: the new shell opens it in its own time.
    rm -f "$work/held" "$work/held.err"
    timeout 60 "$@" >"$work/held" 2>"$work/held.err" </dev/null &
    holder=$!
    for _ in {1..200}; do
        [ -s "$work/held" ] && return
        sleep 0.1
    done
    fail "no lease from $*: $(cat "$work/held.err")"
}

# ended CODE: waits for the one that holds, and compares its exit code
ended()
{
    local got=0
    wait "$holder" || got=$?
    [ "$got" = "$1" ] || fail "exit code $got, not $1, of the one that held: $(cat "$work/held.err")"
}

finish()
{
    [ $failures = 0 ] || { echo "$failures failures" >&2; exit 1; }
    echo "all good"
}
