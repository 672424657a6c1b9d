/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The implementation of modules.h: StartUnit for each module, then JobRemoved for each job. Anybody
 * may send us a signal of that name, so first the bus is asked who the service manager is.
 * Subscribe() is not called: the service manager announces the end of a job to whoever queued it,
 * and a subscription would make it announce every unit's every change for as long as we live.
 */

#include "daemon/bus/modules.h"

#include <stdio.h>
#include <systemd/sd-event.h>

#define MANAGER_NAME  "org.freedesktop.systemd1"
#define MANAGER_PATH  "/org/freedesktop/systemd1"
#define MANAGER_IFACE "org.freedesktop.systemd1.Manager"

struct module {
	struct modules_load *load;
	char *name; /* with '_' */
	char *unit;
	char *job; /* object path; NULL: StartUnit has not been answered yet */
	sd_bus_slot *slot;
	bool done;
	char *early; /* "JOB RESULT" of a job whose end came before StartUnit's reply did */
};

struct modules_load {
	sd_bus *bus;
	sd_bus_slot *owner; /* GetNameOwner */
	sd_bus_slot *match;
	sd_event_source *timer; /* time-out, or, with nothing to wait for, the next turn */
	struct module *modules;
	size_t n_modules;
	bool finished;
	modules_fn callback;
	void *userdata;
};

int modules_unit(const char *module, char **unit)
{
	if (str_empty(module) || strlen(module) > 128)
		return -EINVAL;
	for (const char *p = module; *p; p++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", *p))
			return -EINVAL;
	if (module[0] == '-')
		return -EINVAL;
	if (asprintf(unit, "modprobe@%s.service", module) < 0)
		return -ENOMEM;
	/*
	 * To modprobe '-' and '_' are the same. In a unit name '-' would be '/' escaped, and some
	 * versions of modprobe@.service have %i (as it is written) and some %I (unescaped).
	 */
	for (char *p = *unit; *p; p++)
		if (*p == '-')
			*p = '_';
	return 0;
}

/* Once: the callback may free the load. */
static void finish(struct modules_load *load, int r, const char *message)
{
	if (load->finished)
		return;
	load->finished = true;
	load->match = sd_bus_slot_unref(load->match);
	load->timer = sd_event_source_disable_unref(load->timer);
	load->callback(load, r, message, load->userdata);
}

static void finish_module(struct modules_load *load, int r, const struct module *module,
			  const char *what)
{
	char message[512];

	snprintf(message, sizeof(message), "The kernel module %s could not be loaded: %s %s.",
		 module->name, module->unit, what);
	finish(load, r, message);
}

/* "skipped": a condition of the unit is not met (no CAP_SYS_MODULE: a container). */
static void job_ended(struct module *module, const char *result)
{
	struct modules_load *load = module->load;
	char what[64];

	module->done = true;
	if (!streq(result, "done")) {
		snprintf(what, sizeof(what), "ended as \"%.32s\"", result);
		finish_module(load, MODULES_FAILED, module, what);
		return;
	}
	for (size_t i = 0; i < load->n_modules; i++)
		if (!load->modules[i].done)
			return;
	finish(load, 0, NULL);
}

/* JobRemoved(u id, o job, s unit, s result) */
static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct modules_load *load = userdata;
	const char *job, *unit, *result;

	if (sd_bus_message_read(m, "uoss", NULL, &job, &unit, &result) < 0)
		return 0;
	for (size_t i = 0; i < load->n_modules; i++) {
		struct module *module = &load->modules[i];

		if (module->done || !streq(module->unit, unit))
			continue;
		if (module->job && streq(module->job, job))
			job_ended(module, result);
		/* Which job is ours is known later: the last of this unit, for others' are before
		 * it in the queue, or are the same job. */
		else if (!module->job)
			free_and_asprintf(&module->early, "%s %s", job, result);
		break;
	}
	return 0;
}

static int on_match_installed(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct modules_load *load = userdata;

	/* Without it the end of no job would be seen; the default would close the connection. */
	if (sd_bus_message_is_method_error(m, NULL) && load->n_modules > 0)
		finish_module(load, -EIO, &load->modules[0], "cannot be watched");
	return 0;
}

