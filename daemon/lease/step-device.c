/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The steps that look at a device and swap its driver. A success of sysfs is no evidence: what
 * counts is read back.
 */

#include "daemon/lease/step-run.h"

#include "daemon/sysfs/attr.h"
#include "daemon/sysfs/mdev.h"
#include "daemon/sysfs/serial.h"
#include "daemon/sysfs/write.h"

#include <stdio.h>

/* "none" in words */
static const char *or_none(const char *driver)
{
	return driver ? driver : "no driver";
}

/* ---- uses */

static uint32_t read_class(const struct step_run *run, const char *device)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int dir = -EBADF;
	uint32_t class_code;

	if (asprintf(&path, "bus/%s/devices/%s", run->subsystem, device) < 0) {
		path = NULL;
		return ID_UNKNOWN;
	}
	dir = attr_open_dir(run->host->sys, path);
	if (dir < 0 || attr_read_hex(dir, "class", 24, &class_code) != 0)
		return ID_UNKNOWN;
	return class_code;
}

/* Appends "KIND\tTEXT\n" to the report; what does not fit is dropped, and seen to be. */
static void add_use(struct step_run *run, const struct use *use)
{
	const char *kind = use_kind_to_string(use->kind), more[] = "…";
	size_t used = strlen(run->report.text);
	size_t room = sizeof(run->report.text) - used;
	int k;

	run->report.uses |= 1U << use->kind;
	if (room <= sizeof(more))
		return;
	k = snprintf(run->report.text + used, room - sizeof(more), "%s\t%s\n", kind ? kind : "?",
		     use->text);
	if (k < 0 || (size_t)k >= room - sizeof(more))
		memcpy(run->report.text + used, more, sizeof(more));
}

/* Finds what is not waived; 0 or -errno: then it is not known. */
static int find_uses(struct step_run *run, const struct step *step, const char *driver,
		     bool exclusive, struct held_fds *held)
{
	const struct uses_query query = {
		.name = step->device,
		.syspath = step->lease_device->syspath,
		.driver = driver,
		.class_code = read_class(run, step->device),
		.exclusive = exclusive,
	};
	struct use_list uses = { 0 };
	int r;

	r = uses_read(run->host, &query, held, &uses);
	for (size_t i = 0; i < uses.n; i++)
		if (!(step->waive & (1U << uses.items[i].kind)))
			add_use(run, &uses.items[i]);
	use_list_done(&uses);
	if (r < 0)
		return say(run, r, "whether it is in use cannot be found out: %s", strerror(-r));
	if (!run->report.uses ||
	    !sysfs_has_other_driver(run->host, run->subsystem, step->device, driver))
		return 0;
	run->report.uses = 0;
	return say(run, -EAGAIN, "it lost its driver while it was looked at");
}

/* ---- identity */

/* Whether it is where it was: behind another bridge, an address means another device. */
static int check_path(struct step_run *run, const struct lease_device *d)
{
	_cleanup_free_ char *link = NULL, *path = NULL;
	int r;

	if (!d->syspath)
		return 0;
	if (asprintf(&link, "bus/%s/devices/%s", run->subsystem, d->name) < 0) {
		link = NULL;
		return -ENOMEM;
	}
	r = attr_read_link_path(run->host->sys, link, "/sys", &path);
	if (r == ATTR_MISSING)
		return -ENOENT;
	if (r < 0)
		return r;
	if (r == 0 && streq(path, d->syspath))
		return 0;
	return say(run, -ESTALE, "another device has its address now: it is at %s, it was at %s",
		   path ? path : "an unknown place", d->syspath);
}

int step_appearance(struct step_run *run, const struct step *step)
{
	const struct lease_device *d = step->lease_device;
	/* A step on the PF of a VF has the VF's entry. */
	uint64_t then = d && streq0(step->device, d->name) ? d->appearance : 0;
	uint64_t now = then ? sysfs_get_appearance(run->host, run->subsystem, step->device) : 0;

	/* Gone altogether is for the step itself to find. */
	if (!now || now == then)
		return 0;
	return say(run, -ESTALE, "it was removed, and another device has its address now");
}

int step_identity(struct step_run *run, const struct step *step)
{
	const struct lease_device *d = step->lease_device;
	const uint32_t then[4] = { d->vendor, d->product, d->subvendor, d->subproduct };
	uint32_t now[4];
	int r;

	r = step_appearance(run, step);
	if (r >= 0)
		r = sysfs_get_identity(run->host, run->subsystem, step->device, now);
	if (r < 0)
		return r;
	if (memcmp(then, now, sizeof(now)) != 0)
		return say(run, -ESTALE, "it is another device now: %04x:%04x, it was %04x:%04x",
			   now[0], now[1], then[0], then[1]);
	return check_path(run, d);
}

