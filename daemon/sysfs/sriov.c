/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of sriov.h. */

#include "daemon/sysfs/sriov.h"

#include "daemon/fault.h"
#include "daemon/sysfs/attr.h"
#include "daemon/sysfs/store.h"
#include "daemon/sysfs/uses.h"
#include "daemon/sysfs/write.h"
#include "daemon/util/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define NUMBER	  "sriov_numvfs"
#define AUTOPROBE "sriov_drivers_autoprobe"

#define WAIT_USEC  (20 * 1000)
#define WAIT_TRIES 500

/*
 * The first probe by a driver that asks for that (PROBE_PREFER_ASYNCHRONOUS: nvme) is a kernel
 * worker's where pci_bus_add_device() calls device_initial_probe() (Linux 7.2), and reads the
 * fence only then. Nothing says that it is over: it has this long to find the fence up.
 */
#define LATE_PROBE_USEC (100 * 1000)

static const char *const sriov_step_table[SRIOV_STEP_MAX] = {
	[SRIOV_READ] = "read",	   [SRIOV_LOOK] = "look",	[SRIOV_FENCE] = "fence",
	[SRIOV_UNBIND] = "unbind", [SRIOV_LOWER] = "lower",	[SRIOV_RAISE] = "raise",
	[SRIOV_WAIT] = "wait",	   [SRIOV_UNFENCE] = "unfence",
};
DEFINE_STRING_TABLE(sriov_step, enum sriov_step)

static int open_device(const struct host *host, const char *device)
{
	_cleanup_free_ char *path = NULL;

	if (!attr_name_valid(device))
		return -EINVAL;
	if (asprintf(&path, "bus/pci/devices/%s", device) < 0)
		return -ENOMEM;
	return attr_open_dir(host->sys, path);
}

static int read_number(const struct host *host, const char *device, const char *attr,
		       int64_t *value)
{
	_cleanup_close_ int dir = open_device(host, device);
	int r;

	if (dir < 0)
		return dir;
	r = attr_read_int(dir, attr, 0, 65535, value);
	return r > 0 ? (r == ATTR_MISSING ? -ENOENT : -EIO) : r;
}

/* Writes and reads back. */
static int write_number(const struct host *host, const char *device, const char *attr,
			unsigned int value)
{
	char text[16];
	int64_t now;
	int r;

	snprintf(text, sizeof(text), "%u\n", value);
	r = store_device(host, "pci", device, attr, text);
	if (r >= 0)
		r = read_number(host, device, attr, &now);
	if (r >= 0 && now != (int64_t)value)
		r = -EIO;
	return r;
}

/* Whether the links to all of them are there, and each has what makes it a device. */
static int count_functions(const struct host *host, const char *device, unsigned int n)
{
	_cleanup_close_ int dir = open_device(host, device);

	if (dir < 0)
		return dir;
	for (unsigned int i = 0; i < n; i++) {
		char path[64];

		snprintf(path, sizeof(path), "virtfn%u/subsystem", i);
		if (faccessat(dir, path, F_OK, 0) < 0)
			return errno == ENOENT ? 1 : -errno;
	}
	return 0;
}

static int wait_functions(const struct host *host, const char *device, unsigned int n)
{
	for (int i = 0; i < WAIT_TRIES; i++) {
		int r = count_functions(host, device, n);

		if (r <= 0)
			return r;
		usleep(WAIT_USEC);
	}
	return -ETIMEDOUT;
}

/* ---- what the fence was, on disk before it is raised (I4) */

static int note_fence(int state, bool up)
{
	if (ftruncate(state, 0) < 0)
		return -errno;
	if (up && pwrite(state, "1\n", 2, 0) != 2)
		return errno ? -errno : -EIO;
	return fsync(state) < 0 ? -errno : 0;
}

bool sriov_fence_is_up(int state)
{
	char text[2];

	return pread(state, text, sizeof(text), 0) == 2 && text[0] == '1';
}

int sriov_lower_fence(const struct host *host, const char *device, int state)
{
	int r;

	usleep(LATE_PROBE_USEC);
	r = write_number(host, device, AUTOPROBE, 1);
	if (r == -ENOENT && sysfs_get_appearance(host, "pci", device) == 0)
		r = 0;
	if (r < 0)
		return r;
	fault_point(VFS_UNFENCED);
	return note_fence(state, false);
}

/* ---- what was decided about, and is it that still */

struct run {
	const struct host *host;
	const struct sriov_order *order;
	enum sriov_step *step;
	char **why;
	struct held_fds held; /* block devices of those that go, until they have gone */
};

