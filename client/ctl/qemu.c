/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What QEMU wants to hear about a passed device, and how much memory it will pin.
 */

#include "client/ctl/qemu.h"
#include "client/ctl/names.h"
#include "policy/base.h"

#include <ctype.h>
#include <json-c/json.h>
#include <stdio.h>

#define IOMMUFD_ID     "vfiod"
#define DEFAULT_MEMORY (128ULL * 1024 * 1024)

/* Whether another device has a function of the same slot: "00:1e." */
static bool slot_is_shared(char *const *addresses, size_t i)
{
	for (size_t j = 0; addresses[j]; j++)
		if (j != i && strncmp(addresses[i], addresses[j], 6) == 0)
			return true;
	return false;
}

/* ",addr=1e.0" and, in a slot of several functions, ",multifunction=on". Of the caller, or NULL. */
static char *place_text(char *const *addresses, size_t i)
{
	char *text;

	if (!addresses)
		return strdup("");
	return asprintf(&text, ",addr=%s%s", addresses[i] + strlen("00:"),
			slot_is_shared(addresses, i) ? ",multifunction=on" : "") < 0
		       ? NULL
		       : text;
}

static int append_cdev(char *const *devices, char *const *addresses, replace_lookup lookup,
		       void *userdata, char ***command, const char **wrong)
{
	int fd, r;
	size_t n = 0;

	fd = lookup(userdata, "iommufd", NULL);
	if (fd < 0) {
		*wrong = "the iommufd";
		return -EINVAL;
	}
	r = strv_extend(command, "-object");
	if (r >= 0)
		r = strv_extendf(command, "iommufd,id=" IOMMUFD_ID ",fd=%d", fd);
	STRV_FOREACH (name, devices) {
		_cleanup_free_ char *place = place_text(addresses, n);

		if (!place)
			return -ENOMEM;
		fd = lookup(userdata, "device", *name);
		if (fd < 0) {
			*wrong = *name;
			return -EINVAL;
		}
		if (r >= 0)
			r = strv_extend(command, "-device");
		if (r >= 0)
			r = strv_extendf(command,
					 "vfio-pci,id=" IOMMUFD_ID "%zu,iommufd=" IOMMUFD_ID
					 ",fd=%d%s",
					 n++, fd, place);
	}
	return r;
}

static int append_node(char *const *devices, char *const *addresses, char ***command)
{
	size_t n = 0;
	int r = 0;

	STRV_FOREACH (name, devices) {
		_cleanup_free_ char *place = place_text(addresses, n);

		if (!place)
			return -ENOMEM;
		if (r >= 0)
			r = strv_extend(command, "-device");
		if (r >= 0)
			r = strv_extendf(command, "vfio-pci,host=%s,id=" IOMMUFD_ID "%zu%s", *name,
					 n, place);
		n++;
	}
	return r;
}