static void start_failed(struct module *module, sd_bus_message *m)
{
	const sd_bus_error *e = sd_bus_message_get_error(m);
	char what[320];
	int r = -sd_bus_message_get_errno(m);

	if (e->name && (streq(e->name, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
			streq(e->name, SD_BUS_ERROR_NAME_HAS_NO_OWNER))) {
		finish_module(module->load, MODULES_NO_MANAGER, module,
			      "cannot be started, for systemd is not on the bus");
		return;
	}
	if (r == -ETIMEDOUT) {
		finish_module(module->load, r, module, "did not start in time");
		return;
	}
	snprintf(what, sizeof(what), "cannot be started (%.256s)",
		 e->message ? e->message : e->name);
	finish_module(module->load, MODULES_FAILED, module, what);
}

static int on_started(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct module *module = userdata;
	const char *job;
	size_t n;

	if (sd_bus_message_is_method_error(m, NULL)) {
		start_failed(module, m);
		return 0;
	}
	if (sd_bus_message_read(m, "o", &job) < 0) {
		finish_module(module->load, -EBADMSG, module, "has no job");
		return 0;
	}
	module->job = strdup(job);
	if (!module->job) {
		finish_module(module->load, -ENOMEM, module, "was started, but memory ran out");
		return 0;
	}
	n = strlen(job);
	if (module->early && strncmp(module->early, job, n) == 0 && module->early[n] == ' ')
		job_ended(module, module->early + n + 1);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct modules_load *load = userdata;

	for (size_t i = 0; i < load->n_modules; i++)
		if (!load->modules[i].done) {
			finish_module(load, -ETIMEDOUT, &load->modules[i], "did not end in time");
			return 0;
		}
	finish(load, 0, NULL);
	return 0;
}

static int start_module(struct modules_load *load, struct module *module)
{
	return sd_bus_call_method_async(load->bus, &module->slot, MANAGER_NAME, MANAGER_PATH,
					MANAGER_IFACE, "StartUnit", on_started, module, "ss",
					module->unit, "replace");
}

static int add_module(struct modules_load *load, const char *name)
{
	struct module *module = &load->modules[load->n_modules];
	_cleanup_free_ char *unit = NULL;
	int r;

	r = modules_unit(name, &unit);
	if (r < 0)
		return r;
	for (size_t i = 0; i < load->n_modules; i++)
		if (streq(load->modules[i].unit, unit))
			return 0;
	load->n_modules++;
	module->load = load;
	module->unit = STEAL(unit);
	module->name = strdup(name);
	return module->name ? 0 : -ENOMEM;
}

static int start_all(struct modules_load *load, const char *owner)
{
	int r;

	/* Before the calls: a job can end before the reply that names it has been read. */
	r = sd_bus_match_signal_async(load->bus, &load->match, owner, MANAGER_PATH, MANAGER_IFACE,
				      "JobRemoved", on_job_removed, on_match_installed, load);
	for (size_t i = 0; i < load->n_modules && r >= 0; i++)
		r = start_module(load, &load->modules[i]);
	return r;
}

static int on_owner(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct modules_load *load = userdata;
	const char *owner;
	int r;

	if (sd_bus_message_is_method_error(m, NULL)) {
		start_failed(&load->modules[0], m);
		return 0;
	}
	r = sd_bus_message_read(m, "s", &owner);
	if (r >= 0)
		r = start_all(load, owner);
	if (r < 0)
		finish_module(load, r, &load->modules[0], "cannot be started");
	return 0;
}

/* With nothing to load, the timer says so in the next turn of the loop. */
static int begin(struct modules_load *load)
{
	int r;

	r = sd_event_add_time_relative(sd_bus_get_event(load->bus), &load->timer, CLOCK_MONOTONIC,
				       load->n_modules ? MODULES_TIMEOUT_USEC : 0, 0, on_timer,
				       load);
	if (r < 0 || load->n_modules == 0)
		return r;
	return sd_bus_call_method_async(load->bus, &load->owner, "org.freedesktop.DBus",
					"/org/freedesktop/DBus", "org.freedesktop.DBus",
					"GetNameOwner", on_owner, load, "s", MANAGER_NAME);
}

int modules_load(sd_bus *bus, char *const *modules, modules_fn callback, void *userdata,
		 struct modules_load **ret)
{
	_cleanup_(modules_load_freep) struct modules_load *load = NULL;
	size_t n = strv_length(modules);
	int r;

	if (n > MODULES_MAX)
		return -E2BIG;
	load = calloc(1, sizeof(*load));
	if (!load)
		return -ENOMEM;
	load->bus = sd_bus_ref(bus);
	load->callback = callback;
	load->userdata = userdata;
	load->modules = calloc(n ? n : 1, sizeof(*load->modules));
	if (!load->modules)
		return -ENOMEM;
	STRV_FOREACH (name, modules) {
		r = add_module(load, *name);
		if (r < 0)
			return r;
	}
	r = begin(load);
	if (r < 0)
		return r;
	*ret = STEAL(load);
	return 0;
}

struct modules_load *modules_load_free(struct modules_load *load)
{
	if (!load)
		return NULL;
	sd_bus_slot_unref(load->owner);
	sd_bus_slot_unref(load->match);
	sd_event_source_disable_unref(load->timer);
	for (size_t i = 0; i < load->n_modules; i++) {
		sd_bus_slot_unref(load->modules[i].slot);
		free(load->modules[i].name);
		free(load->modules[i].unit);
		free(load->modules[i].job);
		free(load->modules[i].early);
	}
	free(load->modules);
	sd_bus_unref(load->bus);
	free(load);
	return NULL;
}
