/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Loads kernel modules by asking the service manager for modprobe@NAME.service, because the
 * daemon's own sandbox has neither CAP_SYS_MODULE nor the modules' files.
 */

#include "policy/base.h"

#include <systemd/sd-bus.h>

#define MODULES_TIMEOUT_USEC (30 * UINT64_C(1000000))
#define MODULES_MAX	     64

enum {
	/* A job failed, or there is no such unit: `message` names module and unit. */
	MODULES_FAILED = 1,
	/* The service manager is not on the bus. */
	MODULES_NO_MANAGER,
};

struct modules_load;
/*
 * r: 0: every job is done; a MODULES_ outcome; -ETIMEDOUT; -errno. `message` is a sentence for
 * people for everything but 0; good during the call.
 * 0 does not say that a module is loaded: modprobe@.service ignores modprobe's exit code, as it
 * must for a module that is built in. The caller looks at what it needed it for.
 * The callee calls modules_load_free(), in this call or later.
 */
typedef void (*modules_fn)(struct modules_load *load, int r, const char *message, void *userdata);

/*
 * Starts loading. modules: names as in modules.alias ("vfio-pci" and "vfio_pci" are the same);
 * duplicates are started once. -EINVAL: a name with other characters than letters, digits, '-'
 * and '_'; -E2BIG: more than MODULES_MAX. The callback comes from the event loop, never from in
 * here, for an empty list too.
 */
int modules_load(sd_bus *bus, char *const *modules, modules_fn callback, void *userdata,
		 struct modules_load **ret);
/* Stops waiting (what was started goes on). Accepts NULL, returns NULL. */
struct modules_load *modules_load_free(struct modules_load *load);
DEFINE_CLEANUP(struct modules_load *, modules_load_free)

/* The unit of a module: "modprobe@vfio_pci.service", of the caller. -EINVAL, -ENOMEM. */
int modules_unit(const char *module, char **unit);
