/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of sriov.h. */

#include "daemon/sysfs/sriov.h"

#include "daemon/sysfs/attr.h"
#include "daemon/sysfs/store.h"
#include "daemon/util/fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define NUMBER	  "sriov_numvfs"
#define AUTOPROBE "sriov_drivers_autoprobe"

#define WAIT_USEC  (20 * 1000)
#define WAIT_TRIES 500

static const char *const sriov_step_table[SRIOV_STEP_MAX] = {
	[SRIOV_READ] = "read",	 [SRIOV_FENCE] = "fence", [SRIOV_LOWER] = "lower",
	[SRIOV_RAISE] = "raise", [SRIOV_WAIT] = "wait",	  [SRIOV_UNFENCE] = "unfence",
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
	int r = write_number(host, device, AUTOPROBE, 1);

	return r < 0 ? r : note_fence(state, false);
}

struct run {
	const struct host *host;
	const char *device;
	bool (*stop)(void *userdata);
	void *userdata;
	enum sriov_step *step;
};

static int change(const struct run *run, enum sriov_step step, unsigned int value)
{
	*run->step = step;
	if (run->stop && run->stop(run->userdata))
		return -ECANCELED;
	return write_number(run->host, run->device,
			    step == SRIOV_FENCE || step == SRIOV_UNFENCE ? AUTOPROBE : NUMBER,
			    value);
}

static int go(const struct run *run, unsigned int before, unsigned int n)
{
	int r = 0;

	/* The kernel takes no number but 0 for another one (sriov_numvfs_store()). */
	if (before > 0)
		r = change(run, SRIOV_LOWER, 0);
	if (r >= 0 && n > 0)
		r = change(run, SRIOV_RAISE, n);
	if (r < 0)
		return r;
	*run->step = SRIOV_WAIT;
	return wait_functions(run->host, run->device, n);
}

int sriov_set_number(const struct host *host, const char *device, unsigned int n, int state,
		     bool (*stop)(void *userdata), void *userdata, enum sriov_step *step)
{
	struct run run = { host, device, stop, userdata, step };
	int64_t before, autoprobe;
	int r, k = 0;

	*step = SRIOV_READ;
	r = read_number(host, device, NUMBER, &before);
	if (r >= 0)
		r = read_number(host, device, AUTOPROBE, &autoprobe);
	if (r < 0 || before == (int64_t)n)
		return r;
	if (autoprobe) {
		*step = SRIOV_FENCE;
		r = note_fence(state, true);
		if (r < 0)
			return r;
		r = change(&run, SRIOV_FENCE, 0);
	}
	if (r >= 0)
		r = go(&run, (unsigned int)before, n);
	/* Whatever came of it, and whoever has gone meanwhile. */
	if (autoprobe)
		k = sriov_lower_fence(host, device, state);
	if (r >= 0 && k < 0) {
		*step = SRIOV_UNFENCE;
		r = k;
	}
	return r;
}