static bool is_other(const struct run *run, const struct device *device)
{
	return device->appearance &&
	       sysfs_get_appearance(run->host, "pci", device->name) != device->appearance;
}

static int find_uses(struct run *run, const struct device *function)
{
	const struct uses_query query = {
		.name = function->name,
		.syspath = function->syspath,
		.driver = function->driver,
		.class_code = function->class_code,
		.exclusive = true,
	};
	struct use_list uses = { 0 };
	int r = uses_read(run->host, &query, &run->held, &uses);

	for (size_t i = 0; r >= 0 && i < uses.n; i++) {
		if (run->order->waive & 1U << uses.items[i].kind)
			continue;
		r = sysfs_has_other_driver(run->host, "pci", function->name, function->driver)
			    ? -ESTALE
			    : -EBUSY;
		if (r == -EBUSY &&
		    asprintf(run->why, "%s: %s", function->name, uses.items[i].text) < 0) {
			*run->why = NULL;
			r = -ENOMEM;
		}
	}
	use_list_done(&uses);
	return r < 0 ? r : 0;
}

/* What the decision knew may be of some time ago, and those that are there are to vanish. */
static int look(struct run *run)
{
	*run->step = SRIOV_LOOK;
	for (size_t i = 0; i < run->order->n_functions; i++) {
		const struct device *function = run->order->functions[i];
		_cleanup_free_ char *driver = NULL;
		int r = sysfs_get_driver(run->host, "pci", function->name, &driver);

		if (r >= 0 && (is_other(run, function) || !streq0(driver, function->driver)))
			r = -ESTALE;
		if (r >= 0)
			r = find_uses(run, function);
		if (r < 0)
			return r == -ENOENT ? -ESTALE : r;
	}
	return 0;
}

/* ---- going and coming */

static int change(const struct run *run, enum sriov_step step, unsigned int value)
{
	const struct device *device = run->order->device;

	*run->step = step;
	if (is_other(run, device))
		return -ESTALE;
	return write_number(run->host, device->name, step == SRIOV_FENCE ? AUTOPROBE : NUMBER,
			    value);
}

/*
 * The kernel removes them under the rescan lock, and waits there for whoever has one open:
 * meanwhile no device of the whole host comes or goes. So that wait is here, with each by itself.
 */
static int unbind(const struct run *run)
{
	int r = 0;

	*run->step = SRIOV_UNBIND;
	for (size_t i = 0; r >= 0 && i < run->order->n_functions; i++)
		if (device_on_vfio(run->order->functions[i]))
			r = sysfs_unbind(run->host, "pci", run->order->functions[i]->name);
	return r;
}

static int go(struct run *run)
{
	unsigned int n = run->order->n;
	int r = 0;

	/* The kernel takes no number but 0 for another one (sriov_numvfs_store()). */
	if (run->order->n_functions > 0) {
		r = unbind(run);
		if (r >= 0)
			r = change(run, SRIOV_LOWER, 0);
		fault_point(VFS_GONE);
	}
	if (r >= 0 && n > 0)
		r = change(run, SRIOV_RAISE, n);
	if (r < 0)
		return r;
	*run->step = SRIOV_WAIT;
	r = wait_functions(run->host, run->order->device->name, n);
	fault_point(VFS_MADE);
	return r;
}

static int fenced(struct run *run)
{
	const char *device = run->order->device->name;
	int state = run->order->state, r, k;

	*run->step = SRIOV_FENCE;
	r = note_fence(state, true);
	if (r < 0)
		return r;
	r = change(run, SRIOV_FENCE, 0);
	fault_point(VFS_FENCED);
	if (r >= 0)
		r = go(run);
	/* Whatever came of it. */
	k = sriov_lower_fence(run->host, device, state);
	if (r >= 0 && k < 0) {
		*run->step = SRIOV_UNFENCE;
		r = k;
	}
	return r;
}

int sriov_set_number(const struct host *host, const struct sriov_order *order,
		     enum sriov_step *step, char **why)
{
	struct run run = { .host = host, .order = order, .step = step, .why = why };
	int64_t before, autoprobe;
	int r;

	*step = SRIOV_READ;
	*why = NULL;
	if (is_other(&run, order->device))
		return -ESTALE;
	r = read_number(host, order->device->name, NUMBER, &before);
	if (r >= 0)
		r = read_number(host, order->device->name, AUTOPROBE, &autoprobe);
	if (r < 0 || before == (int64_t)order->n)
		return r;
	/* Others than those that it was decided about. */
	if (before != (int64_t)order->n_functions)
		return -ESTALE;
	r = look(&run);
	if (r >= 0)
		r = autoprobe ? fenced(&run) : go(&run);
	held_fds_done(&run.held);
	return r;
}
