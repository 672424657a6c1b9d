/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The parts of uses_read(): what there is below a device, and one reader for each kind of use.
 * Each reader appends to the list; -errno means that the answer is not known.
 */

#include "daemon/sysfs/uses.h"

/* A device of the host below the one that is asked about: eth0, sda, card0, ttyS4. */
struct below {
	char *path; /* of its directory, below /sys */
	char *subsystem;
	char *name;
};

struct uses_run {
	const struct host *host;
	const struct uses_query *query;
	struct below *below;
	size_t n_below;
	struct held_fds *held;
	struct use_list *uses;
};

/* Bounds of the walk; a device with more below it is not known. */
#define USES_DEPTH_MAX 32
#define USES_BELOW_MAX 8192

int uses_walk(struct uses_run *run);
int uses_read_block(struct uses_run *run);
int uses_read_network(struct uses_run *run);
int uses_read_console(struct uses_run *run);
int uses_read_nodes(struct uses_run *run);

/* An attribute of something below: as attr_read() and attr_read_dev(). */
int below_read(const struct uses_run *run, const struct below *below, const char *attr,
	       char *buffer, size_t size);
int below_read_dev(const struct uses_run *run, const struct below *below, dev_t *number);
/* Its directory: an fd of the caller or -errno. */
int below_open(const struct uses_run *run, const struct below *below);
