/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The names of reasons and actions, and the bus error that each reason is. */

#include "policy/decide.h"

static const char *const reason_table[REASON_MAX] = {
	[REASON_ALLOWED] = "allowed",
	[REASON_NO_DEVICES] = "no-devices",
	[REASON_TOO_MANY_DEVICES] = "too-many-devices",
	[REASON_NO_SUCH_DEVICE] = "no-such-device",
	[REASON_NO_SUCH_POOL] = "no-such-pool",
	[REASON_POOL_EMPTY] = "pool-empty",
	[REASON_DUPLICATE] = "duplicate",
	[REASON_WITHHOLD_OUTSIDE] = "withhold-outside",
	[REASON_NO_GROUP] = "no-group",
	[REASON_NOT_ISOLATED] = "not-isolated",
	[REASON_UNSUPPORTED_BUS] = "unsupported-bus",
	[REASON_BRIDGE] = "bridge",
	[REASON_NO_VFIO_DRIVER] = "no-vfio-driver",
	[REASON_WRONG_DEVICE] = "wrong-device",
	[REASON_NO_RULE] = "no-rule",
	[REASON_DENY_RULE] = "deny-rule",
	[REASON_PIN] = "pin",
	[REASON_VERB] = "verb",
	[REASON_MODE] = "mode",
	[REASON_MODE_KERNEL] = "mode-kernel",
	[REASON_PARK] = "park",
	[REASON_CONSENT_NAME] = "consent-name",
	[REASON_CONSENT_DRIVER] = "consent-driver",
	[REASON_SIBLING_ON_VFIO] = "sibling-on-vfio",
	[REASON_IN_USE] = "in-use",
	[REASON_GROUP_LEASED] = "group-leased",
	[REASON_GROUP_DRAINING] = "group-draining",
	[REASON_PF_VF] = "pf-vf",
	[REASON_DEVICE_FAILED] = "device-failed",
	[REASON_MEMLOCK] = "memlock",
	[REASON_LIMIT_USER] = "limit-user",
	[REASON_LIMIT_RULE_LEASES] = "limit-rule-leases",
	[REASON_LIMIT_RULE_DEVICES] = "limit-rule-devices",
	[REASON_NAME_TAKEN] = "name-taken",
	[REASON_DRAINING] = "draining",
	[REASON_NO_PROCESS] = "no-process",
};
DEFINE_STRING_TABLE(reason, enum reason)

static const char *const action_table[ACTION_MAX] = {
	[ACTION_NONE] = "none",
	[ACTION_GRANT] = "grant",
	[ACTION_PARK_VFIO] = "park-vfio",
	[ACTION_PARK_NONE] = "park-none",
};
DEFINE_STRING_TABLE(action, enum action)

const char *reason_to_error(enum reason reason)
{
	switch (reason) {
	case REASON_NO_DEVICES:
	case REASON_DUPLICATE:
	case REASON_WITHHOLD_OUTSIDE:
	case REASON_BRIDGE:
		return "BadOption";
	case REASON_NO_SUCH_DEVICE:
	case REASON_NO_SUCH_POOL:
		return "NoSuchDevice";
	case REASON_NO_GROUP:
		return "NoSuchGroup";
	case REASON_NOT_ISOLATED:
	case REASON_UNSUPPORTED_BUS:
	case REASON_NO_VFIO_DRIVER:
		return "GroupNotViable";
	case REASON_WRONG_DEVICE:
		return "GroupChanged";
	case REASON_NO_RULE:
	case REASON_DENY_RULE:
	case REASON_PIN:
	case REASON_VERB:
	case REASON_MODE:
	case REASON_DRAINING:
	case REASON_NO_PROCESS:
		return "NotPermitted";
	case REASON_MODE_KERNEL:
	case REASON_PARK:
		return "ModeUnsupported";
	case REASON_CONSENT_NAME:
	case REASON_CONSENT_DRIVER:
	case REASON_SIBLING_ON_VFIO:
		return "ConsentRequired";
	case REASON_IN_USE:
		return "DeviceInUse";
	case REASON_POOL_EMPTY:
	case REASON_GROUP_LEASED:
	case REASON_PF_VF:
		return "GroupBusy";
	case REASON_GROUP_DRAINING:
		return "GroupDraining";
	case REASON_DEVICE_FAILED:
		return "DeviceFailed";
	case REASON_TOO_MANY_DEVICES:
	case REASON_MEMLOCK:
	case REASON_LIMIT_USER:
	case REASON_LIMIT_RULE_LEASES:
	case REASON_LIMIT_RULE_DEVICES:
		return "QuotaExceeded";
	case REASON_NAME_TAKEN:
		return "NameTaken";
	case REASON_ALLOWED:
	case REASON_MAX:
	case REASON_INVALID:
		break;
	}
	return NULL;
}
