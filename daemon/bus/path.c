/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of path.h. */

#include "daemon/bus/path.h"

#include <stdarg.h>
#include <stdio.h>
#include <systemd/sd-bus.h>

#define PCI_PREFIX     "pci_"
#define PCI_TAIL       8 /* ":BB:DD.F", or the same with '_' */
#define LEASE_ID_SIZE  16
#define PCI_DOMAIN_MAX 8

static bool is_hex(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
			return false;
	return true;
}

/* DDDD, then a BB b DD c F for the separators a, b and c. The kernel prints the domain as %04x:
 * more than four digits have no leading zero. A device number has five bits, a function three. */
static bool is_pci_form(const char *s, char a, char b, char c)
{
	size_t n = strlen(s), domain;
	const char *t;

	if (n < 4 + PCI_TAIL || n > PCI_DOMAIN_MAX + PCI_TAIL)
		return false;
	domain = n - PCI_TAIL;
	if (!is_hex(s, domain) || (domain > 4 && s[0] == '0'))
		return false;
	t = s + domain;
	return t[0] == a && is_hex(t + 1, 2) && t[3] == b && (t[4] == '0' || t[4] == '1') &&
	       is_hex(t + 5, 1) && t[6] == c && t[7] >= '0' && t[7] <= '7';
}

bool pci_address_valid(const char *name)
{
	return is_pci_form(name, ':', ':', '.');
}

static int path_printf(char **path, const char *format, ...) _printf_(2, 3);
static int path_printf(char **path, const char *format, ...)
{
	va_list args;
	int r;

	va_start(args, format);
	r = vasprintf(path, format, args);
	va_end(args);
	return r < 0 ? -ENOMEM : 0;
}

static int path_encode(const char *prefix, const char *name, char **path)
{
	int r;

	if (str_empty(name))
		return -EINVAL;
	r = sd_bus_path_encode(prefix, name, path);
	return r < 0 ? r : 0;
}

int path_device(const char *subsystem, const char *name, char **path)
{
	int r;

	if (!streq(subsystem, "pci") || !pci_address_valid(name))
		return path_encode(VFIOD_PATH_DEVICE, name, path);
	r = path_printf(path, VFIOD_PATH_DEVICE "/" PCI_PREFIX "%s", name);
	if (r < 0)
		return r;
	for (char *p = *path + strlen(VFIOD_PATH_DEVICE); *p; p++)
		if (*p == ':' || *p == '.')
			*p = '_';
	return 0;
}

int path_group(uint32_t id, char **path)
{
	return path_printf(path, VFIOD_PATH_GROUP "/%u", id);
}

int path_iommu(const char *name, char **path)
{
	return path_encode(VFIOD_PATH_IOMMU, name, path);
}

int path_lease(const char *id, char **path)
{
	if (strlen(id) != LEASE_ID_SIZE || !is_hex(id, LEASE_ID_SIZE))
		return -EINVAL;
	return path_printf(path, VFIOD_PATH_LEASE "/%s", id);
}

/* The one path element below prefix, or NULL. */
static const char *element(const char *path, const char *prefix)
{
	size_t n = strlen(prefix);

	if (strncmp(path, prefix, n) != 0 || path[n] != '/')
		return NULL;
	path += n + 1;
	return *path == '\0' || strchr(path, '/') ? NULL : path;
}

/* What sd_bus_path_decode() takes, and what encoding gives back: one spelling for each name. */
static int path_decode(const char *path, const char *prefix, char **name)
{
	_cleanup_free_ char *decoded = NULL, *again = NULL;
	int r;

	if (!element(path, prefix))
		return 1;
	r = sd_bus_path_decode(path, prefix, &decoded);
	if (r == -ENOMEM)
		return r;
	if (r <= 0 || str_empty(decoded))
		return 1;
	r = path_encode(prefix, decoded, &again);
	if (r < 0)
		return r;
	if (!streq(path, again))
		return 1;
	*name = STEAL(decoded);
	return 0;
}

int path_device_decode(const char *path, char **name, bool *pci)
{
	const char *e = element(path, VFIOD_PATH_DEVICE);
	bool is_pci;
	size_t n;

	is_pci = e && strncmp(e, PCI_PREFIX, strlen(PCI_PREFIX)) == 0 &&
		 is_pci_form(e + strlen(PCI_PREFIX), '_', '_', '_');
	if (pci)
		*pci = is_pci;
	if (!is_pci)
		return path_decode(path, VFIOD_PATH_DEVICE, name);
	*name = strdup(e + strlen(PCI_PREFIX));
	if (!*name)
		return -ENOMEM;
	n = strlen(*name);
	(*name)[n - 8] = (*name)[n - 5] = ':';
	(*name)[n - 2] = '.';
	return 0;
}

int path_group_decode(const char *path, uint32_t *id)
{
	const char *e = element(path, VFIOD_PATH_GROUP);
	unsigned long long n = 0;

	if (!e || (e[0] == '0' && e[1] != '\0') || strlen(e) > 10)
		return 1;
	for (; *e; e++) {
		if (*e < '0' || *e > '9')
			return 1;
		n = n * 10 + (unsigned int)(*e - '0');
	}
	if (n > UINT32_MAX)
		return 1;
	*id = (uint32_t)n;
	return 0;
}

int path_iommu_decode(const char *path, char **name)
{
	return path_decode(path, VFIOD_PATH_IOMMU, name);
}

int path_lease_decode(const char *path, char **id)
{
	const char *e = element(path, VFIOD_PATH_LEASE);

	if (!e || strlen(e) != LEASE_ID_SIZE || !is_hex(e, LEASE_ID_SIZE))
		return 1;
	*id = strdup(e);
	return *id ? 0 : -ENOMEM;
}
