/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * struct vfiod_error: the bus error of a call, or what went wrong on this side, as a code, a name,
 * a sentence and an errno. The table here is the library's half of the error list of org.vfiod1(5).
 */

#include "client/internal.h"

#include <stdarg.h>
#include <stdio.h>

struct vfiod_error {
	enum vfiod_error_code code;
	int err;
	char *name;
	char *message;
};

static const struct error_entry {
	const char *name;
	enum vfiod_error_code code;
	int err;
} error_table[] = {
	{ VFIOD_ERROR_PREFIX "NoSuchDevice", VFIOD_ERROR_NO_SUCH_DEVICE, ENODEV },
	{ VFIOD_ERROR_PREFIX "NoSuchGroup", VFIOD_ERROR_NO_SUCH_GROUP, ENOENT },
	{ VFIOD_ERROR_PREFIX "NoSuchLease", VFIOD_ERROR_NO_SUCH_LEASE, ENOENT },
	{ VFIOD_ERROR_PREFIX "NotPermitted", VFIOD_ERROR_NOT_PERMITTED, EACCES },
	{ VFIOD_ERROR_PREFIX "ConsentRequired", VFIOD_ERROR_CONSENT_REQUIRED, EACCES },
	{ VFIOD_ERROR_PREFIX "DeviceInUse", VFIOD_ERROR_DEVICE_IN_USE, EBUSY },
	{ VFIOD_ERROR_PREFIX "GroupBusy", VFIOD_ERROR_GROUP_BUSY, EBUSY },
	{ VFIOD_ERROR_PREFIX "GroupDraining", VFIOD_ERROR_GROUP_DRAINING, EBUSY },
	{ VFIOD_ERROR_PREFIX "GroupNotViable", VFIOD_ERROR_GROUP_NOT_VIABLE, EBUSY },
	{ VFIOD_ERROR_PREFIX "GroupChanged", VFIOD_ERROR_GROUP_CHANGED, EAGAIN },
	{ VFIOD_ERROR_PREFIX "ModeUnsupported", VFIOD_ERROR_MODE_UNSUPPORTED, EOPNOTSUPP },
	{ VFIOD_ERROR_PREFIX "UnsafeInterrupts", VFIOD_ERROR_UNSAFE_INTERRUPTS, EPERM },
	{ VFIOD_ERROR_PREFIX "QuotaExceeded", VFIOD_ERROR_QUOTA_EXCEEDED, EDQUOT },
	{ VFIOD_ERROR_PREFIX "NameTaken", VFIOD_ERROR_NAME_TAKEN, EEXIST },
	{ VFIOD_ERROR_PREFIX "AddressTaken", VFIOD_ERROR_ADDRESS_TAKEN, EEXIST },
	{ VFIOD_ERROR_PREFIX "BadOption", VFIOD_ERROR_BAD_OPTION, EINVAL },
	{ VFIOD_ERROR_PREFIX "PolicyInvalid", VFIOD_ERROR_POLICY_INVALID, EBADMSG },
	{ VFIOD_ERROR_PREFIX "DriverFailed", VFIOD_ERROR_DRIVER_FAILED, EIO },
	{ VFIOD_ERROR_PREFIX "DeviceFailed", VFIOD_ERROR_DEVICE_FAILED, EIO },
	{ VFIOD_ERROR_PREFIX "ResetNotOwned", VFIOD_ERROR_RESET_NOT_OWNED, EPERM },
	{ VFIOD_ERROR_PREFIX "TimedOut", VFIOD_ERROR_TIMED_OUT, ETIMEDOUT },
	{ SD_BUS_ERROR_ACCESS_DENIED, VFIOD_ERROR_ACCESS_DENIED, EACCES },
	{ SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, VFIOD_ERROR_ACCESS_DENIED, EACCES },
	{ SD_BUS_ERROR_INVALID_ARGS, VFIOD_ERROR_INVALID_ARGS, EINVAL },
	{ SD_BUS_ERROR_UNKNOWN_OBJECT, VFIOD_ERROR_OTHER, ENOENT },
	{ SD_BUS_ERROR_LIMITS_EXCEEDED, VFIOD_ERROR_QUOTA_EXCEEDED, EDQUOT },
	{ SD_BUS_ERROR_SERVICE_UNKNOWN, VFIOD_ERROR_NO_DAEMON, EHOSTUNREACH },
	{ SD_BUS_ERROR_NAME_HAS_NO_OWNER, VFIOD_ERROR_NO_DAEMON, EHOSTUNREACH },
	{ SD_BUS_ERROR_NO_REPLY, VFIOD_ERROR_NO_DAEMON, EHOSTUNREACH },
	{ SD_BUS_ERROR_DISCONNECTED, VFIOD_ERROR_NO_DAEMON, ECONNRESET },
};

/* "GroupBusy" for "org.vfiod1.Error.GroupBusy" */
static bool is_short_of(const char *name, const char *short_name)
{
	const size_t n = sizeof(VFIOD_ERROR_PREFIX) - 1;

	return strncmp(name, VFIOD_ERROR_PREFIX, n) == 0 && streq(name + n, short_name);
}

