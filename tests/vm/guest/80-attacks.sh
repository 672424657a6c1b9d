#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Hostile clients: others are served as before, and nothing is given or ended.
# kernels: stock
set -euo pipefail
# shellcheck source=tests/vm/guest/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

nic=$(behind 09.0)
other=$(behind 0b.0)
g=$(group_of "$nic")
everyday_policy

# The others' life while an attack goes on: bob takes a NIC, uses its handoff, gives it back.
served() {
	local from=$SECONDS
	tells "$1: bob acquires" bob acquire hb "$other"
	local path
	path=$(lease)
	tells "$1: bob takes" bob take hb
	tells "$1: bob lets go" bob close-all
	tells "$1: bob releases" bob release "$path"
	check "$1: bob's NIC goes home" within 20 at_home "$other" e1000e
	check "$1: that took no longer than usual" test $((SECONDS - from)) -le $((usual * 3 + 15))
}
daemon=$(systemctl show -P MainPID vfiod)
client bob bob
usual=10 from=$SECONDS
served "before any attack"
usual=$((SECONDS - from))

# One that never reads: its replies, fds and all, pile up in the bus.
client mute alice
tells "mute: asks for a lease" mute acquire-unread "$nic"
within 10 group_is "$g" leased || :
for i in {1..10}; do tell mute flood 200 "/org/vfiod1" org.freedesktop.DBus.ObjectManager GetManagedObjects; done
tell_async mute push
served "mute"
quickly "mute: a list is a list" vfiodctl list
slay mute
check "mute: its lease ends with it" within 20 at_home "$nic" e1000e

# Many unread replies that carry fds.
client mute2 alice
tells "unread fds: a lease" mute2 acquire h persist=1 "$nic"
path=$(lease)
for i in {1..30}; do tell_async mute2 flood 5 "$path" org.vfiod1.Lease GetFds; hear mute2 || :; done
tell_async mute2 push
served "unread fds"
slay mute2
check "unread fds: root ends it" busctl --system call org.vfiod1 "$path" org.vfiod1.Lease Release
check "unread fds: home" within 20 at_home "$nic" e1000e

# One that takes the handoff and never uses it.
client idle alice
tells "idle: acquires" idle acquire h "$nic"
path=$(lease)
tells "idle: something is said" idle listen h
like "idle: after ten seconds, that it took too long" "$heard" '^error TimedOut|^error org.vfiod1.Error.TimedOut' GetFds
check_not "idle: after ten seconds its handoff is closed" tell idle take h
is "idle: the lease stays" "$(lease_state "$path")" leased
tells "idle: another handoff can be had" idle getfds h2 "$path"
tells "idle: which works" idle take h2
served "idle"
tells "idle: lets go" idle close-all
got=0
for i in {1..12}; do
	if tell idle getfds "h$i" "$path"; then got=$((got + 1)); else last=$said; fi
done
is "idle: eight handoffs wait at most" "$got" 8
like "idle: the ninth is refused by name" "${last:-}" '^error org.vfiod1.Error.QuotaExceeded '
served "idle with all its handoffs"
slay idle
check "idle: home" within 20 at_home "$nic" e1000e

# A flood of calls.
client flood alice
for i in {1..20}; do tell_async flood flood 500 /org/vfiod1 org.vfiod1.Manager Acquire; done
for i in {1..20}; do tell_async flood flood 500 /org/vfiod1 org.freedesktop.DBus.Introspectable Introspect; done
tell_async flood push
served "flood"
slay flood
is "flood: the service is the same process as before" "$(systemctl show -P MainPID vfiod)" "$daemon"

# Lifelines that are not the caller's to give.
client alice alice
tells "lifeline: of another user's process" alice pidfd life "${client_pid[bob]}"
refused "lifeline: is refused" 'BadOption|AccessDenied|NotPermitted' '[Ll]ifeline|lifeline' alice acquire h lifeline=life "$nic"
tells "lifeline: of PID 1" alice pidfd one 1
refused "lifeline: is refused as well" 'BadOption|AccessDenied|NotPermitted' '[Ll]ifeline|lifeline' alice acquire h lifeline=one "$nic"
tells "lifeline: a plain file" alice open file /etc/hostname ro
refused "lifeline: is none" BadOption '[Ll]ifeline|lifeline' alice acquire h lifeline=file "$nic"
tells "lifeline: /dev/null" alice open null /dev/null
refused "lifeline: is none either" BadOption '[Ll]ifeline|lifeline' alice acquire h lifeline=null "$nic"
sleep 0.1 &
gone=$!
wait $gone
check_not "lifeline: no pidfd of a process that is gone" tell alice pidfd dead $gone
is "lifeline: memory of bob's process was not touched" "$(tell bob memlock && echo "$said")" 'ok 8388608'
refused "lifeline: memlock for a process that is not alice's" '.*' . alice acquire h lifeline=life memlock=1048576 "$nic"
check "lifeline: nothing was given" at_home "$nic" e1000e

# A second VMM of the same uid.
client vm1 alice
client vm2 alice
tells "sibling: the first has a lease" vm1 acquire h "name=one" "$nic"
path=$(lease)
tells "sibling: takes" vm1 take h
check "sibling: uses it" use vm1 "$(fd_modes | cut -d' ' -f1)" "$nic"
refused "sibling: the second cannot end it" 'AccessDenied|NotPermitted' . vm2 release "$path"
refused "sibling: nor get its fds" 'AccessDenied|NotPermitted' . vm2 getfds h "$path"
refused "sibling: nor can bob" 'AccessDenied|NotPermitted' . bob release "$path"
refused "sibling: nor use its name" NameTaken one vm2 acquire h name=one "$other"
slay vm2
is "sibling: it is as it was" "$(lease_state "$path")" leased
tells "sibling: and the device works" vm1 ids "device:$nic"
slay vm1
check "sibling: home" within 20 at_home "$nic" e1000e
client vm1 alice
client vm2 alice
tells "shared: the first says so" vm1 acquire h shared=1 "$nic"
path=$(lease)
refused "shared: bob cannot end it" 'AccessDenied|NotPermitted' . bob release "$path"
tells "shared: the second can" vm2 release "$path"
check "shared: home" within 20 at_home "$nic" e1000e
dismiss vm1
dismiss vm2
in_unit=manager.service client vm1 vmm
in_unit=manager.service client vm2 vmm
in_unit=other.service client vm3 vmm
tells "unit: a manager has a lease" vm1 acquire h "$nic"
path=$(lease)
refused "unit: the same user in another unit cannot end it" 'AccessDenied|NotPermitted' . vm3 release "$path"
tells "unit: the restarted manager in its unit can" vm2 release "$path"
check "unit: home" within 20 at_home "$nic" e1000e
for c in vm1 vm2 vm3; do dismiss $c; done

# A call that wants no answer gets no lease.
tells "unanswered: sent" alice acquire-unanswered "$nic"
sleep 2
check "unanswered: nothing was done" at_home "$nic" e1000e
is "unanswered: and there is no lease" "$(bus_leases)" ''

# One that goes while its claim is under way.
for i in 1 2 3; do
	client hasty alice
	tell hasty acquire-unread "$nic" || :
	slay hasty
	check "hasty: $i: home" within 20 at_home "$nic" e1000e
	within 20 no_leases || :
done
dismiss alice
dismiss bob
no_policy
end