/* ---- looking */

static int read_state(struct step_run *run, const struct step *step, char **driver, char **override)
{
	int r;

	r = sysfs_get_driver(run->host, run->subsystem, step->device, driver);
	if (r < 0)
		return say(run, r, "its driver cannot be read: %s", strerror(-r));
	r = sysfs_get_override(run->host, run->subsystem, step->device, override);
	if (r < 0)
		return say(run, r, "its driver_override cannot be read: %s", strerror(-r));
	return 0;
}

/* What does not fit would be journaled, and given back, as something else. */
static int copy_name(struct step_run *run, char *to, size_t size, const char *from)
{
	int k = snprintf(to, size, "%s", from ? from : "");

	if (k >= 0 && (size_t)k < size)
		return 0;
	*to = 0;
	return say(run, -ENAMETOOLONG, "its driver or driver_override has too long a name");
}

int step_inspect(struct step_run *run, const struct step *step)
{
	_cleanup_free_ char *driver = NULL, *override = NULL;
	_cleanup_(held_fds_done) struct held_fds held = { 0 };
	bool on = false;
	int r;

	r = read_state(run, step, &driver, &override);
	if (r < 0)
		return r;
	r = copy_name(run, run->report.driver, sizeof(run->report.driver), driver);
	if (r >= 0)
		r = copy_name(run, run->report.override, sizeof(run->report.override), override);
	if (r < 0)
		return r;
	if (streq(run->subsystem, "pci")) {
		r = sysfs_get_bus_master(run->host, step->device, &on);
		if (r < 0)
			return say(run, r, "its command register cannot be read: %s", strerror(-r));
	}
	run->report.bus_master = on;
	run->report.has_serial =
		step->find_serial && serial_find(run->host, step->device, run->report.serial);
	return find_uses(run, step, driver, step->exclusive, step->exclusive ? &held : NULL);
}

int step_check(struct step_run *run, const struct step *step)
{
	const struct lease_device *d = step->lease_device;
	_cleanup_free_ char *driver = NULL, *override = NULL;
	int r;

	r = step_identity(run, step);
	if (r >= 0)
		r = read_state(run, step, &driver, &override);
	if (r < 0)
		return r;
	if (!streq0(driver, d->saved_driver))
		return say(run, -ESTALE, "it is on %s now, it was on %s", or_none(driver),
			   or_none(d->saved_driver));
	if (!streq0(override, d->saved_override))
		return say(run, -ESTALE, "its driver_override is \"%s\" now, it was \"%s\"",
			   override ? override : "", d->saved_override ? d->saved_override : "");
	held_fds_done(&run->held);
	run->held = (struct held_fds){ 0 };
	r = find_uses(run, step, driver, true, &run->held);
	if (r < 0)
		return r;
	return run->report.uses ? -EBUSY : 0;
}

/* ---- swapping */

int device_override(struct step_run *run, const char *device, const char *driver)
{
	int r = sysfs_set_override(run->host, run->subsystem, device, driver);

	if (r < 0)
		return say(run, r, "driver_override of %s cannot be set to \"%s\": %s", device,
			   driver ? driver : "", strerror(-r));
	return 0;
}

int device_unbind(struct step_run *run, const char *device)
{
	int r = sysfs_unbind(run->host, run->subsystem, device);

	return r < 0 ? say(run, r, "%s cannot be unbound: %s", device, strerror(-r)) : 0;
}

int device_probe(struct step_run *run, const char *device)
{
	int r;

	if (run->watch && !run->marked) {
		r = node_watch_mark(run->watch);
		if (r < 0)
			return say(run, r, "udev's events cannot be followed: %s", strerror(-r));
		run->marked = true;
	}
	r = streq(run->subsystem, "mdev") ? mdev_probe(run->host, device, run->note)
					  : sysfs_probe(run->host, run->subsystem, device);
	if (r == -EINVAL)
		return say(run, r, "the kernel refused to bind %s; its log says why", device);
	return r < 0 ? say(run, r, "%s cannot be probed: %s", device, strerror(-r)) : 0;
}

int device_verify(struct step_run *run, const char *device, const char *driver)
{
	_cleanup_free_ char *now = NULL;
	int r;

	r = sysfs_get_driver(run->host, run->subsystem, device, &now);
	if (r < 0)
		return say(run, r, "the driver of %s cannot be read: %s", device, strerror(-r));
	if (streq0(now, driver))
		return 0;
	return say(run, -EIO, "%s is on %s, it should be on %s", device, or_none(now),
		   or_none(driver));
}

