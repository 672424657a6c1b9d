/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of fence-mend.h. */

#include "daemon/lease/fence-mend.h"

#include "daemon/lease/fence.h"
#include "daemon/sysfs/attr.h"
#include "daemon/sysfs/write.h"

#include <stdio.h>

#define STEPS_MAX 12 /* of one device: add_shut() and add_left(), or add_bind() */

/* Devices that are the guard's: the others are gone, on their way, or a fence's. */
static bool is_guarded(const struct lease_run *run, const struct lease_device *d)
{
	return !d->gone && !d->parking && !fences_busy_with(run->engine->fences, d->name);
}

struct builder {
	struct step steps[STEPS_MAX];
	struct plan plan;
	const struct lease_device *device;
};

static void add(struct builder *b, struct step step)
{
	step.device = b->device->name;
	step.lease_device = b->device;
	step.keep_going = true;
	b->steps[b->plan.n++] = step;
}

/*
 * Away from whatever has it, as a fence does (fence-child.h). An unbind that somebody else began,
 * and that waits for the VMM, is not waited for: what is bound after that shows it (VERIFY).
 */
static void add_shut(struct builder *b)
{
	add(b, (struct step){ .kind = STEP_OVERRIDE, .arg = OVERRIDE_NONE });
	add(b, (struct step){ .kind = STEP_UNBIND });
	add(b, (struct step){ .kind = STEP_PROBE });
	add(b, (struct step){ .kind = STEP_UNBIND });
	add(b, (struct step){ .kind = STEP_VERIFY });
}

static void add_bind(struct builder *b, const struct lease *lease)
{
	const char *driver = b->device->target_driver;
	bool node = lease->mode == MODE_NODE && b->device->state == DEVICE_GRANTED;

	add(b, (struct step){ .kind = STEP_OVERRIDE, .arg = driver });
	add(b, (struct step){ .kind = STEP_PROBE });
	add(b, (struct step){ .kind = STEP_VERIFY, .arg = driver });
	/* The node is a new one. In node mode a sibling's grant has the owner on the group's
	 * already. */
	add(b, (struct step){ .kind = STEP_NODE_CLEAN,
			      .uid = lease->mode == MODE_NODE ? lease->owner : (uid_t)-1 });
	if (node)
		add(b, (struct step){ .kind = STEP_NODE_GRANT, .uid = lease->owner });
}

/* What a device is found to have. */
struct found {
	char *driver, *override;
	bool bus_master; /* of one that is to be on no driver */
};

static void found_done(struct found *found)
{
	free(found->driver);
	free(found->override);
}

static int tell(int sock, const struct lease_device *d, const struct found *found)
{
	struct step_report report = { .index = MEND_FOUND, .bus_master = found->bus_master };

	snprintf(report.device, sizeof(report.device), "%s", d->name);
	snprintf(report.driver, sizeof(report.driver), "%s", found->driver ?: "");
	snprintf(report.override, sizeof(report.override), "%s", found->override ?: "");
	return socket_send_fd_borrow(sock, &report, sizeof(report), -EBADF);
}

static int look(const struct host *host, const struct lease_device *d, bool blocked,
		struct found *found)
{
	int r = sysfs_get_driver(host, "pci", d->name, &found->driver);

	if (r >= 0)
		r = sysfs_get_override(host, "pci", d->name, &found->override);
	if (r < 0 || blocked || d->target_driver || d->bridge || d->left)
		return r;
	/* Of one that does not answer there is nothing to be known, nor to be afraid of. */
	if (sysfs_get_bus_master(host, d->name, &found->bus_master) < 0)
		found->bus_master = false;
	return 0;
}

bool mend_left_counts(const struct lease_device *d, const char *driver)
{
	const struct device device = {
		.name = d->name,
		.subsystem = (char *)"pci",
		.driver = (char *)driver,
	};

	return driver && !streq0(driver, d->saved_driver) && driver_counts(&device);
}

static bool is_right(const struct lease_device *d, bool blocked, const struct found *found)
{
	const char *wanted = d->target_driver ? d->target_driver : OVERRIDE_NONE;

	/* Of a blocked lease only that is known: the driver that its devices had at the start. */
	if (blocked)
		return streq0(found->driver, d->left ? d->saved_driver : d->target_driver);
	if (d->left)
		return !mend_left_counts(d, found->driver);
	return streq0(found->driver, d->target_driver) && streq0(found->override, wanted) &&
	       !found->bus_master;
}

