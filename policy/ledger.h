/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The ledger: who has which group, and in what state of its life a lease is. Values only; the
 * daemon's lease/ does what a state asks for, writes the journal and tells the bus.
 *
 * The ledger keeps invariant I1 by itself: a group is in at most one lease, from preparing until
 * the lease is removed, and a state changes only along the table in ledger.c.
 */

#include "policy/base.h"
#include "policy/guest-bus.h"
#include "policy/rules.h"
#include "policy/topology.h"

enum lease_state {
	LEASE_PREPARING, /* journaled; a worker swaps drivers; no fd exists */
	LEASE_LEASED,	 /* the owner has it */
	LEASE_DRAINING,	 /* over; waits until the kernel says that the last fd is gone */
	LEASE_RESTORING, /* drivers and overrides are being put back */
	LEASE_FAILED,	 /* a device did not come back; an administrator must look */
	LEASE_STATE_MAX,
	LEASE_STATE_INVALID = -1,
};
DECLARE_STRING_TABLE(lease_state, enum lease_state)

/* The state of a device, as on the bus. */
enum device_state {
	DEVICE_HOST,
	DEVICE_GRANTED,
	DEVICE_WITHHELD,
	DEVICE_FENCED,
	DEVICE_STATE_MAX,
	DEVICE_STATE_INVALID = -1,
};
DECLARE_STRING_TABLE(device_state, enum device_state)

/* A device of a lease, and what it had before: this is what is given back (I4). */
struct lease_device {
	char *name;
	char *syspath;
	uint64_t identity; /* the topology's, of this boot of the daemon */
	/* The kernel's, of this boot of the host (struct device); 0: not known. */
	uint64_t appearance;
	uint32_t vendor, product, subvendor, subproduct;
	uint32_t group;
	enum device_state state;
	char *rule; /* id of the deciding rule; NULL where none had to decide */
	/*
	 * What `rule` is again if a growth that has begun fails, also by a crash (it is `parking`,
	 * and not granted yet); of no meaning otherwise.
	 */
	char *rule_before;
	bool bridge;

	/* What it had, as journaled before the first write. */
	char *saved_driver;   /* NULL: none */
	char *saved_override; /* NULL: none */
	bool saved_bus_master;

	/* What the lease wants of it. */
	char *target_driver; /* VFIO driver to be bound; NULL: no driver (override "none") */
	bool gone;	     /* removed from the host meanwhile: what has its name is another */
	bool left;	     /* stays as it is: on a driver that the kernel does not count */
	/*
	 * It is to be shut off: journaled before a step that opens it to the owner, so that a crash
	 * in the middle ends shut, and while it is taken from the owner. Its state is what it was.
	 */
	bool parking;
	bool came; /* it arrived while the group was leased: the host never had it */
	/* Of what came: the host driver that was faster; one is looked for again. NULL: none. */
	char *evicted;

	/*
	 * The physical function whose VFs the kernel gave to drivers by itself, and does not while
	 * this device is leased: it is that one, or a VF of it. NULL: none.
	 */
	char *vf_switch;
	bool vf_back; /* that is being given back */

	char *error; /* why it is not home, while the lease is failed; or NULL */
};

struct lease_group {
	uint32_t id;
	uint64_t generation;
	uint64_t appearance; /* as of struct group; 0: not known */
	char *type;	     /* the kernel's domain type when it was leased; NULL: not known */
	/* Its last member went, and the group with it: what has the id now is another. */
	bool gone;
};

struct lease_holder {
	pid_t pid;
	char *command;
};

/* How far a revocation has come: the rungs of the ladder. */
enum revocation {
	REVOCATION_NONE,
	REVOCATION_ASKED,	 /* the owner was told, and has until the deadline */
	REVOCATION_UNBINDING,	 /* the lease has ended; the kernel asks whoever has fds */
	REVOCATION_KILLED,	 /* the holder was killed */
	REVOCATION_NOT_POSSIBLE, /* the policy says "kill", and nobody may be killed: see the note
				  */
	REVOCATION_MAX,
	REVOCATION_INVALID = -1,
};
DECLARE_STRING_TABLE(revocation, enum revocation)

struct lease {
	char *id;   /* 16 hexadecimal digits */
	char *name; /* label, unique per owner; or NULL */
	uid_t owner;
	enum mode mode;
	enum lease_state state;
	struct lease_group *groups; /* by id */
	size_t n_groups;
	struct lease_device *devices; /* every member of every group, by name */
	size_t n_devices;

	bool persist;
	bool shared;
	bool attach;
	bool device_fds;
	enum park park;
	enum revoke revoke;
	uint64_t memlock;    /* bytes raised to; 0: not asked for */
	uint64_t since_usec; /* CLOCK_REALTIME of the claim */
	char *connection;    /* unique bus name of the acquirer */
	char *bus_id;	     /* of the bus instance that the name belongs to */
	uid_t acquirer;	     /* uid of the connection */
	char *unit;	     /* system unit of the acquirer; NULL: none or not known */
	bool has_lifeline;
	char *end_reason; /* why it ended, from draining on; or NULL */
	/*
	 * Of a lease that is a part of another one: groups that are being prepared for it, or that
	 * were taken from it and go home. NULL for a lease of its own.
	 */
	char *part_of;
	struct guest_bus guest; /* where its devices, and emulated ones, are for the guest */
	enum revocation revocation;
	uint64_t revoke_deadline_usec; /* CLOCK_REALTIME; 0: no revocation */
	char *revoke_reason;	       /* of root's; or NULL */
	char *revoke_note;	       /* what came of the last rung; or NULL */
	struct lease_holder *holders;  /* while draining: who still has fds, as far as known */
	size_t n_holders;
	uint32_t *reserved; /* groups of nobody that a reset of its devices reaches, meanwhile */
	size_t n_reserved;