int step_override(struct step_run *run, const struct step *step)
{
	return device_override(run, step->device, step->arg);
}

int step_unbind(struct step_run *run, const struct step *step)
{
	_cleanup_free_ char *driver = NULL;
	int r = sysfs_get_driver(run->host, run->subsystem, step->device, &driver);

	/* For the report: what it was unbound from. */
	if (r >= 0)
		r = copy_name(run, run->report.driver, sizeof(run->report.driver), driver);
	if (r >= 0)
		r = device_unbind(run, step->device);

	held_fds_done(&run->held);
	run->held = (struct held_fds){ 0 };
	return r;
}

int step_unbind_vfio(struct step_run *run, const struct step *step)
{
	_cleanup_free_ char *driver = NULL;
	int r;

	r = sysfs_get_driver(run->host, run->subsystem, step->device, &driver);
	if (r < 0)
		return say(run, r, "its driver cannot be read: %s", strerror(-r));
	if (!driver || !driver_is_vfio(driver, step->lease_device->target_driver))
		return 0;
	/* Nothing may bind it again before all of its group are unbound (I5). */
	r = device_override(run, step->device, OVERRIDE_NONE);
	if (r >= 0)
		r = device_unbind(run, step->device);
	return r < 0 ? r : device_verify(run, step->device, NULL);
}

int step_settle(struct step_run *run, const struct step *step)
{
	_cleanup_free_ char *driver = NULL;
	int r;

	r = sysfs_get_driver(run->host, run->subsystem, step->device, &driver);
	if (r < 0)
		return say(run, r, "its driver cannot be read: %s", strerror(-r));
	if (driver && driver_is_vfio(driver, step->lease_device->target_driver))
		return say(run, -EBUSY, "it is on %s again", driver);
	/* An unbind takes the driver away first and waits then: a bound device has none pending. */
	if (driver)
		return 0;
	/* Another device by now: the leased one is gone, and its unbind was over before that. */
	r = step_identity(run, step);
	if (r == -ESTALE)
		return say(run, 0, "%s", "");
	if (r < 0)
		return r;
	r = device_override(run, step->device, OVERRIDE_NONE);
	if (r < 0)
		return r;
	r = sysfs_wait_unbound(run->host, run->subsystem, step->device,
			       step->lease_device->target_driver);
	if (r < 0)
		return say(run, r, "whether its unbind is over cannot be found out: %s",
			   strerror(-r));
	return device_verify(run, step->device, NULL);
}

int step_probe(struct step_run *run, const struct step *step)
{
	int r = device_probe(run, step->device);

	/* Which driver it gets is the kernel's to find, and it may find none now: that is told, and
	 * keeps nothing from going home. */
	for (bool again = false; r >= 0 && step->arg; again = true) {
		_cleanup_free_ char *driver = NULL;

		r = sysfs_get_driver(run->host, run->subsystem, step->device, &driver);
		if (r < 0)
			return say(run, r, "its driver cannot be read: %s", strerror(-r));
		if (driver || again)
			return driver ? 0 : say(run, 0, "no driver takes it; %s had it", step->arg);
		r = device_probe(run, step->device);
	}
	return r;
}

int step_verify(struct step_run *run, const struct step *step)
{
	return device_verify(run, step->device, step->arg);
}

int step_quiet(struct step_run *run, const struct step *step)
{
	bool on = false;
	int r;

	/* No other bus has a switch that the daemon could see. */
	if (!streq(run->subsystem, "pci"))
		return 0;
	r = sysfs_get_bus_master(run->host, step->device, &on);
	if (r >= 0 && on) {
		r = sysfs_clear_bus_master(run->host, step->device);
		if (r >= 0)
			r = sysfs_get_bus_master(run->host, step->device, &on);
	}
	if (r < 0)
		return say(run, r, "bus mastering cannot be read or switched off: %s",
			   strerror(-r));
	return on ? say(run, -EIO, "bus mastering stays on although no driver has it") : 0;
}

int step_vfs(struct step_run *run, const struct step *step, bool on)
{
	int r = sysfs_set_vf_probe(run->host, step->arg, on);
	_cleanup_free_ char *driver = NULL;

	/* A function that has gone has taken its VFs along. */
	if (r == -ENOENT &&
	    sysfs_get_driver(run->host, run->subsystem, step->arg, &driver) == -ENOENT)
		return 0;
	return r < 0 ? say(run, r, "sriov_drivers_autoprobe of %s cannot be set to %d: %s",
			   step->arg, on, strerror(-r))
		     : 0;
}
