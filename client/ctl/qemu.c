/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What QEMU wants to hear about a passed device, and how much memory it will pin.
 */

#include "client/ctl/qemu.h"
#include "client/ctl/names.h"
#include "policy/base.h"

#include <ctype.h>
#include <stdio.h>

#define IOMMUFD_ID     "vfiod"
#define DEFAULT_MEMORY (128ULL * 1024 * 1024)

static int append_cdev(char *const *devices, replace_lookup lookup, void *userdata, char ***command,
		       const char **wrong)
{
	int fd, r, n = 0;

	fd = lookup(userdata, "iommufd", NULL);
	if (fd < 0) {
		*wrong = "the iommufd";
		return -EINVAL;
	}
	r = strv_extend(command, "-object");
	if (r >= 0)
		r = strv_extendf(command, "iommufd,id=" IOMMUFD_ID ",fd=%d", fd);
	STRV_FOREACH (name, devices) {
		fd = lookup(userdata, "device", *name);
		if (fd < 0) {
			*wrong = *name;
			return -EINVAL;
		}
		if (r >= 0)
			r = strv_extend(command, "-device");
		if (r >= 0)
			r = strv_extendf(command,
					 "vfio-pci,id=" IOMMUFD_ID "%d,iommufd=" IOMMUFD_ID
					 ",fd=%d",
					 n++, fd);
	}
	return r;
}

static int append_node(char *const *devices, char ***command)
{
	int r = 0, n = 0;

	STRV_FOREACH (name, devices) {
		if (r >= 0)
			r = strv_extend(command, "-device");
		if (r >= 0)
			r = strv_extendf(command, "vfio-pci,host=%s,id=" IOMMUFD_ID "%d", *name,
					 n++);
	}
	return r;
}

int qemu_arguments(const char *mode, char *const *devices, replace_lookup lookup, void *userdata,
		   char ***command, const char **wrong)
{
	STRV_FOREACH (name, devices) {
		if (!is_pci_address(*name)) {
			*wrong = *name;
			return -EINVAL;
		}
	}
	if (streq(mode, "cdev"))
		return append_cdev(devices, lookup, userdata, command, wrong);
	if (streq(mode, "node"))
		return append_node(devices, command);
	return -EOPNOTSUPP;
}

/* QEMU counts in MiB where no suffix says otherwise. */
static int parse_memory(const char *s, size_t n, uint64_t *bytes)
{
	_cleanup_free_ char *text = strndup(s, n);
	uint64_t value;
	int r;

	if (!text)
		return -ENOMEM;
	if (n > 0 && toupper((unsigned char)text[n - 1]) == 'B')
		text[n - 1] = '\0';
	r = size_parse(text, &value);
	if (r < 0)
		return r;
	if (n > 0 && isdigit((unsigned char)s[n - 1])) {
		if (value > UINT64_MAX >> 20)
			return -ERANGE;
		value <<= 20;
	}
	if (value > *bytes)
		*bytes = value;
	return 0;
}

/* "2G", "size=2G,slots=4,maxmem=8G" */
static int parse_option(const char *s, uint64_t *bytes)
{
	int r = 0;

	for (bool first = true; r >= 0 && *s; first = false) {
		size_t n = strcspn(s, ",");

		if (strncmp(s, "size=", 5) == 0)
			r = parse_memory(s + 5, n - 5, bytes);
		else if (strncmp(s, "maxmem=", 7) == 0)
			r = parse_memory(s + 7, n - 7, bytes);
		else if (first)
			r = parse_memory(s, n, bytes);
		s += n;
		if (*s == ',')
			s++;
	}
	return r;
}

int qemu_memory(char *const *command, uint64_t *bytes)
{
	bool given = false;
	int r = 0;

	*bytes = 0;
	for (size_t i = 0; r >= 0 && command[i] && command[i + 1]; i++) {
		if (!streq(command[i], "-m") && !streq(command[i], "--m"))
			continue;
		given = true;
		r = parse_option(command[i + 1], bytes);
	}
	if (r < 0)
		return -EINVAL;
	if (!given)
		*bytes = DEFAULT_MEMORY;
	return 0;
}
