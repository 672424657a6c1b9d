/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The tables of lease-fields.h. */

#include "daemon/lease/lease-fields.h"

#include <stddef.h>

#define ENUM_TO_STRING(name, type)                    \
	static const char *name##_text(int value)     \
	{                                             \
		return name##_to_string((type)value); \
	}
ENUM_TO_STRING(mode, enum mode)
ENUM_TO_STRING(lease_state, enum lease_state)
ENUM_TO_STRING(device_state, enum device_state)
ENUM_TO_STRING(park, enum park)
ENUM_TO_STRING(revoke, enum revoke)
ENUM_TO_STRING(revocation, enum revocation)

#define F(of, name, kind)                                                \
	{                                                                \
#name, FIELD_TYPE_##kind, offsetof(of, name), NULL, NULL \
	}
#define E(of, name, table)                                                                    \
	{                                                                                     \
#name, FIELD_TYPE_ENUM, offsetof(of, name), table##_text, table##_from_string \
	}

static const struct field lease_fields[] = {
	F(struct lease, id, NAME),
	F(struct lease, name, TEXT),
	F(struct lease, owner, U32),
	E(struct lease, mode, mode),
	E(struct lease, state, lease_state),
	F(struct lease, persist, BOOL),
	F(struct lease, shared, BOOL),
	F(struct lease, attach, BOOL),
	F(struct lease, device_fds, BOOL),
	E(struct lease, park, park),
	E(struct lease, revoke, revoke),
	F(struct lease, memlock, U64),
	F(struct lease, since_usec, U64),
	F(struct lease, connection, TEXT),
	F(struct lease, bus_id, TEXT),
	F(struct lease, acquirer, U32),
	F(struct lease, unit, TEXT),
	F(struct lease, has_lifeline, BOOL),
	F(struct lease, end_reason, TEXT),
	F(struct lease, part_of, TEXT),
	{ "revocation", FIELD_TYPE_STAGE, offsetof(struct lease, revocation), revocation_text,
	  revocation_from_string },
	F(struct lease, revoke_deadline_usec, TIME),
	F(struct lease, revoke_reason, TEXT),
	F(struct lease, revoke_note, TEXT),
	F(struct lease, blocked, FLAG),
};

static const struct field device_fields[] = {
	F(struct lease_device, name, NAME),
	F(struct lease_device, syspath, PATH),
	F(struct lease_device, identity, U64),
	F(struct lease_device, appearance, TIME),
	F(struct lease_device, vendor, U32),
	F(struct lease_device, product, U32),
	F(struct lease_device, subvendor, U32),
	F(struct lease_device, subproduct, U32),
	F(struct lease_device, group, U32),
	E(struct lease_device, state, device_state),
	F(struct lease_device, rule, TEXT),
	F(struct lease_device, rule_before, TEXT),
	F(struct lease_device, bridge, BOOL),
	F(struct lease_device, saved_driver, DRIVER),
	F(struct lease_device, saved_override, TEXT),
	F(struct lease_device, saved_bus_master, BOOL),
	F(struct lease_device, target_driver, DRIVER),
	F(struct lease_device, left, BOOL),
	F(struct lease_device, parking, FLAG),
	F(struct lease_device, came, FLAG),
	F(struct lease_device, gone, FLAG),
	F(struct lease_device, evicted, DRIVER),
	F(struct lease_device, vf_switch, DRIVER),
	F(struct lease_device, error, TEXT),
};

static const struct field group_fields[] = {
	F(struct lease_group, id, U32),		 F(struct lease_group, generation, U64),
	F(struct lease_group, appearance, TIME), F(struct lease_group, type, TEXT),
	F(struct lease_group, gone, FLAG),
};

static const struct field holder_fields[] = {
	F(struct lease_holder, pid, U32),
	F(struct lease_holder, command, TEXT),
};

#define TABLE(of) const struct fields lease_json_##of = { of##_fields, ARRAY_SIZE(of##_fields) }
TABLE(lease);
TABLE(device);
TABLE(group);
TABLE(holder);

_Static_assert(sizeof(uid_t) == sizeof(uint32_t) && sizeof(pid_t) == sizeof(uint32_t) &&
		       sizeof(enum mode) == sizeof(int) && sizeof(enum park) == sizeof(int) &&
		       sizeof(enum revoke) == sizeof(int) &&
		       sizeof(enum revocation) == sizeof(int) &&
		       sizeof(enum lease_state) == sizeof(int) &&
		       sizeof(enum device_state) == sizeof(int),
	       "the tables read these as 32 bits");
