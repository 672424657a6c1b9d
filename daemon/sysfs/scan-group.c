/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What sysfs says of one group. */

#include "daemon/sysfs/scan-device.h"

#include "daemon/sysfs/attr.h"

#include <stdio.h>
#include <sys/stat.h>

#define REGIONS_MAX 1024

/* "0x00000000fee00000 0x00000000feefffff msi" */
static int parse_region(char *line, struct reserved_region *region)
{
	char *save = NULL;
	const char *start = strtok_r(line, " ", &save), *end = strtok_r(NULL, " ", &save);
	const char *type = strtok_r(NULL, " ", &save);

	if (!type || strtok_r(NULL, " ", &save) || !attr_name_valid(type))
		return -EINVAL;
	if (parse_hex(start, 64, &region->start) < 0 || parse_hex(end, 64, &region->end) < 0 ||
	    region->start > region->end)
		return -EINVAL;
	region->type = strdup(type);
	return region->type ? 0 : -ENOMEM;
}

static int parse_regions(char *text, struct reserved_region **regions, size_t *n)
{
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		int r = *n < REGIONS_MAX ? ARRAY_RESERVE_ONE(*regions, *n) : -EINVAL;

		if (r >= 0)
			r = parse_region(line, &(*regions)[*n]);
		if (r < 0)
			return r;
		(*n)++;
	}
	return 0;
}

static int read_regions(int dir, struct reserved_region **regions, size_t *n)
{
	_cleanup_free_ char *text = NULL;
	int r = attr_read_string(dir, "reserved_regions", &text);

	*regions = NULL;
	*n = 0;
	if (r != 0)
		return r < 0 ? r : 0;
	r = parse_regions(text, regions, n);
	if (r < 0) {
		reserved_regions_free(*regions, *n);
		*regions = NULL;
		*n = 0;
	}
	return r == -EINVAL ? 0 : r;
}

int scan_read_group(struct scanner *scanner, uint32_t id, char **ret_name, char **ret_type,
		    struct reserved_region **regions, size_t *n, uint64_t *inode)
{
	_cleanup_free_ char *name = NULL, *type = NULL;
	_cleanup_close_ int dir = -EBADF;
	struct stat st;
	char path[64];
	int r;

	snprintf(path, sizeof(path), "kernel/iommu_groups/%u", id);
	dir = attr_open_dir(scanner->host->sys, path);
	if (dir < 0) {
		r = attr_outcome_of_errno(-dir);
		return r < 0 ? r : SCAN_GONE;
	}
	if (fstat(dir, &st) < 0)
		return SCAN_GONE;
	r = attr_read_string(dir, "name", &name);
	if (r < 0)
		return r;
	r = attr_read_string(dir, "type", &type);
	/* One word; anything else is not a type. */
	if (r > 0 || (r == 0 && !attr_name_valid(type)))
		r = free_and_strdup(&type, "");
	if (r >= 0)
		r = read_regions(dir, regions, n);
	if (r < 0)
		return r;
	*ret_name = STEAL(name);
	*ret_type = STEAL(type);
	*inode = st.st_ino;
	return 0;
}