	/*
	 * It stands for a journal that cannot be understood, and keeps its groups from everybody.
	 * What its devices had, and are to have, is not known: nothing is written to them before
	 * root ends it.
	 */
	bool blocked;

	void *data; /* the daemon's */
	UT_hash_handle hh;
};

struct lease *lease_new(const char *id);
struct lease *lease_free(struct lease *lease);
DEFINE_CLEANUP(struct lease *, lease_free)

struct lease_device *lease_device(const struct lease *lease, const char *name);
/*
 * What the topology has of the device goes into its entry: what and where it is, not what it has
 * or is to have. -ENOMEM.
 */
int lease_device_know(struct lease_device *entry, const struct device *device);
/* A growth has failed: the device counts for the rule that it counted for before. */
void lease_device_undo_rule(struct lease_device *device);
/*
 * A lease of a mediated device is of its name: each cycle of the daemon's own makes another one,
 * in a group made anew, and in between there is none.
 */
bool lease_device_is_by_name(const struct lease_device *device);
/* Whether the group is that of such a device. */
bool lease_group_is_by_name(const struct lease *lease, uint32_t group);
/* Whether it has the group, and that is not gone. */
bool lease_has_group(const struct lease *lease, uint32_t id);
/* Whether a reset of its devices keeps the group from being claimed: see reset_reserve(). */
bool lease_reserves(const struct lease *lease, uint32_t id);
/* Its entry of that id, gone or not; NULL: none. Good until a group comes or leaves. */
struct lease_group *lease_group(const struct lease *lease, uint32_t id);
/* Whether the lease has a device of the group that has not gone. */
bool lease_has_members(const struct lease *lease, uint32_t group);
/*
 * Adds a group (kept sorted). Returns 0 or -ENOMEM; a group that is there already is fine, and one
 * that was gone is there again.
 */
int lease_add_group(struct lease *lease, uint32_t id, uint64_t generation);
/* Adds an empty entry for a device, kept sorted by name. NULL: out of memory. */
struct lease_device *lease_add_device(struct lease *lease, const char *name);
/* Takes the entry of a device out, if there is one. */
void lease_remove_device(struct lease *lease, const char *name);
size_t lease_count_devices(const struct lease *lease, enum device_state state);
/*
 * Moves a group with all its devices (entries and what they own) to another lease. 0, -ENOENT (it
 * has no such group) or -ENOMEM: then nothing has moved. Pointers to devices of both are not good
 * any more.
 */
int lease_move_group(struct lease *from, struct lease *to, uint32_t id);
void lease_clear_holders(struct lease *lease);

/* Whether the step is in the state machine's table. */
bool lease_state_may_follow(enum lease_state from, enum lease_state to);
/* Takes the step. -EINVAL (and nothing changed) for one that is not in the table. */
int lease_set_state(struct lease *lease, enum lease_state to);

/*
 * Whether what comes to a group of the lease is to be shut off: until every fd is gone. On the way
 * home the host may have it.
 */
bool lease_keeps_host_out(const struct lease *lease);

struct ledger {
	struct lease *leases; /* uthash by id */
};

void ledger_init(struct ledger *ledger);
/* Frees every lease. */
void ledger_done(struct ledger *ledger);

enum {
	LEDGER_ID_TAKEN = 1, /* a lease has this id */
	LEDGER_GROUP_TAKEN,  /* one of its groups is in another lease, or reserved by one */
	LEDGER_NAME_TAKEN,   /* the owner has a lease of this name */
};
/* Puts a lease in; the ledger owns it then. 0, or a LEDGER_ outcome and nothing changed. */
int ledger_add(struct ledger *ledger, struct lease *lease);
/* Takes it out: it is the caller's again. */
struct lease *ledger_remove(struct ledger *ledger, struct lease *lease);

struct lease *ledger_lease(const struct ledger *ledger, const char *id);
/* By id, else by name among the owner's; with any_owner the only one of that name. NULL: none. */
struct lease *ledger_find(const struct ledger *ledger, const char *id_or_name, uid_t owner,
			  bool any_owner);
/*
 * The lease of a group or of a device; NULL: none. What has gone is nobody's: its number or name
 * belongs to whatever comes next.
 */
struct lease *ledger_group(const struct ledger *ledger, uint32_t group);
/* The lease that has the group, else one that reserves it; NULL: it can be claimed. */
struct lease *ledger_holder(const struct ledger *ledger, uint32_t group);
struct lease *ledger_device(const struct ledger *ledger, const char *device);
/* Leases of an owner. A part of another lease is none of its own. */
size_t ledger_count_owner(const struct ledger *ledger, uid_t owner);
/* Leases of the owner with a device that the rule decided, and granted or withheld such devices. */
size_t ledger_count_rule_leases(const struct ledger *ledger, uid_t owner, const char *rule);
size_t ledger_count_rule_devices(const struct ledger *ledger, uid_t owner, const char *rule);

/* State of a device on the bus, from the lease that it is in; host if in none. */
enum device_state ledger_device_state(const struct ledger *ledger, const char *device);
/* The driver that the host had: the saved one while leased, else the bound one. Borrowed. */
const char *ledger_host_driver(const struct ledger *ledger, const struct device *device);
