/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of fence-child.h. */

#include "daemon/lease/fence-child.h"

#include "daemon/lease/step.h"
#include "daemon/sysfs/attr.h"
#include "daemon/sysfs/write.h"

#include <stdio.h>
#include <sys/socket.h>

static void fill_plan(struct lease_device *device, struct step steps[FENCE_STEPS])
{
	static const enum step_kind kinds[FENCE_STEPS] = {
		[FENCE_OVERRIDE] = STEP_OVERRIDE, [FENCE_UNBIND] = STEP_UNBIND,
		[FENCE_LOCK] = STEP_PROBE,	  [FENCE_UNBIND_LATE] = STEP_UNBIND,
		[FENCE_VERIFY] = STEP_VERIFY,	  [FENCE_QUIET] = STEP_QUIET,
	};

	for (int i = 0; i < FENCE_STEPS; i++)
		steps[i] = (struct step){
			.kind = kinds[i],
			.device = device->name,
			.lease_device = device,
			.arg = i == FENCE_OVERRIDE ? OVERRIDE_NONE : NULL,
			.keep_going = true, /* a device that has gone is no failure */
		};
}

/*
 * A bridge on no driver masters no bus for itself, and is to forward again what is granted behind
 * it later.
 */
static bool is_bridge(const struct host *host, const char *name)
{
	char path[FENCE_NAME_MAX + 32];
	uint32_t class_code = 0;
	_cleanup_close_ int dir = -EBADF;

	snprintf(path, sizeof(path), "bus/pci/devices/%s", name);
	dir = attr_open_dir(host->sys, path);
	return dir >= 0 && attr_read_hex(dir, "class", 24, &class_code) == 0 &&
	       class_code >> 8 == 0x0604;
}

/*
 * The name, and with it the lease's lock: as long as this process may write to the device, the next
 * daemon lets the lease be. The lock's fd stays open until the process ends.
 */
static ssize_t receive_name(int sock, char *name, size_t size)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = name, .iov_len = size };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};

	return recvmsg(sock, &message, MSG_CMSG_CLOEXEC);
}

int fence_work(const struct host *host, int sock)
{
	char name[FENCE_NAME_MAX] = "";
	struct lease_device device = { .name = name };
	struct step steps[FENCE_STEPS];
	struct plan plan = { .steps = steps, .n = FENCE_STEPS, .name = "fence" };
	const struct step_context context = {
		.host = host,
		.subsystem = "pci",
	};
	ssize_t k = receive_name(sock, name, sizeof(name) - 1);
	int r;

	/* The daemon is gone, and nothing was asked for. */
	if (k <= 0)
		return 0;
	/* What comes to the address after this one gets a fence of its own, if it needs one. */
	device.appearance = sysfs_get_appearance(context.host, context.subsystem, name);
	fill_plan(&device, steps);
	if (is_bridge(context.host, name))
		plan.n = FENCE_QUIET;
	r = steps_run(&context, &plan, sock);
	return r < 0 ? 2 : r;
}