/* Back to the driver that it was left on. */
static void add_left(struct builder *b)
{
	add_shut(b);
	add(b, (struct step){ .kind = STEP_OVERRIDE, .arg = b->device->saved_driver });
	add(b, (struct step){ .kind = STEP_PROBE });
	add(b, (struct step){ .kind = STEP_VERIFY, .arg = b->device->saved_driver });
	add(b, (struct step){ .kind = STEP_OVERRIDE });
}

static void add_repair(struct builder *b, const struct lease *lease, const struct found *found)
{
	const struct lease_device *d = b->device;

	if (d->left) {
		add_left(b);
		return;
	}
	if (streq0(found->driver, d->target_driver)) {
		const char *wanted = d->target_driver ? d->target_driver : OVERRIDE_NONE;

		add(b, (struct step){ .kind = STEP_OVERRIDE, .arg = wanted });
	} else {
		add_shut(b);
		if (d->target_driver)
			add_bind(b, lease);
	}
	if (!d->target_driver && !d->bridge)
		add(b, (struct step){ .kind = STEP_QUIET });
}

/* 0: fine, or put right; > 0: it could not be; -errno. first: nothing was tried before. */
static int try_to_put_right(const struct lease_run *run, const struct lease_device *d, int sock,
			    bool first)
{
	const struct host *host = run->engine->host;
	const struct step_context context = { .host = host, .subsystem = "pci" };
	_cleanup_(found_done) struct found found = { 0 };
	struct builder b = { .device = d };
	int r;

	b.plan.steps = b.steps;
	b.plan.name = "guard";
	r = look(host, d, run->lease->blocked, &found);
	if (r == -ENOENT)
		return 0;
	if (r < 0 || is_right(d, run->lease->blocked, &found))
		return r;
	/* Another one by now: its event is on its way. */
	if (d->appearance && sysfs_get_appearance(host, "pci", d->name) != d->appearance)
		return 0;
	r = first ? tell(sock, d, &found) : 0;
	/*
	 * What is put right is an override, too: of a blocked lease nobody knows which one is
	 * right, and an administrator who is to look after its devices may be at it.
	 */
	if (r < 0 || run->lease->blocked)
		return r;
	add_repair(&b, run->lease, &found);
	return steps_run(&context, &b.plan, sock);
}

/* Somebody may write at the very moment: what is read back then is no failure of ours yet. */
static int put_right(const struct lease_run *run, const struct lease_device *d, int sock)
{
	int r = try_to_put_right(run, d, sock, true);

	return r > 0 ? try_to_put_right(run, d, sock, false) : r;
}

bool mend_isolates(const char *type)
{
	return streq(type, "DMA") || streq(type, "DMA-FQ");
}

/* 0: fine, or put right; > 0: it could not be; -errno. */
static int put_type_right(const struct lease_run *run, const struct lease_group *group, int sock)
{
	const struct host *host = run->engine->host;
	struct step_report report = { .index = MEND_TYPE };
	char now[32];
	int r;

	if (sysfs_get_group_type(host, group->id, now, sizeof(now)) < 0 ||
	    streq(now, group->type) ||
	    sysfs_get_group_appearance(host, group->id) != group->appearance)
		return 0;
	snprintf(report.device, sizeof(report.device), "%u", group->id);
	snprintf(report.driver, sizeof(report.driver), "%s", now);
	r = socket_send_fd_borrow(sock, &report, sizeof(report), -EBADF);
	if (r < 0 || (mend_isolates(now) && mend_isolates(group->type)))
		return r;
	r = sysfs_set_group_type(host, group->id, group->type);
	if (r >= 0)
		return 0;
	report.event = STEP_FAILED;
	snprintf(report.text, sizeof(report.text), "the domain type of group %u stays %s: %s",
		 group->id, now, strerror(-r));
	r = socket_send_fd_borrow(sock, &report, sizeof(report), -EBADF);
	return r < 0 ? r : 1;
}

int mend_work(const struct lease_run *run, int sock)
{
	const struct lease *lease = run->lease;
	int result = 0;

	for (size_t i = 0; i < lease->n_devices; i++) {
		int r;

		if (!is_guarded(run, &lease->devices[i]))
			continue;
		r = put_right(run, &lease->devices[i], sock);
		if (r != 0)
			result = r < 0 ? 2 : 1;
	}
	for (size_t i = 0; i < lease->n_groups; i++) {
		int r = 0;

		if (!lease->groups[i].gone && lease->groups[i].type && !lease->blocked)
			r = put_type_right(run, &lease->groups[i], sock);
		if (r != 0)
			result = r < 0 ? 2 : 1;
	}
	return result;
}