int qemu_arguments(const char *mode, char *const *devices, char *const *addresses,
		   replace_lookup lookup, void *userdata, char ***command, const char **wrong)
{
	STRV_FOREACH (name, devices) {
		if (!is_pci_address(*name)) {
			*wrong = *name;
			return -EINVAL;
		}
	}
	if (streq(mode, "cdev"))
		return append_cdev(devices, addresses, lookup, userdata, command, wrong);
	if (streq(mode, "node"))
		return append_node(devices, addresses, command);
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

/* ---- addresses of emulated devices */

static bool is_root_bus(const char *bus)
{
	return !bus || streq(bus, "pcie.0") || streq(bus, "pci.0");
}

/* QEMU reads "5", "05.0", "0x5" and "0x5.0x1". A pc-dimm's addr, which is far larger, is none. */
static int append_address(const char *addr, char ***addresses)
{
	unsigned long slot, function = 0;
	int end = 0;

	if (sscanf(addr, "%lx%n", &slot, &end) != 1)
		return 0;
	addr += end;
	if (*addr == '.' && sscanf(addr + 1, "%lx", &function) != 1)
		return 0;
	if (slot > 31 || function > 7)
		return 0;
	return strv_extendf(addresses, "00:%02lx.%lx", slot, function);
}

/* "edu,addr=5,bus=pcie.0": a comma in a value is doubled. */
static int read_options(const char *text, char ***addresses)
{
	_cleanup_free_ char *bus = NULL, *addr = NULL;

	while (text && *text) {
		const char *end = text;
		char **field = NULL;

		while ((end = strchrnul(end, ',')) && end[0] && end[1] == ',')
			end += 2;
		if (strncmp(text, "bus=", 4) == 0)
			field = &bus;
		else if (strncmp(text, "addr=", 5) == 0)
			field = &addr;
		if (field) {
			text = strchr(text, '=') + 1;
			free(*field);
			*field = strndup(text, (size_t)(end - text));
			if (!*field)
				return -ENOMEM;
		}
		text = *end ? end + 1 : end;
	}
	return addr && is_root_bus(bus) ? append_address(addr, addresses) : 0;
}

/* A number is slot and function in one, as PCI has them in a byte. */
static int append_number(int64_t number, char ***addresses)
{
	if (number < 0 || number > 255)
		return 0;
	return strv_extendf(addresses, "00:%02x.%x", (unsigned int)(number >> 3),
			    (unsigned int)(number & 7));
}

static int read_json(const char *text, char ***addresses)
{
	json_object *object = json_tokener_parse(text), *addr, *bus = NULL;
	int r = 0;

	if (object && json_object_object_get_ex(object, "addr", &addr)) {
		json_object_object_get_ex(object, "bus", &bus);
		if (!is_root_bus(bus ? json_object_get_string(bus) : NULL))
			r = 0;
		else if (json_object_is_type(addr, json_type_int))
			r = append_number(json_object_get_int64(addr), addresses);
		else
			r = append_address(json_object_get_string(addr), addresses);
	}
	json_object_put(object);
	return r;
}

/* Whether an argument is this option: QEMU takes one dash or two. */
static bool is_option(const char *argument, const char *option)
{
	return argument[0] == '-' && streq(argument + (argument[1] == '-' ? 2 : 1), option);
}

/* Whether "q35,usb=on" has a part: of a machine its type comes first, with or without "type=". */
static bool has_part(const char *options, const char *prefix)
{
	for (const char *s = options; s; s = strchr(s, ','), s = s ? s + 1 : NULL)
		if (strncmp(s, prefix, strlen(prefix)) == 0)
			return true;
	return false;
}

/*
 * Of the machine's own devices those of a q35 with -usb (or what implies it) are where vfiod would
 * place somebody: QEMU's ich9 EHCI has its companions in slot 1d (hw/i386/pc_q35.c).
 */
static int append_usb(char *const *command, char ***addresses)
{
	static const char *const functions[] = { "00:1d.0", "00:1d.1", "00:1d.2", "00:1d.7" };
	bool q35 = false, usb = false;
	int r = 0;

	for (size_t i = 0; command[i]; i++) {
		const char *value = command[i + 1];

		if (is_option(command[i], "usb") || is_option(command[i], "usbdevice"))
			usb = true;
		if (!value || !(is_option(command[i], "M") || is_option(command[i], "machine")))
			continue;
		q35 = q35 || has_part(value, "q35") || has_part(value, "pc-q35") ||
		      has_part(value, "type=q35") || has_part(value, "type=pc-q35");
		/* on, yes, y, true */
		usb = usb || has_part(value, "usb=on") || has_part(value, "usb=y") ||
		      has_part(value, "usb=true");
	}
	for (size_t i = 0; q35 && usb && r >= 0 && i < ARRAY_SIZE(functions); i++)
		r = strv_extend(addresses, functions[i]);
	return r;
}

int qemu_addresses(char *const *command, char ***addresses)
{
	int r = append_usb(command, addresses);

	for (size_t i = 0; r >= 0 && command[i] && command[i + 1]; i++) {
		if (!is_option(command[i], "device") && !is_option(command[i], "nic") &&
		    !is_option(command[i], "net"))
			continue;
		i++;
		r = command[i][0] == '{' ? read_json(command[i], addresses)
					 : read_options(command[i], addresses);
	}
	return r;
}