/* NULL for a name that this library does not know. */
static const struct error_entry *find_name(const char *name)
{
	static const struct error_entry activation = { "", VFIOD_ERROR_NO_DAEMON, EHOSTUNREACH };

	for (size_t i = 0; i < ARRAY_SIZE(error_table); i++)
		if (streq(error_table[i].name, name) || is_short_of(error_table[i].name, name))
			return &error_table[i];
	/* The bus or the service manager could not start it. */
	if (strncmp(name, "org.freedesktop.DBus.Error.Spawn.", 33) == 0 ||
	    strncmp(name, "org.freedesktop.systemd1.", 25) == 0)
		return &activation;
	return NULL;
}

static void error_store(struct vfiod_error **error, enum vfiod_error_code code, int err,
			const char *name, const char *message)
{
	struct vfiod_error *e;

	if (!error || *error)
		return;
	e = calloc(1, sizeof(*e));
	if (!e)
		return; /* the caller's errno stands; the accessors take NULL */
	e->code = code;
	e->err = err;
	e->name = strdup(name);
	e->message = strdup(message);
	*error = e;
}

int error_set(struct vfiod_error **error, enum vfiod_error_code code, int err, const char *format,
	      ...)
{
	_cleanup_free_ char *message = NULL;
	va_list args;
	int r;

	va_start(args, format);
	r = vasprintf(&message, format, args);
	va_end(args);
	if (r < 0)
		message = NULL;
	error_store(error, code, err,
		    code == VFIOD_ERROR_HANDOFF ? VFIOD_ERROR_LOCAL ".Handoff" : VFIOD_ERROR_LOCAL,
		    message ? message : strerror(err));
	return -err;
}

/* The bus speaks of names and services; a person wants to know what to look at. */
static int store_no_daemon(struct vfiod_error **error, const char *name, const char *message,
			   int err)
{
	_cleanup_free_ char *text = NULL;

	if (asprintf(&text,
		     "vfiod does not answer on the system bus (%s). "
		     "See \"systemctl status vfiod.service\".",
		     message) < 0)
		text = NULL;
	error_store(error, VFIOD_ERROR_NO_DAEMON, err, name, text ? text : message);
	return -err;
}

static int error_set_from(struct vfiod_error **error, const char *name, const char *message,
			  int fallback)
{
	const struct error_entry *entry = find_name(name);
	int err = entry ? entry->err : fallback;

	if (str_empty(message))
		message = name;
	if (entry && entry->code == VFIOD_ERROR_NO_DAEMON)
		return store_no_daemon(error, name, message, err);
	error_store(error, entry ? entry->code : VFIOD_ERROR_OTHER, err, name, message);
	return -err;
}

int error_set_named(struct vfiod_error **error, const char *name, const char *message)
{
	return error_set_from(error, name, message, EIO);
}

static bool connection_lost(int err)
{
	return err == ECONNRESET || err == ENOTCONN || err == EPIPE || err == ESHUTDOWN;
}

int error_set_bus(struct vfiod_error **error, const sd_bus_error *bus_error, int r)
{
	const char *name = bus_error ? bus_error->name : NULL;

	if (connection_lost(-r))
		return error_set(error, VFIOD_ERROR_NO_DAEMON, -r,
				 "The connection to the system bus is gone.");
	/* sd-bus puts its own local failures into System.Error.*: those are told by errno. */
	if (name && strncmp(name, "System.Error.", 13) != 0)
		return error_set_from(error, name, bus_error->message, -r);
	return error_set(error, VFIOD_ERROR_OTHER, -r, "The call to vfiod failed: %s.",
			 strerror(-r));
}

void error_append(struct vfiod_error *error, const char *format, ...)
{
	_cleanup_free_ char *more = NULL;
	char *message;
	va_list args;
	int r;

	if (!error || !error->message)
		return;
	va_start(args, format);
	r = vasprintf(&more, format, args);
	va_end(args);
	if (r < 0) {
		more = NULL;
		return;
	}
	if (asprintf(&message, "%s%s", error->message, more) < 0)
		return;
	free(error->message);
	error->message = message;
}

enum vfiod_error_code vfiod_error_code(const struct vfiod_error *error)
{
	return error ? error->code : VFIOD_ERROR_OTHER;
}

enum vfiod_error_code vfiod_error_code_from_name(const char *name)
{
	const struct error_entry *entry = find_name(name);

	return entry ? entry->code : VFIOD_ERROR_OTHER;
}

const char *vfiod_error_name(const struct vfiod_error *error)
{
	return error && error->name ? error->name : VFIOD_ERROR_LOCAL;
}

const char *vfiod_error_message(const struct vfiod_error *error)
{
	return error && error->message ? error->message : "Out of memory.";
}

int vfiod_error_errno(const struct vfiod_error *error)
{
	return error ? error->err : ENOMEM;
}

struct vfiod_error *vfiod_error_free(struct vfiod_error *error)
{
	if (!error)
		return NULL;
	free(error->name);
	free(error->message);
	free(error);
	return NULL;
}
