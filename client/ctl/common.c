/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every verb does in the same way: connect, fail, leave with the right exit code, print JSON.
 */

#include "client/ctl/term.h"

#include <stdarg.h>

int ctl_say(int code, const char *format, ...)
{
	_cleanup_free_ char *clean = NULL;
	va_list args;

	va_start(args, format);
	clean = term_clean_format(format, args);
	va_end(args);
	fprintf(stderr, "vfiodctl: %s\n", clean ? clean : "Out of memory.");
	return code;
}

int exit_code_for(enum vfiod_error_code code)
{
	switch (code) {
	case VFIOD_ERROR_NO_DAEMON:
		return EXIT_NO_DAEMON;
	case VFIOD_ERROR_INVALID_ARGS:
	case VFIOD_ERROR_BAD_OPTION:
		return EXIT_USAGE;
	case VFIOD_ERROR_ACCESS_DENIED:
	case VFIOD_ERROR_NOT_PERMITTED:
	case VFIOD_ERROR_CONSENT_REQUIRED:
	case VFIOD_ERROR_UNSAFE_INTERRUPTS:
	case VFIOD_ERROR_RESET_NOT_OWNED:
		return EXIT_REFUSED;
	case VFIOD_ERROR_DEVICE_IN_USE:
	case VFIOD_ERROR_GROUP_BUSY:
	case VFIOD_ERROR_GROUP_DRAINING:
	case VFIOD_ERROR_GROUP_NOT_VIABLE:
	case VFIOD_ERROR_GROUP_CHANGED:
	case VFIOD_ERROR_QUOTA_EXCEEDED:
	case VFIOD_ERROR_NAME_TAKEN:
	case VFIOD_ERROR_ADDRESS_TAKEN:
		return EXIT_BUSY;
	case VFIOD_ERROR_NO_SUCH_DEVICE:
	case VFIOD_ERROR_NO_SUCH_GROUP:
	case VFIOD_ERROR_NO_SUCH_LEASE:
		return EXIT_NOT_FOUND;
	case VFIOD_ERROR_POLICY_INVALID:
		return EXIT_POLICY_INVALID;
	case VFIOD_ERROR_MODE_UNSUPPORTED:
		return EXIT_UNSUPPORTED;
	case VFIOD_ERROR_DRIVER_FAILED:
	case VFIOD_ERROR_DEVICE_FAILED:
	case VFIOD_ERROR_TIMED_OUT:
		return EXIT_DEVICE_FAILED;
	case VFIOD_ERROR_OTHER:
	case VFIOD_ERROR_HANDOFF:
		break;
	}
	return EXIT_FAILED;
}

int ctl_fail(const struct vfiod_error *error, int r)
{
	const char *name, *dot;

	if (!error)
		return ctl_say(EXIT_FAILED, "%s.", strerror(-r));
	name = vfiod_error_name(error);
	dot = strrchr(name, '.');
	/* The name is what the manual explains. The library's own errors have no entry there. */
	if (strncmp(name, "org.vfiod1.Error.", 17) == 0)
		return ctl_say(exit_code_for(vfiod_error_code(error)), "%s [%s]",
			       vfiod_error_message(error), dot + 1);
	return ctl_say(exit_code_for(vfiod_error_code(error)), "%s", vfiod_error_message(error));
}

int ctl_connect(struct ctl *ctl)
{
	int r;

	if (ctl->client)
		return EXIT_OK;
	r = vfiod_client_new(&ctl->client);
	if (r < 0)
		return ctl_say(EXIT_NO_DAEMON,
			       "Cannot connect to the system bus: %s. "
			       "Is the D-Bus daemon of this system running?",
			       strerror(-r));
	return EXIT_OK;
}

int ctl_print_json(const struct ctl *ctl, json_object *object)
{
	int flags = JSON_C_TO_STRING_NOSLASHESCAPE;
	const char *text;

	flags |= ctl->json == JSON_PRETTY ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED
					  : JSON_C_TO_STRING_PLAIN;
	text = json_object_to_json_string_ext(object, flags);
	if (!text || puts(text) < 0 || fflush(stdout) != 0)
		return ctl_say(EXIT_FAILED, "Cannot write the answer: %s.", strerror(errno));
	return EXIT_OK;
}

int ctl_common_option(struct ctl *ctl, int c, const char *verb)
{
	switch (c) {
	case OPT_HELP:
		usage_verb(stdout, verb);
		return EXIT_OK;
	case OPT_JSON:
		if (streq(optarg, "short"))
			ctl->json = JSON_SHORT;
		else if (streq(optarg, "pretty"))
			ctl->json = JSON_PRETTY;
		else if (streq(optarg, "off"))
			ctl->json = JSON_OFF;
		else
			return ctl_say(EXIT_USAGE, "--json takes short, pretty or off, not \"%s\".",
				       optarg);
		return -1;
	default: /* getopt has said what is wrong */
		usage_verb(stderr, verb);
		return EXIT_USAGE;
	}
}

int ctl_common_options(struct ctl *ctl, int argc, char *argv[])
{
	static const struct option options[] = { COMMON_OPTIONS, {} };
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		r = ctl_common_option(ctl, c, argv[0]);
		if (r >= 0)
			return r;
	}
	return -1;
}

int ctl_manager_call(struct ctl *ctl, const char *method)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
	_cleanup_(vfiod_error_freep) struct vfiod_error *error = NULL;
	int r;

	r = ctl_connect(ctl);
	if (r != EXIT_OK)
		return r;
	r = sd_bus_message_new_method_call(vfiod_client_bus(ctl->client), &call, "org.vfiod1",
					   "/org/vfiod1", "org.vfiod1.Manager", method);
	if (r >= 0)
		r = vfiod_client_call(ctl->client, call, NULL, &error);
	return r < 0 ? ctl_fail(error, r) : EXIT_OK;
}
