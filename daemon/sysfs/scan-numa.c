/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The distances of NUMA nodes: the firmware's table, as sysfs shows it. */

#include "daemon/sysfs/scan-device.h"

#include "daemon/sysfs/attr.h"
#include "daemon/util/fd.h"

#include <stdio.h>

#define NODES	  "devices/system/node"
#define NODES_MAX 1024

static int node_compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* The numbers of the nodes, in order. They need not be without gaps. */
static int list_nodes(const struct host *host, uint64_t **nodes, size_t *n)
{
	_cleanup_strv_ char **names = NULL;
	int r = attr_list(host->sys, NODES, &names);

	STRV_FOREACH (name, names) {
		uint64_t number;

		if (strncmp(*name, "node", 4) != 0 ||
		    parse_uint(*name + 4, NODES_MAX - 1, &number) < 0)
			continue;
		if (ARRAY_RESERVE_ONE(*nodes, *n) < 0)
			return -ENOMEM;
		(*nodes)[(*n)++] = number;
	}
	if (*n > 0)
		qsort(*nodes, *n, sizeof(**nodes), node_compare);
	return r < 0 ? r : 0;
}

/* "10 21": one for each node, in their order. */
static int read_row(const struct host *host, uint64_t node, const uint64_t *nodes, size_t n,
		    unsigned char *row)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	_cleanup_close_ int dir = -EBADF;
	char *save = NULL;
	size_t i = 0;
	int r;

	if (asprintf(&path, NODES "/node%u", (unsigned int)node) < 0)
		return -ENOMEM;
	dir = attr_open_dir(host->sys, path);
	if (dir < 0)
		return 0;
	r = attr_read_string(dir, "distance", &text);
	if (r != 0)
		return r < 0 ? r : 0;
	for (char *word = strtok_r(text, " ", &save); word && i < n;
	     word = strtok_r(NULL, " ", &save)) {
		uint64_t distance;

		if (parse_uint(word, 255, &distance) == 0)
			row[nodes[i]] = (unsigned char)distance;
		i++;
	}
	return 0;
}

int scan_numa(struct scanner *scanner)
{
	_cleanup_free_ unsigned char *distances = NULL;
	_cleanup_free_ uint64_t *nodes = NULL;
	size_t n = 0, size;
	int r = list_nodes(scanner->host, &nodes, &n);

	if (r < 0 || n == 0)
		return r;
	size = nodes[n - 1] + 1;
	distances = calloc(size, size);
	if (!distances)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		r = read_row(scanner->host, nodes[i], nodes, n, distances + nodes[i] * size);
		if (r < 0)
			return r;
	}
	topology_take_numa(scanner->topology, STEAL(distances), size);
	return 0;
}
