/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of error.h. */

#include "daemon/bus/error.h"

#include "policy/utf8.h"

#include <stdarg.h>
#include <stdio.h>

#define STANDARD_PREFIX "org.freedesktop.DBus.Error."

const struct bus_error_entry bus_errors[] = {
	{ "NoSuchDevice", ENODEV, "no device or pool of this name" },
	{ "NoSuchGroup", ENOENT, "no group of this number" },
	{ "NoSuchLease", ENOENT, "no lease of this id or label" },
	{ "NotPermitted", EACCES, "no rule of the policy allows it" },
	{ "ConsentRequired", EACCES,
	  "a device would be taken that the request or the policy does not name" },
	{ "DeviceInUse", EBUSY, "the host needs a device now" },
	{ "GroupBusy", EBUSY, "another lease has the group" },
	{ "GroupDraining", EBUSY, "an earlier lease's descriptors of the group are still open" },
	{ "GroupNotViable", EBUSY, "the kernel would not let the group go" },
	{ "GroupChanged", EAGAIN, "the topology or the decision moved under the request" },
	{ "ModeUnsupported", EOPNOTSUPP, "the kernel has no such mode" },
	{ "UnsafeInterrupts", EPERM, "the host has no interrupt remapping" },
	{ "QuotaExceeded", EDQUOT, "a limit is reached" },
	{ "AddressTaken", EEXIST, "another device has the guest address, or its slot" },
	{ "NameTaken", EEXIST, "the owner has a lease with this label" },
	{ "BadOption", EINVAL, "an option is unknown or has a value that cannot be" },
	{ "PolicyInvalid", EBADMSG, "the policy's files have an error" },
	{ "DriverFailed", EIO, "a driver did not do what the kernel was asked for" },
	{ "DeviceFailed", EIO, "a device broke, and nobody has cleared that" },
	{ "ResetNotOwned", EPERM, "a reset would reach what the lease does not have" },
	{ "TimedOut", ETIMEDOUT, "something else did not answer in time" },
};
const size_t bus_errors_n = ARRAY_SIZE(bus_errors);

static const struct bus_error_entry *find(const char *short_name)
{
	for (size_t i = 0; i < bus_errors_n; i++)
		if (streq(bus_errors[i].name, short_name))
			return &bus_errors[i];
	return NULL;
}

char *bus_error_name(const char *short_name)
{
	char *name;

	if (asprintf(&name, "%s%s", find(short_name) ? VFIOD_ERROR_PREFIX : STANDARD_PREFIX,
		     short_name) < 0)
		return NULL;
	return name;
}

char *utf8_clean(char *s)
{
	size_t left = s ? strlen(s) : 0, n;
	uint32_t c;

	for (char *p = s; left > 0; p += n, left -= n) {
		n = utf8_read(p, left, &c);
		if (n > 0 && (!utf8_is_control(c) || c == '\n' || c == '\t'))
			continue;
		n = n ? n : 1;
		memset(p, '?', n);
	}
	return s;
}

static int set(sd_bus_error *error, const char *short_name, char *message)
{
	_cleanup_free_ char *name = bus_error_name(short_name);
	const struct bus_error_entry *entry = find(short_name);
	int r;

	if (!name || !message)
		return sd_bus_error_set_errno(error, -ENOMEM);
	r = sd_bus_error_set(error, name, utf8_clean(message));
	if (entry)
		return -entry->err;
	return r < 0 ? r : -EIO;
}

int bus_error_set(sd_bus_error *error, const char *short_name, const char *format, ...)
{
	_cleanup_free_ char *message = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&message, format, args) < 0)
		message = NULL;
	va_end(args);
	return set(error, short_name, message);
}

int bus_error_set_errno(sd_bus_error *error, int r, const char *format, ...)
{
	_cleanup_free_ char *what = NULL, *message = NULL;
	va_list args;

	r = r < 0 ? -r : r;
	va_start(args, format);
	if (vasprintf(&what, format, args) < 0)
		what = NULL;
	va_end(args);
	if (what && asprintf(&message, "%s: %s.", what, strerror(r)) < 0)
		message = NULL;
	if (!message)
		return sd_bus_error_set_errno(error, -ENOMEM);
	sd_bus_error_set(error, STANDARD_PREFIX "Failed", utf8_clean(message));
	return r ? -r : -EIO;
}
