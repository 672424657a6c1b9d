/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a client asks for: the arguments of Acquire and Explain, checked and owned. */

#include "daemon/bus/creds.h"
#include "daemon/manager.h"

#define REQUEST_STRING_MAX 256 /* bytes of a device's name or path */
#define REQUEST_NAME_MAX   64  /* bytes of a lease's label */

struct bus_request {
	char **devices;
	char **withhold;
	enum mode mode;
	char *name;
	int lifeline; /* a duplicate; -EBADF: none */
	bool persist;
	bool shared;
	bool owner_given;
	uid_t owner;
	bool attach;
	bool device_fds;
	uint64_t memlock;
	struct expect *expect;
	size_t n_expect;
	bool interactive;
	bool has_numa_node;
	int32_t numa_node;

	/* Explain, by root: for somebody else */
	bool subject_given;
	uid_t uid;
	gid_t *gids;
	size_t n_gids;
	char *unit;
};

/*
 * Reads "asa{sv}" from a message, with the options of the method that it is for. Object paths of
 * devices become names. 0 and a request of the caller, or an error set (BadOption, InvalidArgs,
 * NoSuchDevice).
 */
enum request_for { REQUEST_FOR_ACQUIRE, REQUEST_FOR_EXPLAIN, REQUEST_FOR_ADD };
int bus_request_read(sd_bus_message *m, enum request_for what, struct bus_request **request,
		     sd_bus_error *error);
/* Reads "as", names or object paths of devices: a vector of the caller. No pools. */
int bus_request_read_devices(sd_bus_message *m, char ***devices, sd_bus_error *error);
struct bus_request *bus_request_free(struct bus_request *request);
DEFINE_CLEANUP(struct bus_request *, bus_request_free)

/* The question for decide(): borrows from both. */
struct request bus_request_ask(const struct bus_request *request, const struct creds *creds);
